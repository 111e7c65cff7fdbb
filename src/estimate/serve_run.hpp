// SPDX-License-Identifier: Apache-2.0
// What requests see of a replica: its iterations played one after another over a stream of requests, deterministically, with the runs of
// iterations in which nothing joins or leaves taken in one step.
#pragma once
#include <cstdint>
#include <vector>

#include "base/dimension.hpp"
#include "estimate/serve.hpp"

namespace centrale {

/// Requests as they come.
struct Traffic {
  double input = 1024, output = 1024;  // tokens, in the mean
  double input_spread = 0;             // standard deviation over the mean, log-normal; 0: all alike
  double output_spread = 0;
  double reuse = 0;             // part of each prompt that is in the cache already
  double beams = 1;             // sequences that share a prompt and its cache, each a request here: what a prompt costs is divided
  double concurrency = 0;       // so many clients, each with one request at a time; 0: by rate
  Seconds pause{0};             // of a client between an answer and its next request
  double rate = 0;              // requests a second, Poisson; 0 with concurrency 0: all at once
  std::int64_t requests = 100;  // how many there are
  double warm = 0;              // part of them that is left out of the figures at the start, and as much at the end: a long run's middle
  std::uint64_t seed = 1;       // of arrivals and lengths
  Seconds transfer{0};          // added to each first token: the cache's way from prefill to decode
  bool prompts_done = false;    // prompts come prefilled: the decoding side of disaggregation
};

struct Quantiles {
  Seconds mean, p50, p95, p99;
};

struct ServeRun {
  Quantiles ttft;            // arrival to first token
  Quantiles itl;             // between tokens, mean of each request
  PerSecond output;          // tokens a second of the replica
  PerSecond requests;        // a second
  double decoding = 0;       // sequences in an iteration, in the mean over time
  double batch_max = 0;      // sequences that can be in at once
  bool cache_bound = false;  // the cache, not the engine, sets batch_max
  IterationTime typical;     // an iteration at the mean batch
  Seconds duration;
};

// No more iterations are played than this: what is slower is cut off, and its rates are those until then.
inline constexpr std::int64_t kServeStepsMax = 2'000'000;

/// Plays `traffic` on one replica. The cache must hold one request (sequences_held(input + output) >= 1).
[[nodiscard]] ServeRun serve_run(const ServeEstimator& estimator, const Traffic& traffic);

/// Prefill and decode on replicas of their own.
struct Disaggregated {
  double prefill_replicas = 1, decode_replicas = 1;
  BytesPerSecond transfer{0};  // of the path between them, one request's share
  Seconds latency{0};
};
[[nodiscard]] ServeRun serve_run(const ServeEstimator& prefill, const ServeEstimator& decode, const Disaggregated& pools,
                                 const Traffic& traffic);

}  // namespace centrale
