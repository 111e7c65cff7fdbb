// SPDX-License-Identifier: Apache-2.0
#include "policy/plan_estimator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "model/read.hpp"
#include "plan/train.hpp"
#include "plan/train_rows.hpp"

namespace centrale {
namespace {

constexpr std::size_t kPlansRemembered = 100'000, kAnswersRemembered = 10'000;  // some 20 MiB each
constexpr std::int64_t kChipsPlanned = 1 << 20;                                 // of one job

/// A number of chips of one kind, planned. Without rates: why not.
struct Planned {
  std::vector<double> rates;
  std::string layout;
  std::string why_not;
};

/// 16 bit where the chip has it.
Precision precision_of(const ChipType& chip) {
  for (const Precision p : {Precision::bf16, Precision::fp16}) {
    if (chip.peak_of(p).value > 0) { return p; }
  }
  return Precision::fp32;
}

/// The gang on as few nodes as hold it; `chips` are whole workers of `worker` chips.
Island packed(const ChipType& known, const KindOffer& offer, std::int64_t chips, std::int64_t worker) {
  ChipType chip = known;
  chip.chips_per_node = std::max(offer.chips_per_node / worker * worker, worker);
  // A torus is as large as it is built; the domain of others is the centre's to say.
  if (offer.domain > 0 && chip.scale_up.wiring != Wiring::torus) { chip.scale_up.chips = offer.domain; }
  return island_of(offer.kind, chip, chips);
}

/// The same gang where only the network joins its parts; one worker cannot be parted.
Island parted(const Island& together, std::int64_t worker) {
  Island island = together;
  const std::int64_t workers = island.chips / worker;
  if (island.chips_per_node == island.chips) { island.chips_per_node = workers % 2 == 0 ? island.chips / 2 : worker; }
  island.domain = std::min(island.domain, island.chips_per_node);
  return island;
}

TrainRequest request_of(const Model& model, const JobSpec& spec, Island island, const Stack& stack) {
  TrainRequest r;
  r.model = model;
  r.fleet.name = island.name;
  r.stack = stack;
  r.sequence = spec.sequence;
  r.global_batch = spec.global_batch;
  r.plans = 1;
  r.limits.precisions = {precision_of(island.chip)};
  r.limits.schedules = {Schedule::one_f_one_b};
  r.limits.zeros = {Zero::none, Zero::optimizer, Zero::weights};
  r.limits.recomputes = {Recompute::none, Recompute::full};
  r.limits.offloads = {Offload::none};
  r.limits.recompute_by_layer = false;
  r.limits.shard_groups = false;
  r.fleet.islands.push_back(std::move(island));
  return r;
}

Planned plan(const Model& model, const JobSpec& spec, const ChipType& chip, const KindOffer& offer, const Stack& stack,
             std::int64_t chips) {
  Planned planned;
  // Weights, gradients and optimizer state are somewhere on the chips, whatever the layout: no need to search for one that has no room.
  const double state = static_cast<double>(parameters(model)) * (2 + stack.gradient_bytes + stack.optimizer_bytes);
  if (state > static_cast<double>(chips) * static_cast<double>(chip.memory.value.value)) {
    planned.why_not = fmt::format("{} chips have no room for {:.0f} GB of weights, gradients and optimizer state", chips, state / 1e9);
    return planned;
  }
  const Island together = packed(chip, offer, chips, spec.chips);
  const auto plans = plan_train(request_of(model, spec, together, stack));
  if (!plans) {
    planned.why_not = plans.error().message();
    return planned;
  }
  const TrainPlan& best = plans->front();
  if (best.idle_chips > 0) {
    planned.why_not = fmt::format("the best layout uses {} of {} chips", best.chips, chips);
    return planned;
  }
  const Layout& layout = best.parts.front().layout;
  planned.layout = to_text(layout);
  planned.rates.push_back(1 / best.step.value);
  if (chips == spec.chips || chips > std::max(together.domain, together.chips_per_node)) { return planned; }
  if (offer.domain > offer.chips_per_node) { planned.rates.push_back(planned.rates.front()); }
  const auto apart = judge_layout(request_of(model, spec, parted(together, spec.chips), stack), 0, layout);
  planned.rates.push_back(apart ? std::min(1 / apart->step.value, planned.rates.front()) : 0);
  return planned;
}

}  // namespace

struct PlanEstimator::Inside {
  Catalogue catalogue;
  std::vector<Stack> stacks;
  FindModel find;
  std::map<std::string, Planned> plans;                   // by all that a plan depends on
  std::map<std::string, Result<Shared<Speeds>>> answers;  // by all that an answer depends on

