// SPDX-License-Identifier: Apache-2.0
#include "estimate/engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "base/yaml.hpp"

namespace centrale {

template <class V>
void describe(V& v, Engine& e) {
  v("key", e.key);
  v("name", e.name);
  v("words", e.words);
  v("source", e.source);
  v("batching", e.batching);
  v("gemm", e.gemm);
  v("gemm_fp4", e.gemm_fp4);
  v("weights", e.weights);
  v("expert_weights", e.expert_weights);
  v("expert_gemm", e.expert_gemm);
  v("attention", e.attention);
  v("cache", e.cache);
  v("kernel_seconds", e.kernel.value);
  v("kernels", e.kernels);
  v("routing_kernels", e.routing_kernels);
  v("latent_kernels", e.latent_kernels);
  v("recurrent_kernels", e.recurrent_kernels);
  v("host_seconds", e.host.value);
  v("step_seconds", e.step.value);
  v("sequence_seconds", e.sequence.value);
  v("request_seconds", e.request.value);
  v("polling", e.polling);
  v("balancing", e.balancing);
  v("token_seconds", e.token.value);
  v("reduce_seconds", e.reduce.value);
  v("links", e.links);
  v("overlap", e.overlap);
  v("imbalance", e.imbalance);
  v("skew", e.skew);
  v("tokens_max", e.tokens_max);
  v("sequences_max", e.sequences_max);
  v("reserve", e.reserve);
  v("memory", e.memory);
  v("narrow_cache", e.narrow_cache);
  v("narrow_on_fp4", e.narrow_on_fp4);
}

namespace {

struct EnginesFile {
  std::vector<Engine> engines;
};
template <class V>
void describe(V& v, EnginesFile& f) {
  v("engines", f.engines);
}

struct Bound {
  const char* name;
  double value, least, most;
};

/// What is wrong with one entry; empty if nothing is.
std::string fault_of(const Engine& e) {
  if (!is_valid_name(e.key)) { return fmt::format("key '{}' is not a-z, 0-9 and '-'", shorten(e.key, 60)); }
  if (e.name.empty() || e.source.empty()) { return fmt::format("engine '{}' has no {}", e.key, e.name.empty() ? "name" : "source"); }
  const std::array<Bound, 28> bounds{{{"gemm", e.gemm, 0.01, 10},
                                      {"gemm_fp4", e.gemm_fp4, 0.01, 10},
                                      {"weights", e.weights, 0.01, 10},
                                      {"expert_weights", e.expert_weights, 0.01, 10},
                                      {"expert_gemm", e.expert_gemm, 0.01, 10},
                                      {"attention", e.attention, 0.01, 10},
                                      {"cache", e.cache, 0.01, 10},
                                      {"kernel_seconds", e.kernel.value, 0, 1},
                                      {"kernels", e.kernels, 0, 100},
                                      {"routing_kernels", e.routing_kernels, 0, 1000},
                                      {"latent_kernels", e.latent_kernels, 0, 1000},
                                      {"recurrent_kernels", e.recurrent_kernels, 0, 1000},
                                      {"host_seconds", e.host.value, 0, 1},
                                      {"step_seconds", e.step.value, 0, 10},
                                      {"sequence_seconds", e.sequence.value, 0, 1},
                                      {"request_seconds", e.request.value, 0, 100},
                                      {"polling", e.polling, 0, 1000},
                                      {"balancing", e.balancing, 0, 1000},
                                      {"token_seconds", e.token.value, 0, 1},
                                      {"reduce_seconds", e.reduce.value, 0, 1},
                                      {"links", e.links, 0.001, 10},
                                      {"overlap", e.overlap, 0, 1},
                                      {"imbalance", e.imbalance, 1, 100},
                                      {"skew", e.skew, 0.01, 1},
                                      {"tokens_max", e.tokens_max, 1, 1e7},
                                      {"sequences_max", e.sequences_max, 1, 1e6},
                                      {"reserve", e.reserve, 0, 1},
                                      {"memory", e.memory, 0.01, 1}}};
  for (const Bound& b : bounds) {
    if (!(b.value >= b.least && b.value <= b.most)) {
      return fmt::format("engine '{}': {} is {}, wants {} to {}", e.key, b.name, b.value, b.least, b.most);
    }
  }
  return {};
}

std::string folded(std::string_view text) {
  std::string out;
  for (const char c : text) { out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
  return out;
}

}  // namespace

Result<std::vector<Engine>> read_engines(std::string_view yaml, std::string_view file) {
  TRY_ASSIGN(const YamlFile parsed, YamlFile::parse(yaml, file));
  if (parsed.documents() != 1) {
    return fail(ErrorKind::invalid, fmt::format("holds {} documents, wants one list of engines", parsed.documents()), std::string(file));
  }
  EnginesFile read;
  TRY(parsed.read(0, read));
  bool generic = false;
  for (std::size_t i = 0; i < read.engines.size(); ++i) {
    std::string fault = fault_of(read.engines[i]);
    generic = generic || read.engines[i].key == "generic";
    for (std::size_t j = 0; fault.empty() && j < i; ++j) {
      if (read.engines[j].key == read.engines[i].key) { fault = fmt::format("engine '{}' is there already", read.engines[i].key); }
    }
    if (!fault.empty()) { return fail(ErrorKind::invalid, std::move(fault), parsed.where(0, "engines", i)); }
  }
  if (!generic) { return fail(ErrorKind::invalid, "there is no engine 'generic' for what is not listed", std::string(file)); }
  return std::move(read.engines);
}

std::string_view default_engines_text();  // engines_text.cpp.in

const std::vector<Engine>& default_engines() {
  static const std::vector<Engine> engines = [] {
    auto read = read_engines(default_engines_text(), "catalogue/engines.yaml");
    ensure(read.has_value());  // built in, and tested
    return *std::move(read);
  }();
  return engines;
}

Result<Engine> engine_named(std::string_view key, const std::vector<Engine>& engines) {
  const auto found = std::ranges::find(engines, key, &Engine::key);
  if (found != engines.end()) { return *found; }
  std::vector<std::string> keys;
  for (const Engine& e : engines) { keys.push_back(e.key); }
  return fail(ErrorKind::not_found, fmt::format("engine '{}' is not in the catalogue", shorten(key, 60)), {}, nearest_remedy(key, keys));
}

const Engine& engine_like(std::string_view text, const std::vector<Engine>& engines) {
  const std::string wanted = folded(text);
  for (const Engine& e : engines) {
    for (const std::string& word : e.words) {
      if (wanted.find(folded(word)) != std::string::npos) { return e; }
    }
  }
  const auto generic = std::ranges::find(engines, "generic", &Engine::key);
  ensure(generic != engines.end());  // read_engines() asks for it
  return *generic;
}

const std::vector<WeightFormat>& weight_formats() {
  // Block-scaled formats carry one scale a block: 8 bits in 16 weights (NVFP4), in 32 (MXFP4), 16 bits in 128 (GPTQ and AWQ groups).
  // GGUF kinds: bits a weight over a whole Llama model, as llama.cpp's quantize prints them.
  static const std::vector<WeightFormat> formats{
      {"fp32", 32, Precision::fp32, 4, false},     {"bf16", 16, Precision::bf16, 2, false},       {"fp16", 16, Precision::fp16, 2, false},
      {"fp8", 8, Precision::fp8, 1, false},        {"nvfp4", 4.5, Precision::fp4, 0.5625, false}, {"mxfp4", 4.25, Precision::bf16, 2, true},
      {"int8", 8, Precision::int8, 1, false},      {"int4", 4.25, Precision::bf16, 2, true},      {"q8_0", 8.5, Precision::bf16, 2, false},
      {"q6_k", 6.56, Precision::bf16, 2, false},   {"q5_k_m", 5.69, Precision::bf16, 2, false},   {"q5_0", 5.54, Precision::bf16, 2, false},
      {"q4_k_m", 4.85, Precision::bf16, 2, false}, {"q4_k_s", 4.58, Precision::bf16, 2, false},   {"q4_0", 4.55, Precision::bf16, 2, false},
      {"q3_k_m", 3.91, Precision::bf16, 2, false}, {"q2_k", 3.0, Precision::bf16, 2, false},
  };
  return formats;
}

const WeightFormat* weight_format_like(std::string_view text) {
  // The first pattern found in the text decides.
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 31> kPatterns{{
      {"nvfp4", "nvfp4"},   {"mxfp4", "mxfp4"}, {"q8_0", "q8_0"},    {"q6_k", "q6_k"},   {"q5_k", "q5_k_m"}, {"q5_0", "q5_0"},
      {"q4_k_s", "q4_k_s"}, {"q4_k", "q4_k_m"}, {"q4_0", "q4_0"},    {"q3_k", "q3_k_m"}, {"q2_k", "q2_k"},   {"awq", "int4"},
      {"gptq", "int4"},     {"w4a16", "int4"},  {"w8a8 fp8", "fp8"}, {"w8a8", "int8"},   {"int4", "int4"},   {"int8", "int8"},
      {"fp4", "nvfp4"},     {"f8", "fp8"},      {"fp8", "fp8"},      {"e4m3", "fp8"},    {"bf16", "bf16"},   {"bfloat16", "bf16"},
      {"fp16", "fp16"},     {"f16", "fp16"},    {"float16", "fp16"}, {"half", "fp16"},   {"fp32", "fp32"},   {"float32", "fp32"},
      {"f32", "fp32"},
  }};
  const std::string wanted = folded(text);
  for (const auto& [pattern, name] : kPatterns) {
    if (wanted.find(pattern) == std::string::npos) { continue; }
    const auto found = std::ranges::find(weight_formats(), name, &WeightFormat::name);
    ensure(found != weight_formats().end());
    return &*found;
  }
  return nullptr;
}

}  // namespace centrale
