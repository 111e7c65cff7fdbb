// SPDX-License-Identifier: Apache-2.0
// The layouts of one island of equal chips, by branch and bound. Private to plan/.
//
// Branches, each with a bound from the estimator: (tp, cp, pp, dp) by the FLOP; those with a micro-batch and a precision by what their
// layers take at least; those with ep, etp, sequence-parallelism, schedule and interleave by their exact layers. The open branch of the
// least bound is always opened next, so that the search ends when that bound is above the best time known.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "estimate/train.hpp"
#include "plan/train.hpp"

namespace centrale::planning {

struct Candidate {
  Layout layout;
  double seconds = 0;  // of a step
};

/// The order of plans: by time, then chips, then the simpler layout.
[[nodiscard]] bool better(const Candidate& a, const Candidate& b);

/// What can be chosen on one island; every list ascending, limits applied.
struct Space {
  std::vector<std::int64_t> tp, cp, pp, ep;
  std::vector<std::int64_t> batch_divisors;  // dp, and dp x micro-batch
  std::int64_t chips = 0;
  std::int64_t depth = 0;
  bool has_experts = false;
};
[[nodiscard]] Space space_of(const Model& model, const TrainRun& run, const Island& island, const TrainLimits& limits);
[[nodiscard]] std::vector<std::int64_t> divisors(std::int64_t n);
/// How many ranks of dp x cp ZeRO may divide among: 0 (all), and what one node and one domain hold of them.
[[nodiscard]] std::vector<std::int64_t> shards_of(const Layout& layout, const Island& island, const TrainLimits& limits);

/// What one search needs. The references must outlive it.
struct Search {
  TrainEstimator& estimator;
  const Model& model;
  const TrainRun& run;
  const Island& island;
  const TrainLimits& limits;
  double capacity = 0;   // bytes of a chip that may be used
  std::size_t keep = 1;  // best so many
  double worst = 0;      // above 0: layouts slower than this do not matter
  bool prune = true;     // false: everything is evaluated (tests, benchmarks)
};

/// The best layouts that fit, best first; empty where none fits. Of layouts that differ only in what saves memory (recomputation, offload)
/// the fastest that fits stands for all, as the others only add time.
[[nodiscard]] std::vector<Candidate> best_layouts(const Search& search, SearchCount& count);

/// Any layout that fits, looked for among the leanest; its time bounds a search. Nothing: none fits.
[[nodiscard]] std::optional<Layout> some_layout_that_fits(const Search& search);
/// The layout that needs least memory, whatever its time, and what it needs; nothing where no layout can be at all.
struct Leanest {
  Layout layout;
  Memory memory;
};
[[nodiscard]] std::optional<Leanest> leanest_layout(const Search& search);

}  // namespace centrale::planning
