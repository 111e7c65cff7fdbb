// SPDX-License-Identifier: Apache-2.0
// One option for each job, or none, under the capacity of each kind, for the largest sum of values: a multiple-choice knapsack with one
// dimension a kind. Kinds get prices (Lagrange multipliers: Everett, Operations Research 11(3), 1963), at which every job picks what gains
// most; what that leaves over or overdraws, few jobs at the margin, is repaired greedily.
#pragma once
#include <cstdint>
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

/// Keeps its buffers and its last prices, from which the next call starts; the result does not depend on them by more than ties at the
/// margin, but it does: callers that must decide alike after a restart call reset() first.
class Assignment {
 public:
  /// `capacity` by kind. Ties: the earlier job, the earlier offer.
  void solve(std::vector<AssignJob>& jobs, std::vector<std::int64_t> capacity);
  [[nodiscard]] const std::vector<double>& prices() const { return price_; }

 private:
  void set_prices(std::vector<AssignJob>& jobs, const std::vector<std::int64_t>& capacity);
  std::vector<double> price_;
  std::vector<std::int64_t> left_;
  struct Ranked {
    double density = 0;
    std::uint32_t job = 0;
  };
  std::vector<Ranked> ranked_;
};

}  // namespace centrale
