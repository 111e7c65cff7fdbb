// SPDX-License-Identifier: Apache-2.0
#include "plan/model_like.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include "base/text.hpp"
#include "model/read.hpp"

namespace centrale {
namespace {

/// Words of packaging, tuning and number formats: they name no shape.
constexpr std::array<std::string_view, 48> kPackaging{
    "instruct",  "chat", "base",        "hf",    "it",        "nvfp4",     "fp8",     "fp4",  "awq",   "gptq",  "int4",        "int8",
    "w4a16",     "w8a8", "bf16",        "fp16",  "mxfp4",     "mxfp8",     "gguf",    "q4",   "q8",    "lora",  "mlperf",      "megatron",
    "tokendrop", "meta", "nvidia",      "model", "pretrain",  "deepspeed", "dynamic", "kv",   "fp8kv", "eagle", "speculative", "preview",
    "sft",       "edge", "interactive", "block", "quantized", "99",        "99.9",    "v0.1", "v0.2",  "v0.3",  "v0",          "thinking"};

/// "0528", "2507": a release.
bool is_date(std::string_view word) {
  return word.size() >= 4 && word.size() <= 8 && word.size() % 2 == 0 &&
         std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Lower-case words and numbers: "LLaMA v3.1 70B" is llama 3.1 70b.
std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_packaging = [](std::string_view word) { return std::find(kPackaging.begin(), kPackaging.end(), word) != kPackaging.end(); };
  const auto take = [&](std::string token) {
    if (token.empty() || is_packaging(token) || is_date(token)) { return; }
    if (token.size() > 1 && token[0] == 'v' && is_digit(token[1])) { token.erase(0, 1); }
    // "llama2" is two words, "70b" and "8x7b" one.
    std::string word;
    for (const char c : token) {
      if (is_digit(c) && word.size() > 1 && !is_digit(word.back()) && word.back() != '.') {
        if (!is_packaging(word)) { words.push_back(word); }
        word.clear();
      }
      word += c;
    }
    if (!is_packaging(word)) { words.push_back(std::move(word)); }
  };
  std::string token;
  for (const char raw : name) {
    const char c = raw >= 'A' && raw <= 'Z' ? static_cast<char>(raw - 'A' + 'a') : raw;
    if ((c >= 'a' && c <= 'z') || is_digit(c) || c == '.') {
      token += c;
    } else {
      take(std::move(token));
      token.clear();
    }
  }
  take(std::move(token));
  return words;
}

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& w : words) { all += w; }
  return all;
}

/// The part of a Hugging Face id after the owner.
std::string_view without_owner(std::string_view name) {
  const std::size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

struct Alias {
  std::string_view letters, name;
};
/// Names that share no words with the catalogue's, and releases that have the shape of one that is listed; letters and digits only, the end
/// of what a table says.
constexpr std::array<Alias, 38> kAliases{{{"gptj", "gpt-j-6b"},
                                          {"nemotron8b", "nemotron-3-8b"},
                                          {"nemotron22b", "nemotron-3-22b"},
                                          {"nemotron340b", "nemotron-4-340b"},
                                          {"distillllama70b", "llama-3.1-70b"},
                                          {"distillllama8b", "llama-3.1-8b"},
                                          {"distillqwen32b", "qwen2.5-32b"},
                                          {"distillqwen7b", "qwen2.5-7b"},
                                          {"qwq32b", "qwen2.5-32b"},
                                          {"qwen272b", "qwen2.5-72b"},
                                          {"qwen27b", "qwen2.5-7b"},
                                          {"deepseekr1", "deepseek-r1"},
                                          {"deepseekv3", "deepseek-v3"},
                                          {"deepseek3", "deepseek-v3"},
                                          {"deepseekv31", "deepseek-v3"},
                                          {"deepseek31", "deepseek-v3"},
                                          {"deepseek32", "deepseek-v3.2"},
                                          {"kimik25", "kimi-k2"},
                                          {"minimaxm25", "minimax-m2"},
                                          {"gpt3175b", "gpt-3-175b"},
                                          {"gpt175b", "gpt-3-175b"},
                                          {"llama3370b", "llama-3.1-70b"},
                                          {"mistral7b", "mistral-7b"},
                                          {"mixtral8x7b", "mixtral-8x7b"},
                                          {"mixtral8x22b", "mixtral-8x22b"},
                                          {"codellama70b", "llama-2-70b"},
                                          {"codellama34b", "codellama-34b"},
                                          {"codellama13b", "llama-2-13b"},
                                          {"codellama7b", "llama-2-7b"},
                                          {"vicuna13b", "llama-2-13b"},
                                          {"vicuna7b", "llama-2-7b"},
                                          {"llama65b", "llama-65b"},
                                          {"llama38b", "llama-3-8b"},
                                          {"llama370b", "llama-3-70b"},
                                          {"llama31405b", "llama-3.1-405b"},
                                          {"zephyr7b", "mistral-7b"},
                                          {"qwen3coder30ba3b", "qwen3-30b-a3b"},
                                          {"bloom", "bloom-176b"}}};

std::string letters_of(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) { out += c; }
  }
  return out;
}

}  // namespace

