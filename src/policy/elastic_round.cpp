// SPDX-License-Identifier: Apache-2.0
// One round: who is considered, what the subclass wants, and what is stopped for it.
#include <algorithm>
#include <bit>
#include <cmath>

#include "base/ensure.hpp"
#include "policy/elastic.hpp"

namespace centrale {

namespace {

/// Chips looked at for victims in one round, so that a decision stays short; what is left out is looked at in the next.
constexpr std::int64_t kVisitsMax = 200'000;
/// Gangs that starve and are fed in one round.
constexpr std::size_t kFedMax = 256;

KindMask bit(std::size_t kind) { return KindMask{1} << kind; }
KindChoice only(KindIndex kind) {
  KindChoice choice;
  choice.mask = bit(kind);
  return choice;
}

}  // namespace

bool ElasticPolicy::stoppable(const Item& item, bool starving) const {
  if (item.phase != Phase::running || item.rigid()) { return false; }
  if (item.sheltered && now_ - item.since < std::max(round_, Nanos{10 * item.work.restart_cost.value})) { return false; }
  return starving || (!item.kept && now_ - item.since >= std::max(round_, Nanos{4 * item.work.restart_cost.value}));
}

void ElasticPolicy::count_item(Slot slot) {
  Item& item = items_[slot];
  item.kept = false;
  item.target = -1;
  item.fixed = false;
  if (item.phase == Phase::stopping) {
    room_[item.kind] += item.held();
    if (item.heir == 0) { coming_[item.kind].push_back(slot); }
  } else if (item.phase == Phase::running) {
    if (item.rigid()) { return; }
    item.fixed = !stoppable(item, false);
    if (!item.fixed) { room_[item.kind] += item.held(); }
    jobs_.push_back(slot);
  } else if (item.phase == Phase::waiting) {
    item.fixed = owner_of(item.work.owner).promised;
    if (!item.fixed && now_ - item.work.queued >= starvation_) { starving_.push_back(slot); }
    jobs_.push_back(slot);
  }
}

void ElasticPolicy::count_room() {
  jobs_.clear();
  starving_.clear();
  for (auto& coming : coming_) { coming.clear(); }
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
    room_[kind] = free_[kind];
    const std::int64_t usable = pool_->usable_of(static_cast<KindIndex>(kind));
    if (usable == usable_[kind]) { continue; }
    usable_[kind] = usable;
    existing_ = usable > 0 ? existing_ | bit(kind) : existing_ & ~bit(kind);
    Gang worker;
    node_chips_[kind] = 0;
    for (std::int32_t step = 4096; step > 0; step /= 2) {
      worker.chips = node_chips_[kind] + step;
      if (usable > 0 && pool_->workers_ever(only(static_cast<KindIndex>(kind)), worker, 1) > 0) { node_chips_[kind] += step; }
    }
  }
  for (Slot slot = 0; slot < items_.size(); ++slot) { count_item(slot); }
  for (const Pending& pending : pendings_) { room_[pending.kind] -= pending.total(); }
  std::ranges::sort(starving_, {}, [&](Slot slot) {
    const Work& work = items_[slot].work;
    return std::tuple(work.queued, work.order, work.task);
  });
  for (auto& coming : coming_) {
    std::ranges::sort(coming, {}, [&](Slot slot) { return items_[slot].work.task; });
  }
}

void ElasticPolicy::lapse() {
  for (std::size_t i = pendings_.size(); i-- > 0;) {
    const Pending& pending = pendings_[i];
    if (pending.starving ? false : now_ >= pending.until) { drop_pending(i, pending.slot != kNoSlot && pending.owed <= 0); }
  }
  for (Item& item : items_) {  // what was to stop for those that are gone is anybody's
    if (item.phase == Phase::stopping && item.heir != 0 && !owner_of(item.heir).promised) { item.heir = 0; }
  }
}

