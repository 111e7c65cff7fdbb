// SPDX-License-Identifier: Apache-2.0
// Signals as something to wait for: while one of these lives, the named signals do not end the process but make fd() readable.
#pragma once
#include <chrono>
#include <vector>

namespace centrale::cli {

class Signals {
 public:
  explicit Signals(std::vector<int> numbers);
  ~Signals();  // puts the former handlers back
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  [[nodiscard]] int fd() const;
  /// Has it come since this was last asked?
  [[nodiscard]] bool take(int number);
  /// Did SIGINT, SIGTERM or SIGHUP come, ever?
  [[nodiscard]] bool told_to_end();
  /// Sleeps, but not through a signal.
  void pause(std::chrono::milliseconds time);

 private:
  void drain();
  struct Former;
  std::vector<int> numbers_;
  std::vector<Former> former_;
  bool ended_ = false;
};

}  // namespace centrale::cli
