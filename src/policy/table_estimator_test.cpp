// SPDX-License-Identifier: Apache-2.0
#include "policy/table_estimator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace centrale {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kTable =
    "profile,kind,workers,chips,rate_node,rate_domain,rate_leaf,rate_spine,rate_any,layout\n"
    "resnet,v100,1,1,3,,,,,\n"
    "resnet,v100,2,1,6,,5,,,\n"
    "resnet,v100,8,1,12,,5,,,zero1\n"
    "resnet,k80,1,1,0.5,,,,,\n"
    "resnet,k80,4,1,0,,,,,\n"
    "resnet,k80,8,1,2,,,,,\n"
    "\"lm, big\",v100,2,4,1.25,,,,,\n";

const std::vector<KindOffer> kCentre{{.kind = "v100", .chips = 64, .chips_per_node = 8, .domain = 8},
                                     {.kind = "k80", .chips = 64, .chips_per_node = 8, .domain = 8}};

JobSpec job(const char* profile, std::int64_t workers, std::int64_t chips = 1) {
  JobSpec spec;
  spec.profile = profile;
  spec.workers = workers;
  spec.chips = chips;
  spec.steps = 1000;
  return spec;
}

std::vector<SpeedRow> rows_of(const JobSpec& spec, const std::vector<KindOffer>& kinds = kCentre) {
  const TableEstimator estimator(*read_profiles(kTable, "speeds.csv"));
  const auto estimate = estimator.estimate(spec, kinds, 0);
  if (!estimate) {
    ADD_FAILURE() << estimate.error().message();
    return {};
  }
  return *estimate ? (*estimate)->speeds->rows : std::vector<SpeedRow>{};
}

TEST(TableEstimator, GivesTheRowsOfTheJobsShape) {
  const auto rows = rows_of(job("resnet", 2));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0], (SpeedRow{.kind = "v100", .workers = 2, .chips = 1, .rates = {6, 6, 5}, .layout = {}}));
  EXPECT_EQ(rows_of(job("resnet", 8)).at(0).layout, "zero1");
  EXPECT_EQ(rows_of(job("resnet", 1)).size(), 2U) << "both kinds";
  EXPECT_TRUE(rows_of(job("resnet", 16)).empty()) << "nothing is extrapolated";
}

TEST(TableEstimator, CountsChipsWhereWorkersHaveOthers) {
  const auto rows = rows_of(job("lm, big", 8, 1));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].workers, 8);
  EXPECT_EQ(rows[0].chips, 1);
  EXPECT_THAT(rows[0].rates, ElementsAre(1.25));
}

TEST(TableEstimator, InterpolatesOnLogarithmicAxes) {
  const auto rows = rows_of(job("resnet", 4));
  ASSERT_EQ(rows.size(), 1U) << "the K80 does not run with 4, which was measured";
  EXPECT_EQ(rows[0].workers, 4);
  // Halfway from 2 to 8.
  EXPECT_THAT(rows[0].rates,
              ElementsAre(DoubleNear(std::sqrt(6.0 * 12), 1e-9), DoubleNear(std::sqrt(6.0 * 12), 1e-9), DoubleNear(5, 1e-9)));
  for (const SpeedRow& row : rows_of(job("resnet", 6))) { EXPECT_EQ(row.kind, "v100") << "nothing crosses what does not run"; }
}

TEST(TableEstimator, ElasticJobsGetEveryCountOfTheirBounds) {
  JobSpec spec = job("resnet", 2);
  spec.workers_min = 1;
  spec.workers_max = 64;
  spec.chip_kinds = {"v100"};
  std::vector<std::int64_t> workers;
  std::vector<double> rates;
  for (const SpeedRow& row : rows_of(spec)) {
    workers.push_back(row.workers);
    rates.push_back(row.rates.front());
  }
  EXPECT_THAT(workers, ElementsAre(1, 2, 4, 8));
  EXPECT_TRUE(std::is_sorted(rates.begin(), rates.end()));
}

TEST(TableEstimator, LooksAtKindsThatWillDoAndAreThere) {
  JobSpec spec = job("resnet", 1);
  spec.chip_kinds = {"k80"};
  ASSERT_EQ(rows_of(spec).size(), 1U);
  EXPECT_EQ(rows_of(spec)[0].kind, "k80");
  spec.chip_kinds = {"h100"};
  EXPECT_TRUE(rows_of(spec).empty());
  EXPECT_TRUE(rows_of(job("resnet", 8), {{.kind = "v100", .chips = 4, .chips_per_node = 4, .domain = 4}}).empty());
}

TEST(TableEstimator, SaysWhatItDoesNotKnow) {
  const TableEstimator estimator(*read_profiles(kTable, "speeds.csv"));
  const auto error = estimator.estimate(job("resnt", 1), kCentre, 0);
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().kind, ErrorKind::not_found);
  EXPECT_EQ(error.error().message(), "speeds.csv: the speed table has no profile 'resnt'; nearest: resnet");
  EXPECT_FALSE(*estimator.estimate(job("", 1), kCentre, 0)) << "a job without a profile is none of its business";
  const auto known = estimator.estimate(job("resnet", 1), kCentre, 0);
  EXPECT_EQ((*known)->speeds->work, 1000);
  EXPECT_EQ((*known)->speeds->source, "table speeds.csv");
  EXPECT_TRUE(std::isinf((*known)->until));
}

TEST(Profiles, AreWrittenAsTheyWereRead) {
  const std::string text = write_profiles(*read_profiles(kTable, "a"));
  const auto again = read_profiles(text, "b");
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->profiles, read_profiles(kTable, "a")->profiles);
  EXPECT_EQ(write_profiles(*again), text);
}

std::string error_of(const char* csv) {
  const auto table = read_profiles(csv, "s.csv");
  return table ? "it reads" : table.error().message();
}

TEST(Profiles, ErrorsNameTheLine) {
  EXPECT_THAT(error_of("profile,kind,rate_nod\na,b,1\n"),
              HasSubstr("s.csv:1: 'rate_nod' is no column of a speed table; nearest: rate_node"));
  EXPECT_THAT(error_of("profile,kind\na,b\n"), HasSubstr("s.csv:1: the column 'rate_node' is missing"));
  EXPECT_THAT(error_of("profile,kind,rate_node\na,b,1\na,b,fast\n"), HasSubstr("s.csv:3: rate_node 'fast' is not a rate"));
  EXPECT_THAT(error_of("profile,kind,rate_node\na,b,-1\n"), HasSubstr("s.csv:2: rate_node '-1' is not a rate"));
  EXPECT_THAT(error_of("profile,kind,rate_node\na,b,\n"), HasSubstr("s.csv:2: rate_node is missing"));
  EXPECT_THAT(error_of("profile,kind,rate_node\n,b,1\n"), HasSubstr("s.csv:2: the profile's name is missing"));
  EXPECT_THAT(error_of("profile,kind,rate_node\na,,1\n"), HasSubstr("s.csv:2: the kind of chip is missing"));
  EXPECT_THAT(error_of("profile,kind,workers,rate_node\na,b,0,1\n"), HasSubstr("s.csv:2: workers '0' is not a number from 1 to"));
  EXPECT_THAT(error_of("profile,kind,rate_node\na,b,1\na,b,2\n"), HasSubstr("s.csv:3: 'a' has 1 x 1 b twice"));
}

}  // namespace
}  // namespace centrale
