// SPDX-License-Identifier: Apache-2.0
// One shape for each job, or none, so that the sum of values is as large as can be and no kind has more chips given out than it has:
// the integer program that Sia solves in each round (Jayaram Subramanya et al., SOSP 2023, section 3.4).
//
// Small cases are solved exactly, by dynamic programming over what is left of each kind. Others by prices: a chip of each kind has one,
// each job takes what is worth most beyond its price, and prices follow what is asked for too much (Lagrange; Fisher, Management Science
// 27(1), 1981). The best bound says how good the answer can be; what the prices chose is cut until it fits, filled up, and improved job by
// job and pair by pair.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace centrale {

struct ShapeChoice {
  std::size_t kind = 0;
  std::int64_t chips = 0;  // > 0
  double value = 0;        // <= 0 is never taken
};
struct ChooseProblem {
  std::vector<ShapeChoice> choices;    // of all jobs, one job after the other
  std::vector<std::size_t> first;      // of each job, and one more: the end
  std::vector<std::int64_t> capacity;  // chips by kind
  [[nodiscard]] std::size_t jobs() const { return first.empty() ? 0 : first.size() - 1; }
};
inline constexpr std::int32_t kNoChoice = -1;
struct Chosen {
  std::vector<std::int32_t> choice;  // by job: index within its choices, or kNoChoice
  double value = 0;
  double bound = 0;    // no choice is worth more
  bool exact = false;  // by dynamic programming
};
/// Limits in steps, so that the same problem has the same answer everywhere.
struct ChooseLimits {
  std::uint64_t exact_steps = 400'000;  // 0: by prices only
  int price_rounds = 120;
  std::uint64_t improve_steps = 2'000'000;
};
[[nodiscard]] Chosen choose_shapes(const ChooseProblem& problem, const ChooseLimits& limits = {});

}  // namespace centrale
