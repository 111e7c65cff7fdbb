// SPDX-License-Identifier: Apache-2.0
#include "model/model.hpp"

#include <algorithm>
#include <utility>

#include "base/ensure.hpp"

namespace centrale {
namespace {

/// Weights in the order of their use.
struct Sheet {
  std::vector<Weight> weights;

  void matrix(std::string_view name, std::int64_t outputs, std::int64_t inputs, Split split, std::int64_t granule = 1) {
    weights.push_back({name, outputs, inputs, split, true, 1, 1, granule});
  }
  void vector(std::string_view name, std::int64_t size, Split split = Split::whole, std::int64_t granule = 1) {
    weights.push_back({name, size, 1, split, false, 1, 1, granule});
  }
  void norm(std::string_view name, const Model& model) {
    vector(name, model.hidden);
    if (model.norm_bias) { vector(name, model.hidden); }
  }
};

std::int64_t convolution_channels(const Mixer& m) {
  return m.kind == MixerKind::mamba2 ? m.heads * m.head_dim + 2 * m.groups * m.state : 2 * m.kv_heads * m.state + m.heads * m.head_dim;
}

void attention_weights(Sheet& sheet, const Mixer& m, std::int64_t hidden) {
  const std::int64_t query = m.heads * m.head_dim, key = m.kv_heads * m.head_dim;
  // The output gate comes out of the query's matrix, head by head (Qwen3-Next).
  const std::int64_t gates = m.gated ? 2 : 1;
  sheet.matrix("q", gates * query, hidden, Split::columns, gates * m.head_dim);
  sheet.matrix("k", key, hidden, Split::columns, m.head_dim);
  sheet.matrix("v", key, hidden, Split::columns, m.head_dim);
  if (m.bias) {
    sheet.vector("q_bias", gates * query, Split::columns, gates * m.head_dim);
    sheet.vector("k_bias", key, Split::columns, m.head_dim);
    sheet.vector("v_bias", key, Split::columns, m.head_dim);
  }
  if (m.qk_norm_wide) {
    sheet.vector("q_norm", query, Split::columns, m.head_dim);
    sheet.vector("k_norm", key, Split::columns, m.head_dim);
  } else if (m.qk_norm) {
    sheet.vector("q_norm", m.head_dim);
    sheet.vector("k_norm", m.head_dim);
  }
  if (m.sinks) { sheet.vector("sinks", m.heads, Split::columns); }
  sheet.matrix("o", hidden, query, Split::rows, m.head_dim);
  if (m.output_bias) { sheet.vector("o_bias", hidden); }
}

// DeepSeek-V2 (arXiv:2405.04434), section 2.1 and appendix C; the indexer: DeepSeek-V3.2 (arXiv:2512.02556), section 2.1.
void latent_weights(Sheet& sheet, const Mixer& m, std::int64_t hidden) {
  const std::int64_t query = m.nope_dim + m.rope_dim, key_value = m.nope_dim + m.value_dim;
  if (m.q_rank > 0) {
    sheet.matrix("q_a", m.q_rank, hidden, Split::whole);
    if (m.bias) { sheet.vector("q_a_bias", m.q_rank); }
    sheet.vector("q_a_norm", m.q_rank);
    sheet.matrix("q_b", m.heads * query, m.q_rank, Split::columns, query);
  } else {
    sheet.matrix("q", m.heads * query, hidden, Split::columns, query);
  }
  sheet.matrix("kv_a", m.kv_rank + m.rope_dim, hidden, Split::whole);
  if (m.bias) { sheet.vector("kv_a_bias", m.kv_rank + m.rope_dim); }
  sheet.vector("kv_a_norm", m.kv_rank);
  sheet.matrix("kv_b", m.heads * key_value, m.kv_rank, Split::columns, key_value);
  if (m.index_heads > 0) {
    sheet.matrix("index_q", m.index_heads * m.index_dim, m.q_rank > 0 ? m.q_rank : hidden, Split::whole, m.index_dim);
    sheet.matrix("index_k", m.index_dim, hidden, Split::whole);
    sheet.vector("index_k_norm", 2 * m.index_dim);  // a LayerNorm: scale and bias
    sheet.matrix("index_weights", m.index_heads, hidden, Split::whole);
  }
  sheet.matrix("o", hidden, m.heads * m.value_dim, Split::rows, m.value_dim);
  if (m.output_bias) { sheet.vector("o_bias", hidden); }
}

// Mamba-2 (arXiv:2405.21060), section 7: one projection gives z, x, B, C and dt.
void mamba2_weights(Sheet& sheet, const Mixer& m, std::int64_t hidden) {
  const std::int64_t inner = m.heads * m.head_dim;
  sheet.matrix("in_zx", 2 * inner, hidden, Split::columns, 2 * m.head_dim);
  sheet.matrix("in_bc", 2 * m.groups * m.state, hidden, Split::columns, 2 * m.state);
  sheet.matrix("in_dt", m.heads, hidden, Split::columns);
  if (m.bias) { sheet.vector("in_bias", 2 * inner + 2 * m.groups * m.state + m.heads, Split::columns); }
  sheet.vector("convolution", convolution_channels(m) * m.convolution, Split::columns, m.convolution);
  if (m.convolution_bias) { sheet.vector("convolution_bias", convolution_channels(m), Split::columns); }
  sheet.vector("a", m.heads, Split::columns);
  sheet.vector("d", m.heads, Split::columns);
  sheet.vector("dt_bias", m.heads, Split::columns);
  sheet.vector("gated_norm", inner, Split::columns, m.head_dim);
  sheet.matrix("out", hidden, inner, Split::rows, m.head_dim);
  if (m.output_bias) { sheet.vector("out_bias", hidden); }
}

// Gated delta networks (arXiv:2412.06464), section 3.3, as Qwen3-Next has them.
void delta_weights(Sheet& sheet, const Mixer& m, std::int64_t hidden) {
  const std::int64_t value = m.heads * m.head_dim;
  sheet.matrix("in_qk", 2 * m.kv_heads * m.state, hidden, Split::columns, 2 * m.state);
  sheet.matrix("in_vz", 2 * value, hidden, Split::columns, 2 * m.head_dim);
  sheet.matrix("in_ba", 2 * m.heads, hidden, Split::columns, 2);
  sheet.vector("convolution", convolution_channels(m) * m.convolution, Split::columns, m.convolution);
  if (m.convolution_bias) { sheet.vector("convolution_bias", convolution_channels(m), Split::columns); }
  sheet.vector("a", m.heads, Split::columns);
  sheet.vector("dt_bias", m.heads, Split::columns);
  sheet.vector("gated_norm", m.head_dim);
  sheet.matrix("out", hidden, value, Split::rows, m.head_dim);
}

void mixer_weights(Sheet& sheet, const Mixer& m, std::int64_t hidden) {
  switch (m.kind) {
    case MixerKind::none: return;
    case MixerKind::attention: return attention_weights(sheet, m, hidden);
    case MixerKind::latent: return latent_weights(sheet, m, hidden);
    case MixerKind::mamba2: return mamba2_weights(sheet, m, hidden);
    case MixerKind::delta: return delta_weights(sheet, m, hidden);
  }
}

struct FeedForwardNames {
  std::string_view gate, up, gate_bias, up_bias, down, down_bias;
};
constexpr FeedForwardNames kDense{"gate", "up", "gate_bias", "up_bias", "down", "down_bias"};
constexpr FeedForwardNames kShared{"shared_gate", "shared_up", "shared_gate_bias", "shared_up_bias", "shared_down", "shared_down_bias"};
constexpr FeedForwardNames kExperts{"expert_gate", "expert_up", "expert_gate_bias", "expert_up_bias", "expert_down", "expert_down_bias"};

/// The two or three matrices of `copies` feed-forwards side by side.
void feed_forward_weights(Sheet& sheet, const FeedForwardNames& names, const FeedForward& ffn, std::int64_t width, std::int64_t inputs,
                          std::int64_t copies, std::int64_t used) {
  const auto add = [&](std::string_view name, std::int64_t outputs, std::int64_t in, Split split, bool matrix) {
    sheet.weights.push_back({name, outputs, in, split, matrix, copies, used, 1});
  };
  if (ffn.gated) { add(names.gate, width, inputs, Split::columns, true); }
  add(names.up, width, inputs, Split::columns, true);
  if (ffn.bias && ffn.gated) { add(names.gate_bias, width, 1, Split::columns, false); }
  if (ffn.bias) { add(names.up_bias, width, 1, Split::columns, false); }
  add(names.down, inputs, width, Split::rows, true);
  if (ffn.bias) { add(names.down_bias, inputs, 1, Split::whole, false); }
}

void ffn_weights(Sheet& sheet, const FeedForward& ffn, std::int64_t hidden) {
  if (ffn.experts == 0) {
    if (ffn.width > 0) { feed_forward_weights(sheet, kDense, ffn, ffn.width, hidden, 1, 1); }
    return;
  }
  sheet.matrix("router", ffn.experts, hidden, Split::whole);
  if (ffn.router_bias) { sheet.vector("router_bias", ffn.experts); }
  if (ffn.latent > 0) { sheet.matrix("latent_down", ffn.latent, hidden, Split::whole); }
  feed_forward_weights(sheet, kExperts, ffn, ffn.expert_width, ffn.latent > 0 ? ffn.latent : hidden, ffn.experts, ffn.active);
  if (ffn.latent > 0) { sheet.matrix("latent_up", hidden, ffn.latent, Split::whole); }
  if (ffn.shared_width > 0) {
    feed_forward_weights(sheet, kShared, ffn, ffn.shared_width, hidden, 1, 1);
    if (ffn.shared_gate) { sheet.matrix("shared_weight", 1, hidden, Split::whole); }
  }
}

std::int64_t total(const std::vector<Weight>& weights) {
  std::int64_t sum = 0;
  for (const Weight& w : weights) { sum += w.elements(); }
  return sum;
}

std::int64_t met(const std::vector<Weight>& weights) {
  std::int64_t sum = 0;
  for (const Weight& w : weights) { sum += w.outputs * w.inputs * w.used; }
  return sum;
}

/// Multiply-adds of one token.
double multiplied(const std::vector<Weight>& weights) {
  double sum = 0;
  for (const Weight& w : weights) {
    if (w.matrix) { sum += static_cast<double>(w.outputs) * static_cast<double>(w.inputs) * static_cast<double>(w.used); }
  }
  return sum;
}

template <class Count>
std::int64_t over_model(const Model& model, Count count) {
  std::vector<std::int64_t> of_kind;
  for (const Block& block : model.kinds) { of_kind.push_back(count(weights_of(model, block))); }
  std::int64_t sum = count(outer_weights(model));
  for (const std::uint8_t kind : model.layers) { sum += of_kind[kind]; }
  return sum;
}

}  // namespace

std::vector<Weight> weights_of(const Model& model, const Block& block) {
  Sheet sheet;
  for (std::int64_t i = 0; i < block.norms; ++i) { sheet.norm("norm", model); }
  mixer_weights(sheet, block.mixer, model.hidden);
  ffn_weights(sheet, block.ffn, model.hidden);
  return std::move(sheet.weights);
}

std::vector<Weight> outer_weights(const Model& model) {
  Sheet sheet;
  sheet.matrix("embedding", model.vocab, model.hidden, Split::columns);
  sheet.weights.back().matrix = model.tied;
  if (model.positions > 0) {
    sheet.matrix("positions", model.positions, model.hidden, Split::whole);
    sheet.weights.back().matrix = false;
  }
  if (model.embedding_norm) { sheet.norm("embedding_norm", model); }
  sheet.norm("final_norm", model);
  if (!model.tied) { sheet.matrix("output", model.vocab, model.hidden, Split::columns); }
  if (model.output_bias) { sheet.vector("output_bias", model.vocab, Split::columns); }
  return std::move(sheet.weights);
}

std::vector<Weight> mtp_weights(const Model& model) {
  if (model.mtp_layers == 0) { return {}; }
  Sheet sheet;
  sheet.norm("embedding_norm", model);
  sheet.norm("hidden_norm", model);
  sheet.matrix("join", model.hidden, 2 * model.hidden, Split::columns);
  for (const std::uint8_t kind : model.mtp_blocks) {
    const std::vector<Weight> block = weights_of(model, model.kinds[kind]);
    sheet.weights.insert(sheet.weights.end(), block.begin(), block.end());
  }
  sheet.norm("final_norm", model);
  return std::move(sheet.weights);
}

std::int64_t parameters(const Model& model) { return over_model(model, total); }
std::int64_t active_parameters(const Model& model) { return over_model(model, met); }

Flop attention_flop(const Mixer& m, double context) {
  const auto heads = static_cast<double>(m.heads), width = static_cast<double>(m.head_dim), state = static_cast<double>(m.state);
  const auto within = [&](std::int64_t limit) { return limit > 0 ? std::min(context, static_cast<double>(limit)) : context; };
  const auto convolution = [&] { return 2.0 * static_cast<double>(convolution_channels(m)) * static_cast<double>(m.convolution); };
  switch (m.kind) {
    case MixerKind::none: return {};
    case MixerKind::attention: return {2 * heads * 2 * width * within(m.window)};
    case MixerKind::latent: {
      const auto wide = static_cast<double>(m.nope_dim + m.rope_dim + m.value_dim);
      const double chosen = within(m.index_tokens);
      return {2 * heads * wide * chosen + 2 * static_cast<double>(m.index_heads * m.index_dim) * context};
    }
    // Mamba-2 (arXiv:2405.21060), equation 1: h = a h + B x and y = C h, a head's h being head_dim x state: 1 + 2 and 2 FLOP an element.
    case MixerKind::mamba2: return {5 * heads * width * state + convolution()};
    // Gated delta rule (arXiv:2412.06464), equation 10: S decays, S k is taken, the difference is added, S q is read: 1 + 2 + 2 + 2.
    case MixerKind::delta: return {7 * heads * width * state + convolution()};
  }
  return {};
}

Flop causal_attention_flop(const Mixer& mixer, double sequence) {
  // attention_flop is a straight line up to a kink, and one beyond: its mean over each part is its value in the middle.
  const std::int64_t limit = mixer.kind == MixerKind::latent ? mixer.index_tokens : mixer.window;
  const double kink = limit > 0 ? std::min(static_cast<double>(limit), sequence) : sequence;
  return attention_flop(mixer, kink / 2) * kink + attention_flop(mixer, (kink + sequence) / 2) * (sequence - kink);
}

ByteCount cache_bytes_per_token(const Mixer& m, double bytes) {
  switch (m.kind) {
    case MixerKind::attention: return {static_cast<double>(2 * m.kv_heads * m.head_dim) * bytes};
    case MixerKind::latent: return {static_cast<double>(m.kv_rank + m.rope_dim + (m.index_heads > 0 ? m.index_dim : 0)) * bytes};
    case MixerKind::none:
    case MixerKind::mamba2:
    case MixerKind::delta: break;
  }
  return {};
}

ByteCount state_bytes(const Mixer& m, double bytes) {
  if (m.kind != MixerKind::mamba2 && m.kind != MixerKind::delta) { return {}; }
  return {static_cast<double>(m.heads * m.head_dim * m.state + (m.convolution - 1) * convolution_channels(m)) * bytes};
}

Flop forward_flop(const Model& model, std::int64_t sequence) {
  ensure(sequence >= 0);
  const auto tokens = static_cast<double>(sequence);
  std::vector<double> of_kind;
  for (const Block& block : model.kinds) {
    of_kind.push_back(2 * multiplied(weights_of(model, block)) * tokens + causal_attention_flop(block.mixer, tokens).value);
  }
  double sum = 2 * multiplied(outer_weights(model)) * tokens;
  for (const std::uint8_t kind : model.layers) { sum += of_kind[kind]; }
  return {sum};
}

}  // namespace centrale
