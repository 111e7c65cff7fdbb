// SPDX-License-Identifier: Apache-2.0
// Plots as SVG text, drawn for one size and scaled by the page; colours are the page's variables (--s0 to --s9 for series, --k0 to --k5 for
// kinds, --ink, --soft, --rule). Private to report_html.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace centrale::plot {

inline constexpr double kWidth = 640, kHeight = 320;
inline constexpr std::size_t kSeriesColours = 10, kKindColours = 6;

struct Tick {
  double at = 0;
  std::string text;
};
struct Axis {
  std::string title;  // with its unit
  double low = 0, high = 1;
  bool logarithmic = false;
  std::vector<Tick> ticks;
};
/// From 0 to what holds `most`, at round numbers.
[[nodiscard]] Axis axis_from_zero(std::string title, double most);
/// The same of a span of seconds, in the unit that reads best: the title gets it, values stay in seconds.
[[nodiscard]] Axis time_axis(std::string title, double most_s);
/// Logarithmic, ticks where people count: 1 s, 10 s, 1 min, 10 min, 1 h, …
[[nodiscard]] Axis log_time_axis(std::string title, double least_s, double most_s);
[[nodiscard]] Axis share_axis(std::string title);

struct Line {
  std::string name;
  std::size_t colour = 0;  // of the series
  std::vector<std::pair<double, double>> points;
  bool dots = false;
};
/// Lines with their names at their ends.
[[nodiscard]] std::string lines(const Axis& x, const Axis& y, const std::vector<Line>& all);

/// Areas one on another, and a line over them.
struct Stack {
  std::vector<std::string> names;
  std::vector<double> x;
  std::vector<std::vector<double>> layers;  // by name, then x
  std::vector<double> limit;                // by x: drawn dashed
  std::string limit_name;
};
[[nodiscard]] std::string stacked(const Axis& x, const Axis& y, const Stack& stack);

struct BarGroup {
  std::string name;
  std::vector<double> values;  // by series; not finite: none
};
/// Horizontal bars, a group a name; as high as it needs.
[[nodiscard]] std::string bars(std::string_view title, const std::vector<std::string>& series, const std::vector<BarGroup>& groups);

/// Text inside HTML and SVG, quotes too.
[[nodiscard]] std::string escaped(std::string_view text);

}  // namespace centrale::plot
