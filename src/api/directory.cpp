// SPDX-License-Identifier: Apache-2.0
#include "api/directory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "api/keys.hpp"
#include "base/ensure.hpp"
#include "base/text.hpp"
#include "operate/host.hpp"

namespace centrale::api {
namespace {

constexpr std::int64_t kDayNs = seconds(86'400).value;
/// Names of removed services are kept for requests that are still under way; beyond this many they go.
constexpr std::size_t kRetiredMax = 10'000;

/// The keys as a whole; a new one replaces the old, so that a look-up needs no lock.
struct KeyTable {
  struct Entry {
    KeyDigest digest{};
    Caller caller;
  };
  std::vector<Entry> live;  // by digest
  std::unordered_map<KeyId, Role> roles;
  bool any = false;  // revoked ones too
};

std::shared_ptr<const KeyTable> make_key_table(const Core& core) {
  auto table = std::make_shared<KeyTable>();
  for (std::uint64_t i = 1; i <= core.key_count(); ++i) {
    const Key* key = core.key(KeyId{i});
    if (key == nullptr) { continue; }
    table->any = true;
    const auto digest = parse_key_hash(key->hash);
    const Tenant* tenant = core.tenant(key->tenant);
    if (key->revoked || !digest || tenant == nullptr) { continue; }
    table->live.push_back(
        {*digest, {.tenant = key->tenant, .tenant_name = tenant->name, .key = KeyId{i}, .role = key->role, .proven = true}});
    table->roles.emplace(KeyId{i}, key->role);
  }
  std::sort(table->live.begin(), table->live.end(), [](const auto& a, const auto& b) { return a.digest < b.digest; });
  return table;
}

/// One tenant's tokens of the day.
struct Meter {
  std::int64_t max = 0;  // 0: no limit
  std::int64_t day = 0;
  std::int64_t used = 0;
  std::int64_t reserved = 0;  // requests under way; these outlive midnight

  void turn_to(std::int64_t today) {
    if (day != today) {
      day = today;
      used = 0;
    }
  }
};

/// One service as the data plane sees it.
struct Route {
  ServiceId service;
  TenantId tenant;
  std::int64_t created_s = 0;
  bool removed = false;
  std::vector<gateway::Endpoint> ready;
};

Route make_route(const Core& core, const Service& service) {
  Route route{.service = service.id,
              .tenant = service.tenant,
              .created_s = service.defined.ns / seconds(1).value,
              .removed = service.removing,
              .ready = {}};
  for (const ReplicaSlot& slot : service.replicas) {
    const Task* task = core.task(slot.task);
    if (task != nullptr && task->ready && task->state == TaskState::running && !task->stop_wanted) {
      // Replicas listen on loopback (docs/task-contract.md).
      route.ready.push_back(
          {.replica = task->id, .host = "127.0.0.1", .port = static_cast<std::uint16_t>(task->port), .model = service.spec.name});
    }
  }
  return route;
}

}  // namespace

bool is_loopback(std::string_view remote) {
  return remote.starts_with("127.") || remote.starts_with("[::1]:") || remote.starts_with("[::ffff:127.");
}

struct Directory::State {
  State(Host& the_host, Clock& the_clock, std::optional<KeyDigest> root) : host(the_host), clock(the_clock), admin(root) {}

  Host& host;
  Clock& clock;
  const std::optional<KeyDigest> admin;

  mutable std::mutex mutex;  // guards all below
  bool ready = false;
  std::shared_ptr<const KeyTable> keys = std::make_shared<KeyTable>();
  std::string default_name;
  std::vector<Meter> meters;                         // by tenant id - 1
  std::map<std::string, Route, std::less<>> routes;  // by model name, so that lists are in order
  std::unordered_map<ServiceId, std::string> names;
  std::size_t retired = 0;

  [[nodiscard]] std::int64_t today() const { return clock.now().ns / kDayNs; }

  void learn_tenant(const Core& core, TenantId id) {
    const Tenant* tenant = core.tenant(id);
    if (tenant == nullptr) { return; }
    if (id == kDefaultTenant) { default_name = tenant->name; }
    if (meters.size() < id.value) { meters.resize(id.value); }
    Meter& meter = meters[id.value - 1];
    meter.max = tenant->quota.tokens_per_day_max;
    meter.turn_to(today());
    // The core lags behind what was settled here and is ahead only after a restart: the larger count is the true one.
    if (tenant->day == meter.day) { meter.used = std::max(meter.used, tenant->day_tokens); }
  }

