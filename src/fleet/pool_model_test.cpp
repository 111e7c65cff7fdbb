// SPDX-License-Identifier: Apache-2.0
// The pool against a slow obvious model: it looks at every node and group, each time.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "base/random.hpp"
#include "fleet/pool.hpp"

namespace centrale {
namespace {

constexpr Time kAlways{std::numeric_limits<std::int64_t>::max()};

struct ModelNode {
  std::vector<KindIndex> chips;
  Where where;
  std::int64_t memory = 0, cpu = 0;  // MiB, thousandths
  Time until = kAlways;
  std::uint64_t reserved = 0;
  bool up = true;
};
struct Held {
  Gang gang;
  std::vector<ChipId> chips;
};

/// What is where, kept as lists; everything else is counted when it is asked.
struct Model {
  std::vector<ModelNode> nodes;
  std::vector<std::size_t> node_of;  // by chip id - 1
  std::vector<KindIndex> kind_of;
  std::vector<bool> usable;
  std::vector<Held> held;

  [[nodiscard]] std::vector<std::int64_t> milli() const {
    std::vector<std::int64_t> free(node_of.size(), kWholeChip);
    for (const Held& one : held) {
      for (const ChipId chip : one.chips) { free[chip.value - 1] -= one.gang.share_milli; }
    }
    return free;
  }
  /// Free memory in MiB, free processors, workers of the group `apart`.
  [[nodiscard]] std::tuple<std::int64_t, std::int64_t, std::int64_t> left(std::size_t node, std::uint64_t apart) const {
    std::int64_t memory = nodes[node].memory, cpu = nodes[node].cpu, group = 0;
    for (const Held& one : held) {
      for (std::size_t i = 0; i < one.chips.size(); i += static_cast<std::size_t>(one.gang.chips)) {
        if (node_of[one.chips[i].value - 1] != node) { continue; }
        memory -= one.gang.memory.value / mebibytes(1).value;
        cpu -= one.gang.cpu_milli;
        group += one.gang.apart == apart && apart != 0 ? 1 : 0;
      }
    }
    return {memory, cpu, group};
  }
  [[nodiscard]] std::int64_t room(std::size_t node, KindIndex kind, const Gang& gang, bool chips_only) const {
    const ModelNode& n = nodes[node];
    const auto free = milli();
    std::int64_t whole = 0, shares = 0;
    for (std::size_t chip = 0; chip < free.size(); ++chip) {
      if (node_of[chip] != node || kind_of[chip] != kind || !usable[chip]) { continue; }
      whole += free[chip] == kWholeChip ? 1 : 0;
      shares += free[chip] / gang.share_milli;
    }
    std::int64_t workers = gang.is_share() ? shares : whole / gang.chips;
    if (!n.up) { return 0; }
    if (chips_only) { return workers; }
    if (gang.reservation != n.reserved || gang.ends > n.until) { return 0; }
    const auto [memory, cpu, group] = left(node, gang.apart);
    if (gang.memory.value > 0) { workers = std::min(workers, memory / (gang.memory.value / mebibytes(1).value)); }
    if (gang.cpu_milli > 0 && n.cpu > 0) { workers = std::min(workers, cpu / gang.cpu_milli); }
    if (gang.apart != 0) { workers = std::min(workers, group > 0 ? std::int64_t{0} : std::int64_t{1}); }
    return std::max<std::int64_t>(workers, 0);
  }
  using Group = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>;
  [[nodiscard]] Group group(std::size_t node, Spread level) const {
    const Where w = nodes[node].where;
    switch (level) {
      case Spread::node: return {static_cast<std::uint32_t>(node), 0, 0};
      case Spread::domain: return {w.spine, w.leaf, w.domain};
      case Spread::leaf: return {w.spine, w.leaf, 0};
      case Spread::spine: return {w.spine, 0, 0};
      case Spread::any: return {};
    }
    return {};
  }
  struct Answer {
    KindIndex kind = 0;
    Spread level = Spread::node;
    std::int64_t room = 0;  // of the tightest group that takes it: whole chips are counted by themselves
  };
  [[nodiscard]] std::optional<Answer> where_to(const Gang& gang) const {
    for (KindIndex kind = 0; kind < 3; ++kind) {
      for (std::size_t level = 0; level < kSpreads; ++level) {
        std::map<Group, std::pair<std::int64_t, std::int64_t>> rooms;  // bound, by chips only
        for (std::size_t node = 0; node < nodes.size(); ++node) {
          auto& sum = rooms[group(node, static_cast<Spread>(level))];
          sum.first += room(node, kind, gang, false);
          sum.second += room(node, kind, gang, true);
        }
        std::optional<Answer> best;
        for (const auto& [name, sum] : rooms) {
          const std::int64_t room = gang.is_share() ? sum.first : sum.second;
          if (sum.first < gang.workers || (best && room >= best->room)) { continue; }
          best = {.kind = kind, .level = static_cast<Spread>(level), .room = room};
        }
        if (best) { return best; }
      }
    }
    return std::nullopt;
  }
  /// A pool of that state, made from nothing; gangs are taken in the order of `from`, round.
  [[nodiscard]] Pool pool(std::size_t from) const {
    Pool pool;
    for (const ModelNode& node : nodes) {
      const std::size_t index = pool.add_node(mebibytes(node.memory));
      pool.set_where(index, node.where);
      pool.set_cpu(index, node.cpu);
      pool.set_until(index, node.until);
      pool.set_reserved(index, node.reserved);
    }
    for (std::size_t chip = 0; chip < node_of.size(); ++chip) {
      pool.set_usable(pool.add_chip(node_of[chip], kind_of[chip]), usable[chip]);
    }
    for (std::size_t node = 0; node < nodes.size(); ++node) { pool.set_schedulable(node, nodes[node].up); }
    for (std::size_t i = 0; i < held.size(); ++i) {
      const Held& one = held[(i + from) % held.size()];
      pool.take(one.chips, one.gang);
    }
    return pool;
  }
};

Model random_model(Random& random) {
  Model model;
  model.nodes.resize(1 + random.below(14));
  const bool named = random.below(4) > 0;
  for (ModelNode& node : model.nodes) {
    node.chips.resize(random.below(6));
    for (auto& kind : node.chips) { kind = static_cast<KindIndex>(random.below(random.below(2) + 1)); }
    const auto domain = static_cast<std::uint32_t>(random.below(8));
    if (named) { node.where = {.domain = domain, .leaf = domain / 2, .spine = domain / 4}; }
    node.memory = 512 + static_cast<std::int64_t>(random.below(2048));
    node.cpu = random.below(3) == 0 ? 0 : 4000 + static_cast<std::int64_t>(random.below(8000));
    if (random.below(8) == 0) { node.until = Time{100}; }
    if (random.below(8) == 0) { node.reserved = 7; }
    for (const KindIndex kind : node.chips) {
      model.node_of.push_back(static_cast<std::size_t>(&node - model.nodes.data()));
      model.kind_of.push_back(kind);
      model.usable.push_back(random.below(12) > 0);
    }
  }
  return model;
}

Gang random_gang(Random& random) {
  Gang gang;
  gang.workers = 1 + static_cast<std::int64_t>(random.below(random.below(2) == 0 ? 2 : 8));
  if (random.below(3) == 0) {
    gang.share_milli = random.below(2) == 0 ? kWholeChip >> (1 + random.below(3)) : 1 + static_cast<std::int64_t>(random.below(999));
  } else {
    gang.chips = 1 + static_cast<std::int64_t>(random.below(4));
  }
  if (random.below(2) == 0) { gang.memory = mebibytes(64 + static_cast<std::int64_t>(random.below(512))); }
  if (random.below(3) == 0) { gang.cpu_milli = 500 + static_cast<std::int64_t>(random.below(3000)); }
  if (random.below(4) == 0) { gang.apart = 1 + random.below(2); }
  if (random.below(2) == 0) { gang.ends = Time{static_cast<std::int64_t>(random.below(200))}; }
  if (random.below(8) == 0) { gang.reservation = 7; }
  return gang;
}

/// Every chip and node as the model counts it; nothing is below zero.
void expect_same(const Pool& pool, const Model& model) {
  const auto free = model.milli();
  for (std::size_t chip = 0; chip < free.size(); ++chip) {
    ASSERT_GE(free[chip], 0);
    ASSERT_EQ(pool.free_milli(ChipId{chip + 1}), free[chip]);
  }
  for (std::size_t node = 0; node < model.nodes.size(); ++node) {
    const auto [memory, cpu, group] = model.left(node, 0);
    ASSERT_GE(memory, 0);
    ASSERT_EQ(pool.memory_free(node), mebibytes(memory));
    ASSERT_EQ(pool.cpu_free(node), cpu);
    ASSERT_TRUE(model.nodes[node].cpu == 0 || cpu >= 0);
  }
  for (KindIndex kind = 0; kind < 3; ++kind) {
    std::int64_t whole = 0, usable = 0;
    for (std::size_t chip = 0; chip < free.size(); ++chip) {
      if (model.kind_of[chip] != kind || !model.usable[chip] || !model.nodes[model.node_of[chip]].up) { continue; }
      whole += free[chip] == kWholeChip ? 1 : 0;
      ++usable;
    }
    ASSERT_EQ(pool.free_of(kind), whole);
    ASSERT_EQ(pool.usable_of(kind), usable);
  }
}

/// Places a gang on both, and compares where it went.
void place_on_both(Pool& pool, Model& model, const Gang& gang) {
  const auto answer = model.where_to(gang);
  const auto probe = pool.probe({}, kAnyKind, gang);
  Pool again = model.pool(model.held.size() / 2);  // the same state by another history
  std::vector<ChipId> chips, chips_again;
  ASSERT_EQ(pool.place({}, kAnyKind, gang, chips), answer.has_value());
  ASSERT_EQ(probe.has_value(), answer.has_value());
  static_cast<void>(again.place({}, kAnyKind, gang, chips_again));
  ASSERT_EQ(chips, chips_again);
  if (!answer) { return; }
  ASSERT_EQ(chips.size(), static_cast<std::size_t>(gang.workers * gang.chips));
  ASSERT_EQ(pool.kind_of(chips.front()), answer->kind);
  ASSERT_EQ(pool.spread(chips), answer->level);
  std::vector<std::size_t> nodes;
  for (std::size_t i = 0; i < chips.size(); ++i) {
    const std::size_t node = model.node_of[chips[i].value - 1];
    ASSERT_EQ(node, model.node_of[chips[i - i % static_cast<std::size_t>(gang.chips)].value - 1]);
    ASSERT_TRUE(model.usable[chips[i].value - 1] && model.nodes[node].up);
    nodes.push_back(node);
  }
  std::int64_t room = 0;  // of the group that it went to: the tightest
  for (std::size_t node = 0; node < model.nodes.size(); ++node) {
    const bool inside = model.group(node, answer->level) == model.group(nodes.front(), answer->level);
    room += inside ? model.room(node, answer->kind, gang, !gang.is_share()) : 0;
  }
  if (!gang.is_share() || gang.workers > 1) { ASSERT_EQ(room, answer->room); }  // one share goes by the chip, not by the node
  ASSERT_EQ(probe->kind, answer->kind);
  ASSERT_EQ(probe->spread, answer->level);
  std::ranges::sort(nodes);
  const auto same = std::ranges::unique(nodes);
  ASSERT_EQ(probe->nodes, same.begin() - nodes.begin());
  if (gang.apart != 0) { ASSERT_EQ(probe->nodes, gang.workers); }
  model.held.push_back({.gang = gang, .chips = chips});
}

TEST(PoolModel, PlacesAsAPlainSearchWould) {
  for (std::uint64_t seed = 1; seed <= 60 && !::testing::Test::HasFatalFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Model model = random_model(random);
    Pool pool = model.pool(0);
    for (int step = 0; step < 120 && !::testing::Test::HasFatalFailure(); ++step) {
      const auto dice = random.below(20);
      if (dice < 10) {
        place_on_both(pool, model, random_gang(random));
      } else if (dice < 16 && !model.held.empty()) {
        const std::size_t at = random.below(model.held.size());
        pool.give_back(model.held[at].chips, model.held[at].gang);
        model.held.erase(model.held.begin() + static_cast<std::ptrdiff_t>(at));
      } else if (dice == 16 && !model.usable.empty()) {
        const std::size_t chip = random.below(model.usable.size());
        model.usable[chip] = !model.usable[chip];
        pool.set_usable(ChipId{chip + 1}, model.usable[chip]);
      } else if (dice == 17) {
        const std::size_t node = random.below(model.nodes.size());
        model.nodes[node].up = !model.nodes[node].up;
        pool.set_schedulable(node, model.nodes[node].up);
      } else if (dice == 18) {
        const std::size_t node = random.below(model.nodes.size());
        model.nodes[node].where = model.nodes[random.below(model.nodes.size())].where;
        pool.set_where(node, model.nodes[node].where);
      } else if (dice == 19) {
        const std::size_t node = random.below(model.nodes.size());
        model.nodes[node].until = random.below(2) == 0 ? kAlways : Time{100};
        model.nodes[node].reserved = random.below(2) == 0 ? 0 : 7;
        pool.set_until(node, model.nodes[node].until);
        pool.set_reserved(node, model.nodes[node].reserved);
      }
      expect_same(pool, model);
    }
  }
}

TEST(PoolModel, CountsHowManyWorkersFit) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const Model model = random_model(random);
    const Pool pool = model.pool(0);
    const Gang gang = random_gang(random);
    std::int64_t most = 0;
    for (KindIndex kind = 0; kind < 3; ++kind) {
      std::int64_t workers = 0;
      for (std::size_t node = 0; node < model.nodes.size(); ++node) { workers += model.room(node, kind, gang, false); }
      most = std::max(most, workers);
    }
    ASSERT_EQ(pool.workers_now({}, kAnyKind, gang, 1000), most);
    ASSERT_EQ(pool.workers_now({}, kAnyKind, gang, 3), std::min<std::int64_t>(most, 3));
    ASSERT_GE(pool.workers_ever({}, gang, 1000), most);
  }
}

