// SPDX-License-Identifier: Apache-2.0
// A Hugging Face config.json into a Model. Fields that are missing, contradictory, zero or negative are errors that name the field.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/model.hpp"

namespace centrale {

/// `file` is what errors call it; the model's name is `_name_or_path` or the file's stem.
[[nodiscard]] Result<Model> read_model(std::string_view config_json, std::string_view file);

/// The models that come with the program (catalogue/models/*.json), by name: "llama-3.1-405b".
struct CatalogueModel {
  std::string_view name, config_json;
};
[[nodiscard]] const std::vector<CatalogueModel>& catalogue_models();
/// By name, or by Hugging Face id ("meta-llama/Llama-3.1-405B"), letter case and punctuation aside. The error names the nearest.
[[nodiscard]] Result<Model> catalogue_model(std::string_view name);

}  // namespace centrale
