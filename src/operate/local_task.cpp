// SPDX-License-Identifier: Apache-2.0
#include "operate/local_task.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "task/cgroup.hpp"
#include "task/environment.hpp"
#include "task/reply.hpp"

namespace centrale::local {
namespace {

using task::Fd;
using task::Identity;

std::string new_mark() {
  std::random_device source;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", source(), source(), source(), source());
}

Result<task::Launch> describe(const FolderOptions& options, const task::LaunchSpec& spec, const std::string& folder, Ports& ports) {
  task::Launch launch{.spec = spec, .base_env = options.base_env, .mark = new_mark(), .log_max = options.log_max};
  if (launch.spec.work_dir.empty()) { launch.spec.work_dir = folder + "/work"; }
  if (spec.wants_port) {
    TRY_ASSIGN(launch.port, ports.take());
    task::put_port(launch.spec.argv, launch.port);
  }
  if (spec.ranks.size() > 1) { TRY_ASSIGN(launch.master_port, ports.take()); }
  if (!options.cgroup_parent.empty()) {
    launch.cgroup = fmt::format("{}/centrale-{}-{}", options.cgroup_parent, to_string(spec.task), launch.mark.substr(0, 16));
  }
  return launch;
}

/// A process that runs our own program only looks at the lock, as this one does.
bool is_centre(const Identity& who) {
  struct stat theirs {};
  struct stat ours {};
  return stat(fmt::format("/proc/{}/exe", who.pid).c_str(), &theirs) == 0 && stat("/proc/self/exe", &ours) == 0 &&
         theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

}  // namespace

Result<task::Launch> make_task_folder(const FolderOptions& options, const task::LaunchSpec& spec, Ports& ports) {
  TRY(task::check(spec));
  const std::string folder = task::task_folder(options.state, spec.task);
  TRY(task::make_folders(folder, 0700));  // environments hold secrets
  if (access((folder + "/task.json").c_str(), F_OK) != 0) {
    TRY_ASSIGN(const task::Launch launch, describe(options, spec, folder, ports));
    Result<void> done = task::make_folders(launch.spec.work_dir, 0755);
    if (done && !launch.spec.checkpoint_dir.empty()) { done = task::make_folders(launch.spec.checkpoint_dir, 0755); }
    if (done && launch.port != 0) { done = task::write_atomic(folder + "/port", fmt::format("{}\n", launch.port)); }
    if (done) { done = task::write_once(folder + "/task.json", task::to_json(launch)); }
    if (!done) {
      ports.release(launch.port);
      ports.release(launch.master_port);
      return std::unexpected(done.error());
    }
  }
  return task::read_launch(folder);
}

Result<Spawned> spawn_supervisor(const std::string& program, const std::string& folder, const task::Environment& environment) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) { return task::io_failure("make a pipe", folder, errno); }
  Spawned spawned{.child = 0, .reply = Fd(ends[0])};
  const Fd to(ends[1]);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  // The pipe first: descriptor 1 or 2 may be the pipe's own in a centre that was started with them closed.
  posix_spawn_file_actions_adddup2(&files, to.get(), task::kReplyFd);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, (folder + "/supervisor.err").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &all);  // a request to stop waits until it can be served
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  std::vector<std::string> words{program, folder};
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) { variables.push_back(name + "=" + value); }
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> each;
    for (std::string& text : texts) { each.push_back(text.data()); }
    each.push_back(nullptr);
    return each;
  };
  const int error = posix_spawn(&spawned.child, program.c_str(), &files, &attributes, pointers(words).data(), pointers(variables).data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return fail(error == EAGAIN ? ErrorKind::unavailable : ErrorKind::io,
                fmt::format("cannot start the supervisor: {}", strerrordesc_np(error)), program,
                error == EAGAIN ? "is the limit of processes (ulimit -u, pids.max) reached?" : "");
  }
  return spawned;
}

