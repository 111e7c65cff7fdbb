// SPDX-License-Identifier: Apache-2.0
// Policies x seeds, at the same time on the cores there are. The answer is in the order asked, and the same with any number of threads.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "cli/simulate_inputs.hpp"
#include "simulate/report.hpp"

namespace centrale::cli {

/// What a run leaves behind: its result is gone, large as it may be.
struct RunOutput {
  RunReport report;
  std::vector<std::string> kinds;
  std::string csv;       // lines of jobs, where asked
  std::string timeline;  // events, where asked, of the first seed
  std::size_t left_out = 0;
};

struct RunRequest {
  const Simulation& simulation;
  std::size_t threads = 0;  // 0: as many as there are cores
  bool csv = false, timeline = false;
  /// Called by the caller's thread some times a second: the part of all that is done, runs that are.
  std::function<void(double done, std::size_t runs)> progress;
};
/// By policy, then seed. The first run that cannot be played is the error.
[[nodiscard]] Outcome<std::vector<RunOutput>> run_all(const RunRequest& request);

}  // namespace centrale::cli
