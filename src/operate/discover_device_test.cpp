// SPDX-License-Identifier: Apache-2.0
// What vendors' tools print, as recorded in public reports, and what they might print.
#include "operate/discover_device.hpp"

#include <gtest/gtest.h>

#include <random>

namespace centrale::discovery {
namespace {

// Ascend 910B, one chip a card (npu-smi 24.1).
constexpr std::string_view kNpuSmi910b = R"(
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.0                   Version: 24.1.0                                               |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 93.6        40                0    / 0             |
| 0                         | 0000:C1:00.0  | 17          0    / 0          4159 / 65536         |
+===========================+===============+====================================================+
| 1     910B3               | Alarm         | 88.1        33                0    / 0             |
| 0                         | 0000:81:00.0  | 0           1197 / 13553      1365 / 65536         |
+===========================+===============+====================================================+
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| 0       0                 | 3415          | python                   | 1092                    |
+===========================+===============+====================================================+
)";

TEST(NpuSmi, OneChipACard) {
  const auto devices = parse_npu_smi(kNpuSmi910b).value();
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].index, 0);
  EXPECT_EQ(devices[0].device, "0");
  EXPECT_EQ(devices[0].name, "Ascend 910B3");
  EXPECT_EQ(devices[0].pci, "0000:c1:00.0");
  EXPECT_EQ(devices[0].reason, "");
  EXPECT_EQ(devices[0].power->value, 93'600);
  EXPECT_EQ(devices[0].temperature_c, 40);
  EXPECT_EQ(devices[0].utilisation, 0.17);
  EXPECT_EQ(*devices[0].memory_total, mebibytes(65536));
  EXPECT_EQ(*devices[0].memory_used, mebibytes(4159));
  EXPECT_EQ(devices[1].reason, "npu-smi says its health is Alarm");
  EXPECT_EQ(*devices[1].memory_used, mebibytes(1365));
}

// Ascend 910C (Atlas A3): two chips a card, the second without a power of its own.
TEST(NpuSmi, TwoChipsACardWithPhysicalIds) {
  const auto devices = parse_npu_smi(R"(
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip  Phy-ID              | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 1     Ascend910           | OK            | 186.3       36                0    / 0             |
| 0     2                   | 0000:99:00.0  | 0           0    / 0          3415 / 65536         |
+------------------------------------------------------------------------------------------------+
| 1     Ascend910           | OK            | -           36                0    / 0             |
| 1     3                   | 0000:9B:00.0  | 0           0    / 0          3193 / 65536         |
+===========================+===============+====================================================+
)")
                           .value();
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].index, 2);
  EXPECT_EQ(devices[1].index, 3);
  EXPECT_EQ(devices[1].device, "3");
  EXPECT_FALSE(devices[1].power.has_value());
  EXPECT_EQ(devices[1].temperature_c, 36);
  EXPECT_EQ(chip_kind(devices[1].name, *devices[1].memory_total), "ascend-910c");
}

// Atlas 300I (310P), whose only memory is DDR, and with the wider table of some versions.
TEST(NpuSmi, InferenceCardsWithoutHbm) {
  const auto devices = parse_npu_smi(R"(
+-------------------------------+-----------------+------------------------------------------------------+
| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
+===============================+=================+======================================================+
| 6       310P3                 | OK              | NA           50                0     / 0             |
| 0       0                     | 0000:84:00.0    | 0            1839 / 21525                            |
+===============================+=================+======================================================+
)")
                           .value();
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].index, 0) << "by the device number, not the card's";
  EXPECT_EQ(*devices[0].memory_total, mebibytes(21525));
  EXPECT_FALSE(devices[0].power.has_value());
  EXPECT_EQ(chip_kind(devices[0].name, *devices[0].memory_total), "ascend-310p");
}

TEST(NpuSmi, NoDevice) {
  EXPECT_TRUE(parse_npu_smi("DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\ndcmi model initialized failed, "
                            "because the device is used. ret is -8020\n")
                  .value()
                  .empty());
  EXPECT_TRUE(parse_npu_smi("").value().empty());
}

