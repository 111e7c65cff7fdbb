// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "estimate/train_inside.hpp"

namespace centrale {

using estimating::RankCosts;
using estimating::StageClass;
using estimating::StageWeights;

namespace {

constexpr double kContext = 1.2e9;       // driver context, kernels' code, collectives' channels: NCCL takes about 0.5 GB of it
constexpr double kFragmentation = 0.03;  // of what comes and goes: PyTorch's allocator rounds blocks to 2 MiB and splits them

double as_double(std::int64_t n) { return static_cast<double>(n); }

double ranks_sharing(const Layout& l) { return as_double(l.shard > 0 ? l.shard : l.dp * l.cp); }
double ranks_sharing_experts(const Layout& l) {
  const double all = as_double(l.tp * l.cp * l.dp) / as_double(l.ep * l.etp);
  return l.shard > 0 ? std::min(all, as_double(l.shard)) : all;
}

}  // namespace

double TrainEstimator::Inside::in_flight_layers(const Layout& l, const StageClass& stage, std::int64_t microbatches) const {
  const double layers = as_double(stage.layers);
  const std::int64_t behind = l.pp - stage.first;  // stages from this one to the last
  if (l.schedule == Schedule::dual_pipe) { return layers * as_double(std::min(microbatches, l.pp + 1)); }
  if (l.interleave == 1) { return layers * as_double(std::min(microbatches, behind)); }
  // Chunks alive at once (arXiv:2104.04473, section 2.2): warm-up is 2 (behind - 1) + (v - 1) pp, and one more runs.
  const std::int64_t chunks = std::min(microbatches * l.interleave, 2 * (behind - 1) + (l.interleave - 1) * l.pp + 1);
  return layers * as_double(chunks) / as_double(l.interleave);
}

StageWeights TrainEstimator::Inside::weights_of_stage(const Layout& l, const StageClass& stage, const RankCosts& costs) const {
  StageWeights w;
  for (std::size_t k = 0; k < model.kinds.size(); ++k) {
    const estimating::BlockCost& b = costs.blocks[k];
    const double count = stage.count[k];
    w.dense += count * b.dense;
    w.expert += count * b.expert;
    w.trained_dense += count * b.trained_dense;
    w.trained_expert += count * b.trained_expert;
  }
  const bool shared = model.tied && l.pp == 1;
  const double outer =
      (stage.has_embedding ? costs.head.embedding_elements : 0) + (stage.has_head && !shared ? costs.head.head_elements : 0);
  w.dense += outer;
  if (stage.has_head) {
    w.expert += costs.head.head_experts;
    if (run.lora_rank == 0) { w.trained_expert += costs.head.head_experts; }
  }
  if (run.lora_rank == 0) { w.trained_dense += outer; }
  return w;
}

Memory TrainEstimator::Inside::memory_of(const Layout& l, const StageClass& stage, const RankCosts& costs, double in_flight) const {
  const StageWeights w = weights_of_stage(l, stage, costs);
  const double element = l.precision == Precision::fp32 || l.precision == Precision::tf32 ? 4 : 2;
  const bool narrow = l.precision == Precision::fp8 || l.precision == Precision::fp4 || l.precision == Precision::int8;
  const double copies = l.schedule == Schedule::dual_pipe ? 2 : 1;
  const double dense_share = ranks_sharing(l), expert_share = ranks_sharing_experts(l);
  const auto kept = [&](double dense, double expert, bool divided) {
    return divided ? dense / dense_share + expert / expert_share : dense + expert;
  };
  Memory m;
  m.weights.value = copies * element * kept(w.dense, w.expert, l.zero >= Zero::weights);
  if (narrow && l.zero < Zero::weights) { m.weights.value += copies * (w.dense + w.expert); }  // the cast copy that products read
  m.gradients.value = stack.gradient_bytes * kept(w.trained_dense, w.trained_expert, l.zero >= Zero::gradients);
  const double states = element == 4 ? stack.optimizer_bytes - 4 : stack.optimizer_bytes;  // no second master copy
  m.optimizer.value = states * kept(w.trained_dense, w.trained_expert, l.zero >= Zero::optimizer);
  if (l.offload == Offload::optimizer) { m.optimizer.value = 0; }

  // Activations: a mean layer of the stage, for as many as are alive.
  double layer = 0, largest = 0, gathered = 0;
  const double layers = as_double(std::max<std::int64_t>(1, stage.layers));
  const double recomputed = l.recompute != Recompute::full ? 0
                            : l.layers_recomputed < 0      ? 1
                                                           : std::min(1.0, as_double(l.layers_recomputed) / layers);
  for (std::size_t k = 0; k < model.kinds.size(); ++k) {
    if (stage.count[k] == 0) { continue; }
    const estimating::BlockCost& b = costs.blocks[k];
    const double whole = b.kept - (l.recompute == Recompute::selective ? b.scores : 0);
    layer += stage.count[k] / layers * (recomputed * b.boundary + (1 - recomputed) * whole);
    // One block at a time works; a recomputed one is whole again while it goes backward.
    largest = std::max(largest, b.working + (recomputed > 0 || l.offload == Offload::activations ? b.kept : b.scores));
    gathered = std::max(gathered, b.dense + b.expert);
  }
  m.activations.value = stack.activation_factor * layer * (l.offload == Offload::activations ? std::min(in_flight, 2.0) : in_flight);
  m.buffers.value = stack.activation_factor * largest + (stage.has_head ? costs.head.kept : 0);
  if (l.zero == Zero::weights) { m.buffers.value += 2 * element * gathered; }  // this layer's and the next one's
  m.reserved.value = kContext + kFragmentation * (m.activations.value + m.buffers.value);
  return m;
}

ByteCount TrainEstimator::capacity() const { return {static_cast<double>(inside_->island.chip.memory.value.value)}; }

Memory TrainEstimator::memory(const Layout& layout) {
  const RankCosts& costs = inside_->costs_of(layout);
  const std::int64_t microbatches = inside_->run.global_batch / (layout.dp * layout.micro_batch);
  Memory fullest;
  for (const StageClass& stage : inside_->cut_of(layout).classes) {
    const Memory m = inside_->memory_of(layout, stage, costs, inside_->in_flight_layers(layout, stage, microbatches));
    if (m.total() > fullest.total()) { fullest = m; }
  }
  return fullest;
}

}  // namespace centrale
