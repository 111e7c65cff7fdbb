// SPDX-License-Identifier: Apache-2.0
#include "cli/text.hpp"

#include <fmt/core.h>

#include <array>
#include <cmath>

namespace centrale::cli {

std::string paint(std::string_view text, Tone tone, const Style& style) {
  if (!style.colour || tone == Tone::plain || text.empty()) { return std::string(text); }
  static constexpr std::array<std::string_view, 8> kCodes{"0", "1", "2", "31", "32", "33", "34", "36"};
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes.at(static_cast<std::size_t>(tone)), text);
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const bool drives = c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
    append_utf8(out, drives ? U' ' : c);
  }
  return out;
}

std::string cut(std::string_view utf8, std::size_t width, const Style& style) {
  if (display_width(utf8) <= width) { return std::string(utf8); }
  if (width == 0) { return {}; }
  std::size_t kept = 0;
  std::size_t used = 0;
  for (std::size_t at = 0; at < utf8.size();) {
    static_cast<void>(next_code_point(utf8, at));
    used += display_width(utf8.substr(kept, at - kept));
    if (used > width - 1) { break; }
    kept = at;
  }
  return std::string(utf8.substr(0, kept)) + (style.unicode ? "…" : "~");
}

std::string pad(std::string_view utf8, std::size_t width, Align align) {
  const std::size_t used = display_width(utf8);
  const std::string fill(used < width ? width - used : 0, ' ');
  return align == Align::left ? std::string(utf8) + fill : fill + std::string(utf8);
}

std::string unknown(const Style& style) { return style.unicode ? "–" : "-"; }

std::string span_text(double seconds) {
  if (seconds >= 0 && seconds < 9.95) { return fmt::format("{:.1f} s", seconds); }
  const auto span = duration_of_seconds(std::round(seconds));
  return span ? format_duration(*span) : "–";
}

std::string bytes_text(double bytes) { return bytes >= 0 && bytes < 9e18 ? format_bytes(Bytes{static_cast<std::int64_t>(bytes)}) : "–"; }

std::string count_text(double count) {
  if (!std::isfinite(count)) { return "–"; }
  struct Scale {
    double from, unit;
    std::string_view letter;
  };
  static constexpr std::array kScales{Scale{1e13, 1e12, "T"}, Scale{1e10, 1e9, "G"}, Scale{1e7, 1e6, "M"}};
  for (const Scale& scale : kScales) {
    if (std::abs(count) >= scale.from) { return fmt::format("{:.1f}{}", count / scale.unit, scale.letter); }
  }
  return format_count(std::llround(count));
}

std::string energy_text(double joules) {
  const double wh = joules / 3600;
  if (wh > 0 && wh < 0.0995) { return fmt::format("{:.{}f} mWh", wh * 1e3, wh < 9.95e-3 ? 2 : 1); }
  if (wh < 999.5) { return fmt::format("{:.{}f} Wh", wh, wh < 9.95 ? 2 : wh < 99.5 ? 1 : 0); }
  return wh < 999.5e3 ? fmt::format("{:.2f} kWh", wh / 1e3) : fmt::format("{:.2f} MWh", wh / 1e6);
}

std::string power_text(double watts) {
  if (watts < 999.5) { return fmt::format("{:.{}f} W", watts, watts < 9.95 ? 1 : 0); }
  return watts < 999.5e3 ? fmt::format("{:.1f} kW", watts / 1e3) : fmt::format("{:.1f} MW", watts / 1e6);
}

std::string money_text(double amount, std::string_view currency) {
  // Small sums keep their digits: a first job costs a fraction of a cent, and 0.00 would look like a bug.
  const double size = std::abs(amount);
  const int digits = size >= 1 || size == 0 ? 2 : size >= 0.01 ? 4 : 6;
  const std::string text = fmt::format("{:.{}f}", amount, digits);
  return currency.empty() ? text : fmt::format("{} {}", text, currency);
}

std::string percent_text(double fraction) { return fmt::format("{:.0f}%", fraction * 100); }

std::optional<double> parse_time(std::string_view rfc3339) {
  const auto time = parse_time_rfc3339(rfc3339);
  return time ? std::optional(static_cast<double>(time->ns) * 1e-9) : std::nullopt;
}

}  // namespace centrale::cli
