// SPDX-License-Identifier: Apache-2.0
// For the tests of the local driver: a state folder of its own, and a record of what the driver said.
#pragma once
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include "operate/local_driver.hpp"
#include "task/folder.hpp"

namespace centrale::local {

inline std::string program_folder() { return std::filesystem::read_symlink("/proc/self/exe").parent_path().string(); }

inline std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Long enough for a busy machine; a test that waits this long fails.
inline constexpr std::chrono::seconds kLong{30};

template <class Condition>
bool eventually(Condition condition) {
  for (const auto end = std::chrono::steady_clock::now() + kLong; std::chrono::steady_clock::now() < end;) {
    if (condition()) { return true; }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

/// What a driver said. Everything is a copy, taken under the lock that the callbacks write under.
class Record {
 public:
  Callbacks callbacks() {
    return {[this](TaskId id, const Started& s) { note([&] { started_[id].push_back(s); }); },
            [this](TaskId id, const Error& e) { note([&] { failed_[id].push_back(e); }); },
            [this](TaskId id, const Progress& p) { note([&] { progress_[id].push_back(p); }); },
            [this](TaskId id, const task::ExitReport& r) { note([&] { exited_[id].push_back(r); }); }};
  }
  std::vector<Started> started(TaskId id) { return copy(started_, id); }
  std::vector<Error> failed(TaskId id) { return copy(failed_, id); }
  std::vector<Progress> progress(TaskId id) { return copy(progress_, id); }
  std::vector<task::ExitReport> exited(TaskId id) { return copy(exited_, id); }
  bool said_nothing() {
    const std::lock_guard guard(mutex_);
    return started_.empty() && failed_.empty() && progress_.empty() && exited_.empty();
  }

  template <class Condition>
  bool wait(Condition condition) {
    std::unique_lock guard(mutex_);
    return changed_.wait_for(guard, kLong, condition);
  }
  Started wait_started(TaskId id) {
    return wait([&] { return !started(id).empty(); }) ? started(id).back() : (ADD_FAILURE() << "not started", Started{});
  }
  task::ExitReport wait_exited(TaskId id) {
    return wait([&] { return !exited(id).empty(); }) ? exited(id).back() : (ADD_FAILURE() << "no end", task::ExitReport{});
  }
  Error wait_failed(TaskId id) {
    return wait([&] { return !failed(id).empty(); }) ? failed(id).back() : (ADD_FAILURE() << "did not fail", Error{});
  }

 private:
  template <class Note>
  void note(Note write) {
    const std::lock_guard guard(mutex_);
    write();
    changed_.notify_all();
  }
  template <class T>
  std::vector<T> copy(const std::map<TaskId, std::vector<T>>& from, TaskId id) {
    const std::lock_guard guard(mutex_);
    const auto at = from.find(id);
    return at == from.end() ? std::vector<T>{} : at->second;
  }

  std::recursive_mutex mutex_;  // a condition that `wait` checks may ask, too
  std::condition_variable_any changed_;
  std::map<TaskId, std::vector<Started>> started_;
  std::map<TaskId, std::vector<Error>> failed_;
  std::map<TaskId, std::vector<Progress>> progress_;
  std::map<TaskId, std::vector<task::ExitReport>> exited_;
};

class LocalTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "centrale-local-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    state = name;
  }
  void TearDown() override {
    // Whatever a failed test left running is known by its mark.
    for (const auto& entry : std::filesystem::directory_iterator(state + "/tasks")) {
      if (const auto launch = task::read_launch(entry.path().string())) {
        for (const auto& who : task::with_environment("CENTRALE_TASK_MARK", launch->mark)) {
          ADD_FAILURE() << "left running: " << who.pid;
          task::send_signal(who, SIGKILL);
        }
      }
    }
    std::filesystem::remove_all(state);
  }

  Options options() const { return {.state = state, .supervisor = program_folder() + "/centrale-task"}; }
  std::unique_ptr<LocalDriver> open(Record& record) { return open(record, options()); }
  static std::unique_ptr<LocalDriver> open(Record& record, const Options& with) {
    Result<std::unique_ptr<LocalDriver>> driver = LocalDriver::open(with, record.callbacks());
    if (!driver) {
      ADD_FAILURE() << driver.error().message();
      abort();
    }
    return std::move(*driver);
  }
  static task::LaunchSpec shell(std::uint64_t id, const std::string& script, std::size_t ranks = 1) {
    task::LaunchSpec spec;
    spec.task = {id};
    spec.label = "test";
    spec.argv = {"sh", "-c", script};
    spec.job = "j1";
    spec.ranks.resize(ranks);
    spec.grace = seconds(20);
    return spec;
  }
  std::string folder(std::uint64_t id) const { return task::task_folder(state, {id}); }
  std::string work_file(std::uint64_t id, const std::string& name) const { return folder(id) + "/work/" + name; }
  std::string out(std::uint64_t id, int rank = 0) const { return text_of(task::log_path(folder(id), rank, false)); }
  std::string err(std::uint64_t id, int rank = 0) const { return text_of(task::log_path(folder(id), rank, true)); }
  task::Identity supervisor_of(std::uint64_t id) const {
    const Result<task::Fd> lock = task::open_lock(folder(id));
    return lock ? task::read_record(*lock).supervisor : task::Identity{};
  }

  std::string state;
};

}  // namespace centrale::local
