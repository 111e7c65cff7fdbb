// SPDX-License-Identifier: Apache-2.0
// The whole terminal, borrowed: alternate screen, keys without Enter. Given back when it goes, whatever the way out.
#pragma once
#include <termios.h>

#include <string>
#include <vector>

namespace centrale::cli {

class Screen {
 public:
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  /// Writes the lines that differ from those on the screen.
  void draw(const std::vector<std::string>& lines);
  /// The next draw() writes everything.
  void forget() { shown_.clear(); }
  /// What was typed since; empty if nothing.
  [[nodiscard]] std::string typed();
  /// Ctrl-Z: gives the terminal back, stops this process, and takes the terminal again when it goes on.
  void suspend();

 private:
  void enter();
  void leave();
  termios former_{};
  bool has_keys_ = false;
  std::vector<std::string> shown_;
};

}  // namespace centrale::cli
