// SPDX-License-Identifier: Apache-2.0
#include "model/model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "model/read.hpp"

namespace centrale {
namespace {

Model model_named(std::string_view name) {
  auto model = catalogue_model(name);
  EXPECT_TRUE(model) << (model ? "" : model.error().message());
  return model ? *std::move(model) : Model{};
}

std::int64_t sum(const std::vector<Weight>& weights) {
  std::int64_t total = 0;
  for (const Weight& w : weights) { total += w.elements(); }
  return total;
}

double cache_per_token(const Model& model, double bytes) {
  double total = 0;
  for (const std::uint8_t kind : model.layers) { total += cache_bytes_per_token(model.kinds[kind].mixer, bytes).value; }
  return total;
}

/// Counts as the checkpoints have them (safetensors metadata, model cards).
TEST(Parameters, AreExactWhereTheExactCountIsPublished) {
  const struct {
    std::string_view name;
    std::int64_t parameters;
  } published[] = {
      {"llama-2-7b", 6'738'415'616},
      {"llama-2-13b", 13'015'864'320},
      {"llama-2-70b", 68'976'648'192},
      {"llama-3-8b", 8'030'261'248},
      {"llama-3-70b", 70'553'706'496},
      {"llama-3.1-405b", 405'853'388'800},
      {"llama-3.2-1b", 1'235'814'400},
      {"llama-3.2-3b", 3'212'749'824},
      {"codellama-34b", 33'743'970'304},
      {"mistral-7b", 7'241'732'096},
      {"mixtral-8x7b", 46'702'792'704},
      {"mixtral-8x22b", 140'620'634'112},
      {"qwen2.5-7b", 7'615'616'512},
      {"qwen2.5-72b", 72'706'203'648},
      {"qwen3-8b", 8'190'735'360},
      {"qwen3-30b-a3b", 30'532'122'624},
      {"qwen3-235b-a22b", 235'093'634'560},
      {"deepseek-v3", 671'026'419'200},
      {"gemma-2-9b", 9'241'705'984},
      {"gemma-2-27b", 27'227'128'320},
      {"gemma-2b", 2'506'172'416},
      {"gemma-7b", 8'537'680'896},
      {"gpt-2-xl", 1'557'611'200},
      {"gpt-j-6b", 6'050'882'784},
      {"gpt-neox-20b", 20'554'567'680},
      {"bloom-176b", 176'247'271'424},
      {"opt-6.7b", 6'658'473'984},
      {"mpt-7b", 6'649'286'656},
      {"falcon-7b", 6'921'720'704},
      {"falcon-40b", 41'303'293'952},
      {"gpt-oss-20b", 20'914'757'184},
      {"gpt-oss-120b", 116'829'156'672},
      {"dbrx", 131'596'523'520},
      {"smollm2-135m", 134'515'008},
      {"phi-2", 2'779'683'840},
      {"phi-3-mini", 3'821'079'552},
      {"starcoder2-15b", 15'957'889'024},
      {"chatglm3-6b", 6'243'584'000},
      {"command-r-v01", 34'980'831'232},
  };
  for (const auto& row : published) { EXPECT_EQ(parameters(model_named(row.name)), row.parameters) << row.name; }
}

/// Publishers differ in what they count as met by a token.
enum class Counted : unsigned char { all, without_embedding, without_either };

struct Published {
  std::string_view name;
  double total = 0;        // 1e9 parameters, as the model card or paper has it
  double active = 0;       // 0: dense, or the publisher does not say
  double active_step = 0;  // of the last digit of `active`
  Counted counted = Counted::all;
};

// "80B-A3B" and the like are names rather than counts, and are left out.
constexpr Published kPublished[] = {
    {"baichuan2-13b", 13.9},
    {"baichuan2-7b", 7.5},
    {"bloom-176b", 176.2},
    {"chatglm3-6b", 6.24},
    {"codellama-34b", 33.7},
    {"command-r-v01", 35},
    {"dbrx", 132, 36, 1},
    {"deepseek-r1", 671, 36.7, 0.1, Counted::without_embedding},
    {"deepseek-v2", 236, 21, 1},
    {"deepseek-v2-lite", 15.7},
    {"deepseek-v3", 671, 36.7, 0.1, Counted::without_embedding},
    {"deepseek-v3.2", 671},
    {"falcon-40b", 41.3},
    {"falcon-7b", 6.92},
    {"gemma-2-27b", 27.2},
    {"gemma-2-9b", 9.24},
    {"gemma-2b", 2.51},
    {"gemma-3-27b", 27.0},
    {"gemma-7b", 8.54},
    {"glm-4-9b", 9.4},
    {"glm-5", 744, 40, 1, Counted::without_either},
    {"gpt-2-xl", 1.56},
    {"gpt-3-175b", 174.6},
    {"gpt-3-20b", 20.25},  // named by size alone, as the next and the Nemotron-3s of 8B and 22B: 12 L h^2 + (vocabulary + positions) h
    {"gpt-3-5b", 5.05},
    {"gpt-j-6b", 6.05},
    {"gpt-neox-20b", 20.6},
    {"gpt-oss-120b", 116.83, 5.13, 0.01, Counted::without_embedding},
    {"gpt-oss-20b", 20.91, 3.61, 0.01, Counted::without_embedding},
    {"grok-1", 314},
    {"internlm2-20b", 19.86},
    {"kimi-k2", 1030, 32.6, 0.1},  // the checkpoint's; its paper says 1.04e12
    {"kimi-k2.5", 1030, 32.6, 0.1},
    {"llama-13b", 13.0},
    {"llama-2-13b", 13.0},
    {"llama-2-70b", 69.0},
    {"llama-2-7b", 6.74},
    {"llama-3-70b", 70.6},
    {"llama-3-8b", 8.03},
    {"llama-3.1-405b", 405.9},
    {"llama-3.1-70b", 70.6},
    {"llama-3.1-8b", 8.03},
    {"llama-3.2-1b", 1.23},
    {"llama-3.2-3b", 3.21},
    {"llama-7b", 6.7},
    {"minicpm-2b", 2.72},
    {"minimax-m2", 229, 10, 1, Counted::without_either},
    {"minimax-m2.5", 229, 10, 1, Counted::without_either},
    {"mistral-7b", 7.24},
    {"mixtral-8x22b", 141, 39, 1},
    {"mixtral-8x7b", 46.7, 12.9, 0.1},
    {"mpt-30b", 30.0},
    {"mpt-7b", 6.65},
    {"nemotron-3-22b", 21.3},
    {"nemotron-3-8b", 8.54},
    {"nemotron-3-nano-30b-a3b", 31.6, 3.6, 0.1},
    {"nemotron-3-super-120b-a12b", 120.6, 12.7, 0.1},
    {"nemotron-4-340b", 341},
    {"olmo-2-7b", 7.3},
    {"opt-6.7b", 6.66},
    {"phi-2", 2.78},
    {"phi-3-mini", 3.82},
    {"qwen1.5-110b", 111},
    {"qwen1.5-moe-a2.7b", 14.3, 2.7, 0.1},
    {"qwen2-57b-a14b", 57.4, 14, 1},
    {"qwen2.5-0.5b", 0.494},
    {"qwen2.5-32b", 32.8},
    {"qwen2.5-72b", 72.7},
    {"qwen2.5-7b", 7.61},
    {"qwen3-235b-a22b", 235, 22, 1},
    {"qwen3-30b-a3b", 30.5, 3.3, 0.12},  // 3.35, which its card cuts
    {"qwen3-32b", 32.8},
    {"qwen3-8b", 8.19},
    {"qwen3-next-80b-a3b", 80},
    {"qwen3.5-397b-a17b", 397, 17, 1},
    {"smollm2-135m", 0.135},
    {"starcoder2-15b", 16.0},
    {"yi-34b", 34.4},
};

TEST(Parameters, OfEveryCatalogueModelAreWithinOnePercentOfThePublishedCount) {
  std::vector<std::string_view> tabled, shipped;
  for (const Published& row : kPublished) {
    tabled.push_back(row.name);
    const Model model = model_named(row.name);
    EXPECT_NEAR(static_cast<double>(parameters(model)) / 1e9, row.total, 0.01 * row.total) << row.name;
  }
  for (const CatalogueModel& model : catalogue_models()) { shipped.push_back(model.name); }
  EXPECT_THAT(shipped, testing::UnorderedElementsAreArray(tabled));
  EXPECT_GE(shipped.size(), 32U);
}

TEST(Parameters, ThatOneTokenMeetsAreAsPublished) {
  for (const Published& row : kPublished) {
    const Model model = model_named(row.name);
    auto active = active_parameters(model);
    if (row.active == 0) {
      EXPECT_LE(active, parameters(model)) << row.name;
      continue;
    }
    const std::int64_t embedding = model.vocab * model.hidden;
    if (row.counted != Counted::all) { active -= embedding; }
    if (row.counted == Counted::without_either) { active -= embedding; }
    // As near as the published figure is printed, or one percent.
    EXPECT_NEAR(static_cast<double>(active) / 1e9, row.active, std::max(0.01 * row.active, row.active_step / 2)) << row.name;
  }
}

// DeepSeek-V3's notes on its weights: 11.5e9 parameters of the module, shared embedding and output matrix aside.
TEST(Parameters, OfDeepSeekV3sPredictionModule) {
  const Model model = model_named("deepseek-v3");
  EXPECT_EQ(model.mtp_layers, 1);
  EXPECT_NEAR(static_cast<double>(sum(mtp_weights(model))) / 1e9, 11.5, 0.115);
  EXPECT_TRUE(mtp_weights(model_named("llama-3-8b")).empty());
}

TEST(Weights, TiedEmbeddingIsTheOutputMatrixToo) {
  const auto of = [](std::string_view name) {
    std::vector<std::string_view> names;
    for (const Weight& w : outer_weights(model_named(name))) {
      if (w.matrix) { names.push_back(w.name); }
    }
    return names;
  };
  EXPECT_THAT(of("gemma-2-9b"), testing::ElementsAre("embedding"));
  EXPECT_THAT(of("llama-3-8b"), testing::ElementsAre("output"));  // its embedding is a look-up: no GEMM
}

TEST(Weights, OfOneLlamaBlock) {
  const Model model = model_named("llama-3-8b");
  std::vector<std::string> lines;
  for (const Weight& w : weights_of(model, model.block(0))) {
    lines.push_back(std::string(w.name) + " " + std::to_string(w.outputs) + "x" + std::to_string(w.inputs) +
                    (w.split == Split::columns ? " columns"
                     : w.split == Split::rows  ? " rows"
                                               : ""));
  }
  EXPECT_THAT(lines, testing::ElementsAre("norm 4096x1", "norm 4096x1", "q 4096x4096 columns", "k 1024x4096 columns", "v 1024x4096 columns",
                                          "o 4096x4096 rows", "gate 14336x4096 columns", "up 14336x4096 columns", "down 4096x14336 rows"));
}

TEST(Weights, AreCutAtWholeGranulesInEveryCatalogueModel) {
  for (const CatalogueModel& entry : catalogue_models()) {
    const Model model = model_named(entry.name);
    ASSERT_EQ(model.layers.size(), static_cast<std::size_t>(model.depth()));
    for (const Block& block : model.kinds) {
      for (const Weight& w : weights_of(model, block)) {
        EXPECT_GT(w.elements(), 0) << entry.name << " " << w.name;
        EXPECT_LE(w.used, w.copies) << entry.name << " " << w.name;
        EXPECT_EQ((w.split == Split::rows ? w.inputs : w.outputs) % w.granule, 0) << entry.name << " " << w.name;
        EXPECT_TRUE(w.matrix || w.inputs == 1) << entry.name << " " << w.name;
      }
    }
  }
}

TEST(Cache, BytesOfATokenAtSixteenBit) {
  EXPECT_EQ(cache_per_token(model_named("llama-3-70b"), 2), 327'680);
  EXPECT_EQ(cache_per_token(model_named("llama-3-8b"), 2), 131'072);
  EXPECT_EQ(cache_per_token(model_named("llama-3.1-405b"), 2), 516'096);  // DeepSeek-V3 (arXiv:2505.09343), table 1
  EXPECT_EQ(cache_per_token(model_named("qwen2.5-72b"), 2), 327'680);     // the same table
  EXPECT_EQ(cache_per_token(model_named("deepseek-v3"), 2), 70'272);      // the same table
  EXPECT_EQ(cache_per_token(model_named("deepseek-v3"), 1), 35'136);
}

TEST(Cache, OnlyAttentionGrowsWithTheSequence) {
  const Model model = model_named("nemotron-3-nano-30b-a3b");
  EXPECT_EQ(cache_per_token(model, 2), 6 * 2 * 2 * 128 * 2);  // 6 of its 52 layers, 2 key-value heads
  double state = 0;
  for (const std::uint8_t kind : model.layers) { state += state_bytes(model.kinds[kind].mixer, 2).value; }
  // 23 Mamba-2 layers: 64 heads x 64 x 128, and 3 past inputs of a convolution over 64 x 64 + 2 x 8 x 128 channels.
  EXPECT_EQ(state, 23.0 * (64 * 64 * 128 + 3 * (64 * 64 + 2 * 8 * 128)) * 2);
  EXPECT_EQ(state_bytes(model_named("llama-3-8b").block(0).mixer, 2).value, 0);
}

// Narayanan et al. (arXiv:2104.04473), equation 3, without recomputation: 72 B s l h^2 (1 + s/6h + V/12lh) forward and backward; a third of
// it is forward, and causal attention does half of what they count.
TEST(ForwardFlop, IsTheClosedFormOfAGptStyleModel) {
  const Model model = model_named("gpt-3-175b");
  const double s = 2048, l = 96, h = 12288, v = 50257;
  const double wanted = 24 * s * l * h * h * (1 + s / (12 * h) + v / (12 * l * h));
  EXPECT_NEAR(forward_flop(model, 2048).value / wanted, 1, 1e-9);
}

TEST(ForwardFlop, ThreeTimesOverAllTokensIsThePublishedTrainingCost) {
  const auto training = [](std::string_view name, std::int64_t sequence, double tokens) {
    return 3 * forward_flop(model_named(name), sequence).value / static_cast<double>(sequence) * tokens;
  };
  // GPT-3 (arXiv:2005.14165), table D.1: attention is not counted there, so ours is a little more.
  EXPECT_NEAR(training("gpt-3-175b", 2048, 300e9) / 3.14e23, 1.01, 0.01);
  // Llama 3 (arXiv:2407.21783), section 3.2.
  EXPECT_NEAR(training("llama-3.1-405b", 8192, 15.6e12) / 3.8e25, 1.03, 0.02);
  // DeepSeek-V3 (arXiv:2505.09343), table 2: GFLOP a token at 4,096 tokens, attention causal, of experts those that are used.
  EXPECT_NEAR(training("deepseek-v3", 4096, 1) / 250e9, 1, 0.01);
  EXPECT_NEAR(training("deepseek-v2", 4096, 1) / 155e9, 1, 0.01);
  EXPECT_NEAR(training("llama-3.1-405b", 4096, 1) / 2448e9, 1, 0.015);
}

TEST(AttentionFlop, OfOneToken) {
  EXPECT_EQ(attention_flop(model_named("llama-3-8b").block(0).mixer, 1000).value, 2.0 * 2 * 32 * 128 * 1000);
  const Mixer gemma = model_named("gemma-2-9b").block(0).mixer;
  EXPECT_EQ(gemma.window, 4096);
  EXPECT_EQ(attention_flop(gemma, 10'000).value, attention_flop(gemma, 4096).value);
  // DeepSeek-V3.2: the indexer looks at all tokens, attention at 2,048 of them.
  const Mixer sparse = model_named("deepseek-v3.2").block(0).mixer;
  EXPECT_EQ(attention_flop(sparse, 100'000).value, 2.0 * 128 * (128 + 64 + 128) * 2048 + 2.0 * 64 * 128 * 100'000);
}

// A token in the middle of its own place: the sum over tokens is then the integral, which causal_attention_flop takes in two steps.
TEST(AttentionFlop, OverACausalSequenceIsTheSumOverItsTokens) {
  std::mt19937_64 random(20'251);
  for (int round = 0; round < 200; ++round) {
    Mixer mixer;
    mixer.kind = random() % 2 == 0 ? MixerKind::attention : MixerKind::latent;
    mixer.heads = static_cast<std::int64_t>(1 + random() % 64);
    mixer.head_dim = mixer.nope_dim = mixer.rope_dim = mixer.value_dim = static_cast<std::int64_t>(1 + random() % 128);
    mixer.window = mixer.index_tokens = static_cast<std::int64_t>(random() % 300);
    mixer.index_heads = static_cast<std::int64_t>(random() % 3);
    mixer.index_dim = 16;
    const auto sequence = static_cast<int>(1 + random() % 500);
    double by_token = 0;
    for (int token = 0; token < sequence; ++token) { by_token += attention_flop(mixer, token + 0.5).value; }
    ASSERT_NEAR(causal_attention_flop(mixer, sequence).value / by_token, 1, 1e-9) << "round " << round;
  }
}

}  // namespace
}  // namespace centrale
