// SPDX-License-Identifier: Apache-2.0
#include "simulate/twin.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/ensure.hpp"
#include "simulate/twin_run.hpp"

namespace centrale {

namespace {

/// A task's progress in the core's whole numbers: parts of its work.
constexpr std::int64_t kParts = 1'000'000'000;
constexpr std::size_t kSeriesMax = 2000;

Nanos span_of(double seconds) { return {static_cast<std::int64_t>(std::ceil(std::min(seconds, 9e9) * 1e9))}; }

CoreLimits limits_of(const Twin& twin) {
  CoreLimits limits;
  if (twin.workload.replay != nullptr) {  // names of jobs that are done may be asked for
    limits.jobs_queued_max = limits.jobs_finished_kept = twin.workload.jobs.size() + 1;
    limits.nodes_max += twin.machines.nodes.size();
    return limits;
  }
  limits.jobs_queued_max = twin.workload.jobs.size() + 1;
  limits.jobs_finished_kept = 100;
  limits.nodes_max = twin.machines.nodes.size() + 1;
  limits.tenants_max = twin.workload.tenants.size() + 1;
  return limits;
}

std::unique_ptr<Policy> first_policy() { return make_policy("fifo").value(); }

}  // namespace

TwinRun::TwinRun(const Twin& twin)
    : twin_(twin),
      workload_(twin.workload),
      options_(twin.options),
      random_(twin.options.seed),
      core_(first_policy(), limits_of(twin)),
      now_(twin.workload.replay != nullptr ? twin.workload.replay->begin : kBegin),
      next_sample_(now_),
      series_step_(twin.options.series_step),
      replay_(twin.workload.replay.get()) {}

void TwinRun::push(Time at, Due::What what, std::uint64_t id, std::uint32_t version) {
  due_.push({.at = at, .order = order_++, .what = what, .id = id, .version = version});
}

void TwinRun::apply(Event event) {
  out_.clear();
  const Result<void> applied = core_.apply(std::move(event), now_, out_);
  ++result_.events;
  ensure(applied.has_value());  // submissions, which may be refused, do not come here
  if (options_.check) {
    const std::string wrong = core_.contradiction();
    if (!wrong.empty()) { result_.notes.push_back(fmt::format("after event {}: {}", core_.sequence(), wrong)); }
    ensure(wrong.empty());
  }
  if (replay_ != nullptr) { replay_ends(); }
  carry_out();
}

void TwinRun::carry_out() {
  actions_.insert(actions_.end(), out_.actions.begin(), out_.actions.end());
  // Only the outermost call works them off: what they lead to is queued, so that the core is never entered twice.
  for (std::size_t i = 0; i < actions_.size(); ++i) {
    const Action action = actions_[i];
    if (const auto* const timer = std::get_if<SetTimer>(&action.act)) {
      push(timer->due, Due::What::timer, timer->timer.value);
    } else if (const auto* const begun = std::get_if<StartTask>(&action.act)) {
      start(begun->task);
    } else if (const auto* const ended = std::get_if<StopTask>(&action.act)) {
      stop(ended->task, ended->grace);
    }
  }
  actions_.clear();
}

NodeJoined TwinRun::joined(const Machine& machine) const {
  NodeJoined node;
  node.name = machine.name;
  node.memory = machine.memory.value > 0 ? machine.memory : Bytes{kMemoryMax.value / 64};
  node.cpu_milli = machine.cpu_milli;
  node.domain = fmt::format("d{}", machine.domain);
  node.leaf = fmt::format("l{}", machine.leaf);
  node.spine = fmt::format("s{}", machine.spine);
  if (machine.chips > 0) {
    node.chips.push_back({.kind = machine.kind,
                          .count = machine.chips,
                          .memory = {},
                          .power = machine.chip_power,
                          .price_per_hour = machine.chip_price_per_hour});
  }
  return node;
}

Result<void> TwinRun::set_up() {
  TRY(core_.apply(SchedulingSet{options_.scheduling}, now_, out_));
  result_.policy = options_.recorded_scheduling ? replay_->scheduling.policy : options_.scheduling.policy;
  result_.seed = options_.seed;
  for (const std::string& name : workload_.tenants) {
    if (replay_ != nullptr) { break; }  // they are events of it
    out_.clear();
    TenantDefined tenant;
    tenant.name = name.empty() ? "default" : name.substr(0, kNameMax);
    std::ranges::replace(tenant.name, '/', '-');
    TRY(core_.apply(std::move(tenant), now_, out_));
    tenants_.push_back(TenantId{out_.created});
  }
  for (const Machine& machine : twin_.machines.nodes) {
    if (machine.chips > 0) {
      auto offer = std::ranges::find(offers_, machine.kind, &KindOffer::kind);
      if (offer == offers_.end()) {
        offers_.push_back({.kind = machine.kind, .chips = 0, .chips_per_node = machine.chips, .domain = machine.chips});
        offer = offers_.end() - 1;
      }
      offer->chips += machine.chips;
      offer->chips_per_node = std::max(offer->chips_per_node, machine.chips);
      offer->domain = offer->chips_per_node;
    }
    if (options_.recorded_fleet) { continue; }
    out_.clear();
    TRY(core_.apply(joined(machine), now_, out_));
    carry_out();
  }
  if (options_.recorded_fleet) {  // as the core will number them
    std::ranges::sort(offers_, {}, [&](const KindOffer& offer) { return std::ranges::find(replay_->kinds, offer.kind); });
  }
  for (const KindOffer& offer : offers_) {
    result_.kinds.push_back(offer.kind);
    up_.push_back(offer.chips);
    up_missing_s_.push_back(0);
  }
  busy_.assign(offers_.size(), 0);
  result_.busy_s.assign(offers_.size(), 0);
  result_.up_s.assign(offers_.size(), 0);
  result_.jobs.resize(workload_.jobs.size());
  wear_begins();
  progress_.resize(workload_.jobs.size());
  return {};
}

double TwinRun::rate_of(const Run& run, const Task& task) {
  const Progress& progress = progress_[run.job];
  if (!progress.by_table) { return progress.luck / slowdown_of(run, task); }
  const auto& rows = progress.speeds->rows;
  const auto spread = static_cast<std::size_t>(core_.pool().spread(task.chips));
  const auto by_spread = [&](const SpeedRow& row) {
    return row.rates[std::min(spread, row.rates.size() - 1)] * progress.luck / slowdown_of(run, task);
  };
  if (task.row >= 0 && static_cast<std::size_t>(task.row) < rows.size()) { return by_spread(rows[static_cast<std::size_t>(task.row)]); }
  double best = 0;
  for (const SpeedRow& row : rows) {
    if (row.kind == result_.kinds[run.kind] && row.workers * row.chips == run.chips) { best = std::max(best, by_spread(row)); }
  }
  return best;
}

void TwinRun::start(TaskId id) {
  const Task& task = *core_.task(id);
  if (task.service) {
    start_replica(task);
    return;
  }
  const std::uint32_t index = job_of_id_[task.job.value - 1];
  JobOutcome& outcome = result_.jobs[index];
  Run run;
  run.job = index;
  run.placed = run.since = now_;
  run.chips = static_cast<std::int64_t>(task.chips.size());
  run.share = static_cast<double>(task.share_milli) / 1000;
  run.first_chip = static_cast<std::uint32_t>(task.chips.front().value - 1);
  run.kind = static_cast<std::uint16_t>(core_.chip(task.chips.front()).kind);
  run.saved = progress_[index].done;
  if (outcome.starts++ == 0) { outcome.start = now_; }
  if (replay_ != nullptr) {
    replay_start(id, run);
  } else if (outcome.starts > 1) {
    run.restart = options_.restart_cost;
    run.since = now_ + run.restart;
  }
  outcome.kind = run.kind;
  enter_network(id, run, task);
  run.rate = rate_of(run, task);
  busy_[run.kind] += run.chips;
  ++running_;
  Run& kept = runs_[id.value] = run;
  if (replay_ == nullptr) { push(now_, Due::What::started, id.value); }
  next_segment(id, kept);
  if (const Nanos every = report_every(kept); every.value > 0) { push(now_ + every, Due::What::report, id.value); }
}

void TwinRun::advance(Run& run) {
  Progress& progress = progress_[run.job];
  if (now_ > run.since) {
    progress.done = std::min(progress.done + run.rate * to_seconds(now_ - run.since), progress.work);
    run.since = now_;
  }
}

void TwinRun::next_segment(TaskId task, Run& run) {
  ++run.version;
  const Progress& progress = progress_[run.job];
  if (run.rate <= 0) { return; }  // a service, or a shape of which nothing is known: it stays until it is stopped
  const double to = std::min(progress.work, progress.until);
  if (workload_.jobs[run.job].service || !std::isfinite(to)) { return; }
  push(run.since + span_of(std::max(to - progress.done, 0.0) / run.rate), Due::What::segment, task.value, run.version);
}

void TwinRun::report(TaskId task, Run& run) {
  advance(run);
  const Progress& progress = progress_[run.job];
  TaskProgressed said;
  said.task = task;
  said.steps = kParts;
  said.step = progress.work > 0 ? static_cast<std::int64_t>(progress.done / progress.work * static_cast<double>(kParts)) : 0;
  said.step = std::min(said.step, kParts);
  apply(std::move(said));
}

void TwinRun::leave(TaskId task, Run& run, bool finished) {
  JobOutcome& outcome = result_.jobs[run.job];
  const double held = to_seconds(now_ - run.placed) * static_cast<double>(run.chips) * run.share;
  outcome.chip_seconds += held;
  result_.busy_s[run.kind] += held;
  const double worked = std::max(0.0, to_seconds(now_ - run.placed) - to_seconds(run.restart));
  result_.useful_s += std::max(0.0, worked - run.lost_s) * static_cast<double>(run.chips) * run.share;
  busy_[run.kind] -= run.chips;
  --running_;
  if (options_.keep_timeline) {
    result_.timeline.push_back({.job = run.job,
                                .from = run.placed,
                                .to = now_,
                                .chips = run.chips,
                                .first_chip = run.first_chip,
                                .kind = run.kind,
                                .finished = finished});
  }
  runs_.erase(task.value);
  if (contention_ != nullptr) { contention_->remove(task.value); }
}

void TwinRun::stop(TaskId task, Nanos) {
  if (const auto replica = live_.find(task.value); replica != live_.end()) {
    push(now_ + replay_->stopping_mean, Due::What::stopped, task.value);
    return;
  }
  const auto found = runs_.find(task.value);
  if (found == runs_.end()) { return; }
  advance(found->second);
  ++found->second.version;  // no segment of it ends any more
  push(now_ + (replay_ != nullptr ? replay_stop(found->second) : options_.stop_cost), Due::What::stopped, task.value);
}

void TwinRun::finish(std::uint32_t index, JobOutcome::End end) {
  JobOutcome& outcome = result_.jobs[index];
  outcome.end = end;
  outcome.finish = now_;
  ++ended_;
  progress_[index].speeds = {};
}

void TwinRun::segment_ended(TaskId task, Run& run) {
  advance(run);
  Progress& progress = progress_[run.job];
  if (progress.done >= std::min(progress.work, progress.until) * (1 - 1e-12) && progress.until < progress.work) {
    progress.done = std::max(progress.done, progress.until);
    const std::uint32_t job = run.job;
    auto estimate = twin_.estimator->estimate(spec_of(job), offers_, progress.done);
    progress.until = std::numeric_limits<double>::infinity();
    if (estimate && *estimate) {
      progress.speeds = (*estimate)->speeds;
      progress.until = (*estimate)->until > progress.done ? (*estimate)->until : progress.until;
      report(task, run);
      apply(SpeedRevised{core_.task(task)->job, progress.speeds});
      const auto still = runs_.find(task.value);
      if (still == runs_.end() || core_.task(task)->state == TaskState::stopping) { return; }
      still->second.rate = rate_of(still->second, *core_.task(task));
      next_segment(task, still->second);
      return;
    }
    next_segment(task, run);
    return;
  }
  if (replay_ != nullptr) {
    replay_attempt_ended(task, run);
    return;
  }
  const std::uint32_t job = run.job;
  const RecordedEnd recorded = workload_.jobs[job].end;
  leave(task, run, true);
  const JobId id = core_.task(task)->job;
  TaskExited exited;
  exited.task = task;
  if (recorded == RecordedEnd::failed) { exited.code = 65; }  // its data or itself is wrong: no retry
  if (recorded == RecordedEnd::cancelled) {
    apply(JobCancelled{id});
    exited.signal = 15;
  }
  finish(job, recorded == RecordedEnd::failed      ? JobOutcome::End::failed
              : recorded == RecordedEnd::cancelled ? JobOutcome::End::cancelled
                                                   : JobOutcome::End::done);
  apply(std::move(exited));
}

void TwinRun::handle(const Due& due) {
  if (due.what == Due::What::timer) {
    apply(TimerFired{TimerId{due.id}});
    return;
  }
  if (due.what == Due::What::breakdown) {
    break_down();
    return;
  }
  const TaskId task{due.id};
  if (handle_replica(due)) { return; }
  const auto found = runs_.find(due.id);
  if (found == runs_.end()) { return; }
  Run& run = found->second;
  switch (due.what) {
    case Due::What::started: apply(TaskStarted{task}); break;
    case Due::What::segment:
      if (run.version == due.version) { segment_ended(task, run); }
      break;
    case Due::What::report:
      if (core_.task(task)->state == TaskState::running) {
        report(task, run);
        push(now_ + report_every(runs_.at(due.id)), Due::What::report, due.id);
      }
      break;
    case Due::What::stopped: {
      if (replay_ == nullptr || report_every(run).value > 0) { report(task, run); }
      ++result_.jobs[run.job].stops;
      leave(task, runs_.at(due.id), false);
      TaskExited exited;
      exited.task = task;
      exited.signal = 15;
      apply(std::move(exited));
      break;
    }
    default: break;
  }
}

void TwinRun::sample() {
  while (next_sample_ <= now_) {
    SeriesPoint point;
    point.at = next_sample_;
    point.queued = static_cast<std::int64_t>(core_.jobs_queued());
    point.running = static_cast<std::int64_t>(running_);
    point.busy = busy_;
    point.up = up_;
    result_.series.push_back(std::move(point));
    if (result_.series.size() > kSeriesMax) {  // every other one, at twice the step
      std::size_t kept = 0;
      for (std::size_t i = 0; i < result_.series.size(); i += 2) { result_.series[kept++] = std::move(result_.series[i]); }
      result_.series.resize(kept);
      series_step_ = series_step_ * 2;
    }
    next_sample_ = next_sample_ + series_step_;
  }
}

Result<TwinResult> TwinRun::play() {
  TRY(set_up());
  const std::size_t count = replay_ != nullptr ? replay_->events.size() : workload_.jobs.size();
  const auto arrival_of = [&](std::size_t i) {
    return replay_ != nullptr ? replay_->events[i].at : Time{workload_.jobs[i].submit.ns + kBegin.ns};
  };
  std::size_t next = 0;
  std::uint64_t turns = 0;
  result_.began = now_;
  while (next < count || !due_.empty()) {
    const Time arrival = next < count ? arrival_of(next) : kNever;
    const bool arrives = due_.empty() || arrival <= due_.top().at;
    const Time at = arrives ? arrival : due_.top().at;
    if (at.ns > options_.horizon.ns || (next == count && ended_ == workload_.jobs.size())) { break; }
    now_ = std::max(now_, at);
    sample();
    if (arrives) {
      if (replay_ != nullptr) {
        TRY(replay_event(next));
      } else {
        TRY(submit(static_cast<std::uint32_t>(next)));
      }
      ++next;
    } else {
      const Due due = due_.top();
      due_.pop();
      handle(due);
    }
    network_changed();
    if (twin_.progress && ++turns % 65'536 == 0) {
      twin_.progress(static_cast<double>(ended_) / static_cast<double>(workload_.jobs.size()), now_);
    }
  }
  result_.ended = now_;
  // What still runs or waits: its chip time counts up to now.
  std::vector<std::uint64_t> still;
  core_.each_task([&](const Task& task) { still.push_back(task.id.value); });
  for (const std::uint64_t id : still) {
    const auto found = runs_.find(id);
    if (found == runs_.end()) { continue; }
    advance(found->second);
    result_.jobs[found->second.job].end = JobOutcome::End::running;
    result_.jobs[found->second.job].finish = now_;
    leave(TaskId{id}, found->second, false);
  }
  for (JobOutcome& outcome : result_.jobs) {
    if (outcome.end == JobOutcome::End::waiting) { outcome.finish = now_; }
  }
  for (const auto& [id, live] : live_) {
    result_.busy_s[live.kind] += to_seconds(now_ - live.placed) * static_cast<double>(live.chips) * live.share;
  }
  const double span = to_seconds(result_.ended - result_.began);
  for (std::size_t kind = 0; kind < up_.size(); ++kind) {
    // A chip that is missing now was taken off up to the end of time: give that back.
    const double beyond = static_cast<double>(offers_[kind].chips - up_[kind]) * to_seconds(kNever - now_);
    result_.up_s[kind] = static_cast<double>(offers_[kind].chips) * span - (up_missing_s_[kind] - beyond);
  }
  for (const TenantId tenant : tenants_) {
    const Usage usage = core_.usage(tenant, now_);
    result_.energy_j += static_cast<double>(usage.energy.value) * 1e-3;
    result_.cost += static_cast<double>(usage.cost.value) * 1e-6;
  }
  if (refusals_ > 0) { result_.notes.push_back(fmt::format("{} jobs were refused, the first: {}", refusals_, first_refusal_)); }
  return std::move(result_);
}

Result<TwinResult> run_twin(const Twin& twin) {
  TwinRun run(twin);
  return run.play();
}

}  // namespace centrale