Found look(const std::string& folder) {
  Found found;
  if (access((folder + "/exit.json").c_str(), F_OK) == 0) {
    found.condition = Condition::ended;
    return found;
  }
  if (access((folder + "/task.json").c_str(), F_OK) != 0) { return found; }
  Result<Fd> lock = task::open_lock(folder);
  if (!lock) {
    found.condition = Condition::held;  // out of descriptors, most likely: better asked again than guessed
    return found;
  }
  const bool locked = task::try_lock(*lock);
  found.record = task::read_record(*lock);
  if (!locked) {
    const Identity& supervisor = found.record.supervisor;
    found.condition = task::lives(supervisor) ? Condition::running : supervisor.pid == 0 ? Condition::held : Condition::lost;
    return found;
  }
  if (access((folder + "/exit.json").c_str(), F_OK) == 0) {
    found.condition = Condition::ended;
  } else {
    found.condition = found.record.supervisor.pid == 0 ? Condition::ready : Condition::lost;
    found.lock = std::move(*lock);
  }
  return found;
}

bool clear_leftovers(const std::string& folder, TaskId task, task::ExitReport& report) {
  const Result<task::Launch> launch = task::read_launch(folder);
  std::vector<Identity> left;
  std::size_t marked = 0;
  if (launch) {
    task::kill_cgroup(launch->cgroup);
    // Sent while looking, and until a look finds nobody: what forks must not be given time.
    constexpr int kLooks = 20;
    for (int looks = 0; looks < kLooks; ++looks) {
      const std::size_t found = task::signal_with_environment(task::kMarkVariable, launch->mark, SIGKILL);
      marked += found;
      if (found == 0) { break; }
    }
  }
  for (const task::RankProcess& rank : task::read_ranks(folder)) {
    if (task::lives(rank.who)) { left.push_back(rank.who); }
  }
  const Result<Fd> lock = task::open_lock(folder);
  const bool locked = lock && task::try_lock(*lock);
  if (lock && !locked) {
    for (const Identity& who : task::with_open_file(folder + "/lock")) {
      if (!is_centre(who)) { left.push_back(who); }
    }
  }
  for (const Identity& who : left) { task::send_signal(who, SIGKILL); }
  if (!locked || marked > 0 || !left.empty() || (launch && task::cgroup_is_populated(launch->cgroup))) { return false; }
  if (launch) { task::remove_cgroup(launch->cgroup); }
  if (const Result<task::ExitReport> there = task::read_exit(folder)) {
    report = *there;  // another centre was quicker
    return true;
  }
  report = {.task = task, .lost = true, .message = "its supervisor was killed; nothing of it was left alive"};
  report.began = task::read_record(*lock).began;
  report.ended = task::now();
  // Should the disk be full: the record in the lock keeps this folder spent all the same.
  [[maybe_unused]] const Result<void> saved = task::save_exit(folder, report);
  return true;
}

void give_up(const Fd& lock, const std::string& folder, TaskId task, task::ExitReport& report) {
  report = {.task = task,
            .started = false,
            .lost = true,
            .message = "the centre ended before it could start it",
            .error = ErrorKind::unavailable,
            .ended = task::now()};
  if (lock && !task::save_exit(folder, report)) {
    // No space for a report; the few bytes of the record nearly always fit, and they serve as well. Nobody lives under
    // this identity: ours in its place would make this centre look like the supervisor.
    [[maybe_unused]] const Result<void> spent = task::write_record(lock, {{"given-up", getpid(), 0}, report.ended});
  }
}

bool ask_to_stop(const Fd& supervisor, Nanos grace) {
  siginfo_t request{};
  request.si_signo = task::stop_signal();
  request.si_code = SI_QUEUE;
  request.si_pid = getpid();
  request.si_uid = getuid();
  request.si_value.sival_int = static_cast<int>(std::clamp<std::int64_t>(grace.value / 1'000'000, 0, 24L * 3600 * 1000));
  const bool sent = syscall(SYS_pidfd_send_signal, supervisor.get(), request.si_signo, &request, 0) == 0;
  syscall(SYS_pidfd_send_signal, supervisor.get(), SIGCONT, nullptr, 0);  // somebody may have stopped it
  return sent;
}

}  // namespace centrale::local
