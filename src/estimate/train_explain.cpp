// SPDX-License-Identifier: Apache-2.0
// Where an estimate comes from: its terms in words, and its shape for a timeline. Both from what estimate() adds up.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/ensure.hpp"
#include "estimate/operators.hpp"
#include "estimate/timeline.hpp"
#include "estimate/train.hpp"
#include "estimate/train_inside.hpp"

namespace centrale {
namespace {

using estimating::BlockCost;
using estimating::Passes;
using estimating::RankCosts;
using estimating::StageClass;
using estimating::StageTime;

double as_double(std::int64_t n) { return static_cast<double>(n); }

std::string seconds_text(double s) {
  const double size = std::abs(s);
  if (size >= 1 || size == 0) { return fmt::format("{:.4g} s", s); }
  return size >= 1e-3 ? fmt::format("{:.4g} ms", s * 1e3) : fmt::format("{:.4g} us", s * 1e6);
}
std::string bytes_text(double b) {
  return std::abs(b) >= 0x1p30 ? fmt::format("{:.4g} GiB", b / 0x1p30) : fmt::format("{:.4g} MiB", b / 0x1p20);
}

std::string source_of(std::string_view source) { return source.empty() ? std::string("no source given") : std::string(source); }

/// Whatever is said of one layout, one line a term.
class Explanation {
 public:
  using Term = TrainEstimator::Term;
  Explanation(const Island& island, const Stack& stack, const Layout& layout, const StepEstimate& estimate)
      : chip_(island.chip), island_(island), stack_(stack), layout_(layout), estimate_(estimate) {}

  void add(std::string name, std::string value, std::string source) {
    terms_.push_back({std::move(name), std::move(value), std::move(source)});
  }
  void time(std::string name, double seconds, std::string source) {
    if (std::abs(seconds) > 1e-9) { add(std::move(name), seconds_text(seconds), std::move(source)); }
  }

  void inputs(const TrainRun& run) {
    const Precision p = layout_.precision;
    add("model FLOP of a step", fmt::format("{:.4g} FLOP", estimate_.model_flop.value),
        fmt::format("6 a parameter and token and causal attention (arXiv:2204.02311, appendix B), {} sequences of {} tokens",
                    run.global_batch, run.sequence));
    add("peak of a chip", fmt::format("{:.4g} TFLOP/s", best_peak(chip_, p).value * 1e-12),
        fmt::format("{} {}: {}", chip_.key, enum_name(p), source_of(chip_.peak[static_cast<std::size_t>(p)].source)));
    add("memory bandwidth of a chip", fmt::format("{:.4g} GB/s", chip_.memory_bandwidth.value.value * 1e-9),
        source_of(chip_.memory_bandwidth.source));
    add("link of a chip in its domain", fmt::format("{:.4g} GB/s", chip_.scale_up.bandwidth.value.value * 1e-9),
        fmt::format("{} chips of a domain: {}", island_.domain, source_of(chip_.scale_up.bandwidth.source)));
    add("link of a chip to the network", fmt::format("{:.4g} GB/s", island_.network.bandwidth.value * 1e-9),
        fmt::format("the fleet's; as the catalogue has it: {}", source_of(chip_.scale_out.bandwidth.source)));
    const ChipEfficiency& e = chip_.efficiency;
    const double gemm = p == Precision::fp8 || p == Precision::int8 ? e.gemm_fp8 : p == Precision::fp4 ? e.gemm_fp4 : e.gemm;
    const std::string chip = "chip " + chip_.key;
    constant("GEMM efficiency", gemm, fmt::format("{}: {}", chip, source_of(e.source)));
    constant("attention efficiency", e.attention, chip);
    constant("memory efficiency", e.memory, chip);
    constant("links' efficiency, in the domain", e.links, chip);
    constant("links' efficiency, outside", e.network, chip);
    constant("stack's factor on GEMMs", stack_.gemm, fmt::format("stack {}: {}", stack_.key, source_of(stack_.source)));
    const std::string stack = "stack " + stack_.key;
    constant("stack's factor on attention", stack_.attention, stack);
    constant("stack's factor on element-wise traffic", stack_.elementwise, stack);
    constant("tp collectives hidden", stack_.tp_overlap, stack);
    constant("cp exchange hidden", stack_.cp_overlap, stack);
    constant("ep exchange hidden", stack_.ep_overlap, stack);
    constant("sends hidden", stack_.pp_overlap, stack);
    constant("dp collectives hidden where there is computation", stack_.dp_overlap, stack);
    constant("slowdown beside a collective", stack_.overlap_drag, stack);
    constant("slowest of many, a doubling of the nodes", stack_.jitter, stack);
  }

