// SPDX-License-Identifier: Apache-2.0
// Rows of published training runs: model shape, chip, layout, batches; predicted in the row's own unit and by the row's own rule of
// counting FLOP.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/csv.hpp"
#include "base/result.hpp"
#include "estimate/stack.hpp"
#include "estimate/train.hpp"
#include "fleet/catalogue.hpp"
#include "plan/rows.hpp"

namespace centrale {

/// A row as the estimator wants it.
struct TrainRow {
  Model model;
  Island island;
  const Stack* stack = nullptr;
  TrainRun run;
  Layout layout;
  std::string inferred;         // what was not in the row, and what was taken
  bool layout_is_whole = true;  // false: parts of it were chosen by the planner
};

/// The columns are those of a published-runs table: model_name, layers, hidden, …, measured_kind (docs/planner.md). Missing columns are
/// empty cells.
[[nodiscard]] Result<TrainRow> read_train_row(const CsvTable& table, std::size_t row, const Catalogue& catalogue,
                                              const std::vector<Stack>& stacks);
[[nodiscard]] RowPrediction predict_train_row(const CsvTable& table, std::size_t row, const Catalogue& catalogue,
                                              const std::vector<Stack>& stacks);

/// The same of a row that was read.
[[nodiscard]] RowPrediction predict_train_row(const CsvTable& table, std::size_t row, const TrainRow& read);

/// The stack that a table's source, note and chip speak of: the first whose words are all there, else the vendor's, else `generic`.
[[nodiscard]] const Stack& stack_spoken_of(std::string_view text, std::string_view vendor, const std::vector<Stack>& stacks);
/// One direction of one chip, from such text as "8x HDR-200 InfiniBand per node"; 0: it says nothing.
[[nodiscard]] BytesPerSecond network_spoken_of(std::string_view text, std::int64_t chips_per_node);

}  // namespace centrale
