// SPDX-License-Identifier: Apache-2.0
#include "policy/backfill_queue.hpp"

#include <tuple>

#include "base/ensure.hpp"

namespace centrale::backfill {

namespace {
/// Lanes that stand empty are kept for the next of their like, so that the steady state allocates nothing; so many at most.
constexpr std::size_t kEmptyLanesMax = 4096;

/// Not `ends`: it differs from job to job, and matters on nodes that are to be taken out only.
auto shape_of(const Gang& gang) {
  return std::tuple(gang.workers, gang.chips, gang.memory, gang.cpu_milli, gang.share_milli, gang.apart, gang.reservation);
}
}  // namespace

bool Queue::Alike::operator<(const Alike& other) const {
  if (const auto order = std::tuple(tenant, unknown) <=> std::tuple(other.tenant, other.unknown); order != 0) { return order < 0; }
  if (const auto order = shape_of(gang) <=> shape_of(other.gang); order != 0) { return order < 0; }
  return kinds < other.kinds;
}

std::size_t Queue::lane_for(const Alike& alike) {
  if (const auto found = lane_of_.find(alike); found != lane_of_.end()) { return found->second; }
  if (lane_of_.size() > active_.size() + kEmptyLanesMax) { drop_empty_lanes(); }
  std::size_t index = lanes_.size();
  if (unused_.empty()) {
    lanes_.emplace_back();
  } else {
    index = unused_.back();
    unused_.pop_back();
  }
  Lane& lane = lanes_[index];
  lane = {};
  lane.kinds = alike.kinds;
  lane.gang = alike.gang;
  lane.tenant = alike.tenant;
  lane.unknown = alike.unknown;
  lane.total = alike.gang.workers * alike.gang.chips;
  lane_of_.emplace(alike, index);
  return index;
}

void Queue::drop_empty_lanes() {
  for (auto at = lane_of_.begin(); at != lane_of_.end();) {
    if (lanes_[at->second].live > 0) {
      ++at;
      continue;
    }
    unused_.push_back(at->second);
    at = lane_of_.erase(at);
  }
}

void Queue::insert(const Work& work, std::int64_t estimate, bool unknown) {
  ensure(work.task);
  const std::size_t index =
      lane_for({.kinds = work.kinds, .gang = work.gang, .tenant = apart(work.tenant) ? work.tenant : TenantId{}, .unknown = unknown});
  Lane& lane = lanes_[index];
  const Node node = forest_.insert(lane.root, key_of(work), estimate);
  if (works_.size() <= node) { works_.resize(std::max<std::size_t>(forest_.nodes(), works_.size() * 2)); }
  works_[node] = work;
  if (lane.live++ == 0) {
    lane.active_at = active_.size();
    active_.push_back(index);
  }
  ++size_;
}

bool Queue::erase(const Work& work, bool unknown) {
  const auto found =
      lane_of_.find({.kinds = work.kinds, .gang = work.gang, .tenant = apart(work.tenant) ? work.tenant : TenantId{}, .unknown = unknown});
  if (found == lane_of_.end()) { return false; }
  const Node node = forest_.find(lanes_[found->second].root, key_of(work));
  if (node == 0 || works_[node].task != work.task) { return false; }
  erase(found->second, node);
  return true;
}

void Queue::erase(std::size_t index, Node node) {
  Lane& lane = lanes_[index];
  forest_.erase(lane.root, forest_.key(node));
  works_[node] = {};
  --size_;
  if (--lane.live == 0) {
    active_[lane.active_at] = active_.back();
    lanes_[active_.back()].active_at = lane.active_at;
    active_.pop_back();
  }
}

std::pair<std::size_t, Queue::Node> Queue::front() const {
  std::pair<std::size_t, Node> best{0, 0};
  for (const std::size_t index : active_) {
    const Node node = forest_.next(lanes_[index].root, kBeforeAll);
    if (best.second == 0 || forest_.key(node) < forest_.key(best.second)) { best = {index, node}; }
  }
  return best;
}

const Work* Queue::at(Key key) const {
  for (const std::size_t index : active_) {
    if (const Node node = forest_.find(lanes_[index].root, key)) { return &works_[node]; }
  }
  return nullptr;
}

void Queue::start_decision() {
  for (const std::size_t index : active_) {
    lanes_[index].from = kBeforeAll;
    lanes_[index].mine = kAnyKind;
    lanes_[index].failed = 0;
    lanes_[index].done = false;
  }
}

void Queue::set_apart(TenantId tenant) {
  if (!apart_.insert(tenant).second) { return; }
  const std::vector<std::size_t> shared = active_;
  for (const std::size_t index : shared) {
    if (lanes_[index].tenant) { continue; }
    const KindMask failed = lanes_[index].failed;
    const bool unknown = lanes_[index].unknown;
    Key at = kBeforeAll;
    for (Node node = forest_.next(lanes_[index].root, at); node != 0; node = forest_.next(lanes_[index].root, at)) {
      at = forest_.key(node);
      if (works_[node].tenant != tenant) { continue; }
      const Work work = works_[node];
      const std::int64_t estimate = forest_.value(node);
      const Key from = lanes_[index].from;
      erase(index, node);
      insert(work, estimate, unknown);
      Lane& own = lanes_[lane_of_.at({.kinds = work.kinds, .gang = work.gang, .tenant = tenant, .unknown = unknown})];
      own.from = from;
      own.failed = failed;
      own.done = false;
    }
  }
}

}  // namespace centrale::backfill
