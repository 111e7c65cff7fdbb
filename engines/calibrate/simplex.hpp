// SPDX-License-Identifier: Apache-2.0
// Nelder and Mead, "A simplex method for function minimization", The Computer Journal 7 (1965), with its usual coefficients.
#pragma once
#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace centrale::calibrate {

/// The point of the least f(point) found from `start`, with a first simplex of edge `step`. Deterministic; at most about `evaluations`
/// calls.
template <class F>
[[nodiscard]] std::vector<double> minimise(F&& f, const std::vector<double>& start, double step, int evaluations) {
  using Vertex = std::pair<double, std::vector<double>>;
  const std::size_t n = start.size();
  std::vector<Vertex> simplex{{f(start), start}};
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<double> point = start;
    point[i] += step;
    simplex.emplace_back(f(point), point);
  }
  const auto by_value = [](const Vertex& a, const Vertex& b) { return a.first < b.first; };
  for (int used = static_cast<int>(n) + 1; used < evaluations;) {
    std::stable_sort(simplex.begin(), simplex.end(), by_value);
    std::vector<double> centre(n, 0.0);
    for (std::size_t v = 0; v < n; ++v) {
      for (std::size_t i = 0; i < n; ++i) { centre[i] += simplex[v].second[i] / static_cast<double>(n); }
    }
    const auto along = [&](double factor) {
      std::vector<double> point(n);
      for (std::size_t i = 0; i < n; ++i) { point[i] = centre[i] + factor * (simplex[n].second[i] - centre[i]); }
      ++used;
      const double value = f(point);
      return Vertex{value, std::move(point)};
    };
    Vertex reflected = along(-1);
    if (reflected.first < simplex[0].first) {
      Vertex further = along(-2);
      simplex[n] = further.first < reflected.first ? std::move(further) : std::move(reflected);
      continue;
    }
    if (reflected.first < simplex[n - 1].first || (n == 1 && reflected.first < simplex[n].first)) {
      simplex[n] = std::move(reflected);
      continue;
    }
    Vertex nearer = along(reflected.first < simplex[n].first ? -0.5 : 0.5);
    if (nearer.first < std::min(reflected.first, simplex[n].first)) {
      simplex[n] = std::move(nearer);
      continue;
    }
    for (std::size_t v = 1; v <= n; ++v) {
      for (std::size_t i = 0; i < n; ++i) { simplex[v].second[i] = (simplex[v].second[i] + simplex[0].second[i]) / 2; }
      simplex[v].first = f(simplex[v].second);
      ++used;
    }
  }
  return std::min_element(simplex.begin(), simplex.end(), by_value)->second;
}

}  // namespace centrale::calibrate
