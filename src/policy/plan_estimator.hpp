// SPDX-License-Identifier: Apache-2.0
// Speeds of jobs that name a model: for each kind and number of chips the planner's best layout, and how fast it steps.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "estimate/stack.hpp"
#include "fleet/catalogue.hpp"
#include "model/model.hpp"
#include "policy/estimator.hpp"

namespace centrale {

/// A model by what a job says: a name of the catalogue, or a file that whoever does input and output has read.
using FindModel = std::function<Result<Model>(std::string_view)>;

/// Jobs with `model`, `global_batch` and `sequence`. Each kind is that chip of the catalogue which its name is most like, on nodes and
/// domains as the centre has them, with the training software that its vendor's users have, at 16 bit; a number of chips of which the best
/// layout would leave some idle, or on which nothing fits, has no row. Layouts are searched where jobs usually run: without offload, with
/// all layers of a stage recomputed or none.
class PlanEstimator : public Estimator {
 public:
  /// The catalogue's own models.
  PlanEstimator(Catalogue catalogue, std::vector<Stack> stacks);
  PlanEstimator(Catalogue catalogue, std::vector<Stack> stacks, FindModel find);
  ~PlanEstimator() override;

  /// Steps a second: of a gang packed on as few nodes as hold it; and, where that is inside one node or domain, of the same layout in two
  /// halves joined by the network only (workers one by one where their number is odd); 0: it does not run so. Errors: the model is not
  /// known (not_found); the batch or the sequence is missing; it fits no kind that will do, however many chips it may have. What was asked
  /// before is remembered.
  [[nodiscard]] Result<std::optional<Estimate>> estimate(const JobSpec& spec, std::span<const KindOffer> kinds,
                                                         double work_done) const override;

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace centrale
