// SPDX-License-Identifier: Apache-2.0
#include "simulate/generate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "simulate/generate_mix.hpp"
#include "simulate/trace.hpp"

namespace centrale {
namespace {

LoadShape shape_of(LoadMix mix, std::int64_t jobs) {
  LoadShape shape;
  shape.mix = mix;
  shape.jobs = jobs;
  shape.fleet_chips = 4096;
  return shape;
}

double chips_of(const TraceJob& job) { return static_cast<double>(job.workers * job.chips * job.share_milli) / 1000; }

struct Statistics {
  double run_median = 0, run_mean = 0, run_max = 0, chips_median = 0, chips_mean = 0, chips_max = 0, chip_seconds_mean = 0;
  double failed = 0, cancelled = 0;
};
Statistics statistics_of(const Workload& workload) {
  std::vector<double> runs, chips;
  Statistics all;
  const auto n = static_cast<double>(workload.jobs.size());
  for (const TraceJob& job : workload.jobs) {
    runs.push_back(to_seconds(job.run));
    chips.push_back(chips_of(job));
    all.run_mean += runs.back() / n;
    all.chips_mean += chips.back() / n;
    all.chip_seconds_mean += runs.back() * chips.back() / n;
    all.failed += job.end == RecordedEnd::failed ? 1 / n : 0;
    all.cancelled += job.end == RecordedEnd::cancelled ? 1 / n : 0;
  }
  std::ranges::sort(runs);
  std::ranges::sort(chips);
  all.run_median = runs[runs.size() / 2];
  all.chips_median = chips[chips.size() / 2];
  all.run_max = runs.back();
  all.chips_max = chips.back();
  return all;
}

double demand(const Workload& workload) {
  double sum = 0;
  for (const TraceJob& job : workload.jobs) { sum += chips_of(job) * to_seconds(job.run); }
  return sum;
}

TEST(Generate, MixesHoldThePublishedStatistics) {
  // Of 400,000 jobs. The tails are heavy, so means of a sample stray: run times and chips by up to 8%, their product by up to 15%.
  for (const LoadMix mix : {LoadMix::philly, LoadMix::helios, LoadMix::seren, LoadMix::kalos, LoadMix::pai}) {
    SCOPED_TRACE(enum_name(mix));
    const ClusterFacts& facts = *cluster_facts(mix);
    const auto workload = generate(shape_of(mix, 400'000));
    ASSERT_TRUE(workload) << workload.error().message();
    const Statistics got = statistics_of(*workload);
    EXPECT_NEAR(got.run_median / facts.run_median, 1, 0.03);
    EXPECT_NEAR(got.run_mean / facts.run_mean, 1, 0.08);
    EXPECT_LE(got.run_max, facts.run_max);
    EXPECT_EQ(got.chips_median, facts.chips_median);
    EXPECT_NEAR(got.chips_mean / facts.chips_mean, 1, 0.08);
    EXPECT_LE(got.chips_max, facts.chips_max);
    EXPECT_NEAR(got.failed, facts.failed, 0.01);
    EXPECT_NEAR(got.cancelled, facts.cancelled, 0.01);
    if (facts.chip_seconds_mean > 0) { EXPECT_NEAR(got.chip_seconds_mean / facts.chip_seconds_mean, 1, 0.15); }
  }
}

TEST(Generate, RunTimesAreFittedToMedianAndMean) {
  const RunTimes times = fit_run_times(206, 6651.7, 4'320'009);
  EXPECT_NEAR(mean_of(times), 6651.7, 1e-3);
  // Against the slow obvious version: the mean of many draws, by the quantiles of a uniform grid.
  Random random(7);
  double sum = 0;
  constexpr int kDraws = 2'000'000;
  for (int i = 0; i < kDraws; ++i) { sum += std::min(random.log_normal(times.median, times.sigma), times.max); }
  EXPECT_NEAR(sum / kDraws / 6651.7, 1, 0.05);
}

TEST(Generate, TheLoadIsMet) {
  for (const LoadMix mix : {LoadMix::philly, LoadMix::gavel, LoadMix::llm}) {
    SCOPED_TRACE(enum_name(mix));
    LoadShape shape = shape_of(mix, 100'000);
    shape.load = 0.7;
    const auto workload = generate(shape);
    ASSERT_TRUE(workload) << workload.error().message();
    // The horizon is a little past the last arrival; with 100,000 of them the difference is a hundred thousandth.
    const double horizon = static_cast<double>(workload->jobs.back().submit.ns) * 1e-9;
    EXPECT_NEAR(demand(*workload) / (horizon * 4096), 0.7, 0.007);
  }
}

TEST(Generate, AHorizonIsFilled) {
  LoadShape shape = shape_of(LoadMix::gavel, 0);
  shape.horizon = seconds(10 * 86400);
  shape.load = 0.5;
  const auto workload = generate(shape);
  ASSERT_TRUE(workload) << workload.error().message();
  EXPECT_LE(workload->jobs.back().submit.ns, shape.horizon.value);
  EXPECT_NEAR(demand(*workload) / (10 * 86400.0 * 4096), 0.5, 0.005);
}

TEST(Generate, GavelsTimesAreItsPapers) {
  const auto workload = generate(shape_of(LoadMix::gavel_multi, 100'000));
  ASSERT_TRUE(workload) << workload.error().message();
  double longer = 0, eight = 0;
  for (const TraceJob& job : workload->jobs) {
    const double minutes = to_seconds(job.run) / 60;
    ASSERT_GE(minutes, std::pow(10, 1.5) - 1e-6);
    ASSERT_LE(minutes, 1e4 + 1e-6);
    longer += minutes > 1000 ? 1e-5 : 0;
    eight += chips_of(job) == 8 ? 1e-5 : 0;
  }
  EXPECT_NEAR(longer, 0.2, 0.01);
  EXPECT_NEAR(eight, 0.05, 0.01);
}

TEST(Generate, PretrainingTakesMostOfALanguageModelCentre) {
  const auto workload = generate(shape_of(LoadMix::llm, 200'000));
  ASSERT_TRUE(workload) << workload.error().message();
  double big_jobs = 0, big_time = 0;
  for (const TraceJob& job : workload->jobs) {
    if (chips_of(job) < 128) { continue; }
    big_jobs += 1 / 200'000.0;
    big_time += chips_of(job) * to_seconds(job.run);
  }
  EXPECT_NEAR(big_jobs, 0.032, 0.003);
  EXPECT_NEAR(big_time / demand(*workload), 0.94, 0.04);
}

TEST(Generate, TheSameSeedGivesTheSameBytes) {
  LoadShape shape = shape_of(LoadMix::helios, 2000);
  shape.arrivals = Arrivals::weekly;
  shape.burst_share = 0.3;
  shape.elastic_share = 0.2;
  const std::string once = write_trace(*generate(shape));
  EXPECT_TRUE(once == write_trace(*generate(shape)));
  shape.seed = 2;
  EXPECT_FALSE(once == write_trace(*generate(shape)));
}

TEST(Generate, DaysHaveAPeakAndWeekendsAreQuiet) {
  LoadShape shape = shape_of(LoadMix::gavel, 0);
  shape.horizon = seconds(28 * 86400);
  shape.arrivals = Arrivals::weekly;
  shape.peak_to_trough = 4;
  shape.weekend = 0.5;
  const auto workload = generate(shape);
  ASSERT_TRUE(workload) << workload.error().message();
  double peak = 0, trough = 0, weekdays = 0, weekend = 0;
  for (const TraceJob& job : workload->jobs) {
    const std::int64_t hour = job.submit.ns / 3'600'000'000'000;
    const bool quiet = hour / 24 % 7 >= 5;
    (quiet ? weekend : weekdays) += 1;
    if (hour % 24 == 13 || hour % 24 == 14) { peak += 1; }
    if (hour % 24 == 1 || hour % 24 == 2) { trough += 1; }
  }
  EXPECT_NEAR(peak / trough, 4, 0.4);
  EXPECT_NEAR(weekend / 2 / (weekdays / 5), 0.5, 0.05);
}

TEST(Generate, BurstsAreOfOneTenant) {
  LoadShape shape = shape_of(LoadMix::gavel, 50'000);
  shape.burst_share = 0.5;
  shape.tenants = 1000;
  shape.load = 0.02;  // far apart: what is close together is a burst
  shape.zipf = 0;
  const auto workload = generate(shape);
  ASSERT_TRUE(workload) << workload.error().message();
  double close = 0;
  for (std::size_t i = 1; i < workload->jobs.size(); ++i) {
    const auto &a = workload->jobs[i - 1], &b = workload->jobs[i];
    close += a.tenant == b.tenant && (b.submit - a.submit).value < 60'000'000'000 ? 1 / 50'000.0 : 0;
  }
  EXPECT_NEAR(close, 0.5 * 19 / 20, 0.06);  // all but the first of each burst of 20
}

TEST(Generate, TenantsFollowZipf) {
  LoadShape shape = shape_of(LoadMix::gavel, 100'000);
  shape.tenants = 3;
  const auto workload = generate(shape);
  ASSERT_TRUE(workload);
  std::vector<double> shares(3);
  for (const TraceJob& job : workload->jobs) { shares[job.tenant] += 1e-5; }
  const double all = 1 + 1 / 2.0 + 1 / 3.0;
  for (std::size_t i = 0; i < 3; ++i) { EXPECT_NEAR(shares[i], 1 / static_cast<double>(i + 1) / all, 0.01); }
}

TEST(Generate, UsersSayTooMuchInWholeHours) {
  const auto workload = generate(shape_of(LoadMix::helios, 20'000));
  ASSERT_TRUE(workload);
  for (const TraceJob& job : workload->jobs) {
    ASSERT_GE(job.estimate, job.run);
    ASSERT_EQ(job.estimate.value % 3'600'000'000'000, 0);
  }
}

TEST(Generate, ModelsTakeTheSizesThatTheyFit) {
  LoadShape shape = shape_of(LoadMix::gavel_multi, 20'000);
  shape.profiles = {{.name = "small", .weight = 1, .workers = 1, .steps_per_second = 10},
                    {.name = "any", .weight = 1, .workers = 0, .steps_per_second = 3}};
  shape.elastic_share = 0.5;
  const auto workload = generate(shape);
  ASSERT_TRUE(workload) << workload.error().message();
  double small = 0, elastic = 0;
  for (const TraceJob& job : workload->jobs) {
    ASSERT_NE(job.profile, 0U);
    ASSERT_EQ(job.chips, 1);
    ASSERT_GT(job.work, 0);
    ASSERT_EQ(job.run.value, 0);
    if (job.profile == 1) { ASSERT_EQ(job.workers, 1); }
    small += job.profile == 1 ? 1 : 0;
    elastic += job.workers_max > 0 ? 1 : 0;
  }
  EXPECT_NEAR(small / 20'000, 0.35, 0.02);
  EXPECT_NEAR(elastic / 20'000, 0.5, 0.02);
}

TEST(Generate, NoJobIsLargerThanTheFleet) {
  LoadShape shape = shape_of(LoadMix::kalos, 20'000);
  shape.fleet_chips = 100;
  shape.failing_share = 0;
  const auto workload = generate(shape);
  ASSERT_TRUE(workload);
  for (const TraceJob& job : workload->jobs) {
    ASSERT_LE(job.workers * job.chips, 100);
    ASSERT_EQ(job.end, RecordedEnd::done);
  }
}

TEST(Generate, AShapeThatMakesNoSenseIsAnError) {
  const auto message = [](auto change) {
    LoadShape shape;
    change(shape);
    const auto made = generate(shape);
    return made ? std::string("accepted") : made.error().message();
  };
  EXPECT_EQ(message([](LoadShape& s) { s.load = 0; }), "load: load: wants above 0 and at most 100, found 0");
  EXPECT_EQ(message([](LoadShape& s) { s.jobs = 0; }), "load: without a number of jobs, a horizon is wanted");
  EXPECT_EQ(message([](LoadShape& s) { s.tenants = 0; }), "load: tenants: wants 1 to a million, found 0");
  EXPECT_EQ(message([](LoadShape& s) { s.failing_share = 2; }), "load: failing_share: wants 0 to 1, or -1, found 2");
  EXPECT_EQ(message([](LoadShape& s) { s.profiles = {{.name = "x", .weight = 0, .workers = 0, .steps_per_second = 1}}; }),
            "load: profile 'x': wants a name, a weight and steps a second above 0");
}

}  // namespace
}  // namespace centrale
