// SPDX-License-Identifier: Apache-2.0
// Private to discovery: a child process that is never trusted to answer, to stop talking, or to end.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace centrale::discovery {

using Deadline = std::chrono::steady_clock::time_point;

class ChildProcess {
 public:
  /// Looks argv[0] up on PATH. Its stdin and stdout are ours, its stderr goes nowhere, its process group is its own.
  /// not_found: there is no such program.
  [[nodiscard]] static Result<ChildProcess> start(const std::vector<std::string>& argv);
  /// Ends it by force if need be. A process stuck in the kernel is left to the kernel, never waited for.
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;

  /// All that it prints up to and with `terminator`, or up to its end where that is empty.
  /// unavailable: not within the deadline; invalid: more than `bytes_max`; io: it ended first (with a terminator).
  [[nodiscard]] Result<std::string> read_until(std::string_view terminator, Deadline deadline, std::size_t bytes_max);
  /// false: it no longer listens.
  bool write(std::string_view text);
  void close_input();
  void kill();
  /// Has it ended? Never blocks.
  [[nodiscard]] bool ended();
  /// Waits that long for it to end by itself; its exit code, or nothing if it still runs or a signal ended it.
  [[nodiscard]] std::optional<int> exit_code(Deadline deadline);

 private:
  ChildProcess(pid_t pid, int socket) : pid_(pid), socket_(socket) {}
  pid_t pid_ = -1;
  int socket_ = -1;
  bool reaped_ = false;
  std::optional<int> code_;
};

}  // namespace centrale::discovery
