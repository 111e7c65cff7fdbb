// SPDX-License-Identifier: Apache-2.0
// Private to discovery: what the kernel says in /proc and /sys. `root` stands in front of the paths, for tests.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.hpp"
#include "operate/discover.hpp"

namespace centrale::discovery {

/// The start of a small file, or nothing.
[[nodiscard]] std::optional<std::string> read_small_file(const std::string& path);
[[nodiscard]] std::optional<std::int64_t> read_number(const std::string& path);

/// What this process's cgroup and those above it allow (cgroup v2, or v1).
struct CgroupLimits {
  std::optional<double> cpus;
  std::optional<Bytes> memory;
};
[[nodiscard]] CgroupLimits read_cgroup_limits(const std::string& root);

/// "MemTotal" of /proc/meminfo; nothing if it is not there.
[[nodiscard]] std::optional<Bytes> meminfo(const std::string& root, std::string_view key);

/// An accelerator on the PCI bus, found without any help from its driver.
struct PciAccelerator {
  std::string address, vendor, model, driver;  // driver empty: none is bound
  ChipSource source = ChipSource::nvidia;
};
[[nodiscard]] std::vector<PciAccelerator> list_pci_accelerators(const std::string& root);
/// The NUMA node of a PCI device; -1: unknown.
[[nodiscard]] int pci_numa_node(const std::string& root, const std::string& address);

/// Busy and total time of each hardware thread since boot, by the kernel's number.
struct CpuTimes {
  std::int64_t busy = 0, total = 0;
};
[[nodiscard]] std::vector<CpuTimes> read_cpu_times(const std::string& root);

/// One CPU package's energy counter (RAPL).
struct EnergyCounter {
  int package = -1;
  int threads = 0;  // hardware threads in the package, whoever may use them
  std::int64_t microjoules = 0;
  std::int64_t wraps_at = 0;
  Milliwatts limit;  // its long-term power limit; 0: unknown
};
/// Empty where there is none or only root may read it.
[[nodiscard]] std::vector<EnergyCounter> read_energy_counters(const std::string& root);

}  // namespace centrale::discovery
