// SPDX-License-Identifier: Apache-2.0
#include "estimate/train.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "estimate/operators.hpp"
#include "fleet/fleet.hpp"
#include "model/read.hpp"

namespace centrale {
namespace {

using ::testing::HasSubstr;

Island island_of_h100s(std::int64_t chips) {
  return fleet_of(*default_catalogue().chip("h100-sxm"), chips, default_catalogue()).islands.front();
}

Stack stack(std::string_view key) { return *stack_named(key, default_stacks()); }

Model model(std::string_view name) { return *catalogue_model(name); }

/// A stack that hides nothing and adds nothing, so that closed forms hold.
Stack plain() {
  Stack s;
  s.step = Seconds{0};
  s.tp_overlap = s.cp_overlap = s.dp_overlap = s.overlap_drag = 0;
  return s;
}

TEST(Train, PartsAddUpToTheStep) {
  TrainEstimator estimator(model("llama-3-70b"), island_of_h100s(64), stack("megatron-core"), {.sequence = 8192, .global_batch = 128});
  const StepEstimate e =
      estimator.estimate({.tp = 4, .dp = 4, .pp = 4, .interleave = 5, .zero = Zero::optimizer, .sequence_parallel = true});
  EXPECT_DOUBLE_EQ(e.step.value, e.parts.total().value);
  EXPECT_EQ(e.microbatches, 32);
  EXPECT_GT(e.mfu, 0.3);
  EXPECT_LT(e.mfu, 0.7);
  EXPECT_NEAR(e.tokens.value, 128 * 8192 / e.step.value, 1e-6);
}

// arXiv:2205.05198, equations 2 and 4: a layer keeps s b h (10 + 24/t + 5 a s / (h t)) bytes, with sequence parallelism s b h (34 + 5 a s /
// h) / t.
TEST(Train, ActivationsAreThoseOfTheClosedForm) {
  Model gpt = model("gpt-3-175b");
  gpt.dropout = 0.1;
  Stack unfused = plain();
  unfused.flash = false;
  const double s = 2048, b = 2, h = 12288, a = 96, t = 8, layers = 96;
  for (const bool sequence_parallel : {false, true}) {
    TrainEstimator estimator(gpt, island_of_h100s(8), unfused, {.sequence = 2048, .global_batch = 2});
    const Memory m = estimator.memory({.tp = 8, .micro_batch = 2, .sequence_parallel = sequence_parallel});
    const double layer = sequence_parallel ? s * b * h / t * (34 + 5 * a * s / h) : s * b * h * (10 + 24 / t + 5 * a * s / (h * t));
    EXPECT_NEAR(m.activations.value, layers * layer, 0.001 * layers * layer);
  }
}

TEST(Train, FullRecomputationKeepsTheInputsOnly) {
  TrainEstimator estimator(model("gpt-3-175b"), island_of_h100s(8), plain(), {.sequence = 2048, .global_batch = 1});
  Layout layout{.tp = 8, .recompute = Recompute::full};
  EXPECT_DOUBLE_EQ(estimator.memory(layout).activations.value, 96.0 * 2048 * 12288 * 2);
  const StepEstimate full = estimator.estimate(layout);
  layout.recompute = Recompute::none;
  const StepEstimate none = estimator.estimate(layout);
  EXPECT_NEAR((full.step - none.step).value, (none.parts.forward + none.parts.tp * (1.0 / 2)).value, 0.05 * none.parts.forward.value);
  layout.recompute = Recompute::full;
  layout.layers_recomputed = 48;
  EXPECT_NEAR(estimator.estimate(layout).parts.recompute.value, full.parts.recompute.value / 2, 1e-9);
}

TEST(Train, WeightsGradientsAndOptimizerAreDividedAsZeroSays) {
  const Model m = model("llama-3-8b");
  const auto n = static_cast<double>(parameters(m));
  TrainEstimator estimator(m, island_of_h100s(8), plain(), {.sequence = 4096, .global_batch = 8});
  const auto memory = [&](Zero zero) { return estimator.memory({.dp = 8, .zero = zero}); };
  EXPECT_NEAR(memory(Zero::none).weights.value, 2 * n, 1);
  EXPECT_NEAR(memory(Zero::none).gradients.value, 4 * n, 1);
  EXPECT_NEAR(memory(Zero::none).optimizer.value, 12 * n, 1);
  EXPECT_NEAR(memory(Zero::optimizer).optimizer.value, 12 * n / 8, 1);
  EXPECT_NEAR(memory(Zero::optimizer).gradients.value, 4 * n, 1);
  EXPECT_NEAR(memory(Zero::gradients).gradients.value, 4 * n / 8, 1);
  EXPECT_NEAR(memory(Zero::weights).weights.value, 2 * n / 8, 1);
}

TEST(Train, ExpertsAreSpreadOverTheirRanks) {
  const Model m = model("mixtral-8x7b");
  TrainEstimator estimator(m, island_of_h100s(8), plain(), {.sequence = 4096, .global_batch = 8});
  const double whole = estimator.memory({.dp = 8}).weights.value, spread = estimator.memory({.dp = 8, .ep = 8}).weights.value;
  const double experts = 32.0 * 8 * 3 * 4096 * 14336 * 2;
  EXPECT_NEAR(whole - spread, experts * 7 / 8, 1);
}

// arXiv:2104.04473, section 2.2: m micro-batches take (m + (p - 1) / v) times one through a stage, where stages are alike.
TEST(Train, ThePipelineIsTheClosedForm) {
  Model m = model("llama-2-7b");
  m.vocab = 128;  // a head that weighs next to nothing
  Island island = island_of_h100s(32);
  TrainEstimator estimator(m, island, plain(), {.sequence = 4096, .global_batch = 64});
  for (const std::int64_t v : {1, 2, 4}) {
    const StepEstimate e = estimator.estimate({.pp = 8, .interleave = v});
    const double stage = (e.parts.forward + e.parts.backward).value / 64;
    EXPECT_NEAR(e.parts.bubble.value, stage * 7 / static_cast<double>(v), 0.01 * stage * 7);
  }
  const StepEstimate zero_bubble = estimator.estimate({.pp = 8, .schedule = Schedule::zero_bubble});
  EXPECT_LT(zero_bubble.parts.bubble, estimator.estimate({.pp = 8}).parts.bubble);
}

TEST(Train, InterleavedStagesHoldMoreActivations) {
  TrainEstimator estimator(model("llama-2-70b"), island_of_h100s(64), plain(), {.sequence = 4096, .global_batch = 64});
  const ByteCount plain_stage = estimator.memory({.tp = 8, .pp = 8}).activations;
  const ByteCount interleaved = estimator.memory({.tp = 8, .pp = 8, .interleave = 5}).activations;
  // 1 + (p - 1) / (p v) of the plain schedule's.
  EXPECT_NEAR(interleaved / plain_stage, 1 + 7.0 / 40, 0.01);
}

TEST(Train, ARememberedLayoutIsTheSameAsAFreshOne) {
  const TrainRun run{.sequence = 4096, .global_batch = 256};
  const Model m = model("qwen3-30b-a3b");
  TrainEstimator warm(m, island_of_h100s(64), stack("megatron-core"), run);
  std::mt19937_64 random(11);  // NOLINT: a fixed seed
  int compared = 0;
  for (int i = 0; i < 3000; ++i) {
    const auto power = [&](int most) { return std::int64_t{1} << (random() % static_cast<unsigned>(most + 1)); };
    Layout l{.tp = power(3), .cp = power(1), .dp = power(6), .pp = power(3), .ep = power(5), .micro_batch = power(2)};
    l.zero = static_cast<Zero>(random() % 4);
    l.recompute = static_cast<Recompute>(random() % 3);
    l.precision = random() % 2 == 0 ? Precision::bf16 : Precision::fp8;
    if (!fault_of(l, m, run, island_of_h100s(64)).empty()) { continue; }
    TrainEstimator cold(m, island_of_h100s(64), stack("megatron-core"), run);
    const StepEstimate a = warm.estimate(l), b = cold.estimate(l);
    ASSERT_EQ(a.step, b.step) << to_text(l);
    ASSERT_EQ(a.memory.total(), b.memory.total()) << to_text(l);
    ASSERT_EQ(a.memory.total(), warm.memory(l).total()) << to_text(l);
    ASSERT_GE(a.step, warm.lower_bound(l.chips(), l.precision)) << to_text(l);
    ASSERT_TRUE(std::isfinite(a.step.value) && a.step.value > 0) << to_text(l);
    ++compared;
  }
  EXPECT_GT(compared, 100);
}

TEST(Train, AdaptersNeedNoGradientOfTheRest) {
  const Model m = model("llama-2-70b");
  TrainEstimator whole(m, island_of_h100s(8), stack("megatron-core"), {.sequence = 4096, .global_batch = 8});
  TrainEstimator adapters(m, island_of_h100s(8), stack("megatron-core"), {.sequence = 4096, .global_batch = 8, .lora_rank = 16});
  const Layout layout{.tp = 8, .sequence_parallel = true};
  EXPECT_LT(adapters.estimate(layout).step.value, 0.85 * whole.estimate(layout).step.value);
  EXPECT_LT(adapters.memory(layout).optimizer.value, 0.01 * whole.memory(layout).optimizer.value);
}

TEST(Train, SlowerLinksAndSmallerBatchesNeverHelp) {
  const Model m = model("llama-3-8b");
  Island slow = island_of_h100s(64);
  slow.network.bandwidth *= 0.25;
  const TrainRun run{.sequence = 4096, .global_batch = 128};
  const Layout layout{.dp = 64, .zero = Zero::weights};
  TrainEstimator fast(m, island_of_h100s(64), stack("fsdp"), run), slower(m, slow, stack("fsdp"), run);
  EXPECT_LT(fast.estimate(layout).step, slower.estimate(layout).step);
  EXPECT_GT(slower.estimate(layout).parts.dp.value, 0);
}

TEST(Train, FaultsSayWhichRuleIsBroken) {
  const Model m = model("llama-3-8b");
  const TrainRun run{.sequence = 4096, .global_batch = 64};
  const Island island = island_of_h100s(64);
  EXPECT_EQ(fault_of({.tp = 8, .dp = 8}, m, run, island), "");
  EXPECT_THAT(fault_of({.tp = 3}, m, run, island), HasSubstr("tp 3 does not divide 32 heads"));
  EXPECT_THAT(fault_of({.dp = 128}, m, run, island), HasSubstr("needs 128 chips, there are 64"));
  EXPECT_THAT(fault_of({.dp = 8, .ep = 2}, m, run, island), HasSubstr("experts"));
  EXPECT_THAT(fault_of({.pp = 40}, m, run, island), HasSubstr("32 layers do not fill 40 chunks"));
  EXPECT_THAT(fault_of({.dp = 48}, m, run, island), HasSubstr("does not divide a batch of 64"));
  EXPECT_THAT(fault_of({.micro_batch = 0}, m, run, island), HasSubstr("micro-batch is 0"));
}

TEST(Train, LayoutsReadAsPeopleWriteThem) {
  EXPECT_EQ(to_text({.tp = 8,
                     .dp = 128,
                     .pp = 16,
                     .interleave = 2,
                     .zero = Zero::optimizer,
                     .recompute = Recompute::full,
                     .precision = Precision::fp8,
                     .sequence_parallel = true}),
            "tp8 pp16 dp128 v2 mb1 sp zero1 recompute=full fp8");
}

TEST(Stacks, TheCataloguesStacksAreSound) {
  EXPECT_GE(default_stacks().size(), 15U);
  EXPECT_EQ(default_stacks().back().key, "generic");
}

TEST(Stacks, ErrorsNameTheLineAndTheKey) {
  const auto bad = read_stacks("stacks:\n  - {key: mine, name: Mine, source: here, tp_overlap: 2}\n", "mine.yaml");
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().message(), "mine.yaml:2: stack 'mine': tp_overlap is 2, wants 0 to 1");
  const auto unknown = stack_named("megatron-cor", default_stacks());
  ASSERT_FALSE(unknown.has_value());
  EXPECT_THAT(unknown.error().message(), HasSubstr("nearest: megatron-core"));
  EXPECT_FALSE(read_stacks("stacks:\n  - {key: a, name: A, source: s}\n  - {key: a, name: A, source: s}\n", "x").has_value());
}

}  // namespace
}  // namespace centrale
