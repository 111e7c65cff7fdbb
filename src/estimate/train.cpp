// SPDX-License-Identifier: Apache-2.0
#include "estimate/train.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/ensure.hpp"
#include "estimate/operators.hpp"
#include "estimate/train_inside.hpp"

namespace centrale {

using estimating::BlockCost;
using estimating::Passes;
using estimating::RankCosts;
using estimating::RankShape;
using estimating::StageClass;
using estimating::StageCut;
using estimating::StageTime;
using estimating::StageWeights;

namespace {

double as_double(std::int64_t n) { return static_cast<double>(n); }

Passes exposed(const Passes& all, double overlap, double drag) {
  const double part = 1 - overlap + overlap * drag;
  return {all.forward * part, all.backward * part};
}

}  // namespace

namespace estimating {

RankShape shape_of(const Layout& l, const TrainRun& run) {
  return {.tp = l.tp,
          .cp = l.cp,
          .ep = l.ep,
          .etp = l.etp,
          .micro_batch = l.micro_batch,
          .sequence = run.sequence,
          .precision = l.precision,
          .sequence_parallel = l.sequence_parallel,
          .lora_rank = run.lora_rank,
          .balanced = run.balanced};
}

/// Layouts with one key share their RankCosts. Degrees stay far below the fields' widths (fault_of).
std::uint64_t key_of(const Layout& l) {
  std::uint64_t key = static_cast<std::uint64_t>(l.tp);
  const auto add = [&](std::int64_t value, int bits) { key = key << bits | static_cast<std::uint64_t>(value); };
  add(l.cp, 14);
  add(l.ep, 12);
  add(l.etp, 8);
  add(l.micro_batch, 14);
  add(static_cast<std::int64_t>(l.precision), 3);
  add(l.sequence_parallel ? 1 : 0, 1);
  return key;
}

std::vector<std::int64_t> layers_of_chunks(std::int64_t layers, std::int64_t stages, std::int64_t interleave, double head) {
  const std::int64_t chunks = stages * interleave;
  std::vector<std::int64_t> counts(static_cast<std::size_t>(chunks), layers / chunks);
  if (layers % chunks == 0) { return counts; }
  const double share = (as_double(layers) + head) / as_double(stages);
  const std::int64_t last = std::clamp<std::int64_t>(std::llround(share - head), 0, layers / stages);
  const std::int64_t rest = layers - last, others = stages - 1;
  for (std::int64_t s = 0; s < stages; ++s) {
    // The first stage, which embeds, is the last to get one more.
    const std::int64_t of_stage = s == others ? last : rest / others + (s >= others - rest % others ? 1 : 0);
    for (std::int64_t c = 0; c < interleave; ++c) {
      counts[static_cast<std::size_t>(c * stages + s)] = of_stage / interleave + (c < of_stage % interleave ? 1 : 0);
    }
  }
  return counts;
}

}  // namespace estimating

TrainEstimator::TrainEstimator(const Model& model, const Island& island, const Stack& stack, const TrainRun& run)
    : inside_(std::make_unique<Inside>(model, island, stack, run)) {
  ensure(model.kinds.size() <= estimating::kKindsMax);
  inside_->forward_flop_sequence = forward_flop(model, run.sequence).value;
  Model bare = model;  // without its head
  bare.vocab = 0;
  const double layers = forward_flop(bare, run.sequence).value;
  double head = inside_->forward_flop_sequence - layers;
  // Each prediction module is its blocks, and the head once more.
  const double layer = layers / as_double(std::max<std::int64_t>(1, model.depth()));
  head += as_double(model.mtp_layers) * (head + layer * as_double(static_cast<std::int64_t>(model.mtp_blocks.size())));
  inside_->head_layers = layer > 0 ? head / layer : 0;
}
TrainEstimator::~TrainEstimator() = default;
TrainEstimator::TrainEstimator(TrainEstimator&&) noexcept = default;
TrainEstimator& TrainEstimator::operator=(TrainEstimator&&) noexcept = default;

void TrainEstimator::set_global_batch(std::int64_t sequences) { inside_->run.global_batch = sequences; }

const RankCosts& TrainEstimator::Inside::costs_of(const Layout& layout) {
  const std::uint64_t key = estimating::key_of(layout);
  if (last != nullptr && key == last_key) { return *last; }
  auto [found, is_new] = costs_by_shape.try_emplace(key);
  if (is_new) {
    const RankShape shape = estimating::shape_of(layout, run);
    for (std::size_t k = 0; k < model.kinds.size(); ++k) {
      found->second.blocks[k] = block_cost(model, model.kinds[k], shape, island, stack);
    }
    found->second.head = head_cost(model, shape, island, stack);
  }
  last_key = key;
  last = &found->second;
  return *last;
}

std::vector<StageClass> TrainEstimator::Inside::stages_of(const Layout& layout) const {
  const std::vector<std::int64_t> chunks = estimating::layers_of_chunks(model.depth(), layout.pp, layout.interleave, head_layers);
  std::vector<StageClass> stages(static_cast<std::size_t>(layout.pp));
  std::size_t layer = 0;
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    StageClass& stage = stages[c % stages.size()];
    stage.layers += chunks[c];
    for (std::int64_t i = 0; i < chunks[c]; ++i) { ++stage.count[model.layers[layer++]]; }
  }
  stages.front().has_embedding = true;
  stages.back().has_head = true;
  return stages;
}

