// SPDX-License-Identifier: Apache-2.0
// Private to api/: forecasts take up to seconds, so they run on a thread of their own, one at a time. The core is copied only when it is
// a question's turn: what waits holds no copy.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/result.hpp"
#include "centre/core.hpp"
#include "operate/host.hpp"
#include "simulate/forecast.hpp"

namespace centrale::api {

/// What is to be forecast, copied on the core thread.
struct ForecastTask {
  Core core;
  Lengths lengths;
  JobId job;
  ForecastOptions options;
};

class Forecaster : public std::enable_shared_from_this<Forecaster> {
 public:
  /// On the core thread. Nothing: there is nothing to forecast, and who asked has been answered.
  using Prepare = std::function<std::optional<ForecastTask>(const Core& core, Time now)>;
  /// On the forecaster's thread.
  using Done = std::function<void(Result<Forecast>)>;

  Forecaster(Host& host, std::chrono::milliseconds at_most) : host_(host), at_most_(at_most) {}
  ~Forecaster() { stop(); }
  Forecaster(const Forecaster&) = delete;
  Forecaster& operator=(const Forecaster&) = delete;

  /// False: too many wait already; neither is called then.
  [[nodiscard]] bool ask(Prepare prepare, Done done);
  /// Breaks off what is under way and forgets what waits. Not from the forecaster's own thread.
  void stop();

  static constexpr std::size_t kWaitingMax = 64;  // at about a second each, the last would wait a minute

 private:
  struct Asked {
    Prepare prepare;
    Done done;
  };
  void begin_next();  // with the lock held
  void take(std::optional<ForecastTask> task, Done done);
  void work();

  Host& host_;
  const std::chrono::milliseconds at_most_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Asked> waiting_;
  std::optional<ForecastTask> task_;
  Done done_;
  bool busy_ = false;  // one is being copied or forecast
  bool stopped_ = false;
  std::atomic<bool> break_off_ = false;
  std::thread thread_;  // from the first question on
};

}  // namespace centrale::api
