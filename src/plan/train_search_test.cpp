// SPDX-License-Identifier: Apache-2.0
#include "plan/train_search.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <optional>
#include <set>

#include "model/read.hpp"
#include "plan/random_testing.hpp"

namespace centrale::planning {
namespace {

struct Case {
  Model model;
  Island island;
  Stack stack;
  TrainRun run;
  TrainLimits limits;
};

Case random_case(std::uint64_t seed) {
  Dice dice(seed);
  Case c{.model = random_model(dice), .island = random_island(dice, 16), .stack = random_stack(dice), .run = {}, .limits = {}};
  c.run.sequence = dice.one_of<std::int64_t>({128, 384, 1024, 2048});
  c.run.global_batch = dice.between(1, 16);
  c.run.lora_rank = dice.between(0, 7) == 0 ? 8 : 0;
  c.limits.precisions = dice.some_of<Precision>({Precision::bf16, Precision::fp8});
  c.limits.schedules = dice.some_of<Schedule>({Schedule::one_f_one_b, Schedule::zero_bubble, Schedule::dual_pipe});
  c.limits.zeros = dice.some_of<Zero>({Zero::none, Zero::optimizer, Zero::gradients, Zero::weights});
  c.limits.recomputes = dice.some_of<Recompute>({Recompute::none, Recompute::selective, Recompute::full});
  c.limits.offloads = dice.some_of<Offload>({Offload::none, Offload::optimizer, Offload::activations});
  c.limits.sequence_parallel = dice.coin();
  return c;
}

bool allowed(const auto& list, auto value) { return std::find(list.begin(), list.end(), value) != list.end(); }

/// Everything from the smallest degree to the largest; fault_of() alone says what can be. Shares no code with the search.
void every_layout(const Case& c, const std::function<void(const Layout&)>& look) {
  std::int64_t experts = 1;
  for (const Block& block : c.model.kinds) { experts = std::max(experts, block.ffn.experts); }
  const std::int64_t n = c.island.chips, batch = c.run.global_batch, depth = c.model.depth();
  const auto recomputes = [&](Layout l) {
    for (const Offload offload : c.limits.offloads) {
      l.offload = offload;
      for (const Recompute recompute : c.limits.recomputes) {
        l.recompute = recompute;
        for (std::int64_t layers = -1; layers < (recompute == Recompute::full ? depth : 0); ++layers) {
          if (layers == 0) { continue; }
          l.layers_recomputed = layers;
          look(l);
        }
      }
    }
  };
  const auto zeros = [&](Layout l) {
    for (const Zero zero : c.limits.zeros) {
      l.zero = zero;
      for (const std::int64_t shard : std::set<std::int64_t>{0, c.island.chips_per_node / l.tp, c.island.domain / l.tp}) {
        l.shard = shard;
        if (shard == 0 || (zero != Zero::none && shard > 1 && shard < l.dp * l.cp)) {
          if (fault_of(l, c.model, c.run, c.island).empty()) { recomputes(l); }
        }
      }
    }
  };
  const auto pipelines = [&](Layout l) {
    for (const Schedule schedule : c.limits.schedules) {
      l.schedule = schedule;
      for (l.interleave = 1; l.interleave <= depth; ++l.interleave) {
        l.zero = Zero::none;
        l.shard = 0;
        if (fault_of(l, c.model, c.run, c.island).empty()) { zeros(l); }
      }
    }
  };
  Layout l;
  for (const Precision precision : c.limits.precisions) {
    l.precision = precision;
    for (l.tp = 1; l.tp <= n; ++l.tp) {
      for (l.cp = 1; l.tp * l.cp <= n; ++l.cp) {
        for (l.pp = 1; l.pp <= depth && l.tp * l.cp * l.pp <= n; ++l.pp) {
          for (l.dp = 1; l.tp * l.cp * l.pp * l.dp <= n; ++l.dp) {
            for (l.micro_batch = 1; l.dp * l.micro_batch <= batch; ++l.micro_batch) {
              if (batch % (l.dp * l.micro_batch) != 0) { continue; }
              for (l.ep = 1; l.ep <= experts; ++l.ep) {
                for (l.etp = 1; l.etp <= l.tp; l.etp += std::max<std::int64_t>(1, l.tp - 1)) {
                  for (const bool parallel : {false, true}) {
                    l.sequence_parallel = parallel;
                    if (l.etp > 1 && experts == 1) { continue; }  // there is nothing to cut
                    if (!parallel || c.limits.sequence_parallel) { pipelines(l); }
                  }
                }
              }
            }
          }
        }
      }
    }
  }
}

TEST(TrainSearch, FindsWhatExhaustiveEnumerationFindsBitForBit) {
  int fitting = 0, tight = 0;
  std::vector<std::uint64_t> seeds(1000);
  std::iota(seeds.begin(), seeds.end(), 1);
  // Where recomputing more makes another stage the slowest and the bubble smaller.
  seeds.insert(seeds.end(), {5722, 10458, 11291, 19167, 19888});
  for (const std::uint64_t seed : seeds) {
    const Case c = random_case(seed);
    TrainEstimator estimator(c.model, c.island, c.stack, c.run);
    const double capacity = estimator.capacity().value;
    std::optional<double> best;
    std::int64_t fit = 0, all = 0;
    every_layout(c, [&](const Layout& l) {
      ++all;
      if (estimator.memory(l).total().value > capacity) { return; }
      ++fit;
      const double seconds = estimator.estimate(l).step.value;
      if (!best || seconds < *best) { best = seconds; }
    });
    TrainEstimator fresh(c.model, c.island, c.stack, c.run);
    SearchCount count;
    const std::vector<Candidate> found = best_layouts(
        {.estimator = fresh, .model = c.model, .run = c.run, .island = c.island, .limits = c.limits, .capacity = capacity}, count);
    ASSERT_EQ(found.empty(), !best.has_value()) << "seed " << seed;
    if (!best) { continue; }
    ++fitting;
    tight += fit < all ? 1 : 0;
    EXPECT_EQ(found[0].seconds, *best) << "seed " << seed << ": " << to_text(found[0].layout);
    EXPECT_EQ(fault_of(found[0].layout, c.model, c.run, c.island), "") << "seed " << seed;
    EXPECT_LE(fresh.memory(found[0].layout).total().value, capacity) << "seed " << seed;
  }
  EXPECT_GE(fitting, 600);  // the cases are not all hopeless, nor all easy
  EXPECT_GE(tight, 250);
}

TEST(TrainSearch, WithoutPruningLooksAtEveryLayoutOnce) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Case c = random_case(seed);
    TrainEstimator estimator(c.model, c.island, c.stack, c.run);
    std::int64_t all = 0;
    // A layout that recomputes as many layers as its stages have is the one that recomputes all: the search names it once.
    c.limits.recompute_by_layer = false;
    every_layout(c, [&](const Layout& l) { all += l.layers_recomputed < 0 ? 1 : 0; });
    SearchCount count;
    (void)best_layouts({.estimator = estimator,
                        .model = c.model,
                        .run = c.run,
                        .island = c.island,
                        .limits = c.limits,
                        .capacity = estimator.capacity().value,
                        .prune = false},
                       count);
    EXPECT_EQ(count.evaluated, all) << "seed " << seed;
  }
}