const StageCut& TrainEstimator::Inside::cut_of(const Layout& layout) {
  const std::uint64_t key = static_cast<std::uint64_t>(layout.pp) << 32 | static_cast<std::uint64_t>(layout.interleave);
  auto [found, is_new] = cuts_by_pipeline.try_emplace(key);
  if (!is_new) { return found->second; }
  std::vector<StageClass> stages = stages_of(layout);
  for (std::size_t s = 0; s < stages.size(); ++s) {
    auto& classes = found->second.classes;
    const auto same = std::find_if(classes.begin(), classes.end(), [&](const StageClass& c) {
      return c.count == stages[s].count && c.has_embedding == stages[s].has_embedding && c.has_head == stages[s].has_head;
    });
    if (same != classes.end()) {
      ++same->stages;
      continue;
    }
    stages[s].first = static_cast<std::int64_t>(s);
    stages[s].stages = 1;
    classes.push_back(stages[s]);
  }
  return found->second;
}

StageTime TrainEstimator::Inside::stage_time(const Layout& l, const StageClass& stage, const RankCosts& costs) const {
  StageTime time;
  const double recomputed = l.recompute != Recompute::full ? 0
                            : l.layers_recomputed < 0
                                ? 1
                                : std::min(1.0, as_double(l.layers_recomputed) / as_double(std::max<std::int64_t>(1, stage.layers)));
  // Products hide collectives piece by piece through the domain's own memory accesses; across its edge nothing does.
  const double tp_overlap = l.tp <= island.domain ? stack.tp_overlap : 0;
  for (std::size_t k = 0; k < model.kinds.size(); ++k) {
    if (stage.count[k] == 0) { continue; }
    const BlockCost& b = costs.blocks[k];
    const double count = stage.count[k];
    const Passes tp = exposed(b.tp, tp_overlap, stack.overlap_drag);
    // DualPipe runs one micro-batch's computation beside another's all-to-all (arXiv:2412.19437, figure 4).
    Passes ep = exposed(b.ep, stack.ep_overlap, stack.overlap_drag);
    if (l.schedule == Schedule::dual_pipe) {
      ep = {std::max(0.0, b.ep.forward - b.compute.forward), std::max(0.0, b.ep.backward - b.compute.backward)};
    }
    time.compute += {count * b.compute.forward, count * b.compute.backward};
    time.tp += {count * tp.forward, count * tp.backward};
    time.cp += {count * b.cp.forward, count * b.cp.backward};
    time.ep += {count * ep.forward, count * ep.backward};
    time.weight_gradient += count * b.weight_gradient;
    if (l.recompute == Recompute::selective) { time.recompute += count * b.attention; }
    if (l.recompute == Recompute::full) {
      time.recompute += count * recomputed * (b.compute.forward + tp.forward + b.cp.forward + ep.forward);
    }
  }
  if (stage.has_embedding) { time.head += {costs.head.embedding / 3, costs.head.embedding * 2 / 3}; }
  if (stage.has_head) { time.head += costs.head.head; }
  return time;
}

