// SPDX-License-Identifier: Apache-2.0
// Data-parallel groups of different speeds: each trains the whole model on its share of the batch. Private to plan/.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "plan/mixed_pipeline.hpp"

namespace centrale::planning {

/// How long each of several groups takes for so many sequences: infinite where it cannot. `worst`: longer does not matter.
using ShareTime = std::function<double(std::size_t group, std::int64_t sequences, double worst)>;

struct Shares {
  std::vector<std::int64_t> sequences;  // of each group, at least one; they add up to the batch
  double slowest = 0;
};

/// Up to so many sequences every division of the batch between two or three groups is tried; above, those near the groups' speeds.
inline constexpr std::int64_t kSharesAllTried = 64;

/// The division of a batch whose slowest group is fastest, below `worst`. `speeds`: whole batches a second that each group cannot exceed.
/// `tried`: shares tried of each group but the last, which takes the rest, where the batch is too large to try all.
[[nodiscard]] std::optional<Shares> share_batch(std::int64_t batch, std::vector<double> speeds, const ShareTime& time, double worst,
                                                std::size_t tried = 12);

/// What groups that train the same model take to add up their gradients over the islands' links, once a step, ring after ring: each group
/// has reduced inside before. In full, nothing hidden.
[[nodiscard]] Seconds gradients_across(Islands& islands, const std::vector<std::vector<std::size_t>>& groups);

}  // namespace centrale::planning
