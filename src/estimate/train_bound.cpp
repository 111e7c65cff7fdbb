// SPDX-License-Identifier: Apache-2.0
// Times that a family of layouts cannot beat. They are computed by the functions that the estimate itself is made of, with what is still
// open at its cheapest, so that a search which prunes with them keeps the best.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "estimate/operators.hpp"
#include "estimate/train_inside.hpp"

namespace centrale {

using estimating::RankCosts;
using estimating::StageClass;
using estimating::StageTime;

namespace {

double as_double(std::int64_t n) { return static_cast<double>(n); }

/// The best rate of one chip, all efficiencies at their best.
double best_rate(const Island& island, const Stack& stack, Precision precision) {
  const ChipEfficiency& e = island.chip.efficiency;
  const double best = std::max({e.gemm, e.gemm_fp8, e.gemm_fp4, e.attention}) * std::max({1.0, stack.gemm, stack.attention});
  return best * std::max(best_peak(island.chip, precision).value, best_peak(island.chip, Precision::bf16).value);
}

/// What the whole step adds to its parts, which are `seconds`.
double whole_step(double seconds, const Layout& l, const Island& island, const Stack& stack) {
  const double nodes = as_double(l.chips()) / as_double(std::max<std::int64_t>(1, island.chips_per_node));
  return seconds * (1 + stack.jitter * std::log2(std::max(1.0, nodes))) + stack.step.value;
}

/// Multiplications of a block's routed experts on one rank, forward and backward, the load in perfect balance.
double expert_flop(const Model& model, const Block& block, const Layout& l, const TrainRun& run) {
  const FeedForward& f = block.ffn;
  if (f.experts == 0) { return 0; }
  const double width = as_double(f.latent > 0 ? f.latent : model.hidden);
  const double tokens = as_double(l.micro_batch * run.sequence) / as_double(l.cp * l.tp);
  const double passes = run.lora_rank > 0 ? 2 : 3;
  return passes * 2 * tokens * as_double(f.active) * (f.gated ? 3 : 2) * width * as_double(f.expert_width);
}

}  // namespace

double TrainEstimator::Inside::collective_seconds(Collective kind, double bytes, Group group) const {
  std::uint64_t mixed = std::bit_cast<std::uint64_t>(bytes) ^ static_cast<std::uint64_t>(kind) << 60;
  mixed = (mixed ^ static_cast<std::uint64_t>(group.size)) * 0x9e3779b97f4a7c15;
  mixed = (mixed ^ mixed >> 29 ^ static_cast<std::uint64_t>(group.stride)) * 0xbf58476d1ce4e5b9;
  Asked& known = asked[mixed >> 54];  // ten bits
  if (known.kind != kind || known.bytes != bytes || known.group != group) {
    known = {.kind = kind,
             .bytes = bytes,
             .group = group,
             .seconds = collective_time(kind, ByteCount{bytes}, group, island, stack.transport).time.value};
  }
  return known.seconds;
}

const TrainEstimator::Inside::Floor& TrainEstimator::Inside::floor_of(const Layout& layout) {
  Layout l = layout;
  l.ep = l.etp = 1;
  l.sequence_parallel = false;
  l.recompute = Recompute::none;
  l.schedule = Schedule::one_f_one_b;
  auto [found, is_new] = floors_by_shape.try_emplace(estimating::key_of(l));
  Floor& floor = found->second;
  if (!is_new) { return floor; }
  Model plain = model;
  for (Block& block : plain.kinds) { block.ffn.experts = 0; }
  Stack instant = stack;
  instant.kernels = 0;
  const double rate = best_rate(island, stack, l.precision);
  for (const std::size_t parallel : {0U, 1U}) {
    floor.whole[parallel] = floor.layer[parallel] = std::numeric_limits<double>::infinity();
    if (parallel == 1 && l.tp == 1) { continue; }
    l.sequence_parallel = parallel == 1;
    // Blocks without their experts, as they are; and with kernels that cost nothing to start, beside which experts take their FLOP.
    const estimating::RankShape shape = estimating::shape_of(l, run);
    RankCosts bare, light;
    for (std::size_t k = 0; k < model.kinds.size(); ++k) {
      bare.blocks[k] = block_cost(plain, plain.kinds[k], shape, island, stack);
      light.blocks[k] = block_cost(plain, plain.kinds[k], shape, island, instant);
    }
    bare.head = head_cost(plain, shape, island, stack);
    light.head = head_cost(plain, shape, island, instant);
    StageClass all;
    all.layers = model.depth();
    all.has_embedding = all.has_head = true;
    for (const std::uint8_t kind : model.layers) { ++all.count[kind]; }
    double experts = 0;
    for (std::size_t k = 0; k < model.kinds.size(); ++k) {
      if (all.count[k] == 0) { continue; }
      StageClass one;
      one.layers = one.count[k] = 1;
      const double expert = expert_flop(model, model.kinds[k], l, run) / rate;
      experts += all.count[k] * expert;
      const double layer = std::max(stage_time(l, one, bare).total(), stage_time(l, one, light).total() + expert);
      floor.layer[parallel] = std::min(floor.layer[parallel], layer);
    }
    floor.whole[parallel] = std::max(stage_time(l, all, bare).total(), stage_time(l, all, light).total() + experts);
  }
  return floor;
}

std::int64_t TrainEstimator::largest_stage(const Layout& layout) {
  std::int64_t most = 0;
  for (const StageClass& stage : inside_->cut_of(layout).classes) { most = std::max(most, stage.layers); }
  return most;
}

Seconds TrainEstimator::degrees_bound(const Layout& l) {
  const Inside& in = *inside_;
  const Inside::Floor& floor = inside_->floor_of(l);
  // The slowest of pp stages takes at least its share, and one of them has at least ceil(layers / pp) layers.
  const double most = as_double((in.model.depth() + l.pp - 1) / l.pp);
  double least = std::numeric_limits<double>::infinity();
  for (const std::size_t parallel : {0U, 1U}) {
    least = std::min(least, std::max(floor.whole[parallel] / as_double(l.pp), most * floor.layer[parallel]));
  }
  const double m = as_double(in.run.global_batch / (l.dp * l.micro_batch));
  return {whole_step(m * least, l, in.island, in.stack)};
}

Seconds TrainEstimator::schedule_bound(const Layout& l) {
  Inside& in = *inside_;
  const RankCosts& costs = in.costs_of(l);
  const double m = as_double(in.run.global_batch / (l.dp * l.micro_batch));
  double sum = 0, slowest = 0, backward = std::numeric_limits<double>::infinity(), deferred = 0;
  for (const StageClass& stage : in.cut_of(l).classes) {
    const StageTime time = in.stage_time(l, stage, costs);
    sum += time.total() * as_double(stage.stages);
    slowest = std::max(slowest, time.total());
    backward = std::min(backward, time.backward());
    deferred = std::max(deferred, time.weight_gradient);
  }
  double seconds = m * slowest;
  if (l.pp > 1) {
    double fill = (sum - slowest) / as_double(l.interleave);
    // More recomputation may make another stage the slowest: the one with the most to defer is taken.
    if (l.schedule == Schedule::zero_bubble) { fill *= std::max(0.0, slowest - 2 * deferred) / slowest; }
    if (l.schedule == Schedule::dual_pipe) { fill = (as_double(l.pp) / 2 - 1) * std::max(0.0, slowest + backward - 3 * deferred); }
    seconds += fill + 2 * in.send_time(l) * (m * as_double(l.interleave) * (1 - in.stack.pp_overlap) + as_double(l.pp - 1));
  }
  return {whole_step(seconds, l, in.island, in.stack)};
}

Seconds TrainEstimator::lower_bound(std::int64_t chips, Precision precision) const {
  const Inside& in = *inside_;
  const double passes = in.run.lora_rank > 0 ? 2 : 3;
  return {passes * in.forward_flop_sequence * as_double(in.run.global_batch) /
          (as_double(chips) * best_rate(in.island, in.stack, precision))};
}

}  // namespace centrale
