// SPDX-License-Identifier: Apache-2.0
#include "policy/backfill.hpp"

#include <bit>
#include <sstream>

#include <fmt/format.h>

#include "base/ensure.hpp"

namespace centrale {

using namespace backfill;

namespace {

KindMask bit(std::size_t kind) { return KindMask{1} << kind; }

/// The longest that may start beside a reservation and be gone when it is due. Where nobody knows when that is, all that ends.
std::int64_t until(const Backfill::Reservation& kind, std::int64_t total, Time now) {
  if (total <= kind.extra) { return kForever; }
  return kind.at == kNever.ns ? kForever - 1 : kind.at - now.ns;
}

}  // namespace

void Backfill::enqueue(const Work& work) {
  queue_.insert(work, span_at_best(work), unknown(work));
  if (head_changed_ || !decided_) {
    head_changed_ = true;
    return;
  }
  const std::int64_t total = work.chips_total();
  const std::int64_t span = span_at_best(work);
  for (KindMask left = work.kinds.mask & existing_; left != 0; left &= left - 1) {
    const Reservation& kind = kinds_[static_cast<std::size_t>(std::countr_zero(left))];
    // It may start, or take the reservation from a later one; else the last decision's answer stands.
    if (!kind.taken || key_of(work) < kind.head || work.gang.is_share() || (total <= kind.free && span <= until(kind, total, now_))) {
      head_changed_ = true;
      return;
    }
  }
}

void Backfill::dequeue(const Work& work) {
  ensure(queue_.erase(work, unknown(work)));
  if (queue_.apart(work.tenant)) { head_changed_ = true; }  // its quota may do for one behind it
  for (Reservation& kind : kinds_) {
    if (kind.taken && kind.head == key_of(work)) { head_changed_ = true; }  // whoever stood behind it may fit
  }
}

/// Of the requests of a lane, the longest that may start now; negative: none, however short.
std::int64_t Backfill::longest(const Queue::Lane& lane) const {
  std::int64_t most = -1;
  for (KindMask left = lane.kinds.mask & lane.mine & existing_ & ~lane.failed; left != 0; left &= left - 1) {
    const Reservation& kind = kinds_[static_cast<std::size_t>(std::countr_zero(left))];
    if (lane.gang.is_share()) { most = kForever; }  // place() sees what it breaks
    if (lane.total <= kind.free) { most = std::max(most, until(kind, lane.total, now_)); }
  }
  if (lane.unknown) { return most >= standard() ? kForever : -1; }
  return most;
}

void Backfill::push_next(std::size_t index) {
  const Queue::Lane& lane = queue_.lane(index);
  if (lane.done || lane.live == 0) { return; }
  Queue::Node node = 0;
  if ((lane.kinds.mask & lane.mine & open_) != 0) {
    node = queue_.first(lane);
  } else if (const std::int64_t most = longest(lane); most >= 0 && (lane.unknown || queue_.shortest(lane) <= most)) {
    node = queue_.first(lane, most);
  }
  if (node != 0) { walk_.push({.key = queue_.key(node), .lane = index, .node = node}); }
}

void Backfill::start_round(Pool& pool) {
  existing_ = kinds_existing(pool);
  open_ = existing_;
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
    kinds_[kind] = {};
    if ((existing_ & bit(kind)) != 0) { kinds_[kind].free = pool.free_of(static_cast<KindIndex>(kind)); }
  }
  quotas_.start();
  queue_.start_decision();
  walk_.clear();
  for (const std::size_t lane : queue_.active()) { push_next(lane); }
}

void Backfill::decide(Pool& pool, Allowance& allowance, Time now, Decision& out) {
  head_changed_ = false;
  decided_ = true;
  now_ = now;
  settle(pool, now);
  start_round(pool);
  while (!walk_.empty()) { consider(walk_.pop(), pool, allowance, out); }
}

void Backfill::consider(const Candidate& candidate, Pool& pool, Allowance& allowance, Decision& out) {
  Queue::Lane& lane = queue_.lane(candidate.lane);
  if ((lane.kinds.mask & lane.mine & open_) == 0) {  // what it was chosen for may be gone
    const std::int64_t most = longest(lane);
    if (most < 0 || (!lane.unknown && queue_.estimate(candidate.node) > most)) {
      push_next(candidate.lane);
      return;
    }
  }
  const Work& work = queue_.work(candidate.node);
  const KindMask mine = quotas_.kinds_for(work, existing_, allowance);
  if (mine != (work.kinds.mask & existing_) && !lane.tenant) {
    set_apart(work.tenant);
    return;
  }
  if (mine == 0) {
    quotas_.hold(work);
    lane.done = true;
    return;
  }
  lane.from = candidate.key;
  lane.mine = mine;
  const KindMask now_on = kinds_now(work, mine, lane.failed);
  const std::size_t first = out.chips.size();
  if (now_on != 0 && place(work, now_on, pool, out)) {
    const KindIndex kind = pool.kind_of(out.chips[first]);
    out.starts.push_back({.task = work.task, .first = first, .count = out.chips.size() - first, .chips = work.gang.chips, .row = -1});
    start(candidate, kind, kinds_[kind].free - pool.free_of(kind), allowance);
  } else {
    lane.failed |= now_on;
    if ((mine & open_) != 0) {
      if (pool.workers_ever(work.kinds, work.gang, work.gang.workers) < work.gang.workers) {
        lane.done = true;  // it and all like it wait for chips that are gone
        return;
      }
      if (!reserve(work, mine & open_, pool)) { lane.mine &= ~open_; }
    }
  }
  push_next(candidate.lane);
}

