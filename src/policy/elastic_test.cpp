// SPDX-License-Identifier: Apache-2.0
// Policies that stop running work, by hand: what they have in common, and least attained service first.
#include "policy/elastic.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/elastic_testing.hpp"

namespace centrale {
namespace {

using testing::Clockwork;
using testing::elastic_work;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::pool_of;
using testing::rounds_of;

constexpr std::int64_t kDay = 86'400;

TEST(Elastic, LeastAttainedTakesTurns) {
  Clockwork centre(pool_of(1, 4), rounds_of("las", 300));
  centre.submit(elastic_work(1, 4, 20'000));
  centre.run_until_s(0);
  EXPECT_THAT(centre.running(), ElementsAre(1));
  centre.run_until_s(1000);  // 4,000 chip seconds: it is in the second queue by now
  centre.submit(elastic_work(2, 2, 600));
  centre.run_until_s(1300);  // the next round
  EXPECT_THAT(centre.running(), ElementsAre(2));
  EXPECT_EQ(centre.jobs.at(1).stops, 1);
  centre.run_until_s(2000);
  EXPECT_TRUE(centre.jobs.at(2).done);
  EXPECT_THAT(centre.running(), ElementsAre(1));
}

TEST(Elastic, InTheSameQueueFirstComeFirstServed) {
  Clockwork centre(pool_of(1, 4), rounds_of("las", 300));
  centre.submit(elastic_work(1, 4, 800));
  centre.submit(elastic_work(2, 4, 800));
  centre.run_until_s(700);
  EXPECT_THAT(centre.running(), ElementsAre(1)) << "below an hour of one chip nobody is stopped for one alike";
}

TEST(Elastic, WhatFitsStartsBetweenRounds) {
  Clockwork centre(pool_of(1, 4), rounds_of("las", 300));
  centre.submit(elastic_work(1, 3, 5000));
  centre.run_until_s(0);
  centre.run_until_s(100);
  centre.submit(elastic_work(2, 1, 5000));
  centre.run_until_s(100);
  EXPECT_THAT(centre.running(), ElementsAre(1, 2));
}

TEST(Elastic, VictimsAreThoseThatLoseLeast) {
  Clockwork centre(pool_of(1, 3), rounds_of("las", 300, 1000));
  for (std::uint64_t id = 1; id <= 3; ++id) {
    Work w = elastic_work(id, 1, 50'000);
    w.checkpoint_every = seconds(3600);
    centre.submit(w);
  }
  centre.run_until_s(100);
  centre.submit(elastic_work(4, 1, 100));  // its turn comes when it starves
  centre.run_until_s(1050);
  EXPECT_THAT(centre.running(), ElementsAre(1, 2, 3));
  centre.policy().progressed(centre.jobs.at(2).work.task, 49'000, Time{} + seconds(1050), Time{} + seconds(1000));
  centre.run_until_s(1350);
  EXPECT_EQ(centre.jobs.at(2).stops, 1) << "its last checkpoint is the youngest";
  EXPECT_EQ(centre.jobs.at(1).stops + centre.jobs.at(3).stops, 0);
}

TEST(Elastic, ServicesAndWorkThatMayNotBeStoppedStay) {
  Clockwork centre(pool_of(1, 2), rounds_of("las", 300));
  Work service = elastic_work(1, 1, 0);
  service.service = true;
  Work rigid = elastic_work(2, 1, 50'000);
  rigid.preemptible = false;
  centre.submit(service);
  centre.submit(rigid);
  centre.run_until_s(6000);
  centre.submit(elastic_work(3, 2, 100));
  centre.submit(elastic_work(4, 1, 100));
  centre.run_until_s(12'000);
  EXPECT_THAT(centre.running(), ElementsAre(1, 2));
  EXPECT_THAT(centre.all_stops, IsEmpty());
}

TEST(Elastic, ChipsThatWereFreedForOneGoToNobodyElse) {
  Clockwork centre(pool_of(1, 4), rounds_of("las", 300));
  centre.stop_cost = seconds(60);
  centre.submit(elastic_work(1, 1, 50'000));
  centre.submit(elastic_work(2, 1, 50'000));
  centre.run_until_s(4800);
  centre.submit(elastic_work(3, 4, 500));  // the others have attained more than an hour of one chip
  centre.run_until_s(4810);
  centre.submit(elastic_work(4, 2, 100));  // two chips are free, but kept
  centre.run_until_s(4859);
  EXPECT_THAT(centre.running(), IsEmpty());
  centre.run_until_s(4861);
  EXPECT_THAT(centre.running(), ElementsAre(3));
}

TEST(Elastic, AGangGetsWholeNodes) {
  Clockwork centre(pool_of(3, 4), rounds_of("las", 300));
  for (std::uint64_t id = 1; id <= 12; ++id) { centre.submit(elastic_work(id, 1, 100'000)); }
  centre.run_until_s(6000);
  centre.submit(elastic_work(20, 2, 100, 4));  // two whole nodes, although any eight chips would do by count
  centre.run_until_s(6050);
  EXPECT_TRUE(centre.runs(20));
  EXPECT_EQ(centre.all_stops.size(), 8U) << "no more are stopped than stand on two nodes";
}

TEST(Elastic, WhatWaitedTooLongGoesFirst) {
  // Two chips, and one that may not be stopped on each: the gang waits for both, and what comes free is kept for it.
  Clockwork centre(pool_of(1, 2), rounds_of("las", 300, kDay));
  Work first = elastic_work(1, 1, kDay + 5000), second = elastic_work(2, 1, kDay + 9000);
  first.preemptible = second.preemptible = false;
  centre.submit(first);
  centre.submit(second);
  centre.run_until_s(1);
  centre.submit(elastic_work(3, 2, 1000));
  for (std::uint64_t id = 4; id < 40; ++id) { centre.submit(elastic_work(id, 1, 4000)); }
  centre.run_until_s(kDay + 8999);
  EXPECT_EQ(centre.running(), (std::vector<std::uint64_t>{2})) << "the free chip is held";
  centre.run_until_s(kDay + 9001);
  EXPECT_EQ(centre.running(), (std::vector<std::uint64_t>{3}));
}

TEST(Elastic, AQuotaHoldsBackNobodyElse) {
  Clockwork centre(pool_of(1, 4), rounds_of("las", 300));
  centre.allowance.limit(TenantId{2}, 1);
  Work over = elastic_work(1, 2, 1000);
  over.tenant = TenantId{2};
  centre.submit(over);
  centre.submit(elastic_work(2, 4, 1000));
  centre.run_until_s(0);
  EXPECT_THAT(centre.running(), ElementsAre(2));
}

TEST(Elastic, RefusesBooksThatItDidNotWrite) {
  auto policy = make_policy("las").value();
  EXPECT_FALSE(policy->load("task 17 0 0 0 0 0 0 0 0\n"));
  EXPECT_FALSE(policy->load("pending 1 9 0 1 1 -1 0 0 0 0 0\n"));
  EXPECT_FALSE(policy->load("nonsense\n"));
  const auto error = policy->load("round x\n");
  ASSERT_FALSE(error);
  EXPECT_NE(error.error().message().find("las"), std::string::npos);
  EXPECT_TRUE(policy->load(policy->save()));
}

}  // namespace
}  // namespace centrale
