// SPDX-License-Identifier: Apache-2.0
// In which order each stage of a pipeline works: private to estimate/.
#pragma once
#include <cstdint>
#include <vector>

#include "estimate/layout.hpp"

namespace centrale::estimating {

enum class Piece : unsigned char { forward, backward, weight_gradient };

struct PieceOf {
  Piece piece = Piece::forward;
  std::int32_t microbatch = 0;  // DualPipe: those of the second direction are the odd ones
  std::int32_t chunk = 0;       // of the model on this stage
  bool operator==(const PieceOf&) const = default;
};

/// What a stage does without a break; its results leave at its end.
struct Unit {
  PieceOf pieces[2];
  std::int32_t count = 1;
  bool with_weight_gradient = true;  // backward pieces include the weights' gradients
};

/// The order of one stage. `layout` has no fault for so many micro-batches.
[[nodiscard]] std::vector<Unit> order_of(const Layout& layout, std::int64_t stage, std::int64_t microbatches);

}  // namespace centrale::estimating
