// SPDX-License-Identifier: Apache-2.0
// AdamW (Loshchilov and Hutter 2019): decay is apart from the gradient, and norms do not decay.
#pragma once
#include "model.hpp"

namespace centrale::trainer {

struct AdamW {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  std::int64_t updates = 0;
  at::Tensor mean;  // as long as Llama::flat
  at::Tensor variance;
};

AdamW make_adamw(const Llama& model, double weight_decay);

/// Scales the gradient down to the norm `limit` if it is longer; returns the norm before.
double clip_gradient(Llama& model, double limit);

/// One update with the gradient in the model, at the learning rate `rate`.
void update(Llama& model, AdamW& optimizer, double rate);

}  // namespace centrale::trainer
