// SPDX-License-Identifier: Apache-2.0
#include "simulate/generate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/random.hpp"
#include "base/text.hpp"
#include "simulate/generate_mix.hpp"

namespace centrale {
namespace {

constexpr double kDay = 86400, kPeakHour = 14;
constexpr double kHour = 3600;
constexpr double kBurstGap = 5;                // s, mean: a script submits a sweep
constexpr double kHorizonMax = 3'000'000'000;  // s: a later end still fits 64 bits of ns
constexpr double kOverestimateMax = 100;
constexpr double kStepsPerSecondMax = 1e12;  // no model is as small
constexpr std::int64_t kElasticFactor = 4;   // down to a quarter, up to four times
enum Stream : std::uint64_t { kShapes, kTimes, kTenants, kEnds, kEstimates, kModels };

Result<void> check(const LoadShape& s) {
  const auto wrong = [](std::string what) { return fail(ErrorKind::invalid, std::move(what), "load"); };
  const auto share = [](double x) { return x >= 0 && x <= 1; };
  if (s.fleet_chips < 1 || s.fleet_chips > 1'000'000'000) {
    return wrong(fmt::format("fleet_chips: wants 1 to a billion, found {}", s.fleet_chips));
  }
  if (!(s.load > 0) || !(s.load <= 100)) { return wrong(fmt::format("load: wants above 0 and at most 100, found {}", s.load)); }
  if (s.jobs < 0 || s.jobs > kLoadJobsMax) { return wrong(fmt::format("jobs: wants 0 to {}, found {}", kLoadJobsMax, s.jobs)); }
  if (s.jobs == 0 && (s.horizon.value <= 0 || to_seconds(s.horizon) > kHorizonMax)) {
    return wrong("without a number of jobs, a horizon is wanted");
  }
  if (s.jobs > 0 && s.horizon.value != 0) { return wrong("a number of jobs and a horizon: the load says one of them, give the other"); }
  if (s.node_chips < 1) { return wrong(fmt::format("node_chips: wants 1 or more, found {}", s.node_chips)); }
  if (!(s.peak_to_trough >= 1) || !(s.peak_to_trough <= 1e6)) {
    return wrong(fmt::format("peak_to_trough: wants 1 or more, found {}", s.peak_to_trough));
  }
  if (!(s.weekend > 0) || !(s.weekend <= 1)) { return wrong(fmt::format("weekend: wants above 0 and at most 1, found {}", s.weekend)); }
  if (!(s.burst_jobs >= 1) || !(s.burst_jobs <= 1e6)) { return wrong(fmt::format("burst_jobs: wants 1 or more, found {}", s.burst_jobs)); }
  if (s.tenants < 1 || s.tenants > 1'000'000) { return wrong(fmt::format("tenants: wants 1 to a million, found {}", s.tenants)); }
  if (!(s.zipf >= 0) || !(s.zipf <= 10)) { return wrong(fmt::format("zipf: wants 0 to 10, found {}", s.zipf)); }
  if (!(s.estimate_sigma >= 0) || !(s.estimate_sigma <= 3)) {
    return wrong(fmt::format("estimate_sigma: wants 0 to 3, found {}", s.estimate_sigma));
  }
  if (!share(s.burst_share) || !share(s.elastic_share) || !share(s.model_share)) {
    return wrong("burst_share, elastic_share and model_share: want 0 to 1");
  }
  if (s.failing_share != -1 && !share(s.failing_share)) {
    return wrong(fmt::format("failing_share: wants 0 to 1, or -1, found {}", s.failing_share));
  }
  for (const LoadProfile& p : s.profiles) {
    if (p.name.empty() || !(p.weight > 0) || p.workers < 0 || !(p.steps_per_second > 0) || !(p.steps_per_second <= kStepsPerSecondMax) ||
        !std::isfinite(p.weight)) {
      return wrong(fmt::format("profile '{}': wants a name, a weight and steps a second above 0", shorten(p.name, 40)));
    }
  }
  return {};
}

double chip_seconds(const DrawnJob& job) { return static_cast<double>(job.chips * job.share_milli) / 1000 * job.run; }

struct Drawn {
  std::vector<DrawnJob> jobs;
  double horizon = 0;  // s
};

/// The load is met exactly with a number of jobs; with a horizon, the last job may go past it.
Result<Drawn> draw_jobs(const LoadShape& shape, const JobMix& mix, Random random) {
  Drawn all;
  const double chips = shape.load * static_cast<double>(shape.fleet_chips);
  const double wanted = shape.jobs == 0 ? chips * to_seconds(shape.horizon) : 0;
  double sum = 0;
  all.jobs.reserve(static_cast<std::size_t>(shape.jobs));
  while (shape.jobs > 0 ? all.jobs.size() < static_cast<std::size_t>(shape.jobs) : sum < wanted) {
    if (all.jobs.size() == static_cast<std::size_t>(kLoadJobsMax)) {
      return fail(ErrorKind::invalid, fmt::format("more than {} jobs are needed to fill the horizon", kLoadJobsMax), "load",
                  "give a shorter horizon");
    }
    all.jobs.push_back(mix.draw(random));
    sum += chip_seconds(all.jobs.back());
  }
  all.horizon = shape.jobs > 0 ? sum / chips : to_seconds(shape.horizon);
  if (!(all.horizon <= kHorizonMax)) {
    return fail(ErrorKind::invalid, "the load spreads these jobs over more than a hundred years", "load",
                "give a higher load, or fewer jobs");
  }
  return all;
}

struct Arrival {
  double time = 0;  // s
  std::uint32_t tenant = 0;
};

class ArrivalDraw {
 public:
  ArrivalDraw(const LoadShape& shape, double horizon)
      : shape_(shape), horizon_(horizon), times_(Random(shape.seed).stream(kTimes)), tenants_(Random(shape.seed).stream(kTenants)) {
    double sum = 0;
    for (std::int64_t rank = 1; rank <= shape.tenants; ++rank) {
      sum += std::pow(static_cast<double>(rank), -shape.zipf);
      shares_.push_back(sum);
    }
  }

