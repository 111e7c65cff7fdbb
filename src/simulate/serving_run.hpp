// SPDX-License-Identifier: Apache-2.0
// A whole trace through one service, and what one replica carries at a service level.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>

#include "policy/autoscale.hpp"
#include "simulate/serving.hpp"

namespace centrale {

struct ScalingPlan {
  std::int64_t replicas = 1;                  // at the start, ready
  std::optional<AutoscaleOptions> autoscale;  // none: so many throughout
  ReplicaCapacity capacity;                   // for autoscale
  Nanos interval = seconds(15);               // between decisions
};

/// Plays until every request has ended.
[[nodiscard]] ServingResult run_service(const RequestTrace& trace, const std::shared_ptr<const ReplicaModel>& model,
                                        const ServingOptions& options, const ScalingPlan& plan);

/// What one replica carries of requests such as the trace's: Poisson arrivals, lengths drawn from it, the highest rate (to 2%) at which
/// `objective` of the requests are within the level. 0 where even single requests are not.
[[nodiscard]] ReplicaCapacity replica_capacity(const RequestTrace& trace, const std::shared_ptr<const ReplicaModel>& model,
                                               const ServiceLevel& level, double objective, std::uint64_t seed);

}  // namespace centrale
