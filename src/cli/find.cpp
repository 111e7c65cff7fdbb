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

Outcome<Target> find_target(Context& context, const std::string& word) {
  const auto target_of = [](Target::Kind kind, const auto& view) { return Target{kind, view.id, view.name}; };
  if (parse_id<JobTag>(word)) {
    TRY_ASSIGN(const JobView job, find_job(context, word));
    return target_of(Target::Kind::job, job);
  }
  if (parse_id<ServiceTag>(word)) {
    TRY_ASSIGN(const ServiceView service, find_service(context, word));
    return target_of(Target::Kind::service, service);
  }
  const auto job = find_job(context, word);
  if (!job && job.error().error.kind != ErrorKind::not_found) {
    return std::unexpected(job.error());
  }
  const auto service = find_service(context, word);
  if (!service && service.error().error.kind != ErrorKind::not_found) {
    return std::unexpected(service.error());
  }
  if (job && service && !has_ended(*job)) {
    return std::unexpected(Failure(Error{ErrorKind::conflict, fmt::format("'{}' is the name of a job and of a service", word), {},
                                         fmt::format("say which: {} or {}", job->id, service->id)}));
  }
  if (service) {
    return target_of(Target::Kind::service, *service);
  }
  if (job) {
    return target_of(Target::Kind::job, *job);
  }
  Error error = job.error().error;
  if (error.remedy.empty()) {
    error.remedy = service.error().error.remedy;
  }
  error.what = fmt::format("no job and no service '{}'", word);
  return std::unexpected(Failure(std::move(error)));
}

}  // namespace centrale::cli
