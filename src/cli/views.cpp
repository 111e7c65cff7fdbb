// SPDX-License-Identifier: Apache-2.0
#include "cli/views.hpp"

#include <simdjson.h>

#include <array>

#include "cli/json_fields.hpp"
#include "http/answer.hpp"

namespace centrale::cli {
namespace {

using namespace fields;  // NOLINT(google-build-using-namespace): five readers of one document
using simdjson::dom::element;

UsageView usage_of(const element& e) {
  return {.name = text(e, "name"),
          .id = text(e, "id"),
          .device_s = number(e, "device_s"),
          .energy_j = number(e, "energy_j"),
          .tokens_trained = number(e, "tokens_trained"),
          .requests = number(e, "requests"),
          .prompt_tokens = number(e, "prompt_tokens"),
          .completion_tokens = number(e, "completion_tokens"),
          .estimated_tokens = number(e, "estimated_tokens"),
          .cost = number(e, "cost"),
          .energy_estimated = truth(e, "energy_estimated")};
}

UsageView usage_in(const element& e) {
  const auto found = object(e, "usage");
  return found ? usage_of(*found) : UsageView{};
}

ChipView chip_of(const element& e) {
  ChipView chip{.id = text(e, "id"),
                .kind = text(e, "kind"),
                .health = text(e, "health"),
                .index = number(e, "index"),
                .memory_bytes = number(e, "memory_bytes"),
                .power_w = number(e, "power_w"),
                .price_per_hour = number(e, "price_per_hour"),
                .utilisation = number(e, "utilisation"),
                .power_now_w = number(e, "power_now_w"),
                .holder = {},
                .failures = number(e, "failures"),
                .tasks_failed = number(e, "tasks_failed"),
                .suspect = truth(e, "suspect"),
                .reason = text(e, "reason")};
  if (const auto h = object(e, "holder")) {
    chip.holder = HolderView{text(*h, "task"), text(*h, "job"), text(*h, "service"), text(*h, "name")};
  }
  return chip;
}

NodeView node_of(const element& e) {
  return {.id = text(e, "id"),
          .name = text(e, "name"),
          .state = text(e, "state"),
          .since = text(e, "since"),
          .memory_bytes = number(e, "memory_bytes"),
          .chips = list<ChipView>(e, "chips", chip_of),
          .leaf = text(e, "leaf"),
          .reservation = text(e, "reservation")};
}

std::string text_item(const element& e) {
  std::string_view view;
  return e.get(view) == simdjson::SUCCESS ? std::string(view) : std::string{};
}

SchedulingView scheduling_of(const element& e) {
  SchedulingView set{.policy = text(e, "policy"),
                     .round_s = number(e, "round_s"),
                     .starvation_after_s = number(e, "starvation_after_s"),
                     .suspect_after = number(e, "suspect_after"),
                     .quarantine = truth(e, "quarantine"),
                     .reserve = {},
                     .period_s = {},
                     .discount = {},
                     .policies = list<PolicyView>(e, "policies", [](const element& p) {
                       return PolicyView{text(p, "name"), text(p, "about")};
                     })};
  if (const auto market = object(e, "market")) {
    set.reserve = number(*market, "reserve");
    set.period_s = number(*market, "period_s");
    set.discount = number(*market, "preemptible_discount");
  }
  return set;
}

ReservationView reservation_of(const element& e) {
  return {.id = text(e, "id"),
          .name = text(e, "name"),
          .tenant = text(e, "tenant"),
          .maintenance = truth(e, "maintenance"),
          .nodes = list<std::string>(e, "nodes", text_item),
          .chips = number(e, "chips"),
          .from = text(e, "from"),
          .to = text(e, "to"),
          .open = truth(e, "open")};
}

JobView job_of(const element& e) {
  JobView job{.id = text(e, "id"),
              .name = text(e, "name"),
              .tenant = text(e, "tenant"),
              .state = text(e, "state"),
              .wait = text(e, "wait"),
              .task = text(e, "task"),
              .submitted = text(e, "submitted"),
              .started = text(e, "started"),
              .finished = text(e, "finished"),
              .message = text(e, "message"),
              .priority = number(e, "priority"),
              .workers = number(e, "workers"),
              .chips = number(e, "chips"),
              .array_index = number(e, "array_index"),
              .array_size = number(e, "array_size"),
              .attempts = number(e, "attempts"),
              .failures = number(e, "failures"),
              .restarts = number(e, "restarts"),
              .runtime_s = number(e, "runtime_s"),
              .placement = list<PlaceView>(e, "placement",
                                           [](const element& p) {
                                             return PlaceView{text(p, "node"), text(p, "chip"), text(p, "kind")};
                                           }),
              .after = list<std::string>(e, "after", text_item),
              .progress = {},
              .usage = usage_in(e)};
  if (const auto p = object(e, "progress")) {
    job.progress = ProgressView{.step = number(*p, "step"),
                                .steps = number(*p, "steps"),
                                .loss = number(*p, "loss"),
                                .tokens = number(*p, "tokens"),
                                .tokens_per_s = number(*p, "tokens_per_s"),
                                .eta_s = number(*p, "eta_s"),
                                .checkpoint = text(*p, "checkpoint")};
  }
  return job;
}

ServiceView service_of(const element& e) {
  return {.id = text(e, "id"),
          .name = text(e, "name"),
          .tenant = text(e, "tenant"),
          .model = text(e, "model"),
          .state = text(e, "state"),
          .defined = text(e, "defined"),
          .replicas_wanted = number(e, "replicas_wanted"),
          .replicas_ready = number(e, "replicas_ready"),
          .generation = number(e, "generation"),
          .priority = number(e, "priority"),
          .chips = number(e, "chips"),
          .replicas = list<ReplicaView>(e, "replicas",
                                        [](const element& r) {
                                          return ReplicaView{.task = text(r, "task"),
                                                             .state = text(r, "state"),
                                                             .node = text(r, "node"),
                                                             .message = text(r, "message"),
                                                             .ordinal = number(r, "ordinal"),
                                                             .port = number(r, "port"),
                                                             .failures = number(r, "failures"),
                                                             .ready = truth(r, "ready")};
                                        }),
          .usage = usage_in(e)};
}

TenantView tenant_of(const element& e) {
  return {.id = text(e, "id"),
          .name = text(e, "name"),
          .chips_max = number(e, "chips_max"),
          .chips_held = number(e, "chips_held"),
          .tokens_per_day_max = number(e, "tokens_per_day_max"),
          .tokens_today = number(e, "tokens_today"),
          .usage = usage_in(e)};
}

KeyView key_of(const element& e) {
  KeyView key{.id = text(e, "id"),
              .tenant = text(e, "tenant"),
              .label = text(e, "label"),
              .role = text(e, "role"),
              .added = text(e, "added"),
              .key = text(e, "key"),
              .revoked = truth(e, "revoked")};
  return key;
}

template <class T>
T one(std::string_view json, T (*read)(const element&)) {
  const Document document(json);
  return document.ok ? read(document.root) : T{};
}

template <class T>
std::vector<T> many(std::string_view json, std::string_view key, T (*read)(const element&)) {
  const Document document(json);
  return document.ok ? list<T>(document.root, key, read) : std::vector<T>{};
}

constexpr std::array<std::pair<std::string_view, ErrorKind>, 8> kKinds{{{"invalid", ErrorKind::invalid},
                                                                        {"not_found", ErrorKind::not_found},
                                                                        {"conflict", ErrorKind::conflict},
                                                                        {"unauthorized", ErrorKind::unauthorized},
                                                                        {"forbidden", ErrorKind::forbidden},
                                                                        {"exhausted", ErrorKind::exhausted},
                                                                        {"unavailable", ErrorKind::unavailable},
                                                                        {"io", ErrorKind::io}}};

ErrorKind kind_of_status(int status) {
  switch (status) {
    case 401: return ErrorKind::unauthorized;
    case 403: return ErrorKind::forbidden;
    case 404: return ErrorKind::not_found;
    case 409: return ErrorKind::conflict;
    case 429: return ErrorKind::exhausted;
    case 502:
    case 503:
    case 504: return ErrorKind::unavailable;
    default: return status < 500 ? ErrorKind::invalid : ErrorKind::io;
  }
}

/// {"what",…} as the control API has it, or {"message","type"} as OpenAI's does.
Error error_of(const element& e, ErrorKind fallback) {
  Error error{fallback, text(e, "what"), text(e, "where"), text(e, "remedy")};
  const std::string kind = text(e, "kind");
  for (const auto& [name, value] : kKinds) {
    if (name == kind) { error.kind = value; }
  }
  if (error.what.empty()) { error.what = text(e, "message"); }
  return error;
}

}  // namespace

bool has_ended(const JobView& job) { return job.state == "done" || job.state == "failed" || job.state == "cancelled"; }

bool is_json(std::string_view text) { return Document(text).ok; }

CentreView read_centre(std::string_view json) {
  return one<CentreView>(json, [](const element& e) {
    CentreView centre{};
    centre.name = text(e, "name");
    centre.version = text(e, "version");
    centre.now = text(e, "now");
    centre.currency = text(e, "currency");
    centre.policy = text(e, "policy");
    centre.address = text(e, "address");
    centre.uptime_s = number(e, "uptime_s");
    if (const auto chips = object(e, "chips")) {
      centre.chips_total = number(*chips, "total");
      centre.chips_busy = number(*chips, "busy");
      centre.chips_free = number(*chips, "free");
      centre.chips_failed = number(*chips, "failed");
    }
    if (const auto jobs = object(e, "jobs")) {
      centre.queued = number(*jobs, "queued");
      centre.starting = number(*jobs, "starting");
      centre.running = number(*jobs, "running");
      centre.stopping = number(*jobs, "stopping");
      centre.done = number(*jobs, "done");
      centre.failed = number(*jobs, "failed");
      centre.cancelled = number(*jobs, "cancelled");
    }
    if (const auto services = object(e, "services")) {
      centre.services_total = number(*services, "total");
      centre.services_ready = number(*services, "ready");
    }
    if (const auto journal = object(e, "journal")) {
      centre.journal_ok = truth(*journal, "ok");
      centre.journal_message = text(*journal, "message");
    }
    return centre;
  });
}

std::vector<NodeView> read_nodes(std::string_view json) { return many<NodeView>(json, "nodes", node_of); }
NodeView read_node(std::string_view json) { return one<NodeView>(json, node_of); }
ChipView read_chip(std::string_view json) { return one<ChipView>(json, chip_of); }
SchedulingView read_scheduling(std::string_view json) { return one<SchedulingView>(json, scheduling_of); }
std::vector<ReservationView> read_reservations(std::string_view json) {
  return many<ReservationView>(json, "reservations", reservation_of);
}
ReservationView read_reservation(std::string_view json) { return one<ReservationView>(json, reservation_of); }
JobPage read_jobs(std::string_view json) {
  const Document document(json);
  return document.ok ? JobPage{list<JobView>(document.root, "jobs", job_of), text(document.root, "next")} : JobPage{};
}
JobView read_job(std::string_view json) { return one<JobView>(json, job_of); }
std::vector<ServiceView> read_services(std::string_view json) { return many<ServiceView>(json, "services", service_of); }
ServiceView read_service(std::string_view json) { return one<ServiceView>(json, service_of); }
std::vector<TenantView> read_tenants(std::string_view json) { return many<TenantView>(json, "tenants", tenant_of); }
TenantView read_tenant(std::string_view json) { return one<TenantView>(json, tenant_of); }
std::vector<KeyView> read_keys(std::string_view json) { return many<KeyView>(json, "keys", key_of); }
KeyView read_key(std::string_view json) { return one<KeyView>(json, key_of); }

UsagePage read_usage(std::string_view json) {
  const Document document(json);
  if (!document.ok) { return {}; }
  const element& e = document.root;
  return {text(e, "currency"), list<UsageView>(e, "tenants", usage_of), list<UsageView>(e, "jobs", usage_of),
          list<UsageView>(e, "services", usage_of)};
}

LogPart read_log(std::string_view json) {
  return one<LogPart>(json, [](const element& e) {
    return LogPart{text(e, "text"), number(e, "offset"), number(e, "next"), truth(e, "complete")};
  });
}

std::string read_chat_delta(std::string_view json) {
  const Document document(json);
  element content;
  std::string_view view;
  if (!document.ok || document.root.at_pointer("/choices/0/delta/content").get(content) != simdjson::SUCCESS ||
      content.get(view) != simdjson::SUCCESS) {
    return {};
  }
  return std::string(view);
}

std::optional<Error> read_stream_error(std::string_view json) {
  const Document document(json);
  const auto e = document.ok ? object(document.root, "error") : std::nullopt;
  return e ? std::optional(error_of(*e, ErrorKind::unavailable)) : std::nullopt;
}

Error api_error(int status, std::string_view body, std::string_view url) {
  const ErrorKind kind = kind_of_status(status);
  const Document document(body);
  if (const auto e = document.ok ? object(document.root, "error") : std::nullopt) {
    Error error = error_of(*e, kind);
    if (!error.what.empty()) {
      // The API tells programs which header to send; people give a key to the command.
      if (error.kind == ErrorKind::unauthorized && (error.remedy.empty() || error.remedy.find("Authorization:") != std::string::npos)) {
        error.remedy = "give a key: --key, CENTRALE_KEY or CENTRALE_KEY_FILE";
      }
      return error;
    }
  }
  return {kind,
          std::string(url) + " answered " + std::to_string(status) + " " + std::string(http::reason_phrase(status)),
          {},
          status == 404 ? "is this a centre, and is it as new as this command?" : ""};
}

std::string error_json(const Error& error) {
  std::string_view kind = "io";
  for (const auto& [name, value] : kKinds) {
    if (value == error.kind) { kind = name; }
  }
  const auto or_null = [](const std::string& s) { return s.empty() ? std::string("null") : http::json_string(s); };
  return "{\"error\":{\"kind\":" + http::json_string(kind) + ",\"what\":" + http::json_string(error.what) +
         ",\"where\":" + or_null(error.where) + ",\"remedy\":" + or_null(error.remedy) +
         ",\"message\":" + http::json_string(error.message()) + "}}";
}

std::vector<std::string> raw_items(std::string_view json, std::string_view array) {
  const Document document(json);
  return document.ok ? list<std::string>(document.root, array, [](const element& e) { return std::string(simdjson::minify(e)); })
                     : std::vector<std::string>{};
}

std::string raw_array(std::string_view name, const std::vector<std::string>& items) {
  std::string out = http::json_string(name) + ":[";
  for (std::size_t i = 0; i < items.size(); ++i) { out += (i > 0 ? "," : "") + items[i]; }
  return out + "]";
}

}  // namespace centrale::cli
