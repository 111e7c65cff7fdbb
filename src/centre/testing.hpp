// SPDX-License-Identifier: Apache-2.0
// For tests: a small centre with drivers and users played from a seed.
#pragma once
#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "centre/core.hpp"

namespace centrale {

inline JobSpec job_spec(const std::string& name) {
  JobSpec spec;
  spec.name = name;
  spec.command = {"true"};
  return spec;
}

using MakePolicy = std::unique_ptr<Policy> (*)();
inline std::unique_ptr<Policy> sound_policy() { return make_policy("fifo").value(); }

/// Plays driver and users of a small centre, all from one seed; keeps its own books of what must be true, and says what was not.
class World {
 public:
  World(std::uint64_t seed, std::int64_t steps, MakePolicy policy = &sound_policy)
      : random_(seed), steps_(steps), policy_(policy), core_(policy(), {.jobs_finished_kept = 50}) {}

  [[nodiscard]] const std::vector<std::string>& faults() const { return faults_; }
  /// Tasks are moved by themselves, this often.
  void defragment(Nanos period) { defrag_period_ = period; }
  /// How often one was.
  [[nodiscard]] std::size_t moved() const { return moved_.size(); }

  void run(bool with_restores) {
    send(TenantDefined{"default", {}});
    send(TenantDefined{"small", {.chips_max = 3, .tokens_per_day_max = 0}});
    for (int n = 0; n < 3; ++n) { join(n); }
    if (defrag_period_.value > 0) {
      Scheduling scheduling = core_.scheduling();
      scheduling.defrag = "auto";
      scheduling.defrag_period = defrag_period_;
      send(SchedulingSet{scheduling});
    }
    for (std::int64_t step = 0; step < steps_ && faults_.empty(); ++step) {
      now_ = now_ + milliseconds(static_cast<std::int64_t>(random_() % 2000));
      fire_timers();
      act();
      if (step % 16 == 0) { sound(); }
      if (with_restores && step % 97 == 0) { restore(); }
    }
    if (faults_.empty()) { drain(); }
  }

  [[nodiscard]] std::string snapshot() const { return core_.snapshot(); }

 private:
  void must(bool condition, const std::string& otherwise) {
    if (!condition) { faults_.push_back(otherwise); }
  }
  void sound() {
    const std::string wrong = core_.contradiction();
    must(wrong.empty(), wrong);
  }

  std::uint64_t dice(std::uint64_t sides) { return random_() % sides; }

