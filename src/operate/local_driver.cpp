// SPDX-License-Identifier: Apache-2.0
#include "operate/local_driver.hpp"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "operate/local_watch.hpp"
#include "task/folder.hpp"
#include "task/logs.hpp"

namespace centrale {
namespace {

constexpr std::size_t kTailMax = 4UL * 1024 * 1024;
constexpr std::size_t kChunkMax = 16UL * 1024 * 1024;

Result<std::string> log_file(const std::string& state, TaskId id, int rank, local::LogStream stream) {
  const std::string folder = task::task_folder(state, id);
  if (!id || access(folder.c_str(), F_OK) != 0) {
    return fail(ErrorKind::not_found, "no logs of task " + to_string(id) + " on this machine", "",
                "it has not been started yet, or its folder was cleaned up");
  }
  if (rank < 0) { return fail(ErrorKind::invalid, "ranks are numbered from 0"); }
  return task::log_path(folder, rank, stream == local::LogStream::err);
}

local::LogChunk finish(task::LogChunk chunk, bool over) {
  const bool at_end = chunk.next_offset >= chunk.size;
  return {std::move(chunk.bytes), chunk.offset, chunk.next_offset, over && at_end};
}

}  // namespace

/// The thread and its inbox. The inbox has no limit of its own: only the core fills it, one call a task.
struct LocalDriver::Loop {
  Loop(local::Options options, local::Callbacks callbacks)
      : state(options.state), watch(std::move(options), std::move(callbacks)), wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  void post(std::function<void(local::Watch&)> call) {
    {
      const std::lock_guard guard(mutex);
      inbox.push_back(std::move(call));
    }
    ring();
  }

  void ring() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = write(wake.get(), &one, sizeof one);
  }

  void run() {
    while (!ending) {
      std::vector<pollfd> waiting = watch.descriptors();
      waiting.push_back({wake.get(), POLLIN, 0});
      poll(waiting.data(), waiting.size(), watch.timeout_ms());
      std::uint64_t rung = 0;
      [[maybe_unused]] const ssize_t got = read(wake.get(), &rung, sizeof rung);
      watch.turn(waiting);
      std::vector<std::function<void(local::Watch&)>> calls;
      {
        const std::lock_guard guard(mutex);
        calls.swap(inbox);
      }
      for (const auto& call : calls) { call(watch); }
    }
  }

  const std::string state;
  local::Watch watch;
  task::Fd wake;
  std::atomic<bool> ending = false;
  std::mutex mutex;
  std::vector<std::function<void(local::Watch&)>> inbox;
  std::thread thread;
};

Result<std::unique_ptr<LocalDriver>> LocalDriver::open(local::Options options, local::Callbacks callbacks) {
  TRY(task::make_folders(options.state, 0755));
  TRY(task::make_folders(options.state + "/tasks", 0700));
  if (access((options.state + "/tasks").c_str(), W_OK | X_OK) != 0) {
    return task::io_failure("write in", options.state + "/tasks", errno);
  }
  if (access(options.supervisor.c_str(), X_OK) != 0) {
    return fail(ErrorKind::io, "the supervisor of tasks is not there or cannot be executed", options.supervisor,
                "it is built and installed beside centrale");
  }
  auto loop = std::make_unique<Loop>(std::move(options), std::move(callbacks));
  if (!loop->wake) { return task::io_failure("make an event descriptor", loop->state, errno); }
  return std::unique_ptr<LocalDriver>(new LocalDriver(std::move(loop)));
}

LocalDriver::LocalDriver(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {
  loop_->thread = std::thread([raw = loop_.get()] { raw->run(); });
}

LocalDriver::~LocalDriver() {
  loop_->ending = true;
  loop_->ring();
  loop_->thread.join();
}

void LocalDriver::start(task::LaunchSpec spec) {
  loop_->post([spec = std::move(spec)](local::Watch& watch) { watch.start(spec); });
}
void LocalDriver::stop(TaskId id, Nanos grace) {
  loop_->post([id, grace](local::Watch& watch) { watch.stop(id, grace); });
}
void LocalDriver::kill(TaskId id) {
  loop_->post([id](local::Watch& watch) { watch.kill(id); });
}
void LocalDriver::adopt(std::vector<TaskId> alive) {
  loop_->post([alive = std::move(alive)](local::Watch& watch) { watch.adopt(alive); });
}
void LocalDriver::forget(TaskId id) {
  loop_->post([id](local::Watch& watch) { watch.forget(id); });
}

Result<local::LogChunk> LocalDriver::read_log(TaskId id, int rank, local::LogStream stream, std::uint64_t offset,
                                              std::size_t bytes_max) const {
  TRY_ASSIGN(const std::string path, log_file(loop_->state, id, rank, stream));
  // Asked before the read: what is read afterwards is then surely complete.
  const bool over = access((task::task_folder(loop_->state, id) + "/exit.json").c_str(), F_OK) == 0;
  TRY_ASSIGN(task::LogChunk chunk, task::read_log_file(path, offset, std::min(bytes_max, kChunkMax)));
  return finish(std::move(chunk), over);
}

Result<local::LogChunk> LocalDriver::tail_log(TaskId id, int rank, local::LogStream stream, std::size_t lines) const {
  TRY_ASSIGN(const std::string path, log_file(loop_->state, id, rank, stream));
  const bool over = access((task::task_folder(loop_->state, id) + "/exit.json").c_str(), F_OK) == 0;
  TRY_ASSIGN(task::LogChunk chunk, task::tail_log_file(path, lines, kTailMax));
  return finish(std::move(chunk), over);
}

}  // namespace centrale
