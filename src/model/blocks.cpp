// SPDX-License-Identifier: Apache-2.0
#include "model/blocks.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/ensure.hpp"
#include "base/text.hpp"

namespace centrale {
namespace {

constexpr std::size_t kKindsMax = 256;  // a layer names its kind in a byte

std::int64_t read_heads(const Fields& fields, std::int64_t fallback) {
  const Fields::Names names{"num_attention_heads", "n_head", "n_heads", "num_heads"};
  return fallback > 0 ? fields.count_or(names, fallback, kHeadsMax) : fields.count(names, kHeadsMax);
}

bool said(const Fields& fields, const Said& said) {
  return said.field.empty() ? said.fallback : fields.flag_or({said.field}, said.fallback);
}

/// How many key-value heads, each publisher's way.
std::int64_t read_kv_heads(const Fields& fields, const Family& family, std::int64_t heads) {
  switch (family.form) {
    case Form::falcon:
      if (fields.flag_or({"new_decoder_architecture"}, false)) { return fields.count_or({"num_kv_heads", "n_head_kv"}, heads, kHeadsMax); }
      return fields.flag_or({"multi_query"}, true) ? 1 : heads;
    case Form::chatglm:
      return fields.flag_or({"multi_query_attention"}, false) ? fields.count({"multi_query_group_num"}, kHeadsMax) : heads;
    case Form::mpt:
    case Form::dbrx: {
      const auto attention = fields.inner("attn_config");
      if (!attention) { return heads; }
      const bool one = attention->text_or({"attn_type"}, "") == "multiquery_attention";
      return attention->count_or({"kv_n_heads"}, one ? 1 : heads, kHeadsMax);
    }
    case Form::llama:
    case Form::qwen:
    case Form::nemotron_h: break;
  }
  return fields.count_or({"num_key_value_heads", "num_kv_heads"}, family.kv_heads > 0 ? family.kv_heads : heads, kHeadsMax);
}

bool read_rotary(const Fields& fields, const Family& family, std::int64_t hidden) {
  if (family.form == Form::falcon) { return !fields.flag_or({"alibi"}, false); }
  if (family.form == Form::mpt) {
    const auto attention = fields.inner("attn_config");
    return attention && attention->flag_or({"rope"}, false);
  }
  // Baichuan's 13B models, and they alone of their type, have ALiBi.
  return family.rotary && !(family.type == "baichuan" && hidden >= 5120);
}

}  // namespace

Mixer read_attention(const Fields& fields, const Family& family, std::int64_t hidden) {
  Mixer mixer;
  mixer.heads = read_heads(fields, family.heads);
  mixer.kv_heads = read_kv_heads(fields, family, mixer.heads);
  if (mixer.heads % mixer.kv_heads != 0) {
    fields.fault("num_key_value_heads", fmt::format("{} do not divide the {} attention heads", mixer.kv_heads, mixer.heads),
                 "each key-value head serves equally many query heads");
  }
  mixer.head_dim = fields.count_or({"head_dim", "attention_head_dim", "kv_channels"}, family.head_dim, kHeadWidthMax);
  if (mixer.head_dim == 0) {
    if (hidden % mixer.heads != 0) {
      fields.fault("num_attention_heads", fmt::format("{} do not divide the hidden size {}", mixer.heads, hidden),
                   "say the width of a head in head_dim");
    }
    mixer.head_dim = std::max<std::int64_t>(1, hidden / mixer.heads);
  }
  mixer.bias = said(fields, family.bias);
  mixer.output_bias = family.output_bias && mixer.bias;
  if (family.form == Form::chatglm) { mixer.output_bias = said(fields, family.mlp_bias); }
  if (family.form == Form::mpt) { mixer.bias = mixer.output_bias = !fields.flag_or({"no_bias"}, false); }
  mixer.qk_norm_wide = family.qk_norm_wide || (family.type == "cohere" && fields.flag_or({"use_qk_norm"}, false));
  // GLM-4.5 and MiniMax-M2 say it; Qwen3 and Gemma 3 always have it.
  if (family.type == "minimax_m2") { mixer.qk_norm_wide = fields.flag_or({"use_qk_norm"}, true); }
  mixer.qk_norm = family.qk_norm || (family.type == "glm4_moe" && fields.flag_or({"use_qk_norm"}, false));
  mixer.gated = family.delta && fields.flag_or({"attn_output_gate"}, true);
  mixer.sinks = family.type == "gpt_oss";
  mixer.rotary = read_rotary(fields, family, hidden);
  return mixer;
}

Mixer read_latent(const Fields& fields, const Family& family) {
  Mixer mixer;
  mixer.kind = MixerKind::latent;
  mixer.heads = mixer.kv_heads = read_heads(fields, 0);
  mixer.q_rank = fields.amount_or({"q_lora_rank"}, 0, kHiddenMax);
  mixer.kv_rank = fields.count({"kv_lora_rank"}, kHiddenMax);
  mixer.nope_dim = fields.count({"qk_nope_head_dim"}, kHeadWidthMax);
  mixer.rope_dim = fields.count({"qk_rope_head_dim"}, kHeadWidthMax);
  mixer.value_dim = fields.count({"v_head_dim"}, kHeadWidthMax);
  mixer.head_dim = mixer.nope_dim + mixer.rope_dim;
  mixer.bias = said(fields, family.bias);
  mixer.output_bias = family.output_bias && mixer.bias;
  mixer.index_heads = fields.amount_or({"index_n_heads"}, 0, kHeadsMax);
  if (mixer.index_heads > 0) {
    mixer.index_dim = fields.count({"index_head_dim"}, kHeadWidthMax);
    mixer.index_tokens = fields.count({"index_topk"}, kContextMax);
  }
  return mixer;
}

Mixer read_mamba2(const Fields& fields) {
  Mixer mixer;
  mixer.kind = MixerKind::mamba2;
  mixer.heads = mixer.kv_heads = fields.count({"mamba_num_heads"}, kHeadsMax);
  mixer.head_dim = fields.count({"mamba_head_dim"}, kHeadWidthMax);
  mixer.state = fields.count({"ssm_state_size", "mamba_state_dim"}, kHeadWidthMax);
  mixer.groups = fields.count({"n_groups", "mamba_n_groups", "mamba_num_groups"}, kHeadsMax);
  if (mixer.heads % mixer.groups != 0) {
    fields.fault("n_groups", fmt::format("{} do not divide the {} Mamba heads", mixer.groups, mixer.heads),
                 "each group's B and C serve equally many heads");
  }
  mixer.convolution = fields.count({"conv_kernel", "mamba_d_conv"}, kHeadsMax);
  mixer.convolution_bias = fields.flag_or({"use_conv_bias", "mamba_conv_bias"}, true);
  mixer.bias = mixer.output_bias = fields.flag_or({"use_bias", "mamba_proj_bias"}, false);
  mixer.rotary = false;
  return mixer;
}

Mixer read_delta(const Fields& fields) {
  Mixer mixer;
  mixer.kind = MixerKind::delta;
  mixer.heads = fields.count({"linear_num_value_heads"}, kHeadsMax);
  mixer.kv_heads = fields.count({"linear_num_key_heads"}, kHeadsMax);
  if (mixer.heads % mixer.kv_heads != 0) {
    fields.fault("linear_num_key_heads", fmt::format("{} do not divide the {} value heads", mixer.kv_heads, mixer.heads),
                 "each key head serves equally many value heads");
  }
  mixer.head_dim = fields.count({"linear_value_head_dim"}, kHeadWidthMax);
  mixer.state = fields.count({"linear_key_head_dim"}, kHeadWidthMax);
  mixer.convolution = fields.count({"linear_conv_kernel_dim"}, kHeadsMax);
  mixer.rotary = false;
  return mixer;
}

FeedForward read_dense(const Fields& fields, const Family& family, std::int64_t hidden) {
  const Fields::Names widths{"intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim"};
  FeedForward ffn;
  ffn.gated = family.gated;
  ffn.bias = family.form == Form::mpt ? !fields.flag_or({"no_bias"}, false) : said(fields, family.mlp_bias);
  if (family.form == Form::mpt) {
    ffn.width = hidden * fields.count_or({"expansion_ratio"}, 4, kWidthMax / kHiddenMax * 2);
  } else {
    ffn.width = family.wide_ffn ? fields.count_or(widths, 4 * hidden, kWidthMax) : fields.count(widths, kWidthMax);
  }
  // Qwen 1 gives the width of gate and up together.
  if (family.form == Form::qwen) { ffn.width = std::max<std::int64_t>(1, ffn.width / 2); }
  return ffn;
}

FeedForward read_experts(const Fields& fields, const Family& family) {
  FeedForward ffn;
  ffn.gated = family.gated;
  ffn.bias = said(fields, family.mlp_bias);
  ffn.experts = fields.amount_or({"num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"}, 0, kExpertsMax);
  if (ffn.experts == 0) { return ffn; }
  ffn.active = fields.count({"num_experts_per_tok", "experts_per_token", "moe_top_k", "moe_topk", "num_selected_experts"}, kExpertsMax);
  if (ffn.active > ffn.experts) {
    fields.fault("num_experts_per_tok", fmt::format("{} of {} experts", ffn.active, ffn.experts), "a token goes to some of the experts");
  }
  if (family.form == Form::dbrx || family.expert_width_is_ffn) {
    ffn.expert_width = fields.count({"moe_intermediate_size", "intermediate_size", "ffn_hidden_size"}, kWidthMax);
  } else {
    ffn.expert_width = fields.count({"moe_intermediate_size"}, kWidthMax);
  }
  ffn.shared_width = fields.amount_or({"shared_expert_intermediate_size"}, 0, kWidthMax);
  ffn.shared_gate = ffn.shared_width > 0;
  const std::int64_t shared = fields.amount_or({"n_shared_experts", "num_shared_experts"}, 0, kHeadsMax);
  if (!ffn.shared_gate && shared > 0) {
    ffn.shared_width = shared * fields.count_or({"moe_shared_expert_intermediate_size"}, ffn.expert_width, kWidthMax);
    if (ffn.shared_width > kWidthMax) {
      fields.fault("n_shared_experts", fmt::format("{} wide together, {} at most", ffn.shared_width, kWidthMax), "give fewer");
    }
  }
  ffn.latent = fields.amount_or({"moe_latent_size"}, 0, kHiddenMax);
  ffn.router_bias = family.router_bias == RouterBias::always ||
                    (family.router_bias == RouterBias::noaux && fields.text_or({"topk_method"}, "") == "noaux_tc");
  return ffn;
}

std::uint8_t kind_of(Model& model, const Block& block) {
  const auto found = std::find(model.kinds.begin(), model.kinds.end(), block);
  const auto at = static_cast<std::size_t>(found - model.kinds.begin());
  if (found == model.kinds.end()) {
    ensure(model.kinds.size() < kKindsMax);
    model.kinds.push_back(block);
  }
  return static_cast<std::uint8_t>(at);
}

void add_layer(Model& model, const Block& block) { model.layers.push_back(kind_of(model, block)); }

}  // namespace centrale
