// SPDX-License-Identifier: Apache-2.0
// What is measured: which products, streams and attentions. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "samples.hpp"

namespace centrale::calibrate {

struct Sweep {
  bool quick = false;    // a tenth of the shapes: seconds, not minutes
  double flop_max = 0;   // of one product
  double bytes_max = 0;  // of one tensor
};

struct ProductShape {
  Gemm gemm;
  Product product = Product::forward;
};

/// Products of all three kinds with sides of 64 to 4096, spread evenly over the whole cube, always the same ones; then batched ones as
/// attention has them.
[[nodiscard]] std::vector<ProductShape> product_shapes(const Sweep& sweep, Precision precision);
/// Bytes of one tensor of a stream.
[[nodiscard]] std::vector<std::int64_t> stream_sizes(const Sweep& sweep);
[[nodiscard]] std::vector<AttentionShape> attention_shapes(const Sweep& sweep, Precision precision);
/// Bytes of vectors that ranks sum up.
[[nodiscard]] std::vector<std::int64_t> link_sizes(const Sweep& sweep);

[[nodiscard]] double element_bytes(Precision precision);
[[nodiscard]] std::string to_text(const Gemm& gemm);  // "2048x512x192", "48 x 256x256x32"

}  // namespace centrale::calibrate
