// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.hpp"
#include "simulate/report_plot.hpp"

namespace centrale::plot {
namespace {

/// 1, 2 or 5 times a power of ten: at most six steps up to `most`.
double round_step(double most) {
  const double rough = most / 5;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (step * power >= rough * (1 - 1e-9)) { return step * power; }
  }
  return 10 * power;
}

std::string tick_text(double value, double step) {
  const int digits = step < 1 ? static_cast<int>(std::ceil(-std::log10(step) - 1e-9)) : 0;
  return digits == 0 && value < 9e15 ? format_count(std::llround(value)) : fmt::format("{:.{}f}", value, digits);
}

/// Ticks in a unit of which one is `unit` of the axis.
Axis stepped(std::string title, double most, double unit) {
  most = std::isfinite(most) && most > 0 ? most : unit;
  const double step = round_step(most / unit);
  Axis axis{.title = std::move(title), .low = 0, .high = 0, .logarithmic = false, .ticks = {}};
  for (int i = 0;; ++i) {
    const double value = step * i;
    axis.ticks.push_back({value * unit, tick_text(value, step)});
    if (value * unit >= most * (1 - 1e-9)) { break; }
  }
  axis.high = axis.ticks.back().at;
  return axis;
}

}  // namespace

Axis axis_from_zero(std::string title, double most) { return stepped(std::move(title), most, 1); }

Axis time_axis(std::string title, double most_s) {
  struct Unit {
    double from, seconds;
    std::string_view name;
  };
  static constexpr std::array kUnits{Unit{5 * 86400.0, 86400, "days"}, Unit{3 * 3600.0, 3600, "hours"}, Unit{180, 60, "minutes"},
                                     Unit{0, 1, "seconds"}};
  const Unit& unit = *std::ranges::find_if(kUnits, [&](const Unit& u) { return most_s >= u.from || u.from == 0; });
  return stepped(fmt::format("{}, {}", title, unit.name), most_s, unit.seconds);
}

Axis log_time_axis(std::string title, double least_s, double most_s) {
  static constexpr std::array<std::pair<double, std::string_view>, 11> kMarks{{{1, "1 s"},
                                                                               {10, "10 s"},
                                                                               {60, "1 min"},
                                                                               {600, "10 min"},
                                                                               {3600, "1 h"},
                                                                               {36000, "10 h"},
                                                                               {4 * 86400.0, "4 d"},
                                                                               {40 * 86400.0, "40 d"},
                                                                               {365 * 86400.0, "1 y"},
                                                                               {3650 * 86400.0, "10 y"},
                                                                               {36500 * 86400.0, "100 y"}}};
  Axis axis{.title = std::move(title), .low = std::max(least_s, 0.1), .high = std::max(most_s, 0.2), .logarithmic = true, .ticks = {}};
  if (axis.high < axis.low * 2) { axis.high = axis.low * 2; }
  for (const auto& [seconds, text] : kMarks) {
    if (seconds >= axis.low && seconds <= axis.high) { axis.ticks.push_back({seconds, std::string(text)}); }
  }
  return axis;
}

Axis share_axis(std::string title) {
  Axis axis{.title = std::move(title), .low = 0, .high = 1, .logarithmic = false, .ticks = {}};
  for (int i = 0; i <= 4; ++i) { axis.ticks.push_back({i / 4.0, fmt::format("{}%", i * 25)}); }
  return axis;
}

}  // namespace centrale::plot
