// SPDX-License-Identifier: Apache-2.0
// Plans as text: numbers that a planner reads, and the tables of training plans. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "cli/table.hpp"
#include "plan/train.hpp"

namespace centrale::cli {

[[nodiscard]] std::string three_digits(double value);      // "9.12", "41.3", "812"
[[nodiscard]] std::string time_text(double seconds);       // "11.2 s", "340 ms", "45 µs"; "–" for 0
[[nodiscard]] std::string memory_text(double bytes);       // "12.3 GiB"; "–" for 0
[[nodiscard]] std::string short_count(double count);       // "1.53M", "812", "15.6T"
[[nodiscard]] std::string parameters_text(double count);   // "406B", as models are named
[[nodiscard]] std::string tight_percent(double fraction);  // "41.3%"
[[nodiscard]] std::string days_text(double days);          // "0.4", "54", "1,200"

/// "16,384 NVIDIA H100 SXM5 80GB + 256 AMD Instinct MI300X".
[[nodiscard]] std::string chips_text(const Fleet& fleet);
/// "bound by    computation 83%, …", wrapped below itself; for tables' remarks.
[[nodiscard]] std::string remark(std::string_view name, std::string_view text, std::size_t width, const Style& style);

/// What is said of a search beside its plans.
struct TrainPage {
  const TrainRequest& request;
  const std::vector<TrainPlan>& plans;
  std::size_t width = 0;  // 0: no limit
  Style style;
};
/// Layouts with what follows from them; step time by part; memory by part.
[[nodiscard]] std::string train_tables(const TrainPage& page);
/// What bounds the best plan, failures, notes: a line each.
[[nodiscard]] std::string train_remarks(const TrainPage& page);

struct ExplainedTerm {
  std::string name, value, source;
};
/// A term a line, its source beside it, wrapped.
[[nodiscard]] std::string explanation(const std::vector<ExplainedTerm>& terms, std::size_t width, const Style& style);
/// Every term of one part of a plan.
[[nodiscard]] std::string explanation(const TrainPage& page, const TrainPart& part, const std::vector<TrainEstimator::Term>& terms);

}  // namespace centrale::cli
