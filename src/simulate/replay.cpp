// SPDX-License-Identifier: Apache-2.0
// A journal's events, folded by the core, and what is seen of each job on the way.
#include "simulate/replay.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "simulate/replay_books.hpp"

namespace centrale {

namespace {

std::string place_of(std::uint64_t sequence) { return fmt::format("journal event {}", sequence); }

}  // namespace

CoreLimits ReplayReader::Books::limits() {
  CoreLimits limits;  // an event that was accepted once is accepted here, whatever the limits were
  limits.jobs_queued_max = limits.tenants_max = limits.keys_max = limits.services_max = limits.nodes_max = limits.reservations_max =
      std::size_t{1} << 40U;
  return limits;
}

ReplayReader::Books::Books(std::string name, Scheduling first) : core(make_policy(first).value(), limits()) {
  replay.name = std::move(name);
  replay.scheduling = std::move(first);
}

ReplayReader::ReplayReader(std::string name, Scheduling scheduling)
    : books_(std::make_unique<Books>(std::move(name), std::move(scheduling))) {}
ReplayReader::~ReplayReader() = default;
ReplayReader::ReplayReader(ReplayReader&&) noexcept = default;
ReplayReader& ReplayReader::operator=(ReplayReader&&) noexcept = default;

Result<void> ReplayReader::record(std::uint64_t sequence, Time at, std::string_view payload) {
  Result<Event> event = books_->reader.read(payload);
  if (!event) {
    return fail(ErrorKind::invalid, "cannot be read: " + event.error().message(), place_of(sequence),
                "it was written by a newer Centrale, or is damaged: see `centrale journal check`");
  }
  return books_->take(sequence, at, std::move(*event));
}

Result<void> ReplayReader::event(std::uint64_t sequence, Time at, Event event) { return books_->take(sequence, at, std::move(event)); }

Result<void> ReplayReader::Books::take(std::uint64_t number, Time at, Event event) {
  if (number != sequence + 1) {
    return fail(ErrorKind::invalid, fmt::format("comes after event {}: the history has a gap", sequence), place_of(number),
                "restore the journal from a backup");
  }
  at = std::max(at, core.now());  // as the core takes it
  if (!any) {
    replay.begin = at;
    any = true;
  }
  fault.clear();
  before(event, at);
  if (!fault.empty()) { return fail(ErrorKind::invalid, fault, place_of(number), "it was written under other rules than this version's"); }
  out.clear();
  Event kept = event;
  if (const auto applied = core.apply(std::move(event), at, out); !applied) {
    return fail(ErrorKind::invalid, "cannot be applied: " + applied.error().message(), place_of(number),
                "it was written under other rules than this version's");
  }
  sequence = number;
  ++replay.events_read;
  replay.end = at;
  after(kept, at);
  return {};
}

std::uint32_t ReplayReader::Books::index_of(JobId id) const {
  const auto found = jobs.find(id.value);
  return found == jobs.end() ? ReplayEvent::kNoJob : found->second;
}

void ReplayReader::Books::tell(Time at, Event event, std::uint32_t job, std::uint64_t service) {
  replay.events.push_back({.at = at, .event = std::move(event), .job = job, .service = service});
}

/// What can only be seen before the event is applied: a task that ends is gone afterwards.
void ReplayReader::Books::before(const Event& event, Time at) {
  const auto ends = [&](TaskId id, const TaskExited* exited, const TaskStartFailed* failed) {
    const Task* const task = core.task(id);
    if (task == nullptr) { return; }
    if (task->state == TaskState::queued) {
      fault = fmt::format("says that {} ended, but by these rules ('{}') it waits for chips", to_string(id), core.scheduling().policy);
      return;
    }
    left(id, at, exited, failed);
  };
  if (const auto* const begun = std::get_if<TaskStarted>(&event)) {
    const Task* const task = core.task(begun->task);
    if (task != nullptr && task->state == TaskState::queued) {
      fault = fmt::format("says that {} started, but by these rules ('{}') it waits for chips", to_string(begun->task),
                          core.scheduling().policy);
    }
    if (task != nullptr && task->state == TaskState::starting) { started(begun->task, at); }
  } else if (const auto* const exited = std::get_if<TaskExited>(&event)) {
    ends(exited->task, exited, nullptr);
  } else if (const auto* const failed = std::get_if<TaskStartFailed>(&event)) {
    ends(failed->task, nullptr, failed);
  } else if (const auto* const ready = std::get_if<ReplicaReady>(&event)) {
    const auto found = stints.find(ready->task.value);
    if (found != stints.end() && found->second.job == ReplayEvent::kNoJob) {
      ReplayLife& life = replay.services[found->second.service].lives[found->second.life];
      if (!life.got_ready) {
        life.got_ready = true;
        life.ready = at - (found->second.began ? found->second.started : found->second.placed);
      }
    }
  } else if (const auto* const said = std::get_if<TaskProgressed>(&event)) {
    const auto found = stints.find(said->task.value);
    if (found != stints.end() && found->second.job != ReplayEvent::kNoJob) {
      JobBook& book = books[found->second.job];
      if (book.reports++ == 0) { book.first_report = at; }
      book.last_report = at;
      if (!said->checkpoint.empty()) { replay.jobs[found->second.job].resumes = true; }
    }
  }
}

void ReplayReader::Books::after(const Event& event, Time at) {
  if (std::holds_alternative<JobSubmitted>(event)) {
    submitted(JobId{out.created}, at);
  } else if (const auto* const cancelled = std::get_if<JobCancelled>(&event)) {
    if (const std::uint32_t job = index_of(cancelled->job); job != ReplayEvent::kNoJob) { tell(at, event, job); }
  } else if (const auto* const revised = std::get_if<SpeedRevised>(&event)) {
    if (const std::uint32_t job = index_of(revised->job); job != ReplayEvent::kNoJob) { tell(at, event, job); }
  } else if (std::holds_alternative<ServiceDefined>(event)) {
    if (replay.services.size() < out.created) { replay.services.resize(out.created); }
    ServiceDefined defined = std::get<ServiceDefined>(event);
    defined.spec.env = {};
    tell(at, std::move(defined), ReplayEvent::kNoJob, out.created);
  } else if (const auto* const scaled = std::get_if<ServiceScaled>(&event)) {
    tell(at, event, ReplayEvent::kNoJob, scaled->service.value);
  } else if (const auto* const removed = std::get_if<ServiceRemoved>(&event)) {
    tell(at, event, ReplayEvent::kNoJob, removed->service.value);
  } else if (std::holds_alternative<TokensMetered>(event)) {
    ++metered;
  } else if (std::holds_alternative<NodeJoined>(event) || std::holds_alternative<NodeLost>(event) ||
             std::holds_alternative<NodeDrained>(event) || std::holds_alternative<NodeResumed>(event) ||
             std::holds_alternative<ChipFailed>(event) || std::holds_alternative<ChipRepaired>(event) ||
             std::holds_alternative<TenantDefined>(event) || std::holds_alternative<SchedulingSet>(event) ||
             std::holds_alternative<ReservationMade>(event) || std::holds_alternative<ReservationCancelled>(event)) {
    tell(at, event);
  }  // else a fact about a task or a timer, of which the twin has its own, or a key, which changes no placement
  for (const Action& action : out.actions) {
    if (const auto* const start = std::get_if<StartTask>(&action.act)) {
      placed(start->task, at);
    } else if (const auto* const stop = std::get_if<StopTask>(&action.act)) {
      if (const auto found = stints.find(stop->task.value); found != stints.end()) {
        found->second.stopped = true;
        found->second.stop = at;
      }
    }
  }
  if (std::holds_alternative<NodeLost>(event)) {  // tasks that end with their node report nothing
    std::vector<TaskId> gone;
    for (const auto& [id, stint] : stints) {
      if (core.task(TaskId{id}) == nullptr) { gone.push_back(TaskId{id}); }
    }
    for (const TaskId id : gone) { left(id, at, nullptr, nullptr); }
  }
  note_ends(at);
}

double ReplayReader::Books::rate_of(const Job& job, const Task& task) const {
  if (!job.speeds) { return 1; }
  const auto spread = static_cast<std::size_t>(core.pool().spread(task.chips));
  const auto by_spread = [&](const SpeedRow& row) { return row.rates[std::min(spread, row.rates.size() - 1)]; };
  const std::vector<SpeedRow>& rows = job.speeds->rows;
  if (task.row >= 0 && static_cast<std::size_t>(task.row) < rows.size()) { return by_spread(rows[static_cast<std::size_t>(task.row)]); }
  const std::string& kind = core.kind_name(core.chip(task.chips.front()).kind);
  double best = 0;
  for (const SpeedRow& row : rows) {
    if (row.kind == kind && row.workers * row.chips == static_cast<std::int64_t>(task.chips.size())) {
      best = std::max(best, by_spread(row));
    }
  }
  return best;
}

void ReplayReader::Books::placed(TaskId id, Time at) {
  const Task& task = *core.task(id);
  Stint& stint = stints[id.value];
  stint.placed = at;
  stint.chips = static_cast<std::int64_t>(task.chips.size());
  stint.share = static_cast<double>(task.share_milli) / 1000;
  stint.first_chip = static_cast<std::uint32_t>(task.chips.front().value - 1);
  stint.kind = static_cast<std::uint16_t>(core.chip(task.chips.front()).kind);
  if (task.service) {
    stint.service = task.service.value - 1;
    stint.life = replay.services[stint.service].lives.size();
    replay.services[stint.service].lives.emplace_back();
    return;
  }
  stint.job = index_of(task.job);
  stint.rate = rate_of(*core.job(task.job), task);
  JobOutcome& was = replay.jobs[stint.job].was;
  if (was.starts++ == 0) { was.start = at; }
  was.kind = stint.kind;
}

void ReplayReader::Books::started(TaskId id, Time at) {
  const auto found = stints.find(id.value);
  if (found == stints.end()) { return; }
  found->second.began = true;
  found->second.started = at;
}

void ReplayReader::Books::left(TaskId id, Time at, const TaskExited* exited, const TaskStartFailed* failed) {
  const auto found = stints.find(id.value);
  if (found == stints.end()) { return; }
  const Stint stint = found->second;
  stints.erase(found);
  const bool success = exited != nullptr && exited->code == 0 && exited->signal == 0 && !exited->lost;
  const bool own = (exited != nullptr || failed != nullptr) && (!stint.stopped || success);
  const Nanos starting = (stint.began ? stint.started : at) - stint.placed;
  // What is stopped works until it is told so, and then ends.
  const Time worked = stint.stopped && !own ? stint.stop : at;
  const Nanos ran = stint.began ? std::max(Nanos{}, worked - stint.started) : Nanos{};
  const double held = to_seconds(at - stint.placed) * static_cast<double>(stint.chips) * stint.share;
  if (replay.busy_s.size() <= stint.kind) { replay.busy_s.resize(stint.kind + std::size_t{1}, 0); }
  replay.busy_s[stint.kind] += held;
  TaskExited how;
  if (exited != nullptr) {
    how = *exited;
    how.task = {};
    how.energy = {};
  }
  if (stint.job == ReplayEvent::kNoJob) {
    ReplayLife& life = replay.services[stint.service].lives[stint.life];
    life.starting = starting;
    life.ran = ran;
    life.ended = own;
    if (failed != nullptr) {  // to the core, a replica that could not start is one that failed
      how.code = failed->permanent ? 78 : 1;
      how.message = failed->message;
    }
    life.exited = std::move(how);
    return;
  }
  ReplayJob& job = replay.jobs[stint.job];
  JobBook& book = books[stint.job];
  Piece piece;
  piece.seconds = to_seconds(ran);
  piece.work = piece.seconds * stint.rate;
  piece.own = own;
  book.rates_known = book.rates_known && stint.rate > 0;
  if (failed != nullptr) {
    piece.end.end = ReplayAttempt::End::failed_start;
    piece.end.failed_start = *failed;
    piece.end.failed_start.task = {};
  } else {
    piece.end.end = own ? ReplayAttempt::End::exited : ReplayAttempt::End::taken;
    piece.end.exited = std::move(how);
  }
  piece.end.began = stint.began;
  book.pieces.push_back(std::move(piece));
  job.starting.push_back(starting);
  if (stint.stopped) { job.stopping.push_back(at - stint.stop); }
  if (!own) { ++job.was.stops; }
  if (own && !success) { ++job.was.failures; }
  job.was.chip_seconds += held;
  replay.stays.push_back({.job = stint.job,
                          .from = stint.placed,
                          .to = at,
                          .chips = stint.chips,
                          .first_chip = stint.first_chip,
                          .kind = stint.kind,
                          .finished = success});
}

std::uint32_t ReplayReader::Books::add(const Job& job, Time at) {
  const auto index = static_cast<std::uint32_t>(replay.jobs.size());
  jobs[job.id.value] = index;
  ReplayJob& kept = replay.jobs.emplace_back();
  books.emplace_back();
  kept.tenant = job.tenant;
  kept.spec = job.spec;
  kept.spec.command = {"-"};  // nothing of it runs again
  kept.spec.env = {};
  kept.spec.workdir.clear();
  kept.spec.checkpoints.clear();
  kept.array_index = job.array_index;
  kept.speeds = job.speeds;
  kept.resumes = job.spec.preemptible;
  kept.was.submit = at;
  kept.was.end = JobOutcome::End::waiting;
  return index;
}

void ReplayReader::Books::submitted(JobId first, Time at) {
  const Job& sample = *core.job(first);
  const std::int64_t copies = std::max<std::int64_t>(1, sample.spec.array);
  // An id is another one in the twin; a name means the same job in both.
  std::vector<std::string> named;
  std::vector<std::uint32_t> by_id;
  for (const std::string& before : sample.spec.after) {
    const auto id = parse_id<JobTag>(before);
    if (names.contains({sample.tenant.value, before}) || !id) {
      named.push_back(before);
    } else if (const std::uint32_t index = index_of(*id); index != ReplayEvent::kNoJob) {
      by_id.push_back(index);
    }  // else it was done before the history begins
  }
  const auto index = static_cast<std::uint32_t>(replay.jobs.size());
  for (std::int64_t copy = 0; copy < copies; ++copy) {
    ReplayJob& job = replay.jobs[add(*core.job(JobId{first.value + static_cast<std::uint64_t>(copy)}), at)];
    job.spec.after = named;
    job.after = by_id;
  }
  names[{sample.tenant.value, sample.spec.name}] = first;
  tell(at, JobSubmitted{}, index);
}

void ReplayReader::Books::note_ends(Time at) {
  for (const Change& change : out.changes) {
    if (change.what != Change::What::job) { continue; }
    const std::uint32_t index = index_of(JobId{change.id});
    const Job* const job = core.job(JobId{change.id});
    if (index == ReplayEvent::kNoJob || job == nullptr || !is_final(job->state) || books[index].ended) { continue; }
    books[index].ended = true;
    JobOutcome& was = replay.jobs[index].was;
    was.finish = at;
    was.end = job->state == JobState::done     ? JobOutcome::End::done
              : job->state == JobState::failed ? JobOutcome::End::failed
                                               : JobOutcome::End::cancelled;
    if (was.starts == 0) { was.start = at; }
  }
}

}  // namespace centrale
