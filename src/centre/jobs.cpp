// SPDX-License-Identifier: Apache-2.0
// The life of a job: submitted, waiting, retried, finished; dependencies and arrays.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "centre/core_state.hpp"

namespace centrale {

namespace {
/// Elements of one array stand in the queue in order: room for them between two submissions.
constexpr std::uint64_t kOrderStep = 1U << 20U;
static_assert(kArrayMax < kOrderStep);
}  // namespace

Result<std::vector<JobId>> CoreState::unmet_dependencies(TenantId tenant, const JobSpec& spec) const {
  std::vector<JobId> unmet;
  for (const std::string& name : spec.after) {
    const Job* job = nullptr;
    if (const auto found = job_names.find(job_name_key(tenant, name)); found != job_names.end()) {
      job = jobs.find(found->second.newest);
    } else if (const auto id = parse_id<JobTag>(name)) {
      job = jobs.find(*id);
    }
    if (job == nullptr || job->tenant != tenant) {
      return fail(ErrorKind::not_found, fmt::format("there is no job '{}'", name), "after",
                  "submit it first, or name one of: centrale ps --all");
    }
    // A name stands for the whole array.
    const auto first = job->array_index < 0 ? job->id.value : job->id.value - static_cast<std::uint64_t>(job->array_index);
    const auto count = job->array_index < 0 || name == to_string(job->id) ? std::uint64_t{1} : static_cast<std::uint64_t>(job->spec.array);
    for (std::uint64_t id = count == 1 ? job->id.value : first; id < (count == 1 ? job->id.value : first) + count; ++id) {
      const Job* const each = jobs.find(JobId{id});
      if (each == nullptr || each->state == JobState::done) {
        continue;  // forgotten jobs of a known array have ended well, or the array would have a failed one
      }
      if (is_final(each->state)) {
        return fail(
            ErrorKind::conflict,
            fmt::format("'{}' ({}) has {}", name, to_string(each->id), each->state == JobState::failed ? "failed" : "been cancelled"),
            "after", "submit it again first");
      }
      if (std::ranges::find(unmet, each->id) == unmet.end()) { unmet.push_back(each->id); }
    }
  }
  return unmet;
}

namespace {
Result<void> check_speeds(const Speeds& speeds) {
  if (speeds.rows.size() > kSpeedRowsMax || !std::isfinite(speeds.work) || speeds.work < 0) {
    return fail(ErrorKind::invalid, fmt::format("{} rows of speeds, {} units of work", speeds.rows.size(), speeds.work), "speeds",
                fmt::format("at most {} rows, work not below 0", kSpeedRowsMax));
  }
  for (const SpeedRow& row : speeds.rows) {
    if (row.workers < 1 || row.workers > kWorkersMax || row.chips < 1 || row.chips > kChipsPerWorkerMax || row.rates.empty() ||
        row.rates.size() > kSpreads || std::ranges::any_of(row.rates, [](double rate) { return !std::isfinite(rate) || rate < 0; })) {
      return fail(ErrorKind::invalid, fmt::format("a row for '{}' with {} x {} chips", row.kind, row.workers, row.chips), "speeds",
                  "1 to 5 rates, none below 0");
    }
  }
  return {};
}
}  // namespace

Result<void> CoreState::on(JobSubmitted& e) {
  TRY(check_tenant(e.tenant));
  TRY(validate(e.spec));
  const std::int64_t copies = std::max<std::int64_t>(1, e.spec.array);
  if (unfinished_jobs + static_cast<std::size_t>(copies) > limits.jobs_queued_max) {
    return fail(ErrorKind::exhausted, fmt::format("the centre holds {} unfinished jobs, its limit", limits.jobs_queued_max), {},
                "wait until some are done");
  }
  if (pay_class(e.spec) != PayClass::spot) { TRY(check_quota(e.tenant, gang_of(e.spec))); }
  if (pay_class(e.spec) == PayClass::spot && !e.spec.reservation.empty()) {
    return fail(ErrorKind::invalid, "a job with a bid takes what is left over, not what is reserved", "spot_bid",
                "name the reservation, or bid");
  }
  TRY(check_fits(e.spec.chip_kinds, gang_of(e.spec)));
  TRY(check_reservation(e.tenant, e.spec));
  if (e.speeds) { TRY(check_speeds(*e.speeds)); }
  TRY_ASSIGN(const std::vector<JobId> unmet, unmet_dependencies(e.tenant, e.spec));
  out->created = jobs.next_id().value;
  for (std::int64_t copy = 0; copy < copies; ++copy) {
    const JobId id = jobs.next_id();
    Job& job = jobs.add();
    job.id = id;
    job.tenant = e.tenant;
    if (copy + 1 == copies) {
      job.spec = std::move(e.spec);
    } else {
      job.spec = e.spec;
    }
    job.array_index = job.spec.array > 0 ? copy : -1;
    job.order = sequence * kOrderStep + static_cast<std::uint64_t>(copy);
    job.submitted = now;
    job.unmet = unmet;
    job.speeds = e.speeds;
    for (const JobId dependency : unmet) { jobs.at(dependency).dependents.push_back(id); }
    remember_name(job);
    ++unfinished_jobs;
    if (unmet.empty()) {
      enqueue(job);
    } else {
      job.wait = WaitReason::dependency;
      changed(Change::What::job, id.value);
    }
  }
  return {};
}

void CoreState::enqueue(Job& job) {
  job.state = JobState::queued;
  const Reservation* const reserved = job.spec.reservation.empty() ? nullptr : reservation_named(job.spec.reservation);
  if (!job.spec.reservation.empty() && (reserved == nullptr || !reserved->open || reserved->tenant != job.tenant)) {
    job.wait = WaitReason::reservation;
    changed(Change::What::job, job.id.value);
    return;
  }
  job.wait = WaitReason::chips;
  job.task = tasks.next_id();
  Task& task = tasks.add();
  task.id = job.task;
  task.job = job.id;
  task.chips_per_worker = job.spec.chips;
  task.memory = job.spec.memory;
  task.cpu_milli = job.spec.cpu_milli;
  task.share_milli = job.spec.share_milli;
  if (reserved != nullptr) { task.reservation = reserved->id; }
  job.queued = now;
  policy_of(task).enqueue(work_of(job));
  changed(Change::What::job, job.id.value);
}

Result<void> CoreState::on(JobCancelled& e) {
  Job* const job = jobs.find(e.job);
  if (job == nullptr) { return fail(ErrorKind::not_found, fmt::format("there is no job {}", to_string(e.job))); }
  if (is_final(job->state)) {
    return fail(ErrorKind::conflict, fmt::format("job {} is already {}", to_string(e.job), enum_name(job->state)));
  }
  job->cancel_wanted = true;
  Task* const task = tasks.find(job->task);
  if (task == nullptr || task->state == TaskState::queued) {
    if (task != nullptr) { stop(*task); }
    const JobId id = job->id;
    finish(*job, JobState::cancelled, "cancelled");
    resolve_dependents(id);
    forget_old_jobs();
    return {};
  }
  job->state = JobState::stopping;
  stop(*task);
  changed(Change::What::job, job->id.value);
  return {};
}

void CoreState::finish(Job& job, JobState state, std::string message) {
  job.state = state;
  job.wait = WaitReason::none;
  job.finished = now;
  job.message = std::move(message);
  job.unmet.clear();
  finished.push_back(job.id);
  --unfinished_jobs;
  changed(Change::What::job, job.id.value);
}

void CoreState::resolve_dependents(JobId first) {
  if (jobs.at(first).dependents.empty()) { return; }
  std::vector<JobId> ended{first};  // a failure runs down the chain, without recursion
  while (!ended.empty()) {
    Job& job = jobs.at(ended.back());
    ended.pop_back();
    const std::vector<JobId> dependents = std::move(job.dependents);
    job.dependents.clear();
    for (const JobId id : dependents) {
      Job* const dependent = jobs.find(id);
      if (dependent == nullptr || is_final(dependent->state)) { continue; }
      if (job.state == JobState::done) {
        std::erase(dependent->unmet, job.id);
        if (dependent->unmet.empty() && dependent->wait == WaitReason::dependency) { enqueue(*dependent); }
      } else {
        finish(*dependent, job.state,
               fmt::format("{} ({}), which it was to run after, {}", job.spec.name, to_string(job.id),
                           job.state == JobState::failed ? "failed" : "was cancelled"));
        ended.push_back(id);
      }
    }
  }
}

void CoreState::forget_old_jobs() {
  while (finished.size() > limits.jobs_finished_kept) {
    const JobId id = finished.front();
    finished.pop_front();
    forget_name(jobs.at(id));
    jobs.erase(id);
  }
}

void CoreState::remember_name(const Job& job) {
  SameName& same = job_names[job_name_key(job.tenant, job.spec.name)];
  same.newest = std::max(same.newest, job.id);
  ++same.count;
}

void CoreState::forget_name(const Job& job) {
  const auto found = job_names.find(job_name_key(job.tenant, job.spec.name));
  ensure(found != job_names.end());
  if (--found->second.count == 0) {
    job_names.erase(found);
  } else if (found->second.newest == job.id) {  // rare: an older one of that name outlived it
    found->second.newest = {};
    jobs.each([&](const Job& other) {
      if (other.id != job.id && other.tenant == job.tenant && other.spec.name == job.spec.name) { found->second.newest = other.id; }
    });
  }
}

void CoreState::job_task_ended(Job& job, const Task&, Ending ending, std::string message) {
  const JobId id = job.id;
  if (ending == Ending::done) {
    finish(job, JobState::done, {});
  } else if (job.cancel_wanted) {
    finish(job, JobState::cancelled, "cancelled");
  } else if (job.over_time) {
    finish(job, JobState::failed, fmt::format("stopped: over its time limit of {} s", job.spec.time_limit.value / 1'000'000'000));
  } else if (ending == Ending::asked) {  // the centre took its chips away: back to its place in the queue, at no cost
    job.message = std::move(message);
    enqueue(job);
    return;
  } else if (ending == Ending::failed_for_good) {
    finish(job, JobState::failed, std::move(message));
  } else {
    retry_or_fail(job, std::move(message));
    if (!is_final(job.state)) { return; }
  }
  resolve_dependents(id);
  forget_old_jobs();
}

void CoreState::retry_or_fail(Job& job, std::string message) {
  ++job.failures;
  if (job.failures > job.spec.restarts) {
    finish(job, JobState::failed, std::move(message));
    return;
  }
  job.state = JobState::queued;
  job.wait = WaitReason::backoff;
  job.message = std::move(message);
  set_timer({.id = {},
             .due = now + backoff_after(job.spec.backoff, job.failures),
             .purpose = TimerPurpose::retry_job,
             .job = job.id,
             .service = {},
             .task = {}});
  changed(Change::What::job, job.id.value);
}

}  // namespace centrale
