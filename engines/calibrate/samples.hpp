// SPDX-License-Identifier: Apache-2.0
// What was measured, before anything is concluded from it. Plain data: the fit and its tests know no torch.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/reflect.hpp"
#include "estimate/operators.hpp"

namespace centrale::calibrate {

/// The median of several runs.
struct Timing {
  double seconds = 0;
  double spread = 0;           // half the distance between the quartiles, over the median
  std::int64_t runs = 0;       // that the median is of
  std::int64_t disturbed = 0;  // thrown away: another process took the core meanwhile
};

/// Which of a linear layer's three products; each reads its operands in another order. A batched one multiplies many pairs.
enum class Product : unsigned char { forward, input_gradient, weight_gradient, batched };

struct GemmSample {
  Gemm shape;
  Product product = Product::forward;
  Timing time;
};
struct StreamSample {
  std::string name;  // "multiply"
  double bytes = 0;  // read and written
  Timing time;
};
struct AttentionSample {
  AttentionShape shape;
  bool fused = false;
  Timing time;
};
struct LinkSample {
  std::int64_t ranks = 0;
  double bytes = 0;  // of the vector that is summed
  Timing time;
};

struct Machine {
  std::string device;  // "cpu", "cuda:0"
  std::string name;    // as the processor calls itself
  std::string vendor;  // as in the catalogue
  std::string library;
  std::string date;         // 2026-11-24
  std::int64_t units = 1;   // threads, multiprocessors
  std::int64_t memory = 0;  // bytes
  std::int64_t chips = 1;   // of this kind in the machine
  bool is_cpu = true;
};

struct Samples {
  Machine machine;
  std::vector<GemmSample> gemms;
  std::vector<StreamSample> streams;
  std::vector<AttentionSample> attention;
  std::vector<LinkSample> links;
  Timing host;                     // of one operator on a tensor of a few bytes
  double others = 0;               // part of the machine's cores that other programs took meanwhile
  std::vector<std::string> notes;  // what was left out, and why
};

}  // namespace centrale::calibrate

namespace centrale {
template <>
inline constexpr std::array<std::string_view, 4> kEnumNames<calibrate::Product>{"forward", "input-gradient", "weight-gradient", "batched"};
}
