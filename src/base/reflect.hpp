// SPDX-License-Identifier: Apache-2.0
// One description of a struct's fields serves JSON, YAML, JSON Schema, snapshots and hashes:
//
//   template <class V> void describe(V& v, JobSpec& s) { v("name", s.name, "what people call it"); … }
//
// The order is the order of output. A field that a reader does not find keeps its default: that is how old journals
// open for ever. Enums are written by name: specialise kEnumNames.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.hpp"
#include "base/units.hpp"

namespace centrale {

/// The names of an enum's values, in order from 0.
template <class E>
inline constexpr std::array<std::string_view, 0> kEnumNames{};

/// The name of each alternative of a tagged variant, in order.
template <class Variant>
inline constexpr std::array<std::string_view, 0> kVariantNames{};

template <class E>
[[nodiscard]] constexpr std::string_view enum_name(E value) {
  return kEnumNames<E>.at(static_cast<std::size_t>(value));
}

/// Text pairs in the order given: environment variables, labels.
using TextMap = std::vector<std::pair<std::string, std::string>>;

struct AnyVisitor {
  template <class T>
  void operator()(const char*, T&, const char* = "") {}
};

template <class T>
concept Described = std::is_class_v<T> && requires(AnyVisitor v, T& t) {
  describe(v, t);
};

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
/// A value that many hold and nobody changes: written as the value, null when there is none.
template <class T>
struct Shared {
  std::shared_ptr<const T> value;
  [[nodiscard]] explicit operator bool() const { return value != nullptr; }
  const T* operator->() const { return value.get(); }
  const T& operator*() const { return *value; }
};
template <class T>
[[nodiscard]] Shared<T> share(T value) {
  return {std::make_shared<const T>(std::move(value))};
}
template <class T>
inline constexpr bool is_shared = false;
template <class T>
inline constexpr bool is_shared<Shared<T>> = true;
template <class T>
inline constexpr bool is_variant = false;
template <class... T>
inline constexpr bool is_variant<std::variant<T...>> = true;
template <class T>
inline constexpr bool is_id = false;
template <class T>
inline constexpr bool is_id<Id<T>> = true;
template <class T>
inline constexpr bool is_amount = false;
template <class T>
inline constexpr bool is_amount<Amount<T>> = true;

}  // namespace centrale
