// SPDX-License-Identifier: Apache-2.0
#include "policy/backfill_conservative.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <sstream>

#include <fmt/format.h>

#include "base/ensure.hpp"

namespace centrale {

using namespace backfill;

namespace {

// Changes of one moment: what comes free stands before what is taken, so that no dip shows that is not there.
constexpr std::uint64_t kComesFree = std::uint64_t{1} << 62U, kIsTaken = std::uint64_t{1} << 63U;
constexpr std::uint64_t kLast = std::numeric_limits<std::uint64_t>::max();

KindMask bit(std::size_t kind) { return KindMask{1} << kind; }

std::int64_t end_of(std::int64_t at, std::int64_t span) { return span >= kForever || at >= kForever * 2 ? kNever.ns : at + span; }

}  // namespace

void ConservativeBackfill::enqueue(const Work& work) {
  head_changed_ = true;
  const Key key = key_of(work);
  const bool last = planned_.empty() || planned_.rbegin()->first < key;
  if (last && (queue_.size() > 0 || planned_.size() >= reservations_max_)) {
    queue_.insert(work, span_at_best(work), unknown(work));
    return;
  }
  Planned planned;
  planned.work = work;
  ensure(planned_.emplace(key, planned).second);
  key_of_task_.emplace(work.task, key);
  if (planned_.size() > reservations_max_) { demote_last(); }
}

void ConservativeBackfill::demote_last() {
  const auto last = std::prev(planned_.end());
  lift(last->second);
  queue_.insert(last->second.work, span_at_best(last->second.work), unknown(last->second.work));
  key_of_task_.erase(last->second.work.task);
  planned_.erase(last);
}

void ConservativeBackfill::promote() {
  while (planned_.size() < reservations_max_ && queue_.size() > 0) {
    const auto [lane, node] = queue_.front();
    Planned planned;
    planned.work = queue_.work(node);
    key_of_task_.emplace(planned.work.task, key_of(planned.work));
    planned_.emplace(key_of(planned.work), planned);
    queue_.erase(lane, node);
  }
}

void ConservativeBackfill::dequeue(const Work& work) {
  head_changed_ = true;
  const auto found = planned_.find(key_of(work));
  if (found == planned_.end()) {
    ensure(queue_.erase(work, unknown(work)));
    return;
  }
  compress_ = compress_ || found->second.placed;
  lift(found->second);
  key_of_task_.erase(work.task);
  planned_.erase(found);
}

void ConservativeBackfill::put(Planned& planned, KindIndex kind, std::int64_t at) {
  ensure(!planned.placed);
  planned.placed = planned.waits = true;
  planned.kind = kind;
  planned.at = at;
  planned.end = end_of(at, std::max<std::int64_t>(span_on(planned.work, kind), 1));
  const std::uint64_t task = planned.work.task.value;
  forest_.insert(profile_[kind], {planned.at, task | kIsTaken}, -planned.work.chips_total());
  forest_.insert(profile_[kind], {planned.end, task | kComesFree}, planned.work.chips_total());
}

void ConservativeBackfill::lift(Planned& planned) {
  if (!planned.placed) { return; }
  planned.placed = false;
  const std::uint64_t task = planned.work.task.value;
  forest_.erase(profile_[planned.kind], {planned.at, task | kIsTaken});
  forest_.erase(profile_[planned.kind], {planned.end, task | kComesFree});
}

/// A reservation was due and could not be kept: it gets another.
void ConservativeBackfill::passed(KindIndex, Key key) { lift(planned_.at(key_of_task_.at(TaskId{key.minor & ~(kComesFree | kIsTaken)}))); }

/// When so many chips are free for so long; kNever: nobody knows.
std::int64_t ConservativeBackfill::earliest(KindIndex kind, std::int64_t chips, std::int64_t span) {
  const auto root = profile_[kind];
  const std::int64_t level = chips - free_[kind];
  Key at{now_.ns, kLast};
  if (forest_.sum(root, at) < level) {
    const auto node = forest_.first_reaching(root, at, level);
    if (node == 0) { return kNever.ns; }
    at = forest_.key(node);
  }
  while (at.major < kNever.ns) {
    ++gaps_;
    const auto dip = forest_.first_below(root, at, level);
    if (dip == 0 || forest_.key(dip).major >= end_of(at.major, span)) { return at.major; }
    const auto node = forest_.first_reaching(root, forest_.key(dip), level);
    if (node == 0) { return kNever.ns; }
    at = forest_.key(node);
  }
  return kNever.ns;
}

/// How long that many chips stay free from now on, ns; negative: they are not.
std::int64_t ConservativeBackfill::room_until(KindIndex kind, std::int64_t chips) const {
  const Key at{now_.ns, kLast};
  const std::int64_t level = chips - free_[kind];
  if (level > 0 || forest_.sum(profile_[kind], at) < level) { return -1; }
  const auto dip = forest_.first_below(profile_[kind], at, level);
  return dip == 0 || forest_.key(dip).major == kNever.ns ? kForever : forest_.key(dip).major - now_.ns;
}

/// Cheap, and true whenever it may: its own reservation takes nothing before its start.
bool ConservativeBackfill::may_come_forward(const Planned& planned, KindMask mine) {
  const Key at{now_.ns, kLast};
  ++gaps_;
  for (KindMask left = mine; left != 0; left &= left - 1) {
    const auto kind = static_cast<KindIndex>(std::countr_zero(left));
    const std::int64_t level = planned.work.chips_total() - free_[kind];
    if (forest_.sum(profile_[kind], at) >= level) { return true; }
    const auto node = forest_.first_reaching(profile_[kind], at, level);
    if (node != 0 && forest_.key(node).major < planned.at) { return true; }
  }
  return false;
}

bool ConservativeBackfill::place(const Work& work, KindMask kinds, Pool& pool, Allowance& allowance, Decision& out) {
  const std::size_t first = out.chips.size();
  if (!pool.place(work.kinds, kinds, work.gang, out.chips)) { return false; }
  const KindIndex kind = pool.kind_of(out.chips[first]);
  const std::int64_t taken = free_[kind] - pool.free_of(kind);
  if (work.gang.is_share() && taken > 0 && span_on(work, kind) > room_until(kind, taken)) {
    pool.give_back(std::span(out.chips).subspan(first), work.gang);
    out.chips.resize(first);
    return false;
  }
  out.starts.push_back({.task = work.task, .first = first, .count = out.chips.size() - first, .chips = work.gang.chips, .row = -1});
  allowance.take(work.tenant, kind, work.chips_total(), work.gang.share_milli);
  free_[kind] -= taken;
  started(work, kind, taken, now_);
  return true;
}

/// Starts it, or reserves where it can start first; never later than before. True: it started.
bool ConservativeBackfill::replan(Planned& planned, Pool& pool, Allowance& allowance, Decision& out) {
  const Work& work = planned.work;
  if (planned.placed && planned.at > now_.ns && (!compress_ || gaps_ > kGapsMax)) { return false; }
  if (!planned.placed && gaps_ > kGapsMax) {
    out.wake = std::min(out.wake, now_ + seconds(1));
    return false;
  }
  const KindMask mine = quotas_.kinds_for(work, existing_, allowance);
  planned.waits = false;
  if (mine == 0) {
    quotas_.hold(work);
    lift(planned);
    return false;
  }
  if (work.gang.is_share() && place(work, mine, pool, allowance, out)) {
    lift(planned);
    return true;
  }
  if (planned.placed && planned.at > now_.ns && !may_come_forward(planned, mine)) {
    planned.waits = true;
    return false;
  }
  const bool had = planned.placed && (mine & bit(planned.kind)) != 0;
  KindIndex kind = planned.kind;
  std::int64_t at = had ? std::max(planned.at, now_.ns) : kNever.ns;
  lift(planned);
  for (std::size_t i = 0; i < (work.kinds.count > 0 ? work.kinds.count : kKindsMax); ++i) {
    const auto other = work.kinds.count > 0 ? work.kinds.order[i] : static_cast<KindIndex>(i);
    if ((mine & bit(other)) == 0) { continue; }
    const std::int64_t here = earliest(other, work.chips_total(), std::max<std::int64_t>(span_on(work, other), 1));
    if (here >= at) { continue; }
    KindChoice only;
    only.mask = bit(other);
    if (!had && pool.workers_ever(only, work.gang, work.gang.workers) < work.gang.workers) { continue; }
    at = here;
    kind = other;
  }
  if (at == kNever.ns) {
    planned.waits = pool.workers_ever(work.kinds, work.gang, work.gang.workers) >= work.gang.workers;
    return false;
  }
  if (at <= now_.ns && place(work, bit(kind), pool, allowance, out)) { return true; }
  put(planned, kind, at);
  return false;
}

void ConservativeBackfill::decide(Pool& pool, Allowance& allowance, Time now, Decision& out) {
  head_changed_ = false;
  now_ = now;
  settle(pool, now);
  existing_ = kinds_existing(pool);
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
    free_[kind] = pool.free_of(static_cast<KindIndex>(kind));
    const std::int64_t usable = pool.usable_of(static_cast<KindIndex>(kind));
    compress_ = compress_ || usable > capacity_[kind];
    capacity_[kind] = usable;
  }
  quotas_.start();
  gaps_ = 0;
  promote();
  for (auto at = planned_.begin(); at != planned_.end();) {
    if (replan(at->second, pool, allowance, out)) {
      key_of_task_.erase(at->second.work.task);
      at = planned_.erase(at);
      continue;
    }
    // Where others moved on, one may be due when nothing ends.
    if (at->second.placed && at->second.at > now.ns) { out.wake = std::min(out.wake, Time{at->second.at}); }
    ++at;
  }
  compress_ = false;
  if (queue_.size() > 0 && gaps_ <= kGapsMax) { fill_behind(pool, allowance, out); }
}

