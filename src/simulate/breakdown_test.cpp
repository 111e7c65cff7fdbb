// SPDX-License-Identifier: Apache-2.0
#include "simulate/breakdown.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <set>

namespace centrale {
namespace {

using Kind = Breakdowns::Kind;
using Event = Breakdowns::Event;
using Change = Health::Change;

constexpr double kDay = 86'400;

Nanos days(double n) { return {static_cast<std::int64_t>(n * kDay * 1e9)}; }
Time day(double n) { return Time{} + days(n); }

Machines machines(std::string_view yaml) {
  auto fleet = read_fleet(yaml, "fleet.yaml", default_catalogue());
  EXPECT_TRUE(fleet) << fleet.error().message();
  auto expanded = machines_of(fleet.value());
  EXPECT_TRUE(expanded) << expanded.error().message();
  return std::move(expanded).value_or(Machines{});
}

/// 2,048 nodes, 64 leaves, 64 power domains.
const Machines& llama_cluster() {
  static const Machines kMachines =
      machines("name: llama\nislands:\n  - {name: hall, chip: h100-sxm, chips: 16384, network: {kind: clos, leaf: 256}}\n");
  return kMachines;
}

BreakdownOptions nothing_breaks() {
  BreakdownOptions options;
  for (Wear* wear : {&options.chip, &options.node, &options.leaf, &options.power}) { wear->mtbf = {}; }
  options.stragglers.share = 0;
  return options;
}

BreakdownOptions only_nodes(const Wear& wear) {
  BreakdownOptions options = nothing_breaks();
  options.node = wear;
  return options;
}

std::vector<Event> events_until(Breakdowns& breakdowns, Time end) {
  std::vector<Event> events;
  for (auto event = breakdowns.next(); event && event->at < end; event = breakdowns.next()) { events.push_back(*event); }
  return events;
}

double count(const std::vector<Event>& events, Kind kind) {
  return static_cast<double>(std::count_if(events.begin(), events.end(), [&](const Event& e) { return e.kind == kind; }));
}

TEST(Breakdown, DefaultsGiveWhatWasMeasured) {
  // Ten runs of Llama 3's 54 days: 256 chips and 53 nodes each in the paper; four deviations of a Poisson count.
  std::map<Kind, double> seen;
  constexpr double kRuns = 10;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Breakdowns breakdowns(llama_cluster(), {}, seed);
    const auto events = events_until(breakdowns, day(54));
    for (const Kind kind : {Kind::chip_failed, Kind::node_lost, Kind::leaf_lost, Kind::power_lost}) { seen[kind] += count(events, kind); }
  }
  const std::map<Kind, double> expected{{Kind::chip_failed, 256 * kRuns},
                                        {Kind::node_lost, 53 * kRuns},
                                        {Kind::leaf_lost, 64 * 54 / 4517.0 * kRuns},
                                        {Kind::power_lost, 64 * 54 / 876.0 * kRuns}};
  for (const auto& [kind, number] : expected) { EXPECT_NEAR(seen[kind], number, 4 * std::sqrt(number)) << enum_name(kind); }
}

TEST(Breakdown, TheSameSeedGivesTheSameEvents) {
  for (const double shape : {1.0, 0.7}) {
    BreakdownOptions options;
    options.node.shape = shape;
    const auto play = [&](std::uint64_t seed) {
      Breakdowns breakdowns(llama_cluster(), options, seed);
      return events_until(breakdowns, day(30));
    };
    const auto first = play(5);
    EXPECT_GT(first.size(), 500U);
    EXPECT_TRUE(first == play(5));
    EXPECT_FALSE(first == play(6));
  }
}

TEST(Breakdown, AKindSwitchedOffDoesNotShiftTheOthers) {
  BreakdownOptions quiet;
  quiet.chip.mtbf = {};
  Breakdowns all(llama_cluster(), {}, 3);
  Breakdowns without(llama_cluster(), quiet, 3);
  std::vector<Event> expected = events_until(all, day(30));
  std::erase_if(expected, [](const Event& e) { return e.kind == Kind::chip_failed || e.kind == Kind::chip_repaired; });
  EXPECT_TRUE(expected == events_until(without, day(30)));
}

TEST(Breakdown, TimeRunsOnAndWhatFailsIsRepairedFirst) {
  // Failures so frequent that most units are broken at any time, and the front is empty now and then.
  for (const double shape : {1.0, 0.6, 2.0}) {
    BreakdownOptions options;
    for (Wear* wear : {&options.chip, &options.node, &options.leaf, &options.power}) {
      *wear = {.mtbf = days(0.5), .repair = days(2), .repair_sigma = 1, .shape = shape};
    }
    options.stragglers.share = 0.6;
    const Machines small =
        machines("name: small\nislands:\n  - {name: hall, chip: h100-sxm, chips: 64, network: {kind: clos, leaf: 16}}\n");
    Breakdowns breakdowns(small, options, 11);
    std::set<std::pair<int, std::uint32_t>> broken;  // by kind of failure, and number
    Time last;
    int wrong = 0;
    for (int i = 0; i < 20'000; ++i) {
      const auto event = breakdowns.next();
      ASSERT_TRUE(event);
      wrong += event->at < last ? 1 : 0;
      last = event->at;
      const int kind = static_cast<int>(event->kind);
      if (kind % 2 == 0) {
        wrong += broken.emplace(kind, event->which).second ? 0 : 1;
      } else {
        wrong += broken.erase({kind - 1, event->which}) == 1 ? 0 : 1;
      }
      wrong += broken.size() == breakdowns.broken() ? 0 : 1;
    }
    EXPECT_EQ(wrong, 0) << "shape " << shape;
  }
}

TEST(Breakdown, AnyUnitIsAsLikely) {
  Breakdowns breakdowns(llama_cluster(), only_nodes({.mtbf = days(20), .repair = days(1), .repair_sigma = 1, .shape = 1}), 4);
  std::vector<double> times(2048, 0);
  double all = 0;
  for (const Event& event : events_until(breakdowns, day(400))) {
    times[event.which] += event.kind == Kind::node_lost ? 1 : 0;
    all += event.kind == Kind::node_lost ? 1 : 0;
  }
  // A unit's turns of 21 days on average: 400 days have some 19 of them.
  EXPECT_NEAR(all, 2048 * 400 / 21.0, 4 * std::sqrt(2048 * 400 / 21.0));
  double chi2 = 0;
  for (const double n : times) { chi2 += (n - all / 2048) * (n - all / 2048) / (all / 2048); }
  EXPECT_LT(chi2, 2047 + 5 * std::sqrt(2 * 2047.0));
  EXPECT_GT(chi2, 2047 * 0.7);  // turns are a little more regular than a Poisson process
}

TEST(Breakdown, RepairsTakeAsLongAsSaid) {
  Breakdowns breakdowns(llama_cluster(), only_nodes({.mtbf = days(10), .repair = days(0.25), .repair_sigma = 1.2, .shape = 1}), 9);
  std::map<std::uint32_t, Time> lost;
  std::vector<double> spans;
  for (const Event& event : events_until(breakdowns, day(200))) {
    if (event.kind == Kind::node_lost) {
      lost[event.which] = event.at;
    } else {
      spans.push_back(to_seconds(event.at - lost.at(event.which)) / kDay);
    }
  }
  ASSERT_GT(spans.size(), 30'000U);
  double sum = 0;
  for (const double span : spans) { sum += span; }
  EXPECT_NEAR(sum / static_cast<double>(spans.size()), 0.25, 0.01);
  std::nth_element(spans.begin(), spans.begin() + static_cast<std::ptrdiff_t>(spans.size() / 2), spans.end());
  EXPECT_NEAR(spans[spans.size() / 2], 0.25 * std::exp(-1.2 * 1.2 / 2), 0.005);
}

/// The chance that a Weibull unit at work for ever fails within t: the mean of its survival up to there, by the midpoint rule.
double fails_within(double t, double mean, double shape) {
  const double scale = mean / std::tgamma(1 + 1 / shape);
  constexpr int kSteps = 200'000;
  double sum = 0;
  for (int i = 0; i < kSteps; ++i) {
    const double x = t * (i + 0.5) / kSteps;
    sum += std::exp(-std::pow(x / scale, shape));
  }
  return sum * t / kSteps / mean;
}

TEST(Breakdown, AWeibullRunBeginsInTheSteadyState) {
  constexpr double kMean = 50;
  for (const double shape : {0.7, 1.5, 3.0}) {
    Breakdowns breakdowns(llama_cluster(), only_nodes({.mtbf = days(kMean), .repair = seconds(60), .repair_sigma = 0, .shape = shape}), 21);
    std::map<std::uint32_t, double> first;  // failure of each node, days
    std::vector<double> by_month(12, 0);
    for (const Event& event : events_until(breakdowns, day(360))) {
      if (event.kind != Kind::node_lost) { continue; }
      const double when = to_seconds(event.at - Time{}) / kDay;
      first.emplace(event.which, when);
      by_month[static_cast<std::size_t>(when / 30)] += 1;
    }
    // The rate is the same from the first month on …
    for (const double failures : by_month) { EXPECT_NEAR(failures, 2048 * 30 / kMean, 6 * std::sqrt(2048 * 30 / kMean)) << shape; }
    // … and first failures are spread as renewal theory says (Kolmogorov-Smirnov: 1.95 / sqrt(n) is the 0.1% point).
    for (const double t : {0.5, 2.0, 10.0, 40.0, 100.0, 200.0}) {
      const auto early = std::count_if(first.begin(), first.end(), [&](const auto& entry) { return entry.second < t; });
      EXPECT_NEAR(static_cast<double>(early) / 2048, fails_within(t, kMean, shape), 1.95 / std::sqrt(2048.0)) << shape << " at " << t;
    }
  }
}

TEST(Breakdown, OnlyLeafSwitchesThatAreThereFail) {
  const Machines halls = machines(R"(
name: halls
islands:
  - {name: unknown, chip: h100-sxm, chips: 64}
  - {name: torus, chip: tpu-v5p, chips: 64, network: {kind: torus, leaf: 16}}
  - {name: clos, chip: h100-sxm, chips: 64, network: {kind: clos, leaf: 16}}
  - {name: rails, chip: h100-sxm, chips: 128, network: {kind: rail, leaf: 8}}
links:
  - {from: unknown, to: torus, bandwidth: 400Gb/s}
  - {from: unknown, to: clos, bandwidth: 400Gb/s}
  - {from: unknown, to: rails, bandwidth: 400Gb/s}
)");
  BreakdownOptions options = nothing_breaks();
  options.leaf = {.mtbf = days(1), .repair = days(0.1), .repair_sigma = 0, .shape = 1};
  Breakdowns breakdowns(halls, options, 2);
  std::set<std::uint32_t> failed;
  for (const Event& event : events_until(breakdowns, day(100))) { failed.insert(event.which); }
  const MachineIsland& clos = halls.islands[2];
  const MachineIsland& rails = halls.islands[3];
  std::set<std::uint32_t> expected;
  for (std::uint32_t leaf = clos.first_leaf; leaf < clos.first_leaf + 4; ++leaf) { expected.insert(leaf); }
  for (std::uint32_t leaf = rails.first_leaf; leaf < rails.first_leaf + 2; ++leaf) { expected.insert(leaf); }
  EXPECT_EQ(failed, expected);
}

TEST(Breakdown, StragglersAreSoManyAndSoSlow) {
  BreakdownOptions options = nothing_breaks();
  options.stragglers = {.share = 0.05, .slowdown = 1.4, .duration = seconds(3600), .duration_sigma = 1};
  Breakdowns breakdowns(llama_cluster(), options, 8);
  double slow_days = 0;
  double slowdowns = 0;
  double last = 0;
  double slow = 0;
  const auto events = events_until(breakdowns, day(30));
  for (const Event& event : events) {
    const double now = to_seconds(event.at - Time{}) / kDay;
    slow_days += slow * (now - last);
    last = now;
    slow += event.kind == Kind::straggle ? 1 : -1;
    slowdowns += event.kind == Kind::straggle ? event.slowdown : 0;
    ASSERT_GE(event.slowdown, 1);
  }
  EXPECT_NEAR(slow_days / (2048 * 30), 0.05, 0.002);
  EXPECT_NEAR(slowdowns / count(events, Kind::straggle), 1.4, 0.01);
}

TEST(Breakdown, NothingBreaksForEver) {
  Breakdowns never(llama_cluster(), nothing_breaks(), 1);
  EXPECT_FALSE(never.next());
  // Once in 290 years each: 2,048 nodes fail for a while, and then time ends.
  Breakdowns rarely(llama_cluster(), only_nodes({.mtbf = days(365 * 290.0), .repair = days(365 * 290.0), .repair_sigma = 0, .shape = 0.9}),
                    1);
  std::size_t events = 0;
  while (rarely.next()) { ++events; }
  EXPECT_GT(events, 500U);
  EXPECT_LT(events, 2048U * 2);
  EXPECT_FALSE(rarely.next());
}

TEST(Breakdown, BeginsWhenTold) {
  Breakdowns now(llama_cluster(), {}, 1);
  Breakdowns later(llama_cluster(), {}, 1, day(1000));
  EXPECT_EQ(later.next()->at, now.next()->at + days(1000));
}

TEST(Breakdown, AMillionChipsCostNothing) {
  const Machines million =
      machines("name: million\nislands:\n  - {name: hall, chip: h100-sxm, chips: 1000000, network: {kind: clos, leaf: 512}}\n");
  double best_ms = 1e9;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const auto start = std::chrono::steady_clock::now();
    Breakdowns breakdowns(million, {}, seed);
    const auto first = breakdowns.next();
    best_ms = std::min(best_ms, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    ASSERT_TRUE(first);
  }
  EXPECT_LT(best_ms, 5);
}

TEST(Breakdown, OptionsThatMakeNoSense) {
  EXPECT_TRUE(check({}));
  EXPECT_TRUE(check(nothing_breaks()));
  const auto error = [](auto change) {
    BreakdownOptions options;
    change(options);
    const auto checked = check(options);
    return checked ? std::string("none") : checked.error().message();
  };
  EXPECT_NE(error([](auto& o) { o.node.mtbf = {-1}; }).find("node: a mean time between failures below 0"), std::string::npos);
  EXPECT_NE(error([](auto& o) { o.chip.repair = {}; }).find("chip: repairs take no time"), std::string::npos);
  EXPECT_NE(error([](auto& o) { o.leaf.repair_sigma = std::nan(""); }).find("leaf: a repair_sigma"), std::string::npos);
  EXPECT_NE(error([](auto& o) { o.power.shape = 0; }).find("power: a Weibull shape of 0"), std::string::npos);
  EXPECT_NE(error([](auto& o) { o.stragglers.share = 1; }).find("stragglers: a share of 1"), std::string::npos);
  EXPECT_NE(error([](auto& o) { o.stragglers.slowdown = 0.5; }).find("stragglers: a slowdown of 0.5"), std::string::npos);
  EXPECT_NE(error([](auto& o) { o.stragglers.duration = {}; }).find("stragglers: they are slow for no time"), std::string::npos);
}

std::vector<Change> play(Health& health, Kind kind, std::uint32_t which, double slowdown = 1) {
  std::vector<Change> changes;
  health.apply({.at = {}, .kind = kind, .which = which, .slowdown = slowdown}, changes);
  return changes;
}

TEST(Health, ANodeIsBackWhenNothingKeepsItDown) {
  // Two nodes to a leaf; all of them behind one power domain.
  const Machines four = machines("name: four\nislands:\n  - {name: hall, chip: h100-sxm, chips: 32, network: {kind: clos, leaf: 16}}\n");
  Health health(four);
  const auto down = [](std::uint32_t node) { return Change{.kind = Change::Kind::node_down, .which = node, .slowdown = 1}; };
  const auto up = [](std::uint32_t node) { return Change{.kind = Change::Kind::node_up, .which = node, .slowdown = 1}; };
  EXPECT_EQ(play(health, Kind::leaf_lost, 2), (std::vector{down(2), down(3)}));
  EXPECT_EQ(play(health, Kind::power_lost, 1), (std::vector{down(0), down(1)}));
  EXPECT_TRUE(play(health, Kind::node_lost, 1).empty());
  EXPECT_TRUE(play(health, Kind::leaf_back, 2).empty());
  EXPECT_EQ(health.nodes_down(), 4U);
  EXPECT_EQ(play(health, Kind::power_back, 1), (std::vector{up(0), up(2), up(3)}));
  EXPECT_FALSE(health.up(1));
  EXPECT_EQ(play(health, Kind::node_back, 1), std::vector{up(1)});
  EXPECT_EQ(health.nodes_down(), 0U);
}

TEST(Health, ChipsAndSpeedAreKeptApart) {
  Health health(llama_cluster());
  play(health, Kind::node_lost, 1);
  EXPECT_EQ(play(health, Kind::chip_failed, 9), (std::vector{Change{.kind = Change::Kind::chip_failed, .which = 9, .slowdown = 1}}));
  EXPECT_EQ(play(health, Kind::straggle, 1, 1.5), (std::vector{Change{.kind = Change::Kind::node_speed, .which = 1, .slowdown = 1.5}}));
  EXPECT_EQ(play(health, Kind::recover, 1), (std::vector{Change{.kind = Change::Kind::node_speed, .which = 1, .slowdown = 1}}));
  EXPECT_EQ(play(health, Kind::chip_repaired, 9), (std::vector{Change{.kind = Change::Kind::chip_repaired, .which = 9, .slowdown = 1}}));
  EXPECT_FALSE(health.up(1));
}

TEST(Health, AgreesWithLookingAtEverything) {
  const Machines halls = machines(R"(
name: halls
islands:
  - {name: one, chip: h100-sxm, chips: 520, network: {kind: clos, leaf: 64}}
  - {name: two, chip: gb200, chips: 288, chips_per_node: 4, domain: 72, network: {kind: clos, leaf: 72}}
links:
  - {from: one, to: two, bandwidth: 400Gb/s}
)");
  BreakdownOptions options;
  for (Wear* wear : {&options.node, &options.leaf, &options.power}) {
    *wear = {.mtbf = days(3), .repair = days(1), .repair_sigma = 1, .shape = 1};
  }
  Breakdowns breakdowns(halls, options, 17);
  Health health(halls);
  std::set<std::pair<Kind, std::uint32_t>> broken;
  std::vector<bool> told(halls.nodes.size(), true);  // up, as a listener knows
  int wrong = 0;
  std::vector<Change> changes;
  for (int i = 0; i < 3'000; ++i) {
    const Event event = breakdowns.next().value();
    const int kind = static_cast<int>(event.kind);
    if (kind % 2 == 0) {
      broken.emplace(event.kind, event.which);
    } else {
      broken.erase({static_cast<Kind>(kind - 1), event.which});
    }
    changes.clear();
    health.apply(event, changes);
    for (const Change& change : changes) {
      if (change.kind != Change::Kind::node_down && change.kind != Change::Kind::node_up) { continue; }
      const bool up = change.kind == Change::Kind::node_up;
      wrong += told[change.which] == up ? 1 : 0;  // told twice
      told[change.which] = up;
    }
    for (std::uint32_t node = 0; node < halls.nodes.size(); ++node) {
      const Machine& machine = halls.nodes[node];
      const bool up = !broken.contains({Kind::node_lost, node}) && !broken.contains({Kind::leaf_lost, machine.leaf}) &&
                      !broken.contains({Kind::power_lost, machine.power_domain});
      wrong += up == told[node] && up == health.up(node) ? 0 : 1;
    }
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace centrale
