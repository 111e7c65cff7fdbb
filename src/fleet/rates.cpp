// SPDX-License-Identifier: Apache-2.0
// Rates as people write them in catalogues and fleets.
#include <optional>

#include "base/text.hpp"
#include "fleet/catalogue.hpp"

namespace centrale {
namespace {

// Six decimals are more than any datasheet prints, and leave room for 9 million of the largest unit.
constexpr std::int64_t kDecimals = 1'000'000;

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) { return false; }
  text.remove_suffix(suffix.size());
  return true;
}

/// The factor of the prefix that `text` ends with, taken off; 0 if there is none.
double take_prefix(std::string_view& text) {
  struct Scale {
    char letter;
    double factor;
  };
  constexpr Scale kScales[] = {{'k', 1e3}, {'M', 1e6}, {'G', 1e9}, {'T', 1e12}, {'P', 1e15}};
  for (const Scale& scale : kScales) {
    if (text.ends_with(scale.letter)) {
      text.remove_suffix(1);
      return scale.factor;
    }
  }
  return 0;
}

/// A plain positive decimal number, spaces behind it dropped.
std::optional<double> number(std::string_view text) {
  while (text.ends_with(' ')) { text.remove_suffix(1); }
  const auto scaled = parse_scaled(text, kDecimals);
  if (!scaled || *scaled <= 0) { return std::nullopt; }
  return static_cast<double>(*scaled) / static_cast<double>(kDecimals);
}

}  // namespace

std::optional<BytesPerSecond> parse_bandwidth(std::string_view text) {
  double unit = 1;
  if (take_suffix(text, "bit/s") || take_suffix(text, "b/s")) {
    unit = 1.0 / 8;
  } else if (!take_suffix(text, "B/s")) {
    return std::nullopt;
  }
  const double factor = take_prefix(text);
  const auto value = number(text);
  return value && factor > 0 ? std::optional(BytesPerSecond{*value * factor * unit}) : std::nullopt;
}

std::optional<FlopPerSecond> parse_flop_rate(std::string_view text) {
  // The unit may be left out, the prefix may not: 989 alone is surely a slip.
  static_cast<void>(take_suffix(text, "FLOP/s") || take_suffix(text, "OP/s"));
  const double factor = take_prefix(text);
  const auto value = number(text);
  return value && factor > 0 ? std::optional(FlopPerSecond{*value * factor}) : std::nullopt;
}

}  // namespace centrale
