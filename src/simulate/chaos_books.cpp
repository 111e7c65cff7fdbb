// SPDX-License-Identifier: Apache-2.0
#include "simulate/chaos_books.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace centrale {

void ChaosBooks::mix(std::uint64_t value) {  // FNV-1a, a word at a time
  hash_ = (hash_ ^ value) * 0x100000001B3ULL;
  hash_ ^= hash_ >> 29U;
}

void ChaosBooks::hash(const Core& core, const Action& action) {
  mix(action.sequence);
  mix(action.index);
  mix(action.act.index());
  if (const auto* const start = std::get_if<StartTask>(&action.act)) {
    mix(start->task.value);
    if (const Task* const task = core.task(start->task); task != nullptr) {
      mix(static_cast<std::uint64_t>(task->row));
      for (const ChipId chip : task->chips) { mix(chip.value); }
    }
  } else if (const auto* const stop = std::get_if<StopTask>(&action.act)) {
    mix(stop->task.value);
    mix(static_cast<std::uint64_t>(stop->grace.value));
  } else {
    const auto& timer = std::get<SetTimer>(action.act);
    mix(timer.timer.value);
    mix(static_cast<std::uint64_t>(timer.due.ns));
  }
}

std::string ChaosBooks::note(const Core& core, const Event& event, const Output& out) {
  if (core.sequence() != sequence_ + 1) { say(fmt::format("the sequence went from {} to {}", sequence_, core.sequence())); }
  if (core.now() < now_) { say("time ran back"); }
  sequence_ = core.sequence();
  now_ = core.now();
  exit_said(event);
  forget_ended(core);
  if (const auto* const submit = std::get_if<JobSubmitted>(&event)) { submitted(core, *submit, out.created); }
  for (const Change& change : out.changes) {
    if (change.what == Change::What::job) { job_changed(core, JobId{change.id}); }
  }
  std::uint32_t index = 0;
  for (const Action& action : out.actions) {
    if (action.sequence != sequence_ || action.index != index++) {
      say(fmt::format("action {} of event {} calls itself {} of {}", index - 1, sequence_, action.index, action.sequence));
    }
    hash(core, action);
    if (const auto* const start = std::get_if<StartTask>(&action.act)) {
      started(core, start->task);
    } else if (const auto* const stop = std::get_if<StopTask>(&action.act)) {
      stopped(core, stop->task);
    }
  }
  return wrong_;
}

/// A job may only be called done when its task said so.
void ChaosBooks::exit_said(const Event& event) {
  const auto* const exit = std::get_if<TaskExited>(&event);
  if (exit == nullptr || exit->code != 0 || exit->signal != 0 || exit->lost) { return; }
  const auto found = held_.find(exit->task.value);
  if (found != held_.end() && found->second.job) { well_.insert(found->second.job.value); }
}

void ChaosBooks::count(const Held& held, std::int64_t sign, const Core& core) {
  for (std::size_t i = 0; i < held.chips.size(); ++i) {
    chip_milli_[held.chips[i].value] += sign * held.share;
    if (static_cast<std::int64_t>(i) % held.chips_per_worker != 0) { continue; }
    const std::uint64_t node = core.chip(held.chips[i]).node.value;
    memory_[node] += held.memory * sign;
    cpu_[node] += sign * held.cpu;
  }
}

void ChaosBooks::forget_ended(const Core& core) {
  for (auto each = held_.begin(); each != held_.end();) {
    if (core.task(each->second.task) != nullptr) {
      ++each;
      continue;
    }
    count(each->second, -1, core);
    each = held_.erase(each);
  }
}

