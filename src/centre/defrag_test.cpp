// SPDX-License-Identifier: Apache-2.0
// Moves under random events: no half gang, no chip given twice, no job lost, and a snapshot goes on alike. tests/scenarios/defrag.txt
// has the examples by hand.
#include <gtest/gtest.h>

#include "centre/core.hpp"
#include "centre/testing.hpp"

namespace centrale {
namespace {

TEST(DefragCore, HoldsUnderRandomEvents) {
  std::size_t moved = 0;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    World plain(seed, 1500), restored(seed, 1500);
    for (World* const world : {&plain, &restored}) {
      world->defragment(seconds(1));
      world->run(world == &restored);
      ASSERT_TRUE(world->faults().empty()) << "seed " << seed << ": " << world->faults().front();
    }
    ASSERT_EQ(plain.snapshot(), restored.snapshot()) << "seed " << seed;
    moved += plain.moved();
  }
  EXPECT_GT(moved, 4U);
}

/// Two nodes of four chips, two taken on each; a gang of four waits, and the moves for it are approved.
struct Small {
  Core core{make_policy("fifo").value()};
  Output out;

  void send(Event event, Time at) {
    const Result<void> result = core.apply(std::move(event), at, out);
    ASSERT_TRUE(result) << result.error().message();
    ASSERT_EQ(core.contradiction(), "");
  }
  void submit(const char* name, std::int64_t chips, bool preemptible) {
    JobSpec spec = job_spec(name);
    spec.chips = chips;
    spec.preemptible = preemptible;
    spec.estimate = seconds(36'000);
    send(JobSubmitted{TenantId{1}, spec}, {});
  }
  [[nodiscard]] NodeId node_of(const char* name) const { return core.chip(core.task(core.job(name)->task)->chips.at(0)).node; }
  void leave(const char* name, Time at) {
    send(TaskExited{.task = core.job(name)->task, .code = 143, .signal = 0, .lost = false, .message = {}, .energy = {}}, at);
  }
  Small() {
    send(TenantDefined{"default", {}}, {});
    for (const char* name : {"n1", "n2"}) {
      NodeJoined node{.name = name, .memory = mebibytes(4096), .chips = {}};
      node.chips.push_back({.kind = "h100", .count = 4, .memory = {}, .power = {}, .price_per_hour = {}});
      send(node, {});
    }
    for (const char* name : {"a", "b", "c", "d"}) { submit(name, 2, true); }
    send(JobCancelled{core.job("b")->id}, {});
    leave("b", {});
    send(JobCancelled{core.job("d")->id}, {});
    leave("d", {});
    submit("gang", 4, false);
    Scheduling scheduling;
    scheduling.defrag = "propose";
    send(SchedulingSet{scheduling}, {});
    send(DefragApproved{}, {});
  }
};

TEST(DefragCore, WhatIsHeldTooLongIsEverybodys) {
  Small small;
  ASSERT_EQ(small.core.job("a")->message, "it is moved");
  small.submit("other", 2, false);
  EXPECT_EQ(small.core.job("other")->state, JobState::queued);
  std::vector<std::pair<Time, TimerId>> timers;
  for (const Action& action : small.out.actions) {
    if (const auto* timer = std::get_if<SetTimer>(&action.act)) { timers.emplace_back(timer->due, timer->timer); }
  }
  ASSERT_EQ(timers.size(), 1U);
  EXPECT_EQ(timers[0].first, Time{} + seconds(90));  // its grace of 30 s, and 60 s to report it
  // `a` is still there: the gang has no room, the first that has is behind it in the queue and waits on.
  small.send(TimerFired{timers[0].second}, timers[0].first);
  EXPECT_EQ(small.core.job("gang")->state, JobState::queued);
  EXPECT_EQ(small.core.defrag_plan().why.find("under way"), std::string::npos);
}

TEST(DefragCore, ANodeThatIsDrainedIsNotWaitedFor) {
  Small small;
  const NodeId cleared = small.node_of("a");
  small.send(NodeDrained{cleared}, Time{} + seconds(1));
  small.leave("a", Time{} + seconds(2));
  EXPECT_EQ(small.core.job("gang")->state, JobState::queued);
  EXPECT_NE(small.core.task(small.core.job("a")->task), nullptr);
  EXPECT_EQ(small.core.job("a")->state, JobState::starting);  // its new place is its own all the same
  EXPECT_NE(small.node_of("a"), cleared);
}

TEST(DefragCore, TheGangGoesFirstToWhatWasCleared) {
  Small small;
  const NodeId cleared = small.node_of("a");
  small.leave("a", Time{} + seconds(2));
  EXPECT_EQ(small.core.job("gang")->state, JobState::starting);
  EXPECT_EQ(small.node_of("gang"), cleared);
  EXPECT_EQ(small.core.job("a")->stops, 1);
  EXPECT_EQ(small.core.job("a")->failures, 0);
}

}  // namespace
}  // namespace centrale
