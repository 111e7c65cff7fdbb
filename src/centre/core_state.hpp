// SPDX-License-Identifier: Apache-2.0
// Private to centre/: the state with its indexes, and the operations that core.cpp, jobs.cpp, services.cpp and nodes.cpp share.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ensure.hpp"
#include "centre/core.hpp"
#include "policy/defrag.hpp"
#include "policy/estimator.hpp"
#include "policy/spot.hpp"

namespace centrale {

/// Things by id. Ids grow; forgotten ones leave from the front. A slot that is given back keeps its allocations for the next.
template <class T, class IdType>
class IdTable {
 public:
  [[nodiscard]] T* find(IdType id) {
    return id.value < first_ || id.value >= first_ + slots_.size() ? nullptr : slots_[id.value - first_].get();
  }
  [[nodiscard]] const T* find(IdType id) const { return const_cast<IdTable*>(this)->find(id); }
  [[nodiscard]] T& at(IdType id) {
    T* const found = find(id);
    ensure(found != nullptr);
    return *found;
  }
  [[nodiscard]] const T& at(IdType id) const { return const_cast<IdTable*>(this)->at(id); }
  [[nodiscard]] IdType next_id() const { return IdType{first_ + slots_.size()}; }
  T& add() {
    std::unique_ptr<T> slot;
    if (spare_.empty()) {
      slot = std::make_unique<T>();
    } else {
      slot = std::move(spare_.back());
      spare_.pop_back();
    }
    slots_.push_back(std::move(slot));
    ++count_;
    return *slots_.back();
  }
  void erase(IdType id) {
    auto& slot = slots_[id.value - first_];
    if (!slot) { return; }
    reset(*slot);
    if (spare_.size() < 4096) { spare_.push_back(std::move(slot)); }
    slot.reset();
    --count_;
    while (!slots_.empty() && !slots_.front()) {
      slots_.pop_front();
      ++first_;
    }
  }
  template <class F>
  void each(F&& f) const {
    for (const auto& slot : slots_) {
      if (slot) { f(*slot); }
    }
  }
  [[nodiscard]] std::size_t size() const { return count_; }
  /// For restore(): the next add() gets `next`; gaps stay empty.
  void skip_to(IdType next) {
    if (slots_.empty()) { first_ = next.value; }
    while (first_ + slots_.size() < next.value) { slots_.push_back(nullptr); }
  }

 private:
  static void reset(Task& task) {
    auto chips = std::move(task.chips);
    chips.clear();
    task = Task{};
    task.chips = std::move(chips);
  }
  template <class U>
  static void reset(U& other) {
    other = U{};
  }

  std::deque<std::unique_ptr<T>> slots_;
  std::vector<std::unique_ptr<T>> spare_;
  std::uint64_t first_ = 1;
  std::size_t count_ = 0;
};

/// Everything that a snapshot holds, in the form in which it is written.
struct Saved {
  std::int64_t version = 1;
  std::uint64_t sequence = 0;
  Time now;
  std::vector<ChipKind> kinds;
  std::vector<Node> nodes;
  std::vector<Chip> chips;
  std::vector<Tenant> tenants;
  std::vector<Key> keys;
  std::vector<Job> jobs;
  std::vector<Task> tasks;
  std::vector<Service> services;
  std::vector<Timer> timers;
  std::vector<JobId> finished;
  JobId next_job;
  TaskId next_task;
  ServiceId next_service;
  TimerId next_timer;
  Scheduling scheduling;
  Corrections corrections;
  TimerId decide_timer;
  std::string policy_books;  // Policy::save
  std::string spot_books;
  std::vector<std::string> groups;
  std::vector<Reservation> reservations;
  ReservationId next_reservation{1};
  std::vector<ChipRecord> chip_records;
  std::vector<Hold> holds;
  TimerId defrag_timer;
  std::vector<TaskId> blocked_tasks;
};

template <class V>
void describe(V& v, Saved& s) {
  v("version", s.version);
  v("sequence", s.sequence);
  v("now", s.now);
  v("kinds", s.kinds);
  v("nodes", s.nodes);
  v("chips", s.chips);
  v("tenants", s.tenants);
  v("keys", s.keys);
  v("jobs", s.jobs);
  v("tasks", s.tasks);
  v("services", s.services);
  v("timers", s.timers);
  v("finished", s.finished);
  v("next_job", s.next_job);
  v("next_task", s.next_task);
  v("next_service", s.next_service);
  v("next_timer", s.next_timer);
  v("scheduling", s.scheduling);
  v("corrections", s.corrections);
  v("decide_timer", s.decide_timer);
  v("policy_books", s.policy_books);
  v("spot_books", s.spot_books);
  v("groups", s.groups);
  v("reservations", s.reservations);
  v("next_reservation", s.next_reservation);
  v("chip_records", s.chip_records);
  v("holds", s.holds);
  v("defrag_timer", s.defrag_timer);
  v("blocked_tasks", s.blocked_tasks);
}

/// How a task ended, as far as what follows from it goes.
enum class Ending : unsigned char { done, failed, failed_for_good, asked, lost };

struct CoreState final : Allowance {
  CoreLimits limits;
  std::unique_ptr<Policy> policy;

