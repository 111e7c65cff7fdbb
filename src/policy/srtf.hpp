// SPDX-License-Identifier: Apache-2.0
// Shortest remaining time first, from estimates that may be wrong or missing.
//
// What is left, best first: the work left at the pace of the speeds, as asked; the expected length less what has run; and where nothing is
// said, or the estimate was outrun, the mean residual life of a log-normal: E[X - t | X > t]
//   = exp(mu + s^2/2) Q(d - s) / Q(d) - t,  d = (ln t - mu) / s,  Q the upper tail of the normal,
// which grows with t, as run lengths of jobs do: the longer it ran, the longer it is likely to take (Harchol-Balter and Downey, TOCS 15(3),
// 1997). mu and s are posterior means over the lengths that were seen to end, from a prior worth 10 jobs: median half an hour, s 1.8.
#pragma once
#include "policy/elastic.hpp"

namespace centrale {

/// Lengths of runs, as they were seen to end.
class RunPrior {
 public:
  void add(double length_s);
  /// What is left on average of a run that has lasted so long, seconds.
  [[nodiscard]] double residual_s(double run_s) const;
  [[nodiscard]] double mu() const;
  [[nodiscard]] double sigma() const;
  // Sums of logarithms, for the books.
  double count = 0, sum = 0, squares = 0;
};

class ShortestRemaining final : public ElasticPolicy {
 public:
  explicit ShortestRemaining(const Scheduling& scheduling) : ElasticPolicy(scheduling, seconds(300)) {}
  [[nodiscard]] std::string_view name() const override { return "srtf"; }

 private:
  [[nodiscard]] double major(const Item& item, Time now) const override;
  void freeze(Time) override { frozen_ = seen_; }
  void choose(std::span<const Slot> items, Time) override { choose_in_order(items); }
  void learn(const Work&, double run_s) override { seen_.add(run_s); }
  void save_more(std::string& text) const override;
  bool load_line(std::string_view word, std::string_view rest) override;
  [[nodiscard]] double pace_as_asked(const Work& work) const;

  RunPrior seen_, frozen_;  // frozen_: as of the last round, so that ranks agree
};

}  // namespace centrale
