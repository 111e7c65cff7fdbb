// SPDX-License-Identifier: Apache-2.0
// One set of rules for reading described structs, whatever the text they come from (JSON, YAML). A source offers
//
//   Value, Map, Seq                 cheap handles
//   failed()                        the first error is kept; after it every call does nothing
//   is_null(v), strict()
//   read(v, bool& | int64_t& | uint64_t& | double& | std::string&), read_span(v, Nanos&), read_size(v, Bytes&)
//   open_map(v), take(map, key, v), next(map, key, v), all_taken(map), unknown(map, keys)
//   open_seq(v), size(seq), next(seq, v)
//   wrong(v, wanted), bad_name(v, name, names, what)
//   inside(key), inside(index)      called on the way out of a part that failed, innermost first: they make the path
#pragma once
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/reflect.hpp"

namespace centrale {

template <class Source, class T>
void read_value(Source& source, typename Source::Value value, T& out);

template <class Source>
struct FieldReader {
  Source& source;
  typename Source::Map& map;

  template <class T>
  void operator()(const char* name, T& field, const char* = "") {
    typename Source::Value value;
    if (source.take(map, name, value)) {
      read_value(source, value, field);
      if (source.failed()) { source.inside(std::string_view(name)); }
    }
  }
};

/// The keys of a described struct, in order.
struct KeyCollector {
  std::vector<std::string_view>& keys;
  template <class T>
  void operator()(const char* name, T&, const char* = "") {
    keys.emplace_back(name);
  }
};

template <class Source, class T>
void read_struct(Source& source, typename Source::Map& map, T& out) {
  FieldReader<Source> reader{source, map};
  describe(reader, out);
  if (!source.failed() && source.strict() && !source.all_taken(map)) {
    std::vector<std::string_view> keys;
    KeyCollector collector{keys};
    describe(collector, out);
    source.unknown(map, keys);
  }
}

template <class Source, class... T>
void read_variant(Source& source, typename Source::Value value, std::variant<T...>& out) {
  static_assert(kVariantNames<std::variant<T...>>.size() == sizeof...(T), "specialise kVariantNames, one name an alternative");
  auto map = source.open_map(value);
  std::string_view name;
  typename Source::Value inner;
  if (source.failed()) { return; }
  if (!source.next(map, name, inner)) {
    source.wrong(value, "an object with one key");
    return;
  }
  const auto& names = kVariantNames<std::variant<T...>>;
  std::size_t index = 0;
  while (index < names.size() && names[index] != name) { ++index; }
  if (index == names.size()) {
    source.bad_name(value, name, names, "key");
    return;
  }
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (void)((index == I && (read_value(source, inner, out.template emplace<I>()), true)) || ...);
  }
  (std::index_sequence_for<T...>{});
  if (source.failed()) {
    source.inside(name);
  } else if (source.next(map, name, inner)) {
    source.wrong(value, "an object with one key");
  }
}

template <class Source>
void read_text_map(Source& source, typename Source::Value value, TextMap& out) {
  out.clear();
  auto map = source.open_map(value);
  std::string_view key;
  typename Source::Value inner;
  while (!source.failed() && source.next(map, key, inner)) {
    auto& [name, text] = out.emplace_back(key, std::string());
    source.read(inner, text);
    if (source.failed()) { source.inside(std::string_view(name)); }
  }
  if (!source.failed() && out.size() > 1) { source.no_repeats(map); }
}

template <class Source, class T>
void read_value(Source& source, typename Source::Value value, T& out) {
  if (source.null_is_default() && source.is_null(value)) { return; }
  if constexpr (std::is_same_v<T, TextMap>) {
    read_text_map(source, value, out);
  } else if constexpr (is_vector<T>) {
    out.clear();
    auto seq = source.open_seq(value);
    out.reserve(source.size(seq));
    typename Source::Value inner;
    for (std::size_t i = 0; source.next(seq, inner); ++i) {
      if constexpr (std::is_same_v<T, std::vector<bool>>) {
        bool element = false;
        source.read(inner, element);
        out.push_back(element);
      } else {
        source.element(inner);
        read_value(source, inner, out.emplace_back());
      }
      if (source.failed()) {
        source.inside(i);
        return;
      }
    }
  } else if constexpr (is_optional<T>) {
    if (source.is_null(value)) {
      out.reset();
    } else {
      read_value(source, value, out.emplace());
    }
  } else if constexpr (is_shared<T>) {
    if (source.is_null(value)) {
      out.value.reset();
    } else {
      auto made = std::make_shared<std::remove_const_t<typename decltype(out.value)::element_type>>();
      read_value(source, value, *made);
      out.value = std::move(made);
    }
  } else if constexpr (is_variant<T>) {
    read_variant(source, value, out);
  } else if constexpr (is_id<T>) {
    source.read(value, out.value);
  } else if constexpr (std::is_same_v<T, Nanos>) {
    source.read_span(value, out);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    source.read_size(value, out);
  } else if constexpr (is_amount<T>) {
    source.read(value, out.value);
  } else if constexpr (std::is_same_v<T, Time>) {
    source.read(value, out.ns);
  } else if constexpr (std::is_enum_v<T>) {
    static_assert(!kEnumNames<T>.empty(), "specialise kEnumNames");
    std::string name;
    source.read(value, name);
    if (!source.failed()) {
      const auto& names = kEnumNames<T>;
      std::size_t index = 0;
      while (index < names.size() && names[index] != name) { ++index; }
      if (index == names.size()) {
        source.bad_name(value, name, names, "value");
      } else {
        out = static_cast<T>(index);
      }
    }
  } else if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string> || std::is_same_v<T, double> ||
                       std::is_same_v<T, std::int64_t> || std::is_same_v<T, std::uint64_t>) {
    source.read(value, out);
  } else if constexpr (std::is_integral_v<T>) {
    std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t> wide = 0;
    source.read(value, wide);
    if (!source.failed()) {
      if (wide < std::numeric_limits<T>::min() || wide > std::numeric_limits<T>::max()) {
        source.wrong(value, "a smaller number");
      } else {
        out = static_cast<T>(wide);
      }
    }
  } else {
    static_assert(Described<T>, "give the type a describe(), or teach read_value about it");
    auto map = source.open_map(value);
    if (!source.failed()) { read_struct(source, map, out); }
  }
}

}  // namespace centrale
