// SPDX-License-Identifier: Apache-2.0
#include "operate/discover_device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace centrale::discovery {
namespace {

constexpr double kMebi = 1048576.0;
constexpr std::size_t kLinesMax = 20'000;

bool printable(char c) { return c >= 0x20 && c < 0x7F; }

std::optional<double> scaled(std::optional<double> value, double factor) { return value ? std::optional(*value * factor) : std::nullopt; }

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> result = split(text, ' ');
  std::erase_if(result, [](std::string_view word) { return word.empty(); });
  return result;
}

Result<std::vector<std::string_view>> lines_of(std::string_view text, const char* what) {
  auto lines = split(text, '\n');
  if (text.size() > kVendorTextMax || lines.size() > kLinesMax) {
    return fail(ErrorKind::invalid, fmt::format("{} said more than can be true", what));
  }
  return lines;
}

/// "4159 / 65536" of the row's last columns: the HBM where there are two pairs, else the only memory there is.
void read_memory_pairs(std::string_view usage, Device& device) {
  const auto parts = split(usage, '/');
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    const auto before = words(parts[i]);
    const auto total = sane_bytes(scaled(leading_number(parts[i + 1]), kMebi));
    // A chip without its own DDR reports 0 of 0 there.
    if (before.empty() || !total || total->value == 0) { continue; }
    device.memory_total = total;
    device.memory_used = sane_bytes(scaled(leading_number(before.back()), kMebi));
  }
}

}  // namespace

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view{} : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) { return parts; }
    text.remove_prefix(end + 1);
  }
}

std::string clean_text(std::string_view text) {
  std::string clean;
  for (const char c : trim(text.substr(0, 512))) {
    const char kept = printable(c) ? c : ' ';
    if (kept != ' ' || (!clean.empty() && clean.back() != ' ')) { clean += kept; }
  }
  clean.resize(std::min<std::size_t>(clean.size(), 128));
  return std::string(trim(clean));
}

std::optional<double> leading_number(std::string_view text) {
  text = trim(text);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  return error == std::errc{} && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

std::optional<int> device_index(std::string_view text) {
  text = trim(text);
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  return whole && value >= 0 && value < 65'536 ? std::optional(value) : std::nullopt;
}

std::string pci_address(std::string_view text) {
  const auto hex = [](std::string_view word) -> std::optional<unsigned> {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, 16);
    return error == std::errc{} && end == word.data() + word.size() ? std::optional(value) : std::nullopt;
  };
  auto parts = split(trim(text), ':');
  if (parts.size() == 2) { parts.insert(parts.begin(), "0"); }
  if (parts.size() != 3) { return {}; }
  const auto slot = split(parts[2], '.');
  const auto domain = hex(parts[0]), bus = hex(parts[1]), device = hex(slot[0]);
  const auto function = slot.size() == 2 ? hex(slot[1]) : std::optional(0u);
  if (!domain || !bus || !device || !function || *bus > 0xFF || *device > 0x1F || *function > 7) { return {}; }
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", *domain, *bus, *device, *function);
}

std::optional<Bytes> sane_bytes(std::optional<double> bytes) {
  return bytes && *bytes >= 0 && *bytes < 1e15 ? std::optional(Bytes{static_cast<std::int64_t>(*bytes)}) : std::nullopt;
}

std::optional<Milliwatts> sane_power(std::optional<double> watts) {
  return watts && *watts >= 0 && *watts < 1e5 ? std::optional(Milliwatts{std::llround(*watts * 1e3)}) : std::nullopt;
}

std::optional<double> sane_share(std::optional<double> percent) {
  return percent && *percent >= 0 && *percent < 1e3 ? std::optional(std::min(*percent / 100, 1.0)) : std::nullopt;
}

std::optional<double> sane_celsius(std::optional<double> celsius) {
  return celsius && *celsius > -100 && *celsius < 300 ? celsius : std::nullopt;
}

