// SPDX-License-Identifier: Apache-2.0
#include "simulate/flows.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/random.hpp"

namespace centrale {
namespace {

constexpr double kNoLimit = FlowNetwork::kNoLimit;

struct SlowFlow {
  std::vector<FlowNetwork::Hop> path;
  double limit = 0;
};

/// Progressive filling from nothing, as the book says it: raise all, stop those on the first link that is full, again.
std::map<std::uint32_t, double> slow_rates(const std::vector<double>& capacity, const std::map<std::uint32_t, SlowFlow>& flows) {
  std::map<std::uint32_t, double> rates;
  std::vector<double> left = capacity;
  while (rates.size() < flows.size()) {
    std::vector<double> weight(capacity.size(), 0);
    double level = kNoLimit;
    for (const auto& [id, flow] : flows) {
      if (rates.contains(id)) { continue; }
      level = std::min(level, flow.limit);
      for (const auto& hop : flow.path) { weight[hop.link.value] += hop.weight; }
    }
    for (std::size_t l = 0; l < capacity.size(); ++l) {
      if (weight[l] > 0) { level = std::min(level, left[l] / weight[l]); }
    }
    std::vector<std::uint32_t> stopped;
    for (const auto& [id, flow] : flows) {
      if (rates.contains(id)) { continue; }
      const bool full = std::any_of(flow.path.begin(), flow.path.end(),
                                    [&](const auto& hop) { return left[hop.link.value] / weight[hop.link.value] <= level * (1 + 1e-13); });
      if (full || flow.limit <= level) { stopped.push_back(id); }
    }
    for (const std::uint32_t id : stopped) {
      rates[id] = level;
      for (const auto& hop : flows.at(id).path) { left[hop.link.value] -= hop.weight * level; }
    }
  }
  return rates;
}

TEST(Flows, ShareALinkEqually) {
  FlowNetwork net;
  const LinkId link = net.link({12});
  const FlowId a = net.add(std::vector{link});
  EXPECT_DOUBLE_EQ(net.rate(a), 12);
  const FlowId b = net.add(std::vector{link});
  const FlowId c = net.add(std::vector{link}, 2);
  EXPECT_DOUBLE_EQ(net.rate(c), 2);  // wants no more: the others share what is left
  EXPECT_DOUBLE_EQ(net.rate(a), 5);
  EXPECT_DOUBLE_EQ(net.rate(b), 5);
  net.remove(a);
  EXPECT_DOUBLE_EQ(net.rate(b), 10);
  EXPECT_DOUBLE_EQ(net.load(link), 12);
  EXPECT_EQ(net.flows(), 2U);
}

TEST(Flows, ALongFlowLeavesWhatItCannotUse) {
  // Bertsekas and Gallager's lesson: the long flow is held to 1/2 by the first link, so the short one on the wide link gets the rest.
  FlowNetwork net;
  const LinkId narrow = net.link({1});
  const LinkId wide = net.link({2});
  const FlowId across = net.add(std::vector{narrow, wide});
  const FlowId first = net.add(std::vector{narrow});
  const FlowId second = net.add(std::vector{wide});
  EXPECT_DOUBLE_EQ(net.rate(across), 0.5);
  EXPECT_DOUBLE_EQ(net.rate(first), 0.5);
  EXPECT_DOUBLE_EQ(net.rate(second), 1.5);
  // Without the neighbour on the narrow link it takes more, and the one on the wide link has less.
  net.remove(first);
  EXPECT_DOUBLE_EQ(net.rate(across), 1);
  EXPECT_DOUBLE_EQ(net.rate(second), 1);
}

TEST(Flows, AHeavyFlowLoadsItsLinkMore) {
  FlowNetwork net;
  const LinkId link = net.link({9});
  const FlowId twice = net.add(std::vector{FlowNetwork::Hop{link, 2}});
  const FlowId once = net.add(std::vector{FlowNetwork::Hop{link, 1}});
  EXPECT_DOUBLE_EQ(net.rate(twice), 3);
  EXPECT_DOUBLE_EQ(net.rate(once), 3);
  EXPECT_DOUBLE_EQ(net.load(link), 9);
}

TEST(Flows, SayOnlyWhatChanged) {
  FlowNetwork net;
  const LinkId left = net.link({10});
  const LinkId right = net.link({10});
  std::vector<FlowId> changed;
  const FlowId a = net.add(std::vector{left});
  const FlowId far = net.add(std::vector{right});
  net.changed(changed);
  EXPECT_EQ(changed, (std::vector{a, far}));
  const FlowId b = net.add(std::vector{left});
  net.changed(changed);
  EXPECT_EQ(changed, (std::vector{a, b}));
  net.remove(b);
  net.changed(changed);
  EXPECT_EQ(changed, (std::vector{a}));  // b is gone, far never knew
  net.changed(changed);
  EXPECT_TRUE(changed.empty());
}

TEST(Flows, WithoutLinksGetWhatTheyWant) {
  FlowNetwork net;
  const FlowId flow = net.add(std::span<const LinkId>{}, 7);
  EXPECT_DOUBLE_EQ(net.rate(flow), 7);
  net.remove(flow);
  EXPECT_EQ(net.flows(), 0U);
}

struct World {
  std::uint64_t seed = 0;
  std::size_t links = 10;
  std::size_t flows = 30;
  bool equal = false;  // few different capacities and limits: ties everywhere
};

class FlowsAgainstSlow : public testing::TestWithParam<World> {};

/// How far the incremental rates and its own report of changes are from the slow version's; -1: a change that was not reported.
double worst_error(const FlowNetwork& net, const std::map<std::uint32_t, double>& expected) {
  double worst = 0;
  for (const auto& [id, rate] : expected) { worst = std::max(worst, std::abs(net.rate({id}) - rate) / rate); }
  return worst;
}

TEST_P(FlowsAgainstSlow, AfterEachChange) {
  const World world = GetParam();
  Random random(world.seed);
  FlowNetwork net;
  std::vector<double> capacity;
  for (std::size_t l = 0; l < world.links; ++l) {
    capacity.push_back(world.equal ? 100.0 * static_cast<double>(1 + random.below(2)) : random.uniform(1, 1000));
    net.link({capacity.back()});
  }
  std::map<std::uint32_t, SlowFlow> flows;
  std::map<std::uint32_t, double> told;  // rates as a listener to changed() knows them
  std::vector<FlowId> changed;
  double worst = 0;
  std::size_t missed = 0;
  for (int round = 0; round < 600; ++round) {
    if (random.below(world.flows) >= flows.size()) {
      SlowFlow flow;
      std::vector<std::uint32_t> used;
      const std::size_t length = 1 + random.below(std::min<std::size_t>(6, world.links));
      while (used.size() < length) {
        const auto link = static_cast<std::uint32_t>(random.below(world.links));
        if (std::find(used.begin(), used.end(), link) != used.end()) { continue; }
        used.push_back(link);
        flow.path.push_back({{link}, random.below(3) == 0 ? static_cast<double>(1 + random.below(3)) : 1.0});
      }
      flow.limit = random.below(2) == 0 ? kNoLimit : (world.equal ? 25.0 : random.uniform(1, 200));
      flows[net.add(std::span<const FlowNetwork::Hop>(flow.path), flow.limit).value] = flow;
    } else {
      const auto gone = std::next(flows.begin(), static_cast<std::ptrdiff_t>(random.below(flows.size())));
      net.remove({gone->first});
      told.erase(gone->first);
      flows.erase(gone);
    }
    const auto expected = slow_rates(capacity, flows);
    worst = std::max(worst, worst_error(net, expected));
    net.changed(changed);
    for (const FlowId flow : changed) { told[flow.value] = net.rate(flow); }
    for (const auto& [id, rate] : expected) { missed += told[id] == net.rate({id}) ? 0U : 1U; }
  }
  EXPECT_LT(worst, 1e-9);
  EXPECT_EQ(missed, 0U);
}

std::vector<World> worlds() {
  std::vector<World> all;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    all.push_back({.seed = seed, .links = 1 + seed % 25, .flows = 5 + seed * 7 % 60, .equal = seed % 3 == 0});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Seeds, FlowsAgainstSlow, testing::ValuesIn(worlds()),
                         [](const auto& world) { return std::to_string(world.param.seed); });

TEST(Flows, NeverExceedALinkAndAreAllHeldBySomething) {
  // A large network, where the slow version takes too long: the conditions that make an allocation max-min fair, after many changes.
  Random random(7);
  FlowNetwork net;
  std::vector<LinkId> links;
  for (int l = 0; l < 300; ++l) { links.push_back(net.link({random.uniform(50, 150)})); }
  std::vector<std::pair<FlowId, std::vector<LinkId>>> flows;
  for (int round = 0; round < 6000; ++round) {
    if (flows.size() < 1500 || random.below(2) == 0) {
      std::vector<LinkId> path;
      const std::size_t from = random.below(290);
      for (std::size_t hop = 0; hop < 4; ++hop) { path.push_back(links[from + hop * 3]); }
      flows.emplace_back(net.add(path), path);
    } else {
      std::swap(flows[random.below(flows.size())], flows.back());
      net.remove(flows.back().first);
      flows.pop_back();
    }
  }
  std::vector<double> greatest(links.size(), 0);
  for (const auto& [flow, path] : flows) {
    for (const LinkId link : path) { greatest[link.value] = std::max(greatest[link.value], net.rate(flow)); }
  }
  for (const LinkId link : links) { ASSERT_LE(net.load(link), net.capacity(link).value * (1 + 1e-9)); }
  for (const auto& [flow, path] : flows) {
    const bool held = std::any_of(path.begin(), path.end(), [&, id = flow](LinkId link) {
      return net.load(link) >= net.capacity(link).value * (1 - 1e-9) && net.rate(id) >= greatest[link.value] * (1 - 1e-9);
    });
    ASSERT_TRUE(held) << "flow " << flow.value;
  }
}

}  // namespace
}  // namespace centrale
