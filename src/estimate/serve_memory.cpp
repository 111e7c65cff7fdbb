// SPDX-License-Identifier: Apache-2.0
// What of a chip's memory weights and work take, and what is left for the cache.
#include <algorithm>
#include <cmath>

#include "estimate/serve.hpp"

namespace centrale {
namespace {

// Buffers of an iteration, in hidden states of each of its tokens: residual, norms, projections.
constexpr double kHiddenBuffers = 3;

/// Elements of one rank.
double held(const Weight& weight, std::int64_t ways) {
  const auto size = [&](std::int64_t all, bool divided) {
    const auto least = static_cast<double>(weight.granule);
    return divided ? std::max(least, static_cast<double>(all) / static_cast<double>(ways)) : static_cast<double>(all);
  };
  return size(weight.outputs, weight.split == Split::columns) * size(weight.inputs, weight.split == Split::rows);
}

}  // namespace

void ServeEstimator::size_memory(const Model& model) {
  const double stages = static_cast<double>(layout_.pp), tp = static_cast<double>(layout_.tp);
  double weights = 0, widest = 0;
  for (const std::uint8_t kind : model.layers) {
    const Block& block = model.kinds[kind];
    for (const Weight& weight : weights_of(model, block)) {
      const bool expert = weight.copies > 1;
      const bool quantised = weight.matrix && weight.name != "router" && (expert || !(format_.experts_only && block.ffn.experts > 0));
      const double elements = held(weight, expert ? layout_.ranks() / layout_.ep : layout_.tp) *
                              (expert ? std::ceil(static_cast<double>(weight.copies) / static_cast<double>(layout_.ep)) : 1);
      weights += elements * (quantised ? format_.bits / 8 : 2);
    }
    widest = std::max(widest, static_cast<double>(std::max(block.ffn.width, block.ffn.active * block.ffn.expert_width)) * 2 / tp);
    const Mixer& m = block.mixer;
    double bytes = cache_bytes_per_token(m, layout_.cache_bytes).value;
    // Fewer key-value heads than ranks: each is held more than once.
    if (m.kind == MixerKind::attention) { bytes *= std::max(1.0 / static_cast<double>(std::max<std::int64_t>(1, m.kv_heads)), 1.0 / tp); }
    if (m.window > 0) {
      memory_.cache_fixed += ByteCount{bytes * static_cast<double>(m.window)};
    } else {
      memory_.cache_per_token += ByteCount{bytes};
    }
    memory_.cache_fixed += state_bytes(m, 4) / tp;
  }
  weights /= stages;
  memory_.cache_per_token = memory_.cache_per_token / stages;
  memory_.cache_fixed = memory_.cache_fixed / stages;
  double outer = 0;
  for (const Weight& weight : outer_weights(model)) { outer += held(weight, layout_.tp) * head_.bits / 8; }
  // Embedding and output matrix sit on the first and the last stage: the fuller of the two holds half.
  weights += layout_.pp > 1 ? outer / 2 : outer;

  const ChipType& chip = island_.chip;
  const double capacity = static_cast<double>(chip.memory.value.value);
  const double tokens = std::min(engine_.tokens_max, 16384.0);
  memory_.weights = {weights};
  memory_.activations = {tokens * 2 * (kHiddenBuffers * hidden_ + widest)};
  memory_.reserved = {capacity * (1 - engine_.memory)};
  memory_.capacity = {capacity};
  memory_.free = memory_.capacity - memory_.needed();
}

double ServeEstimator::sequences_held(double tokens) const {
  const double each = memory_.cache_per_token.value * std::max(1.0, tokens) + memory_.cache_fixed.value;
  if (memory_.free.value <= 0 || each <= 0) { return memory_.free.value > 0 ? 1e9 : 0; }
  return memory_.free.value / each * static_cast<double>(layout_.dp);
}

ByteCount ServeEstimator::cache_of(double tokens) const {
  const double copies = static_cast<double>(layout_.tp * layout_.pp);
  return (memory_.cache_per_token * std::max(0.0, tokens) + memory_.cache_fixed) * copies;
}

}  // namespace centrale
