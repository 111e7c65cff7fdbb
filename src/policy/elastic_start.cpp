// SPDX-License-Identifier: Apache-2.0
// What starts: those for whom chips were kept, then whatever waits and fits in the chips that are left.
#include <algorithm>
#include <bit>

#include "base/ensure.hpp"
#include "policy/elastic.hpp"

namespace centrale {

namespace {

/// How many that their quota holds back one decision looks past in one lane.
constexpr int kSkipsMax = 1000;

KindMask bit(std::size_t kind) { return KindMask{1} << kind; }

}  // namespace

void ElasticPolicy::decide(Pool& pool, Allowance& allowance, Time now, Decision& out) {
  pool_ = &pool;
  allowance_ = &allowance;
  out_ = &out;
  now_ = now;
  head_changed_ = false;
  settle(pool, now);
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) { free_[kind] = pool.free_of(static_cast<KindIndex>(kind)); }
  for (std::size_t i = pendings_.size(); i-- > 0;) {
    if (pendings_[i].gone) { drop_pending(i, false); }
  }
  count_planned();
  start_pending();
  if (!decided_ || now >= next_round_) {
    decided_ = true;
    if (waiting_ > 0 || !pendings_.empty() || (reshapes() && running_ > 0)) {
      replan();
      next_round_ = now + round_;
    }
  }
  fill();
  set_wake();
}

bool ElasticPolicy::start(Slot slot, KindIndex kind, std::int64_t workers, std::int64_t chips, std::int64_t row, Pending* pending) {
  Item& item = items_[slot];
  const std::int64_t total = workers * chips;
  const bool share = item.work.gang.is_share();
  const std::int64_t mine = unpromised(kind) + (pending != nullptr ? pending->have : 0);
  if (!share && total > mine) { return false; }
  if ((allowance_->kinds_for(item.work.tenant, total, item.work.gang.share_milli) & item.work.kinds.mask & bit(kind)) == 0) {
    return false;
  }
  KindChoice only;
  only.mask = bit(kind);
  Gang gang = item.work.gang;
  gang.workers = workers;
  gang.chips = chips;
  const std::size_t first = out_->chips.size();
  if (!pool_->place(only, kAnyKind, gang, out_->chips)) { return false; }
  const auto placed = std::span(out_->chips).subspan(first);
  const std::int64_t left = pool_->free_of(kind);
  bool steals = free_[kind] - left > mine;  // a share may break a chip that is promised
  for (const ChipId chip : placed) {
    const std::size_t node = pool_->node_of(chip);
    if (pending == nullptr && node < gathering_.size() && gathering_[node] > 0) { steals = true; }
  }
  if (steals) {
    pool_->give_back(placed, gang);
    out_->chips.resize(first);
    return false;
  }
  free_[kind] = left;
  out_->starts.push_back({.task = item.work.task, .first = first, .count = placed.size(), .chips = chips, .row = row});
  allowance_->take(item.work.tenant, kind, total, item.work.gang.share_milli);
  item.phase = Phase::running;
  item.fixed = true;
  item.heir = 0;
  item.chips.assign(placed.begin(), placed.end());
  item.workers = static_cast<std::int32_t>(workers);
  item.per_worker = static_cast<std::int32_t>(chips);
  item.row = row;
  item.since = item.seen = item.saved = now_;
  item.sheltered = pending != nullptr && pending->starving;
  set_chips(item, *pool_);
  if (item.spread != Spread::node) { wide_[kind] = item.spread; }
  Owner& owner = owners_[item.work.owner];
  ++owner.starts;
  owner.failures = 0;
  owner.retry = {};
  --waiting_;
  ++running_;
  return true;
}

void ElasticPolicy::start_pending() {
  for (std::size_t i = 0; i < pendings_.size();) {
    Pending& pending = pendings_[i];
    if (pending.slot != kNoSlot && pending.have >= pending.total() &&
        start(pending.slot, pending.kind, pending.workers, pending.chips, pending.row, &pending)) {
      drop_pending(i, false);
      continue;
    }
    if (pending.starving) {  // until it fits, all that comes free is kept for it
      const std::int64_t more = unpromised(pending.kind);
      pending.have += more;
      reserved_[pending.kind] += more;
      if (more > 0) { continue; }  // try again
    }
    ++i;
  }
}

