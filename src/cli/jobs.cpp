// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "base/ids.hpp"
#include "cli/commands.hpp"
#include "cli/find.hpp"
#include "cli/follow.hpp"
#include "cli/render.hpp"
#include "http/url.hpp"

namespace centrale::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::array<std::string_view, 4> kUnderWay{"running", "starting", "stopping", "queued"};
constexpr std::int64_t kPageMax = 500;

struct Listed {
  std::vector<JobView> jobs;
  std::vector<std::string> raw;
  bool more = false;  // there are older ones
};

/// The newest jobs of one state ("" for all), page by page.
Outcome<void> list_jobs(Context& context, const PsOptions& options, std::string_view state, Listed& listed) {
  std::string before;
  std::int64_t left = options.limit;
  while (left > 0) {
    std::string target = fmt::format("/api/v1/jobs?limit={}", std::min(left, kPageMax));
    for (const auto& [name, value] : {std::pair<std::string_view, std::string_view>{"state", state},
                                      {"tenant", options.tenant},
                                      {"name", options.name},
                                      {"before", before}}) {
      if (!value.empty()) { target += fmt::format("&{}={}", name, http::percent_encode(value)); }
    }
    TRY_ASSIGN(const std::string body, ask(context, "GET", target));
    JobPage page = read_jobs(body);
    std::vector<std::string> raw = raw_items(body, "jobs");
    left -= static_cast<std::int64_t>(page.jobs.size());
    const bool stuck = page.jobs.empty() || page.next == before;
    std::ranges::move(page.jobs, std::back_inserter(listed.jobs));
    std::ranges::move(raw, std::back_inserter(listed.raw));
    if (page.next.empty() || stuck) { return {}; }
    before = page.next;
  }
  listed.more = true;
  return {};
}

Outcome<Listed> list_jobs(Context& context, const PsOptions& options) {
  Listed listed;
  if (options.all || !options.state.empty()) {
    TRY(list_jobs(context, options, options.state, listed));
    return listed;
  }
  for (const std::string_view state : kUnderWay) { TRY(list_jobs(context, options, state, listed)); }
  // Newest first, as the API has it.
  std::vector<std::pair<std::uint64_t, std::size_t>> order;
  for (std::size_t i = 0; i < listed.jobs.size(); ++i) {
    const auto id = parse_id<JobTag>(listed.jobs[i].id);
    order.emplace_back(id ? id->value : 0, i);
  }
  std::ranges::stable_sort(order, [](const auto& a, const auto& b) { return a.first > b.first; });
  Listed sorted;
  sorted.more = listed.more;
  for (std::size_t k = 0; k < order.size() && sorted.jobs.size() < static_cast<std::size_t>(options.limit); ++k) {
    // A job that changed its state between two questions may be there twice; the later answer counts.
    if (k + 1 < order.size() && order[k].first != 0 && order[k + 1].first == order[k].first) { continue; }
    sorted.jobs.push_back(std::move(listed.jobs[order[k].second]));
    sorted.raw.push_back(std::move(listed.raw[order[k].second]));
  }
  return sorted;
}

std::string nothing_listed(const PsOptions& options) {
  if (options.all) { return "no job yet; submit one: centrale submit FILE"; }
  return options.state.empty() ? "no job is queued or running; those that ended: centrale ps --all" : "no job is " + options.state;
}

Outcome<int> watch_jobs(Context& context, const PsOptions& options) {
  Signals signals({SIGINT, SIGTERM, SIGHUP, SIGWINCH});
  EventFeed feed(context, signals);
  LiveLines live(context);
  while (true) {
    TRY_ASSIGN(const Listed listed, list_jobs(context, options));
    refresh_size(context);
    const Paper paper{context.width > 0 ? context.width - 1 : 0, context.style, context.now(), {}};
    live.draw(listed.jobs.empty() ? std::vector{nothing_listed(options)}
                                  : render_lines(jobs_table(listed.jobs, paper), paper.width, paper.style));
    const auto next = std::chrono::steady_clock::now() + 500ms;
    bool changed = false;
    while (!changed || std::chrono::steady_clock::now() < next) {
      if (signals.told_to_end()) { return kExitOk; }
      const auto events = feed.wait(500ms);
      changed = changed || !events.empty() || std::chrono::steady_clock::now() >= next + 1500ms || signals.take(SIGWINCH);
    }
  }
}

