// SPDX-License-Identifier: Apache-2.0
// The tasks that the local driver watches, and what happens to them; on the driver's thread only. Knows no thread, queue
// or waiting: local_driver.cpp calls it.
#pragma once
#include <poll.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "operate/local_driver.hpp"
#include "operate/local_ports.hpp"
#include "operate/local_task.hpp"

namespace centrale::local {

class Watch {
 public:
  Watch(Options options, Callbacks callbacks);

  void start(const task::LaunchSpec& spec);
  void stop(TaskId id, Nanos grace);
  void kill(TaskId id);
  void adopt(const std::vector<TaskId>& alive);
  void forget(TaskId id);

  /// What to poll for.
  [[nodiscard]] std::vector<pollfd> descriptors() const;
  /// How long at most; -1: no limit.
  [[nodiscard]] int timeout_ms() const;
  /// After a poll: looks at everything that may have changed.
  void turn(const std::vector<pollfd>& polled);

 private:
  enum class State {
    waiting,   // adopted, never started: its start() may still come
    spawning,  // a supervisor was made and has not answered
    looking,   // its lock is held by somebody who has not said who he is
    running,
    clearing,  // its supervisor is gone without a report
  };
  struct Watched {
    std::string folder;
    State state = State::looking;
    bool wanted = true;  // false: nobody asked for it; its end is not reported
    bool adopted = true;
    bool told = false;  // on_started was called
    pid_t child = 0;    // spawning: to be waited for
    task::Fd reply;     // spawning
    std::string reply_text;
    task::Fd supervisor;  // running
    std::int64_t supervisor_pid = 0;
    ProgressFollower progress{""};
    int port = 0;
    int master_port = 0;
    std::int64_t next_ns = 0;          // when to look at it again, in every state but running
    std::int64_t patience_ns = 0;      // waiting, looking: until when
    std::int64_t kill_at_ns = 0;       // running: SIGKILL for the supervisor itself; 0: not
    std::optional<Nanos> stop_wanted;  // asked for before it ran
  };
  using Each = std::map<TaskId, Watched>::iterator;

  void examine(Each task, bool after_spawn);
  void spawn(Each task);
  void read_reply(Each task);
  void watch_supervisor(Each task, const task::LockRecord& record);
  void supervisor_ended(Each task);
  void clear(Each task);
  void follow(Each task);
  void step(Each task);
  void ask(Watched& task, Nanos grace);
  void report_end(Each task, const task::ExitReport& report);
  void report_start_failed(Each task, const Error& error);
  void read_end(Each task);
  void give_up_waiting(Each task, const Found& found);
  void tell_started(Each task, const task::LockRecord& record);
  void adopt_strangers();
  void retire(TaskId id);

  Options options_;
  Callbacks callbacks_;
  FolderOptions folders_;
  Ports ports_;
  std::map<TaskId, Watched> tasks_;
  std::set<TaskId> finished_;  // folders of tasks that are over and reported
};

}  // namespace centrale::local
