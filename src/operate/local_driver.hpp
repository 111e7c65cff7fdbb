// SPDX-License-Identifier: Apache-2.0
// The local driver: starts tasks as processes of this machine that survive the centre, and finds them again.
//
// A task's folder, STATE/tasks/t12/, is the only thing that the centre and the task share:
//
//   task.json        what to run, complete and synced before anything starts; never changed
//   lock             flock'ed by the supervisor and inherited by its ranks: held while anything of the task lives.
//                    Its text says who the supervisor is (boot, pid, start time) and makes the folder spent: a second
//                    supervisor starts nothing in it, whatever became of the first. So a task runs at most once.
//   rank0.out, .err  written by the ranks themselves, so that no line is lost in a pipe of somebody who died. A file
//                    of more than `log_max` on disk loses its middle (a hole): offsets stay true, followers go on.
//   ranks.json       pids and start times, for clearing up after the worst
//   port             of a replica
//   exit.json        how it ended; its space is taken at the start, so that a full disk cannot hide it
//   supervisor.err   what the supervisor had to say, usually nothing
//
// Why a supervisor (centrale-task, src/task/) for each task: an exit code goes to the parent only, and the parent must
// not be the centre, or its death would lose the codes. It is small, has a session of its own, and is the subreaper of
// all that the task starts: what daemonises stays below it and is killed with the task. The centre only watches it, by
// pidfd, and needs no memory of its own: after a restart `adopt` reads the folders.
//
// If the supervisor itself is killed, the kernel kills its ranks (PDEATHSIG); the driver clears what is left (control
// group, pids with their start times, the mark in the environment, holders of the lock) and reports the task as lost only
// when nothing of it lives. docs/local-driver.md tells the whole.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "operate/local_progress.hpp"
#include "task/launch.hpp"

namespace centrale::local {

struct Started {
  std::int64_t supervisor = 0;  // pid
  int port = 0;                 // 0: none
  Time began;
  bool adopted = false;  // it ran already: found after a restart, or started by another centre
};

/// Called on the driver's thread, one at a time. They may call the driver's methods, but must not destroy it.
/// For each task that was started or adopted, exactly one of on_start_failed and on_exited ends the story.
struct Callbacks {
  std::function<void(TaskId, const Started&)> on_started;
  /// Nothing of it ran. invalid: the command is wrong, a retry cannot help.
  std::function<void(TaskId, const Error&)> on_start_failed;
  std::function<void(TaskId, const Progress&)> on_progress;
  std::function<void(TaskId, const task::ExitReport&)> on_exited;
};

struct Options {
  std::string state;                 // absolute; tasks/ is made in it
  std::string supervisor;            // path of centrale-task
  Bytes log_max = mebibytes(256);    // on disk, for each of a rank's two files
  std::size_t keep_finished = 1000;  // folders of ended tasks; the oldest go first
  bool use_cgroups = true;           // where they are writable
};

struct LogChunk {
  std::string bytes;
  std::uint64_t offset = 0;       // of the first byte; larger than asked where the middle of a huge file was dropped
  std::uint64_t next_offset = 0;  // where to go on
  bool ended = false;             // nothing will follow: the task is over and this is its end
};
enum class LogStream { out, err };

}  // namespace centrale::local

namespace centrale {

class LocalDriver {
 public:
  /// invalid or io when the state folder cannot be made or written, or the supervisor is not there.
  [[nodiscard]] static Result<std::unique_ptr<LocalDriver>> open(local::Options options, local::Callbacks callbacks);
  /// Stops watching. The tasks run on.
  ~LocalDriver();

  // These return at once; what becomes of them is said by the callbacks, in the order of the calls for each task.

  /// Harmless to repeat: a task that runs is adopted, one that has ended is reported again, none starts twice.
  void start(task::LaunchSpec spec);
  /// SIGTERM now, SIGKILL after `grace`. A repeated stop can only bring the end nearer.
  void stop(TaskId task, Nanos grace);
  /// SIGKILL now, to the supervisor too if it does not react.
  void kill(TaskId task);
  /// After a restart, before any start: what the core believes to be alive. Each is reported as running (on_started with
  /// `adopted`), ended, or lost. One whose start had not happened waits for its start() for kPatience, then counts as lost
  /// with `started` false. Folders that run but are not named here are stopped.
  void adopt(std::vector<TaskId> alive);
  /// Removes the folder of a task that is over, with its logs.
  void forget(TaskId task);

  // From any thread.

  /// not_found when this machine has no such task (any more).
  [[nodiscard]] Result<local::LogChunk> read_log(TaskId task, int rank, local::LogStream stream, std::uint64_t offset,
                                                 std::size_t bytes_max) const;
  /// The last lines; at most 4 MiB.
  [[nodiscard]] Result<local::LogChunk> tail_log(TaskId task, int rank, local::LogStream stream, std::size_t lines) const;

  static constexpr Nanos kPatience = seconds(2);

 private:
  struct Loop;
  explicit LocalDriver(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace centrale
