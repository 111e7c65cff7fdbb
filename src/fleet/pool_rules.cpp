// SPDX-License-Identifier: Apache-2.0
#include "fleet/pool.hpp"
namespace centrale {
bool Pool::plan_rule(KindMask, const Gang&) const { return false; }
}  // namespace centrale
