// SPDX-License-Identifier: Apache-2.0
// What was measured of an application that trains data-parallel with any batch: step times by placement and batch, and what its gradients
// said while it trained. In the form of Pollux's and Sia's artifacts. Private to goodput_model.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/csv.hpp"
#include "base/result.hpp"

namespace centrale::goodput {

/// Chips on each node, in any order; canonical() is how a placement is looked up: a ring looks the same from each of its nodes.
using Placement = std::vector<std::int64_t>;
[[nodiscard]] Placement canonical(std::span<const std::int64_t> placement);

struct StepTime {
  double batch = 0;    // of one chip, between two gradient exchanges
  double seconds = 0;  // of a step that ends in an exchange …
  double sync = 0;     // … of which the exchange adds this: a step that only accumulates takes seconds - sync
};

/// Step times on one kind of chip.
class StepProfile {
 public:
  /// Columns placement (a digit a node), local_bsz, step_time, sync_time.
  [[nodiscard]] Result<void> read_placements(const CsvTable& csv);
  /// Columns num_nodes, num_replicas, local_bsz, step_time, sync_time.
  [[nodiscard]] Result<void> read_scalability(const CsvTable& csv);
  /// Straight between measured batches of a measured placement; of other placements straight between measured numbers of nodes (at the
  /// same chips a node) and of chips. Nothing outside of what was measured.
  [[nodiscard]] std::optional<StepTime> at(std::span<const std::int64_t> placement, double batch) const;
  /// The largest batch of one chip that at() knows there; 0: none.
  [[nodiscard]] double batch_max(std::span<const std::int64_t> placement) const;
  /// Of all placements.
  [[nodiscard]] double batch_min() const { return batch_min_; }

 private:
  using Curve = std::vector<StepTime>;  // ascending batch
  struct Weighed {
    const Curve* curve = nullptr;
    double weight = 0;
  };
  [[nodiscard]] std::vector<Weighed> curves_at(std::span<const std::int64_t> placement) const;
  /// The curves next to so many chips on that many nodes, `weight` shared between them; false: outside.
  [[nodiscard]] bool next_to(std::int64_t nodes, double chips, double weight, std::vector<Weighed>& out) const;

  std::map<Placement, Curve> placements_;
  std::map<std::int64_t, std::map<std::int64_t, Curve>> sizes_;  // nodes, chips
  double batch_min_ = 0;
};

/// One epoch of training with one batch.
struct EpochRow {
  double progress = 0;  // steps of the initial batch that the epoch's end is worth
  double grad_sqr = 0, grad_var = 0;
};

/// How useful samples are, by batch and epoch.
class Statistics {
 public:
  /// Columns progress, grad_sqr, grad_var; a row an epoch.
  [[nodiscard]] Result<void> read(std::int64_t batch, const CsvTable& csv);
  /// Epochs until it is done; fewer where fewer were recorded.
  void set_epochs(std::int64_t epochs);
  [[nodiscard]] bool empty() const { return by_batch_.empty(); }
  [[nodiscard]] std::int64_t batch_first() const { return by_batch_.begin()->first; }
  [[nodiscard]] std::int64_t batch_last() const { return by_batch_.rbegin()->first; }
  [[nodiscard]] std::size_t epochs() const { return ends_.size(); }
  /// Progress at the end of epoch `e`, from 0.
  [[nodiscard]] double end_of(std::size_t e) const { return ends_[e]; }
  /// The epoch that is being trained; the last one when all is done.
  [[nodiscard]] std::size_t epoch_at(double progress) const;
  /// Progress of one step with that batch, in steps of the initial one: AdaScale's gain (Pollux, OSDI'21, section 3.1), statistics straight
  /// between recorded batches.
  [[nodiscard]] double gain(double batch, std::size_t epoch) const;

 private:
  std::map<std::int64_t, std::vector<EpochRow>> by_batch_;
  std::vector<double> ends_;
};

}  // namespace centrale::goodput
