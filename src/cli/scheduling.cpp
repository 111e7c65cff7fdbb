// SPDX-License-Identifier: Apache-2.0
#include "cli/scheduling.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "cli/render.hpp"
#include "http/answer.hpp"

namespace centrale::cli {
namespace {

std::unexpected<Failure> wrong(const std::string& option, std::string_view value, std::string remedy) {
  return std::unexpected(
      Failure(Error{ErrorKind::invalid, fmt::format("'{}' is not understood", shorten(value, 60)), option, std::move(remedy)}, kExitInput));
}

Outcome<double> span_of(const std::string& option, const std::string& text) {
  if (const auto span = parse_duration(text)) { return to_seconds(*span); }
  return wrong(option, text, "a span of time, such as 30s, 5m or 12h");
}

/// RFC 3339, "now", or "+2h" from now.
Outcome<std::string> time_of(const Context& context, const std::string& option, const std::string& text) {
  if (parse_time_rfc3339(text)) { return text; }
  std::optional<Nanos> later;
  if (text == "now") { later = Nanos{}; }
  if (text.starts_with('+')) { later = parse_duration(std::string_view(text).substr(1)); }
  if (later) {
    if (const auto time = duration_of_seconds(context.now() + to_seconds(*later))) { return format_time_rfc3339(Time{time->value}); }
  }
  return wrong(option, text, "a time such as 2025-11-24T18:00:00Z or 2025-11-24T19:00:00+01:00, now, or +2h");
}

/// The members of a JSON object, as they are added.
class Members {
 public:
  void text(std::string_view name, std::string_view value) { raw(name, http::json_string(value)); }
  void raw(std::string_view name, std::string_view json) { out_ += fmt::format("{}\"{}\":{}", out_.empty() ? "" : ",", name, json); }
  [[nodiscard]] std::string object() const { return "{" + out_ + "}"; }
  [[nodiscard]] bool empty() const { return out_.empty(); }

