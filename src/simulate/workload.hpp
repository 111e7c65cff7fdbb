// SPDX-License-Identifier: Apache-2.0
// What a twin is fed: jobs with their arrival times, and the machines that they run on. Every trace format becomes this.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/dimension.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace centrale {

struct Replay;  // simulate/replay.hpp

/// How the recorded job ended; a twin plays a failed or cancelled one to the length that was recorded.
enum class RecordedEnd : unsigned char { done, failed, cancelled };

struct TraceJob {
  std::string name;
  std::uint32_t tenant = 0;   // index into Workload::tenants
  std::uint32_t kinds = 0;    // index into Workload::kind_choices
  std::uint32_t profile = 0;  // index into Workload::profiles; 0: none
  RecordedEnd end = RecordedEnd::done;
  bool preemptible = true;
  bool service = false;  // runs on until it is taken away: placed before jobs
  std::int32_t priority = 0;
  Time submit;                                    // since the start of the trace
  std::int64_t workers = 1;                       // ranks of the gang …
  std::int64_t chips = 1;                         // … each with so many chips on one node; 0: needs none
  std::int64_t workers_min = 0, workers_max = 0;  // elastic bounds; 0: as asked only
  std::int64_t share_milli = 1000;                // below 1000: of one chip
  std::int64_t cpu_milli = 0;                     // per worker; 0: not said
  Bytes memory;                                   // per worker, of the node
  Nanos run;                                      // on the chips asked for, alone; 0: follows from work and profile
  Nanos estimate;                                 // what the user said; 0: nothing
  double work = 0;                                // steps of the profile; 0: `run` says it
  double batch = 0;                               // of the profile, where the trace names one (Sia)
};

/// Equal machines. Names of groups that machines share: the same name, the same switch; empty: one for the whole fleet.
struct TraceNode {
  std::string name;
  std::string kind;  // of its chips
  std::int64_t chips = 0;
  std::int64_t cpu_milli = 0;  // 0: unlimited
  Bytes memory;                // 0: unlimited
};

struct Workload {
  std::string name;  // of the trace, for tables
  std::vector<std::string> tenants{"default"};
  std::vector<std::vector<std::string>> kind_choices{{}};  // kinds that will do, best first; the first choice: any
  std::vector<std::string> profiles{""};
  std::vector<TraceJob> jobs;      // by submit, then as in the file
  std::vector<TraceNode> nodes;    // where the trace comes with its machines (Alibaba); else empty
  std::vector<std::string> notes;  // what was left out or guessed, for the user: "12 rows without a start were skipped"
  std::shared_ptr<const Replay> replay;  // of a journal: more than a trace says of the same jobs
};

/// Sorts the jobs by submit (stable), and says what cannot be played: an index that points nowhere, a gang of nothing, a negative span.
[[nodiscard]] Result<void> settle(Workload& workload);

}  // namespace centrale
