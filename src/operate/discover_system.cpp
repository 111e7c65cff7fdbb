// SPDX-License-Identifier: Apache-2.0
#include "operate/discover_system.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "operate/discover_device.hpp"

namespace centrale::discovery {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSmallFileMax = 1u << 20;  // /proc/stat of a machine with 4096 threads is 300 KiB
constexpr std::size_t kCpusMax = 65'536;
constexpr int kCgroupDepthMax = 64;

std::vector<fs::path> entries_of(const std::string& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end && entries.size() < 100'000; it.increment(error)) {
    entries.push_back(it->path());
  }
  std::ranges::sort(entries);
  return entries;
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  text = trim(text);
  const bool hex = text.starts_with("0x");
  text.remove_prefix(hex ? 2 : 0);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  return error == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

template <class Value>
void keep_smaller(std::optional<Value>& limit, const std::optional<Value>& other) {
  if (other && (!limit || *other < *limit)) { limit = other; }
}

std::optional<Bytes> memory_limit(const std::string& file) {
  const auto bytes = read_number(file);  // "max" is no number
  // cgroup v1 says "no limit" as the largest multiple of the page size.
  return bytes && *bytes > 0 && *bytes < std::int64_t{1} << 60 ? std::optional(Bytes{*bytes}) : std::nullopt;
}

std::optional<double> cpu_limit_v2(const std::string& file) {
  const auto text = read_small_file(file);
  const auto words = text ? split(trim(*text), ' ') : std::vector<std::string_view>{};
  const auto quota = words.size() == 2 ? whole_number(words[0]) : std::nullopt;
  const auto period = words.size() == 2 ? whole_number(words[1]) : std::nullopt;
  return quota && period && *quota > 0 && *period > 0 ? std::optional(static_cast<double>(*quota) / static_cast<double>(*period))
                                                      : std::nullopt;
}

std::optional<double> cpu_limit_v1(const std::string& folder) {
  const auto quota = read_number(folder + "/cpu.cfs_quota_us");
  const auto period = read_number(folder + "/cpu.cfs_period_us");
  return quota && period && *quota > 0 && *period > 0 ? std::optional(static_cast<double>(*quota) / static_cast<double>(*period))
                                                      : std::nullopt;
}

/// Calls `read` with the folder of the cgroup and of each one above it: a limit further up holds too. In a container the
/// path may lead nowhere, and only the top folder is there.
template <class Read>
void walk_up(const std::string& mount, std::string_view group, const Read& read) {
  fs::path path = fs::path(group).lexically_normal();
  if (std::ranges::any_of(path, [](const fs::path& part) { return part == ".."; })) { path = "/"; }
  for (int depth = 0; depth < kCgroupDepthMax; ++depth) {
    read(path == "/" ? mount : mount + path.string());
    if (!path.has_relative_path()) { return; }
    path = path.parent_path();
  }
}

struct PciVendor {
  std::string_view id, name;
  ChipSource source;
};
constexpr PciVendor kPciVendors[] = {
    {"0x10de", "NVIDIA", ChipSource::nvidia},
    {"0x1002", "AMD", ChipSource::amd},
    {"0x19e5", "Huawei", ChipSource::ascend},
    {"0x1da3", "Intel Habana", ChipSource::gaudi},
};

/// PCI class codes: 03 display (00 VGA, 02 3D, 80 other), 12 processing accelerator.
bool is_accelerator_class(std::int64_t code) {
  const auto top = code >> 16, sub = code >> 8 & 0xFF;
  return top == 0x12 || (top == 0x03 && (sub == 0x00 || sub == 0x02 || sub == 0x80));
}

/// The device's name in the system's pci.ids, or its number.
std::string pci_model(const std::string& root, std::string_view vendor, std::string_view device) {
  for (const char* path : {"/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"}) {
    std::ifstream file(root + path);
    bool in_vendor = false;
    for (std::string line; std::getline(file, line);) {
      if (!line.starts_with('\t')) {
        in_vendor = line.starts_with(vendor);
      } else if (in_vendor && !line.starts_with("\t\t") && std::string_view(line).substr(1).starts_with(device)) {
        return clean_text(std::string_view(line).substr(1 + device.size()));
      }
    }
  }
  return fmt::format("device {}", device);
}

int threads_of_package(const std::string& root, int package) {
  int threads = 0;
  for (const fs::path& cpu : entries_of(root + "/sys/devices/system/cpu")) {
    threads += read_number(cpu / "topology/physical_package_id") == package ? 1 : 0;
  }
  return threads;
}

}  // namespace

std::optional<std::string> read_small_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kSmallFileMax, '\0');
  if (!file || (file.read(text.data(), static_cast<std::streamsize>(text.size())), file.gcount() <= 0)) { return std::nullopt; }
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

std::optional<std::int64_t> read_number(const std::string& path) {
  const auto text = read_small_file(path);
  return text ? whole_number(*text) : std::nullopt;
}

