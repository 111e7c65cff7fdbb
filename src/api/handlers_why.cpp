// SPDX-License-Identifier: Apache-2.0
// Why a job waits, and when it will start.
#include "api/call.hpp"
#include "api/forecaster.hpp"
#include "api/why_views.hpp"

namespace centrale::api {
namespace {

constexpr std::int64_t kDrawsUsual = 20;

WhyHolderView holder_view(const Core& core, const WhyHolder& holder, Scope scope) {
  WhyHolderView shown{.kind = holder.kind, .chips = holder.chips, .job = {}, .service = {}, .name = {}, .left_s = holder.left_s};
  if (const Job* const job = core.job(holder.job); job != nullptr && scope.sees(job->tenant)) {
    shown.job = job->id;
    shown.name = job->spec.name;
  }
  if (const Service* const service = core.service(holder.service); service != nullptr && scope.sees(service->tenant)) {
    shown.service = service->id;
    shown.name = service->spec.name;
  }
  return shown;
}

WhyView why_view(const Core& core, const Job& job, const Why& said, Scope scope, Time now) {
  WhyView shown;
  shown.job = view(core, job, now);
  shown.cause = said.cause;
  shown.reason = said.reason;
  shown.until = said.until;
  shown.ahead = said.ahead;
  shown.run_s = said.run_s;
  shown.holders_more = said.holders_more;
  for (const JobId id : said.waits_for) {
    if (const Job* const other = core.job(id); other != nullptr && scope.sees(other->tenant)) { shown.waits_for.push_back(id); }
  }
  for (const WhyKind& kind : said.kinds) {
    shown.kinds.push_back(
        {.kind = kind.kind, .usable = kind.usable, .free = kind.free, .workers_now = kind.workers_now, .allowed = kind.allowed});
  }
  for (const WhyHolder& holder : said.holders) { shown.holders.push_back(holder_view(core, holder, scope)); }
  for (const Remedy& remedy : said.remedies) {
    RemedyView& to = shown.remedies.emplace_back();
    to = {.what = remedy.what,
          .kind = remedy.kind,
          .workers = remedy.workers,
          .chips = remedy.chips,
          .share_milli = remedy.share_milli,
          .nodes = {},
          .run_s = remedy.run_s};
    for (const NodeId node : remedy.nodes) { to.nodes.push_back(core.node(node)->name); }
  }
  return shown;
}

/// Of `earlier`, those that have a name here.
ForecastView forecast_view(const Forecast& said, const std::map<JobId, std::string>& names) {
  const auto quantiles = [](const Quantiles& q) { return QuantilesView{.p10 = q.p10, .p50 = q.p50, .p90 = q.p90}; };
  ForecastView shown{.from = said.from,
                     .horizon = said.horizon,
                     .draws = said.draws,
                     .start_share = said.start_share,
                     .end_share = said.end_share,
                     .start = quantiles(said.start),
                     .end = quantiles(said.end),
                     .before = said.before,
                     .earlier = {}};
  for (const Earlier& earlier : said.earlier) {
    if (const auto name = names.find(earlier.job); name != names.end()) {
      shown.earlier.push_back({.job = earlier.job, .name = name->second, .share = earlier.share});
    }
  }
  return shown;
}

/// What is known on the core thread and waits for the forecast.
struct Pending {
  WhyView shown;
  std::map<JobId, std::string> names;  // of queued jobs that the caller sees
};

std::optional<ForecastTask> prepare(const CallPtr& call, Pending& pending, const Core& core, Time now) {
  const auto found = find_job(core, call->arguments[0], call->scope(), call->state->job_range(core));
  if (!found) {
    answer(call, error_answer(found.error()));
    return std::nullopt;
  }
  const Job& job = **found;
  Lengths lengths(core, now);
  pending.shown = why_view(core, job, why(core, job, lengths, now), call->scope(), now);
  if (is_final(job.state)) {
    pending.shown.no_forecast = "it has ended";
    answer(call, json_answer(pending.shown));
    return std::nullopt;
  }
  core.each_job([&](const Job& other) {
    if (other.state == JobState::queued && call->scope().sees(other.tenant)) { pending.names.emplace(other.id, other.spec.name); }
  });
  ForecastOptions options;
  options.draws = call->number("draws").value_or(kDrawsUsual);
  options.from = now;
  return ForecastTask{.core = core.fork(), .lengths = std::move(lengths), .job = job.id, .options = std::move(options)};
}

}  // namespace

void get_job_why(const CallPtr& call) {
  const auto pending = std::make_shared<Pending>();
  const bool taken =
      call->state->forecaster->ask([call, pending](const Core& core, Time now) { return prepare(call, *pending, core, now); },
                                   [call, pending](Result<Forecast> said) {
                                     if (said) {
                                       pending->shown.forecast = forecast_view(*said, pending->names);
                                     } else {
                                       pending->shown.no_forecast = said.error().message();
                                     }
                                     answer(call, json_answer(pending->shown));
                                   });
  if (!taken) { send(call, error_answer({ErrorKind::unavailable, "too many forecasts are under way", {}, "ask again in a few seconds"})); }
}

}  // namespace centrale::api
