// SPDX-License-Identifier: Apache-2.0
// JSON from outside, read with limits; a wrong field is named with its file.
#pragma once
#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace centrale::trainer {

namespace json = boost::json;

/// Parses one JSON document of at most 256 MiB and 64 levels; `where` is the file's name for messages.
Result<json::value> parse_json(std::string_view text, const std::string& where);

/// An object, and the name of the file it came from.
struct Fields {
  const json::object* object = nullptr;
  std::string where;

  [[nodiscard]] bool has(std::string_view name) const;  // present and not null
  [[nodiscard]] Result<std::int64_t> integer(std::string_view name, std::int64_t min, std::int64_t max) const;
  [[nodiscard]] Result<std::int64_t> integer_or(std::string_view name, std::int64_t fallback, std::int64_t min, std::int64_t max) const;
  [[nodiscard]] Result<double> number_or(std::string_view name, double fallback, double min, double max) const;
  [[nodiscard]] Result<bool> boolean_or(std::string_view name, bool fallback) const;
  [[nodiscard]] Result<std::string> text(std::string_view name) const;
  [[nodiscard]] Result<std::string> text_or(std::string_view name, std::string fallback) const;
};

Result<Fields> as_fields(const json::value& value, const std::string& where);

/// Two spaces a level, as Hugging Face writes its files.
std::string pretty(const json::value& value);

}  // namespace centrale::trainer
