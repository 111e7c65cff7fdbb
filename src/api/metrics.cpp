// SPDX-License-Identifier: Apache-2.0
#include "api/metrics.hpp"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <initializer_list>
#include <map>
#include <utility>

#include "api/pages.hpp"
#include "api/view_json.hpp"
#include "base/text.hpp"

namespace centrale::api {
namespace {

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// Writes one family after the other: HELP and TYPE once, then its samples.
class Exposition {
 public:
  Exposition& family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text += fmt::format("# HELP centrale_{} {}\n# TYPE centrale_{} {}\n", name, help, name, type);
    return *this;
  }
  Exposition& sample(std::int64_t value, Labels labels = {}) {
    begin(labels);
    text += fmt::format(" {}\n", value);
    return *this;
  }
  Exposition& sample(double value, Labels labels = {}) {
    begin(labels);
    text += fmt::format(" {}\n", value);
    return *this;
  }
  /// value x 10^-digits, without rounding.
  Exposition& decimal(std::int64_t value, int digits, Labels labels) {
    begin(labels);
    text += ' ';
    append_decimal(text, value, digits);
    text += '\n';
    return *this;
  }
  std::string text;

 private:
  void begin(Labels labels) {
    text += "centrale_";
    text += name_;
    char before = '{';
    for (const auto& [name, value] : labels) {
      text += std::exchange(before, ',');
      text += fmt::format("{}=\"{}\"", name, escape_label(value));
    }
    if (before == ',') { text += '}'; }
  }
  std::string name_;
};

void write_fleet(Exposition& out, const MetricsInput& in) {
  // Kind and state of every chip: busy, free, failed, or on a drained node.
  std::map<std::pair<std::string, std::string_view>, std::int64_t> chips;
  std::map<std::string_view, std::int64_t> nodes{{"up", 0}, {"drained", 0}, {"lost", 0}};
  for (std::uint64_t i = 1; i <= in.core.chip_count(); ++i) {
    const Chip& chip = in.core.chip(ChipId{i});
    const NodeState node = in.core.node(chip.node)->state;
    const std::string_view state = chip.holder                                                ? "busy"
                                   : chip.health != ChipHealth::ok || node == NodeState::lost ? "failed"
                                   : node == NodeState::drained                               ? "drained"
                                                                                              : "free";
    for (const std::string_view each : {"busy", "free", "failed", "drained"}) {
      chips[{in.core.kind_name(chip.kind), each}] += each == state ? 1 : 0;
    }
  }
  for (std::uint64_t i = 1; i <= in.core.node_count(); ++i) { ++nodes[enum_name(in.core.node(NodeId{i})->state)]; }
  out.family("chips", "gauge", "Chips by kind and state.");
  for (const auto& [key, count] : chips) { out.sample(count, {{"kind", key.first}, {"state", key.second}}); }
  // What failed, by kind: of the chip itself, and tasks while they held it.
  std::map<std::string, std::array<std::int64_t, 3>> health;
  for (std::uint64_t i = 1; i <= in.core.chip_count(); ++i) {
    auto& [suspects, failures, tasks_failed] = health[in.core.kind_name(in.core.chip(ChipId{i}).kind)];
    if (const ChipRecord* record = in.core.chip_record(ChipId{i}); record != nullptr) {
      suspects += in.core.is_suspect(ChipId{i}) ? 1 : 0;
      failures += record->failures;
      tasks_failed += record->tasks_failed;
    }
  }
  out.family("chips_suspect", "gauge", "Chips on which different jobs failed in a row, by kind.");
  for (const auto& [kind, counts] : health) { out.sample(counts[0], {{"kind", kind}}); }
  out.family("chip_failures_total", "counter", "Failures of chips themselves, by kind.");
  for (const auto& [kind, counts] : health) { out.sample(counts[1], {{"kind", kind}}); }
  out.family("chip_tasks_failed_total", "counter", "Tasks that failed, once for each chip that they held, by kind of chip.");
  for (const auto& [kind, counts] : health) { out.sample(counts[2], {{"kind", kind}}); }
  out.family("nodes", "gauge", "Nodes by state.");
  for (const auto& [state, count] : nodes) { out.sample(count, {{"state", state}}); }
}

void write_samples(Exposition& out, const MetricsInput& in) {
  const std::size_t count = std::min(in.core.chip_count(), kChipsMeasuredMax);
  const auto each = [&](const auto& write) {
    for (std::uint64_t i = 1; i <= count; ++i) {
      const Chip& chip = in.core.chip(ChipId{i});
      const std::string index = std::to_string(chip.local);
      const std::string& node = in.core.node(chip.node)->name;
      write(in.telemetry.sample(ChipId{i}), node, in.core.kind_name(chip.kind), index);
    }
  };
  out.family("chip_utilisation_ratio", "gauge", "How busy a chip is, 0 to 1, where the machine says.");
  each([&](const ChipSample& sample, std::string_view node, std::string_view kind, std::string_view index) {
    if (sample.utilisation) { out.sample(*sample.utilisation, {{"node", node}, {"kind", kind}, {"index", index}}); }
  });
  out.family("chip_power_watts", "gauge", "What a chip draws, where the machine says.");
  each([&](const ChipSample& sample, std::string_view node, std::string_view kind, std::string_view index) {
    if (sample.power) { out.decimal(sample.power->value, 3, {{"node", node}, {"kind", kind}, {"index", index}}); }
  });
}

void write_work(Exposition& out, const MetricsInput& in) {
  const JobCounts& jobs = in.census.jobs;
  out.family("jobs", "gauge", "Jobs by state; of the ended ones, those still remembered.")
      .sample(jobs.queued, {{"state", "queued"}})
      .sample(jobs.starting, {{"state", "starting"}})
      .sample(jobs.running, {{"state", "running"}})
      .sample(jobs.stopping, {{"state", "stopping"}})
      .sample(jobs.done, {{"state", "done"}})
      .sample(jobs.failed, {{"state", "failed"}})
      .sample(jobs.cancelled, {{"state", "cancelled"}});
  out.family("queue_length", "gauge", "Tasks that wait for chips.").sample(static_cast<std::int64_t>(in.core.jobs_queued()));
  out.family("services", "gauge", "Services.").sample(in.census.services.total);
  out.family("services_ready", "gauge", "Services all of whose replicas answer.").sample(in.census.services.ready);
  struct Line {
    std::string name;
    std::int64_t wanted, ready;
  };
  std::vector<Line> lines;
  in.core.each_service([&](const Service& service) {
    if (in.scope.sees(service.tenant) && lines.size() < kServicesMeasuredMax) {
      lines.push_back({service.spec.name, service.removing ? 0 : service.spec.replicas, ready_replicas(in.core, service)});
    }
  });
  out.family("service_replicas_wanted", "gauge", "Replicas that a service is to have.");
  for (const Line& each : lines) { out.sample(each.wanted, {{"service", each.name}}); }
  out.family("service_replicas_ready", "gauge", "Replicas of a service that answer.");
  for (const Line& each : lines) { out.sample(each.ready, {{"service", each.name}}); }
}

void write_ledger(Exposition& out, const MetricsInput& in) {
  const std::vector<Usage> usage = usage_of_tenants(in.core, in.now);
  std::vector<std::pair<const Tenant*, const Usage*>> lines;
  for (std::uint64_t i = 1; i <= usage.size() && lines.size() < kTenantsMeasuredMax; ++i) {
    if (in.scope.sees(TenantId{i})) { lines.emplace_back(in.core.tenant(TenantId{i}), &usage[i - 1]); }
  }
  out.family("tenant_chips_held", "gauge", "Chips that a tenant's tasks hold.");
  for (const auto& [tenant, used] : lines) { out.sample(tenant->chips_held, {{"tenant", tenant->name}}); }
  out.family("tenant_device_seconds_total", "counter", "Chips held x seconds.");
  for (const auto& [tenant, used] : lines) { out.decimal(used->device_time.value, 9, {{"tenant", tenant->name}}); }
  out.family("tenant_energy_joules_total", "counter", "Energy of a tenant's tasks, measured or estimated.");
  for (const auto& [tenant, used] : lines) { out.decimal(used->energy.value, 3, {{"tenant", tenant->name}}); }
  out.family("tenant_tokens_total", "counter", "Tokens trained on, read as prompts, and written.");
  for (const auto& [tenant, used] : lines) {
    out.sample(used->tokens_trained, {{"tenant", tenant->name}, {"direction", "trained"}});
    out.sample(used->prompt_tokens, {{"tenant", tenant->name}, {"direction", "prompt"}});
    out.sample(used->completion_tokens, {{"tenant", tenant->name}, {"direction", "completion"}});
  }
  out.family("tenant_requests_total", "counter", "Requests that reached a model.");
  for (const auto& [tenant, used] : lines) { out.sample(used->requests, {{"tenant", tenant->name}}); }
  out.family("tenant_cost_total", "counter", "Cost in the centre's currency.");
  for (const auto& [tenant, used] : lines) {
    out.decimal(used->cost.value, 6, {{"tenant", tenant->name}, {"currency", in.identity.currency}});
  }
}

void write_host(Exposition& out, const MetricsInput& in) {
  const Host::Health& health = in.health;
  out.family("journal_ok", "gauge", "1 while the journal takes what it is given.").sample(std::int64_t{health.journal_ok});
  out.family("journal_sequence", "gauge", "Number of the last durable event.").sample(static_cast<std::int64_t>(health.sequence));
  out.family("journal_commits_total", "counter", "Group commits since the start.").sample(static_cast<std::int64_t>(health.commits));
  out.family("journal_events_total", "counter", "Events made durable since the start.").sample(static_cast<std::int64_t>(health.events));
  out.family("host_queue_length", "gauge", "Events and looks that wait for the core thread.")
      .sample(static_cast<std::int64_t>(health.queue));
  out.family("recovery_seconds", "gauge", "How long the last start took to read the journal.").sample(health.recover_s);
  out.family("recovered_events", "gauge", "Events that the last start read after the snapshot.")
      .sample(static_cast<std::int64_t>(health.recovered_events));
}

void write_rim(Exposition& out, const MetricsInput& in) {
  const gateway::Counters& counters = in.rim.gateway;
  const auto counter = [&](std::string_view name, std::uint64_t value, std::string_view help) {
    out.family(name, "counter", help).sample(static_cast<std::int64_t>(value));
  };
  counter("gateway_requests_total", counters.requests, "Requests for a model.");
  counter("gateway_streamed_total", counters.streamed, "Of these, streamed.");
  counter("gateway_failed_total", counters.failed, "Of these, ended by an engine's or the network's fault.");
  counter("gateway_refused_total", counters.refused, "Of these, refused: key, quota, model or body.");
  counter("gateway_retried_total", counters.retried, "Requests that were sent to a second replica.");
  counter("gateway_cancelled_total", counters.cancelled, "Of these, given up by the caller.");
  out.family("gateway_in_flight", "gauge", "Requests under way.").sample(counters.in_flight);
  out.family("http_connections", "gauge", "Open connections.").sample(static_cast<std::int64_t>(in.rim.connections));
  out.family("api_answers_total", "counter", "Answers of the control API by operation and status.");
  for (const RimNumbers::Answers& answers : in.rim.answers) {
    out.sample(static_cast<std::int64_t>(answers.count), {{"operation", answers.operation}, {"status", std::to_string(answers.status)}});
  }
}

void write_process(Exposition& out, const MetricsInput& in) {
  out.family("build_info", "gauge", "1; the version is its label.").sample(std::int64_t{1}, {{"version", in.identity.version}});
  out.family("process_resident_memory_bytes", "gauge", "Memory of the centre itself.").sample(in.process.resident_bytes);
  out.family("process_cpu_seconds_total", "counter", "Processor time of the centre itself.").sample(in.process.cpu_s);
  out.family("process_open_fds", "gauge", "Open file descriptors.").sample(in.process.open_fds);
  out.family("process_max_fds", "gauge", "The limit of open file descriptors.").sample(in.process.max_fds);
  out.family("process_start_time_seconds", "gauge", "When the centre started, Unix time.").decimal(in.identity.started_at.ns, 9, {});
}

}  // namespace

