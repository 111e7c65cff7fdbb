// SPDX-License-Identifier: Apache-2.0
#include "cli/screen.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>

namespace centrale::cli {
namespace {

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n > 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd polled{STDOUT_FILENO, POLLOUT, 0};
      ::poll(&polled, 1, 1'000);
    } else if (errno != EINTR) {
      return;  // the terminal is gone
    }
  }
}

}  // namespace

Screen::Screen() {
  has_keys_ = ::tcgetattr(STDIN_FILENO, &former_) == 0;
  enter();
}

Screen::~Screen() { leave(); }

void Screen::enter() {
  if (has_keys_) {
    termios raw = former_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // signals stay: Ctrl-C and Ctrl-Z do what they do elsewhere
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  write_all("\x1b[?1049h\x1b[?25l\x1b[2J");
  forget();
}

void Screen::leave() {
  write_all("\x1b[?25h\x1b[?1049l");
  if (has_keys_) { ::tcsetattr(STDIN_FILENO, TCSANOW, &former_); }
}

void Screen::draw(const std::vector<std::string>& lines) {
  std::string text;
  if (shown_.size() != lines.size()) {
    text += "\x1b[2J";
    shown_.assign(lines.size(), std::string(1, '\0'));  // equal to no line
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (shown_[i] != lines[i]) { text += fmt::format("\x1b[{};1H\x1b[2K{}", i + 1, lines[i]); }
  }
  shown_ = lines;
  write_all(text);
}

std::string Screen::typed() {
  std::array<char, 256> bytes;  // NOLINT: filled by read
  pollfd polled{STDIN_FILENO, POLLIN, 0};
  if (!has_keys_ || ::poll(&polled, 1, 0) <= 0) { return {}; }
  const ssize_t n = ::read(STDIN_FILENO, bytes.data(), bytes.size());
  return n > 0 ? std::string(bytes.data(), static_cast<std::size_t>(n)) : std::string{};
}

void Screen::suspend() {
  leave();
  ::raise(SIGSTOP);
  enter();
}

}  // namespace centrale::cli
