// SPDX-License-Identifier: Apache-2.0
// Throughputs as Gavel (OSDI'20) measured them, in its own JSON:
//
//   {"v100": {"('ResNet-18 (batch size 64)', 2)": {"null": 35.1, "('LM (batch size 5)', 2)": [20.5, 18.2], …}, …},
//    "v100_unconsolidated": {…}, …}
//
// A worker type is a kind of chip; `_unconsolidated` is the same with the workers on different nodes. "null" is the job alone, in steps a
// second of the whole gang; a pair is both jobs on the same chips: what the first and what the second then reach.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "policy/table_estimator.hpp"

namespace centrale {

/// Two gangs that share each of their chips.
struct SharedChips {
  std::string kind;
  std::string profile, other;
  std::int64_t workers = 1;                     // of each gang, one chip each
  double rate = 0, other_rate = 0;              // steps a second inside a node; 0: they do not fit together
  double rate_apart = 0, other_rate_apart = 0;  // the same across nodes; where that was not measured, as inside
};

/// Gavel's own simulations of continuous traces place every gang together, whatever is free.
enum class GavelPlacement : unsigned char { as_measured, always_together };

struct GavelTable {
  ProfileTable alone;              // profiles "ResNet-18 (batch size 64)", workers of one chip
  std::vector<SharedChips> pairs;  // by kind, profile, workers, other: both ways round
  std::vector<std::string> notes;  // what was left out: pairs of gangs of unlike sizes

  /// Null: it was not measured.
  [[nodiscard]] const SharedChips* pair(std::string_view kind, std::string_view profile, std::int64_t workers,
                                        std::string_view other) const;
};

/// Errors name the file and the path inside it.
[[nodiscard]] Result<GavelTable> read_gavel(std::string_view json, std::string_view file,
                                            GavelPlacement placement = GavelPlacement::as_measured);

}  // namespace centrale
