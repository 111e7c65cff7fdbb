// SPDX-License-Identifier: Apache-2.0
// Rows of published serving measurements: model, chip, engine, layout, lengths and load; predicted in the row's own unit. Columns by name,
// in any order: model, params_B, precision, kv_precision, chip, num_chips, tp, pp, ep, isl, osl, concurrency_or_rate, engine+version,
// measured_kind, source, note.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/csv.hpp"
#include "base/result.hpp"
#include "estimate/engine.hpp"
#include "estimate/serve_run.hpp"
#include "fleet/catalogue.hpp"
#include "model/model.hpp"
#include "plan/model_like.hpp"
#include "plan/rows.hpp"

namespace centrale {

/// What a row's load column says.
struct RowLoad {
  double concurrency = 0;  // clients
  double rate = 0;         // requests a second
  double queued = 0;       // requests that all come at once; 0 with the two above: as many as it takes
  double batch = 0;        // a static batch
  double target = 0;       // requests a second that a benchmark's server mode was run at
  double itl_limit = 0;    // seconds: the most that a token may take
  double requests = 0;     // in all; 0: not said
  bool single = false;     // one stream
  bool server = false;     // as many requests a second as the service level allows
};
[[nodiscard]] Result<RowLoad> read_load(std::string_view text);

// Clients a rank from which wide decoders run attention in parallel copies.
inline constexpr double kWideCopiesFrom = 6;

/// A row as the estimator wants it.
struct InferRow {
  Model model;
  Island island;
  const Engine* engine = nullptr;
  ServeLayout layout;  // of decode, where prefill has its own
  ServeLayout prefill;
  bool disaggregated = false;
  double prefill_workers = 1, decode_workers = 1;
  bool workers_guessed = false;
  std::int64_t whole = 0;  // chips of a whole deployment of pools of which nothing else is known; 0: not such a row
  Speculation speculation;
  bool perhaps_speculative = false;  // `speculation` may be on or not: figures are the geometric mean of both
  double chips = 0;                  // of all replicas; 0: one replica
  double input = 0, output = 0;      // tokens, in the mean
  double spread = 0;                 // of both: standard deviation over the mean
  double beams = 1;                  // of a beam search: sequences that one answer takes
  RowLoad load;
  bool layout_stated = true;
  std::string inferred;  // what was not in the row, and what was taken
  std::string kind;      // measured_kind
};

[[nodiscard]] Result<InferRow> read_infer_row(const CsvTable& table, std::size_t row, const Catalogue& catalogue,
                                              const std::vector<Engine>& engines);

/// What is measured on one replica or pair of pools, and how many of them there are.
struct RowRun {
  ServeRun run;
  double replicas = 1;
  double chips = 1;  // of all
};
[[nodiscard]] Result<RowRun> run_infer_row(const InferRow& row);
/// In the unit of the row's kind.
[[nodiscard]] RowPrediction prediction_of(const InferRow& row, const Result<RowRun>& run);

/// One prediction a row, in order. Rows of one configuration share the work.
[[nodiscard]] std::vector<RowPrediction> predict_infer_rows(const CsvTable& table, const Catalogue& catalogue,
                                                            const std::vector<Engine>& engines);

}  // namespace centrale
