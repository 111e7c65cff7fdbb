// SPDX-License-Identifier: Apache-2.0
#include "task/rank.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <set>

#include "task/cgroup.hpp"
#include "task/environment.hpp"

namespace centrale::task {
namespace {

enum class Stage : int { folder, cores, memory, files, exec };
struct Refusal {
  Stage stage;
  int error;
};

// Of Linux's scale to +1000: when the machine runs out of memory, the kernel shall take a task, not the centre.
constexpr char kOomScore[] = "500";

[[noreturn]] void refuse(int pipe, Stage stage, int error) {
  const Refusal refusal{stage, error};
  [[maybe_unused]] const ssize_t put = write(pipe, &refusal, sizeof refusal);
  _exit(127);
}

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

/// false with errno when a core is not there, or none of them is ours to use.
bool bind(const std::vector<int>& cpus) {
  const int highest = *std::max_element(cpus.begin(), cpus.end());
  cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(highest) + 1);
  if (set == nullptr) { return false; }
  const std::size_t size = CPU_ALLOC_SIZE(static_cast<std::size_t>(highest) + 1);
  CPU_ZERO_S(size, set);
  for (const int cpu : cpus) { CPU_SET_S(static_cast<std::size_t>(cpu), size, set); }
  bool done = sched_setaffinity(0, size, set) == 0;
  if (done && sched_getaffinity(0, size, set) == 0 &&
      CPU_COUNT_S(size, set) != static_cast<int>(std::set<int>(cpus.begin(), cpus.end()).size())) {
    errno = EINVAL;  // the kernel drops silently what does not exist; a rank with fewer cores than placed is a lie
    done = false;
  }
  CPU_FREE(set);
  return done;
}

/// Memory of a rank without a cgroup. RLIMIT_DATA counts private writable mappings, so it sees malloc, mmap and thread
/// stacks, while RLIMIT_AS also counts address space that is only reserved: CUDA, libtorch and sanitizers reserve far
/// more than the machine has and would not start. It is a limit a process, so that each rank gets its share.
bool limit_data(const Launch& launch) {
  const auto share = static_cast<rlim_t>(launch.spec.memory_max.value) / launch.spec.ranks.size();
  const rlimit limit{share, share};
  return setrlimit(RLIMIT_DATA, &limit) == 0;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  for (std::string& word : words) { all.push_back(word.data()); }
  all.push_back(nullptr);
  return all;
}

/// In the child, which is a copy of a process with one thread: anything may be called.
[[noreturn]] void become(const RankStart& start, const std::string& program, std::vector<std::string> environment, pid_t supervisor,
                         int pipe) {
  const LaunchSpec& spec = start.launch->spec;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != supervisor) {
    _exit(127);  // it died before the line above
  }
  setpgid(0, 0);
  // Lifted out of the way first: dup2 below must not step on them.
  const int lock = fcntl(start.lock, F_DUPFD, 16);
  const int report = fcntl(pipe, F_DUPFD, 16);
  if (chdir(spec.work_dir.c_str()) != 0) { refuse(report, Stage::folder, errno); }
  const RankSpec& mine = spec.ranks[static_cast<std::size_t>(start.rank)];
  if (!mine.cpus.empty() && !bind(mine.cpus)) { refuse(report, Stage::cores, errno); }
  const bool in_cgroup = start.cgroup >= 0 && write(start.cgroup, "0", 1) == 1;
  const bool by_rlimit = start.memory == MemoryLimit::rlimit || (start.memory == MemoryLimit::cgroup && !in_cgroup);
  if (const Fd score(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)); score) {
    [[maybe_unused]] const ssize_t put = write(score.get(), kOomScore, sizeof kOomScore - 1);
  }
  const int in = open("/dev/null", O_RDONLY);
  const int out = open(log_path(start.folder, start.rank, false).c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int err = open(log_path(start.folder, start.rank, true).c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (lock < 0 || in < 0 || out < 0 || err < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 || dup2(lock, 3) < 0 ||
      dup3(report, 4, O_CLOEXEC) < 0 || close_range(5, ~0U, 0) != 0) {
    refuse(report, Stage::files, errno);
  }
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  // execve resets handlers but keeps what is ignored. By the system call: glibc's functions refuse 32 and 33, and its
  // posix_spawn leaves exactly those ignored. All zeros is the default action, with no flags and an empty mask.
  const std::uint64_t by_default[4] = {};
  for (int signal = 1; signal < NSIG; ++signal) { syscall(SYS_rt_sigaction, signal, by_default, nullptr, sizeof(std::uint64_t)); }
  std::vector<std::string> argv = spec.argv;
  const std::vector<char*> words = pointers(argv);
  const std::vector<char*> variables = pointers(environment);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (by_rlimit && !limit_data(*start.launch)) { refuse(4, Stage::memory, errno); }
  execve(program.c_str(), words.data(), variables.data());
  refuse(4, Stage::exec, errno);
}

Error explain(const Refusal& refusal, const RankStart& start) {
  const LaunchSpec& spec = start.launch->spec;
  const std::string reason = strerrordesc_np(refusal.error);
  const RankSpec& mine = spec.ranks[static_cast<std::size_t>(start.rank)];
  switch (refusal.stage) {
    case Stage::folder: return {ErrorKind::io, "cannot enter the working folder: " + reason, spec.work_dir, ""};
    case Stage::cores:
      return {ErrorKind::io, fmt::format("cannot bind rank {} to cores {}: {}", start.rank, fmt::join(mine.cpus, ","), reason), "",
              "does this machine have them, and may the centre use them (taskset, cpuset)?"};
    case Stage::memory: return {ErrorKind::io, "cannot limit the memory: " + reason, "", ""};
    case Stage::exec: {
      const char* remedy = refusal.error == ENOEXEC  ? "a script needs a first line such as #!/bin/sh"
                           : refusal.error == ENOENT ? "is the interpreter of its first line, or its loader, installed?"
                                                     : "";
      const bool passes = refusal.error == ENOMEM || refusal.error == EAGAIN || refusal.error == ETXTBSY || refusal.error == EMFILE ||
                          refusal.error == ENFILE || refusal.error == EIO;
      return {passes ? ErrorKind::unavailable : ErrorKind::invalid, fmt::format("exec failed: \"{}\": {}", spec.argv.front(), reason), "",
              remedy};
    }
    case Stage::files: break;
  }
  return io_failure("open the log files", start.folder, refusal.error).error();
}

}  // namespace

