// SPDX-License-Identifier: Apache-2.0
#include "shapes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace centrale::calibrate {
namespace {

constexpr Sweep kFull{.quick = false, .flop_max = 1e12, .bytes_max = 64 << 20};

TEST(Shapes, CoverTheCubeFrom64To4096) {
  const auto shapes = product_shapes(kFull, Precision::fp32);
  for (const auto side : {&Gemm::m, &Gemm::n, &Gemm::k}) {
    std::set<double> seen;
    for (const ProductShape& s : shapes) {
      if (s.gemm.batch == 1) { seen.insert(s.gemm.*side); }
    }
    EXPECT_EQ(*seen.begin(), 64);
    EXPECT_EQ(*seen.rbegin(), 4096);
    EXPECT_EQ(seen.size(), 13U);
  }
}

TEST(Shapes, HaveAllThreeProductsOfALayerAndBatches) {
  std::set<Product> seen;
  for (const ProductShape& s : product_shapes({.quick = true, .flop_max = 1e10, .bytes_max = 0}, Precision::bf16)) {
    seen.insert(s.product);
    EXPECT_EQ(s.gemm.input_bytes, 2);
  }
  EXPECT_EQ(seen.size(), 4U);
}

TEST(Shapes, NoneIsLongerThanAllowed) {
  const Sweep slow{.quick = false, .flop_max = 2e8, .bytes_max = 1 << 20};
  const auto shapes = product_shapes(slow, Precision::fp32);
  EXPECT_GT(shapes.size(), 50U);
  for (const ProductShape& s : shapes) { EXPECT_LE(2 * s.gemm.m * s.gemm.n * s.gemm.k * s.gemm.batch, 2e8) << to_text(s.gemm); }
  EXPECT_EQ(stream_sizes(slow).back(), 1 << 20);
}

TEST(Shapes, OfAQuickRunAreFewer) {
  const Sweep quick{.quick = true, .flop_max = 1e12, .bytes_max = 64 << 20};
  EXPECT_LT(product_shapes(quick, Precision::fp32).size() * 3, product_shapes(kFull, Precision::fp32).size());
  EXPECT_LT(link_sizes(quick).size(), link_sizes(kFull).size());
  EXPECT_LT(attention_shapes(quick, Precision::fp32).size(), attention_shapes(kFull, Precision::fp32).size());
}

}  // namespace
}  // namespace centrale::calibrate
