// SPDX-License-Identifier: Apache-2.0
// Property tests of the core: random events from a seed; the state never contradicts itself, the same input gives the same
// output, a snapshot at any point changes nothing, and no event of the steady state allocates.
#include "centre/core.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <set>

namespace centrale {
extern std::atomic<std::uint64_t> allocations_for_test;
}

namespace centrale {
namespace {

JobSpec job_spec(const std::string& name) {
  JobSpec spec;
  spec.name = name;
  spec.command = {"true"};
  return spec;
}

Core new_core(CoreLimits limits = {}) { return Core(make_policy("fifo").value(), limits); }

using MakePolicy = std::unique_ptr<Policy> (*)();
std::unique_ptr<Policy> sound_policy() { return make_policy("fifo").value(); }

/// Plays driver and users of a small centre, all from one seed; keeps its own books of what must be true, and says what was not.
class World {
 public:
  World(std::uint64_t seed, std::int64_t steps, MakePolicy policy = &sound_policy)
      : random_(seed), steps_(steps), policy_(policy), core_(policy(), {.jobs_finished_kept = 50}) {}

  [[nodiscard]] const std::vector<std::string>& faults() const { return faults_; }

  void run(bool with_restores) {
    send(TenantDefined{"default", {}});
    send(TenantDefined{"small", {.chips_max = 3, .tokens_per_day_max = 0}});
    for (int n = 0; n < 3; ++n) { join(n); }
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
    const TenantId small = core_.tenant_of("small");
    if (small) { must(core_.tenant(small)->chips_held <= 3, "a quota was broken"); }
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
    std::uint64_t guard = 0;
    while ((!running_.empty() || !timers_.empty()) && ++guard < 100'000) {
      now_ = now_ + seconds(400);
      fire_timers();
      while (!running_.empty()) {
        send(TaskExited{.task = TaskId{*running_.begin()}, .code = 0, .signal = 0, .lost = false, .message = {}, .energy = {}});
      }
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
  std::set<std::uint64_t> running_, ended_;
  std::set<std::pair<std::int64_t, std::uint64_t>> timers_;
  std::uint64_t accepted_ = 0;
};

TEST(Core, NeverContradictsItself) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    World world(seed, 2000);
    world.run(false);
    ASSERT_EQ(world.faults(), std::vector<std::string>{}) << "seed " << seed;
  }
}

TEST(Core, TheSameEventsGiveTheSameBytesAndASnapshotChangesNothing) {
  for (std::uint64_t seed = 100; seed < 115; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World first(seed, 1500), second(seed, 1500), restored(seed, 1500);
    first.run(false);
    second.run(false);
    restored.run(true);
    ASSERT_EQ(restored.faults(), std::vector<std::string>{});
    ASSERT_TRUE(first.snapshot() == second.snapshot());
    ASSERT_TRUE(first.snapshot() == restored.snapshot());
  }
}

/// Policies with a bug each: if the books above did not notice them, they would be decoration.
class Planted : public Policy {
 public:
  [[nodiscard]] std::string_view name() const override { return "planted"; }
  void enqueue(const Work& work) override { inner_->enqueue(work); }
  void dequeue(const Work& work) override { inner_->dequeue(work); }
  [[nodiscard]] bool head_changed() const override { return inner_->head_changed(); }
  [[nodiscard]] std::size_t queued() const override { return inner_->queued(); }
  void decide(Pool& pool, Allowance& allowance, Time now, Decision& out) override { inner_->decide(pool, allowance, now, out); }