TEST(PoolModel, ANodeThatJoinsLaterFindsItsPlaceInTheOrder) {
  Pool pool;
  const auto join = [&](std::uint32_t domain) {
    const std::size_t node = pool.add_node({});
    pool.set_where(node, {.domain = domain, .leaf = 1, .spine = 1});
    for (int i = 0; i < 2; ++i) { pool.set_usable(pool.add_chip(node, 0), true); }
    pool.set_schedulable(node, true);
  };
  join(1);
  join(2);
  EXPECT_EQ(pool.probe({}, kAnyKind, {.workers = 4, .chips = 1, .memory = {}})->spread, Spread::leaf);
  join(1);  // before the second in the order, although it came last
  EXPECT_EQ(pool.probe({}, kAnyKind, {.workers = 4, .chips = 1, .memory = {}})->spread, Spread::domain);
  std::vector<ChipId> chips;
  ASSERT_TRUE(pool.place({}, kAnyKind, {.workers = 6, .chips = 1, .memory = {}}, chips));
  EXPECT_EQ(chips, (std::vector<ChipId>{{1}, {2}, {5}, {6}, {3}, {4}}));  // ranks follow the order of the network
}

TEST(PoolModel, ManySharesGoToTheDomainThatFitsTightest) {
  Pool pool;
  for (const auto& [domain, chips] : std::vector<std::pair<std::uint32_t, int>>{{1, 3}, {1, 2}, {2, 2}, {2, 2}}) {
    const std::size_t node = pool.add_node({});
    pool.set_where(node, {.domain = domain, .leaf = 1, .spine = 1});
    for (int i = 0; i < chips; ++i) { pool.set_usable(pool.add_chip(node, 0), true); }
    pool.set_schedulable(node, true);
  }
  std::vector<ChipId> chips;
  ASSERT_TRUE(pool.place({}, kAnyKind, {.workers = 4, .chips = 1, .memory = {}, .cpu_milli = 0, .share_milli = 600}, chips));
  EXPECT_EQ(chips, (std::vector<ChipId>{{6}, {7}, {8}, {9}}));
}