void ConservativeBackfill::push_next(std::size_t index) {
  const Queue::Lane& lane = queue_.lane(index);
  if (lane.done || lane.live == 0) { return; }
  std::int64_t most = lane.gang.is_share() ? kForever : -1;
  for (KindMask left = lane.kinds.mask & lane.mine & existing_ & ~lane.failed; left != 0; left &= left - 1) {
    const auto kind = static_cast<KindIndex>(std::countr_zero(left));
    if (lane.total <= free_[kind]) { most = std::max(most, room_until(kind, lane.total)); }
  }
  if (lane.unknown) { most = most >= standard() ? kForever : -1; }
  if (most < 0 || (!lane.unknown && queue_.shortest(lane) > most)) { return; }
  if (const auto node = queue_.first(lane, most)) { walk_.push({.key = queue_.key(node), .lane = index, .node = node}); }
}

/// Those without a reservation start where they delay none.
void ConservativeBackfill::fill_behind(Pool& pool, Allowance& allowance, Decision& out) {
  queue_.start_decision();
  walk_.clear();
  for (const std::size_t lane : queue_.active()) { push_next(lane); }
  while (!walk_.empty()) {
    const Walk::Candidate candidate = walk_.pop();
    Queue::Lane& lane = queue_.lane(candidate.lane);
    const Work& work = queue_.work(candidate.node);
    const KindMask mine = quotas_.kinds_for(work, existing_, allowance);
    if (mine != (work.kinds.mask & existing_) && !lane.tenant) {
      queue_.set_apart(work.tenant);
      walk_.clear();
      for (const std::size_t active : queue_.active()) { push_next(active); }
      continue;
    }
    if (mine == 0) {
      quotas_.hold(work);
      lane.done = true;
      continue;
    }
    lane.from = candidate.key;
    lane.mine = mine;
    KindMask now_on = 0;
    for (KindMask left = mine & ~lane.failed; left != 0; left &= left - 1) {
      const auto kind = static_cast<KindIndex>(std::countr_zero(left));
      if (work.gang.is_share() || span_on(work, kind) <= room_until(kind, lane.total)) { now_on |= bit(kind); }
    }
    if (now_on != 0 && place(work, now_on, pool, allowance, out)) {
      queue_.erase(candidate.lane, candidate.node);
    } else {
      lane.failed |= now_on;
    }
    push_next(candidate.lane);
  }
}

