// SPDX-License-Identifier: Apache-2.0
#include "task/supervise.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <thread>

#include "task/cgroup.hpp"
#include "task/folder.hpp"
#include "task/logs.hpp"
#include "task/rank.hpp"
#include "task/reply.hpp"

namespace centrale::task {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLogCheck{1000};
constexpr milliseconds kLeftoverGrace{2000};  // for what outlives the ranks: a logger, a data loader
constexpr milliseconds kKillAgain{20};
constexpr int kLockTries = 200;  // of 10 ms: whoever only looks at a lock holds it for less than this
constexpr int kSaveTries = 120;  // of 500 ms
constexpr Nanos kGraceMax = seconds(24L * 3600);

struct Running {
  pid_t pid = 0;
  bool ended = false;
};

struct Supervised {
  std::string folder;
  Launch launch;
  Fd lock;
  Fd signals;
  bool in_cgroup = false;
  MemoryLimit memory = MemoryLimit::none;
  std::vector<Running> ranks;
  std::vector<RankEnd> ends;
  Bytes failed_rss;  // of the first rank that failed
  ExitReport report;
  std::optional<Clock::time_point> kill_at;  // set once a stop has begun
};

void answer(Answer answer, const Error& error = {}) {
  const std::string line = to_line({answer, error});
  [[maybe_unused]] const ssize_t put = write(kReplyFd, line.data(), line.size());  // nobody may listen any more
  close(kReplyFd);
}

/// 0: the lock is ours and nobody had it before. Otherwise it has answered; the value is for main.
std::optional<int> claim(Supervised& task) {
  Result<Fd> lock = open_lock(task.folder);
  if (!lock) {
    answer(Answer::error, lock.error());
    return 74;
  }
  for (int tries = 0; !try_lock(*lock); ++tries) {
    if (lives(read_record(*lock).supervisor) || tries == kLockTries) {
      answer(Answer::busy);
      fmt::print(stderr, "{}: another supervisor runs this task; nothing was started\n", task.folder);
      return 0;
    }
    std::this_thread::sleep_for(milliseconds(10));
  }
  if (access((task.folder + "/exit.json").c_str(), F_OK) == 0) {
    answer(Answer::done);
    return 0;
  }
  if (read_record(*lock).supervisor.pid != 0) {
    answer(Answer::spent);
    return 0;
  }
  task.lock = std::move(*lock);
  return std::nullopt;
}

/// Leaves exit.json for a task of which nothing runs, and answers. The lock goes with this process.
int refuse_to_start(Supervised& task, const Error& error) {
  ExitReport& report = task.report;
  report.started = false;
  report.error = error.kind;
  report.message = error.where.empty() ? error.what : error.where + ": " + error.what;
  report.remedy = error.remedy;
  report.ended = now();
  if (const Result<void> saved = save_exit(task.folder, report); !saved) {
    answer(Answer::error, error);
    return 74;
  }
  answer(Answer::done);
  return 0;
}

/// False when it is not a rank's: an orphan of the task that came to us.
void note_end(Supervised& task, pid_t pid, int status, const rusage& use) {
  for (std::size_t i = 0; i < task.ranks.size(); ++i) {
    if (task.ranks[i].pid != pid || task.ranks[i].ended) { continue; }
    task.ranks[i].ended = true;
    const RankEnd end{static_cast<int>(i), WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? WTERMSIG(status) : 0};
    if (task.failed_rss.value == 0 && (end.code != 0 || end.signal != 0)) { task.failed_rss = {use.ru_maxrss * 1024}; }
    task.ends.push_back(end);
  }
}

/// True when this process has no child left, so that nothing of the task lives (we are its subreaper).
bool reap(Supervised& task) {
  for (;;) {
    int status = 0;
    rusage use{};
    const pid_t pid = wait4(-1, &status, WNOHANG, &use);
    if (pid == 0) { return false; }
    if (pid < 0 && errno == ECHILD) { return !(task.in_cgroup && cgroup_is_populated(task.launch.cgroup)); }
    if (pid > 0) { note_end(task, pid, status, use); }
  }
}

bool all_ranks_ended(const Supervised& task) {
  return std::all_of(task.ranks.begin(), task.ranks.end(), [](const Running& rank) { return rank.ended; });
}

/// SIGTERM to each rank's group the first time, but for a grace of 0: that is a kill, and the program is to see nothing
/// else. A later call can only bring the end nearer.
void begin_stop(Supervised& task, Nanos grace) {
  grace = std::clamp(grace, Nanos{0}, kGraceMax);
  const Clock::time_point deadline = Clock::now() + std::chrono::nanoseconds(grace.value);
  if (task.kill_at) {
    task.kill_at = std::min(*task.kill_at, deadline);
    return;
  }
  task.kill_at = deadline;
  for (const Running& rank : task.ranks) {
    if (!rank.ended && grace.value > 0) {
      kill(-rank.pid, SIGTERM);
      kill(-rank.pid, SIGCONT);  // a stopped process could not save
    }
  }
}

void read_signals(Supervised& task) {
  signalfd_siginfo got{};
  while (read(task.signals.get(), &got, sizeof got) == static_cast<ssize_t>(sizeof got)) {
    const int number = static_cast<int>(got.ssi_signo);
    if (number == stop_signal() && got.ssi_code == SI_QUEUE) {
      task.report.stop_requested = true;
      begin_stop(task, centrale::milliseconds(std::max(got.ssi_int, 0)));
    } else if (number == SIGTERM) {
      task.report.stop_requested = true;
      begin_stop(task, task.launch.spec.grace);
    }
  }
}

Result<void> prepare(Supervised& task) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : {SIGCHLD, SIGTERM, stop_signal()}) { sigaddset(&wanted, signal); }
  task.signals = Fd(signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!task.signals) { return io_failure("make a signal descriptor", task.folder, errno); }
  const LaunchSpec& spec = task.launch.spec;
  task.in_cgroup = make_cgroup(task.launch.cgroup);
  if (spec.memory_max.value > 0) {
    const bool limited = task.in_cgroup && limit_memory(task.launch.cgroup, spec.memory_max);
    task.memory = limited ? MemoryLimit::cgroup : MemoryLimit::rlimit;
  }
  return {};
}

