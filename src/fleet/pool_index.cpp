// SPDX-License-Identifier: Apache-2.0
#include "fleet/pool_index.hpp"

#include <algorithm>
#include <bit>

namespace centrale {

void IndexSet::grow(std::size_t size) {
  std::size_t words = (size + 63) / 64;
  for (std::size_t level = 0;; ++level) {
    if (level == levels_.size()) { levels_.emplace_back(); }
    if (levels_[level].size() < words) { levels_[level].resize(std::max(words, levels_[level].size() * 2), 0); }
    if (level > 0) {  // a level that is new must know about the members below it
      for (std::size_t i = 0; i < levels_[level - 1].size(); ++i) {
        if (levels_[level - 1][i] != 0) { levels_[level][i / 64] |= std::uint64_t{1} << (i % 64); }
      }
    }
    if (levels_[level].size() == 1) { return; }
    words = (levels_[level].size() + 63) / 64;
  }
}

void IndexSet::insert(std::size_t index) {
  if (levels_.empty() || index / 64 >= levels_[0].size()) { grow(index + 1); }
  if (contains(index)) { return; }
  ++count_;
  for (auto& level : levels_) {
    level[index / 64] |= std::uint64_t{1} << (index % 64);
    index /= 64;
  }
}

void IndexSet::erase(std::size_t index) {
  if (!contains(index)) { return; }
  --count_;
  for (auto& level : levels_) {
    level[index / 64] &= ~(std::uint64_t{1} << (index % 64));
    if (level[index / 64] != 0) { return; }
    index /= 64;
  }
}

bool IndexSet::contains(std::size_t index) const {
  return !levels_.empty() && index / 64 < levels_[0].size() && ((levels_[0][index / 64] >> (index % 64)) & 1) != 0;
}

std::optional<std::size_t> IndexSet::next(std::size_t from) const {
  std::size_t level = 0;
  std::size_t index = from;
  while (level < levels_.size()) {  // up until a word has a member at or after index …
    if (index / 64 < levels_[level].size()) {
      const std::uint64_t rest = levels_[level][index / 64] >> (index % 64);
      if (rest != 0) {
        index += static_cast<std::size_t>(std::countr_zero(rest));
        while (level > 0) {  // … and down to its first one
          --level;
          index = index * 64 + static_cast<std::size_t>(std::countr_zero(levels_[level][index]));
        }
        return index;
      }
    } else {
      return std::nullopt;
    }
    index = index / 64 + 1;
    ++level;
  }
  return std::nullopt;
}

}  // namespace centrale
