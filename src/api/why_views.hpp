// SPDX-License-Identifier: Apache-2.0
// Private to api/: why a job waits and when it will start, as the outside sees it.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/view_json.hpp"
#include "api/views.hpp"
#include "simulate/forecast.hpp"
#include "simulate/why.hpp"

namespace centrale::api {

struct WhyKindView {
  static constexpr const char* kName = "WhyKind";
  std::string kind;
  std::int64_t usable = 0, free = 0, workers_now = 0;
  bool allowed = true;
};
struct WhyHolderView {
  static constexpr const char* kName = "WhyHolder";
  std::string kind;
  std::int64_t chips = 0;
  std::optional<JobId> job;
  std::optional<ServiceId> service;
  std::optional<std::string> name;
  std::optional<double> left_s;
};
struct RemedyView {
  static constexpr const char* kName = "Remedy";
  Remedy::What what = Remedy::What::fewer_workers;
  std::string kind;
  std::int64_t workers = 0, chips = 0, share_milli = 0;
  std::vector<std::string> nodes;
  std::optional<double> run_s;
};
struct QuantilesView {
  static constexpr const char* kName = "Quantiles";
  std::optional<Nanos> p10, p50, p90;
};
struct EarlierView {
  static constexpr const char* kName = "Earlier";
  JobId job;
  std::string name;
  double share = 0;
};
struct ForecastView {
  static constexpr const char* kName = "Forecast";
  Time from;
  Nanos horizon;
  std::int64_t draws = 0;
  double start_share = 0, end_share = 0;
  QuantilesView start, end;
  std::int64_t before = 0;
  std::vector<EarlierView> earlier;
};
struct WhyView {
  static constexpr const char* kName = "Why";
  JobView job;
  WhyCause cause = WhyCause::ended;
  std::string reason;
  std::vector<JobId> waits_for;
  std::optional<Time> until;
  std::int64_t ahead = 0;
  std::vector<WhyKindView> kinds;
  std::vector<WhyHolderView> holders;
  std::int64_t holders_more = 0;
  std::vector<RemedyView> remedies;
  std::optional<double> run_s;
  std::optional<ForecastView> forecast;
  std::optional<std::string> no_forecast;
};

// clang-format off
template <class V> void describe(V& v, WhyKindView& k) {
  v("kind", k.kind); v("usable", k.usable, "chips in use or free"); v("free", k.free);
  v("workers_now", k.workers_now, "of the job's workers, how many would fit now");
  v("allowed", k.allowed, "by the tenant's quota and budget, for the job as asked");
}
template <class V> void describe(V& v, WhyHolderView& h) {
  v("kind", h.kind); v("chips", h.chips, "that the job could use"); v("job", h.job, "null: a service's replica, or another tenant's");
  v("service", h.service, "null: a job, or another tenant's"); v("name", h.name, "null: another tenant's");
  v("left_s", h.left_s, "half of those like it have ended by then; null: it does not end by itself");
}
template <class V> void describe(V& v, RemedyView& r) {
  v("what", r.what, "how the job would start now; asked of the chips and the tenant's allowance"); v("kind", r.kind);
  v("workers", r.workers); v("chips", r.chips, "of each worker"); v("share_milli", r.share_milli, "of a chip; 1000: all of it");
  v("nodes", r.nodes, "drained or lost ones that would be needed"); v("run_s", r.run_s, "it would run so long; null: not known");
}
template <class V> void describe(V& v, QuantilesView& q) {
  v("p10_s", q.p10, "in a tenth of the draws it was sooner; null: beyond the horizon"); v("p50_s", q.p50); v("p90_s", q.p90);
}
template <class V> void describe(V& v, EarlierView& e) {
  v("job", e.job); v("name", e.name); v("share", e.share, "of the draws in which it started first");
}
template <class V> void describe(V& v, ForecastView& f) {
  v("from", f.from, "the spans count from here"); v("horizon_s", f.horizon); v("draws", f.draws, "how often the centre was played forward");
  v("start_share", f.start_share, "of the draws in which it started within the horizon"); v("end_share", f.end_share);
  v("start", f.start); v("end", f.end); v("before", f.before, "jobs that start before it, in the median");
  v("earlier", f.earlier, "which ones most often: the caller's own, at most 20");
}
template <class V> void describe(V& v, WhyView& w) {
  v("job", w.job); v("cause", w.cause); v("reason", w.reason, "in a sentence");
  v("waits_for", w.waits_for, "jobs that must be done, or the one that gathers chips; only those that the caller sees");
  v("until", w.until, "of a pause after a failure"); v("ahead", w.ahead, "queued jobs of higher priority, or of the same and earlier");
  v("kinds", w.kinds, "chips that it may use"); v("holders", w.holders, "who has them, those that end first; at most 20");
  v("holders_more", w.holders_more); v("remedies", w.remedies); v("run_s", w.run_s, "as asked; null: not known");
  v("forecast", w.forecast, "null: see no_forecast"); v("no_forecast", w.no_forecast, "why there is none");
}
// clang-format on

}  // namespace centrale::api
