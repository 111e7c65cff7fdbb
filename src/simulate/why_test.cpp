// SPDX-License-Identifier: Apache-2.0
#include "simulate/why.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "simulate/forecast_testing.hpp"

namespace centrale {
namespace {

using testing::TrueWorld;

TEST(Why, TooFewChipsAndWhatWouldStartNow) {
  TrueWorld world("fifo");
  world.node("n1", 4);
  world.node("n2", 8, "b");
  JobSpec first = TrueWorld::spec(3);
  first.chip_kinds = {"a"};
  world.submit(first, 100);
  JobSpec second = TrueWorld::spec(2);
  second.chip_kinds = {"a"};
  const JobId job = world.submit(second, 100);
  const Why said = why(world.core(), *world.core().job(job));
  EXPECT_EQ(said.reason, "not enough chips: 1 of 4 a free, room for 1 of 2 workers");
  EXPECT_EQ(said.ahead, 0);
  ASSERT_EQ(said.holders.size(), 1U);
  EXPECT_EQ(said.holders[0].job, JobId{1});
  EXPECT_EQ(said.holders[0].chips, 3);
  EXPECT_GT(said.holders[0].left_s.value_or(0), 0);
  ASSERT_EQ(said.remedies.size(), 2U);
  EXPECT_EQ(said.remedies[0].what, Remedy::What::fewer_workers);
  EXPECT_EQ(said.remedies[0].workers, 1);
  EXPECT_EQ(said.remedies[1].what, Remedy::What::other_kind);
  EXPECT_EQ(said.remedies[1].kind, "b");
  // What it says is true: a job like that starts at once.
  TrueWorld again("fifo");
  again.node("n1", 4);
  again.node("n2", 8, "b");
  again.submit(first, 100);
  second.chip_kinds = {"b"};
  EXPECT_EQ(again.core().job(again.submit(second, 100))->state, JobState::running);
}

TEST(Why, ADrainedNodeThatWouldBeEnough) {
  TrueWorld world("fifo");
  world.node("n1", 2);
  world.node("n2", 2);
  world.node("n3", 2);
  world.submit(TrueWorld::spec(6), 50);
  const JobId job = world.submit(TrueWorld::spec(4), 100);
  for (const std::uint64_t node : {2U, 3U}) { world.apply(NodeDrained{NodeId{node}}); }
  world.until(world.now() + seconds(60));
  const Why said = why(world.core(), *world.core().job(job));
  EXPECT_EQ(said.cause, WhyCause::chips);
  const auto back = std::ranges::find(said.remedies, Remedy::What::nodes_back, &Remedy::what);
  ASSERT_NE(back, said.remedies.end());
  ASSERT_EQ(back->nodes.size(), 1U);  // either will do
  world.apply(NodeResumed{back->nodes.front()});
  EXPECT_EQ(world.core().job(job)->state, JobState::running);
}

TEST(Why, QuotaDependencyAndALineBefore) {
  TrueWorld world("fifo");
  world.node("n1", 4);
  world.submit(TrueWorld::spec(3), 100);
  const JobId large = world.submit(TrueWorld::spec(4), 100);
  const JobId small = world.submit(TrueWorld::spec(1), 100);
  const Why held = why(world.core(), *world.core().job(small));
  EXPECT_EQ(held.reason, "its chips are free, but a job that is before it gathers them");
  EXPECT_EQ(held.waits_for, std::vector<JobId>{large});
  EXPECT_EQ(held.ahead, 1);
  EXPECT_TRUE(held.remedies.empty());
  JobSpec after = TrueWorld::spec(1);
  after.after = {"j2"};
  const Why waits = why(world.core(), *world.core().job(world.submit(after, 100)));
  EXPECT_EQ(waits.reason, "1 job must be done first");
  EXPECT_EQ(waits.waits_for, std::vector<JobId>{large});
  world.apply(TenantDefined{"default", {.chips_max = 4}});
  const Why quota = why(world.core(), *world.core().job(large));
  EXPECT_EQ(quota.reason, "tenant default may not take 4 more chips now: it holds 3 of 4");
}

}  // namespace
}  // namespace centrale
