// SPDX-License-Identifier: Apache-2.0
#include "plan/train.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>

#include "base/ensure.hpp"
#include "plan/mixed.hpp"
#include "plan/train_fit.hpp"
#include "plan/train_report.hpp"
#include "plan/train_search.hpp"

namespace centrale {
namespace {

using planning::Candidate;
using planning::count_text;

// A batch is divided exactly, so that its divisors are looked at.
constexpr std::int64_t kBatchMax = std::int64_t{1} << 32;
constexpr std::int64_t kSequenceMax = std::int64_t{1} << 30;
constexpr std::size_t kPlansMax = 1000;

TrainPlan alone(const TrainRequest& r, std::size_t island, const Candidate& candidate, TrainEstimator& estimator) {
  TrainPlan plan;
  TrainPart part;
  part.island = island;
  part.layout = candidate.layout;
  part.estimate = estimator.estimate(candidate.layout);
  part.sequences = r.global_batch;
  plan.step = part.estimate.step;
  plan.by_part = part.estimate.parts;
  plan.parts.push_back(std::move(part));
  return plan;
}

bool plan_before(const TrainPlan& a, const TrainPlan& b) {
  if (a.step.value != b.step.value) { return a.step < b.step; }
  if (a.chips != b.chips) { return a.chips < b.chips; }
  if (a.parts.size() != b.parts.size()) { return a.parts.size() < b.parts.size(); }
  for (std::size_t i = 0; i < a.parts.size(); ++i) {
    if (a.parts[i].island != b.parts[i].island) { return a.parts[i].island < b.parts[i].island; }
    if (!(a.parts[i].layout == b.parts[i].layout)) { return simpler(a.parts[i].layout, b.parts[i].layout); }
  }
  return false;
}

/// How many of the best are kept, so that as many as are asked for are left when alike ones are shown once.
std::size_t kept_for(std::size_t plans) { return plans == 1 ? 1 : 60 + 8 * plans; }

/// Whether two plans are one to a reader: the same but for what dp, cp, micro-batch and chunks trade among themselves, in the same time.
bool alike(const TrainPlan& a, const TrainPlan& b) {
  constexpr double kSameTime = 0.01;
  if (a.parts.size() != b.parts.size() || a.joined != b.joined || b.step.value > a.step.value * (1 + kSameTime)) { return false; }
  for (std::size_t i = 0; i < a.parts.size(); ++i) {
    Layout of_b = b.parts[i].layout;
    const Layout& of_a = a.parts[i].layout;
    of_b.dp = of_a.dp;
    of_b.cp = of_a.cp;
    of_b.micro_batch = of_a.micro_batch;
    of_b.interleave = of_a.interleave;
    of_b.layers_recomputed = of_a.layers_recomputed;
    if (a.parts[i].island != b.parts[i].island || !(of_a == of_b)) { return false; }
  }
  return true;
}

/// The first of each group of alike plans, `most` at most; `plans` is sorted.
void show_once(std::vector<TrainPlan>& plans, std::size_t most) {
  std::vector<TrainPlan> shown;
  for (TrainPlan& plan : plans) {
    const bool is_new = std::none_of(shown.begin(), shown.end(), [&](const TrainPlan& s) { return alike(s, plan); });
    if (is_new && shown.size() < most) { shown.push_back(std::move(plan)); }
  }
  plans = std::move(shown);
}

/// The plans of each island by itself; those that cannot be among the best are left out.
std::vector<TrainPlan> plans_alone(const TrainRequest& r, SearchCount& count) {
  std::vector<TrainPlan> plans;
  const std::size_t keep = kept_for(r.plans);
  const TrainRun run{.sequence = r.sequence, .global_batch = r.global_batch, .lora_rank = r.lora_rank};
  for (std::size_t i = 0; i < r.fleet.islands.size(); ++i) {
    const Island& island = r.fleet.islands[i];
    TrainEstimator estimator(r.model, island, r.stack, run);
    const planning::Search search{.estimator = estimator,
                                  .model = r.model,
                                  .run = run,
                                  .island = island,
                                  .limits = r.limits,
                                  .capacity = estimator.capacity().value * (1 - r.memory_margin),
                                  .keep = keep,
                                  .worst = plans.size() < keep ? 0 : plans[keep - 1].step.value};
    if (!planning::some_layout_that_fits(search)) { continue; }
    for (const Candidate& candidate : best_layouts(search, count)) { plans.push_back(alone(r, i, candidate, estimator)); }
    std::stable_sort(plans.begin(), plans.end(), plan_before);
  }
  return plans;
}

void note(TrainPlan& plan, const TrainRequest& r, std::int64_t tokens_asked) {
  for (const TrainPart& part : plan.parts) {
    const TrainRun run{.sequence = r.sequence, .global_batch = part.sequences, .lora_rank = r.lora_rank};
    std::string idle = planning::idle_note(r.model, run, r.fleet.islands[part.island], r.limits, part.layout.chips());
    if (!idle.empty() && plan.joined != Joined::pipeline) { plan.notes.push_back(std::move(idle)); }
  }
  if (tokens_asked > 0 && tokens_asked != r.global_batch * r.sequence) {
    plan.notes.push_back(fmt::format("a batch of {} tokens is not a whole number of sequences: {} sequences ({} tokens) a step",
                                     count_text(tokens_asked), count_text(r.global_batch), count_text(r.global_batch * r.sequence)));
  }
  const auto unpriced = [&](const TrainPart& part) { return r.fleet.islands[part.island].chip.price_per_hour.value.value == 0; };
  if (std::any_of(plan.parts.begin(), plan.parts.end(), unpriced)) { plan.notes.push_back("a chip without a price counts 0 in the cost"); }
}

}  // namespace

Result<void> check_request(const TrainRequest& r) {
  const auto bad = [](std::string what, std::string remedy = {}) {
    return fail(ErrorKind::invalid, std::move(what), {}, std::move(remedy));
  };
  if (r.model.layers.empty()) { return bad("the model has no layers"); }
  if (r.fleet.islands.empty()) { return bad("the fleet has no island"); }
  for (const Island& island : r.fleet.islands) {
    if (island.chips < 1) { return bad(fmt::format("island {} has {} chips", island.name, island.chips)); }
    if (island.chip.memory.value.value <= 0) {
      return bad(fmt::format("chip {} has no memory of its own in the catalogue", island.chip.key), "give it `memory` in a chip file");
    }
  }
  if (r.sequence < 1 || r.sequence > kSequenceMax) { return bad(fmt::format("a sequence of {} tokens", r.sequence), "from 1 to 2^30"); }
  if (r.global_batch < 0 || r.global_batch > kBatchMax || r.batch_tokens < 0) {
    return bad(fmt::format("a batch of {} sequences", r.global_batch), "from 1 to 2^32");
  }
  if (r.global_batch == 0 && r.batch_tokens == 0) { return bad("no batch is given", "say how many sequences or tokens one step takes"); }
  if (r.global_batch == 0 && r.batch_tokens < r.sequence) {
    return bad(fmt::format("a batch of {} tokens is less than one sequence of {}", count_text(r.batch_tokens), count_text(r.sequence)),
               fmt::format("the nearest that can be is {} tokens", count_text(r.sequence)));
  }
  if (!(r.tokens >= 0) || !std::isfinite(r.tokens)) { return bad(fmt::format("{} tokens to train on", r.tokens)); }
  if (r.lora_rank < 0) { return bad(fmt::format("LoRA of rank {}", r.lora_rank)); }
  if (!(r.memory_margin >= 0 && r.memory_margin < 1)) {
    return bad(fmt::format("a memory margin of {}", r.memory_margin), "from 0 to below 1");
  }
  if (!(r.pue >= 1)) { return bad(fmt::format("a PUE of {}", r.pue), "at least 1"); }
  if (!(r.host_share >= 0)) { return bad(fmt::format("a host share of {}", r.host_share), "at least 0"); }
  if (r.plans < 1 || r.plans > kPlansMax) { return bad(fmt::format("{} plans", r.plans), fmt::format("from 1 to {}", kPlansMax)); }
  const TrainLimits& l = r.limits;
  if (l.precisions.empty() || l.schedules.empty() || l.zeros.empty() || l.recomputes.empty() || l.offloads.empty()) {
    return bad("a list of what is allowed (precisions, schedules, ZeRO, recomputation, offload) is empty");
  }
  for (const std::int64_t most : {l.tp_max, l.cp_max, l.pp_max, l.dp_max, l.ep_max, l.interleave_max, l.micro_batch_max, l.chips_max}) {
    if (most < 0) { return bad(fmt::format("a limit of {}", most), "0 is no limit"); }
  }
  return {};
}

Result<std::vector<TrainPlan>> plan_train(const TrainRequest& request, SearchCount* count) {
  TRY(check_request(request));
  TrainRequest r = request;
  if (r.global_batch == 0) { r.global_batch = (r.batch_tokens + r.sequence / 2) / r.sequence; }
  SearchCount counted;
  std::vector<TrainPlan> plans = plans_alone(r, counted);
  if (r.fleet.islands.size() > 1) {
    const double worst = plans.size() < r.plans ? std::numeric_limits<double>::infinity() : plans[r.plans - 1].step.value;
    for (TrainPlan& plan : planning::mixed_plans(r, worst, counted)) { plans.push_back(std::move(plan)); }
  }
  if (count != nullptr) { *count = counted; }
  if (plans.empty()) { return std::unexpected(planning::nothing_fits(r)); }
  for (TrainPlan& plan : plans) {
    plan.global_batch = r.global_batch;
    planning::account(plan, r);
  }
  std::stable_sort(plans.begin(), plans.end(), plan_before);
  show_once(plans, r.plans);
  for (TrainPlan& plan : plans) { note(plan, r, request.global_batch == 0 ? request.batch_tokens : 0); }
  return plans;
}

Result<TrainPlan> judge_layout(const TrainRequest& request, std::size_t island, const Layout& layout) {
  TRY(check_request(request));
  TrainRequest r = request;
  if (r.global_batch == 0) { r.global_batch = (r.batch_tokens + r.sequence / 2) / r.sequence; }
  if (island >= r.fleet.islands.size()) { return fail(ErrorKind::invalid, fmt::format("the fleet has no island {}", island)); }
  const Island& place = r.fleet.islands[island];
  const TrainRun run{.sequence = r.sequence, .global_batch = r.global_batch, .lora_rank = r.lora_rank};
  if (std::string fault = fault_of(layout, r.model, run, place); !fault.empty()) { return fail(ErrorKind::invalid, std::move(fault)); }
  TrainEstimator estimator(r.model, place, r.stack, run);
  TrainPlan plan = alone(r, island, {.layout = layout}, estimator);
  plan.global_batch = r.global_batch;
  planning::account(plan, r);
  note(plan, r, request.global_batch == 0 ? request.batch_tokens : 0);
  return plan;
}

}  // namespace centrale
