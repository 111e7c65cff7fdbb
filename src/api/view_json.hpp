// SPDX-License-Identifier: Apache-2.0
// A view as JSON, and as JSON Schema, both from its describe(): the document cannot say other than what is sent.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/reflect.hpp"
#include "base/text.hpp"
#include "base/units.hpp"

namespace centrale::api {

/// `value` x 10^-digits, exactly, without trailing zeros: 12.5.
void append_decimal(std::string& out, std::int64_t value, int digits);
/// Shortest text that reads back the same; null for what JSON cannot say.
void append_double(std::string& out, double value);
/// Quoted; bytes that are not UTF-8 become U+FFFD.
void append_quoted(std::string& out, std::string_view text);

template <class T>
void append_view(std::string& out, const T& value);

namespace detail {

/// How many decimal digits lie between the core's unit and the one that the API speaks.
template <class Unit>
inline constexpr int kUnitDigits = 0;
template <>
inline constexpr int kUnitDigits<Nanos> = 9;
template <>
inline constexpr int kUnitDigits<Millijoules> = 3;
template <>
inline constexpr int kUnitDigits<Milliwatts> = 3;
template <>
inline constexpr int kUnitDigits<MicroCurrency> = 6;

struct FieldWriter {
  std::string& out;
  bool first = true;
  template <class T>
  void operator()(const char* name, const T& field, const char* = "") {
    out += first ? "\"" : ",\"";
    first = false;
    out += name;
    out += "\":";
    append_view(out, field);
  }
};

}  // namespace detail

template <class T>
void append_view(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    out += value ? "true" : "false";
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    out += std::to_string(value);
  } else if constexpr (std::is_same_v<T, double>) {
    append_double(out, value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    append_quoted(out, value);
  } else if constexpr (std::is_same_v<T, Time>) {
    out += '"';
    out += format_time_rfc3339(value);
    out += '"';
  } else if constexpr (std::is_enum_v<T>) {
    out += '"';
    out += enum_name(value);
    out += '"';
  } else if constexpr (is_id<T>) {
    out += '"';
    out += to_string(value);
    out += '"';
  } else if constexpr (is_amount<T>) {
    append_decimal(out, value.value, detail::kUnitDigits<T>);
  } else if constexpr (is_optional<T>) {
    if (value) {
      append_view(out, *value);
    } else {
      out += "null";
    }
  } else if constexpr (is_vector<T>) {
    out += '[';
    bool first = true;
    for (const auto& item : value) {
      if (!std::exchange(first, false)) { out += ','; }
      append_view(out, item);
    }
    out += ']';
  } else {
    out += '{';
    detail::FieldWriter writer{out};
    describe(writer, const_cast<T&>(value));  // describe() serves readers too; a writer changes nothing
    out += '}';
  }
}

template <class T>
[[nodiscard]] std::string to_view_json(const T& value) {
  std::string out;
  append_view(out, value);
  return out;
}

/// Named schemas in the order in which they were first used.
struct Components {
  std::vector<std::pair<std::string, std::string>> schemas;
  [[nodiscard]] bool has(std::string_view name) const;
};

template <class T>
void append_schema(std::string& out, Components& components, std::string_view description = {});

namespace detail {

void append_description(std::string& out, std::string_view description);

/// All fields of an answer are there; of a request (request.hpp) those that it names.
template <class T>
concept RequestBody = requires {
  T::kRequired;
};

template <class Owner>
struct SchemaWriter {
  std::string& properties;
  std::string& required;
  Components& components;
  template <class T>
  void operator()(const char* name, T&, const char* description = "") {
    properties += properties.empty() ? "\"" : ",\"";
    properties += name;
    properties += "\":";
    bool is_required = true;
    if constexpr (RequestBody<Owner>) {
      static_assert(is_optional<T>, "a request's fields are optional: that is how a missing one is seen");
      is_required = std::find(Owner::kRequired.begin(), Owner::kRequired.end(), name) != Owner::kRequired.end();
      append_schema<typename T::value_type>(properties, components, description);
    } else {
      append_schema<T>(properties, components, description);
    }
    if (is_required) {
      required += required.empty() ? "\"" : ",\"";
      required += name;
      required += '"';
    }
  }
};

template <class T>
void add_component(Components& components) {
  if (components.has(T::kName)) { return; }
  const std::size_t slot = components.schemas.size();
  components.schemas.emplace_back(T::kName, "");  // first, so that a schema that names itself ends
  std::string properties, required;
  SchemaWriter<T> writer{properties, required, components};
  T sample{};
  describe(writer, sample);
  components.schemas[slot].second =
      R"({"type":"object","properties":{)" + properties + R"(},"required":[)" + required + R"(],"additionalProperties":false})";
}

}  // namespace detail

/// The schema of T, a `$ref` for a struct, whose own schema is added to the components.
template <class T>
void append_schema(std::string& out, Components& components, std::string_view description) {
  if constexpr (is_optional<T>) {
    out += R"({"anyOf":[)";
    append_schema<typename T::value_type>(out, components);
    out += R"(,{"type":"null"}])";
  } else if constexpr (std::is_same_v<T, bool>) {
    out += R"({"type":"boolean")";
  } else if constexpr (std::is_same_v<T, std::int64_t> || std::is_same_v<T, Bytes>) {
    out += R"({"type":"integer")";
  } else if constexpr (std::is_same_v<T, double> || is_amount<T>) {
    out += R"({"type":"number")";
  } else if constexpr (std::is_same_v<T, std::string>) {
    out += R"({"type":"string")";
  } else if constexpr (std::is_same_v<T, Time>) {
    out += R"({"type":"string","format":"date-time")";
  } else if constexpr (std::is_enum_v<T>) {
    out += R"({"type":"string","enum":[)";
    bool first = true;
    for (const std::string_view name : kEnumNames<T>) {
      out += std::exchange(first, false) ? "\"" : ",\"";
      out += name;
      out += '"';
    }
    out += ']';
  } else if constexpr (is_id<T>) {
    out += R"({"type":"string","pattern":"^)" + to_string(T{1}).substr(0, 1) + R"([1-9][0-9]*$")";
  } else if constexpr (is_vector<T>) {
    out += R"({"type":"array","items":)";
    append_schema<typename T::value_type>(out, components);
  } else {
    detail::add_component<T>(components);
    out += R"({"$ref":"#/components/schemas/)";
    out += T::kName;
    out += '"';
  }
  detail::append_description(out, description);
  out += '}';
}

}  // namespace centrale::api
