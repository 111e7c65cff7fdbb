// SPDX-License-Identifier: Apache-2.0
#include "policy/allocate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/random.hpp"

namespace centrale {
namespace {

/// The obvious way: a dense tableau, Bland's rule. Maximises c x with A x <= b, x >= 0; b >= 0.
double slow_simplex(std::vector<std::vector<double>> a, std::vector<double> b, std::vector<double> c) {
  const std::size_t rows = a.size(), n = c.size();
  std::vector<std::size_t> basis(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    a[i].resize(n + rows, 0);
    a[i][n + i] = 1;
    basis[i] = n + i;
  }
  c.resize(n + rows, 0);
  double value = 0;
  for (int guard = 0; guard < 100'000; ++guard) {
    std::size_t in = 0, out = rows;
    while (in < c.size() && c[in] <= 1e-11) { ++in; }
    if (in == c.size()) { return value; }
    for (std::size_t i = 0; i < rows; ++i) {
      if (a[i][in] <= 1e-11) { continue; }
      const double mine = b[i] / a[i][in], best = out == rows ? 0 : b[out] / a[out][in];
      if (out == rows || mine < best || (mine == best && basis[i] < basis[out])) { out = i; }
    }
    if (out == rows) { return std::numeric_limits<double>::infinity(); }
    const double scale = a[out][in];
    for (double& v : a[out]) { v /= scale; }
    b[out] /= scale;
    basis[out] = in;
    const auto clear = [&](std::vector<double>& row, double factor) {
      for (std::size_t k = 0; k < row.size(); ++k) { row[k] -= factor * a[out][k]; }
    };
    for (std::size_t i = 0; i < rows; ++i) {
      if (const double f = a[i][in]; i != out && f != 0) {
        clear(a[i], f);
        b[i] = std::max(0.0, b[i] - f * b[out]);
      }
    }
    const double f = c[in];
    value += f * b[out];
    clear(c, f);
  }
  return std::nan("");
}

struct Dense {  // the rows that all problems share; variables x, then t
  std::vector<std::vector<double>> a;
  std::vector<double> b;
};
bool runs(const ShareProblem& p, std::size_t m, std::size_t j) { return p.rate[m * p.kinds + j] > 0 && p.chips[m] <= p.capacity[j]; }
Dense base_rows(const ShareProblem& p) {
  Dense d;
  const std::size_t n = p.jobs * p.kinds + 1;
  for (std::size_t m = 0; m < p.jobs; ++m) {
    d.a.emplace_back(n, 0);
    for (std::size_t j = 0; j < p.kinds; ++j) { d.a.back()[m * p.kinds + j] = 1; }
    d.b.push_back(1);
  }
  for (std::size_t j = 0; j < p.kinds; ++j) {
    d.a.emplace_back(n, 0);
    for (std::size_t m = 0; m < p.jobs; ++m) { d.a.back()[m * p.kinds + j] = p.chips[m]; }
    d.b.push_back(p.capacity[j]);
  }
  return d;
}

/// max min of scale_m * throughput_m over the jobs that can run: one LP in x and t.
double slow_level(const ShareProblem& p, const std::vector<double>& scale) {
  Dense d = base_rows(p);
  const std::size_t n = p.jobs * p.kinds + 1;
  for (std::size_t m = 0; m < p.jobs; ++m) {
    bool any = false;
    std::vector<double> row(n, 0);
    for (std::size_t j = 0; j < p.kinds; ++j) {
      if (!runs(p, m, j)) { continue; }
      row[m * p.kinds + j] = -scale[m] * p.rate[m * p.kinds + j];
      any = true;
    }
    row.back() = 1;
    if (!any) { continue; }
    d.a.push_back(row);
    d.b.push_back(0);
  }
  std::vector<double> c(n, 0);
  c.back() = 1;
  return slow_simplex(d.a, d.b, c);
}

std::vector<double> scale_of(const ShareProblem& p) {
  auto scale = equal_share_throughput(p);
  for (std::size_t m = 0; m < p.jobs; ++m) { scale[m] = scale[m] > 0 ? p.chips[m] / scale[m] / (p.weight.empty() ? 1 : p.weight[m]) : 0; }
  return scale;
}

std::vector<double> levels(const ShareProblem& p, const Shares& s, const std::vector<double>& scale) {
  std::vector<double> all(p.jobs, 0);
  for (std::size_t i = 0; i < s.x.size(); ++i) { all[i / p.kinds] += scale[i / p.kinds] * p.rate[i] * s.x[i]; }
  return all;
}

std::string broken(const ShareProblem& p, const Shares& s) {
  if (!s.exact) { return "not exact"; }
  std::vector<double> used(p.kinds, 0);
  for (std::size_t m = 0; m < p.jobs; ++m) {
    double time = 0;
    for (std::size_t j = 0; j < p.kinds; ++j) {
      const double x = s.x[m * p.kinds + j];
      if (x < 0 || (x > 0 && !runs(p, m, j))) { return "job " + std::to_string(m) + " on a kind that cannot run it"; }
      time += x;
      used[j] += x * p.chips[m];
    }
    if (time > 1 + 1e-9) { return "job " + std::to_string(m) + " has more than all its time"; }
  }
  for (std::size_t j = 0; j < p.kinds; ++j) {
    if (used[j] > p.capacity[j] * (1 + 1e-9)) { return "kind " + std::to_string(j) + " is over its capacity"; }
  }
  return {};
}

/// Can `job` have more while none that has less or as much gets less? By the slow simplex: it shall not.
double slow_room(const ShareProblem& p, const std::vector<double>& scale, const std::vector<double>& level, std::size_t job) {
  Dense d = base_rows(p);
  const std::size_t n = p.jobs * p.kinds + 1;
  // The slow simplex wants b >= 0: levels are kept times t', where t' <= 1 is dear.
  std::vector<double> c(n, 0), cap(n, 0);
  const double dear = 1e4;
  for (std::size_t m = 0; m < p.jobs; ++m) {
    if (level[m] <= 0 || (m != job && level[m] > level[job] * (1 + 1e-9))) { continue; }
    std::vector<double> row(n, 0);
    for (std::size_t j = 0; j < p.kinds; ++j) {
      if (runs(p, m, j)) { row[m * p.kinds + j] = -scale[m] * p.rate[m * p.kinds + j] / level[m]; }
    }
    row.back() = 1;
    d.a.push_back(row);
    d.b.push_back(0);
    if (m == job) {
      for (std::size_t i = 0; i + 1 < n; ++i) { c[i] -= row[i]; }
    }
  }
  cap.back() = 1;
  d.a.push_back(cap);
  d.b.push_back(1);
  c.back() = dear;
  return slow_simplex(d.a, d.b, c) - dear;  // the job's level over what it has
}

ShareProblem random_problem(std::uint64_t seed) {
  Random random(seed);
  ShareProblem p{.jobs = 1 + random.below(9), .kinds = 1 + random.below(4), .rate = {}, .chips = {}, .weight = {}, .capacity = {}};
  const bool coarse = random.below(2) == 0;  // ties everywhere
  for (std::size_t m = 0; m < p.jobs; ++m) {
    p.chips.push_back(static_cast<double>(1U << random.below(3)));
    p.weight.push_back(coarse ? 1 : random.uniform(0.5, 3));
    for (std::size_t j = 0; j < p.kinds; ++j) {
      p.rate.push_back(random.below(6) == 0 ? 0 : coarse ? static_cast<double>(1 + random.below(3)) : random.uniform(0.1, 10));
    }
  }
  for (std::size_t j = 0; j < p.kinds; ++j) { p.capacity.push_back(static_cast<double>(random.below(9))); }
  return p;
}

ShareProblem large_problem(std::size_t jobs, std::size_t kinds, std::uint64_t seed) {
  Random random(seed);
  ShareProblem p{.jobs = jobs, .kinds = kinds, .rate = {}, .chips = {}, .weight = {}, .capacity = {}};
  for (std::size_t m = 0; m < jobs; ++m) {
    p.chips.push_back(static_cast<double>(1U << random.below(4)));
    for (std::size_t j = 0; j < kinds; ++j) { p.rate.push_back(random.uniform(0.5, 1.5) * static_cast<double>(j + 1)); }
  }
  for (std::size_t j = 0; j < kinds; ++j) { p.capacity.push_back(std::ceil(static_cast<double>(jobs) * 2 / static_cast<double>(kinds))); }
  return p;
}

TEST(Allocate, MaxMinIsWhatTheSlowSimplexFinds) {
  int failures = 0;
  for (std::uint64_t seed = 0; seed < 1000 && failures < 5; ++seed) {
    const ShareProblem p = random_problem(seed);
    const Shares s = max_min(p);
    const auto scale = scale_of(p);
    bool any = false;
    for (std::size_t i = 0; i < p.rate.size(); ++i) { any = any || runs(p, i / p.kinds, i % p.kinds); }
    const double want = any ? slow_level(p, scale) : 0;
    const std::string wrong = broken(p, s);
    bool good = wrong.empty() && std::abs(s.objective - want) <= 1e-6 * std::max(1e-3, want);
    const auto level = levels(p, s, scale);
    for (std::size_t m = 0; m < p.jobs && good; ++m) {
      if (level[m] <= 0) { continue; }
      const double room = slow_room(p, scale, level, m);
      good = room <= 1 + 1e-5;
      EXPECT_TRUE(good) << "seed " << seed << ": job " << m << " could have " << room << " times its level";
    }
    EXPECT_TRUE(good) << "seed " << seed << ": " << s.objective << " instead of " << want << "; " << wrong;
    failures += good ? 0 : 1;
  }
}

TEST(Allocate, MaxSumIsWhatTheSlowSimplexFinds) {
  int failures = 0;
  for (std::uint64_t seed = 0; seed < 1000 && failures < 5; ++seed) {
    const ShareProblem p = random_problem(seed);
    Dense d = base_rows(p);
    std::vector<double> c(p.rate.size() + 1, 0);
    for (std::size_t i = 0; i < p.rate.size(); ++i) { c[i] = runs(p, i / p.kinds, i % p.kinds) ? p.rate[i] : 0; }
    const double want = slow_simplex(d.a, d.b, c);
    const Shares s = max_sum(p, p.rate);
    const std::string wrong = broken(p, s);
    const bool good = wrong.empty() && std::abs(s.objective - want) <= 1e-6 * std::max(1.0, want);
    EXPECT_TRUE(good) << "seed " << seed << ": " << s.objective << " instead of " << want << "; " << wrong;
    failures += good ? 0 : 1;
  }
}

TEST(Allocate, AHintChangesNoLevel) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    ShareProblem p = large_problem(200, 4, seed);
    const Shares before = max_min(p);
    ASSERT_EQ(broken(p, before), "") << "seed " << seed;
    --p.jobs;
    p.rate.resize(p.jobs * p.kinds);
    p.chips.resize(p.jobs);
    const Shares cold = max_min(p), warm = max_min(p, before.hint());
    ASSERT_EQ(broken(p, warm), "") << "seed " << seed;
    const auto scale = scale_of(p), a = levels(p, cold, scale), b = levels(p, warm, scale);
    for (std::size_t m = 0; m < p.jobs; ++m) { ASSERT_NEAR(a[m], b[m], 1e-6 * a[m]) << "seed " << seed << " job " << m; }
    EXPECT_EQ(max_min(p).x, cold.x) << "the same input gives the same bits";
  }
}

