// SPDX-License-Identifier: Apache-2.0
#include "simulate/generate_mix.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/ensure.hpp"

namespace centrale {
namespace {

// Hu et al. 2024, cluster_summary.csv. Chip-time: complete_, cancel_ and fail_gpu_time over gpu_job_num.
constexpr ClusterFacts kPhilly{.run_median = 874,
                               .run_mean = 18006.055,
                               .run_max = 4240676,
                               .chips_median = 1,
                               .chips_mean = 1.928,
                               .chips_max = 128,
                               .chip_seconds_mean = (2210176414.0 + 2025326056.0 + 2659215061.0) / 112956,
                               .done = 0.604,
                               .cancelled = 0.09,
                               .failed = 0.305};
constexpr ClusterFacts kHelios{.run_median = 206,
                               .run_mean = 6651.681,
                               .run_max = 4320009,
                               .chips_median = 1,
                               .chips_mean = 3.716,
                               .chips_max = 2048,
                               .chip_seconds_mean = (39994296320.0 + 30715109125.0 + 7288334702.0) / 1580464,
                               .done = 0.624,
                               .cancelled = 0.221,
                               .failed = 0.155};
constexpr ClusterFacts kSeren{.run_median = 122,
                              .run_mean = 1414.335,
                              .run_max = 1209604,
                              .chips_median = 1,
                              .chips_mean = 5.68,
                              .chips_max = 1024,
                              .chip_seconds_mean = (4560592618.0 + 14274584510.0 + 2675447459.0) / 663813,
                              .done = 0.497,
                              .cancelled = 0.075,
                              .failed = 0.429};
constexpr ClusterFacts kKalos{.run_median = 124,
                              .run_mean = 1259.689,
                              .run_max = 625740,
                              .chips_median = 1,
                              .chips_mean = 26.77,
                              .chips_max = 1024,
                              .chip_seconds_mean = (1667685146.0 + 3239202064.0 + 426292851.0) / 19907,
                              .done = 0.541,
                              .cancelled = 0.062,
                              .failed = 0.397};
// PAI's ends were not published in that table: all are done.
constexpr ClusterFacts kPai{.run_median = 480.667,
                            .run_mean = 4787.109,
                            .run_max = 626371,
                            .chips_median = 0.5,
                            .chips_mean = 0.683,
                            .chips_max = 8,
                            .chip_seconds_mean = 0,
                            .done = 1,
                            .cancelled = 0,
                            .failed = 0};

// The table gives medians of sizes, not shares. Jobs of one chip: most, so that the median is 1; the rest doubles up to the largest, each
// size as likely as a constant times the one before, which the mean fixes.
constexpr double kOneChipShare = 0.6;
constexpr double kOneChipSharePhilly = 0.8;  // Jeon et al., ATC 2019, figure 2: most of Philly's jobs have one GPU

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

/// The x of [low, high] where the rising f crosses `target`, or the end that is nearest to it.
template <class F>
double solve(double low, double high, double target, F f) {
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (f(middle) < target ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double mean_chips(const std::vector<JobSize>& sizes) {
  double sum = 0;
  for (const JobSize& size : sizes) { sum += size.probability * static_cast<double>(size.chips * size.share_milli) / 1000; }
  return sum;
}

/// `sizes` and then powers of two from `first` to `last`, whose probabilities fall (or rise) by a constant factor and sum to what is left.
std::vector<JobSize> with_ladder(std::vector<JobSize> sizes, std::int64_t first, std::int64_t last, double mean) {
  double left = 1;
  for (const JobSize& size : sizes) { left -= size.probability; }
  const auto made = [&](double factor) {
    std::vector<JobSize> all = sizes;
    double sum = 0, weight = 1;
    for (std::int64_t chips = first; chips <= last; chips *= 2, weight *= factor) {
      all.push_back({.chips = chips, .share_milli = 1000, .probability = weight});
      sum += weight;
    }
    for (std::size_t i = sizes.size(); i < all.size(); ++i) { all[i].probability *= left / sum; }
    return all;
  };
  return made(solve(1e-6, 4, mean, [&](double factor) { return mean_chips(made(factor)); }));
}

std::vector<JobSize> sizes_of(LoadMix mix, const ClusterFacts& facts) {
  const auto last = static_cast<std::int64_t>(facts.chips_max);
  if (mix == LoadMix::pai) {
    // Shares of a chip: most of PAI's tasks ask for less than one (Weng et al., NSDI 2022, section 3).
    return with_ladder({{.chips = 1, .share_milli = 250, .probability = 0.3}, {.chips = 1, .share_milli = 500, .probability = 0.3}}, 1,
                       last, facts.chips_mean);
  }
  const double one = mix == LoadMix::philly ? kOneChipSharePhilly : kOneChipShare;
  return with_ladder({{.chips = 1, .share_milli = 1000, .probability = one}}, 2, last, facts.chips_mean);
}

JobClass class_of(LoadMix mix, const ClusterFacts& facts) {
  JobClass kind{.probability = 1,
                .sizes = sizes_of(mix, facts),
                .run = fit_run_times(facts.run_median, facts.run_mean, facts.run_max),
                .correlation = 0};
  if (facts.chip_seconds_mean > 0) {
    kind.correlation = solve(0, 0.99, facts.chip_seconds_mean, [&](double correlation) {
      kind.correlation = correlation;
      return mean_chip_seconds(kind);
    });
  }
  return kind;
}

/// Development of large language models, after Kalos: evaluation is 92.9% of jobs and hardly any chip-time, pretraining 3.2% of jobs and
/// 94% of it (Hu et al. 2024, section 3.2). Sizes and times within each are chosen to that end.
std::vector<JobClass> llm_classes() {
  const auto even = [](std::initializer_list<std::int64_t> chips) {
    std::vector<JobSize> sizes;
    for (const std::int64_t n : chips) {
      sizes.push_back({.chips = n, .share_milli = 1000, .probability = 1.0 / static_cast<double>(chips.size())});
    }
    return sizes;
  };
  return {{.probability = 0.929, .sizes = even({1, 2, 4, 8}), .run = fit_run_times(120, 300, 7200), .correlation = 0},
          {.probability = 0.039, .sizes = even({8, 16, 32, 64}), .run = fit_run_times(600, 4000, 86400), .correlation = 0},
          {.probability = 0.032, .sizes = even({128, 256, 512, 1024}), .run = fit_run_times(2400, 10000, 1209600), .correlation = 0.3}};
}

/// Gavel (Narayanan et al., OSDI 2020, section 7.1): minutes as 10^U[1.5, 3], one in five as 10^U[3, 4].
double gavel_run(Random& random) {
  const bool long_one = random.uniform() >= 0.8;
  return 60 * std::pow(10.0, long_one ? random.uniform(3, 4) : random.uniform(1.5, 3));
}
/// The same section, from Philly: 70% of jobs on one chip, 25% on 2 or 4, 5% on 8.
std::int64_t gavel_chips(Random& random) {
  const double u = random.uniform();
  return u < 0.7 ? 1 : u < 0.8 ? 2 : u < 0.95 ? 4 : 8;
}

std::int64_t at_most(std::int64_t chips, std::int64_t most) {
  while (chips > most) { chips /= 2; }
  return chips;
}

}  // namespace

const ClusterFacts* cluster_facts(LoadMix mix) {
  switch (mix) {
    case LoadMix::philly: return &kPhilly;
    case LoadMix::helios: return &kHelios;
    case LoadMix::seren: return &kSeren;
    case LoadMix::kalos: return &kKalos;
    case LoadMix::pai: return &kPai;
    case LoadMix::gavel:
    case LoadMix::gavel_multi:
    case LoadMix::llm: return nullptr;
  }
  return nullptr;
}

double mean_of(const RunTimes& t) {
  if (t.sigma == 0) { return std::min(t.median, t.max); }
  const double cut = std::log(t.max / t.median) / t.sigma;
  return t.median * std::exp(t.sigma * t.sigma / 2) * normal_cdf(cut - t.sigma) + t.max * normal_cdf(-cut);
}

RunTimes fit_run_times(double median, double mean, double max) {
  const double sigma = solve(0, 6, mean, [&](double s) { return mean_of({.median = median, .sigma = s, .max = max}); });
  return {.median = median, .sigma = sigma, .max = max};
}

double mean_chip_seconds(const JobClass& kind) {
  // The conditional run time at a size's score z is log-normal again: median e^(sigma rho z), sigma sqrt(1 - rho^2).
  constexpr int kSteps = 4096;
  constexpr double kRange = 6;
  const double spread = std::sqrt(1 - kind.correlation * kind.correlation);
  double sum = 0, reached = kind.sizes.front().probability;
  std::size_t size = 0;
  for (int i = 0; i < kSteps; ++i) {
    const double z = -kRange + 2 * kRange * (i + 0.5) / kSteps;
    const double below = normal_cdf(z);
    while (below >= reached && size + 1 < kind.sizes.size()) { reached += kind.sizes[++size].probability; }
    const RunTimes at{
        .median = kind.run.median * std::exp(kind.run.sigma * kind.correlation * z), .sigma = kind.run.sigma * spread, .max = kind.run.max};
    const double chips = static_cast<double>(kind.sizes[size].chips * kind.sizes[size].share_milli) / 1000;
    sum += std::exp(-z * z / 2) * chips * mean_of(at);
  }
  return sum * 2 * kRange / kSteps / std::sqrt(2 * std::numbers::pi);
}

JobMix::JobMix(LoadMix mix, std::int64_t chips_most) : mix_(mix), chips_most_(chips_most) {
  ensure(chips_most >= 1);
  if (const ClusterFacts* facts = cluster_facts(mix)) {
    classes_ = {class_of(mix, *facts)};
    done_ = facts->done;
    cancelled_ = facts->cancelled;
    failed_ = facts->failed;
  } else if (mix == LoadMix::llm) {
    classes_ = llm_classes();
    done_ = kKalos.done;
    cancelled_ = kKalos.cancelled;
    failed_ = kKalos.failed;
  }
}

DrawnJob JobMix::draw(Random& random) const {
  if (classes_.empty()) {
    const std::int64_t chips = mix_ == LoadMix::gavel ? 1 : at_most(gavel_chips(random), chips_most_);
    return {.chips = chips, .share_milli = 1000, .run = gavel_run(random)};
  }
  std::size_t kind = 0;
  for (double u = random.uniform(); kind + 1 < classes_.size() && u >= classes_[kind].probability; ++kind) {
    u -= classes_[kind].probability;
  }
  const JobClass& from = classes_[kind];
  const double z = random.normal();
  const double below = normal_cdf(z);
  std::size_t size = 0;
  for (double reached = from.sizes[0].probability; size + 1 < from.sizes.size() && below >= reached;) {
    reached += from.sizes[++size].probability;
  }
  const double score = from.correlation * z + std::sqrt(1 - from.correlation * from.correlation) * random.normal();
  // Traces count whole seconds, from 1.
  const double run = std::clamp(std::round(from.run.median * std::exp(from.run.sigma * score)), 1.0, from.run.max);
  return {.chips = at_most(from.sizes[size].chips, chips_most_), .share_milli = from.sizes[size].share_milli, .run = run};
}

RecordedEnd JobMix::draw_end(Random& random, double failing_share) const {
  double failed = failed_, cancelled = cancelled_;
  if (failing_share >= 0) {
    const double all = failed + cancelled;
    failed = all > 0 ? failing_share * failed / all : failing_share;
    cancelled = all > 0 ? failing_share * cancelled / all : 0;
  }
  const double u = random.uniform();
  return u < failed ? RecordedEnd::failed : u < failed + cancelled ? RecordedEnd::cancelled : RecordedEnd::done;
}

}  // namespace centrale
