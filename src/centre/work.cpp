// SPDX-License-Identifier: Apache-2.0
// What the policy is told of jobs and replicas, what tenants may still take, and what is done with a decision.
#include <algorithm>

#include <fmt/format.h>

#include "centre/core_state.hpp"

namespace centrale {

namespace {
constexpr std::uint64_t kReplicaOwner = std::uint64_t{1} << 63U;
constexpr std::uint64_t kOrdinals = std::uint64_t{1} << 20U;
}  // namespace

std::uint64_t CoreState::owner_of(const Task& task) const {
  if (task.job) { return task.job.value; }
  return kReplicaOwner | (task.service.value * kOrdinals + static_cast<std::uint64_t>(task.ordinal));
}

std::shared_ptr<const SpeedTable> CoreState::table_of(const Job& job) {
  if (!job.speeds) { return nullptr; }
  const std::string_view what = estimated_as(job.spec);
  TableKey key{job.speeds.value.get(), std::string(what)};
  auto& made = tables[key];
  auto table = made.table.lock();
  if (table == nullptr || made.kinds != kinds.size() || made.corrections != corrections_seen) {
    std::vector<std::string> names;
    for (const ChipKind& kind : kinds) { names.push_back(kind.name); }
    table = compile(*job.speeds, names, &corrections, what);
    made = {table, kinds.size(), corrections_seen};
  }
  if (tables.size() > 4096) {
    std::erase_if(tables, [](const auto& entry) { return entry.second.table.expired(); });
  }
  return table->shapes.empty() ? nullptr : table;
}

Work CoreState::work_of(const Job& job) {
  const JobSpec& spec = job.spec;
  Work work;
  work.task = job.task;
  work.owner = job.id.value;
  work.tenant = job.tenant;
  work.priority = spec.priority;
  work.order = job.order;
  work.kinds = choose_kinds(spec.chip_kinds).value_or(KindChoice{});
  work.gang = gang_of(spec);
  if (const Task* const task = tasks.find(job.task); task != nullptr) { work.gang.reservation = task->reservation.value; }
  work.workers_min = spec.workers_min;
  work.workers_max = spec.workers_max;
  work.preemptible = spec.preemptible;
  work.speed = table_of(job);
  work.expected = spec.estimate.value > 0 ? spec.estimate : spec.time_limit;
  if (work.speed != nullptr) {
    work.work_left = job.speeds->work > 0 ? std::max(job.speeds->work - job.work_done, 1e-9) : 0;
  } else if (work.expected.value > 0) {
    work.work_left = std::max(to_seconds(work.expected) - job.work_done, 1e-3);
    work.expected = Nanos{static_cast<std::int64_t>(work.work_left * 1e9)};
  }
  work.submitted = job.submitted;
  work.queued = job.queued;
  work.attained = job.usage.device_time;
  work.reported = job.reported;
  work.saved = job.saved;
  work.restart_cost = spec.restart_cost;
  work.checkpoint_every = spec.checkpoint_every;
  work.bid = bid_of(spec);
  return work;
}

Work CoreState::work_of(const Service& service, const Task& task) const {
  Work work;
  work.task = task.id;
  work.owner = owner_of(task);
  work.tenant = service.tenant;
  work.priority = service.spec.priority;
  work.order = service.order + static_cast<std::uint64_t>(task.ordinal);
  work.kinds = choose_kinds(service.spec.chip_kinds).value_or(KindChoice{});
  work.gang = {.workers = 1,
               .chips = task.chips_per_worker,
               .memory = task.memory,
               .cpu_milli = task.cpu_milli,
               .share_milli = task.share_milli,
               .apart = task.apart ? kReplicaOwner | service.id.value : 0,
               .ends = kNever,
               .reservation = 0};
  work.service = true;
  work.submitted = service.defined;
  work.queued = now;
  return work;
}

Work CoreState::work_of(const Task& task) { return task.job ? work_of(jobs.at(task.job)) : work_of(services.at(task.service), task); }

Gang CoreState::gang_of(const JobSpec& spec) const {
  return {.workers = spec.workers,
          .chips = spec.chips,
          .memory = spec.memory,
          .cpu_milli = spec.cpu_milli,
          .share_milli = spec.share_milli,
          .apart = 0,
          .ends = spec.preemptible || spec.bid > 0 ? Time{} : kNever,  // what may be stopped at any time is never in the way
          .reservation = 0,
          .limit = spec.time_limit};
}

Gang CoreState::gang_of(const Task& task) const {
  return {.workers = static_cast<std::int64_t>(task.chips.size()) / task.chips_per_worker,
          .chips = task.chips_per_worker,
          .memory = task.memory,
          .cpu_milli = task.cpu_milli,
          .share_milli = task.share_milli,
          .apart = task.apart ? kReplicaOwner | task.service.value : 0,
          .ends = kNever,
          .reservation = task.reservation.value,
          .limit = {}};
}

KindMask CoreState::kinds_for(TenantId id, std::int64_t count, std::int64_t share_milli) const {
  const Tenant& tenant = tenants[id.value - 1];
  const std::int64_t more = count * share_milli;
  if (tenant.quota.chips_max > 0 && tenant.held_milli + more > tenant.quota.chips_max * 1000) { return 0; }
  if (!within_budget(id)) { return 0; }
  KindMask mask = kinds.size() < kKindsMax ? (KindMask{1} << kinds.size()) - 1 : kAnyKind;
  for (const KindQuota& quota : tenant.quota.kinds) {
    const auto kind = std::ranges::find(kinds, quota.kind, &ChipKind::name) - kinds.begin();
    if (kind < static_cast<std::ptrdiff_t>(kinds.size()) && held_of(id, static_cast<KindIndex>(kind)) + more > quota.chips_max * 1000) {
      mask &= ~(KindMask{1} << kind);
    }
  }
  return mask;
}

std::int64_t CoreState::held_of(TenantId id, KindIndex kind) const {
  const auto& held = held_by_kind[id.value - 1];
  return kind < held.size() ? held[kind] : 0;
}

void CoreState::take(TenantId id, KindIndex kind, std::int64_t count, std::int64_t share_milli) {
  Tenant& tenant = tenants[id.value - 1];
  tenant.held_milli += count * share_milli;
  tenant.chips_held += count;
  auto& held = held_by_kind[id.value - 1];
  if (held.size() <= kind) { held.resize(kind + 1U, 0); }
  held[kind] += count * share_milli;
}

void CoreState::schedule() {
  pool.set_now(now);
  begin_holds();
  schedule_reserved();
  decision.clear();
  policy->decide(pool, *this, now, decision);
  carry_out();
  trade();
  end_holds();
  defragment();
}

void CoreState::carry_out() {
  const std::size_t starts = decision.starts.size();
  for (std::size_t i = 0; i < starts; ++i) {
    const Start& given = decision.starts[i];
    Task& task = tasks.at(given.task);
    const auto first = decision.chips.begin() + static_cast<std::ptrdiff_t>(given.first);
    task.chips.assign(first, first + static_cast<std::ptrdiff_t>(given.count));
    task.chips_per_worker = given.chips;
    task.row = given.row;
    start(task);
  }
  for (const Stop& given : decision.stops) {
    Task& task = tasks.at(given.task);
    if (task.job) { ++jobs.at(task.job).stops; }
    evict(task, given.why == StopReason::preempted ? "its chips were needed for others"
                : given.why == StopReason::resized ? "it goes on with another number or kind of chips"
                : given.why == StopReason::moved   ? "it is moved"
                                                   : "it was outbid");
  }
  if (decision.wake != kNever && (!decide_timer || decision.wake < timers.at(decide_timer).due)) {
    if (decide_timer) { timers.erase(decide_timer); }
    decide_timer = set_timer({.id = {},
                              .due = std::max(decision.wake, now),
                              .purpose = TimerPurpose::decide,
                              .job = {},
                              .service = {},
                              .task = {},
                              .ordinal = 0});
  }
}

void CoreState::adopt(const Task& task) {
  if (task.state == TaskState::queued) {
    policy_of(task).enqueue(work_of(task));
    return;
  }
  policy_of(task).adopt(work_of(task), task.chips, task.chips_per_worker, task.row, task.placed);
  if (task.state == TaskState::stopping) { policy_of(task).stopping(task.id); }
}

void CoreState::use_policy(std::unique_ptr<Policy> fresh) {
  policy = std::move(fresh);
  for (std::size_t i = 0; i < tenants.size(); ++i) { tell_tenancy(TenantId{i + 1}); }
  tasks.each([&](const Task& task) {
    if (&policy_of(task) == policy.get()) { adopt(task); }
  });
}

void CoreState::tell_tenancy(TenantId id) {
  const Quota& quota = tenants[id.value - 1].quota;
  const auto parent = tenant_names.find(quota.parent);
  policy->tenancy(id, {.parent = parent == tenant_names.end() ? TenantId{} : parent->second, .weight = quota.weight});
}

Result<void> CoreState::on(SchedulingSet& e) {
  if (e.scheduling.suspect_after < 0 || e.scheduling.suspect_after > static_cast<std::int64_t>(kFailedInARowMax)) {
    return fail(ErrorKind::invalid, fmt::format("suspect_after is {}", e.scheduling.suspect_after), "scheduling",
                fmt::format("from 0 (never) to {}", kFailedInARowMax));
  }
  const Market& market = e.scheduling.market;
  if (!(market.reserve >= 0 && market.reserve <= 1 && market.preemptible_discount >= 0 && market.preemptible_discount <= 1) ||
      market.period.value < 0 || market.period > kSpanMax) {
    return fail(ErrorKind::invalid,
                fmt::format("a reserve of {}, a discount of {}, a period of {} s", market.reserve, market.preemptible_discount,
                            to_seconds(market.period)),
                "market", "reserve and preemptible_discount are from 0 to 1, period is not below 0");
  }
  if (e.scheduling.defrag != "off" && e.scheduling.defrag != "propose" && e.scheduling.defrag != "auto") {
    return fail(ErrorKind::invalid, fmt::format("'{}' is no way to defragment", e.scheduling.defrag), "defrag", "off, propose or auto");
  }
  if (e.scheduling.defrag_period < seconds(1) || e.scheduling.defrag_period > kSpanMax) {
    return fail(ErrorKind::invalid, fmt::format("a period of {} s", to_seconds(e.scheduling.defrag_period)), "defrag_period",
                "from a second to 3650 days");
  }
  TRY_ASSIGN(std::unique_ptr<Policy> fresh, make_policy(e.scheduling));
  scheduling = std::move(e.scheduling);
  use_policy(std::move(fresh));
  schedule_wanted = true;
  return {};
}

Result<void> CoreState::on(SpeedRevised& e) {
  Job* const job = jobs.find(e.job);
  if (job == nullptr || is_final(job->state)) { return {}; }  // it ended in the meantime
  const Task* const task = tasks.find(job->task);
  const bool waits = task != nullptr && task->state == TaskState::queued;
  if (waits) { policy_of(*task).dequeue(work_of(*job)); }
  job->speeds = std::move(e.speeds);
  if (waits) {  // its length and its shapes may be others
    policy_of(*task).enqueue(work_of(*job));
  } else if (task != nullptr) {
    policy_of(*task).respeed(job->task, table_of(*job));
  }
  return {};
}

}  // namespace centrale
