// SPDX-License-Identifier: Apache-2.0
// How the rules of placement judge a node. Private to the pool.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/ensure.hpp"
#include "fleet/pool_types.hpp"

namespace centrale {

/// How many workers of each shape run on a node: 0 is a share, n takes n whole chips. Sorted by shape.
struct NodeLoad {
  std::vector<std::pair<std::int64_t, std::int64_t>> shapes;

  void add(const Gang& gang, std::int64_t workers) {
    if (gang.chips == 0) { return; }
    const std::int64_t shape = gang.is_share() ? 0 : gang.chips;
    auto found = std::ranges::lower_bound(shapes, shape, {}, &std::pair<std::int64_t, std::int64_t>::first);
    if (found == shapes.end() || found->first != shape) { found = shapes.insert(found, {shape, 0}); }
    found->second += workers;
    ensure(found->second >= 0);
    if (found->second == 0) { shapes.erase(found); }
  }
  bool operator==(const NodeLoad&) const = default;
};

class Scores {};
struct NodeState {};

}  // namespace centrale
