// SPDX-License-Identifier: Apache-2.0
#include "estimate/operators.hpp"

#include <gtest/gtest.h>

#include <random>

#include "fleet/catalogue.hpp"

namespace centrale {
namespace {

const ChipType& h100() { return *default_catalogue().chip("h100-sxm"); }

double achieved(const Gemm& g, const ChipType& chip) { return 2 * g.batch * g.m * g.n * g.k / gemm_time(g, chip).time.value; }

TEST(Operators, ALargeSquareProductReachesItsShareOfThePeak) {
  const double rate = achieved({.m = 16384, .n = 16384, .k = 16384}, h100());
  const double share = rate / h100().peak_of(Precision::bf16).value;
  // cuBLAS reaches 600 to 750 of 989 TFLOP/s on an H100 SXM: the chip's constant, less the loop's ramp.
  EXPECT_NEAR(share, h100().efficiency.gemm, 0.06);
  EXPECT_LT(share, h100().efficiency.gemm);
}

TEST(Operators, AMatrixTimesAVectorIsBoundByMemory) {
  const Gemm gemm{.m = 1, .n = 8192, .k = 8192};
  const OperatorTime t = gemm_time(gemm, h100());
  EXPECT_GT(t.memory, t.compute);
  EXPECT_NEAR(t.memory.value, (8192.0 * 8192 + 2 * 8192) * 2 / (h100().memory_bandwidth.value.value * h100().efficiency.memory), 1e-9);
  EXPECT_EQ(t.time, t.memory + t.launch);
}

TEST(Operators, OneTileMoreThanAWaveCosts) {
  // 132 units, tiles of 128 x 256: 12 x 11 tiles fill one wave, one column of tiles more begins another.
  const ChipType& chip = h100();
  ASSERT_EQ(chip.units.value, 132);
  const double m = chip.efficiency.tile_m * 12, n = chip.efficiency.tile_n * 11;
  const Gemm full{.m = m, .n = n, .k = 8192}, more{.m = m, .n = n + 1, .k = 8192};
  EXPECT_GT(gemm_time(more, chip).compute.value, 1.1 * gemm_time(full, chip).compute.value);
  EXPECT_LT(gemm_time(more, chip).compute.value, 2 * gemm_time(full, chip).compute.value);  // smaller tiles and split loops level it out
}

TEST(Operators, ProductsGrowWithEverySide) {
  std::mt19937_64 random(7);  // NOLINT: a fixed seed
  for (int i = 0; i < 2000; ++i) {
    const auto side = [&] { return static_cast<double>(1 + random() % 20000); };
    const Gemm g{.m = side(), .n = side(), .k = side(), .batch = static_cast<double>(1 + random() % 8)};
    for (double Gemm::*grown : {&Gemm::m, &Gemm::n, &Gemm::k, &Gemm::batch}) {
      Gemm larger = g;
      larger.*grown *= 2;
      EXPECT_GE(gemm_time(larger, h100()).time.value, 0.999 * gemm_time(g, h100()).time.value) << g.m << 'x' << g.n << 'x' << g.k;
    }
    EXPECT_LE(achieved(g, h100()), h100().peak_of(Precision::bf16).value * h100().efficiency.gemm);
  }
}

TEST(Operators, AChipWithoutAFormatComputesInTheNextWiderOne) {
  const ChipType& a100 = *default_catalogue().chip("a100-sxm-80gb");
  EXPECT_EQ(best_peak(a100, Precision::fp8).value,
            a100.peak_of(Precision::int8).value > 0 ? a100.peak_of(Precision::int8).value : a100.peak_of(Precision::bf16).value);
  EXPECT_EQ(best_peak(h100(), Precision::fp4), h100().peak_of(Precision::fp8));
}

TEST(Operators, CausalAttentionIsAboutHalfOfTheWhole) {
  AttentionShape shape{.batch = 1, .heads = 32, .kv_heads = 8, .queries = 8192, .keys = 8192};
  const double causal = flash_attention_time(shape, h100()).compute.value;
  shape.causal = false;
  const double whole = flash_attention_time(shape, h100()).compute.value;
  EXPECT_NEAR(causal / whole, 0.5, 0.001);
  shape.window = 1024;
  EXPECT_LT(flash_attention_time(shape, h100()).compute.value, causal);
}

TEST(Operators, DecodingReadsTheCacheOnce) {
  const AttentionShape decode{.batch = 64, .heads = 64, .kv_heads = 8, .queries = 1, .keys = 4096};
  const OperatorTime t = flash_attention_time(decode, h100());
  EXPECT_GT(t.memory, t.compute);
  const double cache = 64.0 * 4096 * 8 * 256 * 2;
  EXPECT_NEAR(t.memory.value * h100().memory_bandwidth.value.value * h100().efficiency.memory, cache, 0.01 * cache);
}

TEST(Operators, AttentionThatIsNotFusedMovesTheScores) {
  const AttentionShape shape{.batch = 4, .heads = 32, .kv_heads = 32, .queries = 4096, .keys = 4096};
  EXPECT_GT(unfused_attention_time(shape, 8, h100()).time, flash_attention_time(shape, h100()).time);
  EXPECT_GT(unfused_attention_time(shape, 8, h100()).time, unfused_attention_time(shape, 4, h100()).time);
}

}  // namespace
}  // namespace centrale
