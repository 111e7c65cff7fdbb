// SPDX-License-Identifier: Apache-2.0
// Tables for people: columns align by display width, and the longest give way when the terminal is narrow. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "cli/text.hpp"

namespace centrale::cli {

struct Column {
  std::string title;
  Align align = Align::left;
  std::size_t width_min = 0;  // a column that may be cut keeps at least this; 0: never cut
  int drop = 0;               // left out when cutting does not help, the highest first; 0: stays
};

struct Cell {
  std::string text;
  Tone tone = Tone::plain;
};

struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
};

/// The table with its heading; `width` 0: as wide as it gets, else no line is wider. A column without any known value is left out.
[[nodiscard]] std::string render(const Table& table, std::size_t width, const Style& style);
/// The same, a line an element, without line ends.
[[nodiscard]] std::vector<std::string> render_lines(const Table& table, std::size_t width, const Style& style);

}  // namespace centrale::cli
