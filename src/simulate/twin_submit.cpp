// SPDX-License-Identifier: Apache-2.0
// A job of the trace as the centre gets it, with what the estimator says of its speed.
#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "simulate/twin_run.hpp"

namespace centrale {

/// Kinds that this fleet does not have are no choice; if none is left, the job is refused with the core's words.
void TwinRun::only_kinds_here(JobSpec& spec) const {
  std::vector<std::string> here;
  for (const std::string& kind : spec.chip_kinds) {
    if (std::ranges::find(offers_, kind, &KindOffer::kind) != offers_.end()) { here.push_back(kind); }
  }
  if (!here.empty()) { spec.chip_kinds = std::move(here); }
}

JobSpec TwinRun::spec_of(std::uint32_t index) {
  const TraceJob& job = workload_.jobs[index];
  JobSpec spec;
  spec.name = fmt::format("j{}", index);
  spec.command = {"-"};
  spec.workers = job.workers;
  spec.chips = std::max<std::int64_t>(job.chips, 1);
  spec.chip_kinds = workload_.kind_choices[job.kinds];
  only_kinds_here(spec);
  spec.memory = job.memory;
  spec.cpu_milli = job.cpu_milli;
  spec.share_milli = job.share_milli;
  spec.priority = std::clamp<std::int64_t>(job.priority, -kPriorityMax, kPriorityMax);
  spec.profile = workload_.profiles[job.profile];
  spec.steps = static_cast<std::int64_t>(std::min(std::ceil(job.work), static_cast<double>(kStepsMax)));
  spec.global_batch = static_cast<std::int64_t>(job.batch);
  spec.estimate = job.estimate;
  if (job.workers_max > 0 && job.profile != 0) {
    spec.workers_min = std::min(job.workers_min, job.workers);
    spec.workers_max = std::max(job.workers_max, job.workers);
  }
  spec.preemptible = job.preemptible && !job.service;
  spec.checkpoint_every = {};  // on order they save what they have; failures lose up to options_.checkpoint_every
  spec.restart_cost = options_.restart_cost;
  return spec;
}

void TwinRun::note_refusal(const Error& error) {
  if (refusals_++ == 0) { first_refusal_ = error.message(); }
}

Result<void> TwinRun::submit(std::uint32_t index) {
  const TraceJob& job = workload_.jobs[index];
  JobOutcome& outcome = result_.jobs[index];
  outcome.submit = Time{job.submit.ns + kBegin.ns};
  Progress& progress = progress_[index];
  if (job.chips == 0) {
    outcome.end = JobOutcome::End::refused;
    outcome.start = outcome.finish = now_;
    ++ended_;
    note_refusal({ErrorKind::invalid, "asks for no chips; this twin places chips", {}, {}});
    return {};
  }
  JobSpec spec = spec_of(index);
  progress.work = to_seconds(job.run);
  if (options_.speed_sigma > 0) { progress.luck = std::exp(options_.speed_sigma * random_.stream(index).normal()); }
  progress.until = std::numeric_limits<double>::infinity();
  if (job.profile != 0 && twin_.estimator != nullptr) {
    const std::string key = fmt::format("{}|{}|{}|{}|{}|{}|{}|{}", job.profile, job.workers, job.chips, spec.workers_min, spec.workers_max,
                                        job.batch, job.kinds, spec.steps);
    auto found = asked_.find(key);
    if (found == asked_.end()) {
      TRY_ASSIGN(const std::optional<Estimate> estimate, twin_.estimator->estimate(spec, offers_, 0));
      Asked asked;
      if (estimate) {
        asked.speeds = estimate->speeds;
        asked.until = estimate->until;
      }
      if (asked_.size() > 100'000) { asked_.clear(); }
      found = asked_.emplace(key, std::move(asked)).first;
    }
    if (found->second.speeds) {
      progress.speeds = found->second.speeds;
      progress.until = found->second.until;
      progress.by_table = true;
      progress.work = progress.speeds->work > 0 ? progress.speeds->work : job.work;
      // As asked it runs only where a row says how fast.
      std::vector<std::string> kinds;
      double fastest = 0;
      for (const SpeedRow& row : progress.speeds->rows) {
        if (row.workers * row.chips != spec.workers * spec.chips || row.rates.empty() || row.rates.front() <= 0) { continue; }
        fastest = std::max(fastest, row.rates.front());
        if (std::ranges::find(kinds, row.kind) == kinds.end()) { kinds.push_back(row.kind); }
      }
      if (fastest > 0) { outcome.ideal_s = progress.work / fastest; }
      if (!kinds.empty() && kinds.size() < offers_.size() && kinds.size() <= kKindChoicesMax) { spec.chip_kinds = kinds; }
    }
  }
  if (!progress.by_table) { outcome.ideal_s = progress.work; }
  JobSubmitted event{tenants_[job.tenant], std::move(spec), progress.speeds};
  out_.clear();
  const Result<void> applied = core_.apply(std::move(event), now_, out_);
  ++result_.events;
  if (!applied) {
    outcome.end = JobOutcome::End::refused;
    outcome.start = outcome.finish = now_;
    ++ended_;
    note_refusal(applied.error());
    return {};
  }
  if (job_of_id_.size() < out_.created) { job_of_id_.resize(out_.created, 0); }
  job_of_id_[out_.created - 1] = index;
  carry_out();
  return {};
}

}  // namespace centrale