 protected:
  std::unique_ptr<Policy> inner_ = sound_policy();
};

class LosesARequest final : public Planted {
  void enqueue(const Work& work) override {
    if (++count_ % 40 != 0) { Planted::enqueue(work); }
  }
  std::uint64_t count_ = 0;
};

class IgnoresQuotas final : public Planted {
  struct Everything final : Allowance {
    [[nodiscard]] KindMask kinds_for(TenantId, std::int64_t, std::int64_t) const override { return kAnyKind; }
    void take(TenantId tenant, KindIndex kind, std::int64_t chips, std::int64_t share_milli) override {
      real->take(tenant, kind, chips, share_milli);
    }
    Allowance* real = nullptr;
  };
  void decide(Pool& pool, Allowance& allowance, Time now, Decision& out) override {
    Everything everything;
    everything.real = &allowance;
    inner_->decide(pool, everything, now, out);
  }
};

class ForgetsToDecide final : public Planted {
  void decide(Pool& pool, Allowance& allowance, Time now, Decision& out) override {
    if (now.ns % 2 == 0 && queued() < 3) {  // the last ones wait for ever
      return;
    }
    inner_->decide(pool, allowance, now, out);
  }
};

template <class Bug>
bool is_caught() {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    World world(seed, 800, [] { return std::unique_ptr<Policy>(std::make_unique<Bug>()); });
    world.run(false);
    if (!world.faults().empty()) { return true; }
  }
  return false;
}

TEST(PlantedBugs, AreCaught) {
  EXPECT_TRUE(is_caught<IgnoresQuotas>());
  EXPECT_TRUE(is_caught<ForgetsToDecide>());
  EXPECT_TRUE(is_caught<LosesARequest>());
}

TEST(Core, ARefusalChangesNothing) {
  Core core = new_core();
  Output out;
  ASSERT_TRUE(core.apply(TenantDefined{"default", {}}, Time{1}, out));
  const std::string before = core.snapshot();
  out.clear();
  const auto refused = core.apply(JobSubmitted{TenantId{1}, job_spec("a")}, Time{99}, out);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("no such chips"), std::string::npos) << refused.error().message();
  EXPECT_EQ(core.snapshot(), before);
  EXPECT_TRUE(out.actions.empty());
}

TEST(Core, SaysWhatAJobAskedForAndWhatThereIs) {
  Core core = new_core();
  Output out;
  ASSERT_TRUE(core.apply(TenantDefined{"default", {}}, Time{1}, out));
  ASSERT_TRUE(core.apply(
      NodeJoined{"n", mebibytes(1000), {{.kind = "cpu-core", .count = 2, .memory = {}, .power = {}, .price_per_hour = {}}}}, Time{1}, out));
  JobSpec spec = job_spec("a");
  spec.workers = 2;
  spec.chips = 2;
  const auto refused = core.apply(JobSubmitted{TenantId{1}, spec}, Time{1}, out);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("asks for 2 workers with 2 chips each; the whole centre has 2 cpu-core"), std::string::npos)
      << refused.error().message();
}

