// SPDX-License-Identifier: Apache-2.0
// Tenants, keys and the ledger's arithmetic.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "centre/core_state.hpp"

namespace centrale {

namespace {
constexpr std::int64_t kDayNs = 86'400'000'000'000;
}

Usage& Usage::operator+=(const Usage& other) {
  device_time += other.device_time;
  energy += other.energy;
  energy_estimated += other.energy_estimated;
  tokens_trained += other.tokens_trained;
  requests += other.requests;
  prompt_tokens += other.prompt_tokens;
  completion_tokens += other.completion_tokens;
  estimated_tokens += other.estimated_tokens;
  cost += other.cost;
  preemptible_time += other.preemptible_time;
  spot_time += other.spot_time;
  preemptible_cost += other.preemptible_cost;
  spot_cost += other.spot_cost;
  return *this;
}

Result<void> CoreState::check_tenant(TenantId id) const {
  if (id.value == 0 || id.value > tenants.size()) {
    return fail(ErrorKind::not_found, fmt::format("there is no tenant {}", to_string(id)));
  }
  return {};
}

bool CoreState::is_below(const std::string& name, const std::string& above) const {
  const std::string* at = &name;
  for (std::size_t steps = 0; !at->empty() && steps <= tenants.size(); ++steps) {
    if (*at == above) { return true; }
    const auto found = tenant_names.find(*at);
    if (found == tenant_names.end()) { return false; }
    at = &tenants[found->second.value - 1].quota.parent;
  }
  return false;
}

Result<void> CoreState::on(TenantDefined& e) {
  if (e.name.empty() || e.name.size() > kNameMax || e.name.find('/') != std::string::npos) {
    return fail(ErrorKind::invalid, fmt::format("'{}' is no name for a tenant", e.name), "name",
                fmt::format("1 to {} characters, no '/'", kNameMax));
  }
  if (e.quota.chips_max < 0 || e.quota.tokens_per_day_max < 0) {
    return fail(ErrorKind::invalid, "a quota cannot be negative", "quota", "0 means no limit");
  }
  if (!std::isfinite(e.quota.weight) || e.quota.weight <= 0 || e.quota.cost_max.value < 0 || e.quota.cost_period.value < 0 ||
      e.quota.cost_period > kSpanMax || std::ranges::any_of(e.quota.kinds, [](const KindQuota& quota) { return quota.chips_max < 0; })) {
    return fail(ErrorKind::invalid, "a quota cannot be negative, a weight is above 0, and a budget's period has an end", "quota");
  }
  if (!e.quota.parent.empty() && (e.quota.parent == e.name || !tenant_names.contains(e.quota.parent) || is_below(e.quota.parent, e.name))) {
    return fail(ErrorKind::invalid, fmt::format("'{}' cannot be the parent of '{}'", e.quota.parent, e.name), "parent",
                "a tenant that is defined already, and not below this one");
  }
  const auto known = tenant_names.find(e.name);
  TenantId id = known == tenant_names.end() ? TenantId{} : known->second;
  if (!id) {
    if (tenants.size() >= limits.tenants_max) {
      return fail(ErrorKind::exhausted, fmt::format("the centre has {} tenants, its limit", limits.tenants_max));
    }
    tenants.emplace_back();
    held_by_kind.emplace_back();
    burns.emplace_back();
    id = TenantId{tenants.size()};
    tenants.back().name = e.name;
    tenant_names[e.name] = id;
  }
  Tenant& tenant = tenants[id.value - 1];
  const bool new_period = tenant.quota.cost_period != e.quota.cost_period;
  tenant.quota = std::move(e.quota);
  if (new_period) {  // it counts from now on: what was spent in the part of it that is over is not known any more
    tenant.cost_period = tenant.quota.cost_period.value == 0 ? 0 : now.ns / tenant.quota.cost_period.value;
    tenant.cost_before = tenant.usage.cost + accrued(id, now);
  }
  budgets_touched.push_back(id);
  tell_tenancy(id);
  schedule_wanted = true;  // a larger quota may let a waiting job start
  out->created = id.value;
  changed(Change::What::tenant, id.value);
  return {};
}

Result<void> CoreState::on(KeyAdded& e) {
  TRY(check_tenant(e.tenant));
  if (e.hash.empty() || e.hash.size() > 256 || e.label.size() > 200) {
    return fail(ErrorKind::invalid, "a key needs a hash of at most 256 and a label of at most 200 characters", "key");
  }
  if (keys.size() >= limits.keys_max) {
    return fail(ErrorKind::exhausted, fmt::format("the centre has {} keys, its limit", limits.keys_max));
  }
  if (!key_hashes.try_emplace(e.hash, KeyId{keys.size() + 1}).second) {
    return fail(ErrorKind::conflict, "that key is known already", "key");
  }
  keys.push_back(
      {.tenant = e.tenant, .label = std::move(e.label), .hash = std::move(e.hash), .role = e.role, .revoked = false, .added = now});
  out->created = keys.size();
  changed(Change::What::key, keys.size());
  return {};
}

Result<void> CoreState::on(KeyRevoked& e) {
  if (e.key.value == 0 || e.key.value > keys.size()) {
    return fail(ErrorKind::not_found, fmt::format("there is no key {}", to_string(e.key)));
  }
  keys[e.key.value - 1].revoked = true;
  out->created = e.key.value;
  changed(Change::What::key, e.key.value);
  return {};
}

Result<void> CoreState::on(TokensMetered& e) {
  TRY(check_tenant(e.tenant));
  if (e.requests < 0 || e.prompt_tokens < 0 || e.completion_tokens < 0 || e.estimated_tokens < 0) {
    return fail(ErrorKind::invalid, "a meter cannot run backwards", "tokens");
  }
  const Usage used{.device_time = {},
                   .energy = {},
                   .energy_estimated = 0,
                   .tokens_trained = 0,
                   .requests = e.requests,
                   .prompt_tokens = e.prompt_tokens,
                   .completion_tokens = e.completion_tokens,
                   .estimated_tokens = e.estimated_tokens,
                   .cost = {},
                   .preemptible_time = {},
                   .spot_time = {},
                   .preemptible_cost = {},
                   .spot_cost = {}};
  Tenant& tenant = tenants[e.tenant.value - 1];
  tenant.usage += used;
  const std::int64_t day = now.ns / kDayNs;
  if (tenant.day != day) {
    tenant.day = day;
    tenant.day_tokens = 0;
  }
  tenant.day_tokens += e.prompt_tokens + e.completion_tokens;
  if (Service* const service = services.find(e.service); service != nullptr) {
    service->usage += used;
    changed(Change::What::service, e.service.value);
  }
  changed(Change::What::usage, e.tenant.value);
  return {};
}

}  // namespace centrale
