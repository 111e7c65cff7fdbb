// SPDX-License-Identifier: Apache-2.0
#include "operate/local_watch.hpp"

#include <dirent.h>
#include <errno.h>
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "task/cgroup.hpp"
#include "task/reply.hpp"

namespace centrale::local {
namespace {

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kFollowEvery = 200 * kMillisecond;
constexpr std::int64_t kLookEvery = 20 * kMillisecond;
constexpr std::int64_t kClearEvery = 50 * kMillisecond;
// For a supervisor that was told to kill its task. Generous: it may be fighting a fork bomb on a busy machine, and is
// better at it than we are.
constexpr std::int64_t kReaction = 60'000 * kMillisecond;
constexpr std::size_t kFollowBytes = 8UL * 1024 * 1024;  // of one task at a time
constexpr std::size_t kReplyMax = 256UL * 1024;

std::int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

task::Environment base_environment() {
  task::Environment kept;
  for (const char* name : {"PATH", "HOME", "LANG", "TMPDIR"}) {
    if (const char* value = getenv(name)) { kept.emplace_back(name, value); }
  }
  return kept;
}

void remove_folder(const std::string& state, TaskId id) {
  // Renamed first: nobody finds half of it, and a crash leaves something that can be told from a task.
  const std::string folder = task::task_folder(state, id);
  const std::string gone = state + "/tasks/.gone-" + to_string(id);
  std::error_code error;
  std::filesystem::rename(folder, gone, error);
  std::filesystem::remove_all(gone, error);
}

}  // namespace

Watch::Watch(Options options, Callbacks callbacks) : options_(std::move(options)), callbacks_(std::move(callbacks)) {
  folders_.state = options_.state;
  folders_.cgroup_parent = options_.use_cgroups ? task::find_cgroup_parent() : std::string{};
  folders_.base_env = base_environment();
  folders_.log_max = options_.log_max;
}

void Watch::start(const task::LaunchSpec& spec) {
  const TaskId id = spec.task;
  const auto known = tasks_.find(id);
  if (known != tasks_.end() && known->second.state != State::waiting) {
    known->second.wanted = true;
    return;  // it is on its way, or runs
  }
  const Each task = tasks_.try_emplace(id).first;
  Watched& now = task->second;
  now.folder = task::task_folder(options_.state, id);
  now.adopted = false;
  now.wanted = true;
  if (access((now.folder + "/exit.json").c_str(), F_OK) == 0) { return read_end(task); }
  const Result<task::Launch> launch = make_task_folder(folders_, spec, ports_);
  if (!launch) { return report_start_failed(task, launch.error()); }
  now.port = launch->port;
  now.master_port = launch->master_port;
  spawn(task);
}

void Watch::spawn(Each task) {
  Watched& now = task->second;
  Result<Spawned> spawned = spawn_supervisor(options_.supervisor, now.folder, folders_.base_env);
  if (!spawned) { return report_start_failed(task, spawned.error()); }
  now.child = spawned->child;
  now.reply = std::move(spawned->reply);
  now.reply_text.clear();
  now.state = State::spawning;
}

void Watch::read_reply(Each task) {
  Watched& now = task->second;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = read(now.reply.get(), buffer, sizeof buffer)) > 0 && now.reply_text.size() < kReplyMax) {
    now.reply_text.append(buffer, static_cast<std::size_t>(got));
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) { return; }
  now.reply.reset();
  waitpid(now.child, nullptr, 0);  // it ended when it had made the supervisor
  now.child = 0;
  const std::optional<task::Reply> reply = task::parse_reply(now.reply_text);
  if (reply && reply->answer == task::Answer::error) { return report_start_failed(task, reply->error); }
  now.adopted = !(reply && reply->answer == task::Answer::started);
  if (!now.adopted) {
    // It may be over by now; that it ran is told first.
    const Result<task::Fd> lock = task::open_lock(now.folder);
    tell_started(task, lock ? task::read_record(*lock) : task::LockRecord{});
  }
  examine(task, true);
}

void Watch::examine(Each task, bool after_spawn) {
  Watched& now = task->second;
  const Found found = look(now.folder);
  switch (found.condition) {
    case Condition::running: return watch_supervisor(task, found.record);
    case Condition::ended: return read_end(task);
    case Condition::lost: now.state = State::clearing; return clear(task);
    case Condition::held:
      now.state = State::looking;
      now.next_ns = steady_ns() + kLookEvery;
      return;
    case Condition::ready:
    case Condition::missing:
      if (after_spawn) {
        task::ExitReport report;
        give_up(found.lock, now.folder, task->first, report);
        return report_start_failed(task, {ErrorKind::io, "the supervisor ended before it started anything", now.folder + "/supervisor.err",
                                          "that file may say why"});
      }
      if (now.state != State::waiting) {
        now.state = State::waiting;
        now.patience_ns = steady_ns() + LocalDriver::kPatience.value;
        now.next_ns = now.patience_ns;
      } else {
        give_up_waiting(task, found);
      }
      return;
  }
}

