// SPDX-License-Identifier: Apache-2.0
// One decision's walk over the lanes of a queue, first in order first, and what it knows of quotas.
#pragma once
#include <utility>
#include <vector>

#include "policy/backfill_queue.hpp"

namespace centrale::backfill {

/// What tenants may take during one decision. A tenant that its quota holds back keeps its own order (nothing of it that wants the same
/// kinds goes before) and holds back nobody else.
class Quotas {
 public:
  void start() { held_.clear(); }
  /// The kinds of `existing` that the request may use now.
  [[nodiscard]] KindMask kinds_for(const Work& work, KindMask existing, const Allowance& allowance) const {
    KindMask mine = work.kinds.mask & existing & allowance.kinds_for(work.tenant, work.chips_total(), work.gang.share_milli);
    for (const auto& [tenant, kinds] : held_) {
      if (tenant == work.tenant) { mine &= ~kinds; }
    }
    return mine;
  }
  void hold(const Work& work) { held_.emplace_back(work.tenant, work.kinds.mask); }

 private:
  std::vector<std::pair<TenantId, KindMask>> held_;
};

/// The lanes' next candidates, as a heap.
class Walk {
 public:
  struct Candidate {
    Key key;
    std::size_t lane = 0;
    Queue::Node node = 0;
  };
  void clear() { heap_.clear(); }
  [[nodiscard]] bool empty() const { return heap_.empty(); }
  void push(const Candidate& candidate) {
    heap_.push_back(candidate);
    std::push_heap(heap_.begin(), heap_.end(), after);
  }
  Candidate pop() {
    std::pop_heap(heap_.begin(), heap_.end(), after);
    const Candidate first = heap_.back();
    heap_.pop_back();
    return first;
  }
  /// Drops those for which `keep` is false: cheaper than to pop them one by one.
  template <class Keep>
  void filter(Keep keep) {
    std::erase_if(heap_, [&](const Candidate& candidate) { return !keep(candidate); });
    std::make_heap(heap_.begin(), heap_.end(), after);
  }

 private:
  static bool after(const Candidate& a, const Candidate& b) { return b.key < a.key; }
  std::vector<Candidate> heap_;
};

/// The kinds of which the pool has any chip that could ever be given out.
[[nodiscard]] inline KindMask kinds_existing(const Pool& pool) {
  KindMask existing = 0;
  Gang one;
  for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
    KindChoice only;
    only.mask = KindMask{1} << kind;
    if (pool.workers_ever(only, one, 1) > 0) { existing |= only.mask; }
  }
  return existing;
}

}  // namespace centrale::backfill
