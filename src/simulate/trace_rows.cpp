// SPDX-License-Identifier: Apache-2.0
#include "simulate/trace_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.hpp"

namespace centrale {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }
constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) { text.remove_prefix(1); }
  while (!text.empty() && (is_blank(text.back()) || text.back() == '\r')) { text.remove_suffix(1); }
  return text;
}

/// Up to `most` digits from the front of `text`; nothing if there is none.
std::optional<std::int64_t> take_digits(std::string_view& text, std::size_t most) {
  std::size_t n = 0;
  std::int64_t value = 0;
  while (n < most && n < text.size() && is_digit(text[n])) { value = value * 10 + (text[n++] - '0'); }
  if (n == 0) { return std::nullopt; }
  text.remove_prefix(n);
  return value;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) { return false; }
  text.remove_prefix(1);
  return true;
}

/// Days since 1970-01-01 of the Gregorian calendar, counted from 1 March (Richards 2013, Explanatory Supplement, 15.11.3, in other words).
constexpr std::int64_t days_since_1970(std::int64_t year, std::int64_t month, std::int64_t day) {
  const std::int64_t y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3;
  return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}
static_assert(days_since_1970(1970, 1, 1) == 0 && days_since_1970(2000, 3, 1) == 11017 && days_since_1970(2020, 2, 29) == 18321);

constexpr std::int64_t days_of(std::int64_t year, std::int64_t month) {
  return month == 12 ? 31 : days_since_1970(year, month + 1, 1) - days_since_1970(year, month, 1);
}

std::optional<std::int64_t> by_double(std::string_view text, std::int64_t scale) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) { return std::nullopt; }
  value *= static_cast<double>(scale);
  if (!(std::abs(value) < 9.2e18)) { return std::nullopt; }
  return std::llround(value);
}

}  // namespace

std::string_view without_mark(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) { text.remove_prefix(3); }
  return text;
}

bool is_unknown(std::string_view text) {
  if (text.empty()) { return true; }
  if (text.size() > 4 || is_digit(text.front())) { return false; }
  static constexpr std::string_view kWords[] = {"nan", "none", "null", "na", "n/a", "-", "nat"};
  return std::ranges::any_of(kWords, [&](std::string_view word) { return same_name(text, word); });
}

std::optional<std::int64_t> parse_decimal(std::string_view text, std::int64_t scale) {
  std::string_view rest = text;
  const bool negative = take(rest, "-");
  const std::size_t size = rest.size();
  const auto whole = take_digits(rest, 18);
  if (!whole || (size > 18 && !rest.empty() && is_digit(rest.front()))) { return by_double(text, scale); }
  Int128 value = Int128{*whole} * scale;
  if (take(rest, ".") && !rest.empty()) {
    const std::size_t before = rest.size();
    const auto fraction = take_digits(rest, 15);
    if (!fraction) { return by_double(text, scale); }
    std::int64_t unit = 1;
    for (std::size_t i = rest.size(); i < before; ++i) { unit *= 10; }
    value += (Int128{*fraction} * scale + unit / 2) / unit;
    while (!rest.empty() && is_digit(rest.front())) { rest.remove_prefix(1); }
  }
  if (!rest.empty()) { return by_double(text, scale); }
  if (value > std::numeric_limits<std::int64_t>::max()) { return std::nullopt; }
  return static_cast<std::int64_t>(negative ? -value : value);
}

