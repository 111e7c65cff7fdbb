// SPDX-License-Identifier: Apache-2.0
#include "api/operations.hpp"

#include <algorithm>
#include <utility>

#include "api/call.hpp"
#include "api/request.hpp"
#include "api/scheduling_views.hpp"
#include "api/spec_request.hpp"
#include "api/why_views.hpp"
#include "base/text.hpp"

namespace centrale::api {
namespace {

constexpr std::int64_t kNoEnd = 1'000'000'000'000'000;

Parameter text(const char* name, const char* description) { return {.name = name, .description = description}; }
Parameter header(const char* name, const char* description) {
  return {.name = name, .description = description, .in = Parameter::In::header};
}
Parameter number(const char* name, std::int64_t least, std::int64_t most, const char* description) {
  return {.name = name, .description = description, .in = Parameter::In::query, .least = least, .most = most};
}
Parameter word(const char* name, std::span<const std::string_view> words, const char* description) {
  return {
      .name = name, .description = description, .in = Parameter::In::query, .least = {}, .most = {}, .words = {words.begin(), words.end()}};
}

Parameter limit(std::int64_t most) { return number("limit", 1, most, "how many at most"); }
Parameter after() { return text("after", "the list goes on behind this id; `next` of the page before says it"); }

constexpr std::array<std::string_view, 2> kStreams{"out", "err"};

std::vector<Parameter> log_parameters(Parameter first) {
  return {std::move(first), word("stream", kStreams, "standard output or standard error; left out: out"),
          number("offset", 0, kNoEnd, "where to begin, in bytes"), number("limit", 1, 1'048'576, "how many bytes at most; left out: 65536"),
          number("tail", 0, 100'000, "the last so many lines instead")};
}

std::vector<Parameter> job_log_parameters() {
  auto parameters = log_parameters(number("rank", 0, kWorkersMax - 1, "of which worker; left out: 0"));
  parameters.push_back(number("attempt", 1, 1'000'000, "of which attempt, from 1; left out: the newest"));
  return parameters;
}

const Content kNothing{};
const Content kAnyJson{"application/json", [](Components&) { return std::string(R"({"type":"object"})"); }};
const Content kYaml{"application/yaml", [](Components&) { return std::string(R"({"type":"string"})"); }};
const Content kText{"text/plain", [](Components&) { return std::string(R"({"type":"string"})"); }};
const Content kEvents{"text/event-stream", [](Components&) { return std::string(R"({"type":"string"})"); }};

// One operation a row reads best.
// clang-format off
std::vector<Operation> make_operations() {
  using enum Access;
  return {
    {"GET", "/api/v1/centre", viewer, get_centre, "getCentre", "The centre in numbers", {}, kNothing, {200}, json_of<CentreView>()},
    {"GET", "/api/v1/openapi.json", anyone, get_openapi, "getOpenApi", "This document", {}, kNothing, {200}, kAnyJson},
    {"GET", "/api/v1/events", viewer, get_events, "getEvents",
     "Server-sent events: hello, then whole views of what is there and of what changes (node, job, service, usage)",
     {header("Last-Event-ID", "taken and not needed: each stream begins with everything")}, kNothing, {200}, kEvents},
    {"GET", "/metrics", scraper, get_metrics, "getMetrics", "Prometheus text", {}, kNothing, {200}, kText},

    {"GET", "/api/v1/nodes", viewer, list_nodes, "listNodes", "Nodes and their chips", {limit(1000), after()}, kNothing, {200}, json_of<NodeList>()},
    {"GET", "/api/v1/nodes/{node}", viewer, get_node, "getNode", "One node", {}, kNothing, {200}, json_of<NodeView>()},
    {"POST", "/api/v1/nodes/{node}/drain", admin, drain_node, "drainNode", "Places nothing more there; what runs, runs on", {}, kNothing, {200}, json_of<NodeView>()},
    {"POST", "/api/v1/nodes/{node}/resume", admin, resume_node, "resumeNode", "Places tasks there again", {}, kNothing, {200}, json_of<NodeView>()},

    {"POST", "/api/v1/chips/{chip}/repair", admin, repair_chip, "repairChip", "The chip is well: gives it out again, and forgets what failed in a row on it", {}, kNothing, {200}, json_of<ChipView>()},

    {"GET", "/api/v1/scheduling", viewer, get_scheduling, "getScheduling", "Who runs next, and how", {}, kNothing, {200}, json_of<SchedulingView>()},
    {"PUT", "/api/v1/scheduling", admin, put_scheduling, "putScheduling", "Schedules otherwise from now on; what is left out stays as it is", {}, json_of<SchedulingRequest>(), {200}, json_of<SchedulingView>()},
    {"GET", "/api/v1/reservations", viewer, list_reservations, "listReservations", "The caller's reservations and all maintenance windows, to come and under way", {}, kNothing, {200}, json_of<ReservationList>()},
    {"POST", "/api/v1/reservations", admin, make_reservation, "makeReservation", "Sets nodes apart for a tenant, or for maintenance", {}, json_of<ReservationRequest>(), {201}, json_of<ReservationView>()},
    {"DELETE", "/api/v1/reservations/{reservation}", admin, cancel_reservation, "cancelReservation", "Ends a reservation, or takes it back; by name or id", {}, kNothing, {200}, json_of<ReservationView>()},

    {"GET", "/api/v1/jobs", viewer, list_jobs, "listJobs", "Jobs, the newest first",
     {word("state", kEnumNames<JobState>, "only those in this state"), text("tenant", "only those of the tenant of this name"), text("name", "only those of this name"),
      limit(1000), text("before", "the list goes on behind this id; `next` of the page before says it")}, kNothing, {200}, json_of<JobList>()},
    {"POST", "/api/v1/jobs", user, submit_job, "submitJob", "Submits a job; of an array, the first is answered", {}, job_spec_content(), {201}, json_of<JobView>()},
    {"GET", "/api/v1/jobs/{job}", viewer, get_job, "getJob", "One job, by id or name (the newest of that name)", {}, kNothing, {200}, json_of<JobView>()},
    {"POST", "/api/v1/jobs/{job}/stop", user, stop_job, "stopJob", "Stops a job; the name of an array stops all of it", {}, kNothing, {200}, json_of<JobView>()},
    {"GET", "/api/v1/jobs/{job}/why", viewer, get_job_why, "getJobWhy", "Why a job waits, when it will start, and what would start it now",
     {number("draws", 1, 200, "how often the centre is played forward; left out: 20")}, kNothing, {200}, json_of<WhyView>()},
    {"GET", "/api/v1/jobs/{job}/logs", viewer, get_job_log, "getJobLog", "A part of a rank's output", job_log_parameters(), kNothing, {200}, json_of<LogView>()},

    {"POST", "/api/v1/specs", user, submit_specs, "submitSpecs", "Submits every job and defines every service of a YAML text",
     {header("X-File-Name", "what errors call the text"), header("X-Base-Dir", "the absolute folder that relative paths in the text start from")},
     kYaml, {201}, json_of<AcceptedView>()},

    {"GET", "/api/v1/services", viewer, list_services, "listServices", "Services and their replicas", {limit(1000), after()}, kNothing, {200}, json_of<ServiceList>()},
    {"PUT", "/api/v1/services", user, put_service, "putService", "Defines a service, or changes it", {}, service_spec_content(), {200, 201}, json_of<ServiceView>()},
    {"GET", "/api/v1/services/{service}", viewer, get_service, "getService", "One service, by id or name", {}, kNothing, {200}, json_of<ServiceView>()},
    {"DELETE", "/api/v1/services/{service}", user, remove_service, "removeService", "Stops all replicas and forgets the service", {}, kNothing, {200}, json_of<ServiceView>()},
    {"POST", "/api/v1/services/{service}/scale", user, scale_service, "scaleService", "Runs more or fewer replicas", {}, json_of<ScaleRequest>(), {200}, json_of<ServiceView>()},
    {"GET", "/api/v1/services/{service}/logs", viewer, get_service_log, "getServiceLog", "A part of a replica's output",
     log_parameters(number("replica", 0, kReplicasMax - 1, "which one; left out: 0")), kNothing, {200}, json_of<LogView>()},

    {"GET", "/api/v1/usage", viewer, get_usage, "getUsage", "What tenants, jobs and services have used",
     {number("limit", 0, 1000, "how many jobs at most, the newest first; left out: 100")}, kNothing, {200}, json_of<UsageView>()},

    {"GET", "/api/v1/tenants", admin, list_tenants, "listTenants", "Tenants and their quotas", {limit(1000), after()}, kNothing, {200}, json_of<TenantList>()},
    {"PUT", "/api/v1/tenants", admin, put_tenant, "putTenant", "Defines a tenant, or changes its quota", {}, json_of<TenantRequest>(), {200}, json_of<TenantView>()},
    {"GET", "/api/v1/keys", admin, list_keys, "listKeys", "Keys, without what is secret", {limit(1000), after()}, kNothing, {200}, json_of<KeyList>()},
    {"POST", "/api/v1/keys", admin, add_key, "addKey", "Makes a key and shows it this once", {}, json_of<KeyRequest>(), {201}, json_of<NewKeyView>()},
    {"DELETE", "/api/v1/keys/{key}", admin, revoke_key, "revokeKey", "From now on the key is refused", {}, kNothing, {200}, json_of<KeyView>()},
  };
}
// clang-format on

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::size_t end = std::min(path.find('/'), path.size());
    parts.push_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return parts;
}

bool is_argument(std::string_view part) { return part.starts_with('{'); }

/// The path's values for the pattern's {…}; nothing when it does not fit.
std::optional<std::vector<std::string>> fit(std::string_view pattern, std::string_view path) {
  const auto wanted = split(pattern), given = split(path);
  if (wanted.size() != given.size()) { return std::nullopt; }
  std::vector<std::string> arguments;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (is_argument(wanted[i]) && !given[i].empty()) {
      arguments.emplace_back(given[i]);
    } else if (wanted[i] != given[i]) {
      return std::nullopt;
    }
  }
  return arguments;
}

}  // namespace

const std::vector<Operation>& operations() {
  static const std::vector<Operation> table = make_operations();
  return table;
}

Match match(std::string_view method, std::string_view path) {
  Match found;
  for (const Operation& operation : operations()) {
    auto arguments = fit(operation.pattern, path);
    if (!arguments) { continue; }
    if (operation.method == method) {
      found.operation = &operation;
      found.arguments = std::move(*arguments);
      return found;
    }
    found.allowed.push_back(operation.method);
  }
  return found;
}

std::string nearest_path(std::string_view path) {
  std::vector<std::string> candidates;
  const auto given = split(path.substr(0, 256));
  for (const Operation& operation : operations()) {
    // The caller's own words stand in for the pattern's {…}, so that only the fixed parts are compared.
    std::string candidate;
    const auto parts = split(operation.pattern);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      candidate += '/';
      candidate += is_argument(parts[i]) && parts.size() == given.size() ? given[i] : parts[i];
    }
    candidates.push_back(std::move(candidate));
  }
  return nearest_remedy(path.substr(0, 256), candidates);
}

std::vector<std::string_view> path_parameters(std::string_view pattern) {
  std::vector<std::string_view> names;
  for (const std::string_view part : split(pattern)) {
    if (is_argument(part)) { names.push_back(part.substr(1, part.size() - 2)); }
  }
  return names;
}

}  // namespace centrale::api
