// SPDX-License-Identifier: Apache-2.0
// Tenants and keys; for administrators.
#include <fmt/format.h>

#include "api/call.hpp"
#include "api/keys.hpp"
#include "api/request.hpp"
#include "base/text.hpp"

namespace centrale::api {
namespace {

constexpr std::int64_t kQuotaMax = 1'000'000'000'000'000;
constexpr std::size_t kLabelMax = 200;

Result<void> check_quota(std::string_view name, const std::optional<std::int64_t>& value) {
  if (value && (*value < 0 || *value > kQuotaMax)) {
    return fail(ErrorKind::invalid, fmt::format("{} is not from 0 to {}", *value, kQuotaMax), std::string(name), "0 means no limit");
  }
  return {};
}

}  // namespace

Result<TenantId> find_tenant(const Core& core, std::string_view name) {
  if (const TenantId id = core.tenant_of(name)) { return id; }
  if (const auto id = parse_id<TenantTag>(name); id && core.tenant(*id) != nullptr) { return *id; }
  std::vector<std::string> names;
  for (std::uint64_t i = 1; i <= std::min<std::uint64_t>(core.tenant_count(), 500); ++i) {
    names.push_back(core.tenant(TenantId{i})->name);
  }
  return fail(ErrorKind::not_found, fmt::format("no tenant '{}'", to_utf8(name.substr(0, 100))), "tenant",
              nearest_remedy(name.substr(0, 100), names));
}

void list_tenants(const CallPtr& call) {
  look(call, [call](const Core& core, Time now) -> Result<Answer> {
    TRY_ASSIGN(const std::uint64_t first, call->after<TenantTag>());
    const Page page = dense_page(first, core.tenant_count(), call->number("limit").value_or(kListUsual));
    const std::vector<Usage> usage = usage_of_tenants(core, now);
    TenantList list;
    for (std::uint64_t id = page.first; id <= page.last; ++id) {
      list.tenants.push_back(view_tenant(core, TenantId{id}, now, usage[id - 1]));
    }
    if (page.more) { list.next = TenantId{page.last}; }
    return json_answer(list);
  });
}

void put_tenant(const CallPtr& call) {
  const auto request = read_request<TenantRequest>(call->request.body);
  if (!request) {
    send(call, error_answer(request.error()));
    return;
  }
  ask(
      call,
      [wanted = *request](const Core& core, Time) -> Result<Event> {
        TRY(check_quota("chips_max", wanted.chips_max));
        TRY(check_quota("tokens_per_day_max", wanted.tokens_per_day_max));
        const Tenant* known = core.tenant(core.tenant_of(*wanted.name));
        if (known == nullptr && !is_valid_name(*wanted.name)) {
          return fail(ErrorKind::invalid, fmt::format("'{}' is no name for a tenant", to_utf8(wanted.name->substr(0, 100))), "name",
                      "use a-z, 0-9 and '-', at most 63");
        }
        Quota quota = known != nullptr ? known->quota : Quota{};
        quota.chips_max = wanted.chips_max.value_or(quota.chips_max);
        quota.tokens_per_day_max = wanted.tokens_per_day_max.value_or(quota.tokens_per_day_max);
        return TenantDefined{.name = *wanted.name, .quota = quota};
      },
      [](const Core& core, Time now, std::uint64_t created) -> Result<Answer> {
        return json_answer(view_tenant(core, TenantId{created}, now, core.usage(TenantId{created}, now)));
      });
}

void list_keys(const CallPtr& call) {
  look(call, [call](const Core& core, Time) -> Result<Answer> {
    TRY_ASSIGN(const std::uint64_t first, call->after<KeyTag>());
    const Page page = dense_page(first, core.key_count(), call->number("limit").value_or(kListUsual));
    KeyList list;
    for (std::uint64_t id = page.first; id <= page.last; ++id) { list.keys.push_back(view_key(core, KeyId{id})); }
    if (page.more) { list.next = KeyId{page.last}; }
    return json_answer(list);
  });
}

void add_key(const CallPtr& call) {
  const auto request = read_request<KeyRequest>(call->request.body);
  if (!request) {
    send(call, error_answer(request.error()));
    return;
  }
  auto key = make_key();
  if (!key) {
    send(call, error_answer(key.error()));
    return;
  }
  ask(
      call,
      [call, wanted = *request, hash = key_hash(*key)](const Core& core, Time) -> Result<Event> {
        TenantId tenant = call->caller.tenant;
        if (wanted.tenant) { TRY_ASSIGN(tenant, find_tenant(core, *wanted.tenant)); }
        if (wanted.label && wanted.label->size() > kLabelMax) {
          return fail(ErrorKind::invalid, fmt::format("longer than {} bytes", kLabelMax), "label");
        }
        return KeyAdded{.tenant = tenant, .label = wanted.label.value_or(""), .hash = hash, .role = wanted.role.value_or(Role::user)};
      },
      [key = *key](const Core& core, Time, std::uint64_t created) -> Result<Answer> {
        const KeyView shown = view_key(core, KeyId{created});
        return json_answer(NewKeyView{.id = shown.id,
                                      .tenant = shown.tenant,
                                      .label = shown.label,
                                      .role = shown.role,
                                      .added = shown.added,
                                      .revoked = shown.revoked,
                                      .key = key},
                           201);
      });
}

void revoke_key(const CallPtr& call) {
  ask(
      call,
      [call](const Core& core, Time) -> Result<Event> {
        const auto id = parse_id<KeyTag>(call->arguments[0]);
        if (!id || core.key(*id) == nullptr) {
          return fail(ErrorKind::not_found, fmt::format("no key '{}'", to_utf8(call->arguments[0].substr(0, 100))), {},
                      "centrale keys lists them");
        }
        return KeyRevoked{.key = *id};
      },
      [call](const Core& core, Time, std::uint64_t) -> Result<Answer> {
        return json_answer(view_key(core, parse_id<KeyTag>(call->arguments[0]).value()));
      });
}

}  // namespace centrale::api
