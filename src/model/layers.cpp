// SPDX-License-Identifier: Apache-2.0
// Which block each layer is.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "model/blocks.hpp"

namespace centrale {
namespace {

enum class Sight : unsigned char { full, window, linear };

std::int64_t read_depth(const Fields& fields) {
  return fields.count({"num_hidden_layers", "n_layer", "n_layers", "num_layers"}, kLayersMax);
}

/// A list that has one entry a layer, or is not there.
std::vector<std::string> read_list(const Fields& fields, std::string_view name, std::int64_t depth) {
  std::vector<std::string> list = fields.texts({name});
  if (!list.empty() && static_cast<std::int64_t>(list.size()) != depth) {
    fields.fault(name, fmt::format("lists {}, the model has {} layers", list.size(), depth), "list one a layer");
    return {};
  }
  return list;
}

Sight sight_named(const Fields& fields, std::string_view name) {
  if (name == "sliding_attention") { return Sight::window; }
  if (name == "linear_attention") { return Sight::linear; }
  if (name != "full_attention" && name != "attention" && name != "deepseek_sparse_attention") {
    fields.fault("layer_types", fmt::format("'{}' is not known", shorten(name, 40)),
                 "full_attention, sliding_attention or linear_attention");
  }
  return Sight::full;
}

/// What each layer sees, by the type's rule.
std::vector<Sight> sights_by_rule(const Fields& fields, const Family& family, std::int64_t depth) {
  std::vector<Sight> sights(static_cast<std::size_t>(depth), Sight::full);
  std::int64_t each = family.each;
  if (family.delta) { each = fields.count_or({"full_attention_interval"}, each, kLayersMax); }
  if (family.windows == Windows::pattern) {
    each = fields.count_or({"sliding_window_pattern", "_sliding_window_pattern"}, each, kLayersMax);
  }
  const bool late = family.windows == Windows::late && fields.flag_or({"use_sliding_window"}, false);
  const std::int64_t from = late ? fields.amount_or({"max_window_layers"}, 28, kLayersMax) : 0;
  for (std::int64_t i = 0; i < depth; ++i) {
    Sight& sight = sights[static_cast<std::size_t>(i)];
    const bool nth = (i + 1) % each == 0;
    if (family.delta && !nth) { sight = Sight::linear; }
    switch (family.windows) {
      case Windows::none: break;
      case Windows::all: sight = Sight::window; break;
      case Windows::late: sight = late && i >= from ? Sight::window : Sight::full; break;
      case Windows::alternate: sight = i % 2 == 0 ? Sight::window : Sight::full; break;
      case Windows::pattern: sight = nth ? Sight::full : Sight::window; break;
    }
  }
  return sights;
}

std::vector<Sight> read_sights(const Fields& fields, const Family& family, std::int64_t depth) {
  const std::vector<std::string> names = read_list(fields, "layer_types", depth);
  if (names.empty()) { return sights_by_rule(fields, family, depth); }
  std::vector<Sight> sights;
  for (const std::string& name : names) { sights.push_back(sight_named(fields, name)); }
  return sights;
}

/// Which layers have experts.
std::vector<bool> read_sparse(const Fields& fields, std::int64_t depth) {
  std::vector<bool> sparse(static_cast<std::size_t>(depth), true);
  const std::vector<std::string> names = read_list(fields, "mlp_layer_types", depth);
  if (!names.empty()) {
    for (std::size_t i = 0; i < names.size(); ++i) { sparse[i] = names[i] != "dense"; }
    return sparse;
  }
  const std::int64_t first = fields.amount_or({"first_k_dense_replace"}, 0, kLayersMax);
  const std::int64_t every = fields.count_or({"moe_layer_freq"}, 1, kLayersMax);
  const std::int64_t step = fields.count_or({"decoder_sparse_step"}, 1, kLayersMax);
  const std::vector<std::int64_t> dense = fields.amounts({"mlp_only_layers"});
  for (std::int64_t i = 0; i < depth; ++i) {
    sparse[static_cast<std::size_t>(i)] =
        i >= first && i % every == 0 && (i + 1) % step == 0 && std::find(dense.begin(), dense.end(), i) == dense.end();
  }
  return sparse;
}

/// Which layers have an indexer of their own; the others attend to what the last one chose (GLM-5.2).
std::vector<bool> read_indexers(const Fields& fields, std::int64_t depth) {
  std::vector<bool> own(static_cast<std::size_t>(depth), true);
  const std::vector<std::string> names = read_list(fields, "indexer_types", depth);
  for (std::size_t i = 0; i < names.size(); ++i) { own[i] = names[i] != "shared"; }
  if (!names.empty()) { return own; }
  const std::int64_t every = fields.count_or({"index_topk_freq"}, 1, kLayersMax);
  const std::int64_t offset = fields.amount_or({"index_skip_topk_offset"}, 2, kLayersMax);
  for (std::int64_t i = 0; i < depth; ++i) { own[static_cast<std::size_t>(i)] = std::max<std::int64_t>(i - offset + 1, 0) % every == 0; }
  return own;
}

Block block_of(const Fields& fields, const Family& family) {
  Block block;
  block.norms = family.norms;
  block.parallel = family.parallel;
  if (family.type == "gpt_neox") { block.parallel = fields.flag_or({"use_parallel_residual"}, true); }
  if (family.form == Form::falcon) {
    const bool newer = fields.flag_or({"new_decoder_architecture"}, false);
    block.parallel = newer || fields.flag_or({"parallel_attn"}, true);
    block.norms = newer ? fields.count_or({"num_ln_in_parallel_attn"}, 2, 2) : block.parallel ? 1 : 2;
  }
  return block;
}

}  // namespace

void add_layers(Model& model, const Fields& fields, const Family& family) {
  const std::int64_t depth = read_depth(fields);
  const bool latent = fields.has({"kv_lora_rank"});
  const Mixer full = latent ? read_latent(fields, family) : read_attention(fields, family, model.hidden);
  const std::vector<Sight> sights = read_sights(fields, family, depth);
  const bool linear = std::find(sights.begin(), sights.end(), Sight::linear) != sights.end();
  const Mixer delta = linear ? read_delta(fields) : Mixer{};
  const std::int64_t window = family.windows == Windows::none && !fields.has({"layer_types"})
                                  ? 0
                                  : fields.amount_or({"sliding_window"}, family.window, kContextMax);
  const auto inner = family.form == Form::dbrx ? fields.inner("ffn_config") : std::optional<Fields>(fields);
  if (!inner) {
    fields.fault("ffn_config", "is missing", "add it as the model's publisher has it");
    return;
  }
  const FeedForward experts = read_experts(*inner, family);
  const std::vector<bool> sparse = experts.experts > 0 ? read_sparse(fields, depth) : std::vector<bool>(static_cast<std::size_t>(depth));
  const bool any_dense = std::find(sparse.begin(), sparse.end(), false) != sparse.end();
  const FeedForward dense = any_dense ? read_dense(*inner, family, model.hidden) : FeedForward{};
  const std::vector<bool> indexers = read_indexers(fields, depth);
  if (!fields.sound()) { return; }

  for (std::size_t i = 0; i < sights.size(); ++i) {
    Block block = block_of(fields, family);
    block.mixer = sights[i] == Sight::linear ? delta : full;
    if (sights[i] == Sight::window && !latent) { block.mixer.window = window; }
    if (!indexers[i]) { block.mixer.index_heads = block.mixer.index_dim = 0; }
    block.ffn = sparse[i] ? experts : dense;
    add_layer(model, block);
  }
  model.mtp_blocks = {model.layers.back()};
}

namespace {

/// "MEM*E" of a list of words or of the letters themselves.
std::string read_pattern(const Fields& fields, std::string_view letters, std::string_view words, std::string_view fallback) {
  std::string pattern = fields.text_or({letters}, "");
  for (const std::string& word : fields.texts({words})) {
    const bool mamba = word == "mamba" || word == "linear_attention", attention = word == "attention" || word == "full_attention";
    pattern += mamba ? 'M' : attention ? '*' : word == "moe" ? 'E' : word == "mlp" ? '-' : '?';
  }
  if (pattern.empty()) { pattern = fallback; }
  if (pattern.empty() || pattern.size() > static_cast<std::size_t>(kLayersMax)) {
    fields.fault(letters, pattern.empty() ? "is missing" : "is too long", "a letter a layer: M, *, - or E");
  } else if (pattern.find_first_not_of("M*-E") != std::string::npos) {
    fields.fault(letters, fmt::format("'{}' has a letter that is not known", shorten(pattern, 40)), "a letter a layer: M, *, - or E");
  }
  return pattern;
}

struct HybridParts {
  Mixer mamba, attention;
  FeedForward dense, experts;
};

Block hybrid_block(const HybridParts& parts, const Family& family, char letter) {
  Block block;
  block.norms = family.norms;
  block.mixer.kind = MixerKind::none;
  block.mixer.rotary = false;
  if (letter == 'M') { block.mixer = parts.mamba; }
  if (letter == '*') { block.mixer = parts.attention; }
  if (letter == '-') { block.ffn = parts.dense; }
  if (letter == 'E') { block.ffn = parts.experts; }
  return block;
}

}  // namespace

void add_hybrid_layers(Model& model, const Fields& fields, const Family& family) {
  const std::string pattern = read_pattern(fields, "hybrid_override_pattern", "layers_block_type", "");
  if (!fields.sound()) { return; }
  const std::int64_t depth = fields.count_or({"num_hidden_layers"}, static_cast<std::int64_t>(pattern.size()), kLayersMax);
  if (depth != static_cast<std::int64_t>(pattern.size())) {
    fields.fault("hybrid_override_pattern", fmt::format("has {} letters, the model has {} layers", pattern.size(), depth),
                 "a letter a layer");
  }
  std::string module;
  if (model.mtp_layers > 0) { module = read_pattern(fields, "mtp_hybrid_override_pattern", "mtp_layers_block_type", "*E"); }
  const auto needs = [&](char letter) { return (pattern + module).find(letter) != std::string::npos; };
  HybridParts parts;
  if (needs('M')) { parts.mamba = read_mamba2(fields); }
  if (needs('*')) { parts.attention = read_attention(fields, family, model.hidden); }
  if (needs('-')) { parts.dense = read_dense(fields, family, model.hidden); }
  if (needs('E')) { parts.experts = read_experts(fields, family); }
  if (needs('E') && parts.experts.experts == 0) {
    fields.fault("n_routed_experts", "is missing, or 0", "the pattern has layers of experts (E)");
  }
  if (!fields.sound()) { return; }
  for (const char letter : pattern) { add_layer(model, hybrid_block(parts, family, letter)); }
  for (const char letter : module) { model.mtp_blocks.push_back(kind_of(model, hybrid_block(parts, family, letter))); }
}

}  // namespace centrale
