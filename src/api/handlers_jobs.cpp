// SPDX-License-Identifier: Apache-2.0
// Jobs: list, submit, stop, read their output.
#include <fmt/format.h>

#include <algorithm>

#include "api/call.hpp"
#include "api/spec_request.hpp"
#include "base/text.hpp"

namespace centrale::api {
namespace {

constexpr std::int64_t kLogBytesUsual = 65'536;

std::optional<JobState> state_named(std::optional<std::string_view> name) {
  if (!name) { return std::nullopt; }
  const auto& names = kEnumNames<JobState>;
  return static_cast<JobState>(std::find(names.begin(), names.end(), *name) - names.begin());
}

/// The jobs that are meant: the name of an array means all of it, an id means one.
std::vector<JobId> jobs_to_stop(const Core& core, const Job& job, std::string_view name_or_id) {
  if (job.array_index < 0 || name_or_id == to_string(job.id)) { return {job.id}; }
  std::vector<JobId> ids;
  const std::uint64_t first = job.id.value - static_cast<std::uint64_t>(job.array_index);
  for (std::uint64_t id = first; id < first + static_cast<std::uint64_t>(job.spec.array); ++id) {
    if (const Job* each = core.job(JobId{id}); each != nullptr && !is_final(each->state)) { ids.push_back(each->id); }
  }
  return ids.empty() ? std::vector<JobId>{job.id} : ids;
}

/// Several wishes whose answers come one by one, on the core thread.
struct Stopping {
  std::size_t open = 0;
  std::size_t stopped = 0;
  std::optional<Error> refusal;
};

void stop_all(const CallPtr& call, const std::vector<JobId>& ids) {
  auto stopping = std::make_shared<Stopping>();
  stopping->open = ids.size();
  for (const JobId id : ids) {
    call->wiring().host.wish(JobCancelled{id}, [call, stopping, first = ids.front()](Result<std::uint64_t> done) {
      if (done) {
        ++stopping->stopped;
      } else {
        stopping->refusal = done.error();
      }
      if (--stopping->open > 0) { return; }
      if (stopping->stopped == 0) {
        answer(call, error_answer(*stopping->refusal));
        return;
      }
      look(call, [first](const Core& core, Time now) -> Result<Answer> {
        const Job* job = core.job(first);
        return job != nullptr ? Result<Answer>(json_answer(view(core, *job, now)))
                              : fail(ErrorKind::not_found, "the job is forgotten already");
      });
    });
  }
}

/// What the core knows of the log; the log's keeper is asked on the rim thread.
struct JobLog {
  JobId job;
  std::int64_t attempt = 0;     // the one that is meant
  std::optional<TaskId> alive;  // its task, if that still runs
  std::optional<TaskId> last;   // its task, if it was the job's last
  bool job_ended = false;
};

Result<JobLog> log_of_job(const Core& core, const Job& job, std::optional<std::int64_t> attempt) {
  JobLog log{.job = job.id, .attempt = attempt.value_or(job.attempts), .alive = {}, .last = {}, .job_ended = is_final(job.state)};
  if (log.attempt > job.attempts) {
    return fail(ErrorKind::not_found, fmt::format("job {} has had {} attempts", to_string(job.id), job.attempts), "attempt");
  }
  const Task* task = core.task(job.task);
  if (log.attempt == job.attempts && task != nullptr && task->state != TaskState::queued && task->state != TaskState::exited) {
    log.alive = task->id;
  } else if (log.attempt == job.attempts && task == nullptr && job.task) {
    log.last = job.task;
  }
  return log;
}

Result<LogWanted> find_log(const JobLog& log, LogSource& logs) {
  if (log.attempt == 0) { return LogWanted{.task = {}, .ended = log.job_ended}; }
  if (log.alive) { return LogWanted{.task = log.alive, .ended = false, .attempt = log.attempt}; }
  auto known = logs.attempt(log.job, log.attempt);
  if (!known) { known = log.last; }
  if (!known) { return fail(ErrorKind::not_found, fmt::format("the output of attempt {} is not kept", log.attempt), "attempt"); }
  return LogWanted{.task = known, .ended = true, .attempt = log.attempt};
}

}  // namespace

void list_jobs(const CallPtr& call) {
  look(call, [call](const Core& core, Time now) -> Result<Answer> {
    JobQuery query{.scope = call->scope(),
                   .state = state_named(call->text("state")),
                   .name = call->text("name").value_or(""),
                   .limit = call->number("limit").value_or(100),
                   .range = call->state->job_range(core),
                   .before = {}};
    if (const auto before = call->text("before")) {
      query.before = parse_id<JobTag>(*before);
      if (!query.before) { return Call::bad_id("before", *before, JobTag::kPrefix); }
    }
    if (const auto tenant = call->text("tenant")) {
      const TenantId id = core.tenant_of(*tenant);
      if (!id || !call->scope().sees(id)) {
        return fail(ErrorKind::not_found, fmt::format("no tenant '{}'", to_utf8(tenant->substr(0, 100))), "tenant");
      }
      query.scope.tenant = id;
    }
    const JobPage page = page_of_jobs(core, query);
    JobList list;
    for (const Job* job : page.jobs) { list.jobs.push_back(view(core, *job, now)); }
    list.next = page.next;
    return json_answer(list);
  });
}

void submit_job(const CallPtr& call) {
  auto spec = job_from_json(call->request.body);
  Result<void> sound = spec ? resolve_paths(*spec, {}) : std::unexpected(spec.error());
  if (!sound) {
    send(call, error_answer(sound.error()));
    return;
  }
  ask(
      call,
      [call, spec = std::move(*spec)](const Core&, Time) -> Result<Event> {
        return JobSubmitted{.tenant = call->caller.tenant, .spec = spec};
      },
      [](const Core& core, Time now, std::uint64_t created) -> Result<Answer> {
        const Job* job = core.job(JobId{created});
        return job != nullptr ? Result<Answer>(json_answer(view(core, *job, now), 201))
                              : fail(ErrorKind::not_found, "the job has ended and is forgotten already");
      });
}

void get_job(const CallPtr& call) {
  look(call, [call](const Core& core, Time now) -> Result<Answer> {
    TRY_ASSIGN(const Job* job, find_job(core, call->arguments[0], call->scope(), call->state->job_range(core)));
    return json_answer(view(core, *job, now));
  });
}

void stop_job(const CallPtr& call) {
  call->wiring().host.read([call](const Core& core, Time) {
    const auto job = find_job(core, call->arguments[0], call->scope(), call->state->job_range(core));
    if (!job) {
      answer(call, error_answer(job.error()));
      return;
    }
    stop_all(call, jobs_to_stop(core, **job, call->arguments[0]));
  });
}

void get_job_log(const CallPtr& call) {
  call->wiring().host.read([call](const Core& core, Time) {
    const auto found = find_job(core, call->arguments[0], call->scope(), call->state->job_range(core));
    if (!found) {
      answer(call, error_answer(found.error()));
      return;
    }
    const auto log = log_of_job(core, **found, call->number("attempt"));
    if (!log) {
      answer(call, error_answer(log.error()));
      return;
    }
    call->wiring().rim.post([call, log = *log] { answer_log(call, call->number("rank").value_or(0), find_log(log, call->wiring().logs)); });
  });
}

void answer_log(const CallPtr& call, std::int64_t rank, const Result<LogWanted>& wanted) {
  if (!wanted) {
    send(call, error_answer(wanted.error()));
    return;
  }
  const LogRequest request{.task = wanted->task.value_or(TaskId{}),
                           .rank = rank,
                           .stream = call->text("stream").value_or("out") == "err" ? LogStream::err : LogStream::out,
                           .offset = call->number("offset").value_or(0),
                           .tail_lines = call->number("tail"),
                           .bytes_max = static_cast<std::size_t>(call->number("limit").value_or(kLogBytesUsual))};
  LogView shown = view_log({}, request.offset, wanted->ended);
  if (wanted->task) {
    auto part = call->wiring().logs.read(request);
    if (!part) {
      send(call, error_answer(part.error()));
      return;
    }
    shown = view_log(std::move(part->bytes), part->offset, wanted->ended && part->at_end);
    if (shown.text.empty()) {
      shown.next = part->next;  // a hole may have been skipped
    }
  }
  shown.attempt = wanted->attempt;
  send(call, json_answer(shown));
}

}  // namespace centrale::api
