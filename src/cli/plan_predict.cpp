// SPDX-License-Identifier: Apache-2.0
// `centrale plan predict`: rows of published runs, each with what we would have said.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

#include "base/csv.hpp"
#include "cli/plan.hpp"
#include "cli/plan_inputs.hpp"
#include "cli/spec_files.hpp"
#include "plan/infer_rows.hpp"
#include "plan/train_rows.hpp"

namespace centrale::cli {
namespace {

enum class Rows : unsigned char { train, infer };

/// The columns that only one of the two formats has.
Outcome<Rows> rows_of(const CsvTable& table) {
  const auto has = [&](const char* column) { return table.column(column).has_value(); };
  if (has("seq_len") || has("global_batch")) { return Rows::train; }
  if (has("isl") || has("osl")) { return Rows::infer; }
  return std::unexpected(
      Failure(Error{ErrorKind::invalid, "is neither a table of training runs (seq_len, global_batch) nor of serving (isl, osl)", table.file,
                    "the columns are described in docs/planner.md"},
              kExitInput));
}

std::optional<double> number_in(std::string_view cell) {
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  const bool whole = error == std::errc{} && end == cell.data() + cell.size();
  return whole && value > 0 ? std::optional(value) : std::nullopt;
}

std::vector<std::string> added_cells(const CsvTable& table, std::size_t row, const RowPrediction& p) {
  std::string error;
  const auto measured = number_in(table.cell(row, "measured_value"));
  if (p.ok && measured) { error = fmt::format("{:.2f}", 100 * (p.value / *measured - 1)); }
  return {p.kind, p.ok ? fmt::format("{:.6g}", p.value) : "", std::move(error), p.note};
}

}  // namespace

int plan_predict_command(Context& context, const PlanPredictOptions& options) {
  const auto run = [&]() -> Outcome<std::string> {
    TRY_ASSIGN(const Catalogue catalogue, catalogue_of(options.known));
    TRY_ASSIGN(const std::string text, read_text_file(options.file, kCsvSizeMax));
    TRY_ASSIGN(const CsvTable table, read_csv(text, options.file == "-" ? "standard input" : options.file));
    TRY_ASSIGN(const Rows kind, rows_of(table));
    std::vector<RowPrediction> predictions;
    if (kind == Rows::infer) {
      TRY_ASSIGN(const std::vector<Engine> engines, engines_of(options.known));
      predictions = predict_infer_rows(table, catalogue, engines);
    } else {
      TRY_ASSIGN(const std::vector<Stack> stacks, stacks_of(options.known));
      for (std::size_t i = 0; i < table.rows.size(); ++i) { predictions.push_back(predict_train_row(table, i, catalogue, stacks)); }
    }
    std::vector<std::vector<std::string>> added;
    for (std::size_t i = 0; i < predictions.size(); ++i) { added.push_back(added_cells(table, i, predictions[i])); }
    const std::array<std::string, 4> names{"predicted_kind", "predicted_value", "error_pct", "note"};
    return write_csv(table, names, added);
  };
  const auto csv = run();
  if (csv) { print(context, *csv); }
  return finish(context, csv);
}

}  // namespace centrale::cli