  void block(std::size_t kind, std::int64_t layers, const BlockCost& b) {
    const std::string each = fmt::format("one of {} layers of kind {}: ", layers, kind);
    time(each + "GEMMs, forward", b.gemm, "tiles and waves over the units, k / (k + inner) of the efficiency (estimate/operators.hpp)");
    time(each + "attention, forward", b.flash,
         stack_.flash ? "FlashAttention, causal blocks skipped (arXiv:2205.14135; arXiv:2307.08691)" : "scores through memory, not fused");
    time(each + "element-wise, forward", b.stream, "bytes over the memory bandwidth, and the launches of the kernels");
    time(each + "waiting for the host, forward", b.compute.forward - b.gemm - b.flash - b.stream, "kernels times the host's time for each");
    time(each + "computation, forward", b.compute.forward, "the sum of these");
    time(each + "computation, backward", b.compute.backward, "gradients of inputs and weights: two GEMMs for one; attention 2.5 times");
    time(each + "tp collectives, forward and backward", b.tp.forward + b.tp.backward,
         "two a pass (arXiv:1909.08053, section 3; arXiv:2205.05198, section 4.2.2), before any is hidden");
    time(each + "cp exchange, forward and backward", b.cp.forward + b.cp.backward,
         "keys and values around a ring (arXiv:2310.01889), exposed");
    time(each + "ep exchange, forward and backward", b.ep.forward + b.ep.backward,
         "dispatch and combine, busiest rank, before any is hidden");
  }

  /// A part of the step: what one micro-batch costs, times how many there are.
  void part(const char* name, Seconds whole, double micro, std::string source) {
    if (whole.value == 0) { return; }
    if (micro > 0) { source = fmt::format("{} micro-batches x {}; {}", estimate_.microbatches, seconds_text(micro), source); }
    time(fmt::format("step: {}", name), whole.value, std::move(source));
  }

  /// `slowest`: one micro-batch on the stage that paces; null where stages are unlike. `stage` names it; `send` is of one boundary.
  void step(const StageTime* slowest_or_null, const std::string& stage, double send) {
    static const StageTime kNone;
    const StageTime& slowest = slowest_or_null != nullptr ? *slowest_or_null : kNone;
    const StepParts& p = estimate_.parts;
    part("computation, forward", p.forward, slowest.compute.forward, stage);
    part("computation, backward", p.backward, slowest.compute.backward, stage);
    part("recomputation", p.recompute, slowest.recompute, "arXiv:2205.05198, section 5; " + stage);
    part("embedding, output matrix and loss", p.head, slowest.head.forward + slowest.head.backward, stage);
    part("tensor-parallel collectives", p.tp, slowest.tp.forward + slowest.tp.backward, "what the stack does not hide");
    part("context-parallel exchange", p.cp, slowest.cp.forward + slowest.cp.backward, "what attention does not hide");
    part("expert-parallel exchange", p.ep, slowest.ep.forward + slowest.ep.backward,
         layout_.schedule == Schedule::dual_pipe ? "what another micro-batch's computation does not hide (arXiv:2412.19437, figure 4)"
                                                 : "what the stack does not hide");
    part("sends between stages", p.pp, 0,
         fmt::format(
             "{} a boundary; those that the stack does not hide, and the first and last micro-batch's way (arXiv:2104.04473, section 4.1)",
             seconds_text(send)));
    part("pipeline bubble", p.bubble, 0,
         layout_.schedule == Schedule::zero_bubble ? "ZB-H1: (p - 1)(F + B - W) (arXiv:2401.10241, table 1)"
         : layout_.schedule == Schedule::dual_pipe
             ? "DualPipe: (p / 2 - 1)(F&B + B - 3W) (arXiv:2412.19437, table 2)"
             : fmt::format("the other stages' time for one micro-batch, over {} chunks (arXiv:2104.04473, section 2.2)",
                           layout_.interleave));
    part("data-parallel collectives", p.dp, 0, "gradients and weights, what computation does not hide (arXiv:1910.02054, section 7)");
    part("optimizer", p.optimizer, 0,
         layout_.offload == Offload::optimizer ? "Adam's states on the host, gradients down and weights up over its link"
                                               : "Adam's states read and written once, and the gradients' norm");
    part("other", p.other, 0, fmt::format("the stack's own {}, jitter over the nodes, offload", seconds_text(stack_.step.value)));
    add("step: total", seconds_text(estimate_.step.value), "the sum of the parts above");
  }

