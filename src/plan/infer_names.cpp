// SPDX-License-Identifier: Apache-2.0
// Models by the names that serving tables give them: checkpoints are packed, tuned and quantised in more ways than there are shapes.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "plan/infer_rows.hpp"
#include "plan/row_cells.hpp"

namespace centrale {
namespace {

// Words of packaging, tuning and number formats: they name no shape.
constexpr std::array<std::string_view, 33> kWords{
    "instruct", "chat",        "it",      "hf",   "base",  "fp8",   "fp4",   "nvfp4",     "mxfp4",   "awq",  "gptq",
    "int4",     "int8",        "bf16",    "fp16", "w4a16", "w8a8",  "kv",    "fp8kv",     "dynamic", "edge", "99",
    "99.9",     "interactive", "preview", "gguf", "q4",    "mxfp8", "block", "quantized", "v0.1",    "v0.2", "v0.3"};

// Releases that have the shape of one that is listed.
constexpr std::array<std::pair<std::string_view, std::string_view>, 24> kSameShape{{
    {"distillllama70b", "llama-3.1-70b"},
    {"distillllama8b", "llama-3.1-8b"},
    {"distillqwen32b", "qwen2.5-32b"},
    {"distillqwen7b", "qwen2.5-7b"},
    {"qwq32b", "qwen2.5-32b"},
    {"qwen272b", "qwen2.5-72b"},
    {"qwen27b", "qwen2.5-7b"},
    {"deepseekv31", "deepseek-v3"},
    {"deepseek31", "deepseek-v3"},
    {"deepseekv3", "deepseek-v3"},
    {"deepseekr1", "deepseek-r1"},
    {"mistral7b", "mistral-7b"},
    {"mixtral8x7b", "mixtral-8x7b"},
    {"mixtral8x22b", "mixtral-8x22b"},
    {"codellama70b", "llama-2-70b"},
    {"codellama13b", "llama-2-13b"},
    {"codellama7b", "llama-2-7b"},
    {"vicuna13b", "llama-2-13b"},
    {"vicuna7b", "llama-2-7b"},
    {"llama38b", "llama-3-8b"},
    {"llama370b", "llama-3-70b"},
    {"llama31405b", "llama-3.1-405b"},
    {"zephyr7b", "mistral-7b"},
    {"qwen3coder30ba3b", "qwen3-30b-a3b"},
}};

bool is_date(std::string_view word) {
  return word.size() >= 4 && word.size() <= 8 && word.size() % 2 == 0 &&
         std::ranges::all_of(word, [](char c) { return c >= '0' && c <= '9'; });
}

/// The words after the owner, packaging dropped, joined by dashes.
std::string unpacked(std::string_view name) {
  if (const auto slash = name.rfind('/'); slash != std::string_view::npos) { name.remove_prefix(slash + 1); }
  std::string all, word;
  const auto end_word = [&] {
    if (!word.empty() && !is_date(word) && std::ranges::find(kWords, word) == kWords.end()) { all += (all.empty() ? "" : "-") + word; }
    word.clear();
  };
  for (const char c : rows::lower(name)) {
    if (c == '-' || c == '_' || c == ' ' || c == '(' || c == ')' || c == ',') {
      end_word();
    } else {
      word += c;
    }
  }
  end_word();
  return all;
}

std::string letters_of(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) { out += c; }
  }
  return out;
}

}  // namespace

Result<LikelyModel> served_model(std::string_view name, std::optional<double> parameters_e9) {
  name = name.substr(0, 200);
  auto plain = model_like(name, parameters_e9);
  if (plain && !plain->is_guess) { return plain; }
  const std::string bare = unpacked(name);
  if (auto found = model_like(bare, std::nullopt); found && !found->is_guess) {
    found->taken = std::string(name) + " taken as " + found->model.name;
    return found;
  }
  const std::string letters = letters_of(bare);
  for (const auto& [words, same] : kSameShape) {
    if (!letters.ends_with(words)) { continue; }
    if (auto found = model_like(same, std::nullopt); found && !found->is_guess) {
      found->taken = std::string(name) + " taken as " + std::string(same);
      return found;
    }
  }
  return plain;
}

}  // namespace centrale
