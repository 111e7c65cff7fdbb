// SPDX-License-Identifier: Apache-2.0
// The core turned in virtual time: small workloads of which the outcome is known by hand, and what has to hold for any.
#include "simulate/twin.hpp"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "policy/table_estimator.hpp"
#include "simulate/generate.hpp"

namespace centrale {
namespace {

Machines machines_with(std::int64_t nodes, std::int64_t chips, const char* kind = "h100-sxm") {
  std::vector<TraceNode> all;
  for (std::int64_t i = 0; i < nodes; ++i) {
    all.push_back({.name = fmt::format("n{}", i), .kind = kind, .chips = chips, .cpu_milli = 0, .memory = {}});
  }
  return machines_of(all, default_catalogue()).value();
}

TraceJob job(std::int64_t submit_s, std::int64_t run_s, std::int64_t chips) {
  TraceJob job;
  job.name = "a";
  job.submit = Time{submit_s * 1'000'000'000};
  job.run = seconds(run_s);
  job.workers = chips;
  return job;
}

TwinOptions under(const char* policy) {
  TwinOptions options;
  options.scheduling.policy = policy;
  options.check = true;
  return options;
}

TwinResult play(const Workload& workload, const Machines& machines, const TwinOptions& options, const Estimator* estimator = nullptr) {
  auto result = run_twin({.workload = workload, .machines = machines, .estimator = estimator, .options = options, .progress = {}});
  EXPECT_TRUE(result) << result.error().message();
  return std::move(*result);
}

TEST(Twin, AJobThatDoesNotFitWaitsForTheOneThatRuns) {
  Workload workload;
  workload.jobs = {job(0, 100, 6), job(10, 50, 4)};
  const TwinResult result = play(workload, machines_with(1, 8), under("fifo"));
  EXPECT_DOUBLE_EQ(result.jobs[0].jct_s(), 100);
  EXPECT_DOUBLE_EQ(result.jobs[1].wait_s(), 90);
  EXPECT_DOUBLE_EQ(result.jobs[1].jct_s(), 140);
  EXPECT_DOUBLE_EQ(result.busy_s[0], 100 * 6 + 50 * 4);
  EXPECT_DOUBLE_EQ(result.up_s[0], 8 * 150);
  EXPECT_DOUBLE_EQ(result.useful_s, result.busy_s[0]);
}

TEST(Twin, AShortJobIsFilledInBehindTheHead) {
  Workload workload;
  workload.jobs = {job(0, 100, 6), job(10, 50, 8), job(20, 60, 2)};
  for (TraceJob& each : workload.jobs) { each.estimate = each.run; }
  const Machines machines = machines_with(1, 8);
  EXPECT_DOUBLE_EQ(play(workload, machines, under("fifo")).jobs[2].wait_s(), 130);
  EXPECT_DOUBLE_EQ(play(workload, machines, under("backfill")).jobs[2].wait_s(), 0);
}

TEST(Twin, AFailedAndACancelledJobEndAsRecorded) {
  Workload workload;
  workload.jobs = {job(0, 100, 1), job(0, 50, 1), job(0, 20, 1)};
  workload.jobs[0].end = RecordedEnd::failed;
  workload.jobs[1].end = RecordedEnd::cancelled;
  const TwinResult result = play(workload, machines_with(1, 8), under("fifo"));
  EXPECT_EQ(result.jobs[0].end, JobOutcome::End::failed);
  EXPECT_EQ(result.jobs[1].end, JobOutcome::End::cancelled);
  EXPECT_EQ(result.jobs[2].end, JobOutcome::End::done);
  EXPECT_DOUBLE_EQ(result.jobs[1].jct_s(), 50);
}

TEST(Twin, WhatCannotRunIsRefusedAndSaid) {
  Workload workload;
  workload.jobs = {job(0, 10, 64), job(0, 10, 1)};
  const TwinResult result = play(workload, machines_with(1, 8), under("fifo"));
  EXPECT_EQ(result.jobs[0].end, JobOutcome::End::refused);
  EXPECT_EQ(result.jobs[1].end, JobOutcome::End::done);
  ASSERT_EQ(result.notes.size(), 1U);
  EXPECT_NE(result.notes[0].find("1 jobs were refused"), std::string::npos) << result.notes[0];
}

TEST(Twin, AnElasticJobTakesIdleChipsAndGivesThemBack) {
  const auto table = read_profiles(
      "profile,kind,workers,chips,rate_node\n"
      "m,h100-sxm,1,1,1\nm,h100-sxm,2,1,1.9\nm,h100-sxm,4,1,3.6\nm,h100-sxm,8,1,6.4\n",
      "speeds");
  ASSERT_TRUE(table) << table.error().message();
  const TableEstimator estimator(*table);
  Workload workload;
  workload.profiles.push_back("m");
  TraceJob elastic = job(0, 0, 2);
  elastic.profile = 1;
  elastic.work = 6400;
  elastic.workers_min = 1;
  elastic.workers_max = 8;
  workload.jobs = {elastic};
  const TwinResult alone = play(workload, machines_with(1, 8), under("adaptive"), &estimator);
  EXPECT_NEAR(alone.jobs[0].jct_s(), 1000, 0.01);  // on all eight
  workload.jobs.push_back(job(300, 200, 4));
  const TwinResult both = play(workload, machines_with(1, 8), under("adaptive"), &estimator);
  EXPECT_LT(both.jobs[1].wait_s(), 200);
  EXPECT_GE(both.jobs[0].stops, 1);
  EXPECT_EQ(both.jobs[0].end, JobOutcome::End::done);
}

TEST(Twin, AFailureCostsWhatNoCheckpointHolds) {
  Workload workload;
  for (int i = 0; i < 40; ++i) { workload.jobs.push_back(job(i, 20'000, 8)); }
  TwinOptions options = under("fifo");
  options.check = false;
  options.breakdowns = true;
  options.wear.node.mtbf = seconds(50'000);
  options.wear.node.repair = seconds(500);
  options.wear.chip.mtbf = seconds(200'000);
  options.wear.chip.repair = seconds(500);
  options.wear.stragglers.share = 0;
  options.checkpoint_every = seconds(1000);
  const TwinResult result = play(workload, machines_with(4, 8), options);
  std::int64_t failures = 0;
  for (const JobOutcome& each : result.jobs) {
    EXPECT_EQ(each.end, JobOutcome::End::done);
    EXPECT_LE(each.jct_s() - each.wait_s(), 1e7);
    failures += each.failures;
  }
  EXPECT_GT(failures, 10);
  EXPECT_GT(result.node_failures, 5U);
  EXPECT_NEAR(result.useful_s, 40.0 * 20'000 * 8, 40.0 * 20'000 * 8 * 1e-6);  // all work was done once, the rest is loss
  EXPECT_GT(result.busy_s[0], result.useful_s + static_cast<double>(failures) * 8);
  EXPECT_LT(result.up_s[0], 32 * to_seconds(result.ended - result.began));
}

TEST(Twin, TheSameSeedIsTheSameRunWhateverTheFaults) {
  LoadShape shape;
  shape.jobs = 400;
  shape.fleet_chips = 64;
  shape.load = 1.1;
  const Workload workload = generate(shape).value();
  const Machines machines = machines_with(8, 8);
  for (const auto& [name, what] : policy_names()) {
    TwinOptions options = under(std::string(name).c_str());
    options.check = name != "backfill-conservative";
    options.breakdowns = true;
    options.wear.node.mtbf = seconds(1'000'000);
    options.wear.chip.mtbf = seconds(3'000'000);
    options.contention = true;
    const TwinResult first = play(workload, machines, options);
    const TwinResult second = play(workload, machines, options);
    ASSERT_EQ(first.events, second.events) << name;
    std::size_t over = 0;
    for (std::size_t i = 0; i < first.jobs.size(); ++i) {
      ASSERT_EQ(first.jobs[i].finish, second.jobs[i].finish) << name;
      over += first.jobs[i].end == JobOutcome::End::waiting || first.jobs[i].end == JobOutcome::End::running ? 1U : 0U;
    }
    EXPECT_EQ(over, 0U) << name << ": every job ends";
  }
}

}  // namespace
}  // namespace centrale