double TrainEstimator::Inside::send_time(const Layout& l) const {
  if (l.pp == 1) { return 0; }
  // Ranks of a tensor-parallel group send a part each and gather on the other side (arXiv:2104.04473, section 4.1).
  const double bytes = estimating::shape_of(l, run).tokens() * as_double(model.hidden) * 2 / as_double(l.tp);
  return collective_seconds(Collective::send, bytes, {.size = l.pp, .stride = l.tp * l.cp * l.dp});
}

TrainEstimator::Inside::StepEnd TrainEstimator::Inside::step_end(const Layout& l, const StageClass& stage, const StageTime& time,
                                                                 const StageWeights& w) const {
  StepEnd end;
  const std::int64_t all = l.dp * l.cp;
  const std::int64_t shard = l.zero == Zero::none ? all : (l.shard > 0 ? l.shard : all);
  const Group near{.size = shard, .stride = l.tp}, far{.size = all / shard, .stride = l.tp * shard};
  const std::int64_t expert_ranks = l.tp * l.cp * l.dp / (l.ep * l.etp);
  const Group expert_group{.size = expert_ranks, .stride = l.ep * l.etp};
  const double element = l.precision == Precision::fp32 || l.precision == Precision::tf32 ? 4 : 2;
  const double dense = w.dense, trained = w.trained_dense;
  const auto over = [&](Collective kind, double elements, double bytes, Group group) {
    return elements <= 0 || group.size <= 1 ? 0.0 : collective_seconds(kind, elements * bytes, group);
  };
  const double layers = as_double(std::max<std::int64_t>(1, stage.layers));
  // What `beside` hides of a collective; the first layer's part waits for nothing to hide behind.
  const auto shown = [&](StepEnd::Part& part, double collective, double beside, bool each_micro_batch) {
    part.hidden = std::min(collective * (1 - 1 / layers), stack.dp_overlap * beside);
    part.exposed = collective - part.hidden + stack.overlap_drag * part.hidden;
    part.each_micro_batch = each_micro_batch;
    return part.exposed;
  };
  if (l.zero == Zero::weights) {
    const double gather =
        over(Collective::all_gather, dense, element, near) + over(Collective::all_gather, w.expert, element, expert_group);
    const double scatter = over(Collective::reduce_scatter, trained, stack.gradient_bytes, near) +
                           over(Collective::all_reduce, trained / as_double(shard), stack.gradient_bytes, far) +
                           over(Collective::reduce_scatter, w.trained_expert, stack.gradient_bytes, expert_group);
    const double again = gather;
    end.dp_micro = shown(end.gather, gather, time.forward(), true) + shown(end.reduce, again + scatter, time.backward(), true);
  } else {
    const bool sharded = l.zero != Zero::none;
    const Collective reduce = sharded ? Collective::reduce_scatter : Collective::all_reduce;
    const double down = over(reduce, trained, stack.gradient_bytes, sharded ? near : Group{.size = all, .stride = l.tp}) +
                        (sharded ? over(Collective::all_reduce, trained / as_double(shard), stack.gradient_bytes, far) : 0) +
                        over(reduce, w.trained_expert, stack.gradient_bytes, expert_group);
    const double up = !sharded ? 0
                               : over(Collective::all_gather, trained, element, near) +
                                     over(Collective::all_gather, w.trained_expert, element, expert_group);
    if (l.zero == Zero::gradients) {
      end.dp_micro = shown(end.reduce, down, time.backward(), true);
      end.dp = shown(end.gather, up, time.forward(), false);
    } else {
      end.dp = shown(end.reduce, down, time.backward(), false) + shown(end.gather, up, time.forward(), false);
    }
  }
  // Adam: reads gradient, master and moments, writes those three and the weight.
  const double share = l.zero == Zero::none ? 1 : as_double(shard);
  const double expert_share = l.zero == Zero::none ? 1 : as_double(expert_ranks);
  const double elements = trained / share + w.trained_expert / expert_share;
  const double bytes = elements * (stack.gradient_bytes + 2 * stack.optimizer_bytes + element);
  end.optimizer = stream_time(ByteCount{bytes}, 4, island.chip).time.value;
  // The norm of the gradients before, once over them.
  end.optimizer += stream_time(ByteCount{elements * stack.gradient_bytes}, 2, island.chip).time.value;
  if (l.offload == Offload::optimizer) {
    constexpr double kHostLink = 25e9;  // bytes/s of one chip to the host's memory, one direction: PCIe 4 x16 after overheads
    // CPU-Adam took 2.57 s for 1e10 parameters on a node (ZeRO-Offload, arXiv:2101.06840, table 4), which its chips share.
    constexpr double kHostElements = 3.9e9;
    const double host = elements * as_double(std::min(island.chips_per_node, l.chips())) / kHostElements;
    end.optimizer = std::max(elements * (stack.gradient_bytes + element) / kHostLink, host);
  }
  return end;
}

