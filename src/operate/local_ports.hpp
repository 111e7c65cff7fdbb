// SPDX-License-Identifier: Apache-2.0
// Free ports of the loopback interface for tasks that listen.
#pragma once
#include <set>

#include "base/result.hpp"

namespace centrale::local {

/// Gives each task another port. Below the kernel's range for outgoing connections (32768 and up), so that no client's
/// connection takes the port between our look and the task's bind; a port just given is not given again soon.
class Ports {
 public:
  Ports();
  /// unavailable when all are taken.
  [[nodiscard]] Result<int> take();
  void keep(int port) { taken_.insert(port); }  // of an adopted task
  void release(int port) { taken_.erase(port); }

  static constexpr int kFirst = 20'000;
  static constexpr int kCount = 12'000;

 private:
  std::set<int> taken_;
  int next_ = 0;
};

}  // namespace centrale::local
