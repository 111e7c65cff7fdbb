// SPDX-License-Identifier: Apache-2.0
// The life of a task: placed, started, progressing, stopped, ended; and the timers.
#include <algorithm>

#include <fmt/format.h>

#include "centre/core_state.hpp"

namespace centrale {

TenantId CoreState::tenant_of(const Task& task) const { return task.job ? jobs.at(task.job).tenant : services.at(task.service).tenant; }
Nanos CoreState::grace_of(const Task& task) const { return task.job ? jobs.at(task.job).spec.grace : services.at(task.service).spec.grace; }
Request CoreState::request_of(const Task& task) const {
  return task.job ? request_of(jobs.at(task.job)) : request_of(services.at(task.service), task);
}

void CoreState::start(Task& task) {
  ensure(task.state == TaskState::queued);
  task.state = TaskState::starting;
  task.placed = now;
  for (const ChipId id : task.chips) {
    Chip& chip = chips[id.value - 1];
    ensure(!chip.holder && chip.health == ChipHealth::ok);
    chip.holder = task.id;
    changed(Change::What::node, chip.node.value);
  }
  tenants[tenant_of(task).value - 1].chips_held += static_cast<std::int64_t>(task.chips.size());
  act(StartTask{task.id});
  if (task.job) {
    Job& job = jobs.at(task.job);
    job.state = JobState::starting;
    job.wait = WaitReason::none;
    ++job.attempts;
    task.attempt = job.attempts;
    changed(Change::What::job, job.id.value);
  } else {
    const Service& service = services.at(task.service);
    if (service.spec.start_timeout.value > 0) {
      task.timer = set_timer({.id = {},
                              .due = now + service.spec.start_timeout,
                              .purpose = TimerPurpose::start_timeout,
                              .job = {},
                              .service = {},
                              .task = task.id});
    }
    changed(Change::What::service, service.id.value);
  }
}

void CoreState::release_chips(Task& task) {
  for (std::size_t i = 0; i < task.chips.size(); ++i) {
    const ChipId id = task.chips[i];
    Chip& chip = chips[id.value - 1];
    ensure(chip.holder == task.id);
    chip.holder = {};
    pool.set_free(id, true);
    if (static_cast<std::int64_t>(i) % task.chips_per_worker == 0) { pool.return_memory(pool.node_of(id), task.memory); }
    changed(Change::What::node, chip.node.value);
  }
  tenants[tenant_of(task).value - 1].chips_held -= static_cast<std::int64_t>(task.chips.size());
  schedule_wanted = true;
}

void CoreState::stop(Task& task) {
  if (task.state == TaskState::queued) {
    policy->dequeue(request_of(task));
    tasks.erase(task.id);
    return;
  }
  if (task.state != TaskState::stopping) {
    task.state = TaskState::stopping;
    task.stop_wanted = true;
    task.ready = false;
    act(StopTask{task.id, grace_of(task)});
  }
}

void CoreState::end(Task& task, Ending ending, std::string message, Millijoules energy) {
  task.ended = now;
  Usage used = held(task, task.placed, now);
  if (energy.value > 0) {
    used.energy = energy;
    used.energy_estimated = 0;
  }
  tenants[tenant_of(task).value - 1].usage += used;
  if (!task.chips.empty()) { release_chips(task); }
  if (timers.find(task.timer) != nullptr) { timers.erase(task.timer); }
  task.state = TaskState::exited;
  changed(Change::What::usage, tenant_of(task).value);
  if (task.job) {
    Job& job = jobs.at(task.job);
    job.usage += used;
    job_task_ended(job, task, ending, std::move(message));
  } else {
    Service& service = services.at(task.service);
    service.usage += used;
    replica_task_ended(service, task, ending, std::move(message));
  }
  tasks.erase(task.id);
}

Result<void> CoreState::on(TaskStarted& e) {
  Task* const task = tasks.find(e.task);
  if (task == nullptr || task->state != TaskState::starting) { return {}; }
  task->state = TaskState::running;
  task->started = now;
  if (task->job) {
    Job& job = jobs.at(task->job);
    job.state = JobState::running;
    if (job.started == Time{}) { job.started = now; }
    if (job.spec.time_limit.value > 0) {
      task->timer = set_timer(
          {.id = {}, .due = now + job.spec.time_limit, .purpose = TimerPurpose::time_limit, .job = {}, .service = {}, .task = task->id});
    }
    changed(Change::What::job, job.id.value);
  } else {
    changed(Change::What::service, task->service.value);
  }
  return {};
}

Result<void> CoreState::on(TaskStartFailed& e) {
  Task* const task = tasks.find(e.task);
  if (task == nullptr || task->state == TaskState::queued) { return {}; }
  end(*task, task->stop_wanted ? Ending::asked : e.permanent ? Ending::failed_for_good : Ending::failed, std::move(e.message), {});
  return {};
}

Result<void> CoreState::on(TaskProgressed& e) {
  const Task* const task = tasks.find(e.task);
  if (task == nullptr || !task->job) { return {}; }
  Job& job = jobs.at(task->job);
  // Tokens are cumulative over the job: an attempt that goes on from an older checkpoint does not bill its steps twice.
  const std::int64_t more = std::max<std::int64_t>(0, e.tokens - job.usage.tokens_trained);
  job.usage.tokens_trained += more;
  tenants[job.tenant.value - 1].usage.tokens_trained += more;
  if (e.checkpoint.empty()) { e.checkpoint = std::move(job.progress.checkpoint); }
  job.progress = std::move(e);
  changed(Change::What::job, job.id.value);
  return {};
}

namespace {

/// sysexits.h: the command, its data or its configuration is wrong; a retry cannot help.
bool is_permanent(std::int64_t code) { return code == 64 || code == 65 || code == 78; }

std::string how_it_ended(const TaskExited& e) {
  std::string text;
  if (e.lost) {
    text = "lost: nobody saw how it ended";
  } else if (e.signal != 0) {
    text = fmt::format("killed by signal {}", e.signal);
  } else {
    text = fmt::format("exit code {}", e.code);
  }
  return e.message.empty() ? text : fmt::format("{} ({})", e.message, text);
}

}  // namespace

Result<void> CoreState::on(TaskExited& e) {
  Task* const task = tasks.find(e.task);
  if (task == nullptr || task->state == TaskState::queued) { return {}; }
  const bool success = e.code == 0 && e.signal == 0 && !e.lost;
  Ending ending = Ending::failed;
  if (success) {
    ending = Ending::done;
  } else if (task->stop_wanted) {
    ending = Ending::asked;
  } else if (e.lost) {
    ending = Ending::lost;
  } else if (is_permanent(e.code)) {
    ending = Ending::failed_for_good;
  }
  end(*task, ending, success ? std::string{} : how_it_ended(e), e.energy);
  return {};
}

Result<void> CoreState::on(TimerFired& e) {
  const Timer* const found = timers.find(e.timer);
  if (found == nullptr) { return {}; }
  const Timer timer = *found;
  if (now < timer.due) {  // a clock that was set back: wait for the time that was promised
    act(SetTimer{timer.id, timer.due});
    return {};
  }
  timers.erase(timer.id);
  switch (timer.purpose) {
    case TimerPurpose::retry_job:
      if (Job* const job = jobs.find(timer.job); job != nullptr && job->state == JobState::queued && job->wait == WaitReason::backoff) {
        enqueue(*job);
      }
      break;
    case TimerPurpose::retry_replica:
      if (Service* const service = services.find(timer.service); service != nullptr) {
        const auto ordinal = static_cast<std::size_t>(timer.ordinal);
        if (ordinal < service->replicas.size() && service->replicas[ordinal].retry == timer.id) {
          service->replicas[ordinal].retry = {};
          reconcile(*service);
        }
      }
      break;
    case TimerPurpose::start_timeout:
      if (Task* const task = tasks.find(timer.task); task != nullptr && task->timer == timer.id) {
        task->timer = {};
        if (!task->ready && task->state != TaskState::stopping) {
          Service& service = services.at(task->service);
          service.replicas[static_cast<std::size_t>(task->ordinal)].message =
              fmt::format("not ready within {} s", service.spec.start_timeout.value / 1'000'000'000);
          task->late = true;
          stop(*task);
          changed(Change::What::service, service.id.value);
        }
      }
      break;
    case TimerPurpose::time_limit:
      if (Task* const task = tasks.find(timer.task); task != nullptr && task->timer == timer.id) {
        task->timer = {};
        Job& job = jobs.at(task->job);
        job.over_time = true;
        if (!job.cancel_wanted) { job.state = JobState::stopping; }
        stop(*task);
        changed(Change::What::job, job.id.value);
      }
      break;
  }
  return {};
}

}  // namespace centrale
