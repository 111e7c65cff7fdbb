// SPDX-License-Identifier: Apache-2.0
// What the machine says about itself.
#pragma once
#include <string>
#include <vector>

#include "base/result.hpp"
#include "samples.hpp"
#include "torch.hpp"

namespace centrale::calibrate {

/// `device`: cpu, cuda, cuda:0. `threads` 0: as many as libtorch takes.
[[nodiscard]] Result<at::Device> open_device(const std::string& device, int threads);
[[nodiscard]] Machine machine_of(const at::Device& device);

/// Formats that the device multiplies in by itself. Those that it has to emulate are left out, and `notes` says so.
[[nodiscard]] std::vector<Precision> precisions_of(const at::Device& device, std::vector<std::string>& notes);

/// Core-seconds since the machine and this program started.
struct Load {
  double busy = 0, own = 0;  // of all programs (and of other guests, where the host says), of this one
  double all = 0;            // idle ones too
};
[[nodiscard]] Load load_now();
/// The part of the cores that others took in between.
[[nodiscard]] double others_share(const Load& before, const Load& after);

/// Waits until all work on the device is done.
void synchronise(const at::Device& device);

}  // namespace centrale::calibrate
