// SPDX-License-Identifier: Apache-2.0
// Sizes, run times and ends of the named mixes.
#pragma once
#include <cstdint>
#include <vector>

#include "base/random.hpp"
#include "simulate/generate.hpp"

namespace centrale {

/// What cluster_summary.csv says of a cluster's jobs with chips. Run times in s.
struct ClusterFacts {
  double run_median, run_mean, run_max;
  double chips_median, chips_mean, chips_max;
  double chip_seconds_mean;        // all chip-time over all jobs; 0: not published
  double done, cancelled, failed;  // shares of jobs
};
/// Null for a mix that is not of a cluster.
[[nodiscard]] const ClusterFacts* cluster_facts(LoadMix mix);

/// A log-normal that is cut at `max` (longer ones last exactly that): the median is kept, sigma is found so that the mean is.
struct RunTimes {
  double median = 1, sigma = 0, max = 1;  // s, -, s
};
[[nodiscard]] double mean_of(const RunTimes& times);
[[nodiscard]] RunTimes fit_run_times(double median, double mean, double max);

struct JobSize {
  std::int64_t chips = 1;
  std::int64_t share_milli = 1000;  // below: of one chip
  double probability = 0;
};

/// A kind of jobs: sizes, each with its probability, and run times that go with the size by a Gaussian copula (Nelsen 2006, 3.1).
struct JobClass {
  double probability = 1;
  std::vector<JobSize> sizes;  // ascending
  RunTimes run;
  double correlation = 0;  // of the normal scores of size and run time
};

struct DrawnJob {
  std::int64_t chips = 1, share_milli = 1000;
  double run = 1;  // s
};

class JobMix {
 public:
  /// No job asks for more than chips_most.
  JobMix(LoadMix mix, std::int64_t chips_most);
  [[nodiscard]] DrawnJob draw(Random& random) const;
  [[nodiscard]] RecordedEnd draw_end(Random& random, double failing_share) const;
  [[nodiscard]] const std::vector<JobClass>& classes() const { return classes_; }

 private:
  LoadMix mix_;
  std::vector<JobClass> classes_;  // empty: Gavel's
  std::int64_t chips_most_;
  double done_ = 1, cancelled_ = 0, failed_ = 0;
};

/// Mean chip-time of a class's jobs, s: by quadrature over the size's normal score.
[[nodiscard]] double mean_chip_seconds(const JobClass& kind);

}  // namespace centrale
