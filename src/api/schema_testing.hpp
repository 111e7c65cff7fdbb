// SPDX-License-Identifier: Apache-2.0
// A small checker of JSON Schema 2020-12 for tests: what OpenAPI documents of this API use, and an unknown keyword is an error, so that
// nothing passes unchecked.
#pragma once
#include <simdjson.h>

#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/text.hpp"

namespace centrale::api {

class SchemaChecker {
 public:
  explicit SchemaChecker(simdjson::dom::element document) : document_(document) {}

  /// The first thing that is wrong, or empty.
  [[nodiscard]] std::string check(simdjson::dom::element schema, simdjson::dom::element value, const std::string& at = "$") const {
    std::string wrong;
    for (const auto [keyword, rule] : simdjson::dom::object(schema)) {
      if (wrong = check_keyword(keyword, rule, schema, value, at); !wrong.empty()) { return wrong; }
    }
    return wrong;
  }

 private:
  using element = simdjson::dom::element;
  using object = simdjson::dom::object;
  using array = simdjson::dom::array;

  static bool has_type(std::string_view type, element value) {
    if (type == "integer") { return value.is_int64(); }
    return type == "object"    ? value.is_object()
           : type == "array"   ? value.is_array()
           : type == "string"  ? value.is_string()
           : type == "boolean" ? value.is_bool()
           : type == "null"    ? value.is_null()
                               : type == "number" && value.is_number();
  }

  std::string check_keyword(std::string_view keyword, element rule, element schema, element value, const std::string& at) const {
    if (keyword == "$ref") {
      const std::string_view target = rule;
      return check(document_.at_pointer(target.substr(1)), value, at);
    }
    if (keyword == "type") {
      bool fits = false;
      if (rule.is_string()) {
        fits = has_type(std::string_view(rule), value);
      } else {
        for (const element type : array(rule)) { fits = fits || has_type(std::string_view(type), value); }
      }
      return fits ? "" : fmt::format("{} is not of type {}", at, simdjson::minify(rule));
    }
    if (keyword == "properties") { return value.is_object() ? check_properties(rule, value, at) : ""; }
    if (keyword == "required") {
      for (const element name : array(rule)) {
        if (element ignored; value.is_object() && object(value).at_key(std::string_view(name)).get(ignored) != simdjson::SUCCESS) {
          return fmt::format("{} lacks {}", at, std::string_view(name));
        }
      }
      return {};
    }
    if (keyword == "additionalProperties") {
      return value.is_object() && rule.is_bool() && !bool(rule) ? check_no_others(schema, value, at) : "";
    }
    if (keyword == "items") {
      std::size_t index = 0;
      for (const element item : value.is_array() ? array(value) : array()) {
        if (const std::string wrong = check(rule, item, fmt::format("{}[{}]", at, index++)); !wrong.empty()) { return wrong; }
      }
      return {};
    }
    if (keyword == "anyOf") {
      std::string wrong;
      for (const element choice : array(rule)) {
        wrong = check(choice, value, at);
        if (wrong.empty()) { return {}; }
      }
      return "none of anyOf: " + wrong;
    }
    if (keyword == "enum") {
      for (const element choice : array(rule)) {
        if (simdjson::minify(choice) == simdjson::minify(value)) { return {}; }
      }
      return fmt::format("{} is none of {}", at, simdjson::minify(rule));
    }
    if (keyword == "pattern") { return check_id(std::string_view(rule), value, at); }
    if (keyword == "format") {
      const std::string_view text = value.is_string() ? std::string_view(value) : std::string_view();
      const bool sound = std::string_view(rule) == "date-time" && text.ends_with('Z') && parse_time_rfc3339(text);
      return sound ? "" : fmt::format("{} is not a date-time", at);
    }
    return keyword == "description" ? "" : fmt::format("the checker does not know the keyword {}", keyword);
  }

  std::string check_properties(element rule, element value, const std::string& at) const {
    for (const auto [name, schema] : object(rule)) {
      if (element found; object(value).at_key(name).get(found) == simdjson::SUCCESS) {
        if (const std::string wrong = check(schema, found, fmt::format("{}.{}", at, name)); !wrong.empty()) { return wrong; }
      }
    }
    return {};
  }

  /// The one pattern that there is: a letter and a number.
  static std::string check_id(std::string_view pattern, element value, const std::string& at) {
    constexpr std::string_view kRest = "[1-9][0-9]*$";
    if (pattern.size() != 2 + kRest.size() || pattern.front() != '^' || !pattern.ends_with(kRest)) {
      return fmt::format("the checker does not know the pattern {}", pattern);
    }
    const std::string_view text = value.is_string() ? std::string_view(value) : std::string_view();
    const bool sound =
        text.size() > 1 && text[0] == pattern[1] && text[1] != '0' && text.find_first_not_of("0123456789", 1) == std::string_view::npos;
    return sound ? "" : fmt::format("{} does not match {}", at, pattern);
  }

  static std::string check_no_others(element schema, element value, const std::string& at) {
    for (const auto [name, ignored] : object(value)) {
      if (element known; object(schema["properties"]).at_key(name).get(known) != simdjson::SUCCESS) {
        return fmt::format("{} has {}, which the schema does not know", at, name);
      }
    }
    return {};
  }

  element document_;
};

}  // namespace centrale::api
