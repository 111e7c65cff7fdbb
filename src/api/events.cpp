// SPDX-License-Identifier: Apache-2.0
#include "api/events.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "api/pages.hpp"
#include "api/view_json.hpp"
#include "operate/host.hpp"

namespace centrale::api {
namespace {

// In ticks of 200 ms each.
constexpr std::uint64_t kUsageEvery = 5;
constexpr std::uint64_t kSamplesEvery = 10;
constexpr std::uint64_t kUsageAnywayEvery = 25;  // while something runs, its device time grows without an event
constexpr std::size_t kSampledNodesMax = 64;

std::string_view event_name(Change::What what) {
  switch (what) {
    case Change::What::node: return "node";
    case Change::What::job: return "job";
    case Change::What::service: return "service";
    case Change::What::tenant:
    case Change::What::key:
    case Change::What::usage: return "usage";
  }
  return "usage";
}

bool anything_held(const Core& core) {
  for (std::uint64_t i = 1; i <= core.tenant_count(); ++i) {
    if (core.tenant(TenantId{i})->chips_held > 0) { return true; }
  }
  return false;
}

}  // namespace

std::string sse(std::string_view event, std::uint64_t id, std::string_view data) {
  return fmt::format("event: {}\nid: {}\ndata: {}\n\n", event, id, data);
}

EventStreams::EventStreams(Host& host, Rim rim, const Telemetry& telemetry, const ControlLimits& limits)
    : host_(host), rim_(std::move(rim)), telemetry_(telemetry), limits_(limits) {}

void EventStreams::set_views(CentreOf centre, UsageOf usage, RangeOf job_range) {
  centre_ = std::move(centre);
  usage_ = std::move(usage);
  job_range_ = std::move(job_range);
}

// ---- the core thread ----

void EventStreams::note(const std::vector<Change>& changes) {
  if (!watched_) { return; }
  for (const Change& change : changes) {
    if (change.what == Change::What::node || change.what == Change::What::job || change.what == Change::What::service) {
      dirty_.emplace(change.what, change.id);
    }
    usage_dirty_ = true;
  }
}

void EventStreams::note_samples(const Core& core) {
  for (std::uint64_t i = 1; i <= std::min(core.node_count(), kSampledNodesMax); ++i) {
    const auto& chips = core.node(NodeId{i})->chips;
    if (std::any_of(chips.begin(), chips.end(), [&](ChipId id) {
          const ChipSample sample = telemetry_.sample(id);
          return sample.utilisation || sample.power;
        })) {
      dirty_.emplace(Change::What::node, i);
    }
  }
}

void EventStreams::render_one(const Core& core, Time now, What what, const Audience& audience, std::vector<Outgoing>& out) const {
  const auto text = [&](const auto& shown) { return sse(event_name(what.first), core.sequence(), to_view_json(shown)); };
  const auto wanted = [&](TenantId owner) { return audience.all_seeing || audience.tenants.contains(owner); };
  if (what.first == Change::What::job) {
    // A job that is forgotten is an old one; nobody is told.
    if (const Job* job = core.job(JobId{what.second}); job != nullptr && wanted(job->tenant)) {
      out.push_back({job->tenant, true, text(view(core, *job, now))});
    }
  } else if (what.first == Change::What::service) {
    const Service* service = core.service(ServiceId{what.second});
    if (service != nullptr && wanted(service->tenant)) {
      out.push_back({service->tenant, true, text(view(core, *service, now))});
    } else if (service == nullptr) {
      // Whose it was is not known any more; the id alone tells nobody anything.
      const std::string gone = sse("gone", core.sequence(), to_view_json(GoneView{.what = "service", .id = ServiceId{what.second}}));
      out.push_back({std::nullopt, true, gone});
      for (const TenantId tenant : audience.tenants) { out.push_back({tenant, false, gone}); }
    }
  } else if (core.node(NodeId{what.second}) != nullptr) {
    if (audience.all_seeing) { out.push_back({std::nullopt, true, text(view(core, NodeId{what.second}, telemetry_, Scope{}))}); }
    for (const TenantId tenant : audience.tenants) {
      out.push_back({tenant, false, text(view(core, NodeId{what.second}, telemetry_, Scope{tenant}))});
    }
  }
}

std::vector<Outgoing> EventStreams::render_changes(const Core& core, Time now, const Audience& audience, std::uint64_t ticks) {
  if (ticks % kSamplesEvery == 0) { note_samples(core); }
  std::vector<Outgoing> out;
  for (std::size_t looked = 0; looked < limits_.event_objects_max && !dirty_.empty(); ++looked) {
    auto at = dirty_.lower_bound(next_);
    if (at == dirty_.end()) { at = dirty_.begin(); }
    next_ = {at->first, at->second + 1};
    const What what = *at;
    dirty_.erase(at);
    render_one(core, now, what, audience, out);
  }
  const bool usage_due = (usage_dirty_ && ticks % kUsageEvery == 0) || (ticks % kUsageAnywayEvery == 0 && anything_held(core));
  if (usage_due) {
    usage_dirty_ = false;
    if (audience.all_seeing) {
      out.push_back({std::nullopt, true, sse("usage", core.sequence(), to_view_json(usage_(core, now, Scope{})))});
    }
    for (const TenantId tenant : audience.tenants) {
      out.push_back({tenant, false, sse("usage", core.sequence(), to_view_json(usage_(core, now, Scope{tenant})))});
    }
  }
  return out;
}

std::string EventStreams::render_everything(const Core& core, Time now, Scope scope) const {
  const std::uint64_t id = core.sequence();
  std::string out = sse("hello", id, to_view_json(HelloView{.centre = centre_(core, now), .resync = true, .jobs_max = kResyncJobsMax}));
  for (std::uint64_t i = 1; i <= std::min(core.node_count(), kResyncObjectsMax); ++i) {
    out += sse("node", id, to_view_json(view(core, NodeId{i}, telemetry_, scope)));
  }
  std::size_t services = 0;
  core.each_service([&](const Service& service) {
    if (scope.sees(service.tenant) && services++ < kResyncObjectsMax) { out += sse("service", id, to_view_json(view(core, service, now))); }
  });
  const JobPage page = page_of_jobs(core, {.scope = scope, .limit = kResyncJobsMax, .range = job_range_(core)});
  for (auto job = page.jobs.rbegin(); job != page.jobs.rend(); ++job) {  // the oldest first, as they came
    out += sse("job", id, to_view_json(view(core, **job, now)));
  }
  return out + sse("usage", id, to_view_json(usage_(core, now, scope)));
}

// ---- the rim thread ----

void EventStreams::open(Scope scope, std::shared_ptr<http::Reply> reply, std::function<bool()> allowed) {
  auto client = std::make_shared<Client>(Client{.scope = scope, .reply = std::move(reply), .allowed = std::move(allowed), .owed = {}});
  clients_.push_back(client);
  watched_ = true;
  client->reply->on_close([weak = weak_from_this(), seen = std::weak_ptr(client)] {
    const auto self = weak.lock();
    if (const auto leaver = seen.lock(); leaver && self) { self->drop(leaver); }
  });
  client->reply->begin(200, "text/event-stream",
                       {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}, {"X-Content-Type-Options", "nosniff"}});
  host_.read([self = shared_from_this(), client, scope](const Core& core, Time now) {
    self->rim_.post([self, client, text = self->render_everything(core, now, scope)] {
      client->synced = true;
      client->owed = text;  // without regard to the limit, which is for what comes on top
      self->flush(client);  // nothing, if it has left meanwhile
    });
  });
  if (!ticking_) {
    ticking_ = true;
    rim_.after(limits_.events_every, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) { self->tick(); }
    });
  }
}

