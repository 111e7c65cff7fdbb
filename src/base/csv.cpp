// SPDX-License-Identifier: Apache-2.0
#include "base/csv.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace centrale {
namespace {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) { return {}; }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

class Reader {
 public:
  Reader(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  bool at_end() const { return at_ >= text_.size(); }

  Result<CsvRow> row() {
    CsvRow row;
    row.line = line_;
    const std::size_t start = at_;
    while (true) {
      std::string cell;
      TRY(quoted_here() ? quoted(cell) : plain(cell));
      if (cell.size() > kCsvCellMax) { return wrong(fmt::format("a cell of more than {} bytes", kCsvCellMax)); }
      row.cells.push_back(std::move(cell));
      if (row.cells.size() > kCsvColumnsMax) { return wrong(fmt::format("more than {} columns", kCsvColumnsMax)); }
      if (at_end() || text_[at_] != ',') { break; }
      ++at_;
    }
    row.raw = text_.substr(start, at_ - start);
    end_line();
    return row;
  }

 private:
  bool quoted_here() const { return at_ < text_.size() && text_[at_] == '"'; }
  bool line_end_here() const {
    return at_end() || text_[at_] == '\n' || (text_[at_] == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] == '\n'));
  }

  Result<bool> plain(std::string& cell) {
    const std::size_t start = at_;
    while (!line_end_here() && text_[at_] != ',') { ++at_; }
    cell = text_.substr(start, at_ - start);
    return true;
  }

  Result<bool> quoted(std::string& cell) {
    const std::uint32_t opened = line_;
    for (++at_; !at_end(); ++at_) {
      if (text_[at_] == '"') {
        if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
          ++at_;
        } else {
          ++at_;
          if (!line_end_here() && text_[at_] != ',') { return wrong("text after a closing quote"); }
          return true;
        }
      }
      if (text_[at_] == '\n') { ++line_; }
      cell += text_[at_];
    }
    line_ = opened;
    return wrong("a quote that is never closed");
  }

  void end_line() {
    if (at_ < text_.size() && text_[at_] == '\r') { ++at_; }
    if (at_ < text_.size() && text_[at_] == '\n') {
      ++at_;
      ++line_;
    }
  }

  std::unexpected<Error> wrong(std::string what) const {
    return fail(ErrorKind::invalid, std::move(what), fmt::format("{}:{}", file_, line_));
  }

  std::string_view text_;
  std::string_view file_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
};

bool is_empty(const CsvRow& row) { return row.cells.size() == 1 && trimmed(row.raw).empty(); }

Result<bool> check_header(const CsvTable& table) {
  for (std::size_t i = 0; i < table.header.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (!same_name(trimmed(table.header[i]), trimmed(table.header[j]))) { continue; }
      return fail(ErrorKind::invalid, fmt::format("two columns are named '{}'", trimmed(table.header[i])), fmt::format("{}:1", table.file));
    }
  }
  return true;
}

}  // namespace

std::optional<std::size_t> CsvTable::column(std::string_view name) const {
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (same_name(trimmed(header[i]), name)) { return i; }
  }
  return std::nullopt;
}

std::string_view CsvTable::cell(std::size_t row, std::string_view column_name) const {
  const auto at = column(column_name);
  return at ? trimmed(rows[row].cells[*at]) : std::string_view{};
}

Result<CsvTable> read_csv(std::string_view text, std::string_view file) {
  if (text.size() > kCsvSizeMax) {
    return fail(ErrorKind::invalid, fmt::format("a table of more than {} MiB", kCsvSizeMax / (1024 * 1024)), std::string(file));
  }
  if (text.starts_with("\xEF\xBB\xBF")) { text.remove_prefix(3); }
  CsvTable table{.file = std::string(file), .header = {}, .raw_header = {}, .rows = {}};
  Reader reader(text, file);
  while (!reader.at_end()) {
    TRY_ASSIGN(CsvRow row, reader.row());
    if (is_empty(row)) { continue; }
    if (table.header.empty()) {
      table.header = std::move(row.cells);
      table.raw_header = std::move(row.raw);
      TRY(check_header(table));
      continue;
    }
    const std::string where = fmt::format("{}:{}", file, row.line);
    if (row.cells.size() != table.header.size()) {
      return fail(ErrorKind::invalid, fmt::format("{} cells, but the header has {} columns", row.cells.size(), table.header.size()), where,
                  "quote a cell that holds a comma");
    }
    if (table.rows.size() == kCsvRowsMax) { return fail(ErrorKind::invalid, fmt::format("more than {} rows", kCsvRowsMax), where); }
    table.rows.push_back(std::move(row));
  }
  if (table.header.empty()) { return fail(ErrorKind::invalid, "an empty table: there is no header row", std::string(file)); }
  return table;
}

std::string csv_cell(std::string_view text) {
  const bool plain = text.find_first_of("\",\r\n") == std::string_view::npos;
  if (plain) { return std::string(text); }
  std::string cell = "\"";
  for (const char c : text) {
    if (c == '"') { cell += '"'; }
    cell += c;
  }
  return cell + '"';
}

std::string write_csv(const CsvTable& table, std::span<const std::string> names, std::span<const std::vector<std::string>> added) {
  std::string out = table.raw_header;
  for (const auto& name : names) { out += ',' + csv_cell(name); }
  out += '\n';
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    out += table.rows[i].raw;
    for (std::size_t j = 0; j < names.size(); ++j) {
      out += ',';
      if (i < added.size() && j < added[i].size()) { out += csv_cell(added[i][j]); }
    }
    out += '\n';
  }
  return out;
}

}  // namespace centrale
