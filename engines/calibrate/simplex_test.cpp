// SPDX-License-Identifier: Apache-2.0
#include "simplex.hpp"

#include <gtest/gtest.h>

namespace centrale::calibrate {
namespace {

TEST(Simplex, FindsTheBottomOfACurvedValley) {
  // Rosenbrock's valley, least at (1, 1).
  int calls = 0;
  const auto valley = [&](const std::vector<double>& p) {
    ++calls;
    return (1 - p[0]) * (1 - p[0]) + 100 * (p[1] - p[0] * p[0]) * (p[1] - p[0] * p[0]);
  };
  const auto bottom = minimise(valley, {-1.2, 1.0}, 0.5, 600);
  EXPECT_NEAR(bottom[0], 1, 1e-3);
  EXPECT_NEAR(bottom[1], 1, 1e-3);
  EXPECT_LE(calls, 605);
}

TEST(Simplex, WorksInOneDimension) {
  const auto bottom = minimise([](const std::vector<double>& p) { return (p[0] - 3) * (p[0] - 3); }, {0.0}, 1.0, 100);
  EXPECT_NEAR(bottom[0], 3, 1e-4);
}

}  // namespace
}  // namespace centrale::calibrate