StepEstimate TrainEstimator::estimate(const Layout& l) {
  Inside& in = *inside_;
  const RankCosts& costs = in.costs_of(l);
  const StageCut& cut = in.cut_of(l);
  StepEstimate e;
  e.microbatches = in.run.global_batch / (l.dp * l.micro_batch);
  const double m = as_double(e.microbatches);

  // The slowest stage paces the pipeline; all of them fill it.
  StageTime slowest;
  const StageClass* pace = nullptr;
  double sum = 0, slowest_total = -1;
  Inside::StepEnd end;
  for (const StageClass& stage : cut.classes) {
    const StageTime time = in.stage_time(l, stage, costs);
    const Inside::StepEnd stage_end = in.step_end(l, stage, time, in.weights_of_stage(l, stage, costs));
    end.dp = std::max(end.dp, stage_end.dp);
    end.dp_micro = std::max(end.dp_micro, stage_end.dp_micro);
    end.optimizer = std::max(end.optimizer, stage_end.optimizer);
    sum += time.total() * as_double(stage.stages);
    if (time.total() > slowest_total) {
      slowest_total = time.total();
      slowest = time;
      pace = &stage;
    }
    const Memory memory = in.memory_of(l, stage, costs, in.in_flight_layers(l, stage, e.microbatches));
    if (memory.total() > e.memory.total()) {
      e.memory = memory;
      e.fullest_stage = stage.first;
    }
  }
  ensure(pace != nullptr);

  StepParts& p = e.parts;
  p.forward.value = m * slowest.compute.forward;
  p.backward.value = m * slowest.compute.backward;
  p.recompute.value = m * slowest.recompute;
  p.head.value = m * (slowest.head.forward + slowest.head.backward);
  p.tp.value = m * (slowest.tp.forward + slowest.tp.backward);
  p.cp.value = m * (slowest.cp.forward + slowest.cp.backward);
  p.ep.value = m * (slowest.ep.forward + slowest.ep.backward);
  if (l.pp > 1) {
    double fill = (sum - slowest_total) / as_double(l.interleave);
    const double total = slowest_total;
    if (l.schedule == Schedule::zero_bubble) {
      // ZB-H1 (arXiv:2401.10241, table 1): a bubble of (p - 1)(F + B - W) where B is the input's gradient alone.
      fill *= std::max(0.0, total - 2 * slowest.weight_gradient) / total;
    } else if (l.schedule == Schedule::dual_pipe) {
      // (arXiv:2412.19437, table 2): (PP/2 - 1)(F&B + B - 3W), with B the whole backward pass.
      const double both = slowest.forward() + slowest.backward();
      fill = (as_double(l.pp) / 2 - 1) * std::max(0.0, both + slowest.backward() - 3 * slowest.weight_gradient);
    }
    const double send = in.send_time(l);
    p.bubble.value = fill;
    p.pp.value = 2 * send * (m * as_double(l.interleave) * (1 - in.stack.pp_overlap) + as_double(l.pp - 1));
  }
  p.dp.value = end.dp + m * end.dp_micro;
  p.optimizer.value = end.optimizer;
  if (l.offload == Offload::activations) {
    constexpr double kHostLink = 25e9;
    Layout kept = l;
    kept.offload = Offload::none;
    const double bytes = in.memory_of(kept, *pace, costs, as_double(pace->layers)).activations.value;
    p.other.value += m * std::max(0.0, 2 * bytes / kHostLink - slowest_total);
  }
  const double nodes = as_double(l.chips()) / as_double(std::max<std::int64_t>(1, in.island.chips_per_node));
  p.other += in.stack.step + (p.total() * (in.stack.jitter * std::log2(std::max(1.0, nodes))));

  e.step = p.total();
  e.model_flop.value = (in.run.lora_rank > 0 ? 2 : 3) * in.forward_flop_sequence * as_double(in.run.global_batch);
  const double chips = as_double(l.chips());
  e.mfu = e.model_flop.value / (e.step.value * chips * best_peak(in.island.chip, l.precision).value);
  e.tokens.value = as_double(in.run.global_batch * in.run.sequence) / e.step.value;
  // Measured training nodes draw 0.8 to 0.9 of the chips' limit while they compute and about 0.35 while they wait (Patel et al.,
  // "Characterizing power management opportunities for LLMs in the cloud", ASPLOS 2024, figures 4 and 5).
  constexpr double kWaiting = 0.35, kComputing = 0.87;
  const double busy = (p.forward + p.backward + p.recompute + p.head).value / e.step.value;
  e.power.value = chips * static_cast<double>(in.island.chip.power.value.value) * 1e-3 * (kWaiting + (kComputing - kWaiting) * busy);
  return e;
}

