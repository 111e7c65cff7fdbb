// SPDX-License-Identifier: Apache-2.0
// Recorded workloads, from the formats that they were published in: text in, a Workload out; and our own CSV, which can hold any workload.
//
//   our CSV          a header with submit_s; other columns in any order (trace_csv.cpp lists them)
//   SWF              Parallel Workloads Archive, version 2.2: 18 columns, ';' comments; a processor is a chip
//   Philly           msr-fiddle/philly-traces cluster_job_log (JSON), and the short CSV timestamp,duration,num_gpus,gpu_time,cluster
//   Helios, Acme     S-Lab HeliosData cluster_log.csv; InternLM AcmeTrace trace_seren.csv and trace_kalos.csv
//   Alibaba 2020     pai_task_table, with or without header; each task a job of its own; pai_job_table beside it says who asked
//   Alibaba 2023     openb_pod_list_*.csv; and an order of arrival, one pod a second, that stay for ever (FGD)
//   Gavel            tab-separated; the profile is the job type, the work its steps, the priority its weight less 1
//   Sia              name,time,application,num_replicas,batch_size; the profile is "sia:APPLICATION", the work 1: one training of it
//   Tiresias         job_id,num_gpu,submit_time,…,duration
//
// Dirt that real traces are full of (no end, no start, a negative span) leaves a row out, and a note counts it. What no trace should have
// (a word where a number belongs, a quote that never closes) is an error with file:line. Dates are read as the clock on the wall said:
// offsets and zone names are ignored. A job that ran for less than a second ran for one.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/reflect.hpp"
#include "base/result.hpp"
#include "simulate/workload.hpp"

namespace centrale {

enum class TraceFormat : unsigned char {
  automatic,
  csv,
  swf,
  philly,
  philly_short,
  helios,
  acme,
  alibaba_2020,
  alibaba_2023,
  fgd_order,
  gavel,
  sia,
  tiresias,
};
template <>
inline constexpr auto kEnumNames<TraceFormat> = std::to_array<std::string_view>({"automatic", "csv", "swf", "philly", "philly-short",
                                                                                 "helios", "acme", "alibaba-2020", "alibaba-2023",
                                                                                 "fgd-order", "gavel", "sia", "tiresias"});

/// What becomes of a job that asks for more than chips_max.
enum class TooLarge : unsigned char { shrink, drop };
template <>
inline constexpr auto kEnumNames<TooLarge> = std::to_array<std::string_view>({"shrink", "drop"});

struct TraceOptions {
  TraceFormat format = TraceFormat::automatic;
  std::int64_t limit = 0;          // only the first so many jobs by submit, of those that are kept; 0: all
  Nanos from, to;                  // only jobs submitted in [from, to), which then starts at 0; to 0: no end
  double rate = 1;                 // arrivals come so many times as fast: 2 is twice the load
  double gavel_jobs_per_hour = 0;  // of a Gavel trace, which was made at 4 an hour; 0: as it is
  std::int64_t chips_max = 0;      // a job's; 0: any
  TooLarge too_large = TooLarge::shrink;
  bool keep_cpu_jobs = false;           // jobs without chips; our CSV and FGD's order keep them always
  bool keep_failed = true;              // failed and cancelled ones, played to the length that was recorded
  bool rigid = false;                   // Sia's jobs keep the replicas that they name
  bool any_kind = false;                // forget which kinds of chip were asked for
  std::string_view pai_job_table = {};  // text of Alibaba 2020's job table: users and times of submission
};

/// The jobs of a trace, settled. The first note says which format was read; later ones what was left out, changed or guessed.
[[nodiscard]] Result<Workload> read_trace(std::string_view text, std::string_view file, const TraceOptions& options);
/// The format that the first lines show; an error names what was looked for.
[[nodiscard]] Result<TraceFormat> detect_trace(std::string_view text, std::string_view file);
/// Machines: openb_node_list (sn,cpu_milli,memory_mib,gpu,model) or pai_machine_spec (machine,gpu_type,cap_cpu,cap_mem,cap_gpu),
/// appended to the workload's.
[[nodiscard]] Result<void> read_nodes(std::string_view text, std::string_view file, Workload& into);
/// Our CSV. read_trace gives the same workload back, notes aside, for one that settle() accepts, whose names are not empty and whose jobs
/// run.
[[nodiscard]] std::string write_trace(const Workload& workload);

}  // namespace centrale
