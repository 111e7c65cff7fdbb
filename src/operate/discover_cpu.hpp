// SPDX-License-Identifier: Apache-2.0
// Private to discovery: the CPUs, by hwloc.
#pragma once
#include "operate/discover.hpp"

namespace centrale::discovery {

/// Fills in what concerns CPUs and memory: packages, caches, NUMA nodes, one chip for each physical core that this process
/// may use (affinity, cpuset and CPU quota of its container included).
[[nodiscard]] Result<void> discover_cpus(const DiscoverOptions& options, MachineReport& report);

}  // namespace centrale::discovery
