// SPDX-License-Identifier: Apache-2.0
#include "formats/json.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <cmath>

namespace centrale::trainer {
namespace {

constexpr std::size_t kTextMax = std::size_t{256} << 20;
constexpr std::size_t kDepthMax = 64;

Error wrong_field(const Fields& fields, std::string_view name, std::string_view want) {
  const auto* value = fields.object->if_contains(name);
  if (value == nullptr) {
    return {ErrorKind::invalid, fmt::format("field '{}' is missing", name), fields.where, fmt::format("add \"{}\": {}", name, want)};
  }
  std::string shown = json::serialize(*value);
  if (shown.size() > 40) shown = shown.substr(0, 40) + "…";
  return {ErrorKind::invalid, fmt::format("field '{}' is {}", name, shown), fields.where, fmt::format("it must be {}", want)};
}

void write_pretty(const json::value& value, std::size_t depth, std::string& out) {
  const std::string pad((depth + 1) * 2, ' ');
  const std::string pad_end(depth * 2, ' ');
  if (value.is_object() && !value.get_object().empty()) {
    out += "{\n";
    bool first = true;
    for (const auto& member : value.get_object()) {
      if (!first) out += ",\n";
      first = false;
      out += pad + json::serialize(json::string(member.key())) + ": ";
      write_pretty(member.value(), depth + 1, out);
    }
    out += "\n" + pad_end + "}";
  } else if (value.is_array() && !value.get_array().empty()) {
    out += "[\n";
    bool first = true;
    for (const auto& item : value.get_array()) {
      if (!first) out += ",\n";
      first = false;
      out += pad;
      write_pretty(item, depth + 1, out);
    }
    out += "\n" + pad_end + "]";
  } else if (value.is_double()) {
    // Boost writes 1E-5; Python's json and ours both read the shortest form back exactly.
    out += fmt::format("{}", value.get_double());
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

Result<json::value> parse_json(std::string_view text, const std::string& where) {
  if (text.size() > kTextMax) return fail(ErrorKind::invalid, "the JSON text is over 256 MiB", where);
  json::parse_options options;
  options.max_depth = kDepthMax;
  boost::system::error_code code;
  json::stream_parser parser(json::storage_ptr{}, options);
  std::size_t used = parser.write_some(text.data(), text.size(), code);
  if (!code && used < text.size()) {
    // What follows the document may only be white space.
    if (text.find_first_not_of(" \t\r\n", used) != std::string_view::npos) code = json::make_error_code(json::error::extra_data);
  }
  if (!code) parser.finish(code);
  if (code) {
    const auto head = text.substr(0, used);
    const auto line = 1 + std::count(head.begin(), head.end(), '\n');
    return fail(ErrorKind::invalid, fmt::format("not valid JSON near line {}: {}", line, code.message()), where);
  }
  return parser.release();
}

Result<Fields> as_fields(const json::value& value, const std::string& where) {
  if (!value.is_object()) return fail(ErrorKind::invalid, "a JSON object is expected", where);
  return Fields{&value.get_object(), where};
}

bool Fields::has(std::string_view name) const {
  const auto* value = object->if_contains(name);
  return value != nullptr && !value->is_null();
}

Result<std::int64_t> Fields::integer(std::string_view name, std::int64_t min, std::int64_t max) const {
  const auto* value = object->if_contains(name);
  const auto want = [&] { return fmt::format("a whole number from {} to {}", min, max); };
  if (value == nullptr) return std::unexpected(wrong_field(*this, name, want()));
  std::int64_t number = 0;
  if (value->is_int64()) {
    number = value->get_int64();
  } else if (value->is_double() && std::abs(value->get_double()) < 1e15 && std::trunc(value->get_double()) == value->get_double()) {
    number = static_cast<std::int64_t>(value->get_double());
  } else {
    return std::unexpected(wrong_field(*this, name, want()));
  }
  if (number < min || number > max) return std::unexpected(wrong_field(*this, name, want()));
  return number;
}

Result<std::int64_t> Fields::integer_or(std::string_view name, std::int64_t fallback, std::int64_t min, std::int64_t max) const {
  return has(name) ? integer(name, min, max) : Result<std::int64_t>(fallback);
}

Result<double> Fields::number_or(std::string_view name, double fallback, double min, double max) const {
  if (!has(name)) return fallback;
  const auto& value = object->at(name);
  if (!value.is_number()) return std::unexpected(wrong_field(*this, name, fmt::format("a number from {} to {}", min, max)));
  const double number = value.to_number<double>();
  if (!(number >= min && number <= max)) {
    return std::unexpected(wrong_field(*this, name, fmt::format("a number from {} to {}", min, max)));
  }
  return number;
}

Result<bool> Fields::boolean_or(std::string_view name, bool fallback) const {
  if (!has(name)) return fallback;
  if (!object->at(name).is_bool()) return std::unexpected(wrong_field(*this, name, "true or false"));
  return object->at(name).get_bool();
}

Result<std::string> Fields::text(std::string_view name) const {
  const auto* value = object->if_contains(name);
  if (value == nullptr || !value->is_string()) return std::unexpected(wrong_field(*this, name, "a text"));
  return std::string(value->get_string());
}

Result<std::string> Fields::text_or(std::string_view name, std::string fallback) const {
  return has(name) ? text(name) : Result<std::string>(std::move(fallback));
}

std::string pretty(const json::value& value) {
  std::string out;
  write_pretty(value, 0, out);
  out += '\n';
  return out;
}

}  // namespace centrale::trainer
