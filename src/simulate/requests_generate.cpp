// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "base/random.hpp"
#include "base/text.hpp"
#include "simulate/requests.hpp"

namespace centrale {

namespace {

/// Gamma of that shape and scale 1 (Marsaglia and Tsang, "A simple method for generating gamma variables", TOMS 2000); shapes below 1 by
/// their section 6.
double gamma(Random& random, double shape) {
  if (shape < 1) { return gamma(random, shape + 1) * std::pow(1 - random.uniform(), 1 / shape); }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = random.normal(), cube = 1 + c * x;
    if (cube <= 0) { continue; }
    const double v = cube * cube * cube;
    if (std::log(1 - random.uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) { return d * v; }
  }
}

Result<void> check(const RequestTrace& source, const GenerateOptions& o) {
  if (source.requests.empty()) { return fail(ErrorKind::invalid, "no requests to take lengths from", source.name); }
  if (!(o.rate > 0) || !(o.variation > 0) || !std::isfinite(o.rate) || !std::isfinite(o.variation)) {
    return fail(ErrorKind::invalid, "rate and variation must be above 0");
  }
  if (!(o.swing >= 0) || o.swing > 1) { return fail(ErrorKind::invalid, fmt::format("swing is {}, it is 0 to 1", o.swing)); }
  if (o.day.value <= 0 || o.duration.value <= 0) { return fail(ErrorKind::invalid, "day and duration must be above 0"); }
  if (o.rate * to_seconds(o.duration) > static_cast<double>(kRequestsMax) / 2) {
    return fail(ErrorKind::invalid, fmt::format("more than {} requests", format_count(kRequestsMax / 2)), {}, "a lower rate or duration");
  }
  return {};
}

class Gaps {
 public:
  Gaps(const GenerateOptions& options, Random random) : o_(options), random_(random) {}
  /// The arrival after `at`, both in seconds.
  double after(double at) {
    switch (o_.arrivals) {
      case Arrivals::poisson: return at + random_.exponential() / o_.rate;
      case Arrivals::gamma: {
        const double shape = 1 / (o_.variation * o_.variation);
        return at + gamma(random_, shape) / (shape * o_.rate);
      }
      case Arrivals::diurnal: break;
    }
    // Thinning (Lewis and Shedler 1979): as many as at the peak, each kept with the odds of its hour.
    const double peak = o_.rate * (1 + o_.swing);
    while (true) {
      at += random_.exponential() / peak;
      const double rate = o_.rate * (1 - o_.swing * std::cos(2 * std::numbers::pi * at / to_seconds(o_.day)));
      if (random_.uniform() * peak < rate) { return at; }
      if (at > to_seconds(o_.duration)) { return at; }
    }
  }

 private:
  const GenerateOptions& o_;
  Random random_;
};

}  // namespace

Result<RequestTrace> generate_requests(const RequestTrace& source, const GenerateOptions& options) {
  TRY(check(source, options));
  RequestTrace trace{.name = source.name + " drawn", .tenants = source.tenants, .requests = {}, .blocks = source.blocks, .notes = {}};
  Gaps gaps(options, Random(options.seed).stream(1));
  Random lengths = Random(options.seed).stream(2);
  for (double at = gaps.after(0); at < to_seconds(options.duration) && trace.requests.size() < kRequestsMax; at = gaps.after(at)) {
    TraceRequest request = source.requests[lengths.below(source.requests.size())];
    request.arrival = {std::llround(at * 1e9)};
    trace.requests.push_back(request);
  }
  return trace;
}

}  // namespace centrale
