// SPDX-License-Identifier: Apache-2.0
// Statistics, and what they say of several runs.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/ensure.hpp"
#include "simulate/summary.hpp"

namespace centrale {

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double v : values) { sum += v; }
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

double percentile(std::span<const double> sorted, double part) {
  if (sorted.empty()) { return 0; }
  const double n = static_cast<double>(sorted.size());
  // 0.99 x 100 is a little above 99 in binary: a rank that is whole but for rounding is that rank.
  const double rank = std::ceil(part * n * (1 - 1e-12));
  return sorted[static_cast<std::size_t>(std::clamp(rank, 1.0, n)) - 1];
}

double jain_index(std::span<const double> values) {
  double sum = 0;
  double squares = 0;
  for (const double v : values) {
    sum += v;
    squares += v * v;
  }
  return squares > 0 ? sum * sum / (static_cast<double>(values.size()) * squares) : 1;
}

namespace {

/// The probability within ±t, t = sqrt(freedom) tan(angle): Abramowitz and Stegun 26.7.3 and 26.7.4.
double within(double angle, std::int64_t freedom) {
  const double c = std::cos(angle);
  const bool odd = freedom % 2 == 1;
  double term = odd ? c : 1;
  double sum = freedom == 1 ? 0 : term;
  for (std::int64_t i = odd ? 3 : 2; i <= freedom - 2; i += 2) {
    term *= c * c * static_cast<double>(i - 1) / static_cast<double>(i);
    sum += term;
  }
  return odd ? 2 / std::numbers::pi * (angle + std::sin(angle) * sum) : std::sin(angle) * sum;
}

}  // namespace

double student_t95(std::int64_t freedom) {
  ensure(freedom >= 1);
  freedom = std::min<std::int64_t>(freedom, 10'000);  // from there on it is 1.960
  double low = 0;
  double high = std::numbers::pi / 2;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (within(middle, freedom) < 0.95 ? low : high) = middle;
  }
  return std::sqrt(static_cast<double>(freedom)) * std::tan(low);
}

Interval interval95(std::span<const double> values) {
  Interval interval{.mean = mean_of(values), .half = 0, .count = static_cast<std::int64_t>(values.size())};
  if (values.size() < 2 || !std::isfinite(interval.mean)) { return interval; }
  double squares = 0;
  for (const double v : values) { squares += (v - interval.mean) * (v - interval.mean); }
  const double n = static_cast<double>(values.size());
  interval.half = student_t95(interval.count - 1) * std::sqrt(squares / (n - 1) / n);
  return interval;
}

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// Of jobs that are done: no number where none is.
std::function<double(const Summary&)> of_done(double Summary::*field) {
  return [field](const Summary& s) { return s.done > 0 ? s.*field : kNone; };
}
std::function<double(const Summary&)> plain(double Summary::*field) {
  return [field](const Summary& s) { return s.*field; };
}
std::function<double(const Summary&)> plain(std::int64_t Summary::*field) {
  return [field](const Summary& s) { return static_cast<double>(s.*field); };
}

}  // namespace

