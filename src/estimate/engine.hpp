// SPDX-License-Identifier: Apache-2.0
// What a serving engine adds to the chip: catalogue/engines.yaml, a few constants each, calibrated over all published rows of the engine
// (bench/plan_fit_infer.cpp), never per row; and the formats that weights are kept in.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dimension.hpp"
#include "base/result.hpp"
#include "fleet/catalogue.hpp"

namespace centrale {

/// What an iteration does with prompts while other sequences decode.
enum class Batching : unsigned char {
  mixed,    // chunks of prompts beside the decoding sequences (vLLM, TensorRT-LLM)
  prompts,  // prompts by themselves, and first (SGLang)
  fixed,    // a batch is filled, decoded to its end, and the next filled (static batching)
};
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<Batching>{"mixed", "prompts", "fixed"};

struct Engine {
  std::string key;  // "vllm"
  std::string name;
  std::vector<std::string> words;  // what a table calls it: the first engine of which a word is in the text is meant
  std::string source;
  Batching batching = Batching::mixed;
  // Factors on what the chip's ChipEfficiency says.
  double gemm = 1;      // rate of large GEMMs
  double gemm_fp4 = 1;  // the same at 4 bit, over gemm
  // Parts of the printed memory bandwidth at which decoding reads weights, those of routed experts, and the cache.
  double weights = 0.85;
  double expert_weights = 0.8;
  double expert_gemm = 1;  // rate of grouped GEMMs over gemm's
  double attention = 1;    // rate of fused attention over prompts
  double cache = 0.8;
  Seconds kernel{2e-6};        // of one kernel behind another, started from a graph
  double kernels = 1;          // factor on the kernels of a block: how little is fused
  double routing_kernels = 5;  // kernels that routing adds to a block: choosing experts, sorting, gathering, adding up
  double latent_kernels = 6;   // that MLA adds beside its GEMMs, that a recurrence (Mamba-2, gated delta) adds
  double recurrent_kernels = 6;
  Seconds host{0};           // an iteration cannot be shorter than this much for each block: kernels that no graph starts (prompts)
  Seconds step{2e-4};        // an iteration's own: scheduling, sampling, what the chip waits for
  Seconds sequence{1e-6};    // the same for each decoding sequence of an attention rank
  Seconds request{0.01};     // a request's way in and out: HTTP, tokenizer, first answer
  Seconds token{0};          // the same for each token of the prompt
  double polling = 0;        // iterations beside which a request waits: the engine looks for new ones, and sends first answers, that seldom
  double balancing = 0;      // the same with attention in parallel copies: prompts wait until each copy has some, or so many iterations
  Seconds reduce{8e-6};      // a small all-reduce or all-to-all inside a domain
  double links = 1;          // factor on the chip's ChipEfficiency::links, ::network
  double overlap = 0;        // part of collectives hidden behind computation
  double imbalance = 1.2;    // busiest expert rank over the mean
  double skew = 1;           // experts that tokens meet, as a fraction of what even draws would meet
  double tokens_max = 8192;  // of one iteration
  double sequences_max = 256;  // that decode at once, of one replica; of each attention-parallel rank
  double reserve = 1;          // part of a request's output that the cache is kept free for when it is let in
  double memory = 0.9;         // of a chip's memory that the engine has for weights, work and cache
  bool narrow_cache = false;   // the cache is 8 bit where the weights are 8 bit or less, unless told otherwise
  bool narrow_on_fp4 = false;  // the same, on chips that multiply at 4 bit only: what recipes for them set

  /// Iterations that a first answer waits beside its prompt's own, on an engine with `copies` of attention.
  [[nodiscard]] double waits(double copies) const { return polling + (copies > 1 ? balancing : 0); }
};

/// Reads engines; errors name file:line.
[[nodiscard]] Result<std::vector<Engine>> read_engines(std::string_view yaml, std::string_view file);
[[nodiscard]] const std::vector<Engine>& default_engines();
/// By key; the error names the nearest.
[[nodiscard]] Result<Engine> engine_named(std::string_view key, const std::vector<Engine>& engines);
/// The first of whose words one is in what a table says ("TensorRT-LLM 0.17", "vllm 0.12.0", "SynapseAI 1.18.0 / PyTorch 2.4.0"); the
/// engine "generic" for other text.
[[nodiscard]] const Engine& engine_like(std::string_view text, const std::vector<Engine>& engines);

/// A format that weights are kept in, with its scales.
struct WeightFormat {
  std::string_view name;
  double bits = 16;                      // of one weight, scales included
  Precision multiply = Precision::bf16;  // what the GEMM multiplies in
  double input_bytes = 2;                // of one activation that it reads
  bool experts_only = false;             // in mixtures of experts only the routed experts are kept so, as published checkpoints are
};
/// "bf16", "fp8", "nvfp4", "W8A8 INT8", "Q4_K_M", "fp4 (gemm=nvfp4,moe=nvfp4)" …; null for other text.
[[nodiscard]] const WeightFormat* weight_format_like(std::string_view text);
[[nodiscard]] const std::vector<WeightFormat>& weight_formats();

}  // namespace centrale
