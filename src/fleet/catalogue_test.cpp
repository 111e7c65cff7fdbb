// SPDX-License-Identifier: Apache-2.0
#include "fleet/catalogue.hpp"

#include <gtest/gtest.h>

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
