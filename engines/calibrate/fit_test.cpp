// SPDX-License-Identifier: Apache-2.0
#include "fit.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "shapes.hpp"

namespace centrale::calibrate {
namespace {

/// A processor that follows the formulas exactly.
ChipType ideal() {
  ChipType chip;
  chip.units = {2, "invented"};
  chip.peak[static_cast<std::size_t>(Precision::fp32)] = {{200e9}, "invented"};
  chip.peak[static_cast<std::size_t>(Precision::bf16)] = {{450e9}, "invented"};
  chip.memory_bandwidth = {{30e9}, "invented"};
  ChipEfficiency& e = chip.efficiency;
  e.gemm = 0.9;
  e.inner = 24;
  e.launch = {6e-6};
  e.batch_item = {15e-6};
  e.memory = 0.8;
  e.attention = 0.4;
  e.tile_m = 8;
  e.tile_n = 16;
  return chip;
}

Machine machine() {
  return {.device = "cpu",
          .name = "Invented 9000",
          .vendor = "any",
          .library = "libtorch 1",
          .date = "2026-11-24",
          .units = 2,
          .memory = 1 << 30};
}

/// What the ideal processor would measure, each time off by up to `noise`.
Samples measured_on(const ChipType& chip, double noise, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto about = [&](Seconds time) {
    const double unit = static_cast<double>(random() >> 11) * 0x1.0p-53;
    return Timing{.seconds = time.value * std::exp(noise * (2 * unit - 1)), .spread = noise, .runs = 5, .disturbed = 0};
  };
  Samples s;
  s.machine = machine();
  const Sweep sweep{.quick = false, .flop_max = 2e10, .bytes_max = 64 << 20};
  for (const Precision p : {Precision::fp32, Precision::bf16}) {
    for (const ProductShape& shape : product_shapes(sweep, p)) {
      s.gemms.push_back({shape.gemm, shape.product, about(gemm_time(shape.gemm, chip).time)});
    }
  }
  for (const std::int64_t size : stream_sizes(sweep)) {
    for (const double tensors : {2.0, 3.0}) {
      const double bytes = tensors * static_cast<double>(size);
      s.streams.push_back({"stream", bytes, about(stream_time(ByteCount{bytes}, 1, chip).time)});
    }
  }
  for (const AttentionShape& shape : attention_shapes(sweep, Precision::fp32)) {
    s.attention.push_back({shape, false, about(flash_attention_time(shape, chip).time)});
  }
  for (const std::int64_t bytes : link_sizes(sweep)) {
    s.links.push_back({2, static_cast<double>(bytes), about({2 * (50e-6 + static_cast<double>(bytes) / 2 / 3e9)})});
  }
  s.host = {.seconds = 2e-6, .spread = 0, .runs = 5, .disturbed = 0};
  return s;
}

double rate(const ChipType& chip, Precision p) { return chip.peak_of(p).value * chip.efficiency.gemm; }
double stream_rate(const ChipType& chip) { return chip.memory_bandwidth.value.value * chip.efficiency.memory; }

TEST(Fit, FindsTheConstantsThatMadeTheSamples) {
  const ChipType truth = ideal();
  const auto fit = fit_chip(measured_on(truth, 0, 1), "cpu-2t");
  ASSERT_TRUE(fit.has_value()) << fit.error().message();
  EXPECT_NEAR(rate(fit->chip, Precision::fp32) / rate(truth, Precision::fp32), 1, 0.05);
  EXPECT_NEAR(rate(fit->chip, Precision::bf16) / rate(truth, Precision::bf16), 1, 0.05);
  EXPECT_NEAR(stream_rate(fit->chip) / stream_rate(truth), 1, 0.05);
  EXPECT_NEAR(fit->chip.efficiency.batch_item.value / 15e-6, 1, 0.2);
  EXPECT_NEAR(fit->chip.efficiency.launch.value / 6e-6, 1, 0.2);
  EXPECT_EQ(fit->chip.efficiency.host.value, 2e-6);
  EXPECT_NEAR(fit->chip.scale_out.bandwidth.value.value * fit->chip.efficiency.network / 3e9, 1, 0.02);
  EXPECT_NEAR(fit->chip.scale_out.latency.value / 50e-6, 1, 0.02);
  for (const PartError& part : fit->errors) { EXPECT_LT(part.median, 0.03) << part.part; }
}

TEST(Fit, NoiseOfMeasuringComesOutAsErrorAndMovesTheConstantsLittle) {
  const ChipType truth = ideal();
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const auto fit = fit_chip(measured_on(truth, 0.2, seed), "cpu-2t");
    ASSERT_TRUE(fit.has_value()) << fit.error().message();
    EXPECT_NEAR(rate(fit->chip, Precision::fp32) / rate(truth, Precision::fp32), 1, 0.12) << "seed " << seed;
    EXPECT_NEAR(stream_rate(fit->chip) / stream_rate(truth), 1, 0.12) << "seed " << seed;
    for (const PartError& part : fit->errors) {
      EXPECT_LT(part.median, 0.2) << part.part << ", seed " << seed;
      EXPECT_GE(part.p90, part.median);
    }
  }
}

TEST(Fit, OneSampleThatWasDisturbedDoesNotMatter) {
  Samples samples = measured_on(ideal(), 0, 1);
  samples.gemms[3].time.seconds *= 30;
  const auto fit = fit_chip(samples, "cpu-2t");
  ASSERT_TRUE(fit.has_value());
  EXPECT_NEAR(rate(fit->chip, Precision::fp32) / rate(ideal(), Precision::fp32), 1, 0.06);
}

TEST(Fit, TheSameSamplesGiveTheSameChip) {
  const Samples samples = measured_on(ideal(), 0.1, 7);
  const auto once = fit_chip(samples, "a"), again = fit_chip(samples, "a");
  ASSERT_TRUE(once && again);
  EXPECT_EQ(once->chip.efficiency.gemm, again->chip.efficiency.gemm);
  EXPECT_EQ(once->chip.efficiency.launch, again->chip.efficiency.launch);
}

TEST(Fit, OfAGpuIsMadeAt16BitAndHasAFabric) {
  ChipType truth = ideal();
  truth.units = {132, "invented"};
  truth.peak[static_cast<std::size_t>(Precision::fp32)] = {{60e12}, "invented"};
  truth.peak[static_cast<std::size_t>(Precision::bf16)] = {{900e12}, "invented"};
  truth.memory_bandwidth = {{3e12}, "invented"};
  truth.efficiency.tile_m = truth.efficiency.tile_n = 128;
  truth.efficiency.batch_item = {0};
  Samples samples = measured_on(truth, 0, 1);
  samples.machine.is_cpu = false;
  samples.machine.vendor = "nvidia";
  samples.machine.name = "NVIDIA H100 80GB HBM3";
  samples.machine.units = 132;
  samples.machine.chips = 2;
  const auto fit = fit_chip(samples, "gpu-measured");
  ASSERT_TRUE(fit.has_value()) << fit.error().message();
  EXPECT_NEAR(rate(fit->chip, Precision::bf16) / rate(truth, Precision::bf16), 1, 0.1);
  EXPECT_THAT(fit->chip.peak[static_cast<std::size_t>(Precision::bf16)].source, testing::HasSubstr("fastest product"));
  EXPECT_EQ(fit->chip.scale_up.wiring, Wiring::fabric);
  EXPECT_EQ(fit->chip.scale_up.chips, 2);
  EXPECT_NEAR(fit->chip.scale_up.bandwidth.value.value * fit->chip.efficiency.links / 3e9, 1, 0.02);
  EXPECT_EQ(fit->chip.scale_out.bandwidth.value.value, 0);
  EXPECT_THAT(fit->chip.power.source, testing::HasSubstr("the catalogue's h100"));
}

TEST(Fit, SaysThatThereAreTooFewSamples) {
  Samples samples = measured_on(ideal(), 0, 1);
  samples.gemms.resize(3);
  const auto fit = fit_chip(samples, "cpu-2t");
  ASSERT_FALSE(fit.has_value());
  EXPECT_THAT(fit.error().message(), testing::HasSubstr("3 products"));
}

TEST(Fit, EveryNumberOfTheChipSaysWhereItIsFrom) {
  const auto fit = fit_chip(measured_on(ideal(), 0, 1), "cpu-2t");
  ASSERT_TRUE(fit.has_value());
  const std::string from = "measured by centrale calibrate on Invented 9000, 2026-11-24";
  EXPECT_THAT(fit->chip.peak[0].source, testing::StartsWith(from));
  EXPECT_THAT(fit->chip.memory_bandwidth.source, testing::StartsWith(from));
  EXPECT_THAT(fit->chip.efficiency.source, testing::StartsWith(from));
  EXPECT_THAT(fit->chip.power.source, testing::StartsWith("not measured"));
}

}  // namespace
}  // namespace centrale::calibrate