void ChaosBooks::started(const Core& core, TaskId id) {
  ++starts;
  const Task* const task = core.task(id);
  if (task == nullptr || (task->state != TaskState::starting && task->state != TaskState::stopping)) {
    say(fmt::format("{} is started and is not there", to_string(id)));
    return;
  }
  if (held_.contains(id.value)) { say(fmt::format("{} is started twice", to_string(id))); }
  if (task->chips.empty() || task->chips_per_worker < 1 || static_cast<std::int64_t>(task->chips.size()) % task->chips_per_worker != 0) {
    say(fmt::format("{} got {} chips for workers of {}", to_string(id), task->chips.size(), task->chips_per_worker));
    return;
  }
  Held held;
  held.task = id;
  held.job = task->job;
  held.service = task->service;
  held.chips = task->chips;
  held.chips_per_worker = task->chips_per_worker;
  held.share = task->share_milli;
  held.cpu = task->cpu_milli;
  held.memory = task->memory;
  held.kind = core.chip(task->chips.front()).kind;
  if (task->job) {
    check_job(core, *task, held);
  } else {
    const Service& service = *core.service(task->service);
    held.tenant = service.tenant;
    held.apart = task->apart;
    if (static_cast<std::int64_t>(held.chips.size()) != task->chips_per_worker) {
      say(fmt::format("{} is no whole replica", to_string(id)));
    }
  }
  check_chips(core, held);
  check_quota(core, held);
  count(held, 1, core);
  check_nodes(core, held);
  held_[id.value] = std::move(held);
}

/// The whole gang or nothing of it, after what it waits for, in a shape that the job may have.
void ChaosBooks::check_job(const Core& core, const Task& task, Held& held) {
  const Job& job = *core.job(task.job);
  held.tenant = job.tenant;
  held.spot = job.spec.bid > 0;
  if (!open_.contains(job.id.value)) { say(fmt::format("{} starts and has ended, or was never submitted", to_string(job.id))); }
  for (const JobId id : after_[job.id.value]) {
    const auto found = ended_.find(id.value);
    if (open_.contains(id.value) || (found != ended_.end() && found->second.state != JobState::done)) {
      say(fmt::format("{} starts before {} is done", to_string(job.id), to_string(id)));
    }
  }
  const std::int64_t workers = static_cast<std::int64_t>(task.chips.size()) / task.chips_per_worker;
  if (task.row < 0) {
    const bool elastic = job.spec.workers_max > 0 && workers >= job.spec.workers_min && workers <= job.spec.workers_max;
    if ((workers != job.spec.workers && !elastic) || task.chips_per_worker != job.spec.chips) {
      say(fmt::format("{} asked for {} x {} chips and got {} x {}", to_string(job.id), job.spec.workers, job.spec.chips, workers,
                      task.chips_per_worker));
    }
  } else {
    const bool known = job.speeds && static_cast<std::size_t>(task.row) < job.speeds->rows.size();
    const SpeedRow* const row = known ? &job.speeds->rows[static_cast<std::size_t>(task.row)] : nullptr;
    if (row == nullptr || row->workers != workers || row->chips != task.chips_per_worker || row->kind != core.kind_name(held.kind)) {
      say(fmt::format("{} got {} x {} {}, which is not row {} of its speeds", to_string(job.id), workers, task.chips_per_worker,
                      core.kind_name(held.kind), task.row));
    }
  }
  const auto& kinds = job.spec.chip_kinds;
  if (!kinds.empty() && std::ranges::find(kinds, core.kind_name(held.kind)) == kinds.end()) {
    say(fmt::format("{} got chips of kind {}, which it cannot use", to_string(job.id), core.kind_name(held.kind)));
  }
}

