// SPDX-License-Identifier: Apache-2.0
// What waits, in lanes of requests that are alike in all that decides whether they fit: kinds and gang. Each lane is a
// tournament over estimates, so that its first request that is short enough is found without a scan. Priorities and tenants
// share a lane; a tenant that its quota once narrowed has lanes of its own from then on, so that it can be passed over as one.
#pragma once
#include <map>
#include <set>
#include <vector>

#include "policy/backfill_tree.hpp"
#include "policy/policy.hpp"

namespace centrale::backfill {

/// Its place in the queue: by priority, then order.
[[nodiscard]] inline Key key_of(const Work& work) { return {~work.priority, work.order}; }

class Queue {
 public:
  using Node = Forest<Smallest>::Node;
  struct Lane {
    KindChoice kinds;
    Gang gang;
    TenantId tenant;       // none: all that have no lanes of their own
    bool unknown = false;  // their estimates are the default
    std::int64_t total = 0;
    Node root = 0;
    std::size_t live = 0;
    std::size_t active_at = 0;  // where it stands in active()
    // Of one decision; start() clears them.
    Key from = kBeforeAll;     // all up to here were looked at
    KindMask mine = kAnyKind;  // what quotas leave of its kinds
    KindMask failed = 0;       // no node has room for the gang there
    bool done = false;
  };

  /// `estimate`: the shortest that it may run, ns.
  void insert(const Work& work, std::int64_t estimate, bool unknown);
  /// False: it is not here.
  bool erase(const Work& work, bool unknown);
  void erase(std::size_t lane, Node node);
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Lanes with something in them, in no order that matters.
  [[nodiscard]] const std::vector<std::size_t>& active() const { return active_; }
  [[nodiscard]] Lane& lane(std::size_t index) { return lanes_[index]; }
  [[nodiscard]] const Lane& lane(std::size_t index) const { return lanes_[index]; }
  [[nodiscard]] const Work& work(Node node) const { return works_[node]; }
  [[nodiscard]] Key key(Node node) const { return forest_.key(node); }
  [[nodiscard]] std::int64_t estimate(Node node) const { return forest_.value(node); }
  [[nodiscard]] std::int64_t shortest(const Lane& lane) const { return forest_.summary(lane.root).least; }
  /// The first after lane.from, and the first of those that is estimated to be no longer than `longest`; 0: none.
  [[nodiscard]] Node first(const Lane& lane) const { return forest_.next(lane.root, lane.from); }
  [[nodiscard]] Node first(const Lane& lane, std::int64_t longest) const { return forest_.first_at_most(lane.root, lane.from, longest); }
  /// The first of all; lane and node, 0 where nothing waits.
  [[nodiscard]] std::pair<std::size_t, Node> front() const;
  /// What waits at `key`; none: nothing does.
  [[nodiscard]] const Work* at(Key key) const;
  void start_decision();
  [[nodiscard]] bool apart(TenantId tenant) const { return apart_.contains(tenant); }
  [[nodiscard]] const std::set<TenantId>& all_apart() const { return apart_; }
  /// From now on the tenant has lanes of its own. Once a tenant, at the cost of a walk over the queue.
  void set_apart(TenantId tenant);

 private:
  struct Alike {
    KindChoice kinds;
    Gang gang;
    TenantId tenant;
    bool unknown = false;
    bool operator<(const Alike& other) const;
  };
  std::size_t lane_for(const Alike& alike);
  void drop_empty_lanes();

  Forest<Smallest> forest_;
  std::vector<Work> works_;  // by node
  std::map<Alike, std::size_t> lane_of_;
  std::vector<Lane> lanes_;
  std::vector<std::size_t> active_;
  std::vector<std::size_t> unused_;
  std::set<TenantId> apart_;
  std::size_t size_ = 0;
};

}  // namespace centrale::backfill
