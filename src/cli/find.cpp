// SPDX-License-Identifier: Apache-2.0
#include "cli/find.hpp"

#include <fmt/core.h>

#include "base/ids.hpp"

namespace centrale::cli {

Outcome<JobView> find_job(Context& context, const std::string& word) {
  TRY_ASSIGN(const std::string body, ask(context, "GET", path_of("jobs", word)));
  return read_job(body);
}

Outcome<ServiceView> find_service(Context& context, const std::string& word) {
  TRY_ASSIGN(const std::string body, ask(context, "GET", path_of("services", word)));
  return read_service(body);
}

std::vector<std::string> array_of(const JobView& job) {
  constexpr double kMembersMax = 10'000;  // as the centre has it
  const auto id = parse_id<JobTag>(job.id);
  const double size = job.array_size.value_or(0);
  const double index = job.array_index.value_or(-1);
  if (!id || !(size > 1 && size <= kMembersMax) || !(index >= 0 && index < size) || static_cast<double>(id->value) <= index) {
    return {job.id};
  }
  // The members got their ids in order.
  const std::uint64_t first = id->value - static_cast<std::uint64_t>(index);
  std::vector<std::string> ids;
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(size); ++i) { ids.push_back(to_string(JobId{first + i})); }
  return ids;
}

Outcome<Target> find_target(Context& context, const std::string& word) {
  const auto target_of = [](Target::Kind kind, const auto& view) { return Target{kind, view.id, view.name, {view.id}}; };
  if (parse_id<JobTag>(word)) {
    TRY_ASSIGN(const JobView job, find_job(context, word));
    return target_of(Target::Kind::job, job);
  }
  if (parse_id<ServiceTag>(word)) {
    TRY_ASSIGN(const ServiceView service, find_service(context, word));
    return target_of(Target::Kind::service, service);
  }
  const auto job = find_job(context, word);
  if (!job && job.error().error.kind != ErrorKind::not_found) { return std::unexpected(job.error()); }
  const auto service = find_service(context, word);
  if (!service && service.error().error.kind != ErrorKind::not_found) { return std::unexpected(service.error()); }
  if (job && service && !has_ended(*job)) {
    return std::unexpected(Failure(Error{ErrorKind::conflict,
                                         fmt::format("'{}' is the name of a job and of a service", word),
                                         {},
                                         fmt::format("say which: {} or {}", job->id, service->id)}));
  }
  if (service) { return target_of(Target::Kind::service, *service); }
  if (job) {
    Target target = target_of(Target::Kind::job, *job);
    target.members = array_of(*job);
    return target;
  }
  Error error = job.error().error;
  if (error.remedy.empty()) { error.remedy = service.error().error.remedy; }
  error.what = fmt::format("no job and no service '{}'", word);
  return std::unexpected(Failure(std::move(error)));
}

}  // namespace centrale::cli
