// SPDX-License-Identifier: Apache-2.0
#include "gateway/json_scan.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include "base/text.hpp"

namespace centrale::gateway {
namespace {

using Place = std::optional<std::size_t>;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

std::size_t skip_blanks(std::string_view text, std::size_t at) {
  while (at < text.size() && is_blank(text[at])) { ++at; }
  return at;
}

bool at_char(std::string_view text, std::size_t at, char c) { return at < text.size() && text[at] == c; }

/// Prompts with images are one string of megabytes: this table makes the loop over it one load a byte.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (std::size_t c = 0x20; c < 256; ++c) { plain[c] = c != '"' && c != '\\'; }
  return plain;
}();

Place end_of_string(std::string_view text, std::size_t at) {
  if (!at_char(text, at, '"')) { return std::nullopt; }
  ++at;
  while (true) {
    while (at < text.size() && kPlain[static_cast<unsigned char>(text[at])]) { ++at; }
    if (at >= text.size()) { return std::nullopt; }
    if (text[at] == '"') { return at + 1; }
    if (text[at] != '\\' || at + 1 >= text.size()) {
      return std::nullopt;  // a control character, or the end
    }
    const char escaped = text[at + 1];
    if (escaped == 'u') {
      for (std::size_t i = at + 2; i < at + 6; ++i) {
        if (i >= text.size() || !is_hex(text[i])) { return std::nullopt; }
      }
      at += 6;
    } else if (std::string_view{"\"\\/bfnrt"}.find(escaped) != std::string_view::npos) {
      at += 2;
    } else {
      return std::nullopt;
    }
  }
}

Place skip_digits(std::string_view text, std::size_t at) {
  const std::size_t start = at;
  while (at < text.size() && is_digit(text[at])) { ++at; }
  return at > start ? Place{at} : std::nullopt;
}

Place end_of_number(std::string_view text, std::size_t at) {
  at += at_char(text, at, '-') ? 1U : 0U;
  const std::size_t first = at;
  Place end = skip_digits(text, at);
  if (!end || (text[first] == '0' && *end > first + 1)) { return std::nullopt; }
  if (at_char(text, *end, '.')) { end = skip_digits(text, *end + 1); }
  if (end && (at_char(text, *end, 'e') || at_char(text, *end, 'E'))) {
    at = *end + 1;
    at += at_char(text, at, '+') || at_char(text, at, '-') ? 1U : 0U;
    end = skip_digits(text, at);
  }
  return end;
}

Place end_of_word(std::string_view text, std::size_t at, std::string_view word) {
  return text.substr(at).starts_with(word) ? Place{at + word.size()} : std::nullopt;
}

/// `on_item(key_begin, key_end, value_begin, value_end)`; for an array the key is empty. `at` is at the bracket.
template <bool isObject, class OnItem>
Place walk(std::string_view text, std::size_t at, int depth, OnItem on_item) {
  constexpr char kClose = isObject ? '}' : ']';
  if (depth >= kJsonDepthMax) { return std::nullopt; }
  at = skip_blanks(text, at + 1);
  if (at_char(text, at, kClose)) { return at + 1; }
  while (true) {
    const std::size_t key_begin = at;
    std::size_t key_end = at;
    if constexpr (isObject) {
      const Place end = end_of_string(text, at);
      if (!end) { return std::nullopt; }
      key_end = *end;
      at = skip_blanks(text, *end);
      if (!at_char(text, at, ':')) { return std::nullopt; }
      at = skip_blanks(text, at + 1);
    }
    const Place end = end_of_value(text, at, depth + 1);
    if (!end) { return std::nullopt; }
    on_item(key_begin, key_end, at, *end);
    at = skip_blanks(text, *end);
    if (at_char(text, at, kClose)) { return at + 1; }
    if (!at_char(text, at, ',')) { return std::nullopt; }
    at = skip_blanks(text, at + 1);
  }
}

constexpr auto kIgnore = [](std::size_t, std::size_t, std::size_t, std::size_t) {};

unsigned hex_number(std::string_view digits) {
  unsigned value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return value;
}

/// Decodes "\uXXXX" at `at`, and its second half if there is one; moves past both.
char32_t unescape_unicode(std::string_view text, std::size_t& at) {
  const unsigned first = hex_number(text.substr(at + 2, 4));
  at += 6;
  if (first < 0xD800 || first > 0xDFFF) { return first; }
  if (first < 0xDC00 && text.substr(at).starts_with("\\u")) {
    const unsigned second = hex_number(text.substr(at + 2, 4));
    if (second >= 0xDC00 && second <= 0xDFFF) {
      at += 6;
      return 0x10000 + ((first - 0xD800) << 10U) + (second - 0xDC00);
    }
  }
  return 0xFFFD;
}

std::string unescape_known(std::string_view content) {
  std::string out;
  for (std::size_t at = 0; at < content.size();) {
    if (content[at] != '\\') {
      out += content[at++];
      continue;
    }
    switch (content[at + 1]) {
      case 'u': append_utf8(out, unescape_unicode(content, at)); continue;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      default: out += content[at + 1]; break;
    }
    at += 2;
  }
  return out;
}

}  // namespace

