// SPDX-License-Identifier: Apache-2.0
#include "simulate/report_plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/text.hpp"

namespace centrale::plot {
namespace {

constexpr double kLeft = 58, kRight = 128, kTop = 14, kBottom = 46;
constexpr double kLabelHeight = 16;
constexpr std::size_t kLabelColumns = 17;

struct Frame {
  const Axis& x;
  const Axis& y;
  [[nodiscard]] double at_x(double v) const { return kLeft + part(x, v) * (kWidth - kLeft - kRight); }
  [[nodiscard]] double at_y(double v) const { return kHeight - kBottom - part(y, v) * (kHeight - kTop - kBottom); }
  static double part(const Axis& axis, double v) {
    if (axis.logarithmic) { return std::log(std::max(v, axis.low) / axis.low) / std::log(axis.high / axis.low); }
    return (v - axis.low) / (axis.high - axis.low);
  }
};

std::string text_at(double x, double y, std::string_view anchor, std::string_view text, std::string_view more = {}) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>", x, y, anchor, more, escaped(text));
}

std::string open(double height, std::string_view label) {
  return fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">", kWidth, height, escaped(label));
}

std::string axes(const Frame& f) {
  std::string svg;
  for (const Tick& tick : f.y.ticks) {
    const double y = f.at_y(tick.at);
    svg += fmt::format("<line class=\"rule\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft, kWidth - kRight, y, y);
    svg += text_at(kLeft - 8, y + 4, "end", tick.text);
  }
  const double base = kHeight - kBottom;
  for (const Tick& tick : f.x.ticks) {
    const double x = f.at_x(tick.at);
    svg += fmt::format("<line class=\"tick\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", x, x, base, base + 4);
    svg += text_at(x, base + 18, "middle", tick.text);
  }
  svg += fmt::format("<line class=\"tick\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft, kWidth - kRight, base, base);
  svg += text_at((kLeft + kWidth - kRight) / 2, kHeight - 6, "middle", f.x.title, " class=\"title\"");
  const double middle = (kTop + base) / 2;
  svg += fmt::format("<text class=\"title\" text-anchor=\"middle\" transform=\"translate(13 {:.1f}) rotate(-90)\">{}</text>", middle,
                     escaped(f.y.title));
  return svg;
}

std::string colour(std::string_view palette, std::size_t index) {
  return fmt::format("var(--{}{})", palette, index % (palette == "k" ? kKindColours : kSeriesColours));
}

struct Label {
  double y = 0;
  std::string text, colour;
};

/// Names beside the plot, each as near its place as the others let it.
std::string labels(std::vector<Label> all) {
  std::ranges::stable_sort(all, {}, &Label::y);
  for (std::size_t i = 1; i < all.size(); ++i) { all[i].y = std::max(all[i].y, all[i - 1].y + kLabelHeight); }
  double limit = kHeight - kBottom;
  for (std::size_t i = all.size(); i-- > 0; limit -= kLabelHeight) { all[i].y = std::min(all[i].y, limit); }
  std::string svg;
  for (const Label& label : all) {
    svg += text_at(kWidth - kRight + 8, label.y + 4, "start", shorten(label.text, kLabelColumns + 3),
                   fmt::format(" class=\"name\" style=\"fill:{}\"", label.colour));
  }
  return svg;
}

std::string path_of(const Frame& f, const std::vector<std::pair<double, double>>& points) {
  std::string path;
  for (const auto& [x, y] : points) { path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", f.at_x(x), f.at_y(y)); }
  return path;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : to_utf8(text)) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string lines(const Axis& x, const Axis& y, const std::vector<Line>& all) {
  const Frame f{x, y};
  std::string svg = open(kHeight, y.title + " by " + x.title) + axes(f);
  std::vector<Label> names;
  for (const Line& line : all) {
    if (line.points.empty()) { continue; }
    const std::string stroke = colour("s", line.colour);
    svg += fmt::format("<path class=\"line\" style=\"stroke:{}\" d=\"{}\"><title>{}</title></path>", stroke, path_of(f, line.points),
                       escaped(line.name));
    for (std::size_t i = 0; line.dots && i < line.points.size(); ++i) {
      svg += fmt::format("<circle r=\"3.2\" cx=\"{:.1f}\" cy=\"{:.1f}\" style=\"fill:{}\"/>", f.at_x(line.points[i].first),
                         f.at_y(line.points[i].second), stroke);
    }
    names.push_back({f.at_y(line.points.back().second), line.name, stroke});
  }
  return svg + labels(std::move(names)) + "</svg>";
}

std::string stacked(const Axis& x, const Axis& y, const Stack& stack) {
  const Frame f{x, y};
  std::string svg = open(kHeight, y.title + " by " + x.title) + axes(f);
  std::vector<double> below(stack.x.size(), 0);
  std::vector<Label> names;
  for (std::size_t k = 0; k < stack.layers.size(); ++k) {
    std::string path;
    std::vector<double> above = below;
    for (std::size_t i = 0; i < stack.x.size(); ++i) {
      above[i] += stack.layers[k][i];
      path += fmt::format("{}{:.1f} {:.1f}", i == 0 ? "M" : "L", f.at_x(stack.x[i]), f.at_y(above[i]));
    }
    for (std::size_t i = stack.x.size(); i-- > 0;) { path += fmt::format("L{:.1f} {:.1f}", f.at_x(stack.x[i]), f.at_y(below[i])); }
    svg += fmt::format("<path style=\"fill:{}\" d=\"{}Z\"><title>{}</title></path>", colour("k", k), path, escaped(stack.names[k]));
    // A kind's name stands at the middle of its band, where the band is on average: its end is mostly the drained tail.
    const auto n = static_cast<double>(std::max<std::size_t>(stack.x.size(), 1));
    const double middle = (std::reduce(above.begin(), above.end()) + std::reduce(below.begin(), below.end())) / 2 / n;
    names.push_back({f.at_y(middle), stack.names[k], colour("k", k)});
    below = std::move(above);
  }
  std::vector<std::pair<double, double>> limit;
  for (std::size_t i = 0; i < stack.x.size(); ++i) { limit.emplace_back(stack.x[i], stack.limit[i]); }
  if (!limit.empty()) {
    svg += fmt::format("<path class=\"limit\" d=\"{}\"/>", path_of(f, limit));
    names.push_back({f.at_y(limit.back().second), stack.limit_name, "var(--soft)"});
  }
  return svg + labels(std::move(names)) + "</svg>";
}

std::string bars(std::string_view title, const std::vector<std::string>& series, const std::vector<BarGroup>& groups) {
  constexpr double kBar = 12, kBetween = 10, kNames = 130;
  double most = 0;
  for (const BarGroup& group : groups) {
    for (const double v : group.values) { most = std::isfinite(v) ? std::max(most, v) : most; }
  }
  const Axis axis = axis_from_zero(std::string(title), most);
  const auto x = [&](double v) { return kNames + v / axis.high * (kWidth - kNames - kRight); };
  const double group_height = kBar * static_cast<double>(series.size()) + kBetween;
  const double bottom = kTop + group_height * static_cast<double>(groups.size());
  std::string svg = open(bottom + kBottom, title);
  for (const Tick& tick : axis.ticks) {
    svg += fmt::format("<line class=\"rule\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>", x(tick.at), kTop, bottom);
    svg += text_at(x(tick.at), bottom + 18, "middle", tick.text);
  }
  std::vector<Label> names;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const double top = kTop + group_height * static_cast<double>(g) + kBetween / 2;
    svg += text_at(kNames - 8, top + (group_height - kBetween) / 2 + 4, "end", shorten(groups[g].name, kLabelColumns + 3));
    for (std::size_t s = 0; s < groups[g].values.size(); ++s) {
      const double value = groups[g].values[s];
      if (!std::isfinite(value)) { continue; }
      const double y = top + kBar * static_cast<double>(s);
      svg += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" style=\"fill:{}\"><title>{}, {}: {:.2f}</title></rect>",
          kNames, y + 1, std::max(0.5, x(value) - kNames), kBar - 2, colour("s", s), escaped(groups[g].name), escaped(series[s]), value);
      svg += text_at(x(value) + 4, y + kBar - 2.5, "start", fmt::format("{:.{}f}", value, value < 100 ? 1 : 0), " class=\"value\"");
      if (g == 0) { names.push_back({y + kBar / 2, series[s], colour("s", s)}); }
    }
  }
  svg += text_at((kNames + kWidth - kRight) / 2, bottom + kBottom - 6, "middle", title, " class=\"title\"");
  return svg + labels(std::move(names)) + "</svg>";
}

}  // namespace centrale::plot
