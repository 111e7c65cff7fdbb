// SPDX-License-Identifier: Apache-2.0
#include "task/cgroup.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <string_view>
#include <vector>

#include "task/folder.hpp"

namespace centrale::task {
namespace {

constexpr std::size_t kFileMax = 4UL * 1024 * 1024;

bool put(const std::string& path, std::string_view text) {
  const Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::string get(const std::string& path) { return read_small(path, kFileMax).value_or(std::string{}); }

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

/// "oom_kill 3" in a file of lines.
std::optional<std::int64_t> number_after(std::string_view text, std::string_view key) {
  for (const std::string_view line : split(text, '\n')) {
    if (line.size() > key.size() + 1 && line.starts_with(key) && line[key.size()] == ' ') {
      std::int64_t value = 0;
      const std::string_view digits = line.substr(key.size() + 1);
      if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec == std::errc{}) { return value; }
    }
  }
  return std::nullopt;
}

/// Where the v2 hierarchy is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside v1.
std::string mount_point() {
  const std::string mounts = get("/proc/self/mountinfo");
  for (const std::string_view line : split(mounts, '\n')) {
    // 29 23 0:26 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw
    if (line.find(" - cgroup2 ") != std::string_view::npos) {
      const std::vector<std::string_view> words = split(line, ' ');
      if (words.size() > 4 && words[3] == "/") { return std::string(words[4]); }
    }
  }
  return {};
}

enum class Use { none, kill, kill_and_memory };

constexpr std::string_view kTrial = "centrale-trial-";

/// Trial groups of centres that were killed between making and removing them.
void remove_old_trials(const std::string& parent) {
  std::error_code error;
  std::vector<std::string> old;
  for (std::filesystem::directory_iterator it(parent, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    pid_t pid = 0;
    if (name.starts_with(kTrial) && std::from_chars(name.data() + kTrial.size(), name.data() + name.size(), pid).ec == std::errc{} &&
        !read_stat(pid)) {
      old.push_back(it->path().string());
    }
  }
  for (const std::string& path : old) { rmdir(path.c_str()); }
}

/// What task groups under `parent` would be good for; tries it.
Use usable(const std::string& parent) {
  if (access((parent + "/cgroup.procs").c_str(), W_OK) != 0) {
    return Use::none;  // moving a process needs this file of the common parent, not only the child's
  }
  remove_old_trials(parent);
  put(parent + "/cgroup.subtree_control", "+memory");  // refused where it is not ours to give, or not empty
  const std::string trial = fmt::format("{}/{}{}", parent, kTrial, getpid());
  if (mkdir(trial.c_str(), 0755) != 0) { return Use::none; }
  const bool kills = access((trial + "/cgroup.kill").c_str(), W_OK) == 0;  // Linux 5.14
  const bool limits = access((trial + "/memory.max").c_str(), W_OK) == 0;
  rmdir(trial.c_str());
  return !kills ? Use::none : limits ? Use::kill_and_memory : Use::kill;
}

}  // namespace

std::string find_cgroup_parent() {
  const std::string root = mount_point();
  std::string own;
  const std::string groups = get("/proc/self/cgroup");
  for (const std::string_view line : split(groups, '\n')) {
    if (line.starts_with("0::/")) { own = line.substr(3); }
  }
  if (root.empty() || own.empty() || own.find("/..") != std::string::npos) { return {}; }
  own = own == "/" ? root : root + own;
  const Use mine = usable(own);
  if (mine == Use::kill_and_memory || own == root) { return mine == Use::none ? std::string{} : own; }
  const std::string parent = own.substr(0, own.rfind('/'));
  char flag = '0';
  const bool delegated =
      getxattr(parent.c_str(), "trusted.delegate", &flag, 1) == 1 || getxattr(parent.c_str(), "user.delegate", &flag, 1) == 1;
  if (delegated && flag == '1' && usable(parent) == Use::kill_and_memory) { return parent; }
  return mine == Use::none ? std::string{} : own;
}

bool make_cgroup(const std::string& path) {
  return !path.empty() && (mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) && access((path + "/cgroup.procs").c_str(), W_OK) == 0;
}

bool limit_memory(const std::string& path, Bytes max) {
  put(path + "/memory.oom.group", "1");  // a gang that lost one process to the limit is of no use
  put(path + "/memory.swap.max", "0");   // else the limit only makes the machine slow
  return put(path + "/memory.max", std::to_string(max.value));
}

bool kill_cgroup(const std::string& path) { return !path.empty() && put(path + "/cgroup.kill", "1"); }

bool cgroup_is_populated(const std::string& path) {
  return !path.empty() && number_after(get(path + "/cgroup.events"), "populated").value_or(0) != 0;
}

CgroupUse read_cgroup(const std::string& path) {
  CgroupUse use;
  use.oom_kills = number_after(get(path + "/memory.events"), "oom_kill").value_or(0);
  const std::string peak = get(path + "/memory.peak");  // Linux 5.19
  std::int64_t bytes = 0;
  if (std::from_chars(peak.data(), peak.data() + peak.size(), bytes).ec == std::errc{}) { use.memory_peak = Bytes{bytes}; }
  if (const std::optional<std::int64_t> usec = number_after(get(path + "/cpu.stat"), "usage_usec")) { use.cpu = Nanos{*usec * 1000}; }
  return use;
}

bool remove_cgroup(const std::string& path) {
  if (path.empty() || rmdir(path.c_str()) == 0 || errno == ENOENT) { return true; }
  // Groups that the task made inside its own; cgroup.kill took what was in them.
  std::error_code error;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    if (it->is_directory(error)) { remove_cgroup(it->path().string()); }
  }
  return rmdir(path.c_str()) == 0;
}

}  // namespace centrale::task
