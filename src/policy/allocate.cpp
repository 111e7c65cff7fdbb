// SPDX-License-Identifier: Apache-2.0
#include "policy/allocate.hpp"

#include <algorithm>
#include <numeric>

#include "base/ensure.hpp"
#include "policy/allocate_simplex.hpp"

namespace centrale {
namespace {

void check_sizes(const ShareProblem& p) {
  ensure(p.rate.size() == p.jobs * p.kinds && p.chips.size() == p.jobs && p.capacity.size() == p.kinds);
  ensure(p.weight.empty() || p.weight.size() == p.jobs);
}

bool can_run(const ShareProblem& p, std::size_t job, std::size_t kind) {
  return p.rate[job * p.kinds + kind] > 0 && p.chips[job] > 0 && p.chips[job] <= p.capacity[kind];
}

double throughput(const ShareProblem& p, const std::vector<double>& x, std::size_t job) {
  double sum = 0;
  for (std::size_t j = 0; j < p.kinds; ++j) { sum += p.rate[job * p.kinds + j] * x[job * p.kinds + j]; }
  return sum;
}

ShareSimplex::Input input_of(const ShareProblem& p, std::span<const double> scale) {
  ShareSimplex::Input in{
      .jobs = p.jobs, .kinds = p.kinds, .rate = std::vector<double>(p.jobs * p.kinds), .chips = p.chips, .capacity = p.capacity};
  for (std::size_t m = 0; m < p.jobs; ++m) {
    double* row = in.rate.data() + m * p.kinds;
    double top = 0;
    for (std::size_t j = 0; j < p.kinds; ++j) {
      row[j] = can_run(p, m, j) && scale[m] > 0 ? p.rate[m * p.kinds + j] * scale[m] : 0;
      top = std::max(top, row[j]);
    }
    // What differs by rounding is the same: a basis must not hang on it.
    for (std::size_t j = 0; j < p.kinds; ++j) {
      for (std::size_t k = 0; k < j; ++k) {
        if (row[j] != row[k] && row[j] <= row[k] + 1e-9 * top && row[j] >= row[k] - 1e-9 * top) { row[j] = row[k]; }
      }
    }
  }
  return in;
}

Shares shares_of(const ShareSimplex& simplex) {
  return {.x = simplex.x(),
          .objective = 0,
          .level = simplex.first_level(),
          .price = simplex.first_price(),
          .exact = simplex.exact(),
          .steps = simplex.steps()};
}

}  // namespace

std::vector<double> equal_share_throughput(const ShareProblem& p) {
  const double all = std::accumulate(p.capacity.begin(), p.capacity.end(), 0.0);
  std::vector<double> norm(p.jobs, 0);
  for (std::size_t m = 0; m < p.jobs; ++m) {
    for (std::size_t j = 0; j < p.kinds && all > 0; ++j) { norm[m] += std::max(0.0, p.rate[m * p.kinds + j]) * p.capacity[j] / all; }
  }
  return norm;
}

Shares max_min_scaled(const ShareProblem& p, std::span<const double> scale, const ShareHint& hint) {
  check_sizes(p);
  ensure(scale.size() == p.jobs);
  ShareSimplex simplex(input_of(p, scale));
  simplex.fill(hint.price, hint.level);
  Shares shares = shares_of(simplex);
  bool any = false;
  for (std::size_t m = 0; m < p.jobs; ++m) {
    bool runs = false;
    for (std::size_t j = 0; j < p.kinds; ++j) { runs = runs || (scale[m] > 0 && can_run(p, m, j)); }
    if (!runs) { continue; }
    const double level = scale[m] * throughput(p, shares.x, m);
    shares.objective = any ? std::min(shares.objective, level) : level;
    any = true;
  }
  return shares;
}

Shares max_min(const ShareProblem& p, const ShareHint& hint) {
  check_sizes(p);
  std::vector<double> scale = equal_share_throughput(p);
  for (std::size_t m = 0; m < p.jobs; ++m) { scale[m] = scale[m] > 0 ? p.chips[m] / scale[m] / (p.weight.empty() ? 1 : p.weight[m]) : 0; }
  return max_min_scaled(p, scale, hint);
}

Shares makespan(const ShareProblem& p, std::span<const double> work_left, const ShareHint& hint) {
  ensure(work_left.size() == p.jobs);
  std::vector<double> scale(p.jobs, 0);
  for (std::size_t m = 0; m < p.jobs; ++m) { scale[m] = work_left[m] > 0 ? 1 / work_left[m] : 0; }
  Shares shares = max_min_scaled(p, scale, hint);
  shares.objective = shares.objective > 0 ? 1 / shares.objective : 0;
  return shares;
}

Shares max_sum(const ShareProblem& p, std::span<const double> value) {
  check_sizes(p);
  ensure(value.size() == p.jobs * p.kinds);
  ShareSimplex::Input in{
      .jobs = p.jobs, .kinds = p.kinds, .rate = std::vector<double>(p.jobs * p.kinds), .chips = p.chips, .capacity = p.capacity};
  for (std::size_t i = 0; i < value.size(); ++i) { in.rate[i] = can_run(p, i / p.kinds, i % p.kinds) && value[i] > 0 ? 1 : 0; }
  ShareSimplex simplex(std::move(in));
  simplex.earn(value);
  Shares shares = shares_of(simplex);
  for (std::size_t i = 0; i < value.size(); ++i) { shares.objective += shares.x[i] > 0 ? value[i] * shares.x[i] : 0; }
  return shares;
}

Shares fifo_aware(const ShareProblem& p) {
  check_sizes(p);
  std::vector<double> value(p.jobs * p.kinds, 0);
  for (std::size_t m = 0; m < p.jobs; ++m) {
    double top = 0;
    for (std::size_t j = 0; j < p.kinds; ++j) { top = std::max(top, p.rate[m * p.kinds + j]); }
    for (std::size_t j = 0; j < p.kinds && top > 0; ++j) {
      value[m * p.kinds + j] = p.rate[m * p.kinds + j] / top * static_cast<double>(p.jobs - m);
    }
  }
  return max_sum(p, value);
}

std::vector<RoundPick> pick_round(const ShareProblem& p, std::span<const double> x, std::span<const double> received, Leftovers leftovers) {
  check_sizes(p);
  ensure(x.size() == p.jobs * p.kinds && received.size() == x.size());
  std::vector<double> kind_time(p.kinds, 0), left = p.capacity;
  for (std::size_t i = 0; i < received.size(); ++i) { kind_time[i % p.kinds] += received[i]; }
  struct Due {
    double priority, share;
    std::size_t job, kind;
  };
  std::vector<Due> due;
  for (std::size_t m = 0; m < p.jobs; ++m) {
    for (std::size_t j = 0; j < p.kinds; ++j) {
      const double share = x[m * p.kinds + j], had = received[m * p.kinds + j];
      if (share <= 1e-9 || !can_run(p, m, j)) { continue; }  // less is rounding
      // 1e9 as published, not infinity: of two that had nothing, the one with the larger share goes first.
      due.push_back({had > 0 ? share / (had / kind_time[j]) : share * 1e9, share, m, j});
    }
  }
  std::sort(due.begin(), due.end(), [](const Due& a, const Due& b) {
    if (a.priority != b.priority) { return a.priority > b.priority; }
    if (a.share != b.share) { return a.share > b.share; }
    return a.job != b.job ? a.job < b.job : a.kind < b.kind;
  });
  std::vector<RoundPick> picks;
  std::vector<bool> runs(p.jobs, false);
  const auto take = [&](std::size_t job, std::size_t kind) {
    runs[job] = true;
    left[kind] -= p.chips[job];
    picks.push_back({job, kind});
  };
  for (const Due& d : due) {
    if (!runs[d.job] && p.chips[d.job] <= left[d.kind]) { take(d.job, d.kind); }
  }
  for (std::size_t m = 0; m < p.jobs && leftovers == Leftovers::used; ++m) {
    std::size_t best = p.kinds;
    for (std::size_t j = 0; j < p.kinds && !runs[m]; ++j) {
      if (can_run(p, m, j) && p.chips[m] <= left[j] && (best == p.kinds || p.rate[m * p.kinds + j] > p.rate[m * p.kinds + best])) {
        best = j;
      }
    }
    if (best != p.kinds) { take(m, best); }
  }
  std::sort(picks.begin(), picks.end());
  return picks;
}

}  // namespace centrale
