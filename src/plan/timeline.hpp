// SPDX-License-Identifier: Apache-2.0
// One step of a plan as events: one pipeline over one island or several, or several groups that train side by side.
#pragma once
#include "base/result.hpp"
#include "estimate/timeline.hpp"
#include "plan/train.hpp"

namespace centrale {

/// Stages of all groups, the first group's first. Groups that are done wait for the slowest, then all add up their gradients.
[[nodiscard]] Result<Timeline> timeline_of(const TrainPlan& plan, const TrainRequest& request);

}  // namespace centrale
