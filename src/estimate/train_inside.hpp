// SPDX-License-Identifier: Apache-2.0
// What a TrainEstimator keeps: private to estimate/.
#pragma once
#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "estimate/block_cost.hpp"
#include "estimate/train.hpp"

namespace centrale {

namespace estimating {

inline constexpr std::size_t kKindsMax = 8;  // distinct blocks of a model: read_model refuses more

/// The costs of every kind of block and of the head under one RankShape.
struct RankCosts {
  std::array<BlockCost, kKindsMax> blocks;
  HeadCost head;
};

[[nodiscard]] RankShape shape_of(const Layout& layout, const TrainRun& run);
/// Layouts with one key share their RankCosts. Degrees stay far below the fields' widths (fault_of).
[[nodiscard]] std::uint64_t key_of(const Layout& layout);

/// Stages that hold the same layers: `first` is the least of their indices.
struct StageClass {
  std::array<std::int32_t, kKindsMax> count{};
  std::int64_t layers = 0;
  std::int64_t first = 0;
  std::int64_t stages = 0;
  bool has_embedding = false, has_head = false;
};

/// How layers are cut into pp stages of `interleave` chunks.
struct StageCut {
  std::vector<StageClass> classes;
};

/// Layers of each of stages * interleave chunks, in the order of the layers. Where they divide, all chunks are equal, as every framework
/// cuts; where they do not, the last stage is spared what the head and loss weigh (`head`, in layers), and the rest is as even as can be.
[[nodiscard]] std::vector<std::int64_t> layers_of_chunks(std::int64_t layers, std::int64_t stages, std::int64_t interleave, double head);

/// One stage class, one micro-batch: exposed seconds by part.
struct StageTime {
  Passes compute, tp, cp, ep;  // of the layers
  double recompute = 0;        // with its collectives
  Passes head;                 // embedding and head where the stage has them
  double weight_gradient = 0;
  [[nodiscard]] double forward() const { return compute.forward + tp.forward + cp.forward + ep.forward + head.forward; }
  [[nodiscard]] double backward() const { return compute.backward + tp.backward + cp.backward + ep.backward + head.backward + recompute; }
  [[nodiscard]] double total() const { return forward() + backward(); }
};

/// Weight elements of one rank of a stage.
struct StageWeights {
  double dense = 0, expert = 0, trained_dense = 0, trained_expert = 0;
};

}  // namespace estimating

struct TrainEstimator::Inside {
  Inside(const Model& m, const Island& i, const Stack& s, const TrainRun& r) : model(m), island(i), stack(s), run(r) {}
  Model model;
  Island island;
  Stack stack;
  TrainRun run;
  double forward_flop_sequence = 0;
  double head_layers = 0;  // what the output matrix and prediction modules compute, in mean layers
  std::unordered_map<std::uint64_t, estimating::RankCosts> costs_by_shape;
  std::unordered_map<std::uint64_t, estimating::StageCut> cuts_by_pipeline;
  std::uint64_t last_key = ~std::uint64_t{0};
  const estimating::RankCosts* last = nullptr;

  /// What bounds a layout by its degrees alone (train_bound.cpp): s of one micro-batch, without and with sequence-parallelism.
  struct Floor {
    std::array<double, 2> whole{}, layer{};  // all layers and the head; the cheapest layer
  };
  std::unordered_map<std::uint64_t, Floor> floors_by_shape;
  [[nodiscard]] const Floor& floor_of(const Layout& layout);

  /// s of a collective; neighbouring layouts ask for the same ones (train_bound.cpp).
  [[nodiscard]] double collective_seconds(Collective kind, double bytes, Group group) const;
  struct Asked {
    Collective kind = Collective::send;
    double bytes = -1;
    Group group;
    double seconds = 0;
  };
  mutable std::array<Asked, 1024> asked;

  const estimating::RankCosts& costs_of(const Layout& layout);
  const estimating::StageCut& cut_of(const Layout& layout);
  /// What each stage holds, one by one.
  [[nodiscard]] std::vector<estimating::StageClass> stages_of(const Layout& layout) const;
  [[nodiscard]] estimating::StageTime stage_time(const Layout& layout, const estimating::StageClass& stage,
                                                 const estimating::RankCosts& costs) const;
  [[nodiscard]] estimating::StageWeights weights_of_stage(const Layout& layout, const estimating::StageClass& stage,
                                                          const estimating::RankCosts& costs) const;
  [[nodiscard]] Memory memory_of(const Layout& layout, const estimating::StageClass& stage, const estimating::RankCosts& costs,
                                 double in_flight_layers) const;
  /// Collectives of gradients and weights, and the optimizer, of one stage.
  struct StepEnd {
    double dp = 0;         // s a step, exposed
    double dp_micro = 0;   // s a micro-batch, exposed (sharded weights)
    double optimizer = 0;  // s a step
    // What the two above are made of: weights gathered before forward, gradients reduced after backward.
    struct Part {
      double exposed = 0, hidden = 0;  // s
      bool each_micro_batch = false;
    };
    Part gather, reduce;
  };
  [[nodiscard]] StepEnd step_end(const Layout& layout, const estimating::StageClass& stage, const estimating::StageTime& time,
                                 const estimating::StageWeights& weights) const;
  [[nodiscard]] double send_time(const Layout& layout) const;
  [[nodiscard]] double in_flight_layers(const Layout& layout, const estimating::StageClass& stage, std::int64_t microbatches) const;
};

}  // namespace centrale
