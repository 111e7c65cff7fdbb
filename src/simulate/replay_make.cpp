// SPDX-License-Identifier: Apache-2.0
// What was seen of a journal becomes a workload, its machines, and a row of a table.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "simulate/replay_books.hpp"

namespace centrale {

namespace {

Nanos mean_of(const std::vector<Nanos>& spans) {
  if (spans.empty()) { return {}; }
  Int128 sum = 0;
  for (const Nanos span : spans) { sum += span.value; }
  return {static_cast<std::int64_t>(sum / static_cast<Int128>(spans.size()))};
}

Machines machines_in(const Core& core) {
  Machines machines;
  machines.islands.push_back({.name = "journal",
                              .network = {},
                              .chips_per_node = 0,
                              .first_node = 0,
                              .nodes = 0,
                              .first_leaf = 1,
                              .leaves = 1,
                              .first_spine = 1,
                              .spines = 1});
  for (std::size_t i = 1; i <= core.node_count(); ++i) {
    const Node& node = *core.node(NodeId{i});
    std::vector<Machine> parts;  // one for each kind of its chips
    for (const ChipId id : node.chips) {
      const Chip& chip = core.chip(id);
      const std::string& kind = core.kind_name(chip.kind);
      auto part = std::ranges::find(parts, kind, &Machine::kind);
      if (part == parts.end()) {
        Machine machine;
        machine.name = node.name;
        machine.kind = kind;
        machine.cpu_milli = node.cpu_milli;
        machine.memory = node.memory;
        machine.chip_power = chip.power;
        machine.chip_price_per_hour = chip.price_per_hour;
        machine.domain = static_cast<std::uint32_t>(i);
        machine.leaf = machine.spine = machine.power_domain = 1;
        parts.push_back(std::move(machine));
        part = parts.end() - 1;
      }
      ++part->chips;
    }
    for (Machine& machine : parts) {
      machine.first_chip = static_cast<std::uint32_t>(machines.chips);
      machines.chips += machine.chips;
      machines.islands[0].chips_per_node = std::max(machines.islands[0].chips_per_node, machine.chips);
      machines.nodes.push_back(std::move(machine));
    }
  }
  machines.islands[0].nodes = static_cast<std::uint32_t>(machines.nodes.size());
  machines.domains = static_cast<std::uint32_t>(core.node_count());
  machines.leaves = machines.spines = machines.power_domains = 1;
  return machines;
}

}  // namespace

void ReplayReader::Books::close_job(std::uint32_t index) {
  ReplayJob& job = replay.jobs[index];
  JobBook& book = books[index];
  if (!book.rates_known) { job.speeds = {}; }  // it ran where its speeds say nothing: as asked, then
  if (book.reports > 1) {
    // Not more often than each second: a policy learns nothing from more.
    job.report_every = std::max(seconds(1), Nanos{(book.last_report - book.first_report).value / (book.reports - 1)});
  }
  if (book.reports == 1) { job.report_every = seconds(60); }
  // The cost that its spec states, unless what it really did after a stop was shorter.
  double restart = to_seconds(job.spec.restart_cost);
  bool resumed = false;
  for (const Piece& piece : book.pieces) {
    if (resumed) { restart = std::min(restart, piece.seconds); }
    resumed = !piece.own;
  }
  job.spec.restart_cost = Nanos{static_cast<std::int64_t>(restart * 1e9)};
  double kept = 0;
  double seconds = 0;
  resumed = false;
  for (Piece& piece : book.pieces) {
    const double part = job.speeds ? piece.work : piece.seconds;
    const double lost = resumed && job.resumes && piece.seconds > 0 ? restart / piece.seconds : 0;  // of it, to start again
    kept = (job.resumes ? kept : 0) + part * (1 - std::min(lost, 1.0));
    seconds += piece.seconds;
    resumed = !piece.own;
    if (!piece.own) { continue; }
    piece.end.work = kept;
    job.attempts.push_back(std::move(piece.end));
    kept = 0;
  }
  job.was.ideal_s = seconds;
  if (book.ended) {
    if (job.attempts.empty() || job.was.end == JobOutcome::End::cancelled || resumed) { job.attempts.emplace_back(); }  // taken
    return;
  }
  ReplayAttempt cut;
  cut.end = ReplayAttempt::End::cut;
  cut.work = kept;
  job.attempts.push_back(std::move(cut));
}

void ReplayReader::Books::close() {
  // What still runs when the journal ends.
  std::vector<bool> runs(replay.jobs.size(), false);
  for (const auto& [id, stint] : stints) {
    const double held = to_seconds(replay.end - stint.placed) * static_cast<double>(stint.chips) * stint.share;
    if (replay.busy_s.size() <= stint.kind) { replay.busy_s.resize(stint.kind + std::size_t{1}, 0); }
    replay.busy_s[stint.kind] += held;
    const Nanos starting = (stint.began ? stint.started : replay.end) - stint.placed;
    if (stint.job == ReplayEvent::kNoJob) {
      ReplayLife& life = replay.services[stint.service].lives[stint.life];
      life.starting = starting;
      continue;
    }
    ReplayJob& job = replay.jobs[stint.job];
    runs[stint.job] = true;
    Piece piece;
    piece.seconds = stint.began ? to_seconds(replay.end - stint.started) : 0;
    piece.work = piece.seconds * stint.rate;
    books[stint.job].rates_known = books[stint.job].rates_known && stint.rate > 0;
    books[stint.job].pieces.push_back(std::move(piece));
    job.starting.push_back(starting);
    job.was.chip_seconds += held;
    job.was.end = JobOutcome::End::running;
    replay.stays.push_back({.job = stint.job,
                            .from = stint.placed,
                            .to = replay.end,
                            .chips = stint.chips,
                            .first_chip = stint.first_chip,
                            .kind = stint.kind,
                            .finished = false});
  }
  std::vector<Nanos> starting;
  std::vector<Nanos> stopping;
  double sum = 0;
  double ended = 0;
  for (std::uint32_t i = 0; i < replay.jobs.size(); ++i) {
    ReplayJob& job = replay.jobs[i];
    close_job(i);
    starting.insert(starting.end(), job.starting.begin(), job.starting.end());
    stopping.insert(stopping.end(), job.stopping.begin(), job.stopping.end());
    if (job.was.end == JobOutcome::End::done) {
      sum += job.was.ideal_s;
      ++ended;
    }
  }
  replay.starting_mean = mean_of(starting);
  replay.stopping_mean = mean_of(stopping);
  std::int64_t cut = 0;
  for (std::uint32_t i = 0; i < replay.jobs.size(); ++i) {
    ReplayJob& job = replay.jobs[i];
    if (books[i].ended) { continue; }
    ++cut;
    job.was.finish = replay.end;
    if (job.was.starts == 0) { job.was.start = replay.end; }
    ReplayAttempt& last = job.attempts.back();
    double likely = to_seconds(job.spec.estimate);
    if (likely == 0 && !runs[i]) {
      likely = ended > 0 ? sum / ended : 60;
      ++guessed;
    }
    if (job.speeds) {
      last.work = std::max(last.work, job.speeds->work);
      if (last.work <= 0) { job.speeds = {}; }
    }
    if (!job.speeds) { last.work = std::max(last.work, likely); }
  }
  for (std::size_t i = 0; i < core.chip_count(); ++i) {
    const std::string& kind = core.kind_name(core.chip(ChipId{i + 1}).kind);
    const auto at = static_cast<std::size_t>(core.chip(ChipId{i + 1}).kind);
    if (replay.kinds.size() <= at) { replay.kinds.resize(at + 1); }
    replay.kinds[at] = kind;
  }
  replay.busy_s.resize(replay.kinds.size(), 0);
  replay.machines = machines_in(core);
  replay.scheduling = core.scheduling();
  for (std::size_t i = 1; i <= core.tenant_count(); ++i) {
    replay.tenants.push_back(core.tenant(TenantId{i})->name);
    const Usage usage = core.usage(TenantId{i}, replay.end);
    replay.energy_j += static_cast<double>(usage.energy.value) * 1e-3;
    replay.cost += static_cast<double>(usage.cost.value) * 1e-6;
  }
  auto& notes = replay.notes;
  if (resubmitted > 0) {
    notes.push_back(fmt::format("the history begins with a snapshot: {} unfinished jobs are submitted at its time", resubmitted));
  }
  if (cut > 0) {
    notes.push_back(
        fmt::format("{} jobs had not ended when the journal did: they are played to what is known of them and do not count", cut));
  }
  if (guessed > 0) {
    notes.push_back(fmt::format("{} of them had not begun and say no estimate: they get the mean of those that were done", guessed));
  }
  if (metered > 0) { notes.push_back(fmt::format("{} reports of served tokens are left out: they move no job", metered)); }
}

Result<std::shared_ptr<const Replay>> ReplayReader::finish() {
  Books& books = *books_;
  if (books.replay.jobs.empty()) {
    return fail(ErrorKind::invalid, fmt::format("there is no job in its {} events", books.replay.events_read), books.replay.name,
                "name a journal of a centre that ran jobs: STATE/journal.db");
  }
  books.close();
  return std::make_shared<const Replay>(std::move(books.replay));
}

Workload workload_of(const std::shared_ptr<const Replay>& replay) {
  Workload workload;
  workload.name = replay->name;
  workload.tenants = replay->tenants;
  workload.notes = replay->notes;
  for (const ReplayJob& kept : replay->jobs) {
    TraceJob job;
    job.name = kept.array_index < 0 ? kept.spec.name : fmt::format("{}[{}]", kept.spec.name, kept.array_index);
    job.tenant = static_cast<std::uint32_t>(kept.tenant.value - 1);
    auto choice = std::ranges::find(workload.kind_choices, kept.spec.chip_kinds);
    if (choice == workload.kind_choices.end()) {
      workload.kind_choices.push_back(kept.spec.chip_kinds);
      choice = workload.kind_choices.end() - 1;
    }
    job.kinds = static_cast<std::uint32_t>(choice - workload.kind_choices.begin());
    job.end = kept.was.end == JobOutcome::End::done     ? RecordedEnd::done
              : kept.was.end == JobOutcome::End::failed ? RecordedEnd::failed
                                                        : RecordedEnd::cancelled;
    job.preemptible = kept.spec.preemptible;
    job.priority = static_cast<std::int32_t>(kept.spec.priority);
    job.submit = Time{(kept.was.submit - replay->begin).value};
    job.workers = kept.spec.workers;
    job.chips = kept.spec.chips;
    job.workers_min = kept.spec.workers_min;
    job.workers_max = kept.spec.workers_max;
    job.share_milli = kept.spec.share_milli;
    job.cpu_milli = kept.spec.cpu_milli;
    job.memory = kept.spec.memory;
    job.run = Nanos{static_cast<std::int64_t>(kept.was.ideal_s * 1e9)};
    job.estimate = kept.spec.estimate;
    workload.jobs.push_back(std::move(job));
  }
  workload.replay = replay;
  return workload;
}

TwinResult as_it_was(const Replay& replay) {
  TwinResult result;
  result.policy = "journal";
  result.kinds = replay.kinds;
  for (const ReplayJob& job : replay.jobs) { result.jobs.push_back(job.was); }
  result.timeline = replay.stays;
  result.began = replay.begin;
  result.ended = replay.end;
  result.busy_s = replay.busy_s;
  result.up_s.assign(replay.kinds.size(), 0);
  const double span = to_seconds(replay.end - replay.begin);
  for (const Machine& machine : replay.machines.nodes) {
    const auto kind = std::ranges::find(replay.kinds, machine.kind) - replay.kinds.begin();
    result.up_s[static_cast<std::size_t>(kind)] += static_cast<double>(machine.chips) * span;
  }
  for (const Stay& stay : replay.stays) { result.useful_s += to_seconds(stay.to - stay.from) * static_cast<double>(stay.chips); }
  result.energy_j = replay.energy_j;
  result.cost = replay.cost;
  result.events = replay.events_read;
  result.notes = replay.notes;
  return result;
}

}  // namespace centrale
