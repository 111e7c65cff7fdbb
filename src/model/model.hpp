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
  // width of a value head.
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t window = 0;    // tokens that a token sees; 0: all before it
  bool bias = false;          // of the q, k, v projections
  bool output_bias = false;   // of the output projection
  bool qk_norm = false;       // a norm over each head's query and key (Qwen3)
  bool qk_norm_wide = false;  // its scale is as wide as all heads, not as one (OLMo 2, MiniMax M2)
  bool sinks = false;         // a learned score a head that takes part in the softmax (gpt-oss)
  bool gated = false;         // an output gate as wide as the heads (Qwen3-Next)
  bool rotary = true;
  // latent
  std::int64_t q_rank = 0;  // 0: queries are projected directly
  std::int64_t kv_rank = 0, nope_dim = 0, rope_dim = 0, value_dim = 0;
  std::int64_t index_heads = 0, index_dim = 0,
               index_tokens = 0;  // sparse attention's (DeepSeek-V3.2); tokens without heads: an earlier layer's chose
  // mamba2: width of the state, groups that share B and C, taps of the convolution. delta: width of a key head, -, taps.
  std::int64_t state = 0, groups = 0, convolution = 0;
  bool convolution_bias = false;

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
  bool shared_gate = false;       // a learned weight, one a token, of the shared expert (Qwen2-MoE)
  bool router_bias = false;       // one number an expert, added to its score (DeepSeek-V3, gpt-oss)
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
  bool output_bias = false;     // of the output matrix (GPT-J)
  double dropout = 0;           // probability while training; 0: none
  std::string activation = "silu";
  // Multi-token prediction modules (DeepSeek-V3, arXiv:2412.19437, section 2.2): each its own blocks, three norms and a projection 2h -> h.
  std::int64_t mtp_layers = 0;
  std::vector<std::uint8_t> mtp_blocks;  // which kinds the blocks of one module are
  std::vector<Block> kinds;              // distinct blocks
  std::vector<std::uint8_t> layers;      // which kind each layer is, from the input on

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

/// All weights of one block, in the order of their use. Neighbours of equal `inputs` and split (q, k, v; gate, up) read the same tokens and
/// are one GEMM where software fuses them.
[[nodiscard]] std::vector<Weight> weights_of(const Model& model, const Block& block);
/// Those outside the blocks: "embedding" (a look-up, so no matrix), "positions", "embedding_norm", "final_norm", "output", "output_bias".
/// Tied: one "embedding", which is the output matrix too.
[[nodiscard]] std::vector<Weight> outer_weights(const Model& model);
/// Those of one multi-token prediction module; empty if the model has none. It shares the embedding and the output matrix.
[[nodiscard]] std::vector<Weight> mtp_weights(const Model& model);

/// Parameters: of all but the multi-token prediction modules, and those of them that one token meets (active experts only; embedding and
/// output matrix are both met, a tied one once).
[[nodiscard]] std::int64_t parameters(const Model& model);
[[nodiscard]] std::int64_t active_parameters(const Model& model);
/// What one token costs at `context` tokens before it beside its GEMMs, as FLOP (2 a multiply-add). Attention: scores and values. Mamba-2
/// and gated delta: the recurrence in its state form, whatever the context, and the convolution.
[[nodiscard]] Flop attention_flop(const Mixer& mixer, double context);
/// Summed over a causal sequence of `sequence` tokens: half of the square, less where a window or an indexer cuts it off.
[[nodiscard]] Flop causal_attention_flop(const Mixer& mixer, double sequence);
/// Bytes that one token leaves in the cache of one block at `bytes` an element, as long as the window holds it; a state of fixed size
/// counts 0 here and in state_bytes.
[[nodiscard]] ByteCount cache_bytes_per_token(const Mixer& mixer, double bytes);
/// Bytes of the fixed state that one sequence keeps in one block (mamba2, delta, their convolutions).
[[nodiscard]] ByteCount state_bytes(const Mixer& mixer, double bytes);
/// FLOP of one forward pass over one sequence of `sequence` tokens, with causal attention counted as half: what MFU counts.
[[nodiscard]] Flop forward_flop(const Model& model, std::int64_t sequence);

}  // namespace centrale
