// SPDX-License-Identifier: Apache-2.0
// Private to simulate/: the driver's books while a twin runs.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <unordered_map>
#include <vector>

#include "base/random.hpp"
#include "simulate/contention.hpp"
#include "simulate/replay.hpp"
#include "simulate/twin.hpp"

namespace centrale {

/// Virtual time starts here: 0 means "never" in some of the core's fields.
inline constexpr Time kBegin{1'000'000'000};

class TwinRun {
 public:
  explicit TwinRun(const Twin& twin);
  Result<TwinResult> play();

 private:
  /// What happens at a time, other than arrivals, which are in order already.
  struct Due {
    Time at;
    std::uint64_t order = 0;  // ties: as they were made
    enum class What : unsigned char { timer, started, segment, stopped, report, cancel, ready, breakdown } what = What::timer;
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
    double lost_s = 0;    // of its work
    double crowded = 1;   // its steps take so many times as long, for others on its links
  };
  /// Of each job of the workload.
  struct Progress {
    double done = 0, work = 0;
    double until = 0;  // work done by when its rates change
    double luck = 1;   // true speed over estimated
    bool by_table = false;
    std::size_t attempt = 0;  // of a replayed job: which one is under way
    JobId id;                 // of a replayed job: who it is here …
    TaskId task;              // … and its last task
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
  void only_kinds_here(JobSpec& spec) const;
  [[nodiscard]] Nanos report_every(const Run& run) const;

  // twin_faults.cpp: what breaks, and who slows whom down.
  void wear_begins();
  void next_breakdown();
  void break_down();
  void node_down(std::uint32_t node);
  void node_up(std::uint32_t node);
  void count_up(std::uint32_t node, std::int64_t chips);
  [[nodiscard]] std::int64_t working_chips(std::uint32_t node) const;
  [[nodiscard]] std::vector<TaskId> tasks_on(std::uint32_t node) const;
  void mark_broken(const Chip& chip);
  /// Its chips failed: it goes on from its newest checkpoint.
  void lose_unsaved(Run& run);
  /// How many times as long its steps take: its slowest node, and others on its links.
  [[nodiscard]] double slowdown_of(const Run& run, const Task& task) const;
  void enter_network(TaskId id, Run& run, const Task& task);
  void network_changed();
  void refresh_rate(TaskId id);
  [[nodiscard]] NodeJoined joined(const Machine& machine) const;

  // twin_replay.cpp: a journal in place of a trace.
  /// A replica on its chips.
  struct Live {
    ReplayLife life;
    Time placed;
    std::int64_t chips = 0;
    double share = 1;
    std::uint16_t kind = 0;
  };
  Result<void> replay_event(std::size_t index);
  /// What the event created; nothing: it cannot happen here.
  std::optional<std::uint64_t> replay_apply(Event event);
  std::optional<std::uint64_t> replay_take(Event event);  // its actions are not carried out yet
  void replay_submit(std::uint32_t first);
  void replay_ends();
  void replay_start(TaskId id, Run& run);
  void replay_attempt_ended(TaskId id, Run& run);
  [[nodiscard]] Nanos replay_stop(Run& run);
  void start_replica(const Task& task);
  void end_replica(TaskId id, TaskExited exited);
  bool handle_replica(const Due& due);

  const Twin& twin_;
  const Workload& workload_;
  const TwinOptions& options_;
  Random random_;
  Core core_;
  Output out_;
  Time now_;
  std::vector<KindOffer> offers_;
  std::vector<std::int64_t> up_;  // chips by kind
  std::vector<double> up_missing_s_;
  std::unique_ptr<Breakdowns> breakdowns_;
  std::unique_ptr<Health> health_;
  std::unique_ptr<Contention> contention_;
  std::optional<Breakdowns::Event> breakdown_;  // the next
  std::set<std::uint32_t> chips_broken_;
  std::vector<double> node_speed_;  // how many times as long its steps take; empty: all as they should be
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

  const Replay* replay_;
  std::map<std::uint64_t, Live> live_;                               // by task
  std::vector<ServiceId> service_of_;                                // of the journal's, by id - 1: which it is here
  std::unordered_map<std::uint64_t, std::size_t> recorded_service_;  // the other way round
  std::vector<std::size_t> lives_begun_;                             // by the journal's service
};

}  // namespace centrale
