// SPDX-License-Identifier: Apache-2.0
// Priority, then first come first served, gang or nothing. A request that does not fit now holds back every later one that
// wants the same kinds of chip, so that a large gang cannot starve; one that its tenant's quota or a lost node holds back
// blocks nobody else.
#pragma once
#include <map>
#include <tuple>
#include <vector>

#include "policy/policy.hpp"

namespace centrale {

class Fifo final : public Policy {
 public:
  [[nodiscard]] std::string_view name() const override { return "fifo"; }
  void enqueue(const Work& work) override;
  void dequeue(const Work& work) override;
  [[nodiscard]] bool head_changed() const override { return head_changed_; }
  void decide(Pool& pool, Allowance& allowance, Time now, Decision& out) override;
  [[nodiscard]] std::size_t queued() const override { return queued_; }
  [[nodiscard]] std::optional<Work> blocked() const override;
  void each_blocked(std::vector<Work>& out) const override { out.insert(out.end(), blocked_.begin(), blocked_.end()); }

 private:
  /// Requests that differ only in order and shape. Sorted by order; an entry without a task was taken out.
  struct Lane {
    std::int64_t priority = 0;
    TenantId tenant;
    KindChoice kinds;
    std::vector<Work> entries;
    std::size_t head = 0;       // first entry that may hold a task
    std::size_t active_at = 0;  // where it stands in active_
    std::size_t live = 0;
    void skip_gaps();
  };
  struct Candidate {
    std::int64_t priority;
    std::uint64_t order;
    std::size_t lane;
    std::size_t entry;
  };
  void push_candidate(std::size_t lane, std::size_t from);
  void remove(Lane& lane, std::size_t entry);

  std::map<std::tuple<std::int64_t, TenantId, KindChoice>, std::size_t> lane_of_;  // looked up, never walked
  std::vector<Lane> lanes_;
  std::vector<std::size_t> active_;  // lanes with something in them
  std::vector<Candidate> heap_;      // kept between calls to save allocations
  std::vector<Candidate> taken_;
  std::vector<TenantId> held_back_;
  std::vector<Work> blocked_;  // as of the last decision: the first for each set of kinds
  std::size_t queued_ = 0;
  bool head_changed_ = false;
};

}  // namespace centrale
