// SPDX-License-Identifier: Apache-2.0
#include "plan/serve.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "model/read.hpp"
#include "plan/serve_search.hpp"

namespace centrale {
namespace {

ServeRequest request_of(std::string_view model, std::string_view fleet) {
  ServeRequest request;
  request.model = *catalogue_model(model);
  request.fleet = *fleet_of(fleet, default_catalogue());
  return request;
}

TEST(PlanServe, FindsReplicasThatKeepTheLevel) {
  ServeRequest request = request_of("llama-3.1-70b", "h100-sxmx64");
  request.ttft = Seconds{1};
  request.itl = Seconds{0.04};
  request.rate = 20;
  const auto plans = plan_serve(request, default_engines());
  ASSERT_TRUE(plans) << plans.error().message();
  ASSERT_FALSE(plans->plans.empty());
  double before = 0;
  for (const ServePlan& plan : plans->plans) {
    EXPECT_LE(plan.ttft.p95.value, 1);
    EXPECT_LE(plan.itl.p95.value, 0.04);
    EXPECT_GE(plan.rate, 20);
    EXPECT_LE(plan.chips, 64);
    EXPECT_GE(plan.cost_per_hour, before) << "cheapest first";
    EXPECT_GT(plan.kilowatts, 0);
    EXPECT_FALSE(plan.bound.empty());
    before = plan.cost_per_hour;
  }
  const auto terms = explain(plans->plans.front(), request, default_engines());
  EXPECT_GT(terms.size(), 8U);
}

TEST(PlanServe, TheFrontTradesSpeedForThroughput) {
  ServeRequest request = request_of("llama-3.1-8b", "h100-sxmx8");
  const auto plans = plan_serve(request, default_engines());
  ASSERT_TRUE(plans) << plans.error().message();
  ASSERT_GT(plans->front.size(), 3U);
  for (std::size_t i = 1; i < plans->front.size(); ++i) {
    EXPECT_GT(plans->front[i].tokens_per_user, plans->front[i - 1].tokens_per_user);
    EXPECT_LT(plans->front[i].tokens_per_chip, plans->front[i - 1].tokens_per_chip);
  }
}

TEST(PlanServe, WhatFitsNowhereIsSaidWithWaysOut) {
  ServeRequest request = request_of("llama-3.1-405b", "h100-sxmx2");
  request.formats = {"bf16"};
  const auto plans = plan_serve(request, default_engines());
  ASSERT_FALSE(plans);
  const std::string message = plans.error().message();
  EXPECT_NE(message.find("GiB a chip at best"), std::string::npos) << message;
  EXPECT_NE(message.find("ways to make it fit"), std::string::npos) << message;
  EXPECT_NE(message.find("fp8"), std::string::npos) << message;
}

TEST(PlanServe, ALevelThatNothingKeepsIsSaid) {
  ServeRequest request = request_of("llama-3.1-70b", "h100-sxmx8");
  request.itl = Seconds{0.001};
  const auto plans = plan_serve(request, default_engines());
  ASSERT_FALSE(plans);
  EXPECT_NE(plans.error().message().find("no layout keeps the level"), std::string::npos) << plans.error().message();
}

TEST(PlanServe, ARateBeyondTheFleetIsSaid) {
  ServeRequest request = request_of("llama-3.1-70b", "h100-sxmx8");
  request.rate = 100000;
  const auto plans = plan_serve(request, default_engines());
  ASSERT_FALSE(plans);
  EXPECT_NE(plans.error().message().find("fewer than asked for"), std::string::npos) << plans.error().message();
}

TEST(PlanServe, IslandsServeTogetherWhereNoneCarriesTheRate) {
  ServeRequest request = request_of("llama-3.1-8b", "h100-sxmx8,a100-sxm-80gbx8");
  request.disaggregated = false;
  ServeRequest alone = request_of("llama-3.1-8b", "h100-sxmx8");
  alone.disaggregated = false;
  const auto one = plan_serve(alone, default_engines());
  ASSERT_TRUE(one);
  const ServePlan& best = one->plans.front();
  request.rate = best.decode.most * 8 / static_cast<double>(best.decode.layout.chips()) * 1.1;
  const auto both = plan_serve(request, default_engines());
  ASSERT_TRUE(both) << both.error().message();
  EXPECT_TRUE(both->plans.empty());
  EXPECT_EQ(both->together.size(), 2U);
}

TEST(PlanServe, BadRequestsAreErrors) {
  const auto message = [](auto change) {
    ServeRequest request = request_of("llama-3.1-8b", "h100-sxmx8");
    change(request);
    const auto plans = plan_serve(request, default_engines());
    return plans ? std::string("planned") : plans.error().message();
  };
  EXPECT_EQ(message([](ServeRequest& r) { r.input = 0; }), "input is 0 tokens, wants 1 to 10,000,000");
  EXPECT_EQ(message([](ServeRequest& r) { r.output = std::nan(""); }), "output is nan tokens, wants 1 to 1,000,000");
  EXPECT_EQ(message([](ServeRequest& r) { r.rate = -1; }), "rate is -1 requests a second, wants 0 or more");
  EXPECT_EQ(message([](ServeRequest& r) { r.reuse = 1; }), "reuse is 1, wants 0 to below 1");
  EXPECT_EQ(message([](ServeRequest& r) { r.engine = "vlm"; }), "engine 'vlm' is not in the catalogue; nearest: vllm");
  EXPECT_EQ(message([](ServeRequest& r) { r.formats = {"nvfp5"}; }), "weight format 'nvfp5' is not known; nearest: nvfp4");
}

/// Every candidate played, none left out: the cheapest way to a rate in one kind of replica.
double cheapest_of_all(const ServeRequest& request) {
  double best = HUGE_VAL;
  for (const serving::Candidate& c : serving::candidates_of(request, default_engines())) {
    const Island& island = request.fleet.islands[c.island];
    const ServeEstimator fits(request.model, island, serving::engine_of(request, *c.engine, 0), c.layout);
    if (fits.sequences_held(request.input + request.output) < 1) { continue; }
    for (const double chunk : {c.engine->tokens_max, std::max(256.0, c.engine->tokens_max / 4)}) {
      const ServeEstimator e(request.model, island, serving::engine_of(request, *c.engine, chunk), c.layout);
      const double rate = serving::capacity_of(request, e, serving::Part::whole).rate;
      if (rate <= 0) { continue; }
      best = std::min(best, serving::price_of(island, c.layout.chips()) / rate);
    }
  }
  return best;
}

TEST(PlanServe, TheSearchDropsNoBetterPlan) {
  std::mt19937 random(5);
  const std::vector<std::string_view> models{"llama-3.1-8b", "mixtral-8x7b", "gemma-2-9b", "qwen3-30b-a3b"};
  const std::vector<std::string_view> fleets{"h100-sxmx2", "a100-sxm-80gbx4", "h100-sxmx2,l40sx2"};
  for (int round = 0; round < 12; ++round) {
    ServeRequest request = request_of(models[random() % models.size()], fleets[random() % fleets.size()]);
    request.input = std::exp2(7 + random() % 5);
    request.output = std::exp2(5 + random() % 4);
    if (random() % 2 == 0) { request.itl = Seconds{0.02 + 0.01 * static_cast<double>(random() % 5)}; }
    if (random() % 2 == 0) { request.ttft = Seconds{0.3 + 0.3 * static_cast<double>(random() % 4)}; }
    request.disaggregated = false;
    request.plans = 1;
    const auto plans = plan_serve(request, default_engines());
    const double best = cheapest_of_all(request);
    if (!plans) {
      ASSERT_EQ(best, HUGE_VAL) << round;
      continue;
    }
    const ServePlan& plan = plans->plans.front();
    ASSERT_NEAR(plan.cost_per_hour / plan.rate, best, 1e-9 * best) << round;
  }
}

TEST(PlanServe, TheBoundIsAboveWhatIsReached) {
  const ServeRequest request = request_of("llama-3.1-8b", "h100-sxmx8");
  for (const serving::Candidate& c : serving::candidates_of(request, default_engines())) {
    const ServeEstimator e(request.model, request.fleet.islands[0], *c.engine, c.layout);
    EXPECT_GE(serving::rate_bound(request, e, serving::Part::whole), serving::capacity_of(request, e, serving::Part::whole).rate)
        << to_text(c.layout);
  }
}

}  // namespace
}  // namespace centrale