TEST(TrainSearch, TheSameQuestionHasTheSameAnswer) {
  const Case c = random_case(7);
  std::vector<Candidate> first;
  for (int turn = 0; turn < 2; ++turn) {
    TrainEstimator estimator(c.model, c.island, c.stack, c.run);
    SearchCount count;
    const std::vector<Candidate> found = best_layouts({.estimator = estimator,
                                                       .model = c.model,
                                                       .run = c.run,
                                                       .island = c.island,
                                                       .limits = c.limits,
                                                       .capacity = estimator.capacity().value,
                                                       .keep = 10},
                                                      count);
    ASSERT_TRUE(std::is_sorted(found.begin(), found.end(), better));
    if (turn == 0) { first = found; }
    ASSERT_EQ(found.size(), first.size());
    for (std::size_t i = 0; i < found.size(); ++i) { EXPECT_EQ(found[i].layout, first[i].layout); }
  }
  EXPECT_FALSE(first.empty());
}

TEST(TrainSearch, DivisorsAreAscendingAndWhole) {
  EXPECT_EQ(divisors(1), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(divisors(36), (std::vector<std::int64_t>{1, 2, 3, 4, 6, 9, 12, 18, 36}));
  EXPECT_EQ(divisors(97), (std::vector<std::int64_t>{1, 97}));
}

}  // namespace
}  // namespace centrale::planning
