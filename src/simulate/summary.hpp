// SPDX-License-Identifier: Apache-2.0
// Statistics of runs: of the jobs of one, of one policy over its seeds, and of two policies on the same seeds. summarise() is in twin.hpp.
//
//   Comparison c = compare(summaries, kinds);  // of all runs, in the order of policies asked, then seeds
//   c.rows[0].values[2]                        // the first policy's third measure: mean over seeds, and how sure
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "simulate/twin.hpp"

namespace centrale {

/// 0 of nothing.
[[nodiscard]] double mean_of(std::span<const double> values);
/// Nearest rank: the smallest value that at least `part` of all are not above (ceil(part x n), counted from 1). `sorted` ascends; 0 of
/// nothing; part in [0, 1].
[[nodiscard]] double percentile(std::span<const double> sorted, double part);
/// (sum x)^2 / (n sum x^2): 1 when all are equal, 1/n when one has all (Jain, Chiu, Hawe, DEC-TR-301, 1984). 1 of nothing or zeros.
[[nodiscard]] double jain_index(std::span<const double> values);
/// t such that Student's distribution with so many degrees of freedom holds 95% within ±t; freedom >= 1.
[[nodiscard]] double student_t95(std::int64_t freedom);

/// A mean over seeds, and half the width of its 95% confidence interval.
struct Interval {
  double mean = 0;
  double half = 0;  // 0 with one seed: nothing is known of the spread
  std::int64_t count = 0;
};
/// Student's. A value that is not finite makes the mean so: not every seed has one.
[[nodiscard]] Interval interval95(std::span<const double> values);

enum class MeasureUnit : unsigned char { seconds, share, ratio, count, chip_hours, mwh, money };
enum class Better : unsigned char { less, more, neither };
/// The table that shows it; `more`: none, files and programs only.
enum class MeasureGroup : unsigned char { jobs, chips, ends, more };

/// One column of a comparison.
struct Measure {
  std::string key;    // of JSON: "jct_mean_s"
  std::string title;  // of tables: "JCT mean"
  std::string what;   // for people
  MeasureUnit unit = MeasureUnit::count;
  Better better = Better::neither;
  MeasureGroup group = MeasureGroup::more;
  std::function<double(const Summary&)> of;  // not finite: this run has none
};
[[nodiscard]] std::vector<Measure> measures_of(std::span<const std::string> kinds);

struct PolicyRow {
  std::string policy;
  std::vector<Summary> runs;         // by seed
  std::vector<Interval> values;      // by measure
  std::vector<Interval> difference;  // by measure: to the first policy, seed by seed; of that one itself 0
};

struct Comparison {
  std::vector<std::string> kinds;
  std::vector<std::uint64_t> seeds;
  std::vector<Measure> measures;
  std::vector<PolicyRow> rows;
  /// Whether no other policy is better, and one is worse.
  [[nodiscard]] bool is_best(std::size_t row, std::size_t measure) const;
};
/// Every policy has run with the same seeds, in the same order.
[[nodiscard]] Comparison compare(std::span<const Summary> summaries, std::span<const std::string> kinds);

}  // namespace centrale
