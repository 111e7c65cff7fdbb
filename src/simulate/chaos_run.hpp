// SPDX-License-Identifier: Apache-2.0
// Private to simulate/: one run of the fault test: the core, its driver's processes and messages, and those who use it.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/random.hpp"
#include "simulate/chaos.hpp"
#include "simulate/chaos_books.hpp"

namespace centrale {

class ChaosRun {
 public:
  explicit ChaosRun(const ChaosOptions& options);
  ChaosResult play();

 private:
  // What a machine does for a task. It stays known after its end until the core has heard of it.
  struct Process {
    JobId job;  // none: a replica
    std::vector<ChipId> chips;
    std::int64_t share = 1000;
    bool alive = true, ready = false, stopping = false;
    Time since;        // work is done from here on
    double speed = 1;  // against the job as asked
    TaskExited end;    // once it is not alive
    bool failed_to_start = false;
  };
  struct Turn {  // of a process
    TaskId task;
  };
  using Due = std::variant<Event, Action, Turn>;
  /// What is true of a job outside of the core.
  struct Work {
    double seconds = 1, done = 0, saved = 0;
  };

  // chaos.cpp: the core
  bool send(Event event);  // false: refused, or the run is over
  void apply(std::string_view text, Time at);
  void check(const Event& event);
  void fault(std::string what);
  [[nodiscard]] std::unique_ptr<Policy> new_policy() const;
  [[nodiscard]] std::optional<Core> restored(const std::string& snapshot);
  [[nodiscard]] std::optional<Core> fold();
  [[nodiscard]] std::optional<Core> again(bool from_journal);
  void restore();
  void crash();
  void set_up();
  void step();
  void end_well();
  [[nodiscard]] bool fits(const Job& job) const;
  [[nodiscard]] bool can_end(JobId id) const;  // it waits for nothing that cannot come
  void threw(ChaosCount what) { ++result_.thrown[static_cast<std::size_t>(what)]; }

  // chaos_driver.cpp: what carries out
  void carry_out(const Action& action);
  void deliver(const Action& action);
  void start(TaskId id);
  void stop(TaskId id, Nanos grace);
  void turn(TaskId id);
  void turn_replica(TaskId id, Process& process);
  void advance(Process& process);
  void die(TaskId id, Process& process, std::int64_t code, std::int64_t signal);
  void tell_end(TaskId id, const Process& process);
  void report(TaskId id, Process& process);
  void tell(Event fact);  // may be lost, late or repeated on its way
  void adopt();
  void forget_processes();
  void clear_node(NodeId node);  // what the core no longer knows is killed there
  void after(Nanos wait, Due what) { due_.emplace(std::pair(now_.ns + wait.value, order_++), std::move(what)); }

  // chaos_users.cpp: users and operators
  void act();
  void submit();
  [[nodiscard]] JobSpec some_job();
  [[nodiscard]] Shared<Speeds> some_speeds(const JobSpec& spec);
  void define_service();
  void join(std::int64_t number, bool as_ever);
  void act_on_nodes();
  void act_on_chips();
  void act_on_tenants();
  void act_on_scheduling();
  void act_on_reservations();
  void make_noise();
  [[nodiscard]] NodeId some_node();
  [[nodiscard]] std::string some_kind();

  [[nodiscard]] bool happens(double rate) { return !calm_ && random_.uniform() < rate; }
  [[nodiscard]] bool dice(double chance) { return random_.uniform() < chance; }
  [[nodiscard]] std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(n))); }

  const ChaosOptions& options_;
  Random random_, restores_;
  CoreLimits limits_;
  Core core_;
  std::optional<Core> shadow_;
  ChaosBooks books_;
  EventReader reader_;
  Output out_, shadow_out_;
  Time now_;
  bool calm_ = false;                                  // no more faults
  bool over_ = false;                                  // something was found
  std::string text_;                                   // the event under way
  std::string base_;                                   // a snapshot; empty: the beginning
  std::vector<std::pair<Time, std::string>> journal_;  // since then
  std::map<std::pair<std::int64_t, std::uint64_t>, Due> due_;
  std::uint64_t order_ = 0, step_ = 0;
  std::map<std::uint64_t, Process> processes_;  // by task
  std::map<std::uint64_t, std::int64_t> busy_;  // thousandths of each chip that live processes use
  std::map<std::uint64_t, Work> work_;          // by job
  std::int64_t reserved_ = 0;
  ChaosResult result_;
};

}  // namespace centrale