/// `found` holds the lock, where there is a folder: nobody can start it meanwhile.
void Watch::give_up_waiting(Each task, const Found& found) {
  task::ExitReport report;
  give_up(found.lock, task->second.folder, task->first, report);
  report_end(task, report);
}

void Watch::tell_started(Each task, const task::LockRecord& record) {
  Watched& now = task->second;
  if (!now.told && now.wanted && callbacks_.on_started) {
    callbacks_.on_started(task->first, {record.supervisor.pid, now.port, record.began, now.adopted});
  }
  now.told = true;
}

void Watch::watch_supervisor(Each task, const task::LockRecord& record) {
  Watched& now = task->second;
  now.supervisor = task::Fd(task::open_process(record.supervisor));
  if (!now.supervisor) {  // it ended just now, or we are out of descriptors
    now.state = State::looking;
    now.next_ns = steady_ns() + kLookEvery;
    return;
  }
  now.state = State::running;
  now.supervisor_pid = record.supervisor.pid;
  now.progress = ProgressFollower(task::log_path(now.folder, 0, false));
  if (now.adopted) {
    now.progress.begin_at_end();
    if (const Result<task::Launch> launch = task::read_launch(now.folder)) {
      now.port = launch->port;
      now.master_port = launch->master_port;
      ports_.keep(launch->port);
      ports_.keep(launch->master_port);
    }
  }
  tell_started(task, record);
  if (now.stop_wanted) { ask(now, *now.stop_wanted); }
}

void Watch::supervisor_ended(Each task) {
  Watched& now = task->second;
  siginfo_t ignored{};
  // Only where the centre is the machine's (or container's) init are supervisors its children at the end.
  waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(now.supervisor.get()), &ignored, WEXITED | WNOHANG);
  now.supervisor.reset();
  now.state = State::looking;
  examine(task, false);
}

void Watch::clear(Each task) {
  Watched& now = task->second;
  task::ExitReport report;
  if (clear_leftovers(now.folder, task->first, report)) { return report_end(task, report); }
  now.next_ns = steady_ns() + kClearEvery;
}

void Watch::read_end(Each task) {
  Result<task::ExitReport> report = task::read_exit(task->second.folder);
  if (!report) {  // damaged by a crash of the machine: nothing runs, and that is what matters
    report = task::ExitReport{.task = task->first, .lost = true, .message = report.error().message(), .ended = task::now()};
  }
  if (!report->started && !report->lost) { return report_start_failed(task, {report->error, report->message, "", report->remedy}); }
  report_end(task, *report);
}

void Watch::report_end(Each task, const task::ExitReport& report) {
  const TaskId id = task->first;
  Watched& now = task->second;
  if (now.wanted && callbacks_.on_progress && report.started) {
    if (now.supervisor_pid == 0) {  // it ended before it could be followed
      now.progress = ProgressFollower(task::log_path(now.folder, 0, false));
      if (now.adopted) { now.progress.begin_at_end(); }
    }
    now.progress.read_rest();
    for (const Progress& progress : now.progress.take_rest()) { callbacks_.on_progress(id, progress); }
  }
  const bool wanted = now.wanted;
  retire(id);
  if (wanted && callbacks_.on_exited) { callbacks_.on_exited(id, report); }
}

void Watch::report_start_failed(Each task, const Error& error) {
  const TaskId id = task->first;
  const bool wanted = task->second.wanted;
  retire(id);
  if (wanted && callbacks_.on_start_failed) { callbacks_.on_start_failed(id, error); }
}

void Watch::retire(TaskId id) {
  const auto task = tasks_.find(id);
  ports_.release(task->second.port);
  ports_.release(task->second.master_port);
  tasks_.erase(task);
  finished_.insert(id);
  while (finished_.size() > options_.keep_finished) {
    const TaskId oldest = *finished_.begin();
    finished_.erase(finished_.begin());
    remove_folder(options_.state, oldest);
  }
}

void Watch::ask(Watched& task, Nanos grace) {
  ask_to_stop(task.supervisor, grace);
  if (grace.value == 0) { task.kill_at_ns = steady_ns() + kReaction; }
}

void Watch::stop(TaskId id, Nanos grace) {
  const auto task = tasks_.find(id);
  if (task == tasks_.end()) {
    return;  // it is over, and that was or will be reported
  }
  Watched& now = task->second;
  if (now.state == State::running) {
    ask(now, grace);
  } else if (now.state == State::waiting) {
    examine(task, false);  // it is not to start any more
  } else {
    now.stop_wanted = std::min(now.stop_wanted.value_or(grace), grace);
  }
}

