// SPDX-License-Identifier: Apache-2.0
#include "fleet/pool.hpp"

#include <algorithm>
#include <bit>

#include "base/ensure.hpp"

namespace centrale {

void IndexSet::grow(std::size_t size) {
  std::size_t words = (size + 63) / 64;
  for (std::size_t level = 0;; ++level) {
    if (level == levels_.size()) { levels_.emplace_back(); }
    if (levels_[level].size() < words) { levels_[level].resize(std::max(words, levels_[level].size() * 2), 0); }
    if (level > 0) {  // a level that is new must know about the members below it
      for (std::size_t i = 0; i < levels_[level - 1].size(); ++i) {
        if (levels_[level - 1][i] != 0) { levels_[level][i / 64] |= std::uint64_t{1} << (i % 64); }
      }
    }
    if (levels_[level].size() == 1) { return; }
    words = (levels_[level].size() + 63) / 64;
  }
}

void IndexSet::insert(std::size_t index) {
  if (levels_.empty() || index / 64 >= levels_[0].size()) { grow(index + 1); }
  if (contains(index)) { return; }
  ++count_;
  for (auto& level : levels_) {
    level[index / 64] |= std::uint64_t{1} << (index % 64);
    index /= 64;
  }
}

void IndexSet::erase(std::size_t index) {
  if (!contains(index)) { return; }
  --count_;
  for (auto& level : levels_) {
    level[index / 64] &= ~(std::uint64_t{1} << (index % 64));
    if (level[index / 64] != 0) { return; }
    index /= 64;
  }
}

bool IndexSet::contains(std::size_t index) const {
  return !levels_.empty() && index / 64 < levels_[0].size() && ((levels_[0][index / 64] >> (index % 64)) & 1) != 0;
}

std::optional<std::size_t> IndexSet::next(std::size_t from) const {
  std::size_t level = 0;
  std::size_t index = from;
  while (level < levels_.size()) {  // up until a word has a member at or after index …
    if (index / 64 < levels_[level].size()) {
      const std::uint64_t rest = levels_[level][index / 64] >> (index % 64);
      if (rest != 0) {
        index += static_cast<std::size_t>(std::countr_zero(rest));
        while (level > 0) {  // … and down to its first one
          --level;
          index = index * 64 + static_cast<std::size_t>(std::countr_zero(levels_[level][index]));
        }
        return index;
      }
    } else {
      return std::nullopt;
    }
    index = index / 64 + 1;
    ++level;
  }
  return std::nullopt;
}

std::size_t Pool::add_node(Bytes memory) {
  nodes_.push_back({.chips = {}, .schedulable = false, .memory_free = memory, .memory_total = memory});
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
  }
  chips_.push_back({.node = static_cast<std::uint32_t>(node), .kind = kind, .usable = false, .free = true});
  const ChipId id{chips_.size()};
  nodes_[node].chips.push_back(id);
  return id;
}

void Pool::set_schedulable(std::size_t node, bool schedulable) {
  if (nodes_[node].schedulable == schedulable) { return; }
  for (auto& kind : kinds_) {
    const std::uint32_t free = kind.free_count[node];
    const std::uint32_t usable = kind.usable_count[node];
    if (kind.free.size() <= usable) {
      kind.free.resize(usable + 1);
      kind.usable.resize(usable + 1);
    }
    if (schedulable) {
      kind.free[free].insert(node);
      kind.usable[usable].insert(node);
    } else {
      kind.free[free].erase(node);
      kind.usable[usable].erase(node);
    }
    kind.free_total += schedulable ? free : -static_cast<std::int64_t>(free);
    free_total_ += schedulable ? free : -static_cast<std::int64_t>(free);
  }
  nodes_[node].schedulable = schedulable;
}

void Pool::recount(std::size_t node, KindIndex kind_index, std::int64_t free_change, std::int64_t usable_change) {
  KindEntry& kind = kinds_[kind_index];
  const bool indexed = nodes_[node].schedulable;
  std::uint32_t& free = kind.free_count[node];
  std::uint32_t& usable = kind.usable_count[node];
  const auto free_new = static_cast<std::uint32_t>(free + free_change);
  const auto usable_new = static_cast<std::uint32_t>(usable + usable_change);
  if (indexed) {
    const std::size_t largest = std::max({free, usable, free_new, usable_new});
    if (kind.free.size() <= largest) {
      kind.free.resize(largest + 1);
      kind.usable.resize(largest + 1);
    }
    if (free != free_new) {
      kind.free[free].erase(node);
      kind.free[free_new].insert(node);
      kind.free_total += free_change;
      free_total_ += free_change;
    }
    if (usable != usable_new) {
      kind.usable[usable].erase(node);
      kind.usable[usable_new].insert(node);
    }
  }
  free = free_new;
  usable = usable_new;
}

void Pool::set_usable(ChipId id, bool usable) {
  ChipEntry& chip = chips_[id.value - 1];
  if (chip.usable == usable) { return; }
  chip.usable = usable;
  const std::int64_t change = usable ? 1 : -1;
  recount(chip.node, chip.kind, chip.free ? change : 0, change);
}

void Pool::set_free(ChipId id, bool free) {
  ChipEntry& chip = chips_[id.value - 1];
  if (chip.free == free) { return; }
  chip.free = free;
  if (chip.usable) { recount(chip.node, chip.kind, free ? 1 : -1, 0); }
}

