// SPDX-License-Identifier: Apache-2.0
#include "optimizer.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace centrale::trainer {
namespace {

Llama tiny() {
  const ModelConfig config{.vocab_size = 11,
                           .hidden_size = 8,
                           .intermediate_size = 12,
                           .layers = 1,
                           .heads = 2,
                           .kv_heads = 2,
                           .head_dim = 4,
                           .context = 16,
                           .tied = true,
                           .bos = {},
                           .eos = {}};
  return make_llama(config, {}, 1);
}

TEST(AdamW, FollowsTheFormulasOfThePaper) {
  auto model = tiny();
  auto optimizer = make_adamw(model, 0.1);
  const auto matrix = model.weight("model.embed_tokens.weight").storage_offset();
  const auto norm = model.weight("model.norm.weight").storage_offset();
  double expected[2] = {model.flat[matrix].item<double>(), model.flat[norm].item<double>()};
  double mean[2] = {};
  double variance[2] = {};
  for (int t = 1; t <= 5; ++t) {
    const double gradient = 0.3 * t - 0.7;
    const double rate = 0.01 * t;
    model.flat_gradient.fill_(gradient);
    update(model, optimizer, rate);
    for (int i = 0; i < 2; ++i) {
      mean[i] = 0.9 * mean[i] + 0.1 * gradient;
      variance[i] = 0.95 * variance[i] + 0.05 * gradient * gradient;
      const double corrected = mean[i] / (1 - std::pow(0.9, t)) / (std::sqrt(variance[i] / (1 - std::pow(0.95, t))) + 1e-8);
      expected[i] -= rate * (corrected + (i == 0 ? 0.1 * expected[i] : 0));  // norms do not decay
    }
  }
  EXPECT_NEAR(model.flat[matrix].item<double>(), expected[0], 1e-5);
  EXPECT_NEAR(model.flat[norm].item<double>(), expected[1], 1e-5);
}

TEST(AdamW, DecaysMatricesOnly) {
  auto model = tiny();
  auto optimizer = make_adamw(model, 0.5);
  const auto before = model.flat.clone();
  model.flat_gradient.zero_();
  update(model, optimizer, 0.1);
  EXPECT_TRUE(at::allclose(model.weight("model.embed_tokens.weight").view({-1}), 0.95 * before.narrow(0, 0, 11 * 8)));
  EXPECT_TRUE(at::equal(model.weight("model.layers.0.input_layernorm.weight"), at::ones({8})));
}

TEST(Clip, ShortensOnlyWhatIsTooLong) {
  auto model = tiny();
  model.flat_gradient.zero_();
  model.flat_gradient[0] = 3;
  model.flat_gradient[5] = 4;
  EXPECT_DOUBLE_EQ(clip_gradient(model, 10), 5);
  EXPECT_EQ(model.flat_gradient[5].item<float>(), 4);
  EXPECT_DOUBLE_EQ(clip_gradient(model, 1), 5);
  EXPECT_NEAR(model.flat_gradient[5].item<float>(), 0.8, 1e-6);
  EXPECT_NEAR(clip_gradient(model, 0), 1, 1e-6);
}

TEST(Training, LearnsASequenceByHeart) {
  auto model = tiny();
  auto optimizer = make_adamw(model, 0);
  const auto ids = at::tensor({1, 5, 2, 9, 3, 3, 7}, at::kLong).unsqueeze(0);
  const auto targets = at::tensor({5, 2, 9, 3, 3, 7, 10}, at::kLong).unsqueeze(0);
  float loss = 0;
  for (int i = 0; i < 150; ++i) {
    model.flat_gradient.zero_();
    const auto step = loss_sum(model, ids, targets) / 7;
    step.backward();
    loss = step.item<float>();
    if (i == 0) { EXPECT_NEAR(loss, std::log(11.0), 0.3); }
    clip_gradient(model, 1);
    update(model, optimizer, 0.02);
  }
  EXPECT_LT(loss, 0.05);
}

}  // namespace
}  // namespace centrale::trainer
