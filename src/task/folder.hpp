// SPDX-License-Identifier: Apache-2.0
// A task's folder on disk: names, atomic writes, and the lock that makes a task run at most once.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "task/launch.hpp"
#include "task/process.hpp"

namespace centrale::task {

/// A file descriptor that is closed once.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  void reset() { Fd gone(std::move(*this)); }

 private:
  int fd_ = -1;
};

/// What the holder of the lock wrote into it, right after it got it and before it started anything.
struct LockRecord {
  Identity supervisor;
  Time began;
};

/// One process of the task, as ranks.json lists it.
struct RankProcess {
  int rank = 0;
  Identity who;
};

[[nodiscard]] std::string task_folder(const std::string& state, TaskId task);  // STATE/tasks/t12
[[nodiscard]] std::string log_path(const std::string& folder, int rank, bool is_stderr);
[[nodiscard]] Time now();
/// io with the path and the reason of errno ("No space left on device") and what to do about it.
[[nodiscard]] std::unexpected<Error> io_failure(std::string_view doing, const std::string& path, int error);

/// Temporary name, fsync, rename, fsync of the folder: after a crash there is the old file or the new one.
[[nodiscard]] Result<void> write_atomic(const std::string& path, std::string_view text);
/// The same, but a file that is there already stays: of two writers the first wins, and both get ok.
[[nodiscard]] Result<void> write_once(const std::string& path, std::string_view text);
/// not_found when there is no such file; invalid when it is longer than `limit`.
[[nodiscard]] Result<std::string> read_small(const std::string& path, std::size_t limit);
/// Like mkdir -p; `mode` for what is made.
[[nodiscard]] Result<void> make_folders(const std::string& path, unsigned mode);

/// The open lock file; not locked yet. Creates it.
[[nodiscard]] Result<Fd> open_lock(const std::string& folder);
/// flock, not waiting; false when somebody holds it.
[[nodiscard]] bool try_lock(const Fd& lock);
/// nobody (pid 0) when nothing was recorded.
[[nodiscard]] LockRecord read_record(const Fd& lock);
[[nodiscard]] Result<void> write_record(const Fd& lock, const LockRecord& record);

[[nodiscard]] Result<Launch> read_launch(const std::string& folder);
[[nodiscard]] Result<ExitReport> read_exit(const std::string& folder);
/// Takes the space of exit.json before anything runs: a disk that fills up must not hide how a task ended.
[[nodiscard]] Result<void> reserve_exit(const std::string& folder);
/// Into the reserved space, then renamed. Only by who holds the lock.
[[nodiscard]] Result<void> save_exit(const std::string& folder, const ExitReport& report);
[[nodiscard]] std::string ranks_to_json(const std::vector<RankProcess>& ranks);
/// Empty when the file is missing or damaged: it only helps to find leftovers.
[[nodiscard]] std::vector<RankProcess> read_ranks(const std::string& folder);

}  // namespace centrale::task