constexpr std::string_view kHlSmi =
    "index, module_id, name, uuid, bus_id, memory.total [MiB], memory.used [MiB], power.draw [W], utilization.aip [%], "
    "temperature.aip [C]\n"
    "0, 3, HL-225, 01P0-HL2080A0-15-TNPS34-16-07-05, 0000:19:00.0, 98304 MiB, 768 MiB, 92 W, 4 %, 27 C\n"
    "1, 0, HL-225, 01P0-HL2080A0-15-TNPS34-16-07-06, 0000:b3:00.0, 98304, 768, 88, 0, N/A\n";

TEST(HlSmi, WithAndWithoutUnits) {
  const auto devices = parse_hl_smi(kHlSmi).value();
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].index, 0);
  EXPECT_EQ(devices[0].device, "3") << "modules are what HABANA_VISIBLE_MODULES counts";
  EXPECT_EQ(devices[0].name, "Intel Gaudi HL-225");
  EXPECT_EQ(devices[0].uuid, "01P0-HL2080A0-15-TNPS34-16-07-05");
  EXPECT_EQ(*devices[0].memory_total, mebibytes(98304));
  EXPECT_EQ(devices[0].utilisation, 0.04);
  EXPECT_EQ(devices[0].power->value, 92'000);
  EXPECT_EQ(devices[1].pci, "0000:b3:00.0");
  EXPECT_FALSE(devices[1].temperature_c.has_value());
}

TEST(Probe, SaysAndReadsADevice) {
  Device device{.index = 3,
                .device = "GPU-1",
                .name = "a\tname\nof\x01two  lines",
                .uuid = "GPU-1",
                .pci = "0000:18:00.0",
                .reason = "",
                .memory_total = Bytes{85520809984},
                .memory_used = {},
                .power_limit = Milliwatts{700000},
                .power = Milliwatts{71234},
                .utilisation = 0.25,
                .temperature_c = 34.5};
  const auto answer = parse_probe("note\tsomething\n" + probe_line(device) + std::string(kProbeEnd)).value();
  ASSERT_EQ(answer.devices.size(), 1u);
  EXPECT_EQ(answer.notes, std::vector<std::string>{"something"});
  EXPECT_FALSE(answer.absent);
  const Device& read = answer.devices[0];
  EXPECT_EQ(read.index, 3);
  EXPECT_EQ(read.name, "a name of two lines");
  EXPECT_EQ(read.pci, "0000:18:00.0");
  EXPECT_EQ(read.memory_total, device.memory_total);
  EXPECT_FALSE(read.memory_used.has_value());
  EXPECT_EQ(read.power, device.power);
  EXPECT_EQ(read.utilisation, 0.25);
  EXPECT_EQ(read.temperature_c, 34.5);
  EXPECT_TRUE(parse_probe("absent\nend\t.\n").value().absent);
  EXPECT_FALSE(parse_probe("Segmentation fault\n").has_value());
}

TEST(VendorText, NoBytesBreakTheParsers) {
  std::mt19937 random(3);
  Device sound;
  sound.index = 1;
  const std::string sources[] = {std::string(kNpuSmi910b), std::string(kHlSmi), probe_line(sound)};
  for (int round = 0; round < 20'000; ++round) {
    std::string text = sources[random() % 3];
    for (int i = 0; i < 6; ++i) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0: text[at] = static_cast<char>(random()); break;
        case 1: text.erase(at, random() % 40); break;
        default: text.insert(at, text.substr(random() % text.size(), random() % 80)); break;
      }
      text += text.empty() ? "|" : "";
    }
    for (const auto& devices : {parse_npu_smi(text), parse_hl_smi(text)}) {
      for (const Device& device : devices.value_or(std::vector<Device>{})) {
        EXPECT_GE(device.index, 0);
        EXPECT_LE(device.name.size(), 150u);
        EXPECT_LT(device.memory_total.value_or(Bytes{}).value, 1'000'000'000'000'000);
        EXPECT_LE(device.utilisation.value_or(0), 1.0);
      }
    }
    (void)parse_probe(text);
  }
}

