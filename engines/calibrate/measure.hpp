// SPDX-License-Identifier: Apache-2.0
// The measurements on one device, through libtorch as the trainer uses it.
#pragma once
#include <functional>
#include <string>

#include "machine.hpp"
#include "samples.hpp"
#include "timing.hpp"

namespace centrale::calibrate {

/// Told before each measurement: how many are done, of how many, and what comes.
using Tell = std::function<void(std::size_t done, std::size_t all, const std::string& what)>;

struct Plan {
  at::Device device = at::kCPU;
  bool quick = false;
  int rounds = 3;  // of the whole sweep: what disturbs one lasts for seconds, and the fastest counts
  Patience patience;
};

/// All but the links.
[[nodiscard]] Samples measure_device(const Plan& plan, const Tell& tell);

}  // namespace centrale::calibrate