Outcome<int> list(Context& context, const PsOptions& options) {
  if (options.watch && context.out_is_terminal && !context.json) { return watch_jobs(context, options); }
  TRY_ASSIGN(const Listed listed, list_jobs(context, options));
  if (context.json) {
    print(context, "{" + raw_array("jobs", listed.raw) + "}");
    return kExitOk;
  }
  if (listed.jobs.empty()) {
    note(context, nothing_listed(options));
    return kExitOk;
  }
  const Paper paper{context.width, context.style, context.now(), {}};
  print(context, on_paper(jobs_table(listed.jobs, paper), paper));
  if (listed.more) {
    context.out.flush();
    note(context, "there may be older ones: --limit");
  }
  return kExitOk;
}

Outcome<int> stop_all(Context& context, const std::vector<std::string>& words) {
  // All are found before one is stopped: a mistyped word stops nothing.
  std::vector<Target> targets;
  for (const std::string& word : words) {
    TRY_ASSIGN(Target target, find_target(context, word));
    targets.push_back(std::move(target));
  }
  std::vector<std::string> jobs;
  std::vector<std::string> services;
  for (const Target& target : targets) {
    if (target.kind == Target::Kind::job) {
      for (const std::string& id : target.members) {
        Outcome<std::string> body = ask(context, "POST", path_of("jobs", id, "/stop"));
        if (!body && target.members.size() > 1 && body.error().error.kind == ErrorKind::conflict) {
          continue;  // this member has ended already
        }
        TRY(body);
        const JobView job = read_job(*body);
        if (!context.json) {
          print(context, fmt::format("{} ({}) {}", job.id, printable(job.name),
                                     has_ended(job) ? "is " + job.state : "saves and leaves (" + job.state + ")"));
        }
        jobs.push_back(std::move(*body));
      }
    } else {
      TRY_ASSIGN(std::string body, ask(context, "DELETE", path_of("services", target.id)));
      if (!context.json) { print(context, fmt::format("{} ({}) finishes what is open and leaves", target.id, printable(target.name))); }
      services.push_back(std::move(body));
    }
  }
  if (context.json) { print(context, "{" + raw_array("jobs", jobs) + "," + raw_array("services", services) + "}"); }
  return kExitOk;
}

Outcome<int> wait_all(Context& context, const WaitOptions& options) {
  std::vector<JobView> jobs;
  for (const std::string& word : options.names) {
    TRY_ASSIGN(JobView job, find_job(context, word));
    if (parse_id<JobTag>(word)) {
      job.array_size.reset();  // a member of an array that is named by its id stands for itself
    }
    jobs.push_back(std::move(job));
  }
  Signals signals({SIGINT, SIGTERM, SIGHUP, SIGWINCH});
  TRY_ASSIGN(const Followed followed, follow_jobs(context, signals, jobs, false, options.timeout_s));
  std::vector<std::string> raw;
  for (const JobView& job : followed.jobs) {
    if (context.json) {
      TRY_ASSIGN(std::string body, ask(context, "GET", path_of("jobs", job.id)));
      raw.push_back(std::move(body));
    } else {
      print(context,
            fmt::format("{} ({}) is {}{}", job.id, printable(job.name), job.state,
                        job.message.empty() || job.state == "done" || job.message == job.state ? "" : ": " + printable(job.message)));
    }
  }
  if (context.json) { print(context, "{" + raw_array("jobs", raw) + "}"); }
  switch (followed.ending) {
    case Ending::done: return kExitOk;
    case Ending::failed: return kExitFailed;
    case Ending::interrupted: return kExitInterrupted;
    case Ending::timeout: break;
  }
  return kExitTimeout;
}

}  // namespace

int ps(Context& context, const PsOptions& options) { return finish(context, list(context, options)); }
int stop(Context& context, const std::vector<std::string>& names) { return finish(context, stop_all(context, names)); }
int wait_for_jobs(Context& context, const WaitOptions& options) { return finish(context, wait_all(context, options)); }

}  // namespace centrale::cli