std::optional<Work> ConservativeBackfill::blocked() const {
  for (const auto& [key, planned] : planned_) {
    if (planned.waits) { return planned.work; }
  }
  return std::nullopt;
}

std::optional<std::int64_t> ConservativeBackfill::start_of(TaskId task) const {
  const auto key = key_of_task_.find(task);
  if (key == key_of_task_.end() || !planned_.at(key->second).placed) { return std::nullopt; }
  return planned_.at(key->second).at;
}

std::string ConservativeBackfill::save() const {
  std::string text = Books::save();
  for (const TenantId tenant : queue_.all_apart()) { text += fmt::format("apart {}\n", tenant.value); }
  text += fmt::format("decided {} {}\n", compress_ ? 1 : 0, head_changed_ ? 1 : 0);
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
    if (capacity_[kind] > 0) { text += fmt::format("capacity {} {}\n", kind, capacity_[kind]); }
  }
  for (const auto& [key, planned] : planned_) {
    if (planned.waits && !planned.placed) { text += fmt::format("waits {} {}\n", key.major, key.minor); }
    if (!planned.placed) { continue; }
    text += fmt::format("plan {} {} {} {} {}\n", key.major, key.minor, planned.kind, planned.at, planned.end);
  }
  return text;
}

bool ConservativeBackfill::load_line(std::string_view word, std::string_view rest) {
  std::istringstream in{std::string(rest)};
  if (word == "apart") {
    TenantId tenant;
    if (!(in >> tenant.value)) { return false; }
    queue_.set_apart(tenant);
    return true;
  }
  if (word == "decided") { return static_cast<bool>(in >> compress_ >> head_changed_); }
  std::size_t kind = 0;
  if (word == "capacity") {
    std::int64_t chips = 0;
    if (!(in >> kind >> chips) || kind >= kKindsMax) { return false; }
    capacity_[kind] = chips;
    return true;
  }
  Key key;
  if (word == "waits") {
    if (!(in >> key.major >> key.minor) || !planned_.contains(key)) { return false; }
    planned_.at(key).waits = true;
    return true;
  }
  if (word != "plan") { return Books::load_line(word, rest); }
  std::int64_t at = 0, end = 0;
  if (!(in >> key.major >> key.minor >> kind >> at >> end) || kind >= kKindsMax || end <= at) { return false; }
  const auto found = planned_.find(key);
  if (found == planned_.end() || found->second.placed) { return false; }
  put(found->second, static_cast<KindIndex>(kind), at);
  return true;
}

}  // namespace centrale
