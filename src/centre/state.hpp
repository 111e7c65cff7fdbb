// SPDX-License-Identifier: Apache-2.0
// What the centre knows: plain structs, all of them in the snapshot. Indexes over them are derived, in core.cpp.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/reflect.hpp"
#include "base/units.hpp"
#include "centre/event.hpp"
#include "fleet/pool.hpp"
#include "spec/spec.hpp"

namespace centrale {

enum class JobState : unsigned char { queued, starting, running, stopping, done, failed, cancelled };
template <>
inline constexpr std::array<std::string_view, 7> kEnumNames<JobState>{"queued", "starting", "running",  "stopping",
                                                                      "done",   "failed",   "cancelled"};
[[nodiscard]] constexpr bool is_final(JobState s) { return s >= JobState::done; }

/// Why a queued job waits.
enum class WaitReason : unsigned char { none, chips, dependency, backoff, reservation, budget, quota, price };
template <>
inline constexpr std::array<std::string_view, 8> kEnumNames<WaitReason>{"none",        "chips",  "dependency", "backoff",
                                                                        "reservation", "budget", "quota",      "price"};

enum class TaskState : unsigned char { queued, starting, running, stopping, exited };
template <>
inline constexpr std::array<std::string_view, 5> kEnumNames<TaskState>{"queued", "starting", "running", "stopping", "exited"};

enum class NodeState : unsigned char { up, drained, lost };
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<NodeState>{"up", "drained", "lost"};

enum class ChipHealth : unsigned char { ok, failed, gone };
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<ChipHealth>{"ok", "failed", "gone"};

struct ChipKind {
  std::string name;
};

struct Chip {
  NodeId node;
  std::int64_t kind = 0;   // index into State::kinds
  std::int64_t local = 0;  // which of the node's chips of that kind
  Bytes memory;
  Milliwatts power;
  MicroCurrency price_per_hour;
  ChipHealth health = ChipHealth::ok;
  TaskId holder;                // none: free; of a shared chip, the first of …
  std::vector<TaskId> sharers;  // … those that have a part of it
};

/// What became of a chip and on it. There is one for each chip on which something failed, no more.
struct ChipRecord {
  ChipId chip;
  std::int64_t failures = 0;       // of the chip itself, as it was reported
  std::int64_t tasks_failed = 0;   // while they held it
  std::vector<std::uint64_t> row;  // owners (as Work::owner) of those that failed on it since one ended well; at most kFailedInARowMax
  std::string reason;              // of the last of all these
  Time last;
};
inline constexpr std::size_t kFailedInARowMax = 16;

struct Reservation {
  ReservationId id;
  std::string name;
  TenantId tenant;  // none: maintenance
  std::vector<NodeId> nodes;
  Time from, to;
  bool open = false;  // under way
  TimerId timer;
};

struct Node {
  std::string name;
  Bytes memory;
  NodeState state = NodeState::up;
  std::vector<ChipId> chips;  // contiguous ids unless the node grew
  Time since;
  std::int64_t cpu_milli = 0;
  std::string domain, leaf, spine;  // as it said when it joined
};

/// What a chip's time is charged by: its list price, less for what may be stopped for others, or the market's price.
enum class PayClass : unsigned char { on_demand, preemptible, spot };
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<PayClass>{"on_demand", "preemptible", "spot"};
[[nodiscard]] PayClass pay_class(const JobSpec& spec);
[[nodiscard]] MicroCurrency bid_of(const JobSpec& spec);  // a chip hour

/// What was used; sums, never lost when jobs are forgotten.
struct Usage {
  Nanos device_time;  // chips x time
  Millijoules energy;
  std::int64_t energy_estimated = 0;  // how many tasks' energy was estimated, not measured
  std::int64_t tokens_trained = 0;
  std::int64_t requests = 0, prompt_tokens = 0, completion_tokens = 0, estimated_tokens = 0;
  MicroCurrency cost;
  // Of the device time and the cost above; the rest is on demand.
  Nanos preemptible_time{}, spot_time{};
  MicroCurrency preemptible_cost{}, spot_cost{};

