// SPDX-License-Identifier: Apache-2.0
// Comma-separated tables with a header row (RFC 4180), read by column name and written back with columns added, every original byte kept.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace centrale {

// A published table is far smaller; what is larger is a mistake.
inline constexpr std::size_t kCsvSizeMax = 64 * 1024 * 1024;
inline constexpr std::size_t kCsvColumnsMax = 256;
inline constexpr std::size_t kCsvRowsMax = 1'000'000;
inline constexpr std::size_t kCsvCellMax = 64 * 1024;

struct CsvRow {
  std::vector<std::string> cells;  // unquoted; as many as the header has
  std::string raw;                 // as it was written, without its line end
  std::uint32_t line = 0;          // where it starts, from 1
};

struct CsvTable {
  std::string file;  // what errors call it
  std::vector<std::string> header;
  std::string raw_header;
  std::vector<CsvRow> rows;

  /// The column of that name, letter case and surrounding spaces aside.
  [[nodiscard]] std::optional<std::size_t> column(std::string_view name) const;
  /// The cell without surrounding spaces; empty where the column is missing.
  [[nodiscard]] std::string_view cell(std::size_t row, std::string_view column_name) const;
};

/// Errors name file:line: an unclosed quote, text after a closing quote, a row of another width than the header, a column named twice, no
/// header, a limit. Line ends are LF or CRLF; a byte order mark and empty lines are skipped.
[[nodiscard]] Result<CsvTable> read_csv(std::string_view text, std::string_view file);

/// A cell as it is written: quoted only where it must be.
[[nodiscard]] std::string csv_cell(std::string_view text);
/// The table as it was read, with `names` added on the right; `added[row]` has as many cells as `names`.
[[nodiscard]] std::string write_csv(const CsvTable& table, std::span<const std::string> names,
                                    std::span<const std::vector<std::string>> added);

}  // namespace centrale
