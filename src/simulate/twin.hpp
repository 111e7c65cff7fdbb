// SPDX-License-Identifier: Apache-2.0
// The second driver of the core: virtual time. A workload becomes the same events that a centre's driver sends, on machines that are
// not there, and what became of each job is kept. The same inputs give the same result, bit for bit.
//
//   TwinResult result = run_twin({.workload = w, .machines = m, .estimator = &e, .options = o}).value();
//   Summary summary = summarise(result, w, m);
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "centre/core.hpp"
#include "policy/estimator.hpp"
#include "simulate/breakdown.hpp"
#include "simulate/machines.hpp"
#include "simulate/workload.hpp"

namespace centrale {

struct TwinOptions {
  Scheduling scheduling;
  std::uint64_t seed = 1;
  Nanos restart_cost = seconds(30);        // of jobs that do not say: from a start to the first new step
  Nanos stop_cost;                         // from the order to stop until the chips are free: the checkpoint is written
  Nanos checkpoint_every = seconds(1800);  // what a failure loses at most; a stop on order loses nothing
  double speed_sigma = 0;                  // jobs run faster or slower than estimated: deviation of the logarithm
  Nanos report_every;                      // progress reports of running jobs; 0: when they stop
  Time horizon = kNever;                   // play no longer
  bool breakdowns = false;                 // chips, nodes, switches and power fail, and nodes straggle, as `wear` says
  BreakdownOptions wear;
  bool contention = false;                // jobs on the same links share them
  double communication = 0.2;             // the part of a step in which a job of several nodes only exchanges …
  BytesPerSecond traffic_per_node{50e9};  // … and then wants so much
  bool keep_timeline = false;             // every placement, for Perfetto
  bool check = false;                     // the core's invariants after every event: slow
  Nanos series_step = seconds(3600);      // of the series below; it grows so that a run has at most 2,000 points
  // Of a journal's workload: its own nodes come and go as they did, `machines` only names them; and its own settings hold.
  bool recorded_fleet = false, recorded_scheduling = false;
};

/// One stay of a job on chips.
struct Stay {
  std::uint32_t job = 0;  // index into the workload
  Time from, to;
  std::int64_t chips = 0;
  std::uint32_t first_chip = 0;  // number of its first, from 0
  std::uint16_t kind = 0;        // index into TwinResult::kinds
  bool finished = false;         // false: stopped or failed
};

struct JobOutcome {
  enum class End : unsigned char { done, failed, cancelled, refused, running, waiting };
  End end = End::waiting;
  Time submit, start, finish;  // start: first; finish: last
  double chip_seconds = 0;     // held
  double ideal_s = 0;          // run time as asked, alone, on the kind where it is fastest
  std::int32_t starts = 0, stops = 0, failures = 0;
  std::uint16_t kind = 0;  // of its last stay
  [[nodiscard]] double jct_s() const { return to_seconds(finish - submit); }
  [[nodiscard]] double wait_s() const { return to_seconds(start - submit); }
};
template <>
inline constexpr std::array<std::string_view, 6> kEnumNames<JobOutcome::End>{"done",    "failed",  "cancelled",
                                                                             "refused", "running", "waiting"};

/// At one time, for plots.
struct SeriesPoint {
  Time at;
  std::int64_t queued = 0, running = 0;  // jobs
  std::vector<std::int64_t> busy, up;    // chips by kind
};

struct TwinResult {
  std::string policy;
  std::uint64_t seed = 0;
  std::vector<std::string> kinds;
  std::vector<JobOutcome> jobs;  // as in the workload
  std::vector<Stay> timeline;    // with keep_timeline
  std::vector<SeriesPoint> series;
  Time began, ended;                        // first submit, last event
  std::vector<double> busy_s, up_s;         // chip seconds by kind, began to ended
  double useful_s = 0;                      // chip seconds that went into steps that counted: no restarts, nothing lost
  double energy_j = 0, cost = 0;            // the ledger's sums
  std::uint64_t events = 0, decisions = 0;  // through the core
  std::uint64_t chip_failures = 0, node_failures = 0;
  std::vector<std::string> notes;
};

struct Twin {
  const Workload& workload;
  const Machines& machines;
  const Estimator* estimator = nullptr;  // none: jobs run as asked
  TwinOptions options;
  std::function<void(double done, Time now)> progress;  // now and then: the part of the jobs that ended
};
[[nodiscard]] Result<TwinResult> run_twin(const Twin& twin);

/// What a table shows of one run. Only jobs that the window holds and that ended well count for JCT.
struct Summary {
  std::string policy;
  std::uint64_t seed = 0;
  std::int64_t jobs = 0, done = 0, failed = 0, refused = 0, unfinished = 0;
  double jct_mean_s = 0, jct_p50_s = 0, jct_p90_s = 0, jct_p99_s = 0;
  double wait_mean_s = 0, wait_p50_s = 0, wait_p99_s = 0, wait_max_s = 0;
  double makespan_s = 0;
  std::vector<double> utilisation;  // by kind, 0 to 1, of chips that were up
  double utilisation_all = 0;
  double goodput = 0;  // useful chip seconds / chip seconds up
  double chip_hours_per_job = 0;
  double slowdown_mean = 0, slowdown_p99 = 0;  // JCT / ideal
  double fairness = 0;                         // Jain's index (1984) of tenants' mean slowdowns
  double unfair = 0;  // share of jobs whose JCT is above ideal x mean contention (finish-time fairness, Themis NSDI'20)
  double restarts_per_job = 0;
  double energy_mwh = 0, cost = 0;
};
struct Window {
  std::size_t first = 0, last = SIZE_MAX;  // jobs by index, last not included
};
[[nodiscard]] Summary summarise(const TwinResult& result, const Workload& workload, const Window& window = {});

}  // namespace centrale
