// SPDX-License-Identifier: Apache-2.0
// Shared by tests: a journal made by hand.
#pragma once
#include <algorithm>
#include <map>
#include <queue>
#include <string>
#include <vector>

#include "centre/core.hpp"

namespace centrale::replay_testing {

inline constexpr Time kDawn{1'700'000'000'000'000'000};

inline Time at(double s) { return kDawn + Nanos{static_cast<std::int64_t>(s * 1e9)}; }

struct Line {
  std::uint64_t sequence = 0;
  Time at;
  std::string payload;
};

/// A small centre with programs that do as they are told: wishes go in, a journal comes out.
class Centre {
 public:
  /// How one attempt of a program goes: runs so long, then ends so.
  struct Attempt {
    double runs_s = 1;
    std::int64_t code = 0;
    bool cannot_start = false;
  };
  struct Program {
    std::vector<Attempt> attempts;  // by attempt; the last one for all later
    bool checkpoints = false;       // what it did before a stop needs not be done again
    double starts_s = 0.02, stops_s = 0.05;
  };

  explicit Centre(const std::string& policy = "fifo") : core_(make_policy("fifo").value()) {
    Scheduling scheduling;
    scheduling.policy = policy;
    wish(0, SchedulingSet{scheduling});
    wish(0, TenantDefined{"default", {}});
  }

  void node(double s, const std::string& name, std::int64_t chips) {
    NodeJoined joined;
    joined.name = name;
    joined.memory = mebibytes(1 << 20);
    joined.chips = {{.kind = "cpu-core", .count = chips, .memory = {}, .power = {10'000}, .price_per_hour = {1'000'000}}};
    wish(s, joined);
  }
  void submit(double s, const JobSpec& spec, Program program) {
    programs_[spec.name] = std::move(program);
    wish(s, JobSubmitted{TenantId{1}, spec, {}});
  }
  void wish(double s, Event event) { wishes_.push_back({at(s), std::move(event)}); }

  /// Lives until nothing is to be done, or until then.
  std::vector<Line> live(double until_s = 1e6) {
    std::ranges::stable_sort(wishes_, {}, &Wish::at);
    for (const Wish& each : wishes_) {
      while (!due_.empty() && due_.top().at <= each.at) { next(); }
      if (each.at > at(until_s)) { break; }
      take(each.at, each.event);
    }
    while (!due_.empty() && due_.top().at <= at(until_s)) { next(); }
    return lines_;
  }
  [[nodiscard]] const Core& core() const { return core_; }
  [[nodiscard]] const std::vector<Line>& lines() const { return lines_; }

 private:
  struct Wish {
    Time at;
    Event event;
  };
  struct Due {
    Time at;
    std::uint64_t order = 0;
    Event event;
    std::uint64_t task = 0;  // void if it is not the newest of the task
    std::uint32_t version = 0;
    bool operator>(const Due& other) const { return at != other.at ? at > other.at : order > other.order; }
  };

  void next() {
    const Due due = due_.top();
    due_.pop();
    if (due.task == 0 || version_[due.task] == due.version) { take(due.at, due.event); }
  }
  void push(Time when, Event event, std::uint64_t task = 0) {
    due_.push({.at = when, .order = order_++, .event = std::move(event), .task = task, .version = version_[task]});
  }
  void take(Time now, const Event& event) {
    std::string payload;
    encode(event, payload);
    out_.clear();
    if (!core_.apply(event, now, out_)) { return; }  // refused: no trace of it
    lines_.push_back({core_.sequence(), now, payload});
    const std::vector<Action> actions = out_.actions;
    for (const Action& action : actions) {
      if (const auto* const timer = std::get_if<SetTimer>(&action.act)) { push(timer->due, TimerFired{timer->timer}); }
      if (const auto* const start = std::get_if<StartTask>(&action.act)) { begin(start->task, now); }
      if (const auto* const stop = std::get_if<StopTask>(&action.act)) { end(stop->task, now); }
    }
  }
  void begin(TaskId id, Time now) {
    if (core_.task(id)->service) {
      push(now + milliseconds(300), TaskStarted{id}, id.value);
      push(now + milliseconds(700), ReplicaReady{.task = id, .port = 8000}, id.value);
      return;
    }
    const Job& job = *core_.job(core_.task(id)->job);
    const Program& program = programs_.at(job.spec.name);
    const std::size_t failed = own_ends_[job.id.value];
    const Attempt& attempt = program.attempts[std::min(failed, program.attempts.size() - 1)];
    const Time started = now + Nanos{static_cast<std::int64_t>(program.starts_s * 1e9)};
    if (attempt.cannot_start) {
      ++own_ends_[job.id.value];
      push(started, TaskStartFailed{id, "no such program", false}, id.value);
      return;
    }
    push(started, TaskStarted{id}, id.value);
    started_[id.value] = started;
    const Nanos left{static_cast<std::int64_t>(attempt.runs_s * 1e9) - done_[job.id.value].value};
    TaskExited exited;
    exited.task = id;
    exited.code = attempt.code;
    push(started + left, exited, id.value);
    ++own_ends_[job.id.value];
  }
  void end(TaskId id, Time now) {
    if (core_.task(id)->service) {
      ++version_[id.value];
      TaskExited exited;
      exited.task = id;
      push(now + milliseconds(200), exited, id.value);
      return;
    }
    const Job& job = *core_.job(core_.task(id)->job);
    const Program& program = programs_.at(job.spec.name);
    ++version_[id.value];
    --own_ends_[job.id.value];  // it did not end by itself after all
    if (program.checkpoints) { done_[job.id.value] += std::max(Nanos{}, now - started_[id.value]); }
    TaskExited exited;
    exited.task = id;
    exited.signal = 15;
    push(now + Nanos{static_cast<std::int64_t>(program.stops_s * 1e9)}, exited, id.value);
  }

  Core core_;
  Output out_;
  std::vector<Wish> wishes_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::uint64_t order_ = 0;
  std::map<std::string, Program> programs_;
  std::map<std::uint64_t, std::uint32_t> version_;
  std::map<std::uint64_t, std::size_t> own_ends_;  // by job
  std::map<std::uint64_t, Nanos> done_;            // by job, as its checkpoint says
  std::map<std::uint64_t, Time> started_;
  std::vector<Line> lines_;
};

}  // namespace centrale::replay_testing
