// SPDX-License-Identifier: Apache-2.0
#include "plan/train.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/read.hpp"
#include "plan/train_report.hpp"

namespace centrale {
namespace {

using testing::HasSubstr;

TrainRequest request_of(const char* model, const char* fleet, std::int64_t batch, std::int64_t sequence) {
  TrainRequest r;
  r.model = *catalogue_model(model);
  r.fleet = *fleet_of(fleet, default_catalogue());
  r.stack = default_stacks().front();
  r.sequence = sequence;
  r.global_batch = batch;
  r.tokens = 1e12;
  r.plans = 3;
  return r;
}

std::string error_of(const TrainRequest& r) {
  const auto plans = plan_train(r);
  return plans ? "it fits" : plans.error().message();
}

TEST(PlanTrain, BestFirstWithEverythingThatFollows) {
  const TrainRequest r = request_of("llama-3.1-70b", "h100-sxmx512", 1024, 8192);
  SearchCount count;
  const auto plans = plan_train(r, &count);
  ASSERT_TRUE(plans) << plans.error().message();
  ASSERT_EQ(plans->size(), 3U);
  EXPECT_GT(count.evaluated, 0);
  EXPECT_GT(count.pruned, 0);
  for (std::size_t i = 1; i < plans->size(); ++i) { EXPECT_LE((*plans)[i - 1].step, (*plans)[i].step); }
  const TrainPlan& best = plans->front();
  ASSERT_EQ(best.parts.size(), 1U);
  EXPECT_EQ(best.chips + best.idle_chips, 512);
  EXPECT_NEAR(best.by_part.total().value, best.step.value, 1e-9 * best.step.value);
  EXPECT_NEAR(best.tokens.value, 1024 * 8192 / best.step.value, 1e-6 * best.tokens.value);
  EXPECT_NEAR(best.days, 1e12 / best.tokens.value / best.goodput.fraction / 86400, 1e-9 * best.days);
  EXPECT_NEAR(best.cost, best.days * 24 * 512 * static_cast<double>(r.fleet.islands[0].chip.price_per_hour.value.value) * 1e-6,
              1e-6 * best.cost);
  EXPECT_GT(best.mfu, 0.2);
  EXPECT_LT(best.mfu, 0.8);
  EXPECT_GE(best.headroom.value, 0);
  EXPECT_THAT(best.bound_by, HasSubstr("computation"));
  // Between what chips draw when idle and what they, their hosts and the site could draw at most.
  const double most = best.days * 24 * 512 * 700e-6 * 1.5 * 1.2;
  EXPECT_GT(best.mwh, 0.3 * most);
  EXPECT_LT(best.mwh, most);
}

TEST(PlanTrain, AMarginIsKept) {
  TrainRequest r = request_of("llama-3.1-70b", "h100-sxmx64", 512, 8192);
  r.memory_margin = 0.3;
  const auto plans = plan_train(r);
  ASSERT_TRUE(plans) << plans.error().message();
  const double memory = static_cast<double>(r.fleet.islands[0].chip.memory.value.value);
  EXPECT_LE(plans->front().parts[0].estimate.memory.total().value, 0.7 * memory);
}

TEST(PlanTrain, LimitsAreKept) {
  TrainRequest r = request_of("llama-3.1-70b", "h100-sxmx256", 512, 8192);
  r.limits.tp_max = 2;
  r.limits.cp_max = 1;
  r.limits.chips_max = 128;
  r.limits.schedules = {Schedule::one_f_one_b};
  r.limits.zeros = {Zero::optimizer};
  r.limits.offloads = {Offload::none};
  const auto plans = plan_train(r);
  ASSERT_TRUE(plans) << plans.error().message();
  for (const TrainPlan& plan : *plans) {
    const Layout& l = plan.parts[0].layout;
    EXPECT_LE(l.tp, 2);
    EXPECT_EQ(l.cp, 1);
    EXPECT_LE(plan.chips, 128);
    EXPECT_EQ(l.schedule, Schedule::one_f_one_b);
    EXPECT_EQ(l.zero, Zero::optimizer);
    EXPECT_EQ(l.offload, Offload::none);
  }
}

TEST(PlanTrain, TheSameRequestGivesTheSamePlans) {
  const TrainRequest r = request_of("mixtral-8x7b", "h100-sxmx96", 480, 4096);
  const auto a = plan_train(r), b = plan_train(r);
  ASSERT_TRUE(a && b);
  for (std::size_t i = 0; i < a->size(); ++i) {
    EXPECT_EQ((*a)[i].parts[0].layout, (*b)[i].parts[0].layout);
    EXPECT_EQ((*a)[i].step, (*b)[i].step);
  }
}

TEST(PlanTrain, APrimeNumberOfChipsIsNotUsedUpAndThePlanSaysWhy) {
  TrainRequest r = request_of("llama-3-8b", "h100-sxmx104", 128, 8192);
  r.limits.chips_max = 101;
  const auto plans = plan_train(r);
  ASSERT_TRUE(plans) << plans.error().message();
  const TrainPlan& best = plans->front();
  EXPECT_LT(best.chips, 101);
  EXPECT_GE(best.chips, 64);
  ASSERT_FALSE(best.notes.empty());
  EXPECT_THAT(best.notes[0],
              HasSubstr("no layout spreads a batch of 128 sequences over all of them; the nearest batch that can be is 101"));
}

TEST(PlanTrain, ABatchInTokensIsRoundedToSequencesAndSaysSo) {
  TrainRequest r = request_of("llama-3-8b", "h100-sxmx64", 0, 8192);
  r.batch_tokens = 4'000'000;
  const auto plans = plan_train(r);
  ASSERT_TRUE(plans) << plans.error().message();
  EXPECT_EQ(plans->front().global_batch, 488);
  EXPECT_THAT(plans->front().notes.back(), HasSubstr("488 sequences (3,997,696 tokens) a step"));
}

TEST(PlanTrain, WhatDoesNotFitSaysByHowMuchAndWhatHelps) {
  TrainRequest r = request_of("llama-3.1-405b", "h100-sxmx64", 1024, 8192);
  r.limits.recomputes = {Recompute::none};
  r.limits.offloads = {Offload::none};
  const std::string text = error_of(r);
  EXPECT_THAT(text, HasSubstr("GiB a chip at best (tp"));
  EXPECT_THAT(text, HasSubstr("to make it fit: 128 chips instead of 64 ("));
  EXPECT_THAT(text, HasSubstr("offload of the optimizer (tp"));
  // What it names does help.
  r.limits.offloads = {Offload::none, Offload::optimizer};
  EXPECT_TRUE(plan_train(r));
  r.limits.offloads = {Offload::none};
  r.fleet = *fleet_of("h100-sxmx128", default_catalogue());
  EXPECT_TRUE(plan_train(r));
}

TEST(PlanTrain, WhatFitsNowhereSaysThatToo) {
  TrainRequest r = request_of("llama-3.1-405b", "h100-sxmx8", 8, 8192);
  r.fleet.islands[0].chip.memory.value.value = 1'300'000'000;  // hardly more than a driver takes
  EXPECT_THAT(error_of(r), HasSubstr("nothing that was tried makes it fit"));
}

TEST(PlanTrain, BadQuestionsAreErrors) {
  const TrainRequest good = request_of("llama-3-8b", "h100-sxmx8", 8, 4096);
  TrainRequest r = good;
  r.sequence = 0;
  EXPECT_THAT(error_of(r), HasSubstr("a sequence of 0 tokens"));
  r = good;
  r.global_batch = 0;
  EXPECT_THAT(error_of(r), HasSubstr("no batch is given"));
  r.batch_tokens = 1000;
  EXPECT_THAT(error_of(r), HasSubstr("less than one sequence of 4,096; the nearest that can be is 4,096 tokens"));
  r = good;
  r.global_batch = -4;
  EXPECT_THAT(error_of(r), HasSubstr("a batch of -4 sequences"));
  r = good;
  r.fleet.islands.clear();
  EXPECT_THAT(error_of(r), HasSubstr("no island"));
  r = good;
  r.fleet.islands[0].chip.memory.value.value = 0;
  EXPECT_THAT(error_of(r), HasSubstr("no memory of its own"));
  r = good;
  r.limits.zeros.clear();
  EXPECT_THAT(error_of(r), HasSubstr("is empty"));
  r = good;
  r.memory_margin = 1;
  EXPECT_THAT(error_of(r), HasSubstr("margin"));
  r = good;
  r.pue = 0.5;
  EXPECT_THAT(error_of(r), HasSubstr("PUE"));
  r = good;
  r.plans = 0;
  EXPECT_THAT(error_of(r), HasSubstr("0 plans"));
}

TEST(PlanTrain, ASlowerIslandAloneDoesNotHideTheFasterOne) {
  TrainRequest r = request_of("llama-3-8b", "h100-sxmx64", 256, 8192);
  r.fleet.islands.push_back(island_of("old", *default_catalogue().chip("v100-sxm-32gb"), 64));
  r.fleet.links = {{.from = 0, .to = 1, .bandwidth = {1e3}, .latency = {1}}};  // hardly a link
  const auto plans = plan_train(r);
  ASSERT_TRUE(plans) << plans.error().message();
  ASSERT_EQ(plans->front().parts.size(), 1U);
  EXPECT_EQ(plans->front().parts[0].island, 0U);
}

TEST(PlanTrain, SharesOfAStepAreWords) {
  StepParts parts;
  parts.forward = {2};
  parts.backward = {5};
  parts.tp = {2};
  parts.bubble = {0.995};
  parts.dp = {0.005};
  EXPECT_EQ(planning::bound_by(parts), "computation 70%, tensor-parallel collectives 20%, pipeline bubble 10%");
}

}  // namespace
}  // namespace centrale
