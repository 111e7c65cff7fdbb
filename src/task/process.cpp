// SPDX-License-Identifier: Apache-2.0
#include "task/process.hpp"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <map>
#include <set>

namespace centrale::task {
namespace {

// The largest environment that is searched; execve allows 2 MiB on most machines, real ones have a few KiB.
constexpr std::size_t kEnvironmentMax = 2UL * 1024 * 1024;

std::string slurp(const std::string& path, std::size_t limit) {
  std::string text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) { return text; }
  char buffer[16384];
  ssize_t got = 0;
  while (text.size() < limit && (got = read(fd, buffer, sizeof buffer)) > 0) { text.append(buffer, static_cast<std::size_t>(got)); }
  close(fd);
  return text;
}

/// A process whose first thread has ended is shown as a zombie while its other threads run on.
bool is_dead(const ProcessStat& stat) { return stat.state == 'X' || (stat.state == 'Z' && stat.threads <= 1); }

/// Calls `visit(pid)` for every process that /proc shows.
template <class Visit>
void for_each_process(Visit visit) {
  DIR* proc = opendir("/proc");
  if (proc == nullptr) { return; }
  while (const dirent* entry = readdir(proc)) {
    pid_t pid = 0;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    const auto [stop, error] = std::from_chars(entry->d_name, end, pid);
    if (error == std::errc{} && stop == end && pid > 0) { visit(pid); }
  }
  closedir(proc);
}

}  // namespace

std::optional<ProcessStat> read_stat(pid_t pid) {
  const std::string text = slurp("/proc/" + std::to_string(pid) + "/stat", 4096);
  // The name, in parentheses, may hold anything, also ')': the fields start after the last one.
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 4 > text.size()) { return std::nullopt; }
  ProcessStat stat;
  int field = 3;
  std::size_t at = name_end + 2;
  stat.state = text[at];
  while (field < 22) {
    at = text.find(' ', at);
    if (at == std::string::npos) { return std::nullopt; }
    ++at;
    ++field;
    if (field == 4) {
      std::from_chars(text.data() + at, text.data() + text.size(), stat.parent);
    } else if (field == 20) {
      std::from_chars(text.data() + at, text.data() + text.size(), stat.threads);
    }
  }
  std::from_chars(text.data() + at, text.data() + text.size(), stat.start_ticks);
  return stat;
}

const std::string& boot_id() {
  static const std::string id = [] {
    std::string text = slurp("/proc/sys/kernel/random/boot_id", 64);
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) { text.pop_back(); }
    return text.empty() ? std::string("unknown") : text;
  }();
  return id;
}

Identity identify(pid_t pid) {
  const std::optional<ProcessStat> stat = read_stat(pid);
  return stat ? Identity{boot_id(), pid, stat->start_ticks} : Identity{};
}

bool lives(const Identity& who) {
  if (who.pid <= 0 || who.boot != boot_id()) { return false; }
  const std::optional<ProcessStat> stat = read_stat(who.pid);
  return stat && stat->start_ticks == who.start_ticks && !is_dead(*stat);
}

int open_process(const Identity& who) {
  if (who.pid <= 0 || who.boot != boot_id()) { return -1; }
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, who.pid, 0));  // glibc 2.36's header is not for C++
  if (fd < 0) { return -1; }
  // Looked at after the descriptor is held: from here on the pid cannot mean another process unnoticed.
  if (!lives(who)) {
    close(fd);
    return -1;
  }
  return fd;
}

bool send_signal(const Identity& who, int signal) {
  const int fd = open_process(who);
  if (fd < 0) { return false; }
  const bool sent = syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0) == 0;
  close(fd);
  return sent;
}

std::vector<Identity> descendants(pid_t root) {
  struct Node {
    Identity who;
    bool dead;
  };
  std::multimap<pid_t, Node> children;  // by parent
  for_each_process([&](pid_t pid) {
    if (const std::optional<ProcessStat> stat = read_stat(pid)) {
      children.emplace(stat->parent, Node{{boot_id(), pid, stat->start_ticks}, is_dead(*stat)});
    }
  });
  std::vector<Identity> found;
  std::vector<pid_t> parents{root};
  for (std::size_t i = 0; i < parents.size(); ++i) {
    const auto [from, to] = children.equal_range(parents[i]);
    for (auto it = from; it != to; ++it) {
      parents.push_back(it->second.who.pid);
      if (!it->second.dead) { found.push_back(it->second.who); }
    }
    children.erase(from, to);  // each is visited once, whatever the snapshot says
  }
  return found;
}

// /proc lists pids from low to high, so parents mostly come before their children, and who is forked meanwhile is still
// to come. Between the look and the signal lie microseconds; a pid is not used again that soon.
std::size_t signal_descendants(pid_t root, int signal, std::set<pid_t>& met) {
  std::set<pid_t> below{root};
  std::size_t count = 0;
  for_each_process([&](pid_t pid) {
    const std::optional<ProcessStat> stat = read_stat(pid);
    if (!stat || is_dead(*stat) || !below.contains(stat->parent)) { return; }
    below.insert(pid);
    if (met.insert(pid).second) { count += ::kill(pid, signal) == 0 ? 1U : 0U; }
  });
  return count;
}

namespace {

template <class Visit>
void for_each_with_environment(std::string_view name, std::string_view value, Visit visit) {
  std::string wanted;
  wanted.append(name).append("=").append(value).append(1, '\0');
  for_each_process([&](pid_t pid) {
    const Identity who = identify(pid);
    const std::string environment = slurp("/proc/" + std::to_string(pid) + "/environ", kEnvironmentMax);
    for (std::size_t at = environment.find(wanted); at != std::string::npos; at = environment.find(wanted, at + 1)) {
      if (at == 0 || environment[at - 1] == '\0') {
        visit(who);
        return;
      }
    }
  });
}

}  // namespace

std::vector<Identity> with_environment(std::string_view name, std::string_view value) {
  std::vector<Identity> found;
  for_each_with_environment(name, value, [&found](const Identity& who) { found.push_back(who); });
  std::erase_if(found, [](const Identity& who) { return !lives(who); });
  return found;
}

std::size_t signal_with_environment(std::string_view name, std::string_view value, int signal) {
  std::size_t count = 0;
  for_each_with_environment(name, value, [&](const Identity& who) { count += send_signal(who, signal) ? 1U : 0U; });
  return count;
}

std::vector<Identity> with_open_file(const std::string& path) {
  struct stat wanted {};
  std::vector<Identity> found;
  if (stat(path.c_str(), &wanted) != 0) { return found; }
  for_each_process([&](pid_t pid) {
    if (pid == getpid()) { return; }
    const Identity who = identify(pid);
    const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
    DIR* fds = opendir(folder.c_str());
    if (fds == nullptr) { return; }
    while (const dirent* entry = readdir(fds)) {
      struct stat have {};
      if (entry->d_name[0] != '.' && fstatat(dirfd(fds), entry->d_name, &have, 0) == 0 && have.st_dev == wanted.st_dev &&
          have.st_ino == wanted.st_ino) {
        found.push_back(who);
        break;
      }
    }
    closedir(fds);
  });
  return found;
}

}  // namespace centrale::task