// A bad rule of a small fleet can be seen; that the rules are the paper's is what `./dev bench place` shows.
TEST(PoolRules, EveryRulePlacesWhatFitsAndOnlyThat) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Model model = random_model(random);
    Pool pool = model.pool(0);
    pool.set_demand({{.gang = {.workers = 1, .chips = 2, .memory = {}}, .kinds = 1, .weight = 3},
                     {.gang = {.workers = 1, .chips = 1, .memory = {}, .cpu_milli = 1500, .share_milli = 300}, .kinds = 3, .weight = 1},
                     {.gang = {.workers = 1, .chips = 0, .memory = {}, .cpu_milli = 900}, .kinds = kAnyKind, .weight = 1}});
    pool.set_random(seed);
    for (int step = 0; step < 60; ++step) {
      if (step % 5 == 0) { pool.set_rule(static_cast<PlaceRule>(random.below(kEnumNames<PlaceRule>.size()))); }
      Gang gang = random_gang(random);
      gang.workers = 1;
      const bool fits = model.where_to(gang).has_value();
      const auto probe = pool.probe({}, kAnyKind, gang);
      std::vector<ChipId> chips;
      ASSERT_EQ(pool.place({}, kAnyKind, gang, chips), fits);
      ASSERT_EQ(probe.has_value(), fits);
      if (fits) {
        ASSERT_EQ(probe->kind, pool.kind_of(chips.front()));
        ASSERT_GT(model.room(model.node_of[chips.front().value - 1], probe->kind, gang, false), 0);
        model.held.push_back({.gang = gang, .chips = chips});
      }
      expect_same(pool, model);
      if (::testing::Test::HasFatalFailure()) { return; }
      if (random.below(3) == 0 && !model.held.empty()) {
        pool.give_back(model.held.back().chips, model.held.back().gang);
        model.held.pop_back();
      }
    }
  }
}

