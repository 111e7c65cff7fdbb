// SPDX-License-Identifier: Apache-2.0
// What callers mean by a name or an id, within what they may see.
#include <fmt/format.h>

#include "api/call.hpp"
#include "base/text.hpp"

namespace centrale::api {
namespace {

constexpr std::size_t kNamesCompared = 500;  // for the nearest one

std::string shown(std::string_view name) { return to_utf8(name.substr(0, 100)); }

/// Names to choose the nearest from, of the newest jobs.
std::vector<std::string> job_names(const Core& core, Scope scope, const JobRange& range) {
  std::vector<std::string> names;
  for (const Job* job : page_of_jobs(core, {.scope = scope, .limit = kNamesCompared, .range = range}).jobs) {
    names.push_back(job->spec.name);
  }
  return names;
}

}  // namespace

Result<const Job*> find_job(const Core& core, std::string_view name_or_id, Scope scope, const JobRange& range) {
  const Job* job = core.job(name_or_id);
  if (job != nullptr && !scope.sees(job->tenant)) {
    // Another tenant has a newer one of that name.
    const JobPage own = page_of_jobs(core, {.scope = scope, .name = name_or_id, .limit = 1, .range = range});
    job = own.jobs.empty() ? nullptr : own.jobs.front();
  }
  if (job == nullptr) {
    return fail(ErrorKind::not_found, fmt::format("no job '{}'", shown(name_or_id)), {},
                nearest_remedy(name_or_id.substr(0, 100), job_names(core, scope, range)));
  }
  return job;
}

Result<const Service*> find_service(const Core& core, std::string_view name_or_id, Scope scope) {
  const Service* service = core.service(name_or_id);
  if (service != nullptr && scope.sees(service->tenant)) { return service; }
  std::vector<std::string> names;
  core.each_service([&](const Service& each) {
    if (scope.sees(each.tenant) && names.size() < kNamesCompared) { names.push_back(each.spec.name); }
  });
  return fail(ErrorKind::not_found, fmt::format("no service '{}'", shown(name_or_id)), {},
              nearest_remedy(name_or_id.substr(0, 100), names));
}

Result<NodeId> find_node(const Core& core, std::string_view name_or_id) {
  if (const auto id = parse_id<NodeTag>(name_or_id); id && core.node(*id) != nullptr) { return *id; }
  if (const NodeId id = core.node_of(name_or_id)) { return id; }
  std::vector<std::string> names;
  for (std::uint64_t i = 1; i <= std::min(core.node_count(), kNamesCompared); ++i) { names.push_back(core.node(NodeId{i})->name); }
  return fail(ErrorKind::not_found, fmt::format("no node '{}'", shown(name_or_id)), {}, nearest_remedy(name_or_id.substr(0, 100), names));
}

}  // namespace centrale::api
