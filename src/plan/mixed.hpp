// SPDX-License-Identifier: Apache-2.0
// Plans that use several islands at once. Private to plan/.
#pragma once
#include <vector>

#include "plan/train.hpp"

namespace centrale::planning {

/// The best plans that join islands, none slower than `worst` seconds; may be empty. Step, parts, links and notes are filled, the rest is
/// account()'s.
[[nodiscard]] std::vector<TrainPlan> mixed_plans(const TrainRequest& request, double worst, SearchCount& count);

}  // namespace centrale::planning