  std::uint64_t sequence = 0;
  Time now;
  std::vector<ChipKind> kinds;
  std::vector<Node> nodes;  // by id - 1, as chips, tenants and keys
  std::vector<Chip> chips;
  std::vector<Tenant> tenants;
  std::vector<Key> keys;
  IdTable<Job, JobId> jobs;
  IdTable<Task, TaskId> tasks;  // those not exited
  IdTable<Service, ServiceId> services;
  IdTable<Timer, TimerId> timers;
  std::deque<JobId> finished;  // oldest first; forgotten beyond the limit
  Scheduling scheduling;
  Corrections corrections;
  TimerId decide_timer;             // when the policy wants to be asked again
  std::vector<std::string> groups;  // names of domains, leaves and spines; a group's number is its place here + 1

  std::vector<Reservation> reservations;  // to come and under way, by id
  ReservationId next_reservation{1};
  std::map<std::uint64_t, ChipRecord> chip_records;  // by chip

  std::vector<Hold> holds;  // the job that moves were made for first, then those that move
  TimerId defrag_timer;     // when moves may be made again

  std::vector<TaskId> blocked_tasks;  // as of the last decision, unless moves are off: a policy that is made anew does not know

  Spot spot;  // bids for what the plan leaves; its books are saved with the policy's

  // Derived.
  Pool pool;
  KindPrices list_prices{};                                          // a chip hour by kind: the highest of its chips'
  std::map<std::uint64_t, std::vector<ReservationId>> booked;        // by node
  std::map<std::uint64_t, std::unique_ptr<Policy>> reserved_queues;  // by reservation under way: a small centre of its own
  std::unordered_map<std::string, NodeId> node_names;
  std::unordered_map<std::string, TenantId> tenant_names;
  std::unordered_map<std::string, ServiceId> service_names;
  struct SameName {
    JobId newest;
    std::size_t count = 0;
  };
  std::unordered_map<std::string, SameName> job_names;  // by "tenant id/name", of all jobs that are not forgotten
  std::unordered_map<std::string, KeyId> key_hashes;
  std::size_t unfinished_jobs = 0;
  std::unordered_map<std::string, std::uint32_t> group_numbers;
  std::vector<std::vector<std::int64_t>> held_by_kind;  // by tenant, kind: thousandths of chips
  /// What a tenant's running tasks cost: at any time t, per_hour x t + owed, in micro-units x ns per hour.
  struct Burn {
    Int128 per_hour = 0, owed = 0;
  };
  std::vector<Burn> burns;  // by tenant
  using TableKey = std::pair<const Speeds*, std::string>;
  struct MadeTable {
    std::weak_ptr<const SpeedTable> table;
    std::size_t kinds = 0;
    std::uint64_t corrections = 0;
  };
  std::map<TableKey, MadeTable> tables;  // looked up, never walked in order
  std::uint64_t corrections_seen = 0;

  // Of the apply() under way.
  Output* out = nullptr;
  bool schedule_wanted = false;
  std::vector<TenantId> budgets_touched;  // what they spend an hour has changed, or how much they may
  bool defrag_due = false;                // the timer has fired
  std::vector<ChipId> held_back;          // free chips that the decision under way does not see
  std::vector<Work> blocked;              // kept to save allocations
  Decision decision;                      // kept to save allocations

  [[nodiscard]] KindMask kinds_for(TenantId tenant, std::int64_t chips, std::int64_t share_milli) const override;
  void take(TenantId tenant, KindIndex kind, std::int64_t chips, std::int64_t share_milli) override;