  [[nodiscard]] const ChipType* chip_of(std::string_view kind) const {
    if (const ChipType* chip = catalogue.chip(kind)) { return chip; }
    if (const ChipType* chip = catalogue.chip_printed_as(kind)) { return chip; }
    return catalogue.chip_like(kind);
  }

  const Planned& planned(const Model& model, const JobSpec& spec, const ChipType& chip, const KindOffer& offer, std::int64_t chips) {
    std::string key = fmt::format("{}\n{}\n{} {} {} {} {} {}", spec.model, offer.kind, offer.chips_per_node, offer.domain, spec.chips,
                                  spec.global_batch, spec.sequence, chips);
    const auto found = plans.find(key);
    if (found != plans.end()) { return found->second; }
    if (plans.size() >= kPlansRemembered) { plans.clear(); }
    return plans.emplace(std::move(key), plan(model, spec, chip, offer, stack_spoken_of("", chip.vendor, stacks), chips)).first->second;
  }

  Result<Shared<Speeds>> answer(const JobSpec& spec, std::span<const KindOffer> kinds) {
    if (spec.global_batch < 1 || spec.sequence < 1) {
      return fail(
          ErrorKind::invalid,
          fmt::format("model '{}' is given without {}", shorten(spec.model, 60), spec.global_batch < 1 ? "global_batch" : "sequence"), {},
          "sequences a step and tokens of each: the planner needs both; a job without `model` runs as asked");
    }
    TRY_ASSIGN(const Model model, find(spec.model));
    Speeds speeds;
    std::string why_not = "no kind of chip that will do is in the catalogue, or there are too few";
    for (const KindOffer& offer : kinds) {
      const ChipType* chip = chip_of(offer.kind);
      if (chip == nullptr || chip->memory.value.value <= 0 || !kind_will_do(spec, offer.kind)) { continue; }
      for (const std::int64_t workers : worker_counts(spec, offer)) {
        if (workers * spec.chips > kChipsPlanned) { break; }
        const Planned& p = planned(model, spec, *chip, offer, workers * spec.chips);
        if (p.rates.empty()) {
          why_not = fmt::format("{} x {} {}: {}", workers, spec.chips, offer.kind, p.why_not);
        } else {
          speeds.rows.push_back({.kind = offer.kind, .workers = workers, .chips = spec.chips, .rates = p.rates, .layout = p.layout});
        }
      }
    }
    if (speeds.rows.empty()) {
      return fail(ErrorKind::invalid, fmt::format("model '{}' trains on none of the chips: {}", shorten(spec.model, 60), why_not), {},
                  "more workers, other chip_kinds or another global_batch; a job without `model` runs as asked");
    }
    speeds.work = static_cast<double>(spec.steps);
    speeds.source = "planner";
    return share(std::move(speeds));
  }
};

PlanEstimator::PlanEstimator(Catalogue catalogue, std::vector<Stack> stacks, FindModel find)
    : inside_(new Inside{
          .catalogue = std::move(catalogue), .stacks = std::move(stacks), .find = std::move(find), .plans = {}, .answers = {}}) {}
PlanEstimator::PlanEstimator(Catalogue catalogue, std::vector<Stack> stacks)
    : PlanEstimator(std::move(catalogue), std::move(stacks), [](std::string_view name) { return catalogue_model(name); }) {}
PlanEstimator::~PlanEstimator() = default;

Result<std::optional<Estimate>> PlanEstimator::estimate(const JobSpec& spec, std::span<const KindOffer> kinds, double) const {
  if (spec.model.empty()) { return std::optional<Estimate>{}; }
  std::string key = fmt::format("{}\n{} {} {} {} {} {} {}", spec.model, spec.global_batch, spec.sequence, spec.workers, spec.chips,
                                spec.workers_min, spec.workers_max, spec.steps);
  for (const std::string& kind : spec.chip_kinds) { key += "\n" + kind; }
  for (const KindOffer& o : kinds) { key += fmt::format("\n{}\t{} {} {}", o.kind, o.chips, o.chips_per_node, o.domain); }
  auto found = inside_->answers.find(key);
  if (found == inside_->answers.end()) {
    if (inside_->answers.size() >= kAnswersRemembered) { inside_->answers.clear(); }
    found = inside_->answers.emplace(std::move(key), inside_->answer(spec, kinds)).first;
  }
  if (!found->second) { return std::unexpected(found->second.error()); }
  return std::optional<Estimate>{Estimate{.speeds = *found->second, .until = std::numeric_limits<double>::infinity()}};
}

}  // namespace centrale