// One chip is two rows of a table (recorded outputs are in the test):
//   | 0     910B3               | OK            | 93.6        40                0    / 0             |
//   | 0                         | 0000:C1:00.0  | 0           0    / 0          4159 / 65536         |
// The first cell of the second row may hold the chip's number in its card, and after it the number by which the runtime
// knows it ("Device" or "Phy-ID"). Where that second number is missing, a card is one chip and has the card's number.
Result<std::vector<Device>> parse_npu_smi(std::string_view text) {
  TRY_ASSIGN(const auto lines, lines_of(text, "npu-smi"));
  std::vector<Device> devices;
  std::optional<Device> begun;
  for (const std::string_view line : lines) {
    const std::string_view row = trim(line);
    if (row.size() < 2 || row.front() != '|' || row.back() != '|') { continue; }
    const auto cells = split(row.substr(1, row.size() - 2), '|');
    if (cells.size() != 3) {
      continue;  // a title, or the table of processes
    }
    const auto first = words(cells[0]);
    const std::string address = pci_address(cells[1]);
    const auto last = words(cells[2]);
    if (first.empty() || !device_index(first[0]) || last.empty()) { continue; }
    if (begun && !address.empty()) {
      if (first.size() > 1 && device_index(first[1])) { begun->index = *device_index(first[1]); }
      begun->pci = address;
      begun->device = std::to_string(begun->index);
      begun->utilisation = sane_share(leading_number(last[0]));
      read_memory_pairs(cells[2], *begun);
      devices.push_back(std::move(*begun));
      begun.reset();
      if (devices.size() > kDevicesMax) { return fail(ErrorKind::invalid, "npu-smi lists more devices than can be true"); }
    } else if (first.size() >= 2 && address.empty()) {
      begun = Device{};
      begun->index = *device_index(first[0]);
      const std::string name = clean_text(first[1]);
      begun->name = name.starts_with("Ascend") ? name : "Ascend " + name;
      const std::string health = clean_text(cells[1]);
      begun->reason = health == "OK" || health == "Warning" ? "" : "npu-smi says its health is " + health;
      begun->power = sane_power(leading_number(last[0]));
      begun->temperature_c = last.size() > 1 ? sane_celsius(leading_number(last[1])) : std::nullopt;
    }
  }
  return devices;
}

Result<std::vector<Device>> parse_hl_smi(std::string_view text) {
  TRY_ASSIGN(const auto lines, lines_of(text, "hl-smi"));
  std::vector<Device> devices;
  for (const std::string_view line : lines) {
    const auto cells = split(line, ',');
    if (cells.size() < 10 || !device_index(cells[0])) {
      continue;  // a header, a warning, an empty line
    }
    Device device;
    device.index = *device_index(cells[0]);
    // HABANA_VISIBLE_MODULES counts modules, not PCI order.
    device.device = std::to_string(device_index(cells[1]).value_or(device.index));
    device.name = "Intel Gaudi " + clean_text(cells[2]);
    device.uuid = clean_text(cells[3]);
    device.pci = pci_address(cells[4]);
    device.memory_total = sane_bytes(scaled(leading_number(cells[5]), kMebi));
    device.memory_used = sane_bytes(scaled(leading_number(cells[6]), kMebi));
    device.power = sane_power(leading_number(cells[7]));
    device.utilisation = sane_share(leading_number(cells[8]));
    device.temperature_c = sane_celsius(leading_number(cells[9]));
    devices.push_back(std::move(device));
    if (devices.size() > kDevicesMax) { return fail(ErrorKind::invalid, "hl-smi lists more devices than can be true"); }
  }
  return devices;
}

std::string probe_line(const Device& device) {
  const auto number = [](const auto& value) { return value ? fmt::format("{}", *value) : std::string("-"); };
  const auto amount = [](const auto& value) { return value ? fmt::format("{}", value->value) : std::string("-"); };
  return fmt::format("device\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", device.index, clean_text(device.device),
                     clean_text(device.name), clean_text(device.uuid), clean_text(device.pci), clean_text(device.reason),
                     amount(device.memory_total), amount(device.memory_used), amount(device.power_limit), amount(device.power),
                     number(device.utilisation), number(device.temperature_c));
}

Result<ProbeAnswer> parse_probe(std::string_view text) {
  TRY_ASSIGN(const auto lines, lines_of(text, "the probe"));
  ProbeAnswer answer;
  for (const std::string_view line : lines) {
    const auto cells = split(line, '\t');
    if (cells[0] == "absent") {
      answer.absent = true;
    } else if (cells[0] == "note" && cells.size() == 2 && answer.notes.size() < 100) {
      answer.notes.push_back(clean_text(cells[1]));
    } else if (cells[0] == "device" && cells.size() == 13 && device_index(cells[1]) && answer.devices.size() < kDevicesMax) {
      Device device;
      device.index = *device_index(cells[1]);
      device.device = clean_text(cells[2]);
      device.name = clean_text(cells[3]);
      device.uuid = clean_text(cells[4]);
      device.pci = pci_address(cells[5]);
      device.reason = clean_text(cells[6]);
      device.memory_total = sane_bytes(leading_number(cells[7]));
      device.memory_used = sane_bytes(leading_number(cells[8]));
      device.power_limit = sane_power(scaled(leading_number(cells[9]), 1e-3));
      device.power = sane_power(scaled(leading_number(cells[10]), 1e-3));
      device.utilisation = sane_share(scaled(leading_number(cells[11]), 100));
      device.temperature_c = sane_celsius(leading_number(cells[12]));
      answer.devices.push_back(std::move(device));
    } else if (!line.empty() && cells[0] != "end") {
      return fail(ErrorKind::invalid, "the probe said what it never says: " + clean_text(line));
    }
  }
  return answer;
}

}  // namespace centrale::discovery