void ChaosBooks::check_chips(const Core& core, const Held& held) {
  for (std::size_t i = 0; i < held.chips.size(); ++i) {
    const Chip& chip = core.chip(held.chips[i]);
    const auto worker = i - i % static_cast<std::size_t>(held.chips_per_worker);
    if (chip_milli_[held.chips[i].value] + held.share > 1000) {
      say(fmt::format("{} was given twice: to {}", to_string(held.chips[i]), to_string(held.task)));
    }
    if (std::find(held.chips.begin(), held.chips.begin() + static_cast<std::ptrdiff_t>(i), held.chips[i]) !=
            held.chips.begin() + static_cast<std::ptrdiff_t>(i) &&
        held.share == 1000) {
      say(fmt::format("{} got {} twice", to_string(held.task), to_string(held.chips[i])));
    }
    if (chip.kind != held.kind) { say(fmt::format("{} got chips of several kinds", to_string(held.task))); }
    if (chip.node != core.chip(held.chips[worker]).node) { say(fmt::format("a worker of {} is on two nodes", to_string(held.task))); }
    if (chip.health != ChipHealth::ok) { say(fmt::format("{} got {}, which is not well", to_string(held.task), to_string(held.chips[i]))); }
  }
}

/// After it was counted.
void ChaosBooks::check_nodes(const Core& core, const Held& held) {
  const Job* const job = held.job ? core.job(held.job) : nullptr;
  for (const ChipId chip : held.chips) {
    const NodeId id = core.chip(chip).node;
    const Node& node = *core.node(id);
    if (chip_milli_[chip.value] > 1000) { say(fmt::format("more than the whole of {} was given out", to_string(chip))); }
    if (node.state != NodeState::up) { say(fmt::format("{} starts on a node that is not up", to_string(held.task))); }
    if (held.memory.value > 0 && memory_[id.value] > node.memory) {
      say(fmt::format("more memory of {} was given out than it has", node.name));
    }
    if (held.cpu > 0 && node.cpu_milli > 0 && cpu_[id.value] > node.cpu_milli) {
      say(fmt::format("more processors of {} were given out than it has", node.name));
    }
    const std::string wants = job == nullptr ? std::string{} : job->spec.reservation;
    const Reservation* here = nullptr;
    for (const Reservation& each : core.reservations()) {
      if (each.open && std::ranges::find(each.nodes, id) != each.nodes.end()) { here = &each; }
    }
    if (here != nullptr ? !here->tenant || here->name != wants || here->tenant != held.tenant : !wants.empty()) {
      say(fmt::format("{} starts on {}, reserved: '{}'", to_string(held.task), node.name, here == nullptr ? "" : here->name));
    }
  }
  if (!held.apart) { return; }
  for (const auto& [id, other] : held_) {
    if (!other.apart || other.service != held.service || id == held.task.value) { continue; }
    for (const ChipId chip : other.chips) {
      if (core.chip(chip).node == core.chip(held.chips.front()).node) {
        say(fmt::format("replicas {} and {} are to be apart and are on one node", to_string(held.task), to_string(other.task)));
      }
    }
  }
}

/// Before it was counted. What is bought on the spot market is beside the quota.
void ChaosBooks::check_quota(const Core& core, const Held& held) {
  if (held.spot) { return; }
  const Tenant& tenant = *core.tenant(held.tenant);
  const std::int64_t more = static_cast<std::int64_t>(held.chips.size()) * held.share;
  std::int64_t all = more;
  std::int64_t of_kind = more;
  for (const auto& [id, other] : held_) {
    if (other.tenant != held.tenant || other.spot) { continue; }
    const std::int64_t milli = static_cast<std::int64_t>(other.chips.size()) * other.share;
    all += milli;
    of_kind += other.kind == held.kind ? milli : 0;
  }
  if (tenant.quota.chips_max > 0 && all > tenant.quota.chips_max * 1000) {
    say(fmt::format("tenant {} holds {} thousandths of chips; its quota is {} chips", tenant.name, all, tenant.quota.chips_max));
  }
  for (const KindQuota& quota : tenant.quota.kinds) {
    if (quota.kind == core.kind_name(held.kind) && of_kind > quota.chips_max * 1000) {
      say(fmt::format("tenant {} holds {} thousandths of {}; its quota is {} chips", tenant.name, of_kind, quota.kind, quota.chips_max));
    }
  }
  if (tenant.quota.cost_max.value > 0 && tenant.quota.cost_period.value == 0) {
    const MicroCurrency cost = core.usage(held.tenant, core.now()).cost;
    // Each task's bill is rounded down by itself: a unit of 1e-6 each.
    if (cost.value > tenant.quota.cost_max.value + 1000) {
      say(fmt::format("tenant {} starts more and has spent its budget", tenant.name));
    }
  }
}

