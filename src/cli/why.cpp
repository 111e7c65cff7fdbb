// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include "cli/commands.hpp"
#include "cli/json_fields.hpp"
#include "cli/why_view.hpp"

namespace centrale::cli {
namespace {

using simdjson::dom::element;

std::string word(const element& e) {
  std::string_view view;
  return e.get(view) == simdjson::SUCCESS ? std::string(view) : std::string{};
}

WhyKindView kind_of(const element& e) {
  using namespace fields;
  return {.kind = text(e, "kind"), .usable = number(e, "usable"), .free = number(e, "free"), .workers_now = number(e, "workers_now")};
}

WhyHolderView holder_of(const element& e) {
  using namespace fields;
  return {.kind = text(e, "kind"),
          .job = text(e, "job"),
          .service = text(e, "service"),
          .name = text(e, "name"),
          .chips = number(e, "chips"),
          .left_s = number(e, "left_s")};
}

RemedyView remedy_of(const element& e) {
  using namespace fields;
  return {.what = text(e, "what"),
          .kind = text(e, "kind"),
          .workers = number(e, "workers"),
          .chips = number(e, "chips"),
          .share_milli = number(e, "share_milli"),
          .run_s = number(e, "run_s"),
          .nodes = list<std::string>(e, "nodes", word)};
}

QuantilesView quantiles_in(const element& e, std::string_view key) {
  using namespace fields;
  const auto found = object(e, key);
  if (!found) { return {}; }
  return {.p10_s = number(*found, "p10_s"), .p50_s = number(*found, "p50_s"), .p90_s = number(*found, "p90_s")};
}

Outcome<int> explain(Context& context, const std::string& word_given) {
  TRY_ASSIGN(const std::string body, ask(context, "GET", path_of("jobs", word_given, "/why")));
  if (context.json) {
    print(context, body);
    return kExitOk;
  }
  print(context, why_text(read_why(body), {context.width, context.style, context.now(), {}}));
  return kExitOk;
}

}  // namespace

WhyView read_why(std::string_view json) {
  using namespace fields;
  const Document document(json);
  WhyView why;
  if (!document.ok) { return why; }
  const element& e = document.root;
  if (const auto job = object(e, "job")) { why.job = read_job(std::string(simdjson::minify(*job))); }
  why.cause = text(e, "cause");
  why.reason = text(e, "reason");
  why.until = text(e, "until");
  why.no_forecast = text(e, "no_forecast");
  why.waits_for = list<std::string>(e, "waits_for", word);
  why.kinds = list<WhyKindView>(e, "kinds", kind_of);
  why.holders = list<WhyHolderView>(e, "holders", holder_of);
  why.remedies = list<RemedyView>(e, "remedies", remedy_of);
  why.ahead = number(e, "ahead");
  why.holders_more = number(e, "holders_more");
  why.run_s = number(e, "run_s");
  if (const auto f = object(e, "forecast")) {
    why.forecast = ForecastView{.horizon_s = number(*f, "horizon_s"),
                                .draws = number(*f, "draws"),
                                .start_share = number(*f, "start_share"),
                                .end_share = number(*f, "end_share"),
                                .start = quantiles_in(*f, "start"),
                                .end = quantiles_in(*f, "end")};
  }
  return why;
}

int why(Context& context, const std::string& job) { return finish(context, explain(context, job)); }

}  // namespace centrale::cli