void ElasticPolicy::count_planned() {
  planned_.clear();
  for (const Pending& pending : pendings_) {
    if (pending.slot != kNoSlot) { planned_[items_[pending.slot].work.tenant.value] += pending.total(); }
  }
}

KindMask ElasticPolicy::kinds_for(const Item& item, std::int64_t chips) const {
  const auto planned = planned_.find(item.work.tenant.value);
  const std::int64_t more = planned == planned_.end() ? chips : chips + planned->second;
  return item.work.kinds.mask & existing_ & allowance_->kinds_for(item.work.tenant, more, item.work.gang.share_milli);
}

std::size_t ElasticPolicy::pick_kind(const Item& item, KindMask kinds, std::int64_t workers, std::int64_t chips) const {
  std::size_t best = kKindsMax;
  std::tuple<double, bool, std::int64_t> best_worth;
  for (KindMask left = kinds; left != 0; left &= left - 1) {
    const auto kind = static_cast<std::size_t>(std::countr_zero(left));
    const auto index = static_cast<KindIndex>(kind);
    if (room_[kind] < workers * chips) { continue; }
    double liked = 0;
    if (item.work.speed != nullptr && minds_speed()) {
      liked = rate_in(item.work, index, workers, chips);
      if (liked <= 0 && row_of(item.work, index, item.work.gang.workers, item.work.gang.chips) < 0) { liked = -1; }
    } else {
      for (std::uint8_t i = 0; i < item.work.kinds.count; ++i) {
        if (item.work.kinds.order[i] == kind) { liked = static_cast<double>(item.work.kinds.count - i); }
      }
    }
    const std::tuple worth{liked, unpromised(index) >= workers * chips, room_[kind]};
    if (best == kKindsMax || worth > best_worth) {
      best = kind;
      best_worth = worth;
    }
  }
  return best;
}

void ElasticPolicy::add_target(const Target& target) {
  Item& item = items_[target.slot];
  item.target = static_cast<std::int32_t>(targets_.size());
  room_[target.kind] -= target.total();
  if (item.phase == Phase::waiting) {
    planned_[item.work.tenant.value] += target.total();
  } else if (same_shape(item, target)) {
    item.kept = true;
  }
  targets_.push_back(target);
}

void ElasticPolicy::keep(Slot slot) {
  const Item& item = items_[slot];
  add_target({.slot = slot, .kind = item.kind, .workers = item.workers, .chips = item.per_worker, .row = item.row});
}

void ElasticPolicy::rank_all() {
  ranked_.clear();
  for (const Slot slot : jobs_) {
    if (items_[slot].phase != Phase::stopping) { ranked_.emplace_back(rank_of(items_[slot], now_), slot); }
  }
  std::sort(ranked_.begin(), ranked_.end());
}

std::int64_t ElasticPolicy::most_room() const {
  std::int64_t most = 0;
  for (KindMask left = existing_; left != 0; left &= left - 1) {
    most = std::max(most, room_[static_cast<std::size_t>(std::countr_zero(left))]);
  }
  return most;
}

void ElasticPolicy::choose_in_order(std::span<const Slot> sorted) {
  std::int64_t most = most_room();
  for (const Slot slot : sorted) {
    if (most <= 0) { return; }
    const Item& item = items_[slot];
    if (item.fixed || item.target >= 0 || item.phase == Phase::stopping) { continue; }
    if (item.phase == Phase::running) {
      if (room_[item.kind] >= item.held()) { keep(slot); }
    } else {
      const Ask asked = ask(item.work);
      const std::int64_t total = std::int64_t{asked.workers} * asked.chips;
      if (total > most) { continue; }
      const KindMask kinds = kinds_for(item, total) & asked.kinds;
      const std::size_t kind = pick_kind(item, kinds, asked.workers, asked.chips);
      if (kind == kKindsMax) { continue; }
      const auto index = static_cast<KindIndex>(kind);
      add_target({.slot = slot,
                  .kind = index,
                  .workers = asked.workers,
                  .chips = asked.chips,
                  .row = row_of(item.work, index, asked.workers, asked.chips)});
    }
    most = most_room();
  }
}

