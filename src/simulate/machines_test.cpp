// SPDX-License-Identifier: Apache-2.0
#include "simulate/machines.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace centrale {
namespace {

Fleet fleet(std::string_view yaml) {
  auto read = read_fleet(yaml, "fleet.yaml", default_catalogue());
  EXPECT_TRUE(read) << read.error().message();
  return std::move(read).value_or(Fleet{});
}

Machines expand(const Fleet& fleet, const MachineOptions& options = {}) {
  auto machines = machines_of(fleet, options);
  EXPECT_TRUE(machines) << machines.error().message();
  return std::move(machines).value_or(Machines{});
}

const Fleet& two_halls() {
  static const Fleet kFleet = fleet(R"(
name: two-halls
islands:
  - {name: hall-1, chip: h100-sxm, chips: 512, network: {kind: clos, leaf: 64, spine: 256, oversubscription: 2}}
  - {name: hall-2, chip: a100-sxm-80gb, chips: 128, network: {kind: clos, leaf: 32}}
links:
  - {from: hall-1, to: hall-2, bandwidth: 400Gb/s, latency: 2ms}
)");
  return kFleet;
}

TEST(Machines, AFleetNodeByNode) {
  const Machines machines = expand(two_halls());
  ASSERT_EQ(machines.nodes.size(), 80U);
  EXPECT_EQ(machines.chips, 640);
  const Machine& first = machines.nodes[0];
  EXPECT_EQ(first.name, "hall-1-n0001");
  EXPECT_EQ(first.kind, "h100-sxm");
  EXPECT_EQ(first.chips, 8);
  EXPECT_EQ(first.chip_power, default_catalogue().chip("h100-sxm")->power.value);
  EXPECT_EQ(first.chip_price_per_hour, default_catalogue().chip("h100-sxm")->price_per_hour.value);
  EXPECT_GT(first.chip_power.value, 0);
  EXPECT_EQ(machines.nodes[63].name, "hall-1-n0064");
  EXPECT_EQ(machines.nodes[64].name, "hall-2-n0001");
  EXPECT_EQ(machines.nodes[64].first_chip, 512U);
}

TEST(Machines, GroupsAreNumberedFromOneOverTheFleet) {
  const Machines machines = expand(two_halls());
  EXPECT_EQ(machines.leaves, 12U);  // 512/64 and 128/32
  EXPECT_EQ(machines.spines, 3U);   // 512/256, and the other hall
  EXPECT_EQ(machines.power_domains, 3U);
  EXPECT_EQ(machines.domains, 80U);
  EXPECT_EQ(machines.nodes[7].leaf, 1U);
  EXPECT_EQ(machines.nodes[8].leaf, 2U);
  EXPECT_EQ(machines.nodes[32].spine, 2U);
  EXPECT_EQ(machines.nodes[64].leaf, 9U);
  EXPECT_EQ(machines.nodes[64].spine, 3U);
  EXPECT_EQ(machines.nodes[64].power_domain, 3U);
  EXPECT_EQ(machines.islands[1].first_leaf, 9U);
  EXPECT_EQ(machines.islands[1].leaves, 4U);
  // Breakdowns and contention rely on it: no group is without nodes, and its nodes stand next to each other.
  for (const auto group : {&Machine::domain, &Machine::leaf, &Machine::spine, &Machine::power_domain}) {
    std::uint32_t last = 0;
    for (const Machine& machine : machines.nodes) {
      ASSERT_TRUE(machine.*group == last || machine.*group == last + 1) << machine.name;
      last = machine.*group;
    }
  }
}

TEST(Machines, ARackThatIsOneDomainSpansItsNodes) {
  const Machines machines =
      expand(fleet("name: racks\nislands:\n  - {name: hall, chip: gb200, chips: 288, chips_per_node: 4, domain: 72}\n"));
  ASSERT_EQ(machines.nodes.size(), 72U);
  EXPECT_EQ(machines.domains, 4U);
  EXPECT_EQ(machines.nodes[17].domain, 1U);
  EXPECT_EQ(machines.nodes[18].domain, 2U);
  EXPECT_EQ(machines.nodes[32].power_domain, machines.nodes[18].power_domain);  // a rack is fed as one
}

TEST(Machines, RailsServeWholeNodes) {
  const Machines machines =
      expand(fleet("name: r\nislands:\n  - {name: hall, chip: h100-sxm, chips: 512, network: {kind: rail, leaf: 16}}\n"));
  EXPECT_EQ(machines.leaves, 4U);  // 16 nodes on each rail's leaf
  EXPECT_EQ(machines.nodes[15].leaf, 1U);
  EXPECT_EQ(machines.nodes[16].leaf, 2U);
}

TEST(Machines, ChipsFindTheirNode) {
  const Machines machines = expand(two_halls());
  for (const std::uint32_t chip : {0U, 7U, 8U, 511U, 512U, 639U}) { EXPECT_EQ(machines.node_of_chip(chip), chip / 8); }
  const std::vector<TraceNode> nodes{{"a", "T4", 2, 0, {}}, {"cpu", "", 0, 0, {}}, {"b", "T4", 1, 0, {}}};
  const auto trace = machines_of(nodes, default_catalogue());
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->node_of_chip(1), 0U);
  EXPECT_EQ(trace->node_of_chip(2), 2U);  // not the node without chips before it
}

TEST(Machines, ATraceBringsItsOwn) {
  const std::vector<TraceNode> nodes{
      {"openb-node-0000", "T4", 2, 64000, mebibytes(262144)}, {"", "G3", 8, 128000, mebibytes(786432)}, {"cpu-1", "", 0, 32000, {}}};
  const auto machines = machines_of(nodes, default_catalogue());
  ASSERT_TRUE(machines) << machines.error().message();
  EXPECT_EQ(machines->nodes[0].name, "openb-node-0000");
  EXPECT_EQ(machines->nodes[0].cpu_milli, 64000);
  EXPECT_EQ(machines->nodes[1].name, "node-n0002");
  EXPECT_EQ(machines->nodes[1].chip_power.value, 0);
  ASSERT_FALSE(machines->notes.empty());
  EXPECT_TRUE(
      std::any_of(machines->notes.begin(), machines->notes.end(), [](const auto& n) { return n.starts_with("kind 'G3' is not in"); }));
  EXPECT_EQ(machines->chips, 10);
  EXPECT_EQ(machines->leaves, 1U);
}

TEST(Machines, WhatCannotBeIsSaid) {
  EXPECT_EQ(machines_of(std::span<const TraceNode>{}, default_catalogue()).error().message(),
            "there is no machine to run on; give a fleet, or a trace with its machines");
  const std::vector<TraceNode> negative{{"a", "T4", -1, 0, {}}};
  EXPECT_NE(machines_of(negative, default_catalogue()).error().message().find("node 1 ('a') has -1 chips"), std::string::npos);
  const std::vector<TraceNode> unnamed{{"a", "", 1, 0, {}}};
  EXPECT_NE(machines_of(unnamed, default_catalogue()).error().message().find("does not say the kind"), std::string::npos);
  EXPECT_FALSE(machines_of(two_halls(), {.nodes_per_power_domain = 0}));
}

TEST(Machines, AMillionChips) {
  auto fleet = fleet_of("h100-sxm x 1000000", default_catalogue());
  ASSERT_TRUE(fleet);
  const Machines machines = expand(*fleet);
  EXPECT_EQ(machines.nodes.size(), 125'000U);
  EXPECT_EQ(machines.nodes.back().name, "h100-sxm-n125000");
  EXPECT_EQ(machines.power_domains, 3907U);
}

}  // namespace
}  // namespace centrale
