// SPDX-License-Identifier: Apache-2.0
// The shape of a Llama model, as Hugging Face's config.json or GGUF metadata give it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "formats/gguf.hpp"

namespace centrale::trainer {

struct ModelConfig {
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t context = 0;  // max_position_embeddings
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000;
  double initializer_range = 0.02;
  bool tied = false;
  std::optional<std::int64_t> bos;
  std::optional<std::int64_t> eos;

  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// Names the field that is missing, out of range or in contradiction with another.
Result<ModelConfig> config_from_json(std::string_view text, const std::string& where);
Result<ModelConfig> config_from_gguf(const Gguf& gguf);
std::string config_to_json(const ModelConfig& config);
std::int64_t parameter_count(const ModelConfig& config);

}  // namespace centrale::trainer