 private:
  std::string out_;
};

Outcome<std::string> wanted_schedule(const ScheduleOptions& options) {
  Members wanted;
  if (options.policy) { wanted.text("policy", *options.policy); }
  if (options.round) {
    TRY_ASSIGN(const double span, span_of("--round", *options.round));
    wanted.raw("round_s", fmt::format("{}", span));
  }
  if (options.starvation_after) {
    TRY_ASSIGN(const double span, span_of("--starvation-after", *options.starvation_after));
    wanted.raw("starvation_after_s", fmt::format("{}", span));
  }
  if (options.suspect_after) { wanted.raw("suspect_after", fmt::format("{}", *options.suspect_after)); }
  if (options.quarantine) { wanted.raw("quarantine", *options.quarantine == "on" ? "true" : "false"); }
  return wanted.empty() ? std::string{} : wanted.object();
}

std::string scheduling_text(const SchedulingView& set, const Paper& paper) {
  const Style& style = paper.style;
  const auto span = [](const Number& seconds) { return seconds ? span_text(*seconds) : std::string("the policy's default"); };
  std::string suspects = "unknown";
  if (set.suspect_after) {
    suspects = *set.suspect_after == 0
                   ? "never"
                   : fmt::format("{} different jobs that fail in a row; {}", count_text(*set.suspect_after),
                                 set.quarantine ? "it is then not given out until centrale repair" : "it is reported, and still given out");
  }
  std::string out = fmt::format(
      "policy            {}\n"
      "round             {}\n"
      "starvation after  {}\n"
      "suspect chips     {}\n",
      shown(set.policy, style), span(set.round_s), span(set.starvation_after_s), suspects);
  if (set.reserve && set.period_s && set.discount) {
    out += fmt::format("market            idle chips from {} of their price, priced anew every {}; preemptible work pays {} less\n",
                       percent_text(*set.reserve), span_text(*set.period_s), percent_text(*set.discount));
  }
  Table table{{{"POLICY"}, {""}, {"WHO RUNS NEXT", Align::left, 20}}, {}};
  for (const PolicyView& policy : set.policies) {
    const bool chosen = policy.name == set.policy;
    table.rows.push_back({{shown(policy.name, style), chosen ? Tone::bold : Tone::plain},
                          {chosen ? "*" : ""},
                          {shown(policy.about, style)}});
  }
  return table.rows.empty() ? out : out + "\n" + on_paper(table, paper);
}

Outcome<int> show_schedule(Context& context, const ScheduleOptions& options) {
  TRY_ASSIGN(const std::string wanted, wanted_schedule(options));
  TRY_ASSIGN(const std::string body, ask(context, wanted.empty() ? "GET" : "PUT", "/api/v1/scheduling", wanted));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const Paper paper{context.width, context.style, context.now(), {}};
  print(context, scheduling_text(read_scheduling(body), paper));
  return kExitOk;
}

/// "in 3h 20m", "since 5m 00s".
std::string when_text(const ReservationView& reservation, const Paper& paper) {
  const auto from = parse_time(reservation.from), to = parse_time(reservation.to);
  if (!from || !to) { return unknown(paper.style); }
  return reservation.open ? fmt::format("{} left", span_text(std::max(0.0, *to - paper.now)))
                          : fmt::format("in {}", span_text(std::max(0.0, *from - paper.now)));
}

Table reservations_table(const std::vector<ReservationView>& reservations, const Paper& paper) {
  const Style& style = paper.style;
  Table table{{{"ID"},
               {"NAME", Align::left, 8},
               {"FOR", Align::left, 8},
               {"NODES", Align::left, 12},
               {"CHIPS", Align::right},
               {"FROM"},
               {"TO"},
               {"", Align::left, 0, 1}},
              {}};
  for (const ReservationView& each : reservations) {
    std::string nodes;
    for (const std::string& node : each.nodes) { nodes += (nodes.empty() ? "" : ",") + printable(node); }
    table.rows.push_back({{shown(each.id, style)},
                          {shown(each.name, style)},
                          {each.maintenance ? "maintenance" : shown(each.tenant, style), each.maintenance ? Tone::yellow : Tone::plain},
                          {shown(nodes, style)},
                          {shown(each.chips, count_text, style)},
                          {shown(each.from, style)},
                          {shown(each.to, style)},
                          {when_text(each, paper), each.open ? Tone::green : Tone::dim}});
  }
  return table;
}

Outcome<int> list_reservations(Context& context) {
  TRY_ASSIGN(const std::string body, ask(context, "GET", "/api/v1/reservations"));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const std::vector<ReservationView> all = read_reservations(body);
  if (all.empty()) {
    note(context, "nothing is reserved; set nodes apart: centrale reserve NAME --nodes n1 --for 4h");
    return kExitOk;
  }
  const Paper paper{context.width, context.style, context.now(), {}};
  print(context, on_paper(reservations_table(all, paper), paper));
  return kExitOk;
}

Outcome<std::string> wanted_reservation(const Context& context, const ReserveOptions& options) {
  Members wanted;
  wanted.text("name", options.name);
  if (!options.tenant.empty()) { wanted.text("tenant", options.tenant); }
  if (options.maintenance) { wanted.raw("maintenance", "true"); }
  if (!options.nodes.empty()) {
    std::vector<std::string> nodes;
    for (const std::string& node : options.nodes) { nodes.push_back(http::json_string(node)); }
    wanted.raw("nodes", raw_array("", nodes).substr(std::string_view("\"\":").size()));
  }
  if (!options.kind.empty()) { wanted.text("kind", options.kind); }
  if (options.chips) { wanted.raw("chips", fmt::format("{}", *options.chips)); }
  if (!options.from.empty()) {
    TRY_ASSIGN(const std::string from, time_of(context, "--from", options.from));
    wanted.text("from", from);
  }
  if (!options.until.empty()) {
    TRY_ASSIGN(const std::string until, time_of(context, "--until", options.until));
    wanted.text("to", until);
  }
  if (!options.span.empty()) {
    TRY_ASSIGN(const double span, span_of("--for", options.span));
    wanted.raw("for_s", fmt::format("{}", span));
  }
  return wanted.object();
}

Outcome<int> make_reservation(Context& context, const ReserveOptions& options) {
  TRY_ASSIGN(const std::string wanted, wanted_reservation(context, options));
  TRY_ASSIGN(const std::string body, ask(context, "POST", "/api/v1/reservations", wanted));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const ReservationView made = read_reservation(body);
  const Paper paper{context.width, context.style, context.now(), {}};
  print(context, on_paper(reservations_table({made}, paper), paper));
  if (!made.maintenance) {
    context.out.flush();
    note(context,
         fmt::format("jobs of {} run there with this line in their file: reservation: {}", printable(made.tenant), printable(made.name)));
  }
  return kExitOk;
}

Outcome<int> cancel_reservation(Context& context, const std::string& name) {
  TRY_ASSIGN(const std::string body, ask(context, "DELETE", path_of("reservations", name)));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const ReservationView was = read_reservation(body);
  print(context, fmt::format("{} ({}) is over; its {} everybody's again", was.id, printable(was.name),
                             was.nodes.size() == 1 ? "node is" : fmt::format("{} nodes are", was.nodes.size())));
  return kExitOk;
}

Outcome<int> repair_chip(Context& context, const std::string& chip) {
  TRY_ASSIGN(const std::string body, ask(context, "POST", path_of("chips", chip, "/repair")));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  const ChipView now = read_chip(body);
  print(context, fmt::format("{} ({}) is {}", now.id, printable(now.kind), printable(now.health)));
  return kExitOk;
}

}  // namespace

int schedule(Context& context, const ScheduleOptions& options) { return finish(context, show_schedule(context, options)); }
int reserve(Context& context, const ReserveOptions& options) { return finish(context, make_reservation(context, options)); }
int reservations(Context& context) { return finish(context, list_reservations(context)); }
int unreserve(Context& context, const std::string& name) { return finish(context, cancel_reservation(context, name)); }
int repair(Context& context, const std::string& chip) { return finish(context, repair_chip(context, chip)); }

}  // namespace centrale::cli