Result<pid_t> start_rank(const RankStart& start) {
  const int cores = available_cores() / static_cast<int>(start.launch->spec.ranks.size());
  const Environment environment = rank_environment(*start.launch, start.rank, cores);
  const LaunchSpec& spec = start.launch->spec;
  TRY_ASSIGN(const std::string program, find_program(spec.argv.front(), spec.work_dir, environment));
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) { variables.push_back(name + "=" + value); }
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) { return io_failure("make a pipe", start.folder, errno); }
  const Fd from(ends[0]);
  Fd to(ends[1]);
  const pid_t self = getpid();
  const pid_t pid = fork();
  if (pid == 0) { become(start, program, std::move(variables), self, to.get()); }
  if (pid < 0) {
    return fail(ErrorKind::unavailable, fmt::format("cannot start a process: {}", strerrordesc_np(errno)), "",
                "is the limit of processes (ulimit -u, pids.max) reached, or the memory full?");
  }
  setpgid(pid, pid);  // also here: whoever is first, a signal to the group finds it
  to.reset();
  Refusal refusal{};
  ssize_t got = 0;
  do { got = read(from.get(), &refusal, sizeof refusal); } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof refusal)) {
    waitpid(pid, nullptr, 0);
    return std::unexpected(explain(refusal, start));
  }
  return pid;
}

void kill_descendants(const std::string& cgroup) {
  kill_cgroup(cgroup);
  constexpr int kSweeps = 64;
  std::set<pid_t> met;
  int quiet = 0;
  for (int sweep = 0; sweep < kSweeps && quiet < 2; ++sweep) { quiet = signal_descendants(getpid(), SIGSTOP, met) == 0 ? quiet + 1 : 0; }
  std::set<pid_t> killed;
  signal_descendants(getpid(), SIGKILL, killed);
}

}  // namespace centrale::task
