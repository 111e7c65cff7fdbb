// SPDX-License-Identifier: Apache-2.0
#include "plan/row_cells.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.hpp"
#include "plan/train_rows.hpp"

namespace centrale {
namespace rows {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

namespace {
std::optional<double> whole_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) { return std::nullopt; }
  return value;
}
}  // namespace

std::optional<double> number_after(std::string_view text, std::string_view words) {
  const std::size_t at = text.find(words);
  if (at == std::string_view::npos) { return std::nullopt; }
  const char* const begin = text.data() + at + words.size();
  double value = 0;
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
  return error == std::errc{} && end != begin && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

std::optional<std::int64_t> Cells::count(std::string_view column) const {
  const auto value = real(column);
  if (!value || *value < 1 || *value > 9e15 || std::floor(*value) != *value) { return std::nullopt; }
  return static_cast<std::int64_t>(*value);
}

std::optional<double> Cells::real(std::string_view column) const { return whole_number(text(column)); }

Result<void> Cells::check_counts(std::initializer_list<const char*> columns, double most) const {
  for (const char* column : columns) {
    const auto value = real(column);
    if (value && (*value < 1 || *value > most || std::floor(*value) != *value)) {
      return fail(ErrorKind::invalid, fmt::format("{} is {}", column, shorten(text(column), 40)), {},
                  fmt::format("wants a whole number from 1 to {}", most));
    }
  }
  return {};
}

}  // namespace rows

BytesPerSecond network_spoken_of(std::string_view text, std::int64_t chips_per_node) {
  const std::string said = rows::lower(text);
  const double chips = static_cast<double>(std::max<std::int64_t>(1, chips_per_node));
  constexpr double kGigabit = 1e9 / 8;
  // Google's A3: four 200 Gb/s cards a node behind TCPX (Google Cloud, A3 High).
  if (rows::contains(said, "tcpx")) { return {4 * 200 * kGigabit / chips}; }
  double most = 0;
  // "8x HDR-200", "4x200 Gb/s", "8x nvidia connectx-7 ib ndr 400gb/s": so many links a node.
  for (std::size_t at = said.find('x'); at != std::string::npos; at = said.find('x', at + 1)) {
    std::size_t start = at;
    while (start > 0 && said[start - 1] >= '0' && said[start - 1] <= '9') { --start; }
    if (start == at) { continue; }
    const auto links = rows::number_after(said.substr(start), "");
    std::size_t digits = at + 1;
    // The rate stands within a few words, before a separator.
    while (digits < said.size() && digits < at + 40 && said[digits] != ';' && said[digits] != ',') {
      const auto rate = said[digits] >= '0' && said[digits] <= '9' ? rows::number_after(said.substr(digits), "") : std::nullopt;
      if (rate && *rate >= 10 && *rate <= 3200 && links && *links <= 64) {
        if (rows::contains(said.substr(start > 20 ? start - 20 : 0, 20), "storage")) { break; }
        most = std::max(most, *links * *rate * kGigabit / chips);
        break;
      }
      while (digits < said.size() && said[digits] >= '0' && said[digits] <= '9') { ++digits; }
      if (digits < said.size()) { ++digits; }
    }
  }
  if (most > 0) { return {most}; }
  // Omni-Path 100: "4 omni-path links per node".
  if (const std::size_t opa = said.find(" omni-path links");
      opa != std::string::npos && opa > 0 && said[opa - 1] >= '1' && said[opa - 1] <= '9') {
    return {(said[opa - 1] - '0') * 100 * kGigabit / chips};
  }
  // "1600 gb/s roce per node", "ib 200 gb/s": of the node together.
  if (const std::size_t unit = said.find(" gb/s");
      unit != std::string::npos && (rows::contains(said, "per node") || rows::contains(said, "ib "))) {
    std::size_t start = unit;
    while (start > 0 && said[start - 1] >= '0' && said[start - 1] <= '9') { --start; }
    if (const auto rate = rows::number_after(said.substr(start), ""); rate && *rate > 0) { return {*rate * kGigabit / chips}; }
  }
  return {};
}

}  // namespace centrale