Pool two_nodes(PlaceRule rule) {
  Pool pool;
  for (const int chips : {2, 4}) {
    const std::size_t node = pool.add_node({});
    pool.set_cpu(node, 8000);
    for (int i = 0; i < chips; ++i) { pool.set_usable(pool.add_chip(node, 0), true); }
    pool.set_schedulable(node, true);
  }
  pool.set_rule(rule);
  return pool;
}

// Weng et al., section 3.2: a chip that is too small for a task is a fragment for it; all chips are where processors run out.
TEST(PoolRules, FragmentsAreWhatTypicalTasksCannotUse) {
  Pool pool = two_nodes(PlaceRule::fgd);
  pool.set_demand({{.gang = {.workers = 1, .chips = 4, .memory = {}, .cpu_milli = 4000}, .kinds = 1, .weight = 1},
                   {.gang = {.workers = 1, .chips = 1, .memory = {}, .cpu_milli = 1000, .share_milli = 500}, .kinds = 1, .weight = 1}});
  EXPECT_DOUBLE_EQ(pool.fragmentation(kAnyKind), 1.0);  // half of the tasks cannot use the two chips of the small node
  pool.take(std::vector{ChipId{3}}, {.workers = 1, .chips = 1, .memory = {}, .cpu_milli = 0, .share_milli = 700});
  EXPECT_DOUBLE_EQ(pool.fragmentation(kAnyKind), 1.0 + 0.5 * 3.3 + 0.5 * 0.3);
  pool.take(std::vector{ChipId{4}}, {.workers = 1, .chips = 1, .memory = {}, .cpu_milli = 7500});
  EXPECT_DOUBLE_EQ(pool.fragmentation(kAnyKind), 1.0 + 2.3);
  EXPECT_DOUBLE_EQ(pool.fragmentation(2), 0.0);
}

