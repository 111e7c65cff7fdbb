// SPDX-License-Identifier: Apache-2.0
// Layers over the stages of a pipeline of unlike chips. Private to plan/.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace centrale::planning {

struct Split {
  std::vector<std::int64_t> layers;  // of each stage, at least one
  double slowest = 0, sum = 0;       // s of the slowest stage and of all
};

/// The split whose slowest stage is fastest, exactly; among those the one whose stages take least together. `cost(stage, first, count)` is
/// infinite where a stage cannot hold the layers [first, first + count), and only grows with count. Nothing: none can be,
/// or none whose slowest stage stays within `worst`.
template <class Cost>
[[nodiscard]] std::optional<Split> split_layers(std::int64_t layers, std::size_t stages, const Cost& cost,
                                                double worst = std::numeric_limits<double>::infinity()) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto n = static_cast<std::size_t>(layers);
  if (stages == 0 || n < stages) { return std::nullopt; }
  struct Cell {
    double value = kInfinity;
    std::size_t count = 0;  // layers of the last stage
  };
  std::vector<std::vector<Cell>> table(stages + 1, std::vector<Cell>(n + 1));
  // Fills the table: `join` puts a stage's cost to the best of those before it.
  const auto fill = [&](double most, const auto& join) {
    for (auto& row : table) { std::fill(row.begin(), row.end(), Cell{}); }
    table[0][0].value = 0;
    for (std::size_t s = 1; s <= stages; ++s) {
      for (std::size_t end = s; end + (stages - s) <= n; ++end) {
        Cell& cell = table[s][end];
        for (std::size_t count = 1; count + (s - 1) <= end; ++count) {
          const double here = cost(s - 1, static_cast<std::int64_t>(end - count), static_cast<std::int64_t>(count));
          if (here > most || here == kInfinity || here >= cell.value) { break; }  // no more layers can be better
          const double value = join(table[s - 1][end - count].value, here);
          if (value < cell.value) { cell = {value, count}; }
        }
      }
    }
  };
  fill(worst, [](double before, double here) { return before > here ? before : here; });
  Split split;
  split.slowest = table[stages][n].value;
  if (split.slowest == kInfinity) { return std::nullopt; }
  fill(split.slowest, [](double before, double here) { return before + here; });
  split.sum = table[stages][n].value;
  split.layers.resize(stages);
  for (std::size_t s = stages, end = n; s > 0; end -= table[s][end].count, --s) {
    split.layers[s - 1] = static_cast<std::int64_t>(table[s][end].count);
  }
  return split;
}

}  // namespace centrale::planning
