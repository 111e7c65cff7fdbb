// SPDX-License-Identifier: Apache-2.0
// What chips cost, and what tenants may spend. A task pays a rate that was agreed when it was placed: the list price of its chips, less a
// discount if it may be stopped for others; spot work pays the clearing price of its kind, settled whenever that changes. Integers only:
// what is owed is kept in micro-units x ns, so that settling often costs nobody a micro-unit.
#include <algorithm>
#include <cmath>

#include "centre/core_state.hpp"

namespace centrale {

namespace {
constexpr std::int64_t kHour = 3'600'000'000'000;
constexpr Int128 kPpm = 1'000'000;
}  // namespace

PayClass pay_class(const JobSpec& spec) {
  return spec.bid > 0 ? PayClass::spot : spec.preemptible ? PayClass::preemptible : PayClass::on_demand;
}

PayClass CoreState::pay_class_of(const Task& task) const {
  return task.job ? pay_class(jobs.at(task.job).spec) : PayClass::on_demand;  // a service is a promise
}

MicroCurrency CoreState::rate_of(const Task& task) const {
  const PayClass pays = pay_class_of(task);
  Int128 rate = 0;
  for (const ChipId id : task.chips) {
    const Chip& chip = chips[id.value - 1];
    const MicroCurrency whole = pays == PayClass::spot ? spot.prices()[static_cast<std::size_t>(chip.kind)] : chip.price_per_hour;
    rate += static_cast<Int128>(whole.value) * task.share_milli / 1000;
  }
  if (pays == PayClass::preemptible) {
    rate = rate * (kPpm - static_cast<Int128>(std::llround(scheduling.market.preemptible_discount * 1e6))) / kPpm;
  }
  return {static_cast<std::int64_t>(rate)};
}

namespace {
/// What the task owes at `at`, in micro-units x ns per hour.
Int128 owed(const Task& task, Time at) {
  return static_cast<Int128>(task.billed.value) * kHour + task.billed_rest +
         static_cast<Int128>(task.rate.value) * (at - task.billed_until).value;
}
}  // namespace

Usage CoreState::held(const Task& task, Time to) const {
  Usage sum;
  if (to <= task.placed) { return sum; }
  const Nanos span = to - task.placed;
  const Nanos part{span.value / 1000 * task.share_milli + span.value % 1000 * task.share_milli / 1000};
  for (const ChipId id : task.chips) {
    sum.device_time += part;
    sum.energy += energy(chips[id.value - 1].power, part);
  }
  sum.cost = {static_cast<std::int64_t>(owed(task, std::max(to, task.billed_until)) / kHour)};
  sum.energy_estimated = 1;
  switch (pay_class_of(task)) {
    case PayClass::on_demand: break;
    case PayClass::preemptible:
      sum.preemptible_time = sum.device_time;
      sum.preemptible_cost = sum.cost;
      break;
    case PayClass::spot:
      sum.spot_time = sum.device_time;
      sum.spot_cost = sum.cost;
      break;
  }
  return sum;
}

void CoreState::burn(const Task& task, bool starts) {
  const TenantId id = tenant_of(task);
  roll_cost_period(id);
  Burn& burn = burns[id.value - 1];
  const int sign = starts ? 1 : -1;
  burn.per_hour += static_cast<Int128>(task.rate.value) * sign;
  burn.owed += owed(task, Time{}) * sign;
  if (tenants[id.value - 1].quota.cost_max.value > 0) { budgets_touched.push_back(id); }
}

void CoreState::settle(Task& task, MicroCurrency rate) {
  if (task.rate == rate) { return; }
  burn(task, false);
  const Int128 sum = owed(task, now);
  task.billed = {static_cast<std::int64_t>(sum / kHour)};
  task.billed_rest = static_cast<std::int64_t>(sum % kHour);
  task.billed_until = now;
  task.rate = rate;
  burn(task, true);
}

MicroCurrency CoreState::accrued(TenantId id, Time at) const {
  const Burn& burn = burns[id.value - 1];
  return {static_cast<std::int64_t>((burn.per_hour * at.ns + burn.owed) / kHour)};
}

// Nothing changed between the last change and the boundary, or the period would have been rolled then: what the sum was at the
// boundary can be told later.
MicroCurrency CoreState::spent_before(TenantId id) const {
  const Tenant& tenant = tenants[id.value - 1];
  const std::int64_t period = tenant.quota.cost_period.value;
  if (period == 0) { return {}; }
  if (tenant.cost_period == now.ns / period) { return tenant.cost_before; }
  return tenant.usage.cost + accrued(id, Time{now.ns / period * period});
}

void CoreState::roll_cost_period(TenantId id) {
  Tenant& tenant = tenants[id.value - 1];
  if (tenant.quota.cost_period.value == 0) { return; }
  tenant.cost_before = spent_before(id);
  tenant.cost_period = now.ns / tenant.quota.cost_period.value;
}

MicroCurrency CoreState::spent(TenantId id) const { return tenants[id.value - 1].usage.cost + accrued(id, now) - spent_before(id); }

bool CoreState::within_budget(TenantId id) const {
  const MicroCurrency most = tenants[id.value - 1].quota.cost_max;
  return most.value == 0 || spent(id) < most;
}

/// When what the tenant may start changes by itself: its budget is spent, or a new period begins.
Time CoreState::budget_changes(TenantId id) const {
  const Tenant& tenant = tenants[id.value - 1];
  const std::int64_t period = tenant.quota.cost_period.value;
  const Time renewed = period == 0 ? kNever : Time{(now.ns / period + 1) * period};
  if (!within_budget(id)) { return renewed; }
  const Burn& burn = burns[id.value - 1];
  if (burn.per_hour <= 0) { return kNever; }
  const Int128 most = static_cast<Int128>((tenant.quota.cost_max + spent_before(id) - tenant.usage.cost).value) * kHour;
  const Int128 at = (most - burn.owed + burn.per_hour - 1) / burn.per_hour;
  return at >= renewed.ns ? renewed : Time{std::max(static_cast<std::int64_t>(at), now.ns + 1)};
}

void CoreState::watch_budget(TenantId id) {
  Tenant& tenant = tenants[id.value - 1];
  Time due = kNever;
  if (tenant.quota.cost_max.value > 0) {
    if (!within_budget(id)) { stop_sparable(id); }
    due = budget_changes(id);
  }
  const Timer* const set = timers.find(tenant.budget_timer);
  if (due == kNever || (set != nullptr && set->due <= due)) { return; }  // one that is early only looks again
  if (set != nullptr) { timers.erase(tenant.budget_timer); }
  tenant.budget_timer =
      set_timer({.id = {}, .due = due, .purpose = TimerPurpose::budget, .job = {}, .service = {}, .task = {}, .tenant = id});
}

void CoreState::watch_budgets() {
  for (std::size_t i = 0; i < budgets_touched.size(); ++i) { watch_budget(budgets_touched[i]); }
  budgets_touched.clear();
}

void CoreState::stop_sparable(TenantId id) {
  std::vector<TaskId> sparable;
  tasks.each([&](const Task& task) {
    const bool runs = task.state == TaskState::starting || task.state == TaskState::running;
    if (runs && tenant_of(task) == id && pay_class_of(task) != PayClass::on_demand) { sparable.push_back(task.id); }
  });
  for (const TaskId each : sparable) { evict(tasks.at(each), "its tenant's budget is spent"); }
}

WaitReason CoreState::waits_for(const Job& job) const {
  if (job.state != JobState::queued || job.wait != WaitReason::chips) { return job.wait; }
  if (!within_budget(job.tenant)) { return WaitReason::budget; }
  const KindMask wanted = choose_kinds(job.spec.chip_kinds).value_or(KindChoice{}).mask;
  if (pay_class(job.spec) == PayClass::spot) {
    for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
      const MicroCurrency price = std::max(spot.prices()[kind], spot.reserve()[kind]);
      if ((wanted >> kind & 1) != 0 && bid_of(job.spec) >= price) { return WaitReason::chips; }
    }
    return WaitReason::price;
  }
  const std::int64_t chips_wanted = job.spec.workers * job.spec.chips;
  return (kinds_for(job.tenant, chips_wanted, job.spec.share_milli) & wanted) == 0 ? WaitReason::quota : WaitReason::chips;
}

}  // namespace centrale
