// SPDX-License-Identifier: Apache-2.0
// The books of work that waits and runs, and what is known of it.
#include "policy/elastic.hpp"

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"

namespace centrale {

namespace {

constexpr Nanos kStarvation = seconds(24 * 3600);
/// How much one observed stop counts in the mean of their lengths.
constexpr double kStopWeight = 0.125;

}  // namespace

ElasticPolicy::ElasticPolicy(const Scheduling& scheduling, Nanos round)
    : round_(scheduling.round.value > 0 ? scheduling.round : round),
      starvation_(scheduling.starvation_after.value > 0 ? scheduling.starvation_after : kStarvation) {
  wide_.fill(Spread::domain);
}

ElasticPolicy::Ask ElasticPolicy::ask(const Work& work) const {
  return {.workers = static_cast<std::int32_t>(work.gang.workers),
          .chips = static_cast<std::int32_t>(work.gang.chips),
          .kinds = work.kinds.mask};
}

ElasticPolicy::Item* ElasticPolicy::find(TaskId task) {
  const auto found = index_.find(task);
  return found == index_.end() ? nullptr : &items_[found->second];
}

const ElasticPolicy::Owner& ElasticPolicy::owner_of(std::uint64_t owner) const {
  static const Owner kNew;
  const auto found = owners_.find(owner);
  return found == owners_.end() ? kNew : found->second;
}

std::vector<ElasticPolicy::Promise> ElasticPolicy::promises() const {
  std::vector<Promise> all;
  for (const Pending& pending : pendings_) {
    if (pending.slot != kNoSlot) { all.push_back({.slot = pending.slot, .kind = pending.kind, .chips = pending.total()}); }
  }
  return all;
}

ElasticPolicy::Slot ElasticPolicy::occupy(const Work& work) {
  ensure(work.task);
  Slot slot = static_cast<Slot>(items_.size());
  if (vacant_.empty()) {
    items_.emplace_back();
  } else {
    slot = vacant_.back();
    vacant_.pop_back();
  }
  Item& item = items_[slot];
  std::vector<ChipId> chips = std::move(item.chips);  // its memory is used again
  chips.clear();
  item = {};
  item.chips = std::move(chips);
  item.work = work;
  item.left = work.work_left;
  item.seen = item.saved = work.queued;
  ensure(index_.emplace(work.task, slot).second);
  return slot;
}

void ElasticPolicy::vacate(Slot slot) {
  Item& item = items_[slot];
  index_.erase(item.work.task);
  item.phase = Phase::none;
  item.work.speed.reset();
  vacant_.push_back(slot);
}

ElasticPolicy::Pending* ElasticPolicy::pending_of(std::uint64_t owner) {
  if (!owner_of(owner).promised) { return nullptr; }
  const auto found = std::ranges::find(pendings_, owner, &Pending::owner);
  ensure(found != pendings_.end());
  return &*found;
}

std::int64_t ElasticPolicy::unpromised(KindIndex kind) const { return std::max<std::int64_t>(0, free_[kind] - reserved_[kind]); }

ElasticPolicy::Rank ElasticPolicy::rank_of(const Item& item, Time now) const {
  return {.place = item.work.service ? 0 : 1,
          .priority = item.work.service || by_priority() ? -item.work.priority : 0,
          .major = item.work.service ? 0 : major(item, now),
          .order = item.work.order,
          .task = item.work.task.value};
}

void ElasticPolicy::find_lane(Slot slot) {
  const Work& work = items_[slot].work;
  const Ask asked = ask(work);
  Gang shape = work.gang;
  shape.workers = asked.workers;
  shape.chips = asked.chips;
  auto& alike = lane_of_[LaneKey{asked.kinds, asked.workers, asked.chips, shape.memory.value, shape.cpu_milli, shape.share_milli}];
  auto found = std::ranges::find_if(alike, [&](std::size_t lane) { return lanes_[lane].gang == shape; });
  if (found == alike.end()) {
    alike.push_back(lanes_.size());
    found = alike.end() - 1;
    lanes_.emplace_back().gang = shape;
    lanes_.back().kinds = asked.kinds;
  }
  items_[slot].lane = static_cast<std::uint32_t>(*found);
}

void ElasticPolicy::insert_in_lane(Slot slot, const Rank& rank) {
  Lane& lane = lanes_[items_[slot].lane];
  const auto from = lane.entries.begin() + static_cast<std::ptrdiff_t>(lane.head);
  const auto place =
      lane.entries.empty() || lane.entries.back().rank < rank
          ? lane.entries.end()
          : std::lower_bound(from, lane.entries.end(), rank, [](const auto& entry, const Rank& r) { return entry.rank < r; });
  lane.entries.insert(place, {.rank = rank, .slot = slot});
}

void ElasticPolicy::enqueue(const Work& work) {
  const Slot slot = occupy(work);
  Item& item = items_[slot];
  item.phase = Phase::waiting;
  ++waiting_;
  if (Pending* pending = pending_of(work.owner)) {
    pending->slot = slot;
    pending->gone = false;
    head_changed_ = true;
  }
  find_lane(slot);
  insert_in_lane(slot, rank_of(item, now_));
  if (!decided_ || wake_ == kNever) {
    head_changed_ = true;
    return;
  }
  const Ask asked = ask(work);
  for (std::size_t kind = 0; kind < kKindsMax && !head_changed_; ++kind) {
    if ((existing_ & asked.kinds & KindMask{1} << kind) == 0) { continue; }
    head_changed_ = work.gang.is_share() || std::int64_t{asked.workers} * asked.chips <= unpromised(static_cast<KindIndex>(kind));
  }
}

void ElasticPolicy::drop_pending(std::size_t index, bool failed) {
  Pending& pending = pendings_[index];
  Owner& owner = owners_[pending.owner];
  owner.promised = false;
  if (failed) {  // whatever keeps it from being placed, stopping others does not help: try more and more rarely
    owner.failures = std::min(owner.failures + 1, 6);
    owner.retry = now_ + Nanos{round_.value << owner.failures};
  }
  reserved_[pending.kind] -= pending.have;
  for (const std::uint32_t node : pending.nodes) { --gathering_[node]; }
  pendings_.erase(pendings_.begin() + static_cast<std::ptrdiff_t>(index));
}

void ElasticPolicy::dequeue(const Work& work) {
  const auto found = index_.find(work.task);
  ensure(found != index_.end() && items_[found->second].phase == Phase::waiting);
  if (const Pending* pending = pending_of(work.owner)) {
    drop_pending(static_cast<std::size_t>(pending - pendings_.data()), false);
    head_changed_ = true;  // what was kept for it is free for others
  }
  if (blocked_ == work.task.value) { blocked_ = 0; }
  --waiting_;
  vacate(found->second);
  owners_.erase(work.owner);
  departed(work.owner);
}

void ElasticPolicy::adopt(const Work& work, std::span<const ChipId> chips, std::int64_t chips_per_worker, std::int64_t row, Time since) {
  ensure(!chips.empty() && chips_per_worker > 0);
  const Slot slot = occupy(work);
  Item& item = items_[slot];
  item.phase = Phase::running;
  item.settled = false;
  item.chips.assign(chips.begin(), chips.end());
  item.per_worker = static_cast<std::int32_t>(chips_per_worker);
  item.workers = static_cast<std::int32_t>(item.held() / chips_per_worker);
  item.row = row;
  item.since = item.seen = item.saved = since;
  ++running_;
  unsettled_.push_back(work.task);
}

void ElasticPolicy::set_chips(Item& item, const Pool& pool) {
  item.kind = pool.kind_of(item.chips.front());
  item.spread = item.chips.size() == 1 ? Spread::node : pool.spread(item.chips);
  item.settled = true;
}

void ElasticPolicy::stopping(TaskId task) {
  Item* item = find(task);
  if (item == nullptr || item->phase != Phase::running) { return; }
  item->phase = Phase::stopping;  // by someone else: how long that takes is not ours to learn
}

void ElasticPolicy::ended(TaskId task) {
  const auto found = index_.find(task);
  ensure(found != index_.end());
  Item& item = items_[found->second];
  const bool stopped = item.phase == Phase::stopping;
  ended_.push_back({.work = item.work,
                    .since = item.since,
                    .told = item.told,
                    .attained_before = to_seconds(item.work.attained),
                    .chips = item.held(),
                    .stopped = stopped});
  if (item.heir != 0) {
    if (Pending* pending = pending_of(item.heir)) {
      pending->owed -= item.held();
      const std::int64_t given = std::min(item.held(), pending->total() - pending->have);
      pending->have += given;
      reserved_[pending->kind] += given;
    }
  }
  if (Pending* pending = pending_of(item.work.owner)) { pending->gone = true; }  // unless it is queued again before the next decision
  if (!stopped && !owner_of(item.work.owner).promised) {
    owners_.erase(item.work.owner);
    departed(item.work.owner);
  }
  --running_;
  vacate(found->second);
}

void ElasticPolicy::progressed(TaskId task, double work_left, Time now, Time saved) {
  Item* item = find(task);
  if (item == nullptr || item->phase != Phase::running || work_left < 0) { return; }
  item->left = work_left;
  item->seen = now;
  item->saved = std::max(item->saved, saved);
}

void ElasticPolicy::respeed(TaskId task, std::shared_ptr<const SpeedTable> speed) {
  if (Item* item = find(task)) { item->work.speed = std::move(speed); }
}

void ElasticPolicy::settle(const Pool& pool, Time now) {
  for (const TaskId task : unsettled_) {
    if (Item* item = find(task); item != nullptr && !item->settled) { set_chips(*item, pool); }
  }
  unsettled_.clear();
  for (const Ended& ended : ended_) {
    if (ended.stopped) {
      if (ended.told.ns > 0) { stop_s_ += kStopWeight * (to_seconds(now - ended.told) - stop_s_); }
    } else if (!ended.work.service) {
      const double before = ended.attained_before / static_cast<double>(std::max<std::int64_t>(1, ended.work.chips_total()));
      learn(ended.work, before + to_seconds(now - ended.since));
    }
  }
  ended_.clear();
  if (owners_.size() > 2 * index_.size() + 4096) {  // of jobs that were cancelled while they stopped
    std::unordered_map<std::uint64_t, Owner> live;
    for (const Item& item : items_) {
      if (item.phase == Phase::none) { continue; }
      if (const auto found = owners_.find(item.work.owner); found != owners_.end()) { live.insert(*found); }
    }
    for (const Pending& pending : pendings_) { live.insert(*owners_.find(pending.owner)); }
    for (const auto& [owner, known] : owners_) {
      if (!live.contains(owner)) { departed(owner); }
    }
    owners_ = std::move(live);
  }
}

double ElasticPolicy::rate_in(const Work& work, KindIndex kind, std::int64_t workers, std::int64_t chips) const {
  if (work.speed == nullptr) { return 0; }
  for (const Shape& shape : work.speed->shapes) {
    if (shape.kind == kind && shape.workers == workers && shape.chips == chips) {
      return static_cast<double>(shape.rate[static_cast<std::size_t>(likely_spread(kind, workers * chips))]);
    }
  }
  return 0;
}

std::int64_t ElasticPolicy::row_of(const Work& work, KindIndex kind, std::int64_t workers, std::int64_t chips) const {
  if (work.speed == nullptr) { return -1; }
  for (const Shape& shape : work.speed->shapes) {
    if (shape.kind == kind && shape.workers == workers && shape.chips == chips) { return shape.row; }
  }
  return -1;
}

Spread ElasticPolicy::likely_spread(KindIndex kind, std::int64_t total) const {
  return total <= node_chips_[kind] ? Spread::node : wide_[kind];
}

double ElasticPolicy::rate(const Item& item) const {
  if (item.work.speed == nullptr) { return item.work.work_left > 0 ? 1 : 0; }  // seconds as asked
  for (const Shape& shape : item.work.speed->shapes) {
    if (shape.kind == item.kind && shape.workers == item.workers && shape.chips == item.per_worker) {
      return static_cast<double>(shape.rate[static_cast<std::size_t>(item.spread)]);
    }
  }
  return 0;
}

double ElasticPolicy::work_left(const Item& item, Time now) const {
  if (item.phase == Phase::waiting) { return item.left; }
  const Time from = std::max(item.seen, item.since + item.work.restart_cost);
  return now <= from ? item.left : std::max(0.0, item.left - rate(item) * to_seconds(now - from));
}

double ElasticPolicy::attained(const Item& item, Time now) const {
  const double before = to_seconds(item.work.attained);
  return item.phase == Phase::waiting ? before : before + static_cast<double>(item.held()) * to_seconds(now - item.since);
}

double ElasticPolicy::loss_s(const Item& item, Time now) const {
  double lost = to_seconds(item.work.restart_cost);
  if (item.work.checkpoint_every.value > 0) { lost += std::max(0.0, to_seconds(now - std::max(item.since, item.saved))); }
  return lost;
}

bool ElasticPolicy::same_shape(const Item& item, const Target& to) const {
  return item.kind == to.kind && item.workers == to.workers && item.per_worker == to.chips;
}

bool ElasticPolicy::worth_moving(const Item& item, const Target& to, Time now) const {
  const double old_rate = rate(item), new_rate = rate_in(item.work, to.kind, to.workers, to.chips);
  if (item.work.speed == nullptr || old_rate <= 0 || new_rate <= old_rate) { return false; }
  const double horizon = to_seconds(std::max(round_, now - item.since));
  const double left_s = item.left > 0 ? work_left(item, now) / old_rate : horizon;
  return (new_rate / old_rate - 1) * std::min(left_s, horizon) > loss_s(item, now) + stop_s_;
}

std::optional<Work> ElasticPolicy::blocked() const {
  const auto found = index_.find(TaskId{blocked_});
  if (blocked_ == 0 || found == index_.end() || items_[found->second].phase != Phase::waiting) { return std::nullopt; }
  return items_[found->second].work;
}

}  // namespace centrale
