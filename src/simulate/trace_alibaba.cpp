// SPDX-License-Identifier: Apache-2.0
// Alibaba's GPU traces: 2020 (PAI: tables of jobs, tasks, machines), 2023 (pods and nodes), and an order of arrival of the latter.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "simulate/trace_builder.hpp"

namespace centrale {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kGibibyte = std::int64_t{1} << 30U;

// pai_task_table, from 0; pai_job_table: job_name,inst_id,user,status,start_time,end_time.
enum TaskColumn : std::size_t { kJobName, kTaskName, kInstances, kStatus, kStart, kEnd, kCpu, kMemory, kGpu, kGpuType };

struct PaiJob {
  std::string user;
  std::int64_t submit = kNoNumber;
};
using PaiJobs = std::unordered_map<std::string, PaiJob>;  // only asked, never walked

Result<PaiJobs> read_job_table(std::string_view text) {
  PaiJobs jobs;
  TraceRows rows(text, "pai_job_table", Separator::comma);
  while (true) {
    TRY_ASSIGN(const bool any, rows.next());
    if (!any) { return jobs; }
    if (rows[0] == "job_name") { continue; }
    TRY_ASSIGN(const std::int64_t submit, rows.time(4, "start_time"));
    jobs.try_emplace(std::string(rows[0]), PaiJob{.user = std::string(rows[2]), .submit = submit});
  }
}

/// Per instance, in milli chips: less than one is a share; one and a fraction takes whole chips.
void pai_shape(TraceJob& job, std::int64_t gpu_milli, std::uint32_t line, TraceBuilder& builder) {
  if (gpu_milli <= 0) {
    job.chips = gpu_milli == kNoNumber || gpu_milli == 0 ? 0 : -1;
    return;
  }
  if (gpu_milli < 1000) {
    job.share_milli = gpu_milli;
    return;
  }
  if (gpu_milli % 1000 != 0) { builder.remark(TraceRemark::rounded_share, line); }
  job.chips = gpu_milli / 1000 + (gpu_milli % 1000 != 0 ? 1 : 0);
}

Result<void> pai_task(const TraceRows& row, const PaiJobs& jobs, TraceBuilder& builder) {
  if (row.size() != 10) { return row.wrong(fmt::format("{} columns, pai_task_table has 10", row.size())); }
  TraceJob job;
  TRY_ASSIGN(const std::int64_t instances, row.whole(kInstances, "inst_num"));
  TRY_ASSIGN(const std::int64_t start, row.time(kStart, "start_time"));
  TRY_ASSIGN(const std::int64_t end, row.time(kEnd, "end_time"));
  TRY_ASSIGN(const std::int64_t cpu, row.scaled(kCpu, "plan_cpu", 10));  // percent of a core
  TRY_ASSIGN(const std::int64_t memory, row.scaled(kMemory, "plan_mem", kGibibyte));
  TRY_ASSIGN(const std::int64_t gpu, row.scaled(kGpu, "plan_gpu", 10));  // percent of a chip
  const std::string_view status = row[kStatus];
  if (status == "Running" || status == "Waiting" || start == kNoNumber) {
    builder.remark(status == "Waiting" || start == kNoNumber ? TraceRemark::no_start : TraceRemark::no_end, row.line());
    return {};
  }
  job.name = fmt::format("{}/{}", row[kJobName], row[kTaskName]);
  job.end = recorded_end(status);
  job.submit = Time{start};
  if (const auto asked = jobs.find(std::string(row[kJobName])); asked != jobs.end()) {
    if (!asked->second.user.empty()) { job.tenant = builder.tenant(asked->second.user); }
    if (asked->second.submit != kNoNumber) { job.submit = Time{asked->second.submit}; }
  }
  job.run = Nanos{end == kNoNumber ? kNoNumber : end - start};
  job.workers = instances == kNoNumber ? 1 : instances;
  job.cpu_milli = cpu == kNoNumber ? 0 : cpu;
  job.memory = Bytes{memory == kNoNumber ? 0 : memory};
  pai_shape(job, gpu, row.line(), builder);
  if (row[kGpuType] == "MISC" && job.chips > 0) {
    builder.remark(TraceRemark::any_old_kind, row.line());
  } else if (job.chips > 0) {
    job.kinds = builder.kinds(is_unknown(row[kGpuType]) ? std::string_view{} : row[kGpuType]);
  }
  return builder.add(std::move(job), row.line());
}

struct PodColumns {
  std::size_t order, name, cpu, memory, gpus, gpu_milli, spec, qos, phase, created, deleted, scheduled;
  explicit PodColumns(const TraceColumns& c)
      : order(c["order"]),
        name(c["name"]),
        cpu(c["cpu_milli"]),
        memory(c["memory_mib"]),
        gpus(c["num_gpu"]),
        gpu_milli(c["gpu_milli"]),
        spec(c["gpu_spec"]),
        qos(c["qos"]),
        phase(c["pod_phase"]),
        created(c["creation_time"]),
        deleted(c["deletion_time"]),
        scheduled(c["scheduled_time"]) {}
};

Result<void> pod_needs(const TraceRows& row, const PodColumns& at, TraceJob& job, TraceBuilder& builder) {
  TRY_ASSIGN(const std::int64_t cpu, row.whole(at.cpu, "cpu_milli"));
  TRY_ASSIGN(const std::int64_t memory, row.scaled(at.memory, "memory_mib", 1'048'576));
  TRY_ASSIGN(const std::int64_t gpus, row.whole(at.gpus, "num_gpu"));
  TRY_ASSIGN(const std::int64_t milli, row.whole(at.gpu_milli, "gpu_milli"));
  job.name = row[at.name];
  job.cpu_milli = cpu == kNoNumber ? 0 : cpu;
  job.memory = Bytes{memory == kNoNumber ? 0 : memory};
  job.chips = gpus == kNoNumber ? 0 : gpus;
  if (gpus == 1 && milli != kNoNumber) {
    if (milli < 1 || milli > 1000) { return row.wrong(fmt::format("gpu_milli: wants 1 to 1000, found {}", milli)); }
    job.share_milli = milli;
  }
  if (job.chips > 0) { job.kinds = builder.kinds(row[at.spec]); }
  return {};
}

/// Pods come a second apart, in their order, and stay (Weng et al., ATC 2023, section 6.1: allocation as demand grows).
Result<void> ordered_pod(const TraceRows& row, const PodColumns& at, TraceBuilder& builder) {
  TraceJob job;
  TRY(pod_needs(row, at, job, builder));
  TRY_ASSIGN(const std::int64_t order, row.time(at.order, "order"));
  job.submit = Time{order};
  job.service = true;
  return builder.add(std::move(job), row.line());
}

Result<void> timed_pod(const TraceRows& row, const PodColumns& at, TraceBuilder& builder) {
  TraceJob job;
  TRY(pod_needs(row, at, job, builder));
  TRY_ASSIGN(const std::int64_t created, row.time(at.created, "creation_time"));
  TRY_ASSIGN(const std::int64_t deleted, row.time(at.deleted, "deletion_time"));
  TRY_ASSIGN(const std::int64_t scheduled, row.time(at.scheduled, "scheduled_time"));
  if (scheduled == kNoNumber) {
    builder.remark(TraceRemark::no_start, row.line());
    return {};
  }
  job.submit = Time{created};
  job.run = Nanos{deleted == kNoNumber ? kNoNumber : deleted - scheduled};
  job.end = recorded_end(row[at.phase]);
  if (!row[at.qos].empty()) { job.tenant = builder.tenant(row[at.qos]); }
  job.preemptible = row[at.qos] != "LS" && row[at.qos] != "Guaranteed";  // latency-sensitive pods are not moved
  return builder.add(std::move(job), row.line());
}

Result<void> openb_node(const TraceRows& row, const TraceColumns& at, Workload& into) {
  TRY_ASSIGN(const std::int64_t cpu, row.whole(at["cpu_milli"], "cpu_milli"));
  TRY_ASSIGN(const std::int64_t memory, row.scaled(at["memory_mib"], "memory_mib", 1'048'576));
  TRY_ASSIGN(const std::int64_t chips, row.whole(at["gpu"], "gpu"));
  if (cpu < 0 || memory < 0 || chips < 0 || chips > kTraceCountMax) {
    return row.wrong("a node wants cpu_milli, memory_mib and gpu, 0 or more");
  }
  into.nodes.push_back(
      {.name = std::string(row[at["sn"]]), .kind = std::string(row[at["model"]]), .chips = chips, .cpu_milli = cpu, .memory = {memory}});
  return {};
}

/// machine,gpu_type,cap_cpu,cap_mem,cap_gpu: cores, GB and chips.
Result<void> pai_node(const TraceRows& row, Workload& into) {
  if (row.size() != 5) { return row.wrong(fmt::format("{} columns, pai_machine_spec has 5", row.size())); }
  TRY_ASSIGN(const std::int64_t cpu, row.scaled(2, "cap_cpu", 1000));
  TRY_ASSIGN(const std::int64_t memory, row.scaled(3, "cap_mem", kGibibyte));
  TRY_ASSIGN(const std::int64_t chips, row.whole(4, "cap_gpu"));
  if (cpu < 0 || memory < 0 || chips < 0 || chips > kTraceCountMax) {
    return row.wrong("a machine wants cap_cpu, cap_mem and cap_gpu, 0 or more");
  }
  const std::string_view kind = chips == 0 ? std::string_view{} : row[1];
  into.nodes.push_back({.name = std::string(row[0]), .kind = std::string(kind), .chips = chips, .cpu_milli = cpu, .memory = {memory}});
  return {};
}

}  // namespace

