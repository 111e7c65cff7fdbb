// SPDX-License-Identifier: Apache-2.0
// Backfilling by hand.
#include "policy/backfill.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/testing.hpp"

namespace centrale {
namespace {

using testing::add_nodes;
using testing::Centre;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::on;
using testing::pool_of;
using testing::work;

constexpr std::int64_t kHour = 3600;

class BackfillBoth : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(, BackfillBoth, ::testing::Values("backfill", "backfill-conservative"));

TEST_P(BackfillBoth, AShortJobJumpsALongOneDoesNot) {
  Centre centre(pool_of(10, 1), GetParam());
  centre->enqueue(work(1, 6, seconds(100)));
  EXPECT_THAT(centre.decide(0), ElementsAre(1));
  centre->enqueue(work(2, 8, seconds(100)));  // waits until 100; then 2 chips are left over
  centre->enqueue(work(3, 4, seconds(150)));  // would run into it
  centre->enqueue(work(4, 2, seconds(100)));  // is gone by then
  centre->enqueue(work(5, 2, seconds(999)));  // takes what is left over
  centre->enqueue(work(6, 1, seconds(10)));   // no chip is free any more
  EXPECT_TRUE(centre->head_changed());
  EXPECT_THAT(centre.decide(0), ElementsAre(4, 5));
  EXPECT_EQ(centre->blocked()->task, TaskId{2});
  centre.end(1);
  centre.end(4);
  EXPECT_THAT(centre.decide(100), ElementsAre(2));
}

TEST_P(BackfillBoth, PrioritiesOrderTheQueue) {
  Centre centre(pool_of(4, 1), GetParam());
  Work urgent = work(2, 3, seconds(10));
  urgent.priority = 5;
  centre->enqueue(work(1, 4, seconds(10)));
  centre->enqueue(urgent);
  EXPECT_THAT(centre.decide(0), ElementsAre(2));
}

TEST_P(BackfillBoth, ATenantOverItsQuotaHoldsBackNobodyElse) {
  Centre centre(pool_of(4, 1), GetParam());
  centre.allowance.limit(TenantId{2}, 1);
  Work over = work(1, 2, seconds(10));
  Work behind = work(2, 1, seconds(10));
  over.tenant = behind.tenant = TenantId{2};
  centre->enqueue(over);
  centre->enqueue(behind);
  centre->enqueue(work(3, 3, seconds(10)));
  EXPECT_THAT(centre.decide(0), ElementsAre(3));
  EXPECT_FALSE(centre->blocked());
  centre->dequeue(over);
  EXPECT_TRUE(centre->head_changed());
  EXPECT_THAT(centre.decide(1), ElementsAre(2));
}

TEST_P(BackfillBoth, AGangThatNoChipsInServiceCouldHoldBlocksNobody) {
  Centre centre(pool_of(4, 1), GetParam());
  centre->enqueue(work(1, 5, seconds(10)));
  centre->enqueue(work(2, 4, seconds(10)));
  EXPECT_THAT(centre.decide(0), ElementsAre(2));
}

TEST_P(BackfillBoth, KindsAreResourcesOfTheirOwn) {
  Centre centre(
      [] {
        Pool pool = pool_of(4, 1, 0);
        add_nodes(pool, 4, 1, 1);
        return pool;
      }(),
      GetParam());
  Work first = work(1, 4, seconds(100)), second = work(2, 3, seconds(50)), choosy = work(3, 4, seconds(10));
  Work long_on_0 = work(4, 1, seconds(1000)), long_on_1 = work(5, 1, seconds(1000)), short_on_1 = work(6, 1, seconds(50));
  first.kinds = long_on_0.kinds = on({0});
  second.kinds = long_on_1.kinds = short_on_1.kinds = on({1});
  choosy.kinds = on({0, 1});
  centre->enqueue(first);
  centre->enqueue(second);
  centre->enqueue(choosy);  // kind 1 will be free first: it waits there
  centre->enqueue(long_on_0);
  centre->enqueue(long_on_1);
  centre->enqueue(short_on_1);
  EXPECT_THAT(centre.decide(0), ElementsAre(1, 2, 6));
  centre.end(1);
  EXPECT_THAT(centre.decide(20), ElementsAre(3)) << "kind 0 came free early";
  EXPECT_EQ(centre.kind_of(3), 0);
}

TEST_P(BackfillBoth, AJobThatRunsOverHoldsUpNothingButItsOwnChips) {
  Centre centre(pool_of(4, 1), GetParam());
  centre->enqueue(work(1, 2, seconds(100)));
  centre->enqueue(work(2, 3, seconds(100)));
  centre->enqueue(work(3, 2, seconds(30)));
  EXPECT_THAT(centre.decide(0), ElementsAre(1, 3));
  centre.end(3);
  centre->enqueue(work(4, 1, seconds(60)));
  centre->enqueue(work(5, 2, seconds(61)));
  EXPECT_THAT(centre.decide(130), ElementsAre(4)) << "the first ran over by 30 s and is given until 160: one chip is left over then";
  EXPECT_THAT(centre.decide(1'000'000), IsEmpty());
  centre.end(1);
  EXPECT_THAT(centre.decide(1'000'001), ElementsAre(2));
}

TEST(BackfillEasy, ProgressTellsBetterThanWhatWasSaid) {
  Centre centre(pool_of(4, 1), "backfill");
  Work slow = work(1, 2, seconds(100));
  slow.work_left = 1000;
  centre->enqueue(slow);
  centre->enqueue(work(2, 4, seconds(100)));
  EXPECT_THAT(centre.decide(0), ElementsAre(1));
  centre->enqueue(work(3, 2, seconds(400)));
  EXPECT_THAT(centre.decide(50), IsEmpty());
  centre->progressed(TaskId{1}, 900, Time{} + seconds(50), Time{});  // a tenth in 50 s: 450 more
  EXPECT_THAT(centre.decide(50), ElementsAre(3));
}

TEST_P(BackfillBoth, WhatNobodyKnowsIsTakenForAnHourOrTheMedian) {
  Centre centre(pool_of(4, 1), GetParam());
  centre->enqueue(work(1, 2, seconds(2 * kHour - 1)));
  centre->enqueue(work(2, 4, seconds(100)));
  centre->enqueue(work(3, 1, {}));
  EXPECT_THAT(centre.decide(0), ElementsAre(1, 3));
  centre.end(3);  // having run for three hours, the only one of which that is known
  EXPECT_THAT(centre.decide(3 * kHour), IsEmpty());
  centre->enqueue(work(4, 1, {}));
  EXPECT_THAT(centre.decide(3 * kHour), IsEmpty()) << "the first is expected to end in an hour, and this to take three";
}

TEST(BackfillEasy, ServicesNeverEnd) {
  Centre centre(pool_of(4, 1), "backfill");
  Work replica = work(1, 3, {});
  replica.service = true;
  centre->enqueue(replica);
  centre->enqueue(work(2, 2, seconds(10)));
  Work other = work(3, 1, {});
  other.service = true;
  centre->enqueue(other);
  centre->enqueue(work(4, 1, seconds(1'000'000)));
  EXPECT_THAT(centre.decide(0), ElementsAre(1, 4)) << "nobody knows when the second can start; what ends does not keep it for ever";
  EXPECT_EQ(centre->blocked()->task, TaskId{2});
  centre->stopping(TaskId{1});
  EXPECT_THAT(centre.decide(1), IsEmpty());
  centre.end(1);
  EXPECT_THAT(centre.decide(2), ElementsAre(2, 3));
}

TEST(BackfillNodes, ScatteredChipsAreKeptForTheGangThatWaitsForThem) {
  Centre centre(pool_of(2, 2), "backfill");
  for (std::uint64_t id = 1; id <= 4; ++id) { centre->enqueue(work(id, 1, seconds(100))); }
  EXPECT_THAT(centre.decide(0), ElementsAre(1, 2, 3, 4));
  centre.end(1);
  centre.end(3);
  Work whole = work(5, 1, seconds(10));
  whole.gang.chips = 2;
  centre->enqueue(whole);
  centre->enqueue(work(6, 1, seconds(1)));
  EXPECT_THAT(centre.decide(1), IsEmpty()) << "two chips are free, one on each node";
  centre.end(2);
  EXPECT_THAT(centre.decide(2), ElementsAre(5, 6));
}

TEST(BackfillLoad, WhatItDidNotSaveIsRefused) {
  auto policy = make_policy("backfill").value();
  EXPECT_TRUE(policy->load(policy->save()));
  for (const char* bad : {"nonsense", "task x", "task 1 2", "lengths 9999 1", "kind 99 0 0 0 0 0 0", "apart", "ended soon"}) {
    EXPECT_FALSE(make_policy("backfill").value()->load(bad)) << bad;
  }
}

}  // namespace
}  // namespace centrale
