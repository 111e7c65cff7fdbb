// SPDX-License-Identifier: Apache-2.0
// Which sequence is read when. The order depends on the seed and the epoch alone, never on the number of workers: position
// p of the whole run is one sequence, whoever reads it.
#pragma once
#include <cstdint>
#include <vector>

namespace centrale::trainer {

/// A permutation of 0…count-1.
std::vector<std::int64_t> epoch_order(std::int64_t count, std::uint64_t seed, std::uint64_t epoch);

/// The sequence at `position` of the run; keeps the order of the epoch it was asked for last.
class DataOrder {
 public:
  DataOrder(std::int64_t count, std::uint64_t seed) : count_(count), seed_(seed) {}
  std::int64_t at(std::int64_t position);

 private:
  std::int64_t count_;
  std::uint64_t seed_;
  std::int64_t epoch_ = -1;
  std::vector<std::int64_t> order_;
};

/// Linear warm-up from 0, then half a cosine down to `rate_min` at the last step. `step` counts from 0.
struct Schedule {
  double rate = 1e-3;
  double rate_min = 1e-4;
  std::int64_t warmup_steps = 0;
  std::int64_t steps = 1;
};
double learning_rate(const Schedule& schedule, std::int64_t step);

}  // namespace centrale::trainer
