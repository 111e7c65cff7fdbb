// SPDX-License-Identifier: Apache-2.0
// Physical quantities of estimates, as doubles whose dimension is in the type: bytes / bandwidth is Seconds by construction.
// What the centre counts (ledger, journal) stays in the integers of base/units.hpp.
#pragma once
#include <compare>

namespace centrale {

/// A double with the exponents of second, byte, FLOP and joule.
template <int S, int B, int F, int J>
struct Dimension {
  double value = 0;
  constexpr auto operator<=>(const Dimension&) const = default;
  constexpr Dimension& operator+=(Dimension o) {
    value += o.value;
    return *this;
  }
  constexpr Dimension& operator-=(Dimension o) {
    value -= o.value;
    return *this;
  }
  constexpr Dimension& operator*=(double factor) {
    value *= factor;
    return *this;
  }
  friend constexpr Dimension operator+(Dimension a, Dimension b) { return {a.value + b.value}; }
  friend constexpr Dimension operator-(Dimension a, Dimension b) { return {a.value - b.value}; }
  friend constexpr Dimension operator*(Dimension a, double f) { return {a.value * f}; }
  friend constexpr Dimension operator*(double f, Dimension a) { return {f * a.value}; }
  friend constexpr Dimension operator/(Dimension a, double f) { return {a.value / f}; }
};

/// Products and quotients; what has no dimension left is a plain double.
template <int S, int B, int F, int J>
[[nodiscard]] constexpr auto dimension(double value) {
  if constexpr (S == 0 && B == 0 && F == 0 && J == 0) {
    return value;
  } else {
    return Dimension<S, B, F, J>{value};
  }
}
template <int S1, int B1, int F1, int J1, int S2, int B2, int F2, int J2>
[[nodiscard]] constexpr auto operator*(Dimension<S1, B1, F1, J1> a, Dimension<S2, B2, F2, J2> b) {
  return dimension<S1 + S2, B1 + B2, F1 + F2, J1 + J2>(a.value * b.value);
}
template <int S1, int B1, int F1, int J1, int S2, int B2, int F2, int J2>
[[nodiscard]] constexpr auto operator/(Dimension<S1, B1, F1, J1> a, Dimension<S2, B2, F2, J2> b) {
  return dimension<S1 - S2, B1 - B2, F1 - F2, J1 - J2>(a.value / b.value);
}

using Seconds = Dimension<1, 0, 0, 0>;
using ByteCount = Dimension<0, 1, 0, 0>;
using Flop = Dimension<0, 0, 1, 0>;
using Joules = Dimension<0, 0, 0, 1>;
using BytesPerSecond = Dimension<-1, 1, 0, 0>;
using FlopPerSecond = Dimension<-1, 0, 1, 0>;
using Watts = Dimension<-1, 0, 0, 1>;
using PerSecond = Dimension<-1, 0, 0, 0>;

}  // namespace centrale
