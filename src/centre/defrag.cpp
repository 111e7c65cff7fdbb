// SPDX-License-Identifier: Apache-2.0
// Moving tasks so that a gang finds room (policy/defrag.hpp says which). The chips that are cleared are the gang's, and those that the
// moved tasks are to get are theirs: until they have them no decision sees these chips.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "centre/core_state.hpp"

namespace centrale {

namespace {
constexpr Nanos kHoldSlack = seconds(60);  // beyond its grace, for a task to be gone and reported
}

Placed CoreState::placed_of(const Task& task) {
  Placed placed;
  placed.task = task.id;
  placed.gang = gang_of(task);
  placed.chips = task.chips;
  placed.grace = grace_of(task);
  placed.leaves = task.state == TaskState::stopping;
  if (!task.job) { return placed; }
  const Job& job = jobs.at(task.job);
  const JobSpec& spec = job.spec;
  // In another shape than it asked for, it is an elastic policy's to move; bids make room by the market's rules.
  placed.movable = spec.preemptible && task.row < 0 && !is_spot(task) && !task.reservation;
  placed.restart_cost = spec.restart_cost;
  if (spec.checkpoint_every.value > 0) { placed.lost = now - std::max(job.saved, task.placed); }
  const Time since = std::max(task.started == Time{} ? task.placed : task.started, job.reported);
  if (job.progress.task == task.id && job.progress.eta.value > 0) {
    placed.ends = job.reported + job.progress.eta;
  } else if (const Nanos whole = spec.estimate.value > 0 ? spec.estimate : spec.time_limit; whole.value > 0) {
    const double units = job.speeds && job.speeds->work > 0 ? job.speeds->work : to_seconds(whole);
    const double left = std::clamp(1 - job.work_done / units, 0.0, 1.0);
    placed.ends = since + Nanos{static_cast<std::int64_t>(static_cast<double>(whole.value) * left)};
  }
  if (spec.time_limit.value > 0) { placed.ends = std::min(placed.ends, (task.started == Time{} ? now : task.started) + spec.time_limit); }
  return placed;
}

DefragPlan CoreState::defrag_plan() {
  DefragPlan none;
  if (scheduling.defrag == "off") {
    none.why = "defragmentation is off";
    return none;
  }
  if (!holds.empty()) {
    none.why = "moves are under way";
    return none;
  }
  std::vector<Work> waiting;
  for (const TaskId id : blocked_tasks) {
    const Task* const task = tasks.find(id);
    if (task == nullptr || !task->job || task->state != TaskState::queued) { continue; }
    Work work = work_of(jobs.at(task->job));
    work.kinds.mask &= kinds_for(work.tenant, work.chips_total(), work.gang.share_milli);
    if (work.kinds.mask != 0) { waiting.push_back(std::move(work)); }
  }
  std::vector<Placed> running;
  if (!waiting.empty()) {
    tasks.each([&](const Task& task) {
      if (!task.chips.empty()) { running.push_back(placed_of(task)); }
    });
  }
  pool.set_now(now);
  return propose(pool, running, waiting, now);
}

DefragPlan Core::defrag_plan() const { return state_->defrag_plan(); }

void CoreState::carry_out(const DefragPlan& plan) {
  Nanos leave;
  for (const DefragMove& move : plan.moves) { leave = std::max(leave, grace_of(tasks.at(move.task))); }
  const Time until = now + leave + kHoldSlack;
  holds.push_back({.job = tasks.at(plan.gang).job, .chips = plan.gets, .until = until});
  for (const DefragMove& move : plan.moves) {
    Task& task = tasks.at(move.task);
    holds.push_back({.job = task.job, .chips = move.to, .until = until});
    ++jobs.at(task.job).stops;
    evict(task, "it is moved");
  }
  set_timer({.id = {}, .due = until, .purpose = TimerPurpose::defrag, .job = {}, .service = {}, .task = {}, .ordinal = 0});
}

/// Its job still waits, or is leaving its old place, and the chips are still to be had.
bool CoreState::still_holds(const Hold& hold) const {
  const Job* const job = jobs.find(hold.job);
  const Task* const task = job == nullptr || is_final(job->state) ? nullptr : tasks.find(job->task);
  if (now >= hold.until || task == nullptr || (task->state != TaskState::queued && task->state != TaskState::stopping)) { return false; }
  const Gang gang = gang_of(job->spec);
  const Time ends = gang.limit.value > 0 ? std::min(gang.ends, now + gang.limit) : gang.ends;
  return std::ranges::all_of(hold.chips, [&](ChipId id) {
    const Chip& chip = chips[id.value - 1];
    if (chip.health != ChipHealth::ok || pool.free_on(chip.node.value - 1, static_cast<KindIndex>(chip.kind)) < 0) { return false; }
    const auto reserved = booked.find(chip.node.value);
    return reserved == booked.end() || std::ranges::all_of(reserved->second, [&](ReservationId each) {
             return std::ranges::find(reservations, each, &Reservation::id)->from >= ends;
           });
  });
}

bool CoreState::has_room(const Hold& hold, const Work& work) const {
  const KindIndex kind = pool.kind_of(hold.chips.front());
  if (static_cast<std::int64_t>(hold.chips.size()) != work.chips_total() || (work.kinds.mask >> kind & 1) == 0 ||
      (kinds_for(work.tenant, work.chips_total(), work.gang.share_milli) >> kind & 1) == 0 ||
      !std::ranges::all_of(hold.chips, [&](ChipId id) { return pool.is_free(id); })) {
    return false;
  }
  std::map<std::size_t, std::int64_t> chips_on;
  for (const ChipId id : hold.chips) { ++chips_on[pool.node_of(id)]; }
  return std::ranges::all_of(chips_on, [&](const auto& each) {
    const auto& [node, count] = each;
    const std::int64_t workers = count / work.gang.chips;
    return work.gang.memory * workers <= pool.memory_free(node) &&
           (nodes[node].cpu_milli == 0 || work.gang.cpu_milli * workers <= pool.cpu_free(node));
  });
}

void CoreState::start_held(const Hold& hold, const Work& work) {
  Task& task = tasks.at(work.task);
  Policy& queue = policy_of(task);
  queue.dequeue(work);
  pool.take(hold.chips, work.gang);
  take(work.tenant, pool.kind_of(hold.chips.front()), work.chips_total(), work.gang.share_milli);
  task.chips = hold.chips;
  start(task);
  queue.adopt(work_of(task), task.chips, task.chips_per_worker, task.row, now);
}

void CoreState::begin_holds() {
  if (holds.empty()) { return; }
  std::erase_if(holds, [&](const Hold& hold) { return !still_holds(hold); });
  std::erase_if(holds, [&](const Hold& hold) {
    const Job& job = jobs.at(hold.job);
    if (tasks.at(job.task).state != TaskState::queued) { return false; }
    const Work work = work_of(job);
    if (!has_room(hold, work)) { return false; }
    start_held(hold, work);
    return true;
  });
  for (const Hold& hold : holds) {
    for (const ChipId id : hold.chips) {
      if (!pool.is_free(id)) { continue; }
      pool.set_free(id, false);
      held_back.push_back(id);
    }
  }
}

void CoreState::end_holds() {
  for (const ChipId id : held_back) { pool.set_free(id, true); }
  held_back.clear();
}

void CoreState::defragment() {
  const bool due = defrag_due;
  defrag_due = false;
  blocked_tasks.clear();
  if (scheduling.defrag == "off") { return; }
  blocked.clear();
  policy->each_blocked(blocked);
  for (const Work& work : blocked) { blocked_tasks.push_back(work.task); }
  if (scheduling.defrag != "auto" || blocked_tasks.empty()) { return; }
  if (due) {
    if (const DefragPlan plan = defrag_plan(); plan.proposed()) { carry_out(plan); }
  }
  if (!defrag_timer) {
    defrag_timer = set_timer({.id = {},
                              .due = now + scheduling.defrag_period,
                              .purpose = TimerPurpose::defrag,
                              .job = {},
                              .service = {},
                              .task = {},
                              .ordinal = 0});
  }
}

Result<void> CoreState::on(MoveWanted& e) {
  Task* const task = tasks.find(e.task);
  if (task == nullptr) { return fail(ErrorKind::not_found, fmt::format("there is no task {}", to_string(e.task))); }
  if (!task->job) {
    return fail(ErrorKind::conflict, fmt::format("task {} is a replica of a service", to_string(e.task)), {},
                "only tasks of jobs are moved");
  }
  Job& job = jobs.at(task->job);
  if (!job.spec.preemptible) {
    return fail(ErrorKind::conflict, fmt::format("job {} may not be stopped for others", job.spec.name), {},
                "submit it with preemptible to allow that");
  }
  if (task->state != TaskState::starting && task->state != TaskState::running) {
    return fail(ErrorKind::conflict, fmt::format("task {} is {}", to_string(e.task), enum_name(task->state)), {},
                "only what runs is moved");
  }
  out->created = job.id.value;
  ++job.stops;
  evict(*task, "it is moved");
  return {};
}

Result<void> CoreState::on(DefragApproved&) {
  const DefragPlan plan = defrag_plan();
  if (!plan.proposed()) {
    return fail(ErrorKind::conflict, "no moves are proposed: " + plan.why, "defrag", "centrale defrag shows what is proposed");
  }
  out->created = tasks.at(plan.gang).job.value;
  carry_out(plan);
  return {};
}

}  // namespace centrale
