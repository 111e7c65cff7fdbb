// SPDX-License-Identifier: Apache-2.0
// The chips that can be given out now, whole or in parts, indexed so that the best place is found without a scan. What it answers
// depends only on what is free and on what runs where, never on the order in which it came to be so: a restored snapshot decides
// alike. (PlaceRule::random is the exception.)
//
// A gang goes to the lowest level of the network that has room for it now: one node, else one domain, leaf, spine, else anywhere;
// there to the group that fits tightest, and in it to as few nodes as can be.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/ids.hpp"
#include "base/units.hpp"
#include "fleet/pool_index.hpp"
#include "fleet/pool_score.hpp"
#include "fleet/pool_topology.hpp"
#include "fleet/pool_types.hpp"
#include "fleet/spread.hpp"

namespace centrale {

class Pool {
 public:
  /// A node without chips, in the unnamed domain. Nodes are numbered from 0.
  std::size_t add_node(Bytes memory);
  /// The next chip id, on that node; not usable and not free yet.
  ChipId add_chip(std::size_t node, KindIndex kind);
  /// Only chips of schedulable nodes are offered.
  void set_schedulable(std::size_t node, bool schedulable);
  /// A chip that failed or is gone is not usable.
  void set_usable(ChipId chip, bool usable);
  /// Gives a held chip back, or takes a free one.
  void set_free(ChipId chip, bool free);
  void set_memory(std::size_t node, Bytes total);
  void take_memory(std::size_t node, Bytes amount);
  void return_memory(std::size_t node, Bytes amount);
  void set_where(std::size_t node, Where where);
  /// Thousandths of a processor; 0: unlimited.
  void set_cpu(std::size_t node, std::int64_t milli);
  /// A gang that ends after it is not put there (reservation, maintenance); the largest time: none.
  void set_until(std::size_t node, Time until);
  /// Only gangs of that reservation are put there, and they nowhere else; 0: open.
  void set_reserved(std::size_t node, std::uint64_t reservation);
  /// The time from which Gang::limit counts.
  void set_now(Time now) { now_ = now; }

  [[nodiscard]] std::size_t node_of(ChipId chip) const { return chip_at(chip).node; }
  [[nodiscard]] KindIndex kind_of(ChipId chip) const { return chip_at(chip).kind; }
  /// Free as a whole.
  [[nodiscard]] bool is_free(ChipId chip) const { return chip_at(chip).milli == kWholeChip; }
  [[nodiscard]] std::int64_t free_milli(ChipId chip) const { return chip_at(chip).milli; }
  [[nodiscard]] Bytes memory_free(std::size_t node) const { return nodes_[node].memory_free; }
  [[nodiscard]] std::int64_t cpu_free(std::size_t node) const { return nodes_[node].cpu_free; }
  [[nodiscard]] Where where(std::size_t node) const { return topology_.where(node); }
  /// Whole chips that could be given out now, all kinds.
  [[nodiscard]] std::int64_t free_total() const { return free_total_; }
  [[nodiscard]] std::int64_t free_of(KindIndex kind) const { return kind < kinds_.size() ? kinds_[kind].free_total : 0; }
  /// Whole chips of that kind free on a node; -1: nothing is offered there.
  [[nodiscard]] std::int64_t free_on(std::size_t node, KindIndex kind) const {
    if (!nodes_[node].schedulable) { return -1; }
    return kind < kinds_.size() && node < kinds_[kind].free_count.size() ? kinds_[kind].free_count[node] : 0;
  }
  /// Free or not, on schedulable nodes.
  [[nodiscard]] std::int64_t usable_of(KindIndex kind) const { return kind < kinds_.size() ? kinds_[kind].usable_total : 0; }
  /// Kinds of which a chip, or a part of one, is free.
  [[nodiscard]] KindMask kinds_with_free() const;
  /// The highest level that the traffic among these chips crosses.
  [[nodiscard]] Spread spread(std::span<const ChipId> chips) const;

