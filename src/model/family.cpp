// SPDX-License-Identifier: Apache-2.0
// Source of each row: the configuration and modelling files of that model_type in Hugging Face transformers, or of its publisher where
// transformers has none (chatglm, baichuan, internlm2, minicpm, qwen, grok-1, deepseek_v2 and its descendants).
#include "model/family.hpp"

#include <algorithm>
#include <array>

namespace centrale {
namespace {

constexpr Said kAttentionBias{"attention_bias", false};
constexpr Said kMlpBias{"mlp_bias", false};

constexpr std::array kFamilies{
    Family{.type = "llama", .bias = kAttentionBias, .output_bias = true, .mlp_bias = kMlpBias},
    Family{.type = "mistral", .windows = Windows::all},
    Family{.type = "mixtral", .windows = Windows::all, .expert_width_is_ffn = true},
    Family{.type = "qwen", .form = Form::qwen, .bias = kAlways},
    Family{.type = "qwen2", .bias = kAlways, .windows = Windows::late},
    Family{.type = "qwen2_moe", .bias = {"qkv_bias", true}, .windows = Windows::late},
    Family{.type = "qwen3", .bias = kAttentionBias, .output_bias = true, .windows = Windows::late, .head_dim = 128, .qk_norm = true},
    Family{.type = "qwen3_moe", .bias = kAttentionBias, .output_bias = true, .windows = Windows::late, .qk_norm = true},
    Family{.type = "qwen3_next", .bias = kAttentionBias, .output_bias = true, .head_dim = 256, .qk_norm = true, .delta = true},
    Family{.type = "qwen3_5", .bias = kAttentionBias, .output_bias = true, .head_dim = 256, .qk_norm = true, .delta = true},
    Family{.type = "qwen3_5_moe", .bias = kAttentionBias, .output_bias = true, .head_dim = 256, .qk_norm = true, .delta = true},
    Family{.type = "deepseek_v2", .bias = kAttentionBias, .output_bias = true, .router_bias = RouterBias::noaux},
    Family{.type = "deepseek_v3", .bias = kAttentionBias, .output_bias = true, .router_bias = RouterBias::always},
    Family{.type = "deepseek_v32", .bias = kAttentionBias, .output_bias = true, .router_bias = RouterBias::always},
    Family{.type = "kimi_k2", .bias = kAttentionBias, .output_bias = true, .router_bias = RouterBias::always},
    Family{.type = "glm_moe_dsa", .bias = kAttentionBias, .output_bias = true, .router_bias = RouterBias::always},
    Family{.type = "gpt2",
           .tied = true,
           .gated = false,
           .norm_bias = true,
           .rotary = false,
           .positions_more = 0,
           .bias = kAlways,
           .output_bias = true,
           .mlp_bias = kAlways,
           .wide_ffn = true},
    Family{.type = "gpt_neox",
           .gated = false,
           .norm_bias = true,
           .parallel = true,
           .bias = {"attention_bias", true},
           .output_bias = true,
           .mlp_bias = kAlways},
    Family{.type = "gptj",
           .gated = false,
           .norm_bias = true,
           .norms = 1,
           .parallel = true,
           .output_matrix_bias = true,
           .mlp_bias = kAlways,
           .wide_ffn = true},
    Family{.type = "opt",
           .tied = true,
           .gated = false,
           .norm_bias = true,
           .rotary = false,
           .positions_more = 2,
           .bias = {"enable_bias", true},
           .output_bias = true,
           .mlp_bias = {"enable_bias", true}},
    Family{.type = "bloom",
           .tied = true,
           .gated = false,
           .norm_bias = true,
           .rotary = false,
           .bias = kAlways,
           .output_bias = true,
           .mlp_bias = kAlways,
           .wide_ffn = true},
    Family{.type = "mpt", .form = Form::mpt, .tied = true, .gated = false, .rotary = false, .wide_ffn = true},
    Family{.type = "falcon",
           .form = Form::falcon,
           .tied = true,
           .gated = false,
           .norm_bias = true,
           .bias = {"bias", false},
           .output_bias = true,
           .mlp_bias = {"bias", false},
           .wide_ffn = true},
    Family{.type = "gemma", .tied = true, .bias = kAttentionBias, .output_bias = true, .head_dim = 256},
    Family{.type = "gemma2",
           .tied = true,
           .norms = 4,
           .bias = kAttentionBias,
           .output_bias = true,
           .windows = Windows::alternate,
           .window = 4096,
           .head_dim = 256},
    Family{.type = "gemma3",
           .tied = true,
           .norms = 4,
           .bias = kAttentionBias,
           .output_bias = true,
           .windows = Windows::pattern,
           .each = 6,
           .window = 4096,
           .head_dim = 256,
           .heads = 8,
           .kv_heads = 4,
           .vocab = 262208,
           .qk_norm = true},
    Family{.type = "phi",
           .gated = false,
           .norm_bias = true,
           .norms = 1,
           .parallel = true,
           .output_matrix_bias = true,
           .bias = kAlways,
           .output_bias = true,
           .mlp_bias = kAlways},
    Family{.type = "phi3", .windows = Windows::all},
    Family{.type = "starcoder2",
           .tied = true,
           .gated = false,
           .norm_bias = true,
           .bias = {"use_bias", true},
           .output_bias = true,
           .mlp_bias = {"use_bias", true},
           .windows = Windows::all},
    Family{.type = "chatglm", .form = Form::chatglm, .bias = {"add_qkv_bias", false}, .mlp_bias = {"add_bias_linear", false}},
    Family{.type = "glm", .bias = {"attention_bias", true}},
    Family{.type = "glm4", .norms = 4, .bias = {"attention_bias", true}},
    Family{.type = "glm4_moe", .bias = {"attention_bias", true}, .router_bias = RouterBias::always},
    Family{.type = "baichuan"},
    Family{.type = "internlm2", .bias = {"bias", false}, .output_bias = true},
    Family{.type = "minicpm", .tied = true, .bias = kAttentionBias, .output_bias = true},
    Family{.type = "grok-1", .tied = true, .norms = 4, .expert_width_is_ffn = true},
    Family{.type = "dbrx", .form = Form::dbrx},
    Family{.type = "gpt_oss",
           .bias = {"attention_bias", true},
           .output_bias = true,
           .mlp_bias = kAlways,
           .windows = Windows::alternate,
           .window = 128,
           .head_dim = 64,
           .expert_width_is_ffn = true,
           .router_bias = RouterBias::always},
    Family{.type = "minimax_m2", .qk_norm_wide = true, .expert_width_is_ffn = true, .router_bias = RouterBias::always},
    Family{.type = "nemotron", .gated = false, .norm_bias = true, .bias = kAttentionBias, .output_bias = true, .mlp_bias = kMlpBias},
    Family{.type = "nemotron_h",
           .form = Form::nemotron_h,
           .gated = false,
           .norms = 1,
           .rotary = false,
           .bias = kAttentionBias,
           .output_bias = true,
           .mlp_bias = kMlpBias,
           .router_bias = RouterBias::always},
    Family{.type = "cohere", .tied = true, .norms = 1, .parallel = true, .bias = kAttentionBias, .output_bias = true},
    Family{.type = "cohere2",
           .tied = true,
           .norms = 1,
           .parallel = true,
           .bias = kAttentionBias,
           .output_bias = true,
           .windows = Windows::pattern,
           .window = 4096},
    Family{.type = "olmo2", .bias = kAttentionBias, .output_bias = true, .qk_norm_wide = true},
    Family{.type = "smollm3", .tied = true, .bias = kAttentionBias, .output_bias = true, .mlp_bias = kMlpBias},
};

}  // namespace

const Family& llama_family() { return kFamilies.front(); }

const Family* family_of(std::string_view model_type) {
  constexpr std::string_view kText = "_text";
  if (model_type.ends_with(kText)) { model_type.remove_suffix(kText.size()); }
  const auto* const found = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& f) { return f.type == model_type; });
  return found == kFamilies.end() ? nullptr : found;
}

const std::vector<std::string_view>& family_names() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> out;
    out.reserve(std::size(kFamilies));
    for (const Family& family : kFamilies) { out.push_back(family.type); }
    return out;
  }();
  return names;
}

}  // namespace centrale
