// SPDX-License-Identifier: Apache-2.0
// The twin's driver when a journal takes the place of a trace: what came from outside comes again at its time; what became of tasks
// follows from where they are placed now.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include <fmt/format.h>

#include "base/ensure.hpp"
#include "simulate/twin_run.hpp"

namespace centrale {

namespace {

constexpr std::size_t kRefusalNotesMax = 3;

template <class E>
constexpr bool kOfNodes = std::is_same_v<E, NodeJoined> || std::is_same_v<E, NodeLost> || std::is_same_v<E, NodeDrained> ||
                          std::is_same_v<E, NodeResumed> || std::is_same_v<E, ChipFailed> || std::is_same_v<E, ChipRepaired>;

/// The nth of what was seen, or the newest, or what the whole journal says.
Nanos nth(const std::vector<Nanos>& seen, std::int32_t n, Nanos otherwise) {
  if (seen.empty()) { return otherwise; }
  return seen[std::min(static_cast<std::size_t>(std::max(n, 0)), seen.size() - 1)];
}

}  // namespace

Nanos TwinRun::report_every(const Run& run) const {
  return replay_ != nullptr ? replay_->jobs[run.job].report_every : options_.report_every;
}

std::optional<std::uint64_t> TwinRun::replay_take(Event event) {
  out_.clear();
  const Result<void> applied = core_.apply(std::move(event), now_, out_);
  ++result_.events;
  if (!applied) {
    if (refusals_++ < kRefusalNotesMax) {
      result_.notes.push_back("an event of the journal cannot happen here: " + applied.error().message());
    }
    return std::nullopt;
  }
  if (options_.check) {
    const std::string wrong = core_.contradiction();
    if (!wrong.empty()) { result_.notes.push_back(fmt::format("after event {}: {}", core_.sequence(), wrong)); }
    ensure(wrong.empty());
  }
  replay_ends();
  return out_.created;
}

std::optional<std::uint64_t> TwinRun::replay_apply(Event event) {
  const auto created = replay_take(std::move(event));
  if (created) { carry_out(); }
  return created;
}

Result<void> TwinRun::replay_event(std::size_t index) {
  const ReplayEvent& wish = replay_->events[index];
  std::visit(
      [&](const auto& event) {
        using E = std::decay_t<decltype(event)>;
        if constexpr (std::is_same_v<E, JobSubmitted>) {
          replay_submit(wish.job);
        } else if constexpr (std::is_same_v<E, JobCancelled>) {
          const JobId id = progress_[wish.job].id;
          const Job* const job = core_.job(id);
          if (job != nullptr && !is_final(job->state)) { replay_apply(JobCancelled{id}); }  // else it ended before
        } else if constexpr (std::is_same_v<E, SpeedRevised>) {
          Progress& progress = progress_[wish.job];
          if (!progress.by_table || !progress.id || !event.speeds) { return; }
          progress.speeds = event.speeds;
          replay_apply(SpeedRevised{progress.id, event.speeds});
          const auto run = runs_.find(progress.task.value);
          if (run != runs_.end() && core_.task(progress.task)->state != TaskState::stopping) {
            advance(run->second);
            run->second.rate = rate_of(run->second, *core_.task(progress.task));
            next_segment(progress.task, run->second);
          }
        } else if constexpr (kOfNodes<E>) {
          if (options_.recorded_fleet) { replay_apply(event); }
        } else if constexpr (std::is_same_v<E, TenantDefined>) {
          const auto made = replay_apply(event);
          if (made && std::ranges::find(tenants_, TenantId{*made}) == tenants_.end()) { tenants_.push_back(TenantId{*made}); }
        } else if constexpr (std::is_same_v<E, SchedulingSet>) {
          if (options_.recorded_scheduling) { replay_apply(event); }
        } else if constexpr (std::is_same_v<E, ReservationMade>) {
          if (options_.recorded_fleet || event.nodes.empty()) { replay_apply(event); }
        } else if constexpr (std::is_same_v<E, ServiceDefined>) {
          if (const auto made = replay_take(event)) {  // its replicas may start at once
            if (service_of_.size() < wish.service) { service_of_.resize(wish.service); }
            service_of_[wish.service - 1] = ServiceId{*made};
            recorded_service_[*made] = wish.service - 1;
            carry_out();
          }
        } else if constexpr (std::is_same_v<E, ServiceScaled> || std::is_same_v<E, ServiceRemoved>) {
          if (wish.service > service_of_.size() || !service_of_[wish.service - 1]) { return; }
          E here = event;
          here.service = service_of_[wish.service - 1];
          replay_apply(here);
        } else {
          replay_apply(event);
        }
      },
      wish.event);
  return {};
}

void TwinRun::replay_submit(std::uint32_t first) {
  const ReplayJob& kept = replay_->jobs[first];
  const auto copies = static_cast<std::uint32_t>(std::max<std::int64_t>(1, kept.spec.array));
  JobSpec spec = kept.spec;
  only_kinds_here(spec);
  bool lacks = false;  // one that it is to run after was refused
  for (const std::uint32_t before : kept.after) {
    if (progress_[before].id) { spec.after.push_back(to_string(progress_[before].id)); }
    lacks = lacks || !progress_[before].id;
  }
  for (std::uint32_t copy = 0; copy < copies; ++copy) {
    JobOutcome& outcome = result_.jobs[first + copy];
    outcome.submit = now_;
    outcome.ideal_s = replay_->jobs[first + copy].was.ideal_s;
    Progress& progress = progress_[first + copy];
    progress.speeds = kept.speeds;
    progress.by_table = static_cast<bool>(kept.speeds);
    progress.until = std::numeric_limits<double>::infinity();
    if (options_.speed_sigma > 0) { progress.luck = std::exp(options_.speed_sigma * random_.stream(first + copy).normal()); }
  }
  Result<void> applied;
  out_.clear();
  if (lacks) {
    applied = fail(ErrorKind::not_found, "a job that it is to run after was refused", kept.spec.name);
  } else {
    applied = core_.apply(JobSubmitted{kept.tenant, std::move(spec), kept.speeds}, now_, out_);
    ++result_.events;
  }
  if (!applied) {
    for (std::uint32_t copy = 0; copy < copies; ++copy) {
      JobOutcome& outcome = result_.jobs[first + copy];
      outcome.end = JobOutcome::End::refused;
      outcome.start = outcome.finish = now_;
      ++ended_;
      note_refusal(applied.error());
    }
    return;
  }
  const std::uint64_t id = out_.created;
  if (job_of_id_.size() < id + copies) { job_of_id_.resize(id + copies, ReplayEvent::kNoJob); }
  for (std::uint32_t copy = 0; copy < copies; ++copy) {
    job_of_id_[id - 1 + copy] = first + copy;
    progress_[first + copy].id = JobId{id + copy};
  }
  carry_out();
}

/// What the core says has ended, or has lost its chips without a word of the driver's (its node was lost).
void TwinRun::replay_ends() {
  for (const Change& change : out_.changes) {
    if (change.what == Change::What::service) {
      for (auto it = live_.begin(); it != live_.end();) {
        if (core_.task(TaskId{it->first}) != nullptr) {
          ++it;
          continue;
        }
        const Live& live = it->second;
        busy_[live.kind] -= live.chips;
        result_.busy_s[live.kind] += to_seconds(now_ - live.placed) * static_cast<double>(live.chips) * live.share;
        it = live_.erase(it);
      }
    }
    if (change.what != Change::What::job || change.id == 0 || change.id > job_of_id_.size()) { continue; }
    const std::uint32_t index = job_of_id_[change.id - 1];
    if (index == ReplayEvent::kNoJob) { continue; }
    const Progress& progress = progress_[index];
    if (const auto run = runs_.find(progress.task.value); run != runs_.end() && core_.task(progress.task) == nullptr) {
      advance(run->second);
      leave(progress.task, run->second, false);
      ++result_.jobs[index].stops;
    }
    const Job* const job = core_.job(JobId{change.id});
    JobOutcome& outcome = result_.jobs[index];
    if (job == nullptr || !is_final(job->state) || outcome.end != JobOutcome::End::waiting) { continue; }
    const ReplayJob& kept = replay_->jobs[index];
    const bool cut = kept.attempts.back().end == ReplayAttempt::End::cut;
    if (outcome.starts == 0) { outcome.start = now_; }
    finish(index, job->state == JobState::cancelled || (cut && job->state == JobState::done) ? JobOutcome::End::cancelled
                  : job->state == JobState::done                                             ? JobOutcome::End::done
                                                                                             : JobOutcome::End::failed);
  }
}

void TwinRun::replay_start(TaskId id, Run& run) {
  const ReplayJob& kept = replay_->jobs[run.job];
  Progress& progress = progress_[run.job];
  const ReplayAttempt& attempt = kept.attempts[std::min(progress.attempt, kept.attempts.size() - 1)];
  const Nanos starting = nth(kept.starting, result_.jobs[run.job].starts - 1, replay_->starting_mean);
  progress.task = id;
  if (!kept.resumes) { progress.done = 0; }
  progress.work = attempt.end == ReplayAttempt::End::taken ? std::numeric_limits<double>::infinity() : attempt.work;
  run.restart = progress.done > 0 ? starting + kept.spec.restart_cost : starting;
  run.since = now_ + run.restart;
  run.saved = progress.done;
  if (attempt.began) { push(now_ + starting, Due::What::started, id.value); }
}

void TwinRun::replay_attempt_ended(TaskId id, Run& run) {
  Progress& progress = progress_[run.job];
  const ReplayJob& kept = replay_->jobs[run.job];
  const ReplayAttempt& attempt = kept.attempts[std::min(progress.attempt, kept.attempts.size() - 1)];
  progress.done = 0;
  ++progress.attempt;
  TaskExited exited = attempt.exited;
  exited.task = id;
  const bool well = attempt.end == ReplayAttempt::End::cut ||
                    (attempt.end == ReplayAttempt::End::exited && exited.code == 0 && exited.signal == 0 && !exited.lost);
  if (!well) { ++result_.jobs[run.job].failures; }
  leave(id, run, well);
  if (attempt.end == ReplayAttempt::End::failed_start) {
    TaskStartFailed failed = attempt.failed_start;
    failed.task = id;
    apply(std::move(failed));
  } else {
    apply(std::move(exited));
  }
}

Nanos TwinRun::replay_stop(Run& run) { return nth(replay_->jobs[run.job].stopping, result_.jobs[run.job].stops, replay_->stopping_mean); }

void TwinRun::start_replica(const Task& task) {
  ensure(replay_ != nullptr);
  const std::size_t service = recorded_service_.at(task.service.value);
  const std::vector<ReplayLife>& lives = replay_->services[service].lives;
  if (lives_begun_.size() <= service) { lives_begun_.resize(service + 1, 0); }
  const std::size_t life = lives_begun_[service]++;
  Live live;
  if (life < lives.size()) {
    live.life = lives[life];
  } else {  // more than there were: like one that did well, and it stays
    const auto well = std::ranges::find(lives, true, &ReplayLife::got_ready);
    live.life.starting = well == lives.end() ? replay_->starting_mean : well->starting;
    live.life.ready = well == lives.end() ? Nanos{} : well->ready;
    live.life.got_ready = true;
  }
  live.placed = now_;
  live.chips = static_cast<std::int64_t>(task.chips.size());
  live.share = static_cast<double>(task.share_milli) / 1000;
  live.kind = static_cast<std::uint16_t>(core_.chip(task.chips.front()).kind);
  busy_[live.kind] += live.chips;
  const Time started = now_ + live.life.starting;
  push(started, Due::What::started, task.id.value);
  if (live.life.got_ready) { push(started + live.life.ready, Due::What::ready, task.id.value); }
  if (live.life.ended) { push(started + live.life.ran, Due::What::segment, task.id.value); }
  live_[task.id.value] = std::move(live);
}

void TwinRun::end_replica(TaskId id, TaskExited exited) {
  const auto found = live_.find(id.value);
  const Live& live = found->second;
  busy_[live.kind] -= live.chips;
  result_.busy_s[live.kind] += to_seconds(now_ - live.placed) * static_cast<double>(live.chips) * live.share;
  live_.erase(found);
  exited.task = id;
  apply(std::move(exited));
}

bool TwinRun::handle_replica(const Due& due) {
  const auto found = live_.find(due.id);
  if (found == live_.end()) { return due.what == Due::What::ready; }
  const TaskId task{due.id};
  switch (due.what) {
    case Due::What::started: apply(TaskStarted{task}); break;
    case Due::What::ready: apply(ReplicaReady{.task = task, .port = 1}); break;
    case Due::What::segment: end_replica(task, found->second.life.exited); break;
    default: {
      TaskExited stopped;
      stopped.signal = 15;
      end_replica(task, std::move(stopped));
      break;
    }
  }
  return true;
}

}  // namespace centrale