  /// How many workers of that shape would fit, counting up to `enough`, if every usable chip were free and no end of a node in
  /// the way; those of a reservation on its nodes only.
  [[nodiscard]] std::int64_t workers_ever(const KindChoice& kinds, const Gang& gang, std::int64_t enough) const;
  /// How many fit now, counting up to `enough`: of the kind that has most room.
  [[nodiscard]] std::int64_t workers_now(const KindChoice& kinds, KindMask allowed, const Gang& gang, std::int64_t enough) const;
  /// Places a gang now, all workers on chips of one kind. Appends workers x chips ids to `out` in rank order and takes what it
  /// needs, or changes nothing and returns false. `allowed` further narrows the kinds.
  bool place(const KindChoice& kinds, KindMask allowed, const Gang& gang, std::vector<ChipId>& out);
  /// What place() would do.
  [[nodiscard]] std::optional<Probe> probe(const KindChoice& kinds, KindMask allowed, const Gang& gang) const;
  /// Exactly these chips, in rank order, which must be free.
  void take(std::span<const ChipId> chips, const Gang& gang);
  /// Undoes place() or take().
  void give_back(std::span<const ChipId> chips, const Gang& gang);
  /// A task without chips (gang.chips is 0) goes to a node with a chip of one of `kinds`, as the rule says.
  std::optional<std::size_t> place_without_chips(KindMask kinds, const Gang& gang);
  void give_back_without_chips(std::size_t node, const Gang& gang);

  /// Which node a worker that is alone in its gang goes to; gangs of more follow the network.
  void set_rule(PlaceRule rule);
  /// What typical tasks ask for: FGD measures fragments by them.
  void set_demand(std::vector<Demand> demand);
  /// Chips that typical tasks cannot use, in expectation: F of the FGD paper (Weng et al., USENIX ATC 2023, section 3.2).
  [[nodiscard]] double fragmentation(KindMask kinds) const;
  /// For PlaceRule::random only.
  void set_random(std::uint64_t seed);

 private:
  struct ChipEntry {
    std::uint32_t node = 0;
    std::int16_t milli = kWholeChip;  // free part of it
    KindIndex kind = 0;
    bool usable = false;
  };
  struct NodeEntry {
    std::vector<ChipId> chips;
    bool schedulable = false;
    Bytes memory_free, memory_total;
    std::int64_t cpu_free = 0, cpu_total = 0;
    Time until{std::numeric_limits<std::int64_t>::max()};
    std::uint64_t reserved = 0;
    std::vector<std::pair<std::uint64_t, std::int64_t>> apart;  // group, workers here
    NodeLoad load;                                              // what runs here, by shape
  };
  using Range = Topology::Range;
  /// Schedulable nodes by how many chips of one kind they have: the n-th is the set with n.
  using Buckets = std::vector<IndexSet>;
  /// A bound on the keys of Rooms::order, which are members of a dense set.
  [[nodiscard]] static std::int64_t room_cap(std::size_t groups) {
    return std::max<std::int64_t>((std::int64_t{1} << 22U) / static_cast<std::int64_t>(groups), 2);
  }
  /// How many workers of one number of chips each group has room for, looked at chips only.
  struct Rooms {
    std::int64_t chips = 1;
    std::array<std::vector<std::int64_t>, Topology::kLevels> room;  // by group
    std::array<IndexSet, Topology::kLevels> order;  // min(room, cap) x groups + group, of those with room; cap bounds its size
  };
  struct KindEntry {
    std::vector<std::uint32_t> free_count, usable_count;  // by node
    Buckets usable;                                       // node numbers
    std::int64_t free_total = 0, usable_total = 0;        // on schedulable nodes
    std::vector<IndexSet> shared;                         // by free part in thousandths: chip ids of usable chips, neither whole nor full
    IndexSet shared_milli;                                // which of those have members
    // Positions, not node numbers, so that they wait for refresh().
    Buckets free;
    std::vector<Rooms> rooms;
  };
  /// What place() is going to do.
  struct Plan {
    KindIndex kind = 0;
    std::vector<std::pair<std::size_t, std::int64_t>> parts;  // node, workers
    ChipId chip;                                              // of the only worker, a share; none: the fullest that has room
  };
  [[nodiscard]] const ChipEntry& chip_at(ChipId chip) const { return chips_[chip.value - 1]; }
  [[nodiscard]] bool positioned(std::size_t node) const { return nodes_[node].schedulable && node < topology_.placed(); }