void Watch::kill(TaskId id) { stop(id, Nanos{0}); }

void Watch::adopt(const std::vector<TaskId>& alive) {
  for (const TaskId id : alive) {
    const auto [task, is_new] = tasks_.try_emplace(id);
    if (is_new) {
      task->second.folder = task::task_folder(options_.state, id);
      examine(task, false);
    }
  }
  adopt_strangers();
}

/// Folders that the core does not know as alive. What runs there would use chips that the core gives to others.
void Watch::adopt_strangers() {
  std::vector<TaskId> found;
  DIR* folder = opendir((options_.state + "/tasks").c_str());
  if (folder == nullptr) { return; }
  while (const dirent* entry = readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (const auto id = parse_id<TaskTag>(name); id && !tasks_.contains(*id) && !finished_.contains(*id)) {
      found.push_back(*id);
    } else if (name.starts_with(".gone-")) {
      std::error_code error;
      std::filesystem::remove_all(options_.state + "/tasks/" + std::string(name), error);
    }
  }
  closedir(folder);
  std::sort(found.begin(), found.end());
  for (const TaskId id : found) {
    const Each task = tasks_.try_emplace(id).first;
    Watched& now = task->second;
    now.folder = task::task_folder(options_.state, id);
    now.wanted = false;
    const Result<task::Launch> launch = task::read_launch(now.folder);
    now.stop_wanted = launch ? launch->spec.grace : task::LaunchSpec{}.grace;
    now.state = State::waiting;  // of a stranger no start is awaited
    examine(task, false);
  }
}

void Watch::forget(TaskId id) {
  if (tasks_.contains(id)) {
    return;  // it is not over
  }
  finished_.erase(id);
  const Found found = look(task::task_folder(options_.state, id));
  if (found.condition == Condition::ended || found.condition == Condition::ready || found.condition == Condition::missing) {
    remove_folder(options_.state, id);
  }
}

void Watch::follow(Each task) {
  Watched& now = task->second;
  if (!now.wanted || !callbacks_.on_progress) { return; }
  now.progress.read(kFollowBytes);
  const TaskId id = task->first;
  for (const Progress& progress : now.progress.take(steady_ns())) { callbacks_.on_progress(id, progress); }
}

std::vector<pollfd> Watch::descriptors() const {
  std::vector<pollfd> all;
  for (const auto& [id, task] : tasks_) {
    if (task.state == State::running) {
      all.push_back({task.supervisor.get(), POLLIN, 0});
    } else if (task.state == State::spawning) {
      all.push_back({task.reply.get(), POLLIN, 0});
    }
  }
  return all;
}

int Watch::timeout_ms() const {
  std::int64_t least = -1;
  const std::int64_t now = steady_ns();
  for (const auto& [id, task] : tasks_) {
    if (task.state != State::spawning) {
      const std::int64_t wait = std::max<std::int64_t>(0, task.next_ns - now);
      least = least < 0 ? wait : std::min(least, wait);
    }
  }
  return least < 0 ? -1 : static_cast<int>((least + kMillisecond - 1) / kMillisecond);
}

void Watch::step(Each task) {
  Watched& now = task->second;
  switch (now.state) {
    case State::spawning: return;
    case State::running:
      now.next_ns = steady_ns() + kFollowEvery;
      if (now.kill_at_ns != 0 && steady_ns() > now.kill_at_ns) {
        // It does not react; its ranks die with it, and what does not is cleared.
        syscall(SYS_pidfd_send_signal, now.supervisor.get(), SIGKILL, nullptr, 0);
      }
      return follow(task);
    case State::clearing: return clear(task);
    case State::waiting:
    case State::looking: return examine(task, false);
  }
}

void Watch::turn(const std::vector<pollfd>& polled) {
  std::vector<int> ready;
  for (const pollfd& each : polled) {
    if (each.revents != 0) { ready.push_back(each.fd); }
  }
  std::sort(ready.begin(), ready.end());
  const auto is_ready = [&ready](const task::Fd& fd) { return std::binary_search(ready.begin(), ready.end(), fd.get()); };
  // By id: a callback, or the end of a task, may change the map.
  std::vector<TaskId> ids;
  for (const auto& [id, task] : tasks_) { ids.push_back(id); }
  for (const TaskId id : ids) {
    const auto task = tasks_.find(id);
    if (task == tasks_.end()) { continue; }
    if (task->second.state == State::spawning && is_ready(task->second.reply)) {
      read_reply(task);
    } else if (task->second.state == State::running && is_ready(task->second.supervisor)) {
      supervisor_ended(task);
    } else if (task->second.next_ns <= steady_ns()) {
      step(task);
    }
  }
}

}  // namespace centrale::local
