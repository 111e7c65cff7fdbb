// SPDX-License-Identifier: Apache-2.0
#include "simulate/machines.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/ensure.hpp"
#include "base/text.hpp"

namespace centrale {
namespace {

/// The groups of the island being expanded, as numbers of the fleet.
struct Groups {
  std::uint32_t domains = 0, leaves = 0, spines = 0, power_domains = 0;  // given out before this island
};

std::uint32_t number(std::uint32_t before, std::int64_t index) { return before + 1 + static_cast<std::uint32_t>(index); }

/// Chips in a block of `size`, whole nodes at least; 0: all of the island.
std::int64_t block(std::int64_t size, const Island& island) {
  if (size <= 0) { return island.chips; }
  return std::min(island.chips, std::max(size, island.chips_per_node));
}

/// A rail's leaf has one chip of each of its nodes: the group of leaves that serves all rails has them whole.
std::int64_t leaf_chips(const Island& island) {
  const Network& network = island.network;
  if (network.kind == NetworkKind::torus) { return island.chips; }  // has no switches
  const bool rail = network.kind == NetworkKind::rail && network.leaf > 0;
  return block(rail ? network.leaf * island.chips_per_node : network.leaf, island);
}

std::int64_t spine_chips(const Island& island) {
  return island.network.kind == NetworkKind::torus ? island.chips : block(island.network.spine, island);
}

std::string node_name(const std::string& island, std::int64_t index) { return fmt::format("{}-n{:04}", island, index + 1); }

void expand(const Island& island, std::uint32_t island_index, const MachineOptions& options, Groups& groups, Machines& machines) {
  const std::int64_t per_node = island.chips_per_node;
  const std::int64_t nodes = (island.chips + per_node - 1) / per_node;
  const std::int64_t domain = std::max(per_node, island.domain);
  const std::int64_t leaf = leaf_chips(island);
  const std::int64_t spine = spine_chips(island);
  Machine machine;
  machine.kind = island.chip.key;
  machine.chip_power = island.chip.power.value;
  machine.chip_price_per_hour = island.chip.price_per_hour.value;
  machine.island = island_index;
  for (std::int64_t i = 0; i < nodes; ++i) {
    const std::int64_t first = i * per_node;
    const std::int64_t leaf_index = first / leaf;
    machine.chips = std::min(per_node, island.chips - first);
    machine.first_chip = static_cast<std::uint32_t>(machines.chips + first);
    machine.domain = number(groups.domains, first / domain);
    machine.leaf = number(groups.leaves, leaf_index);
    machine.spine = number(groups.spines, leaf_index * leaf / spine);  // a leaf hangs below one spine block
    machine.power_domain = number(groups.power_domains, first / domain * domain / per_node / options.nodes_per_power_domain);
    machines.nodes.push_back(machine);
    machines.nodes.back().name = node_name(island.name, i);
  }
  const Machine& last = machines.nodes.back();
  machines.islands.push_back({.name = island.name,
                              .network = island.network,
                              .chips_per_node = per_node,
                              .first_node = static_cast<std::uint32_t>(machines.nodes.size()) - static_cast<std::uint32_t>(nodes),
                              .nodes = static_cast<std::uint32_t>(nodes),
                              .first_leaf = groups.leaves + 1,
                              .leaves = last.leaf - groups.leaves,
                              .first_spine = groups.spines + 1,
                              .spines = last.spine - groups.spines});
  groups = {last.domain, last.leaf, last.spine, last.power_domain};
  machines.chips += island.chips;
}

Result<void> check_size(std::int64_t nodes, const MachineOptions& options) {
  if (nodes < 1) { return fail(ErrorKind::invalid, "there is no machine to run on", {}, "give a fleet, or a trace with its machines"); }
  if (nodes > kMachinesMax) {
    return fail(ErrorKind::invalid, fmt::format("{} nodes are too many for a twin", format_count(nodes)), {},
                fmt::format("at most {}: use nodes of more chips", format_count(kMachinesMax)));
  }
  if (options.nodes_per_power_domain < 1) {
    return fail(ErrorKind::invalid, fmt::format("{} nodes per power domain", options.nodes_per_power_domain), {}, "give 1 or more");
  }
  return {};
}

const ChipType* chip_of(std::string_view kind, const Catalogue& catalogue) {
  if (const ChipType* chip = catalogue.chip(kind)) { return chip; }
  if (const ChipType* chip = catalogue.chip_printed_as(kind)) { return chip; }
  return catalogue.chip_like(kind);
}

/// What the catalogue knows of the kinds seen so far: traces have few kinds and many nodes.
class KnownKinds {
 public:
  explicit KnownKinds(const Catalogue& catalogue) : catalogue_(catalogue) {}
  const ChipType* find(const std::string& kind, std::vector<std::string>& notes) {
    const auto known = std::find_if(kinds_.begin(), kinds_.end(), [&](const auto& entry) { return entry.first == kind; });
    if (known != kinds_.end()) { return known->second; }
    const ChipType* chip = chip_of(kind, catalogue_);
    if (chip == nullptr) {
      notes.push_back(fmt::format("kind '{}' is not in the catalogue: its energy and price count as 0", shorten(kind, 60)));
    }
    kinds_.emplace_back(kind, chip);
    return chip;
  }

