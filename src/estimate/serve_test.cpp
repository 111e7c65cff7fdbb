// SPDX-License-Identifier: Apache-2.0
#include "estimate/serve.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "model/read.hpp"

namespace centrale {
namespace {

Island island(std::string_view chip, std::int64_t chips = 64) {
  return fleet_of(*default_catalogue().chip(chip), chips, default_catalogue()).islands.front();
}
const WeightFormat* format(std::string_view name) { return weight_format_like(name); }
Engine engine(std::string_view key) { return *engine_named(key, default_engines()); }

TEST(Serve, OneSequenceDecodesAtTheSpeedOfItsWeights) {
  // Llama 3 8B at 16 bit: 15 GB of weights without the embedding, over 3.35 TB/s, are 4.5 ms; published engines take 6 to 8.
  const Model model = *catalogue_model("llama-3-8b");
  const ServeEstimator estimator(model, island("h100-sxm"), engine("tensorrt-llm"), {.weights = format("bf16")});
  const double ms = estimator.iteration({.decoding = 1, .context = 500}).total().value * 1e3;
  EXPECT_GT(ms, 4.5);
  EXPECT_LT(ms, 8.5);
}

TEST(Serve, TheCacheHasTheBytesThatItsModelSays) {
  // Llama 3 70B: 80 layers x 2 x 8 heads x 128 x 2 bytes are 320 KiB a token, an eighth of it on each of eight ranks; 16 ranks hold each of
  // the 8 heads twice.
  const Model model = *catalogue_model("llama-3-70b");
  const auto per_token = [&](std::int64_t tp, double bytes) {
    const ServeEstimator e(model, island("h100-sxm"), engine("vllm"), {.tp = tp, .weights = format("fp8"), .cache_bytes = bytes});
    return e.memory().cache_per_token.value;
  };
  EXPECT_DOUBLE_EQ(per_token(1, 2), 327680);
  EXPECT_DOUBLE_EQ(per_token(8, 2), 40960);
  EXPECT_DOUBLE_EQ(per_token(8, 1), 20480);
  EXPECT_DOUBLE_EQ(per_token(16, 2), 40960);
  // MLA keeps 512 + 64 numbers a layer, whole on each rank.
  const Model deepseek = *catalogue_model("deepseek-v3");
  const ServeEstimator e(deepseek, island("h200-sxm"), engine("sglang"), {.tp = 8, .weights = format("fp8")});
  EXPECT_DOUBLE_EQ(e.memory().cache_per_token.value, 61 * 576 * 2);
}

TEST(Serve, WeightsFillWhatTheyShould) {
  // DeepSeek-V3: 671e9 parameters at 8 bit over 8 chips are 84 GB; embedding and output matrix are at 16.
  const ServeEstimator e(*catalogue_model("deepseek-v3"), island("h200-sxm"), engine("sglang"), {.tp = 8, .weights = format("fp8")});
  EXPECT_NEAR(e.memory().weights.value, 671e9 / 8, 0.04 * 671e9 / 8);
  const ServeEstimator spread(*catalogue_model("deepseek-v3"), island("h200-sxm"), engine("sglang"),
                              {.tp = 1, .dp = 8, .ep = 8, .weights = format("fp8")});
  EXPECT_GT(spread.memory().weights.value, e.memory().weights.value) << "attention is held by each rank";
}

TEST(Serve, MoreWorkNeverTakesLess) {
  std::mt19937 random(3);
  const std::vector<std::string_view> models{"llama-3.1-8b", "mixtral-8x7b", "deepseek-v3", "qwen3-next-80b-a3b", "gemma-2-9b"};
  const std::vector<std::string_view> chips{"h100-sxm", "a100-sxm-80gb", "mi300x", "ascend-910b1"};
  const std::vector<std::string_view> formats{"bf16", "fp8", "nvfp4"};
  for (int round = 0; round < 40; ++round) {
    const Model model = *catalogue_model(models[random() % models.size()]);
    const ServeLayout layout{.tp = std::int64_t{1} << (random() % 4), .weights = format(formats[random() % formats.size()])};
    const ServeEstimator e(model, island(chips[random() % chips.size()]), engine("vllm"), layout);
    const double batch = std::exp2(random() % 10), context = std::exp2(7 + random() % 8), tokens = std::exp2(4 + random() % 9);
    const auto time = [&](double b, double c, double p) {
      return e.iteration({.prompts = p > 0 ? 1.0 : 0.0, .prompt_tokens = p, .decoding = b, .context = c}).total().value;
    };
    // Tiles make steps of a few percent, which libraries have too.
    constexpr double kStep = 0.97;
    ASSERT_GE(time(2 * batch, context, 0), kStep * time(batch, context, 0)) << round;
    ASSERT_GE(time(batch, 2 * context, 0), time(batch, context, 0)) << round;
    ASSERT_GE(time(batch, context, tokens), kStep * time(batch, context, 0)) << round;
    ASSERT_GE(time(batch, context, 2 * tokens), kStep * time(batch, context, tokens)) << round;
    ASSERT_LE(time(2 * batch, context, 0), 2.1 * time(batch, context, 0)) << "a double batch is no worse than two " << round;
  }
}

TEST(Serve, NothingBeatsTheRoof) {
  const Model model = *catalogue_model("llama-3.1-70b");
  const Island hall = island("h100-sxm");
  for (const std::int64_t tp : {1, 2, 4, 8}) {
    const ServeEstimator e(model, hall, engine("tensorrt-llm"), {.tp = tp, .weights = format("fp8")});
    const double bytes = 69e9 / static_cast<double>(tp);
    EXPECT_GT(e.iteration({.decoding = 1, .context = 10}).total().value, bytes / 3.35e12);
    const double flop = 2 * 69e9 * 8192 / static_cast<double>(tp);
    EXPECT_GT(e.iteration({.prompts = 1, .prompt_tokens = 8192}).total().value, flop / 1979e12);
  }
}

TEST(Serve, ExpertsAreMetOneByOne) {
  // One token meets 8 of 256 experts; 4,096 tokens meet them all: an iteration grows by far less than the tokens do.
  const Model model = *catalogue_model("deepseek-v3");
  const ServeEstimator e(model, island("h200-sxm"), engine("sglang"), {.tp = 8, .weights = format("fp8")});
  const double one = e.iteration({.decoding = 1, .context = 100}).experts.value;
  const double all = e.iteration({.decoding = 512, .context = 100}).experts.value;
  EXPECT_GT(all / one, 10);
  EXPECT_LT(all / one, 60);
}

TEST(Serve, SpeculationPaysAtSmallBatches) {
  const Model model = *catalogue_model("deepseek-v3");
  const Speculation speculation{.draft = 2, .acceptance = 0.8};
  EXPECT_NEAR(speculation.yield(), 1 + 0.8 + 0.64, 1e-12);
  EXPECT_EQ((Speculation{.draft = 0}.yield()), 1);
  const ServeLayout layout{.tp = 8, .weights = format("fp8")};
  const ServeEstimator plain(model, island("h200-sxm"), engine("sglang"), layout);
  const ServeEstimator guessing(model, island("h200-sxm"), engine("sglang"), layout, speculation);
  const IterationWork work{.decoding = 1, .context = 1000};
  EXPECT_LT(guessing.iteration(work).total().value / speculation.yield(), plain.iteration(work).total().value);
  EXPECT_GT(guessing.iteration(work).total().value, plain.iteration(work).total().value);
}

TEST(Serve, WindowsAndStatesDoNotGrowWithContext) {
  const ServeEstimator e(*catalogue_model("qwen3-next-80b-a3b"), island("h100-sxm"), engine("vllm"), {.tp = 4, .weights = format("fp8")});
  const auto held = [&](double tokens) { return e.sequences_held(tokens); };
  // Three of four layers keep a state of fixed size: twice the tokens fill less than twice the memory.
  EXPECT_GT(held(2000), 0.5 * held(1000));
  EXPECT_GT(e.memory().cache_fixed.value, 0);
}

TEST(Serve, LayoutsThatCannotBeSayWhy) {
  const Model dense = *catalogue_model("llama-3.1-8b"), sparse = *catalogue_model("mixtral-8x7b");
  const Island hall = island("h100-sxm", 8);
  EXPECT_EQ(fault_of({.tp = 8}, dense, hall), "");
  EXPECT_EQ(fault_of({.tp = 3}, dense, hall), "tp 3 does not divide 32 heads");
  EXPECT_EQ(fault_of({.tp = 16}, dense, hall), "16 chips, the island has 8");
  EXPECT_EQ(fault_of({.tp = 2, .ep = 2}, dense, hall), "ep without experts");
  EXPECT_EQ(fault_of({.tp = 8, .ep = 3}, sparse, hall), "ep 3 does not divide tp x dp, 8");
  EXPECT_EQ(fault_of({.tp = 0}, dense, hall), "a degree is below 1");
  EXPECT_EQ(to_text(ServeLayout{.tp = 4, .dp = 2, .ep = 8, .weights = format("fp8"), .cache_bytes = 1}), "tp4 dp2 ep8 fp8 cache8");
}

}  // namespace
}  // namespace centrale
