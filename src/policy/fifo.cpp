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

void Fifo::enqueue(const Request& request) {
  ensure(request.task);
  const auto [found, is_new] = lane_of_.try_emplace({request.priority, request.tenant, request.kinds}, lanes_.size());
  if (is_new) { lanes_.push_back({.priority = request.priority, .tenant = request.tenant, .kinds = request.kinds, .entries = {}}); }
  Lane& lane = lanes_[found->second];
  if (lane.live++ == 0) {
    lane.active_at = active_.size();
    active_.push_back(found->second);
  }
  ++queued_;
  std::size_t at = lane.entries.size();
  if (!lane.entries.empty() && lane.entries.back().order >= request.order) {  // a retry goes back to its place
    const auto place = std::lower_bound(lane.entries.begin() + static_cast<std::ptrdiff_t>(lane.head), lane.entries.end(), request.order,
                                        [](const Request& r, std::uint64_t order) { return r.order < order; });
    at = static_cast<std::size_t>(place - lane.entries.begin());
    if (place != lane.entries.end() && place->order == request.order) {
      ensure(!place->task);
      *place = request;
    } else {
      lane.entries.insert(place, request);
    }
  } else {
    lane.entries.push_back(request);
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

void Fifo::dequeue(const Request& request) {
  const auto found = lane_of_.find({request.priority, request.tenant, request.kinds});
  ensure(found != lane_of_.end());
  Lane& lane = lanes_[found->second];
  const auto place = std::lower_bound(lane.entries.begin() + static_cast<std::ptrdiff_t>(lane.head), lane.entries.end(), request.order,
                                      [](const Request& r, std::uint64_t order) { return r.order < order; });
  ensure(place != lane.entries.end() && place->task == request.task);
  const auto entry = static_cast<std::size_t>(place - lane.entries.begin());
  if (entry == lane.head) {
    head_changed_ = true;  // whoever stood behind it may fit
  }
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

void Fifo::decide(Pool& pool, const Allowance& allowance, Time, std::vector<Placement>& out, std::vector<ChipId>& chips) {
  head_changed_ = false;
  KindMask open = pool.kinds_with_free();
  if (open == 0 || queued_ == 0) { return; }
  heap_.clear();
  held_back_.clear();
  for (const std::size_t lane : active_) { push_candidate(lane, lanes_[lane].head); }
  taken_.clear();
  given_.clear();
  int skips = 0;
  while (!heap_.empty() && open != 0) {
    std::pop_heap(heap_.begin(), heap_.end(), [](const Candidate& a, const Candidate& b) {
      return std::tuple(-a.priority, a.order) > std::tuple(-b.priority, b.order);
    });
    const Candidate next = heap_.back();
    heap_.pop_back();
    const Lane& lane = lanes_[next.lane];
    const Request& request = lane.entries[next.entry];
    if ((request.kinds.mask & open) == 0 || std::ranges::find(held_back_, request.tenant) != held_back_.end()) {
      continue;  // and with it everything behind it in its lane
    }
    const auto mine = std::ranges::find(given_, request.tenant, &std::pair<TenantId, std::int64_t>::first);
    const std::int64_t taken = mine == given_.end() ? 0 : mine->second;
    if (request.chips_total() > allowance.chips_left(request.tenant) - taken) {
      held_back_.push_back(request.tenant);
      continue;
    }
    const std::size_t first = chips.size();
    if (pool.place(request.kinds, open, request.gang, chips)) {
      out.push_back({request.task, first, chips.size() - first});
      if (mine == given_.end()) {
        given_.emplace_back(request.tenant, request.chips_total());
      } else {
        mine->second += request.chips_total();
      }
      taken_.push_back(next);
      push_candidate(next.lane, next.entry + 1);
      continue;
    }
    if (pool.workers_ever(request.kinds, request.gang, request.gang.workers) < request.gang.workers) {
      if (++skips < kSkipsMax) { push_candidate(next.lane, next.entry + 1); }
      continue;
    }
    open &= ~request.kinds.mask;
  }
  for (const Candidate& place : taken_) {  // only now: the heap pointed into the lanes
    remove(lanes_[place.lane], place.entry);
  }
  for (const Candidate& place : taken_) { lanes_[place.lane].skip_gaps(); }
}

Result<std::unique_ptr<Policy>> make_policy(std::string_view name) {
  if (name == "fifo") { return std::make_unique<Fifo>(); }
  return fail(ErrorKind::invalid, "there is no policy '" + std::string(name) + "'", {}, "policies: fifo");
}

}  // namespace centrale
