// SPDX-License-Identifier: Apache-2.0
#include "plan/mixed.hpp"

namespace centrale::planning {

std::vector<TrainPlan> mixed_plans(const TrainRequest&, double, SearchCount&) { return {}; }

}  // namespace centrale::planning
