// SPDX-License-Identifier: Apache-2.0
#include "task/environment.hpp"

#include <errno.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace centrale::task {
namespace {

void set(Environment& environment, std::string_view name, std::string value) {
  const auto at = std::find_if(environment.begin(), environment.end(), [&](const auto& each) { return each.first == name; });
  if (at != environment.end()) {
    at->second = std::move(value);
  } else {
    environment.emplace_back(name, std::move(value));
  }
}

/// 0, or the errno that says why `path` cannot be executed.
int refusal(const std::string& path) {
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) { return errno; }
  if (S_ISDIR(file.st_mode)) { return EISDIR; }
  return access(path.c_str(), X_OK) == 0 ? 0 : errno;
}

}  // namespace

Environment rank_environment(const Launch& launch, int rank, int cores) {
  const LaunchSpec& spec = launch.spec;
  const RankSpec& mine = spec.ranks[static_cast<std::size_t>(rank)];
  Environment all;
  // First, because only the start of a long environment is sure to be searched for it.
  set(all, kMarkVariable, launch.mark);
  for (const auto& [name, value] : launch.base_env) { set(all, name, value); }
  for (const auto& [name, value] : spec.env) { set(all, name, value); }
  set(all, kMarkVariable, launch.mark);
  if (!spec.job.empty()) { set(all, "CENTRALE_JOB", spec.job); }
  set(all, "CENTRALE_TASK", to_string(spec.task));
  set(all, "CENTRALE_ATTEMPT", std::to_string(spec.attempt));
  set(all, "CENTRALE_WORK_DIR", spec.work_dir);
  if (!spec.checkpoint_dir.empty()) { set(all, "CENTRALE_CHECKPOINT_DIR", spec.checkpoint_dir); }
  if (spec.array_index) { set(all, "CENTRALE_ARRAY_INDEX", std::to_string(*spec.array_index)); }
  if (launch.port != 0) { set(all, "CENTRALE_PORT", std::to_string(launch.port)); }
  set(all, "RANK", std::to_string(rank));
  set(all, "LOCAL_RANK", std::to_string(rank));
  set(all, "WORLD_SIZE", std::to_string(spec.ranks.size()));
  if (launch.master_port != 0) {
    set(all, "MASTER_ADDR", "127.0.0.1");
    set(all, "MASTER_PORT", std::to_string(launch.master_port));
  }
  const std::size_t threads = mine.cpus.empty() ? static_cast<std::size_t>(std::max(1, cores)) : mine.cpus.size();
  set(all, "OMP_NUM_THREADS", std::to_string(threads));
  if (!mine.visible_variable.empty()) { set(all, mine.visible_variable, fmt::format("{}", fmt::join(mine.visible_devices, ","))); }
  return all;
}

Result<std::string> find_program(const std::string& word, const std::string& work_dir, const Environment& environment) {
  if (word.find('/') != std::string::npos) {
    const std::string path = word.front() == '/' ? word : work_dir + "/" + word;
    if (const int error = refusal(path); error != 0) {
      const bool relative = word.front() != '/' && error == ENOENT;
      return fail(ErrorKind::invalid,
                  fmt::format("exec failed: \"{}\": {}", word, error == ENOENT ? "no such file" : strerrordesc_np(error)),
                  relative ? work_dir : "", error == EACCES ? "make it executable: chmod +x" : "");
    }
    return path;
  }
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";
  for (const auto& [name, value] : environment) {
    if (name == "PATH") { path = value; }
  }
  int worst = ENOENT;
  for (std::string_view rest = path; !rest.empty();) {
    const std::size_t colon = rest.find(':');
    const std::string folder(rest.substr(0, colon));
    rest = colon == std::string_view::npos ? std::string_view{} : rest.substr(colon + 1);
    // An empty part means the current folder to a shell; here that is the task's working folder.
    const std::string candidate = (folder.empty() ? work_dir : folder.front() == '/' ? folder : work_dir + "/" + folder) + "/" + word;
    const int error = refusal(candidate);
    if (error == 0) { return candidate; }
    struct stat file {};  // a folder of PATH that we may not enter says nothing about the program
    worst = error == EACCES && stat(candidate.c_str(), &file) == 0 ? EACCES : worst;
  }
  if (worst == EACCES) {
    return fail(ErrorKind::invalid, fmt::format("exec failed: \"{}\": Permission denied", word), "", "make it executable: chmod +x");
  }
  return fail(ErrorKind::invalid, fmt::format("exec failed: \"{}\": no such file", word), "",
              fmt::format("it is not on PATH ({}); install it, or give its path", path));
}

void put_port(std::vector<std::string>& argv, int port) {
  constexpr std::string_view kPlace = "{port}";
  const std::string number = std::to_string(port);
  for (std::string& word : argv) {
    for (std::size_t at = word.find(kPlace); at != std::string::npos; at = word.find(kPlace, at + number.size())) {
      word.replace(at, kPlace.size(), number);
    }
  }
}

}  // namespace centrale::task
