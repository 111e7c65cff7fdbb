// SPDX-License-Identifier: Apache-2.0
#include "optimizer.hpp"

#include <algorithm>
#include <cmath>

namespace centrale::trainer {
namespace {

// Long enough for the vector units, short enough that the temporaries stay in the cache.
constexpr std::int64_t kSlice = 1 << 20;

void update_range(Llama& model, AdamW& optimizer, double rate, double decay, std::int64_t begin, std::int64_t end) {
  const double correction1 = 1 - std::pow(optimizer.beta1, static_cast<double>(optimizer.updates));
  const double correction2 = 1 - std::pow(optimizer.beta2, static_cast<double>(optimizer.updates));
  for (std::int64_t at = begin; at < end; at += kSlice) {
    const auto length = std::min(kSlice, end - at);
    auto weight = model.flat.narrow(0, at, length);
    const auto gradient = model.flat_gradient.narrow(0, at, length);
    auto mean = optimizer.mean.narrow(0, at, length);
    auto variance = optimizer.variance.narrow(0, at, length);
    mean.mul_(optimizer.beta1).add_(gradient, 1 - optimizer.beta1);
    variance.mul_(optimizer.beta2).addcmul_(gradient, gradient, 1 - optimizer.beta2);
    const auto divisor = at::sqrt(variance).div_(std::sqrt(correction2)).add_(optimizer.eps);
    if (decay > 0) weight.mul_(1 - rate * decay);
    weight.addcdiv_(mean, divisor, -rate / correction1);
  }
}

}  // namespace

AdamW make_adamw(const Llama& model, double weight_decay) {
  AdamW optimizer;
  optimizer.weight_decay = weight_decay;
  optimizer.mean = at::zeros_like(model.flat);
  optimizer.variance = at::zeros_like(model.flat);
  return optimizer;
}

double clip_gradient(Llama& model, double limit) {
  at::NoGradGuard no_grad;
  const double norm = model.flat_gradient.norm().item<float>();
  if (limit > 0 && norm > limit) model.flat_gradient.mul_(limit / norm);
  return norm;
}

void update(Llama& model, AdamW& optimizer, double rate) {
  at::NoGradGuard no_grad;
  ++optimizer.updates;
  update_range(model, optimizer, rate, optimizer.weight_decay, 0, model.decayed);
  update_range(model, optimizer, rate, 0, model.decayed, model.flat.numel());
}

}  // namespace centrale::trainer
