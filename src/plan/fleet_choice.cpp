// SPDX-License-Identifier: Apache-2.0
#include "plan/fleet_choice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "plan/train_report.hpp"
#include "plan/train_search.hpp"

namespace centrale {
namespace {

using planning::count_text;
using planning::some_layout_that_fits;

// Counts below the one found that are looked at once more: divisibility and goodput make the days bumpy over few domains.
constexpr std::int64_t kLookBack = 4;

/// One kind of chip, a domain more at a time.
class Counting {
 public:
  Counting(const FleetQuestion& question, const ChipType& chip) : q_(question), chip_(chip) {
    unit_ = std::max<std::int64_t>({1, chip.chips_per_node, chip.scale_up.wiring == Wiring::none ? 1 : chip.scale_up.chips});
  }

  FleetChoice run() {
    FleetChoice choice;
    choice.chip = chip_;
    const std::int64_t most = q_.chips_max / unit_;
    if (most < 1) {
      choice.why_not = fmt::format("one domain has {} chips, the limit is {}", unit_, count_text(q_.chips_max));
      return choice;
    }
    // What does not fit on most chips fits on no fewer.
    if (!fits(most)) {
      choice.why_not = why_not(most);
      return choice;
    }
    // Nobody computes faster than the peak: fewer domains need not be tried.
    const std::int64_t least = std::min(most, least_domains());
    std::int64_t low = least - 1, high = least;  // below `low` and at it: too few
    while (!meets(high)) {
      if (high == most) {
        choice.why_not = why_not(most);
        return choice;
      }
      low = high;
      high = std::min(most, 2 * high);
    }
    // More chips never take longer but for goodput and what does not divide: halving finds an edge, and a look below it another one.
    while (true) {
      while (high - low > 1) {
        const std::int64_t middle = low + (high - low) / 2;
        (meets(middle) ? high : low) = middle;
      }
      std::optional<std::int64_t> lower;
      for (std::int64_t n = high - 2; n >= std::max(least, high - 1 - kLookBack); --n) {
        if (meets(n)) { lower = n; }
      }
      if (!lower) { break; }
      high = *lower;
      low = high - 1;
      if (low >= least && meets(low)) { low = least - 1; }
    }
    choice.chips = high * unit_;
    choice.plan = *plan_of(high);
    return choice;
  }

 private:
  [[nodiscard]] std::int64_t least_domains() const {
    const TrainRequest& t = q_.training;
    TrainEstimator one(t.model, island_of(chip_.key, chip_, unit_), t.stack,
                       {.sequence = t.sequence, .global_batch = t.global_batch, .lora_rank = t.lora_rank});
    double step = 0;  // of one chip, at least
    for (const Precision precision : t.limits.precisions) {
      const double seconds = one.lower_bound(1, precision).value;
      step = step == 0 ? seconds : std::min(step, seconds);
    }
    const double steps = t.tokens / static_cast<double>(t.global_batch * t.sequence);
    const double domains = std::ceil(step * steps / (q_.days * 86400) / static_cast<double>(unit_));
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::min(domains, 1e9)));
  }

  [[nodiscard]] TrainRequest request_for(std::int64_t domains) const {
    TrainRequest request = q_.training;
    request.fleet = {};
    request.fleet.currency = q_.currency;
    request.fleet.islands = {island_of(chip_.key, chip_, domains * unit_)};
    request.plans = 1;
    return request;
  }

  [[nodiscard]] bool fits(std::int64_t domains) const {
    const TrainRequest r = request_for(domains);
    const TrainRun run{.sequence = r.sequence, .global_batch = r.global_batch, .lora_rank = r.lora_rank};
    TrainEstimator estimator(r.model, r.fleet.islands[0], r.stack, run);
    return some_layout_that_fits({.estimator = estimator,
                                  .model = r.model,
                                  .run = run,
                                  .island = r.fleet.islands[0],
                                  .limits = r.limits,
                                  .capacity = estimator.capacity().value * (1 - r.memory_margin)})
        .has_value();
  }

