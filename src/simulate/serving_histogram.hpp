// SPDX-License-Identifier: Apache-2.0
// Quantiles of many spans in bounded memory, in integers: the same on every machine.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/units.hpp"

namespace centrale {

/// Counts spans in buckets, 64 in each power of two: a quantile is within 1/128 of a span that was added. At most 30 KiB.
class SpanHistogram {
 public:
  void add(Nanos span) {
    const std::int64_t ns = std::max<std::int64_t>(0, span.value);
    const std::size_t at = bucket(static_cast<std::uint64_t>(ns));
    if (at >= counts_.size()) { counts_.resize(at + 1); }
    counts_[at] += 1;
    count_ += 1;
    sum_ += static_cast<double>(ns);
    longest_ = std::max(longest_, ns);
  }
  /// The smallest span that `part` (0 to 1) of all are not above; 0 if there are none.
  [[nodiscard]] Nanos quantile(double part) const {
    const auto rank = static_cast<std::uint64_t>(std::ceil(std::clamp(part, 0.0, 1.0) * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= std::max<std::uint64_t>(1, rank)) { return {std::min(longest_, middle(i))}; }
    }
    return {0};
  }
  [[nodiscard]] Nanos mean() const { return {count_ == 0 ? 0 : std::llround(sum_ / static_cast<double>(count_))}; }
  [[nodiscard]] Nanos longest() const { return {longest_}; }
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  static constexpr int kBits = 6;
  static std::size_t bucket(std::uint64_t ns) {
    const int shift = std::max(0, static_cast<int>(std::bit_width(ns)) - kBits - 1);
    return (static_cast<std::size_t>(shift) << kBits) + static_cast<std::size_t>(ns >> shift);
  }
  static std::int64_t middle(std::size_t bucket) {
    const std::size_t shift = bucket < (std::size_t{2} << kBits) ? 0 : (bucket >> kBits) - 1;
    const std::size_t low = (bucket - (shift << kBits)) << shift;
    return static_cast<std::int64_t>(low + (std::size_t{1} << shift) / 2);
  }
  std::vector<std::uint64_t> counts_;
  std::uint64_t count_ = 0;
  double sum_ = 0;
  std::int64_t longest_ = 0;
};

}  // namespace centrale
