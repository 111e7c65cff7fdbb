// SPDX-License-Identifier: Apache-2.0
// A comparison of policies on a terminal. Pure.
#pragma once
#include <string>

#include "cli/text.hpp"
#include "simulate/report.hpp"

namespace centrale::cli {

/// Tables of jobs, of chips, of how jobs ended; with several seeds the policies against the first one; then notes.
[[nodiscard]] std::string comparison_text(const ReportPage& page, std::size_t width, const Style& style);

}  // namespace centrale::cli
