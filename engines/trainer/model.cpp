// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <fmt/format.h>

#include <ATen/CPUGeneratorImpl.h>
#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"

namespace centrale::trainer {
namespace {

struct Shape {
  std::string name;
  std::vector<std::int64_t> extents;
};

std::vector<Shape> shapes_of(const ModelConfig& c) {
  std::vector<Shape> shapes{{"model.embed_tokens.weight", {c.vocab_size, c.hidden_size}}};
  const auto q = c.heads * c.head_dim;
  const auto kv = c.kv_heads * c.head_dim;
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const auto layer = fmt::format("model.layers.{}.", i);
    shapes.push_back({layer + "self_attn.q_proj.weight", {q, c.hidden_size}});
    shapes.push_back({layer + "self_attn.k_proj.weight", {kv, c.hidden_size}});
    shapes.push_back({layer + "self_attn.v_proj.weight", {kv, c.hidden_size}});
    shapes.push_back({layer + "self_attn.o_proj.weight", {c.hidden_size, q}});
    shapes.push_back({layer + "mlp.gate_proj.weight", {c.intermediate_size, c.hidden_size}});
    shapes.push_back({layer + "mlp.up_proj.weight", {c.intermediate_size, c.hidden_size}});
    shapes.push_back({layer + "mlp.down_proj.weight", {c.hidden_size, c.intermediate_size}});
  }
  if (!c.tied) shapes.push_back({"lm_head.weight", {c.vocab_size, c.hidden_size}});
  for (std::int64_t i = 0; i < c.layers; ++i) {
    shapes.push_back({fmt::format("model.layers.{}.input_layernorm.weight", i), {c.hidden_size}});
    shapes.push_back({fmt::format("model.layers.{}.post_attention_layernorm.weight", i), {c.hidden_size}});
  }
  shapes.push_back({"model.norm.weight", {c.hidden_size}});
  return shapes;
}

void initialise(Llama& model, std::uint64_t seed) {
  // Drawn on the CPU, so that the chip does not matter. The projections back into the residual stream are scaled down
  // with depth (GPT-2, Radford et al. 2019, section 2.3).
  auto generator = at::detail::createCPUGenerator(seed);
  const double deviation = model.config.initializer_range;
  const double into_residual = deviation / std::sqrt(2.0 * static_cast<double>(model.config.layers));
  at::NoGradGuard no_grad;
  for (auto& [name, value] : model.parameters) {
    if (value.dim() == 1) {
      value.fill_(1);
      continue;
    }
    const bool residual = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
    value.copy_(at::randn(value.sizes(), generator, at::kFloat).mul_(residual ? into_residual : deviation));
  }
}

void extend_rope(Llama& model, std::int64_t length) {
  if (model.rope_cos.defined() && model.rope_cos.size(0) >= length) return;
  const auto half = model.config.head_dim / 2;
  const auto exponents = at::arange(half, at::kDouble) / static_cast<double>(half);
  const auto frequencies = at::pow(model.config.rope_theta, -exponents);
  const auto angles = at::outer(at::arange(length, at::kDouble), frequencies);
  model.rope_cos = angles.cos().to(at::kFloat).to(model.compute.device);
  model.rope_sin = angles.sin().to(at::kFloat).to(model.compute.device);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return x * at::rsqrt(x.pow(2).mean(-1, true) + eps) * weight;
}

at::Tensor multiply(const Llama& model, const at::Tensor& x, const at::Tensor& weight) {
  if (model.compute.precision == Precision::fp32) return at::linear(x, weight);
  return at::linear(x.to(at::kBFloat16), weight.to(at::kBFloat16)).to(at::kFloat);
}

at::Tensor attend(const Llama& model, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
#if TORCH_VERSION_MAJOR >= 2
  if (model.compute.device.is_cuda()) {
    const auto type = model.compute.precision == Precision::bf16 ? at::kBFloat16 : at::kFloat;
    return at::scaled_dot_product_attention(q.to(type), k.to(type), v.to(type), {}, 0.0, true).to(at::kFloat);
  }
#endif
  const auto length = q.size(2);
  const auto mask = at::full({length, length}, -INFINITY, q.options()).triu(1);
  const double scale = 1 / std::sqrt(static_cast<double>(model.config.head_dim));
  if (model.compute.precision == Precision::bf16) {
    const auto scores = at::matmul(q.to(at::kBFloat16), k.to(at::kBFloat16).transpose(2, 3)).to(at::kFloat);
    const auto weights = at::softmax(scores * scale + mask, -1);
    return at::matmul(weights.to(at::kBFloat16), v.to(at::kBFloat16)).to(at::kFloat);
  }
  return at::matmul(at::softmax(at::matmul(q, k.transpose(2, 3)) * scale + mask, -1), v);
}

at::Tensor attention(const Llama& model, const std::string& layer, const at::Tensor& x) {
  const auto& c = model.config;
  const auto batch = x.size(0);
  const auto length = x.size(1);
  const auto heads = [&](const char* name, std::int64_t count) {
    return multiply(model, x, model.weight(layer + name)).view({batch, length, count, c.head_dim}).transpose(1, 2);
  };
  const auto cos = model.rope_cos.slice(0, 0, length);
  const auto sin = model.rope_sin.slice(0, 0, length);
  const auto q = rotate(heads("self_attn.q_proj.weight", c.heads), cos, sin);
  auto k = rotate(heads("self_attn.k_proj.weight", c.kv_heads), cos, sin);
  auto v = heads("self_attn.v_proj.weight", c.kv_heads);
  if (c.kv_heads != c.heads) {
    // Query heads of one group share a key head: 0 0 0 1 1 1, not 0 1 0 1 0 1.
    const auto repeat = [&](const at::Tensor& t) {
      return t.unsqueeze(2)
          .expand({batch, c.kv_heads, c.heads / c.kv_heads, length, c.head_dim})
          .reshape({batch, c.heads, length, c.head_dim});
    };
    k = repeat(k);
    v = repeat(v);
  }
  const auto mixed = attend(model, q, k, v).transpose(1, 2).reshape({batch, length, c.heads * c.head_dim});
  return multiply(model, mixed, model.weight(layer + "self_attn.o_proj.weight"));
}

at::Tensor feed_forward(const Llama& model, const std::string& layer, const at::Tensor& x) {
  const auto gate = at::silu(multiply(model, x, model.weight(layer + "mlp.gate_proj.weight")));
  const auto up = multiply(model, x, model.weight(layer + "mlp.up_proj.weight"));
  return multiply(model, gate * up, model.weight(layer + "mlp.down_proj.weight"));
}

}  // namespace

