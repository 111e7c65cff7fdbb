// SPDX-License-Identifier: Apache-2.0
// Private to simulate/: one draw of a forecast.
#pragma once
#include <functional>
#include <queue>
#include <vector>

#include "base/random.hpp"
#include "centre/core.hpp"
#include "simulate/lengths.hpp"

namespace centrale {

/// What the draws share.
struct PlayInput {
  const Lengths& lengths;
  JobId job;
  bool to_its_end = false;  // else a draw ends when the job has started
  Time from;
  Nanos horizon;
  const std::function<bool()>& go_on;
};

struct Played {
  bool finished = true;             // false: broken off
  double start_s = -1, end_s = -1;  // from now; below 0: not within the horizon
  std::vector<JobId> before;        // in the order in which they started
  std::uint64_t events = 0;
};

class Play {
 public:
  /// Takes the core and plays it; at most `events_max` events.
  Play(Core core, const PlayInput& input, Random random, std::uint64_t events_max);
  Played run();

 private:
  struct Due {
    Time at;
    std::uint64_t order = 0;
    enum class What : unsigned char { timer, ends, stopped, ready } what = What::timer;
    std::uint64_t id = 0;       // timer, or task
    std::uint32_t version = 0;  // of the task's run; an older one is void
    bool operator>(const Due& other) const { return at != other.at ? at > other.at : order > other.order; }
  };
  /// What is left of a job, drawn when it first runs in this play.
  struct Life {
    bool drawn = false;
    bool by_table = false;
    double whole = 0, left = 0;  // seconds as asked, or units of its speeds
    double slowness = 1;         // its true time over what the speeds say
  };
  struct Run {
    Time since;        // work is done from here on
    double rate = 0;   // 0: not of a job, or it does not end
    double first = 0;  // work left when it began
    std::uint32_t version = 0;
    bool over_limit = false;  // it ends for its time limit
  };

  void set_up();
  void apply(Event event);
  void carry_out();
  void start(TaskId task);
  void stop(TaskId task);
  void handle(const Due& due);
  void push(Time at, Due::What what, std::uint64_t id, std::uint32_t version = 0);
  void schedule_end(const Task& task, const Job& job, Run& run, Time limit_from);
  void note_start(const Job& job);
  void draw_life(const Job& job, const Task& task, Life& life);
  [[nodiscard]] double rate_of(const Job& job, const Task& task, const Life& life) const;
  [[nodiscard]] Run& run_of(TaskId task);
  [[nodiscard]] Life& life_of(JobId job);

  Core core_;
  const PlayInput& input_;
  Random random_;
  std::uint64_t events_max_;
  Time now_;
  Output out_;
  std::vector<Action> actions_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::uint64_t order_ = 0;
  std::vector<Run> runs_;    // by task, from first_task_
  std::vector<Life> lives_;  // by job, from first_job_
  std::uint64_t first_task_ = 0, first_job_ = 0;
  Played played_;
};

}  // namespace centrale