Result<Workload> read_alibaba_2020(std::string_view text, TraceBuilder& builder, std::string_view file) {
  TRY_ASSIGN(const PaiJobs jobs, read_job_table(builder.options().pai_job_table));
  TraceRows rows(text, file, Separator::comma);
  builder.note("each task of a job is a job of its own");
  while (true) {
    TRY_ASSIGN(const bool any, rows.next());
    if (!any) { break; }
    if (rows[0] != "job_name") { TRY(pai_task(rows, jobs, builder)); }
  }
  return builder.finish(TraceOrigin::first_submit);
}

Result<Workload> read_alibaba_2023(std::string_view text, TraceBuilder& builder, std::string_view file) {
  TraceRows rows(text, file, Separator::comma);
  TRY_ASSIGN(const TraceColumns columns, read_trace_header(rows, {"name", "num_gpu", "gpu_milli"}));
  const PodColumns at(columns);
  const bool ordered = columns.has("order");
  if (!ordered && !columns.has("scheduled_time")) { return rows.wrong("there is neither a column 'scheduled_time' nor 'order'"); }
  if (ordered) { builder.keep_cpu_jobs(); }
  while (true) {
    TRY_ASSIGN(const bool any, rows.next());
    if (!any) { break; }
    TRY(ordered ? ordered_pod(rows, at, builder) : timed_pod(rows, at, builder));
  }
  return builder.finish(TraceOrigin::as_written);
}

Result<void> read_nodes(std::string_view text, std::string_view file, Workload& into) {
  TraceRows rows(text, file, Separator::comma);
  TRY_ASSIGN(bool any, rows.next());
  if (!any) { return rows.wrong("the file is empty", "give a list of nodes"); }
  const TraceColumns columns(rows);
  if (columns.has("sn") && columns.has("cpu_milli") && columns.has("memory_mib") && columns.has("gpu") && columns.has("model")) {
    while (true) {
      TRY_ASSIGN(any, rows.next());
      if (!any) { return {}; }
      TRY(openb_node(rows, columns, into));
    }
  }
  if (rows.size() != 5) {
    return rows.wrong("this is no list of nodes that we know",
                      "known are openb_node_list (sn,cpu_milli,memory_mib,gpu,model) and pai_machine_spec");
  }
  if (columns.has("machine")) { TRY_ASSIGN(any, rows.next()); }
  while (any) {
    TRY(pai_node(rows, into));
    TRY_ASSIGN(any, rows.next());
  }
  return {};
}

}  // namespace centrale
