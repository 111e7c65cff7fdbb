// SPDX-License-Identifier: Apache-2.0
#include "simulate/gavel_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace centrale {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Part of Gavel's simulation_throughputs.json (MIT: tests/data/speeds/LICENSE.gavel).
std::string sample() {
  const auto root = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
  std::ifstream in(root / "tests/data/speeds/gavel_sample.json", std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

const SpeedRow* row_of(const GavelTable& table, std::string_view profile, std::string_view kind, std::int64_t workers) {
  const auto rows = table.alone.profiles.find(profile);
  if (rows == table.alone.profiles.end()) { return nullptr; }
  for (const SpeedRow& row : rows->second) {
    if (row.kind == kind && row.workers == workers) { return &row; }
  }
  return nullptr;
}

TEST(GavelTable, JobsAloneByKindAndPlacement) {
  const auto table = read_gavel(sample(), "sample.json");
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_EQ(table->alone.profiles.size(), 3U);
  EXPECT_THAT(row_of(*table, "Transformer (batch size 64)", "v100", 4)->rates, ElementsAre(19.65962221663049, 10.570291051568956));
  EXPECT_THAT(row_of(*table, "ResNet-18 (batch size 64)", "k80", 1)->rates, ElementsAre(7.052080666695425));
  EXPECT_THAT(row_of(*table, "ResNet-50 (batch size 128)", "k80", 4)->rates.front(), 0) << "out of memory";
}

TEST(GavelTable, AsGavelSimulatesIt) {
  const auto table = read_gavel(sample(), "sample.json", GavelPlacement::always_together);
  ASSERT_TRUE(table) << table.error().message();
  EXPECT_THAT(row_of(*table, "Transformer (batch size 64)", "v100", 4)->rates, ElementsAre(19.65962221663049));
}

TEST(GavelTable, PairsOnTheSameChips) {
  const auto table = read_gavel(sample(), "sample.json");
  ASSERT_TRUE(table);
  const SharedChips* pair = table->pair("k80", "ResNet-18 (batch size 64)", 1, "Transformer (batch size 64)");
  ASSERT_NE(pair, nullptr);
  EXPECT_EQ(pair->rate, 3.3793756710567577);
  EXPECT_EQ(pair->other_rate, 0.9806593268077534);
  const SharedChips* turned = table->pair("k80", "Transformer (batch size 64)", 1, "ResNet-18 (batch size 64)");
  ASSERT_NE(turned, nullptr);
  EXPECT_EQ(turned->rate, pair->other_rate);
  EXPECT_EQ(table->pair("k80", "ResNet-18 (batch size 64)", 3, "Transformer (batch size 64)"), nullptr);
}

TEST(GavelTable, FeedsTheEstimator) {
  const TableEstimator estimator(read_gavel(sample(), "gavel")->alone);
  JobSpec spec;
  spec.profile = "ResNet-50 (batch size 128)";
  spec.workers = 4;
  const std::vector<KindOffer> kinds{{.kind = "v100", .chips = 36, .chips_per_node = 4, .domain = 4},
                                     {.kind = "k80", .chips = 36, .chips_per_node = 4, .domain = 4}};
  const auto estimate = estimator.estimate(spec, kinds, 0);
  ASSERT_TRUE(estimate && *estimate);
  ASSERT_EQ((*estimate)->speeds->rows.size(), 1U) << "it does not fit a K80";
  EXPECT_EQ((*estimate)->speeds->rows[0].kind, "v100");
}

std::string error_of(std::string_view json) {
  const auto table = read_gavel(json, "t.json");
  return table ? "it reads" : table.error().message();
}

TEST(GavelTable, ErrorsSayWhere) {
  EXPECT_THAT(error_of("{"), HasSubstr("t.json: is not JSON"));
  EXPECT_THAT(error_of("[]"), HasSubstr("is not an object of worker types"));
  EXPECT_THAT(error_of(R"j({"v100": 1})j"), HasSubstr("t.json: 'v100' is not an object of job types"));
  EXPECT_THAT(error_of(R"j({"v100": {"A3C": {}}})j"), HasSubstr("'v100/A3C' is not \"('NAME', WORKERS)\""));
  EXPECT_THAT(error_of(R"j({"v100": {"('A', 0)": {}
}
})j"),
              HasSubstr("is not \"('NAME', WORKERS)\""));
  EXPECT_THAT(error_of(R"j({"v100": {"('A', 1)": {
  "null" : -1}
  }
  })j"),
              HasSubstr("/null' is not a throughput"));
  EXPECT_THAT(error_of(R"j({"v100": {"('A', 1)": {
  "('B', 1)" : [1]}
  }
  })j"),
              HasSubstr("is not a pair of throughputs"));
  const auto unlike = read_gavel(R"j({"v100": {"('A', 1)": {
  "null" : 1, "('B', 2)" : [ 1, 1 ]}
  }
  })j",
                                 "t.json");
  ASSERT_TRUE(unlike);
  EXPECT_THAT(unlike->notes, ElementsAre("1 pairs of gangs of unlike sizes were left out"));
}

}  // namespace
}  // namespace centrale
