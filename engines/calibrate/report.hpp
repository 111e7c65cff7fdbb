// SPDX-License-Identifier: Apache-2.0
// What people and programs get to see.
#pragma once
#include <string>

#include "fit.hpp"
#include "samples.hpp"

namespace centrale::calibrate {

/// The constants found, how well they give the measurements back, and what was left out.
[[nodiscard]] std::string table(const Samples& samples, const Fit& fit);
/// The same and every sample, as one JSON object.
[[nodiscard]] std::string json(const Samples& samples, const Fit& fit, const std::string& file);

}  // namespace centrale::calibrate
