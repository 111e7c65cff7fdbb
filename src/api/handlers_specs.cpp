// SPDX-License-Identifier: Apache-2.0
// A file of specs as YAML: its jobs are submitted and its services defined, one after the other, so that a later one
// may name an earlier one.
#include <fmt/format.h>

#include <variant>

#include "api/call.hpp"
#include "api/spec_request.hpp"
#include "base/text.hpp"

namespace centrale::api {
namespace {

constexpr std::size_t kFileNameMax = 300;

struct Submission {
  CallPtr call;
  std::vector<Spec> specs;
  std::size_t at = 0;
  std::vector<JobId> jobs;
  std::vector<ServiceId> services;
};

void answer_accepted(const std::shared_ptr<Submission>& submission) {
  look(submission->call, [submission](const Core& core, Time now) -> Result<Answer> {
    AcceptedView accepted;
    for (const JobId id : submission->jobs) {
      if (const Job* job = core.job(id)) { accepted.jobs.push_back(view(core, *job, now)); }
    }
    for (const ServiceId id : submission->services) {
      if (const Service* service = core.service(id)) { accepted.services.push_back(view(core, *service, now)); }
    }
    return json_answer(accepted, 201);
  });
}

/// What stays accepted when a later document is refused.
Error refusal_of(const Submission& submission, Error error) {
  if (submission.at > 0) {
    std::string accepted;
    for (const JobId id : submission.jobs) { accepted += (accepted.empty() ? "" : ", ") + to_string(id); }
    for (const ServiceId id : submission.services) { accepted += (accepted.empty() ? "" : ", ") + to_string(id); }
    error.remedy += fmt::format("{}accepted before it: {}", error.remedy.empty() ? "" : "; ", accepted);
  }
  return error;
}

void submit_next(const std::shared_ptr<Submission>& submission) {
  if (submission->at == submission->specs.size()) {
    answer_accepted(submission);
    return;
  }
  Spec& spec = submission->specs[submission->at];
  const TenantId tenant = submission->call->caller.tenant;
  const bool is_job = std::holds_alternative<JobSpec>(spec);
  Event event = is_job ? Event(JobSubmitted{.tenant = tenant, .spec = std::move(std::get<JobSpec>(spec))})
                       : Event(ServiceDefined{.tenant = tenant, .spec = std::move(std::get<ServiceSpec>(spec))});
  submission->call->wiring().host.wish(std::move(event), [submission, is_job](Result<std::uint64_t> created) {
    if (!created) {
      answer(submission->call, error_answer(refusal_of(*submission, std::move(created).error())));
      return;
    }
    if (is_job) {
      submission->jobs.push_back(JobId{*created});
    } else {
      submission->services.push_back(ServiceId{*created});
    }
    ++submission->at;
    submit_next(submission);
  });
}

Result<std::vector<Spec>> read_body(const Call& call) {
  const std::string_view base = call.request.header("x-base-dir");
  std::string name = to_utf8(call.request.header("x-file-name").substr(0, kFileNameMax));
  TRY_ASSIGN(std::vector<Spec> specs, read_specs(call.request.body, name.empty() ? "specs" : name));
  if (specs.empty() || specs.size() > call.wiring().limits.specs_max) {
    return fail(ErrorKind::invalid, fmt::format("{} documents; 1 to {} are taken", specs.size(), call.wiring().limits.specs_max), name);
  }
  for (Spec& spec : specs) {
    TRY(std::visit([&](auto& each) { return resolve_paths(each, base); }, spec));
  }
  return specs;
}

}  // namespace

void submit_specs(const CallPtr& call) {
  auto specs = read_body(*call);
  if (!specs) {
    send(call, error_answer(specs.error()));
    return;
  }
  auto submission = std::make_shared<Submission>();
  submission->call = call;
  submission->specs = std::move(*specs);
  submit_next(submission);
}

}  // namespace centrale::api
