// SPDX-License-Identifier: Apache-2.0
// The core under test: events through it, what is checked after each, and its restarts.
#include "simulate/chaos.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "simulate/chaos_run.hpp"

namespace centrale {

namespace {
/// Virtual time starts here: 0 means "never" in some of the core's fields.
constexpr Time kBegin{1'000'000'000};
constexpr std::size_t kJournalMax = 2000;  // events that a restart folds at most
constexpr std::uint64_t kRestoreStream = 1;
constexpr Nanos kTurn = milliseconds(500);  // of users and operators, in the mean

/// Where two texts part.
std::string difference(std::string_view a, std::string_view b) {
  constexpr std::size_t kAround = 80;
  const auto same = static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
  const std::size_t from = same < kAround ? 0 : same - kAround;
  return fmt::format("'{}', then '{}'", a.substr(from, 2 * kAround), b.substr(from, 2 * kAround));
}
}  // namespace

ChaosRun::ChaosRun(const ChaosOptions& options)
    : options_(options),
      random_(options.seed),
      restores_(Random(options.seed).stream(kRestoreStream)),
      limits_{.jobs_finished_kept = 40},
      core_(new_policy(), limits_),
      now_(kBegin) {
  if (options.shadow && options.exact) { shadow_.emplace(new_policy(), limits_); }
}

std::unique_ptr<Policy> ChaosRun::new_policy() const { return options_.make ? options_.make() : make_policy("fifo").value(); }

void ChaosRun::fault(std::string what) {
  if (over_) { return; }
  over_ = true;
  result_.fault = ChaosFault{.step = step_, .event = text_, .what = std::move(what)};
}

std::optional<Core> ChaosRun::restored(const std::string& snapshot) {
  Result<Core> core = Core::restore(snapshot, new_policy(), limits_);
  if (!core) {
    fault("a snapshot cannot be restored: " + core.error().message());
    return {};
  }
  return std::move(*core);
}

/// The core as its journal tells it.
std::optional<Core> ChaosRun::fold() {
  std::optional<Core> core;
  if (base_.empty()) {
    core.emplace(new_policy(), limits_);
  } else {
    core = restored(base_);
    if (!core) { return {}; }
  }
  Output out;
  for (const auto& [at, text] : journal_) {
    out.clear();
    auto event = reader_.read(text);
    if (!event || !core->apply(std::move(*event), at, out)) {
      fault("the journal does not fold: " + text);
      return {};
    }
  }
  return core;
}

/// Another core that must be the same.
std::optional<Core> ChaosRun::again(bool from_journal) {
  const std::string snapshot = core_.snapshot();
  std::optional<Core> other;
  if (from_journal && options_.exact) {
    other = fold();
  } else {
    other = restored(snapshot);
  }
  if (const std::string its = other ? other->snapshot() : snapshot; options_.exact && its != snapshot) {
    fault(fmt::format("{} to another state: {}", from_journal ? "the journal folds" : "a snapshot restores", difference(snapshot, its)));
  }
  return other;
}

void ChaosRun::restore() {
  ++result_.restores;
  if (auto other = again(restores_.uniform() < 0.5); other && !over_) { core_ = std::move(*other); }
}

/// The centre dies and starts again: what its driver told it and what it told its driver, and was not heard yet, is lost.
void ChaosRun::crash() {
  threw(ChaosCount::crash);
  auto other = again(dice(0.5));
  if (!other || over_) { return; }
  core_ = std::move(*other);
  std::erase_if(due_, [](const auto& each) { return !std::holds_alternative<Turn>(each.second); });
  adopt();
  for (const Action& action : core_.outstanding()) { carry_out(action); }
}

void ChaosRun::check(const Event& event) {
  if (std::string wrong = books_.note(core_, event, out_); !wrong.empty()) { return fault(std::move(wrong)); }
  if (step_ % options_.check_every != 0) { return; }
  if (std::string wrong = core_.contradiction(); !wrong.empty()) { return fault(std::move(wrong)); }
  if (std::string wrong = books_.sweep(core_); !wrong.empty()) { return fault(std::move(wrong)); }
}

bool ChaosRun::send(Event event) {
  if (over_) { return false; }
  ++step_;
  ++result_.events;
  text_.clear();
  encode(event, text_);
  if (options_.before) { options_.before(step_, text_); }
  auto read = reader_.read(text_);
  if (!read) {
    fault("an event that was written cannot be read: " + read.error().message());
    return false;
  }
  Time at = now_;
  if (happens(options_.rates.clock_back)) {
    threw(ChaosCount::clock);
    at = at + seconds(-below(100));
  }
  const bool dies = happens(options_.rates.crash);
  if (dies && dice(0.5)) {  // before the event is durable: it never happened
    threw(ChaosCount::undone);
    Output undone;
    const std::string before = core_.snapshot();
    static_cast<void>(core_.apply(std::move(*read), at, undone));
    auto folded = options_.exact ? fold() : restored(before);
    if (!folded) { return false; }
    core_ = std::move(*folded);
    if (const std::string its = core_.snapshot(); its != before) {
      fault("the journal folds to another state: " + difference(before, its));
    }
    crash();
    return false;
  }
  out_.clear();
  const std::uint64_t sequence = core_.sequence();
  const bool accepted = core_.apply(*read, at, out_).has_value();
  if (shadow_) {
    shadow_out_.clear();
    const bool same = shadow_->apply(*read, at, shadow_out_).has_value();
    const auto text = [](const Output& out) {
      std::string all;
      for (const Action& action : out.actions) { all += fmt::format("{}.{} {} ", action.sequence, action.index, action.act.index()); }
      return all;
    };
    if (same != accepted || text(shadow_out_) != text(out_)) { fault("the core decides otherwise since it was restarted"); }
  }
  if (!accepted) {
    ++result_.refused;
    if (core_.sequence() != sequence || !out_.actions.empty()) { fault("a refusal changed something"); }
    return false;
  }
  if (options_.tamper) { options_.tamper(step_, out_); }
  journal_.emplace_back(at, text_);
  if (journal_.size() >= kJournalMax) {
    base_ = core_.snapshot();
    journal_.clear();
  }
  check(event);
  forget_processes();
  for (const Action& action : out_.actions) { carry_out(action); }
  if (dies) { crash(); }
  if (restores_.uniform() < options_.restore) { restore(); }
  return !over_;
}

void ChaosRun::set_up() {
  if (!options_.make) {
    SchedulingSet set;
    set.scheduling.policy = options_.policy;
    set.scheduling.round = seconds(20);
    send(set);
  }
  send(TenantDefined{"default", {}});
  Quota small;
  small.chips_max = 3;
  send(TenantDefined{"small", small});
  Quota kinds;
  kinds.kinds = {{.kind = "h100", .chips_max = 2}};
  kinds.parent = "default";
  send(TenantDefined{"kinds", kinds});
  for (std::int64_t number = 0; number < options_.nodes; ++number) { join(number, true); }
}

/// Whatever is due next: a message, a process's turn, or the users'.
void ChaosRun::step() {
  if (due_.empty()) {
    now_ = now_ + kTurn;
    return;
  }
  now_ = std::max(now_, Time{due_.begin()->first.first});
  const Due due = std::move(due_.begin()->second);
  due_.erase(due_.begin());
  if (const auto* const fact = std::get_if<Event>(&due)) {
    send(*fact);
  } else if (const auto* const action = std::get_if<Action>(&due)) {
    deliver(*action);
  } else {
    turn(std::get<Turn>(due).task);
  }
}

ChaosResult ChaosRun::play() {
  calm_ = true;
  set_up();
  calm_ = false;
  Time users = now_;
  while (step_ < options_.steps && !over_) {
    if (due_.empty() || due_.begin()->first.first >= users.ns) {
      now_ = std::max(now_, users);
      users = now_ + Nanos{static_cast<std::int64_t>(random_.exponential() * static_cast<double>(kTurn.value))};
      act();
    } else {
      step();
    }
  }
  if (!over_) { end_well(); }
  result_.hash = books_.hash();
  result_.jobs = books_.jobs;
  result_.starts = books_.starts;
  result_.stops = books_.stops;
  result_.done = books_.ended[0];
  result_.failed = books_.ended[1];
  result_.cancelled = books_.ended[2];
  return std::move(result_);
}

/// On what is up now.
bool ChaosRun::fits(const Job& job) const {
  std::vector<std::int64_t> room(4, 0);
  const JobSpec& spec = job.spec;
  for (std::uint64_t n = 1; n <= core_.node_count(); ++n) {
    const Node& node = *core_.node(NodeId{n});
    std::vector<std::int64_t> chips(4, 0);
    for (const ChipId id : node.chips) {
      const Chip& chip = core_.chip(id);
      const bool allowed =
          spec.chip_kinds.empty() || std::ranges::find(spec.chip_kinds, core_.kind_name(chip.kind)) != spec.chip_kinds.end();
      chips[static_cast<std::size_t>(chip.kind)] += chip.health == ChipHealth::ok && allowed ? 1 : 0;
    }
    for (std::size_t kind = 0; kind < room.size(); ++kind) {
      std::int64_t workers = chips[kind] / spec.chips * (1000 / spec.share_milli);
      if (spec.memory.value > 0) { workers = std::min(workers, node.memory.value / spec.memory.value); }
      if (spec.cpu_milli > 0 && node.cpu_milli > 0) { workers = std::min(workers, node.cpu_milli / spec.cpu_milli); }
      room[kind] += workers;
    }
  }
  return std::ranges::any_of(room, [&](std::int64_t workers) { return workers >= spec.workers; });
}

bool ChaosRun::can_end(JobId id) const {
  const Job* const job = core_.job(id);
  return job != nullptr && !is_final(job->state) && job->spec.reservation.empty() && job->spec.bid <= 0 && fits(*job) &&
         std::ranges::all_of(job->unmet, [&](JobId dependency) { return can_end(dependency); });
}

/// The faults are over. All machines come back as they were, and no limits are left: all that fits must end, then the rest is
/// cancelled and nothing may be left over.
void ChaosRun::end_well() {
  calm_ = true;
  crash();  // what was lost is told again
  for (std::int64_t number = 0; number < options_.nodes; ++number) { join(number, true); }
  for (std::uint64_t node = 1; node <= core_.node_count(); ++node) { send(NodeResumed{NodeId{node}}); }
  for (std::uint64_t chip = 1; chip <= core_.chip_count(); ++chip) { send(ChipRepaired{ChipId{chip}}); }
  while (!core_.reservations().empty() && !over_) { send(ReservationCancelled{core_.reservations().front().name}); }
  for (std::uint64_t tenant = 1; tenant <= core_.tenant_count(); ++tenant) {
    send(TenantDefined{core_.tenant(TenantId{tenant})->name, {}});
  }
  std::vector<ServiceId> services;
  core_.each_service([&](const Service& service) { services.push_back(service.id); });
  for (const ServiceId service : services) { send(ServiceRemoved{service}); }
  const auto any_waits = [&] { return std::ranges::any_of(books_.open_jobs(), [&](std::uint64_t id) { return can_end(JobId{id}); }); };
  // Each job takes a minute of work at most, and fails a few times with a back-off of seconds: this is patience enough.
  const Time limit = now_ + seconds(3600) * std::max<std::int64_t>(1, static_cast<std::int64_t>(books_.open_jobs().size()));
  while (!over_ && any_waits()) {
    if (due_.empty() || now_ > limit) {
      for (const std::uint64_t id : books_.open_jobs()) {
        const Job* const job = core_.job(JobId{id});
        if (!can_end(job->id)) { continue; }
        return fault(fmt::format("{} is {} ({}) for ever: {} x {} chips, {} jobs wait", to_string(job->id), enum_name(job->state),
                                 enum_name(job->wait), job->spec.workers, job->spec.chips, core_.jobs_queued()));
      }
    }
    step();
  }
  while (!over_ && !books_.open_jobs().empty()) {
    std::vector<std::uint64_t> open(books_.open_jobs().begin(), books_.open_jobs().end());
    for (const std::uint64_t id : open) {
      if (const Job* const job = core_.job(JobId{id}); job != nullptr && !is_final(job->state) && !job->cancel_wanted) {
        send(JobCancelled{JobId{id}});
      }
    }
    if (books_.open_jobs().empty()) { break; }
    if (due_.empty() || now_ > limit) { return fault(fmt::format("{} jobs are left over", books_.open_jobs().size())); }
    step();
  }
  std::size_t left = 1;
  while (!over_ && left > 0) {
    left = 0;
    core_.each_service([&](const Service&) { ++left; });
    if (left > 0 && (due_.empty() || now_ > limit)) { return fault("a service is not removed"); }
    if (left > 0) { step(); }
  }
  if (over_) { return; }
  if (core_.jobs_queued() != 0) { fault("something waits for ever"); }
  core_.each_task([&](const Task& task) { fault(fmt::format("{} is left over", to_string(task.id))); });
  if (std::string wrong = core_.contradiction(); !wrong.empty()) { fault(std::move(wrong)); }
}

ChaosResult chaos(const ChaosOptions& options) {
  ChaosRun run(options);
  return run.play();
}

std::optional<ChaosShrunk> shrink(const ChaosOptions& options) {
  ChaosShrunk best{.options = options, .fault = {}};
  const auto fails = [&](const ChaosOptions& tried) {
    ChaosResult result = chaos(tried);
    if (!result.fault) { return false; }
    best.options = tried;
    best.options.steps = std::min(tried.steps, result.fault->step);
    best.fault = std::move(*result.fault);
    return true;
  };
  if (!fails(options)) { return {}; }
  const auto fewer_steps = [&] {
    std::uint64_t well = 0;  // so few steps do not fail, or were not tried
    while (well + 1 < best.options.steps) {
      ChaosOptions tried = best.options;
      tried.steps = well + (best.options.steps - well) / 2;
      if (!fails(tried)) { well = tried.steps; }
    }
  };
  fewer_steps();
  constexpr std::array kRates{&ChaosRates::lost,  &ChaosRates::late,   &ChaosRates::repeated,   &ChaosRates::node,
                              &ChaosRates::chip,  &ChaosRates::tenant, &ChaosRates::scheduling, &ChaosRates::reservation,
                              &ChaosRates::noise, &ChaosRates::crash,  &ChaosRates::clock_back};
  for (const auto rate : kRates) {
    if (best.options.rates.*rate == 0) { continue; }
    ChaosOptions tried = best.options;
    tried.rates.*rate = 0;
    tried.steps = std::max<std::uint64_t>(tried.steps * 2, 1000);  // another run: what fails may come a little later
    fails(tried);
  }
  fewer_steps();
  return best;
}

}  // namespace centrale
