// SPDX-License-Identifier: Apache-2.0
#include "timing.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

namespace centrale::calibrate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kDisturbedPatience = 3;

struct Run {
  double seconds = 0;  // of one work
  bool disturbed = false;
};

std::int64_t preemptions() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

Run run_once(const std::function<void(std::int64_t)>& work, std::int64_t times) {
  const std::int64_t before = preemptions();
  const auto start = Clock::now();
  work(times);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return {seconds / static_cast<double>(times), preemptions() != before};
}

double quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  const double at = part * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

struct Kept {
  std::vector<double> seconds;
  bool undisturbed = false;  // else there are too few of those, and these are all
};

Kept clean(const std::vector<Run>& runs) {
  std::vector<double> all, undisturbed;
  for (const Run& run : runs) {
    all.push_back(run.seconds);
    if (!run.disturbed) { undisturbed.push_back(run.seconds); }
  }
  constexpr std::size_t kEnough = 3;
  return undisturbed.size() >= kEnough ? Kept{std::move(undisturbed), true} : Kept{std::move(all), false};
}

bool has_settled(const std::vector<double>& values, const Patience& patience) {
  if (values.size() < static_cast<std::size_t>(patience.runs_min)) { return false; }
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  const double first = quantile({values.begin(), middle}, 0.5), second = quantile({middle, values.end()}, 0.5);
  return std::abs(first / second - 1) < patience.settled;
}

}  // namespace

Timing measure(const std::function<void(std::int64_t)>& work, const Patience& patience) {
  const auto start = Clock::now();
  static_cast<void>(run_once(work, 1));  // pages, caches and kernels that are compiled on first use
  const double once = run_once(work, 1).seconds;
  const auto times = static_cast<std::int64_t>(std::clamp(std::ceil(patience.run_s / std::max(once, 1e-9)), 1.0, 1e6));
  std::vector<Run> runs;
  Kept kept;
  const auto spent = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  while (static_cast<int>(runs.size()) < patience.runs_max) {
    runs.push_back(run_once(work, times));
    kept = clean(runs);
    if (kept.undisturbed && has_settled(kept.seconds, patience)) { break; }
    // Others' work comes in bursts: it is worth waiting a little for its end.
    const double limit = patience.all_s * (kept.undisturbed ? 1 : kDisturbedPatience);
    if (static_cast<int>(runs.size()) >= patience.runs_min && spent() > limit) { break; }
  }
  Timing timing;
  timing.seconds = quantile(kept.seconds, 0.5);
  timing.spread = (quantile(kept.seconds, 0.75) - quantile(kept.seconds, 0.25)) / 2 / timing.seconds;
  timing.runs = static_cast<std::int64_t>(kept.seconds.size());
  timing.disturbed = kept.undisturbed ? static_cast<std::int64_t>(runs.size() - kept.seconds.size()) : 0;
  return timing;
}

}  // namespace centrale::calibrate