  bool meets(std::int64_t domains) {
    const auto& plan = plan_of(domains);
    return plan && plan->days <= q_.days;
  }

  const std::optional<TrainPlan>& plan_of(std::int64_t domains) {
    const auto [found, is_new] = plans_.try_emplace(domains);
    if (is_new && fits(domains)) {
      if (auto plans = plan_train(request_for(domains))) { found->second = std::move(plans->front()); }
    }
    return found->second;
  }

  [[nodiscard]] std::string why_not(std::int64_t most) {
    const auto& plan = plan_of(most);
    if (!plan) {
      const auto plans = plan_train(request_for(most));
      return plans ? std::string{} : plans.error().message();
    }
    return fmt::format("{} chips take {:.1f} days, {:.1f} are given: {}", count_text(most * unit_), plan->days, q_.days, plan->bound_by);
  }

  const FleetQuestion& q_;
  const ChipType& chip_;
  std::int64_t unit_ = 1;
  std::map<std::int64_t, std::optional<TrainPlan>> plans_;  // by domains
};

/// Those that can before those that cannot, cheap before dear; a chip without a price is dearer than any with one.
bool choice_before(const FleetChoice& a, const FleetChoice& b) {
  const auto key = [](const FleetChoice& c) {
    return std::tuple(c.chips == 0, c.plan.cost == 0, c.plan.cost, c.chips, std::string_view(c.chip.key));
  };
  return key(a) < key(b);
}

}  // namespace

std::int64_t batch_of(double tokens, std::int64_t sequence) {
  constexpr double kTokens = 15.6e12, kBatch = 16.0 * (1 << 20), kLeast = 1 << 20;
  const double batch = std::max(kLeast, kBatch * std::sqrt(tokens / kTokens)) / static_cast<double>(std::max<std::int64_t>(1, sequence));
  return std::int64_t{1} << std::clamp(std::llround(std::log2(std::max(1.0, batch))), 0LL, 30LL);
}

Result<std::vector<FleetChoice>> plan_fleet(const FleetQuestion& question) {
  if (!(question.days > 0) || !std::isfinite(question.days)) { return fail(ErrorKind::invalid, fmt::format("{} days", question.days)); }
  if (!(question.training.tokens > 0)) { return fail(ErrorKind::invalid, "no tokens to train on are given"); }
  if (question.training.sequence < 1) {
    return fail(ErrorKind::invalid, fmt::format("a sequence of {} tokens", question.training.sequence));
  }
  if (question.chips.empty()) { return fail(ErrorKind::invalid, "no chip to choose from is given"); }
  if (question.chips_max < 1 || question.chips_max > kFleetChipsMax) {
    return fail(ErrorKind::invalid, fmt::format("at most {} chips", question.chips_max), {}, fmt::format("from 1 to {}", kFleetChipsMax));
  }
  FleetQuestion q = question;
  TrainRequest& t = q.training;
  if (t.global_batch == 0 && t.batch_tokens == 0) { t.global_batch = batch_of(t.tokens, t.sequence); }
  if (t.global_batch == 0) { t.global_batch = std::max<std::int64_t>(1, (t.batch_tokens + t.sequence / 2) / t.sequence); }
  // What is wrong with the question itself is said once, not of every chip.
  TrainRequest tried = t;
  tried.fleet.islands = {island_of("any", q.chips[0], 1)};
  tried.fleet.islands[0].chip.memory.value = {1};
  tried.plans = 1;
  TRY(check_request(tried));
  std::vector<FleetChoice> choices;
  for (const ChipType& chip : q.chips) {
    if (chip.memory.value.value <= 0 || chip.memory_bandwidth.value.value <= 0) {
      choices.push_back({.chip = chip, .chips = 0, .plan = {}, .why_not = "the catalogue does not say its memory or its bandwidth"});
      continue;
    }
    choices.push_back(Counting(q, chip).run());
  }
  std::stable_sort(choices.begin(), choices.end(), choice_before);
  return choices;
}

}  // namespace centrale
