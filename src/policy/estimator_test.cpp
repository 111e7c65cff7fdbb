// SPDX-License-Identifier: Apache-2.0
#include "policy/estimator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/json.hpp"
#include "base/random.hpp"

namespace centrale {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

KindOffer offer(std::string kind, std::int64_t chips, std::int64_t per_node) {
  return {.kind = std::move(kind), .chips = chips, .chips_per_node = per_node, .domain = per_node};
}

JobSpec elastic(std::int64_t min, std::int64_t asked, std::int64_t max) {
  JobSpec spec;
  spec.workers = asked;
  spec.workers_min = min;
  spec.workers_max = max;
  return spec;
}

TEST(WorkerCounts, AsAskedUnlessElastic) {
  JobSpec spec;
  spec.workers = 3;
  spec.chips = 4;
  EXPECT_THAT(worker_counts(spec, offer("t4", 12, 4)), ElementsAre(3));
  EXPECT_THAT(worker_counts(spec, offer("t4", 11, 4)), IsEmpty()) << "the centre has fewer";
  EXPECT_THAT(worker_counts(spec, offer("t4", 64, 2)), IsEmpty()) << "no node holds a worker";
}

TEST(WorkerCounts, ElasticJobsGetTheRoundNumbersBetweenTheirBounds) {
  EXPECT_THAT(worker_counts(elastic(2, 3, 5), offer("t4", 100, 4)), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(worker_counts(elastic(2, 3, 5), offer("t4", 4, 4)), ElementsAre(2, 3, 4));
  EXPECT_THAT(worker_counts(elastic(1, 5, 30), offer("t4", 100, 4)), ElementsAre(1, 2, 4, 5, 8, 12, 16, 20, 24, 28, 30));
  EXPECT_THAT(worker_counts(elastic(1, 1, 300), offer("t4", 1000, 8)),
              ElementsAre(1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 192, 256, 300));
}

TEST(WorkerCounts, StayFewWhateverTheBounds) {
  Random random(7);
  for (int i = 0; i < 2000; ++i) {
    const auto lo = static_cast<std::int64_t>(random.below(1000)) + 1;
    const auto hi = lo + static_cast<std::int64_t>(random.below(99'000));
    const auto counts = worker_counts(elastic(lo, hi, hi), offer("t4", static_cast<std::int64_t>(random.below(1'000'000)) + 1, 8));
    ASSERT_LE(counts.size(), 60U);
    ASSERT_TRUE(std::is_sorted(counts.begin(), counts.end()));
    for (const std::int64_t n : counts) { ASSERT_TRUE(n >= lo && n <= hi); }
  }
}

TEST(Corrections, AreTheGeometricMeanOfWhatWasSeen) {
  Corrections corrections;
  EXPECT_EQ(corrections.factor("bert", 0), 1);
  corrections.observe("bert", 0, 2, 1);
  EXPECT_NEAR(corrections.factor("bert", 0), 2, 1e-12);
  corrections.observe("bert", 0, 1, 2);
  EXPECT_NEAR(corrections.factor("bert", 0), 1, 1e-12) << "twice and half cancel";
  EXPECT_EQ(corrections.factor("bert", 1), 1) << "another kind";
  EXPECT_EQ(corrections.factor("ber", 0), 1);
  for (int i = 0; i < 100; ++i) { corrections.observe("bert", 0, 3, 2); }
  EXPECT_NEAR(corrections.factor("bert", 0), 1.5, 1e-6) << "old ones fade";
}

TEST(Corrections, AreBoundedAndIgnoreWhatSaysNothing) {
  Corrections corrections;
  corrections.observe("a", 0, 1e9, 1);
  EXPECT_NEAR(corrections.factor("a", 0), kCorrectionMax, 1e-12);
  corrections.observe("b", 0, 1e-9, 1);
  EXPECT_NEAR(corrections.factor("b", 0), kCorrectionMin, 1e-12);
  for (const double bad : {0.0, -1.0, std::nan(""), double{INFINITY}}) {
    corrections.observe("c", 0, bad, 1);
    corrections.observe("c", 0, 1, bad);
  }
  corrections.observe("", 0, 2, 1);
  EXPECT_EQ(corrections.rows.size(), 2U);
}

TEST(Corrections, AreAsManyAsThereIsRoomForAndSurviveAsText) {
  Corrections corrections;
  for (std::size_t i = 0; i < kCorrectionsMax + 10; ++i) {
    corrections.observe("seen twice", 3, 2, 1);
    corrections.observe(std::to_string(i), static_cast<KindIndex>(i % 5), 2, 1);
  }
  EXPECT_EQ(corrections.rows.size(), kCorrectionsMax);
  EXPECT_NEAR(corrections.factor("seen twice", 3), 2, 1e-9);
  std::string json;
  write_json(json, corrections);
  Corrections read;
  ASSERT_TRUE(read_json(json, read, JsonStrictness::lenient));
  std::string again;
  write_json(again, read);
  EXPECT_EQ(json, again);
}

Speeds speeds_of(std::vector<SpeedRow> rows) { return {.rows = std::move(rows), .work = 0, .source = {}}; }

TEST(Compile, SortsByKindAndChipsAndSkipsWhatIsNotThere) {
  const std::vector<std::string> kinds{"t4", "a100"};
  const Speeds speeds = speeds_of({{.kind = "a100", .workers = 2, .chips = 4, .rates = {9, 8}, .layout = {}},
                                   {.kind = "h100", .workers = 1, .chips = 1, .rates = {9}, .layout = {}},
                                   {.kind = "t4", .workers = 4, .chips = 1, .rates = {3}, .layout = {}},
                                   {.kind = "t4", .workers = 1, .chips = 1, .rates = {1, 0.5, 0.25}, .layout = {}},
                                   {.kind = "t4", .workers = 2, .chips = 1, .rates = {}, .layout = {}},
                                   {.kind = "t4", .workers = 2, .chips = 1, .rates = {0}, .layout = {}},
                                   {.kind = "t4", .workers = 0, .chips = 1, .rates = {1}, .layout = {}},
                                   {.kind = "t4", .workers = 2, .chips = 1, .rates = {std::nan("")}, .layout = {}}});
  Corrections corrections;
  corrections.observe("bert", 0, 2, 1);
  const auto table = compile(speeds, kinds, &corrections, "bert");
  ASSERT_EQ(table->shapes.size(), 3U);
  EXPECT_EQ(table->shapes[0].row, 3U);
  EXPECT_THAT(table->shapes[0].rate, ElementsAre(2, 1, 0.5, 0.5, 0.5));
  EXPECT_EQ(table->shapes[1].total(), 4);
  EXPECT_EQ(table->shapes[2].kind, 1);
  EXPECT_THAT(table->shapes[2].rate, ElementsAre(9, 8, 8, 8, 8)) << "corrected by kind";
  EXPECT_EQ(shape_as_asked(*table, 0, 4, 1), &table->shapes[1]);
  EXPECT_EQ(shape_as_asked(*table, 0, 1, 4), nullptr) << "the chips fit, the workers do not";
  EXPECT_EQ(shape_as_asked(*table, 1, 1, 1), nullptr);
}

class Fixed : public Estimator {
 public:
  explicit Fixed(Result<std::optional<Estimate>> answer) : answer_(std::move(answer)) {}
  [[nodiscard]] Result<std::optional<Estimate>> estimate(const JobSpec&, std::span<const KindOffer>, double) const override {
    return answer_;
  }

 private:
  Result<std::optional<Estimate>> answer_;
};

TEST(Estimators, TheFirstThatKnowsAnswers) {
  const auto nothing = std::make_shared<Fixed>(std::optional<Estimate>{});
  const auto unknown = std::make_shared<Fixed>(fail(ErrorKind::not_found, "no profile 'x'"));
  const auto wrong = std::make_shared<Fixed>(fail(ErrorKind::invalid, "no batch"));
  const auto knows = std::make_shared<Fixed>(std::optional<Estimate>{Estimate{.speeds = share(Speeds{}), .until = 5}});
  EXPECT_EQ((*Estimators({unknown, nothing, knows, wrong}).estimate({}, {}, 0))->until, 5);
  EXPECT_EQ(Estimators({nothing, unknown, nothing}).estimate({}, {}, 0).error().what, "no profile 'x'");
  EXPECT_EQ(Estimators({unknown, wrong, knows}).estimate({}, {}, 0).error().what, "no batch");
  EXPECT_FALSE(*Estimators({nothing}).estimate({}, {}, 0));
}

}  // namespace
}  // namespace centrale