  std::vector<Arrival> draw(std::size_t jobs) {
    std::vector<Arrival> all;
    all.reserve(jobs);
    // Of events, so that burst_share of the jobs are in bursts: p B / (1 - p + p B) = share.
    const double share = shape_.burst_share;
    const double bursts = share / (shape_.burst_jobs * (1 - share) + share);
    while (all.size() < jobs) {
      Arrival arrival{.time = event_time(), .tenant = tenant()};
      const std::size_t size = share > 0 && times_.uniform() < bursts ? burst_size() : 1;
      for (std::size_t i = 0; i < size && all.size() < jobs; ++i) {
        all.push_back(arrival);
        arrival.time = std::min(arrival.time + kBurstGap * times_.exponential(), horizon_);
      }
    }
    std::ranges::stable_sort(all, {}, [](const Arrival& a) { return a.time; });
    return all;
  }

 private:
  /// The intensity at a time, of its highest.
  double intensity(double time) const {
    if (shape_.arrivals == Arrivals::poisson) { return 1; }
    const double swing = (shape_.peak_to_trough - 1) / (shape_.peak_to_trough + 1);
    const double hour = std::fmod(time, kDay) / kHour;
    const double day = (1 + swing * std::cos(2 * std::numbers::pi * (hour - kPeakHour) / 24)) / (1 + swing);
    const bool weekend = shape_.arrivals == Arrivals::weekly && std::fmod(time / kDay, 7) >= 5;
    return weekend ? day * shape_.weekend : day;
  }
  double event_time() {
    while (true) {
      const double time = times_.uniform(0, horizon_);
      if (shape_.arrivals == Arrivals::poisson || times_.uniform() < intensity(time)) { return time; }
    }
  }
  /// Geometric, from 1.
  std::size_t burst_size() {
    if (shape_.burst_jobs <= 1) { return 1; }
    return 1 + static_cast<std::size_t>(times_.exponential() / -std::log1p(-1 / shape_.burst_jobs));
  }
  std::uint32_t tenant() {
    const double u = tenants_.uniform(0, shares_.back());
    return static_cast<std::uint32_t>(
        std::min<std::ptrdiff_t>(std::ranges::upper_bound(shares_, u) - shares_.begin(), std::ssize(shares_) - 1));
  }

  const LoadShape& shape_;
  double horizon_;
  Random times_, tenants_;
  std::vector<double> shares_;  // cumulative
};

/// Which model a job trains, by its size.
class ModelDraw {
 public:
  explicit ModelDraw(const LoadShape& shape) : shape_(shape), random_(Random(shape.seed).stream(kModels)) {}

