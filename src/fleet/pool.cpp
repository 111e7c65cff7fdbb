// SPDX-License-Identifier: Apache-2.0
#include "fleet/pool.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace centrale {

std::size_t Pool::add_node(Bytes memory) {
  nodes_.emplace_back();
  nodes_.back().memory_free = nodes_.back().memory_total = memory;
  topology_.add_node();
  for (auto& kind : kinds_) {
    kind.free_count.resize(nodes_.size(), 0);
    kind.usable_count.resize(nodes_.size(), 0);
  }
  return nodes_.size() - 1;
}

ChipId Pool::add_chip(std::size_t node, KindIndex kind) {
  while (kinds_.size() <= kind) {
    kinds_.emplace_back();
    kinds_.back().free_count.resize(nodes_.size(), 0);
    kinds_.back().usable_count.resize(nodes_.size(), 0);
    // A node without chips of a kind is in its bucket 0, wherever it came from.
    kinds_.back().usable.resize(1);
  }
  chips_.push_back({.node = static_cast<std::uint32_t>(node), .milli = kWholeChip, .kind = kind, .usable = false});
  const ChipId id{chips_.size()};
  nodes_[node].chips.push_back(id);
  return id;
}

void Pool::set_schedulable(std::size_t node, bool schedulable) {
  if (nodes_[node].schedulable == schedulable) { return; }
  const std::int64_t sign = schedulable ? 1 : -1;
  for (auto& kind : kinds_) {
    const std::uint32_t free = kind.free_count[node];
    const std::uint32_t usable = kind.usable_count[node];
    if (kind.usable.size() <= usable) { kind.usable.resize(usable + 1); }
    if (schedulable) {
      kind.usable[usable].insert(node);
    } else {
      kind.usable[usable].erase(node);
      if (positioned(node)) { move_node(kind, node, free, 0); }
    }
    kind.free_total += sign * free;
    kind.usable_total += sign * usable;
    free_total_ += sign * free;
  }
  if (!schedulable) {
    for (const ChipId chip : nodes_[node].chips) { index_shared(chip, false); }
  }
  nodes_[node].schedulable = schedulable;
  if (schedulable) {
    for (const ChipId chip : nodes_[node].chips) { index_shared(chip, true); }
    for (auto& kind : kinds_) {
      if (positioned(node)) { move_node(kind, node, 0, kind.free_count[node]); }
    }
  }
  touch(node);
}

void Pool::move_node(KindEntry& kind, std::size_t node, std::uint32_t from, std::uint32_t to) const {
  if (from == to) { return; }
  const std::size_t position = topology_.position(node);
  if (kind.free.size() <= std::max(from, to)) { kind.free.resize(std::max(from, to) + std::size_t{1}); }
  if (from > 0) { kind.free[from].erase(position); }
  if (to > 0) { kind.free[to].insert(position); }
  for (Rooms& rooms : kind.rooms) { add_rooms(rooms, node, to / rooms.chips - from / rooms.chips); }
}

void Pool::recount(std::size_t node, KindIndex kind_index, std::int64_t free_change, std::int64_t usable_change) {
  KindEntry& kind = kinds_[kind_index];
  std::uint32_t& free = kind.free_count[node];
  std::uint32_t& usable = kind.usable_count[node];
  const auto free_new = static_cast<std::uint32_t>(free + free_change);
  const auto usable_new = static_cast<std::uint32_t>(usable + usable_change);
  if (nodes_[node].schedulable) {
    kind.free_total += free_change;
    free_total_ += free_change;
    if (positioned(node)) { move_node(kind, node, free, free_new); }
    if (usable != usable_new) {
      if (kind.usable.size() <= usable_new) { kind.usable.resize(usable_new + std::size_t{1}); }
      kind.usable[usable].erase(node);
      kind.usable[usable_new].insert(node);
      kind.usable_total += usable_change;
    }
  }
  free = free_new;
  usable = usable_new;
  touch(node);
}

void Pool::index_shared(ChipId id, bool in) {
  const ChipEntry& chip = chip_at(id);
  if (chip.milli <= 0 || chip.milli >= kWholeChip || !chip.usable || !nodes_[chip.node].schedulable) { return; }
  KindEntry& kind = kinds_[chip.kind];
  if (kind.shared.empty()) { kind.shared.resize(kWholeChip); }
  const auto milli = static_cast<std::size_t>(chip.milli);
  if (in) {
    kind.shared[milli].insert(id.value);
    kind.shared_milli.insert(milli);
  } else {
    kind.shared[milli].erase(id.value);
    if (kind.shared[milli].size() == 0) { kind.shared_milli.erase(milli); }
  }
}

/// Returns by how much the node's number of free chips changes; the caller recounts.
std::int64_t Pool::set_milli(ChipId id, std::int64_t milli) {
  ensure(milli >= 0 && milli <= kWholeChip);
  ChipEntry& chip = chips_[id.value - 1];
  const bool was_whole = chip.milli == kWholeChip;
  index_shared(id, false);
  chip.milli = static_cast<std::int16_t>(milli);
  index_shared(id, true);
  if (!chip.usable) { return 0; }
  return (milli == kWholeChip ? 1 : 0) - (was_whole ? 1 : 0);
}

