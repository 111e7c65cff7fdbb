// SPDX-License-Identifier: Apache-2.0
// The search behind plan/serve.hpp, open to its tests.
#pragma once
#include <vector>

#include "plan/serve.hpp"

namespace centrale::serving {

/// A layout that holds the model.
struct Candidate {
  std::size_t island = 0;
  ServeLayout layout;
  const Engine* engine = nullptr;
};

/// Every layout without a fault: powers of two for tp, dp, ep and pp (and the sizes of the island's domain), up to its chips.
[[nodiscard]] std::vector<Candidate> candidates_of(const ServeRequest& request, const std::vector<Engine>& engines);

/// Requests a second of one replica at the level, by bisection over serve_run(); 0: it does not hold it at any rate.
struct Capacity {
  double rate = 0;
  ServeRun run;
  double chunk = 0;
};
enum class Part : unsigned char { whole, prefill, decode };
[[nodiscard]] Capacity capacity_of(const ServeRequest& request, const ServeEstimator& estimator, Part part);
/// A rate that capacity_of() cannot pass: no iteration is shorter than what its tokens cost in the fullest batch.
[[nodiscard]] double rate_bound(const ServeRequest& request, const ServeEstimator& estimator, Part part);
/// Whether one request alone keeps the limits.
[[nodiscard]] bool holds_alone(const ServeRequest& request, const ServeEstimator& estimator, Part part);

[[nodiscard]] Traffic traffic_of(const ServeRequest& request, Part part, double rate, std::int64_t requests);
/// The engine with its chunk and the request's memory margin.
[[nodiscard]] Engine engine_of(const ServeRequest& request, const Engine& engine, double chunk);
/// In the fleet's currency an hour; what is compared where a price is not known is chips.
[[nodiscard]] double price_of(const Island& island, std::int64_t chips);

}  // namespace centrale::serving