TEST(VendorText, TooMuchIsRefused) {
  EXPECT_FALSE(parse_npu_smi(std::string(2u << 20, '|')).has_value());
  EXPECT_FALSE(parse_hl_smi(std::string(100'000, '\n')).has_value());
  std::string many;
  for (int i = 0; i < 2000; ++i) { many += "1, 1, HL-225, u, 0000:19:00.0, 98304, 768, 92, 4, 27\n"; }
  EXPECT_FALSE(parse_hl_smi(many).has_value());
}

TEST(VendorText, Numbers) {
  EXPECT_EQ(leading_number(" 93.6 W"), 93.6);
  EXPECT_EQ(leading_number("nan"), std::nullopt);
  EXPECT_EQ(leading_number("-"), std::nullopt);
  EXPECT_EQ(device_index("07"), 7);
  EXPECT_EQ(device_index("-1"), std::nullopt);
  EXPECT_EQ(device_index("99999999999999"), std::nullopt);
  EXPECT_EQ(pci_address("00000000:C1:00.0"), "0000:c1:00.0");
  EXPECT_EQ(pci_address("C1:1f.7"), "0000:c1:1f.7");
  EXPECT_EQ(pci_address("C1:00"), "0000:c1:00.0");
  for (const char* wrong : {"", "OK", "0000:C1", "x:y:z", "0000:C1:20.0", "0000:c1:00.8", "1:2:3:4"}) {
    EXPECT_EQ(pci_address(wrong), "") << wrong;
  }
  EXPECT_FALSE(sane_bytes(1e18).has_value());
  EXPECT_FALSE(sane_power(-1).has_value());
  EXPECT_FALSE(sane_celsius(4e9).has_value());
}

TEST(ChipKind, KnowsTheNamesOfDrivers) {
  const auto gib = [](std::int64_t n) { return mebibytes(n * 1024); };
  EXPECT_EQ(chip_kind("NVIDIA H100 80GB HBM3", gib(80)), "h100-sxm");
  EXPECT_EQ(chip_kind("NVIDIA H100 PCIe", gib(80)), "h100-pcie");
  EXPECT_EQ(chip_kind("NVIDIA H100 NVL", gib(94)), "h100-nvl");
  EXPECT_EQ(chip_kind("NVIDIA H200", gib(141)), "h200-sxm");
  EXPECT_EQ(chip_kind("NVIDIA H20", gib(96)), "h20");
  EXPECT_EQ(chip_kind("NVIDIA A100-SXM4-80GB", gib(80)), "a100-sxm-80gb");
  EXPECT_EQ(chip_kind("NVIDIA A100-PCIE-40GB", gib(40)), "a100-pcie-40gb");
  EXPECT_EQ(chip_kind("NVIDIA A10", gib(24)), "a10");
  EXPECT_EQ(chip_kind("NVIDIA L40S", gib(48)), "l40s");
  EXPECT_EQ(chip_kind("NVIDIA L4", gib(24)), "l4");
  EXPECT_EQ(chip_kind("AMD Instinct MI300X", gib(192)), "mi300x");
  EXPECT_EQ(chip_kind("AMD Instinct MI250X", gib(64)), "mi250x");
  EXPECT_EQ(chip_kind("Ascend 910B3", gib(64)), "ascend-910b3");
  EXPECT_EQ(chip_kind("Ascend 910B4-1", gib(64)), "ascend-910b4");
  EXPECT_EQ(chip_kind("Ascend 910B", gib(32)), "ascend-910");
  EXPECT_EQ(chip_kind("Intel Gaudi HL-225", gib(96)), "gaudi2");
  EXPECT_EQ(chip_kind("Intel Gaudi HL-325L", gib(128)), "gaudi3");
  EXPECT_EQ(chip_kind("NVIDIA GeForce RTX 2080 Ti", gib(11)), "geforce-rtx-2080-ti");
  EXPECT_EQ(chip_kind("NVIDIA Z900 (new)", gib(11)), "z900-new");
  EXPECT_EQ(chip_kind("", gib(1)), "unknown");
}

}  // namespace
}  // namespace centrale::discovery