TrainEstimator::Stage TrainEstimator::stage(const Layout& l, std::int64_t first, std::int64_t layers, std::int64_t in_flight) {
  Inside& in = *inside_;
  const RankCosts& costs = in.costs_of(l);
  StageClass cls;
  cls.layers = layers;
  cls.stages = 1;
  cls.has_embedding = first == 0;
  cls.has_head = first + layers == in.model.depth();
  for (std::int64_t i = first; i < first + layers; ++i) { ++cls.count[in.model.layers[static_cast<std::size_t>(i)]]; }
  const StageTime time = in.stage_time(l, cls, costs);
  const Inside::StepEnd end = in.step_end(l, cls, time, in.weights_of_stage(l, cls, costs));
  Stage s;
  s.forward.value = time.forward();
  s.backward.value = time.backward() + end.dp_micro;
  s.step_end.value = end.dp + end.optimizer;
  s.optimizer.value = end.optimizer;
  s.parts.forward.value = time.compute.forward;
  s.parts.backward.value = time.compute.backward;
  s.parts.recompute.value = time.recompute;
  s.parts.head.value = time.head.forward + time.head.backward;
  s.parts.tp.value = time.tp.forward + time.tp.backward;
  s.parts.cp.value = time.cp.forward + time.cp.backward;
  s.parts.ep.value = time.ep.forward + time.ep.backward;
  s.parts.dp.value = end.dp_micro;
  s.boundary.value = estimating::shape_of(l, in.run).tokens() * as_double(in.model.hidden) * 2 / as_double(l.tp);
  s.memory = in.memory_of(l, cls, costs, as_double(layers * in_flight));
  return s;
}

}  // namespace centrale
