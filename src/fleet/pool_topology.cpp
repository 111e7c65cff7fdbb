// SPDX-License-Identifier: Apache-2.0
#include "fleet/pool_topology.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace centrale {

namespace {

/// A domain that nobody named is one of its leaf, so that groups nest whatever is given.
auto key(Where where) { return std::tuple(where.spine, where.leaf, where.domain); }

bool together(std::size_t level, Where a, Where b) {
  if (level > 2) { return true; }
  if (a.spine != b.spine || (level < 2 && a.leaf != b.leaf)) { return false; }
  return level > 0 || a.domain == b.domain;
}

}  // namespace

void Topology::set_where(std::size_t node, Where where) {
  if (where_[node] == where) { return; }
  where_[node] = where;
  if (node < placed_) { placed_ = 0; }
}

Spread Topology::between(std::size_t a, std::size_t b) const {
  if (a == b) { return Spread::node; }
  std::size_t level = 0;
  while (!together(level, where_[a], where_[b])) { ++level; }
  return static_cast<Spread>(level + 1);
}

void Topology::append(std::size_t node) {
  const std::size_t at = order_.size();
  for (std::size_t level = 0; level < kLevels; ++level) {
    auto& groups = groups_[level];
    if (at == 0 || !together(level, where_[order_.back()], where_[node])) { groups.push_back({.begin = at, .end = at}); }
    groups.back().end = at + 1;
    group_[level][node] = static_cast<std::uint32_t>(groups.size() - 1);
  }
  position_[node] = static_cast<std::uint32_t>(at);
  order_.push_back(static_cast<std::uint32_t>(node));
}

Topology::Change Topology::refresh() {
  if (!stale()) { return Change::none; }
  std::vector<std::uint32_t> rest(where_.size() - placed_);
  std::iota(rest.begin(), rest.end(), static_cast<std::uint32_t>(placed_));
  std::ranges::stable_sort(rest, {}, [&](std::uint32_t node) { return key(where_[node]); });
  // New nodes that come last in the order change nothing for the others.
  Change change = Change::grown;
  if (placed_ == 0 || key(where_[order_.back()]) > key(where_[rest.front()])) {
    change = Change::rebuilt;
    rest.resize(where_.size());
    std::iota(rest.begin(), rest.end(), 0U);
    std::ranges::stable_sort(rest, {}, [&](std::uint32_t node) { return key(where_[node]); });
    order_.clear();
    for (auto& groups : groups_) { groups.clear(); }
  }
  position_.resize(where_.size());
  for (auto& group : group_) { group.resize(where_.size()); }
  for (const std::uint32_t node : rest) { append(node); }
  placed_ = where_.size();
  return change;
}

}  // namespace centrale
