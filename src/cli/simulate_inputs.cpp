// SPDX-License-Identifier: Apache-2.0
#include "cli/simulate_inputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "base/text.hpp"
#include "cli/plan_inputs.hpp"
#include "cli/simulate_speeds.hpp"
#include "cli/spec_files.hpp"
#include "policy/policy.hpp"
#include "simulate/report.hpp"
#include "simulate/trace.hpp"

namespace centrale::cli {
namespace {

std::unexpected<Failure> wrong(ErrorKind kind, std::string what, std::string remedy, int code) {
  return std::unexpected(Failure(Error{kind, std::move(what), {}, std::move(remedy)}, code));
}
std::unexpected<Failure> wrong_usage(std::string what, std::string remedy) {
  return wrong(ErrorKind::invalid, std::move(what), std::move(remedy), kExitUsage);
}
std::unexpected<Failure> wrong_input(std::string what, std::string remedy) {
  return wrong(ErrorKind::invalid, std::move(what), std::move(remedy), kExitInput);
}
std::unexpected<Failure> bad_input(Error error) { return std::unexpected(Failure(std::move(error), kExitInput)); }

template <class Enum>
Enum named(std::string_view name) {
  const auto found = std::ranges::find(kEnumNames<Enum>, name);
  return static_cast<Enum>(found - kEnumNames<Enum>.begin());  // the command line lets no other name through
}

Outcome<void> span_into(std::string_view option, const std::string& text, Nanos& into) {
  if (text.empty()) { return {}; }
  const auto span = parse_duration(text);
  if (!span) {
    return wrong_usage(fmt::format("{} '{}' is not understood", option, shorten(text, 60)), "a span of time, such as 30s, 6m or 2h");
  }
  into = *span;
  return {};
}

Outcome<TwinOptions> twin_options(const SimulateOptions& o) {
  TwinOptions t;
  TRY(span_into("--restart-cost", o.restart_cost, t.restart_cost));
  TRY(span_into("--stop-cost", o.stop_cost, t.stop_cost));
  TRY(span_into("--checkpoint-every", o.checkpoint_every, t.checkpoint_every));
  TRY(span_into("--round", o.round, t.scheduling.round));
  TRY(span_into("--starvation-after", o.starvation_after, t.scheduling.starvation_after));
  Nanos until;
  TRY(span_into("--until", o.until, until));
  if (until.value > 0) { t.horizon = Time{} + until; }
  t.speed_sigma = o.noise;
  t.check = o.check;
  return t;
}

struct Read {
  Machines machines;
  std::string currency;
};

Outcome<Read> machines_from(const SimulateOptions& o, const Catalogue& catalogue, const Workload& trace) {
  if (o.fleet.empty() || o.fleet.ends_with(".csv")) {
    Workload nodes;
    if (o.fleet.empty()) {
      if (trace.nodes.empty()) {
        return wrong_usage("no fleet is given, and the load comes without machines", "give --fleet, such as --fleet h100x64");
      }
      nodes.nodes = trace.nodes;
    } else {
      TRY_ASSIGN(const std::string text, read_text_file(o.fleet, kTraceFileMax));
      if (auto read = read_nodes(text, o.fleet, nodes); !read) { return bad_input(std::move(read).error()); }
    }
    auto machines = machines_of(nodes.nodes, catalogue);
    if (!machines) { return bad_input(std::move(machines).error()); }
    machines->notes.insert(machines->notes.begin(), nodes.notes.begin(), nodes.notes.end());
    return Read{*std::move(machines), catalogue.currency};
  }
  TRY_ASSIGN(const Fleet fleet, fleet_from(o.fleet, catalogue));
  auto machines = machines_of(fleet);
  if (!machines) { return bad_input(std::move(machines).error()); }
  return Read{*std::move(machines), fleet.currency};
}

Outcome<Workload> trace_from(const SimulateOptions& o) {
  TRY_ASSIGN(const std::string text, read_text_file(o.trace, kTraceFileMax));
  TraceOptions t;
  t.format = named<TraceFormat>(o.format);
  t.limit = o.limit;
  t.rate = o.rate;
  t.gavel_jobs_per_hour = o.gavel_rate;
  t.rigid = o.rigid;
  t.any_kind = o.any_kind;
  const std::string file = o.trace == "-" ? "standard input" : o.trace;
  auto read = read_trace(text, file, t);
  if (!read) { return bad_input(std::move(read).error()); }
  if (read->jobs.empty()) { return wrong_input(file + " has no job that can be played", read->notes.empty() ? "" : read->notes.back()); }
  return *std::move(read);
}

LoadShape shape_from(const SimulateOptions& o, const Machines& machines) {
  LoadShape shape;
  shape.mix = named<LoadMix>(o.generate);
  shape.fleet_chips = machines.chips;
  shape.load = o.load;
  shape.jobs = o.jobs > 0 ? o.jobs : o.days > 0 ? 0 : shape.jobs;
  shape.horizon = {static_cast<std::int64_t>(o.days * 86400e9)};
  shape.arrivals = named<Arrivals>(o.arrivals);
  shape.tenants = o.tenants;
  shape.elastic_share = o.elastic ? 1 : 0;
  std::map<std::int64_t, std::int64_t> sizes;  // chips by the size of their node
  for (const Machine& machine : machines.nodes) { sizes[machine.chips] += machine.chips; }
  shape.node_chips = std::max<std::int64_t>(1, std::ranges::max_element(sizes, {}, [](const auto& size) { return size.second; })->first);
  return shape;
}

Outcome<void> check_together(const SimulateOptions& o) {
  if (o.trace.empty() == o.generate.empty()) {
    return wrong_usage(o.trace.empty() ? "no load is given" : "--trace and --generate are two loads",
                       "give one of --trace FILE and --generate MIX");
  }
  if (o.rigid && o.elastic) { return wrong_usage("--rigid and --elastic exclude each other", "give one of them"); }
  if (o.jobs > 0 && o.days > 0) { return wrong_usage("--jobs and --days both say how many jobs are made", "give one of them, and --load"); }
  return {};
}

/// Kinds by the names that the fleet has for them.
void rename_kinds(Workload& workload, const std::vector<std::string>& kinds, const Catalogue& catalogue) {
  for (auto& choice : workload.kind_choices) {
    for (std::string& kind : choice) {
      if (std::string meant = kind_meant(kind, kinds, catalogue); !meant.empty()) { kind = std::move(meant); }
    }
  }
}

void set_elasticity(Workload& workload, bool elastic, bool rigid) {
  constexpr std::int64_t kTimes = 4;
  for (TraceJob& job : workload.jobs) {
    if (rigid) { job.workers_min = job.workers_max = 0; }
    if (elastic && job.profile != 0 && job.workers_max == 0) {
      job.workers_min = std::max<std::int64_t>(1, job.workers / kTimes);
      job.workers_max = job.workers * kTimes;
    }
  }
}

/// A job whose length only its speed tells cannot be played without one.
Outcome<void> check_speeds(const Workload& workload, const SpeedSource& speeds) {
  if (speeds.any()) { return {}; }
  const auto needs = std::ranges::find_if(workload.jobs, [](const TraceJob& job) { return job.run.value == 0 && job.work > 0; });
  if (needs == workload.jobs.end()) { return {}; }
  return wrong_usage(fmt::format("how long job '{}' runs depends on the speed of '{}'", shorten(needs->name, 60),
                                 shorten(workload.profiles[needs->profile], 60)),
                     "give --speeds with the measurements that belong to the trace");
}

std::int64_t capacity_of(const std::vector<std::string>& choice, const Machines& machines, std::int64_t chips_each) {
  std::int64_t workers = 0;
  for (const Machine& machine : machines.nodes) {
    if (machine.chips == 0 || (!choice.empty() && std::ranges::find(choice, machine.kind) == choice.end())) { continue; }
    workers += machine.chips / std::max<std::int64_t>(1, chips_each);
  }
  return workers;
}

}  // namespace

Outcome<std::vector<std::string>> policies_of(std::string_view text) {
  std::vector<std::string> names;
  std::vector<std::string> known;
  for (const auto& [name, what] : policy_names()) { known.emplace_back(name); }
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    const std::string name(text.substr(from, comma - from));
    from = comma + 1;
    if (std::ranges::find(known, name) == known.end()) {
      const std::string near = nearest_remedy(name, known);
      std::string all;
      for (const std::string& one : known) { all += (all.empty() ? "" : ", ") + one; }
      return wrong_usage(fmt::format("--policy: there is no policy '{}'", shorten(name, 60)), near.empty() ? "policies: " + all : near);
    }
    if (std::ranges::find(names, name) == names.end()) { names.push_back(name); }
  }
  return names;
}

