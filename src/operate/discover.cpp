// SPDX-License-Identifier: Apache-2.0
#include "operate/discover.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <utility>

#include "operate/discover_cpu.hpp"
#include "operate/discover_device.hpp"
#include "operate/discover_sources.hpp"
#include "operate/discover_system.hpp"

namespace centrale {

using namespace discovery;

namespace {

std::string_view vendor_name(ChipSource source) {
  switch (source) {
    case ChipSource::cpu: return "";
    case ChipSource::nvidia: return "NVIDIA";
    case ChipSource::amd: return "AMD";
    case ChipSource::ascend: return "Huawei";
    case ChipSource::gaudi: return "Intel Habana";
  }
  return "";
}

void describe_system(const DiscoverOptions& options, MachineReport& report) {
  utsname system{};
  if (::uname(&system) == 0) {
    report.hostname = clean_text(system.nodename);
    report.kernel = clean_text(fmt::format("{} {} {}", system.sysname, system.release, system.machine));
  }
  report.os = "Linux";
  const auto release = read_small_file(options.root + "/etc/os-release");
  for (const std::string_view line : split(release ? std::string_view(*release) : std::string_view{}, '\n')) {
    constexpr std::string_view kKey = "PRETTY_NAME=";
    if (line.starts_with(kKey)) {
      std::string name = clean_text(line.substr(kKey.size()));
      std::erase(name, '"');
      report.os = name;
    }
  }
}

void add_devices(ChipSource source, const std::vector<Device>& devices, const std::string& root, MachineReport& report) {
  for (const Device& device : devices) {
    if (!device.reason.empty()) {
      report.unusable.push_back({std::string(vendor_name(source)), device.name, device.pci, device.reason});
      continue;
    }
    const Bytes memory = device.memory_total.value_or(Bytes{});
    report.chips.push_back({.kind = chip_kind(device.name, memory),
                            .source = source,
                            .vendor = std::string(vendor_name(source)),
                            .model = device.name,
                            .index = device.index,
                            .device = device.device,
                            .uuid = device.uuid,
                            .memory = memory,
                            .pus = {},
                            .package = -1,
                            .numa = pci_numa_node(root, device.pci),
                            .pci = device.pci,
                            .power_limit = device.power_limit.value_or(Milliwatts{})});
  }
}

/// What sits on the bus but nobody answered for.
void add_silent_accelerators(const std::string& root, MachineReport& report) {
  for (const PciAccelerator& found : list_pci_accelerators(root)) {
    const auto at = [&](const auto& listed) { return listed.pci == found.address; };
    if (std::ranges::any_of(report.chips, at) || std::ranges::any_of(report.unusable, at)) { continue; }
    const std::string reason = found.driver.empty()         ? "present, no driver"
                               : found.driver == "vfio-pci" ? "present, given to virtual machines (vfio-pci)"
                                                            : fmt::format("present with driver '{}', but {} does not list it", found.driver,
                                                                          source_name(found.source));
    report.unusable.push_back({found.vendor, found.model, found.address, reason});
  }
}

}  // namespace

Result<MachineReport> discover(const DiscoverOptions& options) {
  const Deadline deadline = std::chrono::steady_clock::now() + options.time_limit;
  std::vector<VendorSource> sources;
  for (const ChipSource source : kVendorSources) { sources.emplace_back(options, source).ask(); }
  MachineReport report;
  describe_system(options, report);
  TRY(discover_cpus(options, report));
  for (VendorSource& source : sources) {
    SourceAnswer answer = source.answer(deadline);
    std::ranges::sort(answer.devices, {}, &Device::index);
    add_devices(source.source(), answer.devices, options.root, report);
    std::ranges::move(answer.problems, std::back_inserter(report.notes));
  }
  add_silent_accelerators(options.root, report);
  return report;
}

std::string_view visible_devices_variable(ChipSource source) {
  switch (source) {
    case ChipSource::cpu: return "";
    case ChipSource::nvidia: return "CUDA_VISIBLE_DEVICES";
    case ChipSource::amd: return "ROCR_VISIBLE_DEVICES";
    case ChipSource::ascend: return "ASCEND_RT_VISIBLE_DEVICES";
    case ChipSource::gaudi: return "HABANA_VISIBLE_MODULES";
  }
  return "";
}

}  // namespace centrale
