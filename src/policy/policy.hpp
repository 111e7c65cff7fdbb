// SPDX-License-Identifier: Apache-2.0
// Who runs next, on what. A policy keeps its own books of what waits and what runs, and answers, when the core asks, which tasks
// start now and on which chips, and which are to stop for them. It knows no jobs, no services and no clock.
#pragma once
#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "base/reflect.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "fleet/pool.hpp"
#include "fleet/spread.hpp"

namespace centrale {

inline constexpr Time kNever{std::numeric_limits<std::int64_t>::max()};

/// One way to run a job: a SpeedRow whose kind this centre has.
struct Shape {
  KindIndex kind = 0;
  std::int32_t workers = 1, chips = 1;  // chips of each worker
  std::array<float, kSpreads> rate{};   // work units a second by spread, observed corrections included
  std::uint32_t row = 0;                // of Speeds::rows
  [[nodiscard]] std::int64_t total() const { return std::int64_t{workers} * chips; }
};
/// By kind, then total chips, then row. Shared by jobs that are alike.
struct SpeedTable {
  std::vector<Shape> shapes;
};

/// A task that waits for chips or has some.
struct Work {
  TaskId task;
  std::uint64_t owner = 0;  // its job: the same over all attempts; a replica's has the highest bit set
  TenantId tenant;
  std::int64_t priority = 0;
  std::uint64_t order = 0;  // submit sequence; a retried task keeps its job's place
  KindChoice kinds;
  Gang gang;                                      // as asked
  std::int64_t workers_min = 0, workers_max = 0;  // elastic; both 0: as asked only
  bool service = false;
  bool preemptible = false;
  std::shared_ptr<const SpeedTable> speed;  // none: nothing is known, it is run as asked
  double work_left = 0;                     // units of `speed`; without one, seconds as asked; 0: unknown
  Nanos expected;                           // from start to end as asked, as the user or the speeds say; 0: unknown
  Time submitted;
  Time queued;             // since when it waits, this time
  Nanos attained;          // chips x time of earlier attempts
  Time reported;           // work_left is of then; before its start: of its start
  Time saved;              // what was done until then survives a stop or a failure
  Nanos restart_cost;      // from a start to its first new step
  Nanos checkpoint_every;  // 0: it writes one when told to stop, and loses nothing
  MicroCurrency bid;       // a chip hour at most, on chips that are left over; 0: not for sale

