// SPDX-License-Identifier: Apache-2.0
#include "simulate/goodput_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "simulate/goodput_profile.hpp"

namespace centrale {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;

// An application that we made up: a sample takes a millisecond, an exchange 10 ms on a node and 30 ms across; its gradients are noisy at
// first (twice the batch is worth nearly twice the progress) and nearly free of noise from the second epoch on.
std::vector<GoodputFile> made_up() {
  return {{.path = "toy/placements-x.csv",
           .text = "placement,local_bsz,step_time,sync_time\n"
                   "1,10,0.01,0\n1,40,0.04,0\n"
                   "2,10,0.02,0.01\n2,40,0.05,0.01\n"
                   "11,10,0.04,0.03\n11,40,0.07,0.03\n"
                   "12,10,0.05,0.04\n12,40,0.08,0.04\n"},
          {.path = "toy/scalability-x.csv",
           .text = "num_nodes,num_replicas,local_bsz,step_time,sync_time\n"
                   "4,4,10,0.06,0.05\n4,4,40,0.09,0.05\n4,8,10,0.08,0.07\n4,8,40,0.11,0.07\n"
                   "2,4,10,0.05,0.04\n2,4,40,0.08,0.04\n"},
          {.path = "toy/validation-20.csv", .text = "progress,grad_sqr,grad_var\n100,1,999\n200,1,0.001\n300,1,0.001\n"},
          {.path = "toy/validation-80.csv", .text = "progress,grad_sqr,grad_var\n101,1,999\n201,1,0.001\n301,1,0.001\n"}};
}

const std::vector<GoodputApplication> kToy{{.name = "toy", .epochs = 3, .slowdown = 1, .restart = seconds(30)}};
const std::vector<GoodputKind> kX{{.suffix = "x", .kind = "x100"}};

GoodputModel toy() {
  auto model = GoodputModel::read(made_up(), kToy, kX);
  EXPECT_TRUE(model) << model.error().message();
  return *std::move(model);
}

double rate(const GoodputModel& model, std::vector<std::int64_t> placement, std::int64_t batch, double done = 0) {
  const auto r = model.true_rate("sia:toy", "x100", placement, batch, done);
  return r ? r->rate : -1;
}

TEST(GoodputModel, UsefulSamplesASecondAtTheInitialBatch) {
  const GoodputModel model = toy();
  EXPECT_NEAR(rate(model, {1}, 20), 20 / 0.02, 1e-9) << "no exchange, every sample is useful";
  EXPECT_NEAR(rate(model, {2}, 20), 20 / 0.02, 1e-9) << "10 a chip and the exchange";
  EXPECT_NEAR(rate(model, {1, 1}, 20), 20 / 0.04, 1e-9);
  EXPECT_EQ(model.work_of("sia:toy"), 300 * 20) << "the batch that counts an epoch soonest";
}

TEST(GoodputModel, LargerBatchesAreWorthLess) {
  const GoodputModel model = toy();
  // Pollux: gain = (var + sqr) / (var / scale + sqr), scale = 4.
  EXPECT_NEAR(rate(model, {2}, 80), 20 * (1000 / (999 / 4.0 + 1)) / 0.05, 1e-6);
  EXPECT_NEAR(rate(model, {2}, 80, 100 * 20), 20 * (1.001 / (0.001 / 4 + 1)) / 0.05, 1e-6) << "the next epoch: noise is gone";
  // Statistics of 50 lie halfway between those of 20 and 80, which are the same here.
  EXPECT_NEAR(rate(model, {2}, 50), 20 * (1000 / (999 / 2.5 + 1)) / 0.035, 1e-6);
}

TEST(GoodputModel, AccumulatesWhatDoesNotFit) {
  const GoodputModel model = toy();
  // 80 on one chip are 40 twice; on two nodes nothing is accumulated.
  EXPECT_NEAR(rate(model, {1}, 80), 20 * (1000 / (999 / 4.0 + 1)) / 0.08, 1e-6);
  // A chip alone beyond the initial batch accumulates, though 30 would fit.
  EXPECT_NEAR(rate(model, {1}, 30), 20 * (1000 / (999 / 1.5 + 1)) / 0.03, 1e-6);
}

TEST(GoodputModel, AdaptsTheBatchToTheEpoch) {
  const GoodputModel model = toy();
  EXPECT_NEAR(rate(model, {2}, 0), rate(model, {2}, 80), 1e-6) << "noisy: the largest";
  EXPECT_NEAR(rate(model, {2}, 0, 2000), rate(model, {2}, 20, 2000), 1e-6) << "not noisy: the smallest";
  for (const double done : {0.0, 2000.0, 4000.0}) {
    for (const std::int64_t batch : {20, 30, 40, 50, 64, 80}) {
      EXPECT_GE(rate(model, {1, 1}, 0, done) * (1 + 1e-3), rate(model, {1, 1}, batch, done)) << batch;
    }
  }
}

TEST(GoodputModel, SaysUntilWhen) {
  const GoodputModel model = toy();
  const auto at = [&](double done) { return model.true_rate("sia:toy", "x100", std::vector<std::int64_t>{2}, 80, done)->until; };
  EXPECT_EQ(at(0), 2000);
  EXPECT_EQ(at(1999), 2000);
  EXPECT_EQ(at(2000), 4000);
  EXPECT_EQ(at(5999), 6000);
  // A twin that goes from one point to the next arrives, whatever is lost in rounding.
  int steps = 0;
  for (double done = 0; done < model.work_of("sia:toy") && steps < 10; done = at(done)) { ++steps; }
  EXPECT_EQ(steps, 3);
}

TEST(GoodputModel, UnknownPlacementsAndKinds) {
  const GoodputModel model = toy();
  EXPECT_EQ(rate(model, {3}, 40), -1);
  EXPECT_EQ(rate(model, {4, 4, 4, 4}, 80), -1);
  EXPECT_EQ(rate(model, {2}, 10), -1) << "5 a chip were not measured";
  EXPECT_EQ(rate(model, {}, 20), -1);
  EXPECT_FALSE(model.true_rate("sia:toy", "y100", std::vector<std::int64_t>{1}, 0, 0));
  EXPECT_FALSE(model.true_rate("sia:no", "x100", std::vector<std::int64_t>{1}, 0, 0));
  EXPECT_EQ(model.work_of("toy"), 0);
}

TEST(StepProfile, BetweenMeasuredPlacements) {
  const auto csv = [](const GoodputFile& f) { return *read_csv(f.text, f.path); };
  goodput::StepProfile profile;
  ASSERT_TRUE(profile.read_placements(csv(made_up()[0])));
  ASSERT_TRUE(profile.read_scalability(csv(made_up()[1])));
  const auto at = [&](std::vector<std::int64_t> placement, double batch) {
    const auto step = profile.at(placement, batch);
    return step ? step->seconds : -1;
  };
  EXPECT_THAT(at({2, 1}, 25), DoubleNear(0.065, 1e-12)) << "a ring turned; between batches";
  EXPECT_THAT(at({2, 2}, 10), DoubleNear(0.05, 1e-12)) << "from the other file";
  EXPECT_THAT(at({1, 2, 1, 2}, 10), DoubleNear(0.07, 1e-12)) << "6 on 4 nodes lie between 4 and 8";
  EXPECT_THAT(at({1, 1, 1}, 10), DoubleNear(0.05, 1e-12)) << "3 nodes lie between 2 and 4, at one chip each";
  EXPECT_EQ(at({1, 1, 1, 1, 1}, 10), -1) << "nothing is extrapolated";
  EXPECT_EQ(at({1}, 41), -1);
  EXPECT_EQ(profile.batch_max(std::vector<std::int64_t>{1, 1, 1}), 40);
  EXPECT_EQ(profile.batch_max(std::vector<std::int64_t>{9}), 0);
}

const std::vector<KindOffer> kCentre{{.kind = "x100", .chips = 8, .chips_per_node = 2, .domain = 2},
                                     {.kind = "other", .chips = 8, .chips_per_node = 2, .domain = 2}};

JobSpec job(std::int64_t workers, std::int64_t batch) {
  JobSpec spec;
  spec.profile = "sia:toy";
  spec.workers = workers;
  spec.global_batch = batch;
  return spec;
}

TEST(GoodputModel, EstimatesElasticJobs) {
  const GoodputModel model = toy();
  JobSpec spec = job(1, 20);
  spec.workers_min = 1;
  spec.workers_max = 8;
  const auto estimate = model.estimate(spec, kCentre, 0);
  ASSERT_TRUE(estimate && *estimate);
  const auto& rows = (*estimate)->speeds->rows;
  std::vector<std::int64_t> workers;
  for (const SpeedRow& row : rows) { workers.push_back(row.workers); }
  EXPECT_THAT(workers, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8)) << "8 chips take at least 10 each: the largest batch";
  EXPECT_NEAR(rows[1].rates.at(0), rate(model, {2}, 0), 1e-9);
  EXPECT_NEAR(rows[1].rates.at(1), rate(model, {1, 1}, 0), 1e-9) << "split over two nodes";
  EXPECT_EQ(rows[1].layout, "mb40");
  EXPECT_EQ(rows[0].layout, "mb20") << "alone it waits for nobody: the batch that wastes least";
  EXPECT_EQ((*estimate)->speeds->work, 6000);
  EXPECT_EQ((*estimate)->until, 2000) << "the noise goes";
  EXPECT_TRUE(std::isinf((*model.estimate(spec, kCentre, 2000))->until)) << "and nothing changes after";
}

