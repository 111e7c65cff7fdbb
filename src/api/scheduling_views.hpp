// SPDX-License-Identifier: Apache-2.0
// How the centre schedules, and what is set apart: as it is shown, and as it is asked for.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/views.hpp"

namespace centrale::api {

struct PolicyLine {
  static constexpr const char* kName = "Policy";
  std::string name, about;
};
struct MarketTermsView {
  static constexpr const char* kName = "MarketTerms";
  double reserve = 0;
  Nanos period;
  double preemptible_discount = 0;
};
struct SchedulingView {
  static constexpr const char* kName = "Scheduling";
  std::string policy;
  std::optional<Nanos> round, starvation_after;
  std::int64_t suspect_after = 0;
  bool quarantine = false;
  MarketTermsView market;
  std::vector<PolicyLine> policies;
};
struct ReservationView {
  static constexpr const char* kName = "Reservation";
  ReservationId id;
  std::string name;
  std::optional<std::string> tenant;
  bool maintenance = false;
  std::vector<std::string> nodes;
  std::int64_t chips = 0;
  Time from, to;
  bool open = false;
};
struct ReservationList {
  static constexpr const char* kName = "ReservationList";
  std::vector<ReservationView> reservations;
};

struct MarketTermsRequest {
  static constexpr const char* kName = "MarketTermsRequest";
  static constexpr std::array<std::string_view, 0> kRequired{};
  std::optional<double> reserve;
  std::optional<Nanos> period;
  std::optional<double> preemptible_discount;
};
struct SchedulingRequest {
  static constexpr const char* kName = "SchedulingRequest";
  static constexpr std::array<std::string_view, 0> kRequired{};
  std::optional<std::string> policy;
  std::optional<Nanos> round, starvation_after;
  std::optional<std::int64_t> suspect_after;
  std::optional<bool> quarantine;
  std::optional<MarketTermsRequest> market;
};
struct ReservationRequest {
  static constexpr const char* kName = "ReservationRequest";
  static constexpr std::array<std::string_view, 1> kRequired{"name"};
  std::optional<std::string> name, tenant;
  std::optional<bool> maintenance;
  std::optional<std::vector<std::string>> nodes;
  std::optional<std::string> kind;
  std::optional<std::int64_t> chips;
  std::optional<std::string> from, to;
  std::optional<Nanos> span;
};

// clang-format off
template <class V> void describe(V& v, PolicyLine& p) { v("name", p.name); v("about", p.about); }
template <class V> void describe(V& v, MarketTermsView& m) {
  v("reserve", m.reserve, "no idle chip is sold below this part of its list price");
  v("period_s", m.period, "running bids are priced anew at most so often");
  v("preemptible_discount", m.preemptible_discount, "taken off the list price for work that may be stopped for others");
}
template <class V> void describe(V& v, SchedulingView& s) {
  v("policy", s.policy, "who runs next"); v("round_s", s.round, "how often elastic policies think again; null: their default");
  v("starvation_after_s", s.starvation_after, "a job that waited so long goes before all others; null: the policy's default");
  v("suspect_after", s.suspect_after, "so many different jobs that fail in a row on a chip make it a suspect; 0: never");
  v("quarantine", s.quarantine, "a suspect chip is not given out until it is said to be repaired");
  v("market", s.market); v("policies", s.policies, "those there are");
}
template <class V> void describe(V& v, ReservationView& r) {
  v("id", r.id); v("name", r.name); v("tenant", r.tenant, "its name; null: nobody's, it is for maintenance");
  v("maintenance", r.maintenance, "nothing runs there meanwhile"); v("nodes", r.nodes, "their names");
  v("chips", r.chips, "of its nodes, failed ones included"); v("from", r.from); v("to", r.to); v("open", r.open, "it has begun");
}
template <class V> void describe(V& v, ReservationList& l) { v("reservations", l.reservations, "to come and under way"); }

template <class V> void describe(V& v, MarketTermsRequest& m) {
  v("reserve", m.reserve, "0 to 1"); v("period_s", m.period); v("preemptible_discount", m.preemptible_discount, "0 to 1");
}
template <class V> void describe(V& v, SchedulingRequest& s) {
  v("policy", s.policy, "one that GET lists. Whatever is left out stays as it is"); v("round_s", s.round, "0: the policy's default");
  v("starvation_after_s", s.starvation_after, "0: the policy's default"); v("suspect_after", s.suspect_after, "0: never");
  v("quarantine", s.quarantine); v("market", s.market);
}
template <class V> void describe(V& v, ReservationRequest& r) {
  v("name", r.name, "a-z, 0-9 and '-'"); v("tenant", r.tenant, "for whom; left out: the caller's");
  v("maintenance", r.maintenance, "true: for nobody"); v("nodes", r.nodes, "names or ids; or else a kind and chips");
  v("kind", r.kind); v("chips", r.chips, "at least so many, on whole nodes: those that are free soonest");
  v("from", r.from, "RFC 3339; left out: now"); v("to", r.to, "RFC 3339; or else for_s"); v("for_s", r.span);
}
// clang-format on

}  // namespace centrale::api
