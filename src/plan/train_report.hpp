// SPDX-License-Identifier: Apache-2.0
// What a plan means: days, energy, cost, what bounds it, in words. Private to plan/.
#pragma once
#include <string>

#include "plan/train.hpp"

namespace centrale::planning {

/// "computation 71%, tensor-parallel collectives 12%, pipeline bubble 9%": what takes 1% or more, largest first.
[[nodiscard]] std::string bound_by(const StepParts& parts);
/// Fills what follows from parts, step and by_part: tokens, MFU, goodput, days, MWh, cost, chips, headroom, bound_by.
void account(TrainPlan& plan, const TrainRequest& request);
/// Of all that a restart needs: weights, master weights and moments.
[[nodiscard]] ByteCount checkpoint_bytes(const TrainRequest& request);
/// Weights of LoRA's adapters of one rank on every matrix but the routed experts'.
[[nodiscard]] double adapter_elements(const Model& model, std::int64_t rank);
/// "91.3 GiB".
[[nodiscard]] std::string gib(double bytes);
/// 12,345
[[nodiscard]] std::string count_text(std::int64_t n);

/// Why chips of an island stay idle, and which batch near this one would use them all; empty where all are used.
[[nodiscard]] std::string idle_note(const Model& model, const TrainRun& run, const Island& island, const TrainLimits& limits,
                                    std::int64_t used);

}  // namespace centrale::planning