ShareProblem small(std::size_t kinds, std::vector<double> rate, std::vector<double> chips, std::vector<double> capacity) {
  const std::size_t jobs = chips.size();
  return {.jobs = jobs, .kinds = kinds, .rate = std::move(rate), .chips = std::move(chips), .weight = {}, .capacity = std::move(capacity)};
}

TEST(Allocate, FairSharesAndTheLargestSumDiffer) {
  // Equal shares: 2.5 each. With a of job 0's time on the first kind, 1 + 3 a and 3 - a: alike at a = 1/2.
  const ShareProblem p = small(2, {4, 1, 3, 2}, {1, 1}, {1, 1});
  const Shares s = max_min(p);
  EXPECT_NEAR(s.objective, 1, 1e-9);
  EXPECT_NEAR(max_sum(p, p.rate).objective, 6, 1e-9) << "the sum would rather have each where it is best";
}

TEST(Allocate, OneKindIsPlainWaterFilling) {
  // 5 chips: a gang of 4 and two single jobs. Levels are chips x time: 4 x_0 = x_1 = x_2 until the single ones have all their time, then
  // the gang.
  const Shares s = max_min(small(1, {5, 1, 2}, {4, 1, 1}, {5}));
  EXPECT_NEAR(s.x[0], 0.75, 1e-8);
  EXPECT_NEAR(s.x[1], 1, 1e-8);
  EXPECT_NEAR(s.x[2], 1, 1e-8);
  EXPECT_NEAR(s.objective, 1, 1e-8);
}