TEST(PoolRules, FgdKeepsWholeWhatTypicalTasksNeedWhole) {
  Pool pool = two_nodes(PlaceRule::fgd);
  pool.set_demand({{.gang = {.workers = 1, .chips = 4, .memory = {}}, .kinds = 1, .weight = 1}});
  std::vector<ChipId> chips;
  ASSERT_TRUE(pool.place({}, kAnyKind, {.workers = 1, .chips = 1, .memory = {}}, chips));
  EXPECT_EQ(pool.node_of(chips.front()), 0U);
}

TEST(PoolRules, AShareGoesToTheFullestChipThatHasRoom) {
  Pool pool = two_nodes(PlaceRule::pack);
  const auto share = [](std::int64_t milli) { return Gang{.workers = 1, .chips = 1, .memory = {}, .cpu_milli = 0, .share_milli = milli}; };
  pool.take(std::vector{ChipId{3}}, share(600));
  pool.take(std::vector{ChipId{5}}, share(300));
  std::vector<ChipId> chips;
  ASSERT_TRUE(pool.place({}, kAnyKind, share(400), chips));
  ASSERT_TRUE(pool.place({}, kAnyKind, share(400), chips));
  ASSERT_TRUE(pool.place({}, kAnyKind, share(400), chips));
  EXPECT_EQ(chips, (std::vector<ChipId>{{3}, {5}, {1}}));
  EXPECT_EQ(pool.free_total(), 3);
  EXPECT_EQ(pool.free_milli(ChipId{5}), 300);
}

TEST(PoolRules, ATaskWithoutChipsGoesWhereItStrandsFewest) {
  Pool pool = two_nodes(PlaceRule::pack);
  const Gang task{.workers = 1, .chips = 0, .memory = {}, .cpu_milli = 5000};
  EXPECT_EQ(pool.place_without_chips(kAnyKind, task), 0U);
  EXPECT_EQ(pool.place_without_chips(kAnyKind, task), 1U);
  EXPECT_EQ(pool.place_without_chips(kAnyKind, task), std::nullopt);
  pool.give_back_without_chips(1, task);
  EXPECT_EQ(pool.place_without_chips(kAnyKind, task), 1U);
}

}  // namespace
}  // namespace centrale
