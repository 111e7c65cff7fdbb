// SPDX-License-Identifier: Apache-2.0
#include "formats/order.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace centrale::trainer {
namespace {

TEST(DataOrder, EachEpochHoldsEachSequenceOnce) {
  for (const std::int64_t count : {1, 2, 17, 1000}) {
    DataOrder order(count, 42);
    for (int epoch = 0; epoch < 3; ++epoch) {
      std::set<std::int64_t> seen;
      for (std::int64_t i = 0; i < count; ++i) seen.insert(order.at(epoch * count + i));
      EXPECT_EQ(seen.size(), static_cast<std::size_t>(count));
      EXPECT_EQ(*seen.rbegin(), count - 1);
    }
  }
}

TEST(DataOrder, IsTheSameOnEveryMachineAndForEver) {
  // Checkpoints depend on it: if this changes, old runs go on with other data.
  EXPECT_EQ(epoch_order(8, 1, 0), (std::vector<std::int64_t>{0, 5, 2, 7, 3, 4, 1, 6}));
  EXPECT_EQ(epoch_order(8, 1, 1), (std::vector<std::int64_t>{6, 0, 3, 4, 2, 1, 5, 7}));
}

TEST(DataOrder, DependsOnPositionAloneNotOnHowItWasReached) {
  DataOrder forward(100, 7);
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < 300; ++i) all.push_back(forward.at(i));
  DataOrder jumping(100, 7);
  for (const std::int64_t position : {250, 3, 199, 200, 0, 299}) EXPECT_EQ(jumping.at(position), all[static_cast<std::size_t>(position)]);
  EXPECT_NE(epoch_order(100, 7, 0), epoch_order(100, 7, 1));
  EXPECT_NE(epoch_order(100, 7, 0), epoch_order(100, 8, 0));
}

TEST(DataOrder, FirstPlaceIsFair) {
  std::vector<int> hits(4);
  for (std::uint64_t seed = 0; seed < 4000; ++seed) ++hits[static_cast<std::size_t>(epoch_order(4, seed, 0)[0])];
  for (const int count : hits) EXPECT_NEAR(count, 1000, 150);  // 5.5 sigma
}

TEST(Schedule, WarmsUpThenFollowsACosine) {
  const Schedule schedule{.rate = 1, .rate_min = 0.1, .warmup_steps = 10, .steps = 111};
  EXPECT_DOUBLE_EQ(learning_rate(schedule, 0), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(schedule, 9), 1);
  EXPECT_DOUBLE_EQ(learning_rate(schedule, 10), 1);
  EXPECT_NEAR(learning_rate(schedule, 60), 0.55, 1e-12);
  EXPECT_NEAR(learning_rate(schedule, 110), 0.1, 1e-12);
  EXPECT_DOUBLE_EQ(learning_rate(schedule, 500), 0.1);
  for (std::int64_t step = 10; step < 110; ++step) EXPECT_GE(learning_rate(schedule, step), learning_rate(schedule, step + 1));
}

TEST(Schedule, DegenerateRunsStillHaveARate) {
  EXPECT_DOUBLE_EQ(learning_rate({.rate = 1, .rate_min = 0.1, .warmup_steps = 0, .steps = 1}, 0), 1);
  EXPECT_DOUBLE_EQ(learning_rate({.rate = 1, .rate_min = 0.1, .warmup_steps = 5, .steps = 5}, 4), 1);
}

}  // namespace
}  // namespace centrale::trainer
