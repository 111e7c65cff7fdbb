// SPDX-License-Identifier: Apache-2.0
// Plans as JSON. Pure. Times in seconds, memory in bytes; names end with their unit.
#pragma once
#include <string>
#include <vector>

#include "base/json.hpp"
#include "plan/train.hpp"

namespace centrale::cli {

void write_layout(JsonWriter& out, const Layout& layout);
void write_plan(JsonWriter& out, const TrainPlan& plan, const TrainRequest& request);
void write_terms(JsonWriter& out, const std::vector<TrainEstimator::Term>& terms);

}  // namespace centrale::cli
