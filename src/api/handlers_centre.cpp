// SPDX-License-Identifier: Apache-2.0
// The centre as a whole: its numbers, its nodes, its usage, its events, its document.
#include <fmt/format.h>

#include "api/call.hpp"
#include "api/metrics.hpp"

namespace centrale::api {

CentreView centre_view(ControlState& state, const Core& core, Time now) {
  const Identity& identity = state.wiring.identity;
  const Host::Health health = state.wiring.host.health();
  const Census& census = state.count(core, now);
  return {.name = identity.name,
          .version = identity.version,
          .now = now,
          .started_at = identity.started_at,
          .uptime = std::max(now, identity.started_at) - identity.started_at,
          .currency = identity.currency,
          .policy = core.scheduling().policy,
          .sequence = static_cast<std::int64_t>(core.sequence()),
          .journal = {.ok = health.journal_ok, .message = health.journal_message, .kind = identity.journal_kind},
          .chips = census.chips,
          .jobs = census.jobs,
          .services = census.services,
          .address = identity.address};
}

void get_centre(const CallPtr& call) {
  look(call, [call](const Core& core, Time now) -> Result<Answer> { return json_answer(centre_view(*call->state, core, now)); });
}

void get_openapi(const CallPtr& call) {
  send(call, {.status = 200, .body = call->state->openapi, .content_type = "application/json", .headers = {}});
}

void get_metrics(const CallPtr& call) {
  // Counters of the rim are taken here, on its thread.
  RimNumbers rim;
  const ControlWiring& wiring = call->wiring();
  if (wiring.gateway_counters) { rim.gateway = wiring.gateway_counters(); }
  if (wiring.connections) { rim.connections = wiring.connections(); }
  for (const auto& [key, count] : call->state->answered) {
    rim.answers.push_back({.operation = std::string(key.first), .status = key.second, .count = count});
  }
  look(call, [call, rim = std::move(rim)](const Core& core, Time now) -> Result<Answer> {
    const ControlWiring& w = call->wiring();
    const MetricsInput input{.core = core,
                             .now = now,
                             .scope = call->scope(),
                             .census = call->state->count(core, now),
                             .health = w.host.health(),
                             .telemetry = w.telemetry,
                             .identity = w.identity,
                             .rim = rim,
                             .process = read_process_numbers()};
    return Answer{.status = 200, .body = metrics_text(input), .content_type = "text/plain; version=0.0.4; charset=utf-8", .headers = {}};
  });
}

void get_events(const CallPtr& call) {
  EventStreams& streams = *call->state->streams;
  if (streams.full()) {
    send(call, error_answer({ErrorKind::exhausted, "too many clients follow the events", {}, "try again in a moment"}));
    return;
  }
  ++call->state->answered[{call->operation->id, 200}];
  // The stream outlives the call, and keeps only what it needs of it.
  streams.open(call->scope(), std::move(call->reply),
               [state = std::weak_ptr(call->state), token = call->token(), remote = call->request.remote] {
                 const auto alive = state.lock();
                 return alive && alive->wiring.check(token, remote).has_value();
               });
}

void get_usage(const CallPtr& call) {
  look(call, [call](const Core& core, Time now) -> Result<Answer> {
    const UsageQuery query{
        .scope = call->scope(), .jobs_max = call->number("limit").value_or(kUsageJobsShown), .range = call->state->job_range(core)};
    return json_answer(usage_view(core, now, query, call->wiring().identity.currency));
  });
}

void list_nodes(const CallPtr& call) {
  look(call, [call](const Core& core, Time) -> Result<Answer> {
    TRY_ASSIGN(const std::uint64_t first, call->after<NodeTag>());
    NodeList list;
    const Page page = dense_page(first, core.node_count(), call->number("limit").value_or(kListUsual));
    for (std::uint64_t id = page.first; id <= page.last; ++id) {
      list.nodes.push_back(view(core, NodeId{id}, call->wiring().telemetry, call->scope()));
    }
    if (page.more) { list.next = NodeId{page.last}; }
    return json_answer(list);
  });
}

namespace {

Result<Answer> answer_node(const Call& call, const Core& core, NodeId id) {
  return json_answer(view(core, id, call.wiring().telemetry, call.scope()));
}

template <class What>
void change_node(const CallPtr& call) {
  ask(
      call,
      [call](const Core& core, Time) -> Result<Event> {
        TRY_ASSIGN(const NodeId id, find_node(core, call->arguments[0]));
        return What{.node = id};
      },
      [call](const Core& core, Time, std::uint64_t) -> Result<Answer> {
        TRY_ASSIGN(const NodeId id, find_node(core, call->arguments[0]));
        return answer_node(*call, core, id);
      });
}

}  // namespace

void get_node(const CallPtr& call) {
  look(call, [call](const Core& core, Time) -> Result<Answer> {
    TRY_ASSIGN(const NodeId id, find_node(core, call->arguments[0]));
    return answer_node(*call, core, id);
  });
}

void drain_node(const CallPtr& call) { change_node<NodeDrained>(call); }
void resume_node(const CallPtr& call) { change_node<NodeResumed>(call); }

}  // namespace centrale::api
