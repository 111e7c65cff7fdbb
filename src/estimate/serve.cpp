// SPDX-License-Identifier: Apache-2.0
#include "estimate/serve.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"
#include "estimate/collective.hpp"
#include "estimate/operators.hpp"

namespace centrale {
namespace {

// Tokens are pooled into steps of 1/6 octave; costs between two steps are interpolated.
constexpr double kStepsPerOctave = 6;
constexpr double kTokensMax = 1 << 17;

// Where compute and memory take about as long, they hide behind each other only in part: the 4-norm of the two.
double roofline(double compute, double memory) {
  const double longest = std::max(compute, memory), shortest = std::min(compute, memory);
  if (longest <= 0) { return 0; }
  const double square = shortest / longest * (shortest / longest);
  return longest * std::sqrt(std::sqrt(1 + square * square));
}

// Skinny GEMMs: libraries split the inner dimension over idle units, at this part of the rate of a large GEMM; rows are padded to one
// tensor-core tile, and a few rows go through vector units at a quarter of the rate.
constexpr double kSplitRate = 0.6, kRowTile = 16, kVectorRows = 4;
// Decoding attention multiplies in narrow tiles: its part of the rate of fused attention over prompts.
constexpr double kDecodeRate = 0.8;
// A recurrence over a prompt in chunks (Mamba-2, arXiv:2405.21060, section 6): its part of the rate of fused attention.
constexpr double kScanRate = 0.4;
constexpr double kPipelineChunk = 1024;  // tokens that keep a stage busy
constexpr double kHeadBytes = 2;         // an element of the output matrix: published quantised checkpoints keep it at 16 bits
constexpr double kStateBytes = 4;

double ratio(std::int64_t a, std::int64_t b) { return static_cast<double>(a) / static_cast<double>(b); }

bool is_expert(const Weight& weight) { return weight.copies > 1; }

/// Outputs (columns) or inputs (rows) of one rank of `ways`; a granule cannot be cut, so that a rank holds at least one.
double cut(std::int64_t size, std::int64_t granule, std::int64_t ways) {
  return std::max(static_cast<double>(granule), static_cast<double>(size) / static_cast<double>(ways));
}

/// Cached tokens that one query of this block reads.
double seen(const Mixer& mixer, double context) {
  if (mixer.kind == MixerKind::latent && mixer.index_heads > 0) { return std::min(context, static_cast<double>(mixer.index_tokens)); }
  return mixer.window > 0 ? std::min(context, static_cast<double>(mixer.window)) : context;
}

/// GGUF's kinds nest scales in blocks in super-blocks: what unpacking one weight costs, as seen on chips where it, not memory, is the
/// bound.
double unpack_flop(const WeightFormat& format) { return format.name.starts_with('q') ? 36 : 0; }

double precision_rate(Precision precision, const ChipEfficiency& e) {
  if (precision == Precision::fp4) { return e.gemm_fp4; }
  return precision == Precision::fp8 || precision == Precision::int8 ? e.gemm_fp8 : e.gemm;
}

}  // namespace

double Speculation::yield() const {
  if (draft <= 0) { return 1; }
  return acceptance >= 1 ? draft + 1 : (1 - std::pow(acceptance, draft + 1)) / (1 - acceptance);
}

std::string to_text(const ServeLayout& layout) {
  std::string text = fmt::format("tp{}", layout.tp);
  if (layout.dp > 1) { text += fmt::format(" dp{}", layout.dp); }
  if (layout.ep > 1) { text += fmt::format(" ep{}", layout.ep); }
  if (layout.pp > 1) { text += fmt::format(" pp{}", layout.pp); }
  text += fmt::format(" {}", layout.weights == nullptr ? "bf16" : layout.weights->name);
  if (layout.cache_bytes != 2) { text += fmt::format(" cache{:g}", layout.cache_bytes * 8); }
  return text;
}

std::string fault_of(const ServeLayout& layout, const Model& model, const Island& island) {
  if (layout.tp < 1 || layout.dp < 1 || layout.ep < 1 || layout.pp < 1) { return "a degree is below 1"; }
  if (layout.chips() > island.chips) { return fmt::format("{} chips, the island has {}", layout.chips(), island.chips); }
  if (layout.pp > model.depth()) { return fmt::format("pp {} is more than the {} layers", layout.pp, model.depth()); }
  if (layout.ranks() % layout.ep != 0) { return fmt::format("ep {} does not divide tp x dp, {}", layout.ep, layout.ranks()); }
  for (const Block& block : model.kinds) {
    if (block.mixer.kind != MixerKind::none && block.mixer.heads % layout.tp != 0) {
      return fmt::format("tp {} does not divide {} heads", layout.tp, block.mixer.heads);
    }
    if (layout.ep > 1 && block.ffn.experts > 0 && block.ffn.experts < layout.ep) {
      return fmt::format("ep {} is more than {} experts", layout.ep, block.ffn.experts);
    }
    if (block.ffn.experts > 0 && block.ffn.expert_width % (layout.ranks() / layout.ep) != 0) {
      return fmt::format("{} ranks do not divide an expert's width, {}", layout.ranks() / layout.ep, block.ffn.expert_width);
    }
  }
  const bool sparse = std::ranges::any_of(model.kinds, [](const Block& b) { return b.ffn.experts > 0; });
  if (layout.ep > 1 && !sparse) { return "ep without experts"; }
  return {};
}

ServeEstimator::TokenCost& ServeEstimator::TokenCost::add(const TokenCost& o, double times) {
  weights += o.weights * times;
  experts += o.experts * times;
  elementwise += o.elementwise * times;
  collectives += o.collectives * times;
  head += o.head * times;
  return *this;
}

ServeEstimator::ServeEstimator(const Model& model, const Island& island, const Engine& engine, const ServeLayout& layout,
                               const Speculation& speculation)
    : island_(island),
      engine_(engine),
      layout_(layout),
      speculation_(speculation),
      format_(layout.weights == nullptr ? *weight_format_like("bf16") : *layout.weights) {
  std::vector<double> layers(model.kinds.size());
  for (const std::uint8_t kind : model.layers) { layers[kind] += 1; }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i] <= 0) { continue; }
    const Block& block = model.kinds[i];
    BlockShape shape;
    shape.mixer = block.mixer;
    shape.layers = layers[i];
    shape.mixes = block.mixer.kind != MixerKind::none;
    shape.routed = block.ffn.experts > 0;
    shape.feeds = shape.routed || block.ffn.width > 0;
    for (const Weight& weight : weights_of(model, block)) {
      if (weight.matrix) { add_product(shape, weight); }
    }
    add_kernels(shape, block);
    blocks_.push_back(std::move(shape));
  }
  hidden_ = static_cast<double>(model.hidden);
  head_ = {.outputs = ratio(model.vocab, layout.tp), .inputs = hidden_, .bits = 8 * kHeadBytes};
  if (unpack_flop(format_) > 0) {
    head_.bits = format_.bits;
    head_.unpack = unpack_flop(format_);
  }
  if (speculation_.draft > 0 && speculation_.draft_cost <= 0) { speculation_.draft_cost = 1 / static_cast<double>(model.depth()); }
  for (const BlockShape& shape : blocks_) { kernels_ += shape.layers * shape.kernels; }
  size_memory(model);
  fill_grid();
}