std::optional<std::int64_t> parse_wall_time(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || *year < 1970 || *year > 2099 || !take(text, "-/")) { return std::nullopt; }
  const auto month = take_digits(text, 2);
  if (!month || *month < 1 || *month > 12 || !take(text, "-/")) { return std::nullopt; }
  const auto day = take_digits(text, 2);
  if (!day || *day < 1 || *day > days_of(*year, *month)) { return std::nullopt; }
  std::int64_t time = days_since_1970(*year, *month, *day) * 86400 * kSecond;
  if (text.empty()) { return time; }
  if (!take(text, " T")) { return std::nullopt; }
  const auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ":")) { return std::nullopt; }
  const auto minute = take_digits(text, 2);
  if (!minute || *minute > 59) { return std::nullopt; }
  time += (*hour * 3600 + *minute * 60) * kSecond;
  if (take(text, ":")) {
    const auto second = take_digits(text, 2);
    if (!second || *second > 60) { return std::nullopt; }
    time += *second * kSecond;
    std::int64_t unit = kSecond;
    if (take(text, ".")) {
      for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1)) {
        unit /= 10;
        time += (text.front() - '0') * unit;
      }
    }
  }
  // What follows may only be a zone: " PDT", "Z", "+08:00".
  const bool zone = std::ranges::all_of(
      text, [](char c) { return c == ' ' || c == '+' || c == '-' || c == ':' || is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z'); });
  return zone && text.size() <= 8 ? std::optional(time) : std::nullopt;
}

TraceRows::TraceRows(std::string_view text, std::string_view file, Separator separator)
    : text_(without_mark(text)), file_(file), separator_(separator) {}

std::size_t TraceRows::line_end() const {
  const std::size_t end = text_.find('\n', at_);
  return end == std::string_view::npos ? text_.size() : end;
}

void TraceRows::end_line() {
  if (at_ < text_.size() && text_[at_] == '\r') { ++at_; }
  if (at_ < text_.size() && text_[at_] == '\n') {
    ++at_;
    ++line_;
  }
}

Result<bool> TraceRows::next() {
  while (at_ < text_.size()) {
    row_line_ = line_;
    cells_.clear();
    const std::size_t start = at_;
    if (separator_ == Separator::comma) {
      unescaped_.clear();
      TRY(split_commas());
    } else {
      split_bare();
    }
    raw_ = text_.substr(start, at_ - start);
    end_line();
    if (cells_.size() > kTraceColumnsMax) { return wrong(fmt::format("more than {} columns", kTraceColumnsMax)); }
    if (!trimmed(raw_).empty()) { return true; }
  }
  return false;
}

Result<void> TraceRows::split_commas() {
  while (true) {
    while (at_ < text_.size() && is_blank(text_[at_])) { ++at_; }
    std::string_view cell;
    if (at_ < text_.size() && text_[at_] == '"') {
      TRY(quoted_cell(cell));
    } else {
      const std::size_t end = std::min(text_.find_first_of(",\n", at_), text_.size());
      cell = trimmed(text_.substr(at_, end - at_));
      at_ = end > at_ && text_[end - 1] == '\r' ? end - 1 : end;
    }
    if (cell.size() > kTraceCellMax) { return wrong(fmt::format("a cell of more than {} bytes", kTraceCellMax)); }
    cells_.push_back(cell);
    if (cells_.size() > kTraceColumnsMax) { return wrong(fmt::format("more than {} columns", kTraceColumnsMax)); }
    if (at_ >= text_.size() || text_[at_] != ',') { return {}; }
    ++at_;
  }
}

Result<void> TraceRows::quoted_cell(std::string_view& cell) {
  const std::size_t start = ++at_;
  bool doubled = false;
  while (true) {
    const std::size_t quote = text_.find('"', at_);
    if (quote == std::string_view::npos) { return wrong("a quote that is never closed"); }
    line_ += static_cast<std::uint32_t>(std::ranges::count(text_.substr(at_, quote - at_), '\n'));
    at_ = quote + 1;
    if (at_ >= text_.size() || text_[at_] != '"') { break; }
    doubled = true;
    ++at_;
  }
  cell = text_.substr(start, at_ - 1 - start);
  if (doubled) {
    std::string& plain = unescaped_.emplace_back();
    for (std::size_t i = 0; i < cell.size(); ++i) {
      plain += cell[i];
      if (cell[i] == '"') { ++i; }
    }
    cell = plain;
  }
  while (at_ < text_.size() && (is_blank(text_[at_]) || (text_[at_] == '\r' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n'))) {
    if (text_[at_] == '\r') { break; }
    ++at_;
  }
  if (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r') { return wrong("text after a closing quote"); }
  return {};
}

void TraceRows::split_bare() {
  const std::size_t end = line_end();
  std::string_view line = text_.substr(at_, end - at_);
  at_ = end;
  if (line.ends_with('\r')) { line.remove_suffix(1); }
  if (separator_ == Separator::tab) {
    while (cells_.size() <= kTraceColumnsMax) {
      const std::size_t tab = line.find('\t');
      cells_.push_back(trimmed(line.substr(0, tab)));
      if (tab == std::string_view::npos) { return; }
      line.remove_prefix(tab + 1);
    }
    return;
  }
  while (cells_.size() <= kTraceColumnsMax) {
    while (!line.empty() && is_blank(line.front())) { line.remove_prefix(1); }
    if (line.empty()) { return; }
    const std::size_t stop = std::min(line.find_first_of(" \t"), line.size());
    cells_.push_back(line.substr(0, stop));
    line.remove_prefix(stop);
  }
}

std::unexpected<Error> TraceRows::wrong(std::string what, std::string remedy) const {
  return fail(ErrorKind::invalid, std::move(what), fmt::format("{}:{}", file_, row_line_), std::move(remedy));
}

std::unexpected<Error> TraceRows::bad_cell(std::size_t column, std::string_view name, std::string_view wanted) const {
  return wrong(fmt::format("{}: wants {}, found '{}'", name, wanted, shorten((*this)[column], 40)),
               fmt::format("this row has {} cells", cells_.size()));
}

Result<std::int64_t> TraceRows::scaled(std::size_t column, std::string_view name, std::int64_t scale) const {
  const std::string_view text = (*this)[column];
  if (is_unknown(text)) { return kNoNumber; }
  const auto value = parse_decimal(text, scale);
  if (!value || *value == kNoNumber) { return bad_cell(column, name, "a number"); }
  return *value;
}

Result<std::int64_t> TraceRows::whole(std::size_t column, std::string_view name) const { return scaled(column, name, 1); }

Result<double> TraceRows::real(std::size_t column, std::string_view name) const {
  const std::string_view text = (*this)[column];
  if (is_unknown(text)) { return std::numeric_limits<double>::quiet_NaN(); }
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) { return bad_cell(column, name, "a number"); }
  return value;
}

Result<std::int64_t> TraceRows::time(std::size_t column, std::string_view name) const {
  const std::string_view text = (*this)[column];
  if (is_unknown(text)) { return kNoNumber; }
  const bool date = text.size() >= 8 && (text[4] == '-' || text[4] == '/');
  const auto value = date ? parse_wall_time(text) : parse_decimal(text, kSecond);
  if (!value) { return bad_cell(column, name, "seconds or a date such as 2017-10-09 07:01:55"); }
  if (*value / kSecond > kTraceSecondsMax || *value / kSecond < -kTraceSecondsMax) {
    return wrong(fmt::format("{}: {} is more than a hundred years away", name, shorten(text, 40)));
  }
  return *value;
}

TraceColumns::TraceColumns(const TraceRows& header) {
  for (std::size_t i = 0; i < header.size(); ++i) { names_.emplace_back(header[i]); }
}
std::size_t TraceColumns::operator[](std::string_view name) const {
  const auto at = std::ranges::find_if(names_, [&](const std::string& own) { return same_name(own, name); });
  return at == names_.end() ? kTraceColumnsMax : static_cast<std::size_t>(at - names_.begin());
}
bool TraceColumns::has(std::string_view name) const { return (*this)[name] != kTraceColumnsMax; }

}  // namespace centrale
