// SPDX-License-Identifier: Apache-2.0
// Private to api/: server-sent events. What changes is noted on the core thread, looked at together a few times a second, rendered once,
// and handed to every client that may see it.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/control.hpp"
#include "api/pages.hpp"
#include "api/rim.hpp"
#include "api/views.hpp"
#include "centre/core.hpp"
#include "http/server.hpp"

namespace centrale {
class Host;
}

namespace centrale::api {

inline constexpr std::int64_t kResyncJobsMax = 500;
inline constexpr std::size_t kResyncObjectsMax = 1'000;  // nodes, and services
inline constexpr std::int64_t kUsageJobsShown = 100;

/// One event as it goes over the wire, and who gets it: those of one tenant, those who see all tenants, or both.
struct Outgoing {
  std::optional<TenantId> tenant;
  bool to_all_seeing = true;
  std::string text;
  [[nodiscard]] bool is_for(Scope scope) const { return scope.tenant ? scope.tenant == tenant : to_all_seeing; }
};

/// Who listens.
struct Audience {
  bool all_seeing = false;
  std::set<TenantId> tenants;
};

/// "event: …", "id: …", "data: …" and an empty line. The data is one line of JSON.
[[nodiscard]] std::string sse(std::string_view event, std::uint64_t id, std::string_view data);

class EventStreams : public std::enable_shared_from_this<EventStreams> {
 public:
  EventStreams(Host& host, Rim rim, const Telemetry& telemetry, const ControlLimits& limits);

  // Views that need more than the core; made on the core thread.
  using CentreOf = std::function<CentreView(const Core& core, Time now)>;
  using UsageOf = std::function<UsageView(const Core& core, Time now, Scope scope)>;
  using RangeOf = std::function<JobRange(const Core& core)>;
  void set_views(CentreOf centre, UsageOf usage, RangeOf job_range);

  [[nodiscard]] bool full() const { return clients_.size() >= limits_.event_clients_max; }
  /// From the rim thread. `allowed` is asked again and again: a key that is revoked ends its streams.
  void open(Scope scope, std::shared_ptr<http::Reply> reply, std::function<bool()> allowed);
  void close_all();
  /// From the core thread.
  void note(const std::vector<Change>& changes);

 private:
  struct Client {
    Scope scope;
    std::shared_ptr<http::Reply> reply;
    std::function<bool()> allowed;
    std::string owed;
    bool synced = false;  // it has been given everything; changes follow
    bool writing = false;
    bool ending = false;  // what is owed is the last
    bool gone = false;
    std::uint64_t silent_ticks = 0;
  };
  using ClientPtr = std::shared_ptr<Client>;
  using What = std::pair<Change::What, std::uint64_t>;

  void tick();
  void deliver(const std::vector<Outgoing>& batch);
  void owe(const ClientPtr& client, std::string_view text);
  void dismiss(const ClientPtr& client, std::string_view reason);
  void flush(const ClientPtr& client);
  void drop(const ClientPtr& client);
  // On the core thread.
  [[nodiscard]] std::vector<Outgoing> render_changes(const Core& core, Time now, const Audience& audience, std::uint64_t ticks);
  void render_one(const Core& core, Time now, What what, const Audience& audience, std::vector<Outgoing>& out) const;
  [[nodiscard]] std::string render_everything(const Core& core, Time now, Scope scope) const;
  void note_samples(const Core& core);

  Host& host_;
  const Rim rim_;
  const Telemetry& telemetry_;
  const ControlLimits limits_;
  CentreOf centre_;
  UsageOf usage_;
  RangeOf job_range_;

  std::atomic<bool> watched_ = false;  // is there a client at all?
  std::set<What> dirty_;               // on the core thread, as the next two
  bool usage_dirty_ = false;
  What next_{};  // where the next look begins, so that nothing starves

  std::vector<ClientPtr> clients_;  // on the rim thread, as all below
  bool ticking_ = false;
  std::uint64_t ticks_ = 0;
};

}  // namespace centrale::api