  // pool.cpp: the counts
  void recount(std::size_t node, KindIndex kind, std::int64_t free_change, std::int64_t usable_change);
  [[nodiscard]] std::int64_t set_milli(ChipId chip, std::int64_t milli);
  void index_shared(ChipId chip, bool in);
  void charge(std::size_t node, std::int64_t workers, const Gang& gang);
  void move_node(KindEntry& kind, std::size_t node, std::uint32_t from, std::uint32_t to) const;
  void touch(std::size_t node);

  // pool_rooms.cpp: what fits where
  void refresh() const;
  [[nodiscard]] const Rooms& rooms_of(KindEntry& kind, std::int64_t chips) const;
  void add_rooms(Rooms& rooms, std::size_t node, std::int64_t change) const;
  [[nodiscard]] bool is_bound(const Gang& gang) const;
  [[nodiscard]] std::int64_t limit(std::size_t node, const Gang& gang, bool ever) const;
  [[nodiscard]] std::int64_t room_on(std::size_t node, KindIndex kind, const Gang& gang) const;
  [[nodiscard]] std::int64_t room_in(KindIndex kind, Range range, const Gang& gang, std::int64_t enough) const;
  [[nodiscard]] std::int64_t room_ever(const KindEntry& kind, const Gang& gang, std::int64_t enough) const;

  // pool_place.cpp: the plan
  [[nodiscard]] bool plan(const KindChoice& kinds, KindMask allowed, const Gang& gang) const;
  [[nodiscard]] bool plan_kind(KindIndex kind, const Gang& gang) const;
  [[nodiscard]] bool plan_whole(KindIndex kind, const Gang& gang) const;
  [[nodiscard]] bool plan_share(KindIndex kind, const Gang& gang) const;
  [[nodiscard]] bool plan_shares(KindIndex kind, const Gang& gang) const;
  [[nodiscard]] std::optional<std::size_t> fullest(KindIndex kind, std::int64_t workers, const Gang& gang, Range range) const;
  [[nodiscard]] std::optional<Range> tightest(KindIndex kind, const Rooms& rooms, std::size_t level, const Gang& gang) const;
  void fill(KindIndex kind, const Gang& gang, Range range) const;
  void take_plan(const Gang& gang, std::vector<ChipId>& out);
  void take_shares(std::size_t node, KindIndex kind, std::int64_t workers, const Gang& gang, std::vector<ChipId>& out);

  // pool_rules.cpp: which node the rule likes best
  [[nodiscard]] bool plan_rule(KindMask kinds, const Gang& gang) const;
  [[nodiscard]] bool plan_random(KindMask kinds, const Gang& gang) const;
  [[nodiscard]] FreeState state_of(std::size_t node) const;
  void refresh_states() const;

  std::vector<NodeEntry> nodes_;
  std::vector<ChipEntry> chips_;  // by chip id - 1
  std::int64_t free_total_ = 0;
  std::int64_t limited_nodes_ = 0;  // reserved, or with an end
  Time now_;
  PlaceRule rule_ = PlaceRule::pack;
  std::uint64_t random_ = 0;
  // Brought up to date when they are asked: many nodes join at once, and are put in order together.
  mutable Topology topology_;
  mutable std::vector<KindEntry> kinds_;
  mutable Scores scores_;
  mutable Plan plan_;  // kept to save allocations
};

}  // namespace centrale
