// SPDX-License-Identifier: Apache-2.0
// A pipeline whose stages lie on different islands. Private to plan/.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "estimate/train.hpp"
#include "plan/train.hpp"

namespace centrale::planning {

/// The fleet's paths, each looked for once, and an estimator for each island.
class Islands {
 public:
  explicit Islands(const TrainRequest& request);
  [[nodiscard]] const TrainRequest& request() const { return request_; }
  [[nodiscard]] const Island& island(std::size_t i) const { return request_.fleet.islands[i]; }
  [[nodiscard]] const IslandLink& path(std::size_t from, std::size_t to) const { return paths_[from * size() + to]; }
  [[nodiscard]] std::size_t size() const { return request_.fleet.islands.size(); }
  /// Set to a batch of so many sequences.
  [[nodiscard]] TrainEstimator& estimator(std::size_t island, std::int64_t batch);
  [[nodiscard]] double capacity(std::size_t island) const;

 private:
  const TrainRequest& request_;
  std::vector<IslandLink> paths_;
  std::vector<TrainEstimator> estimators_;
};

/// One island's or pipeline's way of training on part of the batch.
struct Shared {
  double seconds = 0;   // of a step, without what joins it to others
  double backward = 0;  // s of one micro-batch's backward pass on the slowest stage: what hides gradients
  std::vector<TrainPart> parts;
  StepParts by_part;
  double links = 0;        // s of `seconds` on links between islands
  bool cut_short = false;  // the search of layouts stopped at its limit of work
};

/// Islands that one pipeline goes through at most: each more is one more choice of tp for every one before.
inline constexpr std::size_t kPipelineMax = 3;

/// The best pipeline through `order` (islands, first stages first) over `batch` sequences a step, 1F1B; better than `worst` seconds or
/// nothing. tp, ep and their like are chosen for each island; cp, micro-batch and the number of pipelines are the same for all.
[[nodiscard]] std::optional<Shared> best_pipeline(Islands& islands, const std::vector<std::size_t>& order, std::int64_t batch, double worst,
                                                  SearchCount& count);

}  // namespace centrale::planning