  void memory() {
    const Memory& m = estimate_.memory;
    const std::string precision(enum_name(layout_.precision));
    const auto of = [&](const char* name, ByteCount bytes, std::string source) {
      if (bytes.value != 0) { add(fmt::format("memory: {}", name), bytes_text(bytes.value), std::move(source)); }
    };
    of("weights", m.weights,
       layout_.zero == Zero::weights ? "2 bytes each (4 in fp32), divided among the data-parallel ranks (arXiv:1910.02054)"
                                     : "2 bytes each (4 in fp32), and the 8-bit copy where products are narrow");
    of("gradients", m.gradients, fmt::format("{} bytes each (stack {})", stack_.gradient_bytes, stack_.key));
    of("optimizer", m.optimizer,
       fmt::format("{} bytes each (stack {}): master weight and two moments; zero {} (arXiv:1910.02054)", stack_.optimizer_bytes,
                   stack_.key, enum_name(layout_.zero)));
    of("activations", m.activations, "what backward needs of all micro-batches in flight (arXiv:2205.05198, section 4; arXiv:2104.04473)");
    of("buffers", m.buffers, "the largest working set of one layer, logits, gathered weights");
    of("reserved", m.reserved, "1.2 GB of context and collectives' buffers, 3% of what comes and goes for fragmentation");
    add("memory: total", bytes_text(m.total().value),
        fmt::format("the sum, on stage {}; a chip has {}: {}", estimate_.fullest_stage, bytes_text(as_double(chip_.memory.value.value)),
                    source_of(chip_.memory.source)));
  }

  std::vector<Term> take() { return std::move(terms_); }

 private:
  void constant(const char* name, double value, const std::string& source) { add(name, fmt::format("{:.4g}", value), source_of(source)); }

