// SPDX-License-Identifier: Apache-2.0
#include "simulate/contention.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/random.hpp"

namespace centrale {
namespace {

using Nodes = std::vector<std::uint32_t>;
using Slowdowns = std::vector<std::pair<std::uint64_t, double>>;

Machines machines(std::string_view yaml) {
  auto fleet = read_fleet(yaml, "fleet.yaml", default_catalogue());
  EXPECT_TRUE(fleet) << fleet.error().message();
  auto expanded = machines_of(fleet.value());
  EXPECT_TRUE(expanded) << expanded.error().message();
  return std::move(expanded).value_or(Machines{});
}

// A chip's network is 50 GB/s, a node's of 8 chips 400 GB/s.
constexpr double kCard = 400e9;

/// Leaves of two nodes: their uplinks carry 2 x 400 GB/s / 2.
const Machines& half_leaves() {
  static const Machines kMachines = machines(
      "name: half\nislands:\n  - {name: hall, chip: h100-sxm, chips: 64, network: {kind: clos, bandwidth: 50GB/s, leaf: 16, "
      "oversubscription: 2}}\n");
  return kMachines;
}

TEST(Contention, TwoJobsShareALeafsUplink) {
  Contention contention(half_leaves());
  // Nodes 0 and 1 hang below the first leaf, 2 and 3 below the second. Alone, one node of each fills neither uplink.
  EXPECT_DOUBLE_EQ(contention.place(1, Nodes{0, 2}, kCard, 0.3), 1);
  // Two such jobs want 800 GB/s of 400: each gets half of what it wants.
  EXPECT_DOUBLE_EQ(contention.place(2, Nodes{1, 3}, kCard, 0.5), 1 - 0.5 + 0.5 * 2);
  Slowdowns changed;
  contention.changed(changed);
  EXPECT_EQ(changed, (Slowdowns{{1, 1 - 0.3 + 0.3 * 2}}));
  contention.changed(changed);
  EXPECT_TRUE(changed.empty());
  contention.remove(1);
  contention.changed(changed);
  EXPECT_EQ(changed, (Slowdowns{{2, 1}}));
}

TEST(Contention, AJobThatWantsLittleKeepsIt) {
  Contention contention(half_leaves());
  EXPECT_DOUBLE_EQ(contention.place(1, Nodes{0, 2}, 100e9, 1), 1);
  EXPECT_DOUBLE_EQ(contention.place(2, Nodes{1, 3}, kCard, 1), 4.0 / 3);  // the 300 GB/s that are left
  Slowdowns changed;
  contention.changed(changed);
  EXPECT_TRUE(changed.empty());
}

TEST(Contention, JobsInsideALeafNeverContend) {
  Contention contention(half_leaves());
  for (std::uint32_t leaf = 0; leaf < 4; ++leaf) { EXPECT_EQ(contention.place(leaf, Nodes{2 * leaf, 2 * leaf + 1}, kCard, 1), 1); }
  // Nor does a job on one node, however much it wants.
  EXPECT_EQ(contention.place(9, Nodes{0, 0}, 1e15, 1), 1);
  EXPECT_EQ(contention.flows(), 4U);
  contention.remove(9);
  Slowdowns changed;
  contention.changed(changed);
  EXPECT_TRUE(changed.empty());
}

TEST(Contention, ACardThatIsTooSlowAlone) {
  Contention contention(half_leaves());
  EXPECT_DOUBLE_EQ(contention.place(1, Nodes{0, 1}, 3 * kCard, 0.5), 1 - 0.5 + 0.5 * 3);
}

TEST(Contention, JobsOnOneNodeShareItsCard) {
  Contention contention(half_leaves());
  EXPECT_EQ(contention.place(1, Nodes{1, 0}, kCard, 1), 1);
  EXPECT_DOUBLE_EQ(contention.place(2, Nodes{0, 1, 1}, kCard, 1), 2);
  Slowdowns changed;
  contention.changed(changed);
  EXPECT_EQ(changed, (Slowdowns{{1, 2}}));
  contention.remove(2);
  contention.changed(changed);
  EXPECT_EQ(changed, (Slowdowns{{1, 1}}));
  EXPECT_DOUBLE_EQ(contention.place(3, Nodes{0, 1}, kCard, 1), 2);  // the link is there already
}

TEST(Contention, SpineBlocksAndDragonflies) {
  // Two nodes below a leaf, four below a block; a block's uplinks: 32 chips x 50 GB/s / 4 = one node's rate, a leaf's half of it.
  const std::string shape = "bandwidth: 50GB/s, leaf: 16, spine: 32, oversubscription: 4}}\n";
  const Machines clos = machines("name: clos\nislands:\n  - {name: hall, chip: h100-sxm, chips: 64, network: {kind: clos, " + shape);
  Contention blocks(clos);
  EXPECT_DOUBLE_EQ(blocks.place(1, Nodes{0, 2}, kCard, 1), 2);  // other leaves, one block
  EXPECT_DOUBLE_EQ(blocks.place(2, Nodes{1, 4}, 0.1 * kCard, 1), 1);
  // In a dragonfly only groups have links that may be short, and of those half counts.
  const Machines dragonfly =
      machines("name: dragon\nislands:\n  - {name: hall, chip: h100-sxm, chips: 64, network: {kind: dragonfly, " + shape);
  Contention groups(dragonfly);
  EXPECT_DOUBLE_EQ(groups.place(1, Nodes{0, 2}, kCard, 1), 1);
  EXPECT_DOUBLE_EQ(groups.place(2, Nodes{1, 4}, kCard, 1), 2);
}

TEST(Contention, ADomainOfSeveralNodesSendsWithAllOfThem) {
  // Domains of two nodes, four nodes below a leaf: its uplinks carry 16 chips x 50 GB/s / 2 = 400 GB/s, and a node's card 200 GB/s.
  const Machines racks = machines(
      "name: racks\nislands:\n  - {name: hall, chip: gb200, chips: 32, chips_per_node: 4, domain: 8, network: {kind: clos, "
      "bandwidth: 50GB/s, leaf: 16, oversubscription: 2}}\n");
  Contention contention(racks);
  EXPECT_EQ(contention.place(1, Nodes{0, 1}, 200e9, 1), 1);  // inside a domain
  EXPECT_EQ(contention.flows(), 0U);
  EXPECT_DOUBLE_EQ(contention.place(2, Nodes{0, 1, 4, 5}, 200e9, 1), 1);  // two nodes of each domain: 400 GB/s
  EXPECT_DOUBLE_EQ(contention.place(3, Nodes{2, 6}, 200e9, 1), 1.5);      // 2 x + x = 400
}

TEST(Contention, LinksBetweenIslandsAndOnTheWay) {
  const Machines three = machines(R"(
name: three
islands:
  - {name: a, chip: h100-sxm, chips: 16, network: {kind: clos, bandwidth: 50GB/s}}
  - {name: b, chip: h100-sxm, chips: 16, network: {kind: clos, bandwidth: 50GB/s}}
  - {name: c, chip: h100-sxm, chips: 16, network: {kind: clos, bandwidth: 50GB/s}}
links:
  - {from: a, to: b, bandwidth: 100GB/s}
  - {from: b, to: c, bandwidth: 50GB/s}
)");
  Contention contention(three);
  EXPECT_DOUBLE_EQ(contention.place(1, Nodes{0, 2}, 100e9, 1), 1);  // a to b
  EXPECT_DOUBLE_EQ(contention.place(2, Nodes{1, 4}, 50e9, 1), 1);   // a to c by b: half of the first link, all of the second
  Slowdowns changed;
  contention.changed(changed);
  EXPECT_EQ(changed, (Slowdowns{{1, 2}}));
}

TEST(Contention, WhatIsNotKnownIsNotShort) {
  const std::vector<TraceNode> nodes(4, TraceNode{.name = "", .kind = "h100-sxm", .chips = 8, .cpu_milli = 0, .memory = {}});
  const Machines trace = machines_of(nodes, default_catalogue()).value();
  Contention contention(trace);
  for (std::uint64_t job = 0; job < 20; ++job) { EXPECT_EQ(contention.place(job, Nodes{0, 1, 2, 3}, 1e15, 1), 1); }
  EXPECT_EQ(contention.place(99, Nodes{0, 3}, 0, 1), 1);
}

struct Placed {
  Nodes nodes;  // ascending
  double wanted = 0, communication = 0;
};

/// All from nothing, the obvious way: a card for every node, every group's nodes counted, one link between the two islands.
std::map<std::uint64_t, double> slow(const Machines& machines, const std::map<std::uint64_t, Placed>& jobs) {
  FlowNetwork net;
  std::map<std::pair<int, std::uint32_t>, LinkId> links;  // 0 card, 1 leaf, 2 spine, 3 between islands
  const auto link = [&](int kind, std::uint32_t number, double capacity) {
    const auto found = links.find({kind, number});
    return found != links.end() ? found->second : links[{kind, number}] = net.link({capacity});
  };
  const auto capacity = [&](auto group, std::uint32_t number) {
    double sum = 0;
    for (const Machine& m : machines.nodes) {
      const Network& network = machines.islands[m.island].network;
      sum += m.*group == number ? static_cast<double>(m.chips) * network.bandwidth.value / network.oversubscription : 0;
    }
    return sum;
  };
  std::map<std::uint64_t, FlowId> flows;
  for (const auto& [id, job] : jobs) {
    std::vector<FlowNetwork::Hop> path;
    std::map<std::uint32_t, std::map<std::uint32_t, double>> leaves, spines;  // nodes by group and domain
    std::map<std::uint32_t, double> domains;
    std::set<std::uint32_t> islands;
    double most = 0;
    for (const std::uint32_t node : job.nodes) {
      const Machine& m = machines.nodes[node];
      const double card = static_cast<double>(m.chips) * machines.islands[m.island].network.bandwidth.value;
      path.push_back({link(0, node, card), 1});
      leaves[m.leaf][m.domain] += 1;
      spines[m.spine][m.domain] += 1;
      most = std::max(most, domains[m.domain] += 1);
      islands.insert(m.island);
    }
    if (domains.size() == 1) { continue; }
    const auto add = [&](int kind, auto group, const auto& spans) {
      if (spans.size() < 2) { return; }
      for (const auto& [number, inside] : spans) {
        double weight = 0;
        for (const auto& [domain, nodes] : inside) { weight = std::max(weight, nodes); }
        path.push_back({link(kind, number, capacity(group, number)), weight});
      }
    };
    add(1, &Machine::leaf, leaves);
    add(2, &Machine::spine, spines);
    if (islands.size() == 2) { path.push_back({link(3, 0, machines.links[0].bandwidth.value), most}); }
    flows[id] = net.add(std::span<const FlowNetwork::Hop>(path), job.wanted);
  }
  std::map<std::uint64_t, double> slowdowns;
  for (const auto& [id, job] : jobs) {
    const double short_of = flows.contains(id) ? std::max(1.0, job.wanted / net.rate(flows.at(id))) : 1;
    slowdowns[id] = 1 - job.communication + job.communication * short_of;
  }
  return slowdowns;
}

class ContentionAgainstSlow : public testing::TestWithParam<std::uint64_t> {};

TEST_P(ContentionAgainstSlow, AfterEachChange) {
  static const Machines kHalls = machines(R"(
name: halls
islands:
  - {name: one, chip: h100-sxm, chips: 256, network: {kind: clos, bandwidth: 50GB/s, leaf: 32, spine: 64, oversubscription: 3}}
  - {name: two, chip: gb200, chips: 96, chips_per_node: 4, domain: 12, network: {kind: rail, bandwidth: 40GB/s, leaf: 6, spine: 48}}
links:
  - {from: one, to: two, bandwidth: 600GB/s}
)");
  Random random(GetParam());
  Contention contention(kHalls);
  std::map<std::uint64_t, Placed> jobs;
  std::map<std::uint64_t, double> told;
  Slowdowns changed;
  std::uint64_t next = 0;
  double worst = 0;
  for (int round = 0; round < 150; ++round) {
    if (jobs.size() < 3 || random.below(25) >= jobs.size()) {
      Placed job{.nodes = {}, .wanted = random.uniform(10e9, 600e9), .communication = random.uniform()};
      const std::size_t size = 1 + random.below(8);
      const auto from = static_cast<std::uint32_t>(random.below(40));
      std::set<std::uint32_t> nodes;
      while (nodes.size() < size) { nodes.insert(from + static_cast<std::uint32_t>(random.below(16))); }
      job.nodes.assign(nodes.begin(), nodes.end());
      Nodes order(job.nodes.rbegin(), job.nodes.rend());
      order.push_back(order.front());
      ++next;
      told[next] = contention.place(next, order, job.wanted, job.communication);
      jobs[next] = job;
    } else {
      const auto gone = std::next(jobs.begin(), static_cast<std::ptrdiff_t>(random.below(jobs.size())));
      contention.remove(gone->first);
      told.erase(gone->first);
      jobs.erase(gone);
    }
    contention.changed(changed);
    for (const auto& [id, slowdown] : changed) {
      ASSERT_TRUE(jobs.contains(id));
      told[id] = slowdown;
    }
    for (const auto& [id, slowdown] : slow(kHalls, jobs)) { worst = std::max(worst, std::abs(told.at(id) / slowdown - 1)); }
  }
  EXPECT_LT(worst, 1e-8);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ContentionAgainstSlow, testing::Range<std::uint64_t>(1, 21));

}  // namespace
}  // namespace centrale
