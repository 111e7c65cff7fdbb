// SPDX-License-Identifier: Apache-2.0
#include "plan/timeline.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "fleet/fleet.hpp"
#include "model/read.hpp"

namespace centrale {
namespace {

using testing::HasSubstr;

TrainRequest request_of(const char* model, const Fleet& fleet, std::int64_t batch) {
  TrainRequest r;
  r.model = *catalogue_model(model);
  r.fleet = fleet;
  r.stack = *stack_named("megatron-core", default_stacks());
  r.sequence = 4096;
  r.global_batch = batch;
  r.plans = 20;
  r.limits.schedules = {Schedule::one_f_one_b};
  return r;
}

Fleet two_halls(const char* bandwidth, const char* first, int chips, const char* second, int others) {
  const std::string yaml = "name: two\nislands:\n  - {name: a, chip: " + std::string(first) + ", chips: " + std::to_string(chips) +
                           "}\n  - {name: b, chip: " + second + ", chips: " + std::to_string(others) +
                           "}\nlinks:\n  - {from: a, to: b, bandwidth: " + bandwidth + ", latency: 20us}\n";
  return *read_fleet(yaml, "two.yaml", default_catalogue());
}

void expect_drawn_in_full(const TrainPlan& plan, const TrainRequest& r) {
  const auto timeline = timeline_of(plan, r);
  ASSERT_TRUE(timeline) << timeline.error().message();
  EXPECT_NEAR(timeline->step.value, plan.step.value, 0.02 * plan.step.value) << enum_name(plan.joined);
  std::set<std::int32_t> stages;
  for (std::size_t i = 0; i < timeline->events.size(); ++i) {
    const TimelineEvent& e = timeline->events[i];
    stages.insert(e.stage);
    ASSERT_LE(e.start + e.duration, timeline->step.value * (1 + 1e-9));
    if (i == 0 || timeline->events[i - 1].stage != e.stage || timeline->events[i - 1].row != e.row) { continue; }
    const TimelineEvent& before = timeline->events[i - 1];
    ASSERT_LE(before.start + before.duration, e.start + 1e-9 * timeline->step.value) << enum_name(before.work) << ' ' << enum_name(e.work);
  }
  EXPECT_EQ(stages.size(), timeline->stages.size());
}

TEST(PlanTimeline, OneIslandIsItsEstimate) {
  const TrainRequest r = request_of("llama-3.1-70b", *fleet_of("h100-sxmx64", default_catalogue()), 256);
  const auto plans = plan_train(r);
  ASSERT_TRUE(plans);
  for (const TrainPlan& plan : *plans) { expect_drawn_in_full(plan, r); }
}

TEST(PlanTimeline, EveryKindOfJoinIsDrawn) {
  std::set<Joined> drawn;
  // What fits on neither side alone wants a pipeline over both; what is small trains on each side.
  TrainRequest large = request_of("llama-3.1-70b", two_halls("800Gb/s", "a100-sxm-40gb", 24, "h100-sxm", 8), 64);
  large.limits.offloads = {Offload::none};
  const TrainRequest small = request_of("llama-3.1-8b", two_halls("3.2Tb/s", "h100-sxm", 16, "a100-sxm-80gb", 16), 256);
  for (const TrainRequest& r : {large, small}) {
    const auto plans = plan_train(r);
    ASSERT_TRUE(plans) << plans.error().message();
    for (const TrainPlan& plan : *plans) {
      expect_drawn_in_full(plan, r);
      drawn.insert(plan.joined);
      if (plan.parts.size() < 2) { continue; }
      const auto timeline = timeline_of(plan, r);
      EXPECT_THAT(timeline->stages.front(), HasSubstr(", "));
    }
  }
  EXPECT_TRUE(drawn.contains(Joined::pipeline));
  EXPECT_TRUE(drawn.contains(Joined::data));
}

}  // namespace
}  // namespace centrale
