// SPDX-License-Identifier: Apache-2.0
// How long one operator takes on one chip. Constants come from the chip's ChipEfficiency; shapes are those that a rank computes.
#pragma once
#include <cstdint>

#include "base/dimension.hpp"
#include "fleet/catalogue.hpp"

namespace centrale {

/// The dense peak at a precision; of the next wider format where the chip lacks it.
[[nodiscard]] FlopPerSecond best_peak(const ChipType& chip, Precision precision);

struct Gemm {
  double m = 0, n = 0, k = 0;  // m x k times k x n
  double batch = 1;            // independent ones in one kernel (grouped GEMM, attention heads)
  Precision precision = Precision::bf16;
  double input_bytes = 2;  // an element of the left, of the right matrix, of the result
  double weight_bytes = 2;
  double output_bytes = 2;
};

struct OperatorTime {
  Seconds time;  // the longest of the three, with the launch
  Seconds compute, memory, launch;
};

/// max(compute, memory) + launch. Compute is the tiled FLOP (m and n rounded up to whole tiles, waves of tiles over the units rounded up;
/// where a large tile leaves units idle smaller tiles at less efficiency are tried, as libraries do) over peak x efficiency x k / (k +
/// inner).
[[nodiscard]] OperatorTime gemm_time(const Gemm& gemm, const ChipType& chip);

struct AttentionShape {
  double batch = 1;                // sequences
  double heads = 1, kv_heads = 1;  // of this rank
  double head_dim = 128, value_dim = 128;
  double queries = 0, keys = 0;  // tokens; queries == keys in training
  double window = 0;             // 0: all
  bool causal = true;
  double cache_bytes = 2;  // an element of the keys and values read
  Precision precision = Precision::bf16;
};

/// Fused (flash) attention: Dao et al. (arXiv:2205.14135): FLOP at the chip's attention efficiency, causal blocks skipped, against reading
/// q, k, v and writing o once.
[[nodiscard]] OperatorTime flash_attention_time(const AttentionShape& shape, const ChipType& chip);
/// The same backward: 2.5 times the FLOP (five matrix products for two).
[[nodiscard]] OperatorTime flash_attention_backward_time(const AttentionShape& shape, const ChipType& chip);
/// Not fused: two batched GEMMs over all of queries x keys and `passes` passes over the scores in memory.
[[nodiscard]] OperatorTime unfused_attention_time(const AttentionShape& shape, double passes, const ChipType& chip);

/// A kernel bound by memory: norms, activations, dropout, rotary, casts, optimizer.
[[nodiscard]] OperatorTime stream_time(ByteCount bytes, double kernels, const ChipType& chip);

}  // namespace centrale
