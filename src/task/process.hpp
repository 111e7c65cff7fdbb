// SPDX-License-Identifier: Apache-2.0
// Processes known by more than their number: a pid is used again, {boot, pid, start time} never is.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace centrale::task {

struct Identity {
  std::string boot;               // /proc/sys/kernel/random/boot_id
  pid_t pid = 0;                  // 0: nobody
  std::uint64_t start_ticks = 0;  // /proc/PID/stat field 22, clock ticks since boot
  bool operator==(const Identity&) const = default;
};

struct ProcessStat {
  char state = '?';
  pid_t parent = 0;
  int threads = 0;
  std::uint64_t start_ticks = 0;
};
[[nodiscard]] std::optional<ProcessStat> read_stat(pid_t pid);
[[nodiscard]] const std::string& boot_id();
/// nobody (pid 0) when there is no such process.
[[nodiscard]] Identity identify(pid_t pid);
/// It runs: the same boot, pid and start time, and not a zombie.
[[nodiscard]] bool lives(const Identity& who);
/// A pidfd (close-on-exec) of exactly this process; -1 when it is gone.
[[nodiscard]] int open_process(const Identity& who);
/// Sends to exactly this process; false when it is gone or may not be signalled.
bool send_signal(const Identity& who, int signal);

/// Every process below `root`, parents first; zombies are left out.
[[nodiscard]] std::vector<Identity> descendants(pid_t root);
/// Sends to every process below `root` while it looks for them, so that one that lives for a millisecond is met, too;
/// those that are in `met` are passed over, the rest is added. How many were new.
std::size_t signal_descendants(pid_t root, int signal, std::set<pid_t>& met);
/// Every process whose environment holds `name=value`; of other users only where we may look.
[[nodiscard]] std::vector<Identity> with_environment(std::string_view name, std::string_view value);
/// The same, and sends to each as it is found. How many.
std::size_t signal_with_environment(std::string_view name, std::string_view value, int signal);
/// Every process but this one that holds `path` open.
[[nodiscard]] std::vector<Identity> with_open_file(const std::string& path);

}  // namespace centrale::task