/// Where it may start now, by count: kinds without a reservation, and those whose reservation it does not touch.
KindMask Backfill::kinds_now(const Work& work, KindMask mine, KindMask failed) const {
  KindMask now_on = 0;
  const std::int64_t total = work.chips_total();
  for (KindMask left = mine & ~failed; left != 0; left &= left - 1) {
    const auto index = static_cast<std::size_t>(std::countr_zero(left));
    const Reservation& kind = kinds_[index];
    if (work.gang.is_share()) { now_on |= bit(index); }
    if (total > kind.free) { continue; }
    if (!kind.taken || span_on(work, static_cast<KindIndex>(index)) <= until(kind, total, now_)) { now_on |= bit(index); }
  }
  return now_on;
}

bool Backfill::place(const Work& work, KindMask now_on, Pool& pool, Decision& out) {
  const std::size_t first = out.chips.size();
  if (!pool.place(work.kinds, now_on, work.gang, out.chips)) { return false; }
  if (!work.gang.is_share()) { return true; }
  const KindIndex index = pool.kind_of(out.chips[first]);
  const std::int64_t broken = kinds_[index].free - pool.free_of(index);
  if (broken == 0 || !kinds_[index].taken || span_on(work, index) <= until(kinds_[index], broken, now_)) { return true; }
  pool.give_back(std::span(out.chips).subspan(first), work.gang);
  out.chips.resize(first);
  return false;
}

void Backfill::start(const Candidate& candidate, KindIndex index, std::int64_t chips, Allowance& allowance) {
  const Work& work = queue_.work(candidate.node);
  Reservation& kind = kinds_[index];
  allowance.take(work.tenant, index, work.chips_total(), work.gang.share_milli);
  kind.free -= chips;
  const std::int64_t span = span_on(work, index);
  const bool gone_by_then = span < kForever && (kind.at == kNever.ns || span <= kind.at - now_.ns);
  if (kind.taken && !gone_by_then) { kind.extra -= chips; }
  started(work, index, chips, now_);
  queue_.erase(candidate.lane, candidate.node);
}

/// It waits: where it could start first, it may not be delayed from here on. False: on none of them would it ever fit.
bool Backfill::reserve(const Work& work, KindMask among, const Pool& pool) {
  std::size_t best = kKindsMax;
  Shadow soonest;
  for (KindMask left = among; left != 0; left &= left - 1) {
    const auto index = static_cast<std::size_t>(std::countr_zero(left));
    const Shadow here = shadow(static_cast<KindIndex>(index), kinds_[index].free, work.chips_total(), now_);
    if (here.at < soonest.at) {
      best = index;
      soonest = here;
    }
  }
  for (KindMask left = among; best == kKindsMax && left != 0; left &= left - 1) {  // nobody knows when: where it ever could
    KindChoice only;
    only.mask = left & (~left + 1);
    if (pool.workers_ever(only, work.gang, work.gang.workers) >= work.gang.workers) {
      best = static_cast<std::size_t>(std::countr_zero(left));
    }
  }
  if (best == kKindsMax) { return false; }
  Reservation& kind = kinds_[best];
  kind.taken = true;
  kind.head = key_of(work);
  kind.at = soonest.at;
  kind.extra = soonest.extra;
  open_ &= ~bit(best);
  walk_.filter([&](const Candidate& candidate) {
    const Queue::Lane& lane = queue_.lane(candidate.lane);
    if ((lane.kinds.mask & lane.mine & open_) != 0) { return true; }
    const std::int64_t most = longest(lane);
    return most >= 0 && (lane.unknown || queue_.shortest(lane) <= most);
  });
  return true;
}

void Backfill::set_apart(TenantId tenant) {
  queue_.set_apart(tenant);
  walk_.clear();
  for (const std::size_t lane : queue_.active()) { push_next(lane); }
}

std::optional<Work> Backfill::blocked() const {
  const Reservation* first = nullptr;
  for (const Reservation& kind : kinds_) {
    if (kind.taken && (first == nullptr || kind.head < first->head)) { first = &kind; }
  }
  const Work* work = first == nullptr ? nullptr : queue_.at(first->head);
  return work == nullptr ? std::nullopt : std::optional<Work>(*work);
}

std::string Backfill::save() const {
  std::string text = Books::save();
  for (const TenantId tenant : queue_.all_apart()) { text += fmt::format("apart {}\n", tenant.value); }
  if (!decided_) { return text; }
  text += fmt::format("decided {} {} {}\n", now_.ns, existing_, head_changed_ ? 1 : 0);
  for (std::size_t index = 0; index < kKindsMax; ++index) {
    const Reservation& kind = kinds_[index];
    if ((existing_ & bit(index)) == 0) { continue; }
    text += fmt::format("kind {} {} {} {} {} {} {}\n", index, kind.taken ? 1 : 0, kind.head.major, kind.head.minor, kind.at, kind.extra,
                        kind.free);
  }
  return text;
}

bool Backfill::load_line(std::string_view word, std::string_view rest) {
  std::istringstream in{std::string(rest)};
  if (word == "apart") {
    TenantId tenant;
    if (!(in >> tenant.value)) { return false; }
    queue_.set_apart(tenant);
    return true;
  }
  if (word == "decided") {
    decided_ = true;
    return static_cast<bool>(in >> now_.ns >> existing_ >> head_changed_);
  }
  if (word == "kind") {
    std::size_t index = 0;
    Reservation kind;
    if (!(in >> index >> kind.taken >> kind.head.major >> kind.head.minor >> kind.at >> kind.extra >> kind.free)) { return false; }
    if (index >= kKindsMax) { return false; }
    kinds_[index] = kind;
    return true;
  }
  return Books::load_line(word, rest);
}

}  // namespace centrale
