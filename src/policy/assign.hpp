// SPDX-License-Identifier: Apache-2.0
// One option for each job, or none, under the capacity of each kind, for the largest sum of values: a multiple-choice knapsack with one
// dimension a kind. Kinds get prices (Lagrange multipliers: Everett, Operations Research 11(3), 1963), at which every job picks what gains
// most; what that leaves over or overdraws, few jobs at the margin, is repaired greedily.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "fleet/pool.hpp"

namespace centrale {

struct Offer {
  KindIndex kind = 0;
  std::int64_t chips = 0;
  double value = 0;
  std::int32_t tag = 0;  // the caller's
};
struct AssignJob {
  std::vector<Offer> offers;
  std::int32_t chosen = -1;  // index into offers; none: -1
  std::int32_t keep = -1;    // the offer that it has now: ties go to it
};

/// Keeps its buffers only: the same jobs and capacity give the same choice.
class Assignment {
 public:
  /// `capacity` by kind. Ties: the earlier job, the earlier offer.
  void solve(std::span<AssignJob> jobs, std::vector<std::int64_t> capacity);
  [[nodiscard]] const std::vector<double>& prices() const { return price_; }

 private:
  /// Only jobs that could be among the chosen are priced: the densest, until they alone would fill the chips twice.
  void choose_active(std::span<const AssignJob> jobs, const std::vector<std::int64_t>& capacity);
  void set_prices(std::span<const AssignJob> jobs, const std::vector<std::int64_t>& capacity);
  std::vector<double> price_;
  std::vector<std::int64_t> left_;
  struct Ranked {
    double density = 0;
    std::uint32_t job = 0;
  };
  std::vector<Ranked> ranked_, active_;  // active_: in the order of jobs
  std::vector<std::int64_t> demand_;
};

}  // namespace centrale
