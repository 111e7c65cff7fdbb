// SPDX-License-Identifier: Apache-2.0
// Runs of a twin as text: a page to read, a table of jobs, a timeline, JSON. Pure.
//
//   RunReport run = report_of(result, workload, window);   // what plots need: small, so that the result itself can go
//   ReportPage page{..., .comparison = compare(summaries, kinds), .runs = runs};
//   std::string html = html_of(page);                      // one file, nothing loaded from anywhere
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulate/summary.hpp"
#include "simulate/twin.hpp"

namespace centrale {

// Points of a distribution in a report: twice the columns of a plot's pixels would not show more.
inline constexpr std::size_t kReportQuantiles = 400;
// Perfetto opens files of some hundred MB; what is larger nobody looks at.
inline constexpr std::size_t kReportStaysMax = 1'000'000;

/// Jobs that asked for chips_from to chips_to chips: sizes by powers of two; below one chip both are 0.
struct SizeClass {
  std::int64_t chips_from = 0, chips_to = 0;
  std::int64_t jobs = 0;
  double wait_mean_s = 0;
};

struct TenantShare {
  std::string tenant;
  std::int64_t jobs = 0;  // done
  double slowdown = 0;    // mean of JCT / ideal
};

struct RunReport {
  Summary summary;
  std::vector<double> jct_s;         // of done jobs of the window: at most kReportQuantiles of them, by nearest rank, ascending
  std::vector<SizeClass> sizes;      // ascending, those that have jobs that started
  std::vector<TenantShare> tenants;  // by index in the workload, those with done jobs
  std::vector<SeriesPoint> series;
  Time began, ended;
  std::uint64_t events = 0, decisions = 0, chip_failures = 0, node_failures = 0;
  std::vector<std::string> notes;
};
[[nodiscard]] RunReport report_of(const TwinResult& result, const Workload& workload, const Window& window);

/// What a page says of all its runs.
struct ReportPage {
  std::string fleet;     // "36 v100-sxm-16gb + 36 k80"
  std::string workload;  // "philly, 10,000 jobs"
  std::string currency;
  std::vector<std::string> notes;
  Comparison comparison;
  std::vector<RunReport> runs;  // by policy, then seed, as in `comparison`
};

/// How a column of numbers is shown: all in one unit.
struct NumberScale {
  double factor = 1;
  int digits = -1;   // after the point; -1: three in all, as the number needs
  std::string unit;  // "h", "%", "EUR"; empty: none
};
[[nodiscard]] NumberScale scale_of(const Comparison& comparison, std::size_t measure, std::string_view currency);
/// "3.21", "12,345"; "–" for what is not finite.
[[nodiscard]] std::string number_text(double value, const NumberScale& scale);
/// "JCT mean, h".
[[nodiscard]] std::string title_of(const Measure& measure, const NumberScale& scale);
/// Measures of that group that say something: of how jobs ended, `done` and those that are not 0 everywhere.
[[nodiscard]] std::vector<std::size_t> columns_of(const Comparison& comparison, MeasureGroup group);
/// "36 v100 + 36 k80": kinds with their chips, as the machines stand.
[[nodiscard]] std::string machines_text(const Machines& machines);

/// A line for each job of the run. Times in seconds since the trace's start, exact; empty where nothing happened.
[[nodiscard]] std::string_view jobs_csv_header();
void append_jobs_csv(const TwinResult& result, const Workload& workload, std::string& csv);

/// Events of Chrome's trace format, JSON, joined by commas: a process a kind, a row a range of chips, a slice a stay, and the queue's
/// length. `run` numbers the runs of one file from 0. Stays beyond kReportStaysMax are left out: `left_out` counts them.
void append_timeline(const TwinResult& result, const Workload& workload, std::size_t run, std::string& events, std::size_t& left_out);
/// The file from such lists of events.
[[nodiscard]] std::string timeline_file(std::span<const std::string> runs);

[[nodiscard]] std::string json_of(const ReportPage& page);
[[nodiscard]] std::string html_of(const ReportPage& page);

}  // namespace centrale