Outcome<Window> window_of(std::string_view text) {
  Window window;
  if (text.empty()) { return window; }
  const std::size_t colon = text.find(':');
  const auto number = [](std::string_view digits, std::size_t& into) {
    if (digits.empty()) { return true; }
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), into);
    return error == std::errc{} && end == digits.data() + digits.size();
  };
  if (colon == std::string_view::npos || !number(text.substr(0, colon), window.first) || !number(text.substr(colon + 1), window.last) ||
      window.first >= window.last) {
    return wrong_usage(fmt::format("--window '{}' is not understood", shorten(text, 60)), "FIRST:LAST, such as 1000:3000, counted from 0");
  }
  return window;
}

std::string kind_meant(std::string_view name, const std::vector<std::string>& kinds, const Catalogue& catalogue) {
  const auto has = [&](std::string_view kind) { return std::ranges::find(kinds, kind) != kinds.end(); };
  if (has(name)) { return std::string(name); }
  if (const ChipType* chip = catalogue.chip_like(name); chip != nullptr && has(chip->key)) { return chip->key; }
  const std::string start = std::string(name) + "-";
  const auto form = std::ranges::find_if(kinds, [&](const std::string& kind) { return kind.starts_with(start); });
  return form == kinds.end() ? std::string{} : *form;
}

