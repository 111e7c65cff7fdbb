// SPDX-License-Identifier: Apache-2.0
// A set of small integers that the pool's indexes are made of.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace centrale {

/// A set of small integers with find-first in O(log64 n) and no allocation after growth.
class IndexSet {
 public:
  void insert(std::size_t index);
  void erase(std::size_t index);
  void clear() {
    levels_.clear();
    count_ = 0;
  }
  [[nodiscard]] bool contains(std::size_t index) const;
  /// The smallest member >= from.
  [[nodiscard]] std::optional<std::size_t> next(std::size_t from) const;
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  void grow(std::size_t size);
  std::vector<std::vector<std::uint64_t>> levels_;  // levels_[0] holds the members, each next one which words are not empty
  std::size_t count_ = 0;
};

}  // namespace centrale
