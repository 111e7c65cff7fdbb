// SPDX-License-Identifier: Apache-2.0
// The chips that can be given out now, indexed so that the best-fitting node is found without a scan. What it answers
// depends only on what is free, never on the order in which it became free: a restored snapshot decides alike.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/ids.hpp"
#include "base/units.hpp"

namespace centrale {

using KindIndex = std::uint8_t;  // into the core's table of chip kinds
using KindMask = std::uint64_t;
inline constexpr KindMask kAnyKind = ~KindMask{0};
inline constexpr std::size_t kKindsMax = 64;  // a mask fits one word
inline constexpr std::size_t kChipsPerNodeMax = 4096;
inline constexpr std::size_t kKindChoicesMax = 16;

/// The kinds that will do, best first; none named: any, in the order of the fleet's table.
struct KindChoice {
  KindMask mask = kAnyKind;
  std::array<KindIndex, kKindChoicesMax> order{};
  std::uint8_t count = 0;

  bool operator==(const KindChoice&) const = default;
  auto operator<=>(const KindChoice&) const = default;
};

/// What a gang needs: `workers`, each with `chips` chips of one kind on one node and `memory` of that node's.
struct Gang {
  std::int64_t workers = 1;
  std::int64_t chips = 1;
  Bytes memory;
};

/// A set of small integers with find-first in O(log64 n) and no allocation after growth.
class IndexSet {
 public:
  void insert(std::size_t index);
  void erase(std::size_t index);
  [[nodiscard]] bool contains(std::size_t index) const;
  /// The smallest member >= from.
  [[nodiscard]] std::optional<std::size_t> next(std::size_t from) const;
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  void grow(std::size_t size);
  std::vector<std::vector<std::uint64_t>> levels_;  // levels_[0] holds the members, each next one which words are not empty
  std::size_t count_ = 0;
};

class Pool {
 public:
  /// A node without chips. Nodes are numbered from 0.
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
  [[nodiscard]] std::size_t node_of(ChipId chip) const { return chip_at(chip).node; }
  [[nodiscard]] KindIndex kind_of(ChipId chip) const { return chip_at(chip).kind; }
  [[nodiscard]] bool is_free(ChipId chip) const { return chip_at(chip).free; }
  [[nodiscard]] Bytes memory_free(std::size_t node) const { return nodes_[node].memory_free; }
  /// Chips that could be given out now, all kinds.
  [[nodiscard]] std::int64_t free_total() const { return free_total_; }
  [[nodiscard]] KindMask kinds_with_free() const;

  /// How many workers of that shape would fit, counting up to `enough`, if every usable chip were free.
  [[nodiscard]] std::int64_t workers_ever(const KindChoice& kinds, const Gang& gang, std::int64_t enough) const;
  /// Places a gang now: all workers on chips of one kind; on one node if one has room (the fullest that does), else on
  /// as few nodes as can be. Appends workers x chips ids to `out` in rank order and takes chips and memory, or changes nothing and
  /// returns false. `allowed` further narrows the kinds.
  bool place(const KindChoice& kinds, KindMask allowed, const Gang& gang, std::vector<ChipId>& out);

 private:
  struct ChipEntry {
    std::uint32_t node = 0;
    KindIndex kind = 0;
    bool usable = false;
    bool free = false;
  };
  struct NodeEntry {
    std::vector<ChipId> chips;
    bool schedulable = false;
    Bytes memory_free;
    Bytes memory_total;
  };
  /// Schedulable nodes by how many chips of one kind they have: by_count[n] is the set with n.
  using Buckets = std::vector<IndexSet>;
  struct KindEntry {
    std::vector<std::uint32_t> free_count, usable_count;  // by node
    Buckets free, usable;
    std::int64_t free_total = 0;  // on schedulable nodes
  };
  [[nodiscard]] const ChipEntry& chip_at(ChipId chip) const { return chips_[chip.value - 1]; }
  void recount(std::size_t node, KindIndex kind, std::int64_t free_change, std::int64_t usable_change);
  [[nodiscard]] std::int64_t workers_fitting(const Buckets& buckets, const Gang& gang, bool all_memory, std::int64_t enough) const;
  [[nodiscard]] std::int64_t workers_on(std::size_t node, std::size_t chips, const Gang& gang, bool all_memory) const;
  [[nodiscard]] std::optional<std::size_t> best_fit(const KindEntry& kind, std::int64_t workers, const Gang& gang) const;
  bool place_kind(KindIndex kind, const Gang& gang, std::vector<ChipId>& out);
  void take(std::size_t node, KindIndex kind, std::int64_t workers, const Gang& gang, std::vector<ChipId>& out);

  std::vector<NodeEntry> nodes_;
  std::vector<ChipEntry> chips_;  // by chip id - 1
  std::vector<KindEntry> kinds_;
  std::int64_t free_total_ = 0;
  std::vector<std::pair<std::size_t, std::int64_t>> plan_;  // node, workers; kept to save allocations
};

}  // namespace centrale
