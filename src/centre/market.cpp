// SPDX-License-Identifier: Apache-2.0
// What the plan leaves idle goes to the spot market, and what the plan needs back comes from it.
#include <algorithm>
#include <cmath>

#include "centre/core_state.hpp"

namespace centrale {

namespace {

/// Quotas are guarantees of the plan; what is idle may be bought beyond them, within the budget.
class BudgetOnly final : public Allowance {
 public:
  explicit BudgetOnly(CoreState& core) : core_(core) {}
  [[nodiscard]] KindMask kinds_for(TenantId tenant, std::int64_t, std::int64_t) const override {
    return core_.within_budget(tenant) ? kAnyKind : 0;
  }
  void take(TenantId tenant, KindIndex, std::int64_t chips, std::int64_t) override { core_.tenants[tenant.value - 1].spot_held += chips; }

 private:
  CoreState& core_;
};

}  // namespace

MicroCurrency bid_of(const JobSpec& spec) { return {std::llround(spec.bid * 1e6)}; }

bool CoreState::is_spot(const Task& task) const { return pay_class_of(task) == PayClass::spot; }

void CoreState::hold_chips(const Task& task, std::int64_t sign) {
  const auto count = static_cast<std::int64_t>(task.chips.size()) * sign;
  if (is_spot(task)) {
    tenants[tenant_of(task).value - 1].spot_held += count;
  } else {
    take(tenant_of(task), pool.kind_of(task.chips.front()), count, task.share_milli);
  }
}

void CoreState::list_price(Chip& chip, MicroCurrency price) {
  MicroCurrency& list = list_prices[static_cast<std::size_t>(chip.kind)];
  const bool was_highest = chip.price_per_hour == list && price < list;
  chip.price_per_hour = price;
  if (was_highest) {  // rare: a node came back cheaper
    list = {};
    for (const Chip& other : chips) {
      if (other.kind == chip.kind) { list = std::max(list, other.price_per_hour); }
    }
  }
  list = std::max(list, price);
}

void CoreState::trade() {
  if (spot.idle()) { return; }
  const KindPrices before = spot.prices();
  spot.set_terms(scheduling.market, list_prices);
  blocked.clear();
  if (spot.anything_runs()) { policy->each_blocked(blocked); }
  for (const Work& work : blocked) {
    spot.must_fit(work, kinds_for(work.tenant, work.chips_total(), work.gang.share_milli) & work.kinds.mask);
  }
  if (!blocked.empty()) {  // what the plan stopped already is room for it
    tasks.each([&](const Task& task) {
      if (task.state == TaskState::stopping && !is_spot(task)) { spot.coming(task.chips, gang_of(task)); }
    });
  }
  decision.clear();
  BudgetOnly allowance(*this);
  spot.decide(pool, allowance, now, decision);
  carry_out();
  if (spot.prices() == before) { return; }
  // Those that were told to stop pay what they agreed to; all others the new price.
  spot.each_running([&](TaskId id) {
    Task& task = tasks.at(id);
    settle(task, rate_of(task));
  });
}

}  // namespace centrale
