// SPDX-License-Identifier: Apache-2.0
// The life of a task: placed, started, progressing, stopped, ended; and the timers.
#include <algorithm>

#include <fmt/format.h>

#include "centre/core_state.hpp"

namespace centrale {

TenantId CoreState::tenant_of(const Task& task) const { return task.job ? jobs.at(task.job).tenant : services.at(task.service).tenant; }
Nanos CoreState::grace_of(const Task& task) const { return task.job ? jobs.at(task.job).spec.grace : services.at(task.service).spec.grace; }
void CoreState::start(Task& task) {
  ensure(task.state == TaskState::queued);
  task.state = TaskState::starting;
  task.placed = now;
  for (const ChipId id : task.chips) {
    Chip& chip = chips[id.value - 1];
    ensure(chip.health == ChipHealth::ok);
    if (task.share_milli < 1000) {
      chip.sharers.push_back(task.id);
      chip.holder = chip.sharers.front();
    } else {
      ensure(!chip.holder);
      chip.holder = task.id;
    }
    changed(Change::What::node, chip.node.value);
  }
  task.rate = rate_of(task);
  task.billed_until = now;
  burn(task, true);
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
  pool.give_back(task.chips, gang_of(task));
  burn(task, false);
  hold_chips(task, -1);
  for (const ChipId id : task.chips) {
    Chip& chip = chips[id.value - 1];
    if (task.share_milli < 1000) {
      const auto part = std::ranges::find(chip.sharers, task.id);  // a gang may have several parts of a chip
      ensure(part != chip.sharers.end());
      chip.sharers.erase(part);
      chip.holder = chip.sharers.empty() ? TaskId{} : chip.sharers.front();
    } else {
      ensure(chip.holder == task.id);
      chip.holder = {};
    }
    changed(Change::What::node, chip.node.value);
  }
  policy_of(task).ended(task.id);
  schedule_wanted = true;
}

void CoreState::stop(Task& task) {
  if (task.state == TaskState::queued) {
    policy_of(task).dequeue(work_of(task));
    tasks.erase(task.id);
    return;
  }
  if (task.state != TaskState::stopping) {
    task.state = TaskState::stopping;
    task.stop_wanted = true;
    task.ready = false;
    policy_of(task).stopping(task.id);
    act(StopTask{task.id, grace_of(task)});
  }
}

void CoreState::end(Task& task, Ending ending, std::string message, Millijoules energy) {
  task.ended = now;
  Usage used = held(task, now);
  if (energy.value > 0) {
    used.energy = energy;
    used.energy_estimated = 0;
  }
  roll_cost_period(tenant_of(task));
  tenants[tenant_of(task).value - 1].usage += used;
  if (!task.chips.empty()) {
    release_chips(task);
    note_ending(task, ending, message);
  }
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
  if (e.checkpoint.empty()) {
    e.checkpoint = std::move(job.progress.checkpoint);
  } else if (e.checkpoint != job.progress.checkpoint) {
    job.saved = now;
  }
  note_work(job, *task, e);
  job.progress = std::move(e);
  changed(Change::What::job, job.id.value);
  return {};
}

void CoreState::note_work(Job& job, const Task& task, const TaskProgressed& e) {
  const double fraction = e.steps > 0 ? std::clamp(static_cast<double>(e.step) / static_cast<double>(e.steps), 0.0, 1.0) : 0;
  double whole = to_seconds(job.spec.estimate.value > 0 ? job.spec.estimate : job.spec.time_limit);
  if (job.speeds && job.speeds->work > 0) {
    whole = job.speeds->work;
    const bool same_task = job.progress.task == e.task;
    const auto table = table_of(job);
    if (same_task && e.steps > 0 && table != nullptr && task.row >= 0 && now > job.reported) {
      const auto shape = std::ranges::find(table->shapes, task.row, &Shape::row);
      if (shape != table->shapes.end() && e.step > job.progress.step) {
        const double observed =
            static_cast<double>(e.step - job.progress.step) / static_cast<double>(e.steps) * whole / to_seconds(now - job.reported);
        const auto spread = static_cast<std::size_t>(pool.spread(task.chips));
        const auto& row = job.speeds->rows[static_cast<std::size_t>(task.row)];
        const double said = row.rates[std::min(spread, row.rates.size() - 1)];
        corrections.observe(estimated_as(job.spec), shape->kind, observed, said);
      }
    }
  }
  job.reported = now;
  job.work_done = fraction * whole;
  if (whole > 0) { policy_of(task).progressed(task.id, whole - job.work_done, now, job.saved); }
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
    case TimerPurpose::decide:
      if (decide_timer == timer.id) {
        decide_timer = {};
        schedule_wanted = true;
      }
      break;
    case TimerPurpose::defrag:
      if (defrag_timer == timer.id) {
        defrag_timer = {};
        defrag_due = true;
      }
      schedule_wanted = true;  // what was held longer than it may be is everybody's
      break;
    case TimerPurpose::reservation: reservation_due(timer.reservation); break;
    case TimerPurpose::budget:
      if (tenants[timer.tenant.value - 1].budget_timer == timer.id) {
        tenants[timer.tenant.value - 1].budget_timer = {};
        budgets_touched.push_back(timer.tenant);
        schedule_wanted = true;
      }
      break;
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
