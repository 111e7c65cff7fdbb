// SPDX-License-Identifier: Apache-2.0
// A journal and its replay: under the rules and on the machines of the journal, the twin does what was done, to the nanosecond.
#include "simulate/replay.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/random.hpp"
#include "simulate/replay_testing.hpp"
#include "simulate/summary.hpp"

namespace centrale {
namespace {

using replay_testing::at;
using replay_testing::Centre;
using replay_testing::Line;

JobSpec job(const std::string& name, std::int64_t workers = 1) {
  JobSpec spec;
  spec.name = name;
  spec.command = {"program", "--with", "arguments"};
  spec.workers = workers;
  spec.restart_cost = {};
  return spec;
}

Result<std::shared_ptr<const Replay>> read(const std::vector<Line>& lines) {
  ReplayReader reader;
  for (const Line& line : lines) { TRY(reader.record(line.sequence, line.at, line.payload)); }
  return reader.finish();
}

TwinResult play(const std::shared_ptr<const Replay>& replay, TwinOptions options = {}) {
  options.recorded_fleet = true;
  options.check = true;
  const Workload workload = workload_of(replay);
  auto result = run_twin({.workload = workload, .machines = replay->machines, .estimator = nullptr, .options = options, .progress = {}});
  EXPECT_TRUE(result) << result.error().message();
  return std::move(*result);
}
TwinResult play_as_recorded(const std::shared_ptr<const Replay>& replay) {
  TwinOptions options;
  options.recorded_scheduling = true;
  return play(replay, options);
}

/// How far the twin's times are from the journal's; what differs otherwise, in words.
struct Gap {
  std::int64_t ns = 0;
  std::string other;
};
Gap gap_of(const Replay& replay, const TwinResult& result) {
  Gap gap;
  for (std::size_t i = 0; i < replay.jobs.size(); ++i) {
    const JobOutcome& was = replay.jobs[i].was;
    const JobOutcome& is = result.jobs[i];
    if (was.end != is.end || was.starts != is.starts || was.failures != is.failures || was.stops != is.stops) {
      gap.other +=
          fmt::format("{} was {} after {} starts, {} failures, {} stops, and is {} after {}, {}, {}\n", replay.jobs[i].spec.name,
                      enum_name(was.end), was.starts, was.failures, was.stops, enum_name(is.end), is.starts, is.failures, is.stops);
      if (gap.other.size() > 1000) { return gap; }
    }
    gap.ns = std::max({gap.ns, std::abs((was.finish - is.finish).value), std::abs((was.start - is.start).value)});
  }
  return gap;
}

TEST(Replay, OneJobTakesWhatItTook) {
  Centre centre;
  centre.node(1, "n", 2);
  centre.submit(2, job("a", 2), {.attempts = {{.runs_s = 5}}});
  centre.submit(3, job("b"), {.attempts = {{.runs_s = 1}}});
  const auto replay = read(centre.live()).value();
  ASSERT_EQ(replay->jobs.size(), 2U);
  EXPECT_EQ(replay->jobs[0].was.finish, at(2 + 0.02 + 5));
  EXPECT_EQ(replay->jobs[0].starting, std::vector{milliseconds(20)});
  EXPECT_DOUBLE_EQ(replay->jobs[0].attempts[0].work, 5);
  EXPECT_EQ(replay->jobs[0].spec.command, std::vector<std::string>{"-"}) << "what ran is nobody's business in a twin";
  const TwinResult result = play_as_recorded(replay);
  EXPECT_EQ(result.policy, "fifo");
  EXPECT_LE(gap_of(*replay, result).ns, 2);
  EXPECT_DOUBLE_EQ(result.jobs[1].wait_s(), 4.02);
  EXPECT_NEAR(result.busy_s[0], as_it_was(*replay).busy_s[0], 1e-6);
  EXPECT_NEAR(result.cost, as_it_was(*replay).cost, 1e-4);
}

TEST(Replay, MoreChipsAreTriedOnYesterdaysJobs) {
  Centre centre;
  centre.node(0, "n", 2);
  for (int i = 0; i < 4; ++i) { centre.submit(1 + i * 0.001, job(fmt::format("j{}", i), 2), {.attempts = {{.runs_s = 10}}}); }
  const auto replay = read(centre.live()).value();
  const Workload workload = workload_of(replay);
  const std::vector<TraceNode> twice{{.name = "big", .kind = "cpu-core", .chips = 4, .cpu_milli = 0, .memory = {}}};
  const Machines machines = machines_of(twice, default_catalogue()).value();
  const auto result = run_twin({.workload = workload, .machines = machines, .estimator = nullptr, .options = {}, .progress = {}}).value();
  EXPECT_NEAR(to_seconds(replay->jobs[3].was.finish - at(1)), 40.08, 0.01);
  EXPECT_NEAR(to_seconds(result.jobs[3].finish - at(1)), 20.04, 0.01);
  const Summary was = summarise(as_it_was(*replay), workload);
  const Summary is = summarise(result, workload);
  EXPECT_EQ(was.policy, "journal");
  EXPECT_NEAR(was.jct_mean_s, 25.05, 0.01);
  EXPECT_NEAR(is.jct_mean_s, 15.03, 0.01);
}

TEST(Replay, OtherRulesAreTriedOnYesterdaysJobs) {
  Centre centre;
  centre.node(0, "n", 4);
  JobSpec wide = job("wide", 4);
  JobSpec first = job("first", 3);
  JobSpec small = job("small", 1);
  first.estimate = seconds(20);
  small.estimate = seconds(5);
  centre.submit(1, first, {.attempts = {{.runs_s = 20}}});
  centre.submit(2, wide, {.attempts = {{.runs_s = 20}}});
  centre.submit(3, small, {.attempts = {{.runs_s = 5}}});
  const auto replay = read(centre.live()).value();
  EXPECT_GT(replay->jobs[2].was.jct_s(), 40) << "first come, first served";
  TwinOptions options;
  options.scheduling.policy = "backfill";
  const TwinResult result = play(replay, options);
  EXPECT_EQ(result.policy, "backfill");
  EXPECT_NEAR(result.jobs[2].jct_s(), 5.02, 1e-6) << "the gap beside the first is filled";
}

TEST(Replay, FailuresAreRepeatedAndRetriedAsTheyWere) {
  Centre centre;
  centre.node(0, "n", 1);
  JobSpec flaky = job("flaky");
  flaky.restarts = 3;
  centre.submit(1, flaky, {.attempts = {{.runs_s = 3, .code = 1}, {.cannot_start = true}, {.runs_s = 7}}});
  JobSpec hopeless = job("hopeless");
  hopeless.restarts = 1;
  centre.submit(2, hopeless, {.attempts = {{.runs_s = 2, .code = 9}}});
  const auto replay = read(centre.live()).value();
  const TwinResult result = play_as_recorded(replay);
  const Gap gap = gap_of(*replay, result);
  EXPECT_EQ(gap.other, "");
  EXPECT_LE(gap.ns, 10);
  EXPECT_EQ(result.jobs[0].starts, 3);
  EXPECT_EQ(result.jobs[0].end, JobOutcome::End::done);
  EXPECT_EQ(result.jobs[1].failures, 2);
  EXPECT_EQ(result.jobs[1].end, JobOutcome::End::failed);
}

TEST(Replay, ACancelledJobIsCancelledWhenItWas) {
  Centre centre;
  centre.node(0, "n", 1);
  centre.submit(1, job("endless"), {.attempts = {{.runs_s = 1e5}}});
  centre.submit(2, job("behind"), {.attempts = {{.runs_s = 4}}});
  centre.submit(3, job("never"), {.attempts = {{.runs_s = 4}}});
  centre.wish(4, JobCancelled{JobId{3}});
  centre.wish(30, JobCancelled{JobId{1}});
  const auto replay = read(centre.live()).value();
  const TwinResult result = play_as_recorded(replay);
  EXPECT_EQ(gap_of(*replay, result).other, "");
  EXPECT_LE(gap_of(*replay, result).ns, 2);
  EXPECT_EQ(result.jobs[0].end, JobOutcome::End::cancelled);
  EXPECT_EQ(result.jobs[2].end, JobOutcome::End::cancelled);
  EXPECT_EQ(result.jobs[0].finish, at(30.05));
}

TEST(Replay, ArraysAndDependenciesHold) {
  Centre centre;
  centre.node(0, "n", 2);
  JobSpec parts = job("part");
  parts.array = 5;
  centre.submit(1, parts, {.attempts = {{.runs_s = 3}}});
  JobSpec whole = job("whole");
  whole.after = {"part"};
  centre.submit(2, whole, {.attempts = {{.runs_s = 2}}});
  JobSpec last = job("last");
  last.after = {"j6"};  // by id: whole
  centre.submit(2.5, last, {.attempts = {{.runs_s = 1}}});
  const auto replay = read(centre.live()).value();
  ASSERT_EQ(replay->jobs.size(), 7U);
  EXPECT_EQ(workload_of(replay).jobs[3].name, "part[3]");
  EXPECT_EQ(replay->jobs[6].after, std::vector<std::uint32_t>{5});
  const TwinResult result = play_as_recorded(replay);
  EXPECT_EQ(gap_of(*replay, result).other, "");
  EXPECT_LE(gap_of(*replay, result).ns, 10);
}

TEST(Replay, AStopLosesNothingOnlyForThoseThatHaveCheckpoints) {
  for (const bool checkpoints : {false, true}) {
    Centre centre;
    centre.node(0, "n", 1);
    centre.node(0, "m", 1);
    JobSpec spec = job("moved");
    spec.preemptible = checkpoints;
    centre.submit(1, spec, {.attempts = {{.runs_s = 20}}, .checkpoints = checkpoints});
    centre.wish(11, ChipFailed{ChipId{1}, "ecc"});
    const auto replay = read(centre.live()).value();
    EXPECT_EQ(replay->jobs[0].was.starts, 2);
    EXPECT_EQ(replay->jobs[0].resumes, checkpoints);
    ASSERT_EQ(replay->jobs[0].attempts.size(), 1U);
    EXPECT_NEAR(replay->jobs[0].attempts[0].work, 20, 1e-6) << "the work is the same, stopped or not";
    const TwinResult result = play_as_recorded(replay);
    EXPECT_EQ(gap_of(*replay, result).other, "");
    EXPECT_LE(gap_of(*replay, result).ns, 10);
  }
}

TEST(Replay, WhatTheJournalCutsOffIsPlayedAndDoesNotCount) {
  Centre centre;
  centre.node(0, "n", 1);
  centre.submit(1, job("ends"), {.attempts = {{.runs_s = 4}}});
  centre.submit(2, job("runs"), {.attempts = {{.runs_s = 100}}});
  centre.submit(3, job("waits"), {.attempts = {{.runs_s = 100}}});
  centre.wish(15, TenantDefined{"late", {}});  // the last thing that is known
  const auto replay = read(centre.live(15)).value();
  EXPECT_EQ(replay->jobs[1].was.end, JobOutcome::End::running);
  EXPECT_EQ(replay->notes.size(), 2U) << fmt::format("{}", fmt::join(replay->notes, "; "));
  const TwinResult result = play_as_recorded(replay);
  EXPECT_EQ(result.jobs[0].end, JobOutcome::End::done);
  EXPECT_EQ(result.jobs[1].end, JobOutcome::End::cancelled);
  EXPECT_EQ(result.jobs[2].end, JobOutcome::End::cancelled);
  EXPECT_EQ(summarise(result, workload_of(replay)).done, 1);
}

TEST(Replay, AHistoryMayBeginWithASnapshot) {
  Centre centre;
  centre.node(0, "n", 2);
  centre.submit(1, job("gone"), {.attempts = {{.runs_s = 2}}});
  centre.submit(4, job("runs", 2), {.attempts = {{.runs_s = 20}}});
  centre.submit(5, job("waits"), {.attempts = {{.runs_s = 3}}});
  centre.submit(30, job("new"), {.attempts = {{.runs_s = 3}}});
  const std::vector<Line> lines = centre.live();
  // A centre that folds the same lines up to 10 s would have written this snapshot.
  Core core(make_policy("fifo").value());
  Output out;
  ReplayReader reader;
  bool begun = false;
  for (const Line& line : lines) {
    if (line.at < at(10)) {
      out.clear();
      ASSERT_TRUE(core.apply(decode(line.payload).value(), line.at, out));
      continue;
    }
    if (!begun) {
      begun = true;
      ASSERT_TRUE(reader.snapshot(core.sequence(), Time{}, core.snapshot()));
    }
    ASSERT_TRUE(reader.record(line.sequence, line.at, line.payload));
  }
  const auto replay = reader.finish().value();
  ASSERT_EQ(replay->jobs.size(), 3U);
  EXPECT_EQ(replay->jobs[0].spec.name, "runs");
  const TwinResult result = play_as_recorded(replay);
  EXPECT_EQ(gap_of(*replay, result).other, "");
  EXPECT_LE(gap_of(*replay, result).ns, 10);
}

TEST(Replay, ServicesHoldTheirChips) {
  Centre centre;
  centre.node(0, "n", 3);
  ServiceSpec service;
  service.name = "chat";
  service.command = {"serve"};
  service.replicas = 2;
  centre.wish(1, ServiceDefined{TenantId{1}, service});
  centre.submit(2, job("wide", 2), {.attempts = {{.runs_s = 3}}});
  centre.wish(10, ServiceScaled{ServiceId{1}, 1});
  centre.submit(20, job("all", 3), {.attempts = {{.runs_s = 3}}});
  centre.wish(30, ServiceRemoved{ServiceId{1}});
  const auto replay = read(centre.live()).value();
  EXPECT_EQ(replay->jobs[0].was.start, at(10.2));
  EXPECT_EQ(replay->jobs[1].was.start, at(30.2));
  const TwinResult result = play_as_recorded(replay);
  EXPECT_EQ(gap_of(*replay, result).other, "");
  // How long each replica took to stop is not replayed: 0.2 s here, of two.
  EXPECT_LE(gap_of(*replay, result).ns, 200'000'000);
  EXPECT_NEAR(result.busy_s[0], as_it_was(*replay).busy_s[0], 2 * 0.2 + 1e-6);
}

TEST(Replay, ALostNodeIsLostAgain) {
  Centre centre;
  centre.node(0, "n", 2);
  centre.node(0, "m", 2);
  centre.submit(1, job("a", 2), {.attempts = {{.runs_s = 9}}});
  centre.submit(1.5, job("b", 3), {.attempts = {{.runs_s = 9}}});
  centre.wish(4, NodeLost{NodeId{1}});
  centre.node(20, "n", 2);
  const auto replay = read(centre.live()).value();
  EXPECT_EQ(replay->jobs[0].was.starts, 2);
  const TwinResult result = play_as_recorded(replay);
  EXPECT_EQ(gap_of(*replay, result).other, "");
  EXPECT_LE(gap_of(*replay, result).ns, 10);
}

// Everything at once, from seeds: whatever a policy did in the journal it does again.
TEST(Replay, WhateverHappenedHappensAgain) {
  for (const char* const policy : {"fifo", "backfill", "las"}) {
    std::int64_t stops = 0;
    for (std::uint64_t seed = 1; seed <= 15; ++seed) {
      Random random(seed);
      Centre centre(policy);
      const std::int64_t nodes = 1 + static_cast<std::int64_t>(random.below(3));
      for (std::int64_t n = 0; n < nodes; ++n) { centre.node(0.1 * static_cast<double>(n), fmt::format("n{}", n), 4); }
      double now = 1;
      std::uint64_t jobs = 0;
      for (int i = 0; i < 60; ++i) {
        now += random.uniform() * 3;
        JobSpec spec = job(fmt::format("job-{}", i), 1 + static_cast<std::int64_t>(random.below(4)));
        spec.priority = static_cast<std::int64_t>(random.below(3));
        if (random.below(2) == 0) { spec.estimate = seconds(1 + static_cast<std::int64_t>(random.below(20))); }
        if (random.below(8) == 0) { spec.array = 1 + static_cast<std::int64_t>(random.below(4)); }
        if (i > 0 && random.below(6) == 0) { spec.after = {fmt::format("job-{}", random.below(static_cast<std::uint64_t>(i)))}; }
        if (random.below(10) == 0) { spec.time_limit = seconds(5); }
        spec.restarts = static_cast<std::int64_t>(random.below(3));
        spec.preemptible = random.below(2) == 0;
        Centre::Program program;
        program.checkpoints = spec.preemptible;
        program.starts_s = 0.01 + random.uniform() * 0.1;
        program.stops_s = random.uniform() * 0.2;
        program.attempts.clear();
        while (random.below(4) == 0) { program.attempts.push_back({.runs_s = random.uniform() * 5, .code = 1}); }
        program.attempts.push_back({.runs_s = random.uniform() * 15 + 0.1});
        jobs += static_cast<std::uint64_t>(std::max<std::int64_t>(1, spec.array));
        centre.submit(now, spec, std::move(program));
        if (random.below(12) == 0) { centre.wish(now + random.uniform() * 10, JobCancelled{JobId{1 + random.below(jobs)}}); }
        if (random.below(20) == 0) {
          const ChipId chip{1 + random.below(static_cast<std::uint64_t>(nodes) * 4)};
          centre.wish(now + random.uniform(), ChipFailed{chip, "test"});
          centre.wish(now + 5 + random.uniform(), ChipRepaired{chip});
        }
      }
      const auto replay = read(centre.live());
      ASSERT_TRUE(replay) << policy << " " << seed << ": " << replay.error().message();
      const TwinResult result = play_as_recorded(*replay);
      const Gap gap = gap_of(**replay, result);
      ASSERT_EQ(gap.other, "") << policy << " " << seed;
      ASSERT_LE(gap.ns, 1000) << policy << " " << seed;
      for (const JobOutcome& each : result.jobs) { stops += each.stops; }
    }
    EXPECT_GT(stops, 20) << policy;
  }
}

TEST(Replay, ABadJournalIsSaidInWords) {
  Centre centre;
  centre.node(0, "n", 1);
  centre.submit(1, job("a"), {.attempts = {{.runs_s = 2}}});
  const std::vector<Line> lines = centre.live();

  std::vector<Line> gap = lines;
  gap.erase(gap.begin() + 2);
  EXPECT_EQ(read(gap).error().message(), "journal event 4: comes after event 2: the history has a gap; restore the journal from a backup");

  std::vector<Line> unknown = lines;
  unknown[3].payload = R"({"event":"job_teleported"})";
  EXPECT_NE(read(unknown).error().message().find("journal event 4: cannot be read"), std::string::npos) << read(unknown).error().message();

  std::vector<Line> damaged = lines;
  damaged[3].payload.resize(damaged[3].payload.size() / 2);
  EXPECT_FALSE(read(damaged));

  const std::vector<Line> idle(lines.begin(), lines.begin() + 3);
  EXPECT_NE(read(idle).error().message().find("there is no job in its 3 events"), std::string::npos);

  // Two nodes' worth of tasks on one: these are not the rules under which it was written.
  ReplayReader reader;
  for (std::size_t i = 0; i < 3; ++i) { ASSERT_TRUE(reader.record(lines[i].sequence, lines[i].at, lines[i].payload)); }
  ASSERT_TRUE(reader.event(4, at(1), JobSubmitted{TenantId{1}, job("a"), {}}));
  ASSERT_TRUE(reader.event(5, at(1), JobSubmitted{TenantId{1}, job("b"), {}}));
  const auto started = reader.event(6, at(2), TaskStarted{TaskId{2}});
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message().find("t2 started, but by these rules ('fifo') it waits"), std::string::npos);

  ReplayReader snapshot;
  EXPECT_FALSE(snapshot.snapshot(10, Time{}, "{}x"));
}

}  // namespace
}  // namespace centrale
