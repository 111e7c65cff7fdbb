// SPDX-License-Identifier: Apache-2.0
// Conservative backfilling (Mu'alem and Feitelson, TPDS 12(6), 2001, section 2.2): every request has a reservation in a profile of the
// chips that are free over time, by kind; it starts when that is due, or sooner where what is told to end later ends early and the
// profile is compressed, in the queue's order. A reservation is never put off but by what runs over its estimate, by chips
// that are lost, or by nodes where the count would do and the gang does not fit (see backfill.hpp on counts).
//
// So that a decision stays within milliseconds, the first 5,000 requests have reservations (those behind them start only where they
// delay none of these), and one decision looks at so many gaps and no more, first in order first: a reservation that it did not come to
// stands as it is, and a request that it did not come to gets its reservation a second later.
#pragma once
#include <map>
#include <vector>

#include "policy/backfill_books.hpp"
#include "policy/backfill_queue.hpp"
#include "policy/backfill_round.hpp"

namespace centrale {

class ConservativeBackfill final : public backfill::Books {
 public:
  static constexpr std::size_t kReservationsMax = 5'000;
  static constexpr std::int64_t kGapsMax = 10'000;  // in one decision; 0.3 to 0.5 us each
  explicit ConservativeBackfill(std::size_t reservations_max = kReservationsMax) : reservations_max_(reservations_max) {}
  [[nodiscard]] std::string_view name() const override { return "backfill-conservative"; }
  void enqueue(const Work& work) override;
  void dequeue(const Work& work) override;
  [[nodiscard]] bool head_changed() const override { return head_changed_; }
  void decide(Pool& pool, Allowance& allowance, Time now, Decision& out) override;
  [[nodiscard]] std::size_t queued() const override { return planned_.size() + queue_.size(); }
  [[nodiscard]] std::optional<Work> blocked() const override;
  [[nodiscard]] std::string save() const override;
  /// When the task is to start, ns; none: it has no reservation.
  [[nodiscard]] std::optional<std::int64_t> start_of(TaskId task) const;

 private:
  struct Planned {
    Work work;
    bool placed = false;  // has a reservation: `chips` of `kind` in [at, end)
    bool waits = false;   // for chips that others have
    KindIndex kind = 0;
    std::int64_t at = 0, end = 0;
  };
  using Plan = std::map<backfill::Key, Planned>;

  bool load_line(std::string_view word, std::string_view rest) override;
  void passed(KindIndex kind, backfill::Key key) override;
  void freed_early() override { compress_ = true; }
  void put(Planned& planned, KindIndex kind, std::int64_t at);
  void lift(Planned& planned);
  void demote_last();
  void promote();
  [[nodiscard]] std::int64_t earliest(KindIndex kind, std::int64_t chips, std::int64_t span);
  [[nodiscard]] std::int64_t room_until(KindIndex kind, std::int64_t chips) const;
  [[nodiscard]] bool may_come_forward(const Planned& planned, KindMask mine);
  bool replan(Planned& planned, Pool& pool, Allowance& allowance, Decision& out);
  void fill_behind(Pool& pool, Allowance& allowance, Decision& out);
  bool place(const Work& work, KindMask kinds, Pool& pool, Allowance& allowance, Decision& out);
  void push_next(std::size_t lane);

  std::size_t reservations_max_;
  Plan planned_;           // the first of the queue, by order
  backfill::Queue queue_;  // those behind them
  backfill::Walk walk_;
  backfill::Quotas quotas_;
  std::map<TaskId, backfill::Key> key_of_task_;  // of planned_
  std::array<std::int64_t, kKindsMax> free_{}, capacity_{};
  KindMask existing_ = 0;
  Time now_;
  std::int64_t gaps_ = 0;  // looked at in this decision
  bool compress_ = true;
  bool head_changed_ = false;
};

}  // namespace centrale
