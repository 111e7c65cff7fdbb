// SPDX-License-Identifier: Apache-2.0
// Rows of a table as views into its text, one at a time: a trace of millions of rows is read without a copy of it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"

namespace centrale {

// Later sums of a submit and a span stay within 64 bits.
inline constexpr std::int64_t kTraceSecondsMax = 4'110'000'000;  // 130 years: any date up to 2099
inline constexpr std::int64_t kTraceCountMax = 10'000'000;       // chips, workers or nodes of one job
inline constexpr std::size_t kTraceColumnsMax = 256;
inline constexpr std::size_t kTraceCellMax = 64 * 1024;

/// A cell that a trace may leave empty.
inline constexpr std::int64_t kNoNumber = std::numeric_limits<std::int64_t>::min();

enum class Separator : unsigned char { comma, tab, blanks };

class TraceRows {
 public:
  TraceRows(std::string_view text, std::string_view file, Separator separator);

  /// Moves to the next row that is not blank; false at the end.
  [[nodiscard]] Result<bool> next();
  [[nodiscard]] std::size_t size() const { return cells_.size(); }
  /// Unquoted; surrounding blanks of a bare cell are gone. Empty beyond the row's end. Valid until the next row.
  [[nodiscard]] std::string_view operator[](std::size_t column) const {
    return column < cells_.size() ? cells_[column] : std::string_view{};
  }
  [[nodiscard]] std::string_view raw() const { return raw_; }
  [[nodiscard]] std::uint32_t line() const { return row_line_; }
  [[nodiscard]] std::string_view file() const { return file_; }

  /// Numbers of a named column; kNoNumber where the cell is empty or says so (nan, None, null, NA, -, NaT).
  [[nodiscard]] Result<std::int64_t> whole(std::size_t column, std::string_view name) const;
  [[nodiscard]] Result<std::int64_t> scaled(std::size_t column, std::string_view name, std::int64_t scale) const;
  [[nodiscard]] Result<double> real(std::size_t column, std::string_view name) const;  // NaN where empty
  /// A number of seconds or a date, in ns.
  [[nodiscard]] Result<std::int64_t> time(std::size_t column, std::string_view name) const;
  [[nodiscard]] std::unexpected<Error> wrong(std::string what, std::string remedy = {}) const;

 private:
  [[nodiscard]] Result<void> split_commas();
  [[nodiscard]] Result<void> quoted_cell(std::string_view& cell);
  void split_bare();
  [[nodiscard]] std::size_t line_end() const;
  void end_line();
  [[nodiscard]] std::unexpected<Error> bad_cell(std::size_t column, std::string_view name, std::string_view wanted) const;

  std::string_view text_, file_;
  Separator separator_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1, row_line_ = 1;
  std::string_view raw_;
  std::vector<std::string_view> cells_;
  std::deque<std::string> unescaped_;  // cells that had doubled quotes
};

/// Where the columns of a header are. A name that the header lacks is a column beyond every row: its cells are empty.
class TraceColumns {
 public:
  explicit TraceColumns(const TraceRows& header);
  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] std::size_t operator[](std::string_view name) const;
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
};

/// "12", "-1", "8.0", "1.5e3" times `scale`, rounded; nothing for other text and for what is beyond 64 bits.
[[nodiscard]] std::optional<std::int64_t> parse_decimal(std::string_view text, std::int64_t scale);
/// "2017-10-09 07:01:55", with '/' or 'T', a fraction and a zone that is ignored; ns since 1970 on the wall's clock. Years 1970 to 2099.
[[nodiscard]] std::optional<std::int64_t> parse_wall_time(std::string_view text);
/// What traces write for "not known".
[[nodiscard]] bool is_unknown(std::string_view text);
[[nodiscard]] std::string_view without_mark(std::string_view text);  // of byte order

}  // namespace centrale