  void join(int n) {
    NodeJoined node{.name = "n" + std::to_string(n), .memory = mebibytes(4096), .chips = {}};
    node.chips.push_back({.kind = "cpu-core",
                          .count = static_cast<std::int64_t>(2 + dice(4)),
                          .memory = mebibytes(512),
                          .power = {9000},
                          .price_per_hour = {40'000}});
    if (n != 1) {
      node.chips.push_back({.kind = "h100", .count = 2, .memory = mebibytes(81'920), .power = {700'000}, .price_per_hour = {2'500'000}});
    }
    send(node);
  }

  bool send(Event event) {
    Output out;
    std::string text;
    encode(event, text);
    const bool ok = core_.apply(decode(text).value(), now_, out).has_value();
    for (const Action& action : out.actions) {
      if (const auto* start = std::get_if<StartTask>(&action.act)) {
        must(running_.insert(start->task.value).second, "started twice");
        must(!ended_.contains(start->task.value), "started again after its end");
      } else if (const auto* stop = std::get_if<StopTask>(&action.act)) {
        must(running_.contains(stop->task.value), "stopped what does not run");
        const Task* const task = core_.task(stop->task);
        if (task != nullptr && task->job && core_.job(task->job)->message == "it is moved") { moved_.insert(task->id.value); }
      } else {
        const auto& timer = std::get<SetTimer>(action.act);
        timers_.insert({timer.due.ns, timer.timer.value});
      }
    }
    forget_ended();
    return ok;
  }

  /// A task that its core no longer knows has ended, for whatever reason; it must have been told to us, or lost with its node.
  void forget_ended() {
    std::erase_if(running_, [&](std::uint64_t id) {
      const bool gone = core_.task(TaskId{id}) == nullptr;
      if (gone) { ended_.insert(id); }
      return gone;
    });
    std::map<std::uint64_t, std::uint64_t> holders;  // gang or nothing, no chip twice
    core_.each_task([&](const Task& task) {
      for (const ChipId chip : task.chips) { must(holders.emplace(chip.value, task.id.value).second, "a chip was given twice"); }
      if (task.job && !task.chips.empty()) {
        const Job& job = *core_.job(task.job);
        must(static_cast<std::int64_t>(task.chips.size()) == job.spec.workers * job.spec.chips, "half a gang");
      }
    });
    for (const Reservation& reservation : core_.reservations()) {
      if (!reservation.open) { continue; }
      must(reservation.from <= core_.now() && core_.now() < reservation.to + seconds(2), "a reservation is open at another time");
      core_.each_task([&](const Task& task) { must(respects(reservation, task), "a task runs where its reservation, or none, is"); });
    }
    const TenantId small = core_.tenant_of("small");
    if (small) { must(core_.tenant(small)->chips_held <= 3, "a quota was broken"); }
  }

  /// Inside the window: the nodes are its jobs' alone, and its jobs are nowhere else. What is told to leave may still be there.
  [[nodiscard]] bool respects(const Reservation& reservation, const Task& task) const {
    if (task.state == TaskState::stopping) { return true; }
    const Job* const job = task.job ? core_.job(task.job) : nullptr;
    const bool of_it = job != nullptr && job->spec.reservation == reservation.name && job->tenant == reservation.tenant;
    return std::ranges::all_of(task.chips, [&](ChipId chip) {
      return (std::ranges::find(reservation.nodes, core_.chip(chip).node) != reservation.nodes.end()) == of_it;
    });
  }

  void reserve() {
    ReservationMade made;
    const std::uint64_t name = dice(4);
    made.name = name == 0 ? "night" : name == 1 ? "noon" : name == 2 ? "discs" : "fans";
    if (name < 2) { made.tenant = core_.tenant_of(name == 0 ? "default" : "small"); }
    if (dice(3) == 0) {
      made.kind = dice(2) == 0 ? "h100" : "cpu-core";
      made.chips = static_cast<std::int64_t>(1 + dice(5));
    } else {
      for (std::uint64_t i = 0; i < 1 + dice(2); ++i) { made.nodes.push_back(NodeId{1 + dice(3)}); }
    }
    made.from = now_ + seconds(static_cast<std::int64_t>(dice(40)) - 5);
    made.to = made.from + seconds(static_cast<std::int64_t>(dice(60)));
    const std::size_t before = core_.reservations().size();
    if (send(made)) { reservations_ += core_.reservations().size() == before + 1 ? 1U : 0U; }
  }

  void fire_timers() {
    while (!timers_.empty() && timers_.begin()->first <= now_.ns) {
      const auto id = timers_.begin()->second;
      timers_.erase(timers_.begin());
      send(TimerFired{TimerId{id}});
    }
  }

  TaskId some_running() {
    if (running_.empty()) {
      return TaskId{dice(20)};  // something that may never have been
    }
    return TaskId{*std::next(running_.begin(), static_cast<std::ptrdiff_t>(dice(running_.size())))};
  }

  void submit() {
    JobSpec spec = job_spec("job" + std::to_string(dice(30)));
    spec.workers = static_cast<std::int64_t>(1 + dice(3));
    spec.chips = static_cast<std::int64_t>(1 + dice(2));
    spec.priority = static_cast<std::int64_t>(dice(3));
    spec.restarts = static_cast<std::int64_t>(dice(3));
    spec.memory = mebibytes(static_cast<std::int64_t>(dice(3) * 500));
    if (dice(4) == 0) { spec.array = static_cast<std::int64_t>(1 + dice(5)); }
    if (dice(4) == 0) { spec.after = {"job" + std::to_string(dice(30))}; }
    if (dice(3) == 0) { spec.chip_kinds = {dice(2) == 0 ? "h100" : "cpu-core"}; }
    if (dice(6) == 0) { spec.time_limit = seconds(3); }
    if (dice(4) == 0) { spec.reservation = dice(2) == 0 ? "night" : "noon"; }
    spec.preemptible = (dice(4) == 0) != (defrag_period_.value > 0);
    if (send(JobSubmitted{core_.tenant_of(dice(3) == 0 ? "small" : "default"), spec})) {
      accepted_ += static_cast<std::uint64_t>(std::max<std::int64_t>(1, spec.array));
    }
  }

  void act() {
    switch (dice(16)) {
      case 0:
      case 1:
      case 2: submit(); break;
      case 3: send(JobCancelled{JobId{1 + dice(accepted_ + 2)}}); break;
      case 4:
      case 5:
      case 6: send(TaskStarted{some_running()}); break;
      case 7:
      case 8:
      case 9: {
        const TaskId task = some_running();
        send(TaskExited{.task = task,
                        .code = static_cast<std::int64_t>(dice(3) == 0 ? (dice(2) == 0 ? 1 : 64) : 0),
                        .signal = dice(8) == 0 ? 9 : 0,
                        .lost = dice(12) == 0,
                        .message = {},
                        .energy = {}});
        if (dice(4) == 0) { send(TaskExited{.task = task, .code = 0, .signal = 0, .lost = false, .message = {}, .energy = {}}); }
        break;
      }
      case 10:
        if (dice(6) == 0) {
          send(NodeLost{NodeId{1 + dice(3)}});
        } else if (dice(2) == 0) {
          send(NodeDrained{NodeId{1 + dice(3)}});
        } else {
          send(ChipFailed{ChipId{1 + dice(12)}, "test"});
        }
        break;
      case 11:
        join(static_cast<int>(dice(3)));
        send(NodeResumed{NodeId{1 + dice(3)}});
        send(ChipRepaired{ChipId{1 + dice(12)}});
        break;
      case 12: {
        ServiceSpec spec;
        spec.name = dice(2) == 0 ? "alpha" : "beta";
        spec.model = "m.gguf";
        spec.replicas = static_cast<std::int64_t>(dice(4));
        spec.context = static_cast<std::int64_t>(1024 * (1 + dice(2)));
        spec.chips = static_cast<std::int64_t>(1 + dice(2));
        spec.start_timeout = seconds(20);
        send(ServiceDefined{core_.tenant_of("default"), spec});
        break;
      }
      case 13: {
        const TaskId task = some_running();
        send(dice(4) == 0 ? Event{ReplicaUnready{task, "slow"}} : Event{ReplicaReady{task, 9000}});
        break;
      }
      case 14:
        if (dice(5) == 0) {
          send(ServiceRemoved{ServiceId{1 + dice(4)}});
        } else {
          send(TaskStartFailed{some_running(), "no such file", dice(2) == 0});
        }
        break;
      default:
        send(TaskProgressed{.task = some_running(),
                            .step = 1,
                            .steps = 2,
                            .loss_micro = 3,
                            .tokens = static_cast<std::int64_t>(dice(1000)),
                            .tokens_per_s_milli = 5,
                            .eta = {},
                            .checkpoint = {}});
        send(TokensMetered{core_.tenant_of("default"), ServiceId{1 + dice(3)}, 1, 10, 5, 0});
        if (dice(6) == 0) { send(ReservationCancelled{dice(2) == 0 ? "night" : "discs"}); }
        if (dice(2) == 0) { reserve(); }
    }
  }

  void restore() {
    const std::string text = core_.snapshot();
    Result<Core> again = Core::restore(text, policy_(), {.jobs_finished_kept = 50});
    must(again.has_value(), again ? "" : again.error().message());
    must(again && again->snapshot() == text, "a snapshot restored is another state");
    if (!faults_.empty()) { return; }
    core_ = std::move(*again);
  }

  [[nodiscard]] bool all_final() const {
    bool all = true;
    core_.each_job([&](const Job& job) { all = all && is_final(job.state); });
    return all;
  }

  /// Every task exits with 0, until nothing runs and nothing is due.
  void settle() {
    std::uint64_t guard = 0;
    while ((!running_.empty() || !timers_.empty()) && ++guard < 100'000) {
      now_ = now_ + seconds(400);
      fire_timers();
      while (!running_.empty()) {
        send(TaskExited{.task = TaskId{*running_.begin()}, .code = 0, .signal = 0, .lost = false, .message = {}, .energy = {}});
      }
    }
  }

  /// Everything comes to an end: all nodes up, every task exits with 0. No accepted job may be left over.
  void drain() {
    for (std::uint64_t c = 1; c <= core_.chip_count(); ++c) { send(ChipRepaired{ChipId{c}}); }
    for (int n = 0; n < 3; ++n) {
      NodeJoined node{.name = "n" + std::to_string(n), .memory = mebibytes(4096), .chips = {}};
      node.chips.push_back({.kind = "cpu-core", .count = 6, .memory = mebibytes(512), .power = {9000}, .price_per_hour = {40'000}});
      node.chips.push_back({.kind = "h100", .count = 6, .memory = mebibytes(512), .power = {9000}, .price_per_hour = {40'000}});
      send(node);
      send(NodeResumed{NodeId{static_cast<std::uint64_t>(n) + 1}});
    }
    for (std::uint64_t s = 1; s < 1000; ++s) { send(ServiceRemoved{ServiceId{s}}); }
    must(steps_ < 1000 || reservations_ > 3, "hardly any reservation was made");
    for (const char* name : {"night", "noon", "discs", "fans"}) { send(ReservationCancelled{name}); }
    settle();
    // What waits for a reservation of that name gets one; again, where jobs wait for each other across them.
    for (int round = 0; round < 50 && !all_final(); ++round) {
      const bool night = round % 2 == 0;
      ReservationMade made;
      made.name = night ? "night" : "noon";
      made.tenant = core_.tenant_of(night ? "default" : "small");
      made.nodes = {NodeId{1}, NodeId{2}, NodeId{3}};
      made.from = now_;
      made.to = now_ + seconds(2000);
      must(send(made), "no reservation at the end");
      settle();
    }
    sound();
    core_.each_job(
        [&](const Job& job) { must(is_final(job.state), to_string(job.id) + " is " + std::string(enum_name(job.state)) + " for ever"); });
    must(core_.jobs_queued() == 0, "something waits for ever");
    core_.each_service([&](const Service& service) { must(false, service.spec.name + " was not removed"); });
  }

  std::mt19937_64 random_;
  std::int64_t steps_;
  MakePolicy policy_;
  Core core_;
  std::vector<std::string> faults_;
  Time now_{1'000'000'000};
  std::set<std::uint64_t> running_, ended_, moved_;
  Nanos defrag_period_;
  std::set<std::pair<std::int64_t, std::uint64_t>> timers_;
  std::uint64_t accepted_ = 0;
  std::size_t reservations_ = 0;
};

}  // namespace centrale
