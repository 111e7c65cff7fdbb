// SPDX-License-Identifier: Apache-2.0
// Yesterday, otherwise: a centre's journal becomes what a twin is fed. The events are folded by the core itself, so a job's submit, its
// placements, starts, failures and end are what they were; what is kept of each is how long it really took on its chips. The twin then
// decides anew, on the same machines or others, under the same rules or others.
//
//   ReplayReader reader;
//   for (each record) { TRY(reader.record(sequence, time, payload)); }
//   TRY_ASSIGN(const auto replay, reader.finish());
//   run_twin({.workload = workload_of(replay), .machines = machines_of(*replay), …});
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "centre/core.hpp"
#include "simulate/machines.hpp"
#include "simulate/twin.hpp"
#include "simulate/workload.hpp"

namespace centrale {

/// How a job's program or a replica's ended by itself, and after how much work. What was stopped on the way counts into it, if the job
/// goes on from a checkpoint.
struct ReplayAttempt {
  enum class End : unsigned char {
    exited,        // by itself: well, failed or lost
    failed_start,  // it never ran
    taken,         // it was cancelled or over its time: how long it would have run is not known, so it runs until it is taken
    cut,           // the journal ends before: it is played to what is known of it, and does not count
  } end = End::taken;
  double work = 0;    // seconds on its chips; units of the job's speeds where it has some
  bool began = true;  // it was reported as started
  TaskExited exited;  // task and energy stay empty: the twin has its own
  TaskStartFailed failed_start;
};

struct ReplayJob {
  TenantId tenant;
  JobSpec spec;                      // its command and environment left out
  std::int64_t array_index = -1;     // the first of an array submits all
  std::vector<std::uint32_t> after;  // jobs that `spec.after` named by id: indexes; those named by name stay in the spec
  Shared<Speeds> speeds;
  bool resumes = false;                 // a stop loses nothing: it said that it has checkpoints
  Nanos report_every;                   // between its progress reports; 0: it made none
  std::vector<Nanos> starting;          // of each placement: until it was reported as started
  std::vector<Nanos> stopping;          // of each stop: until its chips were free
  std::vector<ReplayAttempt> attempts;  // never empty
  JobOutcome was;                       // what really became of it; times as in the journal
};

/// A replica's lives, in the order in which the service's replicas were placed.
struct ReplayLife {
  Nanos starting, ready, ran;  // ready: from started; ran: until it ended by itself
  bool got_ready = false, ended = false;
  TaskExited exited;
};
struct ReplayService {
  std::vector<ReplayLife> lives;
};

/// What came from outside, in order: submissions, cancellations, nodes, tenants, services, settings.
struct ReplayEvent {
  static constexpr std::uint32_t kNoJob = UINT32_MAX;
  Time at;
  Event event;                 // of a submission: empty; the job says it all
  std::uint32_t job = kNoJob;  // whom it is about: index into jobs
  std::uint64_t service = 0;   // or the journal's ServiceId
};

struct Replay {
  std::string name = "journal";
  Time begin, end;  // of the first and the last event
  std::vector<ReplayJob> jobs;
  std::vector<ReplayService> services;  // by the journal's ServiceId - 1
  std::vector<ReplayEvent> events;
  Machines machines;  // those that were ever there, at their newest shape
  std::vector<std::string> tenants;
  Scheduling scheduling;  // the newest
  Nanos starting_mean, stopping_mean;
  std::vector<double> busy_s;  // chip seconds by kind
  double energy_j = 0, cost = 0;
  std::uint64_t events_read = 0;
  std::vector<Stay> stays;
  std::vector<std::string> kinds;
  std::vector<std::string> notes;
};

class ReplayReader {
 public:
  /// `scheduling`: by which rules the journal begins, before it says otherwise.
  explicit ReplayReader(std::string name = "journal", Scheduling scheduling = {});
  ~ReplayReader();
  ReplayReader(ReplayReader&&) noexcept;
  ReplayReader& operator=(ReplayReader&&) noexcept;
  /// Where the history that is kept begins with one; before any record. What ran then is submitted anew at its time.
  [[nodiscard]] Result<void> snapshot(std::uint64_t sequence, Time at, std::string_view bytes);
  /// In order of sequence. invalid: a gap, an event that this version does not know or that contradicts what came before.
  [[nodiscard]] Result<void> record(std::uint64_t sequence, Time at, std::string_view payload);
  [[nodiscard]] Result<void> event(std::uint64_t sequence, Time at, Event event);
  /// invalid: there is no job in it.
  [[nodiscard]] Result<std::shared_ptr<const Replay>> finish();

 private:
  struct Books;
  std::unique_ptr<Books> books_;
};

[[nodiscard]] Workload workload_of(const std::shared_ptr<const Replay>& replay);
/// The journal itself as a row of a comparison: what really happened.
[[nodiscard]] TwinResult as_it_was(const Replay& replay);

}  // namespace centrale