std::optional<std::size_t> end_of_value(std::string_view text, std::size_t at, int depth) {
  if (at >= text.size()) { return std::nullopt; }
  switch (text[at]) {
    case '{': return walk<true>(text, at, depth, kIgnore);
    case '[': return walk<false>(text, at, depth, kIgnore);
    case '"': return end_of_string(text, at);
    case 't': return end_of_word(text, at, "true");
    case 'f': return end_of_word(text, at, "false");
    case 'n': return end_of_word(text, at, "null");
    default: return end_of_number(text, at);
  }
}

bool each_member(std::string_view object, const std::function<void(std::string_view, std::string_view)>& member) {
  const std::size_t start = skip_blanks(object, 0);
  if (!at_char(object, start, '{')) { return false; }
  const auto tell = [&](std::size_t key_begin, std::size_t key_end, std::size_t begin, std::size_t end) {
    const std::string_view key = object.substr(key_begin + 1, key_end - key_begin - 2);
    const std::string_view value = object.substr(begin, end - begin);
    if (key.find('\\') == std::string_view::npos) {
      member(key, value);
    } else {
      member(unescape_known(key), value);
    }
  };
  const Place end = walk<true>(object, start, 0, tell);
  return end && skip_blanks(object, *end) == object.size();
}

bool each_element(std::string_view array, const std::function<void(std::string_view)>& element) {
  const std::size_t start = skip_blanks(array, 0);
  if (!at_char(array, start, '[')) { return false; }
  const auto tell = [&](std::size_t, std::size_t, std::size_t begin, std::size_t end) { element(array.substr(begin, end - begin)); };
  const Place end = walk<false>(array, start, 0, tell);
  return end && skip_blanks(array, *end) == array.size();
}

std::optional<std::string> unescape(std::string_view string_value) {
  const Place end = end_of_string(string_value, 0);
  if (!end || *end != string_value.size()) { return std::nullopt; }
  return unescape_known(string_value.substr(1, string_value.size() - 2));
}

std::optional<std::int64_t> whole_number(std::string_view value) {
  const Place end = end_of_number(value, 0);
  if (!end || *end != value.size()) { return std::nullopt; }
  std::int64_t whole = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), whole);
  if (parsed.ec == std::errc{} && parsed.ptr == value.data() + value.size()) { return whole; }
  double real = 0;
  const auto parsed_real = std::from_chars(value.data(), value.data() + value.size(), real);
  constexpr double kExactMax = 9007199254740992.0;  // 2^53: beyond it a double is not every integer
  if (parsed_real.ec != std::errc{} || std::abs(real) > kExactMax || std::floor(real) != real) { return std::nullopt; }
  return static_cast<std::int64_t>(real);
}

}  // namespace centrale::gateway
