// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "weights.hpp"

namespace centrale::trainer {

enum class ExportGguf : unsigned char { none, f16, f32 };

/// Writes a Hugging Face folder, and model.gguf for llama.cpp into it. Each file appears whole; model.gguf is the last one.
Result<void> export_model(const Llama& model, const Vocabulary& vocabulary, ExportGguf gguf, const std::filesystem::path& folder);

}  // namespace centrale::trainer
