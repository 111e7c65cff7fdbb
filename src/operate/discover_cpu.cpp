// SPDX-License-Identifier: Apache-2.0
#include "operate/discover_cpu.hpp"

#include <fmt/format.h>
#include <hwloc.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <map>

#include "operate/discover_device.hpp"
#include "operate/discover_system.hpp"

namespace centrale::discovery {
namespace {

constexpr std::size_t kCoresMax = 16'384;

struct DestroyTopology {
  void operator()(hwloc_topology* topology) const { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, DestroyTopology>;

Result<Topology> load_topology(const std::string& synthetic) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) { return fail(ErrorKind::io, "hwloc cannot start"); }
  Topology topology(raw);
  if (!synthetic.empty() && hwloc_topology_set_synthetic(raw, synthetic.c_str()) != 0) {
    return fail(ErrorKind::invalid, "not an hwloc synthetic topology", synthetic);
  }
  // I/O discovery would load vendors' plug-ins into this process, and the x86 backend moves this thread from core to core.
  hwloc_topology_set_io_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_NONE);
  if (synthetic.empty()) {
    hwloc_topology_set_components(raw, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
    // Only what this process may run on: affinity, and the cpuset of its container.
    hwloc_topology_set_flags(raw, HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM | HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING);
  }
  if (hwloc_topology_load(raw) != 0) {
    return fail(ErrorKind::io, fmt::format("hwloc cannot read this machine's CPUs: {}", std::strerror(errno)));
  }
  return topology;
}

std::vector<int> members(hwloc_const_bitmap_t set) {
  std::vector<int> result;
  for (int i = hwloc_bitmap_first(set); i >= 0 && result.size() < kCoresMax * 16; i = hwloc_bitmap_next(set, i)) { result.push_back(i); }
  return result;
}

std::string text_of(hwloc_obj_t object, const char* key) {
  const char* text = object != nullptr ? hwloc_obj_get_info_by_name(object, key) : nullptr;
  return text != nullptr ? clean_text(text) : "";
}

Bytes cache_of(hwloc_topology_t topology, hwloc_obj_type_t type) {
  const hwloc_obj_t cache = hwloc_get_obj_by_type(topology, type, 0);
  return Bytes{cache != nullptr && cache->attr != nullptr ? static_cast<std::int64_t>(cache->attr->cache.size) : 0};
}

std::vector<NumaReport> numa_nodes(hwloc_topology_t topology) {
  std::vector<NumaReport> nodes;
  for (hwloc_obj_t node = nullptr; (node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
    nodes.push_back({.index = static_cast<int>(node->os_index),
                     .memory = Bytes{static_cast<std::int64_t>(node->attr->numanode.local_memory)},
                     .pus = members(node->cpuset)});
  }
  return nodes;
}

std::vector<ChipReport> cores(hwloc_topology_t topology) {
  std::vector<ChipReport> chips;
  // Some virtual machines hide which threads share a core; then each thread counts as one.
  const bool known = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0;
  const hwloc_obj_type_t type = known ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  for (hwloc_obj_t core = nullptr; (core = hwloc_get_next_obj_by_type(topology, type, core)) != nullptr;) {
    if (chips.size() >= kCoresMax || hwloc_bitmap_iszero(core->cpuset)) { continue; }
    const hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, core);
    std::string vendor = text_of(package, "CPUVendor");
    std::string model = text_of(package, "CPUModel");
    chips.push_back({.kind = "cpu-core",
                     .source = ChipSource::cpu,
                     .vendor = vendor == "GenuineIntel"   ? "Intel"
                               : vendor == "AuthenticAMD" ? "AMD"
                                                          : vendor,
                     .model = model.empty() ? "CPU" : model,
                     .index = static_cast<int>(core->logical_index),
                     .device = "",
                     .uuid = "",
                     .memory = {},
                     .pus = members(core->cpuset),
                     .package = package != nullptr ? static_cast<int>(package->os_index) : -1,
                     .numa = hwloc_bitmap_first(core->nodeset),
                     .pci = "",
                     .power_limit = {}});
  }
  return chips;
}

/// The sum of the NUMA nodes that this process may use. Where there is only one, the kernel's total is what counts: memory
/// that was plugged into a virtual machine later is in no node's own count.
void count_memory(const std::string& root, MachineReport& report) {
  const Bytes total = meminfo(root, "MemTotal").value_or(Bytes{});
  const auto online = read_small_file(root + "/sys/devices/system/node/online");
  if (report.numa.size() == 1 && online && trim(*online) == "0") { report.numa[0].memory = std::max(report.numa[0].memory, total); }
  for (const NumaReport& node : report.numa) { report.memory += node.memory; }
  if (report.memory.value == 0) { report.memory = total; }
}

/// A CPU quota pins nothing, so the first cores that it pays for stand for it.
void apply_cpu_quota(double cpus, MachineReport& report) {
  auto& chips = report.chips;
  std::size_t kept = 0;
  for (double left = cpus + 1e-6; kept < chips.size(); ++kept) {
    left -= static_cast<double>(chips[kept].pus.size());
    if (left < 0 && kept > 0) { break; }
  }
  if (kept < chips.size()) {
    report.notes.push_back(fmt::format("this container may use {:.1f} CPUs of time: {} of {} cores are offered", cpus, kept, chips.size()));
    chips.resize(kept);
  }
}

/// Each core gets the same share of what may be used, but no more than its share of its own NUMA node.
void share_memory(MachineReport& report) {
  std::map<int, std::int64_t> cores_of_node;
  for (const ChipReport& chip : report.chips) { ++cores_of_node[chip.numa]; }
  for (ChipReport& chip : report.chips) {
    std::int64_t share = report.memory.value / static_cast<std::int64_t>(report.chips.size());
    const auto node = std::ranges::find(report.numa, chip.numa, &NumaReport::index);
    if (node != report.numa.end() && node->memory.value > 0) { share = std::min(share, node->memory.value / cores_of_node[chip.numa]); }
    chip.memory = Bytes{share};
  }
}

}  // namespace

Result<void> discover_cpus(const DiscoverOptions& options, MachineReport& report) {
  TRY_ASSIGN(const Topology topology, load_topology(options.synthetic_cpus));
  report.numa = numa_nodes(topology.get());
  report.chips = cores(topology.get());
  if (report.chips.empty()) { return fail(ErrorKind::io, "hwloc finds no CPU that this process may use"); }
  report.cpu_model = report.chips.front().model;
  report.packages = std::max(1, hwloc_get_nbobjs_by_type(topology.get(), HWLOC_OBJ_PACKAGE));
  report.caches = {.l1d = cache_of(topology.get(), HWLOC_OBJ_L1CACHE),
                   .l2 = cache_of(topology.get(), HWLOC_OBJ_L2CACHE),
                   .l3 = cache_of(topology.get(), HWLOC_OBJ_L3CACHE)};
  count_memory(options.root, report);
  const CgroupLimits limits = read_cgroup_limits(options.root);
  if (limits.cpus) { apply_cpu_quota(*limits.cpus, report); }
  if (limits.memory && *limits.memory < report.memory) {
    report.notes.push_back(
        fmt::format("this container may use {} MiB of {} MiB of memory", limits.memory->value >> 20, report.memory.value >> 20));
    report.memory = *limits.memory;
  }
  share_memory(report);
  const auto counters = read_energy_counters(options.root);
  for (ChipReport& chip : report.chips) {
    const auto counter = std::ranges::find(counters, chip.package, &EnergyCounter::package);
    if (counter != counters.end() && counter->threads > 0) {
      chip.power_limit = counter->limit * static_cast<std::int64_t>(chip.pus.size());
      chip.power_limit.value /= counter->threads;
    }
  }
  return {};
}

}  // namespace centrale::discovery
