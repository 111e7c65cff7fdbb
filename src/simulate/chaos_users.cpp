// SPDX-License-Identifier: Apache-2.0
// Users and operators: what they submit, define and change, and what happens to their machines.
#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "simulate/chaos_run.hpp"

namespace centrale {

namespace {
constexpr std::array<std::string_view, 3> kKinds{"h100", "mi300x", "gaudi3"};
constexpr std::array<std::string_view, 3> kTenants{"default", "small", "kinds"};
}  // namespace

void ChaosRun::act() {
  const ChaosRates& rates = options_.rates;
  if (happens(rates.node)) { act_on_nodes(); }
  if (happens(rates.chip)) { act_on_chips(); }
  if (happens(rates.tenant)) { act_on_tenants(); }
  if (happens(rates.scheduling)) { act_on_scheduling(); }
  if (happens(rates.reservation)) { act_on_reservations(); }
  if (happens(rates.noise)) { make_noise(); }
  if (over_) { return; }
  const auto& open = books_.open_jobs();
  if (dice(0.03) && !open.empty()) {
    const auto any = std::next(open.begin(), below(static_cast<std::int64_t>(open.size())));
    send(JobCancelled{JobId{*any}});
  } else if (dice(0.05)) {
    define_service();
  } else if (dice(0.6) && static_cast<std::int64_t>(open.size()) < options_.jobs_max) {
    submit();
  }
}

std::string ChaosRun::some_kind() { return std::string(kKinds[static_cast<std::size_t>(below(options_.kinds))]); }

NodeId ChaosRun::some_node() { return NodeId{static_cast<std::uint64_t>(1 + below(options_.nodes))}; }

JobSpec ChaosRun::some_job() {
  JobSpec spec;
  spec.name = fmt::format("job{}", below(20));
  spec.command = {"true"};
  const std::int64_t most = options_.chips_per_node;
  spec.chips = dice(0.5) ? 1 : 1 + below(most);
  spec.workers = dice(0.6) ? 1 : 1 + below(std::max<std::int64_t>(1, options_.nodes - 1));
  spec.priority = dice(0.7) ? 0 : below(5) - 2;
  spec.restarts = below(4);
  spec.backoff = milliseconds(100 + below(4000));
  spec.grace = milliseconds(500 + below(5000));
  if (dice(0.3)) { spec.memory = mebibytes(64 * (1 + below(20))); }
  if (dice(0.3)) { spec.cpu_milli = 500 * (1 + below(8)); }
  if (dice(0.15)) { spec.array = 1 + below(5); }
  if (dice(0.2)) { spec.after.push_back(fmt::format("job{}", below(20))); }
  if (dice(0.3)) { spec.chip_kinds.push_back(some_kind()); }
  if (dice(0.2)) { spec.time_limit = seconds(2 + below(30)); }
  if (dice(0.4)) { spec.estimate = seconds(1 + below(30)); }
  if (dice(0.15)) {
    spec.chips = 1;
    spec.share_milli = 1000 >> (1 + below(3));
  } else if (dice(0.35)) {
    spec.workers_min = 1 + below(spec.workers);
    spec.workers_max = spec.workers + below(3);
  }
  spec.preemptible = dice(0.5);
  spec.restart_cost = milliseconds(below(3000));
  if (dice(0.3)) { spec.checkpoint_every = seconds(1 + below(10)); }
  if (dice(options_.spot)) { spec.bid = 0.5 + random_.uniform() * 4; }
  if (dice(0.3) && !core_.reservations().empty()) {
    spec.reservation = core_.reservations()[static_cast<std::size_t>(below(static_cast<std::int64_t>(core_.reservations().size())))].name;
    spec.bid = 0;
  }
  return spec;
}

/// As an estimator would say, for all shapes that the job may have; now and then of chips that nobody has.
Shared<Speeds> ChaosRun::some_speeds(const JobSpec& spec) {
  Speeds speeds;
  speeds.work = dice(0.8) ? 10 + random_.uniform() * 100 : 0;
  speeds.source = "table";
  const std::int64_t first = spec.workers_max > 0 ? spec.workers_min : spec.workers;
  const std::int64_t last = spec.workers_max > 0 ? spec.workers_max : spec.workers;
  for (std::int64_t kind = 0; kind < options_.kinds; ++kind) {
    const double fast = 0.5 + random_.uniform() * 3;
    for (std::int64_t workers = first; workers <= last; ++workers) {
      SpeedRow row;
      row.kind = kKinds[static_cast<std::size_t>(kind)];
      row.workers = workers;
      row.chips = spec.chips;
      const double rate = fast * std::pow(static_cast<double>(workers * spec.chips), 0.8);
      row.rates = {rate, rate * 0.8, rate * 0.5};
      speeds.rows.push_back(std::move(row));
    }
  }
  if (dice(0.1)) { speeds.rows.push_back({.kind = "abacus", .workers = 1, .chips = 1, .rates = {1}, .layout = {}}); }
  return share(std::move(speeds));
}

void ChaosRun::submit() {
  JobSubmitted wish;
  wish.spec = some_job();
  wish.tenant = core_.tenant_of(kTenants[static_cast<std::size_t>(below(kTenants.size()))]);
  if (wish.spec.share_milli == 1000 && dice(0.6)) { wish.speeds = some_speeds(wish.spec); }
  if (!send(wish)) { return; }
  const double length = 1 + random_.exponential() * 10;
  const std::uint64_t first = out_.created;
  const auto copies = static_cast<std::uint64_t>(std::max<std::int64_t>(1, wish.spec.array));
  for (std::uint64_t id = first; id < first + copies; ++id) { work_[id].seconds = std::min(length, 60.0); }
  if (dice(0.05) && wish.speeds) { send(SpeedRevised{JobId{first}, some_speeds(wish.spec)}); }
}

void ChaosRun::define_service() {
  std::vector<ServiceId> known;
  core_.each_service([&](const Service& service) { known.push_back(service.id); });
  if (!known.empty() && dice(0.5)) {
    const ServiceId any = known[static_cast<std::size_t>(below(static_cast<std::int64_t>(known.size())))];
    if (dice(0.25)) {
      send(ServiceRemoved{any});
    } else {
      send(ServiceScaled{any, below(4)});
    }
    return;
  }
  ServiceSpec spec;
  spec.name = dice(0.5) ? "alpha" : "beta";
  spec.model = "m.gguf";
  spec.replicas = below(4);
  spec.chips = 1 + below(2);
  spec.context = 1024 * (1 + below(2));
  spec.apart = dice(0.4);
  spec.start_timeout = seconds(5 + below(20));
  spec.grace = milliseconds(500 + below(3000));
  if (dice(0.3)) {
    spec.chips = 1;
    spec.share_milli = 500;
  }
  if (dice(0.3)) { spec.memory = mebibytes(64 * (1 + below(10))); }
  if (dice(0.3)) { spec.chip_kinds.push_back(some_kind()); }
  send(ServiceDefined{core_.tenant_of(kTenants[static_cast<std::size_t>(below(2))]), spec});
}

/// As it was in the beginning, or as somebody rebuilt it.
void ChaosRun::join(std::int64_t number, bool as_ever) {
  NodeJoined node;
  node.name = fmt::format("n{}", number);
  node.memory = mebibytes(as_ever ? 4096 : 1024 * (1 + below(4)));
  node.cpu_milli = number % 3 == 0 ? 0 : 16'000;
  node.domain = fmt::format("d{}", number / 2);
  node.leaf = fmt::format("l{}", number / 4);
  node.spine = "s0";
  for (std::int64_t kind = 0; kind < options_.kinds; ++kind) {
    if ((number + kind) % (kind + 1) != 0 && options_.nodes > 1) { continue; }  // not every node has every kind
    std::int64_t count = kind == 0 ? options_.chips_per_node : std::max<std::int64_t>(1, options_.chips_per_node / 2);
    if (!as_ever) { count = below(count + 1); }
    node.chips.push_back({.kind = std::string(kKinds[static_cast<std::size_t>(kind)]),
                          .count = count,
                          .memory = mebibytes(81'920),
                          .power = {700'000},
                          .price_per_hour = {2'500'000 * (kind + 1)}});
  }
  if (const NodeId known = core_.node_of(node.name); known) { clear_node(known); }
  send(std::move(node));
}

void ChaosRun::act_on_nodes() {
  const NodeId node = some_node();
  const auto number = static_cast<std::int64_t>(node.value) - 1;
  const double what = random_.uniform();
  if (what < 0.25) {
    threw(ChaosCount::node_lost);
    send(NodeLost{node});
    return;
  }
  threw(ChaosCount::node_changed);
  if (what < 0.4) {
    send(NodeDrained{node});
  } else if (what < 0.6) {
    send(NodeResumed{node});
  } else {
    join(number, what < 0.85);
    if (dice(0.3)) { send(NodeResumed{node}); }
  }
}

void ChaosRun::act_on_chips() {
  threw(ChaosCount::chip);
  const ChipId chip{static_cast<std::uint64_t>(1 + below(static_cast<std::int64_t>(core_.chip_count())))};
  if (dice(0.4)) {
    send(ChipFailed{chip, "uncorrectable error"});
  } else {
    send(ChipRepaired{chip});
  }
}

void ChaosRun::act_on_tenants() {
  threw(ChaosCount::tenant);
  TenantDefined tenant;
  tenant.name = kTenants[static_cast<std::size_t>(below(kTenants.size()))];
  Quota& quota = tenant.quota;
  if (tenant.name != "default") {
    quota.chips_max = below(8);
    if (dice(0.5)) { quota.kinds.push_back({.kind = some_kind(), .chips_max = below(5)}); }
    if (dice(0.3)) { quota.parent = "default"; }
    if (dice(0.2)) {
      quota.cost_max = MicroCurrency{1'000 + below(1'000'000)};
      quota.cost_period = dice(0.5) ? seconds(60) : Nanos{};
    }
  }
  quota.weight = 0.5 + random_.uniform() * 2;
  send(std::move(tenant));
}

void ChaosRun::act_on_scheduling() {
  if (options_.make) { return; }
  threw(ChaosCount::policy);
  const auto names = policy_names();
  SchedulingSet set;
  // Mostly the one that is looked at.
  set.scheduling.policy =
      dice(0.5) ? options_.policy : names[static_cast<std::size_t>(below(static_cast<std::int64_t>(names.size())))].first;
  set.scheduling.round = dice(0.3) ? Nanos{} : seconds(5 + below(60));
  set.scheduling.starvation_after = dice(0.5) ? Nanos{} : seconds(10 + below(300));
  set.scheduling.suspect_after = below(5);
  set.scheduling.quarantine = dice(0.2);
  send(std::move(set));
}

void ChaosRun::act_on_reservations() {
  threw(ChaosCount::reservation);
  if (!core_.reservations().empty() && dice(0.3)) {
    const std::string name =
        core_.reservations()[static_cast<std::size_t>(below(static_cast<std::int64_t>(core_.reservations().size())))].name;
    send(ReservationCancelled{name});
    return;
  }
  ReservationMade made;
  made.name = fmt::format("r{}", reserved_++ % 5);
  if (dice(0.7)) { made.tenant = core_.tenant_of(kTenants[static_cast<std::size_t>(below(kTenants.size()))]); }
  if (dice(0.5)) {
    made.nodes.push_back(some_node());
    if (dice(0.4)) { made.nodes.push_back(some_node()); }
  } else {
    made.kind = some_kind();
    made.chips = 1 + below(options_.chips_per_node);
  }
  made.from = now_ + seconds(below(60) - 5);
  made.to = made.from + seconds(5 + below(60));
  send(std::move(made));
}

/// Messages about things that are no more, or never were: nothing may come of them.
void ChaosRun::make_noise() {
  threw(ChaosCount::noise);
  std::uint64_t newest = 0;
  core_.each_task([&](const Task& task) { newest = task.id.value; });
  TaskId task{static_cast<std::uint64_t>(below(static_cast<std::int64_t>(newest) + 1))};
  if (dice(0.1)) { task = TaskId{newest + 1000}; }
  if (core_.task(task) != nullptr) { return; }
  const auto any = static_cast<std::uint64_t>(below(1000));
  TaskExited exited;
  exited.task = task;
  TaskProgressed progressed;
  progressed.task = task;
  progressed.step = -5;
  switch (below(9)) {
    case 0: send(TaskStarted{task}); break;
    case 1: send(exited); break;
    case 2: send(progressed); break;
    case 3: send(TaskStartFailed{task, "no such file", true}); break;
    case 4: send(ReplicaReady{task, 1}); break;
    case 5: send(TimerFired{TimerId{any}}); break;
    case 6: send(NodeLost{NodeId{any + 1'000}}); break;
    case 7: send(ChipFailed{ChipId{any + 100'000}, "what chip"}); break;
    default: send(JobCancelled{JobId{any + 10'000'000}}); break;
  }
}

}  // namespace centrale
