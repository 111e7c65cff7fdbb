// SPDX-License-Identifier: Apache-2.0
// The fields of a config.json, distrusted: each has a range, and the first fault is kept and names the field. After a fault every call
// gives a harmless value, so that readers need not check at each step.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"

namespace centrale {

/// Ranges: beyond every model there is, yet small enough that no product of three of them overflows 63 bits.
inline constexpr std::int64_t kLayersMax = 4096;
inline constexpr std::int64_t kHiddenMax = std::int64_t{1} << 17;
inline constexpr std::int64_t kWidthMax = std::int64_t{1} << 20;
inline constexpr std::int64_t kVocabMax = std::int64_t{1} << 24;
inline constexpr std::int64_t kHeadsMax = std::int64_t{1} << 13;
inline constexpr std::int64_t kHeadWidthMax = std::int64_t{1} << 14;
inline constexpr std::int64_t kExpertsMax = std::int64_t{1} << 13;
inline constexpr std::int64_t kContextMax = std::int64_t{1} << 40;

/// The first fault of a file.
struct Faults {
  std::string_view file;
  std::string remedy;  // for fields that are missing
  std::optional<Error> first;

  void add(std::string what, std::string how);
};

/// One object of the file. A field goes by several names, by publisher; the first that is there counts. null is as good as absent.
class Fields {
 public:
  using Names = std::initializer_list<std::string_view>;

  /// `path` is "" at the top, else "text_config.".
  Fields(JsonValue object, std::string path, Faults& faults) : object_(object), path_(std::move(path)), faults_(&faults) {}

  [[nodiscard]] bool has(Names names) const { return find(names).has_value(); }
  /// 1 to `most`; missing is a fault.
  [[nodiscard]] std::int64_t count(Names names, std::int64_t most) const;
  /// 1 to `most`; `fallback` where missing.
  [[nodiscard]] std::int64_t count_or(Names names, std::int64_t fallback, std::int64_t most) const;
  /// 0 to `most`: for what may be none at all.
  [[nodiscard]] std::int64_t amount_or(Names names, std::int64_t fallback, std::int64_t most) const;
  [[nodiscard]] bool flag_or(Names names, bool fallback) const;
  [[nodiscard]] double share_or(Names names, double fallback) const;  // 0 to 1
  [[nodiscard]] std::string text_or(Names names, std::string_view fallback) const;
  /// Empty where missing; at most kLayersMax.
  [[nodiscard]] std::vector<std::string> texts(Names names) const;
  [[nodiscard]] std::vector<std::int64_t> amounts(Names names) const;
  [[nodiscard]] std::optional<Fields> inner(std::string_view name) const;

  /// "a.b: what".
  void fault(std::string_view field, std::string what, std::string remedy) const;
  [[nodiscard]] bool sound() const { return !faults_->first; }

 private:
  struct Found {
    std::string_view name;
    JsonValue value;
  };
  [[nodiscard]] std::optional<Found> find(Names names) const;
  [[nodiscard]] std::int64_t in_range(const Found& found, std::int64_t least, std::int64_t most) const;
  template <class T>
  [[nodiscard]] T read(const Found& found, T fallback) const;
  template <class T>
  [[nodiscard]] std::vector<T> list(Names names) const;

  JsonValue object_;
  std::string path_;
  Faults* faults_;
};

}  // namespace centrale
