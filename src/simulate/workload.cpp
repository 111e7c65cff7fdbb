// SPDX-License-Identifier: Apache-2.0
#include "simulate/workload.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace centrale {

namespace {

std::string fault_of(const TraceJob& job, const Workload& workload) {
  if (job.tenant >= workload.tenants.size() || job.kinds >= workload.kind_choices.size() || job.profile >= workload.profiles.size()) {
    return "names a tenant, a choice of kinds or a profile that the trace does not have";
  }
  if (job.workers < 1 || job.chips < 0) { return fmt::format("asks for {} workers of {} chips", job.workers, job.chips); }
  if (job.share_milli < 1 || job.share_milli > 1000 || (job.share_milli < 1000 && job.chips != 1)) {
    return fmt::format("asks for {}/1000 of {} chips; a share is of one chip", job.share_milli, job.chips);
  }
  if (job.submit.ns < 0 || job.run.value < 0 || job.estimate.value < 0 || !(job.work >= 0) || job.memory.value < 0 || job.cpu_milli < 0) {
    return "has a negative time or amount";
  }
  if (job.workers_min < 0 || job.workers_max < job.workers_min) {
    return fmt::format("may use {} to {} workers", job.workers_min, job.workers_max);
  }
  if (job.profile != 0 && job.work == 0 && job.run.value == 0) { return "has neither work nor a run time"; }
  return {};
}

}  // namespace

Result<void> settle(Workload& workload) {
  for (std::size_t i = 0; i < workload.jobs.size(); ++i) {
    const TraceJob& job = workload.jobs[i];
    if (const std::string fault = fault_of(job, workload); !fault.empty()) {
      return fail(ErrorKind::invalid, fmt::format("job {} ('{}') {}", i + 1, job.name, fault), workload.name);
    }
  }
  std::ranges::stable_sort(workload.jobs, {}, [](const TraceJob& job) { return job.submit; });
  return {};
}

}  // namespace centrale
