// SPDX-License-Identifier: Apache-2.0
#include "policy/plan_estimator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "model/read.hpp"
#include "plan/train.hpp"

namespace centrale {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<KindOffer> kH100{{.kind = "h100-sxm", .chips = 64, .chips_per_node = 8, .domain = 8}};

JobSpec job(const char* model, std::int64_t workers, std::int64_t chips = 1) {
  JobSpec spec;
  spec.model = model;
  spec.global_batch = 256;
  spec.sequence = 1024;
  spec.workers = workers;
  spec.chips = chips;
  spec.steps = 500;
  return spec;
}

PlanEstimator planner() { return {default_catalogue(), default_stacks()}; }

std::vector<SpeedRow> rows_of(const PlanEstimator& estimator, const JobSpec& spec, const std::vector<KindOffer>& kinds) {
  const auto estimate = estimator.estimate(spec, kinds, 0);
  if (!estimate || !*estimate) {
    ADD_FAILURE() << (estimate ? "nothing" : estimate.error().message());
    return {};
  }
  return (*estimate)->speeds->rows;
}

std::string error_of(const JobSpec& spec, const std::vector<KindOffer>& kinds) {
  const auto estimate = planner().estimate(spec, kinds, 0);
  return estimate ? "no error" : estimate.error().message();
}

TEST(PlanEstimator, GivesThePlannersBestLayout) {
  const auto rows = rows_of(planner(), job("gpt-2-xl", 8), kH100);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].workers, 8);
  EXPECT_EQ(rows[0].layout, "tp1 dp8 mb16 zero1 bf16");
  TrainRequest r;
  r.model = *catalogue_model("gpt-2-xl");
  r.fleet = *fleet_of("h100-sxmx8", default_catalogue());
  for (const Stack& stack : default_stacks()) {
    if (stack.vendor == "nvidia") { r.stack = stack; }
  }
  r.sequence = 1024;
  r.global_batch = 256;
  const auto plans = plan_train(r);
  ASSERT_TRUE(plans);
  // The whole search finds nothing that is more than a few percent better.
  EXPECT_LE(rows[0].rates[0], 1.001 / plans->front().step.value);
  EXPECT_GE(rows[0].rates[0], 0.95 / plans->front().step.value);
}

TEST(PlanEstimator, SaysWhatPlacementChanges) {
  const PlanEstimator estimator = planner();
  const auto on_a_node = rows_of(estimator, job("gpt-2-xl", 8), kH100).at(0);
  ASSERT_EQ(on_a_node.rates.size(), 2U) << "inside the node; over the network";
  EXPECT_LT(on_a_node.rates[1], on_a_node.rates[0]);
  EXPECT_GT(on_a_node.rates[1], 0);
  EXPECT_EQ(rows_of(estimator, job("gpt-2-xl", 1), kH100).at(0).rates.size(), 1U) << "one worker cannot be parted";
  EXPECT_EQ(rows_of(estimator, job("gpt-2-xl", 16), kH100).at(0).rates.size(), 1U) << "over the network in any case";
  // A rack whose nodes share the fabric.
  const std::vector<KindOffer> rack{{.kind = "h100-sxm", .chips = 64, .chips_per_node = 4, .domain = 32}};
  const auto in_a_rack = rows_of(estimator, job("gpt-2-xl", 4), rack).at(0);
  ASSERT_EQ(in_a_rack.rates.size(), 3U);
  EXPECT_EQ(in_a_rack.rates[1], in_a_rack.rates[0]);
  EXPECT_LT(in_a_rack.rates[2], in_a_rack.rates[0]);
}

TEST(PlanEstimator, ElasticJobsOnSeveralKinds) {
  JobSpec spec = job("gpt-2-xl", 2);
  spec.workers_min = 1;
  spec.workers_max = 64;
  const std::vector<KindOffer> kinds{kH100[0],
                                     {.kind = "NVIDIA A100-SXM4-80GB", .chips = 16, .chips_per_node = 8, .domain = 8},
                                     {.kind = "a chip of ours", .chips = 16, .chips_per_node = 8, .domain = 8}};
  std::map<std::string, std::vector<std::int64_t>> workers;
  std::map<std::string, double> one;
  const PlanEstimator estimator = planner();
  for (const SpeedRow& row : rows_of(estimator, spec, kinds)) {
    workers[row.kind].push_back(row.workers);
    if (row.workers == 1) { one[row.kind] = row.rates[0]; }
  }
  EXPECT_THAT(workers["NVIDIA A100-SXM4-80GB"], ElementsAre(1, 2, 4, 8, 16)) << "as many as there are; named as the driver prints it";
  EXPECT_EQ(workers["h100-sxm"].back(), 64);
  EXPECT_FALSE(workers.contains("a chip of ours"));
  EXPECT_GT(one["h100-sxm"], 1.5 * one["NVIDIA A100-SXM4-80GB"]);
  const auto all = estimator.estimate(spec, kinds, 0);
  const auto again = estimator.estimate(spec, kinds, 100);
  EXPECT_EQ((*all)->speeds.value, (*again)->speeds.value) << "remembered";
  EXPECT_EQ((*all)->speeds->work, 500);
  EXPECT_EQ((*all)->speeds->source, "planner");
}

TEST(PlanEstimator, WhatDoesNotFitHasNoRow) {
  JobSpec spec = job("llama-3.1-8b", 4);
  spec.workers_min = 1;
  spec.workers_max = 4;
  const auto rows = rows_of(planner(), spec, kH100);
  ASSERT_FALSE(rows.empty());
  EXPECT_GT(rows.front().workers, 1) << "128 GB of weights and state do not fit 80 GB";
  EXPECT_THAT(error_of(job("llama-3.1-70b", 1), kH100),
              HasSubstr("model 'llama-3.1-70b' trains on none of the chips: 1 x 1 h100-sxm: 1 chips have no room"));
  EXPECT_THAT(error_of(job("llama-3.1-8b", 65), kH100), HasSubstr("or there are too few"));
}

TEST(PlanEstimator, SaysWhatIsMissing) {
  EXPECT_FALSE(*planner().estimate(JobSpec{}, kH100, 0)) << "no model: none of its business";
  JobSpec spec = job("gpt-2-xl", 1);
  spec.global_batch = 0;
  EXPECT_THAT(error_of(spec, kH100), HasSubstr("model 'gpt-2-xl' is given without global_batch"));
  EXPECT_THAT(error_of(job("gpt-2-xxl", 1), kH100), HasSubstr("nearest: gpt-2-xl"));
  const auto unknown = planner().estimate(job("gpt-2-xxl", 1), kH100, 0);
  EXPECT_EQ(unknown.error().kind, ErrorKind::not_found);
}

TEST(PlanEstimator, TakesModelsFromWhoeverReadFiles) {
  const PlanEstimator estimator(default_catalogue(), default_stacks(), [](std::string_view name) -> Result<Model> {
    if (name == "ours/config.json") { return catalogue_model("gpt-2-xl"); }
    return fail(ErrorKind::not_found, "no such file");
  });
  EXPECT_EQ(rows_of(estimator, job("ours/config.json", 2), kH100).at(0).layout, rows_of(planner(), job("gpt-2-xl", 2), kH100).at(0).layout);
}

}  // namespace
}  // namespace centrale
