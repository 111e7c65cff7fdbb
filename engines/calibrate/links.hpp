// SPDX-License-Identifier: Apache-2.0
// Sums over several ranks: this program starts itself once a rank.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "samples.hpp"

namespace centrale::calibrate {

struct LinkPlan {
  std::string device;  // "cpu", else each rank takes a device of its own
  std::int64_t ranks_max = 1;
  bool quick = false;
};

/// Sums of vectors of several sizes over 2, 4, … ranks up to `ranks_max`. Fails when the ranks cannot meet.
[[nodiscard]] Result<std::vector<LinkSample>> measure_links(const LinkPlan& plan);

/// What a started rank does; its place is in the environment. Rank 0 prints "BYTES SECONDS SPREAD RUNS" a line.
[[nodiscard]] Result<void> run_rank(const LinkPlan& plan);

}  // namespace centrale::calibrate
