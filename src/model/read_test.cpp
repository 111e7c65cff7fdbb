// SPDX-License-Identifier: Apache-2.0
#include "model/read.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace centrale {
namespace {

using testing::HasSubstr;

/// A small llama, with `more` laid over it: a field of null takes the field away.
std::string config(std::string_view more = {}) {
  std::string text = R"({"model_type":"llama","hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,"num_attention_heads":4,)"
                     R"("num_key_value_heads":2,"vocab_size":1000})";
  if (more.empty()) { return text; }
  // The first of two fields of one name counts.
  return "{" + std::string(more) + "," + text.substr(1);
}

std::string error(std::string_view json, std::string_view file = "c.json") {
  const auto read = read_model(json, file);
  return read ? "no error" : read.error().message();
}

Model read(std::string_view json) {
  auto model = read_model(json, "some/where/small.json");
  EXPECT_TRUE(model) << (model ? "" : model.error().message());
  return model ? *std::move(model) : Model{};
}

TEST(ReadModel, TakesItsNameFromTheConfigOrTheFile) {
  EXPECT_EQ(read(config()).name, "small");
  EXPECT_EQ(read(config(R"("_name_or_path":"org/Name")")).name, "org/Name");
}

TEST(ReadModel, ReadsASmallLlama) {
  const Model model = read(config());
  EXPECT_EQ(model.depth(), 2);
  ASSERT_EQ(model.kinds.size(), 1U);
  EXPECT_EQ(model.block(0).mixer.head_dim, 16);
  EXPECT_FALSE(model.tied);
  EXPECT_EQ(parameters(model), 2 * 1000 * 64 + 64 + 2 * (2 * 64 + 64 * 64 * 2 + 2 * 64 * 32 + 3 * 64 * 128));
}

TEST(ReadModel, EveryFaultNamesFileAndFieldWithARemedy) {
  const struct {
    std::string_view more, wanted;
  } faults[] = {
      {R"("hidden_size":null)", "c.json: hidden_size: is missing; add it as the model's publisher has it"},
      {R"("hidden_size":0)", "c.json: hidden_size: wants 1 to 131072, found 0; write it as the model's publisher has it"},
      {R"("num_hidden_layers":-3)", "c.json: num_hidden_layers: wants 1 to 4096, found -3; "},
      {R"("num_hidden_layers":1000000)", "c.json: num_hidden_layers: wants 1 to 4096, found 1000000; "},
      {R"("vocab_size":"many")", "c.json: vocab_size: wants a whole number, found text \"many\"; "},
      {R"("vocab_size":1.5)", "c.json: vocab_size: wants a whole number, found 1.5; "},
      {R"("num_key_value_heads":3)", "c.json: num_key_value_heads: 3 do not divide the 4 attention heads; "},
      {R"("num_attention_heads":6)",
       "c.json: num_attention_heads: 6 do not divide the hidden size 64; say the width of a head in head_dim"},
      {R"("tie_word_embeddings":"yes")", "c.json: tie_word_embeddings: wants true or false, found text \"yes\"; "},
      {R"("hidden_dropout":1.5)", "c.json: hidden_dropout: wants 0 to 1, found 1.5; write a probability"},
      {R"("is_encoder_decoder":true)", "c.json: is_encoder_decoder: models of an encoder and a decoder are not supported; "},
      {R"("num_experts":4,"num_experts_per_tok":8,"moe_intermediate_size":32)",
       "c.json: num_experts_per_tok: 8 of 4 experts; a token goes to some of the experts"},
      {R"("num_experts":4,"num_experts_per_tok":2)", "c.json: moe_intermediate_size: is missing; add it as the model's publisher has it"},
      {R"("layer_types":["full_attention"])", "c.json: layer_types: lists 1, the model has 2 layers; list one a layer"},
      {R"("layer_types":["full_attention","telepathy"])", "c.json: layer_types: 'telepathy' is not known; "},
      {R"("layer_types":{"0":"full_attention"})", "c.json: layer_types: wants a list, found an object; "},
      {R"("text_config":[1])", "c.json: text_config: wants an object, found a list; "},
      {R"("text_config":{"model_type":"llama","hidden_size":-1})", "c.json: text_config.hidden_size: wants 1 to 131072, found -1; "},
      {R"("hidden_size":131072,"intermediate_size":1048576,"num_hidden_layers":4096,"num_experts":8192,"num_experts_per_tok":8,)"
       R"("moe_intermediate_size":1048576,"head_dim":16)",
       "c.json: has 1.38e+19 parameters, 1e+16 at most; look for a number with digits too many"},
  };
  for (const auto& fault : faults) { EXPECT_THAT(error(config(fault.more)), HasSubstr(std::string(fault.wanted))) << fault.more; }
}

