// SPDX-License-Identifier: Apache-2.0
#include "estimate/serve_run.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/read.hpp"

namespace centrale {
namespace {

ServeEstimator estimator(Batching batching = Batching::mixed, double sequences = 64) {
  Engine engine = *engine_named("vllm", default_engines());
  engine.batching = batching;
  engine.sequences_max = sequences;
  engine.request = Seconds{0};
  engine.token = Seconds{0};
  engine.polling = 0;
  const Island island = fleet_of(*default_catalogue().chip("h100-sxm"), 8, default_catalogue()).islands.front();
  return {*catalogue_model("llama-3.1-8b"), island, engine, {.tp = 1, .weights = weight_format_like("bf16")}};
}

struct Seen {
  double ttft = 0, itl = 0, output = 0;
};

/// The closed loop again, one iteration after another with nothing taken together: equal lengths, prompts chunked, decoding first.
Seen played_plainly(const ServeEstimator& e, double clients, double input, double output, int requests) {
  struct One {
    double arrival, left, first, done;
  };
  std::vector<One> waiting, active;
  const auto slots = static_cast<std::size_t>(e.engine().sequences_max);
  double now = 0, ttft = 0, itl = 0, tokens = 0;
  int issued = 0, finished = 0;
  for (; issued < std::min(static_cast<int>(clients), requests); ++issued) { waiting.push_back({0, input, 0, 0}); }
  while (finished < requests) {
    while (!waiting.empty() && active.size() < slots) {
      active.push_back(waiting.front());
      waiting.erase(waiting.begin());
    }
    IterationWork work;
    double context = 0;
    for (const One& r : active) {
      if (r.left > 0) { continue; }
      work.decoding += 1;
      context += input + r.done - 1;
    }
    work.context = work.decoding > 0 ? context / work.decoding : 0;
    double budget = e.engine().tokens_max - work.decoding;
    std::vector<std::size_t> touched;
    double cached = 0;
    for (std::size_t i = 0; i < active.size() && budget >= 1; ++i) {
      if (active[i].left <= 0) { continue; }
      const double part = std::min(active[i].left, budget);
      cached += input - active[i].left;
      budget -= part;
      work.prompts += 1;
      work.prompt_tokens += part;
      active[i].left -= part;
      touched.push_back(i);
      if (active[i].left > 0) { break; }
    }
    work.prompt_context = work.prompts > 0 ? cached / work.prompts : 0;
    now += e.iteration(work).total().value;
    for (std::size_t i = 0; i < active.size(); ++i) {
      const bool prompt = std::ranges::find(touched, i) != touched.end();
      if (prompt && active[i].left <= 0) {
        active[i].first = now;
        active[i].done = 1;
      } else if (!prompt && active[i].left <= 0) {
        active[i].done += 1;
      }
    }
    for (std::size_t i = 0; i < active.size();) {
      if (active[i].left > 0 || active[i].done < output) {
        ++i;
        continue;
      }
      ttft += active[i].first - active[i].arrival;
      itl += (now - active[i].first) / (output - 1);
      tokens += output;
      ++finished;
      active.erase(active.begin() + static_cast<std::ptrdiff_t>(i));
      if (issued < requests) {
        waiting.push_back({now, input, 0, 0});
        ++issued;
      }
    }
  }
  return {ttft / requests, itl / requests, tokens / now};
}

TEST(ServeRun, IterationsTakenTogetherAreIterationsTakenOneByOne) {
  const ServeEstimator e = estimator();
  struct Case {
    double clients, input, output;
  };
  for (const Case& c : {Case{1, 500, 50}, Case{8, 1000, 100}, Case{48, 300, 64}, Case{96, 700, 40}, Case{16, 20000, 30}}) {
    Traffic traffic{.input = c.input, .output = c.output, .concurrency = c.clients};
    traffic.requests = static_cast<std::int64_t>(4 * c.clients);
    const ServeRun run = serve_run(e, traffic);
    const Seen seen = played_plainly(e, c.clients, c.input, c.output, static_cast<int>(traffic.requests));
    EXPECT_NEAR(run.ttft.mean.value, seen.ttft, 0.02 * seen.ttft) << c.clients;
    EXPECT_NEAR(run.itl.mean.value, seen.itl, 0.02 * seen.itl) << c.clients;
    EXPECT_NEAR(run.output.value, seen.output, 0.02 * seen.output) << c.clients;
  }
}

TEST(ServeRun, LittlesLawHolds) {
  // Clients are always inside: clients = requests a second x time a request takes.
  const ServeEstimator e = estimator();
  for (const double clients : {4.0, 32.0}) {
    Traffic traffic{.input = 800, .output = 200, .concurrency = clients, .requests = 2000, .warm = 0.1};
    const ServeRun run = serve_run(e, traffic);
    const double inside = run.requests.value * (run.ttft.mean.value + run.itl.mean.value * 199);
    EXPECT_NEAR(inside, clients, 0.03 * clients);
  }
}

TEST(ServeRun, AnOpenLoopWaitsMoreTheNearerItIsToItsMost) {
  const ServeEstimator e = estimator();
  Traffic traffic{.input = 1000, .output = 100, .requests = 1000, .warm = 0.1};
  double before = 0;
  for (const double rate : {1.0, 4.0, 8.0, 12.0}) {
    traffic.rate = rate;
    const ServeRun run = serve_run(e, traffic);
    EXPECT_GT(run.ttft.mean.value, before);
    EXPECT_GE(run.ttft.p99, run.ttft.p95);
    EXPECT_GE(run.ttft.p95, run.ttft.p50);
    before = run.ttft.mean.value;
  }
}

TEST(ServeRun, FirstAnswersWaitForIterations) {
  Engine engine = *engine_named("trtllm", default_engines());
  const Island island = fleet_of(*default_catalogue().chip("h100-sxm"), 8, default_catalogue()).islands.front();
  const auto ttft = [&](double polling, double balancing, std::int64_t copies) {
    engine.polling = polling;
    engine.balancing = balancing;
    const ServeEstimator e(*catalogue_model("mixtral-8x7b"), island, engine,
                           {.tp = 4 / copies, .dp = copies, .ep = copies, .weights = weight_format_like("fp8")});
    const ServeRun run = serve_run(e, {.input = 500, .output = 100, .output_spread = 0.1, .concurrency = 8, .requests = 80});
    return std::pair{run.ttft.mean.value, run.itl.mean.value};
  };
  const auto [none, pace] = ttft(0, 0, 1);
  EXPECT_NEAR(ttft(10, 0, 1).first - none, 10 * pace, 0.02 * pace);
  EXPECT_EQ(ttft(0, 50, 1).first, none) << "one copy has nothing to balance";
  EXPECT_GT(ttft(0, 50, 4).first, ttft(0, 0, 4).first + 30 * pace);
}

TEST(ServeRun, ReuseShortensFirstTokens) {
  const ServeEstimator e = estimator();
  Traffic traffic{.input = 8000, .output = 50, .concurrency = 4, .requests = 40};
  const double all = serve_run(e, traffic).ttft.mean.value;
  traffic.reuse = 0.9;
  EXPECT_LT(serve_run(e, traffic).ttft.mean.value, 0.6 * all);
}

TEST(ServeRun, PromptsFirstStallThoseThatDecode) {
  Traffic traffic{.input = 8000, .output = 100, .output_spread = 0.5, .rate = 2, .requests = 400, .warm = 0.1};
  const ServeRun mixed = serve_run(estimator(Batching::mixed), traffic), first = serve_run(estimator(Batching::prompts), traffic);
  EXPECT_LT(first.ttft.mean.value, mixed.ttft.mean.value * 1.02);
  EXPECT_GT(first.itl.p95.value, mixed.itl.p50.value);
  const ServeRun fixed = serve_run(estimator(Batching::fixed), traffic);
  EXPECT_GT(fixed.ttft.mean.value, mixed.ttft.mean.value) << "who comes late waits for a whole batch";
}

TEST(ServeRun, TheSameSeedGivesTheSameRun) {
  const ServeEstimator e = estimator();
  Traffic traffic{.input = 500, .output = 100, .input_spread = 1, .output_spread = 1, .rate = 5, .requests = 300};
  const ServeRun a = serve_run(e, traffic), b = serve_run(e, traffic);
  EXPECT_EQ(a.ttft.p95, b.ttft.p95);
  EXPECT_EQ(a.duration, b.duration);
  traffic.seed = 2;
  EXPECT_NE(serve_run(e, traffic).duration, a.duration);
}

TEST(ServeRun, PoolsOfTheirOwnKeepTokensSteady) {
  const ServeEstimator e = estimator();
  Traffic traffic{.input = 8000, .output = 200, .rate = 2, .requests = 300, .warm = 0.1};
  const ServeRun together = serve_run(e, traffic);
  const ServeRun apart = serve_run(e, e, {.prefill_replicas = 1, .decode_replicas = 1, .transfer = BytesPerSecond{50e9}}, traffic);
  EXPECT_LT(apart.itl.p95.value, together.itl.p95.value);
  // A slow network delays the first token by the cache's way: 8,000 tokens x 128 KiB over 1 GB/s are one second.
  const ServeRun slow = serve_run(e, e, {.prefill_replicas = 1, .decode_replicas = 1, .transfer = BytesPerSecond{1e9}}, traffic);
  EXPECT_NEAR(slow.ttft.mean.value - apart.ttft.mean.value, 8000 * 131072.0 * (1e-9 - 2e-11), 0.02);
}

}  // namespace
}  // namespace centrale