TEST(GoodputModel, KeepsTheBatchOfJobsThatAreNotElastic) {
  const GoodputModel model = toy();
  const auto estimate = model.estimate(job(2, 40), kCentre, 0);
  ASSERT_TRUE(estimate && *estimate);
  ASSERT_EQ((*estimate)->speeds->rows.size(), 1U);
  EXPECT_NEAR((*estimate)->speeds->rows[0].rates.at(0), rate(model, {2}, 40), 1e-9);
  EXPECT_FALSE(*model.estimate(job(16, 40), kCentre, 0)) << "more than there are";
}

TEST(GoodputModel, WhatIsNotItsBusinessAndWhatIsUnknown) {
  const GoodputModel model = toy();
  EXPECT_FALSE(*model.estimate(JobSpec{}, kCentre, 0));
  JobSpec spec = job(1, 20);
  spec.profile = "sia:toi";
  const auto error = model.estimate(spec, kCentre, 0);
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().kind, ErrorKind::not_found);
  EXPECT_EQ(error.error().message(), "no profile 'sia:toi' was read; nearest: sia:toy");
}

std::string error_with(std::size_t file, const char* text) {
  auto files = made_up();
  files[file].text = text;
  const auto model = GoodputModel::read(files, kToy, kX);
  return model ? "it reads" : model.error().message();
}

