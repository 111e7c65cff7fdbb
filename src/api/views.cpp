// SPDX-License-Identifier: Apache-2.0
#include "api/views.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/ensure.hpp"

namespace centrale::api {
namespace {

std::optional<std::string> given(const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); }

template <class T>
std::optional<T> known(T value) {
  return value == T{} ? std::nullopt : std::optional(value);
}

std::string tenant_name(const Core& core, TenantId id) {
  const Tenant* tenant = core.tenant(id);
  return tenant != nullptr ? tenant->name : to_string(id);
}

HolderView holder_of(const Core& core, TaskId id, Scope scope) {
  HolderView holder{.task = id, .job = {}, .service = {}, .name = {}};
  const Task* task = core.task(id);
  if (task == nullptr) { return holder; }
  if (const Job* job = core.job(task->job); job != nullptr && scope.sees(job->tenant)) {
    holder.job = job->id;
    holder.name = job->spec.name;
  }
  if (const Service* service = core.service(task->service); service != nullptr && scope.sees(service->tenant)) {
    holder.service = service->id;
    holder.name = service->spec.name;
  }
  return holder;
}

/// The command, cut where the limit is reached; the cut shows as "…".
std::vector<std::string> shown_command(const std::vector<std::string>& command) {
  std::vector<std::string> shown;
  std::size_t left = kCommandBytesShownMax;
  for (const std::string& word : command) {
    if (word.size() + 1 > left) {
      shown.emplace_back("…");
      break;
    }
    left -= word.size() + 1;
    shown.push_back(word);
  }
  return shown;
}

std::vector<PlaceView> placement_of(const Core& core, const Job& job) {
  std::vector<PlaceView> places;
  const Task* task = is_final(job.state) ? nullptr : core.task(job.task);
  if (task == nullptr || task->state == TaskState::exited) { return places; }
  places.reserve(std::min(task->chips.size(), kPlacesShownMax));
  for (const ChipId id : task->chips) {
    if (places.size() == kPlacesShownMax) { break; }
    const Chip& chip = core.chip(id);
    const Node* node = core.node(chip.node);
    places.push_back({.node = node != nullptr ? node->name : to_string(chip.node), .chip = id, .kind = core.kind_name(chip.kind)});
  }
  return places;
}

std::optional<ProgressView> progress_of(const TaskProgressed& said) {
  ProgressView progress{.step = known(said.step),
                        .steps = known(said.steps),
                        .loss = {},
                        .tokens = known(said.tokens),
                        .tokens_per_s = {},
                        .eta = known(said.eta),
                        .checkpoint = given(said.checkpoint)};
  if (said.loss_micro != 0) { progress.loss = static_cast<double>(said.loss_micro) / 1e6; }
  if (said.tokens_per_s_milli != 0) { progress.tokens_per_s = static_cast<double>(said.tokens_per_s_milli) / 1e3; }
  const bool anything =
      progress.step || progress.steps || progress.loss || progress.tokens || progress.tokens_per_s || progress.eta || progress.checkpoint;
  return anything ? std::optional(progress) : std::nullopt;
}

ReplicaView replica_of(const Core& core, const ReplicaSlot& slot, std::int64_t ordinal) {
  ReplicaView replica;
  replica.ordinal = ordinal;
  replica.message = slot.message;
  replica.failures = slot.failures;
  const Task* task = core.task(slot.task);
  if (task == nullptr || task->state == TaskState::exited) { return replica; }
  replica.task = task->id;
  // The names of the two enums meet: queued, starting, running, stopping.
  replica.state = static_cast<ReplicaState>(static_cast<int>(task->state) + 1);
  replica.ready = task->ready;
  replica.port = known(task->port);
  if (!task->chips.empty()) {
    if (const Node* node = core.node(core.chip(task->chips.front()).node)) { replica.node = node->name; }
  }
  return replica;
}

/// The one that is under way there: its name, of another tenant's only the id.
std::optional<std::string> reservation_of(const Core& core, NodeId node, Scope scope) {
  for (const Reservation& each : core.reservations()) {
    if (!each.open || !std::ranges::binary_search(each.nodes, node)) { continue; }
    return !each.tenant || scope.sees(each.tenant) ? each.name : to_string(each.id);
  }
  return std::nullopt;
}

void count(JobCounts& counts, JobState state) {
  const std::array<std::int64_t*, 7> by_state{&counts.queued, &counts.starting, &counts.running,  &counts.stopping,
                                              &counts.done,   &counts.failed,   &counts.cancelled};
  ++*by_state.at(static_cast<std::size_t>(state));
}

}  // namespace

