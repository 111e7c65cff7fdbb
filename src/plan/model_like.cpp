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

/// Words that name no shape.
constexpr std::array<std::string_view, 36> kPackaging{
    "instruct",  "chat", "base",   "hf",    "it",       "nvfp4",     "fp8",     "fp4", "awq",   "gptq",        "int4",     "int8",
    "w4a16",     "w8a8", "bf16",   "fp16",  "mxfp4",    "gguf",      "q4",      "q8",  "v0",    "lora",        "megatron", "mlperf",
    "tokendrop", "meta", "nvidia", "model", "pretrain", "deepspeed", "dynamic", "kv",  "eagle", "speculative", "preview",  "sft"};

/// Lower-case words and numbers: "LLaMA v3.1 70B" is llama 3.1 70b.
std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (word.size() > 1 && word[0] == 'v' && word[1] >= '0' && word[1] <= '9') { word.erase(0, 1); }
    if (!word.empty() && std::find(kPackaging.begin(), kPackaging.end(), word) == kPackaging.end()) { words.push_back(word); }
    word.clear();
  };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (const char raw : name) {
    const char c = raw >= 'A' && raw <= 'Z' ? static_cast<char>(raw - 'A' + 'a') : raw;
    const bool letter = c >= 'a' && c <= 'z';
    if (!letter && !is_digit(c) && c != '.') {
      end_word();
      continue;
    }
    // "llama2" is two words, "70b" and "8x7b" one.
    if (is_digit(c) && word.size() > 1 && !is_digit(word.back()) && word.back() != '.') { end_word(); }
    word += c;
  }
  end_word();
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
  std::string_view words, name;
};
/// Names that share no words with the catalogue's.
constexpr std::array<Alias, 17> kAliases{{{"gptj", "gpt-j-6b"},
                                          {"nemotron8b", "nemotron-3-8b"},
                                          {"nemotron22b", "nemotron-3-22b"},
                                          {"nemotron340b", "nemotron-4-340b"},
                                          {"gptj99", "gpt-j-6b"},
                                          {"gptj99.9", "gpt-j-6b"},
                                          {"llama270b99", "llama-2-70b"},
                                          {"llama270b99.9", "llama-2-70b"},
                                          {"deepseekr1", "deepseek-v3"},
                                          {"deepseek3.1", "deepseek-v3"},
                                          {"deepseek3.2", "deepseek-v3"},
                                          {"kimik2.5", "kimi-k2"},
                                          {"minimaxm2.5", "minimax-m2"},
                                          {"gpt3175b", "gpt-3-175b"},
                                          {"gpt175b", "gpt-3-175b"},
                                          {"llama3.370b", "llama-3.1-70b"},
                                          {"codellama34b", "codellama-34b"}}};

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
  for (const Alias& alias : kAliases) {
    if (wanted == alias.words) { found = alias.name; }
  }
  std::size_t best = 0;
  for (const CatalogueModel& model : catalogue_models()) {
    if (!found.empty()) { break; }
    const std::string known = joined(words_of(model.name));
    if (known == wanted) { found = model.name; }
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
