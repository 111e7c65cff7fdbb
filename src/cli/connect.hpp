// SPDX-License-Identifier: Apache-2.0
// Which centre, and with which key.
#pragma once
#include <memory>
#include <string>

#include "cli/api.hpp"
#include "cli/command_line.hpp"

namespace centrale::cli {

/// Looks at the command line first, then at the environment, then at the files that are there by default. Opens no connection.
[[nodiscard]] Result<std::unique_ptr<Api>> connect_api(const Connection& connection);

}  // namespace centrale::cli
