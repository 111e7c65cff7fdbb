// SPDX-License-Identifier: Apache-2.0
// For tests: a small centre in virtual time whose jobs have a true length that only the test knows.
#pragma once
#include <map>
#include <queue>
#include <string>
#include <vector>

#include "base/ensure.hpp"
#include "base/random.hpp"
#include "centre/core.hpp"

namespace centrale::testing {

class TrueWorld {
 public:
  explicit TrueWorld(const std::string& policy) : core_(make_policy(policy).value()) { apply(TenantDefined{"default", {}}); }

  void node(const std::string& name, std::int64_t chips, const std::string& kind = "a") {
    apply(NodeJoined{.name = name,
                     .memory = mebibytes(65'536),
                     .chips = {{.kind = kind, .count = chips, .memory = {}, .power = {}, .price_per_hour = {}}}});
  }
  static JobSpec spec(std::int64_t workers, std::int64_t chips = 1) {
    JobSpec made;
    made.name = "job";
    made.command = {"true"};
    made.workers = workers;
    made.chips = chips;
    return made;
  }
  /// Runs `seconds` at rate 1.
  JobId submit(JobSpec job, double seconds, Shared<Speeds> speeds = {}) {
    const JobId id{core_.job(JobId{1}) == nullptr && lengths_.empty() ? 1 : next_++};
    lengths_[id.value] = seconds;
    apply(JobSubmitted{.tenant = TenantId{1}, .spec = std::move(job), .speeds = std::move(speeds)});
    ensure(core_.job(id) != nullptr);
    return id;
  }
  void apply(Event event) {
    Output out;
    const auto applied = core_.apply(std::move(event), now_, out);
    ensure(applied.has_value());
    for (const Action& action : out.actions) {
      if (const auto* const timer = std::get_if<SetTimer>(&action.act)) {
        due_.push({timer->due, order_++, timer->timer.value, false});
      } else if (const auto* const begun = std::get_if<StartTask>(&action.act)) {
        const JobId job = core_.task(begun->task)->job;
        starts_.try_emplace(job.value, now_);
        due_.push({now_ + Nanos{static_cast<std::int64_t>(lengths_.at(job.value) * 1e9)}, order_++, begun->task.value, true});
        begun_.push_back(begun->task);
      }
    }
    while (!begun_.empty()) {
      const TaskId task = begun_.back();
      begun_.pop_back();
      apply(TaskStarted{task});
    }
  }
  /// Plays everything that is due until then.
  void until(Time end) {
    while (!due_.empty() && due_.top().at <= end) { step(); }
    now_ = end;
  }
  bool step() {
    if (due_.empty()) { return false; }
    const Due due = due_.top();
    due_.pop();
    now_ = std::max(now_, due.at);
    if (due.is_task) {
      TaskExited exited;
      exited.task = TaskId{due.id};
      apply(std::move(exited));
    } else {
      apply(TimerFired{TimerId{due.id}});
    }
    return true;
  }
  /// Plays on until the job starts; the time at which it did.
  Time start_of(JobId job) {
    while (!starts_.contains(job.value)) { ensure(step()); }
    return starts_.at(job.value);
  }
  [[nodiscard]] const Core& core() const { return core_; }
  [[nodiscard]] Time now() const { return now_; }

 private:
  struct Due {
    Time at;
    std::uint64_t order = 0;
    std::uint64_t id = 0;
    bool is_task = false;
    bool operator>(const Due& other) const { return at != other.at ? at > other.at : order > other.order; }
  };
  Core core_;
  Time now_{1'000'000'000};
  std::uint64_t next_ = 2, order_ = 0;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::map<std::uint64_t, double> lengths_;
  std::map<std::uint64_t, Time> starts_;
  std::vector<TaskId> begun_;
};

}  // namespace centrale::testing