Outcome<std::vector<std::string>> check_fit(const Workload& workload, const Machines& machines) {
  std::map<std::pair<std::uint32_t, std::int64_t>, std::int64_t> capacity;  // by kinds and chips of a worker
  std::size_t no_kind = 0;
  std::size_t too_large = 0;
  const TraceJob* largest = nullptr;
  std::string wanted;
  for (const TraceJob& job : workload.jobs) {
    if (job.chips == 0) { continue; }
    const auto& choice = workload.kind_choices[job.kinds];
    auto [at, is_new] = capacity.try_emplace({job.kinds, job.chips}, 0);
    if (is_new) { at->second = capacity_of(choice, machines, job.chips); }
    if (at->second >= (job.workers_min > 0 ? job.workers_min : job.workers)) { continue; }
    if (!choice.empty() && capacity_of(choice, machines, 1) == 0) {
      ++no_kind;
      wanted = choice.front();
    } else {
      ++too_large;
      if (largest == nullptr || job.workers * job.chips > largest->workers * largest->chips) { largest = &job; }
    }
  }
  const std::string fleet = machines_text(machines);
  if (no_kind + too_large == workload.jobs.size() && !workload.jobs.empty()) {
    if (no_kind >= too_large) {
      return wrong_input(fmt::format("no job can run: they ask for kinds such as '{}', the fleet has {}", shorten(wanted, 60), fleet),
                         "give a --fleet with them, or --any-kind");
    }
    return wrong_input(fmt::format("every job is too large for {}", fleet), "give a larger --fleet");
  }
  std::vector<std::string> notes;
  const auto count = [](std::size_t n) { return format_count(static_cast<std::int64_t>(n)) + (n == 1 ? " job" : " jobs"); };
  if (no_kind > 0) {
    notes.push_back(fmt::format("{} ask for kinds that the fleet does not have, such as '{}', and are refused; --any-kind lets them run",
                                count(no_kind), shorten(wanted, 60)));
  }
  if (too_large > 0) {
    notes.push_back(fmt::format("{} are too large for the fleet and are refused; the largest asks for {} x {} chips", count(too_large),
                                format_count(largest->workers), format_count(largest->chips)));
  }
  return notes;
}