TEST(GoodputModel, ErrorsNameTheLine) {
  EXPECT_THAT(error_with(0, "placement,local_bsz,step_time\n"), HasSubstr("toy/placements-x.csv:1: the column 'sync_time' is missing"));
  EXPECT_THAT(error_with(0, "placement,local_bsz,step_time,sync_time\n1,10,0.01,0\n1x,10,1,0\n"),
              HasSubstr("toy/placements-x.csv:3: placement '1x' is not a digit"));
  EXPECT_THAT(error_with(0, "placement,local_bsz,step_time,sync_time\n1,10,0,0\n"), HasSubstr(":2: step_time '0' is not a number above 0"));
  EXPECT_THAT(error_with(1, "num_nodes,num_replicas,local_bsz,step_time,sync_time\n3,2,1,1,0\n"),
              HasSubstr("toy/scalability-x.csv:2: 2 replicas on 3 nodes"));
  EXPECT_THAT(error_with(2, "progress,grad_sqr,grad_var\n2,1,1\n2,1,1\n"),
              HasSubstr(":3: progress 2 is not above that of the epoch before"));
  EXPECT_THAT(error_with(2, "progress,grad_sqr,grad_var\n"), HasSubstr("toy/validation-20.csv: no epoch"));
  auto files = made_up();
  files[2].path = "toy/validation-big.csv";
  EXPECT_THAT(GoodputModel::read(files, kToy, kX).error().message(), HasSubstr("'big' is no batch"));
  files.resize(2);
  EXPECT_THAT(GoodputModel::read(files, kToy, kX).error().message(), HasSubstr("application 'toy' has no validation"));
}

TEST(GoodputModel, SaysWhatWasLeftOut) {
  auto files = made_up();
  files.push_back({.path = "toy/placements-y.csv", .text = "not read"});
  files.push_back({.path = "gpt/validation-12.csv", .text = "not read"});
  const auto model = GoodputModel::read(files, kToy, kX);
  ASSERT_TRUE(model);
  EXPECT_THAT(model->notes(), ElementsAre("2 files of other applications or kinds were left out"));
}

}  // namespace
}  // namespace centrale
