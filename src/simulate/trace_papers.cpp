// SPDX-License-Identifier: Apache-2.0
// The inputs of published schedulers: Gavel, Sia, Tiresias.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "simulate/trace_builder.hpp"

namespace centrale {
namespace {

// job_type, command, working_dir, num_steps_arg, needs_data_dir, total_steps, scale_factor, priority_weight, SLO, arrival_time
enum GavelColumn : std::size_t { kType = 0, kSteps = 5, kScale = 6, kWeight = 7, kSlo = 8, kArrival = 9 };
constexpr double kGavelJobsPerHour = 4;    // at which continuous_single was made
constexpr std::int64_t kSiaReplicas = 64;  // Sia's cluster: the most that a job of it can use

Result<void> gavel_row(const TraceRows& row, TraceBuilder& builder) {
  if (row.size() != 10) { return row.wrong(fmt::format("{} columns, a Gavel trace has 10, between tabs", row.size())); }
  TraceJob job;
  TRY_ASSIGN(const double steps, row.real(kSteps, "total_steps"));
  TRY_ASSIGN(const std::int64_t workers, row.whole(kScale, "scale_factor"));
  TRY_ASSIGN(const double weight, row.real(kWeight, "priority_weight"));
  TRY_ASSIGN(const double slo, row.real(kSlo, "SLO"));
  TRY_ASSIGN(const double arrival, row.real(kArrival, "arrival_time"));
  if (row[kType].empty() || !(steps > 0) || workers == kNoNumber) { return row.wrong("wants a job type, steps and workers"); }
  if (!(arrival >= 0)) {
    builder.remark(std::isnan(arrival) ? TraceRemark::no_submit : TraceRemark::negative, row.line());
    return {};
  }
  if (slo > 0) { builder.remark(TraceRemark::deadline, row.line()); }
  const double jobs_per_hour = builder.options().gavel_jobs_per_hour;
  const double seconds = jobs_per_hour > 0 ? arrival * kGavelJobsPerHour / jobs_per_hour : arrival;
  if (!(seconds < static_cast<double>(kTraceSecondsMax))) { return row.wrong("arrival_time: more than a hundred years away"); }
  if (std::abs(weight) > 1e6) { return row.wrong(fmt::format("priority_weight: {} is not taken for true", weight)); }
  job.name = fmt::format("gavel-{}", row.line() - 1);
  job.profile = builder.profile(row[kType]);
  job.work = steps;
  job.workers = workers;
  job.submit = Time{std::llround(seconds * 1e9)};
  job.priority = std::isnan(weight) ? 0 : static_cast<std::int32_t>(std::lround(weight)) - 1;
  return builder.add(std::move(job), row.line());
}

Result<void> sia_row(const TraceRows& row, const TraceColumns& at, TraceBuilder& builder) {
  TraceJob job;
  TRY_ASSIGN(const std::int64_t submit, row.time(at["time"], "time"));
  TRY_ASSIGN(const std::int64_t replicas, row.whole(at["num_replicas"], "num_replicas"));
  TRY_ASSIGN(const double batch, row.real(at["batch_size"], "batch_size"));
  const std::string_view application = row[at["application"]];
  if (application.empty()) { return row.wrong("application is empty"); }
  if (replicas == kNoNumber || replicas < 1) {
    return row.wrong(fmt::format("num_replicas: wants 1 or more, found '{}'", row[at["num_replicas"]]));
  }
  job.name = row[at["name"]];
  job.profile = builder.profile(fmt::format("sia:{}", application));
  job.work = 1;
  job.batch = std::isnan(batch) || batch < 0 ? 0 : batch;
  job.submit = Time{submit};
  job.workers = replicas;
  if (!builder.options().rigid) {
    job.workers_min = 1;
    job.workers_max = std::max(replicas, kSiaReplicas);
  }
  return builder.add(std::move(job), row.line());
}

}  // namespace

Result<Workload> read_gavel(std::string_view text, TraceBuilder& builder, std::string_view file) {
  TraceRows rows(text, file, Separator::tab);
  while (true) {
    TRY_ASSIGN(const bool any, rows.next());
    if (!any) { break; }
    TRY(gavel_row(rows, builder));
  }
  return builder.finish(TraceOrigin::as_written);
}

Result<Workload> read_sia(std::string_view text, TraceBuilder& builder, std::string_view file) {
  TraceRows rows(text, file, Separator::comma);
  TRY_ASSIGN(const TraceColumns columns, read_trace_header(rows, {"name", "time", "application", "num_replicas"}));
  while (true) {
    TRY_ASSIGN(const bool any, rows.next());
    if (!any) { break; }
    TRY(sia_row(rows, columns, builder));
  }
  return builder.finish(TraceOrigin::as_written);
}

Result<Workload> read_tiresias(std::string_view text, TraceBuilder& builder, std::string_view file) {
  TraceRows rows(text, file, Separator::comma);
  TRY_ASSIGN(const TraceColumns columns, read_trace_header(rows, {"job_id", "num_gpu", "submit_time", "duration"}));
  const std::size_t id = columns["job_id"], chips_at = columns["num_gpu"], submit_at = columns["submit_time"], run_at = columns["duration"],
                    model = columns["model_name"];
  builder.note("the model is in the job's name only: its speed is not known, its run time is");
  while (true) {
    TRY_ASSIGN(const bool any, rows.next());
    if (!any) { break; }
    TraceJob job;
    TRY_ASSIGN(const std::int64_t chips, rows.whole(chips_at, "num_gpu"));
    TRY_ASSIGN(const std::int64_t submit, rows.time(submit_at, "submit_time"));
    TRY_ASSIGN(const std::int64_t run, rows.time(run_at, "duration"));
    job.name = rows[model].empty() ? std::string(rows[id]) : fmt::format("{}-{}", rows[model], rows[id]);
    job.submit = Time{submit};
    job.run = Nanos{run};
    builder.shape(job, std::max<std::int64_t>(chips, 0), 0, rows.line());
    TRY(builder.add(std::move(job), rows.line()));
  }
  return builder.finish(TraceOrigin::as_written);
}

}  // namespace centrale
