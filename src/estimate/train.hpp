// SPDX-License-Identifier: Apache-2.0
// One step of training: its time by part, its memory to the tensor, what bounds it.
//
//   TrainEstimator estimator(model, island, stack, {.sequence = 8192, .global_batch = 2048});
//   StepEstimate step = estimator.estimate(layout);
//
// An estimator remembers what layouts share (the time of a layer under one tp, cp, ep, micro-batch, recompute, precision), so that a search
// pays for each once.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/dimension.hpp"
#include "base/result.hpp"
#include "estimate/collective.hpp"
#include "estimate/layout.hpp"
#include "estimate/stack.hpp"
#include "fleet/fleet.hpp"
#include "model/model.hpp"

namespace centrale {

struct TrainRun {
  std::int64_t sequence = 0;      // tokens
  std::int64_t global_batch = 0;  // sequences a step
  std::int64_t lora_rank = 0;     // 0: all weights are trained
  bool balanced = false;          // tokens beyond an expert's capacity are dropped: no expert is busier than the mean
};

/// Bytes on the fullest chip of a stage.
struct Memory {
  ByteCount weights, gradients, optimizer, activations, buffers, reserved;  // reserved: context, collectives' buffers, fragmentation
  [[nodiscard]] ByteCount total() const { return weights + gradients + optimizer + activations + buffers + reserved; }
};

/// Seconds of one step on the slowest stage's chip, exposed parts only; they add up to the step.
struct StepParts {
  Seconds forward, backward;  // computation, without recomputation and without the head and loss
  Seconds recompute;
  Seconds head;                // embedding, output matrix, cross-entropy: beyond what other stages do meanwhile
  Seconds tp, cp, ep, pp, dp;  // collectives that nothing hides
  Seconds bubble;              // waiting of a pipeline that fills and drains
  Seconds optimizer;
  Seconds other;  // the stack's own, jitter, offload
  [[nodiscard]] Seconds total() const {
    return forward + backward + recompute + head + tp + cp + ep + pp + dp + bubble + optimizer + other;
  }
};

struct StepEstimate {
  Seconds step;
  StepParts parts;
  Memory memory;  // of the fullest stage
  std::int64_t fullest_stage = 0;
  std::int64_t microbatches = 0;  // of each pipeline, a step
  Flop model_flop;                // of one step, all chips: what MFU counts (arXiv:2204.02311, appendix B, causal half)
  double mfu = 0;                 // of the dense peak of the layout's precision... of 16 bit where it is not lower
  PerSecond tokens;               // all chips
  Watts power;                    // mean, all chips
};

/// Why a layout cannot be: which rule it breaks. Empty: it can. Memory is another question.
[[nodiscard]] std::string fault_of(const Layout& layout, const Model& model, const TrainRun& run, const Island& island);

struct StepShape;  // timeline.hpp

class TrainEstimator {
 public:
  TrainEstimator(const Model& model, const Island& island, const Stack& stack, const TrainRun& run);
  ~TrainEstimator();
  TrainEstimator(TrainEstimator&&) noexcept;
  TrainEstimator& operator=(TrainEstimator&&) noexcept;

  /// Another batch, sequences: what is remembered stays of use.
  void set_global_batch(std::int64_t sequences);
  /// The layout must have no fault (fault_of).
  [[nodiscard]] StepEstimate estimate(const Layout& layout);
  /// Memory alone: cheap enough to prune with.
  [[nodiscard]] Memory memory(const Layout& layout);
  /// A time that no layout with these degrees can beat, whatever its other choices: the pruning bound.
  [[nodiscard]] Seconds lower_bound(std::int64_t chips, Precision precision) const;
  /// The same for layouts with this tp, cp, pp, dp, micro-batch and precision, whatever their ep, etp, interleave, schedule, ZeRO,
  /// recomputation, offload and sequence-parallelism.
  [[nodiscard]] Seconds degrees_bound(const Layout& layout);
  /// The same where only ZeRO, its shard, more recomputation and offload are open.
  [[nodiscard]] Seconds schedule_bound(const Layout& layout);
  /// Layers of the stage that has most: so many can be recomputed.
  [[nodiscard]] std::int64_t largest_stage(const Layout& layout);
  /// Bytes that one chip has for a job.
  [[nodiscard]] ByteCount capacity() const;

  /// One stage by itself: what a pipeline of unlike stages is made of. Times of one micro-batch through `layers` layers from `first` on.
  struct Stage {
    Seconds forward, backward;  // with their exposed collectives
    Seconds step_end;           // optimizer and what of the data-parallel collectives is exposed, once a step
    Seconds optimizer;          // of step_end
    StepParts parts;            // of forward and backward
    ByteCount boundary;         // activations sent to the next stage, per rank
    Memory memory;              // with `in_flight` micro-batches alive
  };
  [[nodiscard]] Stage stage(const Layout& layout, std::int64_t first, std::int64_t layers, std::int64_t in_flight);

  /// What the estimate adds up, stage by stage: for a timeline of one step.
  [[nodiscard]] StepShape shape(const Layout& layout);
  /// The same of stages that hold so many layers each, from layer `first` on: an island's part of a longer pipeline. What joins the parts
  /// (sends, the step's end) is the caller's; `layout.pp` counts all stages of the pipeline.
  [[nodiscard]] StepShape shape(const Layout& layout, std::int64_t first, const std::vector<std::int64_t>& layers);

  /// Every term of the estimate with where it comes from: lines of name, value, unit, source.
  struct Term {
    std::string name, value, source;
  };
  [[nodiscard]] std::vector<Term> explain(const Layout& layout);
  /// The same of an island's part of a longer pipeline, as shape() takes it; `estimate` is what is explained.
  [[nodiscard]] std::vector<Term> explain(const Layout& layout, std::int64_t first, const std::vector<std::int64_t>& layers,
                                          const StepEstimate& estimate);

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace centrale
