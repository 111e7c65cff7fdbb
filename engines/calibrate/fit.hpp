// SPDX-License-Identifier: Apache-2.0
// From samples to the few constants of a chip: those that the formulas of estimate/operators.hpp need to give the samples back.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "fleet/catalogue.hpp"
#include "samples.hpp"

namespace centrale::calibrate {

/// How far the formulas are from the samples with the constants found: |predicted / measured - 1|.
struct PartError {
  std::string part;
  std::int64_t samples = 0;
  double median = 0, p90 = 0;  // fractions
};

struct Fit {
  ChipType chip;
  std::vector<PartError> errors;
};

/// Least squares on the logarithm of time, so that a short product counts as much as a long one. `key` names the chip. Fails where the
/// samples do not determine the constants.
[[nodiscard]] Result<Fit> fit_chip(const Samples& samples, const std::string& key);

}  // namespace centrale::calibrate
