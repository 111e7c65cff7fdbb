// SPDX-License-Identifier: Apache-2.0
// The machines: processes start, report, end and are stopped; what they say and what they are told may be lost, late or repeated. What
// the local driver promises (operate/local_driver.hpp) is kept: a task runs once at most, a repeated start or stop is harmless, and
// after a restart of the centre each task is found again: running, ended or lost.
#include <algorithm>

#include <fmt/format.h>

#include "simulate/chaos_run.hpp"

namespace centrale {

namespace {
constexpr Nanos kPatience = seconds(2);  // for a start that a restart may have lost
constexpr std::int64_t kParts = 1'000'000;
}  // namespace

void ChaosRun::tell(Event fact) {
  if (happens(options_.rates.lost)) {
    threw(ChaosCount::lost);
    return;
  }
  if (happens(options_.rates.repeated)) {
    threw(ChaosCount::repeated);
    after(milliseconds(below(5000)), fact);
  }
  if (happens(options_.rates.late)) {
    threw(ChaosCount::late);
    after(milliseconds(below(20'000)), std::move(fact));
  } else {
    after(milliseconds(1 + below(20)), std::move(fact));
  }
}

/// On its way from the core to whoever carries it out.
void ChaosRun::carry_out(const Action& action) {
  Nanos wait = milliseconds(1 + below(10));
  if (const auto* const timer = std::get_if<SetTimer>(&action.act)) {
    wait = std::max(timer->due - now_, Nanos{}) + milliseconds(below(3));
    if (!calm_ && dice(0.02)) { wait = Nanos{wait.value / 2}; }  // too early: the core asks again
  }
  if (happens(options_.rates.lost)) {
    threw(ChaosCount::lost);
    return;
  }
  if (happens(options_.rates.repeated)) {
    threw(ChaosCount::repeated);
    after(wait + milliseconds(below(5000)), action);
  }
  if (happens(options_.rates.late)) {
    threw(ChaosCount::late);
    wait = wait + milliseconds(below(20'000));
  }
  after(wait, action);
}

void ChaosRun::deliver(const Action& action) {
  if (const auto* const begin = std::get_if<StartTask>(&action.act)) {
    start(begin->task);
  } else if (const auto* const end = std::get_if<StopTask>(&action.act)) {
    stop(end->task, end->grace);
  } else {
    send(TimerFired{std::get<SetTimer>(action.act).timer});
  }
}

void ChaosRun::start(TaskId id) {
  const Task* const task = core_.task(id);
  if (task == nullptr || task->state != TaskState::starting || processes_.contains(id.value)) { return; }
  Process& process = processes_[id.value];
  process.job = task->job;
  process.chips = task->chips;
  process.share = task->share_milli;
  process.since = now_;
  if (dice(0.04) && !calm_) {  // no such program, no such folder
    process.alive = false;
    process.failed_to_start = true;
    tell_end(id, process);
    return;
  }
  for (const ChipId chip : process.chips) {
    std::int64_t& busy = busy_[chip.value];
    busy += process.share;
    if (busy > 1000) { fault(fmt::format("{} starts on {}, where something still runs", to_string(id), to_string(chip))); }
  }
  tell(TaskStarted{id});
  if (task->job) {
    const Job& job = *core_.job(task->job);
    Work& work = work_[task->job.value];
    work.done = work.saved;
    process.since = now_ + Nanos{static_cast<std::int64_t>(random_.uniform() * 2e9)};
    process.speed = static_cast<double>(task->chips.size()) / static_cast<double>(job.spec.workers * job.spec.chips);
  }
  after(milliseconds(100 + below(2000)), Turn{id});
}

void ChaosRun::advance(Process& process) {
  if (!process.job || now_ <= process.since) { return; }
  Work& work = work_[process.job.value];
  work.done = std::min(work.seconds, work.done + to_seconds(now_ - process.since) * process.speed);
  process.since = now_;
}

void ChaosRun::report(TaskId id, Process& process) {
  advance(process);
  Work& work = work_[process.job.value];
  TaskProgressed said;
  said.task = id;
  said.steps = kParts;
  said.step = static_cast<std::int64_t>(work.done / work.seconds * static_cast<double>(kParts));
  said.tokens = said.step * 10;
  if (dice(0.5)) {
    work.saved = work.done;
    said.checkpoint = fmt::format("c{}", said.step);
  }
  tell(std::move(said));
}

void ChaosRun::die(TaskId id, Process& process, std::int64_t code, std::int64_t signal) {
  process.alive = false;
  process.end.task = id;
  process.end.code = code;
  process.end.signal = signal;
  if (dice(0.3)) { process.end.energy = Millijoules{1 + below(1'000'000)}; }
  for (const ChipId chip : process.chips) { busy_[chip.value] -= process.share; }
  tell_end(id, process);
}

void ChaosRun::tell_end(TaskId id, const Process& process) {
  if (process.failed_to_start) {
    tell(TaskStartFailed{id, "no such file", id.value % 3 == 0});
  } else {
    tell(process.end);
  }
}

/// Somebody asked it to stop: it writes a checkpoint, or does not, and ends in its own time or is killed.
void ChaosRun::stop(TaskId id, Nanos grace) {
  const auto found = processes_.find(id.value);
  if (found == processes_.end()) {
    const Task* const task = core_.task(id);
    if (task == nullptr || (!calm_ && dice(0.5))) { return; }  // a restart will find that nothing of it runs
    Process& never = processes_[id.value];                     // its folder is spent: a start that comes later starts nothing
    never.alive = false;
    never.end.task = id;
    never.end.lost = true;
    tell_end(id, never);
    return;
  }
  Process& process = found->second;
  if (!process.alive || process.stopping) { return; }
  process.stopping = true;
  after(Nanos{static_cast<std::int64_t>(random_.uniform() * static_cast<double>(grace.value))}, Turn{id});
}

void ChaosRun::turn(TaskId id) {
  const auto found = processes_.find(id.value);
  // One that the core no longer knows is on a lost node: nobody hears of it until the node is back.
  if (found == processes_.end() || !found->second.alive || core_.task(id) == nullptr) { return; }
  Process& process = found->second;
  if (!process.job) {
    turn_replica(id, process);
    return;
  }
  advance(process);
  Work& work = work_[process.job.value];
  if (process.stopping) {
    if (dice(0.7)) { work.saved = work.done; }
    const double how = random_.uniform();
    return die(id, process, how < 0.1 && work.done >= work.seconds ? 0 : how < 0.5 ? 143 : 0, how < 0.5 ? 0 : how < 0.75 ? 15 : 9);
  }
  if (work.done >= work.seconds) { return die(id, process, 0, 0); }
  if (!calm_ && dice(0.03)) {
    const double how = random_.uniform();
    return die(id, process, how < 0.1 ? 64 : how < 0.5 ? 1 : 0, how < 0.5 ? 0 : 11);
  }
  report(id, process);
  const double left = (work.seconds - work.done) / process.speed;
  const double wait = std::min(left, 0.5 + random_.exponential() * 4) + std::max(0.0, to_seconds(process.since - now_));
  after(Nanos{static_cast<std::int64_t>(wait * 1e9) + 1}, Turn{id});
}

void ChaosRun::turn_replica(TaskId id, Process& process) {
  if (process.stopping) { return die(id, process, dice(0.5) ? 0 : 143, 0); }
  if (!calm_ && dice(0.05)) { return die(id, process, dice(0.5) ? 0 : 1, 0); }
  if (!process.ready || (!calm_ && dice(0.1))) {
    process.ready = !process.ready && dice(0.8);
    tell(process.ready ? Event{ReplicaReady{id, 9000}} : Event{ReplicaUnready{id, "slow"}});
  } else if (const Task* const task = core_.task(id); task != nullptr && task->service) {
    const TenantId tenant = core_.service(task->service)->tenant;
    send(TokensMetered{tenant, task->service, 1, below(1000), below(1000), 0});
  }
  after(milliseconds(500 + below(10'000)), Turn{id});
}

/// After a restart of the centre: what it believes to be alive is found again, and what it does not know is killed.
void ChaosRun::adopt() {
  std::vector<Task> alive;
  core_.each_task([&](const Task& task) {
    if (task.state != TaskState::queued) { alive.push_back(task); }
  });
  for (const Task& task : alive) {
    const auto found = processes_.find(task.id.value);
    if (found == processes_.end()) {
      if (task.state == TaskState::starting) { continue; }  // it will be told to start
      Process& lost = processes_[task.id.value];
      lost.alive = false;
      lost.end.task = task.id;
      lost.end.lost = true;
      after(kPatience, lost.end);
    } else if (!found->second.alive) {
      tell_end(task.id, found->second);
    } else {
      tell(TaskStarted{task.id});
      if (found->second.ready) { tell(ReplicaReady{task.id, 9000}); }
    }
  }
}

/// Those that ended, once the core has heard of it. What still lives on a lost node lives on until the node joins again.
void ChaosRun::forget_processes() {
  std::erase_if(processes_, [&](const auto& each) { return !each.second.alive && core_.task(TaskId{each.first}) == nullptr; });
  if (work_.size() > 4 * books_.open_jobs().size() + 100) {
    std::erase_if(work_, [&](const auto& each) { return !books_.open_jobs().contains(each.first); });
  }
}

void ChaosRun::clear_node(NodeId node) {
  for (auto& [id, process] : processes_) {
    if (!process.alive || core_.task(TaskId{id}) != nullptr) { continue; }
    const bool here = std::ranges::any_of(process.chips, [&](ChipId chip) { return core_.chip(chip).node == node; });
    if (!here) { continue; }
    process.alive = false;
    for (const ChipId chip : process.chips) { busy_[chip.value] -= process.share; }
  }
}

}  // namespace centrale
