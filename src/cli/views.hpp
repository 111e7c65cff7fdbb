// SPDX-License-Identifier: Apache-2.0
// The API's answers as plain structs (docs/api.md). The centre may be older or newer than the command: a field that is
// missing, null or of another type is simply not known, and no answer is an error.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "cli/text.hpp"

namespace centrale::cli {

struct UsageView {
  std::string name, id;
  Number device_s, energy_j, tokens_trained, requests, prompt_tokens, completion_tokens, estimated_tokens, cost;
  bool energy_estimated = false;
};

struct HolderView {
  std::string task, job, service, name;
};

struct ChipView {
  std::string id, kind, health;
  Number index, memory_bytes, power_w, price_per_hour, utilisation, power_now_w;
  std::optional<HolderView> holder;
  Number failures, tasks_failed;
  bool suspect = false;
  std::string reason;
};

struct NodeView {
  std::string id, name, state, since;
  Number memory_bytes;
  std::vector<ChipView> chips;
  std::string leaf, reservation;
};

struct ProgressView {
  Number step, steps, loss, tokens, tokens_per_s, eta_s;
  std::string checkpoint;
};

struct PlaceView {
  std::string node, chip, kind;
};

struct JobView {
  std::string id, name, tenant, state, wait, task, submitted, started, finished, message;
  Number priority, workers, chips, array_index, array_size, attempts, failures, restarts, runtime_s;
  std::vector<PlaceView> placement;
  std::vector<std::string> after;
  std::optional<ProgressView> progress;
  UsageView usage;
};
[[nodiscard]] bool has_ended(const JobView& job);

struct ReplicaView {
  std::string task, state, node, message;
  Number ordinal, port, failures;
  bool ready = false;
};

struct ServiceView {
  std::string id, name, tenant, model, state, defined;
  Number replicas_wanted, replicas_ready, generation, priority, chips;
  std::vector<ReplicaView> replicas;
  UsageView usage;
};

struct CentreView {
  std::string name, version, now, currency, policy, address;
  Number uptime_s, chips_total, chips_busy, chips_free, chips_failed;
  Number queued, starting, running, stopping, done, failed, cancelled, services_total, services_ready;
  std::optional<bool> journal_ok;
  std::string journal_message;
};

struct UsagePage {
  std::string currency;
  std::vector<UsageView> tenants, jobs, services;
};

struct TenantView {
  std::string id, name;
  Number chips_max, chips_held, tokens_per_day_max, tokens_today;
  UsageView usage;
};

struct KeyView {
  std::string id, tenant, label, role, added, key;
  bool revoked = false;
};

struct PolicyView {
  std::string name, about;
};
struct SchedulingView {
  std::string policy;
  Number round_s, starvation_after_s, suspect_after;
  bool quarantine = false;
  Number reserve, period_s, discount;  // of the market
  std::vector<PolicyView> policies;
};
struct ReservationView {
  std::string id, name, tenant;
  bool maintenance = false;
  std::vector<std::string> nodes;
  Number chips;
  std::string from, to;
  bool open = false;
};

struct LogPart {
  std::string text;
  Number offset, next;
  bool complete = false;
};

struct JobPage {
  std::vector<JobView> jobs;
  std::string next;  // empty: that was all
};

[[nodiscard]] bool is_json(std::string_view text);
[[nodiscard]] CentreView read_centre(std::string_view json);
[[nodiscard]] std::vector<NodeView> read_nodes(std::string_view json);  // {"nodes":[…]} or one Node
[[nodiscard]] NodeView read_node(std::string_view json);
[[nodiscard]] ChipView read_chip(std::string_view json);
[[nodiscard]] SchedulingView read_scheduling(std::string_view json);
[[nodiscard]] std::vector<ReservationView> read_reservations(std::string_view json);
[[nodiscard]] ReservationView read_reservation(std::string_view json);
[[nodiscard]] JobPage read_jobs(std::string_view json);
[[nodiscard]] JobView read_job(std::string_view json);
[[nodiscard]] std::vector<ServiceView> read_services(std::string_view json);
[[nodiscard]] ServiceView read_service(std::string_view json);
[[nodiscard]] UsagePage read_usage(std::string_view json);
[[nodiscard]] std::vector<TenantView> read_tenants(std::string_view json);
[[nodiscard]] TenantView read_tenant(std::string_view json);
[[nodiscard]] std::vector<KeyView> read_keys(std::string_view json);
[[nodiscard]] KeyView read_key(std::string_view json);
[[nodiscard]] LogPart read_log(std::string_view json);
/// The text that one chunk of a streamed chat completion adds.
[[nodiscard]] std::string read_chat_delta(std::string_view json);
/// The error inside a streamed answer, if that is what this is.
[[nodiscard]] std::optional<Error> read_stream_error(std::string_view json);

/// The error that an answer of 400 and above carries.
[[nodiscard]] Error api_error(int status, std::string_view body, std::string_view url);
/// {"error":{…}} in the API's shape.
[[nodiscard]] std::string error_json(const Error& error);
/// The members of one array of an answer, each as JSON text.
[[nodiscard]] std::vector<std::string> raw_items(std::string_view json, std::string_view array);
/// {"name":[item,…]} without the braces.
[[nodiscard]] std::string raw_array(std::string_view name, const std::vector<std::string>& items);

}  // namespace centrale::cli