CgroupLimits read_cgroup_limits(const std::string& root) {
  CgroupLimits limits;
  const std::string top = root + "/sys/fs/cgroup";
  const auto text = read_small_file(root + "/proc/self/cgroup");
  for (const std::string_view line : split(text ? std::string_view(*text) : std::string_view{}, '\n')) {
    const auto fields = split(line, ':');  // "0::/user.slice" (v2) or "4:memory:/docker/1f…" (v1)
    if (fields.size() != 3) { continue; }
    if (fields[0] == "0" && fields[1].empty()) {
      walk_up(top, fields[2], [&](const std::string& folder) {
        keep_smaller(limits.memory, memory_limit(folder + "/memory.max"));
        keep_smaller(limits.cpus, cpu_limit_v2(folder + "/cpu.max"));
      });
    }
    for (const std::string_view controller : split(fields[1], ',')) {
      if (controller == "memory") {
        walk_up(fmt::format("{}/{}", top, fields[1]), fields[2],
                [&](const std::string& folder) { keep_smaller(limits.memory, memory_limit(folder + "/memory.limit_in_bytes")); });
      } else if (controller == "cpu") {
        walk_up(fmt::format("{}/{}", top, fields[1]), fields[2],
                [&](const std::string& folder) { keep_smaller(limits.cpus, cpu_limit_v1(folder)); });
      }
    }
  }
  return limits;
}

std::optional<Bytes> meminfo(const std::string& root, std::string_view key) {
  const auto text = read_small_file(root + "/proc/meminfo");
  for (const std::string_view line : split(text ? std::string_view(*text) : std::string_view{}, '\n')) {
    if (line.starts_with(key) && line.substr(key.size()).starts_with(':')) {
      const auto kibibytes = leading_number(line.substr(key.size() + 1));
      return kibibytes ? sane_bytes(*kibibytes * 1024) : std::nullopt;
    }
  }
  return std::nullopt;
}

std::vector<PciAccelerator> list_pci_accelerators(const std::string& root) {
  std::vector<PciAccelerator> found;
  for (const fs::path& folder : entries_of(root + "/sys/bus/pci/devices")) {
    const auto code = read_number(folder / "class");
    const auto vendor = read_small_file(folder / "vendor");
    const std::string address = pci_address(folder.filename().string());
    if (!code || !vendor || address.empty() || !is_accelerator_class(*code) || found.size() >= kDevicesMax) { continue; }
    const auto known = std::ranges::find(kPciVendors, trim(*vendor), &PciVendor::id);
    if (known == std::end(kPciVendors)) {
      continue;  // a board's own VGA, say
    }
    std::string device = clean_text(read_small_file(folder / "device").value_or("0x????"));
    device.erase(0, device.starts_with("0x") ? 2 : 0);
    std::error_code no_driver;
    found.push_back({.address = address,
                     .vendor = std::string(known->name),
                     .model = pci_model(root, known->id.substr(2), device),
                     .driver = clean_text(fs::read_symlink(folder / "driver", no_driver).filename().string()),
                     .source = known->source});
  }
  return found;
}

int pci_numa_node(const std::string& root, const std::string& address) {
  const auto node = address.empty() ? std::nullopt : read_number(fmt::format("{}/sys/bus/pci/devices/{}/numa_node", root, address));
  return node && *node >= 0 && *node < 4096 ? static_cast<int>(*node) : -1;
}

std::vector<CpuTimes> read_cpu_times(const std::string& root) {
  std::vector<CpuTimes> times;
  const auto text = read_small_file(root + "/proc/stat");
  for (const std::string_view line : split(text ? std::string_view(*text) : std::string_view{}, '\n')) {
    auto fields = split(line, ' ');
    if (!fields[0].starts_with("cpu")) {
      break;  // the CPUs come first; after them lines may be very long
    }
    const auto index = device_index(fields[0].substr(3));
    if (!index || static_cast<std::size_t>(*index) >= kCpusMax || fields.size() < 5) { continue; }
    // proc(5): user nice system idle iowait irq softirq steal; guest times are in user already.
    CpuTimes sum;
    for (std::size_t i = 1; i < std::min<std::size_t>(fields.size(), 9); ++i) {
      const std::int64_t ticks = whole_number(fields[i]).value_or(0);
      sum.total += ticks;
      sum.busy += i == 4 || i == 5 ? 0 : ticks;
    }
    times.resize(std::max(times.size(), static_cast<std::size_t>(*index) + 1));
    times[static_cast<std::size_t>(*index)] = sum;
  }
  return times;
}

std::vector<EnergyCounter> read_energy_counters(const std::string& root) {
  std::vector<EnergyCounter> counters;
  // Also AMD's: the kernel offers both under this name.
  for (const fs::path& folder : entries_of(root + "/sys/class/powercap")) {
    const std::string name = read_small_file(folder / "name").value_or("");
    const auto energy = read_number(folder / "energy_uj");
    if (!folder.filename().string().starts_with("intel-rapl:") || !name.starts_with("package-") || !energy) { continue; }
    const int package = device_index(std::string_view(name).substr(8)).value_or(-1);
    const auto watts = read_number(folder / "constraint_0_power_limit_uw");
    counters.push_back(
        {.package = package,
         .threads = threads_of_package(root, package),
         .microjoules = *energy,
         .wraps_at = read_number(folder / "max_energy_range_uj").value_or(0),
         .limit = sane_power(watts ? std::optional(static_cast<double>(*watts) * 1e-6) : std::nullopt).value_or(Milliwatts{})});
  }
  return counters;
}

}  // namespace centrale::discovery
