// SPDX-License-Identifier: Apache-2.0
// Logs of batch systems: the Standard Workload Format, and what Helios and Acme took from Slurm.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "simulate/trace_builder.hpp"

namespace centrale {
namespace {

// Columns of SWF 2.2 (Chapin et al., JSSPP 1999; parallelworkloads definition), from 0.
enum SwfColumn : std::size_t {
  kJob = 0,
  kSubmit = 1,
  kRun = 3,
  kAllocated = 4,
  kRequested = 7,
  kRequestedTime = 8,
  kRequestedMemory = 9,  // KB of a processor
  kStatus = 10,
  kUser = 11,
};
constexpr std::size_t kSwfColumns = 18;
constexpr std::int64_t kSecond = 1'000'000'000;

/// What the comments say about the machine, for the user.
void note_comment(std::string_view line, TraceBuilder& builder) {
  static constexpr std::string_view kKeys[] = {"Computer", "Installation", "MaxProcs", "MaxNodes", "UnixStartTime", "TimeZoneString"};
  line.remove_prefix(std::min(line.find_first_not_of("; \t"), line.size()));
  for (const std::string_view key : kKeys) {
    if (line.starts_with(key) && line.substr(key.size()).starts_with(':')) { builder.note(shorten(line, 120)); }
  }
}

Result<void> swf_row(const TraceRows& row, TraceBuilder& builder) {
  if (row.size() != kSwfColumns) { return row.wrong(fmt::format("{} columns, SWF has {}", row.size(), kSwfColumns)); }
  TraceJob job;
  TRY_ASSIGN(const std::int64_t submit, row.time(kSubmit, "submit time"));
  TRY_ASSIGN(const std::int64_t run, row.time(kRun, "run time"));
  TRY_ASSIGN(const std::int64_t requested, row.whole(kRequested, "requested processors"));
  TRY_ASSIGN(const std::int64_t allocated, row.whole(kAllocated, "allocated processors"));
  TRY_ASSIGN(const std::int64_t estimate, row.time(kRequestedTime, "requested time"));
  TRY_ASSIGN(const std::int64_t memory, row.whole(kRequestedMemory, "requested memory"));
  TRY_ASSIGN(const std::int64_t status, row.whole(kStatus, "status"));
  if (status >= 2 && status <= 4) {
    builder.remark(TraceRemark::partial, row.line());
    return {};
  }
  job.name = fmt::format("job{}", row[kJob]);
  job.end = status == 0 ? RecordedEnd::failed : status == 5 ? RecordedEnd::cancelled : RecordedEnd::done;
  job.submit = Time{submit == -kSecond ? kNoNumber : submit};  // -1: not known
  job.run = Nanos{run == -kSecond ? kNoNumber : run};
  job.estimate = Nanos{std::max<std::int64_t>(estimate, 0)};
  job.memory = Bytes{std::clamp<std::int64_t>(memory, 0, std::int64_t{1} << 40U) * 1024};
  builder.shape(job, std::max<std::int64_t>(requested > 0 ? requested : allocated, 0), 0, row.line());
  if (!is_unknown(row[kUser]) && row[kUser] != "-1") { job.tenant = builder.tenant(fmt::format("user{}", row[kUser])); }
  return builder.add(std::move(job), row.line());
}

struct SlurmColumns {
  std::size_t id, user, vc, gpus, cpus, nodes, memory, state, submit, start, end, duration;
  explicit SlurmColumns(const TraceColumns& c)
      : id(c["job_id"]),
        user(c["user"]),
        vc(c["vc"]),
        gpus(c["gpu_num"]),
        cpus(c["cpu_num"]),
        nodes(c["node_num"]),
        memory(c["mem_per_pod_GB"]),
        state(c["state"]),
        submit(c["submit_time"]),
        start(c["start_time"]),
        end(c["end_time"]),
        duration(c["duration"]) {}
};

/// End less start where both are known: Kalos' duration has the time in the queue in it.
std::int64_t run_of(std::int64_t start, std::int64_t end, std::int64_t duration) {
  return start != kNoNumber && end != kNoNumber ? end - start : duration;
}

/// `amount` of all over the workers; what is not known is 0.
std::int64_t each(std::int64_t amount, std::int64_t workers) {
  return amount == kNoNumber ? 0 : amount / std::max<std::int64_t>(workers, 1);
}

Result<void> slurm_row(const TraceRows& row, const SlurmColumns& at, TraceBuilder& builder) {
  TraceJob job;
  TRY_ASSIGN(const std::int64_t submit, row.time(at.submit, "submit_time"));
  TRY_ASSIGN(const std::int64_t start, row.time(at.start, "start_time"));
  TRY_ASSIGN(const std::int64_t end, row.time(at.end, "end_time"));
  TRY_ASSIGN(const std::int64_t duration, row.time(at.duration, "duration"));
  TRY_ASSIGN(const std::int64_t gpus, row.whole(at.gpus, "gpu_num"));
  TRY_ASSIGN(const std::int64_t nodes, row.whole(at.nodes, "node_num"));
  TRY_ASSIGN(const std::int64_t cpus, row.scaled(at.cpus, "cpu_num", 1000));
  TRY_ASSIGN(const std::int64_t memory, row.scaled(at.memory, "mem_per_pod_GB", 1'000'000'000));
  const std::string_view state = row[at.state];
  job.end = recorded_end(state);
  if (state == "RUNNING" || state == "PENDING") {
    builder.remark(TraceRemark::no_end, row.line());
    return {};
  }
  if (start == kNoNumber && (duration == kNoNumber || duration == 0)) {
    builder.remark(job.end == RecordedEnd::cancelled ? TraceRemark::never_ran : TraceRemark::no_start, row.line());
    return {};
  }
  if (gpus < 0 && gpus != kNoNumber) {
    builder.remark(TraceRemark::negative, row.line());
    return {};
  }
  job.name = row[at.id];
  job.tenant = row[at.vc].empty() ? (row[at.user].empty() ? 0 : builder.tenant(row[at.user])) : builder.tenant(row[at.vc]);
  job.submit = Time{submit};
  job.run = Nanos{run_of(start, end, duration)};
  builder.shape(job, std::max<std::int64_t>(gpus, 0), std::max<std::int64_t>(nodes, 0), row.line());
  job.cpu_milli = each(cpus, job.workers);
  // A pod is a node's; one worker a chip has its part of it.
  job.memory = Bytes{job.workers == nodes || memory == kNoNumber
                         ? std::max<std::int64_t>(memory, 0)
                         : static_cast<std::int64_t>(Int128{memory} * std::max<std::int64_t>(nodes, 1) / job.workers)};
  return builder.add(std::move(job), row.line());
}

}  // namespace

Result<Workload> read_swf(std::string_view text, TraceBuilder& builder, std::string_view file) {
  TraceRows rows(text, file, Separator::blanks);
  while (true) {
    TRY_ASSIGN(const bool any, rows.next());
    if (!any) { break; }
    if (rows[0].starts_with(';')) {
      note_comment(rows.raw(), builder);
    } else {
      TRY(swf_row(rows, builder));
    }
  }
  return builder.finish(TraceOrigin::as_written);
}

Result<Workload> read_slurm(std::string_view text, TraceBuilder& builder, std::string_view file) {
  TraceRows rows(text, file, Separator::comma);
  TRY_ASSIGN(const TraceColumns columns, read_trace_header(rows, {"job_id", "gpu_num", "state", "submit_time"}));
  const SlurmColumns at(columns);
  while (true) {
    TRY_ASSIGN(const bool any, rows.next());
    if (!any) { break; }
    TRY(slurm_row(rows, at, builder));
  }
  return builder.finish(TraceOrigin::first_submit);
}

}  // namespace centrale