  void learn_service(const Core& core, ServiceId id) {
    const Service* service = core.service(id);
    if (service != nullptr) {
      names[id] = service->spec.name;
      routes.insert_or_assign(service->spec.name, make_route(core, *service));
      return;
    }
    const auto name = names.find(id);
    if (name == names.end()) { return; }
    if (const auto route = routes.find(name->second); route != routes.end() && route->second.service == id) {
      route->second.removed = true;
      route->second.ready.clear();
      ++retired;
    }
    names.erase(name);
    if (retired > kRetiredMax) {
      std::erase_if(routes, [&](const auto& entry) { return !names.contains(entry.second.service); });
      retired = 0;
    }
  }

  [[nodiscard]] bool may_call(const gateway::Principal& who, const Route& route) const {
    return route.tenant == who.tenant || route.tenant == kDefaultTenant;
  }

  [[nodiscard]] std::vector<std::string> names_for(const gateway::Principal& who) const {
    std::vector<std::string> visible;
    for (const auto& [name, route] : routes) {
      if (!route.removed && may_call(who, route)) { visible.push_back(name); }
    }
    return visible;
  }

  [[nodiscard]] Meter& meter_of(TenantId tenant) {
    if (meters.size() < tenant.value) { meters.resize(tenant.value); }
    Meter& meter = meters[tenant.value - 1];
    meter.turn_to(today());
    return meter;
  }

  void learn_all(const Core& core) {
    auto table = make_key_table(core);
    const std::lock_guard lock(mutex);
    keys = std::move(table);
    for (std::uint64_t i = 1; i <= core.tenant_count(); ++i) { learn_tenant(core, TenantId{i}); }
    core.each_service([&](const Service& service) { learn_service(core, service.id); });
    ready = true;
  }

  void learn(const Core& core, const std::vector<Change>& changes) {
    const bool keys_changed = std::any_of(changes.begin(), changes.end(), [](const Change& c) { return c.what == Change::What::key; });
    auto table = keys_changed ? make_key_table(core) : nullptr;
    const std::lock_guard lock(mutex);
    if (table) { keys = std::move(table); }
    for (const Change& change : changes) {
      switch (change.what) {
        case Change::What::tenant:
        case Change::What::usage: learn_tenant(core, TenantId{change.id}); break;
        case Change::What::service: learn_service(core, ServiceId{change.id}); break;
        case Change::What::key:
        case Change::What::job:
        case Change::What::node: break;
      }
    }
  }
};

Directory::Directory(Host& host, Clock& clock, std::string_view admin_hash)
    : state_(std::make_shared<State>(host, clock, parse_key_hash(admin_hash))) {
  ensure(admin_hash.empty() || state_->admin);
  host.read([weak = std::weak_ptr(state_)](const Core& core, Time) {
    if (const auto state = weak.lock()) { state->learn_all(core); }
  });
  host.on_changes([weak = std::weak_ptr(state_)](const Core& core, Time, const std::vector<Change>& changes) {
    if (const auto state = weak.lock()) { state->learn(core, changes); }
  });
}

Directory::~Directory() = default;

bool Directory::has_keys() const {
  const std::lock_guard lock(state_->mutex);
  return state_->keys->any;
}

Result<Caller> Directory::identify(std::string_view bearer, std::string_view remote) const {
  std::shared_ptr<const KeyTable> keys;
  Caller root{.tenant = kDefaultTenant, .tenant_name = {}, .key = {}, .role = Role::admin, .proven = false};
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->ready) { return fail(ErrorKind::unavailable, "the centre is starting", {}, "try again in a moment"); }
    keys = state_->keys;
    root.tenant_name = state_->default_name;
  }
  if (is_key(bearer)) {
    const KeyDigest digest = key_digest(bearer);
    if (state_->admin && same_digest(digest, *state_->admin)) {
      root.proven = true;
      return root;
    }
    // The search compares hashes of what was sent: nobody can steer a hash towards a stored one byte by byte.
    const auto found = std::lower_bound(keys->live.begin(), keys->live.end(), digest,
                                        [](const KeyTable::Entry& entry, const KeyDigest& wanted) { return entry.digest < wanted; });
    if (found != keys->live.end() && same_digest(found->digest, digest)) { return found->caller; }
  }
  if (!keys->any && is_loopback(remote)) {
    return root;  // whatever key is sent: OpenAI's clients cannot do without one
  }
  if (bearer.empty()) { return fail(ErrorKind::unauthorized, "this needs a key", {}, "send it as: Authorization: Bearer ck-…"); }
  return fail(ErrorKind::unauthorized, "the key is not known, or it was revoked", {},
              "an administrator makes a new one: centrale keys add");
}

