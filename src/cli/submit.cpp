// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <csignal>

#include "cli/commands.hpp"
#include "cli/follow.hpp"
#include "cli/render.hpp"
#include "cli/spec_files.hpp"

namespace centrale::cli {
namespace {

struct Sent {
  std::vector<std::string> raw_jobs, raw_services;
  std::vector<JobView> jobs;
  std::vector<ServiceView> services;
};

/// Hands the specs over one by one. Those before a refused one stay accepted, and are said.
Outcome<void> send(Context& context, const std::vector<Spec>& specs, Sent& sent) {
  for (const Spec& spec : specs) {
    if (const auto* job = std::get_if<JobSpec>(&spec)) {
      TRY_ASSIGN(std::string body, ask(context, "POST", "/api/v1/jobs", to_json(*job)));
      sent.jobs.push_back(read_job(body));
      sent.raw_jobs.push_back(std::move(body));
    } else {
      TRY_ASSIGN(std::string body, ask(context, "PUT", "/api/v1/services", to_json(std::get<ServiceSpec>(spec))));
      sent.services.push_back(read_service(body));
      sent.raw_services.push_back(std::move(body));
    }
  }
  return {};
}

std::string sent_json(const Sent& sent) {
  return "{" + raw_array("jobs", sent.raw_jobs) + "," + raw_array("services", sent.raw_services) + "}";
}

void say_sent(Context& context, const Sent& sent) {
  for (const JobView& job : sent.jobs) {
    const double members = job.array_size.value_or(0);
    print(context, fmt::format("submitted {} ({}){}", shown(job.id, context.style), shown(job.name, context.style),
                               members > 1 ? fmt::format(" and {} more of its array", count_text(members - 1)) : ""));
  }
  for (const ServiceView& service : sent.services) {
    print(context, fmt::format("serving {} ({}), {} replica{} wanted", shown(service.id, context.style), shown(service.name, context.style),
                               shown(service.replicas_wanted, count_text, context.style), service.replicas_wanted == 1.0 ? "" : "s"));
  }
  context.out.flush();
}

/// The end of what a failed job wrote to stderr: mostly that is the reason.
void say_why(Context& context, const JobView& job) {
  const auto body = ask(context, "GET", path_of("jobs", job.id, "/logs?rank=0&stream=err&tail=10"));
  const std::string text = body ? read_log(*body).text : std::string{};
  context.err << paint(job.name + ":", Tone::red, context.err_style) << ' ' << printable(job.message.empty() ? job.state : job.message)
              << '\n';
  if (!text.empty()) { context.err << text << (text.ends_with('\n') ? "" : "\n"); }
  note(context, "see all of it: centrale logs " + job.id + " --err");
}

Outcome<int> follow_sent(Context& context, Sent& sent, bool draws) {
  Signals signals({SIGINT, SIGTERM, SIGHUP, SIGWINCH});
  const JobView& first = sent.jobs.front();
  const std::string id = first.array_size.value_or(0) > 1 ? first.name : first.id;  // an array is stopped as a whole by its name
  TRY_ASSIGN(const Followed followed, follow_jobs(context, signals, sent.jobs, draws, std::nullopt));
  if (followed.ending == Ending::interrupted) {
    note(context, fmt::format("{} on. See it: centrale ps, centrale logs -f {}; end it: centrale stop {}",
                              followed.jobs.size() == 1 ? id + " goes" : "the jobs go", id, id));
    return kExitInterrupted;
  }
  if (context.json) {
    sent.raw_jobs.clear();
    for (const JobView& job : followed.jobs) {
      TRY_ASSIGN(std::string body, ask(context, "GET", path_of("jobs", job.id)));
      sent.raw_jobs.push_back(std::move(body));
    }
    print(context, sent_json(sent));
  } else {
    std::size_t said = 0;
    for (const JobView& job : followed.jobs) {
      if (job.state != "done" && said < 3) {  // of a large array the first ones are enough
        ++said;
        say_why(context, job);
      }
    }
  }
  return followed.ending == Ending::done ? kExitOk : kExitFailed;
}

Outcome<int> submit_files(Context& context, const SubmitOptions& options) {
  TRY_ASSIGN(const std::vector<Spec> specs, read_spec_files(options.files));
  if (options.check_only) {
    std::vector<std::string> raw;
    for (const Spec& spec : specs) {
      raw.push_back(std::visit([](const auto& s) { return to_json(s); }, spec));
    }
    print(context, context.json ? "{" + raw_array("specs", raw) + "}"
                                : fmt::format("{} right", specs.size() == 1 ? "1 spec is" : fmt::format("{} specs are", specs.size())));
    return kExitOk;
  }
  Sent sent;
  const Outcome<void> handed = send(context, specs, sent);
  if (!context.json) { say_sent(context, sent); }
  TRY(handed);
  const bool follows = options.stay == Stay::follow || (options.stay == Stay::by_terminal && context.out_is_terminal && !context.json);
  if (sent.jobs.empty() || (!follows && options.stay != Stay::wait)) {
    if (context.json) { print(context, sent_json(sent)); }
    return kExitOk;
  }
  return follow_sent(context, sent, follows && !context.json);
}

/// Services from files, then the wait until they answer.
Outcome<int> serve_files(Context& context, const ServeOptions& options) {
  TRY_ASSIGN(const std::vector<Spec> specs, read_spec_files(options.files));
  for (const Spec& spec : specs) {
    if (const auto* job = std::get_if<JobSpec>(&spec)) {
      return std::unexpected(Failure(Error{ErrorKind::invalid, "'" + job->name + "' is a job, not a service", {}, "use centrale submit"}));
    }
  }
  Sent sent;
  const Outcome<void> handed = send(context, specs, sent);
  if (!context.json) { say_sent(context, sent); }
  TRY(handed);
  const bool follows = options.stay == Stay::follow || (options.stay == Stay::by_terminal && context.out_is_terminal && !context.json);
  if (!follows && options.stay != Stay::wait) {
    if (context.json) { print(context, sent_json(sent)); }
    return kExitOk;
  }
  Signals signals({SIGINT, SIGTERM, SIGHUP, SIGWINCH});
  TRY_ASSIGN(const Ending ending, follow_services(context, signals, sent.services, follows && !context.json, options.timeout_s));
  const std::string first = sent.services.front().name;
  if (context.json) {
    sent.raw_services.clear();
    for (const ServiceView& service : sent.services) {
      TRY_ASSIGN(std::string body, ask(context, "GET", path_of("services", service.id)));
      sent.raw_services.push_back(std::move(body));
    }
    print(context, sent_json(sent));
  }
  switch (ending) {
    case Ending::done:
      if (!context.json) {
        for (const ServiceView& service : sent.services) {
          print(context, fmt::format("{} answers at {}/v1/chat/completions; try: centrale chat {} \"Hello\"", service.name,
                                     context.api->url(), service.name));
        }
      }
      return kExitOk;
    case Ending::interrupted:
      note(context, fmt::format("{} goes on starting. See it: centrale services; end it: centrale stop {}", first, first));
      return kExitInterrupted;
    case Ending::timeout:
      note(context, fmt::format("{} is not ready yet. See it: centrale services, centrale logs {} --err", first, first));
      return kExitTimeout;
    case Ending::failed: break;
  }
  for (const ServiceView& service : sent.services) {
    for (const ReplicaView& replica : service.replicas) {
      if (!replica.message.empty()) {
        note(context, fmt::format("{} replica {}: {}", printable(service.name), count_text(replica.ordinal.value_or(0)),
                                  printable(replica.message)));
      }
    }
  }
  note(context, fmt::format("{} does not start, and is tried again. See why: centrale logs {} --err; end it: centrale stop {}", first,
                            first, first));
  return kExitFailed;
}

}  // namespace

int submit(Context& context, const SubmitOptions& options) { return finish(context, submit_files(context, options)); }
int serve(Context& context, const ServeOptions& options) { return finish(context, serve_files(context, options)); }

}  // namespace centrale::cli
