// SPDX-License-Identifier: Apache-2.0
#include "simulate/serving.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.hpp"
#include "simulate/serving_run.hpp"

namespace centrale {
namespace {

/// 10 ms an iteration, and 0.1 ms for each token of prompts.
class Table final : public ReplicaModel {
 public:
  explicit Table(std::int64_t cache = 20'000) { limits_.cache_tokens = cache; }
  Seconds iteration(const IterationWork& work) const override { return {0.010 + 0.0001 * work.prompt_tokens}; }
  ReplicaLimits limits() const override { return limits_; }

 private:
  ReplicaLimits limits_{.cache_tokens = 0,
                        .sequence_tokens = 0,
                        .tokens_max = 1000,
                        .sequences_max = 16,
                        .batching = Batching::mixed,
                        .prefix_cache = true,
                        .request = {},
                        .token = {},
                        .waits = 0};
};
std::shared_ptr<const ReplicaModel> table(std::int64_t cache = 20'000) { return std::make_shared<Table>(cache); }

Time ms(std::int64_t n) { return {n * 1'000'000}; }

/// `sessions` conversations, whose turns begin with all that came before.
RequestTrace conversations(std::uint64_t seed, std::size_t count, double rate, std::uint64_t sessions = 12) {
  RequestTrace trace;
  Random random(seed);
  std::vector<std::vector<std::uint64_t>> blocks(sessions);
  double at = 0;
  std::uint64_t next = 1;
  for (std::size_t i = 0; i < count; ++i) {
    at += random.exponential() / rate;
    auto& turn = blocks[random.below(sessions)];
    if (turn.size() >= 8) { turn.clear(); }
    turn.push_back(next++);
    TraceRequest r;
    r.arrival = {static_cast<std::int64_t>(at * 1e9)};
    r.prompt = static_cast<std::int64_t>(turn.size()) * kPrefixBlock;
    r.output = 1 + static_cast<std::int64_t>(random.below(80));
    r.first_block = trace.blocks.size();
    r.blocks = static_cast<std::uint32_t>(turn.size());
    trace.blocks.insert(trace.blocks.end(), turn.begin(), turn.end());
    trace.requests.push_back(r);
  }
  return trace;
}

ServingResult run(const RequestTrace& trace, Routing routing, std::int64_t replicas, bool keep = false) {
  ServingOptions options;
  options.routing = routing;
  options.keep_requests = keep;
  options.level = {.ttft = milliseconds(1000), .itl = milliseconds(50)};
  return run_service(trace, table(), options, {.replicas = replicas, .autoscale = {}, .capacity = {}});
}

TEST(SpanHistogram, IsWithinAPercent) {
  Random random(1);
  SpanHistogram histogram;
  std::vector<std::int64_t> all;
  for (int i = 0; i < 20'000; ++i) {
    all.push_back(static_cast<std::int64_t>(random.log_normal(1e8, 3)));
    histogram.add({all.back()});
  }
  std::ranges::sort(all);
  for (const double part : {0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::max(1.0, std::ceil(part * 20'000))) - 1;
    EXPECT_NEAR(static_cast<double>(histogram.quantile(part).value) / static_cast<double>(all[rank]), 1, 0.01) << part;
  }
  EXPECT_EQ(histogram.longest().value, all.back());
  EXPECT_EQ(SpanHistogram{}.quantile(0.5), Nanos{0});
}

TEST(Serving, ByHand) {
  RequestTrace trace;
  for (int i = 0; i < 2; ++i) {
    TraceRequest r;
    r.arrival = ms(i * 5);
    r.prompt = 100;
    r.output = 3;
    trace.requests.push_back(r);
  }
  const ServingResult r = run(trace, Routing::round_robin, 2, true);
  ASSERT_EQ(r.requests.size(), 2U);
  EXPECT_EQ(r.requests[0].first, ms(20));
  EXPECT_EQ(r.requests[0].end, ms(40));
  EXPECT_EQ(r.requests[1].first, ms(25));  // a replica of its own
  EXPECT_EQ(r.attained, 2);
  EXPECT_DOUBLE_EQ(r.attainment(), 1);
  EXPECT_NEAR(r.replica_hours, 2 * 0.045 / 3600, 1e-12);
}

TEST(Serving, EveryRequestEndsOnceAndTokensAddUp) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    RequestTrace trace = conversations(seed, 400, 20);
    trace.requests[7].prompt = 30'000;  // longer than any cache
    trace.requests[7].blocks = 0;
    std::int64_t output = 0;
    for (const TraceRequest& r : trace.requests) { output += r.output; }
    for (std::size_t i = 0; i < kEnumNames<Routing>.size(); ++i) {
      const ServingResult r = run(trace, static_cast<Routing>(i), 3, true);
      ASSERT_EQ(r.offered, 400);
      ASSERT_EQ(r.served, 399);
      ASSERT_EQ(r.refused_long, 1);
      ASSERT_EQ(r.inside, 0);
      ASSERT_EQ(r.output_tokens, output - trace.requests[7].output);
      std::vector<bool> seen(400);
      for (const ServedRequest& one : r.requests) {
        ASSERT_FALSE(seen[one.request]);
        seen[one.request] = true;
        ASSERT_EQ(one.arrival, trace.requests[one.request].arrival);
      }
      std::int64_t by_hour = 0;
      double hours = 0;
      for (const ServingHour& hour : r.hours) {
        by_hour += hour.served;
        hours += hour.replica_hours;
      }
      EXPECT_EQ(by_hour, r.served);
      EXPECT_NEAR(hours, r.replica_hours, 1e-9);
    }
  }
}

TEST(Serving, TheSameTwice) {
  const RequestTrace trace = conversations(4, 500, 25);
  const ServingResult a = run(trace, Routing::two_choices, 4, true), b = run(trace, Routing::two_choices, 4, true);
  ASSERT_EQ(a.requests.size(), b.requests.size());
  for (std::size_t i = 0; i < a.requests.size(); ++i) {
    ASSERT_EQ(a.requests[i].request, b.requests[i].request);
    ASSERT_EQ(a.requests[i].end, b.requests[i].end);
  }
}

TEST(Serving, PrefixRoutingFindsMoreInCaches) {
  const RequestTrace trace = conversations(2, 2000, 15);
  const ServingResult affine = run(trace, Routing::prefix, 4), blind = run(trace, Routing::round_robin, 4);
  EXPECT_GT(affine.cached_tokens, 2 * blind.cached_tokens);
  EXPECT_LT(affine.ttft.quantile(0.5), blind.ttft.quantile(0.5));
  EXPECT_LT(affine.imbalance, 1.5);
}

TEST(Serving, ReplicasComeDrainAndAreLost) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const RequestTrace trace = conversations(seed, 600, 30);
    ServingOptions options;
    options.routing = static_cast<Routing>(seed % 4);
    options.seed = seed;
    ServingSim sim(trace, options);
    Random random(seed);
    std::vector<std::uint64_t> alive, all_gone;
    std::uint64_t last = 0;
    Time now;
    for (int step = 0; step < 200; ++step) {
      now = now + milliseconds(static_cast<std::int64_t>(random.below(200)));
      if (alive.size() < 2 || random.below(3) == 0) {
        alive.push_back(++last);
        sim.add_replica(last, table(), now + milliseconds(static_cast<std::int64_t>(random.below(500))), now);
      } else {
        const std::size_t i = random.below(alive.size());
        if (random.below(2) == 0) {
          sim.remove_replica(alive[i], now);
        } else {
          sim.lose_replica(alive[i], now);
        }
        alive.erase(alive.begin() + static_cast<std::ptrdiff_t>(i));
      }
      for (const std::uint64_t id : sim.take_gone()) { all_gone.push_back(id); }
      const ServiceLoad load = sim.load(now);
      ASSERT_LE(load.replicas + load.starting, static_cast<std::int64_t>(alive.size()));
      const ServingResult r = sim.result(now);
      ASSERT_EQ(r.offered, r.served + r.lost + r.refused_full + r.refused_long + r.inside) << "seed " << seed;
    }
    sim.add_replica(++last, table(), now, now);
    while (sim.next_event() != kNever) { sim.advance(now = sim.next_event()); }
    const ServingResult r = sim.result(now);
    EXPECT_EQ(r.inside, 0) << "seed " << seed;
    EXPECT_EQ(r.served + r.lost, 600);
    EXPECT_EQ(sim.left(), 0U);
    for (const std::uint64_t id : sim.take_gone()) { all_gone.push_back(id); }
    EXPECT_EQ(all_gone.size(), last - alive.size() - 1);
  }
}

TEST(Serving, WithoutReplicasRequestsWaitInABoundedQueue) {
  const RequestTrace trace = conversations(1, 20, 100);
  ServingOptions options;
  options.queue_max = 15;
  ServingSim sim(trace, options);
  sim.advance(ms(5000));
  EXPECT_EQ(sim.next_event(), kNever);
  const ServiceLoad load = sim.load(ms(5000));
  EXPECT_EQ(load.queued, 15);
  EXPECT_GT(load.tokens_in_flight, 0);
  EXPECT_EQ(sim.result(ms(5000)).refused_full, 5);
  sim.add_replica(1, table(), ms(6000), ms(5000));
  while (sim.next_event() != kNever) { sim.advance(sim.next_event()); }
  EXPECT_EQ(sim.result(ms(60'000)).served, 15);
  EXPECT_GE(sim.result(ms(60'000)).ttft.quantile(0), milliseconds(5500));
}

TEST(Serving, LoadIsWhatCameSinceTheLoadBefore) {
  const RequestTrace trace = conversations(1, 300, 20);
  ServingSim sim(trace, {});
  sim.add_replica(1, table(), {}, {});
  double tokens = 0;
  std::int64_t ended = 0;
  for (int i = 1; i <= 60; ++i) {
    const ServiceLoad load = sim.load(ms(i * 1000));
    tokens += load.tokens_per_s;
    ended += load.ended;
  }
  std::int64_t all = 0;
  for (const TraceRequest& r : trace.requests) { all += r.prompt + r.output; }
  EXPECT_EQ(ended, 300);
  EXPECT_NEAR(tokens, static_cast<double>(all), 1e-3);
  EXPECT_EQ(sim.load(ms(61'000)).tokens_in_flight, 0);
}

TEST(Serving, ScaledHoldsTheLevelWithFewerHoursThanTheFixedPeak) {
  GenerateOptions generate;
  generate.arrivals = Arrivals::diurnal;
  generate.rate = 12;
  generate.day = seconds(7200);
  generate.duration = seconds(7200);
  RequestTrace source = conversations(3, 500, 10);
  source.blocks.clear();
  for (TraceRequest& r : source.requests) { r.blocks = 0; }
  const auto trace = generate_requests(source, generate);
  ASSERT_TRUE(trace);
  ServingOptions options;
  options.level = {.ttft = milliseconds(2000), .itl = milliseconds(200)};
  const ReplicaCapacity capacity = replica_capacity(source, table(), options.level, 0.95, 1);
  ASSERT_GT(capacity.tokens_per_s, 0);
  std::int64_t fixed = 1;
  while (run_service(*trace, table(), options, {.replicas = fixed, .autoscale = {}, .capacity = {}}).attainment() < 0.95) { ++fixed; }
  AutoscaleOptions scaling;
  scaling.max = 20;
  scaling.day = seconds(7200);
  const ServingResult scaled = run_service(*trace, table(), options, {.replicas = 1, .autoscale = scaling, .capacity = capacity});
  EXPECT_GE(scaled.attainment(), 0.95);
  EXPECT_LT(scaled.replica_hours, static_cast<double>(fixed) * 2 * 0.95);
}

}  // namespace
}  // namespace centrale
