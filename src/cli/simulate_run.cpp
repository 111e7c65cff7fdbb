// SPDX-License-Identifier: Apache-2.0
#include "cli/simulate_run.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

namespace centrale::cli {
namespace {

constexpr std::chrono::milliseconds kLook{100};

/// Runs are taken one after the other by whichever thread is free.
class Runs {
 public:
  explicit Runs(const RunRequest& request)
      : request_(request),
        count_(request.simulation.policies.size() * request.simulation.seeds.size()),
        parts_(count_),
        outcomes_(count_) {}

  void play() {
    const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
    const std::size_t threads = std::min(request_.threads > 0 ? request_.threads : cores, count_);
    working_ = threads;
    std::vector<std::jthread> pool;
    for (std::size_t i = 0; i < threads; ++i) {
      pool.emplace_back([this] { work(); });
    }
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, kLook, [this] { return working_ == 0; })) {
      if (request_.progress) {
        lock.unlock();  // whoever draws may be slow
        request_.progress(done(), finished_);
        lock.lock();
      }
    }
  }

  Outcome<std::vector<RunOutput>> outputs() {
    std::vector<RunOutput> all;
    for (auto& outcome : outcomes_) {
      if (!outcome) { continue; }  // not begun, since an earlier or later one failed
      if (!*outcome) { return std::unexpected(std::move(*outcome).error()); }
      all.push_back(**std::move(outcome));
    }
    return all;
  }

 private:
  void work() {
    auto estimator = request_.simulation.speeds.make();
    for (std::size_t i = next_++; i < count_ && !failed_; i = next_++) {
      outcomes_[i] = estimator ? run(i, **estimator) : std::unexpected(estimator.error());
      if (!*outcomes_[i]) { failed_ = true; }
      parts_[i] = 1;
      ++finished_;
    }
    const std::scoped_lock lock(mutex_);
    --working_;
    ended_.notify_one();
  }

  Outcome<RunOutput> run(std::size_t index, const Estimator& estimator) {
    const Simulation& s = request_.simulation;
    const std::size_t seed = index % s.seeds.size();
    TRY_ASSIGN(const std::shared_ptr<const Workload> workload, s.workload(s.seeds[seed]));
    Twin twin{.workload = *workload, .machines = s.machines, .estimator = &estimator, .options = s.twin, .progress = {}};
    twin.options.scheduling.policy = s.policies[index / s.seeds.size()];
    twin.options.seed = s.seeds[seed];
    twin.options.keep_timeline = request_.timeline && seed == 0;
    twin.progress = [&part = parts_[index]](double done, Time) { part = done; };
    TRY_ASSIGN(const TwinResult result, run_twin(twin));
    RunOutput output;
    output.report = report_of(result, *workload, s.window);
    output.kinds = result.kinds;
    if (request_.csv) { append_jobs_csv(result, *workload, output.csv); }
    if (twin.options.keep_timeline) { append_timeline(result, *workload, index / s.seeds.size(), output.timeline, output.left_out); }
    return output;
  }

  [[nodiscard]] double done() const {
    double sum = 0;
    for (const auto& part : parts_) { sum += part; }
    return sum / static_cast<double>(count_);
  }

  const RunRequest& request_;
  std::size_t count_;
  std::vector<std::atomic<double>> parts_;
  std::vector<std::optional<Outcome<RunOutput>>> outcomes_;
  std::atomic<std::size_t> next_ = 0, finished_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::size_t working_ = 0;  // under mutex_
};

}  // namespace

Outcome<std::vector<RunOutput>> run_all(const RunRequest& request) {
  Runs runs(request);
  runs.play();
  return runs.outputs();
}

}  // namespace centrale::cli
