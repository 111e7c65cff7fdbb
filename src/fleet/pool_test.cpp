// SPDX-License-Identifier: Apache-2.0
#include "fleet/pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace centrale {
namespace {

Pool pool_of(const std::vector<std::vector<KindIndex>>& nodes) {
  Pool pool;
  for (const auto& kinds : nodes) {
    const std::size_t node = pool.add_node(mebibytes(1024));
    for (const KindIndex kind : kinds) { pool.set_usable(pool.add_chip(node, kind), true); }
    pool.set_schedulable(node, true);
  }
  return pool;
}

std::vector<std::uint64_t> place(Pool& pool, Gang gang, KindMask allowed = kAnyKind) {
  std::vector<ChipId> out;
  if (!pool.place(KindChoice{}, allowed, gang, out)) { return {}; }
  std::vector<std::uint64_t> ids;
  for (const ChipId id : out) { ids.push_back(id.value); }
  return ids;
}

TEST(IndexSet, FindsWhatASetFinds) {
  std::mt19937_64 random(7);
  IndexSet ours;
  std::set<std::size_t> truth;
  for (int i = 0; i < 200'000; ++i) {
    const std::size_t index = random() % (i < 1000 ? 100 : 300'000);
    if (random() % 2 == 0) {
      ours.insert(index);
      truth.insert(index);
    } else {
      ours.erase(index);
      truth.erase(index);
    }
    const std::size_t from = random() % 300'000;
    const auto next = truth.lower_bound(from);
    const auto found = ours.next(from);
    ASSERT_EQ(found.has_value(), next != truth.end());
    if (found) { ASSERT_EQ(*found, *next); }
    ASSERT_EQ(ours.size(), truth.size());
  }
}

TEST(Pool, TakesTheFullestNodeThatHasRoom) {
  Pool pool = pool_of({{0, 0, 0, 0}, {0, 0}});
  EXPECT_EQ(place(pool, {.workers = 1, .chips = 2, .memory = {}}), (std::vector<std::uint64_t>{5, 6}));
}

TEST(Pool, AGangStaysOnOneNodeWhereItCan) {
  Pool pool = pool_of({{0, 0}, {0, 0, 0, 0}, {0, 0}});
  EXPECT_EQ(place(pool, {.workers = 4, .chips = 1, .memory = {}}), (std::vector<std::uint64_t>{3, 4, 5, 6}));
}

TEST(Pool, AGangThatFitsNowhereWholeSpreadsOrTakesNothing) {
  Pool pool = pool_of({{0, 0}, {0, 0, 0}, {0, 0}});
  EXPECT_EQ(place(pool, {.workers = 3, .chips = 2, .memory = {}}).size(), 6U);
  EXPECT_EQ(pool.free_total(), 1);
  EXPECT_TRUE(place(pool, {.workers = 2, .chips = 1, .memory = {}}).empty());
  EXPECT_EQ(pool.free_total(), 1);
}

TEST(Pool, KindsDoNotMixInOneGang) {
  Pool pool = pool_of({{0, 0, 1, 1, 1}});
  EXPECT_TRUE(place(pool, {.workers = 4, .chips = 1, .memory = {}}).empty());
  EXPECT_EQ(place(pool, {.workers = 3, .chips = 1, .memory = {}}), (std::vector<std::uint64_t>{3, 4, 5}));
}

TEST(Pool, MemoryOfTheNodeLimitsTheWorkers) {
  Pool pool = pool_of({{0, 0, 0, 0}, {0, 0, 0, 0}});
  EXPECT_EQ(place(pool, {.workers = 3, .chips = 1, .memory = mebibytes(512)}).size(), 3U);  // two on one, one on the other
  EXPECT_EQ(pool.memory_free(0) + pool.memory_free(1), mebibytes(512));
  EXPECT_TRUE(place(pool, {.workers = 2, .chips = 1, .memory = mebibytes(512)}).empty());
}

TEST(Pool, ADrainedNodeOffersNothing) {
  Pool pool = pool_of({{0, 0}});
  pool.set_schedulable(0, false);
  EXPECT_TRUE(place(pool, {}).empty());
  EXPECT_EQ(pool.workers_ever({}, {}, 1), 0);
  pool.set_schedulable(0, true);
  EXPECT_EQ(place(pool, {}).size(), 1U);
}

// Whatever happens, the counters agree with a plain recount, no chip is given twice, and a gang gets all or nothing.
TEST(Pool, AgreesWithABruteForceCount) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<std::vector<KindIndex>> nodes(1 + random() % 12);
    for (auto& kinds : nodes) {
      kinds.resize(random() % 9);
      for (auto& kind : kinds) { kind = static_cast<KindIndex>(random() % 3); }
    }
    Pool pool = pool_of(nodes);
    std::vector<ChipId> held;
    std::vector<bool> up(nodes.size(), true);
    for (int step = 0; step < 2000; ++step) {
      if (const auto dice = random() % 10; dice < 5) {
        const Gang gang{
            .workers = 1 + static_cast<std::int64_t>(random() % 4), .chips = 1 + static_cast<std::int64_t>(random() % 3), .memory = {}};
        std::int64_t best = 0;
        for (KindIndex kind = 0; kind < 3; ++kind) {
          std::int64_t workers = 0;
          std::uint64_t id = 0;
          for (std::size_t node = 0; node < nodes.size(); ++node) {
            std::int64_t free = 0;
            for (const KindIndex k : nodes[node]) {
              ++id;
              free += k == kind && pool.is_free(ChipId{id}) ? 1 : 0;
            }
            workers += up[node] ? free / gang.chips : 0;
          }
          best = std::max(best, workers);
        }
        std::vector<ChipId> out;
        const bool placed = pool.place({}, kAnyKind, gang, out);
        ASSERT_EQ(placed, best >= gang.workers) << "seed " << seed << " step " << step;
        ASSERT_EQ(out.size(), placed ? static_cast<std::size_t>(gang.workers * gang.chips) : 0U);
        for (std::size_t i = 0; i < out.size(); ++i) {
          ASSERT_TRUE(std::ranges::find(held, out[i]) == held.end());
          ASSERT_EQ(pool.node_of(out[i]),
                    pool.node_of(out[i / static_cast<std::size_t>(gang.chips) * static_cast<std::size_t>(gang.chips)]));
        }
        held.insert(held.end(), out.begin(), out.end());
      } else if (dice < 9 && !held.empty()) {
        const std::size_t at = random() % held.size();
        pool.set_free(held[at], true);
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
      } else {
        const std::size_t node = random() % nodes.size();
        up[node] = !up[node];
        pool.set_schedulable(node, up[node]);
      }
    }
  }
}

}  // namespace
}  // namespace centrale
