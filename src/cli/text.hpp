// SPDX-License-Identifier: Apache-2.0
// What base/text.hpp does not have: text that is safe on a terminal, colour, and numbers at a glance. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/text.hpp"

namespace centrale::cli {

struct Style {
  bool colour = false;
  bool unicode = true;
};

enum class Tone : unsigned char { plain, bold, dim, red, green, yellow, blue, cyan };
/// The text between SGR codes; as it is without colour.
[[nodiscard]] std::string paint(std::string_view text, Tone tone, const Style& style);

/// Text from outside, made harmless: control characters become spaces (no name may drive the terminal), so do the marks that turn
/// the direction of writing; bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string printable(std::string_view text);

/// At most `width` columns; what is cut off is marked by "…" ("~" without Unicode).
[[nodiscard]] std::string cut(std::string_view utf8, std::size_t width, const Style& style);

enum class Align : unsigned char { left, right };
[[nodiscard]] std::string pad(std::string_view utf8, std::size_t width, Align align = Align::left);

/// A value that the centre may not know.
using Number = std::optional<double>;
/// What stands for a value that is not known.
[[nodiscard]] std::string unknown(const Style& style);

[[nodiscard]] std::string span_text(double seconds);                             // "0.4 s", "12 s", "3m 20s"
[[nodiscard]] std::string bytes_text(double bytes);                              // "1.5 GiB"
[[nodiscard]] std::string count_text(double count);                              // "9,120", "12.4M"
[[nodiscard]] std::string energy_text(double joules);                            // "3.4 mWh", "0.82 Wh", "1.25 kWh"
[[nodiscard]] std::string power_text(double watts);                              // "75 W", "1.2 kW"
[[nodiscard]] std::string money_text(double amount, std::string_view currency);  // "0.0123 EUR"
[[nodiscard]] std::string percent_text(double fraction);                         // "61%"
/// RFC 3339 to seconds since the epoch.
[[nodiscard]] std::optional<double> parse_time(std::string_view rfc3339);

}  // namespace centrale::cli
