// SPDX-License-Identifier: Apache-2.0
#include "chip_file.hpp"

#include <gtest/gtest.h>

namespace centrale::calibrate {
namespace {

ChipType chip() {
  ChipType c;
  c.key = "gpu-measured";
  c.vendor = "nvidia";
  c.name = R"(A "quoted" name \ with a slash)";
  c.memory = {{85'899'345'920}, "m"};
  c.power = {{700'000}, "w"};
  c.price_per_hour = {{2'990'000}, "p"};
  c.peak[static_cast<std::size_t>(Precision::fp32)] = {{61.3e12}, "a"};
  c.peak[static_cast<std::size_t>(Precision::bf16)] = {{802.125e12}, "b"};
  c.memory_bandwidth = {{2.87e12}, "c"};
  c.units = {132, "d"};
  c.chips_per_node = 4;
  c.scale_up.wiring = Wiring::fabric;
  c.scale_up.chips = 4;
  c.scale_up.bandwidth = {{365.5e9}, "e"};
  c.scale_up.latency = {11.25e-6};
  c.efficiency.gemm = 0.912345;
  c.efficiency.launch = {3.217e-6};
  c.efficiency.batch_item = {1.5e-6};
  c.efficiency.source = "f";
  return c;
}

TEST(ChipFile, IsReadBackByTheCatalogue) {
  const ChipType c = chip();
  const std::string text = chip_file(c, "USD", {"written by a test"});
  const auto read = read_catalogue(text, "chip.yaml");
  ASSERT_TRUE(read.has_value()) << read.error().message() << "\n" << text;
  ASSERT_EQ(read->chips.size(), 1U);
  const ChipType& back = read->chips[0];
  EXPECT_EQ(back.key, c.key);
  EXPECT_EQ(back.name, c.name);
  EXPECT_EQ(back.memory.value, c.memory.value);
  EXPECT_EQ(back.power.value, c.power.value);
  EXPECT_EQ(back.price_per_hour.value, c.price_per_hour.value);
  EXPECT_DOUBLE_EQ(back.peak_of(Precision::bf16).value, c.peak_of(Precision::bf16).value);
  EXPECT_EQ(back.peak_of(Precision::fp16).value, 0);
  EXPECT_DOUBLE_EQ(back.memory_bandwidth.value.value, c.memory_bandwidth.value.value);
  EXPECT_EQ(back.units.value, 132);
  EXPECT_EQ(back.scale_up.wiring, Wiring::fabric);
  EXPECT_EQ(back.scale_up.chips, 4);
  EXPECT_DOUBLE_EQ(back.scale_up.bandwidth.value.value, c.scale_up.bandwidth.value.value);
  EXPECT_NEAR(back.scale_up.latency.value, 11.25e-6, 1e-12);
  EXPECT_DOUBLE_EQ(back.efficiency.gemm, c.efficiency.gemm);
  EXPECT_NEAR(back.efficiency.launch.value, 3.217e-6, 1e-12);
  EXPECT_NEAR(back.efficiency.batch_item.value, 1.5e-6, 1e-12);
  EXPECT_EQ(back.efficiency.source, "f");
  EXPECT_EQ(back.peak[0].source, "a");
}

TEST(ChipFile, LiesOverTheBuiltInCatalogue) {
  const auto read = read_catalogue(chip_file(chip(), default_catalogue().currency, {}), "chip.yaml");
  ASSERT_TRUE(read.has_value());
  const auto both = overlay(default_catalogue(), *read);
  ASSERT_TRUE(both.has_value()) << both.error().message();
  EXPECT_EQ(both->chips.size(), default_catalogue().chips.size() + 1);
  ASSERT_NE(both->chip("gpu-measured"), nullptr);
}

}  // namespace
}  // namespace centrale::calibrate
