// SPDX-License-Identifier: Apache-2.0
// What to say where nothing fits. Private to plan/.
#pragma once
#include <string>
#include <vector>

#include "base/result.hpp"
#include "plan/train.hpp"

namespace centrale::planning {

/// "llama-3.1-405b needs 91.3 GiB a chip at best (tp8 …), h100-sxm has 79.6 GiB: 3 ways to make it fit: …". Every way was tried: what is
/// not allowed, more chips, shorter sequences, LoRA.
[[nodiscard]] Error nothing_fits(const TrainRequest& request);

}  // namespace centrale::planning
