// SPDX-License-Identifier: Apache-2.0
// What a training software stack adds to the chip: catalogue/stacks.yaml, a few constants each, calibrated over all published rows of the
// stack (docs/benchmarks.md), never per row.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dimension.hpp"
#include "base/result.hpp"
#include "estimate/collective.hpp"

namespace centrale {

struct Stack {
  std::string key;  // "megatron-core"
  std::string name;
  std::string source;
  std::vector<std::string> match;  // words, lower case, one of which a published table that used it has in its source or note
  std::string vendor;              // of chips that it is the usual one for, where nothing says which was used
  bool sequence_parallel = true;   // what its users turn on: taken where a table does not say
  bool distributed_optimizer = true;
  bool interleaves = false;  // whether a pipeline's chunks are interleaved where a table does not say
  bool flash = true;         // fused attention
  double score_passes = 10;  // passes over the scores in memory where attention is not fused
  double gemm = 1;           // factors on the chip's efficiencies
  double attention = 1;
  double attention_newer = 1;    // the same beside it on chips with 8-bit formats, where its kernels were written for those before
  double scan = 1;               // on what state-space and delta layers' scans reach
  double elementwise = 1;        // factor on the bytes that element-wise operators move: how little is fused
  double kernels = 1;            // factor on the kernels of a layer
  double tp_overlap = 0;         // part of the tensor-parallel collectives hidden behind GEMMs
  double cp_overlap = 0.8;       // of context-parallel exchange
  double ep_overlap = 0;         // of expert-parallel all-to-all
  double pp_overlap = 0;         // of sends between stages
  double dp_overlap = 0.8;       // of gradient and weight collectives that there is computation to hide behind
  double overlap_drag = 0.1;     // how much slower computation runs while a collective runs beside it
  bool dual_pipe = false;        // pipelines run DualPipe where a table does not say
  bool deduplicates = false;     // a token crosses to each domain once, whatever number of its experts are there (DeepEP)
  bool narrow_dispatch = false;  // tokens go to their experts at 8 bit where the layout is at 8 bit or less
  double imbalance = 1.1;        // busiest expert rank over the mean
  Seconds routing{0};            // of one pass through a layer of experts that drops no token: the host waits to learn how many came
  Seconds step{0.02};            // a step's own: data, logging, gradient norm, allocator
  double jitter = 0;             // relative slowdown a doubling of the nodes: the slowest of many
  Transport transport;
  double gradient_bytes = 4;     // an element of the gradients, as kept and as reduced
  double optimizer_bytes = 12;   // master weight and two moments
  double activation_factor = 1;  // of the activations' bytes: what the allocator and unfused operators add
};

/// Reads stacks; errors name file:line.
[[nodiscard]] Result<std::vector<Stack>> read_stacks(std::string_view yaml, std::string_view file);
[[nodiscard]] const std::vector<Stack>& default_stacks();
/// By key; the error names the nearest.
[[nodiscard]] Result<Stack> stack_named(std::string_view key, const std::vector<Stack>& stacks);

}  // namespace centrale
