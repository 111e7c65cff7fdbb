// SPDX-License-Identifier: Apache-2.0
#include "estimate/block_cost.hpp"

#include <algorithm>
#include <cmath>

#include "estimate/collective.hpp"
#include "estimate/operators.hpp"

namespace centrale::estimating {
namespace {

double bytes_of(Precision precision) {
  switch (precision) {
    case Precision::fp32:
    case Precision::tf32: return 4;
    case Precision::fp16:
    case Precision::bf16:
    case Precision::fp8:
    case Precision::fp4:
    case Precision::int8: return 2;  // what flows between operators stays at 16 bit
  }
  return 2;
}

bool is_narrow(Precision p) { return p == Precision::fp8 || p == Precision::fp4 || p == Precision::int8; }

double as_double(std::int64_t n) { return static_cast<double>(n); }

/// Adds up what operators take, forward and backward.
class Tally {
 public:
  Tally(const RankShape& shape, const Island& island, const Stack& stack) : shape_(shape), chip_(island.chip), stack_(stack) {}

  /// tokens x inputs x outputs; the gradient of the input, and of the weight where it is trained.
  void gemm(double m, double n, double k, double batch, bool trained, BlockCost& cost) {
    const double width = bytes_of(shape_.precision);
    const double operand = is_narrow(shape_.precision) ? (shape_.precision == Precision::fp4 ? 0.5 : 1) : width;
    const auto time = [&](double a, double b, double c) {
      const OperatorTime t = gemm_time({.m = a,
                                        .n = b,
                                        .k = c,
                                        .batch = batch,
                                        .precision = shape_.precision,
                                        .input_bytes = operand,
                                        .weight_bytes = operand,
                                        .output_bytes = width},
                                       chip_);
      return std::max(t.compute.value / stack_.gemm, t.memory.value) + t.launch.value;
    };
    const double forward = time(m, n, k);
    cost.compute.forward += forward;
    cost.gemm += forward;
    cost.compute.backward += time(m, k, n);
    kernels_.forward += 1;
    kernels_.backward += trained ? 2 : 1;
    if (trained) {
      const double gradient = time(n, k, m);
      cost.compute.backward += gradient;
      cost.weight_gradient += gradient;
    }
    // Narrow formats: the operands are scaled and cast, and transposed for the weight's gradient (read 2 bytes, write 1 twice).
    if (is_narrow(shape_.precision)) {
      stream(batch * m * k * 4, 1, cost.compute.forward, cost.stream);
      double unused = 0;
      stream(batch * m * n * 4, 1, cost.compute.backward, unused);
    }
  }

  void stream(double bytes, double kernels, double& seconds, double& also) {
    const double time = stream_time(ByteCount{bytes * stack_.elementwise}, kernels * stack_.kernels, chip_).time.value;
    seconds += time;
    also += time;
  }

  /// An element-wise operator; backward moves about half as much again (an activation reads and writes two, then three).
  void elementwise(double bytes, double kernels, BlockCost& cost) {
    stream(bytes, kernels, cost.compute.forward, cost.stream);
    double unused = 0;
    stream(1.5 * bytes, kernels, cost.compute.backward, unused);
    kernels_.forward += kernels;
    kernels_.backward += kernels;
  }

  void count(double forward, double backward) {
    kernels_.forward += forward;
    kernels_.backward += backward;
  }

  /// The host cannot issue faster.
  void bound_by_host(BlockCost& cost) const {
    const double host = chip_.efficiency.host.value * stack_.kernels;
    cost.compute.forward = std::max(cost.compute.forward, kernels_.forward * host);
    cost.compute.backward = std::max(cost.compute.backward, kernels_.backward * host);
    cost.launches = kernels_.forward * chip_.efficiency.launch.value;
  }

