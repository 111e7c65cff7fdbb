// SPDX-License-Identifier: Apache-2.0
#include "simulate/replica.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.hpp"
#include "estimate/serve_run.hpp"
#include "model/read.hpp"

namespace centrale {
namespace {

/// An iteration takes 10 ms, and 1 ms for each token of prompts, and a little for context.
class Table final : public ReplicaModel {
 public:
  explicit Table(ReplicaLimits limits, double context_us = 0) : limits_(limits), context_us_(context_us) {}
  Seconds iteration(const IterationWork& work) const override {
    return {0.010 + 0.001 * work.prompt_tokens + context_us_ * 1e-6 * work.decoding * work.context};
  }
  ReplicaLimits limits() const override { return limits_; }

 private:
  ReplicaLimits limits_;
  double context_us_;
};

ReplicaLimits roomy() {
  ReplicaLimits limits;
  limits.cache_tokens = 100'000;
  limits.tokens_max = 100;
  limits.sequences_max = 8;
  return limits;
}

struct Ask {
  std::int64_t at_ms, prompt, output;
  std::vector<std::uint64_t> blocks = {};
};
RequestTrace trace_of(const std::vector<Ask>& asks) {
  RequestTrace trace;
  for (const Ask& ask : asks) {
    TraceRequest r;
    r.arrival = {ask.at_ms * 1'000'000};
    r.prompt = ask.prompt;
    r.output = ask.output;
    r.first_block = trace.blocks.size();
    r.blocks = static_cast<std::uint32_t>(ask.blocks.size());
    trace.blocks.insert(trace.blocks.end(), ask.blocks.begin(), ask.blocks.end());
    trace.requests.push_back(r);
  }
  return trace;
}

std::vector<ServedRequest> play(Replica& replica, const RequestTrace& trace) {
  std::vector<ServedRequest> served;
  for (std::uint32_t i = 0; i < trace.requests.size(); ++i) {
    const Time at = trace.requests[i].arrival;
    while (replica.next_event() <= at) { replica.advance(replica.next_event(), served); }
    replica.advance(at, served);
    replica.submit(i, at, at);
  }
  while (replica.next_event() != kNever) { replica.advance(replica.next_event(), served); }
  return served;
}
std::vector<ServedRequest> play(const ReplicaLimits& limits, const RequestTrace& trace) {
  Replica replica(std::make_shared<Table>(limits), trace);
  auto served = play(replica, trace);
  std::ranges::sort(served, {}, &ServedRequest::request);
  return served;
}

Time ms(std::int64_t n) { return {n * 1'000'000}; }

TEST(Replica, OneRequestByHand) {
  // 50 tokens prefilled: 10 + 50 ms; then two iterations of 10 ms.
  const auto served = play(roomy(), trace_of({{.at_ms = 0, .prompt = 50, .output = 3}}));
  ASSERT_EQ(served.size(), 1U);
  EXPECT_EQ(served[0].first, ms(60));
  EXPECT_EQ(served[0].end, ms(80));
  EXPECT_EQ(served[0].itl_mean, milliseconds(10));
  EXPECT_EQ(served[0].itl_max, milliseconds(10));
}

TEST(Replica, TwoRequestsByHand) {
  // The second arrives at 65, while an iteration runs until 70. Its 150 tokens take two iterations, of 99 and 51 beside the one that
  // decodes: 109 ms until 179, 61 ms until 240.
  const auto served = play(roomy(), trace_of({{.at_ms = 0, .prompt = 50, .output = 5}, {.at_ms = 65, .prompt = 150, .output = 2}}));
  ASSERT_EQ(served.size(), 2U);
  EXPECT_EQ(served[0].first, ms(60));
  EXPECT_EQ(served[0].end, ms(250));  // tokens at 60, 70, 179, 240, 250
  EXPECT_EQ(served[0].itl_max, milliseconds(109));
  EXPECT_EQ(served[0].itl_mean, Nanos{47'500'000});
  EXPECT_EQ(served[1].first, ms(240));
  EXPECT_EQ(served[1].end, ms(250));
  EXPECT_EQ(served[1].itl_max, milliseconds(10));
}

TEST(Replica, PromptsByThemselvesStopTheOthers) {
  ReplicaLimits limits = roomy();
  limits.batching = Batching::prompts;
  const auto served = play(limits, trace_of({{.at_ms = 0, .prompt = 50, .output = 3}, {.at_ms = 65, .prompt = 50, .output = 2}}));
  EXPECT_EQ(served[1].first, ms(130));
  EXPECT_EQ(served[0].end, ms(140));  // tokens at 60, 70, 140
  EXPECT_EQ(served[0].itl_max, milliseconds(70));
  EXPECT_EQ(served[1].itl_max, milliseconds(10));
}

TEST(Replica, APrefixIsNotPrefilledAgain) {
  ReplicaLimits limits = roomy();
  limits.tokens_max = 10'000;
  const auto served = play(limits, trace_of({{.at_ms = 0, .prompt = 1124, .output = 1, .blocks = {1, 2, 3}},
                                             {.at_ms = 5000, .prompt = 1124, .output = 1, .blocks = {1, 2, 4}},
                                             {.at_ms = 9000, .prompt = 1024, .output = 1, .blocks = {1, 2}}}));
  EXPECT_EQ(served[0].cached, 0);
  EXPECT_EQ(served[1].cached, 1024);
  EXPECT_EQ(served[1].first, ms(5000 + 10 + 100));
  EXPECT_EQ(served[2].cached, 1023);  // all is there: the last token is computed for its scores
  EXPECT_EQ(served[2].first, ms(9000 + 10 + 1));
}

TEST(Replica, PrefixesGoLeastRecentlyUsedFirst) {
  ReplicaLimits limits = roomy();
  limits.tokens_max = 10'000;
  limits.cache_tokens = 1100;  // two blocks and a token
  const auto served = play(limits, trace_of({{.at_ms = 0, .prompt = 512, .output = 1, .blocks = {1}},
                                             {.at_ms = 1000, .prompt = 512, .output = 1, .blocks = {2}},
                                             {.at_ms = 2000, .prompt = 512, .output = 1, .blocks = {1}},
                                             {.at_ms = 3000, .prompt = 512, .output = 1, .blocks = {3}},
                                             {.at_ms = 4000, .prompt = 512, .output = 1, .blocks = {1}},
                                             {.at_ms = 5000, .prompt = 512, .output = 1, .blocks = {2}}}));
  EXPECT_EQ(served[2].cached, 511);
  EXPECT_EQ(served[4].cached, 511);  // 3 pushed 2 out
  EXPECT_EQ(served[5].cached, 0);
}

TEST(Replica, WhoCameLastIsPreemptedAndComputedAgain) {
  ReplicaLimits limits = roomy();
  limits.cache_tokens = 130;
  limits.tokens_max = 200;
  // Both fit with 100 tokens; after 15 iterations the cache is full. The second waits for the first.
  const auto served = play(limits, trace_of({{.at_ms = 0, .prompt = 50, .output = 40}, {.at_ms = 0, .prompt = 50, .output = 40}}));
  ASSERT_EQ(served.size(), 2U);
  EXPECT_EQ(served[0].preemptions, 0U);
  EXPECT_EQ(served[1].preemptions, 1U);
  EXPECT_LT(served[0].end, served[1].end);
  EXPECT_GT(served[1].itl_max, milliseconds(100));  // the wait is a gap between its tokens
}

TEST(Replica, LimitsSequencesAndRefusesWhatNeverFits) {
  ReplicaLimits limits = roomy();
  limits.sequences_max = 1;
  const auto served = play(limits, trace_of({{.at_ms = 0, .prompt = 50, .output = 3}, {.at_ms = 1, .prompt = 50, .output = 3}}));
  EXPECT_EQ(served[0].end, ms(80));
  EXPECT_EQ(served[1].first, ms(140));
  const RequestTrace trace = trace_of({{.at_ms = 0, .prompt = 99'999, .output = 2}});
  EXPECT_FALSE(Replica(std::make_shared<Table>(limits), trace).fits(trace.requests[0]));
}

TEST(Replica, TakesBackWhatWaits) {
  ReplicaLimits limits = roomy();
  limits.sequences_max = 1;
  const RequestTrace trace = trace_of({{.at_ms = 0, .prompt = 50, .output = 3}, {.at_ms = 0, .prompt = 50, .output = 3}});
  Replica replica(std::make_shared<Table>(limits), trace);
  std::vector<ServedRequest> served;
  replica.submit(0, {}, {});
  replica.submit(1, {}, {});
  const auto taken = replica.take_waiting();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].request, 1U);
  EXPECT_EQ(replica.requests(), 1U);
  replica.advance(ms(65), served);
  const auto all = replica.take_all();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_TRUE(all[0].begun);
  EXPECT_EQ(replica.next_event(), kNever);
}

/// Requests at random that share prefixes, some crowding the cache.
RequestTrace random_trace(Random& random, std::size_t count) {
  std::vector<Ask> asks;
  double at = 0;
  for (std::size_t i = 0; i < count; ++i) {
    at += random.exponential() * 400;
    Ask ask{.at_ms = static_cast<std::int64_t>(at),
            .prompt = 1 + static_cast<std::int64_t>(random.below(1800)),
            .output = 1 + static_cast<std::int64_t>(random.below(random.below(4) == 0 ? 900 : 60))};
    const std::uint64_t family = random.below(3);
    std::uint64_t id = family;
    for (std::int64_t start = 0; start < ask.prompt; start += kPrefixBlock) {
      // A chain: the block's tokens and all before it are in the id, as in a hash.
      const auto length = static_cast<std::uint64_t>(std::min(kPrefixBlock, ask.prompt - start));
      id = id * 4099 + length + (random.below(4) == 0 ? 7'777 + random.below(5) : 0);
      ask.blocks.push_back(id);
    }
    asks.push_back(ask);
  }
  return trace_of(asks);
}

bool same(const ServedRequest& a, const ServedRequest& b) {
  return a.request == b.request && a.first == b.first && a.end == b.end && a.itl_mean == b.itl_mean && a.itl_max == b.itl_max &&
         a.cached == b.cached && a.preemptions == b.preemptions;
}

TEST(Replica, ManyStepsAtOnceAreManySteps) {
  std::int64_t preempted = 0, cached = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    const RequestTrace trace = random_trace(random, 60);
    ReplicaLimits limits = roomy();
    limits.cache_tokens = 3000 + static_cast<std::int64_t>(random.below(4000));
    limits.tokens_max = 64 + static_cast<std::int64_t>(random.below(1000));
    limits.sequence_tokens = static_cast<std::int64_t>(random.below(20));
    limits.batching = static_cast<Batching>(random.below(3));
    const auto model = std::make_shared<Table>(limits, 0.3);
    Replica many(model, trace), single(model, trace, Replica::Steps::single);
    const auto a = play(many, trace), b = play(single, trace);
    ASSERT_EQ(a.size(), trace.requests.size()) << "seed " << seed;
    ASSERT_EQ(b.size(), a.size()) << "seed " << seed;
    std::int64_t output = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      ASSERT_TRUE(same(a[i], b[i])) << "seed " << seed << ", request " << a[i].request << " and " << b[i].request;
      const TraceRequest& r = trace.requests[a[i].request];
      ASSERT_LE(r.arrival, a[i].first);
      ASSERT_LE(a[i].first, a[i].end);
      ASSERT_LE(a[i].itl_mean, a[i].itl_max);
      output += r.output;
    }
    EXPECT_EQ(many.counts().output_tokens, output) << "seed " << seed;
    EXPECT_EQ(many.counts().prompt_tokens, single.counts().prompt_tokens);
    EXPECT_EQ(many.counts().iterations, single.counts().iterations);
    EXPECT_EQ(many.counts().busy, single.counts().busy);
    EXPECT_EQ(many.tokens_in_flight(), 0);
    EXPECT_EQ(many.prompt_tokens_left(), 0);
    preempted += many.counts().preemptions;
    cached += many.counts().cached_tokens;
  }
  EXPECT_GT(preempted, 50);  // the cases are reached
  EXPECT_GT(cached, 10'000);
}

TEST(Replica, AtSaturationItIsThePlannersSteadyState) {
  const Fleet fleet = *fleet_of("h100-sxmx4", default_catalogue());
  const ServeEstimator estimator(*catalogue_model("llama-3.1-70b"), fleet.islands.front(), *engine_named("vllm", default_engines()),
                                 {.tp = 4, .weights = weight_format_like("bf16")});
  for (const auto& [input, output] : {std::pair{1024, 256}, std::pair{256, 512}, std::pair{4000, 100}}) {
    const std::int64_t requests = 1500;
    std::vector<Ask> asks;
    for (std::int64_t i = 0; i < requests; ++i) { asks.push_back({.at_ms = 0, .prompt = input, .output = output}); }
    const RequestTrace trace = trace_of(asks);
    Replica replica(*EstimatedReplica::make(estimator), trace);
    const auto served = play(replica, trace);
    const double rate = static_cast<double>(requests) / to_seconds(served.back().end - Time{});
    Traffic traffic;
    traffic.input = input;
    traffic.output = output;
    traffic.requests = requests;
    const ServeRun run = serve_run(estimator, traffic);
    EXPECT_NEAR(rate / run.requests.value, 1, 0.1) << input << " in, " << output << " out";
  }
}

TEST(Replica, NoRoomIsAnError) {
  const Fleet fleet = *fleet_of("h100-sxmx1", default_catalogue());
  const ServeEstimator estimator(*catalogue_model("llama-3.1-70b"), fleet.islands.front(), *engine_named("vllm", default_engines()),
                                 {.tp = 1, .weights = weight_format_like("bf16")});
  const auto model = EstimatedReplica::make(estimator);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().what, "the weights leave no memory for a cache");
}

}  // namespace
}  // namespace centrale