 private:
  const Catalogue& catalogue_;
  std::vector<std::pair<std::string, const ChipType*>> kinds_;
};

Result<Machine> machine_of(const TraceNode& node, std::size_t index) {
  if (node.chips < 0 || node.chips > 4096 || node.cpu_milli < 0 || node.memory.value < 0) {
    return fail(ErrorKind::invalid,
                fmt::format("node {} ('{}') has {} chips, {} mCPU, {} bytes", index + 1, shorten(node.name, 60), node.chips, node.cpu_milli,
                            node.memory.value),
                {}, "amounts are 0 or more, chips at most 4096");
  }
  if (node.chips > 0 && node.kind.empty()) {
    return fail(ErrorKind::invalid, fmt::format("node {} ('{}') does not say the kind of its chips", index + 1, shorten(node.name, 60)));
  }
  Machine machine;
  machine.name = node.name.empty() ? node_name("node", static_cast<std::int64_t>(index)) : node.name;
  machine.kind = node.chips > 0 ? node.kind : std::string{};
  machine.chips = node.chips;
  machine.cpu_milli = node.cpu_milli;
  machine.memory = node.memory;
  return machine;
}

}  // namespace

std::uint32_t Machines::node_of_chip(std::uint32_t chip) const {
  ensure(chip < chips);
  // The last of those that begin at or before it: a node without chips begins where the next one does.
  const auto after = std::upper_bound(nodes.begin(), nodes.end(), chip, [](std::uint32_t c, const Machine& m) { return c < m.first_chip; });
  return static_cast<std::uint32_t>(after - nodes.begin() - 1);
}

Result<Machines> machines_of(const Fleet& fleet, const MachineOptions& options) {
  std::int64_t nodes = 0;
  for (const Island& island : fleet.islands) {
    ensure(island.chips > 0 && island.chips_per_node > 0);
    nodes += (island.chips + island.chips_per_node - 1) / island.chips_per_node;
  }
  TRY(check_size(nodes, options));
  Machines machines;
  machines.nodes.reserve(static_cast<std::size_t>(nodes));
  machines.links = fleet.links;
  Groups groups;
  for (std::size_t i = 0; i < fleet.islands.size(); ++i) {
    expand(fleet.islands[i], static_cast<std::uint32_t>(i), options, groups, machines);
  }
  machines.domains = groups.domains;
  machines.leaves = groups.leaves;
  machines.spines = groups.spines;
  machines.power_domains = groups.power_domains;
  return machines;
}

Result<Machines> machines_of(std::span<const TraceNode> nodes, const Catalogue& catalogue, const MachineOptions& options) {
  TRY(check_size(static_cast<std::int64_t>(nodes.size()), options));
  Machines machines;
  machines.nodes.reserve(nodes.size());
  KnownKinds kinds(catalogue);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    TRY_ASSIGN(Machine machine, machine_of(nodes[i], i));
    const ChipType* chip = machine.chips > 0 ? kinds.find(machine.kind, machines.notes) : nullptr;
    if (chip != nullptr) {
      machine.chip_power = chip->power.value;
      machine.chip_price_per_hour = chip->price_per_hour.value;
    }
    const auto index = static_cast<std::int64_t>(i);
    machine.first_chip = static_cast<std::uint32_t>(machines.chips);
    machine.domain = number(0, index);
    machine.leaf = 1;
    machine.spine = 1;
    machine.power_domain = number(0, index / options.nodes_per_power_domain);
    machines.chips += machine.chips;
    machines.nodes.push_back(std::move(machine));
  }
  if (machines.chips > kFleetChipsMax) { return fail(ErrorKind::invalid, "the trace's machines have too many chips for a twin"); }
  const auto count = static_cast<std::uint32_t>(nodes.size());
  machines.islands.push_back({.name = "trace",
                              .network = {},
                              .chips_per_node = 0,
                              .first_node = 0,
                              .nodes = count,
                              .first_leaf = 1,
                              .leaves = 1,
                              .first_spine = 1,
                              .spines = 1});
  machines.domains = count;
  machines.leaves = 1;
  machines.spines = 1;
  machines.power_domains = machines.nodes.back().power_domain;
  return machines;
}

}  // namespace centrale
