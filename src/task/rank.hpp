// SPDX-License-Identifier: Apache-2.0
// Starting one rank, and ending everything that a task started.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.hpp"
#include "task/folder.hpp"
#include "task/launch.hpp"

namespace centrale::task {

enum class MemoryLimit { none, cgroup, rlimit };

struct RankStart {
  const Launch* launch = nullptr;
  std::string folder;
  int rank = 0;
  int lock = -1;    // inherited by the rank on purpose: the lock is held while anything of the task lives
  int cgroup = -1;  // cgroup.procs of the task's group, open for writing; -1: none
  MemoryLimit memory = MemoryLimit::none;
};

/// Returns when the program runs (execve succeeded) or cannot.
[[nodiscard]] Result<pid_t> start_rank(const RankStart& start);

/// One blow at everything below this process: SIGSTOP until nobody new appears, so that a fork bomb cannot outrun it,
/// then SIGKILL. Not all are dead when it returns; the caller reaps, and calls again until there are no children.
void kill_descendants(const std::string& cgroup);

}  // namespace centrale::task
