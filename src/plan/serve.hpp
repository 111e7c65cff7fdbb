// SPDX-License-Identifier: Apache-2.0
// The cheapest way to serve a model at a service level on a fleet: every layout of a replica on every island, together and with prefill and
// decode on replicas of their own; how many replicas a rate takes; and what is given up for speed (the Pareto front).
//
//   ServeRequest request{.model = *catalogue_model("llama-3.1-70b"), .fleet = *fleet_of("h100x64", catalogue)};
//   request.ttft = Seconds{0.5};
//   request.itl = Seconds{0.04};
//   request.rate = 20;
//   auto plan = plan_serve(request);   // or an error that says which constraint fails, by how much, and ways out
//
// A level holds at p95: a replica is played over Poisson arrivals from a fixed seed (estimate/serve_run.hpp), and the highest rate at which
// 95% of the requests keep both limits is found by bisection.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "estimate/engine.hpp"
#include "estimate/serve.hpp"
#include "estimate/serve_run.hpp"
#include "fleet/fleet.hpp"
#include "model/model.hpp"

namespace centrale {

struct ServeRequest {
  Model model;
  Fleet fleet;
  double input = 1024, output = 512;  // tokens of a request, in the mean
  double spread = 0;                  // of both: standard deviation over the mean
  double reuse = 0;                   // part of a prompt that is in the cache already
  Seconds ttft{0}, itl{0};            // limits at p95; 0: none
  double rate = 0;                    // requests a second; 0: one replica's most
  std::vector<std::string> formats;   // of weights; empty: bf16, and fp8 on chips that multiply it
  double cache_bytes = 0;             // of an element; 0: 2, or 1 with weights of 8 bits and less on chips that multiply fp8
  std::string engine;                 // key; empty: what is usual on the chip
  std::vector<double> chunks;         // tokens of an iteration; empty: the engine's, and a quarter of it
  Speculation speculation;
  bool disaggregated = true;           // may be chosen
  std::int64_t replica_chips_max = 0;  // 0: no limit
  double memory_margin = 0.03;         // of a chip's memory left free
  std::uint64_t seed = 1;
  std::size_t plans = 5;  // best so many are returned
};

/// Replicas of one kind.
struct ServePool {
  ServeLayout layout;
  std::int64_t replicas = 0;
  double chunk = 0;  // tokens of an iteration
  double most = 0;   // requests a second of one replica at the level
  ServeMemory memory;
  [[nodiscard]] std::int64_t chips() const { return layout.chips() * replicas; }
};

struct ServePlan {
  std::size_t island = 0;
  std::string engine;
  bool disaggregated = false;
  ServePool prefill;  // disaggregated: prompts only
  ServePool decode;   // or all of the work
  Quantiles ttft, itl;
  double rate = 0;  // requests a second of all replicas, at most, at the level
  std::int64_t chips = 0;
  double concurrency = 0;      // sequences that a replica decodes at once, in the mean
  double tokens_per_chip = 0;  // output tokens a second
  double tokens_per_user = 0;
  double kilowatts = 0;         // chips at their limit
  double cost_per_hour = 0;     // in the fleet's currency; 0: no price is known
  double cost_per_million = 0;  // output tokens, at the rate asked for
  IterationTime iteration;      // of decode at the mean batch
  std::string bound;            // "cache bandwidth", "weights", "launches", …
};

/// One point of the front: no layout gives more of one at no less of the other.
struct ServePoint {
  std::size_t island = 0;
  ServeLayout layout;
  double concurrency = 0;
  double tokens_per_chip = 0, tokens_per_user = 0;  // output tokens a second
};

struct ServePlans {
  std::vector<ServePlan> plans;                    // cheapest first, at most one of a layout
  std::vector<ServePlan> together;                 // where no island alone carries the rate: the islands that do together
  std::vector<ServePoint> front;                   // by rising tokens_per_user
  std::int64_t considered = 0, fit = 0, hold = 0;  // layouts
};

[[nodiscard]] Result<ServePlans> plan_serve(const ServeRequest& request, const std::vector<Engine>& engines);

/// A line of an explanation.
struct ServeTerm {
  std::string name, value, source;
};
[[nodiscard]] std::vector<ServeTerm> explain(const ServePlan& plan, const ServeRequest& request, const std::vector<Engine>& engines);

/// What takes the longest part of an iteration, in words.
[[nodiscard]] std::string bound_of(const IterationTime& iteration);

}  // namespace centrale
