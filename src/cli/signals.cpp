// SPDX-License-Identifier: Apache-2.0
#include "cli/signals.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/ensure.hpp"

namespace centrale::cli {
namespace {

// A handler can reach nothing else.
std::array<int, 2> pipe_ends{-1, -1};          // NOLINT
std::array<volatile sig_atomic_t, 65> seen{};  // NOLINT

void on_signal(int number) {
  const int saved = errno;
  if (number > 0 && number < static_cast<int>(seen.size())) { seen[static_cast<std::size_t>(number)] = 1; }
  const char byte = 0;
  [[maybe_unused]] const ssize_t n = ::write(pipe_ends[1], &byte, 1);  // a full pipe wakes as well
  errno = saved;
}

}  // namespace

struct Signals::Former {
  struct sigaction action;
};

Signals::Signals(std::vector<int> numbers) : numbers_(std::move(numbers)) {
  ensure(pipe_ends[0] == -1);  // one at a time
  ensure(::pipe2(pipe_ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
  for (const int number : numbers_) {
    seen[static_cast<std::size_t>(number)] = 0;
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    Former former{};
    ::sigaction(number, &action, &former.action);
    former_.push_back(former);
  }
}

Signals::~Signals() {
  for (std::size_t i = 0; i < numbers_.size(); ++i) { ::sigaction(numbers_[i], &former_[i].action, nullptr); }
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
  pipe_ends = {-1, -1};
}

int Signals::fd() const { return pipe_ends[0]; }

void Signals::drain() {
  std::array<char, 64> bytes;  // NOLINT: filled by read
  while (::read(pipe_ends[0], bytes.data(), bytes.size()) > 0) {}
}

bool Signals::take(int number) {
  drain();
  const bool came = seen[static_cast<std::size_t>(number)] != 0;
  if (came) { seen[static_cast<std::size_t>(number)] = 0; }
  return came;
}

bool Signals::told_to_end() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) { ended_ = take(number) || ended_; }
  return ended_;
}

void Signals::pause(std::chrono::milliseconds time) {
  pollfd polled{pipe_ends[0], POLLIN, 0};
  ::poll(&polled, 1, static_cast<int>(time.count()));
}

}  // namespace centrale::cli
