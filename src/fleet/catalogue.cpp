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
struct PeakEntry {
  std::array<Sourced<std::string>, kPrecisions> by_precision;
};
struct ScaleUpEntry {
  ScaleUp fabric;  // all but the bandwidth
  Sourced<std::string> bandwidth;
  Nanos latency;
};
struct ScaleOutEntry {
  Sourced<std::string> bandwidth;
  Nanos latency;
};
struct EfficiencyEntry {
  ChipEfficiency is;
  Nanos launch{4'000}, batch_item{0}, host{10'000};
};
struct ChipEntry {
  std::string key, vendor, name;
  std::vector<std::string> aliases;
  Sourced<Bytes> memory;
  Sourced<std::string> power;
  Sourced<std::string> price;
  PeakEntry peak;
  Sourced<std::string> bandwidth;
  Sourced<double> units;
  ScaleUpEntry scale_up;
  ScaleOutEntry scale_out;
  std::int64_t chips_per_node = 8;
  std::optional<EfficiencyEntry> efficiency;
};
struct CatalogueFile {
  std::string currency;
  std::vector<ChipEntry> chips;
};

template <class V>
void describe(V& v, PeakEntry& p) {
  v("fp32", p.by_precision[0]);
  v("tf32", p.by_precision[1]);
  v("fp16", p.by_precision[2]);
  v("bf16", p.by_precision[3]);
  v("fp8", p.by_precision[4]);
  v("fp4", p.by_precision[5]);
  v("int8", p.by_precision[6]);
}
template <class V>
void describe(V& v, ScaleUpEntry& s) {
  v("wiring", s.fabric.wiring);
  v("chips", s.fabric.chips);
  v("torus", s.fabric.torus);
  v("wraps_from", s.fabric.wraps_from);
  v("bandwidth", s.bandwidth);
  v("latency", s.latency);
  v("in_network", s.fabric.in_network);
}
template <class V>
void describe(V& v, ScaleOutEntry& s) {
  v("bandwidth", s.bandwidth);
  v("latency", s.latency);
}
template <class V>
void describe(V& v, EfficiencyEntry& e) {
  v("gemm", e.is.gemm);
  v("gemm_fp8", e.is.gemm_fp8);
  v("gemm_fp4", e.is.gemm_fp4);
  v("attention", e.is.attention);
  v("memory", e.is.memory);
  v("links", e.is.links);
  v("network", e.is.network);
  v("tile_m", e.is.tile_m);
  v("tile_n", e.is.tile_n);
  v("inner", e.is.inner);
  v("launch", e.launch);
  v("batch_item", e.batch_item);
  v("host", e.host);
  v("source", e.is.source);
}
template <class V>
void describe(V& v, ChipEntry& c) {
  v("key", c.key);
  v("vendor", c.vendor);
  v("name", c.name);
  v("aliases", c.aliases);
  v("memory", c.memory);
  v("power", c.power);
  v("price", c.price);
  v("peak", c.peak);
  v("bandwidth", c.bandwidth);
  v("units", c.units);
  v("scale_up", c.scale_up);
  v("scale_out", c.scale_out);
  v("chips_per_node", c.chips_per_node);
  v("efficiency", c.efficiency);
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

// Beyond these a number is a slip of a unit, not a chip.
constexpr BytesPerSecond kBandwidthMax{1e15};
constexpr FlopPerSecond kPeakMax{1e18};
constexpr std::int64_t kDomainChipsMax = 1'000'000;
constexpr Nanos kLatencyMax{1'000'000'000};

/// A bandwidth that may be left out: empty text is none.
std::string bandwidth_fault(std::string_view what, const ChipEntry& entry, const Sourced<std::string>& bandwidth) {
  if (bandwidth.value.empty()) { return {}; }
  const auto read = parse_bandwidth(bandwidth.value);
  if (!read || *read > kBandwidthMax) {
    return fmt::format("{} of chip '{}': wants a rate such as 450GB/s or 400Gb/s, found '{}'", what, entry.key,
                       shorten(bandwidth.value, 40));
  }
  return bandwidth.source.empty() ? fmt::format("{} of chip '{}' has no source", what, entry.key) : std::string();
}

std::string peak_fault(const ChipEntry& entry) {
  for (std::size_t i = 0; i < kPrecisions; ++i) {
    const Sourced<std::string>& peak = entry.peak.by_precision[i];
    if (peak.value.empty()) { continue; }
    const auto read = parse_flop_rate(peak.value);
    if (!read || *read > kPeakMax) {
      return fmt::format("{} peak of chip '{}': wants a rate such as 989.4T, found '{}'", kEnumNames<Precision>[i], entry.key,
                         shorten(peak.value, 40));
    }
    if (peak.source.empty()) { return fmt::format("{} peak of chip '{}' has no source", kEnumNames<Precision>[i], entry.key); }
  }
  return {};
}

std::string scale_up_fault(const ChipEntry& entry) {
  const ScaleUp& fabric = entry.scale_up.fabric;
  if (fabric.chips < 1 || fabric.chips > kDomainChipsMax || fabric.wraps_from < 1) {
    return fmt::format("scale_up of chip '{}': chips wants 1 to {}, found {}", entry.key, kDomainChipsMax, fabric.chips);
  }
  if (fabric.wiring != Wiring::none && entry.scale_up.bandwidth.value.empty()) {
    return fmt::format("scale_up of chip '{}' has wiring but no bandwidth", entry.key);
  }
  std::int64_t product = 1;
  for (const std::int64_t size : fabric.torus) {
    if (size < 1 || size > fabric.chips / product) {
      return fmt::format("torus of chip '{}' is not of its {} chips", entry.key, fabric.chips);
    }
    product *= size;
  }
  if ((fabric.wiring == Wiring::torus) == fabric.torus.empty() || (!fabric.torus.empty() && product != fabric.chips)) {
    return fmt::format("torus of chip '{}' is not of its {} chips", entry.key, fabric.chips);
  }
  return {};
}

std::string efficiency_fault(const ChipEntry& entry) {
  if (!entry.efficiency) { return {}; }
  const ChipEfficiency& e = entry.efficiency->is;
  if (e.source.empty()) { return fmt::format("efficiency of chip '{}' has no source", entry.key); }
  if (std::max({entry.efficiency->launch, entry.efficiency->batch_item, entry.efficiency->host}) > kLatencyMax) {
    return fmt::format("efficiency of chip '{}': a launch or host time is above a second", entry.key);
  }
  for (const double part : {e.gemm, e.gemm_fp8, e.gemm_fp4, e.attention, e.memory, e.links, e.network}) {
    if (!(part > 0 && part <= 1)) { return fmt::format("efficiency of chip '{}': wants parts above 0, at most 1", entry.key); }
  }
  for (const double size : {e.tile_m, e.tile_n}) {
    if (!(size >= 1 && size <= 65536)) { return fmt::format("efficiency of chip '{}': wants tiles of 1 to 65536", entry.key); }
  }
  if (!(e.inner >= 0 && e.inner <= 65536)) { return fmt::format("efficiency of chip '{}': wants inner of 0 to 65536", entry.key); }
  return {};
}

/// What is wrong with what estimates need; a chip may have none of it.
std::string performance_fault(const ChipEntry& entry) {
  if (std::string fault = peak_fault(entry); !fault.empty()) { return fault; }
  if (std::string fault = bandwidth_fault("memory bandwidth", entry, entry.bandwidth); !fault.empty()) { return fault; }
  if (std::string fault = bandwidth_fault("scale_up bandwidth", entry, entry.scale_up.bandwidth); !fault.empty()) { return fault; }
  if (std::string fault = bandwidth_fault("scale_out bandwidth", entry, entry.scale_out.bandwidth); !fault.empty()) { return fault; }
  if (!(entry.units.value >= 0 && entry.units.value <= 1e6)) { return fmt::format("units of chip '{}': wants 1 to a million", entry.key); }
  if (entry.units.value > 0 && entry.units.source.empty()) { return fmt::format("units of chip '{}' has no source", entry.key); }
  if (entry.chips_per_node < 1 || entry.chips_per_node > 1024) {
    return fmt::format("chips_per_node of chip '{}': wants 1 to 1024, found {}", entry.key, entry.chips_per_node);
  }
  for (const Nanos latency : {entry.scale_up.latency, entry.scale_out.latency}) {
    if (latency > kLatencyMax) { return fmt::format("a latency of chip '{}' is above a second", entry.key); }
  }
  if (std::string fault = scale_up_fault(entry); !fault.empty()) { return fault; }
  return efficiency_fault(entry);
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
  return performance_fault(entry);
}

Sourced<BytesPerSecond> bandwidth_of(Sourced<std::string>&& text) {
  return {parse_bandwidth(text.value).value_or(BytesPerSecond{}), std::move(text.source)};
}

ChipType chip_of(ChipEntry&& entry) {
  ChipType chip;
  chip.key = std::move(entry.key);
  chip.vendor = std::move(entry.vendor);
  chip.name = std::move(entry.name);
  chip.aliases = std::move(entry.aliases);
  chip.memory = std::move(entry.memory);
  chip.power = {parse_power(entry.power.value).value(), std::move(entry.power.source)};
  chip.price_per_hour = {parse_price(entry.price.value).value(), std::move(entry.price.source)};
  for (std::size_t i = 0; i < kPrecisions; ++i) {
    Sourced<std::string>& peak = entry.peak.by_precision[i];
    chip.peak[i] = {parse_flop_rate(peak.value).value_or(FlopPerSecond{}), std::move(peak.source)};
  }
  chip.memory_bandwidth = bandwidth_of(std::move(entry.bandwidth));
  chip.units = std::move(entry.units);
  chip.scale_up = std::move(entry.scale_up.fabric);
  chip.scale_up.bandwidth = bandwidth_of(std::move(entry.scale_up.bandwidth));
  chip.scale_up.latency = Seconds{to_seconds(entry.scale_up.latency)};
  chip.scale_out = {bandwidth_of(std::move(entry.scale_out.bandwidth)), Seconds{to_seconds(entry.scale_out.latency)}};
  chip.chips_per_node = entry.chips_per_node;
  if (entry.efficiency) {
    chip.efficiency = std::move(entry.efficiency->is);
    chip.efficiency.launch = Seconds{to_seconds(entry.efficiency->launch)};
    chip.efficiency.batch_item = Seconds{to_seconds(entry.efficiency->batch_item)};
    chip.efficiency.host = Seconds{to_seconds(entry.efficiency->host)};
  }
  return chip;
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
  if (std::string remedy = nearest_remedy(key, keys); !remedy.empty()) { return remedy; }
  // "h1000" is far from every whole key, but near to the start of some.
  std::vector<std::string> models;
  for (const std::string& k : keys) { models.push_back(k.substr(0, k.find('-'))); }
  const ChipType* usual = chip_like(nearest(key, models));
  return usual == nullptr ? std::string() : "nearest: " + usual->key;
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
