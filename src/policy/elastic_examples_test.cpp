// SPDX-License-Identifier: Apache-2.0
// Shortest remaining time, fair shares, effective throughput and goodput, by hand.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/elastic_testing.hpp"
#include "policy/srtf.hpp"

namespace centrale {
namespace {

using testing::add_nodes;
using testing::Clockwork;
using testing::elastic_work;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::pool_of;
using testing::rounds_of;

TEST(ShortestRemaining, AShorterOneTakesOverAtTheNextRound) {
  Clockwork centre(pool_of(1, 2), rounds_of("srtf", 300));
  centre.submit(elastic_work(1, 2, 10'000));
  centre.run_until_s(10);
  centre.submit(elastic_work(2, 1, 500));
  centre.submit(elastic_work(3, 2, 20'000));
  centre.run_until_s(400);
  EXPECT_THAT(centre.running(), ElementsAre(2));
  centre.run_until_s(1300);
  EXPECT_THAT(centre.running(), ElementsAre(1)) << "it has less left than the third";
}

TEST(ShortestRemaining, WhatNobodyKnowsIsLikelyToTakeLongerTheLongerItRan) {
  RunPrior prior;
  const double mean = 1800 * std::exp(1.8 * 1.8 / 2);  // of the prior's log-normal
  EXPECT_NEAR(prior.residual_s(0), mean, 1e-6 * mean);
  double before = prior.residual_s(600);
  for (double t = 1200; t < 1e9; t *= 2) {
    const double now = prior.residual_s(t);
    EXPECT_GT(now, before) << t;
    before = now;
  }
  for (int i = 0; i < 1000; ++i) { prior.add(100); }
  EXPECT_NEAR(prior.mu(), std::log(100), 0.1);
  EXPECT_LT(prior.residual_s(0), 200) << "what was seen outweighs the prior";
}

TEST(Fair, OverShareGivesWayToUnderShare) {
  Clockwork centre(pool_of(1, 8), rounds_of("fair", 300));
  for (std::uint64_t id = 1; id <= 8; ++id) { centre.submit(elastic_work(id, 1, 50'000)); }  // tenant 1
  centre.run_until_s(1000);
  for (std::uint64_t id = 11; id <= 18; ++id) {
    Work w = elastic_work(id, 1, 50'000);
    w.tenant = TenantId{2};
    centre.submit(w);
  }
  centre.run_until_s(20'000);
  EXPECT_THAT(centre.running(), ElementsAre(1, 2, 3, 4, 11, 12, 13, 14));
  EXPECT_EQ(centre.all_stops.size(), 4U) << "and then nobody takes turns";
}

TEST(Fair, WeightsAndTheTree) {
  // An institute of weight 3 with two groups, and a tenant of weight 1: 6 chips (3 and 3) to 2.
  Clockwork centre(pool_of(1, 8), rounds_of("fair", 300));
  centre.tenancy(TenantId{1}, {.parent = {}, .weight = 3});
  centre.tenancy(TenantId{2}, {.parent = TenantId{1}, .weight = 1});
  centre.tenancy(TenantId{3}, {.parent = TenantId{1}, .weight = 1});
  centre.tenancy(TenantId{4}, {.parent = {}, .weight = 1});
  for (std::uint64_t id = 0; id < 24; ++id) {
    Work w = elastic_work(1 + id, 1, 50'000);
    w.tenant = TenantId{2 + id / 8};
    centre.submit(w);
  }
  centre.run_until_s(10);
  EXPECT_THAT(centre.running(), ElementsAre(1, 2, 3, 9, 10, 11, 17, 18));
}

TEST(Fair, AnotherKindIsAnotherResource) {
  // DRF: the tenant with all of one kind has a dominant share of 1, and gets none of what another wants.
  Pool pool = pool_of(1, 2, 0);
  add_nodes(pool, 1, 2, 1);
  Clockwork centre(std::move(pool), rounds_of("fair", 300));
  for (std::uint64_t id = 1; id <= 4; ++id) {
    Work w = elastic_work(id, 1, 50'000);
    w.tenant = TenantId{1 + (id > 2 ? 1U : 0U)};
    if (id <= 2) { w.kinds = testing::on({0}); }
    centre.submit(w);
  }
  centre.run_until_s(0);
  EXPECT_EQ(centre.running().size(), 4U);
  EXPECT_EQ(centre.jobs.at(3).kind, 1);
  EXPECT_EQ(centre.jobs.at(4).kind, 1);
}

TEST(Effective, EachRunsWhereItGainsMost) {
  // Kind 1 makes the first job ten times as fast and the second hardly: the sum of both is best so, and max-min agrees.
  Pool pool = pool_of(1, 1, 0);
  add_nodes(pool, 1, 1, 1);
  Clockwork centre(std::move(pool), rounds_of("effective", 360));
  Work first = elastic_work(1, 1, 50'000), second = elastic_work(2, 1, 50'000);
  first.speed = testing::table_of({.rates = {{0, 1}, {1, 10}}, .power = 1}, 1, 1, 1);
  second.speed = testing::table_of({.rates = {{0, 1}, {1, 1.1}}, .power = 1}, 1, 1, 1);
  centre.submit(second);
  centre.submit(first);
  centre.run_until_s(3000);
  EXPECT_EQ(centre.jobs.at(1).kind, 1);
  EXPECT_EQ(centre.jobs.at(2).kind, 0);
  EXPECT_THAT(centre.all_stops, IsEmpty()) << "the same assignment is kept";
}

TEST(Effective, AlikeJobsShareInTurns) {
  Clockwork centre(pool_of(1, 1), rounds_of("effective", 360));
  for (std::uint64_t id = 1; id <= 3; ++id) {
    Work w = elastic_work(id, 1, 100'000);
    w.speed = testing::table_of({.rates = {{0, 1}}, .power = 1}, 1, 1, 1);
    centre.submit(w);
  }
  centre.run_until_s(360 * 60);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    const auto& job = centre.jobs.at(id);
    double had = to_seconds(job.work.attained);
    if (!job.chips.empty()) { had += to_seconds(centre.now - job.since); }
    EXPECT_NEAR(had / (360 * 60), 1.0 / 3, 0.05) << id;
  }
}

TEST(Goodput, GrowsByTwoAtMostAndSharesWhenAnotherComes) {
  Clockwork centre(pool_of(1, 8), rounds_of("goodput", 60));
  const auto speeds = testing::table_of({.rates = {{0, 1}}, .power = 0.9}, 1, 1, 8);
  Work w = elastic_work(1, 1, 100'000);
  w.workers_min = 1;
  w.workers_max = 8;
  w.speed = speeds;
  centre.submit(w);
  centre.run_until_s(59);
  EXPECT_EQ(centre.jobs.at(1).workers, 1);
  centre.run_until_s(61);
  EXPECT_EQ(centre.jobs.at(1).workers, 2);
  centre.run_until_s(600);
  EXPECT_EQ(centre.jobs.at(1).workers, 8);
  w = elastic_work(2, 1, 100'000);
  w.workers_min = 1;
  w.workers_max = 8;
  w.speed = speeds;
  centre.submit(w);
  centre.run_until_s(3000);
  EXPECT_THAT(centre.running(), ElementsAre(1, 2)) << "a job that has nothing counts more than the eighth chip of one that has seven";
}

TEST(Goodput, AMoveThatCostsMoreThanItGainsIsNotMade) {
  Pool pool = pool_of(1, 1, 0);
  add_nodes(pool, 1, 1, 1);
  Clockwork centre(std::move(pool), rounds_of("goodput", 60));
  Work blocker = elastic_work(1, 1, 500);
  blocker.kinds = testing::on({1});
  blocker.preemptible = false;
  Work w = elastic_work(2, 1, 1000);  // 500 s are left when kind 1 comes free; there it would gain 50 s, and a restart costs 100
  w.speed = testing::table_of({.rates = {{0, 1}, {1, 1.1}}, .power = 1}, 1, 1, 1);
  w.restart_cost = seconds(100);
  centre.submit(blocker);
  centre.submit(w);
  centre.run_until_s(900);
  EXPECT_THAT(centre.all_stops, IsEmpty());
}

}  // namespace
}  // namespace centrale
