// SPDX-License-Identifier: Apache-2.0
// Units are types; the core counts in integers, so that a replay on another machine gives the same bytes.
#pragma once
#include <compare>
#include <cstdint>

namespace centrale {

/// An integer amount of one unit. Amounts of different units never meet.
template <class Unit>
struct Amount {
  std::int64_t value = 0;
  constexpr auto operator<=>(const Amount&) const = default;
  constexpr Amount& operator+=(Amount other) {
    value += other.value;
    return *this;
  }
  constexpr Amount& operator-=(Amount other) {
    value -= other.value;
    return *this;
  }
  friend constexpr Amount operator+(Amount a, Amount b) { return {a.value + b.value}; }
  friend constexpr Amount operator-(Amount a, Amount b) { return {a.value - b.value}; }
  friend constexpr Amount operator*(Amount a, std::int64_t n) { return {a.value * n}; }
};

using Nanos = Amount<struct NanosUnit>;  // a span of time, ns
using Bytes = Amount<struct BytesUnit>;
using Millijoules = Amount<struct MillijouleUnit>;
using Milliwatts = Amount<struct MilliwattUnit>;
using MicroCurrency = Amount<struct MicroCurrencyUnit>;  // 1e-6 of the centre's currency

/// A point in time: ns since the Unix epoch (operate/) or since the start of the run (simulate/).
struct Time {
  std::int64_t ns = 0;
  constexpr auto operator<=>(const Time&) const = default;
  friend constexpr Time operator+(Time t, Nanos d) { return {t.ns + d.value}; }
  friend constexpr Nanos operator-(Time a, Time b) { return {a.ns - b.ns}; }
};

[[nodiscard]] constexpr Nanos seconds(std::int64_t n) { return {n * 1'000'000'000}; }
[[nodiscard]] constexpr Nanos milliseconds(std::int64_t n) { return {n * 1'000'000}; }
[[nodiscard]] constexpr Bytes mebibytes(std::int64_t n) { return {n * 1'048'576}; }
[[nodiscard]] constexpr double to_seconds(Nanos d) { return static_cast<double>(d.value) * 1e-9; }

// GCC and Clang both have it; __extension__ keeps -Wpedantic quiet.
__extension__ using Int128 = __int128;

/// Energy of a constant power over a span. 128-bit inside: kW over years does not overflow.
[[nodiscard]] constexpr Millijoules energy(Milliwatts power, Nanos span) {
  return {static_cast<std::int64_t>(static_cast<Int128>(power.value) * span.value / 1'000'000'000)};
}
/// Price of a span at a price per hour, rounded down.
[[nodiscard]] constexpr MicroCurrency price(MicroCurrency per_hour, Nanos span) {
  return {static_cast<std::int64_t>(static_cast<Int128>(per_hour.value) * span.value / 3'600'000'000'000)};
}

}  // namespace centrale
