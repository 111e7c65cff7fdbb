// SPDX-License-Identifier: Apache-2.0
#include "plan/train_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "estimate/operators.hpp"
#include "plan/train_search.hpp"

namespace centrale::planning {
namespace {

constexpr double kDay = 86400, kMegawattHour = 3.6e9;  // s, J

double as_double(std::int64_t n) { return static_cast<double>(n); }

}  // namespace

std::string gib(double bytes) { return fmt::format("{:.1f} GiB", bytes / 0x1p30); }

std::string count_text(std::int64_t n) {
  std::string text = fmt::format("{}", n);
  for (std::size_t at = text.size(); at > 3; at -= 3) { text.insert(at - 3, 1, ','); }
  return text;
}

std::string bound_by(const StepParts& p) {
  std::array<std::pair<double, std::string_view>, 10> shares{{
      {(p.forward + p.backward + p.head).value, "computation"},
      {p.recompute.value, "recomputation"},
      {p.tp.value, "tensor-parallel collectives"},
      {p.cp.value, "context-parallel exchange"},
      {p.ep.value, "expert-parallel exchange"},
      {p.pp.value, "sends between stages"},
      {p.dp.value, "data-parallel collectives"},
      {p.bubble.value, "pipeline bubble"},
      {p.optimizer.value, "optimizer"},
      {p.other.value, "the step's own overheads"},
  }};
  std::stable_sort(shares.begin(), shares.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text;
  for (const auto& [seconds, name] : shares) {
    const double percent = 100 * seconds / p.total().value;
    if (percent < 1) { break; }
    text += fmt::format("{}{} {:.0f}%", text.empty() ? "" : ", ", name, percent);
  }
  return text;
}

double adapter_elements(const Model& model, std::int64_t rank) {
  double elements = 0;
  for (const std::uint8_t kind : model.layers) {
    for (const Weight& w : weights_of(model, model.kinds[kind])) {
      if (w.matrix && w.copies == 1) { elements += as_double(rank * (w.inputs + w.outputs)); }
    }
  }
  return elements;
}

ByteCount checkpoint_bytes(const TrainRequest& r) {
  const double elements = r.lora_rank > 0 ? adapter_elements(r.model, r.lora_rank) : as_double(parameters(r.model));
  return {elements * (2 + r.stack.optimizer_bytes)};
}

void account(TrainPlan& plan, const TrainRequest& r) {
  double peak = 0, watts = 0, price = 0;
  double headroom = std::numeric_limits<double>::infinity();
  plan.chips = 0;
  double flop = 0;
  for (const TrainPart& part : plan.parts) {
    const ChipType& chip = r.fleet.islands[part.island].chip;
    const std::int64_t chips = part.layout.chips();
    const double n = as_double(chips);
    plan.chips += chips;
    peak += n * best_peak(chip, part.layout.precision).value;
    watts += part.estimate.power.value + r.host_share * n * as_double(chip.power.value.value) * 1e-3;
    price += n * as_double(chip.price_per_hour.value.value) * 1e-6;
    flop += part.estimate.model_flop.value;
    const double capacity = as_double(chip.memory.value.value) * (1 - r.memory_margin);
    headroom = std::min(headroom, capacity - part.estimate.memory.total().value);
  }
  plan.idle_chips = r.fleet.chips() - plan.chips;
  plan.headroom.value = headroom;
  plan.mfu = flop / (plan.step.value * peak);
  plan.tokens.value = as_double(plan.global_batch * r.sequence) / plan.step.value;
  plan.goodput = goodput_of(r.reliability, plan.chips, checkpoint_bytes(r));
  const double wall = r.tokens > 0 ? r.tokens / plan.tokens.value / plan.goodput.fraction : 0;
  plan.days = wall / kDay;
  plan.mwh = wall * watts * r.pue / kMegawattHour;
  plan.cost = wall / 3600 * price;
  plan.bound_by = bound_by(plan.by_part);
}

std::string idle_note(const Model& model, const TrainRun& run, const Island& island, const TrainLimits& limits, std::int64_t used) {
  const Space space = space_of(model, run, island, limits);
  if (used >= space.chips) { return {}; }
  // The batch nearest to this one that some (tp, cp, pp) spreads over all chips.
  std::int64_t nearest = 0, least = 0;
  for (const std::int64_t tp : space.tp) {
    for (const std::int64_t cp : space.cp) {
      for (const std::int64_t pp : space.pp) {
        if (space.chips % (tp * cp * pp) != 0) { continue; }
        const std::int64_t dp = space.chips / (tp * cp * pp);
        if (limits.dp_max > 0 && dp > limits.dp_max) { continue; }
        const std::int64_t batch = std::max<std::int64_t>(1, (run.global_batch + dp / 2) / dp) * dp;
        const std::int64_t away = std::abs(batch - run.global_batch);
        if (nearest == 0 || away < least) {
          nearest = batch;
          least = away;
        }
      }
    }
  }
  const std::string idle =
      fmt::format("{} of {}'s {} chips stay idle", count_text(space.chips - used), island.name, count_text(space.chips));
  if (nearest == 0) { return idle + fmt::format(": no tp x cp x pp of this model divides {} chips", count_text(space.chips)); }
  if (least == 0) { return idle + ": layouts on all of them are slower or do not fit"; }
  return idle + fmt::format(": no layout spreads a batch of {} sequences over all of them; the nearest batch that can be is {}",
                            count_text(run.global_batch), count_text(nearest));
}

}  // namespace centrale::planning
