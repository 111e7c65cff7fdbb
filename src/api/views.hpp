// SPDX-License-Identifier: Apache-2.0
// What the outside sees of the centre: plain structs, and pure functions from the core to them. Units stay types here; view_json.hpp
// writes them in the units of docs/api.md (seconds, bytes, joules, watts, the centre's currency, RFC 3339).
// std::nullopt is written as null: "not known" or "there is none".
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/reflect.hpp"
#include "base/units.hpp"
#include "centre/core.hpp"

namespace centrale::api {

// Limits on one view, each so that a page of them stays small.
inline constexpr std::size_t kPlacesShownMax = 256;               // of a gang of up to 100,000 workers
inline constexpr std::size_t kCommandBytesShownMax = 8UL * 1024;  // of up to 32 MiB
inline constexpr std::size_t kReplicasShownMax = 1'000;           // of up to 10,000

/// What the machine says of a chip now; nothing where it does not say.
struct ChipSample {
  std::optional<double> utilisation;  // 0 to 1
  std::optional<Milliwatts> power;
};

/// The latest samples. Called on the core thread; must not block.
class Telemetry {
 public:
  virtual ~Telemetry() = default;
  [[nodiscard]] virtual ChipSample sample(ChipId chip) const = 0;
};
/// A machine that says nothing.
class NoTelemetry final : public Telemetry {
 public:
  [[nodiscard]] ChipSample sample(ChipId) const override { return {}; }
};

/// Who looks. Without a tenant filter everything is seen.
struct Scope {
  std::optional<TenantId> tenant;
  [[nodiscard]] bool sees(TenantId owner) const { return !tenant || *tenant == owner; }
};

struct JournalView {
  static constexpr const char* kName = "Journal";
  bool ok = true;
  std::string message;
  std::string kind;
};
struct ChipCounts {
  static constexpr const char* kName = "ChipCounts";
  std::int64_t total = 0, busy = 0, free = 0, failed = 0;
};
struct JobCounts {
  static constexpr const char* kName = "JobCounts";
  std::int64_t queued = 0, starting = 0, running = 0, stopping = 0, done = 0, failed = 0, cancelled = 0;
};
struct ServiceCounts {
  static constexpr const char* kName = "ServiceCounts";
  std::int64_t total = 0, ready = 0;
};
struct CentreView {
  static constexpr const char* kName = "Centre";
  std::string name, version;
  Time now, started_at;
  Nanos uptime;
  std::string currency, policy;
  std::int64_t sequence = 0;
  JournalView journal;
  ChipCounts chips;
  JobCounts jobs;
  ServiceCounts services;
  std::string address;
};

struct HolderView {
  static constexpr const char* kName = "Holder";
  TaskId task;
  std::optional<JobId> job;
  std::optional<ServiceId> service;
  std::optional<std::string> name;
};
struct ChipView {
  static constexpr const char* kName = "Chip";
  ChipId id;
  std::string kind;
  std::int64_t index = 0;
  ChipHealth health = ChipHealth::ok;
  Bytes memory;
  Milliwatts power;
  MicroCurrency price_per_hour;
  std::optional<HolderView> holder;
  std::optional<double> utilisation;
  std::optional<Milliwatts> power_now;
  std::int64_t failures = 0, tasks_failed = 0;
  bool suspect = false;
  std::optional<std::string> reason;
};
struct NodeView {
  static constexpr const char* kName = "Node";
  NodeId id;
  std::string name;
  NodeState state = NodeState::up;
  Bytes memory;
  Time since;
  std::int64_t cpu_milli = 0;
  std::optional<std::string> domain, leaf, spine, reservation;
  std::vector<ChipView> chips;
};

struct UsageLine {
  static constexpr const char* kName = "UsageLine";
  std::string name, id;
  Nanos device_time;
  Millijoules energy;
  bool energy_estimated = false;
  std::int64_t tokens_trained = 0, requests = 0, prompt_tokens = 0, completion_tokens = 0, estimated_tokens = 0;
  MicroCurrency cost;
  // Of the device time and the cost; the rest is on demand.
  Nanos preemptible_time{}, spot_time{};
  MicroCurrency preemptible_cost{}, spot_cost{};
};

struct PlaceView {
  static constexpr const char* kName = "Place";
  std::string node;
  ChipId chip;
  std::string kind;
};
struct ProgressView {
  static constexpr const char* kName = "Progress";
  std::optional<std::int64_t> step, steps;
  std::optional<double> loss;
  std::optional<std::int64_t> tokens;
  std::optional<double> tokens_per_s;
  std::optional<Nanos> eta;
  std::optional<std::string> checkpoint;
};
struct JobView {
  static constexpr const char* kName = "Job";
  JobId id;
  std::string name, tenant;
  JobState state = JobState::queued;
  std::optional<WaitReason> wait;
  std::int64_t priority = 0, workers = 0, chips = 0;
  std::vector<std::string> chip_kinds;
  std::optional<std::int64_t> array_index, array_size;
  std::int64_t attempts = 0, failures = 0, restarts = 0;
  std::optional<TaskId> task;
  std::vector<PlaceView> placement;
  Time submitted;
  std::optional<Time> started, finished;
  std::optional<Nanos> runtime;
  std::string message;
  std::vector<std::string> command;
  std::vector<std::string> after;
  std::optional<ProgressView> progress;
  UsageLine usage;
  std::optional<std::string> checkpoints, workdir, reservation;
};

enum class ServiceState : unsigned char { starting, ready, degraded, removing };
/// A replica's task's state; `backoff`: it has none now and waits for its next try.
enum class ReplicaState : unsigned char { backoff, queued, starting, running, stopping };
struct ReplicaView {
  static constexpr const char* kName = "Replica";
  std::int64_t ordinal = 0;
  std::optional<TaskId> task;
  ReplicaState state = ReplicaState::backoff;
  bool ready = false;
  std::optional<std::int64_t> port;
  std::optional<std::string> node;
  std::string message;
  std::int64_t failures = 0;
};
struct ServiceView {
  static constexpr const char* kName = "Service";
  ServiceId id;
  std::string name, tenant, model;
  ServiceState state = ServiceState::starting;
  std::int64_t replicas_wanted = 0, replicas_ready = 0, generation = 0, priority = 0, chips = 0;
  std::vector<ReplicaView> replicas;
  Time defined;
  UsageLine usage;
};

struct TenantView {
  static constexpr const char* kName = "Tenant";
  TenantId id;
  std::string name;
  std::int64_t chips_max = 0, chips_held = 0, tokens_per_day_max = 0, tokens_today = 0;
  UsageLine usage;
};
struct KeyView {
  static constexpr const char* kName = "Key";
  KeyId id;
  std::string tenant, label;
  Role role = Role::user;
  Time added;
  bool revoked = false;
};
/// The only answer that holds a key in the clear.
struct NewKeyView {
  static constexpr const char* kName = "NewKey";
  KeyId id;
  std::string tenant, label;
  Role role = Role::user;
  Time added;
  bool revoked = false;
  std::string key;
};

// Lists. `next` is where the following page begins, null on the last one.
struct NodeList {
  static constexpr const char* kName = "NodeList";
  std::vector<NodeView> nodes;
  std::optional<NodeId> next;
};
struct JobList {
  static constexpr const char* kName = "JobList";
  std::vector<JobView> jobs;
  std::optional<JobId> next;
};
struct ServiceList {
  static constexpr const char* kName = "ServiceList";
  std::vector<ServiceView> services;
  std::optional<ServiceId> next;
};
struct TenantList {
  static constexpr const char* kName = "TenantList";
  std::vector<TenantView> tenants;
  std::optional<TenantId> next;
};
struct KeyList {
  static constexpr const char* kName = "KeyList";
  std::vector<KeyView> keys;
  std::optional<KeyId> next;
};
/// What one file of specs made.
struct AcceptedView {
  static constexpr const char* kName = "Accepted";
  std::vector<JobView> jobs;
  std::vector<ServiceView> services;
};
struct UsageView {
  static constexpr const char* kName = "Usage";
  std::string currency;
  std::vector<UsageLine> tenants, jobs, services;
};
struct LogView {
  static constexpr const char* kName = "Log";
  std::string text;
  std::int64_t offset = 0, next = 0;
  bool complete = false;
  std::optional<std::int64_t> attempt;
};
/// The first event of a stream: the centre, and that every object follows as a whole view, whatever was seen before.
struct HelloView {
  static constexpr const char* kName = "Hello";
  CentreView centre;  // its fields are the hello's own
  bool resync = true;
  std::int64_t jobs_max = 0;  // of the jobs, only so many newest ones follow
};
/// An object that is no more.
struct GoneView {
  static constexpr const char* kName = "Gone";
  std::string what;
  ServiceId id;
};
/// The last event of a stream that the centre ends.
struct ReconnectView {
  static constexpr const char* kName = "Reconnect";
  std::string reason;
};
struct ErrorBody {
  static constexpr const char* kName = "ErrorBody";
  ErrorKind kind = ErrorKind::invalid;
  std::string what;
  std::optional<std::string> where, remedy;
  std::string message;
};
struct ErrorView {
  static constexpr const char* kName = "Error";
  ErrorBody error;
};

/// What the core cannot know about the centre that it is the core of.
struct Identity {
  std::string name = "centrale";
  std::string version;
  std::string currency = "EUR";
  std::string address;  // "http://127.0.0.1:7070"
  std::string journal_kind = "sqlite";
  Time started_at;
};

// Core -> view.
[[nodiscard]] NodeView view(const Core& core, NodeId id, const Telemetry& telemetry, Scope scope);
[[nodiscard]] ChipView view_chip(const Core& core, ChipId id, const Telemetry& telemetry, Scope scope);
[[nodiscard]] JobView view(const Core& core, const Job& job, Time now);
[[nodiscard]] ServiceView view(const Core& core, const Service& service, Time now);
[[nodiscard]] TenantView view_tenant(const Core& core, TenantId id, Time now, const Usage& usage);
[[nodiscard]] KeyView view_key(const Core& core, KeyId id);
[[nodiscard]] UsageLine line(std::string name, std::string id, const Usage& usage);
[[nodiscard]] ErrorView view(const Error& error);
[[nodiscard]] LogView view_log(std::string bytes, std::int64_t offset, bool complete);

/// Counts over everything; O(jobs + chips).
struct Census {
  std::uint64_t sequence = 0;
  Time taken;
  std::int64_t objects = 0;  // how many were looked at
  JobCounts jobs;
  ChipCounts chips;
  ServiceCounts services;
  std::int64_t replicas_wanted = 0, replicas_ready = 0;
};
[[nodiscard]] Census take_census(const Core& core, Time now);
[[nodiscard]] ServiceState state_of(const Core& core, const Service& service);
[[nodiscard]] std::int64_t ready_replicas(const Core& core, const Service& service);

}  // namespace centrale::api

#include "api/view_fields.hpp"
