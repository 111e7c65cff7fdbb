// SPDX-License-Identifier: Apache-2.0
// The chips that can be given out now, indexed so that the best-fitting node is found without a scan. What it answers
// depends only on what is free, never on the order in which it became free: a restored snapshot decides alike.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.hpp"
#include "base/units.hpp"

namespace centrale {

using KindIndex = std::uint8_t;   // into the core's table of chip kinds
using KindMask = std::uint64_t;
inline constexpr KindMask kAnyKind = ~KindMask{0};
inline constexpr std::size_t kKindsMax = 64;  // a mask fits one word
inline constexpr std::size_t kChipsPerNodeMax = 4096;

/// A set of small integers with find-first in O(log64 n) and no allocation after growth.
class IndexSet {
 public:
  void grow(std::size_t size);
  void insert(std::size_t index);
  void erase(std::size_t index);
  [[nodiscard]] bool contains(std::size_t index) const;
  /// The smallest member >= from.
  [[nodiscard]] std::optional<std::size_t> next(std::size_t from) const;
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  std::vector<std::vector<std::uint64_t>> levels_;  // levels_[0] holds the members
  std::size_t capacity_ = 0;
  std::size_t count_ = 0;
};

/// One worker's place.
struct Slot {
  std::size_t node = 0;  // index, as given by add_node
  KindIndex kind = 0;
};

class Pool {
 public:
  /// Chips of one node become known; they are not free until `release`d. Returns the node's index.
  std::size_t add_node(ChipId first, const std::vector<KindIndex>& chip_kinds, Bytes memory);
  /// Only chips of schedulable nodes are offered.
  void set_schedulable(std::size_t node, bool schedulable);
  void release(ChipId chip);
  void withdraw(ChipId chip);  // takes a free chip out (it failed, or a snapshot says that it is held)
  void take_memory(std::size_t node, Bytes amount);
  void return_memory(std::size_t node, Bytes amount);
  [[nodiscard]] std::size_t node_of(ChipId chip) const;
  [[nodiscard]] KindIndex kind_of(ChipId chip) const;
  [[nodiscard]] bool is_free(ChipId chip) const;
  [[nodiscard]] std::int64_t free_chips(KindIndex kind) const;

  /// Could a gang run if every chip of every schedulable node were free?
  [[nodiscard]] bool could_ever_fit(KindMask kinds, std::int64_t workers, std::int64_t chips, Bytes memory) const;
  /// Places a gang now: all workers on chips of one kind; on one node if one has room (the fullest that does), else
  /// on as few nodes as can be. Appends workers x chips ids to `out` and takes them, or changes nothing and returns false.
  bool place(KindMask kinds, std::int64_t workers, std::int64_t chips, Bytes memory, std::vector<ChipId>& out);

 private:
  struct Node {
    ChipId first;
    std::uint32_t chips = 0;
    bool schedulable = false;
    Bytes memory_free;
    Bytes memory_total;
  };
  /// Nodes by number of chips of one kind: free ones, or all.
  struct Buckets {
    std::vector<IndexSet> by_count;
  };
  struct KindPool {
    std::vector<std::uint32_t> free_count;  // by node
    std::vector<std::uint32_t> usable_count;
    Buckets free;
    Buckets usable;
    std::int64_t free_total = 0;
  };
  void move_node(std::size_t node, KindIndex kind, std::int64_t free_change, std::int64_t usable_change);
  [[nodiscard]] std::int64_t workers_at_most(const KindPool& pool, const Buckets& buckets, std::int64_t chips, Bytes memory,
                                             bool whole_memory, std::int64_t enough) const;
  void take_chips(std::size_t node, KindIndex kind, std::int64_t count, std::vector<ChipId>& out);
  bool place_kind(KindIndex kind, std::int64_t workers, std::int64_t chips, Bytes memory, std::vector<ChipId>& out);

  std::vector<Node> nodes_;
  std::vector<KindPool> kinds_;
  std::vector<std::uint32_t> chip_node_;  // by chip id - 1
  std::vector<KindIndex> chip_kind_;
  std::vector<char> chip_free_;
};

}  // namespace centrale