void ServeEstimator::add_product(BlockShape& shape, const Weight& weight) const {
  const bool expert = is_expert(weight);
  const bool quantised = expert || !(format_.experts_only && shape.routed);
  const std::int64_t ways = expert ? layout_.ranks() / layout_.ep : layout_.tp;
  Product product;
  product.outputs = weight.split == Split::columns ? cut(weight.outputs, weight.granule, ways) : static_cast<double>(weight.outputs);
  product.inputs = weight.split == Split::rows ? cut(weight.inputs, weight.granule, ways) : static_cast<double>(weight.inputs);
  if (expert) {
    product.copies = ratio(weight.copies, layout_.ep);
    product.experts = static_cast<double>(weight.copies);
    product.active = static_cast<double>(weight.used);
  }
  // A router is small, and kept at 16 bits by all published checkpoints.
  if (quantised && weight.name != "router") {
    product.bits = format_.bits;
    product.multiply = format_.multiply;
    product.input_bytes = format_.input_bytes;
    product.unpack = unpack_flop(format_);
  }
  // Neighbours that read the same tokens and are cut alike are one GEMM.
  const bool joins = !shape.products.empty() && shape.products.back().inputs == product.inputs && weight.split == Split::columns &&
                     shape.products.back().copies == product.copies && shape.products.back().bits == product.bits &&
                     shape.products.back().experts == product.experts && shape.last_columns;
  if (joins) {
    shape.products.back().outputs += product.outputs;
  } else {
    shape.products.push_back(product);
  }
  shape.last_columns = weight.split == Split::columns;
}

