// SPDX-License-Identifier: Apache-2.0
#include "base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <utility>

namespace centrale {
namespace {

constexpr std::size_t kNearestLengthMax = 64;  // longer names are no typing errors; the work is O(length^2) a candidate

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Optimal string alignment: insertions, deletions, substitutions, and swaps of neighbours. ASCII case costs nothing.
std::size_t distance(std::string_view a, std::string_view b) {
  std::array<std::size_t, kNearestLengthMax + 1> before{}, previous{}, current{};
  for (std::size_t j = 0; j <= b.size(); ++j) { previous[j] = j; }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1])) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
    }
    before = previous;
    previous = current;
  }
  return previous[b.size()];
}

/// Remembers the best candidate seen. A third of the letters may be wrong; or one is the start of the other, which counts as
/// worse than one wrong letter and better than two.
struct Nearest {
  std::string_view name;
  std::string_view best;
  std::size_t best_score = std::numeric_limits<std::size_t>::max();

  void consider(std::string_view candidate) {
    if (name.empty() || candidate.empty() || name.size() > kNearestLengthMax || candidate.size() > kNearestLengthMax) { return; }
    const std::size_t wrong = distance(name, candidate);
    const std::size_t allowed = std::max<std::size_t>(1, std::max(name.size(), candidate.size()) / 3);
    const std::size_t shorter = std::min(name.size(), candidate.size());
    std::size_t score = wrong <= allowed && wrong < candidate.size() ? 2 * wrong : std::numeric_limits<std::size_t>::max();
    if (shorter >= 3 && distance(name.substr(0, shorter), candidate.substr(0, shorter)) == 0) { score = std::min<std::size_t>(score, 3); }
    if (score < best_score) {
      best = candidate;
      best_score = score;
    }
  }
};

struct Range {
  char32_t first, last;
};
// Unicode 15: general categories Mn, Me, Cf of the scripts in common use.
constexpr std::array<Range, 24> kZeroWidth{{{0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A},  {0x064B, 0x065F},
                                            {0x0670, 0x0670}, {0x06D6, 0x06DC}, {0x0900, 0x0902}, {0x093C, 0x093C},  {0x0941, 0x0948},
                                            {0x094D, 0x094D}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E},  {0x1AB0, 0x1AFF},
                                            {0x1DC0, 0x1DFF}, {0x200B, 0x200F}, {0x202A, 0x202E}, {0x2060, 0x2064},  {0x20D0, 0x20F0},
                                            {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF}}};
// Unicode 15: East Asian width W and F, and emoji shown wide.
constexpr std::array<Range, 22> kWide{{{0x1100, 0x115F},   {0x231A, 0x231B},  {0x2329, 0x232A}, {0x23E9, 0x23EC}, {0x25FD, 0x25FE},
                                       {0x2614, 0x2615},   {0x2648, 0x2653},  {0x26A1, 0x26A1}, {0x2705, 0x2705}, {0x274C, 0x274C},
                                       {0x2E80, 0x303E},   {0x3041, 0x33FF},  {0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xA000, 0xA4CF},
                                       {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},  {0xFE30, 0xFE6F}, {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6},
                                       {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}}};

template <std::size_t N>
bool within(const std::array<Range, N>& ranges, char32_t c) {
  const auto* after = std::upper_bound(ranges.begin(), ranges.end(), c, [](char32_t x, const Range& r) { return x < r.first; });
  return after != ranges.begin() && c <= std::prev(after)->last;
}

std::size_t width_of(char32_t c) {
  if (c < 0x20 || (c >= 0x7F && c < 0xA0) || within(kZeroWidth, c)) { return 0; }
  return within(kWide, c) ? 2 : 1;
}

/// As much of `text` as fits, and the columns it takes.
std::pair<std::string, std::size_t> cut(std::string_view text, std::size_t columns) {
  const std::size_t whole = display_width(text);
  if (whole <= columns) { return {std::string(text), whole}; }
  if (columns == 0) { return {}; }
  std::size_t used = 0;
  std::size_t end = 0;
  for (std::size_t at = 0; at < text.size();) {
    used += width_of(next_code_point(text, at));
    if (used > columns - 1) { break; }
    end = at;
  }
  std::string kept(text.substr(0, end));
  const std::size_t width = display_width(kept) + 1;
  return {kept + "…", width};
}

}  // namespace

std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates) {
  Nearest search{name, {}};
  for (const std::string_view candidate : candidates) { search.consider(candidate); }
  return search.best;
}

std::string_view nearest(std::string_view name, const std::vector<std::string>& candidates) {
  Nearest search{name, {}};
  for (const std::string& candidate : candidates) { search.consider(candidate); }
  return search.best;
}

std::string nearest_remedy(std::string_view name, std::span<const std::string_view> candidates) {
  const std::string_view best = nearest(name, candidates);
  return best.empty() ? std::string() : fmt::format("nearest: {}", best);
}

std::string nearest_remedy(std::string_view name, const std::vector<std::string>& candidates) {
  const std::string_view best = nearest(name, candidates);
  return best.empty() ? std::string() : fmt::format("nearest: {}", best);
}

char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at++);
  if (lead < 0x80) { return lead; }
  // Unicode 15, table 3-7: the second byte's range depends on the first; the rest are 80..BF.
  const unsigned extra = lead >= 0xC2 && lead <= 0xDF ? 1 : lead >= 0xE0 && lead <= 0xEF ? 2 : lead >= 0xF0 && lead <= 0xF4 ? 3 : 0;
  if (extra == 0) { return 0xFFFD; }
  unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t c = lead & (0x3Fu >> extra);
  for (unsigned i = 0; i < extra; ++i) {
    if (at >= text.size() || byte(at) < low || byte(at) > high) { return 0xFFFD; }
    c = (c << 6) | (byte(at++) & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return c;
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t b) { out += static_cast<char>(b); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    // A genuine U+FFFD is three bytes, EF BF BD; a replaced one starts with anything else.
    if (next_code_point(text, at) == 0xFFFD && text.substr(start, at - start) != "\xEF\xBF\xBD") { return false; }
  }
  return true;
}

std::string to_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) { append_utf8(out, next_code_point(text, at)); }
  return out;
}

std::string shorten(std::string_view text, std::size_t bytes) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t before = out.size();
    const char32_t c = next_code_point(text, at);
    append_utf8(out, c < 0x20 || c == 0x7F ? U'\uFFFD' : c);
    if (out.size() > bytes) {
      out.resize(before);
      return out + "…";
    }
  }
  return out;
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) { width += width_of(next_code_point(text, at)); }
  return width;
}

std::string fit_left(std::string_view text, std::size_t columns) {
  auto [kept, width] = cut(text, columns);
  return kept.append(columns - width, ' ');
}

std::string fit_right(std::string_view text, std::size_t columns) {
  const auto [kept, width] = cut(text, columns);
  return std::string(columns - width, ' ') + kept;
}

bool is_valid_name(std::string_view name) {
  const auto alphanumeric = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'z'); };
  return !name.empty() && name.size() <= 63 && alphanumeric(name.front()) && alphanumeric(name.back()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return alphanumeric(c) || c == '-'; });
}

}  // namespace centrale
