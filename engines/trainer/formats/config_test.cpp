// SPDX-License-Identifier: Apache-2.0
#include "formats/config.hpp"

#include <gtest/gtest.h>

#include "formats/json.hpp"

namespace centrale::trainer {
namespace {

constexpr const char* kGood = R"({"model_type":"llama","vocab_size":512,"hidden_size":64,"intermediate_size":128,
  "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"rms_norm_eps":1e-05,"rope_theta":50000.0,
  "tie_word_embeddings":true,"max_position_embeddings":256,"eos_token_id":[3,4]})";

std::string changed(const std::string& field, const std::string& value) {
  auto object = parse_json(kGood, "").value().as_object();
  if (value.empty())
    object.erase(field);
  else
    object[field] = parse_json(value, "").value();
  return json::serialize(object);
}

std::string refusal(const std::string& field, const std::string& value) {
  const auto config = config_from_json(changed(field, value), "m/config.json");
  return config ? "accepted" : config.error().message();
}

TEST(Config, ReadsHuggingFaceAndWritesItBack) {
  const auto config = config_from_json(kGood, "config.json");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->head_dim, 16);
  EXPECT_EQ(config->rope_theta, 50000);
  EXPECT_EQ(config->eos, 3);
  EXPECT_TRUE(config->tied);
  const auto again = config_from_json(config_to_json(*config), "again");
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, *config);
}

TEST(Config, CountsParametersAsPublished) {
  // SmolLM2-135M's card gives 134,515,008.
  ModelConfig smollm{.vocab_size = 49152,
                     .hidden_size = 576,
                     .intermediate_size = 1536,
                     .layers = 30,
                     .heads = 9,
                     .kv_heads = 3,
                     .head_dim = 64,
                     .context = 8192,
                     .tied = true,
                     .bos = {},
                     .eos = {}};
  EXPECT_EQ(parameter_count(smollm), 134515008);
}

TEST(Config, NamesFileAndField) {
  EXPECT_EQ(refusal("hidden_size", ""),
            "m/config.json: field 'hidden_size' is missing; add \"hidden_size\": a whole number from 2 to 1048576");
  EXPECT_NE(refusal("hidden_size", "\"64\"").find("m/config.json: field 'hidden_size' is \"64\""), std::string::npos);
  EXPECT_NE(refusal("num_hidden_layers", "0").find("num_hidden_layers"), std::string::npos);
  EXPECT_NE(refusal("num_hidden_layers", "2.5").find("num_hidden_layers"), std::string::npos);
  EXPECT_NE(refusal("num_attention_heads", "5").find("no multiple of num_attention_heads (5)"), std::string::npos);
  EXPECT_NE(refusal("num_key_value_heads", "3").find("no multiple of num_key_value_heads (3)"), std::string::npos);
  EXPECT_NE(refusal("head_dim", "15").find("odd"), std::string::npos);
  EXPECT_NE(refusal("model_type", "\"qwen2\"").find("'qwen2'"), std::string::npos);
  EXPECT_NE(refusal("hidden_act", "\"gelu\"").find("gelu"), std::string::npos);
  EXPECT_NE(refusal("attention_bias", "true").find("biases"), std::string::npos);
  EXPECT_NE(refusal("rope_scaling", R"({"rope_type":"llama3"})").find("rope_scaling"), std::string::npos);
  EXPECT_EQ(refusal("rope_scaling", "null"), "accepted");
  EXPECT_EQ(refusal("vocab_size", "512.0"), "accepted");
}

TEST(Json, SaysTheLine) {
  const auto value = parse_json("{\n\"a\": 1,\n\"b\": }\n", "f.json");
  ASSERT_FALSE(value);
  EXPECT_NE(value.error().message().find("f.json: not valid JSON near line 3"), std::string::npos) << value.error().message();
  EXPECT_FALSE(parse_json(std::string(100, '[') + std::string(100, ']'), "deep"));
  EXPECT_TRUE(parse_json("{}  \n", "spaces"));
}

TEST(Json, PrettyNumbersReadBackExactly) {
  const json::object object{{"a", 1e-5}, {"b", 0.1}, {"c", json::array{1, "x"}}, {"d", json::object{}}};
  const auto again = parse_json(pretty(object), "");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->at("a").as_double(), 1e-5);
  EXPECT_EQ(again->at("b").as_double(), 0.1);
}

}  // namespace
}  // namespace centrale::trainer
