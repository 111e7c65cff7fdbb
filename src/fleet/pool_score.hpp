// SPDX-License-Identifier: Apache-2.0
// How the rules of placement judge a node. Nodes that are alike are judged once, and what was found is kept. Private to the pool.
#pragma once
#include <compare>
#include <cstdint>
#include <limits>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "fleet/pool_index.hpp"
#include "fleet/pool_types.hpp"

namespace centrale {

/// How many workers of each shape run on a node: 0 is a share, n takes n whole chips. Sorted by shape.
struct NodeLoad {
  std::vector<std::pair<std::int64_t, std::int64_t>> shapes;

  void add(const Gang& gang, std::int64_t workers);
  auto operator<=>(const NodeLoad&) const = default;
};

/// All of a node that a rule looks at.
struct FreeState {
  std::vector<std::pair<KindIndex, std::int16_t>> chips;        // kind, free part; usable ones, sorted
  std::int64_t cpu = std::numeric_limits<std::int64_t>::max();  // free; unlimited
  Bytes memory{std::numeric_limits<std::int64_t>::max()};       // free; only where typical tasks ask for some
  NodeLoad load;                                                // only for gpu_clustering
  auto operator<=>(const FreeState&) const = default;
};

/// What a rule thinks of a worker on a node: the less the better. Nothing fits: not `fits`.
struct Judgement {
  double cost = 0;
  KindIndex kind = 0;
  std::int16_t milli = 0;  // of the chip that a share goes to
  bool fits = false;
};

/// The largest node, which best fit and dot product measure by.
struct LargestNode {
  double cpu = 1, chips = 1;  // thousandths
};

/// Fragments of a node in expectation over the typical tasks, in thousandths of a chip.
[[nodiscard]] double fragments(const FreeState& state, KindMask kinds, const std::vector<Demand>& demand);
[[nodiscard]] Judgement judge(PlaceRule rule, const FreeState& state, KindMask kinds, const Gang& gang, const std::vector<Demand>& demand,
                              LargestNode largest);

/// Nodes by state, and judgements by state and shape of worker.
class Scores {
 public:
  struct Group {
    FreeState state;
    IndexSet nodes;
    std::uint64_t birth = 0;  // tells a reused place from what was there before
  };

  /// Forgets all; `nodes` of them are to be looked at.
  void reset(std::size_t nodes);
  void touch(std::size_t node);
  /// Nodes whose state is to be told again; empties the list.
  [[nodiscard]] std::vector<std::size_t> take_dirty();
  void set(std::size_t node, FreeState state);
  void remove(std::size_t node);
  [[nodiscard]] const std::vector<Group>& groups() const { return groups_; }
  /// The judgements for a shape, by group; one whose birth is not its group's is out of date.
  struct Kept {
    std::uint64_t birth = 0;
    Judgement judgement;
  };
  [[nodiscard]] std::vector<Kept>& kept(KindMask kinds, const Gang& gang);

  bool on = false;  // nobody asks: nothing is kept
  std::vector<Demand> demand;
  LargestNode largest;

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};
  using Shape = std::tuple<KindMask, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
  std::vector<Group> groups_;
  std::vector<std::size_t> empty_;  // of groups_
  std::map<FreeState, std::size_t> group_of_state_;
  std::vector<std::size_t> group_of_node_;
  std::vector<std::size_t> dirty_;
  std::vector<bool> is_dirty_;
  std::map<Shape, std::vector<Kept>> kept_;
  std::uint64_t births_ = 0;
};

}  // namespace centrale