TEST(ReadModel, SaysWhatIsNotAConfig) {
  EXPECT_THAT(error(""), HasSubstr("c.json: empty text is not JSON; give the config.json of a Hugging Face model"));
  EXPECT_THAT(error("{\"hidden_size\":"), HasSubstr("not JSON; give the config.json of a Hugging Face model"));
  EXPECT_EQ(error("[1, 2]"), "c.json: wants an object, found a list; give the config.json of a Hugging Face model");
  EXPECT_THAT(error("{}"), HasSubstr("c.json: model_type: is missing; "));
  EXPECT_THAT(error(std::string(9 << 20, ' ')), HasSubstr("c.json: is larger than 8 MiB; "));
  EXPECT_THAT(error(std::string(2000, '[')), HasSubstr("c.json: "));
}

TEST(ReadModel, AMissingFieldIsNamed) {
  EXPECT_EQ(error(R"({"model_type":"llama"})"), "c.json: hidden_size: is missing; add it as the model's publisher has it");
  EXPECT_EQ(
      error(
          R"({"model_type":"deepseek_v3","hidden_size":64,"vocab_size":10,"num_hidden_layers":1,"num_attention_heads":2,"kv_lora_rank":8})"),
      "c.json: qk_nope_head_dim: is missing; add it as the model's publisher has it");
}

TEST(ReadModel, AnUnknownTypeIsReadAsLlamaIfItsFieldsAreThere) {
  EXPECT_EQ(parameters(read(config(R"("model_type":"brand_new")"))), parameters(read(config())));
  EXPECT_EQ(
      error(R"({"model_type":"lama","hidden_size":64,"vocab_size":10})"),
      "c.json: num_hidden_layers: is missing; model_type 'lama' is not known (nearest: llama), so it is read as llama's, which needs this "
      "field");
}

// Types that the catalogue has no model of, against their published counts.
TEST(ReadModel, OtherTypesCountAsPublished) {
  const struct {
    std::string_view config;
    double total, active;  // 1e9
  } published[] = {
      // Qwen-7B: the width is that of gate and up together.
      {R"({"model_type":"qwen","hidden_size":4096,"intermediate_size":22016,"num_hidden_layers":32,"num_attention_heads":32,)"
       R"("kv_channels":128,"vocab_size":151936,"seq_length":8192})",
       7.721, 7.721},
      // Gemma 3 4B says no more than this, its images aside.
      {R"({"model_type":"gemma3","text_config":{"model_type":"gemma3_text","hidden_size":2560,"intermediate_size":10240,)"
       R"("num_hidden_layers":34,"sliding_window":1024}})",
       3.88, 3.88},
      // SmolLM3-3B
      {R"({"model_type":"smollm3","hidden_size":2048,"intermediate_size":11008,"num_hidden_layers":36,"num_attention_heads":16,)"
       R"("num_key_value_heads":4,"vocab_size":128256})",
       3.075, 3.075},
      // GLM-4-32B-0414
      {R"({"model_type":"glm4","hidden_size":6144,"intermediate_size":23040,"num_hidden_layers":61,"num_attention_heads":48,)"
       R"("num_key_value_heads":2,"head_dim":128,"attention_bias":false,"vocab_size":151552})",
       32.57, 32.57},
      // GLM-4.5-Air: 106e9, 12e9 of them active without the embedding and the output matrix
      {R"({"model_type":"glm4_moe","hidden_size":4096,"intermediate_size":10944,"moe_intermediate_size":1408,"n_routed_experts":128,)"
       R"("num_experts_per_tok":8,"n_shared_experts":1,"first_k_dense_replace":1,"num_hidden_layers":46,"num_attention_heads":96,)"
       R"("num_key_value_heads":8,"head_dim":128,"attention_bias":true,"use_qk_norm":false,"vocab_size":151552})",
       106.9, 12.0 + 1.24},
  };
  for (const auto& row : published) {
    const Model model = read(row.config);
    EXPECT_NEAR(static_cast<double>(parameters(model)) / 1e9, row.total, 0.01 * row.total) << row.config;
    EXPECT_NEAR(static_cast<double>(active_parameters(model)) / 1e9, row.active, 0.02 * row.active) << row.config;
  }
}