void ServeEstimator::add_kernels(BlockShape& shape, const Block& block) const {
  shape.kernels = static_cast<double>(block.norms) + static_cast<double>(shape.products.size());
  switch (shape.mixer.kind) {
    case MixerKind::none: break;
    case MixerKind::attention: shape.kernels += 3 + (shape.mixer.qk_norm ? 1 : 0); break;  // rotary and cache, attention, its reduction
    case MixerKind::latent: shape.kernels += engine_.latent_kernels * (shape.mixer.index_heads > 0 ? 2 : 1); break;
    case MixerKind::mamba2:
    case MixerKind::delta: shape.kernels += engine_.recurrent_kernels; break;
  }
  if (shape.feeds) { shape.kernels += 1; }  // activation
  if (shape.routed) { shape.kernels += engine_.routing_kernels; }
  for (const Product& product : shape.products) { shape.kernels += product.input_bytes < 2 ? 0.5 : 0; }  // quantising the tokens
  // Each norm, rotary and residual reads and writes the hidden state about once.
  shape.hidden_passes = 2.0 * static_cast<double>(block.norms) + (shape.mixes ? 4 : 0) + (shape.feeds ? 4 : 0);
}

double ServeEstimator::product_seconds(const Product& p, double tokens) const {
  const ChipType& chip = island_.chip;
  const double bandwidth = chip.memory_bandwidth.value.value;
  double rows = tokens, met = 1, weights_rate = engine_.weights;
  double rate = engine_.gemm * (p.multiply == Precision::fp4 ? engine_.gemm_fp4 : 1);
  if (p.experts > 0) {
    // How many of the experts n draws meet: E (1 - (1 - 1/E)^n), E being those that are drawn at all often.
    const double draws = tokens * p.active, drawn = std::max(p.active, p.experts * engine_.skew);
    const double met_in_all = drawn * (1 - std::pow(1 - 1 / drawn, draws));
    met = std::max(std::min(1.0, p.copies), met_in_all * p.copies / p.experts);
    const double busiest = layout_.ep > 1 ? engine_.imbalance : 1;
    rows = draws * p.copies / p.experts / met * busiest;
    met *= layout_.ep > 1 ? std::min(busiest, p.copies / met) : 1;
    weights_rate = engine_.expert_weights;
    rate *= engine_.expert_gemm;
  }
  const Gemm gemm{.m = rows,
                  .n = p.outputs,
                  .k = p.inputs,
                  .batch = met,
                  .precision = p.multiply,
                  .input_bytes = p.input_bytes,
                  .weight_bytes = p.bits / 8};
  const double padded = std::min(std::ceil(rows / kRowTile) * kRowTile, kVectorRows * std::max(1.0, rows));
  const double peak = best_peak(chip, p.multiply).value * precision_rate(p.multiply, chip.efficiency);
  const double split = 2 * padded * p.outputs * p.inputs * met / (peak * kSplitRate);
  const double unpack = p.unpack * p.outputs * p.inputs * met / best_peak(chip, Precision::fp16).value;
  const double compute = std::max(std::min(gemm_time(gemm, chip).compute.value, split) / rate, unpack);
  const double memory = met * p.outputs * p.inputs * p.bits / 8 / (bandwidth * weights_rate) +
                        met * rows * (p.inputs * p.input_bytes + p.outputs * 2) / (bandwidth * weights_rate);
  return roofline(compute, memory);
}