void Pool::set_memory(std::size_t node, Bytes total) {
  nodes_[node].memory_free += total - nodes_[node].memory_total;
  nodes_[node].memory_total = total;
}
void Pool::take_memory(std::size_t node, Bytes amount) { nodes_[node].memory_free -= amount; }
void Pool::return_memory(std::size_t node, Bytes amount) { nodes_[node].memory_free += amount; }

KindMask Pool::kinds_with_free() const {
  KindMask mask = 0;
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    if (kinds_[kind].free_total > 0) { mask |= KindMask{1} << kind; }
  }
  return mask;
}

std::int64_t Pool::workers_on(std::size_t node, std::size_t chips, const Gang& gang, bool all_memory) const {
  std::int64_t workers = static_cast<std::int64_t>(chips) / gang.chips;
  if (gang.memory.value > 0) {
    const Bytes room = all_memory ? nodes_[node].memory_total : nodes_[node].memory_free;
    workers = std::min(workers, room.value / gang.memory.value);
  }
  return std::max<std::int64_t>(workers, 0);
}

std::int64_t Pool::workers_fitting(const Buckets& buckets, const Gang& gang, bool all_memory, std::int64_t enough) const {
  std::int64_t workers = 0;
  for (std::size_t count = buckets.size(); count-- > static_cast<std::size_t>(gang.chips) && workers < enough;) {
    if (gang.memory.value == 0) {
      workers += static_cast<std::int64_t>(buckets[count].size()) * (static_cast<std::int64_t>(count) / gang.chips);
      continue;
    }
    for (auto node = buckets[count].next(0); node && workers < enough; node = buckets[count].next(*node + 1)) {
      workers += workers_on(*node, count, gang, all_memory);
    }
  }
  return workers;
}

std::int64_t Pool::workers_ever(const KindChoice& choice, const Gang& gang, std::int64_t enough) const {
  std::int64_t most = 0;
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    if ((choice.mask >> kind & 1) != 0) { most = std::max(most, workers_fitting(kinds_[kind].usable, gang, true, enough)); }
  }
  return most;
}

bool Pool::place(const KindChoice& choice, KindMask allowed, const Gang& gang, std::vector<ChipId>& out) {
  allowed &= choice.mask;
  if (choice.count > 0) {
    for (std::size_t i = 0; i < choice.count; ++i) {
      const KindIndex kind = choice.order[i];
      if (kind < kinds_.size() && (allowed >> kind & 1) != 0 && place_kind(kind, gang, out)) { return true; }
    }
    return false;
  }
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    if ((allowed >> kind & 1) != 0 && place_kind(static_cast<KindIndex>(kind), gang, out)) { return true; }
  }
  return false;
}

std::optional<std::size_t> Pool::best_fit(const KindEntry& kind, std::int64_t workers, const Gang& gang) const {
  for (auto count = static_cast<std::size_t>(workers * gang.chips); count < kind.free.size(); ++count) {
    for (auto node = kind.free[count].next(0); node; node = kind.free[count].next(*node + 1)) {
      if (workers_on(*node, count, gang, false) >= workers) { return node; }
    }
  }
  return std::nullopt;
}

void Pool::take(std::size_t node, KindIndex kind, std::int64_t workers, const Gang& gang, std::vector<ChipId>& out) {
  std::int64_t wanted = workers * gang.chips;
  for (const ChipId id : nodes_[node].chips) {
    if (wanted == 0) { break; }
    const ChipEntry& chip = chip_at(id);
    if (chip.kind == kind && chip.usable && chip.free) {
      set_free(id, false);
      out.push_back(id);
      --wanted;
    }
  }
  ensure(wanted == 0);
  take_memory(node, gang.memory * workers);
}

bool Pool::place_kind(KindIndex index, const Gang& gang, std::vector<ChipId>& out) {
  const KindEntry& kind = kinds_[index];
  if (gang.workers > kind.free_total / gang.chips) { return false; }
  if (const auto node = best_fit(kind, gang.workers, gang)) {
    take(*node, index, gang.workers, gang, out);
    return true;
  }
  if (gang.workers == 1 || workers_fitting(kind.free, gang, false, gang.workers) < gang.workers) { return false; }
  // No node has room for all: the emptiest nodes first, so that the gang spreads over as few as can be; the rest goes where it
  // fits best. Nothing is taken before the plan is whole.
  plan_.clear();
  std::int64_t left = gang.workers;
  for (std::size_t count = kind.free.size(); count-- > static_cast<std::size_t>(gang.chips) && left > 0;) {
    for (auto node = kind.free[count].next(0); node && left > 0; node = kind.free[count].next(*node + 1)) {
      const std::int64_t here = std::min(left, workers_on(*node, count, gang, false));
      if (here > 0) {
        plan_.emplace_back(*node, here);
        left -= here;
      }
    }
  }
  ensure(left == 0);
  const std::int64_t last = plan_.back().second;
  for (std::size_t i = 0; i + 1 < plan_.size(); ++i) { take(plan_[i].first, index, plan_[i].second, gang, out); }
  take(best_fit(kind, last, gang).value(), index, last, gang, out);
  return true;
}

}  // namespace centrale