Outcome<std::shared_ptr<const Workload>> Simulation::workload(std::uint64_t seed) const {
  if (trace) { return trace; }
  LoadShape of_seed = shape;
  of_seed.seed = seed;
  auto made = generate(of_seed);
  if (!made) { return std::unexpected(Failure(std::move(made).error(), kExitInput)); }
  set_elasticity(*made, elastic, rigid);
  return std::make_shared<const Workload>(*std::move(made));
}

Outcome<Simulation> read_simulation(const SimulateOptions& o) {
  TRY(check_together(o));
  Simulation s;
  TRY_ASSIGN(s.policies, policies_of(o.policies));
  TRY_ASSIGN(s.window, window_of(o.window));
  TRY_ASSIGN(s.twin, twin_options(o));
  s.twin.keep_timeline = !o.timeline.empty();
  s.elastic = o.elastic;
  s.rigid = o.rigid;
  TRY_ASSIGN(s.speeds.catalogue, catalogue_of(o.known));
  Workload trace;
  if (!o.trace.empty()) { TRY_ASSIGN(trace, trace_from(o)); }
  TRY_ASSIGN(Read read, machines_from(o, s.speeds.catalogue, trace));
  s.machines = std::move(read.machines);
  s.currency = std::move(read.currency);
  for (const Machine& machine : s.machines.nodes) {
    if (machine.chips > 0 && std::ranges::find(s.kinds, machine.kind) == s.kinds.end()) { s.kinds.push_back(machine.kind); }
  }
  if (s.machines.chips == 0) { return wrong_input("the fleet has no chips", "give one with chips, such as --fleet h100x64"); }
  TRY(read_speeds(o.speeds, s.kinds, s.speeds, s.notes));
  for (std::int64_t i = 0; i < o.seeds; ++i) { s.seeds.push_back(o.seed + static_cast<std::uint64_t>(i)); }
  if (o.trace.empty()) {
    s.shape = shape_from(o, s.machines);
    s.shape.profiles = load_profiles(s.speeds, s.kinds);
    TRY_ASSIGN(const auto first, s.workload(s.seeds.front()));  // its mistakes are the user's: before any run begins
    s.load_name = fmt::format("{}, {} jobs", o.generate, format_count(static_cast<std::int64_t>(first->jobs.size())));
    s.notes.insert(s.notes.end(), first->notes.begin(), first->notes.end());
    TRY_ASSIGN(const auto fits, check_fit(*first, s.machines));
    s.notes.insert(s.notes.end(), fits.begin(), fits.end());
  } else {
    rename_kinds(trace, s.kinds, s.speeds.catalogue);
    set_elasticity(trace, o.elastic, o.rigid);
    TRY(check_speeds(trace, s.speeds));
    TRY_ASSIGN(const auto fits, check_fit(trace, s.machines));
    if (s.window.first >= trace.jobs.size()) {
      return wrong_usage(fmt::format("--window begins at job {}, the trace has {}", s.window.first, trace.jobs.size()),
                         "jobs are counted from 0");
    }
    s.load_name = fmt::format("{}, {} jobs", trace.name, format_count(static_cast<std::int64_t>(trace.jobs.size())));
    s.notes.insert(s.notes.end(), trace.notes.begin(), trace.notes.end());
    s.notes.insert(s.notes.end(), fits.begin(), fits.end());
    s.trace = std::make_shared<const Workload>(std::move(trace));
    if (s.seeds.size() > 1 && o.noise == 0) {
      s.seeds.resize(1);
      s.notes.emplace_back("a trace without --noise is the same with every seed: it was played once");
    }
  }
  s.notes.insert(s.notes.end(), s.machines.notes.begin(), s.machines.notes.end());
  return s;
}

}  // namespace centrale::cli
