// SPDX-License-Identifier: Apache-2.0
// What a model_type implies beside the fields of its config.json: the code of its transformers class, as data.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace centrale {

/// A yes or no that a field may say; an empty field: nobody says, it is so.
struct Said {
  std::string_view field;
  bool fallback = false;
};
inline constexpr Said kNever{"", false};
inline constexpr Said kAlways{"", true};

/// Which layers see only a window, where no layer_types says so.
enum class Windows : unsigned char {
  none,
  all,        // sliding_window, of every layer
  late,       // Qwen2: with use_sliding_window, layers from max_window_layers on
  alternate,  // every other layer, from the first on
  pattern,    // all but each n-th (sliding_window_pattern)
};

enum class RouterBias : unsigned char { never, always, noaux };  // noaux: where topk_method says "noaux_tc"

/// How the fields are laid out, where it is not llama's way.
enum class Form : unsigned char { llama, falcon, mpt, dbrx, chatglm, qwen, nemotron_h };

// Read as a table, row by row; there are a few dozen: the order is the reader's, not the padding's.
struct Family {  // NOLINT(clang-analyzer-optin.performance.Padding)
  std::string_view type;
  Form form = Form::llama;
  bool tied = false;       // tie_word_embeddings where the file does not say
  bool gated = true;       // feed-forward of three matrices
  bool norm_bias = false;  // LayerNorm with a bias
  std::int64_t norms = 2;  // of a block
  bool parallel = false;   // mixer and feed-forward side by side
  bool rotary = true;
  std::int64_t positions_more = -1;  // learned position embeddings beyond the longest sequence; -1: none are learned
  bool output_matrix_bias = false;
  Said bias = kNever;        // of q, k, v
  bool output_bias = false;  // the output projection goes with `bias`
  Said mlp_bias = kNever;
  Windows windows = Windows::none;
  std::int64_t each = 4;                            // of Windows::pattern and delta: each n-th layer sees all, where the file does not say
  std::int64_t window = 0;                          // where the file does not say
  std::int64_t head_dim = 0;                        // where the file does not say; 0: hidden / heads
  std::int64_t heads = 0, kv_heads = 0, vocab = 0;  // where the file does not say; 0: it must (kv_heads: as many as heads)
  bool qk_norm = false;
  bool qk_norm_wide = false;
  bool wide_ffn = false;             // four times the hidden width where the file does not say
  bool expert_width_is_ffn = false;  // intermediate_size is that of an expert
  RouterBias router_bias = RouterBias::never;
  bool delta = false;  // gated delta layers but for each n-th (full_attention_interval)
};

/// By model_type, "_text" at its end aside; null: not known.
[[nodiscard]] const Family* family_of(std::string_view model_type);
/// What an unknown one is read as.
[[nodiscard]] const Family& llama_family();
[[nodiscard]] const std::vector<std::string_view>& family_names();

}  // namespace centrale
