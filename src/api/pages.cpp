// SPDX-License-Identifier: Apache-2.0
#include "api/pages.hpp"

#include <algorithm>

namespace centrale::api {

JobPage page_of_jobs(const Core& core, const JobQuery& query) {
  JobPage page;
  std::uint64_t id = query.range.newest.value + 1;
  if (query.before) { id = std::min(id, query.before->value); }
  for (std::int64_t looked = 0; id > query.range.oldest.value && looked < kJobsLookedAtMax; ++looked) {
    if (static_cast<std::int64_t>(page.jobs.size()) == query.limit) { break; }
    --id;
    const Job* job = core.job(JobId{id});
    if (job != nullptr && query.scope.sees(job->tenant) && (!query.state || job->state == *query.state) &&
        (query.name.empty() || job->spec.name == query.name)) {
      page.jobs.push_back(job);
    }
  }
  if (id > query.range.oldest.value) { page.next = JobId{id}; }
  return page;
}

std::vector<Usage> usage_of_tenants(const Core& core, Time now) {
  std::vector<Usage> sums;
  sums.reserve(core.tenant_count());
  for (std::uint64_t i = 1; i <= core.tenant_count(); ++i) { sums.push_back(core.tenant(TenantId{i})->usage); }
  // A job's or service's usage up to now, less what is settled, is what its tasks under way add.
  const auto add_running = [&](TenantId tenant, Usage total, const Usage& settled) {
    Usage& sum = sums[tenant.value - 1];
    sum.device_time += total.device_time - settled.device_time;
    sum.energy += total.energy - settled.energy;
    sum.energy_estimated += total.energy_estimated - settled.energy_estimated;
    sum.cost += total.cost - settled.cost;
  };
  core.each_task([&](const Task& task) {
    if (const Job* job = task.chips.empty() ? nullptr : core.job(task.job)) { add_running(job->tenant, core.usage(*job, now), job->usage); }
  });
  core.each_service([&](const Service& service) { add_running(service.tenant, core.usage(service, now), service.usage); });
  return sums;
}

UsageView usage_view(const Core& core, Time now, const UsageQuery& query, const std::string& currency) {
  UsageView shown{.currency = currency, .tenants = {}, .jobs = {}, .services = {}};
  const std::vector<Usage> tenants = usage_of_tenants(core, now);
  for (std::uint64_t i = 1; i <= tenants.size() && shown.tenants.size() < kUsageLinesMax; ++i) {
    if (query.scope.sees(TenantId{i})) {
      shown.tenants.push_back(line(core.tenant(TenantId{i})->name, to_string(TenantId{i}), tenants[i - 1]));
    }
  }
  const JobPage page = page_of_jobs(core, {.scope = query.scope, .limit = query.jobs_max, .range = query.range});
  for (const Job* job : page.jobs) { shown.jobs.push_back(line(job->spec.name, to_string(job->id), core.usage(*job, now))); }
  core.each_service([&](const Service& service) {
    if (query.scope.sees(service.tenant) && shown.services.size() < kUsageLinesMax) {
      shown.services.push_back(line(service.spec.name, to_string(service.id), core.usage(service, now)));
    }
  });
  return shown;
}

}  // namespace centrale::api
