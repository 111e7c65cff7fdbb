// SPDX-License-Identifier: Apache-2.0
// `centrale up`: the centre itself. The one place where drivers are picked and the parts are joined.
#pragma once
#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace centrale::cli {

struct UpOptions {
  std::string listen = "127.0.0.1:7070";
  std::string state;  // empty: $CENTRALE_STATE, else ~/.centrale
  std::string name = "centrale";
  std::string policy;     // empty: as the journal says; of a new centre, fifo
  std::string catalogue;  // a file laid over the built-in catalogue
  std::string engines;    // folder with llama/; empty: engines/ in a folder above the program
  std::string python;     // empty: venv/bin/python3 beside the program
  std::int64_t cpu_chips = 0;
  bool quiet = false;
};

/// The folder that `given`, $CENTRALE_STATE or ~/.centrale name, absolute; not made.
[[nodiscard]] Result<std::string> state_folder(const std::string& given);

/// Runs until SIGINT or SIGTERM. Returns the exit code.
int run_up(const UpOptions& options);

}  // namespace centrale::cli
