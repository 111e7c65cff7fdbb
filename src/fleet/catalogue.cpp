// SPDX-License-Identifier: Apache-2.0
#include "fleet/catalogue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "base/yaml.hpp"

namespace centrale {
namespace {

// As the file has it; units are read from text below.
struct ChipEntry {
  std::string key, vendor, name;
  std::vector<std::string> aliases;
  Sourced<Bytes> memory;
  Sourced<std::string> power;
  Sourced<std::string> price;
};
struct CatalogueFile {
  std::string currency;
  std::vector<ChipEntry> chips;
};

template <class V>
void describe(V& v, ChipEntry& c) {
  v("key", c.key);
  v("vendor", c.vendor);
  v("name", c.name);
  v("aliases", c.aliases);
  v("memory", c.memory);
  v("power", c.power);
  v("price", c.price);
}
template <class V>
void describe(V& v, CatalogueFile& f) {
  v("currency", f.currency);
  v("chips", f.chips);
}

constexpr Milliwatts kPowerMax{1'000'000'000};         // 1 MW: no chip draws more
constexpr MicroCurrency kPriceMax{1'000'000'000'000};  // a million an hour

/// "700 W", "0.5 kW"; a bare number is watts.
std::optional<Milliwatts> parse_power(std::string_view text) {
  std::int64_t unit_mw = 1'000;
  if (text.ends_with("kW")) {
    unit_mw = 1'000'000;
    text.remove_suffix(2);
  } else if (text.ends_with('W')) {
    text.remove_suffix(1);
  }
  while (text.ends_with(' ')) { text.remove_suffix(1); }
  const auto value = parse_scaled(text, unit_mw);
  return value && *value <= kPowerMax.value ? std::optional(Milliwatts{*value}) : std::nullopt;
}

std::optional<MicroCurrency> parse_price(std::string_view text) {
  const auto value = parse_scaled(text, 1'000'000);
  return value && *value <= kPriceMax.value ? std::optional(MicroCurrency{*value}) : std::nullopt;
}

std::string lower(std::string_view text) {
  while (text.starts_with(' ')) { text.remove_prefix(1); }
  while (text.ends_with(' ')) { text.remove_suffix(1); }
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

/// What is wrong with one entry; empty if nothing is.
std::string fault_of(const ChipEntry& entry) {
  if (!is_valid_name(entry.key)) { return fmt::format("key '{}' is not a-z, 0-9 and '-'", shorten(entry.key, 60)); }
  if (entry.vendor.empty() || entry.name.empty()) {
    return fmt::format("chip '{}' has no {}", entry.key, entry.vendor.empty() ? "vendor" : "name");
  }
  if (!parse_power(entry.power.value)) {
    return fmt::format("power of chip '{}': wants watts such as 700 W, found '{}'", entry.key, shorten(entry.power.value, 40));
  }
  if (!parse_price(entry.price.value)) {
    return fmt::format("price of chip '{}': wants a number such as 2.99, found '{}'", entry.key, shorten(entry.price.value, 40));
  }
  if (entry.power.source.empty() || entry.price.source.empty() || (entry.memory.value.value != 0 && entry.memory.source.empty())) {
    return fmt::format("chip '{}' has a number without a source", entry.key);
  }
  return {};
}

ChipType chip_of(ChipEntry&& entry) {
  return {std::move(entry.key),
          std::move(entry.vendor),
          std::move(entry.name),
          std::move(entry.aliases),
          std::move(entry.memory),
          {parse_power(entry.power.value).value(), std::move(entry.power.source)},
          {parse_price(entry.price.value).value(), std::move(entry.price.source)}};
}

/// The name that two chips of the catalogue share; empty if none do.
std::string shared_name(const Catalogue& catalogue, const ChipType& chip) {
  std::vector<std::string> names{chip.key};
  for (const std::string& alias : chip.aliases) { names.push_back(alias); }
  for (const std::string& name : names) {
    if (catalogue.chip_printed_as(name) != nullptr) { return name; }
  }
  return {};
}

}  // namespace

const ChipType* Catalogue::chip(std::string_view key) const {
  const auto found = std::find_if(chips.begin(), chips.end(), [&](const ChipType& c) { return c.key == key; });
  return found == chips.end() ? nullptr : &*found;
}

const ChipType* Catalogue::chip_printed_as(std::string_view printed) const {
  const std::string wanted = lower(printed);
  const auto is_it = [&](const std::string& name) { return lower(name) == wanted; };
  const auto found = std::find_if(chips.begin(), chips.end(), [&](const ChipType& c) {
    return is_it(c.key) || is_it(c.name) || std::any_of(c.aliases.begin(), c.aliases.end(), is_it);
  });
  return found == chips.end() ? nullptr : &*found;
}

std::string Catalogue::nearest_key(std::string_view key) const {
  std::vector<std::string> keys;
  for (const ChipType& c : chips) { keys.push_back(c.key); }
  return nearest_remedy(key, keys);
}

Result<Catalogue> read_catalogue(std::string_view yaml, std::string_view file) {
  TRY_ASSIGN(const YamlFile parsed, YamlFile::parse(yaml, file));
  if (parsed.documents() != 1) {
    return fail(ErrorKind::invalid, fmt::format("holds {} documents, wants one catalogue", parsed.documents()), std::string(file));
  }
  CatalogueFile read;
  TRY(parsed.read(0, read));
  Catalogue catalogue;
  catalogue.currency = read.currency;
  const bool code = catalogue.currency.size() == 3 &&
                    std::all_of(catalogue.currency.begin(), catalogue.currency.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (!code) {
    return fail(ErrorKind::invalid, fmt::format("currency: '{}' is not a currency", shorten(read.currency, 40)),
                parsed.where(0, "currency"), "its ISO 4217 code, such as EUR");
  }
  if (read.chips.size() > kChipTypesMax) {
    return fail(ErrorKind::invalid, fmt::format("has {} chips", read.chips.size()), parsed.where(0, "chips"),
                fmt::format("at most {}", kChipTypesMax));
  }
  for (std::size_t i = 0; i < read.chips.size(); ++i) {
    if (std::string fault = fault_of(read.chips[i]); !fault.empty()) {
      return fail(ErrorKind::invalid, std::move(fault), parsed.where(0, "chips", i));
    }
    ChipType chip = chip_of(std::move(read.chips[i]));
    if (const std::string name = shared_name(catalogue, chip); !name.empty()) {
      return fail(ErrorKind::invalid, fmt::format("'{}' is the name of chip '{}' already", name, catalogue.chip_printed_as(name)->key),
                  parsed.where(0, "chips", i));
    }
    catalogue.chips.push_back(std::move(chip));
  }
  return catalogue;
}

Result<Catalogue> overlay(Catalogue lower_, const Catalogue& upper) {
  if (lower_.currency != upper.currency) {
    return fail(ErrorKind::invalid, fmt::format("the catalogues are in {} and {}", lower_.currency, upper.currency), {},
                "give both in one currency");
  }
  for (const ChipType& chip : upper.chips) {
    const auto same = std::find_if(lower_.chips.begin(), lower_.chips.end(), [&](const ChipType& c) { return c.key == chip.key; });
    if (same == lower_.chips.end()) {
      lower_.chips.push_back(chip);
    } else {
      *same = chip;
    }
  }
  return lower_;
}

const Catalogue& default_catalogue() {
  static const Catalogue catalogue = [] {
    auto read = read_catalogue(default_catalogue_text(), "catalogue/chips.yaml");
    ensure(read.has_value());  // built in, and tested
    return *std::move(read);
  }();
  return catalogue;
}

}  // namespace centrale