double ServeEstimator::reduce_seconds(double bytes, std::int64_t ranks, std::int64_t stride) const {
  if (ranks <= 1) { return 0; }
  const Transport transport{.links = engine_.links, .network = engine_.links, .latency = 1};
  const double general = collective_time(Collective::all_reduce, {bytes}, {.size = ranks, .stride = stride}, island_, transport).time.value;
  if (ranks * stride > island_.domain || island_.chip.scale_up.wiring == Wiring::none) { return general + engine_.reduce.value; }
  // Engines have their own for small messages: each rank reads what the others have, in one step.
  const double link = island_.chip.scale_up.bandwidth.value.value * island_.chip.efficiency.links * engine_.links;
  const double peers = static_cast<double>(ranks - 1);
  const double one_shot = bytes * peers / link;
  const double two_shot = 2 * bytes * peers / static_cast<double>(ranks) / link;
  return engine_.reduce.value * std::log2(static_cast<double>(ranks)) / 3 + std::min({general, one_shot, two_shot});
}

double ServeEstimator::collective_seconds(const BlockShape& shape, double tokens) const {
  const double bytes = tokens / static_cast<double>(layout_.dp) * hidden_ * 2;
  double seconds = shape.mixes ? reduce_seconds(bytes, layout_.tp, 1) : 0;
  if (!shape.feeds) { return seconds; }
  if (!shape.routed || layout_.dp == 1) { return seconds + reduce_seconds(bytes, layout_.tp, 1); }
  // Dispatch and combine among attention ranks: whichever moves less, all tokens to all ranks (which costs as much as an all-reduce) or
  // each to its experts only.
  const double gathered = reduce_seconds(tokens * hidden_ * 2, layout_.ranks(), 1);
  double active = 1;
  for (const Product& p : shape.products) { active = std::max(active, std::min(p.active, static_cast<double>(layout_.ep))); }
  const Transport transport{.links = engine_.links, .network = engine_.links, .latency = 1};
  const double sent = bytes * active * (1 + 0.5);  // combined at 16 bits, dispatched at 8
  const double exchanged =
      collective_time(Collective::all_to_all, {sent}, {.size = layout_.ranks(), .stride = 1}, island_, transport).time.value +
      2 * engine_.reduce.value;
  return seconds + std::min(gathered, exchanged);
}

ServeEstimator::TokenCost ServeEstimator::cost_of_tokens(double tokens) const {
  const ChipType& chip = island_.chip;
  const double own = tokens / static_cast<double>(layout_.dp);
  TokenCost cost;
  for (const BlockShape& shape : blocks_) {
    TokenCost block;
    for (const Product& p : shape.products) {
      (p.experts > 0 ? block.experts : block.weights) += product_seconds(p, p.experts > 0 ? tokens : own);
    }
    block.elementwise = stream_time({own * hidden_ * 2 * shape.hidden_passes}, 0, chip).time.value;
    block.collectives = collective_seconds(shape, tokens) * (1 - engine_.overlap);
    cost.add(block, shape.layers);
  }
  // From stage to stage of a pipeline.
  if (layout_.pp > 1) {
    const double bytes = own * hidden_ * 2;
    const Transport transport{.links = engine_.links, .network = engine_.links, .latency = 1};
    cost.collectives += static_cast<double>(layout_.pp - 1) *
                        collective_time(Collective::send, {bytes}, {.size = 2, .stride = layout_.ranks()}, island_, transport).time.value;
  }
  return cost;
}

