// SPDX-License-Identifier: Apache-2.0
#include "simulate/summary.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.hpp"

namespace centrale {
namespace {

using End = JobOutcome::End;

Time at(std::int64_t s) { return {s * 1'000'000'000}; }

/// A run made up: jobs one after the other.
struct Made {
  Workload workload;
  TwinResult result;
  Made() {
    workload.tenants = {"a", "b"};
    result.policy = "fifo";
    result.seed = 7;
    result.kinds = {"h100", "a100"};
    result.busy_s = {300, 50};
    result.up_s = {400, 400};
    result.useful_s = 200;
    result.energy_j = 7.2e9;
    result.cost = 12.5;
    result.ended = at(200);
  }
  JobOutcome& job(std::int64_t submit, std::int64_t start, std::int64_t finish, std::uint32_t tenant = 0, std::int64_t chips = 1) {
    TraceJob asked;
    asked.submit = at(submit);
    asked.tenant = tenant;
    asked.chips = chips;
    workload.jobs.push_back(asked);
    JobOutcome& outcome = result.jobs.emplace_back();
    outcome.end = End::done;
    outcome.submit = at(submit);
    outcome.start = at(start);
    outcome.finish = at(finish);
    outcome.starts = 1;
    outcome.ideal_s = static_cast<double>(finish - start);
    outcome.chip_seconds = static_cast<double>(chips * (finish - start));
    return outcome;
  }
};

TEST(Summary, OfThreeJobsByHand) {
  Made m;
  m.job(0, 0, 10);
  m.job(0, 10, 30, 1).starts = 3;
  m.job(10, 30, 40, 1, 2);
  const Summary s = summarise(m.result, m.workload);
  EXPECT_EQ(s.policy, "fifo");
  EXPECT_EQ(s.seed, 7U);
  EXPECT_EQ(s.jobs, 3);
  EXPECT_EQ(s.done, 3);
  EXPECT_DOUBLE_EQ(s.jct_mean_s, (10 + 30 + 30) / 3.0);
  EXPECT_DOUBLE_EQ(s.jct_p50_s, 30);
  EXPECT_DOUBLE_EQ(s.wait_mean_s, (0 + 10 + 20) / 3.0);
  EXPECT_DOUBLE_EQ(s.wait_p50_s, 10);
  EXPECT_DOUBLE_EQ(s.wait_max_s, 20);
  EXPECT_DOUBLE_EQ(s.makespan_s, 40);
  EXPECT_DOUBLE_EQ(s.utilisation.at(0), 0.75);
  EXPECT_DOUBLE_EQ(s.utilisation.at(1), 0.125);
  EXPECT_DOUBLE_EQ(s.utilisation_all, 350.0 / 800);
  EXPECT_DOUBLE_EQ(s.goodput, 0.25);
  EXPECT_DOUBLE_EQ(s.slowdown_mean, (1 + 1.5 + 3) / 3.0);
  EXPECT_DOUBLE_EQ(s.fairness, jain_index(std::vector{1.0, 2.25}));
  EXPECT_DOUBLE_EQ(s.restarts_per_job, 2 / 3.0);
  EXPECT_DOUBLE_EQ(s.chip_hours_per_job, (10 + 20 + 20) / 3.0 / 3600);
  EXPECT_DOUBLE_EQ(s.energy_mwh, 2);
  EXPECT_DOUBLE_EQ(s.cost, 12.5);
}

TEST(Summary, OnlyDoneJobsCountForCompletionAndOnlyTheWindow) {
  Made m;
  m.job(0, 0, 1000);
  m.job(1, 1, 11);
  m.job(2, 2, 500).end = End::failed;
  m.job(3, 3, 500).end = End::cancelled;
  m.job(4, 0, 0).end = End::refused;
  m.result.jobs.back().starts = 0;
  m.job(5, 6, 0).end = End::running;
  m.job(100, 0, 0).end = End::waiting;
  m.result.jobs.back().starts = 0;
  const Summary s = summarise(m.result, m.workload, {.first = 1, .last = SIZE_MAX});
  EXPECT_EQ(s.jobs, 6);
  EXPECT_EQ(s.done, 1);
  EXPECT_EQ(s.failed, 2);
  EXPECT_EQ(s.refused, 1);
  EXPECT_EQ(s.unfinished, 2);
  EXPECT_DOUBLE_EQ(s.jct_mean_s, 10);
  EXPECT_DOUBLE_EQ(s.wait_max_s, 100) << "what still waits at 200 s has waited since 100 s";
  m.workload.jobs[5].service = true;
  EXPECT_EQ(summarise(m.result, m.workload).unfinished, 1) << "a service that runs is where it should be";
  EXPECT_EQ(summarise(m.result, m.workload, {.first = 3, .last = 3}).jobs, 0);
  EXPECT_EQ(summarise(m.result, m.workload, {.first = 300, .last = 400}).jobs, 0);
}

TEST(Summary, LateIsSlowerThanAnEqualShareOfTheCentreWouldBe) {
  Made m;
  m.result.kinds = {"h100"};
  m.result.busy_s = {100};
  m.result.up_s = {200};  // one chip
  m.job(0, 0, 50);        // both ask for the one chip until 50, then one does: contention 2, then 1
  m.job(0, 50, 100);      // JCT 100, ideal 50, mean contention 1.5
  EXPECT_DOUBLE_EQ(summarise(m.result, m.workload).unfair, 0.5);
  m.result.jobs[1].ideal_s = 70;
  EXPECT_DOUBLE_EQ(summarise(m.result, m.workload).unfair, 0);
}

TEST(Statistics, PercentilesAreValuesByNearestRank) {
  const std::vector<double> v{15, 20, 35, 40, 50};
  EXPECT_EQ(percentile(v, 0.05), 15);
  EXPECT_EQ(percentile(v, 0.30), 20);
  EXPECT_EQ(percentile(v, 0.40), 20);
  EXPECT_EQ(percentile(v, 0.50), 35);
  EXPECT_EQ(percentile(v, 1.00), 50);
  EXPECT_EQ(percentile(v, 0), 15);
  EXPECT_EQ(percentile({}, 0.5), 0);
  std::vector<double> hundred;
  for (int i = 1; i <= 100; ++i) { hundred.push_back(i); }
  EXPECT_EQ(percentile(hundred, 0.99), 99);
  EXPECT_EQ(percentile(hundred, 0.9), 90);
}

TEST(Statistics, PercentilesCoverWhatTheySay) {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> v(1 + random.below(40));
    for (double& x : v) { x = std::floor(random.uniform(0, 20)); }
    std::ranges::sort(v);
    const double part = random.uniform();
    const double p = percentile(v, part);
    const auto not_above = [&](double limit) {
      return static_cast<double>(std::ranges::count_if(v, [&](double x) { return x <= limit; }));
    };
    const double n = static_cast<double>(v.size());
    EXPECT_GE(not_above(p), part * n - 1e-9);
    const auto below = std::ranges::lower_bound(v, p);
    if (below != v.begin()) { EXPECT_LT(not_above(*(below - 1)), part * n + 1e-9); }
  }
}

TEST(Statistics, JainIsOneForEqualsAndOneNthForOne) {
  EXPECT_DOUBLE_EQ(jain_index(std::vector{3.0, 3.0, 3.0}), 1);
  EXPECT_DOUBLE_EQ(jain_index(std::vector{0.0, 0.0, 5.0, 0.0}), 0.25);
  EXPECT_DOUBLE_EQ(jain_index({}), 1);
}

TEST(Statistics, StudentIsAsPrinted) {
  // Abramowitz and Stegun, table 26.10, two-sided 95%.
  const std::pair<std::int64_t, double> printed[] = {{1, 12.706}, {2, 4.303},  {3, 3.182},  {4, 2.776},
                                                     {9, 2.262},  {30, 2.042}, {120, 1.980}};
  for (const auto& [freedom, t] : printed) { EXPECT_NEAR(student_t95(freedom), t, 0.0006) << freedom; }
  EXPECT_NEAR(student_t95(1'000'000'000), 1.960, 0.0005);
}

TEST(Statistics, AnIntervalIsStudents) {
  const Interval i = interval95(std::vector{9.0, 10.0, 11.0});  // deviation 1
  EXPECT_DOUBLE_EQ(i.mean, 10);
  EXPECT_NEAR(i.half, 4.303 / std::sqrt(3.0), 0.001);
  EXPECT_EQ(interval95(std::vector{5.0}).half, 0);
  EXPECT_FALSE(std::isfinite(interval95(std::vector<double>{5.0, NAN}).mean));
}

Summary of(std::string policy, std::uint64_t seed, double jct) {
  Summary s;
  s.policy = std::move(policy);
  s.seed = seed;
  s.done = 1;
  s.jct_mean_s = jct;
  s.utilisation = {0.5, 0.25};
  return s;
}

TEST(Compare, PairsSeedsSoThatASmallButSureGainIsSeen) {
  // Seeds differ much, the second policy is always 1 s faster: the means overlap, the difference is certain.
  const std::vector<Summary> runs{of("fifo", 1, 100), of("fifo", 2, 200), of("fifo", 3, 300),
                                  of("ours", 1, 99),  of("ours", 2, 199), of("ours", 3, 299)};
  const Comparison c = compare(runs, std::vector<std::string>{"h100", "a100"});
  ASSERT_EQ(c.rows.size(), 2U);
  EXPECT_EQ(c.seeds, (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_GT(c.rows[1].values[0].half, 100);
  EXPECT_DOUBLE_EQ(c.rows[1].difference[0].mean, -1);
  EXPECT_DOUBLE_EQ(c.rows[1].difference[0].half, 0);
  EXPECT_TRUE(c.is_best(1, 0));
  EXPECT_FALSE(c.is_best(0, 0));
  const auto a100 = std::ranges::find(c.measures, "utilisation.a100", &Measure::key) - c.measures.begin();
  EXPECT_DOUBLE_EQ(c.rows[0].values.at(static_cast<std::size_t>(a100)).mean, 0.25);
  EXPECT_FALSE(c.is_best(0, static_cast<std::size_t>(a100))) << "equal: none is best";
}

TEST(Compare, ARunWithoutADoneJobIsNeverBest) {
  std::vector<Summary> runs{of("fifo", 1, 100), of("none", 1, 0)};
  runs[1].done = 0;
  const Comparison c = compare(runs, std::vector<std::string>{"h100"});
  EXPECT_FALSE(std::isfinite(c.rows[1].values[0].mean));
  EXPECT_FALSE(c.is_best(1, 0));
  EXPECT_TRUE(compare({}, {}).rows.empty());
}

}  // namespace
}  // namespace centrale
