// SPDX-License-Identifier: Apache-2.0
#include "policy/defrag.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "policy/testing.hpp"

namespace centrale {
namespace {

using testing::pool_of;
using testing::work;

/// A pool with tasks on chosen chips.
struct Site {
  Pool pool;
  std::vector<Placed> running;

  void run(std::uint64_t id, std::vector<std::uint64_t> chips, Nanos left, bool movable = true, std::int64_t workers = 1) {
    Placed placed;
    placed.task = TaskId{id};
    placed.gang.workers = workers;
    placed.gang.chips = static_cast<std::int64_t>(chips.size()) / workers;
    for (const std::uint64_t chip : chips) { placed.chips.push_back(ChipId{chip}); }
    placed.movable = movable;
    placed.ends = left.value == 0 ? kNever : Time{} + left;
    placed.restart_cost = seconds(30);
    placed.grace = seconds(10);
    pool.take(placed.chips, placed.gang);
    running.push_back(placed);
  }
  [[nodiscard]] DefragPlan propose_for(const Work& waits) const { return propose(pool, running, std::span(&waits, 1), Time{}); }
};

Work gang(std::uint64_t id, std::int64_t workers, std::int64_t chips) {
  Work waits = work(id, workers, {});
  waits.gang.chips = chips;
  return waits;
}

/// Two nodes of four chips, half full: t1 has 2 chips of the first, t2 one of the second for an hour. A node is asked for.
Site half_full() {
  Site site{.pool = pool_of(2, 4), .running = {}};
  site.run(1, {1, 2}, seconds(3600));
  site.run(2, {5}, seconds(3600));
  return site;
}

TEST(Defrag, TheSmallerTaskMoves) {
  const Site site = half_full();
  const DefragPlan plan = site.propose_for(gang(9, 1, 4));
  ASSERT_TRUE(plan.proposed()) << plan.why;
  EXPECT_EQ(plan.gang, TaskId{9});
  ASSERT_EQ(plan.moves.size(), 1U);
  EXPECT_EQ(plan.moves[0].task, TaskId{2});
  EXPECT_EQ(plan.moves[0].from, std::vector{ChipId{5}});
  EXPECT_EQ(site.pool.node_of(plan.moves[0].to.at(0)), 0U);
  EXPECT_DOUBLE_EQ(plan.cost_chip_s, 30);          // 1 chip x 30 s
  EXPECT_DOUBLE_EQ(plan.gain_chip_s, 4 * 3590.0);  // 4 chips x (an hour less the 10 s that t2 takes to leave)
  EXPECT_TRUE(plan.wait_known);
  EXPECT_EQ(plan.why, "t9 (4 chips) starts now and not in 3600 s: 1 task moves, which costs 30 chip seconds and saves 14360");
}

TEST(Defrag, WorkThatWouldBeLostIsCounted) {
  Site site = half_full();
  site.running[1].lost = seconds(600);  // 1 chip x 630 s: now t1 is the cheaper one, with 2 chips x 30 s
  const DefragPlan plan = site.propose_for(gang(9, 1, 4));
  ASSERT_TRUE(plan.proposed()) << plan.why;
  EXPECT_EQ(plan.moves.at(0).task, TaskId{1});
  EXPECT_DOUBLE_EQ(plan.cost_chip_s, 60);
}

TEST(Defrag, NothingMovesForLessThanItCosts) {
  Site site = half_full();
  site.running[1].ends = Time{} + seconds(17);  // 4 chips x 7 s saved, 30 chip seconds lost
  const DefragPlan plan = site.propose_for(gang(9, 1, 4));
  EXPECT_FALSE(plan.proposed());
  EXPECT_TRUE(plan.moves.empty());
  EXPECT_EQ(plan.why, "t9 (4 chips) could start if 1 task moved, but that costs 30 chip seconds and saves 28");
  site.running[1].ends = Time{} + seconds(18);  // 32 saved
  EXPECT_TRUE(site.propose_for(gang(9, 1, 4)).proposed());
}

TEST(Defrag, AnUnknownEndIsSaidToBeOne) {
  Site site = half_full();
  for (Placed& placed : site.running) { placed.ends = kNever; }
  const DefragPlan plan = site.propose_for(gang(9, 1, 4));
  ASSERT_TRUE(plan.proposed());
  EXPECT_FALSE(plan.wait_known);
  EXPECT_EQ(plan.wait, seconds(3600));
}

TEST(Defrag, WhatMayNotMoveStays) {
  Site site = half_full();
  site.running[1].movable = false;
  EXPECT_EQ(site.propose_for(gang(9, 1, 4)).moves.at(0).task, TaskId{1});
  site.running[0].movable = false;
  const DefragPlan none = site.propose_for(gang(9, 1, 4));
  EXPECT_FALSE(none.proposed());
  EXPECT_EQ(none.why, "no moves make room for t9 (4 chips)");
}

TEST(Defrag, NoGangIsTornApart) {
  // t1 has a whole node; two chips are free elsewhere, but on two nodes.
  Site site{.pool = pool_of(3, 2), .running = {}};
  site.run(1, {1, 2}, seconds(3600));
  site.run(2, {3}, seconds(3600), false);
  site.run(3, {5}, seconds(3600), false);
  EXPECT_FALSE(site.propose_for(gang(9, 1, 2)).proposed());
}

TEST(Defrag, SaysWhyNot) {
  const Site site = half_full();
  EXPECT_EQ(propose(site.pool, site.running, {}, Time{}).why, "nothing waits for chips");
  EXPECT_EQ(site.propose_for(gang(9, 1, 2)).why, "t9 fits as it is");
  EXPECT_EQ(site.propose_for(gang(9, 3, 2)).why, "no moves make room for t9 (6 chips)");
  Work part = gang(9, 1, 1);
  part.gang.share_milli = 500;
  EXPECT_NE(site.propose_for(part).why.find("a part of a chip"), std::string::npos);
}

TEST(Defrag, TheFirstThatCanBeHelpedIs) {
  const Site site = half_full();
  const std::vector<Work> waiting{gang(7, 2, 4), gang(8, 1, 4)};  // two whole nodes can never be cleared
  EXPECT_EQ(propose(site.pool, site.running, waiting, Time{}).gang, TaskId{8});
}

/// The cheapest way there is, by trying every set of tasks. The placement afterwards is the pool's, as in the plan.
std::optional<double> cheapest(const Site& site, const Work& waits) {
  std::optional<double> best;
  for (std::uint64_t set = 1; set < (1U << site.running.size()); ++set) {
    Pool pool = site.pool;
    double cost = 0;
    bool fits = true;
    std::vector<std::pair<std::int64_t, std::size_t>> order;
    for (std::size_t i = 0; i < site.running.size(); ++i) {
      if ((set >> i & 1) == 0) { continue; }
      const Placed& placed = site.running[i];
      fits = fits && placed.movable;
      pool.give_back(placed.chips, placed.gang);
      cost += static_cast<double>(placed.chips.size()) * to_seconds(placed.restart_cost + placed.lost);
      order.emplace_back(-static_cast<std::int64_t>(placed.chips.size()), i);
    }
    std::ranges::sort(order);
    std::vector<ChipId> out;
    fits = fits && pool.place(waits.kinds, kAnyKind, waits.gang, out);
    for (const auto& [size, i] : order) { fits = fits && pool.place({}, kAnyKind, site.running[i].gang, out); }
    if (fits && (!best || cost < *best)) { best = cost; }
  }
  return best;
}

TEST(Defrag, HoldsForRandomSites) {
  std::mt19937_64 random(7);
  const auto dice = [&](std::uint64_t sides) { return random() % sides; };
  int proposed = 0, optimal = 0, possible = 0;
  for (int round = 0; round < 1500; ++round) {
    const auto nodes = static_cast<std::int64_t>(2 + dice(4));
    Site site{.pool = pool_of(nodes, 4), .running = {}};
    for (std::uint64_t n = 0; n < static_cast<std::uint64_t>(nodes); ++n) {
      site.pool.set_where(n, {.domain = static_cast<std::uint32_t>(1 + n / 2), .leaf = 1, .spine = 1});
    }
    std::uint64_t id = 0;
    std::set<std::uint64_t> busy;
    for (std::uint64_t tries = 0; tries < 2 * static_cast<std::uint64_t>(nodes); ++tries) {
      std::vector<std::uint64_t> chips;
      const std::uint64_t node = dice(static_cast<std::uint64_t>(nodes));
      for (std::uint64_t c = 1 + dice(3), size = 1 + dice(2); c <= 4 && chips.size() < size; ++c) {
        if (!busy.contains(4 * node + c)) { chips.push_back(4 * node + c); }
      }
      if (chips.empty()) { continue; }
      busy.insert(chips.begin(), chips.end());
      site.run(++id, chips, seconds(static_cast<std::int64_t>(dice(4) * 100)), dice(5) != 0);
      site.running.back().lost = seconds(static_cast<std::int64_t>(dice(300)));
    }
    if (site.running.empty()) { continue; }
    const Work waits = gang(100, static_cast<std::int64_t>(1 + dice(2)), static_cast<std::int64_t>(3 + dice(2)));
    const DefragPlan plan = site.propose_for(waits);
    const bool fits_now = site.pool.probe(waits.kinds, kAnyKind, waits.gang).has_value();
    if (fits_now) {
      EXPECT_FALSE(plan.proposed());
      continue;
    }
    const std::optional<double> best = cheapest(site, waits);
    if (!plan.proposed()) { continue; }
    ++proposed;
    ASSERT_GT(plan.gain_chip_s, plan.cost_chip_s);
    // Carried out by hand: all leave, then each takes exactly what it was given. take() stops the process if a chip is not free.
    Pool pool = site.pool;
    double cost = 0;
    for (const DefragMove& move : plan.moves) {
      const Placed& placed = *std::ranges::find(site.running, move.task, &Placed::task);
      ASSERT_TRUE(placed.movable);
      ASSERT_EQ(move.from, placed.chips);
      ASSERT_LE(pool.spread(move.to), pool.spread(move.from));
      pool.give_back(placed.chips, placed.gang);
      cost += static_cast<double>(placed.chips.size()) * to_seconds(placed.restart_cost + placed.lost);
    }
    ASSERT_DOUBLE_EQ(cost, plan.cost_chip_s);
    ASSERT_EQ(static_cast<std::int64_t>(plan.gets.size()), waits.chips_total());
    for (std::size_t i = 0; i < plan.gets.size(); ++i) {  // no worker is torn apart
      const auto first = i / static_cast<std::size_t>(waits.gang.chips) * static_cast<std::size_t>(waits.gang.chips);
      ASSERT_EQ(pool.node_of(plan.gets[i]), pool.node_of(plan.gets[first]));
    }
    pool.take(plan.gets, waits.gang);
    for (const DefragMove& move : plan.moves) { pool.take(move.to, std::ranges::find(site.running, move.task, &Placed::task)->gang); }
    ASSERT_TRUE(best);
    ASSERT_GE(plan.cost_chip_s, *best - 1e-9);
    ++possible;
    optimal += plan.cost_chip_s <= *best + 1e-9 ? 1 : 0;
  }
  EXPECT_GT(proposed, 200);
  EXPECT_GT(optimal * 100, possible * 95) << optimal << " of " << possible << " were the cheapest there are";
}

TEST(Defrag, TheSameWhateverTheOrder) {
  Site site = half_full();
  const DefragPlan one = site.propose_for(gang(9, 1, 4));
  std::ranges::reverse(site.running);
  const DefragPlan other = site.propose_for(gang(9, 1, 4));
  EXPECT_EQ(one.why, other.why);
  EXPECT_EQ(one.gets, other.gets);
}

}  // namespace
}  // namespace centrale
