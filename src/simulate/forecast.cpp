// SPDX-License-Identifier: Apache-2.0
#include "simulate/forecast.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "simulate/forecast_play.hpp"

namespace centrale {

double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * (static_cast<double>(sorted.size()) + 1) - 1;
  if (at <= 0) { return sorted.front(); }
  const auto low = static_cast<std::size_t>(at);
  if (low + 1 >= sorted.size()) { return sorted.back(); }
  const double part = at - static_cast<double>(low);
  // Between what came and what did not come, it did not.
  return part == 0 ? sorted[low] : sorted[low] + (sorted[low + 1] - sorted[low]) * part;
}

namespace {

constexpr double kBeyond = std::numeric_limits<double>::infinity();

std::optional<Nanos> at(const std::vector<double>& sorted, double q) {
  const double value = quantile(sorted, q);
  return std::isfinite(value) ? std::optional(Nanos{static_cast<std::int64_t>(value * 1e9)}) : std::nullopt;
}

Quantiles quantiles(std::vector<double>& values) {
  std::ranges::sort(values);
  return {.p10 = at(values, 0.1), .p50 = at(values, 0.5), .p90 = at(values, 0.9)};
}

double share_within(const std::vector<double>& values) {
  const auto within = std::ranges::count_if(values, [](double value) { return std::isfinite(value); });
  return static_cast<double>(within) / static_cast<double>(values.size());
}

}  // namespace

Result<Forecast> forecast(const Core& core, JobId id, const ForecastOptions& options) {
  return forecast(core, Lengths(core, std::max(core.now(), options.from)), id, options);
}

Result<Forecast> forecast(const Core& core, const Lengths& lengths, JobId id, const ForecastOptions& options) {
  const Job* const job = core.job(id);
  if (job == nullptr) { return fail(ErrorKind::not_found, fmt::format("there is no job {}", to_string(id))); }
  if (is_final(job->state)) {
    return fail(ErrorKind::conflict, fmt::format("job {} is {}", to_string(id), enum_name(job->state)), {}, "nothing of it is to come");
  }
  Forecast said;
  said.job = id;
  said.from = std::max(core.now(), options.from);
  said.horizon = options.horizon;
  said.waits = job->state == JobState::queued;
  const Core lean = core.fork();  // what every draw begins with
  // What may be stopped is followed to its end; what may not, ends when its work is done.
  const PlayInput input{.lengths = lengths,
                        .job = id,
                        .to_its_end = !said.waits || job->spec.preemptible,
                        .from = said.from,
                        .horizon = options.horizon,
                        .go_on = options.go_on};
  std::vector<double> starts, ends, counts;
  std::map<JobId, std::int64_t> times;
  for (std::int64_t draw = 0; draw < options.draws; ++draw) {
    Play play(lean.fork(), input, Random(options.seed).stream(static_cast<std::uint64_t>(draw)), options.events_max - said.events);
    const Played played = play.run();
    said.events += played.events;
    if (!played.finished && (played.start_s < 0 || input.to_its_end)) { break; }
    ++said.draws;
    starts.push_back(played.start_s < 0 ? kBeyond : played.start_s);
    ends.push_back(played.end_s < 0 ? kBeyond : played.end_s);
    counts.push_back(static_cast<double>(played.before.size()));
    for (const JobId before : played.before) { ++times[before]; }
  }
  if (said.draws == 0) {
    return fail(ErrorKind::unavailable, "the forecast took too long", {}, "ask again with fewer draws, or when less is queued");
  }
  said.start_share = share_within(starts);
  said.end_share = share_within(ends);
  said.start = quantiles(starts);
  said.end = quantiles(ends);
  std::ranges::sort(counts);
  said.before = static_cast<std::int64_t>(std::lround(quantile(counts, 0.5)));
  for (const auto& [before, count] : times) {
    said.earlier.push_back({before, std::min(1.0, static_cast<double>(count) / static_cast<double>(said.draws))});
  }
  std::ranges::stable_sort(said.earlier, [](const Earlier& a, const Earlier& b) { return a.share > b.share; });
  if (said.earlier.size() > kEarlierShown) { said.earlier.resize(kEarlierShown); }
  return said;
}

Result<Forecast> forecast(std::string_view snapshot, JobId job, const ForecastOptions& options) {
  // Any policy will do: restoring makes the one that the snapshot names.
  TRY_ASSIGN(std::unique_ptr<Policy> policy, make_policy("fifo"));
  TRY_ASSIGN(const Core core, Core::restore(snapshot, std::move(policy)));
  return forecast(core, job, options);
}

}  // namespace centrale
