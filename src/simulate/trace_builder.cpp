// SPDX-License-Identifier: Apache-2.0
#include "simulate/trace_builder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.hpp"

namespace centrale {
namespace {

struct RemarkText {
  TraceRemark remark;
  std::string_view text;
};
// In the order of the enum: "12 rows " + text.
constexpr std::array<RemarkText, kTraceRemarks> kRemarks{{
    {TraceRemark::no_submit, "without a time of submission were left out"},
    {TraceRemark::no_start, "of jobs that never started were left out"},
    {TraceRemark::no_end, "without an end (still running, or lost) were left out"},
    {TraceRemark::negative, "with a negative time, span or amount were left out"},
    {TraceRemark::never_ran, "of jobs cancelled before they ran were left out"},
    {TraceRemark::cpu_only, "of jobs without chips were left out (keep_cpu_jobs keeps them)"},
    {TraceRemark::failed, "of failed and cancelled jobs were left out"},
    {TraceRemark::too_large, "of jobs that ask for more than the largest job allowed were left out"},
    {TraceRemark::partial, "that are parts of a job listed elsewhere were left out (SWF status 2 to 4)"},
    {TraceRemark::outside, "outside the window of time were left out"},
    {TraceRemark::zero_length, "of jobs that ran for less than a second run for one"},
    {TraceRemark::shrunk, "of jobs that ask for more than the largest job allowed were shrunk to it, their run time kept"},
    {TraceRemark::uneven, "whose chips do not divide by their nodes became one worker a chip"},
    {TraceRemark::many_attempts, "of jobs of several attempts run for the sum of those"},
    {TraceRemark::rounded_share, "that ask for a chip and a fraction were rounded up to whole chips"},
    {TraceRemark::any_old_kind, "of chips called MISC (older kinds) take any kind"},
    {TraceRemark::deadline, "have a deadline (SLO), which is not used"},
}};
static_assert(std::ranges::all_of(kRemarks, [](const RemarkText& r) { return &r - kRemarks.data() == static_cast<int>(r.remark); }));

std::vector<std::string> split_kinds(std::string_view names) {
  std::vector<std::string> kinds;
  while (!names.empty()) {
    const std::size_t bar = std::min(names.find('|'), names.size());
    if (bar > 0) { kinds.emplace_back(names.substr(0, bar)); }
    names.remove_prefix(std::min(bar + 1, names.size()));
  }
  return kinds;
}

std::string joined(const std::vector<std::string>& kinds) { return fmt::format("{}", fmt::join(kinds, "|")); }

}  // namespace

std::uint32_t TraceNames::index(std::string_view name) {
  if (const auto known = index_.find(name); known != index_.end()) { return known->second; }
  const auto next = static_cast<std::uint32_t>(names_.size());
  names_.emplace_back(name);
  index_.emplace(std::string(name), next);
  return next;
}

void TraceNames::rebuild() {
  index_.clear();
  for (std::size_t i = 0; i < names_.size(); ++i) { index_.emplace(names_[i], static_cast<std::uint32_t>(i)); }
}

TraceBuilder::TraceBuilder(std::string_view file, const TraceOptions& options)
    : file_(file),
      options_(options),
      keep_cpu_jobs_(options.keep_cpu_jobs),
      tenants_(workload_.tenants),
      profiles_(workload_.profiles),
      kinds_(kind_texts_) {
  workload_.name = file;
}

void TraceBuilder::index_tables() {
  kind_texts_.clear();
  for (const auto& choice : workload_.kind_choices) { kind_texts_.push_back(joined(choice)); }
  tenants_.rebuild();
  profiles_.rebuild();
  kinds_.rebuild();
}

std::uint32_t TraceBuilder::kinds(std::string_view names) {
  if (options_.any_kind || names.empty()) { return 0; }
  const std::uint32_t index = kinds_.index(names);
  if (index == workload_.kind_choices.size()) { workload_.kind_choices.push_back(split_kinds(names)); }
  return index;
}

void TraceBuilder::remark(TraceRemark what, std::uint32_t line) {
  Count& count = counts_[static_cast<std::size_t>(what)];
  if (count.rows++ == 0) { count.first_line = line; }
}

void TraceBuilder::shape(TraceJob& job, std::int64_t chips, std::int64_t nodes, std::uint32_t line) {
  if (nodes > 0 && chips > 0 && chips % nodes == 0) {
    job.workers = nodes;
    job.chips = chips / nodes;
    return;
  }
  if (nodes > 1 && chips > 0) { remark(TraceRemark::uneven, line); }
  job.workers = chips > 0 ? chips : std::max<std::int64_t>(nodes, 1);
  job.chips = chips > 0 ? 1 : 0;
}

bool TraceBuilder::left_out(const TraceJob& job, std::uint32_t line) {
  const auto out = [&](TraceRemark why) {
    remark(why, line);
    return true;
  };
  if (job.submit.ns == kNoNumber) { return out(TraceRemark::no_submit); }
  if (job.run.value == kNoNumber) { return out(job.end == RecordedEnd::cancelled ? TraceRemark::never_ran : TraceRemark::no_end); }
  if (job.submit.ns < 0 || job.run.value < 0 || job.chips < 0 || job.workers < 1 || job.cpu_milli < 0 || job.memory.value < 0) {
    return out(TraceRemark::negative);
  }
  if (job.chips == 0 && !keep_cpu_jobs_) { return out(TraceRemark::cpu_only); }
  if (job.end != RecordedEnd::done && !options_.keep_failed) { return out(TraceRemark::failed); }
  if (job.run.value == 0 && job.work == 0 && !job.service && job.end == RecordedEnd::cancelled) { return out(TraceRemark::never_ran); }
  return false;
}

bool TraceBuilder::fit(TraceJob& job, std::uint32_t line) {
  if (options_.chips_max <= 0 || job.chips == 0) { return true; }
  const std::int64_t workers_most = options_.chips_max / job.chips;
  if (job.workers <= workers_most) {
    job.workers_min = std::min(job.workers_min, workers_most);
    job.workers_max = std::min(job.workers_max, workers_most);
    return true;
  }
  if (options_.too_large == TooLarge::drop) {
    remark(TraceRemark::too_large, line);
    return false;
  }
  remark(TraceRemark::shrunk, line);
  if (workers_most == 0) { job.chips = options_.chips_max; }
  job.workers = std::max<std::int64_t>(workers_most, 1);
  job.workers_min = std::min(job.workers_min, job.workers);
  job.workers_max = std::min(job.workers_max, job.workers);
  return true;
}

Result<void> TraceBuilder::add(TraceJob job, std::uint32_t line) {
  if (left_out(job, line)) { return {}; }
  const auto beyond = [&](std::string_view what) {
    return fail(ErrorKind::invalid, fmt::format("'{}' {}", shorten(job.name, 40), what), fmt::format("{}:{}", file_, line));
  };
  if (job.workers > kTraceCountMax || job.chips > kTraceCountMax || job.workers * job.chips > kTraceCountMax) {
    return beyond(
        fmt::format("asks for {} workers of {} chips; more than {} are not taken for true", job.workers, job.chips, kTraceCountMax));
  }
  if (job.run.value / 1'000'000'000 > kTraceSecondsMax || job.estimate.value / 1'000'000'000 > kTraceSecondsMax) {
    return beyond("runs for more than a hundred years");
  }
  if (!std::isfinite(job.work)) { return beyond("has endless work"); }
  if (job.run.value == 0 && job.work == 0 && !job.service) {
    remark(TraceRemark::zero_length, line);
    job.run = seconds(1);
  }
  job.estimate.value = std::max<std::int64_t>(job.estimate.value, 0);
  if (fit(job, line)) { workload_.jobs.push_back(std::move(job)); }
  return {};
}

void TraceBuilder::window() {
  if (options_.from.value == 0 && options_.to.value == 0) { return; }
  const std::int64_t from = options_.from.value;
  const std::int64_t to = options_.to.value == 0 ? std::numeric_limits<std::int64_t>::max() : options_.to.value;
  const auto gone = std::erase_if(workload_.jobs, [&](const TraceJob& job) { return job.submit.ns < from || job.submit.ns >= to; });
  for (TraceJob& job : workload_.jobs) { job.submit.ns -= from; }
  counts_[static_cast<std::size_t>(TraceRemark::outside)].rows += static_cast<std::int64_t>(gone);
}

Result<void> TraceBuilder::scale_arrivals() {
  if (options_.rate == 1) { return {}; }
  for (TraceJob& job : workload_.jobs) {
    const double ns = static_cast<double>(job.submit.ns) / options_.rate;
    if (!(ns / 1e9 <= static_cast<double>(kTraceSecondsMax))) {
      return fail(ErrorKind::invalid,
                  fmt::format("at a rate of {} '{}' is submitted after more than a hundred years", options_.rate, shorten(job.name, 40)),
                  file_);
    }
    job.submit.ns = std::llround(ns);
  }
  return {};
}

void TraceBuilder::write_notes() {
  for (const RemarkText& text : kRemarks) {
    const Count& count = counts_[static_cast<std::size_t>(text.remark)];
    if (count.rows == 0) { continue; }
    const std::string first = count.first_line == 0 ? std::string{} : fmt::format("; first: {}:{}", file_, count.first_line);
    note(fmt::format("{} {} {}{}", format_count(count.rows), count.rows == 1 ? "row" : "rows", text.text, first));
  }
}

Result<Workload> TraceBuilder::finish(TraceOrigin origin) {
  auto& jobs = workload_.jobs;
  std::ranges::stable_sort(jobs, {}, [](const TraceJob& job) { return job.submit; });
  if (origin == TraceOrigin::first_submit && !jobs.empty()) {
    const std::int64_t first = jobs.front().submit.ns;
    for (TraceJob& job : jobs) { job.submit.ns -= first; }
  }
  window();
  if (options_.limit > 0 && jobs.size() > static_cast<std::size_t>(options_.limit)) {
    note(fmt::format("{} jobs after the first {} were left out (limit)",
                     format_count(static_cast<std::int64_t>(jobs.size()) - options_.limit), format_count(options_.limit)));
    jobs.resize(static_cast<std::size_t>(options_.limit));
  }
  TRY(scale_arrivals());
  write_notes();
  TRY(settle(workload_));
  return std::move(workload_);
}

RecordedEnd recorded_end(std::string_view state) {
  static constexpr std::string_view kFailed[] = {"failed", "FAILED", "Failed", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL"};
  static constexpr std::string_view kCancelled[] = {"cancelled", "CANCELLED", "canceled", "Killed", "Cancelled", "PREEMPTED"};
  if (std::ranges::find(kFailed, state) != std::end(kFailed)) { return RecordedEnd::failed; }
  // Slurm writes "CANCELLED by 1000".
  if (std::ranges::find(kCancelled, state) != std::end(kCancelled) || state.starts_with("CANCELLED ")) { return RecordedEnd::cancelled; }
  return RecordedEnd::done;
}

Result<TraceColumns> read_trace_header(TraceRows& rows, std::initializer_list<std::string_view> needed) {
  TRY_ASSIGN(const bool any, rows.next());
  if (!any) { return rows.wrong("the file is empty", "give a trace with a header row"); }
  TraceColumns columns(rows);
  for (const std::string_view name : needed) {
    if (columns.has(name)) { continue; }
    return rows.wrong(fmt::format("there is no column '{}'", name), nearest_remedy(name, columns.names()));
  }
  return columns;
}

}  // namespace centrale
