// SPDX-License-Identifier: Apache-2.0
// What one block costs one rank for one micro-batch: private to estimate/. Plain doubles: seconds, bytes, elements.
#pragma once
#include <cstdint>

#include "estimate/layout.hpp"
#include "estimate/stack.hpp"
#include "estimate/train.hpp"
#include "fleet/fleet.hpp"
#include "model/model.hpp"

namespace centrale::estimating {

/// What a rank computes at once.
struct RankShape {
  std::int64_t tp = 1, cp = 1, ep = 1, etp = 1, micro_batch = 1, sequence = 0;
  Precision precision = Precision::bf16;
  bool sequence_parallel = false;
  std::int64_t lora_rank = 0;
  bool balanced = false;

  [[nodiscard]] double tokens() const { return static_cast<double>(micro_batch * sequence) / static_cast<double>(cp); }
};

/// A pair of passes.
struct Passes {
  double forward = 0, backward = 0;
  Passes& operator+=(const Passes& o) {
    forward += o.forward;
    backward += o.backward;
    return *this;
  }
};

struct BlockCost {
  Passes compute;                                // s, collectives apart; backward without recomputation
  double weight_gradient = 0;                    // s, the part of backward that zero-bubble schedules can defer
  double attention = 0;                          // s, fused or not, forward: what selective recomputation repeats
  Passes tp, cp, ep;                             // s, collectives as if nothing hid them
  double dense = 0, expert = 0;                  // weight elements of this rank
  double trained_dense = 0, trained_expert = 0;  // those with a gradient (LoRA: adapters)
  double kept = 0;                               // bytes of activations kept for backward without recomputation
  double scores = 0;                             // bytes of those that selective recomputation drops
  double boundary = 0;                           // bytes of the block's input: all that full recomputation keeps
  double working = 0;                            // bytes at the peak inside the block beyond what it keeps
  // --explain
  double gemm = 0, flash = 0, stream = 0, launches = 0;  // s, forward
};

[[nodiscard]] BlockCost block_cost(const Model& model, const Block& block, const RankShape& shape, const Island& island,
                                   const Stack& stack);

/// Embedding (first stage), output matrix and loss (last stage).
struct HeadCost {
  double embedding = 0;  // s, forward and backward
  Passes head;           // s
  double head_recomputed = 0;
  double head_experts = 0;                           // weight elements of experts in prediction modules
  double embedding_elements = 0, head_elements = 0;  // weights of this rank
  double kept = 0;                                   // bytes: logits and the final norm's input, last stage
};
[[nodiscard]] HeadCost head_cost(const Model& model, const RankShape& shape, const Island& island, const Stack& stack);

}  // namespace centrale::estimating
