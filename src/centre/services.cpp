// SPDX-License-Identifier: Apache-2.0
// Services and their replicas: as many as wanted, started again when they fail, replaced one by one when the spec changes.
#include <algorithm>

#include <fmt/format.h>

#include "centre/core_state.hpp"

namespace centrale {

namespace {
constexpr std::uint64_t kOrderStep = 1U << 20U;  // room for the replicas of one service in the queue
static_assert(kReplicasMax < kOrderStep);
}  // namespace

Result<Service*> CoreState::service_at(ServiceId id) {
  Service* const service = services.find(id);
  if (service == nullptr) { return fail(ErrorKind::not_found, fmt::format("there is no service {}", to_string(id))); }
  if (service->removing) {
    return fail(ErrorKind::conflict, fmt::format("service '{}' is being removed", service->spec.name), {}, "wait until it is gone");
  }
  return service;
}

Result<void> CoreState::on(ServiceDefined& e) {
  TRY(check_tenant(e.tenant));
  TRY(validate(e.spec));
  const Gang gang{.workers = 1,
                  .chips = e.spec.chips,
                  .memory = e.spec.memory,
                  .cpu_milli = e.spec.cpu_milli,
                  .share_milli = e.spec.share_milli,
                  .apart = 0,
                  .ends = kNever,
                  .reservation = 0};
  TRY(check_quota(e.tenant, gang));
  TRY(check_fits(e.spec.chip_kinds, gang));
  const auto known = service_names.find(e.spec.name);
  if (known != service_names.end()) {
    TRY_ASSIGN(Service* const service, service_at(known->second));
    if (service->tenant != e.tenant) {
      return fail(ErrorKind::conflict, fmt::format("the name '{}' is taken", e.spec.name), "name",
                  "choose another: it is the model name that callers use");
    }
    for (ReplicaSlot& slot : service->replicas) {  // those that wait were queued with the old shape
      const Task* const task = tasks.find(slot.task);
      if (task != nullptr && task->state == TaskState::queued) { stop_replica(slot); }
    }
    ServiceSpec same = service->spec;
    same.replicas = e.spec.replicas;
    if (to_json(same) != to_json(e.spec)) {
      ++service->generation;
      for (ReplicaSlot& slot : service->replicas) {  // what failed before may not fail now
        slot.failures = 0;
        slot.retry = {};
      }
    }
    service->spec = std::move(e.spec);
    out->created = service->id.value;
    reconcile(*service);
    return {};
  }
  if (services.size() >= limits.services_max) {
    return fail(ErrorKind::exhausted, fmt::format("the centre has {} services, its limit", limits.services_max));
  }
  const ServiceId id = services.next_id();
  Service& service = services.add();
  service.id = id;
  service.tenant = e.tenant;
  service.spec = std::move(e.spec);
  service.defined = now;
  service.order = sequence * kOrderStep;
  service_names[service.spec.name] = id;
  out->created = id.value;
  reconcile(service);
  return {};
}

Result<void> CoreState::on(ServiceScaled& e) {
  TRY_ASSIGN(Service* const service, service_at(e.service));
  if (e.replicas < 0 || e.replicas > kReplicasMax) {
    return fail(ErrorKind::invalid, fmt::format("{} replicas", e.replicas), "replicas", fmt::format("0 to {}", kReplicasMax));
  }
  service->spec.replicas = e.replicas;
  out->created = service->id.value;
  reconcile(*service);
  return {};
}

Result<void> CoreState::on(ServiceRemoved& e) {
  TRY_ASSIGN(Service* const service, service_at(e.service));
  service->removing = true;
  reconcile(*service);
  return {};
}

void CoreState::stop_replica(ReplicaSlot& slot) {
  Task* const task = tasks.find(slot.task);
  if (task == nullptr) { return; }
  const bool was_queued = task->state == TaskState::queued;
  stop(*task);
  if (was_queued) { slot.task = {}; }
}

void CoreState::start_replica(Service& service, std::size_t ordinal) {
  const TaskId id = tasks.next_id();
  Task& task = tasks.add();
  task.id = id;
  task.service = service.id;
  task.ordinal = static_cast<std::int64_t>(ordinal);
  task.generation = service.generation;
  task.attempt = service.replicas[ordinal].failures + 1;
  task.chips_per_worker = service.spec.chips;
  task.memory = service.spec.memory;
  task.cpu_milli = service.spec.cpu_milli;
  task.share_milli = service.spec.share_milli;
  task.apart = service.spec.apart;
  service.replicas[ordinal].task = id;
  policy->enqueue(work_of(service, task));
}

void CoreState::reconcile(Service& service) {
  const std::size_t wanted = service.removing ? 0 : static_cast<std::size_t>(service.spec.replicas);
  if (service.replicas.size() < wanted) { service.replicas.resize(wanted); }
  for (std::size_t ordinal = wanted; ordinal < service.replicas.size(); ++ordinal) { stop_replica(service.replicas[ordinal]); }
  while (service.replicas.size() > wanted && !service.replicas.back().task) { service.replicas.pop_back(); }
  for (std::size_t ordinal = 0; ordinal < wanted; ++ordinal) {
    if (!service.replicas[ordinal].task && !service.replicas[ordinal].retry) { start_replica(service, ordinal); }
  }
  roll(service);
  changed(Change::What::service, service.id.value);
  if (service.removing && service.replicas.empty()) {
    service_names.erase(service.spec.name);
    services.erase(service.id);
  }
}

void CoreState::roll(Service& service) {
  const auto is_old = [&](const Task& task) { return task.generation != service.generation && task.state != TaskState::stopping; };
  std::size_t missing = 0;
  ReplicaSlot* oldest_ready = nullptr;
  for (ReplicaSlot& slot : service.replicas) {
    const Task* const task = tasks.find(slot.task);
    if (task == nullptr || !task->ready) {
      ++missing;
      if (task != nullptr && is_old(*task)) {
        stop_replica(slot);  // it serves nobody: replace it at once
      }
    } else if (is_old(*task) && oldest_ready == nullptr) {
      oldest_ready = &slot;
    }
  }
  if (oldest_ready != nullptr && missing == 0) {  // one at a time, and only while all others serve
    stop_replica(*oldest_ready);
  }
}

void CoreState::replica_task_ended(Service& service, const Task& task, Ending ending, std::string message) {
  ReplicaSlot& slot = service.replicas[static_cast<std::size_t>(task.ordinal)];
  slot.task = {};
  const bool wanted_end = ending == Ending::asked || (ending == Ending::done && task.stop_wanted);
  if (!wanted_end || task.late) {
    ++slot.failures;
    if (!task.late) { slot.message = ending == Ending::done ? "the engine ended by itself" : std::move(message); }
    if (!service.removing && task.ordinal < service.spec.replicas) {
      slot.retry = set_timer({.id = {},
                              .due = now + backoff_after(service.spec.backoff, slot.failures),
                              .purpose = TimerPurpose::retry_replica,
                              .job = {},
                              .service = service.id,
                              .task = {},
                              .ordinal = task.ordinal});
    }
  }
  reconcile(service);
}

Result<void> CoreState::on(ReplicaReady& e) {
  Task* const task = tasks.find(e.task);
  if (task == nullptr || !task->service || (task->state != TaskState::starting && task->state != TaskState::running)) { return {}; }
  if (task->state == TaskState::starting) {  // the report of its start was lost with a restart
    task->state = TaskState::running;
    task->started = now;
  }
  task->ready = true;
  task->port = e.port;
  if (timers.find(task->timer) != nullptr) { timers.erase(task->timer); }
  task->timer = {};
  Service& service = services.at(task->service);
  ReplicaSlot& slot = service.replicas[static_cast<std::size_t>(task->ordinal)];
  slot.failures = 0;
  slot.message.clear();
  reconcile(service);
  return {};
}

Result<void> CoreState::on(ReplicaUnready& e) {
  Task* const task = tasks.find(e.task);
  if (task == nullptr || !task->ready) { return {}; }
  task->ready = false;
  Service& service = services.at(task->service);
  service.replicas[static_cast<std::size_t>(task->ordinal)].message = std::move(e.reason);
  if (service.spec.start_timeout.value > 0) {  // it gets as long to come back as it had to start
    task->timer = set_timer({.id = {},
                             .due = now + service.spec.start_timeout,
                             .purpose = TimerPurpose::start_timeout,
                             .job = {},
                             .service = {},
                             .task = task->id});
  }
  changed(Change::What::service, service.id.value);
  return {};
}

}  // namespace centrale