Result<gateway::Principal> Directory::authenticate(std::string_view bearer, std::string_view remote) {
  auto caller = identify(bearer, remote);
  TRY(caller);
  return gateway::Principal{.tenant = caller->tenant, .key = caller->key, .tenant_name = std::move(caller->tenant_name)};
}

std::vector<gateway::Model> Directory::models(const gateway::Principal& who) {
  const std::lock_guard lock(state_->mutex);
  std::vector<gateway::Model> models;
  for (const auto& [name, route] : state_->routes) {
    if (!route.removed && state_->may_call(who, route)) {
      models.push_back({.name = name, .created_s = route.created_s, .ready = !route.ready.empty()});
    }
  }
  return models;
}

Result<std::vector<gateway::Endpoint>> Directory::replicas(const gateway::Principal& who, std::string_view model) {
  const std::lock_guard lock(state_->mutex);
  if (const auto role = state_->keys->roles.find(who.key); role != state_->keys->roles.end() && role->second == Role::viewer) {
    return fail(ErrorKind::forbidden, "this key may only look", {}, "use a key with the role user");
  }
  const auto route = state_->routes.find(model);
  if (route == state_->routes.end() || route->second.removed || !state_->may_call(who, route->second)) {
    const auto visible = state_->names_for(who);
    return fail(ErrorKind::not_found, fmt::format("no model '{}'", to_utf8(model.substr(0, kNameMax))), {},
                visible.empty() ? "none is served yet: centrale serve" : nearest_remedy(model, visible));
  }
  if (route->second.ready.empty()) {
    return fail(ErrorKind::unavailable, fmt::format("no replica of '{}' is ready", model), {},
                "try again in a moment; centrale ps shows its state");
  }
  return route->second.ready;
}

Result<void> Directory::reserve(const gateway::Principal& who, std::int64_t tokens) {
  ensure(tokens >= 0 && who.tenant);
  const std::lock_guard lock(state_->mutex);
  Meter& meter = state_->meter_of(who.tenant);
  if (meter.max > 0 && tokens > meter.max - meter.used - meter.reserved) {
    return fail(
        ErrorKind::exhausted,
        fmt::format("tenant '{}' may use {} tokens a day; {} are used, {} set aside for requests under way, and this one may take {}",
                    who.tenant_name, meter.max, meter.used, meter.reserved, tokens),
        {}, "ask for fewer (max_tokens), or wait until 00:00 UTC");
  }
  meter.reserved += tokens;
  return {};
}

void Directory::settle(const gateway::Usage& usage, std::int64_t reserved_tokens) {
  const std::int64_t used = usage.prompt_tokens + usage.completion_tokens;
  ServiceId service;
  {
    const std::lock_guard lock(state_->mutex);
    Meter& meter = state_->meter_of(usage.principal.tenant);
    ensure(reserved_tokens >= 0 && reserved_tokens <= meter.reserved);
    meter.reserved -= reserved_tokens;
    meter.used += used;
    if (const auto route = state_->routes.find(usage.model); route != state_->routes.end()) { service = route->second.service; }
  }
  state_->host.fact(TokensMetered{.tenant = usage.principal.tenant,
                                  .service = service,
                                  .requests = 1,
                                  .prompt_tokens = usage.prompt_tokens,
                                  .completion_tokens = usage.completion_tokens,
                                  .estimated_tokens = usage.estimated ? used : 0});
}

}  // namespace centrale::api