  /// 0: none; else one more than the index of a profile.
  std::uint32_t draw(std::int64_t chips) {
    if (shape_.profiles.empty() || random_.uniform() >= shape_.model_share) { return 0; }
    double sum = 0;
    for (const LoadProfile& p : shape_.profiles) { sum += fits(p, chips) ? p.weight : 0; }
    double u = random_.uniform(0, sum);
    std::uint32_t last = 0;
    for (std::uint32_t i = 0; i < shape_.profiles.size(); ++i) {
      if (!fits(shape_.profiles[i], chips)) { continue; }
      last = i + 1;
      u -= shape_.profiles[i].weight;
      if (u < 0) { break; }
    }
    return last;
  }
  bool elastic() { return shape_.elastic_share > 0 && random_.uniform() < shape_.elastic_share; }

 private:
  static bool fits(const LoadProfile& p, std::int64_t chips) { return p.workers == 0 || p.workers == chips; }
  const LoadShape& shape_;
  Random random_;
};

Nanos nanos(double seconds) { return {std::llround(seconds * 1e9)}; }

void give_chips(TraceJob& job, const DrawnJob& drawn, const LoadShape& shape, bool elastic) {
  job.share_milli = drawn.share_milli;
  job.workers = drawn.chips;
  if (elastic && drawn.share_milli == 1000) {
    job.workers_min = std::max<std::int64_t>(1, drawn.chips / kElasticFactor);
    job.workers_max = std::min(drawn.chips * kElasticFactor, shape.fleet_chips);
    return;
  }
  if (job.profile != 0) { return; }  // ranks of a model are counted one by one
  // Whole nodes where that divides, as gangs are asked for.
  if (drawn.chips <= shape.node_chips || drawn.chips % shape.node_chips == 0) {
    job.chips = std::min(drawn.chips, shape.node_chips);
    job.workers = drawn.chips / job.chips;
  }
}

double estimate_of(double run, double sigma, Random& random) {
  return std::ceil(run * (1 + std::min(random.log_normal(1, sigma), kOverestimateMax)) / kHour) * kHour;
}

}  // namespace

Result<Workload> generate(const LoadShape& shape) {
  TRY(check(shape));
  const Random root(shape.seed);
  const JobMix mix(shape.mix, shape.fleet_chips);
  TRY_ASSIGN(const Drawn drawn, draw_jobs(shape, mix, root.stream(kShapes)));
  const std::vector<Arrival> arrivals = ArrivalDraw(shape, drawn.horizon).draw(drawn.jobs.size());
  Random ends = root.stream(kEnds), estimates = root.stream(kEstimates);
  ModelDraw models(shape);
  Workload workload;
  workload.name = fmt::format("{}, load {}, seed {}", enum_name(shape.mix), shape.load, shape.seed);
  workload.tenants.clear();
  for (std::int64_t i = 1; i <= shape.tenants; ++i) { workload.tenants.push_back(fmt::format("tenant{}", i)); }
  for (const LoadProfile& p : shape.profiles) { workload.profiles.push_back(p.name); }
  workload.jobs.reserve(drawn.jobs.size());
  for (std::size_t i = 0; i < drawn.jobs.size(); ++i) {
    const DrawnJob& source = drawn.jobs[i];
    TraceJob& job = workload.jobs.emplace_back();
    job.name = fmt::format("g{}", i + 1);
    job.tenant = arrivals[i].tenant;
    job.submit = Time{nanos(arrivals[i].time).value};
    job.end = mix.draw_end(ends, shape.failing_share);
    job.profile = source.share_milli == 1000 ? models.draw(source.chips) : 0;
    give_chips(job, source, shape, models.elastic());
    if (job.profile != 0) {
      job.work = source.run * shape.profiles[job.profile - 1].steps_per_second;
    } else {
      job.run = nanos(source.run);
    }
    if (shape.estimate_sigma > 0) { job.estimate = nanos(estimate_of(source.run, shape.estimate_sigma, estimates)); }
  }
  workload.notes.push_back(fmt::format("{} jobs over {}, a load of {} on {} chips", format_count(std::ssize(workload.jobs)),
                                       format_duration(nanos(drawn.horizon)), shape.load, format_count(shape.fleet_chips)));
  TRY(settle(workload));
  return workload;
}

}  // namespace centrale
