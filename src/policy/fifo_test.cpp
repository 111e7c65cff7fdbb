// SPDX-License-Identifier: Apache-2.0
#include "policy/fifo.hpp"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.hpp"
#include "policy/testing.hpp"

namespace centrale {
namespace {

using testing::add_nodes;
using ::testing::ElementsAre;
using testing::Generous;
using ::testing::IsEmpty;
using testing::on;
using testing::pool_of;
using testing::started;
using testing::work;

struct Centre {
  Fifo policy;
  Pool pool;
  Generous allowance;
  Decision out;
  std::vector<std::uint64_t> decide() {
    out.clear();
    policy.decide(pool, allowance, Time{}, out);
    return started(out);
  }
};

TEST(Fifo, FirstComeFirstServedAndNobodyPassesOneThatWaits) {
  Centre centre{.policy = {}, .pool = pool_of(4, 1), .allowance = {}, .out = {}};
  centre.policy.enqueue(work(1, 3, {}));
  centre.policy.enqueue(work(2, 2, {}));
  centre.policy.enqueue(work(3, 1, {}));
  EXPECT_TRUE(centre.policy.head_changed());
  EXPECT_THAT(centre.decide(), ElementsAre(1));
  EXPECT_EQ(centre.out.chips.size(), 3U);
  EXPECT_EQ(centre.policy.blocked()->task, TaskId{2});
  EXPECT_EQ(centre.policy.queued(), 2U);
  centre.policy.enqueue(work(4, 1, {}));
  EXPECT_FALSE(centre.policy.head_changed()) << "it stands behind others";
  centre.policy.dequeue(work(2, 2, {}));
  EXPECT_TRUE(centre.policy.head_changed());
  EXPECT_FALSE(centre.policy.blocked());
  EXPECT_THAT(centre.decide(), ElementsAre(3));
  EXPECT_EQ(centre.policy.blocked()->task, TaskId{4}) << "also where no chip at all is free";
}

TEST(Fifo, APriorityGoesFirstAndARetryKeepsItsPlace) {
  Centre centre{.policy = {}, .pool = pool_of(2, 1), .allowance = {}, .out = {}};
  Work urgent = work(3, 1, {}), retry = work(9, 1, {});
  urgent.priority = 1;
  retry.order = 0;
  centre.policy.enqueue(work(1, 1, {}));
  centre.policy.enqueue(urgent);
  centre.policy.enqueue(retry);
  EXPECT_THAT(centre.decide(), ElementsAre(3, 9));
}

TEST(Fifo, QuotasAndLostNodesHoldBackNobodyElse) {
  Centre centre{.policy = {}, .pool = pool_of(4, 1), .allowance = {}, .out = {}};
  centre.allowance.limit(TenantId{2}, 1);
  Work over = work(1, 2, {});
  over.tenant = TenantId{2};
  centre.policy.enqueue(over);
  centre.policy.enqueue(work(2, 5, {}));
  centre.policy.enqueue(work(3, 4, {}));
  EXPECT_THAT(centre.decide(), ElementsAre(3));
  EXPECT_FALSE(centre.policy.blocked()) << "neither waits for chips that others have: one for its quota, one for chips that are gone";
}

TEST(Fifo, KindsAreQueuesOfTheirOwn) {
  Centre centre{.policy = {}, .pool = pool_of(2, 1, 0), .allowance = {}, .out = {}};
  add_nodes(centre.pool, 2, 1, 1);
  Work one = work(1, 2, {}), more = work(2, 1, {}), other = work(3, 1, {});
  one.kinds = more.kinds = on({1});
  other.kinds = on({1, 0});
  centre.policy.enqueue(one);
  centre.policy.enqueue(more);
  centre.policy.enqueue(other);
  EXPECT_THAT(centre.decide(), ElementsAre(1, 3)) << "of kind 1 none is left, for nobody; the last takes its second choice";
  EXPECT_EQ(centre.pool.kind_of(centre.out.chips.back()), 0);
}

/// Against a sorted list that is walked until the first that does not fit; withdrawals and ends in between.
TEST(Fifo, IsASortedList) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const auto chips = static_cast<std::int64_t>(2 + random.below(20));
    Centre centre{.policy = {}, .pool = pool_of(chips, 1), .allowance = {}, .out = {}};
    std::vector<Work> waiting;
    std::vector<ChipId> held;
    for (std::uint64_t id = 1; id < 200; ++id) {
      Work next = work(id, 1 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(chips))), {});
      next.tenant = TenantId{1 + random.below(3)};
      next.priority = static_cast<std::int64_t>(random.below(3));
      centre.policy.enqueue(next);
      waiting.push_back(next);
      std::ranges::sort(waiting, {}, [](const Work& w) { return std::pair(-w.priority, w.order); });
      if (random.below(5) == 0) {
        const auto gone = waiting.begin() + static_cast<std::ptrdiff_t>(random.below(waiting.size()));
        centre.policy.dequeue(*gone);
        waiting.erase(gone);
      }
      while (!held.empty() && random.below(3) > 0) {
        centre.pool.set_free(held.back(), true);
        held.pop_back();
      }
      std::vector<std::uint64_t> expected;
      std::int64_t free = centre.pool.free_total();
      while (!waiting.empty() && waiting.front().chips_total() <= free) {
        free -= waiting.front().chips_total();
        expected.push_back(waiting.front().task.value);
        waiting.erase(waiting.begin());
      }
      ASSERT_EQ(centre.decide(), expected) << "seed " << seed;
      ASSERT_EQ(centre.policy.blocked().has_value(), !waiting.empty());
      held.insert(held.end(), centre.out.chips.begin(), centre.out.chips.end());
    }
  }
}

}  // namespace
}  // namespace centrale