void ServeEstimator::fill_grid() {
  const auto steps = static_cast<std::size_t>(kStepsPerOctave * std::log2(kTokensMax)) + 1;
  grid_.reserve(steps);
  for (std::size_t i = 0; i < steps; ++i) {
    const double tokens = std::exp2(static_cast<double>(i) / kStepsPerOctave);
    grid_.push_back(cost_of_tokens(tokens));
    // Sampling goes over the scores a few times.
    grid_.back().head = product_seconds(head_, tokens) + stream_time({tokens * head_.outputs * 4 * 3}, 0, island_.chip).time.value;
  }
}

ServeEstimator::TokenCost ServeEstimator::interpolated(double tokens) const {
  const double at = kStepsPerOctave * std::log2(std::clamp(tokens, 1.0, kTokensMax));
  const auto low = std::min(static_cast<std::size_t>(at), grid_.size() - 2);
  const double left = std::exp2(static_cast<double>(low) / kStepsPerOctave), right = left * std::exp2(1 / kStepsPerOctave);
  const double part = std::clamp((std::clamp(tokens, 1.0, kTokensMax) - left) / (right - left), 0.0, 1.0);
  TokenCost cost;
  return cost.add(grid_[low], 1 - part).add(grid_[low + 1], part);
}

double ServeEstimator::prompt_attention(const BlockShape& shape, const IterationWork& work) const {
  const Mixer& m = shape.mixer;
  if (work.prompt_tokens <= 0 || m.kind == MixerKind::none) { return 0; }
  const ChipType& chip = island_.chip;
  const double own = work.prompt_tokens / static_cast<double>(layout_.dp), tp = static_cast<double>(layout_.tp);
  if (m.kind == MixerKind::mamba2 || m.kind == MixerKind::delta) {
    const double rate = chip.peak_of(Precision::bf16).value * chip.efficiency.attention * engine_.attention * kScanRate;
    return attention_flop(m, 0).value / tp * own / std::max(rate, 1.0);
  }
  const bool latent = m.kind == MixerKind::latent;
  const double prompts = std::max(1.0, work.prompts);
  const double queries = work.prompt_tokens / prompts, keys = queries + work.prompt_context;
  AttentionShape a{.batch = prompts / static_cast<double>(layout_.dp), .heads = static_cast<double>(m.heads) / tp};
  a.kv_heads = latent ? a.heads : std::max(1.0, static_cast<double>(m.kv_heads) / tp);
  a.head_dim = static_cast<double>(latent ? m.nope_dim + m.rope_dim : m.head_dim);
  a.value_dim = static_cast<double>(latent ? m.value_dim : m.head_dim);
  a.queries = queries;
  a.keys = keys;
  a.window = latent && m.index_heads > 0 ? static_cast<double>(m.index_tokens) : static_cast<double>(m.window);
  a.cache_bytes = layout_.cache_bytes;
  const OperatorTime t = flash_attention_time(a, chip);
  double compute = t.compute.value / engine_.attention;
  if (m.index_heads > 0) {
    // The indexer scores every token before (DeepSeek-V3.2, arXiv:2512.02556, section 2.1), at 8 bits.
    const double flop = 2 * static_cast<double>(m.index_heads * m.index_dim) * own * (keys - queries / 2);
    compute += flop / (best_peak(chip, Precision::fp8).value * chip.efficiency.attention * engine_.attention);
  }
  return roofline(compute, t.memory.value);
}

