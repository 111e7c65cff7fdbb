// SPDX-License-Identifier: Apache-2.0
// The parts of a block out of the fields of a config.json. Faults are kept in the fields.
#pragma once
#include <cstdint>
#include <vector>

#include "model/family.hpp"
#include "model/fields.hpp"
#include "model/model.hpp"

namespace centrale {

/// Multi-head attention as most name it; no window.
[[nodiscard]] Mixer read_attention(const Fields& fields, const Family& family, std::int64_t hidden);
/// MLA, with its indexer if the fields name one.
[[nodiscard]] Mixer read_latent(const Fields& fields, const Family& family);
[[nodiscard]] Mixer read_mamba2(const Fields& fields);
[[nodiscard]] Mixer read_delta(const Fields& fields);

/// The dense feed-forward; the one of experts: experts == 0 if the fields name none.
[[nodiscard]] FeedForward read_dense(const Fields& fields, const Family& family, std::int64_t hidden);
[[nodiscard]] FeedForward read_experts(const Fields& fields, const Family& family);

/// Appends a layer, as one of model.kinds.
void add_layer(Model& model, const Block& block);
/// The kind of a block, added if it is new.
[[nodiscard]] std::uint8_t kind_of(Model& model, const Block& block);

/// Layers that are all of one pattern: windows, delta, dense before sparse.
void add_layers(Model& model, const Fields& fields, const Family& family);
/// Nemotron-H's, a letter each.
void add_hybrid_layers(Model& model, const Fields& fields, const Family& family);

}  // namespace centrale
