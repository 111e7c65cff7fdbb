// SPDX-License-Identifier: Apache-2.0
#include "fleet/catalogue.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace centrale {
namespace {

std::string chip(std::string_view key, std::string_view rest = {}) {
  return "  - key: " + std::string(key) + "\n    vendor: v\n    name: n " + std::string(key) +
         "\n    power: {value: 700 W, source: s}\n    price: {value: 1.5, source: s}\n" + std::string(rest);
}
std::string error(std::string_view yaml) {
  const auto read = read_catalogue(yaml, "c.yaml");
  return read ? "no error" : read.error().message();
}
const std::string kHead = "currency: EUR\nchips:\n";

TEST(Catalogue, BuiltInOneIsWholeAndSourced) {
  const auto read = read_catalogue(default_catalogue_text(), "catalogue/chips.yaml");
  ASSERT_TRUE(read) << read.error().message();
  const Catalogue& catalogue = default_catalogue();
  EXPECT_EQ(catalogue.currency, "USD");
  for (const ChipType& c : catalogue.chips) {
    EXPECT_GT(c.power.value, Milliwatts{}) << c.key;
    EXPECT_GT(c.price_per_hour.value, MicroCurrency{}) << c.key;
    EXPECT_FALSE(c.power.source.empty() || c.price_per_hour.source.empty()) << c.key;
    EXPECT_EQ(c.memory.value == Bytes{}, c.key == "cpu-core") << c.key;
    // A price is somebody's list price at some time, or it is marked.
    const std::string& source = c.price_per_hour.source;
    EXPECT_TRUE(source.starts_with("estimate") || source.find(", 20") != std::string::npos || source.find(" 20") != std::string::npos)
        << c.key;
  }
  for (const char* key : {"cpu-core", "v100-sxm-16gb", "t4", "a10", "a100-sxm-80gb", "l40s", "rtx-4090", "h100-sxm", "h200-sxm", "b200-sxm",
                          "mi250x", "mi300x", "ascend-910b1", "gaudi2", "gaudi3"}) {
    EXPECT_NE(catalogue.chip(key), nullptr) << key;
  }
}

TEST(Catalogue, FindsChipsByWhatToolsPrint) {
  const Catalogue& catalogue = default_catalogue();
  const auto key_of = [&](std::string_view printed) {
    const ChipType* c = catalogue.chip_printed_as(printed);
    return c == nullptr ? std::string("none") : c->key;
  };
  EXPECT_EQ(key_of("NVIDIA H100 80GB HBM3"), "h100-sxm");
  EXPECT_EQ(key_of("nvidia a100-sxm4-80gb "), "a100-sxm-80gb");
  EXPECT_EQ(key_of("Tesla T4"), "t4");
  EXPECT_EQ(key_of("910B3"), "ascend-910b3");
  EXPECT_EQ(key_of("HL-225"), "gaudi2");
  EXPECT_EQ(key_of("NVIDIA H100"), "none");
  EXPECT_EQ(catalogue.nearest_key("h1000-sxm"), "nearest: h100-sxm");
  EXPECT_EQ(catalogue.chip("H100-SXM"), nullptr);
}

TEST(Catalogue, FindsChipsByWhatPeopleWrite) {
  struct Case {
    const char* text;
    const char* key;
  };
  // Rows of published tables, and what else is seen.
  constexpr Case kCases[] = {
      {"(CPU/none listed)", "none"},
      {"A100", "a100-sxm-80gb"},
      {"A100-40GB-SXM", "a100-sxm-40gb"},
      {"A100-80GB", "a100-sxm-80gb"},
      {"A100-80GB-SXM", "a100-sxm-80gb"},
      {"A100-SXM4-80GB", "a100-sxm-80gb"},
      {"A800-80GB", "a800-sxm-80gb"},
      {"AMD Instinct MI300X-NPS1-SPX-192GB-750W", "mi300x"},
      {"AMD MI300X-NPS1-SPX-192GB-750W", "mi300x"},
      {"AWS Trainium1 (trn1.32xlarge)", "trainium1"},
      {"Apple M1 7-core 8GB", "apple-m1"},
      {"Apple M1 Max 32-core 64GB", "apple-m1-max"},
      {"Apple M2 Ultra 76-core 192GB", "apple-m2-ultra"},
      {"Ascend 910B", "ascend-910b"},
      {"Ascend 910B (Atlas 900 A2 PODc)", "ascend-910b"},
      {"Ascend 910C (CloudMatrix384)", "ascend-910c"},
      {"Ascend NPU (model not stated in text; 16 devices)", "none"},
      {"B200-180GB-SXM", "b200-sxm"},
      {"B300", "b300-sxm"},
      {"GB200", "gb200"},
      {"GB300", "gb300"},
      {"GH200-480GB", "gh200"},
      {"Gaudi2", "gaudi2"},
      {"H100-80GB", "h100-sxm"},
      {"H100-80GB-SXM", "h100-sxm"},
      {"H100-SXM-80GB", "h100-sxm"},
      {"H200-141GB-SXM", "h200-sxm"},
      {"H200-SXM-141GB", "h200-sxm"},
      {"H800-80GB", "h800-sxm"},
      {"Intel Gaudi 2", "gaudi2"},
      {"Intel Gaudi 3", "gaudi3"},
      {"Jetson Thor", "jetson-thor"},
      {"L40S", "l40s"},
      {"NVIDIA B200-SXM-180GB", "b200-sxm"},
      {"NVIDIA GH200 Grace Hopper Superchip 144GB", "gh200-144gb"},
      {"NVIDIA GH200 Grace Hopper Superchip 96GB", "gh200"},
      {"NVIDIA GeForce RTX 4090", "rtx-4090"},
      {"NVIDIA H100-NVL-94GB", "h100-nvl"},
      {"NVIDIA H100-PCIe-80GB", "h100-pcie"},
      {"NVIDIA H100-SXM-80GB", "h100-sxm"},
      {"NVIDIA H200-SXM-141GB", "h200-sxm"},
      {"NVIDIA H200-SXM-141GB-CTS", "h200-sxm"},
      {"NVIDIA Jetson AGX Orin 64G", "jetson-agx-orin"},
      {"NVIDIA L40S", "l40s"},
      {"RTX 3070 8GB", "rtx-3070"},
      {"RTX 3080 10GB", "rtx-3080"},
      {"RTX 3080 Ti 12GB", "rtx-3080-ti"},
      {"RTX 3090 24GB", "rtx-3090"},
      {"RTX 4070 Ti 12GB", "rtx-4070-ti"},
      {"RTX 4080 16GB", "rtx-4080"},
      {"RTX 4090 24GB", "rtx-4090"},
      {"TPU v5e", "tpu-v5e"},
      {"TPU v5p", "tpu-v5p"},
      {"TPU v6e Trillium", "tpu-v6e"},
      {"b200_sxm", "b200-sxm"},
      {"b300_sxm", "b300-sxm"},
      {"gb200", "gb200"},
      {"gb300", "gb300"},
      {"h100_sxm", "h100-sxm"},
      {"h200_sxm", "h200-sxm"},
      {"H100", "h100-sxm"},
      {"NVIDIA H100 80GB HBM3", "h100-sxm"},
      {"H100-SXM5-80GB", "h100-sxm"},
      {"MI300X", "mi300x"},
      {"Ascend 910B2", "ascend-910b2"},
      {"TPU v4", "tpu-v4"},
      {"V100-32GB", "v100-sxm-32gb"},
      {"V100", "v100-sxm-32gb"},
      {"8x H100", "h100-sxm"},
      {"8xA100-80GB", "a100-sxm-80gb"},
      {"DGX H100", "h100-sxm"},
      {"NVIDIA DGX A100 (40GB)", "a100-sxm-40gb"},
      {"A100 PCIe", "a100-pcie-80gb"},
      {"A100-40GB PCIe", "a100-pcie-40gb"},
      {"A100 40GB", "a100-sxm-40gb"},
      {"NVIDIA A100 SXM 80 GB", "a100-sxm-80gb"},
      {"H100 NVL", "h100-nvl"},
      {"H100 94GB", "h100-nvl"},
      {"H200", "h200-sxm"},
      {"B200 192GB", "b200-sxm"},
      {"NVIDIA GB200 NVL72", "gb200"},
      {"GB300-NVL72", "gb300"},
      {"GH200", "gh200"},
      {"GH200 144GB", "gh200-144gb"},
      {"TPU v5 lite", "tpu-v5e"},
      {"v5litepod-256", "tpu-v5e"},
      {"TPUv4", "tpu-v4"},
      {"tpu-v5p-1024", "tpu-v5p"},
      {"v6e", "tpu-v6e"},
      {"Trillium", "tpu-v6e"},
      {"Ironwood", "tpu-v7"},
      {"Gaudi 2", "gaudi2"},
      {"Intel Gaudi3", "gaudi3"},
      {"Gaudi", "none"},
      {"HL-225", "gaudi2"},
      {"trn1.32xlarge", "trainium1"},
      {"trn2", "trainium2"},
      {"Trainium", "trainium1"},
      {"Trainium 2", "trainium2"},
      {"RTX 3090", "rtx-3090"},
      {"RTX 3090 Ti", "none"},
      {"GeForce RTX 4080 SUPER", "none"},
      {"4090", "rtx-4090"},
      {"Jetson Orin Nano", "none"},
      {"Jetson AGX Orin", "jetson-agx-orin"},
      {"M2 Max", "none"},
      {"Apple M1 Max", "apple-m1-max"},
      {"Ascend 910", "ascend-910a"},
      {"Ascend 910A", "ascend-910a"},
      {"Ascend910B", "ascend-910b"},
      {"Atlas 800T A2 (910B3)", "ascend-910b3"},
      {"CloudMatrix384 Ascend 910C", "ascend-910c"},
      {"MI250X", "mi250x"},
      {"AMD MI250", "mi250"},
      {"MI355X", "mi355x"},
      {"AMD Instinct MI325X 256GB", "mi325x"},
      {"H1000", "none"},
      {"A10G", "a10g"},
      {"L40S-48GB", "l40s"},
      {"L4", "l4"},
      {"K80", "k80"},
      {"Tesla P100", "p100-sxm"},
      {"T4", "t4"},
      {"Xeon Platinum 8480+", "xeon-8480"},
      {"Intel Xeon 6980P", "xeon-6980p"},
      {"MLU590", "mlu590"},
      {"Hygon K100-AI", "hygon-k100-ai"},
      {"MTT S4000", "mtt-s4000"},
      {"Kunlun P800", "kunlun-p800"},
      {"Cerebras CS-3", "none"},
      {"Groq LPU", "none"},
      {"H20", "h20"},
      {"H800", "h800-sxm"},
      {"NVIDIA H800 SXM", "h800-sxm"},
      {"A800", "a800-sxm-80gb"},
      {"RTX A6000", "rtx-a6000"},
      {"RTX 6000 Ada", "rtx-6000-ada"},
      {"NVIDIA B300 SXM6 AC", "b300-sxm"},
      {"H100 PCIe 80GB", "h100-pcie"},
      {"H100SXM", "h100-sxm"},
      {"H100-SXM-80GBx8", "h100-sxm"},
      {"8xMI300X_2xEPYC-9374F", "mi300x"},
      {"GH200-144GB_aarch64x1", "gh200-144gb"},
      {"TPU v6", "tpu-v6e"},
      {"TPU v5", "none"},
      {"Quadro RTX 6000", "none"},
      {"RTX PRO 6000 96GB", "rtx-pro-6000"},
      {"NVIDIA RTX 4000 Ada 20GB", "rtx-4000-ada"},
      {"M3 Max 40-core 64GB", "apple-m3-max"},
      {"AMD Instinct MI300A", "mi300a"},
      {"h100_sxm5", "h100-sxm"},
  };
  for (const auto& [text, key] : kCases) {
    const ChipType* c = default_catalogue().chip_like(text);
    EXPECT_EQ(c == nullptr ? std::string("none") : c->key, key) << text;
  }
  EXPECT_EQ(default_catalogue().chip_like(std::string(10'000, 'a')), nullptr);
  EXPECT_EQ(default_catalogue().chip_like(""), nullptr);
  for (const ChipType& c : default_catalogue().chips) { EXPECT_EQ(default_catalogue().chip_like(c.key), &c); }
}

TEST(Catalogue, RatesAreReadStrictly) {
  const auto bandwidth = [](std::string_view text) { return parse_bandwidth(text).value_or(BytesPerSecond{-1}).value; };
  EXPECT_DOUBLE_EQ(bandwidth("450GB/s"), 450e9);
  EXPECT_DOUBLE_EQ(bandwidth("3.35 TB/s"), 3.35e12);
  EXPECT_DOUBLE_EQ(bandwidth("400Gb/s"), 50e9);
  EXPECT_DOUBLE_EQ(bandwidth("1600 Gbit/s"), 200e9);
  for (const char* wrong :
       {"", "450", "450GB", "GB/s", "450 B/s", "-1GB/s", "0GB/s", "450 GiB/s", "4,5GB/s", "450gb/s", "1e3GB/s", "nanGB/s"}) {
    EXPECT_EQ(bandwidth(wrong), -1) << wrong;
  }
  const auto flop = [](std::string_view text) { return parse_flop_rate(text).value_or(FlopPerSecond{-1}).value; };
  EXPECT_DOUBLE_EQ(flop("989.4T"), 989.4e12);
  EXPECT_DOUBLE_EQ(flop("989.4 TFLOP/s"), 989.4e12);
  EXPECT_DOUBLE_EQ(flop("2.25P"), 2.25e15);
  EXPECT_DOUBLE_EQ(flop("500 TOP/s"), 500e12);
  for (const char* wrong : {"", "989", "T", "-1T", "0T", "1 t", "1TFLOPs", "1TB/s"}) { EXPECT_EQ(flop(wrong), -1) << wrong; }
}

TEST(Catalogue, ReadsWhatEstimatesNeed) {
  const auto read =
      read_catalogue(kHead + chip("a",
                                  "    peak: {bf16: {value: 989.4T, source: s}, fp8: {value: 1.98P, source: s}}\n"
                                  "    bandwidth: {value: 3.35TB/s, source: s}\n    units: {value: 132, source: s}\n"
                                  "    scale_up: {wiring: torus, chips: 32, torus: [4, 8], wraps_from: 4, bandwidth: {value: 1600Gb/s, "
                                  "source: s}, latency: 1.5us}\n"
                                  "    scale_out: {bandwidth: {value: 50GB/s, source: s}, latency: 5us}\n    chips_per_node: 4\n"
                                  "    efficiency: {gemm: 0.7, tile_m: 64, launch: 2us, host: 0s, source: measured}\n"),
                     "c.yaml");
  ASSERT_TRUE(read) << read.error().message();
  const ChipType& c = read->chips[0];
  EXPECT_DOUBLE_EQ(c.peak_of(Precision::bf16).value, 989.4e12);
  EXPECT_DOUBLE_EQ(c.peak_of(Precision::fp8).value, 1.98e15);
  EXPECT_EQ(c.peak_of(Precision::fp4).value, 0);
  EXPECT_DOUBLE_EQ(c.memory_bandwidth.value.value, 3.35e12);
  EXPECT_EQ(c.units.value, 132);
  EXPECT_EQ(c.scale_up.wiring, Wiring::torus);
  EXPECT_EQ(c.scale_up.torus, (std::vector<std::int64_t>{4, 8}));
  EXPECT_DOUBLE_EQ(c.scale_up.bandwidth.value.value, 200e9);
  EXPECT_DOUBLE_EQ(c.scale_up.latency.value, 1.5e-6);
  EXPECT_DOUBLE_EQ(c.scale_out.bandwidth.value.value, 50e9);
  EXPECT_EQ(c.chips_per_node, 4);
  EXPECT_EQ(c.efficiency.gemm, 0.7);
  EXPECT_EQ(c.efficiency.tile_m, 64);
  EXPECT_EQ(c.efficiency.attention, ChipEfficiency{}.attention);
  EXPECT_DOUBLE_EQ(c.efficiency.launch.value, 2e-6);
  EXPECT_EQ(c.efficiency.host.value, 0);
}

TEST(Catalogue, RefusesWhatNoChipIs) {
  const auto with = [](std::string_view line) { return error(kHead + chip("a", "    " + std::string(line) + "\n")); };
  EXPECT_EQ(with("peak: {bf16: {value: 989, source: s}}"), "c.yaml:3: bf16 peak of chip 'a': wants a rate such as 989.4T, found '989'");
  EXPECT_EQ(with("peak: {bf16: {value: 989T}}"), "c.yaml:3: bf16 peak of chip 'a' has no source");
  EXPECT_EQ(with("peak: {bf61: {value: 989T}}"), "c.yaml:8: chips[0].peak: unknown key 'bf61'; nearest: bf16");
  EXPECT_EQ(with("bandwidth: {value: 3350, source: s}"),
            "c.yaml:3: memory bandwidth of chip 'a': wants a rate such as 450GB/s or 400Gb/s, found '3350'");
  EXPECT_EQ(with("bandwidth: {value: 3350GB/s}"), "c.yaml:3: memory bandwidth of chip 'a' has no source");
  EXPECT_EQ(with("units: {value: 132}"), "c.yaml:3: units of chip 'a' has no source");
  EXPECT_EQ(with("units: {value: -1, source: s}"), "c.yaml:3: units of chip 'a': wants 1 to a million");
  EXPECT_EQ(with("scale_up: {wiring: fabric, chips: 8}"), "c.yaml:3: scale_up of chip 'a' has wiring but no bandwidth");
  EXPECT_EQ(with("scale_up: {chips: 0}"), "c.yaml:3: scale_up of chip 'a': chips wants 1 to 1000000, found 0");
  EXPECT_EQ(with("scale_up: {wiring: torus, chips: 8, torus: [3, 3], bandwidth: {value: 1GB/s, source: s}}"),
            "c.yaml:3: torus of chip 'a' is not of its 8 chips");
  EXPECT_EQ(with("scale_up: {wiring: torus, chips: 8, bandwidth: {value: 1GB/s, source: s}}"),
            "c.yaml:3: torus of chip 'a' is not of its 8 chips");
  EXPECT_EQ(with("scale_out: {bandwidth: {value: 1GB/s, source: s}, latency: 5s}"), "c.yaml:3: a latency of chip 'a' is above a second");
  EXPECT_EQ(with("chips_per_node: 0"), "c.yaml:3: chips_per_node of chip 'a': wants 1 to 1024, found 0");
  EXPECT_EQ(with("efficiency: {gemm: 0.7}"), "c.yaml:3: efficiency of chip 'a' has no source");
  EXPECT_EQ(with("efficiency: {gemm: 1.2, source: s}"), "c.yaml:3: efficiency of chip 'a': wants parts above 0, at most 1");
  EXPECT_EQ(with("efficiency: {tile_m: 0, source: s}"), "c.yaml:3: efficiency of chip 'a': wants tiles of 1 to 65536");
}

TEST(Catalogue, EveryBuiltInChipCanBeEstimated) {
  EXPECT_GE(default_catalogue().chips.size(), 40U);
  for (const ChipType& c : default_catalogue().chips) {
    EXPECT_GT(c.memory_bandwidth.value.value, 1e9) << c.key;
    EXPECT_GT(c.units.value, 0) << c.key;
    EXPECT_TRUE(std::any_of(c.peak.begin(), c.peak.end(), [](const auto& p) { return p.value.value > 0; })) << c.key;
    // A narrower format is never slower, where both are of the matrix units.
    if (c.peak_of(Precision::fp8).value > 0) { EXPECT_GE(c.peak_of(Precision::fp8), c.peak_of(Precision::bf16)) << c.key; }
    if (c.peak_of(Precision::fp4).value > 0) { EXPECT_GT(c.peak_of(Precision::fp4), c.peak_of(Precision::fp8)) << c.key; }
    if (c.peak_of(Precision::bf16).value > 0) { EXPECT_GE(c.peak_of(Precision::bf16), c.peak_of(Precision::fp32)) << c.key; }
    EXPECT_GT(c.scale_out.bandwidth.value.value, 0) << c.key;
    EXPECT_GT(c.scale_out.latency.value, 0) << c.key;
    if (c.scale_up.wiring != Wiring::none) { EXPECT_GT(c.scale_up.latency.value, 0) << c.key; }
    EXPECT_FALSE(c.efficiency.source.empty()) << c.key;
  }
}

TEST(Catalogue, ReadsUnits) {
  const auto read =
      read_catalogue(kHead + chip("a", "    memory: {value: 80GiB, source: s}\n") +
                         "  - {key: b, vendor: v, name: n, power: {value: 0.5 kW, source: s}, price: {value: 0.000001, source: s}}\n",
                     "c.yaml");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->chips[0].memory.value, mebibytes(80 * 1024));
  EXPECT_EQ(read->chips[0].power.value, Milliwatts{700'000});
  EXPECT_EQ(read->chips[0].price_per_hour.value, MicroCurrency{1'500'000});
  EXPECT_EQ(read->chips[1].power.value, Milliwatts{500'000});
  EXPECT_EQ(read->chips[1].price_per_hour.value, MicroCurrency{1});
}

TEST(Catalogue, RefusesWhatIsWrong) {
  EXPECT_EQ(error(kHead + chip("a") + chip("a")), "c.yaml:8: 'a' is the name of chip 'a' already");
  EXPECT_EQ(error(kHead + chip("a", "    aliases: [X 1]\n") + chip("b", "    aliases: [x 1]\n")),
            "c.yaml:9: 'x 1' is the name of chip 'a' already");
  EXPECT_EQ(error(kHead + chip("A")), "c.yaml:3: key 'A' is not a-z, 0-9 and '-'");
  EXPECT_EQ(error(kHead + chip("a", "    memori: 1\n")), "c.yaml:8: chips[0]: unknown key 'memori'; nearest: memory");
  EXPECT_EQ(error(kHead + chip("a", "    memory: {value: 1GB}\n")), "c.yaml:3: chip 'a' has a number without a source");
  EXPECT_EQ(error(kHead + "  - {key: a, vendor: v, name: n, power: {value: 7 VA, source: s}, price: {value: 1, source: s}}"),
            "c.yaml:3: power of chip 'a': wants watts such as 700 W, found '7 VA'");
  EXPECT_EQ(error(kHead + "  - {key: a, vendor: v, name: n, power: {value: 7, source: s}, price: {value: -1, source: s}}"),
            "c.yaml:3: price of chip 'a': wants a number such as 2.99, found '-1'");
  EXPECT_EQ(error(kHead + "  - {key: a, name: n}"), "c.yaml:3: chip 'a' has no vendor");
  EXPECT_EQ(error("currency: euro\nchips: []"), "c.yaml:1: currency: 'euro' is not a currency; its ISO 4217 code, such as EUR");
  EXPECT_EQ(error(""), "c.yaml: holds 0 documents, wants one catalogue");
}

TEST(Catalogue, OverlayReplacesAndAdds) {
  const auto upper = read_catalogue("currency: USD\nchips:\n" + chip("h100-sxm") + chip("our-chip"), "u.yaml");
  ASSERT_TRUE(upper);
  const auto both = overlay(default_catalogue(), *upper);
  ASSERT_TRUE(both);
  EXPECT_EQ(both->chips.size(), default_catalogue().chips.size() + 1);
  EXPECT_EQ(both->chip("h100-sxm")->price_per_hour.value, MicroCurrency{1'500'000});
  EXPECT_NE(both->chip("our-chip"), nullptr);
  const auto euros = read_catalogue("currency: EUR\nchips: []", "u.yaml");
  ASSERT_TRUE(euros);
  EXPECT_EQ(overlay(default_catalogue(), *euros).error().message(), "the catalogues are in USD and EUR; give both in one currency");
}

}  // namespace
}  // namespace centrale
