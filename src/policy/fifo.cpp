// SPDX-License-Identifier: Apache-2.0
#include "policy/fifo.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace centrale {

namespace {
/// How many requests that no chip can ever serve one decision looks past: they wait for a lost node, and must not cost others.
constexpr int kSkipsMax = 1000;
}  // namespace

void Fifo::Lane::skip_gaps() {
  while (head < entries.size() && !entries[head].task) { ++head; }
  if (head == entries.size()) {
    entries.clear();
    head = 0;
  } else if (head > 1024 && head > entries.size() / 2) {  // give memory back, at a cost shared by the entries that left
    entries.erase(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(head));
    head = 0;
  }
}

void Fifo::enqueue(const Work& work) {
  ensure(work.task);
  const auto [found, is_new] = lane_of_.try_emplace({work.priority, work.tenant, work.kinds}, lanes_.size());
  if (is_new) { lanes_.push_back({.priority = work.priority, .tenant = work.tenant, .kinds = work.kinds, .entries = {}}); }
  Lane& lane = lanes_[found->second];
  if (lane.live++ == 0) {
    lane.active_at = active_.size();
    active_.push_back(found->second);
  }
  ++queued_;
  std::size_t at = lane.entries.size();
  if (!lane.entries.empty() && lane.entries.back().order >= work.order) {  // a retry goes back to its place
    const auto place = std::lower_bound(lane.entries.begin() + static_cast<std::ptrdiff_t>(lane.head), lane.entries.end(), work.order,
                                        [](const Work& r, std::uint64_t order) { return r.order < order; });
    at = static_cast<std::size_t>(place - lane.entries.begin());
    if (place != lane.entries.end() && place->order == work.order) {
      ensure(!place->task);
      *place = work;
    } else {
      lane.entries.insert(place, work);
    }
  } else {
    lane.entries.push_back(work);
  }
  if (at <= lane.head) {
    lane.head = at;
    head_changed_ = true;
  }
}

void Fifo::remove(Lane& lane, std::size_t entry) {
  lane.entries[entry].task = {};
  --queued_;
  if (--lane.live == 0) {
    active_[lane.active_at] = active_.back();
    lanes_[active_.back()].active_at = lane.active_at;
    active_.pop_back();
    lane.entries.clear();
    lane.head = 0;
  }
}

void Fifo::dequeue(const Work& work) {
  const auto found = lane_of_.find({work.priority, work.tenant, work.kinds});
  ensure(found != lane_of_.end());
  Lane& lane = lanes_[found->second];
  const auto place = std::lower_bound(lane.entries.begin() + static_cast<std::ptrdiff_t>(lane.head), lane.entries.end(), work.order,
                                      [](const Work& r, std::uint64_t order) { return r.order < order; });
  ensure(place != lane.entries.end() && place->task == work.task);
  const auto entry = static_cast<std::size_t>(place - lane.entries.begin());
  if (entry == lane.head) {
    head_changed_ = true;  // whoever stood behind it may fit
  }
  std::erase_if(blocked_, [&](const Work& waits) { return waits.task == work.task; });
  remove(lane, entry);
  lane.skip_gaps();
}

void Fifo::push_candidate(std::size_t lane_index, std::size_t from) {
  const Lane& lane = lanes_[lane_index];
  while (from < lane.entries.size() && !lane.entries[from].task) { ++from; }
  if (from < lane.entries.size()) {
    heap_.push_back({lane.priority, lane.entries[from].order, lane_index, from});
    std::push_heap(heap_.begin(), heap_.end(), [](const Candidate& a, const Candidate& b) {
      return std::tuple(-a.priority, a.order) > std::tuple(-b.priority, b.order);
    });
  }
}

std::optional<Work> Fifo::blocked() const { return blocked_.empty() ? std::nullopt : std::optional<Work>(blocked_.front()); }

void Fifo::decide(Pool& pool, Allowance& allowance, Time, Decision& out) {
  head_changed_ = false;
  blocked_.clear();
  if (queued_ == 0) { return; }
  KindMask open = pool.kinds_with_free();
  const bool none_free = open == 0;
  if (none_free) {  // walked as far as the first that waits for chips of each kind
    for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
      open |= pool.usable_of(static_cast<KindIndex>(kind)) > 0 ? KindMask{1} << kind : 0;
    }
  }
  heap_.clear();
  held_back_.clear();
  for (const std::size_t lane : active_) { push_candidate(lane, lanes_[lane].head); }
  taken_.clear();
  int skips = 0;
  while (!heap_.empty() && open != 0) {
    std::pop_heap(heap_.begin(), heap_.end(), [](const Candidate& a, const Candidate& b) {
      return std::tuple(-a.priority, a.order) > std::tuple(-b.priority, b.order);
    });
    const Candidate next = heap_.back();
    heap_.pop_back();
    const Lane& lane = lanes_[next.lane];
    const Work& work = lane.entries[next.entry];
    if ((work.kinds.mask & open) == 0 || std::ranges::find(held_back_, work.tenant) != held_back_.end()) {
      continue;  // and with it everything behind it in its lane
    }
    const KindMask mine = allowance.kinds_for(work.tenant, work.chips_total(), work.gang.share_milli) & work.kinds.mask;
    if (mine == 0) {
      held_back_.push_back(work.tenant);
      continue;
    }
    const std::size_t first = out.chips.size();
    if (pool.place(work.kinds, open & mine, work.gang, out.chips)) {
      out.starts.push_back({.task = work.task, .first = first, .count = out.chips.size() - first, .chips = work.gang.chips, .row = -1});
      allowance.take(work.tenant, pool.kind_of(out.chips[first]), work.chips_total(), work.gang.share_milli);
      taken_.push_back(next);
      push_candidate(next.lane, next.entry + 1);
      continue;
    }
    if (pool.workers_ever(work.kinds, work.gang, work.gang.workers) < work.gang.workers) {
      if (++skips < kSkipsMax) { push_candidate(next.lane, next.entry + 1); }
      continue;
    }
    blocked_.push_back(work);
    open &= ~mine;
  }
  for (const Candidate& place : taken_) {  // only now: the heap pointed into the lanes
    remove(lanes_[place.lane], place.entry);
  }
  for (const Candidate& place : taken_) { lanes_[place.lane].skip_gaps(); }
}

}  // namespace centrale