UsageLine line(std::string name, std::string id, const Usage& usage) {
  return {.name = std::move(name),
          .id = std::move(id),
          .device_time = usage.device_time,
          .energy = usage.energy,
          .energy_estimated = usage.energy_estimated != 0,
          .tokens_trained = usage.tokens_trained,
          .requests = usage.requests,
          .prompt_tokens = usage.prompt_tokens,
          .completion_tokens = usage.completion_tokens,
          .estimated_tokens = usage.estimated_tokens,
          .cost = usage.cost,
          .preemptible_time = usage.preemptible_time,
          .spot_time = usage.spot_time,
          .preemptible_cost = usage.preemptible_cost,
          .spot_cost = usage.spot_cost};
}

ChipView view_chip(const Core& core, ChipId id, const Telemetry& telemetry, Scope scope) {
  const Chip& chip = core.chip(id);
  const ChipSample sample = telemetry.sample(id);
  ChipView shown;
  shown.id = id;
  shown.kind = core.kind_name(chip.kind);
  shown.index = chip.local;
  shown.health = chip.health;
  shown.memory = chip.memory;
  shown.power = chip.power;
  shown.price_per_hour = chip.price_per_hour;
  if (chip.holder) { shown.holder = holder_of(core, chip.holder, scope); }
  shown.utilisation = sample.utilisation;
  shown.power_now = sample.power;
  if (const ChipRecord* record = core.chip_record(id); record != nullptr) {
    shown.failures = record->failures;
    shown.tasks_failed = record->tasks_failed;
    shown.suspect = core.is_suspect(id);
    if (!scope.tenant) { shown.reason = given(record->reason); }  // it may be what another tenant's job said
  }
  return shown;
}

NodeView view(const Core& core, NodeId id, const Telemetry& telemetry, Scope scope) {
  const Node* node = core.node(id);
  ensure(node != nullptr);
  NodeView shown;
  shown.id = id;
  shown.name = node->name;
  shown.state = node->state;
  shown.memory = node->memory;
  shown.since = node->since;
  shown.cpu_milli = node->cpu_milli;
  shown.domain = given(node->domain);
  shown.leaf = given(node->leaf);
  shown.spine = given(node->spine);
  shown.reservation = reservation_of(core, id, scope);
  shown.chips.reserve(node->chips.size());
  for (const ChipId chip : node->chips) { shown.chips.push_back(view_chip(core, chip, telemetry, scope)); }
  return shown;
}

JobView view(const Core& core, const Job& job, Time now) {
  JobView shown;
  shown.id = job.id;
  shown.name = job.spec.name;
  shown.tenant = tenant_name(core, job.tenant);
  shown.state = job.state;
  shown.wait = known(core.waits_for(job));
  shown.priority = job.spec.priority;
  shown.workers = job.spec.workers;
  shown.chips = job.spec.chips;
  shown.chip_kinds = job.spec.chip_kinds;
  if (job.array_index >= 0) {
    shown.array_index = job.array_index;
    shown.array_size = job.spec.array;
  }
  shown.attempts = job.attempts;
  shown.failures = job.failures;
  shown.restarts = job.spec.restarts;
  shown.task = known(job.task);
  shown.placement = placement_of(core, job);
  shown.submitted = job.submitted;
  shown.started = known(job.started);
  shown.finished = known(job.finished);
  if (shown.started) { shown.runtime = (shown.finished ? job.finished : std::max(now, job.started)) - job.started; }
  shown.message = job.message;
  shown.command = shown_command(job.spec.command);
  shown.after = job.spec.after;
  shown.progress = progress_of(job.progress);
  shown.usage = line(job.spec.name, to_string(job.id), core.usage(job, now));
  shown.checkpoints = given(job.spec.checkpoints);
  shown.workdir = given(job.spec.workdir);
  shown.reservation = given(job.spec.reservation);
  return shown;
}

std::int64_t ready_replicas(const Core& core, const Service& service) {
  return std::count_if(service.replicas.begin(), service.replicas.end(), [&](const ReplicaSlot& slot) {
    const Task* task = core.task(slot.task);
    return task != nullptr && task->ready && task->state == TaskState::running;
  });
}

