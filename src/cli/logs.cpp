// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <csignal>
#include <utility>

#include "cli/commands.hpp"
#include "cli/find.hpp"
#include "cli/progress.hpp"

namespace centrale::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kLookEvery = 300ms;

std::string log_target(const Target& target, const LogsOptions& options, double offset, std::int64_t tail, double attempt) {
  const bool is_job = target.kind == Target::Kind::job;
  std::string query = fmt::format("/logs?{}={}&stream={}", is_job ? "rank" : "replica", options.rank, options.err ? "err" : "out");
  if (tail >= 0) {
    query += fmt::format("&tail={}", tail);
  } else if (offset > 0) {
    query += fmt::format("&offset={:.0f}", offset);
  }
  if (attempt > 0) { query += fmt::format("&attempt={:.0f}", attempt); }
  return path_of(is_job ? "jobs" : "services", target.id, query);
}

/// Logs are printed as they are: a program's own colours and carriage returns are part of them.
void put(Context& context, std::string_view text) { context.out << text << std::flush; }

Outcome<int> show(Context& context, const LogsOptions& options) {
  TRY_ASSIGN(const Target target, find_target(context, options.name));
  const bool is_job = target.kind == Target::Kind::job;
  double attempt = static_cast<double>(options.attempt);
  double offset = 0;
  std::int64_t tail = options.tail;
  Signals signals({SIGINT, SIGTERM, SIGHUP});
  bool said_wait = false;
  while (true) {
    if (options.follow && is_job && attempt <= 0) {
      // While it is followed an attempt may end and the next begin; each is read to its end.
      TRY_ASSIGN(const JobView job, find_job(context, target.id));
      attempt = job.attempts.value_or(0);
      if (attempt <= 0) {
        if (has_ended(job) || signals.told_to_end()) { return has_ended(job) ? kExitOk : kExitInterrupted; }
        if (!std::exchange(said_wait, true)) {
          note(context, target.id + " has not started yet: " + (wait_text(job).empty() ? job.state : wait_text(job)));
        }
        context.pause(signals, kLookEvery);
        continue;
      }
    }
    TRY_ASSIGN(const std::string body, ask(context, "GET", log_target(target, options, offset, tail, attempt)));
    if (context.json && !options.follow) {
      print(context, body);
      return kExitOk;
    }
    const LogPart part = read_log(body);
    put(context, part.text);
    const double next = part.next.value_or(offset + static_cast<double>(part.text.size()));
    const bool moved = next > offset && !part.text.empty();
    offset = std::max(next, offset);
    tail = -1;
    if (signals.told_to_end()) { return kExitInterrupted; }
    if (moved) {
      continue;  // the answer has a limit: there may be more at once
    }
    if (!options.follow) { return kExitOk; }
    if (part.complete) {
      if (!is_job || options.attempt > 0) { return kExitOk; }
      TRY_ASSIGN(const JobView job, find_job(context, target.id));
      if (job.attempts.value_or(0) > attempt) {
        attempt = *job.attempts;
        offset = 0;
        note(context, fmt::format("{} attempt {} of {} {}", context.err_style.unicode ? "──" : "--", count_text(attempt), target.id,
                                  context.err_style.unicode ? "──" : "--"));
        continue;
      }
      if (has_ended(job)) { return kExitOk; }
    }
    context.pause(signals, kLookEvery);
  }
}

}  // namespace

int logs(Context& context, const LogsOptions& options) { return finish(context, show(context, options)); }

}  // namespace centrale::cli