  Usage& operator+=(const Usage& other);
};

struct Tenant {
  std::string name;
  Quota quota;
  std::int64_t chips_held = 0;  // a part of one counts as one
  std::int64_t held_milli = 0;  // a part counts as that
  std::int64_t day = 0;         // days since the epoch that day_tokens counts
  std::int64_t day_tokens = 0;
  std::int64_t cost_period = 0;  // which of the quota's periods …
  MicroCurrency cost_before;     // … began with this sum, what ran then included
  std::int64_t spot_held = 0;    // chips held by bids, beyond chips_held
  TimerId budget_timer;          // when to look again whether its budget is spent, or a new period begins
  Usage usage;
};

struct Key {
  TenantId tenant;
  std::string label;
  std::string hash;  // hex; the key itself is never stored
  Role role = Role::user;
  bool revoked = false;
  Time added;
};

struct Job {
  JobId id;
  TenantId tenant;
  JobSpec spec;
  JobState state = JobState::queued;
  WaitReason wait = WaitReason::none;
  std::int64_t array_index = -1;  // -1: not of an array
  std::uint64_t order = 0;        // sequence of its submission; keeps its place after a retry
  std::int64_t attempts = 0;
  std::int64_t failures = 0;  // counted against the restart budget
  TaskId task;                // the attempt under way, or the last one
  std::vector<JobId> unmet;   // dependencies not yet done
  std::vector<JobId> dependents;
  bool cancel_wanted = false;
  bool over_time = false;             // stopped for its time limit
  Time submitted, started, finished;  // started: first attempt
  std::string message;                // why it ended, or why the last attempt did
  TaskProgressed progress;
  Usage usage;
  Shared<Speeds> speeds;
  double work_done = 0;    // in units of `speeds`; without them, seconds as asked
  std::int64_t stops = 0;  // for others, by the scheduler
  Time queued;             // since when it waits, this time
  Time saved;              // when its newest checkpoint was reported
  Time reported;           // when its progress was
};

struct Task {
  TaskId id;
  JobId job;                 // either a job …
  ServiceId service;         // … or a service's replica
  std::int64_t ordinal = 0;  // of the replica
  std::int64_t generation = 0;
  std::int64_t attempt = 1;
  TaskState state = TaskState::queued;
  std::int64_t chips_per_worker = 1;  // these two as the spec was when it was queued
  Bytes memory;
  std::vector<ChipId> chips;  // rank order
  Time placed, started, ended;
  bool stop_wanted = false;
  bool late = false;  // stopped because it was not ready in time: counts as a failure
  bool ready = false;
  std::int64_t port = 0;
  TimerId timer;  // start timeout or time limit
  std::int64_t cpu_milli = 0;
  std::int64_t share_milli = 1000;
  MicroCurrency rate;            // an hour of all its chips, as agreed
  MicroCurrency billed;          // what it cost until …
  Time billed_until;             // … then, …
  std::int64_t billed_rest = 0;  // … and micro-units x ns of the next hour's
  std::int64_t row = -1;         // of its job's speeds: the shape that it runs in; -1: as asked
  ReservationId reservation;     // whose queue and nodes it belongs to
  bool apart = false;            // as the service's spec was when it was queued
};

/// One ordinal of a service: which task it has now, and how its last ones failed.
struct ReplicaSlot {
  TaskId task;                // none: waits (back-off), or is not wanted
  std::int64_t failures = 0;  // in a row; a replica that got ready resets it
  TimerId retry;
  std::string message;
};

struct Service {
  ServiceId id;
  TenantId tenant;
  ServiceSpec spec;
  std::int64_t generation = 1;
  bool removing = false;
  std::vector<ReplicaSlot> replicas;
  Time defined;
  std::uint64_t order = 0;
  Usage usage;
};

enum class TimerPurpose : unsigned char { retry_job, retry_replica, start_timeout, time_limit, decide, reservation, budget, defrag };
template <>
inline constexpr std::array<std::string_view, 8> kEnumNames<TimerPurpose>{"retry_job", "retry_replica", "start_timeout", "time_limit",
                                                                          "decide",    "reservation",   "budget",        "defrag"};

/// Chips that were cleared, or are kept free, for one job: nobody else gets them until then.
struct Hold {
  JobId job;
  std::vector<ChipId> chips;  // rank order
  Time until;
};

struct Timer {
  TimerId id;
  Time due;
  TimerPurpose purpose = TimerPurpose::retry_job;
  JobId job;
  ServiceId service;
  TaskId task;
  std::int64_t ordinal = 0;
  ReservationId reservation{};
  TenantId tenant{};
};

template <class V>
void describe(V& v, ChipKind& k) {
  v("name", k.name);
}
template <class V>
void describe(V& v, Chip& c) {
  v("node", c.node);
  v("kind", c.kind);
  v("local", c.local);
  v("memory", c.memory);
  v("power_mw", c.power);
  v("price_per_hour_micro", c.price_per_hour);
  v("health", c.health);
  v("holder", c.holder);
  v("sharers", c.sharers);
}
template <class V>
void describe(V& v, ChipRecord& r) {
  v("chip", r.chip);
  v("failures", r.failures);
  v("tasks_failed", r.tasks_failed);
  v("row", r.row);
  v("reason", r.reason);
  v("last", r.last);
}
template <class V>
void describe(V& v, Reservation& r) {
  v("id", r.id);
  v("name", r.name);
  v("tenant", r.tenant);
  v("nodes", r.nodes);
  v("from", r.from);
  v("to", r.to);
  v("open", r.open);
  v("timer", r.timer);
}
template <class V>
void describe(V& v, Node& n) {
  v("name", n.name);
  v("memory", n.memory);
  v("state", n.state);
  v("chips", n.chips);
  v("since", n.since);
  v("cpu_milli", n.cpu_milli);
  v("domain", n.domain);
  v("leaf", n.leaf);
  v("spine", n.spine);
}
template <class V>
void describe(V& v, Usage& u) {
  v("device_ns", u.device_time);
  v("energy_mj", u.energy);
  v("energy_estimated", u.energy_estimated);
  v("tokens_trained", u.tokens_trained);
  v("requests", u.requests);
  v("prompt_tokens", u.prompt_tokens);
  v("completion_tokens", u.completion_tokens);
  v("estimated_tokens", u.estimated_tokens);
  v("cost_micro", u.cost);
  v("preemptible_ns", u.preemptible_time);
  v("spot_ns", u.spot_time);
  v("preemptible_cost_micro", u.preemptible_cost);
  v("spot_cost_micro", u.spot_cost);
}
template <class V>
void describe(V& v, Tenant& t) {
  v("name", t.name);
  v("quota", t.quota);
  v("chips_held", t.chips_held);
  v("held_milli", t.held_milli);
  v("day", t.day);
  v("day_tokens", t.day_tokens);
  v("cost_period", t.cost_period);
  v("cost_before_micro", t.cost_before);
  v("spot_held", t.spot_held);
  v("budget_timer", t.budget_timer);
  v("usage", t.usage);
}
template <class V>
void describe(V& v, Key& k) {
  v("tenant", k.tenant);
  v("label", k.label);
  v("hash", k.hash);
  v("role", k.role);
  v("revoked", k.revoked);
  v("added", k.added);
}
template <class V>
void describe(V& v, Job& j) {
  v("id", j.id);
  v("tenant", j.tenant);
  v("spec", j.spec);
  v("state", j.state);
  v("wait", j.wait);
  v("array_index", j.array_index);
  v("order", j.order);
  v("attempts", j.attempts);
  v("failures", j.failures);
  v("task", j.task);
  v("unmet", j.unmet);
  v("dependents", j.dependents);
  v("cancel_wanted", j.cancel_wanted);
  v("over_time", j.over_time);
  v("submitted", j.submitted);
  v("started", j.started);
  v("finished", j.finished);
  v("message", j.message);
  v("progress", j.progress);
  v("usage", j.usage);
  v("speeds", j.speeds);
  v("work_done", j.work_done);
  v("stops", j.stops);
  v("queued", j.queued);
  v("saved", j.saved);
  v("reported", j.reported);
}
template <class V>
void describe(V& v, Task& t) {
  v("id", t.id);
  v("job", t.job);
  v("service", t.service);
  v("ordinal", t.ordinal);
  v("generation", t.generation);
  v("attempt", t.attempt);
  v("state", t.state);
  v("chips_per_worker", t.chips_per_worker);
  v("memory", t.memory);
  v("chips", t.chips);
  v("placed", t.placed);
  v("started", t.started);
  v("ended", t.ended);
  v("stop_wanted", t.stop_wanted);
  v("late", t.late);
  v("ready", t.ready);
  v("port", t.port);
  v("timer", t.timer);
  v("cpu_milli", t.cpu_milli);
  v("share_milli", t.share_milli);
  v("rate_micro", t.rate);
  v("billed_micro", t.billed);
  v("billed_until", t.billed_until);
  v("billed_rest", t.billed_rest);
  v("row", t.row);
  v("reservation", t.reservation);
  v("apart", t.apart);
}
template <class V>
void describe(V& v, ReplicaSlot& r) {
  v("task", r.task);
  v("failures", r.failures);
  v("retry", r.retry);
  v("message", r.message);
}
template <class V>
void describe(V& v, Service& s) {
  v("id", s.id);
  v("tenant", s.tenant);
  v("spec", s.spec);
  v("generation", s.generation);
  v("removing", s.removing);
  v("replicas", s.replicas);
  v("defined", s.defined);
  v("order", s.order);
  v("usage", s.usage);
}
template <class V>
void describe(V& v, Hold& h) {
  v("job", h.job);
  v("chips", h.chips);
  v("until", h.until);
}
template <class V>
void describe(V& v, Timer& t) {
  v("id", t.id);
  v("due", t.due);
  v("purpose", t.purpose);
  v("job", t.job);
  v("service", t.service);
  v("task", t.task);
  v("ordinal", t.ordinal);
  v("reservation", t.reservation);
  v("tenant", t.tenant);
}

}  // namespace centrale