void ElasticPolicy::choose_all() {
  jobs_.clear();
  for (const auto& [rank, slot] : ranked_) { jobs_.push_back(slot); }
  const auto alike = [&](std::size_t a, std::size_t b) {
    const Rank &one = ranked_[a].first, &other = ranked_[b].first;
    return one.place == other.place && one.priority == other.priority;
  };
  for (std::size_t from = 0; from < jobs_.size();) {
    std::size_t to = from;
    while (to < jobs_.size() && (alike(from, to) || (ranked_[from].first.place == 0 && ranked_[to].first.place == 0))) { ++to; }
    const auto items = std::span<const Slot>(jobs_).subspan(from, to - from);
    if (ranked_[from].first.place == 0) {
      choose_in_order(items);
    } else {
      choose(items, now_);
    }
    from = to;
  }
}

void ElasticPolicy::collect_victims() {
  victims_.resize(kKindsMax);
  for (Victims& victims : victims_) {
    victims.all.clear();
    for (auto& list : victims.by_need) { list.clear(); }
  }
  for (Slot slot = 0; slot < items_.size(); ++slot) {
    if (stoppable(items_[slot], true)) { victims_[items_[slot].kind].all.push_back(slot); }
  }
}

const std::vector<ElasticPolicy::Slot>& ElasticPolicy::victims(KindIndex kind, std::int64_t need) {
  Victims& known = victims_[kind];
  const auto octave = std::min<std::size_t>(19, static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(need - 1))));
  auto& list = known.by_need[octave];
  if (!list.empty() || known.all.empty()) { return list; }
  struct Key {
    double loss;
    std::uint64_t task;
    Slot slot;
  };
  std::vector<Key> keys;
  for (const Slot slot : known.all) {
    const Item& item = items_[slot];
    const auto useful = static_cast<double>(std::min(item.held(), std::int64_t{1} << octave));
    keys.push_back({loss_s(item, now_) * static_cast<double>(item.held()) / useful, item.work.task.value, slot});
  }
  // Of those that lose alike, the last that came.
  std::ranges::sort(keys, [](const Key& a, const Key& b) { return a.loss != b.loss ? a.loss < b.loss : a.task > b.task; });
  for (const Key& key : keys) { list.push_back(key.slot); }
  return list;
}

void ElasticPolicy::add_freed(const Item& item, const Pending& pending, std::int64_t sign) {
  for (const ChipId chip : item.chips) {
    const std::size_t node = pool_->node_of(chip);
    if (node_extra_.size() <= node) { node_extra_.resize(node + 1, 0); }
    if (gathering_.size() <= node) { gathering_.resize(node + 1, 0); }
    const std::int64_t free = pool_->free_on(node, pending.kind);
    if (free < 0 || gathering_[node] > 0) { continue; }
    if (node_extra_[node] == 0) { node_touched_.push_back(static_cast<std::uint32_t>(node)); }
    const std::int64_t before = (free + node_extra_[node]) / pending.chips;
    node_extra_[node] += sign;
    workers_gained_ += (free + node_extra_[node]) / pending.chips - before;
  }
  visits_left_ -= item.held();
}

