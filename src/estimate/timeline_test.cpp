// SPDX-License-Identifier: Apache-2.0
#include "estimate/timeline.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>

#include "base/json.hpp"
#include "estimate/train.hpp"
#include "model/read.hpp"

namespace centrale {
namespace {

using testing::HasSubstr;

/// A step of some layout, and what the estimate says of it.
struct Played {
  Layout layout;
  StepEstimate estimate;
  StepShape shape;
  Timeline timeline;
};

Played play(TrainEstimator& estimator, const Layout& layout) {
  Played p{layout, estimator.estimate(layout), estimator.shape(layout), {}};
  auto timeline = timeline_of(p.shape);
  EXPECT_TRUE(timeline) << timeline.error().message();
  if (timeline) { p.timeline = *std::move(timeline); }
  return p;
}

Stack stack_of(const char* key) { return *stack_named(key, default_stacks()); }

/// No two events of a row overlap, none is outside the step.
void expect_rows_in_order(const Played& p) {
  const double slack = 1e-9 * p.timeline.step.value;
  for (std::size_t i = 0; i < p.timeline.events.size(); ++i) {
    const TimelineEvent& e = p.timeline.events[i];
    ASSERT_GE(e.start, -slack);
    ASSERT_LE(e.start + e.duration, p.timeline.step.value + slack);
    if (i == 0) { continue; }
    const TimelineEvent& before = p.timeline.events[i - 1];
    if (before.stage != e.stage || before.row != e.row) { continue; }
    ASSERT_LE(before.start + before.duration, e.start + slack)
        << to_text(p.layout) << ": " << enum_name(before.work) << " and " << enum_name(e.work) << " of stage " << e.stage;
  }
}

/// Every micro-batch goes through every chunk of every stage, forward and then back, in the order of the layers.
void expect_every_micro_batch_passes(const Played& p) {
  std::map<std::tuple<int, int, int, bool>, std::pair<double, double>> passes;  // (micro-batch, chunk, stage, forward)
  for (const TimelineEvent& e : p.timeline.events) {
    if (e.work != TimelineWork::forward && e.work != TimelineWork::backward) { continue; }
    const bool is_new =
        passes.try_emplace({e.microbatch, std::max(0, e.chunk), e.stage, e.work == TimelineWork::forward}, e.start, e.start + e.duration)
            .second;
    ASSERT_TRUE(is_new) << "a pass is done twice";
  }
  const auto stages = static_cast<int>(p.shape.stages.size());
  const bool dual = p.layout.schedule == Schedule::dual_pipe;
  const int chunks = dual ? 1 : static_cast<int>(p.layout.interleave);
  ASSERT_EQ(passes.size(), static_cast<std::size_t>(2 * p.shape.microbatches * stages * chunks));
  for (int m = 0; m < p.shape.microbatches; ++m) {
    const bool up = dual && m % 2 == 1;
    double at = 0;
    for (const bool forward : {true, false}) {
      for (int step = 0; step < stages * chunks; ++step) {
        const int k = forward ? step : stages * chunks - 1 - step;
        const int stage = up ? stages - 1 - k % stages : k % stages;
        const auto found = passes.find({m, dual ? (up ? 1 : 0) : k / stages, stage, forward});
        ASSERT_NE(found, passes.end());
        ASSERT_GE(found->second.first, at - 1e-9) << to_text(p.layout) << ": micro-batch " << m << " on stage " << stage;
        at = found->second.second;
      }
    }
  }
}

TEST(Timeline, WithoutAPipelineItIsTheEstimate) {
  const Model model = *catalogue_model("llama-3.1-8b");
  const Fleet fleet = *fleet_of("h100-sxmx64", default_catalogue());
  TrainEstimator estimator(model, fleet.islands[0], stack_of("megatron-core"), {.sequence = 8192, .global_batch = 256});
  for (const Zero zero : {Zero::none, Zero::optimizer, Zero::gradients, Zero::weights}) {
    const Played p = play(estimator, {.tp = 4, .dp = 16, .zero = zero, .sequence_parallel = true});
    EXPECT_NEAR(p.timeline.step.value, p.estimate.step.value, 1e-9 * p.estimate.step.value) << to_text(p.layout);
    expect_rows_in_order(p);
    expect_every_micro_batch_passes(p);
    for (const TimelineEvent& e : p.timeline.events) { EXPECT_NE(e.work, TimelineWork::bubble); }
  }
}

TEST(Timeline, OneForwardOneBackwardWaitsAsThePaperSays) {
  const Model model = *catalogue_model("gpt-3-175b");  // 96 equal layers
  const Fleet fleet = *fleet_of("a100-sxm-80gbx64", default_catalogue());
  TrainEstimator estimator(model, fleet.islands[0], stack_of("megatron-2021"), {.sequence = 2048, .global_batch = 64});
  for (const std::int64_t interleave : {1, 2, 3}) {
    const Played p = play(estimator, {.tp = 8, .pp = 8, .interleave = interleave});
    EXPECT_NEAR(p.timeline.step.value, p.estimate.step.value, 0.02 * p.estimate.step.value) << to_text(p.layout);
    expect_rows_in_order(p);
    expect_every_micro_batch_passes(p);
    // Bubbles of the stage that paces, the last one with its head: (p - 1)/v of the others' time (arXiv:2104.04473, section 2.2).
    double waits = 0, works = 0;
    for (const TimelineEvent& e : p.timeline.events) {
      if (e.stage != 7 || e.row != TimelineRow::compute) { continue; }
      (e.work == TimelineWork::bubble ? waits : works) += e.duration;
    }
    EXPECT_GT(waits, 0);
    EXPECT_NEAR(waits, p.estimate.parts.bubble.value, 0.1 * p.estimate.parts.bubble.value);
    EXPECT_GT(works, waits);
  }
}

TEST(Timeline, RandomLayoutsTakeWhatTheEstimateSays) {
  std::mt19937_64 random(7);  // the engine's numbers are the same everywhere; the distributions' are not
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  int played = 0, drew_every_schedule[3] = {0, 0, 0};
  double sum = 0;
  for (int i = 0; i < 3000 && played < 250; ++i) {
    static constexpr const char* kModels[] = {"llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b", "gpt-3-20b", "deepseek-v2-lite"};
    static constexpr const char* kStacks[] = {"megatron-core", "megatron-2021", "fsdp", "hai-llm", "maxtext"};
    const Model model = *catalogue_model(kModels[below(5)]);
    const Fleet fleet = *fleet_of("h100-sxmx128", default_catalogue());
    const TrainRun run{.sequence = 2048 << below(3), .global_batch = 64 << below(4)};
    Layout l{.tp = 1 << below(4), .cp = 1 << below(2), .pp = 1 << below(5), .ep = 1 << below(4), .interleave = below(3) == 0 ? 2 : 1};
    l.dp = std::max<std::int64_t>(1, 128 / (l.tp * l.cp * l.pp));
    l.schedule = static_cast<Schedule>(below(3));
    l.zero = static_cast<Zero>(below(4));
    l.recompute = static_cast<Recompute>(below(3));
    l.offload = below(4) == 0 ? Offload::activations : Offload::none;
    l.micro_batch = 1 << below(2);
    l.sequence_parallel = l.tp > 1 && below(2) == 0;
    if (!fault_of(l, model, run, fleet.islands[0]).empty()) { continue; }
    TrainEstimator estimator(model, fleet.islands[0], stack_of(kStacks[below(5)]), run);
    const Played p = play(estimator, l);
    const double away = p.timeline.step.value / p.estimate.step.value - 1;
    // Activations that come back late delay the weight gradients that ZB-H1 fills its bubbles with: the closed form does not know that.
    const bool late = l.schedule == Schedule::zero_bubble && l.offload == Offload::activations;
    EXPECT_LT(std::abs(away), late ? 0.04 : 0.02) << to_text(l) << " of " << model.name;
    // The order by itself: never longer than the closed form, shorter only where stages are of unlike speed.
    const double order = p.timeline.played.value / p.estimate.step.value - 1;
    EXPECT_GT(order, -0.08) << to_text(l) << " of " << model.name;
    sum += std::abs(order);
    expect_rows_in_order(p);
    expect_every_micro_batch_passes(p);
    ++played;
    ++drew_every_schedule[static_cast<int>(l.schedule)];
  }
  EXPECT_EQ(played, 250);
  EXPECT_LT(sum, 0.01 * played);
  for (const int n : drew_every_schedule) { EXPECT_GT(n, 10); }
}

TEST(Timeline, IsWrittenAsATrace) {
  const Model model = *catalogue_model("mixtral-8x7b");
  const Fleet fleet = *fleet_of("h100-sxmx32", default_catalogue());
  TrainEstimator estimator(model, fleet.islands[0], stack_of("megatron-core"), {.sequence = 4096, .global_batch = 32});
  const Played p = play(estimator, {.tp = 2, .dp = 4, .pp = 4, .ep = 4, .zero = Zero::optimizer, .sequence_parallel = true});
  std::string json;
  write_trace(p.timeline, json);
  JsonReader reader;
  const auto parsed = reader.parse(json, JsonStrictness::lenient);
  ASSERT_TRUE(parsed) << parsed.error().message();
  for (const char* text : {R"("name":"forward 0")", R"("name":"backward 7")", R"("name":"bubble")", R"("name":"tensor-parallel")",
                           R"("name":"expert-parallel")", R"("name":"reduce gradients")", R"("name":"optimizer")",
                           R"("name":"stage 3, layers 24 to 31")", R"("ph":"X")"}) {
    EXPECT_THAT(json, HasSubstr(text));
  }
}

TEST(Timeline, WhatNobodyCouldLookAtIsAnError) {
  const Model model = *catalogue_model("llama-3.1-405b");
  const Fleet fleet = *fleet_of("h100-sxmx16384", default_catalogue());
  TrainEstimator estimator(model, fleet.islands[0], stack_of("megatron-core"), {.sequence = 8192, .global_batch = 65536});
  const auto timeline = timeline_of(estimator.shape({.tp = 8, .dp = 16, .pp = 126}));
  ASSERT_FALSE(timeline);
  EXPECT_THAT(timeline.error().message(), HasSubstr("million events"));
}

double seconds_in(const std::string& value) {
  const double number = std::atof(value.c_str());
  return value.ends_with(" ms") ? number * 1e-3 : value.ends_with(" us") ? number * 1e-6 : number;
}

TEST(Explain, ThePartsAddUpToTheStepAndEachHasASource) {
  const Model model = *catalogue_model("deepseek-v3");
  const Fleet fleet = *fleet_of("h800-sxmx2048", default_catalogue());
  TrainEstimator estimator(model, fleet.islands[0], stack_of("megatron-core"), {.sequence = 4096, .global_batch = 15360});
  const Layout layout{
      .tp = 2, .dp = 64, .pp = 16, .ep = 64, .zero = Zero::optimizer, .recompute = Recompute::full, .sequence_parallel = true};
  double sum = 0, memory = 0;
  std::string total;
  for (const auto& term : estimator.explain(layout)) {
    EXPECT_FALSE(term.value.empty()) << term.name;
    EXPECT_FALSE(term.source.empty()) << term.name;
    if (term.name == "step: total") {
      total = term.value;
    } else if (term.name.starts_with("step: ")) {
      sum += seconds_in(term.value);
    }
    if (term.name == "memory: total") { EXPECT_NEAR(std::atof(term.value.c_str()), memory, 0.01 * memory); }
    if (term.name.starts_with("memory: ")) { memory += std::atof(term.value.c_str()) * (term.value.ends_with("MiB") ? 1.0 / 1024 : 1); }
  }
  const double step = estimator.estimate(layout).step.value;
  EXPECT_NEAR(sum, step, 2e-3 * step);
  EXPECT_NEAR(seconds_in(total), step, 1e-3 * step);
}

}  // namespace
}  // namespace centrale
