// SPDX-License-Identifier: Apache-2.0
// Where nodes are: groups within groups, and one order of all nodes in which every group is a range.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fleet/spread.hpp"

namespace centrale {

/// Group numbers, unique in the fleet; 0: the one group that nobody named. Domains nest in leaves, leaves in spines.
struct Where {
  std::uint32_t domain = 0, leaf = 0, spine = 0;
  bool operator==(const Where&) const = default;
};

class Topology {
 public:
  static constexpr std::size_t kLevels = kSpreads - 1;  // domain, leaf, spine, any
  struct Range {
    std::size_t begin = 0, end = 0;
    bool operator==(const Range&) const = default;
  };
  enum class Change : unsigned char { none, grown, rebuilt };

  void add_node() { where_.emplace_back(); }
  void set_where(std::size_t node, Where where);
  [[nodiscard]] Where where(std::size_t node) const { return where_[node]; }
  [[nodiscard]] bool stale() const { return placed_ != where_.size(); }
  /// Nodes with a number below it have a position.
  [[nodiscard]] std::size_t placed() const { return placed_; }
  /// Gives every node a position. Grown: those that had one keep it; rebuilt: all are new.
  Change refresh();

  [[nodiscard]] std::size_t position(std::size_t node) const { return position_[node]; }
  [[nodiscard]] std::size_t node_at(std::size_t position) const { return order_[position]; }
  /// Level 0 is the domains.
  [[nodiscard]] std::span<const Range> groups(std::size_t level) const { return groups_[level]; }
  [[nodiscard]] std::size_t group(std::size_t level, std::size_t node) const { return group_[level][node]; }
  [[nodiscard]] Range all() const { return {.begin = 0, .end = order_.size()}; }
  /// The highest level that traffic between two nodes crosses.
  [[nodiscard]] Spread between(std::size_t a, std::size_t b) const;

 private:
  void append(std::size_t node);

  std::vector<Where> where_;                               // by node
  std::size_t placed_ = 0;                                 // what follows is about the nodes below it
  std::vector<std::uint32_t> position_;                    // by node
  std::vector<std::uint32_t> order_;                       // by position
  std::array<std::vector<std::uint32_t>, kLevels> group_;  // by node
  std::array<std::vector<Range>, kLevels> groups_;
};

}  // namespace centrale