std::string escape_label(std::string_view value) {
  std::string out;
  for (const char c : to_utf8(value)) {
    if (c == '\\' || c == '"') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

ProcessNumbers read_process_numbers() {
  ProcessNumbers numbers;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto span = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
    numbers.cpu_s = span(usage.ru_utime) + span(usage.ru_stime);
  }
  if (std::ifstream file("/proc/self/statm"); file) {
    std::int64_t size = 0, resident = 0;  // pages
    if (file >> size >> resident) { numbers.resident_bytes = resident * ::sysconf(_SC_PAGESIZE); }
  }
  if (DIR* folder = ::opendir("/proc/self/fd")) {
    while (::readdir(folder) != nullptr) { ++numbers.open_fds; }
    ::closedir(folder);
    numbers.open_fds -= 3;  // ".", ".." and the one that was just opened to look
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) { numbers.max_fds = static_cast<std::int64_t>(std::min<rlim_t>(limit.rlim_cur, INT64_MAX)); }
  return numbers;
}

std::string metrics_text(const MetricsInput& input) {
  Exposition out;
  write_fleet(out, input);
  write_samples(out, input);
  write_work(out, input);
  write_ledger(out, input);
  write_host(out, input);
  write_rim(out, input);
  write_process(out, input);
  return std::move(out.text);
}

}  // namespace centrale::api
