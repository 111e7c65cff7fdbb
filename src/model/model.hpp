// SPDX-License-Identifier: Apache-2.0
// What is computed: a transformer (or hybrid) described exactly enough to count its tensors, its multiplications and its caches.
// Read from a Hugging Face config.json (model/read.hpp); nothing here knows a chip.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dimension.hpp"

namespace centrale {

/// How a block mixes tokens.
enum class MixerKind : unsigned char {
  none,       // a block that is a feed-forward alone (Nemotron-H)
  attention,  // multi-head; grouped- and multi-query by kv_heads
  latent,     // MLA: DeepSeek-V2 (arXiv:2405.04434), section 2.1
  mamba2,     // state-space duality: Mamba-2 (arXiv:2405.21060)
  delta,      // gated delta rule: Qwen3-Next's linear attention (arXiv:2412.06464)
};

struct Mixer {
  MixerKind kind = MixerKind::attention;
  // attention: query heads, key-value heads, their width. latent: heads. mamba2: heads and their width. delta: value heads, key heads,
  // width.
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t window = 0;   // tokens that a token sees; 0: all before it
  bool bias = false;         // of the q, k, v projections
  bool output_bias = false;  // of the output projection
  bool qk_norm = false;      // a norm over each head's query and key (Qwen3)
  bool gated = false;        // an output gate as wide as the heads (Qwen3-Next)
  bool rotary = true;
  // latent
  std::int64_t q_rank = 0;  // 0: queries are projected directly
  std::int64_t kv_rank = 0, nope_dim = 0, rope_dim = 0, value_dim = 0;
  std::int64_t index_heads = 0, index_dim = 0, index_tokens = 0;  // DeepSeek sparse attention's indexer; 0: none
  // mamba2, delta
  std::int64_t state = 0, groups = 0, convolution = 0;

  bool operator==(const Mixer&) const = default;
};

/// What a block does to each token alone. Dense when experts == 0; nothing when width == 0 and experts == 0.
struct FeedForward {
  std::int64_t width = 0;  // of the dense one
  bool gated = true;       // three matrices (SwiGLU, GeGLU), else two
  bool bias = false;
  std::int64_t experts = 0;  // routed
  std::int64_t active = 0;   // routed experts a token goes to
  std::int64_t expert_width = 0;
  std::int64_t shared_width = 0;  // the sum over experts that every token goes to
  std::int64_t latent = 0;        // width that tokens are projected to before dispatch (LatentMoE); 0: the hidden width

  bool operator==(const FeedForward&) const = default;
};

struct Block {
  Mixer mixer;
  FeedForward ffn;
  std::int64_t norms = 2;  // each as wide as the hidden state
  bool parallel = false;   // mixer and feed-forward read the same norm (GPT-J)

  bool operator==(const Block&) const = default;
};

struct Model {
  std::string name;
  std::int64_t hidden = 0;
  std::int64_t vocab = 0;       // as embedded; padding for TP is the estimator's
  std::int64_t positions = 0;   // learned position embeddings; 0: none (rotary, ALiBi)
  std::int64_t context = 0;     // longest sequence it was made for; 0: not said
  bool tied = false;            // embedding and output matrix are one
  bool norm_bias = false;       // LayerNorm, else RMSNorm
  bool embedding_norm = false;  // BLOOM
  double dropout = 0;           // probability while training; 0: none
  std::string activation = "silu";
  std::int64_t mtp_layers = 0;       // multi-token prediction modules: each one more block, two norms and a projection 2h -> h
  std::vector<Block> kinds;          // distinct blocks
  std::vector<std::uint8_t> layers;  // which kind each layer is, from the input on

  [[nodiscard]] std::int64_t depth() const { return static_cast<std::int64_t>(layers.size()); }
  [[nodiscard]] const Block& block(std::size_t layer) const { return kinds[layers[layer]]; }
};

/// How a weight is divided among the ranks of a tensor-parallel group (Megatron-LM, arXiv:1909.08053, section 3).
enum class Split : unsigned char {
  whole,    // every rank holds all of it
  columns,  // by output: q, k, v, gate, up; the embedding by vocabulary
  rows,     // by input: o, down
};

/// A weight matrix (or vector: inputs == 1 and `matrix` false), which is also a GEMM of tokens x inputs x outputs.
struct Weight {
  std::string_view name;  // static text
  std::int64_t outputs = 0, inputs = 0;
  Split split = Split::whole;
  bool matrix = true;        // multiplies tokens; false: norms, biases, scales, convolutions
  std::int64_t copies = 1;   // how many stand side by side: the routed experts
  std::int64_t used = 1;     // how many of them one token multiplies
  std::int64_t granule = 1;  // outputs (or inputs, for rows) that cannot be cut further: a head's width. TP beyond them replicates.

  [[nodiscard]] std::int64_t elements() const { return outputs * inputs * copies; }
};

/// All weights of one block, and those outside the blocks (embedding, final norm, output matrix; a tied output matrix is not repeated).
[[nodiscard]] std::vector<Weight> weights_of(const Model& model, const Block& block);
[[nodiscard]] std::vector<Weight> outer_weights(const Model& model);

/// Parameters: of all, and those that one token meets (active experts only; the embedding counts once).
[[nodiscard]] std::int64_t parameters(const Model& model);
[[nodiscard]] std::int64_t active_parameters(const Model& model);
/// Multiply-adds of attention's scores and values for one token at `context` tokens before it, both matrix products, as FLOP (2 a
/// multiply-add).
[[nodiscard]] Flop attention_flop(const Mixer& mixer, double context);
/// Bytes that one token leaves in the cache of one block at `bytes` an element; a state of fixed size counts 0 here and in state_bytes.
[[nodiscard]] ByteCount cache_bytes_per_token(const Mixer& mixer, double bytes);
/// Bytes of the fixed state that one sequence keeps in one block (mamba2, delta, their convolutions).
[[nodiscard]] ByteCount state_bytes(const Mixer& mixer, double bytes);
/// FLOP of one forward pass over one sequence of `sequence` tokens, with causal attention counted as half: what MFU counts.
[[nodiscard]] Flop forward_flop(const Model& model, std::int64_t sequence);

}  // namespace centrale
