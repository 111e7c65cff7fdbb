// SPDX-License-Identifier: Apache-2.0
#include "policy/las.hpp"

namespace centrale {

void LeastAttained::choose(std::span<const Slot> items, Time now) {
  sorted_.assign(items.begin(), items.end());
  sort_by_order(sorted_, now);
  choose_in_order(sorted_);
}

}  // namespace centrale
