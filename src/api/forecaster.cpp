// SPDX-License-Identifier: Apache-2.0
#include "api/forecaster.hpp"

#include <utility>

namespace centrale::api {

bool Forecaster::ask(Prepare prepare, Done done) {
  const std::lock_guard lock(mutex_);
  if (stopped_ || waiting_.size() >= kWaitingMax) { return false; }
  waiting_.push_back({std::move(prepare), std::move(done)});
  if (!busy_) { begin_next(); }
  return true;
}

void Forecaster::begin_next() {
  if (waiting_.empty() || stopped_) {
    busy_ = false;
    return;
  }
  busy_ = true;
  host_.read([self = shared_from_this(), asked = std::move(waiting_.front())](const Core& core, Time now) mutable {
    self->take(asked.prepare(core, now), std::move(asked.done));
  });
  waiting_.pop_front();
}

void Forecaster::take(std::optional<ForecastTask> task, Done done) {
  const std::lock_guard lock(mutex_);
  if (!task || stopped_) {
    begin_next();
    return;
  }
  task_ = std::move(task);
  done_ = std::move(done);
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { work(); });
  }  // stop() joins it before this ends
  wake_.notify_one();
}

void Forecaster::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stopped_ || task_.has_value(); });
    if (stopped_) { return; }
    std::optional<ForecastTask> task = std::exchange(task_, std::nullopt);
    const Done done = std::exchange(done_, nullptr);
    lock.unlock();
    const auto end = std::chrono::steady_clock::now() + at_most_;
    task->options.go_on = [this, end] { return !break_off_ && std::chrono::steady_clock::now() < end; };
    done(forecast(task->core, task->lengths, task->job, task->options));
    task.reset();
    lock.lock();
    begin_next();
  }
}

void Forecaster::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    break_off_ = true;
    waiting_.clear();
    wake_.notify_all();
  }
  if (thread_.joinable()) { thread_.join(); }
}

}  // namespace centrale::api
