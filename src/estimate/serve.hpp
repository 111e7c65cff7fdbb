// SPDX-License-Identifier: Apache-2.0
// One iteration of a serving engine on one replica: its time by part, and what of a chip's memory is left for the cache.
//
//   ServeEstimator estimator(model, island, engine, {.tp = 8, .weights = weight_format_like("fp8")});
//   IterationTime t = estimator.iteration({.decoding = 64, .context = 1500});
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dimension.hpp"
#include "estimate/engine.hpp"
#include "fleet/fleet.hpp"
#include "model/model.hpp"

namespace centrale {

/// How one replica is cut over chips. Attention is cut in `tp` and repeated `dp` times, each with its share of the sequences (attention
/// data parallelism); experts are spread over `ep` of the tp x dp ranks, each expert cut in tp x dp / ep.
struct ServeLayout {
  std::int64_t tp = 1, dp = 1, ep = 1, pp = 1;
  const WeightFormat* weights = nullptr;  // null: bf16
  double cache_bytes = 2;                 // of an element of the cache

  [[nodiscard]] std::int64_t ranks() const { return tp * dp; }  // of one pipeline stage
  [[nodiscard]] std::int64_t chips() const { return tp * dp * pp; }
  bool operator==(const ServeLayout&) const = default;
};
/// "tp4 dp2 ep8 fp8 cache8"; parts that are 1 are left out.
[[nodiscard]] std::string to_text(const ServeLayout& layout);
/// Which rule of the model or the island the layout breaks; empty: none. Memory is another question.
[[nodiscard]] std::string fault_of(const ServeLayout& layout, const Model& model, const Island& island);

/// Speculative decoding (Leviathan et al., arXiv:2211.17192): `draft` tokens are guessed each iteration, each right with probability
/// `acceptance` while those before it are.
struct Speculation {
  double draft = 0;
  double acceptance = 0.7;
  double draft_cost = 0;  // of one guess, as a fraction of a forward pass; 0 with MTP modules: one block of the model's depth
  /// Tokens that an iteration yields in the mean: equation 1 of the paper.
  [[nodiscard]] double yield() const;
};

/// What one replica does in one iteration, over all of its ranks.
struct IterationWork {
  double prompts = 0;         // sequences of which tokens are prefilled
  double prompt_tokens = 0;   // tokens of them all
  double prompt_context = 0;  // tokens that each has in the cache already, in the mean
  double decoding = 0;        // sequences that get their next token
  double context = 0;         // tokens of each in the cache, in the mean
};

/// Seconds; they add up to the iteration.
struct IterationTime {
  Seconds weights;      // dense GEMMs
  Seconds experts;      // grouped GEMMs of routed experts
  Seconds attention;    // fused attention of prompts
  Seconds cache;        // attention of decoding sequences: reading the cache
  Seconds elementwise;  // norms, activations, permutations, sampling
  Seconds kernels;      // launches
  Seconds collectives;  // exposed
  Seconds engine;       // the engine's own
  [[nodiscard]] Seconds total() const { return weights + experts + attention + cache + elementwise + kernels + collectives + engine; }
};

/// Bytes of the fullest chip.
struct ServeMemory {
  ByteCount weights, activations, reserved;
  ByteCount free;             // for the cache; negative: the weights do not fit
  ByteCount cache_per_token;  // of one sequence, on the chip that holds it
  ByteCount cache_fixed;      // of one sequence, whatever its length: states, windows
  ByteCount capacity;
  [[nodiscard]] ByteCount needed() const { return weights + activations + reserved; }
};

class ServeEstimator {
 public:
  ServeEstimator(const Model& model, const Island& island, const Engine& engine, const ServeLayout& layout,
                 const Speculation& speculation = {});

  [[nodiscard]] IterationTime iteration(const IterationWork& work) const;
  [[nodiscard]] const ServeMemory& memory() const { return memory_; }
  /// Sequences of `tokens` tokens each that the replica's cache holds; not limited by the engine.
  [[nodiscard]] double sequences_held(double tokens) const;
  /// Bytes of the cache that a sequence of `tokens` tokens fills on all chips that hold it: what disaggregation moves.
  [[nodiscard]] ByteCount cache_of(double tokens) const;

  [[nodiscard]] const Engine& engine() const { return engine_; }
  [[nodiscard]] const ServeLayout& layout() const { return layout_; }
  [[nodiscard]] const Speculation& speculation() const { return speculation_; }
  [[nodiscard]] const Island& island() const { return island_; }

 private:
  /// A GEMM of one rank; routed experts: one of `copies` that the rank holds.
  struct Product {
    double outputs = 0, inputs = 0;
    double copies = 1;   // on this rank
    double experts = 0;  // in all; 0: not routed
    double active = 0;   // that a token goes to
    double bits = 16;
    Precision multiply = Precision::bf16;
    double input_bytes = 2;
    double unpack = 0;  // FLOP to unpack one weight
  };
  struct BlockShape {
    Mixer mixer;
    double layers = 0;  // of this kind, on all stages
    double kernels = 0;
    bool mixes = false, feeds = false, routed = false;
    bool last_columns = false;  // of the products, while they are put together
    double hidden_passes = 0;   // times that the hidden state goes through memory
    std::vector<Product> products;
  };
  /// Parts that follow from the tokens of an iteration alone.
  struct TokenCost {
    double weights = 0, experts = 0, elementwise = 0, collectives = 0;
    double head = 0;  // of as many scored tokens
    TokenCost& add(const TokenCost& o, double times);
  };

  void add_product(BlockShape& shape, const Weight& weight) const;
  void add_kernels(BlockShape& shape, const Block& block) const;
  void size_memory(const Model& model);
  void fill_grid();
  [[nodiscard]] double product_seconds(const Product& product, double tokens) const;
  [[nodiscard]] double collective_seconds(const BlockShape& shape, double tokens) const;
  [[nodiscard]] double reduce_seconds(double bytes, std::int64_t ranks, std::int64_t stride) const;
  [[nodiscard]] TokenCost cost_of_tokens(double tokens) const;
  [[nodiscard]] TokenCost interpolated(double tokens) const;
  [[nodiscard]] double prompt_attention(const BlockShape& shape, const IterationWork& work) const;
  [[nodiscard]] double cache_seconds(const BlockShape& shape, const IterationWork& work) const;

  Island island_;
  Engine engine_;
  ServeLayout layout_;
  Speculation speculation_;
  WeightFormat format_;
  std::vector<BlockShape> blocks_;
  Product head_;
  double hidden_ = 0;
  double kernels_ = 0;
  std::vector<TokenCost> grid_;  // by step of tokens, see fill_grid()
  ServeMemory memory_;
};

}  // namespace centrale
