// SPDX-License-Identifier: Apache-2.0
// Property tests of the core: random events from a seed; the state never contradicts itself, the same input gives the same
// output, a snapshot at any point changes nothing, and no event of the steady state allocates.
#include "centre/core.hpp"

#include <gtest/gtest.h>

#include <atomic>

#include "centre/testing.hpp"

namespace centrale {
extern std::atomic<std::uint64_t> allocations_for_test;
}

namespace centrale {
namespace {

Core new_core(CoreLimits limits = {}) { return Core(make_policy("fifo").value(), limits); }

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