const at::Tensor& Llama::weight(const std::string& name) const {
  const auto found = std::ranges::lower_bound(parameters, name, {}, &Parameter::name);
  ensure(found != parameters.end() && found->name == name);
  return found->value;
}

Llama make_llama(const ModelConfig& config, const Compute& compute, std::uint64_t seed) {
  Llama model;
  model.config = config;
  model.compute = compute;
  const auto shapes = shapes_of(config);
  std::int64_t total = 0;
  for (const auto& shape : shapes) total += c10::multiply_integers(shape.extents);
  ensure(total == parameter_count(config));
  const auto options = at::TensorOptions().dtype(at::kFloat).device(compute.device);
  model.flat = at::zeros({total}, options);
  model.flat_gradient = at::zeros({total}, options);
  std::int64_t offset = 0;
  for (const auto& [name, extents] : shapes) {
    const auto count = c10::multiply_integers(extents);
    auto value = model.flat.narrow(0, offset, count).view(extents).detach();
    value.set_requires_grad(true);
    // Backward adds into a gradient that is there, so these views collect into the one buffer.
    value.mutable_grad() = model.flat_gradient.narrow(0, offset, count).view(extents);
    if (extents.size() == 2) model.decayed += count;
    model.parameters.push_back({name, value});
    offset += count;
  }
  initialise(model, seed);
  std::ranges::sort(model.parameters, {}, &Parameter::name);
  return model;
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const auto half = x.size(-1) / 2;
  const auto a = x.narrow(-1, 0, half);
  const auto b = x.narrow(-1, half, half);
  return at::cat({a * cos - b * sin, b * cos + a * sin}, -1);
}

at::Tensor forward(Llama& model, const at::Tensor& ids) {
  extend_rope(model, ids.size(1));
  const auto& c = model.config;
  // index_select rather than at::embedding: its gradient is a deterministic index_add on the CPU.
  auto x = model.weight("model.embed_tokens.weight").index_select(0, ids.reshape({-1})).view({ids.size(0), ids.size(1), c.hidden_size});
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const auto layer = fmt::format("model.layers.{}.", i);
    x = x + attention(model, layer, rms_norm(x, model.weight(layer + "input_layernorm.weight"), c.rms_norm_eps));
    x = x + feed_forward(model, layer, rms_norm(x, model.weight(layer + "post_attention_layernorm.weight"), c.rms_norm_eps));
  }
  x = rms_norm(x, model.weight("model.norm.weight"), c.rms_norm_eps);
  return multiply(model, x, model.weight(c.tied ? "model.embed_tokens.weight" : "lm_head.weight"));
}

at::Tensor loss_sum(Llama& model, const at::Tensor& ids, const at::Tensor& targets) {
  const auto logits = forward(model, ids);
  return at::cross_entropy_loss(logits.view({-1, logits.size(-1)}), targets.reshape({-1}), {}, at::Reduction::Sum);
}

}  // namespace centrale::trainer
