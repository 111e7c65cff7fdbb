// SPDX-License-Identifier: Apache-2.0
// Which chips, and how many of them, train a model within so many days.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "plan/train.hpp"

namespace centrale {

struct FleetQuestion {
  TrainRequest training;  // fleet is ignored; `tokens` above 0. A batch of 0: chosen by batch_of().
  double days = 0;
  std::vector<ChipType> chips;      // the candidates
  std::int64_t chips_max = 262144;  // of one kind
  std::string currency;
};

struct FleetChoice {
  ChipType chip;
  std::int64_t chips = 0;  // the smallest count, in whole domains, that meets the days; 0: none does
  TrainPlan plan;
  std::string why_not;  // where chips is 0: what fails and by how much
};

/// Sequences a step where nobody says: the batch of Llama 3 405B, 16M tokens (arXiv:2407.21783, section 3.4.1), scaled with the square root
/// of the tokens trained on over its 15.6T (critical batch sizes grow so with data: arXiv:2410.21676), to a power of two of sequences,
/// at least 1M tokens.
[[nodiscard]] std::int64_t batch_of(double tokens, std::int64_t sequence);

/// One a candidate, those that can by cost, then those that cannot.
[[nodiscard]] Result<std::vector<FleetChoice>> plan_fleet(const FleetQuestion& question);

}  // namespace centrale
