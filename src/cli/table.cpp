// SPDX-License-Identifier: Apache-2.0
#include "cli/table.hpp"

#include <algorithm>
#include <utility>

#include "base/ensure.hpp"

namespace centrale::cli {
namespace {

constexpr std::size_t kGap = 2;

std::size_t total_of(const std::vector<std::size_t>& widths) {
  std::size_t total = 0;
  for (const std::size_t w : widths) { total += w == 0 ? 0 : w + kGap; }
  return total > kGap ? total - kGap : 0;
}

/// Takes columns away from those that may be cut, the widest first, until the table fits or nothing more can give way.
void shrink(const std::vector<Column>& columns, std::vector<std::size_t>& widths, std::size_t width_max) {
  for (std::size_t total = total_of(widths); total > width_max; --total) {
    std::size_t widest = columns.size();
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].width_min > 0 && widths[i] > columns[i].width_min && (widest == columns.size() || widths[i] > widths[widest])) {
        widest = i;
      }
    }
    if (widest == columns.size()) { return; }
    --widths[widest];
  }
}

/// Cuts, and where that is not enough leaves out whole columns.
void fit(const std::vector<Column>& columns, std::vector<std::size_t>& widths, std::size_t width_max) {
  while (true) {
    std::vector<std::size_t> tried = widths;
    shrink(columns, tried, width_max);
    std::size_t least = columns.size();
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (widths[i] > 0 && columns[i].drop > 0 && (least == columns.size() || columns[i].drop > columns[least].drop)) { least = i; }
    }
    if (total_of(tried) <= width_max || least == columns.size()) {
      widths = std::move(tried);
      return;
    }
    widths[least] = 0;
  }
}

}  // namespace

std::vector<std::string> render_lines(const Table& table, std::size_t width, const Style& style) {
  const std::size_t count = table.columns.size();
  std::vector<std::size_t> widths(count, 0);
  for (const auto& row : table.rows) {
    ensure(row.size() == count);
    for (std::size_t i = 0; i < count; ++i) {
      if (row[i].text != unknown(style)) {  // a column that says nothing but "not known" says nothing
        widths[i] = std::max(widths[i], display_width(row[i].text));
      }
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (widths[i] > 0) { widths[i] = std::max(widths[i], display_width(table.columns[i].title)); }
  }
  if (width > 0) { fit(table.columns, widths, width); }

  const auto line = [&](auto&& cell_of) {
    std::string text;
    std::size_t used = 0;
    std::size_t skipped = 0;  // blanks are held back, so that no line ends with them
    for (std::size_t i = 0; i < count; ++i) {
      if (widths[i] == 0) { continue; }
      const Cell cell = cell_of(i);
      std::string shown = cut(cell.text, widths[i], style);
      const std::size_t blank = widths[i] - std::min(widths[i], display_width(shown));
      if (table.columns[i].align == Align::right) { skipped += blank; }
      if (width > 0 && used + skipped + display_width(shown) > width) {  // it cannot be made to fit: better cut than wrapped
        shown = used + skipped < width ? cut(shown, width - used - skipped, style) : std::string{};
      }
      if (!shown.empty()) {
        text.append(skipped, ' ');
        text += paint(shown, cell.tone, style);
        used += skipped + display_width(shown);
        skipped = 0;
      }
      skipped += (table.columns[i].align == Align::left ? blank : 0) + kGap;
    }
    return text;
  };

  std::vector<std::string> lines;
  lines.reserve(table.rows.size() + 1);
  lines.push_back(line([&](std::size_t i) { return Cell{table.columns[i].title, Tone::bold}; }));
  for (const auto& row : table.rows) {
    lines.push_back(line([&](std::size_t i) { return row[i]; }));
  }
  return lines;
}

std::string render(const Table& table, std::size_t width, const Style& style) {
  std::string text;
  for (const std::string& line : render_lines(table, width, style)) {
    text += line;
    text += '\n';
  }
  return text;
}

}  // namespace centrale::cli
