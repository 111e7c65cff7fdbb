// SPDX-License-Identifier: Apache-2.0
// EASY backfilling (Lifka, JSSPP 1995; Mu'alem and Feitelson, TPDS 12(6), 2001, section 2): by priority, then first come first
// served; the first request that does not fit has a reservation at its shadow time, when enough running tasks will have ended by
// their estimates, and a later one starts before it only if it ends by then or takes chips that are left over then.
//
// Kinds of chip are resources of their own: each has at most one reservation, and a request that may use several kinds
// reserves where it could start first. A tenant over its quota holds back nobody else; nor does a gang that no chips in service
// could ever hold.
//
// What is promised: counted in chips of a kind, nothing that starts later in the queue delays a reservation by more than its estimate
// is wrong. It is a promise about counts, not about nodes: a gang whose chips are free but lie scattered waits until nodes come
// free (the pool fills the fullest nodes first), while so many chips of its kind are kept from all that follow it. A share of a chip
// counts as the whole chips that it breaks: one that goes to a broken chip delays nobody.
#pragma once
#include <vector>

#include "policy/backfill_books.hpp"
#include "policy/backfill_queue.hpp"
#include "policy/backfill_round.hpp"

namespace centrale {

class Backfill final : public backfill::Books {
 public:
  [[nodiscard]] std::string_view name() const override { return "backfill"; }
  void enqueue(const Work& work) override;
  void dequeue(const Work& work) override;
  [[nodiscard]] bool head_changed() const override { return head_changed_; }
  void decide(Pool& pool, Allowance& allowance, Time now, Decision& out) override;
  [[nodiscard]] std::size_t queued() const override { return queue_.size(); }
  [[nodiscard]] std::optional<Work> blocked() const override;
  [[nodiscard]] std::string save() const override;

  /// A kind of chip as the last decision left it, for `centrale why` and for tests.
  struct Reservation {
    bool taken = false;
    backfill::Key head;      // who has it
    std::int64_t at = 0;     // its shadow time, ns; kNever: nobody knows
    std::int64_t extra = 0;  // chips left over then
    std::int64_t free = 0;   // chips free now
  };
  [[nodiscard]] const Reservation& reservation(KindIndex kind) const { return kinds_[kind]; }

 private:
  using Candidate = backfill::Walk::Candidate;
  bool load_line(std::string_view word, std::string_view rest) override;
  void start_round(Pool& pool);
  [[nodiscard]] std::int64_t longest(const backfill::Queue::Lane& lane) const;
  void push_next(std::size_t lane);
  void consider(const Candidate& candidate, Pool& pool, Allowance& allowance, Decision& out);
  [[nodiscard]] KindMask kinds_now(const Work& work, KindMask mine, KindMask failed) const;
  [[nodiscard]] bool place(const Work& work, KindMask now_on, Pool& pool, Decision& out);
  void start(const Candidate& candidate, KindIndex kind, std::int64_t chips, Allowance& allowance);
  [[nodiscard]] bool reserve(const Work& work, KindMask among, const Pool& pool);
  void set_apart(TenantId tenant);

  backfill::Queue queue_;
  backfill::Walk walk_;
  backfill::Quotas quotas_;
  std::array<Reservation, kKindsMax> kinds_{};
  KindMask existing_ = 0;
  KindMask open_ = 0;  // no reservation yet in this decision
  Time now_;           // of the last decision
  bool decided_ = false;
  bool head_changed_ = false;
};

}  // namespace centrale
