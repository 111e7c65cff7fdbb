// SPDX-License-Identifier: Apache-2.0
#include "policy/srtf.hpp"

#include <cmath>
#include <sstream>

#include <fmt/format.h>

namespace centrale {

namespace {

constexpr double kPriorJobs = 10;
constexpr double kPriorMedian_s = 1800, kPriorSigma = 1.8;
constexpr double kSigmaMin = 0.5;  // a few jobs that are alike must not make a certainty

double upper_tail(double x) { return 0.5 * std::erfc(x / std::sqrt(2.0)); }

}  // namespace

void RunPrior::add(double length_s) {
  const double log = std::log(std::max(length_s, 1.0));
  count += 1;
  sum += log;
  squares += log * log;
}

double RunPrior::mu() const { return (kPriorJobs * std::log(kPriorMedian_s) + sum) / (kPriorJobs + count); }

double RunPrior::sigma() const {
  // Of a normal-inverse-gamma posterior whose prior counts as much as so many observations.
  const double prior_mu = std::log(kPriorMedian_s);
  const double mean = count > 0 ? sum / count : prior_mu;
  const double spread = std::max(0.0, squares - count * mean * mean);
  const double shift = kPriorJobs * count / (kPriorJobs + count) * (mean - prior_mu) * (mean - prior_mu);
  return std::max(kSigmaMin, std::sqrt((kPriorJobs * kPriorSigma * kPriorSigma + spread + shift) / (kPriorJobs + count)));
}

double RunPrior::residual_s(double run_s) const {
  const double m = mu(), s = sigma();
  if (run_s <= 0) { return std::exp(m + s * s / 2); }
  const double d = (std::log(run_s) - m) / s;
  if (d > 8) { return run_s * s / d; }  // Q(d - s) / Q(d) in the limit: t s^2 / (ln t - mu)
  return std::max(0.0, std::exp(m + s * s / 2) * upper_tail(d - s) / upper_tail(d) - run_s);
}

double ShortestRemaining::pace_as_asked(const Work& work) const {
  double best = 0;
  for (const Shape& shape : work.speed->shapes) {
    if (shape.workers != work.gang.workers || shape.chips != work.gang.chips || (work.kinds.mask >> shape.kind & 1) == 0) { continue; }
    best = std::max(best, static_cast<double>(shape.rate[static_cast<std::size_t>(likely_spread(shape.kind, shape.total()))]));
  }
  return best;
}

double ShortestRemaining::major(const Item& item, Time now) const {
  const Work& work = item.work;
  const double run_s = attained(item, now) / static_cast<double>(std::max<std::int64_t>(1, work.chips_total()));
  if (work.speed != nullptr && work.work_left > 0) {
    const double pace = pace_as_asked(work);
    const double left = work_left(item, now);
    if (pace > 0 && left > 0) { return left / pace; }
  } else if (work.work_left > 0 || work.expected.value > 0) {
    // Without speeds work is seconds as asked; the core counts down `expected` with it.
    const double left = work.work_left > 0 ? work_left(item, now) : to_seconds(work.expected) - run_s;
    if (left > 0) { return left; }
  }
  return frozen_.residual_s(run_s);
}

void ShortestRemaining::save_more(std::string& text) const {
  text += fmt::format("lengths {} {} {} {} {} {}\n", seen_.count, seen_.sum, seen_.squares, frozen_.count, frozen_.sum, frozen_.squares);
}

bool ShortestRemaining::load_line(std::string_view word, std::string_view rest) {
  std::istringstream in{std::string(rest)};
  return word == "lengths" && (in >> seen_.count >> seen_.sum >> seen_.squares >> frozen_.count >> frozen_.sum >> frozen_.squares);
}

}  // namespace centrale