TEST(ReadModel, TiesEmbeddingsByTypeWhereTheFileDoesNotSay) {
  EXPECT_FALSE(read(config()).tied);
  EXPECT_TRUE(read(config(R"("model_type":"gemma")")).tied);
  EXPECT_FALSE(read(config(R"("model_type":"gemma","tie_word_embeddings":false)")).tied);
}

/// How many layers see a window, and of how many tokens.
std::pair<int, std::int64_t> windows(const Model& model) {
  int count = 0;
  std::int64_t window = 0;
  for (const std::uint8_t kind : model.layers) {
    if (const std::int64_t w = model.kinds[kind].mixer.window; w > 0) {
      ++count;
      window = w;
    }
  }
  return {count, window};
}

TEST(ReadModel, WindowsFollowTheTypesRule) {
  using Pair = std::pair<int, std::int64_t>;
  EXPECT_EQ(windows(*catalogue_model("mistral-7b")), Pair(32, 4096));
  EXPECT_EQ(windows(*catalogue_model("gemma-2-9b")), Pair(21, 4096));
  EXPECT_EQ(windows(*catalogue_model("gemma-3-27b")), Pair(52, 1024));  // five of six
  EXPECT_EQ(windows(*catalogue_model("gpt-oss-120b")), Pair(18, 128));
  EXPECT_EQ(windows(*catalogue_model("llama-3-8b")), Pair(0, 0));
  EXPECT_EQ(windows(read(config(R"("model_type":"qwen2","sliding_window":32)"))), Pair(0, 0));
  EXPECT_EQ(windows(read(config(R"("model_type":"qwen2","sliding_window":32,"use_sliding_window":true,"max_window_layers":1)"))),
            Pair(1, 32));
}

TEST(ReadModel, LayersOfOneModelDiffer) {
  const Model qwen = *catalogue_model("qwen3.5-397b-a17b");
  EXPECT_EQ(qwen.block(0).mixer.kind, MixerKind::delta);
  EXPECT_EQ(qwen.block(3).mixer.kind, MixerKind::attention);
  EXPECT_TRUE(qwen.block(3).mixer.gated);

  const Model deepseek = *catalogue_model("deepseek-v3");
  EXPECT_EQ(deepseek.block(2).ffn.experts, 0);
  EXPECT_EQ(deepseek.block(2).ffn.width, 18432);
  EXPECT_EQ(deepseek.block(3).ffn.experts, 256);
  EXPECT_EQ(deepseek.block(3).ffn.width, 0);

  const Model nemotron = *catalogue_model("nemotron-3-super-120b-a12b");
  EXPECT_EQ(nemotron.block(0).mixer.kind, MixerKind::mamba2);
  EXPECT_EQ(nemotron.block(1).mixer.kind, MixerKind::none);
  EXPECT_EQ(nemotron.block(1).ffn.latent, 1024);
  EXPECT_EQ(nemotron.block(7).mixer.kind, MixerKind::attention);
  EXPECT_EQ(nemotron.mtp_blocks.size(), 2U);
}