  // core.cpp
  void act(Act action);
  void changed(Change::What what, std::uint64_t id);
  TimerId set_timer(Timer timer);

  // work.cpp
  void schedule();
  void carry_out();  // the decision
  [[nodiscard]] std::shared_ptr<const SpeedTable> table_of(const Job& job);
  [[nodiscard]] Work work_of(const Job& job);
  [[nodiscard]] Work work_of(const Service& service, const Task& task) const;
  [[nodiscard]] Work work_of(const Task& task);
  [[nodiscard]] Gang gang_of(const JobSpec& spec) const;
  [[nodiscard]] Gang gang_of(const Task& task) const;
  [[nodiscard]] std::int64_t held_of(TenantId tenant, KindIndex kind) const;
  void adopt(const Task& task);
  void use_policy(std::unique_ptr<Policy> fresh);
  void tell_tenancy(TenantId tenant);
  Result<void> on(SchedulingSet& e);
  Result<void> on(SpeedRevised& e);

  [[nodiscard]] Result<KindChoice> choose_kinds(const std::vector<std::string>& names) const;
  [[nodiscard]] Result<void> check_quota(TenantId tenant, const Gang& gang) const;
  [[nodiscard]] Result<void> check_fits(const std::vector<std::string>& kind_names, const Gang& gang) const;

  // billing.cpp
  /// What the tenant spent in the period under way, what runs included.
  [[nodiscard]] MicroCurrency spent(TenantId tenant) const;
  /// … and what it had spent when that period began.
  [[nodiscard]] MicroCurrency spent_before(TenantId tenant) const;
  /// What its running tasks owe at `at`, which is not before the last change.
  [[nodiscard]] MicroCurrency accrued(TenantId tenant, Time at) const;
  [[nodiscard]] bool within_budget(TenantId tenant) const;
  void roll_cost_period(TenantId tenant);
  void burn(const Task& task, bool starts);
  /// From now on the task pays `rate`.
  void settle(Task& task, MicroCurrency rate);
  [[nodiscard]] MicroCurrency rate_of(const Task& task) const;
  [[nodiscard]] PayClass pay_class_of(const Task& task) const;
  [[nodiscard]] Time budget_changes(TenantId tenant) const;
  void watch_budget(TenantId tenant);
  void watch_budgets();
  /// Stops what may be stopped.
  void stop_sparable(TenantId tenant);
  [[nodiscard]] WaitReason waits_for(const Job& job) const;

  // market.cpp
  void trade();
  [[nodiscard]] bool is_spot(const Task& task) const;
  /// Its chips count for the tenant (sign 1) or no longer do (-1).
  void hold_chips(const Task& task, std::int64_t sign);
  void list_price(Chip& chip, MicroCurrency price);

  // defrag.cpp
  Result<void> on(MoveWanted& e);
  Result<void> on(DefragApproved& e);
  [[nodiscard]] DefragPlan defrag_plan();
  [[nodiscard]] Placed placed_of(const Task& task);
  void carry_out(const DefragPlan& plan);
  void begin_holds();  // starts what has its room, and hides from the decision what is kept for others
  void end_holds();
  [[nodiscard]] bool still_holds(const Hold& hold) const;
  [[nodiscard]] bool has_room(const Hold& hold, const Work& work) const;
  void start_held(const Hold& hold, const Work& work);
  void defragment();  // after the decision
  // nodes.cpp
  Result<void> on(NodeJoined& e);
  Result<void> on(NodeLost& e);
  Result<void> on(NodeDrained& e);
  Result<void> on(NodeResumed& e);
  Result<void> on(ChipFailed& e);
  Result<void> on(ChipRepaired& e);
  Result<Node*> node_at(NodeId id);
  void set_health(ChipId id, ChipHealth health);
  Result<void> check_groups(const NodeJoined& e) const;
  std::int64_t kind_index(const std::string& name);
  std::uint32_t group_number(const std::string& name);
  void tell_where(NodeId id);
  void update_chips(NodeId id, const std::vector<ChipGroup>& groups);
  /// The task cannot stay where it is: it is stopped and placed again, at no cost to its restart budget.
  void evict(Task& task, const char* why);