ServiceState state_of(const Core& core, const Service& service) {
  if (service.removing) { return ServiceState::removing; }
  const std::int64_t ready = ready_replicas(core, service);
  if (ready >= service.spec.replicas) { return ServiceState::ready; }
  return ready == 0 ? ServiceState::starting : ServiceState::degraded;
}

ServiceView view(const Core& core, const Service& service, Time now) {
  ServiceView shown;
  shown.id = service.id;
  shown.name = service.spec.name;
  shown.tenant = tenant_name(core, service.tenant);
  shown.model = service.spec.model;
  shown.state = state_of(core, service);
  shown.replicas_wanted = service.removing ? 0 : service.spec.replicas;
  shown.replicas_ready = ready_replicas(core, service);
  shown.generation = service.generation;
  shown.priority = service.spec.priority;
  shown.chips = service.spec.chips;
  for (std::size_t i = 0; i < std::min(service.replicas.size(), kReplicasShownMax); ++i) {
    shown.replicas.push_back(replica_of(core, service.replicas[i], static_cast<std::int64_t>(i)));
  }
  shown.defined = service.defined;
  shown.usage = line(service.spec.name, to_string(service.id), core.usage(service, now));
  return shown;
}

TenantView view_tenant(const Core& core, TenantId id, Time now, const Usage& usage) {
  const Tenant* tenant = core.tenant(id);
  ensure(tenant != nullptr);
  const bool today = tenant->day == now.ns / seconds(86'400).value;
  return {.id = id,
          .name = tenant->name,
          .chips_max = tenant->quota.chips_max,
          .chips_held = tenant->chips_held,
          .tokens_per_day_max = tenant->quota.tokens_per_day_max,
          .tokens_today = today ? tenant->day_tokens : 0,
          .usage = line(tenant->name, to_string(id), usage)};
}

KeyView view_key(const Core& core, KeyId id) {
  const Key* key = core.key(id);
  ensure(key != nullptr);
  return {.id = id,
          .tenant = tenant_name(core, key->tenant),
          .label = key->label,
          .role = key->role,
          .added = key->added,
          .revoked = key->revoked};
}

ErrorView view(const Error& error) {
  return {
      .error = {
          .kind = error.kind, .what = error.what, .where = given(error.where), .remedy = given(error.remedy), .message = error.message()}};
}

LogView view_log(std::string bytes, std::int64_t offset, bool complete) {
  // A chunk may end inside a character; the rest of it belongs to the next chunk. Bytes that are not UTF-8 stay, so that a log never
  // stands still before them.
  if (!complete) {
    for (std::size_t back = 1; back <= std::min<std::size_t>(3, bytes.size()); ++back) {
      const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
      if ((byte & 0xC0) == 0x80) { continue; }
      const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
      if (length > back && back < bytes.size()) { bytes.resize(bytes.size() - back); }
      break;
    }
  }
  const std::int64_t next = offset + static_cast<std::int64_t>(bytes.size());
  return {.text = std::move(bytes), .offset = offset, .next = next, .complete = complete, .attempt = {}};
}

Census take_census(const Core& core, Time now) {
  Census census;
  census.sequence = core.sequence();
  census.taken = now;
  core.each_job([&](const Job& job) {
    ++census.objects;
    count(census.jobs, job.state);
  });
  core.each_service([&](const Service& service) {
    census.objects += 1 + static_cast<std::int64_t>(service.replicas.size());
    ++census.services.total;
    census.services.ready += state_of(core, service) == ServiceState::ready ? 1 : 0;
    census.replicas_wanted += service.removing ? 0 : service.spec.replicas;
    census.replicas_ready += ready_replicas(core, service);
  });
  census.chips.total = static_cast<std::int64_t>(core.chip_count());
  census.objects += census.chips.total;
  for (std::size_t i = 1; i <= core.chip_count(); ++i) {
    const Chip& chip = core.chip(ChipId{i});
    const Node* node = core.node(chip.node);
    if (chip.holder) {
      ++census.chips.busy;
    } else if (chip.health != ChipHealth::ok || node == nullptr || node->state == NodeState::lost) {
      ++census.chips.failed;
    } else if (node->state == NodeState::up) {
      ++census.chips.free;  // those of a drained node are neither
    }
  }
  return census;
}

}  // namespace centrale::api
