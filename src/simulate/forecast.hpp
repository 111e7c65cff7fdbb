// SPDX-License-Identifier: Apache-2.0
// When will a job start? The core as it is, with its own policy, is played forward in virtual time many times over, each time with other
// run times of what runs and waits, drawn from what is known of them. Nothing new arrives and nothing fails.
//
//   Forecast said = forecast(core, job, {}).value();   // said.start.p50: half of the draws had started by then
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "centre/core.hpp"
#include "simulate/lengths.hpp"

namespace centrale {

struct ForecastOptions {
  std::int64_t draws = 20;
  std::uint64_t seed = 1;
  Nanos horizon = seconds(std::int64_t{30} * 86'400);
  Time from{};                            // it is now so late; before the core's own time: that
  std::uint64_t events_max = 20'000'000;  // of all draws together; what is begun is then broken off
  std::function<bool()> go_on{};          // asked now and then; false: answer with the draws that are done
};

/// From now on; nothing: beyond the horizon.
struct Quantiles {
  std::optional<Nanos> p10, p50, p90;
};

/// A job that starts before.
struct Earlier {
  JobId job;
  double share = 0;  // of the draws
};
inline constexpr std::size_t kEarlierShown = 20;

struct Forecast {
  JobId job;
  Time from;
  Nanos horizon;
  std::int64_t draws = 0;  // that were played to the end; fewer than asked when a limit was met
  bool waits = true;       // false: it runs already, and only its end is forecast
  double start_share = 0;  // of the draws in which it started within the horizon
  double end_share = 0;    // … ended
  Quantiles start, end;
  std::int64_t before = 0;       // median number of jobs that start before it
  std::vector<Earlier> earlier;  // those that do so most often, then by id; at most kEarlierShown
  std::uint64_t events = 0;      // through the core
};

/// Errors: there is no such job, or it has ended; no draw could be played within the limits.
[[nodiscard]] Result<Forecast> forecast(const Core& core, JobId job, const ForecastOptions& options);
/// The same of a fork, which knows no jobs that ended, with the lengths that were learned before.
[[nodiscard]] Result<Forecast> forecast(const Core& core, const Lengths& lengths, JobId job, const ForecastOptions& options);
/// The same from a snapshot.
[[nodiscard]] Result<Forecast> forecast(std::string_view snapshot, JobId job, const ForecastOptions& options);

/// The q-quantile of sorted values such that a new one of the same kind is below it with probability q (Hyndman and Fan, The American
/// Statistician 50(4), 1996, definition 6); values beyond the list are its ends.
[[nodiscard]] double quantile(const std::vector<double>& sorted, double q);

}  // namespace centrale