Result<void> start_ranks(Supervised& task) {
  Fd cgroup;
  if (task.in_cgroup) { cgroup = Fd(open((task.launch.cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC)); }
  std::vector<RankProcess> processes;
  for (int rank = 0; rank < static_cast<int>(task.launch.spec.ranks.size()); ++rank) {
    TRY_ASSIGN(const pid_t pid, start_rank({.launch = &task.launch,
                                            .folder = task.folder,
                                            .rank = rank,
                                            .lock = task.lock.get(),
                                            .cgroup = cgroup.get(),
                                            .memory = task.memory}));
    task.ranks.push_back({pid});
    processes.push_back({rank, identify(pid)});
  }
  // It only helps to find leftovers after the worst; the task does not fail for it.
  if (const Result<void> saved = write_atomic(task.folder + "/ranks.json", ranks_to_json(processes)); !saved) {
    fmt::print(stderr, "{}\n", saved.error().message());
  }
  return {};
}

void bound_logs(Supervised& task) {
  for (int rank = 0; rank < static_cast<int>(task.ranks.size()); ++rank) {
    for (const bool is_stderr : {false, true}) { bound_log(log_path(task.folder, rank, is_stderr), task.launch.log_max); }
  }
}

int until(Clock::time_point when) {
  return static_cast<int>(std::max<std::int64_t>(
      0, std::chrono::ceil<milliseconds>(std::min(when - Clock::now(), Clock::duration(milliseconds(60'000)))).count()));
}

/// Returns when nothing of the task lives.
void watch(Supervised& task) {
  Clock::time_point log_check = Clock::now() + kLogCheck;
  bool leftovers_told = false;
  while (!reap(task)) {
    const bool failed =
        std::any_of(task.ends.begin(), task.ends.end(), [](const RankEnd& end) { return end.code != 0 || end.signal != 0; });
    if (failed && !task.kill_at && !all_ranks_ended(task)) { begin_stop(task, task.launch.spec.grace); }
    if (all_ranks_ended(task) && !leftovers_told) {
      leftovers_told = true;
      std::set<pid_t> met;
      signal_descendants(getpid(), SIGTERM, met);
      const Clock::time_point soon = Clock::now() + kLeftoverGrace;
      task.kill_at = task.kill_at ? std::min(*task.kill_at, soon) : soon;
    }
    Clock::time_point next = log_check;
    if (task.kill_at && Clock::now() >= *task.kill_at) {
      kill_descendants(task.in_cgroup ? task.launch.cgroup : std::string{});
      next = Clock::now() + kKillAgain;
    } else if (task.kill_at) {
      next = std::min(next, *task.kill_at);
    }
    pollfd waiting{task.signals.get(), POLLIN, 0};
    poll(&waiting, 1, until(next));
    read_signals(task);
    if (Clock::now() >= log_check) {
      bound_logs(task);
      log_check = Clock::now() + kLogCheck;
    }
  }
}

std::string megabytes(Bytes bytes) { return fmt::format("{} MiB", bytes.value / 1'048'576); }

void add(std::string& message, std::string_view more) {
  message += message.empty() ? "" : "; ";
  message += more;
}

void settle(Supervised& task) {
  ExitReport& report = task.report;
  summarize(report, task.ends);
  rusage use{};
  getrusage(RUSAGE_CHILDREN, &use);
  report.max_rss = {use.ru_maxrss * 1024};
  report.cpu = {(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1'000'000'000 + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000};
  const Bytes max = task.launch.spec.memory_max;
  std::int64_t oom_kills = 0;
  if (task.in_cgroup) {
    const CgroupUse all = read_cgroup(task.launch.cgroup);
    report.max_rss = all.memory_peak.value_or(report.max_rss);
    report.cpu = std::max(report.cpu, all.cpu.value_or(Nanos{0}));
    oom_kills = all.oom_kills;
    kill_cgroup(task.launch.cgroup);
    remove_cgroup(task.launch.cgroup);
  }
  const Bytes share{max.value / static_cast<std::int64_t>(task.launch.spec.ranks.size())};
  if (report.failed_rank >= 0 && oom_kills > 0) {
    add(report.message, fmt::format("killed by its memory limit of {}", megabytes(max)));
  } else if (report.failed_rank >= 0 && task.memory == MemoryLimit::rlimit && task.failed_rss.value > share.value / 2) {
    // A refused allocation leaves no trace that could be asked for; this is the best that can be known.
    add(report.message, fmt::format("it had used {} of its memory limit of {}", megabytes(task.failed_rss), megabytes(share)));
  } else if (report.signal == SIGKILL && !task.kill_at) {
    add(report.message, "not killed by Centrale: the machine was out of memory, or a person did it");
  } else if (report.signal == SIGKILL && report.stop_requested) {
    add(report.message, "it was still there after its grace period");
  }
  report.ended = now();
}

/// Every way out of here goes by an exit report, or says why there is none.
int finish(Supervised& task) {
  Result<void> saved = save_exit(task.folder, task.report);
  for (int tries = 0; !saved && tries < kSaveTries; ++tries) {
    std::this_thread::sleep_for(milliseconds(500));
    saved = save_exit(task.folder, task.report);
  }
  if (!saved) {
    fmt::print(stderr, "{}\n{}", saved.error().message(), to_json(task.report));
    return 74;
  }
  return 0;
}

}  // namespace

int supervise(const std::string& folder) {
  Supervised task;
  task.folder = folder;
  signal(SIGPIPE, SIG_IGN);  // the centre may have died before it could read the answer
  signal(SIGCHLD, SIG_DFL);  // ignored, as nohup-like starters leave it, the kernel would reap and no exit code be left
  if (chdir(folder.c_str()) != 0) {
    answer(Answer::error, io_failure("enter", folder, errno).error());
    return 74;
  }
  if (const std::optional<int> over = claim(task)) { return *over; }
  task.report.began = now();
  task.report.task = parse_id<TaskTag>(folder.substr(folder.rfind('/') + 1)).value_or(TaskId{});
  Result<Launch> launch = read_launch(folder);
  if (!launch) { return refuse_to_start(task, launch.error()); }
  task.launch = std::move(*launch);
  // From here on this folder is spent: no other supervisor will start anything in it, whatever becomes of this one.
  Result<void> ready = write_record(task.lock, {identify(getpid()), task.report.began});
  if (ready) { ready = reserve_exit(folder); }
  if (ready) { ready = prepare(task); }
  if (ready) { ready = start_ranks(task); }
  if (!ready) {
    while (!reap(task)) {  // a gang starts as a whole or not at all
      kill_descendants(task.in_cgroup ? task.launch.cgroup : std::string{});
      std::this_thread::sleep_for(milliseconds(1));
    }
    kill_cgroup(task.launch.cgroup);
    remove_cgroup(task.launch.cgroup);
    return refuse_to_start(task, ready.error());
  }
  answer(Answer::started);
  watch(task);
  settle(task);
  bound_logs(task);
  return finish(task);
}

}  // namespace centrale::task
