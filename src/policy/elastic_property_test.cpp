// SPDX-License-Identifier: Apache-2.0
// Random arrivals, ends, stops and restarts under every policy that stops work, and what must hold throughout.
#include <gtest/gtest.h>

#include "base/random.hpp"
#include "policy/elastic.hpp"
#include "policy/elastic_testing.hpp"

namespace centrale {
namespace {

using testing::add_nodes;
using testing::Clockwork;
using testing::elastic_work;
using testing::rounds_of;

constexpr std::int64_t kRound_s = 300, kStarvation_s = 20'000;

class ElasticAll : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(, ElasticAll,
                         ::testing::Values("las", "srtf", "fair", "goodput", "effective", "effective-fifo", "effective-makespan"));

Work random_work(Random& random, std::uint64_t id) {
  const std::int64_t chips = std::int64_t{1} << random.below(3);
  const auto workers = static_cast<std::int64_t>(1 + random.below(random.below(4) == 0 ? 3 : 1));
  Work w = elastic_work(id, workers, 50 + static_cast<std::int64_t>(random.exponential() * 4000), chips);
  w.tenant = TenantId{1 + random.below(3)};
  w.priority = random.below(5) == 0 ? 1 : 0;
  w.preemptible = random.below(8) != 0;
  w.restart_cost = seconds(static_cast<std::int64_t>(random.below(3) * 30));
  if (random.below(3) == 0) { w.checkpoint_every = seconds(900); }
  if (random.below(3) != 0) {
    testing::Speeds1 speeds{.rates = {{0, 1.0}, {1, random.uniform(0.3, 3)}}, .power = random.uniform(0.6, 1)};
    if (random.below(2) == 0) {
      w.workers_min = 1;
      w.workers_max = workers + 2;
    }
    w.speed = testing::table_of(speeds, chips, w.workers_max > 0 ? 1 : workers, w.workers_max > 0 ? w.workers_max : workers);
    w.expected = {};
  } else if (random.below(3) == 0) {
    w.work_left = 0;  // nobody knows; the centre does
    w.expected = {};
  }
  return w;
}

/// What no decision may do.
struct Oracle {
  Clockwork& centre;
  std::map<std::uint64_t, std::pair<KindIndex, std::size_t>> before;  // owner: shape that it was stopped in, when resized or moved
  void inspect(const Decision& decision) {
    for (const Stop& stop : decision.stops) {
      for (auto& [owner, job] : centre.jobs) {
        if (job.work.task != stop.task) { continue; }
        const Nanos age = centre.now - job.since;
        if (stop.why != StopReason::preempted) {
          ASSERT_NE(job.work.speed, nullptr);
          ASSERT_GE(age, std::max(seconds(kRound_s), Nanos{4 * job.work.restart_cost.value}));
          const double best = best_gain(job);
          const double horizon = to_seconds(std::max(seconds(kRound_s), age));
          const double left = std::max(0.0, job.left - job.rate * to_seconds(std::max(Nanos{}, age - job.work.restart_cost))) / job.rate;
          ASSERT_GT(best * std::min(left, horizon), to_seconds(job.work.restart_cost)) << "a job was moved for less than it costs";
        }
      }
    }
    for (std::size_t kind = 0; kind < 2; ++kind) {
      ASSERT_LE(centre.as<ElasticPolicy>().promised(static_cast<KindIndex>(kind)), centre.pool.free_of(static_cast<KindIndex>(kind)))
          << "a promise is broken";
    }
  }
  static double best_gain(const Clockwork::Job& job) {
    double best = 0;
    for (const Shape& shape : job.work.speed->shapes) { best = std::max(best, static_cast<double>(shape.rate[0]) / job.rate - 1); }
    return best;
  }
};

struct Played {
  std::string log;
  std::size_t done = 0;
};

Played play(const char* policy, std::uint64_t seed, bool restarts) {
  Random random(seed);
  Pool pool;
  add_nodes(pool, static_cast<std::int64_t>(1 + random.below(3)), 4, 0);
  add_nodes(pool, static_cast<std::int64_t>(3 + random.below(3)), 4, 1);
  Clockwork centre(std::move(pool), rounds_of(policy, kRound_s, kStarvation_s));
  centre.stop_cost = seconds(static_cast<std::int64_t>(random.below(3) * 20));
  Oracle oracle{centre, {}};
  centre.inspect = [&](const Decision& decision) { oracle.inspect(decision); };
  Random coin = random.stream(7);
  std::uint64_t id = 0;
  for (int i = 0; i < 60 && !::testing::Test::HasFatalFailure(); ++i) {
    Work w = random_work(random, ++id);
    const double length = static_cast<double>(std::max<std::int64_t>(50, static_cast<std::int64_t>(random.exponential() * 4000)));
    centre.submit(w);
    if (w.work_left <= 0) { centre.jobs.at(id).left = length; }
    centre.run_until(centre.now + seconds(static_cast<std::int64_t>(random.exponential() * 500)));
    if (coin.below(4) == 0 && restarts) { centre.restart(); }
  }
  centre.run_until(centre.now + seconds(3'000'000));
  Played played{.log = centre.log, .done = 0};
  for (const auto& [owner, job] : centre.jobs) { played.done += job.done ? 1U : 0U; }
  EXPECT_EQ(played.done, id) << policy << " seed " << seed;
  return played;
}

TEST_P(ElasticAll, AllIsDoneAndARestartChangesNothing) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const Played once = play(GetParam(), seed, false);
    ASSERT_FALSE(::testing::Test::HasFailure()) << GetParam() << " seed " << seed;
    const Played again = play(GetParam(), seed, true);
    ASSERT_FALSE(::testing::Test::HasFailure()) << GetParam() << " seed " << seed;
    std::size_t at = 0;
    while (at < std::min(once.log.size(), again.log.size()) && once.log[at] == again.log[at]) { ++at; }
    ASSERT_EQ(once.log.size(), at) << "seed " << seed << ": " << once.log.substr(at > 60 ? at - 60 : 0, 120)
                                   << "\n  restarted: " << again.log.substr(at > 60 ? at - 60 : 0, 120);
  }
}

/// Small jobs never stop coming; a gang of all chips starts by its bound all the same: starvation, one round until it is seen, and
/// what may not be stopped: at most 2,000 s here, and the stop itself.
TEST_P(ElasticAll, NothingStarves) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Random random(seed);
    Clockwork centre(testing::pool_of(2, 4), rounds_of(GetParam(), kRound_s, kStarvation_s));
    centre.stop_cost = seconds(10);
    std::uint64_t id = 0;
    for (int i = 0; i < 800; ++i) {
      Work w = elastic_work(++id, 1, 200 + static_cast<std::int64_t>(random.below(1800)));
      w.preemptible = random.below(2) == 0;
      w.tenant = TenantId{1 + random.below(3)};
      w.priority = 1;
      if (i == 50) {
        w.tenant = TenantId{9};
        w.gang.workers = 2;
        w.gang.chips = 4;
        w.priority = 0;
        w.preemptible = true;
      }
      centre.submit(w);
      centre.run_until(centre.now + seconds(static_cast<std::int64_t>(100 + random.below(40))));
    }
    const auto& gang = centre.jobs.at(51);
    ASSERT_GT(gang.starts, 0);
    ASSERT_LE(to_seconds(gang.first_start - gang.work.submitted), kStarvation_s + kRound_s + 2000 + 10 + kRound_s) << "seed " << seed;
  }
}

}  // namespace
}  // namespace centrale
