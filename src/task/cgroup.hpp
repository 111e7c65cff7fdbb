// SPDX-License-Identifier: Apache-2.0
// One control group (v2) a task, where this user may make one: its memory limit, its end in one blow, its accounts.
// The supervisor stays outside, or the blow and the OOM killer would take it too.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/units.hpp"

namespace centrale::task {

/// The folder under which task groups can be made: our own group, or its parent where systemd delegated that to us
/// (Delegate=yes with the centre in a subgroup); one that can limit memory is preferred. Empty: none.
/// Makes and removes a trial group to find out.
[[nodiscard]] std::string find_cgroup_parent();

struct CgroupUse {
  std::int64_t oom_kills = 0;
  std::optional<Bytes> memory_peak;
  std::optional<Nanos> cpu;
};

/// Makes the group; true when it exists afterwards.
[[nodiscard]] bool make_cgroup(const std::string& path);
/// Sets memory.max (swap off, the group dies as a whole); false when this group cannot limit memory.
[[nodiscard]] bool limit_memory(const std::string& path, Bytes max);
/// SIGKILL to every process in it at once, also to those that fork meanwhile; false when there is no such group.
bool kill_cgroup(const std::string& path);
[[nodiscard]] bool cgroup_is_populated(const std::string& path);
[[nodiscard]] CgroupUse read_cgroup(const std::string& path);
/// Only an empty group goes; false when it is still there.
bool remove_cgroup(const std::string& path);

}  // namespace centrale::task
