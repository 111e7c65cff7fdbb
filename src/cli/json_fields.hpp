// SPDX-License-Identifier: Apache-2.0
// Private to cli/: fields of an answer; one that is missing, null or of another type is not known, and no answer is an error.
#pragma once
#include <simdjson.h>

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/text.hpp"

namespace centrale::cli::fields {

using simdjson::dom::element;

/// A document and its reader, which owns the memory.
struct Document {
  simdjson::dom::parser parser;
  element root;
  bool ok = false;
  explicit Document(std::string_view json) { ok = parser.parse(json.data(), json.size()).get(root) == simdjson::SUCCESS; }
};

inline std::optional<element> at(const element& e, std::string_view key) {
  element found;
  if (!e.is_object() || e.at_key(key).get(found) != simdjson::SUCCESS) { return std::nullopt; }
  return found;
}

/// Ids and names may come as text or as numbers.
inline std::string text(const element& e, std::string_view key) {
  const auto found = at(e, key);
  if (!found) { return {}; }
  std::string_view view;
  if (found->get(view) == simdjson::SUCCESS) { return std::string(view); }
  return found->is_number() ? simdjson::minify(*found) : std::string{};
}

inline Number number(const element& e, std::string_view key) {
  const auto found = at(e, key);
  if (!found) { return std::nullopt; }
  double value = 0;
  if (found->get(value) == simdjson::SUCCESS) {  // integers convert
    return value;
  }
  std::string_view view;  // a decimal written as text keeps its digits
  if (found->get(view) == simdjson::SUCCESS) {
    const auto [end, code] = std::from_chars(view.data(), view.data() + view.size(), value);
    if (code == std::errc{} && end == view.data() + view.size()) { return value; }
  }
  return std::nullopt;
}

inline bool truth(const element& e, std::string_view key) {
  const auto found = at(e, key);
  bool value = false;
  return found && found->get(value) == simdjson::SUCCESS && value;
}

template <class T, class Read>
std::vector<T> list(const element& e, std::string_view key, Read read) {
  std::vector<T> items;
  const auto found = at(e, key);
  simdjson::dom::array array;
  if (found && found->get(array) == simdjson::SUCCESS) {
    for (const element item : array) { items.push_back(read(item)); }
  }
  return items;
}

inline std::optional<element> object(const element& e, std::string_view key) {
  const auto found = at(e, key);
  return found && found->is_object() ? found : std::nullopt;
}

}  // namespace centrale::cli::fields