 private:
  const RankShape& shape_;
  const ChipType& chip_;
  const Stack& stack_;
  Passes kernels_;
};

double split_of(const Weight& weight, double tp) {
  if (weight.split == Split::whole) { return 1; }
  // Heads are not cut: TP beyond them replicates what is left (Megatron-LM repeats key-value heads).
  const double length = as_double(weight.split == Split::columns ? weight.outputs : weight.inputs);
  const double pieces = weight.granule > 1 ? length / as_double(weight.granule) : length;
  return std::min(tp, std::max(1.0, pieces));
}

void weights(const Model& model, const Block& block, const RankShape& shape, Tally& tally, BlockCost& cost) {
  const double tokens = shape.tokens(), tp = as_double(shape.tp), ep = as_double(shape.ep), etp = as_double(shape.etp);
  const bool lora = shape.lora_rank > 0;
  // Products of one input stand in one matrix (q, k, v; gate and up): `outputs` gathers them.
  double outputs = 0, inputs = 0;
  Split together = Split::whole;
  const auto multiply = [&] {
    if (outputs > 0) { tally.gemm(tokens, outputs, inputs, 1, !lora, cost); }
    outputs = 0;
  };
  for (const Weight& w : weights_of(model, block)) {
    const bool routed = w.copies > 1;
    const double split = split_of(w, routed ? etp : tp);
    const double n = as_double(w.outputs) / (w.split == Split::columns ? split : 1);
    const double k = as_double(w.inputs) / (w.split == Split::rows ? split : 1);
    const double copies = routed ? std::max(1.0, as_double(w.copies) / ep) : as_double(w.copies);
    const double elements = n * k * copies;
    (routed ? cost.expert : cost.dense) += elements;
    const double adapter = w.matrix && !routed ? as_double(shape.lora_rank) * (as_double(w.inputs) + as_double(w.outputs)) / split : 0;
    (routed ? cost.trained_expert : cost.trained_dense) += lora ? adapter : elements;
    if (!w.matrix || routed) { continue; }  // routed ones are grouped: experts()
    if (w.split != together || k != inputs || w.split == Split::rows) { multiply(); }
    outputs += n;
    inputs = k;
    together = w.split;
  }
  multiply();
}

/// The routed experts: each rank's share of the tokens goes out, the experts here get theirs from everywhere.
void experts(const Model& model, const Block& block, const RankShape& shape, const Island& island, const Stack& stack, Tally& tally,
             BlockCost& cost) {
  const FeedForward& f = block.ffn;
  if (f.experts == 0) { return; }
  const double ep = as_double(shape.ep), etp = as_double(shape.etp), tp = as_double(shape.tp);
  const double width = as_double(f.latent > 0 ? f.latent : model.hidden);
  const double tokens = shape.tokens() / tp * etp;  // of an expert-parallel rank
  const double local = std::max(1.0, as_double(f.experts) / ep);
  const double sent = tokens * as_double(f.active);
  const double busiest = ep > 1 && !shape.balanced ? stack.imbalance : 1;
  const double m = sent * busiest / local;
  const double n = as_double(f.expert_width) / etp;
  const bool trained = shape.lora_rank == 0;
  if (f.gated) { tally.gemm(m, 2 * n, width, local, trained, cost); }
  if (!f.gated) { tally.gemm(m, n, width, local, trained, cost); }
  tally.gemm(m, width, n, local, trained, cost);
  if (!shape.balanced) {
    cost.compute.forward += stack.routing.value;
    cost.compute.backward += stack.routing.value;
  }
  // Router scores, top-k, permutation out and back, the activation between.
  tally.elementwise(tokens * as_double(f.experts) * 4 * 2, 4, cost);
  tally.elementwise(sent * width * 2 * 4, 3, cost);
  tally.elementwise(sent * n * 2 * (f.gated ? 3 : 2), 1, cost);
  const double payload = is_narrow(shape.precision) && stack.narrow_dispatch ? 1 : 2;
  if (shape.ep > 1) {
    const Group group{.size = shape.ep, .stride = shape.etp};
    double share = (ep - 1) / ep * busiest;
    // k experts drawn of D domains' lie in D (1 - (1 - 1/D)^k) different ones.
    const double domains = ep * etp / std::min(ep * etp, as_double(std::max<std::int64_t>(1, island.domain)));
    if (stack.deduplicates && domains > 1) {
      const double k = as_double(f.active);
      share *= std::min(1.0, domains * (1 - std::pow(1 - 1 / domains, k)) / k);
    }
    const double out =
        collective_time(Collective::all_to_all, ByteCount{sent * width * payload * share}, group, island, stack.transport).time.value;
    const double back =
        collective_time(Collective::all_to_all, ByteCount{sent * width * 2 * share}, group, island, stack.transport).time.value;
    cost.ep.forward += out + back;
    cost.ep.backward += out + back;
  }
  if (shape.etp > 1) {
    const Group group{.size = shape.etp, .stride = 1};
    const double gather = collective_time(Collective::all_gather, ByteCount{sent * width * 2}, group, island, stack.transport).time.value;
    cost.tp.forward += 2 * gather;
    cost.tp.backward += 2 * gather;
  }
  // Inputs of the two products, at the products' own width, and what the activation reads; the router's weights are applied to the
  // activation, so that the second product's result is not kept.
  const double product = is_narrow(shape.precision) ? 1 : 2;
  cost.kept += sent * busiest * (width * product + n * ((f.gated ? 2 : 1) * 2 + product));
}

double attention_passes(const Mixer& mixer, const RankShape& shape, const Island& island, const Stack& stack, Tally& tally,
                        BlockCost& cost) {
  const double heads = std::max(1.0, as_double(mixer.heads) / as_double(shape.tp));
  const double kv = std::max(1.0, as_double(std::max<std::int64_t>(1, mixer.kv_heads)) / as_double(shape.tp));
  const bool latent = mixer.kind == MixerKind::latent;
  const double head = latent ? as_double(mixer.nope_dim + mixer.rope_dim) : as_double(mixer.head_dim);
  const double value = latent ? as_double(mixer.value_dim) : as_double(mixer.head_dim);
  // Context parallelism balances the causal triangle over its ranks: each has its share of the queries against all keys, half of them
  // masked.
  AttentionShape a{.batch = as_double(shape.micro_batch),
                   .heads = heads,
                   .kv_heads = latent ? heads : kv,
                   .head_dim = head,
                   .value_dim = value,
                   .queries = as_double(shape.sequence),
                   .keys = as_double(shape.sequence),
                   .window = as_double(mixer.window),
                   .causal = true};
  const double cp = as_double(shape.cp);
  double forward = 0, backward = 0;
  if (stack.flash) {
    const double rate = stack.attention * (island.chip.peak_of(Precision::fp8).value > 0 ? stack.attention_newer : 1);
    const OperatorTime f = flash_attention_time(a, island.chip), b = flash_attention_backward_time(a, island.chip);
    forward = (std::max(f.compute.value / rate, f.memory.value)) / cp + f.launch.value;
    backward = (std::max(b.compute.value / rate, b.memory.value)) / cp + b.launch.value;
    tally.count(1, 3);
    cost.kept += shape.tokens() * heads * (value * bytes_of(shape.precision) + 4);  // output and log-sum-exp
  } else {
    a.causal = false;
    if (shape.precision == Precision::fp32 || shape.precision == Precision::tf32) { a.precision = shape.precision; }
    const OperatorTime f = unfused_attention_time(a, stack.score_passes, island.chip);
    forward = f.time.value / cp;
    backward = 2 * forward;
    tally.count(6, 8);
    // Softmax, dropout mask and dropped scores: 5 a s^2 b (arXiv:2205.05198, section 4.1).
    cost.scores = 5 * heads * as_double(shape.sequence) * shape.tokens();
    cost.kept += cost.scores + shape.tokens() * heads * value * bytes_of(shape.precision);
  }
  cost.attention += forward;
  cost.flash += forward;
  cost.compute.forward += forward;
  cost.compute.backward += backward;
  if (shape.cp > 1) {
    // Keys and values go round (Ring Attention, arXiv:2310.01889); their gradients too on the way back.
    const double bytes = as_double(shape.micro_batch * shape.sequence) * kv * (head + value) * 2;
    const Group group{.size = shape.cp, .stride = shape.tp};
    const double once = collective_time(Collective::all_gather, ByteCount{bytes}, group, island, stack.transport).time.value;
    cost.cp.forward += std::max(0.0, once - stack.cp_overlap * forward);
    cost.cp.backward += std::max(0.0, 2 * once - stack.cp_overlap * backward);
  }
  return heads * (2 * head + value);
}

/// Chunked scans: Mamba-2 (arXiv:2405.21060, section 6) and the gated delta rule (arXiv:2412.06464, section 3.3).
void scan_passes(const Mixer& mixer, const RankShape& shape, const Island& island, const Stack& stack, Tally& tally, BlockCost& cost) {
  const ChipType& chip = island.chip;
  const double flop = centrale::attention_flop(mixer, 0).value * shape.tokens() / as_double(shape.tp);
  // Chunks are small products: they run at about a third of what attention reaches.
  constexpr double kScan = 0.33;
  const double forward = flop / (best_peak(chip, Precision::bf16).value * chip.efficiency.attention * kScan * stack.scan);
  cost.attention += forward;
  cost.flash += forward;
  cost.compute.forward += forward;
  cost.compute.backward += 2.5 * forward;
  const double inner = as_double(mixer.heads * mixer.head_dim) / as_double(shape.tp);
  tally.elementwise(shape.tokens() * inner * 2 * 8, 6, cost);
  cost.kept += shape.tokens() * inner * 2 * 4;
}

void dense_ffn(const Block& block, const RankShape& shape, Tally& tally, BlockCost& cost) {
  const double width = as_double(block.ffn.width + block.ffn.shared_width) / as_double(shape.tp);
  if (width <= 0) { return; }
  const double tokens = shape.tokens();
  const double element = bytes_of(shape.precision);
  tally.elementwise(tokens * width * element * (block.ffn.gated ? 3 : 2) + (block.ffn.bias ? tokens * width * element : 0), 1, cost);
  // What the activation reads, and its result as the next product's input.
  cost.kept += tokens * width * ((block.ffn.gated ? 2 : 1) * element + (is_narrow(shape.precision) ? 1 : element));
}

}  // namespace

BlockCost block_cost(const Model& model, const Block& block, const RankShape& shape, const Island& island, const Stack& stack) {
  BlockCost cost;
  Tally tally(shape, island, stack);
  const double tokens = shape.tokens(), tp = as_double(shape.tp), hidden = as_double(model.hidden);
  const double element = bytes_of(shape.precision);
  const double outside = shape.sequence_parallel ? tp : 1;  // norms, residuals and dropout are divided too
  weights(model, block, shape, tally, cost);

  const bool mixes = block.mixer.kind != MixerKind::none;
  const bool attends = block.mixer.kind == MixerKind::attention || block.mixer.kind == MixerKind::latent;
  const bool feeds = block.ffn.width > 0 || block.ffn.experts > 0;
  const double halves = (mixes ? 1 : 0) + (feeds ? 1 : 0);
  // Each half: norm (read, write), residual (two reads, a write), dropout with its mask.
  const double dropout = model.dropout > 0 ? 3 : 0;
  tally.elementwise(tokens * hidden / outside * element * halves * (5 + dropout), halves * (model.dropout > 0 ? 3 : 2), cost);
  if (attends) {
    const double qkv = attention_passes(block.mixer, shape, island, stack, tally, cost);
    double passes = block.mixer.rotary ? 2 : 0;
    if (block.mixer.bias) { passes += 1; }
    if (block.mixer.qk_norm) { passes += 2; }
    if (passes > 0) { tally.elementwise(tokens * qkv * element * passes, block.mixer.qk_norm ? 4 : 2, cost); }
    cost.kept += tokens * qkv * element;
  } else if (mixes) {
    scan_passes(block.mixer, shape, island, stack, tally, cost);
  }
  dense_ffn(block, shape, tally, cost);
  experts(model, block, shape, island, stack, tally, cost);

  // Inputs of the two halves' norms and of their first products; dropout masks (one byte).
  cost.boundary = tokens * hidden * element / outside;
  const double product = is_narrow(shape.precision) ? 1 : element;
  cost.kept += halves * tokens * hidden * (element + product + (model.dropout > 0 ? 1 : 0)) / outside;
  cost.working = tokens * (hidden * element * 4 + 2 * as_double(block.ffn.width + block.ffn.shared_width) / tp * element);
  tally.bound_by_host(cost);

  if (shape.tp > 1) {
    const Group group{.size = shape.tp, .stride = 1};
    const ByteCount bytes{tokens * hidden * element};
    // Either way each half ends in one reduction and begins with one in backward (arXiv:1909.08053, figure 3); sequence parallelism
    // cuts them into a gather and a scatter, and gathers the input once more for the weight's gradient (arXiv:2205.05198, section 4.2.2).
    const double reduce = shape.sequence_parallel
                              ? collective_time(Collective::all_gather, bytes, group, island, stack.transport).time.value +
                                    collective_time(Collective::reduce_scatter, bytes, group, island, stack.transport).time.value
                              : collective_time(Collective::all_reduce, bytes, group, island, stack.transport).time.value;
    const double again =
        shape.sequence_parallel ? collective_time(Collective::all_gather, bytes, group, island, stack.transport).time.value : 0;
    const double dense_halves = (mixes ? 1 : 0) + (block.ffn.width > 0 || block.ffn.shared_width > 0 ? 1 : 0);
    cost.tp.forward += dense_halves * reduce;
    cost.tp.backward += dense_halves * (reduce + again);
  }
  return cost;
}

HeadCost head_cost(const Model& model, const RankShape& shape, const Island& island, const Stack& stack) {
  HeadCost cost;
  BlockCost scratch;
  Tally tally(shape, island, stack);
  const double tokens = shape.tokens(), tp = as_double(shape.tp), hidden = as_double(model.hidden);
  const double element = bytes_of(shape.precision);
  // The vocabulary is padded to whole 128s a rank (Megatron-LM's make-vocab-size-divisible-by).
  const double vocab = std::ceil(as_double(model.vocab) / (128 * tp)) * 128;
  // The output product stays at 16 bit in every narrow recipe.
  RankShape wide = shape;
  if (is_narrow(wide.precision)) { wide.precision = Precision::bf16; }
  Tally wide_tally(wide, island, stack);
  wide_tally.gemm(tokens, vocab, hidden, 1, shape.lora_rank == 0, scratch);
  // Logits: written at 16 bit, widened to 32, shifted, exponentiated, summed; backward writes both widths.
  constexpr double kForwardBytes = 16, kBackwardBytes = 12;
  wide_tally.stream(tokens * vocab * kForwardBytes, 5, scratch.compute.forward, scratch.stream);
  wide_tally.stream(tokens * vocab * kBackwardBytes, 4, scratch.compute.backward, scratch.stream);
  cost.head = scratch.compute;
  if (shape.tp > 1) {
    const Group group{.size = shape.tp, .stride = 1};
    const double reduce =
        collective_time(Collective::all_reduce, ByteCount{tokens * hidden * element}, group, island, stack.transport).time.value;
    cost.head.forward += reduce * 0.5;
    cost.head.backward += reduce;
    cost.embedding += reduce;
  }
  double unused = 0;
  tally.stream(tokens * hidden * element * 3, 2, cost.embedding, unused);                        // gather
  tally.stream(tokens * hidden * element * 3 + tokens * hidden * 4, 2, cost.embedding, unused);  // scatter-add of gradients
  for (const Weight& w : outer_weights(model)) {
    const double split = w.split == Split::whole ? 1 : tp;
    const bool is_head = w.name == "output" || w.name == "final_norm";
    (is_head ? cost.head_elements : cost.embedding_elements) += as_double(w.elements()) / split;
  }
  if (model.tied) { cost.head_elements += vocab * hidden; }  // a second copy, where the last stage is not the first: train.cpp knows
  cost.kept = tokens * (vocab * 6 + hidden * element);
  // Each multi-token prediction module is a projection of two hidden states, its blocks, and the head and loss once more
  // (arXiv:2412.19437, section 2.2); it stands with the head.
  const Passes one_head = cost.head;
  for (std::int64_t i = 0; i < model.mtp_layers; ++i) {
    BlockCost join;
    tally.gemm(tokens, hidden / tp, 2 * hidden, 1, shape.lora_rank == 0, join);
    cost.head += one_head;
    cost.head += join.compute;
    cost.kept += tokens * (vocab * 6 + 3 * hidden * element);
    cost.head_elements += 2 * hidden * hidden / tp;
    for (const std::uint8_t kind : model.mtp_blocks) {
      const BlockCost block = block_cost(model, model.kinds[kind], shape, island, stack);
      for (const Passes& passes : {block.compute, block.tp, block.cp, block.ep}) { cost.head += passes; }
      cost.head_elements += block.dense;
      cost.head_experts += block.expert;
      cost.kept += block.kept;
    }
  }
  return cost;
}

}  // namespace centrale::estimating
