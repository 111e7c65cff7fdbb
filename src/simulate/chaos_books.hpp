// SPDX-License-Identifier: Apache-2.0
// Private to simulate/: books of what a core gave out, kept from its actions alone and in no way like its own, so that one mistake is
// not made twice.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "centre/core.hpp"

namespace centrale {

class ChaosBooks {
 public:
  /// After each event that the core took. Returns what was broken, or nothing.
  [[nodiscard]] std::string note(const Core& core, const Event& event, const Output& out);
  /// Everything that is known is still so; O(all jobs).
  [[nodiscard]] std::string sweep(const Core& core);
  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  [[nodiscard]] const std::set<std::uint64_t>& open_jobs() const { return open_; }

  std::uint64_t jobs = 0, starts = 0, stops = 0;
  std::array<std::uint64_t, 3> ended{};  // done, failed, cancelled

 private:
  /// A task that has chips.
  struct Held {
    TaskId task;
    JobId job;
    ServiceId service;
    TenantId tenant;
    std::vector<ChipId> chips;
    std::int64_t chips_per_worker = 1, share = 1000, cpu = 0, kind = 0;
    Bytes memory;
    bool apart = false, spot = false, stopped = false;
  };
  struct Ended {
    JobState state = JobState::done;
    Time finished;
  };

  void say(std::string what) {
    if (wrong_.empty()) { wrong_ = std::move(what); }
  }
  void mix(std::uint64_t value);
  void hash(const Core& core, const Action& action);
  void exit_said(const Event& event);
  void forget_ended(const Core& core);
  void count(const Held& held, std::int64_t sign, const Core& core);
  void started(const Core& core, TaskId id);
  void check_job(const Core& core, const Task& task, Held& held);
  void check_chips(const Core& core, const Held& held);
  void check_nodes(const Core& core, const Held& held);
  void check_quota(const Core& core, const Held& held);
  void stopped(const Core& core, TaskId id);
  void submitted(const Core& core, const JobSubmitted& event, std::uint64_t first);
  void job_changed(const Core& core, JobId id);

  std::string wrong_;
  std::uint64_t sequence_ = 0;
  Time now_;
  std::uint64_t hash_ = 0xCBF29CE484222325ULL;
  std::map<std::uint64_t, Held> held_;
  std::map<std::uint64_t, std::int64_t> chip_milli_, cpu_;  // given out, by chip, by node
  std::map<std::uint64_t, Bytes> memory_;                   // by node
  std::set<std::uint64_t> open_;                            // jobs
  std::map<std::uint64_t, Ended> ended_;                    // jobs that the core still remembers
  std::map<std::uint64_t, std::vector<JobId>> after_;       // what a job waits for, as it was submitted
  std::set<std::uint64_t> well_;                            // jobs whose task said that it ended well
};

}  // namespace centrale
