// SPDX-License-Identifier: Apache-2.0
#include "http/url.hpp"

#include <algorithm>
#include <array>

namespace centrale::http {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

/// Drops empty and "." segments and resolves ".."; nothing if the path climbs out of the root.
std::optional<std::string> normalise(std::string_view path) {
  std::string out;
  std::size_t at = 0;
  while (at < path.size()) {
    std::size_t end = path.find('/', at);
    if (end == std::string_view::npos) { end = path.size(); }
    const std::string_view segment = path.substr(at, end - at);
    if (segment == "..") {
      if (out.empty()) { return std::nullopt; }
      out.erase(out.rfind('/'));
    } else if (!segment.empty() && segment != ".") {
      out += '/';
      out += segment;
    }
    at = end + 1;
  }
  // "/a/", "/a/." and "/a/b/.." name a folder: the slash at the end stays.
  const std::string_view last = path.substr(path.rfind('/') + 1);
  if (out.empty() || last.empty() || last == "." || last == "..") { out += '/'; }
  return out;
}

bool parse_query(std::string_view text, std::map<std::string, std::string>& query) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('&'), text.size());
    std::string pair{text.substr(0, end)};
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) { continue; }
    std::ranges::replace(pair, '+', ' ');
    const std::string_view view = pair;
    const std::size_t equals = std::min(view.find('='), view.size());
    auto name = percent_decode(view.substr(0, equals));
    auto value = percent_decode(view.substr(std::min(equals + 1, view.size())));
    if (!name || !value || name->find('\0') != std::string::npos || value->find('\0') != std::string::npos) { return false; }
    query.emplace(*std::move(name), *std::move(value));
  }
  return true;
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) { return std::nullopt; }
    const int high = hex_value(text[i + 1]);
    const int low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) { return std::nullopt; }
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kHex[byte >> 4U], kHex[byte & 15U]};
    }
  }
  return out;
}

std::optional<Target> parse_target(std::string_view target) {
  target = target.substr(0, target.find('#'));
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (target.starts_with(scheme)) {
      target.remove_prefix(std::min(target.find_first_of("/?", scheme.size()), target.size()));
      break;
    }
  }
  const std::size_t question = std::min(target.find('?'), target.size());
  std::string_view raw_path = target.substr(0, question);
  if (raw_path.empty() && target.data() != nullptr && question < target.size()) {
    raw_path = "/";  // "http://host?x=1"
  }
  if (!raw_path.starts_with('/')) { return std::nullopt; }
  auto decoded = percent_decode(raw_path);
  if (!decoded || std::ranges::any_of(*decoded, is_control)) { return std::nullopt; }
  auto path = normalise(*decoded);
  Target out;
  if (!path || !parse_query(target.substr(std::min(question + 1, target.size())), out.query)) { return std::nullopt; }
  out.path = *std::move(path);
  return out;
}

}  // namespace centrale::http
