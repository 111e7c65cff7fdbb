// SPDX-License-Identifier: Apache-2.0
// What can happen (events, journaled) and what is then to be done (actions). Events are facts or accepted wishes;
// the fold of them is the state.
#pragma once
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.hpp"
#include "base/reflect.hpp"
#include "base/units.hpp"
#include "policy/policy.hpp"
#include "spec/spec.hpp"
#include "spec/speed.hpp"

namespace centrale {

/// `count` chips of one kind in a node.
struct ChipGroup {
  std::string kind;
  std::int64_t count = 0;
  Bytes memory;                  // of each
  Milliwatts power;              // of each, under load
  MicroCurrency price_per_hour;  // of each
};

enum class Role : unsigned char { viewer, user, admin };
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<Role>{"viewer", "user", "admin"};

/// Chips of one kind at the same time.
struct KindQuota {
  std::string kind;
  std::int64_t chips_max = 0;
};

/// What a tenant may use. 0 means no limit.
struct Quota {
  std::int64_t chips_max = 0;           // at the same time
  std::int64_t tokens_per_day_max = 0;  // served tokens, prompt and completion, per UTC day
  std::vector<KindQuota> kinds{};       // kinds not named: no limit of their own
  MicroCurrency cost_max{};             // what it may spend each `cost_period`; nothing new starts beyond it
  Nanos cost_period{};                  // 0: for good
  std::string parent{};                 // the tenant whose share this one's is a part of; empty: the centre itself
  double weight = 1;                    // of its share among its parent's
};

// Nodes and chips. A node that joins under a known name is that node again.
struct NodeJoined {
  std::string name;
  Bytes memory;
  std::vector<ChipGroup> chips;
  std::int64_t cpu_milli = 0;             // 0: not counted
  std::string domain{}, leaf{}, spine{};  // the fabric and the switches that it shares with nodes that say the same; empty: nothing known
};
struct NodeLost {
  NodeId node;
};
struct NodeDrained {
  NodeId node;
};
struct NodeResumed {
  NodeId node;
};
struct ChipFailed {
  ChipId chip;
  std::string reason;
};
struct ChipRepaired {
  ChipId chip;
};
// Tenants and keys.
struct TenantDefined {
  std::string name;
  Quota quota;
};
struct KeyAdded {
  TenantId tenant;
  std::string label;
  std::string hash;
  Role role = Role::user;
};
struct KeyRevoked {
  KeyId key;
};
// Wishes.
struct JobSubmitted {
  TenantId tenant;
  JobSpec spec;
  Shared<Speeds> speeds{};  // what the estimator says; none: it is run as asked
};
/// So long the nodes are a tenant's alone, for its jobs that name the reservation; without a tenant nobody's: maintenance.
struct ReservationMade {
  std::string name;
  TenantId tenant;
  std::vector<NodeId> nodes{};  // these, or …
  std::string kind{};           // … whole nodes, those that are free soonest, with at least …
  std::int64_t chips = 0;       // … so many chips of the kind
  Time from, to;
};
struct ReservationCancelled {
  std::string name;
};
/// The estimator says otherwise now.
struct SpeedRevised {
  JobId job;
  Shared<Speeds> speeds;
};
/// How to schedule from now on.
struct SchedulingSet {
  Scheduling scheduling;
};
/// A preemptible task gives its chips back and is placed again by the policy.
struct MoveWanted {
  TaskId task;
};
/// The moves that are proposed now are to be carried out.
struct DefragApproved {};
struct JobCancelled {
  JobId job;
};
struct ServiceDefined {
  TenantId tenant;
  ServiceSpec spec;
};
struct ServiceScaled {
  ServiceId service;
  std::int64_t replicas = 0;
};
struct ServiceRemoved {
  ServiceId service;
};
// What became of tasks.
struct TaskStarted {
  TaskId task;
};
struct TaskStartFailed {
  TaskId task;
  std::string message;
  bool permanent = false;
};
struct TaskProgressed {
  TaskId task;
  std::int64_t step = 0, steps = 0;
  std::int64_t loss_micro = 0;  // 1e-6 nats
  std::int64_t tokens = 0;      // cumulative over the job
  std::int64_t tokens_per_s_milli = 0;
  Nanos eta;
  std::string checkpoint;  // the newest complete one; empty: none said
};
struct TaskExited {
  TaskId task;
  std::int64_t code = 0;
  std::int64_t signal = 0;
  bool lost = false;  // nobody knows how it ended; nothing of it lives
  std::string message;
  Millijoules energy;  // measured; 0: not, and the core estimates from the chips' power
};
struct ReplicaReady {
  TaskId task;
  std::int64_t port = 0;
};
struct ReplicaUnready {
  TaskId task;
  std::string reason;
};
struct TimerFired {
  TimerId timer;
};
/// One request's tokens, or several summed.
struct TokensMetered {
  TenantId tenant;
  ServiceId service;
  std::int64_t requests = 0, prompt_tokens = 0, completion_tokens = 0, estimated_tokens = 0;
};

using Event = std::variant<NodeJoined, NodeLost, NodeDrained, NodeResumed, ChipFailed, ChipRepaired, TenantDefined, KeyAdded, KeyRevoked,
                           JobSubmitted, JobCancelled, ServiceDefined, ServiceScaled, ServiceRemoved, TaskStarted, TaskStartFailed,
                           TaskProgressed, TaskExited, ReplicaReady, ReplicaUnready, TimerFired, TokensMetered, SpeedRevised, SchedulingSet,
                           ReservationMade, ReservationCancelled, MoveWanted, DefragApproved>;
template <>
inline constexpr std::array<std::string_view, 28> kVariantNames<Event>{
    "node_joined",           "node_lost",       "node_drained",   "node_resumed",    "chip_failed",
    "chip_repaired",         "tenant_defined",  "key_added",      "key_revoked",     "job_submitted",
    "job_cancelled",         "service_defined", "service_scaled", "service_removed", "task_started",
    "task_start_failed",     "task_progressed", "task_exited",    "replica_ready",   "replica_unready",
    "timer_fired",           "tokens_metered",  "speed_revised",  "scheduling_set",  "reservation_made",
    "reservation_cancelled", "move_wanted",     "defrag_approved"};

// Actions. Each carries (sequence, index) so that issuing it again after a crash is harmless.
struct StartTask {
  TaskId task;
};
struct StopTask {
  TaskId task;
  Nanos grace;
};
struct SetTimer {
  TimerId timer;
  Time due;
};
using Act = std::variant<StartTask, StopTask, SetTimer>;
struct Action {
  std::uint64_t sequence = 0;  // of the event that caused it
  std::uint32_t index = 0;
  Act act;
};

template <class V>
void describe(V& v, ChipGroup& g) {
  v("kind", g.kind);
  v("count", g.count);
  v("memory", g.memory);
  v("power_mw", g.power);
  v("price_per_hour_micro", g.price_per_hour);
}
template <class V>
void describe(V& v, KindQuota& q) {
  v("kind", q.kind);
  v("chips_max", q.chips_max);
}
template <class V>
void describe(V& v, Quota& q) {
  v("chips_max", q.chips_max);
  v("tokens_per_day_max", q.tokens_per_day_max);
  v("kinds", q.kinds);
  v("cost_max_micro", q.cost_max);
  v("cost_period_ns", q.cost_period);
  v("parent", q.parent);
  v("weight", q.weight);
}
template <class V>
void describe(V& v, NodeJoined& e) {
  v("name", e.name);
  v("memory", e.memory);
  v("chips", e.chips);
  v("cpu_milli", e.cpu_milli);
  v("domain", e.domain);
  v("leaf", e.leaf);
  v("spine", e.spine);
}
template <class V>
void describe(V& v, NodeLost& e) {
  v("node", e.node);
}
template <class V>
void describe(V& v, NodeDrained& e) {
  v("node", e.node);
}
template <class V>
void describe(V& v, NodeResumed& e) {
  v("node", e.node);
}
template <class V>
void describe(V& v, ChipFailed& e) {
  v("chip", e.chip);
  v("reason", e.reason);
}
template <class V>
void describe(V& v, ChipRepaired& e) {
  v("chip", e.chip);
}
template <class V>
void describe(V& v, TenantDefined& e) {
  v("name", e.name);
  v("quota", e.quota);
}
template <class V>
void describe(V& v, KeyAdded& e) {
  v("tenant", e.tenant);
  v("label", e.label);
  v("hash", e.hash);
  v("role", e.role);
}
template <class V>
void describe(V& v, KeyRevoked& e) {
  v("key", e.key);
}
template <class V>
void describe(V& v, JobSubmitted& e) {
  v("tenant", e.tenant);
  v("spec", e.spec);
  v("speeds", e.speeds);
}
template <class V>
void describe(V& v, SpeedRevised& e) {
  v("job", e.job);
  v("speeds", e.speeds);
}
template <class V>
void describe(V& v, SchedulingSet& e) {
  v("scheduling", e.scheduling);
}
template <class V>
void describe(V& v, ReservationMade& e) {
  v("name", e.name);
  v("tenant", e.tenant);
  v("nodes", e.nodes);
  v("kind", e.kind);
  v("chips", e.chips);
  v("from", e.from);
  v("to", e.to);
}
template <class V>
void describe(V& v, ReservationCancelled& e) {
  v("name", e.name);
}
template <class V>
void describe(V& v, MoveWanted& e) {
  v("task", e.task);
}
template <class V>
void describe(V&, DefragApproved&) {}
template <class V>
void describe(V& v, JobCancelled& e) {
  v("job", e.job);
}
template <class V>
void describe(V& v, ServiceDefined& e) {
  v("tenant", e.tenant);
  v("spec", e.spec);
}
template <class V>
void describe(V& v, ServiceScaled& e) {
  v("service", e.service);
  v("replicas", e.replicas);
}
template <class V>
void describe(V& v, ServiceRemoved& e) {
  v("service", e.service);
}
template <class V>
void describe(V& v, TaskStarted& e) {
  v("task", e.task);
}
template <class V>
void describe(V& v, TaskStartFailed& e) {
  v("task", e.task);
  v("message", e.message);
  v("permanent", e.permanent);
}
template <class V>
void describe(V& v, TaskProgressed& e) {
  v("task", e.task);
  v("step", e.step);
  v("steps", e.steps);
  v("loss_micro", e.loss_micro);
  v("tokens", e.tokens);
  v("tokens_per_s_milli", e.tokens_per_s_milli);
  v("eta_ns", e.eta);
  v("checkpoint", e.checkpoint);
}
template <class V>
void describe(V& v, TaskExited& e) {
  v("task", e.task);
  v("code", e.code);
  v("signal", e.signal);
  v("lost", e.lost);
  v("message", e.message);
  v("energy_mj", e.energy);
}
template <class V>
void describe(V& v, ReplicaReady& e) {
  v("task", e.task);
  v("port", e.port);
}
template <class V>
void describe(V& v, ReplicaUnready& e) {
  v("task", e.task);
  v("reason", e.reason);
}
template <class V>
void describe(V& v, TimerFired& e) {
  v("timer", e.timer);
}
template <class V>
void describe(V& v, TokensMetered& e) {
  v("tenant", e.tenant);
  v("service", e.service);
  v("requests", e.requests);
  v("prompt_tokens", e.prompt_tokens);
  v("completion_tokens", e.completion_tokens);
  v("estimated_tokens", e.estimated_tokens);
}

}  // namespace centrale
