// SPDX-License-Identifier: Apache-2.0
// Private to discovery: one accelerator as its vendor describes it, whatever the way it was asked. The text comes from
// outside, so each number is checked for sense and each name is cut to printable length.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"

namespace centrale::discovery {

inline constexpr std::size_t kDevicesMax = 1024;  // no machine has as many
inline constexpr std::size_t kVendorTextMax = 1u << 20;

struct Device {
  int index = -1;
  std::string device;  // for the visible-devices variable
  std::string name, uuid, pci;
  std::string reason;  // why it cannot be used; empty: it can
  std::optional<Bytes> memory_total, memory_used;
  std::optional<Milliwatts> power_limit, power;
  std::optional<double> utilisation, temperature_c;
};

/// Printable ASCII, spaces trimmed and single, at most 128 characters.
[[nodiscard]] std::string clean_text(std::string_view text);
/// The number at the start of `text` ("93.6", "32768 MiB", "45 %"); nothing if there is none.
[[nodiscard]] std::optional<double> leading_number(std::string_view text);
[[nodiscard]] std::optional<int> device_index(std::string_view text);
/// "0000:c1:00.0" from any of "0000:C1:00.0", "00000000:C1:00.0", "C1:00.0"; empty if it is none.
[[nodiscard]] std::string pci_address(std::string_view text);

// Nothing where the value cannot be true (a petabyte of memory, a hundred kilowatts).
[[nodiscard]] std::optional<Bytes> sane_bytes(std::optional<double> bytes);
[[nodiscard]] std::optional<Milliwatts> sane_power(std::optional<double> watts);
[[nodiscard]] std::optional<double> sane_share(std::optional<double> percent);
[[nodiscard]] std::optional<double> sane_celsius(std::optional<double> celsius);

[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);
[[nodiscard]] std::string_view trim(std::string_view text);

// ---- what the sources say; all take any bytes ----

/// `npu-smi info`. The header of the table may differ between versions; rows are told by their shape.
[[nodiscard]] Result<std::vector<Device>> parse_npu_smi(std::string_view text);
/// `hl-smi -Q <kHlSmiQuery> -f csv,noheader,nounits`; a header and units do no harm.
inline constexpr const char* kHlSmiQuery =
    "index,module_id,name,uuid,bus_id,memory.total,memory.used,power.draw,utilization.aip,temperature.aip";
[[nodiscard]] Result<std::vector<Device>> parse_hl_smi(std::string_view text);

/// What a probe prints: one "device" line each, "note" lines, "absent" when there is no library, and "end".
struct ProbeAnswer {
  bool absent = false;
  std::vector<std::string> notes;
  std::vector<Device> devices;
};
[[nodiscard]] std::string probe_line(const Device& device);
[[nodiscard]] Result<ProbeAnswer> parse_probe(std::string_view text);
// No name ends like this: names are cleaned of tabs.
inline constexpr std::string_view kProbeEnd = "end\t.\n";

/// The catalogue's key of a chip by its vendor's name for it: "NVIDIA H100 80GB HBM3" is "h100-sxm".
[[nodiscard]] std::string chip_kind(std::string_view name, Bytes memory);

}  // namespace centrale::discovery
