// SPDX-License-Identifier: Apache-2.0
// What the local driver does to one task's folder: makes it, starts a supervisor for it, finds out how it stands, clears
// what is left of a task whose supervisor was killed.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.hpp"
#include "operate/local_ports.hpp"
#include "task/folder.hpp"
#include "task/launch.hpp"

namespace centrale::local {

struct FolderOptions {
  std::string state;          // absolute
  std::string cgroup_parent;  // empty: no control groups
  task::Environment base_env;
  Bytes log_max;
};

/// Writes STATE/tasks/tN/task.json unless it is there; the launch that is there afterwards.
[[nodiscard]] Result<task::Launch> make_task_folder(const FolderOptions& options, const task::LaunchSpec& spec, Ports& ports);

struct Spawned {
  pid_t child = 0;  // ends at once: the supervisor is its child, not ours
  task::Fd reply;   // not blocking; one line comes (task/reply.hpp)
};
[[nodiscard]] Result<Spawned> spawn_supervisor(const std::string& program, const std::string& folder, const task::Environment& environment);

enum class Condition {
  missing,  // no folder, or no task.json in it
  ready,    // never started; `lock` holds the lock, so that nothing can start while it is kept
  running,  // `record` says who supervises it
  held,     // somebody has the lock but has not said who: look again in a moment
  ended,    // exit.json is there
  lost,     // it was started and its supervisor is gone without a report: clear_leftovers
};
struct Found {
  Condition condition = Condition::missing;
  task::LockRecord record;
  task::Fd lock;
};
[[nodiscard]] Found look(const std::string& folder);

/// Kills what is left of a lost task: its control group, its ranks (by pid and start time), whatever carries its mark or
/// holds its lock. True when nothing was left and exit.json (lost) is in place; otherwise call again.
[[nodiscard]] bool clear_leftovers(const std::string& folder, TaskId task, task::ExitReport& report);

/// Makes sure that a task that was never started never will be: exit.json with started == false, lost == true.
void give_up(const task::Fd& lock, const std::string& folder, TaskId task, task::ExitReport& report);

/// Asks the supervisor to stop the task, SIGKILL after `grace`. False when it is gone.
bool ask_to_stop(const task::Fd& supervisor, Nanos grace);

}  // namespace centrale::local
