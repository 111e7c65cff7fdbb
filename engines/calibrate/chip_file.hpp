// SPDX-License-Identifier: Apache-2.0
// A chip as a catalogue file of one entry: what `--catalogue FILE` lays over the built-in one.
#pragma once
#include <string>
#include <vector>

#include "fleet/catalogue.hpp"

namespace centrale::calibrate {

/// YAML that read_catalogue reads back to the same chip, numbers to six digits. `comments` stand above it, a line each.
[[nodiscard]] std::string chip_file(const ChipType& chip, const std::string& currency, const std::vector<std::string>& comments);

}  // namespace centrale::calibrate
