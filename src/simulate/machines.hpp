// SPDX-License-Identifier: Apache-2.0
// The nodes of a twin: a fleet expanded node by node, or the machines that a trace came with.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/dimension.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "fleet/catalogue.hpp"
#include "fleet/fleet.hpp"
#include "simulate/workload.hpp"

namespace centrale {

/// One node. Groups are numbered from 1 over the whole fleet; the nodes of a group stand next to each other.
struct Machine {
  std::string name;  // "hall-1-n0001"
  std::string kind;  // of its chips; empty: it has none
  std::int64_t chips = 0;
  std::int64_t cpu_milli = 0;  // 0: not limited
  Bytes memory;                // of the host; 0: not limited
  Milliwatts chip_power;       // of one chip, at most
  MicroCurrency chip_price_per_hour;
  std::uint32_t first_chip = 0;    // chips are numbered from 0 in the order of nodes
  std::uint32_t domain = 0;        // nodes that share a scale-up fabric (the 18 of an NVL72); mostly a node alone
  std::uint32_t leaf = 0;          // below one leaf switch, or on one group of rails
  std::uint32_t spine = 0;         // below one spine block, pod or dragonfly group
  std::uint32_t power_domain = 0;  // behind one power distribution unit
  std::uint32_t island = 0;        // index into Machines::islands
};

/// Nodes and groups of one island, and what joins them.
struct MachineIsland {
  std::string name;
  Network network;  // bandwidth 0: nothing is known of it, and it is never short
  std::int64_t chips_per_node = 0;
  std::uint32_t first_node = 0, nodes = 0;
  std::uint32_t first_leaf = 1, leaves = 0;  // one leaf for all where the network says no size
  std::uint32_t first_spine = 1, spines = 0;
};

struct Machines {
  std::vector<Machine> nodes;
  std::vector<MachineIsland> islands;
  std::vector<IslandLink> links;
  std::int64_t chips = 0;
  std::uint32_t domains = 0, leaves = 0, spines = 0, power_domains = 0;  // how many there are
  std::vector<std::string> notes;                                        // what was not known, for the user

  /// The node that has the chip of that number; chip < chips.
  [[nodiscard]] std::uint32_t node_of_chip(std::uint32_t chip) const;
};

struct MachineOptions {
  // Nodes behind one power distribution unit, whole domains at least. 32 nodes of 8 chips at 10 kW are 320 kW, one row of a hall.
  std::int64_t nodes_per_power_domain = 32;
};

/// A record of one node takes some 170 bytes.
inline constexpr std::int64_t kMachinesMax = 5'000'000;

/// A fleet does not say its hosts' cores and memory: they are not limited.
[[nodiscard]] Result<Machines> machines_of(const Fleet& fleet, const MachineOptions& options = {});
/// One island, one leaf, no network. A kind that the catalogue does not have costs nothing and draws nothing, and is noted.
[[nodiscard]] Result<Machines> machines_of(std::span<const TraceNode> nodes, const Catalogue& catalogue,
                                           const MachineOptions& options = {});

}  // namespace centrale
