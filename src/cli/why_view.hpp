// SPDX-License-Identifier: Apache-2.0
// What the centre says of why a job waits (GET /api/v1/jobs/{job}/why), and the words that a person reads. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/render.hpp"
#include "cli/views.hpp"

namespace centrale::cli {

struct WhyKindView {
  std::string kind;
  Number usable, free, workers_now;
};
struct WhyHolderView {
  std::string kind, job, service, name;
  Number chips, left_s;
};
struct RemedyView {
  std::string what, kind;
  Number workers, chips, share_milli, run_s;
  std::vector<std::string> nodes;
};
struct QuantilesView {
  Number p10_s, p50_s, p90_s;
};
struct ForecastView {
  Number horizon_s, draws, start_share, end_share;
  QuantilesView start, end;
};
struct WhyView {
  JobView job;
  std::string cause, reason, until, no_forecast;
  std::vector<std::string> waits_for;
  std::vector<WhyKindView> kinds;
  std::vector<WhyHolderView> holders;
  std::vector<RemedyView> remedies;
  Number ahead, holders_more, run_s;
  std::optional<ForecastView> forecast;
};
[[nodiscard]] WhyView read_why(std::string_view json);

/// Several lines, without the last line end.
[[nodiscard]] std::string why_text(const WhyView& why, const Paper& paper);

}  // namespace centrale::cli
