// SPDX-License-Identifier: Apache-2.0
#include "export.hpp"

#include "formats/file.hpp"
#include "formats/json.hpp"

namespace centrale::trainer {

Result<void> export_model(const Llama& model, const Vocabulary& vocabulary, ExportGguf gguf, const std::filesystem::path& folder) {
  TRY(make_folder(folder));
  auto config = model.config;
  if (vocabulary.bos) config.bos = *vocabulary.bos;
  if (vocabulary.eos) config.eos = *vocabulary.eos;
  TRY(replace_text(folder / "config.json", config_to_json(config)));
  TRY(replace_text(folder / "tokenizer.json", vocabulary_to_json(vocabulary)));
  TRY(replace_text(folder / "tokenizer_config.json", tokenizer_config_json(vocabulary, config.context)));
  json::object generation{{"_from_model_config", true}};
  if (config.bos) generation["bos_token_id"] = *config.bos;
  if (config.eos) generation["eos_token_id"] = *config.eos;
  TRY(replace_text(folder / "generation_config.json", pretty(generation)));
  const auto partial = folder / "model.safetensors.partial";
  TRY(save_safetensors(model, partial));
  TRY(rename_durably(partial, folder / "model.safetensors"));
  if (gguf == ExportGguf::none) return {};
  auto name = std::filesystem::absolute(folder).lexically_normal().filename().string();
  if (name.empty()) name = "model";
  return save_gguf(model, vocabulary, gguf == ExportGguf::f32 ? GgufWeights::f32 : GgufWeights::f16, name, folder / "model.gguf");
}

}  // namespace centrale::trainer
