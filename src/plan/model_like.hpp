// SPDX-License-Identifier: Apache-2.0
// Models as published tables name them.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "model/model.hpp"

namespace centrale {

struct LikelyModel {
  Model model;
  std::string taken;      // what was taken where the name is not the catalogue's own; empty: it is
  bool is_guess = false;  // a shape made up from the number of parameters
};

/// By name, loosely ("Nemotron_3_Nano", "meta-llama/Llama-3.1-8B-Instruct", "LLaMA v3.1 70B", "Qwen3_30B_a3B (tokendrop)"): vendors,
/// packaging and tuning words do not matter. A name that is not known becomes a model of the stated parameters and usual proportions: the
/// note says so.
[[nodiscard]] Result<LikelyModel> model_like(std::string_view name, std::optional<double> parameters_e9);

/// `parameters` parameters in usual proportions: 128 hidden units a layer. gpt: two matrices of 4h, a vocabulary of 51,200; else three of
/// 3.5h, grouped queries, 128,256.
[[nodiscard]] Model model_of_size(double parameters, bool gpt);

}  // namespace centrale
