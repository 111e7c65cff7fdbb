// SPDX-License-Identifier: Apache-2.0
// Random numbers that are the same on every machine: a small generator and the transforms that the twin draws with. The
// standard's distributions are not: each library has its own.
#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>

namespace centrale {

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): one word of state, any seed is a good one, streams split off by name.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) : state_(seed) {}
  constexpr std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15ULL;
    return mix(state_);
  }
  /// A stream of its own for `what`: the draws of one never shift another's.
  [[nodiscard]] constexpr Random stream(std::uint64_t what) const { return Random(mix(state_ ^ mix(what + 0x632BE59BD9B4E019ULL))); }
  /// In [0, 1), 53 bits.
  constexpr double uniform() { return static_cast<double>(next() >> 11U) * 0x1.0p-53; }
  constexpr double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// In [0, n); n > 0. Lemire's multiply-shift; the bias is below n / 2^64.
  constexpr std::uint64_t below(std::uint64_t n) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>(static_cast<Wide>(next()) * n >> 64U);
  }
  /// Mean 1.
  double exponential() { return -std::log1p(-uniform()); }
  /// Mean 0, deviation 1 (Box and Muller 1958, one of the pair).
  double normal() {
    const double radius = std::sqrt(2 * exponential());
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }
  double log_normal(double median, double sigma) { return median * std::exp(sigma * normal()); }

 private:
  static constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  std::uint64_t state_;
};

}  // namespace centrale
