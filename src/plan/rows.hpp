// SPDX-License-Identifier: Apache-2.0
// Published measurements, predicted: `centrale plan predict ROWS.csv`.
#pragma once
#include <string>

namespace centrale {

/// What is predicted of one row. `note` says what was inferred where a cell was empty, or why nothing can be said (ok == false).
struct RowPrediction {
  std::string kind;
  double value = 0;
  std::string note;
  bool ok = false;
};

}  // namespace centrale
