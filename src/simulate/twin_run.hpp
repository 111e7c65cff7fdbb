// SPDX-License-Identifier: Apache-2.0
// Private to simulate/: the driver's books while a twin runs.
#pragma once
#include <queue>
#include <unordered_map>
#include <vector>

#include "base/random.hpp"
#include "simulate/twin.hpp"

namespace centrale {

class TwinRun {
 public:
  explicit TwinRun(const Twin& twin);
  Result<TwinResult> play();

 private:
  /// What happens at a time, other than arrivals, which are in order already.
  struct Due {
    Time at;
    std::uint64_t order = 0;  // ties: as they were made
    enum class What : unsigned char { timer, started, segment, stopped, report, cancel } what = What::timer;
    std::uint64_t id = 0;       // timer, or task
    std::uint32_t version = 0;  // of the task's segment; an older one is void
    bool operator>(const Due& other) const { return at != other.at ? at > other.at : order > other.order; }
  };
  /// A task on its chips. Work is done at `rate` from `since` on.
  struct Run {
    std::uint32_t job = 0;
    Time placed, since;
    double rate = 0;
    std::uint32_t version = 0;
    std::int64_t chips = 0;
    double share = 1;
    std::uint16_t kind = 0;
    std::uint32_t first_chip = 0;
    Nanos restart;        // of `placed` on, no work is done
    double saved = 0;     // work that its newest checkpoint holds
    bool broken = false;  // its chips failed: what is not saved is lost
  };
  /// Of each job of the workload.
  struct Progress {
    double done = 0, work = 0;
    double until = 0;  // work done by when its rates change
    double luck = 1;   // true speed over estimated
    bool by_table = false;
    Shared<Speeds> speeds;
  };

  Result<void> set_up();
  Result<void> submit(std::uint32_t job);
  [[nodiscard]] JobSpec spec_of(std::uint32_t job);
  void apply(Event event);
  void carry_out();
  void start(TaskId task);
  void stop(TaskId task, Nanos grace);
  void segment_ended(TaskId task, Run& run);
  void leave(TaskId task, Run& run, bool finished);
  void report(TaskId task, Run& run);
  void advance(Run& run);
  void next_segment(TaskId task, Run& run);
  [[nodiscard]] double rate_of(const Run& run, const Task& task);
  void finish(std::uint32_t job, JobOutcome::End end);
  void handle(const Due& due);
  void push(Time at, Due::What what, std::uint64_t id, std::uint32_t version = 0);
  void sample();
  void note_refusal(const Error& error);

  const Twin& twin_;
  const Workload& workload_;
  const TwinOptions& options_;
  Random random_;
  Core core_;
  Output out_;
  Time now_;
  std::vector<KindOffer> offers_;
  std::vector<std::int64_t> up_;  // chips by kind
  std::vector<std::int64_t> busy_;
  std::vector<double> busy_milli_s_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::uint64_t order_ = 0;
  std::unordered_map<std::uint64_t, Run> runs_;  // by task; looked up, never walked
  std::vector<std::uint32_t> job_of_id_;         // by JobId - 1
  std::vector<Progress> progress_;
  std::vector<TenantId> tenants_;
  std::vector<Action> actions_;  // of the event under way, copied: carrying one out leads to others
  struct Asked {
    std::string key;
    Shared<Speeds> speeds;
    double until = 0;
  };
  std::unordered_map<std::string, Asked> asked_;  // estimates of jobs that are alike
  std::uint64_t running_ = 0, ended_ = 0;
  Time next_sample_;
  Nanos series_step_;
  std::size_t refusals_ = 0;
  std::string first_refusal_;
  TwinResult result_;
};

}  // namespace centrale
