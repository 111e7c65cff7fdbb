// SPDX-License-Identifier: Apache-2.0
#include "operate/discover_command.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

namespace centrale::discovery {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

int milliseconds_until(Deadline deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now()).count();
  return static_cast<int>(std::clamp<long>(left, 0, 3'600'000));
}

struct SpawnSetup {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  explicit SpawnSetup(int socket) {
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, socket, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;
};

}  // namespace

Result<ChildProcess> ChildProcess::start(const std::vector<std::string>& argv) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail(ErrorKind::io, fmt::format("cannot make a socket pair: {}", std::strerror(errno)), argv[0]);
  }
  std::vector<char*> words;
  for (const std::string& word : argv) { words.push_back(const_cast<char*>(word.c_str())); }
  words.push_back(nullptr);
  const SpawnSetup setup(ends[1]);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, words[0], &setup.actions, &setup.attributes, words.data(), environ);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    return fail(error == ENOENT ? ErrorKind::not_found : ErrorKind::io, fmt::format("cannot start it: {}", std::strerror(error)), argv[0]);
  }
  return ChildProcess(pid, ends[0]);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), socket_(std::exchange(other.socket_, -1)), reaped_(other.reaped_), code_(other.code_) {}

ChildProcess::~ChildProcess() {
  if (socket_ >= 0) { ::close(socket_); }
  if (pid_ > 0 && !ended()) {
    kill();
    (void)exit_code(steady_clock::now() + milliseconds(200));
  }
}

Result<std::string> ChildProcess::read_until(std::string_view terminator, Deadline deadline, std::size_t bytes_max) {
  std::string text;
  char buffer[8192];
  while (terminator.empty() || !text.ends_with(terminator)) {
    pollfd waiting{socket_, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, milliseconds_until(deadline));
    if (ready < 0 && errno == EINTR) { continue; }
    if (ready <= 0) { return fail(ErrorKind::unavailable, "it did not answer in time"); }
    const ssize_t got = ::recv(socket_, buffer, sizeof buffer, 0);
    if (got <= 0) { return terminator.empty() ? Result<std::string>(std::move(text)) : fail(ErrorKind::io, "it ended without an answer"); }
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > bytes_max) { return fail(ErrorKind::invalid, "it said more than can be true"); }
  }
  return text;
}

bool ChildProcess::write(std::string_view text) {
  // A few bytes into an empty socket: never a short write, and a full one means that it no longer reads.
  return ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(text.size());
}

void ChildProcess::close_input() { ::shutdown(socket_, SHUT_WR); }

void ChildProcess::kill() {
  if (!reaped_) { ::kill(-pid_, SIGKILL); }
}

bool ChildProcess::ended() {
  if (!reaped_) {
    int status = 0;
    const pid_t got = ::waitpid(pid_, &status, WNOHANG);
    // ECHILD: somebody else in this process collects all children; it has ended all the same.
    reaped_ = got == pid_ || (got < 0 && errno == ECHILD);
    if (got == pid_ && WIFEXITED(status)) { code_ = WEXITSTATUS(status); }
  }
  return reaped_;
}

std::optional<int> ChildProcess::exit_code(Deadline deadline) {
  while (!ended() && steady_clock::now() < deadline) { std::this_thread::sleep_for(milliseconds(2)); }
  return code_;
}

}  // namespace centrale::discovery
