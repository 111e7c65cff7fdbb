// SPDX-License-Identifier: Apache-2.0
// One run as the numbers of a table.
#include "simulate/summary.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace centrale {
namespace {

using End = JobOutcome::End;

double asked_chips(const TraceJob& job) {
  return static_cast<double>(job.workers * job.chips) * static_cast<double>(job.share_milli) * 1e-3;
}

/// Chips that all jobs in the centre ask for, over the chips that it has, at least 1; as its integral, so that any job's mean is two
/// look-ups.
class Contention {
 public:
  Contention(const TwinResult& result, const Workload& workload) {
    const double span = to_seconds(result.ended - result.began);
    const double up = span > 0 ? std::reduce(result.up_s.begin(), result.up_s.end()) / span : 0;
    struct Step {
      Time at;
      double chips;
    };
    std::vector<Step> steps;
    for (std::size_t i = 0; i < result.jobs.size(); ++i) {
      const JobOutcome& job = result.jobs[i];
      if (job.end == End::refused) { continue; }
      const bool stays = job.end == End::running || job.end == End::waiting;
      const double chips = asked_chips(workload.jobs[i]);
      steps.push_back({job.submit, chips});
      steps.push_back({stays ? result.ended : job.finish, -chips});
    }
    std::ranges::stable_sort(steps, {}, &Step::at);
    double asked = 0;
    double sum = 0;
    for (const Step& step : steps) {
      if (!at_.empty()) { sum += to_seconds(step.at - at_.back()) * factor_.back(); }
      asked += step.chips;
      const double factor = up > 0 ? std::max(1.0, asked / up) : 1;
      if (!at_.empty() && at_.back() == step.at) {
        factor_.back() = factor;
      } else {
        at_.push_back(step.at);
        sum_.push_back(sum);
        factor_.push_back(factor);
      }
    }
  }
  /// from < to, both within the run.
  [[nodiscard]] double mean(Time from, Time to) const { return (until(to) - until(from)) / to_seconds(to - from); }

 private:
  [[nodiscard]] double until(Time t) const {
    const auto after = std::ranges::upper_bound(at_, t);
    if (after == at_.begin()) { return 0; }
    const auto i = static_cast<std::size_t>(after - at_.begin()) - 1;
    return sum_[i] + to_seconds(t - at_[i]) * factor_[i];
  }
  std::vector<Time> at_;
  std::vector<double> sum_, factor_;
};

/// What the jobs of the window were seen to do.
struct Seen {
  std::vector<double> jct, wait, slowdown, chip_hours, restarts;
  std::map<std::uint32_t, std::pair<double, double>> tenants;  // slowdowns: sum, count
  double late = 0, judged = 0;                                 // jobs, of finish-time fairness
  Time first = kNever, last;
};

void see(const JobOutcome& job, const TraceJob& asked, const TwinResult& result, const Contention& contention, Seen& seen) {
  if (job.starts > 0) {
    seen.wait.push_back(job.wait_s());
    seen.restarts.push_back(static_cast<double>(job.starts - 1));
  } else if (job.end == End::waiting) {
    seen.wait.push_back(to_seconds(result.ended - job.submit));  // so far: leaving it out would praise whoever starves it
  }
  if (job.end != End::done) { return; }
  seen.jct.push_back(job.jct_s());
  seen.chip_hours.push_back(job.chip_seconds / 3600);
  seen.first = std::min(seen.first, job.submit);
  seen.last = std::max(seen.last, job.finish);
  if (!(job.ideal_s > 0)) { return; }
  const double slowdown = job.jct_s() / job.ideal_s;
  seen.slowdown.push_back(slowdown);
  auto& [sum, count] = seen.tenants[asked.tenant];
  sum += slowdown;
  ++count;
  ++seen.judged;
  // Both sides come from the same clocks, rounded to ns: what is equal must not count as late.
  if (job.finish > job.submit && job.jct_s() > job.ideal_s * contention.mean(job.submit, job.finish) * (1 + 1e-9)) { ++seen.late; }
}

void count(const JobOutcome& job, const TraceJob& asked, Summary& s) {
  ++s.jobs;
  switch (job.end) {
    case End::done: ++s.done; break;
    case End::failed:
    case End::cancelled: ++s.failed; break;
    case End::refused: ++s.refused; break;
    case End::running: s.unfinished += asked.service ? 0 : 1; break;  // a service that runs is where it should be
    case End::waiting: ++s.unfinished; break;
  }
}

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

void add_chips(const TwinResult& result, Summary& s) {
  for (std::size_t k = 0; k < result.busy_s.size(); ++k) { s.utilisation.push_back(share(result.busy_s[k], result.up_s[k])); }
  const double up = std::reduce(result.up_s.begin(), result.up_s.end());
  s.utilisation_all = share(std::reduce(result.busy_s.begin(), result.busy_s.end()), up);
  s.goodput = share(result.useful_s, up);
  s.energy_mwh = result.energy_j / 3.6e9;
  s.cost = result.cost;
}

}  // namespace

Summary summarise(const TwinResult& result, const Workload& workload, const Window& window) {
  Summary s;
  s.policy = result.policy;
  s.seed = result.seed;
  const Contention contention(result, workload);
  Seen seen;
  const std::size_t last = std::min(window.last, result.jobs.size());
  for (std::size_t i = window.first; i < last; ++i) {
    count(result.jobs[i], workload.jobs[i], s);
    see(result.jobs[i], workload.jobs[i], result, contention, seen);
  }
  std::ranges::sort(seen.jct);
  std::ranges::sort(seen.wait);
  std::ranges::sort(seen.slowdown);
  s.jct_mean_s = mean_of(seen.jct);
  s.jct_p50_s = percentile(seen.jct, 0.5);
  s.jct_p90_s = percentile(seen.jct, 0.9);
  s.jct_p99_s = percentile(seen.jct, 0.99);
  s.wait_mean_s = mean_of(seen.wait);
  s.wait_p50_s = percentile(seen.wait, 0.5);
  s.wait_p99_s = percentile(seen.wait, 0.99);
  s.wait_max_s = percentile(seen.wait, 1);
  s.makespan_s = seen.jct.empty() ? 0 : to_seconds(seen.last - seen.first);
  s.chip_hours_per_job = mean_of(seen.chip_hours);
  s.slowdown_mean = mean_of(seen.slowdown);
  s.slowdown_p99 = percentile(seen.slowdown, 0.99);
  s.restarts_per_job = mean_of(seen.restarts);
  s.unfair = share(seen.late, seen.judged);
  std::vector<double> tenants;
  for (const auto& [tenant, of] : seen.tenants) { tenants.push_back(of.first / of.second); }
  s.fairness = jain_index(tenants);
  add_chips(result, s);
  return s;
}

}  // namespace centrale