TEST(ReadModel, DenseAndSparseLayersMix) {
  const auto sparse = [](std::string_view more) {
    std::string out;
    const Model model =
        read(config(R"("num_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":32,"num_hidden_layers":4,)" + std::string(more)));
    for (const std::uint8_t kind : model.layers) { out += model.kinds[kind].ffn.experts > 0 ? 'E' : '-'; }
    return out;
  };
  EXPECT_EQ(sparse(R"("x":1)"), "EEEE");
  EXPECT_EQ(sparse(R"("first_k_dense_replace":1)"), "-EEE");
  EXPECT_EQ(sparse(R"("decoder_sparse_step":2)"), "-E-E");
  EXPECT_EQ(sparse(R"("mlp_only_layers":[0,3])"), "-EE-");
  EXPECT_EQ(sparse(R"("mlp_layer_types":["dense","sparse","sparse","dense"])"), "-EE-");
}

TEST(ReadModel, IndexersMayBeShared) {
  constexpr std::string_view kLatent =
      R"("model_type":"glm_moe_dsa","kv_lora_rank":8,"q_lora_rank":8,"qk_nope_head_dim":8,"qk_rope_head_dim":4,)"
      R"("v_head_dim":8,"index_n_heads":2,"index_head_dim":8,"index_topk":16,)";
  const Model model = read(config(std::string(kLatent) + R"("indexer_types":["full","shared"])"));
  EXPECT_EQ(model.block(0).mixer.index_heads, 2);
  EXPECT_EQ(model.block(1).mixer.index_heads, 0);
  EXPECT_EQ(model.block(1).mixer.index_tokens, 16);  // it attends to what the first chose
}

TEST(ReadModel, HybridPatternIsHeldAgainstTheLayers) {
  const auto hybrid = [](std::string_view pattern) {
    return config(R"("model_type":"nemotron_h","hybrid_override_pattern":")" + std::string(pattern) +
                  R"(","mamba_num_heads":4,"mamba_head_dim":8,"ssm_state_size":8,"n_groups":2,"conv_kernel":4)");
  };
  EXPECT_EQ(read(hybrid("M-")).block(1).ffn.width, 128);
  EXPECT_THAT(error(hybrid("M-*")), HasSubstr("hybrid_override_pattern: has 3 letters, the model has 2 layers"));
  EXPECT_THAT(error(hybrid("MX")),
              HasSubstr("hybrid_override_pattern: 'MX' has a letter that is not known; a letter a layer: M, *, - or E"));
  EXPECT_THAT(error(hybrid("ME")), HasSubstr("n_routed_experts: is missing, or 0"));
}

TEST(Catalogue, IsFoundByNameOrHuggingFaceId) {
  EXPECT_EQ(catalogue_model("llama-3.1-405b")->name, "meta-llama/Llama-3.1-405B");
  EXPECT_EQ(catalogue_model("meta-llama/Llama-3.1-405B")->name, "meta-llama/Llama-3.1-405B");
  EXPECT_EQ(catalogue_model("Llama 3.1 405B")->name, "meta-llama/Llama-3.1-405B");
  EXPECT_EQ(catalogue_model("Mixtral-8x7B-v0.1")->name, "mistralai/Mixtral-8x7B-v0.1");
  const auto missing = catalogue_model("lama-3-8b");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::not_found);
  EXPECT_EQ(missing.error().message(),
            "model 'lama-3-8b' is not in the catalogue; nearest: llama-3-8b, or give the path of its config.json");
  EXPECT_FALSE(catalogue_model(""));
}

/// Published files with bytes changed: an answer or an error with a remedy, and what is accepted can be counted.
TEST(ReadModel, SurvivesDamagedFiles) {
  std::mt19937_64 random(7);
  const auto& models = catalogue_models();
  int accepted = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text(models[random() % models.size()].config_json);
    for (std::uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
      constexpr std::string_view kBytes = "0123456789-.,:\"[]{}ntxe ";
      text[random() % text.size()] = kBytes[random() % kBytes.size()];
    }
    const auto model = read_model(text, "damaged.json");
    if (!model) {
      ASSERT_FALSE(model.error().what.empty() || model.error().remedy.empty()) << model.error().message();
      continue;
    }
    ++accepted;
    ASSERT_GT(active_parameters(*model), 0);
    ASSERT_LE(active_parameters(*model), parameters(*model));
    ASSERT_TRUE(std::isfinite(forward_flop(*model, 4096).value));
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace centrale
