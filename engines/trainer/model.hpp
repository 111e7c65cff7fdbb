// SPDX-License-Identifier: Apache-2.0
// The Llama architecture (Touvron et al. 2023): RMSNorm, rotary embedding, grouped-query attention, SwiGLU.
#pragma once
#include <string>
#include <vector>

#include "compute.hpp"
#include "formats/config.hpp"

namespace centrale::trainer {

/// One weight; its name is the one of Hugging Face's files.
struct Parameter {
  std::string name;
  at::Tensor value;  // a view into Llama::flat
};

struct Llama {
  ModelConfig config;
  Compute compute;
  // All weights in one buffer, matrices first, then the norms: the optimizer, the clipping and the all-reduce work on a few
  // long arrays, and weight decay is one range.
  at::Tensor flat;
  at::Tensor flat_gradient;
  std::int64_t decayed = 0;  // values of matrices, which decay
  std::vector<Parameter> parameters;
  at::Tensor rope_cos;  // [context or longest sequence yet, head_dim / 2]
  at::Tensor rope_sin;

  [[nodiscard]] const at::Tensor& weight(const std::string& name) const;
};

/// Weights are drawn from the seed alone: the same on every rank and machine.
Llama make_llama(const ModelConfig& config, const Compute& compute, std::uint64_t seed);

/// ids: [batch, length] int64; logits: [batch, length, vocabulary], fp32.
at::Tensor forward(Llama& model, const at::Tensor& ids);

/// Sum over all positions of -log p(target).
at::Tensor loss_sum(Llama& model, const at::Tensor& ids, const at::Tensor& targets);

/// x: [batch, heads, length, head_dim]; dimension i turns with i + head_dim/2, as Hugging Face's rotate_half does.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

}  // namespace centrale::trainer
