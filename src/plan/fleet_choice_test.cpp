// SPDX-License-Identifier: Apache-2.0
#include "plan/fleet_choice.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/read.hpp"

namespace centrale {
namespace {

using testing::HasSubstr;

FleetQuestion question() {
  FleetQuestion q;
  q.training.model = *catalogue_model("llama-3-8b");
  q.training.stack = *stack_named("megatron-core", default_stacks());
  q.training.sequence = 8192;
  q.training.tokens = 1e12;
  q.training.limits.offloads = {Offload::none};
  q.days = 30;
  q.currency = default_catalogue().currency;
  for (const char* key : {"h100-sxm", "a100-sxm-80gb", "mi300x"}) { q.chips.push_back(*default_catalogue().chip(key)); }
  return q;
}

double days_on(const FleetQuestion& q, const FleetChoice& choice, std::int64_t chips) {
  TrainRequest r = q.training;
  r.fleet.islands = {island_of(choice.chip.key, choice.chip, chips)};
  r.global_batch = batch_of(r.tokens, r.sequence);
  r.plans = 1;
  const auto plans = plan_train(r);
  return plans ? plans->front().days : 1e9;
}

TEST(PlanFleet, TheFewestChipsThatMeetTheDaysCheapestFirst) {
  const FleetQuestion q = question();
  const auto choices = plan_fleet(q);
  ASSERT_TRUE(choices) << choices.error().message();
  ASSERT_EQ(choices->size(), 3U);
  for (std::size_t i = 0; i < choices->size(); ++i) {
    const FleetChoice& c = (*choices)[i];
    ASSERT_GT(c.chips, 0) << c.chip.key << ": " << c.why_not;
    EXPECT_EQ(c.chips % 8, 0);
    EXPECT_LE(c.plan.days, 30);
    EXPECT_LE(c.plan.chips, c.chips);
    EXPECT_GT(c.plan.mwh, 0);
    EXPECT_GT(days_on(q, c, c.chips - 8), 30) << c.chip.key;
    if (i > 0) { EXPECT_GE(c.plan.cost, (*choices)[i - 1].plan.cost); }
  }
}

TEST(PlanFleet, FewerDaysNeedMoreChips) {
  FleetQuestion q = question();
  q.chips.resize(1);
  const std::int64_t month = plan_fleet(q)->front().chips;
  q.days = 15;
  EXPECT_GT(plan_fleet(q)->front().chips, month);
}

TEST(PlanFleet, WhatCannotSaysWhyAndComesLast) {
  FleetQuestion q = question();
  q.chips_max = 256;
  q.days = 1;
  const auto choices = plan_fleet(q);
  ASSERT_TRUE(choices);
  for (const FleetChoice& c : *choices) {
    EXPECT_EQ(c.chips, 0);
    EXPECT_THAT(c.why_not, HasSubstr("256 chips take "));
    EXPECT_THAT(c.why_not, HasSubstr("1.0 are given: computation"));
  }
  q = question();
  q.chips_max = 4096;
  q.chips.push_back(*default_catalogue().chip("h100-sxm"));
  q.chips.back().key = "small";
  q.chips.back().memory.value.value = 1'000'000'000;
  const auto mixed = plan_fleet(q);
  ASSERT_TRUE(mixed);
  EXPECT_EQ(mixed->back().chip.key, "small");
  EXPECT_THAT(mixed->back().why_not, HasSubstr("GiB a chip at best"));
}

TEST(PlanFleet, TheBatchGrowsWithTheTokensTrainedOn) {
  EXPECT_EQ(batch_of(15.6e12, 8192), 2048);  // Llama 3 405B: 16M tokens
  EXPECT_EQ(batch_of(15.6e12 / 16, 8192), 512);
  EXPECT_EQ(batch_of(1e9, 4096), 256);  // at least 1M tokens
}

TEST(PlanFleet, BadQuestionsAreErrors) {
  FleetQuestion q = question();
  q.days = 0;
  EXPECT_FALSE(plan_fleet(q));
  q = question();
  q.training.tokens = 0;
  EXPECT_FALSE(plan_fleet(q));
  q = question();
  q.chips.clear();
  EXPECT_FALSE(plan_fleet(q));
  q = question();
  q.training.pue = 0.2;
  EXPECT_FALSE(plan_fleet(q));
  q = question();
  q.training.sequence = 0;
  EXPECT_FALSE(plan_fleet(q));
}

}  // namespace
}  // namespace centrale