  const ChipType& chip_;
  const Island& island_;
  const Stack& stack_;
  const Layout& layout_;
  const StepEstimate& estimate_;
  std::vector<Term> terms_;
};

/// Collectives of a stage as if nothing hid them.
struct RawCollectives {
  Passes tp, ep, compute;
};
RawCollectives raw_of(const Model& model, const StageClass& stage, const RankCosts& costs) {
  RawCollectives raw;
  for (std::size_t k = 0; k < model.kinds.size(); ++k) {
    const double count = stage.count[k];
    const BlockCost& b = costs.blocks[k];
    raw.tp += {count * b.tp.forward, count * b.tp.backward};
    raw.ep += {count * b.ep.forward, count * b.ep.backward};
    raw.compute += {count * b.compute.forward, count * b.compute.backward};
  }
  return raw;
}

StepShape::Pass pass_of(const StageTime& t, const RawCollectives& raw, const Stack& stack, double Passes::*direction) {
  StepShape::Pass pass;
  pass.compute = t.compute.*direction;
  pass.head = t.head.*direction;
  pass.tp = t.tp.*direction;
  pass.cp = t.cp.*direction;
  pass.ep = t.ep.*direction;
  // exposed = raw - hidden + drag x hidden
  const auto hidden = [&](double all, double exposed) {
    return stack.overlap_drag < 1 ? std::max(0.0, all - exposed) / (1 - stack.overlap_drag) : 0;
  };
  pass.tp_hidden = hidden(raw.tp.*direction, pass.tp);
  pass.ep_hidden = std::min(hidden(raw.ep.*direction, pass.ep), raw.ep.*direction);
  return pass;
}

StepShape::Stage stage_of(const StageTime& time, const RawCollectives& raw, const Stack& stack) {
  StepShape::Stage s;
  s.forward = pass_of(time, raw, stack, &Passes::forward);
  s.backward = pass_of(time, raw, stack, &Passes::backward);
  s.backward.recompute = time.recompute;
  s.weight_gradient = time.weight_gradient;
  return s;
}

}  // namespace

StepShape TrainEstimator::shape(const Layout& l, std::int64_t first, const std::vector<std::int64_t>& layers) {
  Inside& in = *inside_;
  const RankCosts& costs = in.costs_of(l);
  StepShape shape;
  shape.layout = l;
  shape.microbatches = in.run.global_batch / (l.dp * l.micro_batch);
  for (const std::int64_t count : layers) {
    StageClass stage;
    stage.layers = count;
    stage.stages = 1;
    stage.has_embedding = first == 0;
    stage.has_head = first + count == in.model.depth();
    for (std::int64_t i = first; i < first + count; ++i) { ++stage.count[in.model.layers[static_cast<std::size_t>(i)]]; }
    const StageTime time = in.stage_time(l, stage, costs);
    const Inside::StepEnd end = in.step_end(l, stage, time, in.weights_of_stage(l, stage, costs));
    StepShape::Stage s = stage_of(time, raw_of(in.model, stage, costs), in.stack);
    s.first_layer = first;
    s.layers = count;
    if (end.gather.each_micro_batch) { s.forward.dp = end.gather.exposed, s.forward.dp_hidden = end.gather.hidden; }
    if (end.reduce.each_micro_batch) { s.backward.dp = end.reduce.exposed, s.backward.dp_hidden = end.reduce.hidden; }
    shape.stages.push_back(s);
    first += count;
  }
  return shape;
}

StepShape TrainEstimator::shape(const Layout& l) {
  Inside& in = *inside_;
  const RankCosts& costs = in.costs_of(l);
  const StepEstimate e = estimate(l);
  StepShape shape;
  shape.layout = l;
  shape.microbatches = e.microbatches;
  shape.send = in.send_time(l);
  shape.send_hidden = shape.send * in.stack.pp_overlap;
  shape.optimizer = e.parts.optimizer.value;
  shape.overhead = e.parts.other.value;
  shape.step = e.step.value;
  Inside::StepEnd each, once;  // of the stages that have most of either
  for (const StageClass& stage : in.stages_of(l)) {
    const StageTime time = in.stage_time(l, stage, costs);
    const Inside::StepEnd end = in.step_end(l, stage, time, in.weights_of_stage(l, stage, costs));
    if (end.dp_micro > each.dp_micro) { each = end; }
    if (end.dp > once.dp) { once = end; }
    StepShape::Stage s = stage_of(time, raw_of(in.model, stage, costs), in.stack);
    s.layers = stage.layers;
    shape.stages.push_back(s);
  }
  const std::vector<std::int64_t> chunks = estimating::layers_of_chunks(in.model.depth(), l.pp, l.interleave, in.head_layers);
  std::int64_t first = 0;
  for (std::size_t s = 0; s < shape.stages.size(); ++s) {
    shape.stages[s].first_layer = first;
    first += chunks[s];
  }
  for (StepShape::Stage& s : shape.stages) {
    const auto micro = [&](const Inside::StepEnd::Part& part, StepShape::Pass& pass) {
      if (!part.each_micro_batch) { return; }
      pass.dp = part.exposed;
      pass.dp_hidden = part.hidden;
    };
    micro(each.gather, s.forward);
    micro(each.reduce, s.backward);
  }
  const auto step = [](const Inside::StepEnd::Part& part, double& exposed, double& hidden) {
    if (part.each_micro_batch) { return; }
    exposed = part.exposed;
    hidden = part.hidden;
  };
  step(once.gather, shape.gather, shape.gather_hidden);
  step(once.reduce, shape.reduce, shape.reduce_hidden);
  if (l.offload == Offload::activations) {
    // What estimate() adds for it: all of `other` but the stack's own and the jitter.
    const double nodes = as_double(l.chips()) / as_double(std::max<std::int64_t>(1, in.island.chips_per_node));
    const double jitter = in.stack.jitter * std::log2(std::max(1.0, nodes));
    const double before = (e.step.value - in.stack.step.value) / (1 + jitter);
    const double offload = std::max(0.0, before - (e.parts.total().value - e.parts.other.value));
    for (StepShape::Stage& s : shape.stages) { s.backward.offload = offload / as_double(e.microbatches); }
    shape.overhead -= offload;
  }
  return shape;
}

std::vector<TrainEstimator::Term> TrainEstimator::explain(const Layout& l) {
  Inside& in = *inside_;
  const RankCosts& costs = in.costs_of(l);
  const StepEstimate e = estimate(l);
  Explanation x(in.island, in.stack, l, e);
  x.inputs(in.run);
  // The stage that paces the pipeline, found as estimate() finds it.
  const StageClass* pace = nullptr;
  StageTime slowest;
  for (const StageClass& stage : in.cut_of(l).classes) {
    const StageTime time = in.stage_time(l, stage, costs);
    if (pace == nullptr || time.total() > slowest.total()) {
      pace = &stage;
      slowest = time;
    }
  }
  ensure(pace != nullptr);
  for (std::size_t k = 0; k < in.model.kinds.size(); ++k) {
    if (pace->count[k] > 0) { x.block(k, pace->count[k], costs.blocks[k]); }
  }
  const std::string stage = l.pp > 1 ? fmt::format("stage {} paces the pipeline", pace->first) : std::string("all layers");
  x.step(&slowest, stage, in.send_time(l));
  x.memory();
  return x.take();
}

std::vector<TrainEstimator::Term> TrainEstimator::explain(const Layout& l, std::int64_t first, const std::vector<std::int64_t>& layers,
                                                          const StepEstimate& e) {
  Inside& in = *inside_;
  const RankCosts& costs = in.costs_of(l);
  Explanation x(in.island, in.stack, l, e);
  x.inputs(in.run);
  std::array<std::int64_t, estimating::kKindsMax> count{};
  std::int64_t end = first;
  for (const std::int64_t n : layers) { end += n; }
  for (std::int64_t i = first; i < end; ++i) { ++count[in.model.layers[static_cast<std::size_t>(i)]]; }
  for (std::size_t k = 0; k < in.model.kinds.size(); ++k) {
    if (count[k] > 0) { x.block(k, count[k], costs.blocks[k]); }
  }
  x.step(nullptr, "the slowest stage of the whole pipeline, which may be on another island", in.send_time(l));
  x.memory();
  return x.take();
}

}  // namespace centrale