  // reservations.cpp
  Result<void> on(ReservationMade& e);
  Result<void> on(ReservationCancelled& e);
  [[nodiscard]] Reservation* reservation_at(ReservationId id);
  [[nodiscard]] const Reservation* reservation_named(std::string_view name) const;
  [[nodiscard]] Result<std::vector<NodeId>> choose_nodes(const ReservationMade& e) const;
  [[nodiscard]] Result<void> check_reserved(const ReservationMade& e, const std::vector<NodeId>& chosen) const;
  [[nodiscard]] Result<void> check_reservation(TenantId tenant, const JobSpec& spec) const;
  [[nodiscard]] Time busy_until(const Node& node) const;
  void book(const Reservation& reservation);
  void reservation_due(ReservationId id);
  void open(Reservation& reservation);
  void close(ReservationId id);  // and forgets it
  /// The pool learns what it may give out of the node: by its state and by reservations.
  void tell_open(NodeId node);
  /// Who schedules the task: the queue of the reservation under way that it belongs to, else the centre's policy.
  [[nodiscard]] Policy& policy_of(const Task& task);
  [[nodiscard]] std::size_t queued() const;
  [[nodiscard]] bool head_changed() const;
  void schedule_reserved();
  [[nodiscard]] std::string reservation_contradiction() const;

  // health.cpp
  void note_ending(const Task& task, Ending ending, const std::string& message);
  void note_failure(ChipId chip, const std::string& reason);
  [[nodiscard]] bool is_suspect(const ChipRecord& record) const;
  [[nodiscard]] std::uint64_t owner_of(const Task& task) const;

  // tenants.cpp
  Result<void> on(TenantDefined& e);
  Result<void> on(KeyAdded& e);
  Result<void> on(KeyRevoked& e);
  Result<void> on(TokensMetered& e);
  [[nodiscard]] bool is_below(const std::string& name, const std::string& above) const;
  [[nodiscard]] Result<void> check_tenant(TenantId id) const;
  /// What a task has used and costs until `to`.
  [[nodiscard]] Usage held(const Task& task, Time to) const;

  // jobs.cpp
  Result<void> on(JobSubmitted& e);
  Result<void> on(JobCancelled& e);
  void enqueue(Job& job);
  void finish(Job& job, JobState state, std::string message);
  void resolve_dependents(JobId first);
  void forget_old_jobs();
  void remember_name(const Job& job);
  void forget_name(const Job& job);
  void job_task_ended(Job& job, const Task& task, Ending ending, std::string message);
  void retry_or_fail(Job& job, std::string message);
  [[nodiscard]] Result<std::vector<JobId>> unmet_dependencies(TenantId tenant, const JobSpec& spec) const;

  // services.cpp
  Result<void> on(ServiceDefined& e);
  Result<void> on(ServiceScaled& e);
  Result<void> on(ServiceRemoved& e);
  Result<void> on(ReplicaReady& e);
  Result<void> on(ReplicaUnready& e);
  /// Makes what runs agree with what is wanted. May erase the service, as the last thing.
  void reconcile(Service& service);
  void stop_replica(ReplicaSlot& slot);
  void roll(Service& service);
  void start_replica(Service& service, std::size_t ordinal);
  void replica_task_ended(Service& service, const Task& task, Ending ending, std::string message);
  [[nodiscard]] Result<Service*> service_at(ServiceId id);

  // tasks.cpp
  Result<void> on(TaskStarted& e);
  Result<void> on(TaskStartFailed& e);
  Result<void> on(TaskProgressed& e);
  Result<void> on(TaskExited& e);
  Result<void> on(TimerFired& e);
  void start(Task& task);  // it was placed
  void stop(Task& task);   // asks the driver; takes a queued one back
  void end(Task& task, Ending ending, std::string message, Millijoules energy);
  void release_chips(Task& task);
  /// What a report says of the work that is left, and of the speeds that were estimated.
  void note_work(Job& job, const Task& task, const TaskProgressed& e);
  [[nodiscard]] TenantId tenant_of(const Task& task) const;
  [[nodiscard]] Nanos grace_of(const Task& task) const;

  // snapshot.cpp
  [[nodiscard]] Saved save() const;
  Result<void> load(Saved saved);
  [[nodiscard]] std::string contradiction() const;
};

/// The key of job_names.
[[nodiscard]] std::string job_name_key(TenantId tenant, std::string_view name);
/// Back-off: doubles with each failure in a row, up to 5 minutes.
[[nodiscard]] Nanos backoff_after(Nanos first, std::int64_t failures);

}  // namespace centrale
