// SPDX-License-Identifier: Apache-2.0
#include "simulate/trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "simulate/trace_builder.hpp"

namespace centrale {
namespace {

constexpr std::string_view kFormatsRemedy =
    "known are our own CSV (a column submit_s), SWF, Philly, Helios, Acme, Alibaba 2020 and 2023, Gavel, Sia and Tiresias; name one if the "
    "first lines do not show it";

/// The first line that is not blank, without its end.
std::string_view first_line(std::string_view text) {
  while (true) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) { line.remove_suffix(1); }
    if (line.find_first_not_of(" \t") != std::string_view::npos || end == text.size()) { return line; }
    text.remove_prefix(end + 1);
  }
}

bool all_numbers(const TraceRows& row) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (!parse_decimal(row[i], 1)) { return false; }
  }
  return true;
}

bool is_swf_row(std::string_view line) {
  TraceRows row(line, {}, Separator::blanks);
  const auto any = row.next();
  return any && *any && row.size() == 18 && all_numbers(row);
}

bool is_pai_status(std::string_view text) { return text == "Terminated" || text == "Failed" || text == "Running" || text == "Waiting"; }

struct Signature {
  TraceFormat format;
  std::vector<std::string_view> columns;
};
/// The first whose columns are all there.
const std::vector<Signature>& signatures() {
  static const std::vector<Signature> kAll{
      {TraceFormat::csv, {"submit_s"}},
      {TraceFormat::philly_short, {"timestamp", "duration", "num_gpus"}},
      {TraceFormat::helios, {"job_id", "gpu_num", "submit_time", "vc"}},
      {TraceFormat::acme, {"job_id", "gpu_num", "submit_time"}},
      {TraceFormat::fgd_order, {"order", "name", "cpu_milli", "num_gpu", "gpu_milli"}},
      {TraceFormat::alibaba_2023, {"name", "cpu_milli", "num_gpu", "gpu_milli", "creation_time"}},
      {TraceFormat::alibaba_2020, {"job_name", "task_name", "inst_num", "plan_gpu"}},
      {TraceFormat::sia, {"name", "time", "application", "num_replicas"}},
      {TraceFormat::tiresias, {"job_id", "num_gpu", "submit_time", "duration"}},
  };
  return kAll;
}

Result<Workload> read_as(TraceFormat format, std::string_view text, TraceBuilder& builder, std::string_view file) {
  switch (format) {
    case TraceFormat::automatic: break;
    case TraceFormat::csv: return read_csv_trace(text, builder, file);
    case TraceFormat::swf: return read_swf(text, builder, file);
    case TraceFormat::philly: return read_philly(text, builder, file);
    case TraceFormat::philly_short: return read_philly_short(text, builder, file);
    case TraceFormat::helios:
    case TraceFormat::acme: return read_slurm(text, builder, file);
    case TraceFormat::alibaba_2020: return read_alibaba_2020(text, builder, file);
    case TraceFormat::alibaba_2023:
    case TraceFormat::fgd_order: return read_alibaba_2023(text, builder, file);
    case TraceFormat::gavel: return read_gavel(text, builder, file);
    case TraceFormat::sia: return read_sia(text, builder, file);
    case TraceFormat::tiresias: return read_tiresias(text, builder, file);
  }
  return fail(ErrorKind::invalid, "no format", std::string(file));
}

Result<void> check(const TraceOptions& options, TraceFormat format, std::string_view file) {
  const auto wrong = [&](std::string what) { return fail(ErrorKind::invalid, std::move(what), std::string(file)); };
  if (!(options.rate > 0) || !std::isfinite(options.rate)) {
    return wrong(fmt::format("the rate of arrivals must be above 0, found {}", options.rate));
  }
  if (!(options.gavel_jobs_per_hour >= 0) || !std::isfinite(options.gavel_jobs_per_hour)) {
    return wrong(fmt::format("jobs an hour must be above 0, found {}", options.gavel_jobs_per_hour));
  }
  if (options.gavel_jobs_per_hour > 0 && format != TraceFormat::gavel) {
    return wrong(fmt::format("jobs an hour are for Gavel's traces, this one is {}; use the rate", enum_name(format)));
  }
  if (options.limit < 0 || options.chips_max < 0) { return wrong("a limit below 0"); }
  if (options.from.value < 0 || options.to.value < 0 || (options.to.value > 0 && options.to <= options.from)) {
    return wrong("the window ends before it starts");
  }
  return {};
}

}  // namespace

Result<TraceFormat> detect_trace(std::string_view text, std::string_view file) {
  const std::string_view line = first_line(without_mark(text));
  const std::size_t start = std::min(line.find_first_not_of(" \t"), line.size());
  const auto unknown = [&](std::string what) {
    return fail(ErrorKind::invalid, std::move(what), fmt::format("{}:1", file), std::string(kFormatsRemedy));
  };
  if (start == line.size()) { return unknown("the trace is empty"); }
  switch (line[start]) {
    case ';': return TraceFormat::swf;
    case '#': return TraceFormat::csv;
    case '[': return TraceFormat::philly;
    default: break;
  }
  if (std::ranges::count(line, '\t') == 9) { return TraceFormat::gavel; }
  if (is_swf_row(line)) { return TraceFormat::swf; }
  TraceRows row(line, file, Separator::comma);
  TRY_ASSIGN(const bool any, row.next());
  if (!any) { return unknown("the trace is empty"); }
  const TraceColumns columns(row);
  for (const Signature& signature : signatures()) {
    if (std::ranges::all_of(signature.columns, [&](std::string_view name) { return columns.has(name); })) { return signature.format; }
  }
  if (row.size() == 10 && is_pai_status(row[3])) { return TraceFormat::alibaba_2020; }
  if (row.size() == 6 && (is_pai_status(row[3]) || columns.has("inst_id"))) {
    return fail(ErrorKind::invalid, "this is Alibaba's job table, which does not say what jobs ask for", fmt::format("{}:1", file),
                "give pai_task_table as the trace, and this as its job table");
  }
  return unknown("the first line is not of a format that we know");
}

Result<Workload> read_trace(std::string_view text, std::string_view file, const TraceOptions& options) {
  TraceFormat format = options.format;
  if (format == TraceFormat::automatic) { TRY_ASSIGN(format, detect_trace(text, file)); }
  TRY(check(options, format, file));
  TraceBuilder builder(file, options);
  builder.note(fmt::format("read as {}{}", enum_name(format), options.format == TraceFormat::automatic ? " (by its first lines)" : ""));
  return read_as(format, text, builder, file);
}

}  // namespace centrale
