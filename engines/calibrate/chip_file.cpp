// SPDX-License-Identifier: Apache-2.0
#include "chip_file.hpp"

#include <fmt/format.h>

#include <cmath>

#include "base/text.hpp"

namespace centrale::calibrate {
namespace {

/// In quotes; processors' names hold no control characters, but nobody promises it.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') { out += '\\'; }
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

std::string sourced(const std::string& value, const std::string& source) {
  return fmt::format("{{value: {}, source: {}}}", value, quoted(source));
}

/// Millions of the unit with what the catalogue's six decimals hold.
std::string rate(double per_second, const char* unit) { return fmt::format("{:.6f}{}", per_second * 1e-9, unit); }

std::string span(Seconds time) { return fmt::format("{}ns", std::llround(time.value * 1e9)); }

std::string fabric(const ChipType& chip) {
  std::string out;
  if (chip.scale_up.wiring != Wiring::none) {
    out += fmt::format("    scale_up: {{wiring: {}, chips: {}, bandwidth: {}, latency: {}}}\n", enum_name(chip.scale_up.wiring),
                       chip.scale_up.chips, sourced(rate(chip.scale_up.bandwidth.value.value, "GB/s"), chip.scale_up.bandwidth.source),
                       span(chip.scale_up.latency));
  }
  if (chip.scale_out.bandwidth.value.value > 0) {
    out += fmt::format("    scale_out: {{bandwidth: {}, latency: {}}}\n",
                       sourced(rate(chip.scale_out.bandwidth.value.value, "GB/s"), chip.scale_out.bandwidth.source),
                       span(chip.scale_out.latency));
  }
  return out;
}

std::string efficiency(const ChipEfficiency& e) {
  std::string out = "    efficiency:\n";
  const auto line = [&](const char* name, const std::string& value) { out += fmt::format("      {}: {}\n", name, value); };
  const auto number = [](double value) { return fmt::format("{:.6f}", value); };
  line("gemm", number(e.gemm));
  line("attention", number(e.attention));
  line("memory", number(e.memory));
  line("links", number(e.links));
  line("network", number(e.network));
  line("tile_m", number(e.tile_m));
  line("tile_n", number(e.tile_n));
  line("inner", number(e.inner));
  line("launch", span(e.launch));
  line("batch_item", span(e.batch_item));
  line("host", span(e.host));
  line("source", quoted(e.source));
  return out;
}

}  // namespace

std::string chip_file(const ChipType& chip, const std::string& currency, const std::vector<std::string>& comments) {
  std::string out;
  for (const std::string& comment : comments) { out += fmt::format("# {}\n", comment); }
  out +=
      fmt::format("currency: {}\nchips:\n  - key: {}\n    vendor: {}\n    name: {}\n", currency, chip.key, chip.vendor, quoted(chip.name));
  out += fmt::format("    memory: {}\n", sourced(exact_bytes(chip.memory.value), chip.memory.source));
  out += fmt::format("    power: {}\n",
                     sourced(fmt::format("{:.3f} W", static_cast<double>(chip.power.value.value) * 1e-3), chip.power.source));
  out += fmt::format("    price: {}\n", sourced(fmt::format("{:.6f}", static_cast<double>(chip.price_per_hour.value.value) * 1e-6),
                                                chip.price_per_hour.source));
  out += "    peak:\n";
  for (std::size_t p = 0; p < kPrecisions; ++p) {
    if (chip.peak[p].value.value > 0) {
      out += fmt::format("      {}: {}\n", kEnumNames<Precision>[p], sourced(rate(chip.peak[p].value.value, "G"), chip.peak[p].source));
    }
  }
  out += fmt::format("    bandwidth: {}\n", sourced(rate(chip.memory_bandwidth.value.value, "GB/s"), chip.memory_bandwidth.source));
  out += fmt::format("    units: {}\n", sourced(fmt::format("{:.0f}", chip.units.value), chip.units.source));
  out += fmt::format("    chips_per_node: {}\n", chip.chips_per_node);
  return out + fabric(chip) + efficiency(chip.efficiency);
}

}  // namespace centrale::calibrate