Model model_of_size(double parameters_wanted, bool gpt) {
  Model model;
  Block block;
  block.mixer.kind = MixerKind::attention;
  block.mixer.head_dim = 128;
  block.ffn.gated = !gpt;
  block.ffn.bias = block.mixer.bias = block.mixer.output_bias = gpt;
  model.norm_bias = model.tied = gpt;
  model.vocab = gpt ? 51200 : 128256;
  // 12 h^2 parameters a layer and h / 128 layers.
  const double hidden = std::cbrt(parameters_wanted * 128 / 12);
  model.hidden = std::max<std::int64_t>(1, std::llround(hidden / 1024)) * 1024;
  block.mixer.heads = model.hidden / 128;
  block.mixer.kv_heads = gpt || block.mixer.heads % 8 != 0 ? block.mixer.heads : 8;
  block.ffn.width = gpt ? 4 * model.hidden : 7 * model.hidden / 2;
  model.kinds = {block};
  model.layers = {0};
  const double one = static_cast<double>(parameters(model));
  model.layers = {0, 0};
  const double layer = static_cast<double>(parameters(model)) - one;
  const double layers = std::clamp((parameters_wanted - (one - layer)) / layer, 1.0, 1000.0);
  model.layers.assign(static_cast<std::size_t>(std::llround(layers)), 0);
  model.name = fmt::format("{}-{:.3g}b", gpt ? "gpt" : "llama-like", parameters_wanted * 1e-9);
  return model;
}

Result<LikelyModel> model_like(std::string_view name, std::optional<double> parameters_e9) {
  const std::string_view shortened = name.substr(0, 200);
  if (auto exact = catalogue_model(shortened)) { return LikelyModel{*std::move(exact), {}, false}; }
  const std::string wanted = joined(words_of(without_owner(shortened)));
  std::string_view found;
  std::size_t best = 0;
  for (const CatalogueModel& model : catalogue_models()) {
    if (joined(words_of(model.name)) == wanted) { found = model.name; }
  }
  // "Nemotron_3_Nano" begins one name only; the shortest that it begins is meant.
  for (const CatalogueModel& model : catalogue_models()) {
    const std::string known = joined(words_of(model.name));
    if (!found.empty() && best == 0) { break; }
    if (wanted.size() >= 5 && known.starts_with(wanted) && (best == 0 || known.size() < best)) {
      found = model.name;
      best = known.size();
    }
  }
  const std::string letters = letters_of(wanted);
  for (const Alias& alias : kAliases) {
    if (found.empty() && letters.ends_with(alias.letters) && catalogue_model(alias.name)) { found = alias.name; }
  }
  if (!found.empty()) {
    TRY_ASSIGN(Model model, catalogue_model(found));
    return LikelyModel{std::move(model), fmt::format("{} taken as {}", shorten(name, 60), found), false};
  }
  // "qwen-7b": the size is in the name.
  for (const std::string& word : words_of(without_owner(shortened))) {
    double size = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), size);
    if (!parameters_e9 && error == std::errc{} && end + 1 == word.data() + word.size() && (*end == 'b' || *end == 'm')) {
      parameters_e9 = *end == 'b' ? size : size * 1e-3;
    }
  }
  if (!parameters_e9 || !(*parameters_e9 > 0.001 && *parameters_e9 < 100'000)) {
    return fail(ErrorKind::not_found, fmt::format("model '{}' is not in the catalogue", shorten(name, 60)), {},
                "give its layers and hidden size, or its parameters");
  }
  const bool gpt = wanted.starts_with("gpt") || wanted.starts_with("mpt") || wanted.starts_with("opt") || wanted.starts_with("bloom");
  Model model = model_of_size(*parameters_e9 * 1e9, gpt);
  std::string taken = fmt::format("{} is not in the catalogue: a dense model of {:.4g}e9 parameters in usual proportions",
                                  shorten(name, 60), *parameters_e9);
  return LikelyModel{std::move(model), std::move(taken), true};
}

}  // namespace centrale