void Pool::set_usable(ChipId id, bool usable) {
  ChipEntry& chip = chips_[id.value - 1];
  if (chip.usable == usable) { return; }
  index_shared(id, false);
  chip.usable = usable;
  index_shared(id, true);
  const std::int64_t change = usable ? 1 : -1;
  recount(chip.node, chip.kind, chip.milli == kWholeChip ? change : 0, change);
}

void Pool::set_free(ChipId id, bool free) {
  const ChipEntry& chip = chip_at(id);
  const std::int64_t change = set_milli(id, free ? kWholeChip : 0);
  recount(chip.node, chip.kind, change, 0);
}

void Pool::set_memory(std::size_t node, Bytes total) {
  nodes_[node].memory_free += total - nodes_[node].memory_total;
  nodes_[node].memory_total = total;
  touch(node);
}
void Pool::take_memory(std::size_t node, Bytes amount) {
  nodes_[node].memory_free -= amount;
  touch(node);
}
void Pool::return_memory(std::size_t node, Bytes amount) {
  nodes_[node].memory_free += amount;
  touch(node);
}

void Pool::set_where(std::size_t node, Where where) { topology_.set_where(node, where); }

void Pool::set_cpu(std::size_t node, std::int64_t milli) {
  nodes_[node].cpu_free += milli - nodes_[node].cpu_total;
  nodes_[node].cpu_total = milli;
  touch(node);
}

void Pool::set_until(std::size_t node, Time until) {
  NodeEntry& entry = nodes_[node];
  const auto is_limited = [&] { return entry.reserved != 0 || entry.until != NodeEntry{}.until; };
  limited_nodes_ -= is_limited() ? 1 : 0;
  entry.until = until;
  limited_nodes_ += is_limited() ? 1 : 0;
}

void Pool::set_reserved(std::size_t node, std::uint64_t reservation) {
  NodeEntry& entry = nodes_[node];
  const auto is_limited = [&] { return entry.reserved != 0 || entry.until != NodeEntry{}.until; };
  limited_nodes_ -= is_limited() ? 1 : 0;
  entry.reserved = reservation;
  limited_nodes_ += is_limited() ? 1 : 0;
}

KindMask Pool::kinds_with_free() const {
  KindMask mask = 0;
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    if (kinds_[kind].free_total > 0 || kinds_[kind].shared_milli.size() > 0) { mask |= KindMask{1} << kind; }
  }
  return mask;
}

Spread Pool::spread(std::span<const ChipId> chips) const {
  Spread spread = Spread::node;
  for (const ChipId chip : chips) { spread = std::max(spread, topology_.between(node_of(chips.front()), node_of(chip))); }
  return spread;
}

/// Takes for `workers` more on the node, or gives back when it is negative, all but chips.
void Pool::charge(std::size_t node, std::int64_t workers, const Gang& gang) {
  NodeEntry& entry = nodes_[node];
  entry.memory_free -= gang.memory * workers;
  entry.cpu_free -= gang.cpu_milli * workers;
  entry.load.add(gang, workers);
  if (gang.apart != 0) {
    auto found = std::ranges::lower_bound(entry.apart, gang.apart, {}, &std::pair<std::uint64_t, std::int64_t>::first);
    if (found == entry.apart.end() || found->first != gang.apart) { found = entry.apart.insert(found, {gang.apart, 0}); }
    found->second += workers;
    ensure(found->second >= 0);
    if (found->second == 0) { entry.apart.erase(found); }
  }
  touch(node);
}

void Pool::take(std::span<const ChipId> chips, const Gang& gang) {
  ensure(static_cast<std::int64_t>(chips.size()) == gang.workers * gang.chips);
  const auto width = static_cast<std::size_t>(gang.chips);
  for (std::size_t i = 0; i < chips.size(); i += width) {
    const ChipEntry& first = chip_at(chips[i]);
    std::int64_t change = 0;
    for (const ChipId chip : chips.subspan(i, width)) {
      const std::int64_t left = chip_at(chip).milli - gang.share_milli;
      ensure(left >= 0 && chip_at(chip).node == first.node && chip_at(chip).kind == first.kind);
      change += set_milli(chip, left);
    }
    charge(first.node, 1, gang);
    recount(first.node, first.kind, change, 0);
  }
}

void Pool::give_back(std::span<const ChipId> chips, const Gang& gang) {
  ensure(static_cast<std::int64_t>(chips.size()) == gang.workers * gang.chips);
  const auto width = static_cast<std::size_t>(gang.chips);
  for (std::size_t i = 0; i < chips.size(); i += width) {
    const ChipEntry& first = chip_at(chips[i]);
    std::int64_t change = 0;
    for (const ChipId chip : chips.subspan(i, width)) { change += set_milli(chip, chip_at(chip).milli + gang.share_milli); }
    charge(first.node, -1, gang);
    recount(first.node, first.kind, change, 0);
  }
}

}  // namespace centrale