bool ElasticPolicy::acquire(Pending& pending, Slot own) {
  std::int64_t missing = pending.total() - pending.have - pending.owed;
  const std::int64_t free = std::clamp<std::int64_t>(missing, 0, unpromised(pending.kind));
  missing -= free;
  scratch_.clear();
  node_touched_.clear();
  workers_gained_ = 0;
  Gang gang;
  gang.workers = pending.workers;
  gang.chips = pending.chips;
  const std::int64_t room = pending.chips == 1 ? pending.workers : pool_->workers_now(only(pending.kind), kAnyKind, gang, gang.workers);
  for (const std::uint32_t node : pending.nodes) { --gathering_[node]; }
  const auto enough = [&] { return missing <= 0 && room + workers_gained_ >= pending.workers; };
  if (own != kNoSlot && items_[own].kind == pending.kind) {
    missing -= items_[own].held();
    add_freed(items_[own], pending, 1);
  }
  for (const Slot slot : coming_[pending.kind]) {
    if (enough()) { break; }
    if (items_[slot].heir != 0 || items_[slot].phase != Phase::stopping) { continue; }
    scratch_.push_back(slot);
    missing -= items_[slot].held();
    add_freed(items_[slot], pending, 1);
  }
  if (!enough() && (pending.starving || owner_of(pending.owner).retry <= now_)) {
    for (const Slot slot : victims(pending.kind, std::max<std::int64_t>(missing, pending.chips))) {
      --visits_left_;
      if (enough() || visits_left_ <= 0) { break; }
      const Item& item = items_[slot];
      if (slot == own || !stoppable(item, pending.starving) || item.work.owner == pending.owner) { continue; }
      scratch_.push_back(slot);
      missing -= item.held();
      add_freed(item, pending, 1);
    }
  }
  const bool found = enough();
  for (std::size_t i = scratch_.size(); found && i-- > 0;) {  // only as much as is needed
    const Item& item = items_[scratch_[i]];
    missing += item.held();
    add_freed(item, pending, -1);
    if (enough()) {
      scratch_.erase(scratch_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      missing -= item.held();
      add_freed(item, pending, 1);
    }
  }
  for (const std::uint32_t node : pending.nodes) { ++gathering_[node]; }
  if (found) { claim(pending, free); }
  for (const std::uint32_t node : node_touched_) { node_extra_[node] = 0; }
  return found;
}

void ElasticPolicy::claim(Pending& pending, std::int64_t free) {
  pending.have += free;
  reserved_[pending.kind] += free;
  pending.until = now_ + round_;
  for (const Slot slot : scratch_) {
    pending.owed += items_[slot].held();
    tell_to_stop(slot, StopReason::preempted, pending.owner);
  }
  if (pending.chips == 1) { return; }
  for (const std::uint32_t node : node_touched_) {
    const std::int64_t extra = node_extra_[node];
    node_extra_[node] = 0;  // a node may be listed twice
    if (extra <= 0 || (pool_->free_on(node, pending.kind) + extra) / pending.chips == 0) { continue; }
    if (std::ranges::find(pending.nodes, node) != pending.nodes.end()) { continue; }
    pending.nodes.push_back(node);
    ++gathering_[node];
  }
}

void ElasticPolicy::tell_to_stop(Slot slot, StopReason why, std::uint64_t heir) {
  Item& item = items_[slot];
  item.heir = heir;
  if (item.phase == Phase::stopping) { return; }
  out_->stops.push_back({item.work.task, why});
  item.phase = Phase::stopping;
  item.told = now_;
}

void ElasticPolicy::promise(Pending pending) {
  owners_[pending.owner].promised = true;
  pendings_.push_back(std::move(pending));
}

void ElasticPolicy::feed(Slot slot) {
  const Item& item = items_[slot];
  const Ask asked = ask(item.work);
  const std::int64_t total = std::int64_t{asked.workers} * asked.chips;
  const KindMask kinds = kinds_for(item, total) & asked.kinds & ~gathered_;
  std::vector<std::pair<std::int64_t, KindIndex>> reach;  // chips that could be had, most first
  for (KindMask left = kinds; left != 0; left &= left - 1) {
    const auto kind = static_cast<KindIndex>(std::countr_zero(left));
    if (unpromised(kind) >= total &&
        start(slot, kind, asked.workers, asked.chips, row_of(item.work, kind, asked.workers, asked.chips), nullptr)) {
      items_[slot].sheltered = true;
      room_[kind] -= total;
      return;
    }
    Gang gang = item.work.gang;
    gang.workers = asked.workers;
    gang.chips = asked.chips;
    if (pool_->workers_ever(only(kind), gang, gang.workers) < gang.workers) { continue; }
    std::int64_t chips = unpromised(kind);
    for (const Slot other : victims_[kind].all) { chips += stoppable(items_[other], true) ? items_[other].held() : 0; }
    for (const Slot other : coming_[kind]) { chips += items_[other].heir == 0 ? items_[other].held() : 0; }
    reach.emplace_back(-chips, kind);
  }
  std::ranges::sort(reach);
  Pending pending;
  pending.owner = item.work.owner;
  pending.slot = slot;
  pending.workers = asked.workers;
  pending.chips = asked.chips;
  pending.starving = true;
  items_[slot].fixed = true;
  for (const auto& [chips, kind] : reach) {
    pending.kind = kind;
    pending.row = row_of(item.work, kind, asked.workers, asked.chips);
    if (-chips < total || !acquire(pending, kNoSlot)) { continue; }
    room_[kind] -= total;
    promise(pending);
    return;
  }
  if (reach.empty()) {
    items_[slot].fixed = false;
    return;
  }
  pending.kind = reach.front().second;  // what comes free is kept for it
  pending.row = row_of(item.work, pending.kind, asked.workers, asked.chips);
  pending.have = std::min(total, unpromised(pending.kind));
  reserved_[pending.kind] += pending.have;
  gathered_ |= bit(pending.kind);
  room_[pending.kind] -= total;
  promise(pending);
}

void ElasticPolicy::top_up() {
  gathered_ = 0;
  for (Pending& pending : pendings_) {
    if (!pending.starving || pending.owed > 0) { continue; }
    if (!acquire(pending, kNoSlot)) { gathered_ |= bit(pending.kind); }
  }
}

void ElasticPolicy::feed_starving() {
  top_up();
  for (std::size_t i = 0; i < std::min(starving_.size(), kFedMax); ++i) { feed(starving_[i]); }
}

void ElasticPolicy::carry_out(const Target& target) {
  Item& item = items_[target.slot];
  if (item.kept || item.fixed || item.phase == Phase::stopping || item.phase == Phase::none) { return; }
  Pending pending;
  pending.owner = item.work.owner;
  pending.kind = target.kind;
  pending.workers = target.workers;
  pending.chips = target.chips;
  pending.row = target.row;
  if (item.phase == Phase::waiting) {
    if (start(target.slot, target.kind, target.workers, target.chips, target.row, nullptr)) { return; }
    pending.slot = target.slot;
    if (acquire(pending, kNoSlot)) { promise(pending); }
    return;
  }
  if (!stoppable(item, false) || !worth_moving(item, target, now_)) { return; }  // it stays, unless its chips are needed
  if (!acquire(pending, target.slot)) { return; }
  const bool same_kind = item.kind == target.kind;
  if (same_kind) { pending.owed += item.held(); }
  promise(pending);
  tell_to_stop(target.slot, target.total() == item.held() ? StopReason::moved : StopReason::resized, same_kind ? pending.owner : 0);
  if (!same_kind) { coming_[item.kind].push_back(target.slot); }
}

void ElasticPolicy::carry_out() {
  for (std::size_t i = 0; i < targets_.size(); ++i) { carry_out(targets_[i]); }
  // Those that were to run elsewhere for no gain of their own, and had to make room, go there.
  for (const Target& target : targets_) {
    const Item& item = items_[target.slot];
    if (item.phase != Phase::stopping || item.told != now_ || owner_of(item.work.owner).promised) { continue; }
    Pending pending;
    pending.owner = item.work.owner;
    pending.kind = target.kind;
    pending.workers = target.workers;
    pending.chips = target.chips;
    pending.row = target.row;
    if (acquire(pending, kNoSlot)) { promise(pending); }
  }
}

void ElasticPolicy::replan() {
  lapse();
  freeze(now_);
  count_room();
  count_planned();
  targets_.clear();
  visits_left_ = kVisitsMax;
  collect_victims();
  feed_starving();
  rank_all();
  choose_all();
  carry_out();
  count_planned();
  rebuild_lanes();
}

}  // namespace centrale