TEST(Allocate, NothingToShareIsAnAnswer) {
  EXPECT_TRUE(max_min(small(2, {}, {}, {1, 1})).x.empty());
  EXPECT_TRUE(max_min({.jobs = 0, .kinds = 0, .rate = {}, .chips = {}, .weight = {}, .capacity = {}}).x.empty());
  EXPECT_EQ(max_min(small(2, {0, 0, 1, 0}, {1, 1}, {0, 3})).x, (std::vector<double>{0, 0, 0, 0})) << "no rate, no chips";
  EXPECT_EQ(max_min(small(1, {1, 1}, {4, 1}, {2})).x, (std::vector<double>{0, 1})) << "a gang that never fits takes nothing";
}

TEST(Allocate, MakespanEndsAllTogether) {
  // One chip, two jobs of 100 s and 300 s: 400 s.
  const Shares s = makespan(small(1, {1, 1}, {1, 1}, {1}), std::vector<double>{100, 300});
  EXPECT_NEAR(s.objective, 400, 1e-6);
  EXPECT_NEAR(s.x[1], 0.75, 1e-8);
}

TEST(Allocate, FirstComeFirstServedOnTheKindThatFits) {
  // Job 0 does not mind which kind, job 1 does: each has what is best, and job 2 waits.
  const Shares s = fifo_aware(small(2, {2, 2, 4, 1, 1, 1}, {1, 1, 1}, {1, 1}));
  EXPECT_NEAR(s.x[1], 1, 1e-9);
  EXPECT_NEAR(s.x[2], 1, 1e-9);
  EXPECT_NEAR(s.x[4] + s.x[5], 0, 1e-9);
}