TEST(Core, TheLedgerAddsUp) {
  Core core = new_core();
  Output out;
  const auto at = [](std::int64_t s) { return Time{s * 1'000'000'000}; };
  ASSERT_TRUE(core.apply(TenantDefined{"default", {}}, at(0), out));
  ASSERT_TRUE(core.apply(
      NodeJoined{"n", mebibytes(1000), {{.kind = "h100", .count = 4, .memory = {}, .power = {700'000}, .price_per_hour = {3'600'000}}}},
      at(0), out));
  JobSpec spec = job_spec("a");
  spec.chips = 2;
  ASSERT_TRUE(core.apply(JobSubmitted{TenantId{1}, spec}, at(10), out));
  EXPECT_EQ(core.usage(TenantId{1}, at(20)).device_time, seconds(20));  // two chips, ten seconds, still running
  ASSERT_TRUE(core.apply(TaskExited{.task = TaskId{1}, .code = 0, .signal = 0, .lost = false, .message = {}, .energy = {}}, at(110), out));
  const Usage usage = core.usage(TenantId{1}, at(999));
  EXPECT_EQ(usage.device_time, seconds(200));
  EXPECT_EQ(usage.energy.value, 2 * 700 * 100 * 1000);  // 2 x 700 W x 100 s
  EXPECT_EQ(usage.cost.value, 2 * 100 * 1000);          // 2 x 100 s at 3.6 an hour
  EXPECT_EQ(core.usage(*core.job(JobId{1}), at(999)).device_time, seconds(200));
}

TEST(Core, ResumedTokensAreNotBilledTwice) {
  Core core = new_core();
  Output out;
  ASSERT_TRUE(core.apply(TenantDefined{"default", {}}, Time{1}, out));
  ASSERT_TRUE(core.apply(
      NodeJoined{"n", mebibytes(1000), {{.kind = "cpu-core", .count = 1, .memory = {}, .power = {}, .price_per_hour = {}}}}, Time{1}, out));
  ASSERT_TRUE(core.apply(JobSubmitted{TenantId{1}, job_spec("a")}, Time{1}, out));
  const auto progress = [&](std::int64_t tokens) {
    TaskProgressed e;
    e.task = core.job(JobId{1})->task;
    e.tokens = tokens;
    ASSERT_TRUE(core.apply(e, Time{2}, out));
  };
  progress(100);
  progress(80);  // it went back to a checkpoint
  progress(120);
  EXPECT_EQ(core.usage(TenantId{1}, Time{3}).tokens_trained, 120);
}

// HOUSE 16. Submits allocate for what they bring; starting, progressing and ending a task must not.
TEST(Core, TheSteadyStateAllocatesNothing) {
  Core core = new_core({.jobs_finished_kept = 100'000});
  Output out;
  ASSERT_TRUE(core.apply(TenantDefined{"default", {}}, Time{1}, out));
  ASSERT_TRUE(
      core.apply(NodeJoined{"n", mebibytes(1000), {{.kind = "cpu-core", .count = 64, .memory = {}, .power = {1}, .price_per_hour = {1}}}},
                 Time{1}, out));
  for (int i = 0; i < 100; ++i) { ASSERT_TRUE(core.apply(JobSubmitted{TenantId{1}, job_spec("a")}, Time{1}, out)); }
  std::uint64_t task = 1;
  std::uint64_t counted = 0;
  std::uint64_t events = 0;
  for (int i = 0; i < 4000; ++i, ++task) {
    out.clear();
    ASSERT_TRUE(core.apply(JobSubmitted{TenantId{1}, job_spec("a")}, Time{1}, out));
    out.clear();
    const std::uint64_t before = allocations_for_test.load();
    ASSERT_TRUE(core.apply(TaskStarted{TaskId{task}}, Time{2}, out));
    ASSERT_TRUE(core.apply(TaskProgressed{.task = TaskId{task},
                                          .step = 1,
                                          .steps = 2,
                                          .loss_micro = 3,
                                          .tokens = 4,
                                          .tokens_per_s_milli = 5,
                                          .eta = {},
                                          .checkpoint = {}},
                           Time{2}, out));
    ASSERT_TRUE(
        core.apply(TaskExited{.task = TaskId{task}, .code = 0, .signal = 0, .lost = false, .message = {}, .energy = {}}, Time{3}, out));
    if (i >= 1000) {  // the vectors have grown to their size
      counted += allocations_for_test.load() - before;
      events += 3;
    }
  }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers allocate for themselves";
#endif
  // A deque takes a block every 64 entries or so: less than one allocation in 50 events.
  EXPECT_LE(counted * 50, events) << counted << " allocations in " << events << " events";
}

TEST(Events, OldJournalsOpen) {
  // As the first version wrote them, with fields that later ones may drop and without those they may add.
  EXPECT_TRUE(decode(R"({"node_lost":{"node":3}})"));
  const auto submitted = decode(R"({"job_submitted":{"tenant":1,"spec":{"name":"a","command":["true"],"colour":"red"}}})");
  ASSERT_TRUE(submitted);
  EXPECT_EQ(std::get<JobSubmitted>(*submitted).spec.restarts, 3);
  EXPECT_FALSE(decode(R"({"job_teleported":{}})"));
  EXPECT_FALSE(decode("not json"));
}

}  // namespace
}  // namespace centrale
