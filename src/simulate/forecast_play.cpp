// SPDX-License-Identifier: Apache-2.0
#include "simulate/forecast_play.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/ensure.hpp"

namespace centrale {

namespace {

Nanos span_of(double seconds) { return {static_cast<std::int64_t>(std::ceil(std::min(seconds, 3e8) * 1e9))}; }
/// A task's progress in the core's whole numbers: parts of its work.
constexpr std::int64_t kParts = 1'000'000'000;
/// How far off the rate of a job is that was watched for a while: its steps are alike.
constexpr double kWatchedSigma = 0.05;
/// So much of a job must be done before its own pace says more than what jobs like it did.
constexpr double kWatchedMin = 0.02;
/// What jobs that must stop take for it, of the grace that they have; longer ones save in less.
constexpr double kStopMax_s = 30;

}  // namespace

Play::Play(Core core, const PlayInput& input, Random random, std::uint64_t events_max)
    : core_(std::move(core)), input_(input), random_(random), events_max_(events_max), now_(input.from) {}

void Play::push(Time at, Due::What what, std::uint64_t id, std::uint32_t version) {
  due_.push({.at = std::max(at, now_), .order = order_++, .what = what, .id = id, .version = version});
}

Play::Run& Play::run_of(TaskId task) {
  const std::uint64_t at = task.value - first_task_;
  if (at >= runs_.size()) { runs_.resize(at + 1); }
  return runs_[at];
}

Play::Life& Play::life_of(JobId job) {
  const std::uint64_t at = job.value - first_job_;
  if (at >= lives_.size()) { lives_.resize(at + 1); }
  return lives_[at];
}

void Play::apply(Event event) {
  out_.clear();
  const Result<void> applied = core_.apply(std::move(event), now_, out_);
  ++played_.events;
  ensure(applied.has_value());  // events about tasks and timers are never refused
  carry_out();
}

void Play::carry_out() {
  actions_.assign(out_.actions.begin(), out_.actions.end());
  for (const Action& action : actions_) {  // none of these enters the core again
    if (const auto* const timer = std::get_if<SetTimer>(&action.act)) {
      push(timer->due, Due::What::timer, timer->timer.value);
    } else if (const auto* const begun = std::get_if<StartTask>(&action.act)) {
      start(begun->task);
    } else if (const auto* const ended = std::get_if<StopTask>(&action.act)) {
      stop(ended->task);
    }
  }
}

void Play::draw_life(const Job& job, const Task& task, Life& life) {
  life.drawn = true;
  // One stream a job: however the play goes, the job is as long.
  Random draw = random_.stream(job.id.value);
  const double u = draw.uniform();
  const double wobble = std::exp(kWatchedSigma * draw.normal());
  const bool runs = task.started != Time{} && task.state == TaskState::running;
  const double age = runs ? std::max(to_seconds(now_ - task.started), 0.0) : 0;
  // What it reported in this attempt says how fast it is, when it did all of it in this attempt.
  const double seen_s = runs && job.attempts == 1 ? to_seconds(job.reported - task.started) : 0;
  const double part = job.progress.steps > 0 ? static_cast<double>(job.progress.step) / static_cast<double>(job.progress.steps) : 0;
  const bool watched = seen_s > 1 && part >= kWatchedMin && part <= 1;
  const auto table = job.speeds && job.speeds->work > 0 ? core_.speeds(job) : nullptr;
  if (table != nullptr) {
    life.by_table = true;
    life.whole = job.speeds->work;
    life.left = std::max(life.whole - job.work_done, life.whole * 1e-9);
    life.slowness = 1;
    const double said = runs ? rate_of(job, task, life) : 0;
    if (said > 0 && watched) {
      life.slowness = said / (part * life.whole / seen_s) * wobble;
      life.left = std::max(life.left - said / life.slowness * to_seconds(now_ - job.reported), life.whole * 1e-6);
    } else if (said > 0) {
      // It runs since then and has not ended: it is at least so slow.
      const double since = age > 0 && job.reported > task.started ? to_seconds(now_ - job.reported) : age;
      life.slowness = input_.lengths.slowness(job, since * said / life.left, u);
      life.left = std::max(life.left - said / life.slowness * since, life.whole * 1e-6);
    } else {
      life.slowness = input_.lengths.slowness(job, 0, u);
    }
    return;
  }
  if (watched) {
    const double rest = (1 - part) * seen_s / part * wobble - to_seconds(now_ - job.reported);
    life.left = std::max(rest, 1.0);
    life.whole = life.left + age;
    return;
  }
  if (runs && job.progress.task == task.id && job.progress.eta.value > 0) {
    life.left = std::max(to_seconds(job.progress.eta) * wobble - to_seconds(now_ - job.reported), 1.0);
    life.whole = life.left + age;
    return;
  }
  const double done = std::max(job.work_done, 0.0);  // in earlier attempts, in seconds as asked
  life.whole = input_.lengths.seconds(job, done + age, u);
  life.left = std::max(life.whole - done - age, 1e-3);
}

double Play::rate_of(const Job& job, const Task& task, const Life& life) const {
  if (!life.by_table) { return 1; }
  const auto table = core_.speeds(job);
  if (table == nullptr || task.chips.empty()) { return 0; }
  const auto spread = static_cast<std::size_t>(core_.pool().spread(task.chips));
  const KindIndex kind = core_.pool().kind_of(task.chips.front());
  double best = 0;
  for (const Shape& shape : table->shapes) {
    const bool same = task.row >= 0 ? std::int64_t{shape.row} == task.row
                                    : shape.kind == kind && shape.total() == static_cast<std::int64_t>(task.chips.size());
    if (same) { best = std::max(best, double{shape.rate[spread]}); }
  }
  return best / life.slowness;
}

void Play::schedule_end(const Task& task, const Job& job, Run& run, Time limit_from) {
  ++run.version;
  const Life& life = life_of(job.id);
  run.rate = rate_of(job, task, life);
  run.first = life.left;
  Time end = kNever;
  if (run.rate > 0) { end = run.since + span_of(life.left / run.rate); }
  run.over_limit = false;
  if (const Nanos limit = job.spec.time_limit; limit.value > 0 && limit_from + limit <= end) {
    end = limit_from + limit;
    run.over_limit = true;
  }
  if (end != kNever) { push(end, Due::What::ends, task.id.value, run.version); }
}

void Play::note_start(const Job& job) {
  if (job.id != input_.job) {
    if (played_.start_s < 0) { played_.before.push_back(job.id); }
  } else if (played_.start_s < 0) {
    played_.start_s = to_seconds(now_ - input_.from);
  }
}

void Play::start(TaskId id) {
  const Task& task = *core_.task(id);
  if (!task.job) {
    push(now_, Due::What::ready, id.value);
    return;
  }
  const Job& job = *core_.job(task.job);
  Life& life = life_of(job.id);
  if (!life.drawn) { draw_life(job, task, life); }
  Run& run = run_of(id);
  run.since = job.attempts > 1 ? now_ + job.spec.restart_cost : now_;
  note_start(job);
  schedule_end(task, job, run, now_);
  if (job.id == input_.job && !input_.to_its_end && run.rate > 0) {
    const double ends = to_seconds(run.since - input_.from) + life.left / run.rate;
    const double limit = to_seconds(now_ - input_.from) + to_seconds(job.spec.time_limit);
    played_.end_s = run.over_limit ? limit : ends;
  }
}

void Play::stop(TaskId id) {
  const Task& task = *core_.task(id);
  Run& run = run_of(id);
  ++run.version;
  double grace = 10;
  if (task.job) {
    const Job& job = *core_.job(task.job);
    grace = to_seconds(job.spec.grace);
    Life& life = life_of(job.id);
    const double worked = run.rate * std::max(to_seconds(now_ - run.since), 0.0);
    double kept = worked;
    if (job.spec.checkpoint_every.value > 0) {  // what came after its last checkpoint is lost
      Random draw = random_.stream(id.value ^ (std::uint64_t{1} << 62U));
      kept = std::max(0.0, worked - run.rate * draw.uniform() * to_seconds(job.spec.checkpoint_every));
    }
    life.left = std::max(run.first - kept, life.whole * 1e-9);
    run.rate = 0;
  }
  Random draw = random_.stream(id.value ^ (std::uint64_t{1} << 61U));
  push(now_ + span_of(draw.uniform() * std::min(grace, kStopMax_s)), Due::What::stopped, id.value, run.version);
}

void Play::set_up() {
  first_task_ = first_job_ = std::numeric_limits<std::uint64_t>::max();
  core_.each_task([&](const Task& task) { first_task_ = std::min(first_task_, task.id.value); });
  core_.each_job([&](const Job& job) { first_job_ = std::min(first_job_, job.id.value); });
  core_.each_task([&](const Task& task) {
    if (task.state == TaskState::queued) { return; }
    if (task.job && task.state != TaskState::stopping) {
      const Job& job = *core_.job(task.job);
      Life& life = life_of(job.id);
      draw_life(job, task, life);
      Run& run = run_of(task.id);
      run.since = now_;
      if (job.id == input_.job) { played_.start_s = 0; }
      schedule_end(task, job, run, task.started != Time{} ? task.started : now_);
    } else if (task.service && task.state == TaskState::starting) {
      push(now_, Due::What::ready, task.id.value);
    }
  });
  for (const Action& action : core_.outstanding()) {
    if (const auto* const timer = std::get_if<SetTimer>(&action.act)) {
      push(timer->due, Due::What::timer, timer->timer.value);
    } else if (const auto* const ended = std::get_if<StopTask>(&action.act)) {
      const Task& task = *core_.task(ended->task);
      if (task.job) {
        Life& life = life_of(task.job);
        if (!life.drawn) { draw_life(*core_.job(task.job), task, life); }
        run_of(task.id).first = life.left;
      }
      stop(ended->task);
    }
  }
}

void Play::handle(const Due& due) {
  if (due.what == Due::What::timer) {
    apply(TimerFired{TimerId{due.id}});
    return;
  }
  const TaskId id{due.id};
  const Task* const task = core_.task(id);
  if (task == nullptr) { return; }
  if (due.what == Due::What::ready) {
    apply(ReplicaReady{.task = id, .port = 1});
    return;
  }
  if (due.version != run_of(id).version) { return; }
  TaskExited exited;
  exited.task = id;
  const JobId job = task->job;
  if (due.what == Due::What::stopped) {
    exited.signal = 15;
    if (job) {
      const Life& life = life_of(job);
      TaskProgressed said;
      said.task = id;
      said.steps = kParts;
      said.step = life.whole > 0 ? static_cast<std::int64_t>((1 - life.left / life.whole) * static_cast<double>(kParts)) : 0;
      said.step = std::clamp<std::int64_t>(said.step, 0, kParts);
      apply(std::move(said));
    }
  } else {
    exited.code = run_of(id).over_limit ? 65 : 0;  // a retry would not help
    if (job == input_.job) { played_.end_s = to_seconds(now_ - input_.from); }
  }
  apply(std::move(exited));
}

Played Play::run() {
  set_up();
  const Time until = now_ + input_.horizon;
  while (!due_.empty() && due_.top().at <= until) {
    if (played_.end_s >= 0) { break; }
    if (played_.start_s >= 0 && !input_.to_its_end) { break; }
    if (core_.job(input_.job) == nullptr) { break; }  // cancelled with what it was to run after
    if (played_.events >= events_max_ || (played_.events % 64 == 0 && input_.go_on && !input_.go_on())) {
      played_.finished = false;
      break;
    }
    const Due due = due_.top();
    due_.pop();
    now_ = std::max(now_, due.at);
    handle(due);
  }
  if (played_.end_s > to_seconds(input_.horizon)) { played_.end_s = -1; }
  return std::move(played_);
}

}  // namespace centrale