TEST(Allocate, RoundsComeToTheShares) {
  const ShareProblem p = small(2, {4, 1, 3, 2, 2, 2}, {1, 1, 1}, {1, 1});
  const Shares s = max_min(p);
  std::vector<double> had(6, 0);
  for (int round = 0; round < 2000; ++round) {
    for (const RoundPick& pick : pick_round(p, s.x, had, Leftovers::idle)) { had[pick.job * 2 + pick.kind] += 1; }
  }
  for (std::size_t i = 0; i < 6; ++i) { EXPECT_NEAR(had[i] / 2000, s.x[i], 0.05) << i; }
}

TEST(Allocate, LeftoverChipsAreUsedWhenAsked) {
  const ShareProblem p = small(2, {4, 1, 4, 1, 4, 1}, {1, 1, 2}, {1, 3});
  const std::vector<double> x{1, 0, 0, 0, 0, 0}, had(6, 0);
  EXPECT_EQ(pick_round(p, x, had, Leftovers::idle), (std::vector<RoundPick>{{0, 0}}));
  EXPECT_EQ(pick_round(p, x, had, Leftovers::used), (std::vector<RoundPick>{{0, 0}, {1, 1}, {2, 1}}));
}

TEST(Allocate, ThousandsOfJobsAreSolvedExactly) {
  const ShareProblem p = large_problem(3000, 6, 5);
  const Shares s = max_min(p);
  EXPECT_EQ(broken(p, s), "");
  EXPECT_LT(s.steps, 20U * p.jobs);
}

}  // namespace
}  // namespace centrale
