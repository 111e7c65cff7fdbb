// SPDX-License-Identifier: Apache-2.0
#include "cli/simulate_render.hpp"

#include <fmt/format.h>

#include <cmath>

#include "cli/plan_render.hpp"
#include "cli/table.hpp"

namespace centrale::cli {
namespace {

std::string plus_minus(const Style& style) { return style.unicode ? " ± " : " +- "; }

Cell value_cell(const Comparison& c, std::size_t row, std::size_t measure, const NumberScale& scale, const Style& style) {
  const Interval& value = c.rows[row].values[measure];
  if (!std::isfinite(value.mean)) { return {unknown(style), Tone::dim}; }
  std::string text = number_text(value.mean, scale);
  if (value.count > 1) { text += plus_minus(style) + number_text(value.half, scale); }
  return {std::move(text), c.is_best(row, measure) ? Tone::green : Tone::plain};
}

Table begun(const Comparison& c) {
  Table table{.columns = {Column{"policy", Align::left, 0, 0}}, .rows = {}};
  for (const PolicyRow& row : c.rows) { table.rows.push_back({Cell{row.policy, Tone::plain}}); }
  return table;
}

std::string table_of(const ReportPage& page, MeasureGroup group, std::size_t width, const Style& style) {
  const Comparison& c = page.comparison;
  Table table = begun(c);
  for (const std::size_t m : columns_of(c, group)) {
    const NumberScale scale = scale_of(c, m, page.currency);
    // On a narrow terminal the first columns stay.
    table.columns.push_back({title_of(c.measures[m], scale), Align::right, 0, static_cast<int>(table.columns.size())});
    for (std::size_t r = 0; r < c.rows.size(); ++r) { table.rows[r].push_back(value_cell(c, r, m, scale, style)); }
  }
  return render(table, width, style);
}

/// Relative to the first policy's mean; plain where the interval holds 0: the difference may be chance.
Cell difference_cell(const Comparison& c, std::size_t row, std::size_t measure, const Style& style) {
  const Interval& difference = c.rows[row].difference[measure];
  const double base = c.rows.front().values[measure].mean;
  if (!std::isfinite(difference.mean) || !std::isfinite(base) || base == 0) { return {unknown(style), Tone::dim}; }
  const bool is_sure = std::abs(difference.mean) > difference.half;
  const bool is_better = (difference.mean < 0) == (c.measures[measure].better == Better::less);
  return {fmt::format("{:+.1f}%{}{:.1f}", difference.mean / base * 100, plus_minus(style), std::abs(difference.half / base) * 100),
          !is_sure    ? Tone::plain
          : is_better ? Tone::green
                      : Tone::red};
}

std::string differences(const ReportPage& page, std::size_t width, const Style& style) {
  const Comparison& c = page.comparison;
  Table table{.columns = {Column{"against " + c.rows.front().policy, Align::left, 0, 0}}, .rows = {}};
  for (std::size_t r = 1; r < c.rows.size(); ++r) { table.rows.push_back({Cell{c.rows[r].policy, Tone::plain}}); }
  for (const MeasureGroup group : {MeasureGroup::jobs, MeasureGroup::chips}) {
    for (const std::size_t m : columns_of(c, group)) {
      if (c.measures[m].key.starts_with("utilisation.")) { continue; }
      table.columns.push_back({c.measures[m].title, Align::right, 0, static_cast<int>(table.columns.size())});
      for (std::size_t r = 1; r < c.rows.size(); ++r) { table.rows[r - 1].push_back(difference_cell(c, r, m, style)); }
    }
  }
  return render(table, width, style);
}

}  // namespace

std::string comparison_text(const ReportPage& page, std::size_t width, const Style& style) {
  const Comparison& c = page.comparison;
  std::string text = printable(page.workload) + "\n" + printable(page.fleet);
  if (c.seeds.size() > 1) { text += fmt::format("; {} seeds, means and 95% confidence intervals", c.seeds.size()); }
  text += "\n\n" + table_of(page, MeasureGroup::jobs, width, style) + "\n" + table_of(page, MeasureGroup::chips, width, style);
  if (columns_of(c, MeasureGroup::ends).size() > 1) { text += "\n" + table_of(page, MeasureGroup::ends, width, style); }
  if (c.seeds.size() > 1 && c.rows.size() > 1) { text += "\n" + differences(page, width, style); }
  if (!page.notes.empty()) { text += "\n"; }
  for (const std::string& note : page.notes) { text += remark("note", printable(note), width, style); }
  return text;
}

}  // namespace centrale::cli
