// SPDX-License-Identifier: Apache-2.0
#include "simulate/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "base/csv.hpp"
#include "base/text.hpp"

namespace centrale {
namespace {

using End = JobOutcome::End;

/// 0 below one chip, then 1, 2, 3 to 4, 5 to 8, …: the class of a size, counted from 0.
std::size_t class_of(const TraceJob& job) {
  if (job.share_milli < 1000 || job.chips == 0) { return 0; }
  const auto chips = static_cast<std::uint64_t>(job.workers * job.chips);
  return 1 + static_cast<std::size_t>(std::bit_width(chips - 1));
}

SizeClass size_class(std::size_t index) {
  if (index == 0) { return {}; }
  const std::int64_t to = std::int64_t{1} << (index - 1);
  return {.chips_from = to / 2 + 1, .chips_to = to, .jobs = 0, .wait_mean_s = 0};
}

struct Mean {
  double sum = 0;
  std::int64_t count = 0;
  void add(double value) {
    sum += value;
    ++count;
  }
  [[nodiscard]] double mean() const { return count > 0 ? sum / static_cast<double>(count) : 0; }
};

/// Seconds with the digits that ns have and no more.
void append_seconds(std::string& out, std::int64_t ns) {
  fmt::format_to(std::back_inserter(out), "{}", ns / 1'000'000'000);
  if (const std::int64_t rest = ns % 1'000'000'000; rest != 0) {
    std::string digits = fmt::format("{:09}", rest);
    digits.resize(digits.find_last_not_of('0') + 1);
    out += '.' + digits;
  }
}

}  // namespace

RunReport report_of(const TwinResult& result, const Workload& workload, const Window& window) {
  RunReport report;
  report.summary = summarise(result, workload, window);
  std::vector<double> jct;
  std::map<std::size_t, Mean> sizes;
  std::map<std::uint32_t, Mean> tenants;
  for (std::size_t i = window.first; i < std::min(window.last, result.jobs.size()); ++i) {
    const JobOutcome& job = result.jobs[i];
    if (job.starts > 0) { sizes[class_of(workload.jobs[i])].add(job.wait_s()); }
    if (job.end != End::done) { continue; }
    jct.push_back(job.jct_s());
    if (job.ideal_s > 0) { tenants[workload.jobs[i].tenant].add(job.jct_s() / job.ideal_s); }
  }
  std::ranges::sort(jct);
  const std::size_t kept = std::min(jct.size(), kReportQuantiles);
  for (std::size_t i = 1; i <= kept; ++i) { report.jct_s.push_back(percentile(jct, static_cast<double>(i) / static_cast<double>(kept))); }
  for (const auto& [index, waits] : sizes) {
    SizeClass& size = report.sizes.emplace_back(size_class(index));
    size.jobs = waits.count;
    size.wait_mean_s = waits.mean();
  }
  for (const auto& [tenant, slowdowns] : tenants) {
    report.tenants.push_back({.tenant = workload.tenants[tenant], .jobs = slowdowns.count, .slowdown = slowdowns.mean()});
  }
  report.series = result.series;
  report.began = result.began;
  report.ended = result.ended;
  report.events = result.events;
  report.decisions = result.decisions;
  report.chip_failures = result.chip_failures;
  report.node_failures = result.node_failures;
  report.notes = result.notes;
  return report;
}

NumberScale scale_of(const Comparison& comparison, std::size_t measure, std::string_view currency) {
  double most = 0;
  for (const PolicyRow& row : comparison.rows) {
    if (std::isfinite(row.values[measure].mean)) { most = std::max(most, std::abs(row.values[measure].mean)); }
  }
  NumberScale scale;
  switch (comparison.measures[measure].unit) {
    case MeasureUnit::seconds:
      scale.factor = most < 120 ? 1 : most < 7200 ? 1.0 / 60 : 1.0 / 3600;
      scale.unit = most < 120 ? "s" : most < 7200 ? "min" : "h";
      break;
    case MeasureUnit::share: return {.factor = 100, .digits = 1, .unit = "%"};
    case MeasureUnit::ratio: break;
    case MeasureUnit::count: scale.digits = comparison.seeds.size() < 2 ? 0 : 1; break;
    case MeasureUnit::chip_hours: scale.unit = "h"; break;
    case MeasureUnit::mwh:
      scale.factor = most < 1 ? 1000 : 1;
      scale.unit = most < 1 ? "kWh" : "MWh";
      break;
    case MeasureUnit::money:
      scale.factor = most < 1e5 ? 1 : most < 1e8 ? 1e-3 : 1e-6;
      scale.unit = (most < 1e5 ? "" : most < 1e8 ? "k" : "M") + std::string(currency);
      break;
  }
  return scale;
}

std::string number_text(double value, const NumberScale& scale) {
  value *= scale.factor;
  if (!std::isfinite(value)) { return "–"; }
  const double size = std::abs(value);
  const int digits = scale.digits >= 0 ? scale.digits : size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  if (digits == 0 && size < 9e15) { return format_count(std::llround(value)); }
  return fmt::format("{:.{}f}", value, digits);
}

std::string title_of(const Measure& measure, const NumberScale& scale) {
  return scale.unit.empty() || measure.unit == MeasureUnit::chip_hours ? measure.title : measure.title + ", " + scale.unit;
}

std::vector<std::size_t> columns_of(const Comparison& comparison, MeasureGroup group) {
  std::vector<std::size_t> columns;
  for (std::size_t m = 0; m < comparison.measures.size(); ++m) {
    const Measure& measure = comparison.measures[m];
    if (measure.group != group) { continue; }
    const bool always = group != MeasureGroup::ends || measure.key == "done";
    const bool some = std::ranges::any_of(comparison.rows, [m](const PolicyRow& row) { return row.values[m].mean != 0; });
    if (always || some) { columns.push_back(m); }
  }
  return columns;
}

std::string machines_text(const Machines& machines) {
  std::vector<std::pair<std::string, std::int64_t>> kinds;
  for (const Machine& machine : machines.nodes) {
    if (machine.chips == 0) { continue; }
    auto kind = std::ranges::find(kinds, machine.kind, &std::pair<std::string, std::int64_t>::first);
    if (kind == kinds.end()) { kind = kinds.insert(kinds.end(), {machine.kind, 0}); }
    kind->second += machine.chips;
  }
  std::string text;
  for (const auto& [kind, chips] : kinds) { text += fmt::format("{}{} {}", text.empty() ? "" : " + ", format_count(chips), kind); }
  return text.empty() ? "no chips" : text;
}

std::string_view jobs_csv_header() {
  return "policy,seed,job,tenant,submit_s,start_s,finish_s,jct_s,wait_s,chips,kind,starts,stops,failures,end\n";
}

void append_jobs_csv(const TwinResult& result, const Workload& workload, std::string& csv) {
  const std::string run = csv_cell(result.policy) + fmt::format(",{},", result.seed);
  std::vector<std::string> tenants;
  for (const std::string& tenant : workload.tenants) { tenants.push_back(csv_cell(tenant)); }
  std::vector<std::string> kinds;
  for (const std::string& kind : result.kinds) { kinds.push_back(csv_cell(kind)); }
  for (std::size_t i = 0; i < result.jobs.size(); ++i) {
    const JobOutcome& job = result.jobs[i];
    const TraceJob& asked = workload.jobs[i];
    const bool started = job.starts > 0;
    const Nanos shift = asked.submit - job.submit;  // a twin's clock does not begin at 0
    const bool ended = job.end == End::done || job.end == End::failed || job.end == End::cancelled;
    csv += run + csv_cell(asked.name.empty() ? fmt::format("{}", i + 1) : asked.name) + ',' + tenants[asked.tenant] + ',';
    append_seconds(csv, asked.submit.ns);
    csv += ',';
    if (started) { append_seconds(csv, (job.start + shift).ns); }
    csv += ',';
    if (ended) { append_seconds(csv, (job.finish + shift).ns); }
    csv += ',';
    if (ended) { append_seconds(csv, (job.finish - job.submit).value); }
    csv += ',';
    if (started) { append_seconds(csv, (job.start - job.submit).value); }
    csv += ',';
    append_seconds(csv, asked.workers * asked.chips * asked.share_milli * 1'000'000);  // thousandths of a chip
    fmt::format_to(std::back_inserter(csv), ",{},{},{},{},{}\n", started && job.kind < kinds.size() ? kinds[job.kind] : "", job.starts,
                   job.stops, job.failures, enum_name(job.end));
  }
}

}  // namespace centrale
