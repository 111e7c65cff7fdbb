// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "formats/file.hpp"
#include "weights.hpp"

namespace centrale::trainer {
namespace {

ModelConfig small() {
  return {.vocab_size = 37,
          .hidden_size = 24,
          .intermediate_size = 40,
          .layers = 2,
          .heads = 6,
          .kv_heads = 2,
          .head_dim = 4,
          .context = 64,
          .rms_norm_eps = 1e-5,
          .rope_theta = 100,
          .initializer_range = 0.3,
          .tied = false,
          .bos = {},
          .eos = {}};
}

using Row = std::vector<double>;

Row row_of(const at::Tensor& tensor) {
  const auto flat = tensor.detach().to(at::kDouble).contiguous().view({-1});
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

/// y = W x, W as the files have it: [out, in].
Row multiply(const Llama& model, const std::string& name, const Row& x) {
  const auto& weight = model.weight(name);
  const auto w = row_of(weight);
  Row y(static_cast<std::size_t>(weight.size(0)));
  for (std::size_t o = 0; o < y.size(); ++o) {
    for (std::size_t i = 0; i < x.size(); ++i) y[o] += w[o * x.size() + i] * x[i];
  }
  return y;
}

Row norm(const Llama& model, const std::string& name, const Row& x) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + model.config.rms_norm_eps);
  const auto w = row_of(model.weight(name));
  Row y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * w[i];
  return y;
}

void turn(Row& x, std::size_t heads, std::size_t dim, double position, double theta) {
  for (std::size_t h = 0; h < heads; ++h) {
    for (std::size_t i = 0; i < dim / 2; ++i) {
      const double angle = position * std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
      double& a = x[h * dim + i];
      double& b = x[h * dim + i + dim / 2];
      const double turned = a * std::cos(angle) - b * std::sin(angle);
      b = b * std::cos(angle) + a * std::sin(angle);
      a = turned;
    }
  }
}

void add(Row& x, const Row& y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

/// The paper's formulas, one number after another, in double precision; shares no code with the model.
std::vector<Row> naive_forward(const Llama& model, const std::vector<std::int64_t>& ids) {
  const auto& c = model.config;
  const auto dim = static_cast<std::size_t>(c.head_dim);
  const auto heads = static_cast<std::size_t>(c.heads);
  const auto kv_heads = static_cast<std::size_t>(c.kv_heads);
  const auto width = static_cast<std::size_t>(c.hidden_size);
  const auto table = row_of(model.weight("model.embed_tokens.weight"));
  std::vector<Row> x;
  for (const auto id : ids) {
    const auto start = table.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(id) * width);
    x.emplace_back(start, start + static_cast<std::ptrdiff_t>(width));
  }
  for (std::int64_t layer = 0; layer < c.layers; ++layer) {
    const auto name = "model.layers." + std::to_string(layer) + ".";
    std::vector<Row> keys;
    std::vector<Row> values;
    for (std::size_t t = 0; t < x.size(); ++t) {
      const auto n = norm(model, name + "input_layernorm.weight", x[t]);
      auto q = multiply(model, name + "self_attn.q_proj.weight", n);
      keys.push_back(multiply(model, name + "self_attn.k_proj.weight", n));
      values.push_back(multiply(model, name + "self_attn.v_proj.weight", n));
      turn(q, heads, dim, static_cast<double>(t), c.rope_theta);
      turn(keys.back(), kv_heads, dim, static_cast<double>(t), c.rope_theta);
      Row mixed(heads * dim);
      for (std::size_t h = 0; h < heads; ++h) {
        const auto shared = h / (heads / kv_heads) * dim;
        Row weights;
        double total = 0;
        for (std::size_t s = 0; s <= t; ++s) {
          double score = 0;
          for (std::size_t i = 0; i < dim; ++i) score += q[h * dim + i] * keys[s][shared + i];
          weights.push_back(std::exp(score / std::sqrt(static_cast<double>(dim))));
          total += weights.back();
        }
        for (std::size_t s = 0; s <= t; ++s) {
          for (std::size_t i = 0; i < dim; ++i) mixed[h * dim + i] += weights[s] / total * values[s][shared + i];
        }
      }
      // Keys and values of this layer are complete up to t before x[t] changes, and later ones see only their own x.
      add(x[t], multiply(model, name + "self_attn.o_proj.weight", mixed));
    }
    for (auto& row : x) {
      const auto n = norm(model, name + "post_attention_layernorm.weight", row);
      auto gate = multiply(model, name + "mlp.gate_proj.weight", n);
      const auto up = multiply(model, name + "mlp.up_proj.weight", n);
      for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      add(row, multiply(model, name + "mlp.down_proj.weight", gate));
    }
  }
  std::vector<Row> logits;
  for (const auto& row : x) {
    logits.push_back(multiply(model, c.tied ? "model.embed_tokens.weight" : "lm_head.weight", norm(model, "model.norm.weight", row)));
  }
  return logits;
}

at::Tensor ids_tensor(const std::vector<std::int64_t>& ids) { return at::tensor(ids, at::kLong).unsqueeze(0); }

class Forward : public ::testing::TestWithParam<bool> {};
TEST_P(Forward, IsThePaperInDoublePrecision) {
  auto config = small();
  config.tied = GetParam();
  auto model = make_llama(config, {}, 5);
  const std::vector<std::int64_t> ids{3, 1, 4, 1, 5, 9, 2, 6, 36, 0};
  const auto logits = forward(model, ids_tensor(ids));
  const auto expected = naive_forward(model, ids);
  double largest = 0;
  for (std::size_t t = 0; t < ids.size(); ++t) {
    const auto row = row_of(logits[0][static_cast<std::int64_t>(t)]);
    for (std::size_t i = 0; i < row.size(); ++i) {
      EXPECT_NEAR(row[i], expected[t][i], 2e-4);
      largest = std::max(largest, std::abs(row[i]));
    }
  }
  EXPECT_GT(largest, 0.5);  // the comparison is of something
}
INSTANTIATE_TEST_SUITE_P(Embeddings, Forward, ::testing::Bool());

TEST(Model, DoesNotLookAhead) {
  auto model = make_llama(small(), {}, 1);
  const auto a = forward(model, ids_tensor({1, 2, 3, 4, 5}));
  const auto b = forward(model, ids_tensor({1, 2, 3, 30, 31}));
  EXPECT_TRUE(at::allclose(a.slice(1, 0, 3), b.slice(1, 0, 3), 1e-5, 1e-6));
  EXPECT_FALSE(at::allclose(a.slice(1, 3), b.slice(1, 3), 1e-2, 1e-2));
}

TEST(Model, SequencesOfABatchDoNotMix) {
  auto model = make_llama(small(), {}, 1);
  const auto both = forward(model, at::tensor({1, 2, 3, 7, 8, 9}, at::kLong).view({2, 3}));
  EXPECT_TRUE(at::allclose(both[1], forward(model, ids_tensor({7, 8, 9}))[0], 1e-5, 1e-6));
}

TEST(Model, GradientIsTheSlopeOfTheLoss) {
  auto model = make_llama(small(), {}, 3);
  const auto ids = ids_tensor({1, 2, 3, 4, 5, 6});
  const auto targets = ids_tensor({2, 3, 4, 5, 6, 7});
  model.flat_gradient.zero_();
  loss_sum(model, ids, targets).backward();
  ASSERT_TRUE(model.weight("model.norm.weight").grad().data_ptr() >= model.flat_gradient.data_ptr());
  // Along the gradient itself the slope is its squared length.
  at::NoGradGuard no_grad;
  const double squared = model.flat_gradient.to(at::kDouble).square().sum().item<double>();
  const double step = 1e-3 / std::sqrt(squared);
  const auto before = model.flat.clone();
  model.flat.add_(model.flat_gradient, step);
  const double up = loss_sum(model, ids, targets).item<double>();
  model.flat.copy_(before).sub_(model.flat_gradient, step);
  const double down = loss_sum(model, ids, targets).item<double>();
  EXPECT_NEAR((up - down) / (2 * step) / squared, 1, 0.02);
  EXPECT_GT(squared, 0.01);
}

TEST(Model, SeedDecidesTheWeights) {
  const auto a = make_llama(small(), {}, 1);
  EXPECT_TRUE(at::equal(a.flat, make_llama(small(), {}, 1).flat));
  EXPECT_FALSE(at::equal(a.flat, make_llama(small(), {}, 2).flat));
}

TEST(Model, Bf16StaysNearFp32) {
  auto exact = make_llama(small(), {}, 1);
  auto rough = make_llama(small(), {at::kCPU, Precision::bf16}, 1);
  const auto ids = ids_tensor({1, 2, 3, 4, 5, 6, 7, 8});
  const auto a = forward(exact, ids);
  const auto b = forward(rough, ids);
  EXPECT_EQ(b.scalar_type(), at::kFloat);
  EXPECT_FALSE(at::equal(a, b));
  EXPECT_LT((a - b).abs().max().item<double>(), 0.05 * a.abs().max().item<double>());
}

TEST(Rope, TurnsByTheDistanceAlone) {
  // q at m and k at n: the product depends on m-n, which is what rotary embedding is for (Su et al. 2021, section 3.2).
  const auto q = at::randn({1, 1, 1, 8});
  const auto k = at::randn({1, 1, 1, 8});
  const auto at_position = [](const at::Tensor& x, double position) {
    const auto angles = position * at::pow(10000.0, -at::arange(4, at::kFloat) / 4).unsqueeze(0);
    return rotate(x, angles.cos(), angles.sin());
  };
  const auto product = [&](double m, double n) { return (at_position(q, m) * at_position(k, n)).sum().item<double>(); };
  EXPECT_NEAR(product(5, 3), product(12, 10), 1e-4);
  EXPECT_NEAR(at_position(q, 9).norm().item<double>(), q.norm().item<double>(), 1e-5);
}

TEST(Weights, GgufRowsGoThereAndBack) {
  const auto weight = at::arange(2 * 6 * 3, at::kFloat).view({12, 3});
  const auto there = rows_to_gguf(weight, 2);
  // Head of 6 rows: pairs (0,3) (1,4) (2,5) become neighbours.
  EXPECT_TRUE(at::equal(there.slice(0, 0, 6), weight.index_select(0, at::tensor({0, 3, 1, 4, 2, 5}, at::kLong))));
  EXPECT_TRUE(at::equal(rows_from_gguf(there, 2), weight));
}

class Folder : public ::testing::Test {
 protected:
  void SetUp() override {
    path = std::filesystem::temp_directory_path() / ("trainer-model-" + std::to_string(::getpid()));
    std::filesystem::create_directories(path);
    vocabulary = *train_vocabulary("some light and some more light", 280);
  }
  void TearDown() override { std::filesystem::remove_all(path); }
  std::filesystem::path path;
  Vocabulary vocabulary;
};

TEST_F(Folder, WeightsSurviveSafetensorsAndGguf) {
  auto config = small();
  config.vocab_size = 300;  // more than the tokenizer has
  const auto model = make_llama(config, {}, 9);
  ASSERT_TRUE(save_safetensors(model, path / "model.safetensors"));
  ASSERT_TRUE(replace_text(path / "config.json", config_to_json(config)));
  ASSERT_TRUE(save_gguf(model, vocabulary, GgufWeights::f32, "small", path / "f32.gguf"));
  ASSERT_TRUE(save_gguf(model, vocabulary, GgufWeights::f16, "small", path / "f16.gguf"));
  for (const auto& [name, tolerance] : {std::pair{"", 0.0}, {"f32.gguf", 0.0}, {"f16.gguf", 1e-3}}) {
    const auto files = open_model(std::string_view(name).empty() ? path : path / name);
    ASSERT_TRUE(files) << files.error().message();
    auto again = make_llama(files->config, {}, 1);
    ASSERT_TRUE(load_weights(*files, again));
    EXPECT_LE((again.flat - model.flat).abs().max().item<double>(), tolerance) << name;
  }
}

TEST_F(Folder, WeightsOfAnotherShapeAreRefusedByName) {
  const auto model = make_llama(small(), {}, 9);
  ASSERT_TRUE(save_safetensors(model, path / "model.safetensors"));
  auto wider = small();
  wider.intermediate_size = 48;
  ASSERT_TRUE(replace_text(path / "config.json", config_to_json(wider)));
  auto files = open_model(path);
  ASSERT_TRUE(files);
  auto target = make_llama(files->config, {}, 1);
  const auto outcome = load_weights(*files, target);
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().message().find("mlp.down_proj.weight' has the shape [24, 40]; the configuration needs [24, 48]"),
            std::string::npos)
      << outcome.error().message();
  auto deeper = small();
  deeper.layers = 3;
  files->config = deeper;
  auto deep = make_llama(deeper, {}, 1);
  EXPECT_NE(load_weights(*files, deep).error().message().find("model.layers.2.input_layernorm.weight' is missing"), std::string::npos);
}

TEST_F(Folder, AFileThatIsNoModelIsRefused) {
  ASSERT_TRUE(replace_text(path / "x.gguf", "this is a text"));
  EXPECT_NE(open_model(path / "x.gguf").error().message().find("not a GGUF file"), std::string::npos);
  EXPECT_NE(open_model(path / "absent").error().message().find("no such file"), std::string::npos);
  ASSERT_TRUE(replace_text(path / "model.safetensors.index.json", R"({"weight_map":{"a":"../../etc/passwd"}})"));
  EXPECT_NE(open_model(path).error().message().find("not in the folder"), std::string::npos);
}

}  // namespace
}  // namespace centrale::trainer