double ServeEstimator::cache_seconds(const BlockShape& shape, const IterationWork& work) const {
  const Mixer& m = shape.mixer;
  if (work.decoding <= 0 || m.kind == MixerKind::none) { return 0; }
  const ChipType& chip = island_.chip;
  const double tp = static_cast<double>(layout_.tp), own = std::max(1.0, work.decoding / static_cast<double>(layout_.dp));
  const double bandwidth = chip.memory_bandwidth.value.value * engine_.cache;
  const double drafts = 1 + speculation_.draft;
  if (m.kind == MixerKind::mamba2 || m.kind == MixerKind::delta) { return own * 2 * state_bytes(m, kStateBytes).value / tp / bandwidth; }
  const double context = seen(m, work.context);
  const bool latent = m.kind == MixerKind::latent;
  const double width = latent ? static_cast<double>(m.kv_rank + m.rope_dim)
                              : 2 * static_cast<double>(m.head_dim) * std::max(1.0, static_cast<double>(m.kv_heads) / tp);
  double bytes = own * context * width * layout_.cache_bytes;
  if (m.index_heads > 0) { bytes += own * work.context * static_cast<double>(m.index_dim); }
  // Absorbed MLA multiplies each head's query with the compressed cache and the scores with its first part (arXiv:2405.04434,
  // section 2.1.2).
  const double wide = static_cast<double>(latent ? 2 * m.kv_rank + m.rope_dim : 2 * m.head_dim);
  const double flop = 2 * own * drafts * context * static_cast<double>(m.heads) / tp * wide;
  const double rate = best_peak(chip, Precision::bf16).value * chip.efficiency.attention * kDecodeRate;
  return roofline(flop / rate, bytes / bandwidth);
}

IterationTime ServeEstimator::iteration(const IterationWork& asked) const {
  // A pipeline has as many batches in flight as it has stages: a token's time is that of a part of the batch through all stages.
  IterationWork work = asked;
  const double stages = static_cast<double>(layout_.pp);
  // Prompts go through in chunks, and the pipeline fills and drains once for them.
  const double chunks = std::max(1.0, work.prompt_tokens / kPipelineChunk);
  work.prompts /= stages;
  work.prompt_tokens *= (chunks + stages - 1) / (chunks * stages);
  work.decoding = work.decoding > 0 ? std::max(1.0, work.decoding / stages) : 0;

  const double drafts = 1 + speculation_.draft;
  const double tokens = work.prompt_tokens + work.decoding * drafts;
  if (tokens <= 0) { return {}; }
  const double dp = static_cast<double>(layout_.dp);
  const double guesses = work.decoding > 0 ? speculation_.draft * speculation_.draft_cost : 0;
  TokenCost cost = interpolated(tokens);
  if (guesses > 0) { cost.add(interpolated(work.decoding), guesses); }
  IterationTime t;
  t.weights = {cost.weights};
  t.experts = {cost.experts};
  t.collectives = {cost.collectives};
  t.elementwise = {cost.elementwise};
  double prompt = 0, cache = 0;
  for (const BlockShape& shape : blocks_) {
    prompt += shape.layers * prompt_attention(shape, work);
    cache += shape.layers * cache_seconds(shape, work);
  }
  t.attention = {prompt};
  t.cache = {cache * (1 + guesses)};
  // The output matrix sees the last token of each prompt and all tokens of decoding sequences.
  const double scored = std::max(1.0, (work.prompts + work.decoding * drafts) / dp);
  t.weights += Seconds{interpolated(scored).head * (1 + speculation_.draft * (work.decoding > 0 ? 1 : 0))};
  t.kernels = {kernels_ * engine_.kernels * engine_.kernel.value * (1 + guesses)};
  if (work.prompt_tokens > 0) {
    // No graph starts the kernels of prompts: the host must keep up.
    double layers = 0;
    for (const BlockShape& shape : blocks_) { layers += shape.layers; }
    const double host = engine_.host.value * layers;
    t.kernels += Seconds{std::max(0.0, host - t.total().value)};
  }
  t.engine = {engine_.step.value + engine_.sequence.value * (work.decoding + work.prompts) / dp};
  return t;
}

}  // namespace centrale