void EventStreams::tick() {
  if (clients_.empty()) {
    ticking_ = false;
    watched_ = false;
    return;
  }
  Audience audience;
  for (const ClientPtr& client : clients_) {
    if (client->scope.tenant) {
      audience.tenants.insert(*client->scope.tenant);
    } else {
      audience.all_seeing = true;
    }
  }
  host_.read([self = shared_from_this(), audience = std::move(audience), ticks = ++ticks_](const Core& core, Time now) {
    self->rim_.post([self, batch = self->render_changes(core, now, audience, ticks)] { self->deliver(batch); });
  });
}

void EventStreams::deliver(const std::vector<Outgoing>& batch) {
  const auto heartbeat_ticks = static_cast<std::uint64_t>(std::max<std::int64_t>(1, limits_.heartbeat_every / limits_.events_every));
  for (const ClientPtr& client : std::vector<ClientPtr>(clients_)) {  // a copy: a client may go while it is served
    if (!client->synced || client->gone) { continue; }
    if (!client->allowed()) { dismiss(client, "the key is not good any more"); }
    for (const Outgoing& outgoing : batch) {
      if (outgoing.is_for(client->scope)) { owe(client, outgoing.text); }
    }
    if (++client->silent_ticks >= heartbeat_ticks) { owe(client, ": heartbeat\n\n"); }
    flush(client);
  }
  rim_.after(limits_.events_every, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) { self->tick(); }
  });
}

void EventStreams::owe(const ClientPtr& client, std::string_view text) {
  if (client->ending) { return; }
  client->silent_ticks = 0;
  if (client->writing && client->owed.size() + text.size() > limits_.event_buffer_max) {
    // Whole views are all there is to miss: the client is told to come back for them.
    dismiss(client, "too slow");
    return;
  }
  client->owed += text;
}

void EventStreams::dismiss(const ClientPtr& client, std::string_view reason) {
  if (!std::exchange(client->ending, true)) {
    client->owed = fmt::format("retry: 1000\nevent: reconnect\ndata: {}\n\n", to_view_json(ReconnectView{.reason = std::string(reason)}));
  }
}

void EventStreams::flush(const ClientPtr& client) {
  if (client->writing || client->gone || client->owed.empty()) { return; }
  client->writing = true;
  client->reply->write(std::exchange(client->owed, {}), [weak = weak_from_this(), client](bool left) {
    client->writing = false;
    const auto self = weak.lock();
    if (!self || client->gone) { return; }
    if (!left) {
      self->drop(client);
    } else if (client->ending && client->owed.empty()) {
      client->reply->end();
      self->drop(client);
    } else {
      self->flush(client);
    }
  });
}

void EventStreams::drop(const ClientPtr& client) {
  client->gone = true;
  client->reply.reset();  // here, for it belongs to the rim thread; the core thread may be the last to let go of the client
  std::erase(clients_, client);
}

void EventStreams::close_all() {
  for (const ClientPtr& client : std::vector<ClientPtr>(clients_)) {
    client->reply->end();
    drop(client);
  }
}

}  // namespace centrale::api
