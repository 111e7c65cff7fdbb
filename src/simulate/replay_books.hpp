// SPDX-License-Identifier: Apache-2.0
// Private to simulate/: what a ReplayReader keeps while it folds a journal.
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "simulate/replay.hpp"

namespace centrale {

struct ReplayReader::Books {
  /// One stay of a job's task on chips.
  struct Piece {
    double seconds = 0, work = 0;
    bool own = false;  // it ended by itself, as `end` says
    ReplayAttempt end;
  };
  struct JobBook {
    std::vector<Piece> pieces;
    bool rates_known = true;  // of all its stays
    bool ended = false;
    std::int64_t reports = 0;
    Time first_report, last_report;
  };
  /// A task on its chips.
  struct Stint {
    std::uint32_t job = ReplayEvent::kNoJob;
    std::size_t service = 0, life = 0;  // of a replica
    Time placed, started, stop;
    bool began = false, stopped = false;
    double rate = 0;  // work units a second; 0: not known
    std::int64_t chips = 0;
    double share = 1;
    std::uint32_t first_chip = 0;
    std::uint16_t kind = 0;
  };

  Books(std::string name, Scheduling first);
  [[nodiscard]] static CoreLimits limits();

  // replay.cpp
  Result<void> take(std::uint64_t number, Time at, Event event);
  void before(const Event& event, Time at);
  void after(const Event& event, Time at);
  void placed(TaskId id, Time at);
  void started(TaskId id, Time at);
  /// It left its chips; `exited` or `failed` say how, or neither.
  void left(TaskId id, Time at, const TaskExited* exited, const TaskStartFailed* failed);
  void submitted(JobId first, Time at);
  std::uint32_t add(const Job& job, Time at);
  void note_ends(Time at);
  void tell(Time at, Event event, std::uint32_t job = ReplayEvent::kNoJob, std::uint64_t service = 0);
  [[nodiscard]] std::uint32_t index_of(JobId id) const;  // kNoJob: from before the history
  [[nodiscard]] double rate_of(const Job& job, const Task& task) const;

  // replay_begin.cpp
  void begin_with(Time at);

  // replay_make.cpp
  void close_job(std::uint32_t index);
  void close();

  Core core;
  Output out;
  EventReader reader;
  std::uint64_t sequence = 0;
  bool any = false;
  std::string fault;  // of the record under way
  Replay replay;
  std::vector<JobBook> books;                   // as Replay::jobs
  std::map<std::uint64_t, std::uint32_t> jobs;  // index by JobId
  std::map<std::uint64_t, Stint> stints;        // by TaskId
  std::map<std::pair<std::uint64_t, std::string>, JobId> names;
  std::uint64_t metered = 0;
  std::int64_t guessed = 0, resubmitted = 0;
};

}  // namespace centrale
