// SPDX-License-Identifier: Apache-2.0
// Who may do what and where, as the rim needs it: keys, quotas and ready replicas, copied from the core as it changes, so that
// a request is admitted without waiting for the core thread.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "centre/core.hpp"
#include "gateway/gateway.hpp"

namespace centrale {
class Host;
class Clock;
}  // namespace centrale

namespace centrale::api {

/// The tenant that the centre itself has; whoever needs no key is of it.
inline constexpr TenantId kDefaultTenant{1};

/// Who calls the control API.
struct Caller {
  TenantId tenant;
  std::string tenant_name;
  KeyId key;  // none: the root key, or no keys are set up and the caller is on loopback
  Role role = Role::viewer;
  bool proven = false;  // by a key, not by where the call comes from
};

/// "127.0.0.1:51234" and "[::1]:51234" are; what a reverse proxy passes on looks so too, hence keys.
[[nodiscard]] bool is_loopback(std::string_view remote);

/// Safe from any thread; no call waits for more than a copy under a lock.
///
/// Quota: tokens are set aside before a request and settled after it here, at once, so that requests in parallel cannot overrun; the
/// core learns the sum as a fact and gives the day's count back after a restart. The day ends at midnight UTC.
class Directory final : public gateway::Backend {
 public:
  /// `admin_hash`: key_hash() of the root key, accepted as an administrator of the default tenant; empty: there is none.
  Directory(Host& host, Clock& clock, std::string_view admin_hash);
  ~Directory() override;
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  /// Unauthorized: no key or a wrong one. Without any key in the centre, callers on loopback are administrators; a revoked
  /// key still counts as one, so that revoking the last does not open the door. Unavailable: the core has not said yet.
  [[nodiscard]] Result<Caller> identify(std::string_view bearer, std::string_view remote) const;
  /// Does any key exist?
  [[nodiscard]] bool has_keys() const;

  [[nodiscard]] Result<gateway::Principal> authenticate(std::string_view bearer, std::string_view remote) override;
  /// A tenant calls its own services and those of the default tenant, which are the centre's offer to all.
  [[nodiscard]] std::vector<gateway::Model> models(const gateway::Principal& who) override;
  [[nodiscard]] Result<std::vector<gateway::Endpoint>> replicas(const gateway::Principal& who, std::string_view model) override;
  [[nodiscard]] Result<void> reserve(const gateway::Principal& who, std::int64_t tokens) override;
  void settle(const gateway::Usage& usage, std::int64_t reserved_tokens) override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace centrale::api
