// SPDX-License-Identifier: Apache-2.0
// Weights in files: Hugging Face safetensors (sharded or not) and GGUF (dequantised when read, F16 or F32 when written).
#pragma once
#include <filesystem>
#include <optional>

#include "formats/safetensors.hpp"
#include "formats/tokenizer.hpp"
#include "model.hpp"

namespace centrale::trainer {

/// A model on the disk: what it is, and where its weights lie.
struct ModelFiles {
  ModelConfig config;
  std::optional<Vocabulary> vocabulary;
  std::filesystem::path gguf;                      // empty for safetensors
  std::vector<std::filesystem::path> safetensors;  // the shards
};

/// `path` is a folder with config.json and *.safetensors or with one *.gguf, or such a file itself.
Result<ModelFiles> open_model(const std::filesystem::path& path);
/// Reads the tokenizer.json at `path` (or in the folder `path`) and the tokenizer_config.json beside it.
Result<Vocabulary> open_tokenizer(const std::filesystem::path& path);

/// Every weight of the model must be there and have its shape.
Result<void> load_weights(const ModelFiles& files, Llama& model);

/// Tensor bytes on the host; keeps `held` alive.
struct HostTensor {
  at::Tensor held;
  [[nodiscard]] std::span<const std::byte> bytes() const;
};
HostTensor to_host(const at::Tensor& tensor);

Result<void> save_safetensors(const Llama& model, const std::filesystem::path& path);
enum class GgufWeights : unsigned char { f16, f32 };
Result<void> save_gguf(const Llama& model, const Vocabulary& vocabulary, GgufWeights type, const std::string& name,
                       const std::filesystem::path& path);

/// llama.cpp turns neighbouring dimensions, Hugging Face dimension i with i + d/2: the rows of q and k change places.
at::Tensor rows_to_gguf(const at::Tensor& weight, std::int64_t heads);
at::Tensor rows_from_gguf(const at::Tensor& weight, std::int64_t heads);

}  // namespace centrale::trainer
