// SPDX-License-Identifier: Apache-2.0
// Cells of published tables: private to plan/.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/csv.hpp"
#include "base/result.hpp"

namespace centrale::rows {

[[nodiscard]] std::string lower(std::string_view text);
[[nodiscard]] inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }
/// The number right after the first `words` in `text`; nothing if there is none.
[[nodiscard]] std::optional<double> number_after(std::string_view text, std::string_view words);

class Cells {
 public:
  Cells(const CsvTable& table, std::size_t row) : table_(table), row_(row) {}
  [[nodiscard]] std::string_view text(std::string_view column) const { return table_.cell(row_, column); }
  /// A whole number above 0; nothing for an empty cell and for "n/a" and the like.
  [[nodiscard]] std::optional<std::int64_t> count(std::string_view column) const;
  [[nodiscard]] std::optional<double> real(std::string_view column) const;
  /// Cells that hold a number that is no count: zero, negative, broken, or beyond `most`.
  [[nodiscard]] Result<void> check_counts(std::initializer_list<const char*> columns, double most) const;

 private:
  const CsvTable& table_;
  std::size_t row_;
};

}  // namespace centrale::rows
