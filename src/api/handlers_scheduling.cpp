// SPDX-License-Identifier: Apache-2.0
// Who runs next, what is set apart, and what is well again.
#include <fmt/format.h>

#include <algorithm>

#include "api/call.hpp"
#include "api/request.hpp"
#include "api/scheduling_views.hpp"
#include "base/text.hpp"

namespace centrale::api {
namespace {

std::optional<Nanos> given(Nanos span) { return span.value == 0 ? std::nullopt : std::optional(span); }

SchedulingView scheduling_view(const Core& core) {
  const Scheduling& set = core.scheduling();
  SchedulingView shown;
  shown.policy = set.policy;
  shown.round = given(set.round);
  shown.starvation_after = given(set.starvation_after);
  shown.suspect_after = set.suspect_after;
  shown.quarantine = set.quarantine;
  shown.market = {.reserve = set.market.reserve, .period = set.market.period, .preemptible_discount = set.market.preemptible_discount};
  for (const auto& [name, about] : policy_names()) { shown.policies.push_back({.name = std::string(name), .about = std::string(about)}); }
  return shown;
}

ReservationView reservation_view(const Core& core, const Reservation& reservation) {
  ReservationView shown;
  shown.id = reservation.id;
  shown.name = reservation.name;
  shown.maintenance = !reservation.tenant;
  if (reservation.tenant) { shown.tenant = core.tenant(reservation.tenant)->name; }
  for (const NodeId id : reservation.nodes) {
    const Node& node = *core.node(id);
    shown.nodes.push_back(node.name);
    shown.chips += static_cast<std::int64_t>(node.chips.size());
  }
  shown.from = reservation.from;
  shown.to = reservation.to;
  shown.open = reservation.open;
  return shown;
}

bool sees(Scope scope, const Reservation& reservation) { return !reservation.tenant || scope.sees(reservation.tenant); }

Result<Time> read_time(const char* field, const std::string& text) {
  if (const auto time = parse_time_rfc3339(text)) { return *time; }
  return fail(ErrorKind::invalid, fmt::format("'{}' is no time", shorten(text, 60)), field, "RFC 3339, like 2025-11-24T18:00:00Z");
}

/// What is asked for, with its names turned into ids; the core judges the rest.
Result<Event> reservation_of(const Core& core, Time now, const ReservationRequest& wanted, TenantId caller) {
  ReservationMade made;
  made.name = *wanted.name;
  const bool maintenance = wanted.maintenance.value_or(false);
  if (maintenance && wanted.tenant) {
    return fail(ErrorKind::invalid, "maintenance is for nobody", "tenant", "leave out tenant or maintenance");
  }
  if (!maintenance) {
    made.tenant = caller;
    if (wanted.tenant) { TRY_ASSIGN(made.tenant, find_tenant(core, *wanted.tenant)); }
  }
  if (wanted.nodes) {
    for (const std::string& node : *wanted.nodes) {
      TRY_ASSIGN(const NodeId id, find_node(core, node));
      made.nodes.push_back(id);
    }
  }
  made.kind = wanted.kind.value_or("");
  made.chips = wanted.chips.value_or(0);
  made.from = now;
  if (wanted.from) { TRY_ASSIGN(made.from, read_time("from", *wanted.from)); }
  if (wanted.to.has_value() == wanted.span.has_value()) {
    return fail(ErrorKind::invalid, "a reservation has an end", "to", "say one of to and for_s");
  }
  if (wanted.to) {
    TRY_ASSIGN(made.to, read_time("to", *wanted.to));
  } else if (wanted.span->value > kNever.ns - std::max<std::int64_t>(made.from.ns, 0)) {
    return fail(ErrorKind::invalid, "it would end after the end of time", "for_s", "ask for less");
  } else {
    made.to = made.from + *wanted.span;
  }
  return made;
}

Result<ChipId> find_chip(const Core& core, const std::string& text) {
  if (const auto id = parse_id<ChipTag>(text); id && id->value >= 1 && id->value <= core.chip_count()) { return *id; }
  return fail(ErrorKind::not_found, fmt::format("no chip '{}'", shorten(text, 60)), {}, "centrale nodes --chips lists them");
}

}  // namespace

void get_scheduling(const CallPtr& call) {
  look(call, [](const Core& core, Time) -> Result<Answer> { return json_answer(scheduling_view(core)); });
}

void put_scheduling(const CallPtr& call) {
  const auto request = read_request<SchedulingRequest>(call->request.body);
  if (!request) {
    send(call, error_answer(request.error()));
    return;
  }
  ask(
      call,
      [wanted = *request](const Core& core, Time) -> Result<Event> {
        Scheduling next = core.scheduling();
        next.policy = wanted.policy.value_or(next.policy);
        next.round = wanted.round.value_or(next.round);
        next.starvation_after = wanted.starvation_after.value_or(next.starvation_after);
        next.suspect_after = wanted.suspect_after.value_or(next.suspect_after);
        next.quarantine = wanted.quarantine.value_or(next.quarantine);
        const MarketTermsRequest market = wanted.market.value_or(MarketTermsRequest{});
        next.market.reserve = market.reserve.value_or(next.market.reserve);
        next.market.period = market.period.value_or(next.market.period);
        next.market.preemptible_discount = market.preemptible_discount.value_or(next.market.preemptible_discount);
        return SchedulingSet{.scheduling = std::move(next)};
      },
      [](const Core& core, Time, std::uint64_t) -> Result<Answer> { return json_answer(scheduling_view(core)); });
}

void list_reservations(const CallPtr& call) {
  look(call, [call](const Core& core, Time) -> Result<Answer> {
    ReservationList list;
    for (const Reservation& each : core.reservations()) {
      if (sees(call->scope(), each)) { list.reservations.push_back(reservation_view(core, each)); }
    }
    return json_answer(list);
  });
}

void make_reservation(const CallPtr& call) {
  const auto request = read_request<ReservationRequest>(call->request.body);
  if (!request) {
    send(call, error_answer(request.error()));
    return;
  }
  ask(
      call, [call, wanted = *request](const Core& core, Time now) { return reservation_of(core, now, wanted, call->caller.tenant); },
      [](const Core& core, Time, std::uint64_t created) -> Result<Answer> {
        const auto made = std::ranges::find(core.reservations(), ReservationId{created}, &Reservation::id);
        if (made == core.reservations().end()) { return fail(ErrorKind::not_found, "it is over already"); }
        return json_answer(reservation_view(core, *made), 201);
      });
}

void cancel_reservation(const CallPtr& call) {
  // Seen as it was: afterwards it is no more.
  const auto was = std::make_shared<ReservationView>();
  ask(
      call,
      [call, was](const Core& core, Time) -> Result<Event> {
        const std::string& name = call->arguments[0];
        std::vector<std::string> names;
        for (const Reservation& each : core.reservations()) {
          if (each.name == name || to_string(each.id) == name) {
            *was = reservation_view(core, each);
            return ReservationCancelled{.name = each.name};
          }
          names.push_back(each.name);
        }
        std::string near = nearest_remedy(std::string_view(name).substr(0, 100), names);
        return fail(ErrorKind::not_found, fmt::format("no reservation '{}'", shorten(name, 60)), {},
                    near.empty() ? "centrale reservations lists them" : std::move(near));
      },
      [was](const Core&, Time, std::uint64_t) -> Result<Answer> { return json_answer(*was); });
}

void repair_chip(const CallPtr& call) {
  ask(
      call,
      [call](const Core& core, Time) -> Result<Event> {
        TRY_ASSIGN(const ChipId id, find_chip(core, call->arguments[0]));
        return ChipRepaired{.chip = id};
      },
      [call](const Core& core, Time, std::uint64_t) -> Result<Answer> {
        TRY_ASSIGN(const ChipId id, find_chip(core, call->arguments[0]));
        return json_answer(view_chip(core, id, call->wiring().telemetry, call->scope()));
      });
}

}  // namespace centrale::api
