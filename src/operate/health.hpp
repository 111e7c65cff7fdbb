// SPDX-License-Identifier: Apache-2.0
// Asks replicas whether they are ready, again and again: GET on their health path. Lives on the rim thread.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/ids.hpp"
#include "http/server.hpp"

namespace centrale {

class HealthWatch {
 public:
  struct Callbacks {
    std::function<void(TaskId, std::uint16_t port)> ready;
    std::function<void(TaskId, const std::string& reason)> unready;
  };
  HealthWatch(boost::asio::io_context& rim, Callbacks callbacks);
  ~HealthWatch();
  /// These may be called from any thread. A replica that answers 200 is ready; three bad answers in a row make it unready again.
  void watch(TaskId task, std::uint16_t port, std::string path);
  void forget(TaskId task);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace centrale