  [[nodiscard]] std::int64_t chips_total() const { return gang.workers * gang.chips; }
};

/// A task that starts: chips[first … first + count) of the decision, `workers` x `chips` of them in rank order.
struct Start {
  TaskId task;
  std::size_t first = 0, count = 0;
  std::int64_t chips = 1;  // of each worker; count / chips workers
  std::int64_t row = -1;   // of the job's Speeds: the shape that was chosen; -1: as asked
};

enum class StopReason : unsigned char { preempted, resized, moved, outbid };
template <>
inline constexpr std::array<std::string_view, 4> kEnumNames<StopReason>{"preempted", "resized", "moved", "outbid"};

/// A task that has to give its chips back; it is queued again, at no cost to its restart budget.
struct Stop {
  TaskId task;
  StopReason why = StopReason::preempted;
};

/// Kept by the core between calls, so that a decision allocates nothing.
struct Decision {
  std::vector<Start> starts;
  std::vector<ChipId> chips;
  std::vector<Stop> stops;
  Time wake = kNever;  // ask again then, if nothing happened before
  void clear() {
    starts.clear();
    chips.clear();
    stops.clear();
    wake = kNever;
  }
};

/// What tenants may still take: quotas, by kind and in all, and budgets. Lives for one decision.
class Allowance {
 public:
  virtual ~Allowance() = default;
  /// The kinds of which the tenant may take `chips` more.
  [[nodiscard]] virtual KindMask kinds_for(TenantId tenant, std::int64_t chips, std::int64_t share_milli = 1000) const = 0;
  /// The policy gives it so many.
  virtual void take(TenantId tenant, KindIndex kind, std::int64_t chips, std::int64_t share_milli = 1000) = 0;
};

struct Tenancy {    // of one tenant, for fair shares
  TenantId parent;  // none: the root
  double weight = 1;
};

class Policy {
 public:
  virtual ~Policy() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  virtual void enqueue(const Work& work) = 0;
  /// Takes back what waits, given as it was enqueued.
  virtual void dequeue(const Work& work) = 0;
  /// After a restart: `work` holds these chips, in this shape, since then.
  virtual void adopt(const Work& work, std::span<const ChipId> chips, std::int64_t chips_per_worker, std::int64_t row, Time since);
  /// It was told to stop (by a decision or otherwise) and will give its chips back.
  virtual void stopping(TaskId task);
  /// It gave its chips back.
  virtual void ended(TaskId task);
  /// A report: so much work is left; what was done until `saved` survives a stop.
  virtual void progressed(TaskId task, double work_left, Time now, Time saved);
  /// Its speeds were corrected.
  virtual void respeed(TaskId task, std::shared_ptr<const SpeedTable> speed);
  virtual void tenancy(TenantId tenant, const Tenancy& tenancy);
  /// True when decide() could do something that it could not before the last enqueue().
  [[nodiscard]] virtual bool head_changed() const = 0;
  /// Takes chips from `pool` for every task that starts now. The same books, pool and time give the same answer; ties are broken by order.
  virtual void decide(Pool& pool, Allowance& allowance, Time now, Decision& out) = 0;
  [[nodiscard]] virtual std::size_t queued() const = 0;
  /// What waits longest for chips that others have (not for its quota): what spot work must make room for.
  [[nodiscard]] virtual std::optional<Work> blocked() const { return std::nullopt; }
  /// The same for each set of kinds that something waits for, first in order first; appended.
  virtual void each_blocked(std::vector<Work>& out) const {
    if (std::optional<Work> first = blocked()) { out.push_back(std::move(*first)); }
  }
  /// Books that cannot be told from the work itself, as text; what was saved is loaded after all work was enqueued or adopted.
  [[nodiscard]] virtual std::string save() const { return {}; }
  [[nodiscard]] virtual Result<void> load(std::string_view saved);
};

/// How chips that are left over are sold, and what it is worth to be preemptible; see policy/market.hpp.
struct Market {
  double reserve = 0.2;               // no chip is sold below this part of its list price
  Nanos period = seconds(60);         // running bids are not priced anew, nor outbid, more often than this
  double preemptible_discount = 0.3;  // off the list price, for work that may be stopped for others
};
template <class V>
void describe(V& v, Market& m) {
  v("reserve", m.reserve, "no idle chip is sold below this part of its list price");
  v("period", m.period, "running bids are priced anew at most so often");
  v("preemptible_discount", m.preemptible_discount, "taken off the list price for work that may be stopped for others");
}

/// What an operator sets. Part of the journal: replaying it decides alike.
struct Scheduling {
  std::string policy = "fifo";
  Nanos round;                     // elastic policies think again this often; 0: their default
  Nanos starvation_after;          // what waited so long goes first; 0: the policy's default
  std::int64_t suspect_after = 3;  // different jobs that fail in a row on a chip make it a suspect; 0: never
  bool quarantine = false;         // a suspect chip is taken out by itself, until somebody says that it is repaired
  Market market{};
  std::string defrag = "off";          // off, propose: shown, carried out when somebody says so, auto: carried out; see policy/defrag.hpp
  Nanos defrag_period = seconds(600);  // a gang has waited so long before tasks are moved for it, and moves are no more frequent
};
template <class V>
void describe(V& v, Scheduling& s) {
  v("policy", s.policy, "who runs next; see `centrale policies`");
  v("round", s.round, "how often elastic policies think again; none: their default");
  v("starvation_after", s.starvation_after, "a job that waited so long goes before all others; none: the policy's default");
  v("suspect_after", s.suspect_after, "so many different jobs that fail in a row on a chip make it a suspect; 0: never");
  v("quarantine", s.quarantine, "a suspect chip is taken out until `centrale repair` says that it is well");
  v("market", s.market, "how idle chips are sold, and what preemptible work pays");
  v("defrag", s.defrag, "moving preemptible tasks so that a gang finds room: off, propose or auto");
  v("defrag_period", s.defrag_period, "tasks are moved by themselves at most so often");
}

/// Makes the policy, or says which there are.
[[nodiscard]] Result<std::unique_ptr<Policy>> make_policy(const Scheduling& scheduling);
[[nodiscard]] Result<std::unique_ptr<Policy>> make_policy(std::string_view name);
/// Name and one line each, for `centrale policies`.
[[nodiscard]] std::vector<std::pair<std::string_view, std::string_view>> policy_names();

}  // namespace centrale
