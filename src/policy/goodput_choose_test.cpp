// SPDX-License-Identifier: Apache-2.0
#include "policy/goodput_choose.hpp"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/random.hpp"

namespace centrale {
namespace {

/// As goodput makes them: values are 1.1 less the normalised goodput to the power -0.5.
ChooseProblem random_problem(Random& random, std::size_t jobs, std::size_t kinds, std::int64_t chips) {
  ChooseProblem p;
  for (std::size_t k = 0; k < kinds; ++k) {
    p.capacity.push_back(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(chips) + 1)));
  }
  p.first.push_back(0);
  for (std::size_t job = 0; job < jobs; ++job) {
    const double power = random.uniform(0.3, 1);
    for (std::size_t k = 0; k < kinds; ++k) {
      const double rate = random.uniform(1, 4);
      for (std::int64_t n = 1; n <= static_cast<std::int64_t>(1 + random.below(8)); n *= 2) {
        p.choices.push_back({.kind = k, .chips = n, .value = 1.1 - std::pow(rate * std::pow(static_cast<double>(n), power), -0.5)});
      }
    }
    p.first.push_back(p.choices.size());
  }
  return p;
}

double brute_force(const ChooseProblem& p, std::size_t job, std::vector<std::int64_t>& left) {
  if (job == p.jobs()) { return 0; }
  double best = brute_force(p, job + 1, left);
  for (std::size_t c = p.first[job]; c < p.first[job + 1]; ++c) {
    const ShapeChoice& s = p.choices[c];
    if (s.chips > left[s.kind] || s.value <= 0) { continue; }
    left[s.kind] -= s.chips;
    best = std::max(best, s.value + brute_force(p, job + 1, left));
    left[s.kind] += s.chips;
  }
  return best;
}

void feasible(const ChooseProblem& p, const Chosen& chosen) {
  std::vector<std::int64_t> left = p.capacity;
  double value = 0;
  for (std::size_t job = 0; job < p.jobs(); ++job) {
    if (chosen.choice[job] == kNoChoice) { continue; }
    const ShapeChoice& s = p.choices[p.first[job] + static_cast<std::size_t>(chosen.choice[job])];
    left[s.kind] -= s.chips;
    value += s.value;
  }
  for (const std::int64_t l : left) { ASSERT_GE(l, 0); }
  ASSERT_NEAR(value, chosen.value, 1e-9);
}

TEST(ChooseShapes, ExactIsBruteForceAndPricesAreWithinOnePercent) {
  Random random(1);
  double worst = 1, sum = 0;
  int cases = 0;
  for (int i = 0; i < 400; ++i) {
    const ChooseProblem p = random_problem(random, 1 + random.below(5), 1 + random.below(3), 12);
    std::vector<std::int64_t> left = p.capacity;
    const double best = brute_force(p, 0, left);
    const Chosen exact = choose_shapes(p), priced = choose_shapes(p, {.exact_steps = 0, .price_rounds = 120, .improve_steps = 2'000'000});
    ASSERT_TRUE(exact.exact);
    ASSERT_NEAR(exact.value, best, 1e-9) << i;
    ASSERT_NO_FATAL_FAILURE(feasible(p, exact));
    ASSERT_NO_FATAL_FAILURE(feasible(p, priced));
    ASSERT_GE(priced.bound, best - 1e-6) << i;
    ASSERT_LE(priced.value, best + 1e-9);
    if (best > 0) {
      worst = std::min(worst, priced.value / best);
      sum += priced.value / best;
      ++cases;
    }
  }
  EXPECT_GE(worst, 0.99);
  EXPECT_GE(sum / cases, 0.999);
}

TEST(ChooseShapes, PricesAreNearTheBoundWhereJobsAreMany) {
  Random random(2);
  for (int i = 0; i < 20; ++i) {
    ChooseProblem p = random_problem(random, 60, 3, 16);
    p.capacity = {16, 12, 20};
    const Chosen exact = choose_shapes(p, {.exact_steps = 100'000'000, .price_rounds = 120, .improve_steps = 0});
    const Chosen priced = choose_shapes(p, {.exact_steps = 0, .price_rounds = 120, .improve_steps = 2'000'000});
    ASSERT_TRUE(exact.exact);
    ASSERT_FALSE(priced.exact);
    ASSERT_NO_FATAL_FAILURE(feasible(p, priced));
    EXPECT_GE(priced.value, 0.99 * exact.value) << i;
    EXPECT_GE(priced.bound, exact.value - 1e-6);
  }
}

TEST(ChooseShapes, NothingFitsNothingIsTaken) {
  ChooseProblem p{.choices = {{.kind = 0, .chips = 4, .value = 1}}, .first = {0, 1}, .capacity = {3}};
  EXPECT_EQ(choose_shapes(p).choice, std::vector<std::int32_t>{kNoChoice});
  EXPECT_EQ(choose_shapes(p, {.exact_steps = 0, .price_rounds = 10, .improve_steps = 100}).choice, std::vector<std::int32_t>{kNoChoice});
  EXPECT_TRUE(choose_shapes({.choices = {}, .first = {0}, .capacity = {3}}).choice.empty());
}

}  // namespace
}  // namespace centrale
