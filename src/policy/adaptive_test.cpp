// SPDX-License-Identifier: Apache-2.0
// Our own policy: worked examples, and what has to hold under random load. The assignment beneath it, against trying everything.
#include "policy/adaptive.hpp"

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "policy/elastic_testing.hpp"

namespace centrale {
namespace {

using testing::add_nodes;
using testing::Clockwork;
using testing::elastic_work;
using testing::rounds_of;
using testing::Speeds1;
using testing::table_of;

/// The best sum of values, by trying every choice.
double best_of(const std::vector<AssignJob>& jobs, std::vector<std::int64_t> left, std::size_t at) {
  if (at == jobs.size()) { return 0; }
  double best = best_of(jobs, left, at + 1);
  for (const Offer& offer : jobs[at].offers) {
    if (offer.chips > left[offer.kind]) { continue; }
    std::vector<std::int64_t> rest = left;
    rest[offer.kind] -= offer.chips;
    best = std::max(best, offer.value + best_of(jobs, std::move(rest), at + 1));
  }
  return best;
}

TEST(Assignment, IsCloseToTheBestThereIs) {
  Random random(5);
  double ours = 0;
  double best = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<AssignJob> jobs(1 + random.below(6));
    for (AssignJob& job : jobs) {
      const double slope = random.uniform(0.5, 1);
      for (KindIndex kind = 0; kind < 2; ++kind) {
        const double rate = random.uniform(0.2, 2);
        for (std::int64_t chips = 1; chips <= 4; chips *= 2) {
          job.offers.push_back({.kind = kind, .chips = chips, .value = rate * std::pow(static_cast<double>(chips), slope), .tag = 0});
        }
      }
    }
    const std::vector<std::int64_t> capacity{static_cast<std::int64_t>(random.below(8)), static_cast<std::int64_t>(1 + random.below(8))};
    Assignment assignment;
    assignment.solve(jobs, capacity);
    std::vector<std::int64_t> used(2, 0);
    double value = 0;
    for (const AssignJob& job : jobs) {
      if (job.chosen < 0) { continue; }
      used[job.offers[static_cast<std::size_t>(job.chosen)].kind] += job.offers[static_cast<std::size_t>(job.chosen)].chips;
      value += job.offers[static_cast<std::size_t>(job.chosen)].value;
    }
    ASSERT_LE(used[0], capacity[0]);
    ASSERT_LE(used[1], capacity[1]);
    const double most = best_of(jobs, capacity, 0);
    ASSERT_GE(value, 0.75 * most) << "round " << round;
    ours += value;
    best += most;
  }
  EXPECT_GT(ours, 0.97 * best);  // in the mean; small cases are the hard ones, where a chip more or less is much
}

TEST(Adaptive, TheJobThatGainsMostGetsTheFastKind) {
  Pool pool;
  add_nodes(pool, 1, 1, 0);
  add_nodes(pool, 1, 1, 1);
  Clockwork centre(std::move(pool), rounds_of("adaptive", 60, 86'400));
  Work little = elastic_work(1, 1, 1000);
  little.speed = table_of({.rates = {{0, 1.2}, {1, 1.0}}, .power = 1}, 1, 1, 1);
  Work much = elastic_work(2, 1, 1000);
  much.speed = table_of({.rates = {{0, 5.0}, {1, 1.0}}, .power = 1}, 1, 1, 1);
  for (Work* work : {&little, &much}) {
    work->kinds = {};
    centre.submit(*work);
  }
  centre.run_until_s(400);
  EXPECT_EQ(centre.jobs.at(2).kind, 0);
}

TEST(Adaptive, EqualUnknownRigidJobsComeFirstComeFirstServed) {
  Clockwork centre(testing::pool_of(1, 2), rounds_of("adaptive", 60, 86'400));
  for (std::uint64_t id = 1; id <= 6; ++id) {
    Work work = elastic_work(id, 1, 500);
    work.preemptible = false;
    centre.submit(work);
  }
  centre.run_until_s(1);
  EXPECT_EQ(centre.running(), (std::vector<std::uint64_t>{1, 2}));
  centre.run_until_s(501);
  EXPECT_EQ(centre.running(), (std::vector<std::uint64_t>{3, 4}));
}

TEST(Adaptive, NothingIsMovedForLessThanItCosts) {
  // Twice the chips come free for a job that has 100 s left and would lose 90 to move: it stays.
  Clockwork centre(testing::pool_of(1, 2), rounds_of("adaptive", 60, 86'400));
  Work stays = elastic_work(1, 1, 400);
  stays.speed = table_of({.rates = {{0, 1.0}}, .power = 1}, 1, 1, 2);
  stays.workers_min = 1;
  stays.workers_max = 2;
  stays.restart_cost = seconds(90);
  Work first = elastic_work(2, 1, 300);
  first.preemptible = false;
  centre.submit(first);
  centre.submit(stays);
  centre.run_until_s(10'000);
  EXPECT_EQ(centre.jobs.at(1).stops, 0);
  EXPECT_TRUE(centre.jobs.at(1).done);
}

Work random_work(Random& random, std::uint64_t id) {
  const auto workers = static_cast<std::int64_t>(1 + random.below(random.below(4) == 0 ? 3 : 1));
  Work work = elastic_work(id, workers, 50 + static_cast<std::int64_t>(random.exponential() * 4000), 1);
  work.tenant = TenantId{1 + random.below(3)};
  work.priority = random.below(5) == 0 ? 1 : 0;
  work.preemptible = random.below(8) != 0;
  work.restart_cost = seconds(static_cast<std::int64_t>(random.below(3) * 30));
  if (random.below(3) != 0) {
    const Speeds1 speeds{.rates = {{0, 1.0}, {1, random.uniform(0.3, 3)}}, .power = random.uniform(0.6, 1)};
    const bool elastic = random.below(2) == 0;
    if (elastic) {
      work.workers_min = 1;
      work.workers_max = workers + 2;
    }
    work.speed = table_of(speeds, 1, elastic ? 1 : workers, elastic ? workers + 2 : workers);
    work.expected = {};
  }
  return work;
}

std::string play(std::uint64_t seed, bool restarts) {
  Random random(seed);
  Pool pool;
  add_nodes(pool, static_cast<std::int64_t>(1 + random.below(3)), 4, 0);
  add_nodes(pool, static_cast<std::int64_t>(2 + random.below(3)), 4, 1);
  Clockwork centre(std::move(pool), rounds_of("adaptive", 300, 20'000));
  centre.stop_cost = seconds(static_cast<std::int64_t>(random.below(3) * 20));
  Random coin = random.stream(7);
  std::uint64_t id = 0;
  for (int i = 0; i < 60; ++i) {
    centre.submit(random_work(random, ++id));
    centre.run_until(centre.now + seconds(static_cast<std::int64_t>(random.exponential() * 500)));
    if (coin.below(4) == 0 && restarts) { centre.restart(); }
  }
  centre.run_until(centre.now + seconds(3'000'000));
  for (const auto& [owner, job] : centre.jobs) { EXPECT_TRUE(job.done) << owner << " of seed " << seed; }
  return centre.log;
}

TEST(Adaptive, AllIsDoneAndARestartChangesNothing) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const std::string once = play(seed, false);
    ASSERT_EQ(once, play(seed, false)) << "seed " << seed;
    const std::string again = play(seed, true);
    std::size_t at = 0;
    while (at < std::min(once.size(), again.size()) && once[at] == again[at]) { ++at; }
    ASSERT_EQ(once.size(), at) << "seed " << seed << ": " << once.substr(at > 60 ? at - 60 : 0, 120)
                               << "\n  restarted: " << again.substr(at > 60 ? at - 60 : 0, 120);
  }
}

/// Small jobs of a higher priority never stop coming; a gang of all chips starts by its bound all the same.
TEST(Adaptive, NothingStarves) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Random random(seed);
    Clockwork centre(testing::pool_of(2, 4), rounds_of("adaptive", 300, 20'000));
    centre.stop_cost = seconds(10);
    std::uint64_t id = 0;
    for (int i = 0; i < 800; ++i) {
      Work work = elastic_work(++id, 1, 200 + static_cast<std::int64_t>(random.below(1800)));
      work.preemptible = random.below(2) == 0;
      work.priority = 1;
      if (i == 50) {
        work.gang.workers = 2;
        work.gang.chips = 4;
        work.priority = 0;
      }
      centre.submit(work);
      centre.run_until(centre.now + seconds(static_cast<std::int64_t>(100 + random.below(40))));
    }
    const auto& gang = centre.jobs.at(51);
    ASSERT_GT(gang.starts, 0) << "seed " << seed;
    ASSERT_LE(to_seconds(gang.first_start - gang.work.submitted), 20'000 + 300 + 2000 + 10 + 300) << "seed " << seed;
  }
}

}  // namespace
}  // namespace centrale