bool ElasticPolicy::fits(const Lane& lane) const {
  if (lane.gang.is_share()) { return true; }
  for (KindMask left = lane.kinds & existing_; left != 0; left &= left - 1) {
    if (unpromised(static_cast<KindIndex>(std::countr_zero(left))) >= lane.gang.workers * lane.gang.chips) { return true; }
  }
  return false;
}

void ElasticPolicy::push_lane(std::size_t index) {
  Lane& lane = lanes_[index];
  const auto waits = [&](const Lane::Entry& entry) {
    const Item& item = items_[entry.slot];
    return item.phase == Phase::waiting && item.work.task.value == entry.rank.task && !owner_of(item.work.owner).promised;
  };
  while (lane.head < lane.entries.size() && !waits(lane.entries[lane.head])) { ++lane.head; }
  if (lane.head == lane.entries.size()) {
    lane.entries.clear();
    lane.head = 0;
    return;
  }
  heap_.emplace_back(lane.entries[lane.head].rank, index);
  std::push_heap(heap_.begin(), heap_.end(), std::greater{});
}

ElasticPolicy::Tried ElasticPolicy::start_somewhere(Slot slot, const Lane& lane) {
  const Item& item = items_[slot];
  const std::int64_t total = lane.gang.workers * lane.gang.chips;
  KindMask kinds = kinds_for(item, total) & lane.kinds;
  if (kinds == 0) { return Tried::no_quota; }
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
    room_[kind] = item.work.gang.is_share() ? total : unpromised(static_cast<KindIndex>(kind));
  }
  while (kinds != 0) {
    const std::size_t kind = pick_kind(item, kinds, lane.gang.workers, lane.gang.chips);
    if (kind == kKindsMax) { return Tried::no_room; }
    const auto index = static_cast<KindIndex>(kind);
    const std::int64_t row = row_of(item.work, index, lane.gang.workers, lane.gang.chips);
    if (start(slot, index, lane.gang.workers, lane.gang.chips, row, nullptr)) { return Tried::started; }
    kinds &= ~bit(kind);
  }
  return Tried::no_room;
}

void ElasticPolicy::fill() {
  heap_.clear();
  blocked_ = 0;
  Rank first_blocked;
  const auto block = [&](const Rank& rank) {
    if (blocked_ == 0 || rank < first_blocked) {
      blocked_ = rank.task;
      first_blocked = rank;
    }
  };
  for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
    if (lanes_[lane].entries.empty()) { continue; }
    if (fits(lanes_[lane])) {
      push_lane(lane);
    } else {
      const Lane& held = lanes_[lane];
      block(held.entries[std::min(held.head, held.entries.size() - 1)].rank);
    }
  }
  int skips = 0;
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater{});
    const auto [rank, index] = heap_.back();
    heap_.pop_back();
    Lane& lane = lanes_[index];
    if (!fits(lane)) {
      block(rank);
      continue;
    }
    std::size_t at = lane.head;
    for (; at < lane.entries.size(); ++at) {  // past those that their quota holds back
      const Lane::Entry& entry = lane.entries[at];
      const Item& item = items_[entry.slot];
      if (item.phase != Phase::waiting || item.work.task.value != entry.rank.task || owner_of(item.work.owner).promised) { continue; }
      const Tried tried = start_somewhere(entry.slot, lane);
      if (tried == Tried::started) {
        push_lane(index);
        break;
      }
      if (tried == Tried::no_room) {
        block(entry.rank);
        break;
      }
      if (++skips > kSkipsMax) { break; }
    }
  }
}

void ElasticPolicy::rebuild_lanes() {
  if (lanes_.size() > 64 + 2 * waiting_) {  // most are of work that is gone
    lanes_.clear();
    lane_of_.clear();
    for (const auto& [rank, slot] : ranked_) {
      if (items_[slot].phase == Phase::waiting) { find_lane(slot); }
    }
  }
  for (Lane& lane : lanes_) {
    lane.entries.clear();
    lane.head = 0;
  }
  for (const auto& [rank, slot] : ranked_) {
    if (items_[slot].phase == Phase::waiting) { lanes_[items_[slot].lane].entries.push_back({.rank = rank, .slot = slot}); }
  }
}

void ElasticPolicy::set_wake() {
  wake_ = kNever;
  const bool busy = waiting_ > 0 || !pendings_.empty() || (reshapes() && running_ > 0);
  if (busy) { wake_ = std::max(next_round_, now_ + Nanos{1}); }
  out_->wake = wake_;
}

}  // namespace centrale
