// SPDX-License-Identifier: Apache-2.0
// How long something takes on a machine that may have other work.
#pragma once
#include <cstdint>
#include <functional>

#include "samples.hpp"

namespace centrale::calibrate {

struct Patience {
  double run_s = 4e-3;  // a run repeats the work until it takes at least so long: the clock and the wake-up do not count then
  double all_s = 0.25;  // what one measurement may take, but for the least number of runs
  int runs_min = 5;
  int runs_max = 200;
  double settled = 0.02;  // enough when the medians of the two halves of the runs agree within this part
};

/// `work(n)` does the thing n times and returns when it is done on the device. Warms up, then runs until the median has settled. Runs
/// during which the kernel gave one of our cores to another process are thrown away as long as three others are left.
[[nodiscard]] Timing measure(const std::function<void(std::int64_t)>& work, const Patience& patience);

}  // namespace centrale::calibrate
