// SPDX-License-Identifier: Apache-2.0
// Measured speeds from files, under the fleet's names of kinds. Private to simulate_inputs.
#pragma once
#include <string>
#include <vector>

#include "cli/simulate_inputs.hpp"

namespace centrale::cli {

/// A CSV of speeds, Gavel's JSON (known by its first letter), or a folder of Sia's profiles; nothing for an empty path.
[[nodiscard]] Outcome<void> read_speeds(const std::string& path, const std::vector<std::string>& kinds, SpeedSource& into,
                                        std::vector<std::string>& notes);
/// What made jobs may train: the table's profiles at their speeds on that kind of the fleet which is the fastest for most of them.
[[nodiscard]] std::vector<LoadProfile> load_profiles(const SpeedSource& speeds, const std::vector<std::string>& kinds);

}  // namespace centrale::cli
