// SPDX-License-Identifier: Apache-2.0
// Spans, sizes, times and counts as text; declared in text.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>

#include "base/text.hpp"

namespace centrale {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A decimal number as an integer times `scale`, exactly; more digits than scale has are dropped. Moves past it.
std::optional<std::int64_t> scaled_number(std::string_view text, std::size_t& at, std::int64_t scale) {
  constexpr Int128 kMax = std::numeric_limits<std::int64_t>::max();
  const std::size_t start = at;
  Int128 whole = 0;
  for (; at < text.size() && is_digit(text[at]); ++at) {
    whole = whole * 10 + (text[at] - '0');
    if (whole > kMax) { return std::nullopt; }
  }
  std::size_t digits = at - start;
  Int128 fraction = 0;
  Int128 denominator = 1;
  if (at < text.size() && text[at] == '.') {
    ++at;
    for (; at < text.size() && is_digit(text[at]); ++at) {
      ++digits;
      if (denominator < 1'000'000'000'000'000'000) {
        fraction = fraction * 10 + (text[at] - '0');
        denominator *= 10;
      }
    }
  }
  if (digits == 0) { return std::nullopt; }
  const Int128 value = whole * scale + fraction * scale / denominator;
  return value > kMax ? std::nullopt : std::optional(static_cast<std::int64_t>(value));
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') { text.remove_prefix(1); }
  while (!text.empty() && text.back() == ' ') { text.remove_suffix(1); }
  return text;
}

struct Unit {
  std::string_view name;
  std::int64_t size;
};
// Largest first: exact_duration goes down this list.
constexpr std::array<Unit, 7> kSpans{{{"d", 86'400'000'000'000},
                                      {"h", 3'600'000'000'000},
                                      {"m", 60'000'000'000},
                                      {"s", 1'000'000'000},
                                      {"ms", 1'000'000},
                                      {"us", 1'000},
                                      {"ns", 1}}};
constexpr std::array<Unit, 6> kSizes{{{"PiB", std::int64_t{1} << 50},
                                      {"TiB", std::int64_t{1} << 40},
                                      {"GiB", std::int64_t{1} << 30},
                                      {"MiB", std::int64_t{1} << 20},
                                      {"KiB", std::int64_t{1} << 10},
                                      {"B", 1}}};

std::optional<std::int64_t> size_unit(std::string_view unit) {
  std::string u;
  std::transform(unit.begin(), unit.end(), std::back_inserter(u), lower);
  if (u.empty() || u == "b") { return 1; }
  if (u.ends_with('b')) { u.pop_back(); }
  const bool binary = u.size() == 2 && u[1] == 'i';
  const std::size_t power = std::string_view("kmgtp").find(u[0]);
  if (power == std::string_view::npos || (u.size() != 1 && !binary)) { return std::nullopt; }
  std::int64_t size = 1;
  for (std::size_t i = 0; i <= power; ++i) { size *= binary ? 1024 : 1000; }
  return size;
}

// Howard Hinnant, "chrono-compatible low-level date algorithms": proleptic Gregorian calendar.
struct Civil {
  std::int64_t year;
  unsigned month, day;
};
Civil civil_from_days(std::int64_t z) {
  z += 719468;
  const std::int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const auto doe = static_cast<unsigned>(z - era * 146097);
  const unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const unsigned mp = (5 * doy + 2) / 153;
  const unsigned month = mp < 10 ? mp + 3 : mp - 9;
  return {static_cast<std::int64_t>(yoe) + era * 400 + (month <= 2 ? 1 : 0), month, doy - (153 * mp + 2) / 5 + 1};
}
std::int64_t days_from_civil(std::int64_t y, unsigned m, unsigned d) {
  y -= m <= 2 ? 1 : 0;
  const std::int64_t era = (y >= 0 ? y : y - 399) / 400;
  const auto yoe = static_cast<unsigned>(y - era * 400);
  const unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
  const unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + static_cast<std::int64_t>(doe) - 719468;
}

/// Exactly `count` digits.
std::optional<unsigned> fixed_digits(std::string_view text, std::size_t at, std::size_t count) {
  if (at + count > text.size()) { return std::nullopt; }
  unsigned value = 0;
  for (const char c : text.substr(at, count)) {
    if (!is_digit(c)) { return std::nullopt; }
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value;
}

}  // namespace

std::string format_duration(Nanos span) {
  const std::int64_t ns = span.value;
  if (ns < 0) {
    // Negation of the smallest value would overflow; nobody can tell the difference of one ns in 292 years.
    return "-" + format_duration({ns == std::numeric_limits<std::int64_t>::min() ? std::numeric_limits<std::int64_t>::max() : -ns});
  }
  if (ns == 0) { return "0 s"; }
  if (ns < 1'000'000) { return fmt::format("{} us", ns / 1'000); }
  if (ns < 1'000'000'000) { return fmt::format("{} ms", ns / 1'000'000); }
  const std::int64_t s = ns / 1'000'000'000;
  if (s < 60) { return fmt::format("{} s", s); }
  if (s < 3600) { return fmt::format("{}m {:02}s", s / 60, s % 60); }
  if (s < 86'400) { return fmt::format("{}h {:02}m", s / 3600, s % 3600 / 60); }
  return fmt::format("{}d {:02}h", s / 86'400, s % 86'400 / 3600);
}

std::string exact_duration(Nanos span) {
  if (span.value == 0) { return "0s"; }
  std::string text;
  // Unsigned, so that the smallest value has a magnitude.
  auto rest = static_cast<std::uint64_t>(span.value);
  if (span.value < 0) {
    text = "-";
    rest = 0 - rest;
  }
  for (const Unit& unit : kSpans) {
    const auto size = static_cast<std::uint64_t>(unit.size);
    if (rest >= size) {
      text += fmt::format("{}{}", rest / size, unit.name);
      rest %= size;
    }
  }
  return text;
}

std::optional<Nanos> parse_duration(std::string_view text) {
  text = trimmed(text);
  std::size_t at = 0;
  std::int64_t total = 0;
  bool bare = false;
  while (at < text.size()) {
    const std::size_t number = at;
    while (at < text.size() && (is_digit(text[at]) || text[at] == '.')) { ++at; }
    const std::size_t number_end = at;
    while (at < text.size() && text[at] == ' ') { ++at; }
    const std::size_t unit_at = at;
    while (at < text.size() && text[at] >= 'a' && text[at] <= 'z') { ++at; }
    const std::string_view unit = text.substr(unit_at, at - unit_at);
    const Unit* found = std::find_if(kSpans.begin(), kSpans.end(), [&](const Unit& u) { return u.name == unit; });
    if (found == kSpans.end()) {
      if (!unit.empty() || number != 0 || at != text.size()) { return std::nullopt; }
      bare = true;
    }
    std::size_t end = number;
    const auto part = scaled_number(text, end, bare ? 1'000'000'000 : found->size);
    if (!part || end != number_end || __builtin_add_overflow(total, *part, &total)) { return std::nullopt; }
    while (at < text.size() && text[at] == ' ') { ++at; }
  }
  return text.empty() ? std::nullopt : std::optional(Nanos{total});
}

std::optional<Nanos> duration_of_seconds(double value) {
  if (!(value >= 0) || value > 9.2e9) { return std::nullopt; }
  return Nanos{std::llround(value * 1e9)};
}

std::string format_bytes(Bytes size) {
  const std::int64_t b = size.value;
  if (b < 0) { return "-" + format_bytes({b == std::numeric_limits<std::int64_t>::min() ? std::numeric_limits<std::int64_t>::max() : -b}); }
  for (const Unit& unit : kSizes) {
    if (b >= unit.size && unit.size > 1) {
      const double value = static_cast<double>(b) / static_cast<double>(unit.size);
      return value < 99.95 ? fmt::format("{:.1f} {}", value, unit.name) : fmt::format("{:.0f} {}", value, unit.name);
    }
  }
  return fmt::format("{} B", b);
}

std::string exact_bytes(Bytes size) {
  for (const Unit& unit : kSizes) {
    if (size.value != 0 && size.value % unit.size == 0) { return fmt::format("{}{}", size.value / unit.size, unit.name); }
  }
  return "0B";
}

std::optional<Bytes> parse_bytes(std::string_view text) {
  text = trimmed(text);
  std::size_t end = 0;
  while (end < text.size() && (is_digit(text[end]) || text[end] == '.')) { ++end; }
  const auto unit = size_unit(trimmed(text.substr(end)));
  const auto value = unit ? parse_scaled(text.substr(0, end), *unit) : std::nullopt;
  return value ? std::optional(Bytes{*value}) : std::nullopt;
}

std::optional<std::int64_t> parse_scaled(std::string_view text, std::int64_t scale) {
  std::size_t at = 0;
  const auto value = scaled_number(text, at, scale);
  return at == text.size() ? value : std::nullopt;
}

std::string format_time_rfc3339(Time time) {
  std::int64_t s = time.ns / 1'000'000'000;
  std::int64_t ns = time.ns % 1'000'000'000;
  if (ns < 0) {
    ns += 1'000'000'000;
    --s;
  }
  std::int64_t days = s / 86'400;
  std::int64_t second = s % 86'400;
  if (second < 0) {
    second += 86'400;
    --days;
  }
  const Civil date = civil_from_days(days);
  std::string text =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", date.year, date.month, date.day, second / 3600, second % 3600 / 60, second % 60);
  if (ns >= 1'000'000) { text += fmt::format(".{:03}", ns / 1'000'000); }
  return text + "Z";
}

std::optional<Time> parse_time_rfc3339(std::string_view text) {
  const auto year = fixed_digits(text, 0, 4), month = fixed_digits(text, 5, 2), day = fixed_digits(text, 8, 2);
  const auto hour = fixed_digits(text, 11, 2), minute = fixed_digits(text, 14, 2), second = fixed_digits(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second || text[4] != '-' || text[7] != '-' ||
      (text[10] != 'T' && text[10] != 't' && text[10] != ' ') || text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  const std::int64_t days = days_from_civil(*year, *month, *day);
  const Civil back = civil_from_days(days);  // refuses February 30
  if (*month == 0 || *month > 12 || back.month != *month || back.day != *day || *hour > 23 || *minute > 59 || *second > 59) {
    return std::nullopt;
  }
  std::size_t at = 19;
  std::int64_t ns = 0;
  if (at < text.size() && text[at] == '.') {
    std::int64_t unit = 100'000'000;
    for (++at; at < text.size() && is_digit(text[at]); ++at) {
      ns += unit * (text[at] - '0');
      unit /= 10;
    }
    if (text[at - 1] == '.') { return std::nullopt; }
  }
  std::int64_t offset_s = 0;
  if (at + 1 == text.size() && (text[at] == 'Z' || text[at] == 'z')) {
    ++at;
  } else if (at + 6 == text.size() && (text[at] == '+' || text[at] == '-') && text[at + 3] == ':') {
    const auto hours = fixed_digits(text, at + 1, 2), minutes = fixed_digits(text, at + 4, 2);
    if (!hours || !minutes || *hours > 23 || *minutes > 59) { return std::nullopt; }
    offset_s = std::int64_t{*hours * 60 + *minutes} * (text[at] == '-' ? -60 : 60);
  } else {
    return std::nullopt;
  }
  const Int128 total = (Int128{days} * 86'400 + *hour * 3600 + *minute * 60 + *second - offset_s) * 1'000'000'000 + ns;
  if (total > std::numeric_limits<std::int64_t>::max() || total < std::numeric_limits<std::int64_t>::min()) { return std::nullopt; }
  return Time{static_cast<std::int64_t>(total)};
}

std::string format_count(std::int64_t count) {
  std::string text = std::to_string(count);
  const std::ptrdiff_t first = text[0] == '-' ? 1 : 0;
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > first; at -= 3) { text.insert(text.begin() + at, ','); }
  return text;
}

}  // namespace centrale
