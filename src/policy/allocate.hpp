// SPDX-License-Identifier: Apache-2.0
// How unlike chips are shared among jobs in the long run, and which jobs run in the next round. After Gavel (Narayanan et al., OSDI
// 2020): an allocation says which fraction of the time each job spends on each kind; rounds (section 5) make it true. Solved exactly by a
// simplex that knows the structure: few kinds, many jobs (allocate_simplex.hpp).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace centrale {

/// Tables are jobs x kinds, row by row. Jobs are in order of arrival: ties go to the earlier one.
struct ShareProblem {
  std::size_t jobs = 0, kinds = 0;
  std::vector<double> rate;      // work units a second on that kind; <= 0: cannot run there
  std::vector<double> chips;     // of each job while it runs (its gang), > 0; a kind that has fewer cannot run it
  std::vector<double> weight;    // of each job, > 0; empty: all alike
  std::vector<double> capacity;  // chips of each kind
};

/// Where to start from: the answer to a problem that was alike (one job more or less). Any hint gives the same objective and levels.
struct ShareHint {
  std::vector<double> price;  // of each kind; empty: none
  double level = 0;
};

struct Shares {
  std::vector<double> x;      // fraction of its time that the job spends on the kind
  double objective = 0;       // as each function says
  double level = 0;           // of max_min: where the first kinds filled up
  std::vector<double> price;  // of a chip of each kind: what one more would add to the objective (of max_min: to `level`)
  bool exact = true;          // false: the limit on steps was met; x is feasible, but may not be the best
  std::uint64_t steps = 0;    // of the simplex
  [[nodiscard]] ShareHint hint() const { return {price, level}; }
};

/// Max-min fair effective throughput (section 4.1): the smallest of z_m / w_m * throughput_m / throughput_m(equal share) is as large as can
/// be (the objective: over the jobs that can run at all); then the next smallest, and so on (water filling, section 4.4), so that no chip
/// is idle that a job could use.
[[nodiscard]] Shares max_min(const ShareProblem& problem, const ShareHint& hint = {});
/// Max-min over any scale: the smallest of scale_m * sum_j rate_mj x_mj, then the next smallest. scale_m <= 0: the job gets nothing.
[[nodiscard]] Shares max_min_scaled(const ShareProblem& problem, std::span<const double> scale, const ShareHint& hint = {});
/// The time in which all can be done (section 4.2), in seconds: the objective; jobs that end early at that pace get more if it is to be
/// had. `work_left` in the units of `rate`. A job with work that can run nowhere is left out.
[[nodiscard]] Shares makespan(const ShareProblem& problem, std::span<const double> work_left, const ShareHint& hint = {});
/// First come, first served, on the kind that fits (section 4.2): sum of rate_mj / fastest rate_m * x_mj * (jobs - m).
[[nodiscard]] Shares fifo_aware(const ShareProblem& problem);
/// The most of sum of value_mj x_mj: jobs to kinds by price. Values <= 0 and kinds that cannot run the job are never taken.
[[nodiscard]] Shares max_sum(const ShareProblem& problem, std::span<const double> value);
/// throughput_m under an equal share: sum_j rate_mj capacity_j / all chips, as published (policies/proportional.py of Gavel).
[[nodiscard]] std::vector<double> equal_share_throughput(const ShareProblem& problem);

struct RoundPick {
  std::size_t job = 0, kind = 0;
  auto operator<=>(const RoundPick&) const = default;
};
enum class Leftovers : unsigned char {
  idle,  // chips that no job is due on stay free, as published
  used,  // they go to the fastest (job, kind) that still fits, in order of arrival
};
/// The jobs of the next round (section 5): by priority x_mj / (fraction of the kind's time that the job had), greedy, a job once, whole
/// gangs. `received` is chip-independent time, jobs x kinds, since the allocation was made. Sorted by job. A job that has x but had no time
/// yet goes before all that had.
[[nodiscard]] std::vector<RoundPick> pick_round(const ShareProblem& problem, std::span<const double> x, std::span<const double> received,
                                                Leftovers leftovers);

}  // namespace centrale
