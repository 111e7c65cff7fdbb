// SPDX-License-Identifier: Apache-2.0
#include "shapes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace centrale::calibrate {
namespace {

// Powers of two, and the sizes between them that models have.
constexpr std::array<double, 13> kSides{64, 96, 128, 192, 256, 384, 512, 768, 1024, 1376, 2048, 3072, 4096};
constexpr std::size_t kCube = kSides.size() * kSides.size() * kSides.size();
constexpr std::size_t kStride = 1201;  // has no factor in common with 13: a walk of this stride meets every point of the cube once

}  // namespace

double element_bytes(Precision precision) {
  switch (precision) {
    case Precision::fp32:
    case Precision::tf32: return 4;
    case Precision::fp16:
    case Precision::bf16: return 2;
    case Precision::fp8:
    case Precision::int8: return 1;
    case Precision::fp4: return 0.5;
  }
  return 4;
}

std::string to_text(const Gemm& gemm) {
  const std::string sides = fmt::format("{:.0f}x{:.0f}x{:.0f}", gemm.m, gemm.n, gemm.k);
  return gemm.batch > 1 ? fmt::format("{:.0f} x {}", gemm.batch, sides) : sides;
}

std::vector<ProductShape> product_shapes(const Sweep& sweep, Precision precision) {
  const double bytes = element_bytes(precision);
  std::vector<ProductShape> shapes;
  const auto add = [&](double m, double n, double k, double batch, Product product) {
    const Gemm gemm{
        .m = m, .n = n, .k = k, .batch = batch, .precision = precision, .input_bytes = bytes, .weight_bytes = bytes, .output_bytes = bytes};
    if (2 * m * n * k * batch <= sweep.flop_max) { shapes.push_back({gemm, product}); }
  };
  const std::size_t wanted = sweep.quick ? 15 : 72;
  for (std::size_t i = 0, at = 0; i < kCube && shapes.size() < wanted; ++i, at = (at + kStride) % kCube) {
    const double m = kSides[at % kSides.size()];
    const double n = kSides[at / kSides.size() % kSides.size()];
    const double k = kSides[at / kSides.size() / kSides.size()];
    add(m, n, k, 1, static_cast<Product>(shapes.size() % 3));
  }
  // Scores and values of attention: heads x sequences many.
  struct Heads {
    double count, length, width;
  };
  constexpr std::array<Heads, 8> kHeads{
      {{48, 256, 32}, {32, 128, 64}, {16, 512, 64}, {128, 128, 32}, {16, 1024, 64}, {64, 256, 64}, {12, 512, 128}, {96, 64, 64}}};
  for (std::size_t i = 0; i < (sweep.quick ? 3 : kHeads.size()); ++i) {
    add(kHeads[i].length, kHeads[i].length, kHeads[i].width, kHeads[i].count, Product::batched);
    add(kHeads[i].length, kHeads[i].width, kHeads[i].length, kHeads[i].count, Product::batched);
  }
  return shapes;
}

std::vector<std::int64_t> stream_sizes(const Sweep& sweep) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t bytes = 64 << 10; static_cast<double>(bytes) <= sweep.bytes_max; bytes *= sweep.quick ? 16 : 4) {
    sizes.push_back(bytes);
  }
  return sizes;
}

std::vector<AttentionShape> attention_shapes(const Sweep& sweep, Precision precision) {
  std::vector<AttentionShape> shapes;
  const auto add = [&](double batch, double length, double width) {
    const AttentionShape shape{.batch = batch,
                               .heads = 8,
                               .kv_heads = 8,
                               .head_dim = width,
                               .value_dim = width,
                               .queries = length,
                               .keys = length,
                               .cache_bytes = element_bytes(precision),
                               .precision = precision};
    if (4 * batch * 8 * length * length * width <= sweep.flop_max) { shapes.push_back(shape); }
  };
  add(4, 256, 64);
  add(2, 512, 64);
  if (!sweep.quick) {
    add(8, 256, 32);
    add(2, 1024, 64);
    add(1, 1024, 128);
    add(1, 2048, 128);
    add(1, 4096, 128);
  }
  return shapes;
}

std::vector<std::int64_t> link_sizes(const Sweep& sweep) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t bytes = 4 << 10; bytes <= (sweep.quick ? 4 << 20 : 64 << 20); bytes *= sweep.quick ? 32 : 4) { sizes.push_back(bytes); }
  return sizes;
}

}  // namespace centrale::calibrate