std::vector<Measure> measures_of(std::span<const std::string> kinds) {
  using enum MeasureUnit;
  std::vector<Measure> m{
      {"jct_mean_s", "JCT mean", "from submit to finish", seconds, Better::less, MeasureGroup::jobs, of_done(&Summary::jct_mean_s)},
      {"jct_p50_s", "JCT median", "half of the jobs are as fast", seconds, Better::less, MeasureGroup::jobs, of_done(&Summary::jct_p50_s)},
      {"jct_p90_s", "JCT p90", "nine of ten jobs are as fast", seconds, Better::less, MeasureGroup::more, of_done(&Summary::jct_p90_s)},
      {"jct_p99_s", "JCT p99", "99 of 100 jobs are as fast", seconds, Better::less, MeasureGroup::jobs, of_done(&Summary::jct_p99_s)},
      {"wait_mean_s", "wait mean", "from submit to the first start", seconds, Better::less, MeasureGroup::jobs,
       plain(&Summary::wait_mean_s)},
      {"wait_p50_s", "wait median", "half of the jobs start as soon", seconds, Better::less, MeasureGroup::more,
       plain(&Summary::wait_p50_s)},
      {"wait_p99_s", "wait p99", "99 of 100 jobs start as soon", seconds, Better::less, MeasureGroup::jobs, plain(&Summary::wait_p99_s)},
      {"wait_max_s", "wait max", "the longest wait", seconds, Better::less, MeasureGroup::more, plain(&Summary::wait_max_s)},
      {"makespan_s", "makespan", "from the first submit to the last finish", seconds, Better::less, MeasureGroup::jobs,
       of_done(&Summary::makespan_s)},
      {"utilisation", "busy", "chips held, of chips up", share, Better::more, MeasureGroup::chips, plain(&Summary::utilisation_all)},
  };
  for (std::size_t k = 0; k < kinds.size() && kinds.size() > 1; ++k) {
    m.push_back({"utilisation." + kinds[k], "busy " + kinds[k], "the same, of " + kinds[k], share, Better::more, MeasureGroup::chips,
                 [k](const Summary& s) { return k < s.utilisation.size() ? s.utilisation[k] : kNone; }});
  }
  const std::vector<Measure> rest{
      {"goodput", "goodput", "chip time that went into steps that counted, of chips up", share, Better::more, MeasureGroup::chips,
       plain(&Summary::goodput)},
      {"slowdown_mean", "slowdown", "JCT over the run time alone on the fastest kind", ratio, Better::less, MeasureGroup::jobs,
       of_done(&Summary::slowdown_mean)},
      {"slowdown_p99", "slowdown p99", "99 of 100 jobs are slowed less", ratio, Better::less, MeasureGroup::more,
       of_done(&Summary::slowdown_p99)},
      {"fairness", "fairness", "Jain's index of tenants' mean slowdowns", ratio, Better::more, MeasureGroup::jobs,
       of_done(&Summary::fairness)},
      {"unfair", "late", "jobs slower than with their share of the centre to themselves", share, Better::less, MeasureGroup::jobs,
       of_done(&Summary::unfair)},
      {"restarts_per_job", "restarts/job", "starts after the first", ratio, Better::less, MeasureGroup::chips,
       plain(&Summary::restarts_per_job)},
      {"chip_hours_per_job", "chip h/job", "chips held", chip_hours, Better::less, MeasureGroup::chips,
       of_done(&Summary::chip_hours_per_job)},
      {"energy_mwh", "energy", "of chips that were held", mwh, Better::less, MeasureGroup::chips, plain(&Summary::energy_mwh)},
      {"cost", "cost", "at the catalogue's prices", money, Better::less, MeasureGroup::chips, plain(&Summary::cost)},
      {"done", "done", "jobs that ended well", count, Better::more, MeasureGroup::ends, plain(&Summary::done)},
      {"failed", "failed", "jobs that failed or were cancelled", count, Better::less, MeasureGroup::ends, plain(&Summary::failed)},
      {"refused", "refused", "jobs that could never have run", count, Better::less, MeasureGroup::ends, plain(&Summary::refused)},
      {"unfinished", "unfinished", "jobs that still waited or ran at the end", count, Better::less, MeasureGroup::ends,
       plain(&Summary::unfinished)},
  };
  m.insert(m.end(), rest.begin(), rest.end());
  return m;
}

bool Comparison::is_best(std::size_t row, std::size_t measure) const {
  const Better better = measures[measure].better;
  const double mine = rows[row].values[measure].mean;
  if (better == Better::neither || !std::isfinite(mine)) { return false; }
  bool some_worse = false;
  for (const PolicyRow& other : rows) {
    const double theirs = other.values[measure].mean;
    if (better == Better::less ? theirs < mine : theirs > mine) { return false; }
    some_worse = some_worse || (better == Better::less ? theirs > mine : theirs < mine);
  }
  return some_worse;
}

Comparison compare(std::span<const Summary> summaries, std::span<const std::string> kinds) {
  Comparison c{.kinds = {kinds.begin(), kinds.end()}, .seeds = {}, .measures = measures_of(kinds), .rows = {}};
  for (const Summary& s : summaries) {
    auto row = std::ranges::find(c.rows, s.policy, &PolicyRow::policy);
    if (row == c.rows.end()) {
      row = c.rows.insert(c.rows.end(), PolicyRow{.policy = s.policy, .runs = {}, .values = {}, .difference = {}});
    }
    row->runs.push_back(s);
  }
  if (c.rows.empty()) { return c; }
  for (const Summary& s : c.rows.front().runs) { c.seeds.push_back(s.seed); }
  for (PolicyRow& row : c.rows) {
    ensure(row.runs.size() == c.seeds.size());
    for (const Measure& measure : c.measures) {
      std::vector<double> values;
      std::vector<double> differences;
      for (std::size_t i = 0; i < row.runs.size(); ++i) {
        ensure(row.runs[i].seed == c.seeds[i]);
        values.push_back(measure.of(row.runs[i]));
        differences.push_back(values.back() - measure.of(c.rows.front().runs[i]));
      }
      row.values.push_back(interval95(values));
      row.difference.push_back(interval95(differences));
    }
  }
  return c;
}

}  // namespace centrale