void ChaosBooks::stopped(const Core& core, TaskId id) {
  ++stops;
  const auto found = held_.find(id.value);
  const Task* const task = core.task(id);
  if (found == held_.end() || task == nullptr || task->state != TaskState::stopping) {
    say(fmt::format("{} is stopped and does not run", to_string(id)));
    return;
  }
  if (found->second.stopped) { say(fmt::format("{} is stopped twice", to_string(id))); }
  found->second.stopped = true;
}

void ChaosBooks::submitted(const Core& core, const JobSubmitted& event, std::uint64_t first) {
  const auto copies = static_cast<std::uint64_t>(std::max<std::int64_t>(1, event.spec.array));
  for (std::uint64_t id = first; id < first + copies; ++id) {
    const Job* const job = core.job(JobId{id});
    if (job == nullptr) {
      say(fmt::format("{} was submitted and is not there", to_string(JobId{id})));
      return;
    }
    ++jobs;
    open_.insert(id);
    after_[id] = job->unmet;
  }
}

void ChaosBooks::job_changed(const Core& core, JobId id) {
  const Job* const job = core.job(id);
  if (job == nullptr) {
    if (open_.contains(id.value)) { say(fmt::format("{} is forgotten and has not ended", to_string(id))); }
    return;
  }
  if (const auto found = ended_.find(id.value); found != ended_.end()) {
    if (found->second.state != job->state || found->second.finished != job->finished) {
      say(fmt::format("{} had ended ({}) and is {}", to_string(id), enum_name(found->second.state), enum_name(job->state)));
    }
    return;
  }
  if (job->stops > 0 && !job->spec.preemptible && job->spec.bid <= 0) {
    say(fmt::format("{} was stopped for others and may not be", to_string(id)));
  }
  if (job->failures > job->spec.restarts + 1) { say(fmt::format("{} was started again too often", to_string(id))); }
  if (!is_final(job->state)) { return; }
  if (open_.erase(id.value) == 0) { say(fmt::format("{} ended and was never submitted", to_string(id))); }
  if (job->state == JobState::done && !well_.contains(id.value)) { say(fmt::format("{} is done and nobody said so", to_string(id))); }
  ended_[id.value] = {job->state, job->finished};
  after_.erase(id.value);
  well_.erase(id.value);
  ++ended[static_cast<std::size_t>(job->state) - static_cast<std::size_t>(JobState::done)];
}

std::string ChaosBooks::sweep(const Core& core) {
  for (const std::uint64_t id : open_) {
    const Job* const job = core.job(JobId{id});
    if (job == nullptr) { say(fmt::format("{} is lost", to_string(JobId{id}))); }
    if (job != nullptr && is_final(job->state)) { say(fmt::format("{} ended and nobody was told", to_string(JobId{id}))); }
  }
  for (auto each = ended_.begin(); each != ended_.end();) {
    const Job* const job = core.job(JobId{each->first});
    if (job == nullptr) {  // forgotten, as the limit says
      each = ended_.erase(each);
      continue;
    }
    if (job->state != each->second.state || job->finished != each->second.finished) {
      say(fmt::format("{} had ended and changed", to_string(job->id)));
    }
    ++each;
  }
  for (const auto& [id, held] : held_) {
    const Task& task = *core.task(held.task);
    if (task.chips != held.chips) { say(fmt::format("{} has other chips than it was given", to_string(held.task))); }
  }
  core.each_task([&](const Task& task) {
    if (!task.chips.empty() && !held_.contains(task.id.value)) {
      say(fmt::format("{} has chips and was never started", to_string(task.id)));
    }
  });
  return wrong_;
}

}  // namespace centrale
