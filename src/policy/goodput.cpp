// SPDX-License-Identifier: Apache-2.0
#include "policy/goodput.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace centrale {

namespace {
/// Steps of the search in one round: some milliseconds.
constexpr std::size_t kPriceSteps = 2'000'000;
constexpr std::uint64_t kImproveSteps = 300'000;
}  // namespace

/// Between rounds it starts with its least shape.
ElasticPolicy::Ask Goodput::ask(const Work& work) const {
  Ask asked = ElasticPolicy::ask(work);
  if (work.speed == nullptr) { return asked; }
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (const Shape& shape : work.speed->shapes) {
    if ((work.kinds.mask >> shape.kind & 1) == 0 || shape.rate[0] <= 0 || shape.total() > least) { continue; }
    if (shape.total() < least) {
      least = shape.total();
      asked = {.workers = shape.workers, .chips = shape.chips, .kinds = 0};
    }
    if (shape.workers == asked.workers && shape.chips == asked.chips) { asked.kinds |= KindMask{1} << shape.kind; }
  }
  return asked;
}

bool Goodput::may_have(const Item& item, const Shape& shape, std::int64_t least) const {
  const std::int64_t node = node_chips_[shape.kind];
  const bool asked = shape.workers == item.work.gang.workers && shape.chips == item.work.gang.chips;
  if (shape.total() > node && shape.total() % std::max<std::int64_t>(1, node) != 0 && !asked) { return false; }
  if (item.phase == Phase::running) { return shape.total() <= std::max(least, kGrowthMax * item.held()); }
  return owner_of(item.work.owner).starts > 0 || shape.total() <= least;
}

void Goodput::offer_shape(const Item& item, const Shape& shape, std::int64_t row, double goodput, double restart) {
  const bool present =
      item.phase == Phase::running && item.kind == shape.kind && item.workers == shape.workers && item.per_worker == shape.chips;
  const double value = kLambda - std::pow(goodput * (present ? 1 : restart), kPower);
  if (value <= 0) { return; }
  problem_.choices.push_back({.kind = kind_at_[shape.kind], .chips = shape.total(), .value = value});
  offers_.push_back({.slot = slots_.back(), .kind = shape.kind, .workers = shape.workers, .chips = shape.chips, .row = row});
}

void Goodput::offer(Slot slot, Time now) {
  const Item& item = items_[slot];
  const Work& work = item.work;
  const KindMask usable = work.kinds.mask & existing_;
  double restart = 1;
  const double age = to_seconds(now - work.submitted), cost = to_seconds(work.restart_cost);
  if (item.phase == Phase::running && age >= cost && age + cost > 0) {
    const double restarts = std::max(0, owner_of(work.owner).starts - 1);
    restart = std::max(0.0, age - restarts * cost) / (age + cost);
  }
  slots_.push_back(slot);
  if (work.speed == nullptr) {
    for (KindMask left = usable; left != 0; left &= left - 1) {
      Shape shape;
      shape.kind = static_cast<KindIndex>(std::countr_zero(left));
      shape.workers = static_cast<std::int32_t>(work.gang.workers);
      shape.chips = static_cast<std::int32_t>(work.gang.chips);
      offer_shape(item, shape, -1, static_cast<double>(shape.total()), restart);
    }
  } else {
    double slowest = std::numeric_limits<double>::infinity();
    std::int64_t slowest_chips = 1, least = std::numeric_limits<std::int64_t>::max();
    const auto rate = [&](const Shape& shape) {
      return static_cast<double>(shape.rate[static_cast<std::size_t>(likely_spread(shape.kind, shape.total()))]);
    };
    for (const Shape& shape : work.speed->shapes) {
      if ((usable >> shape.kind & 1) == 0 || rate(shape) <= 0) { continue; }
      if (rate(shape) < slowest) {
        slowest = rate(shape);
        slowest_chips = shape.total();
      }
      least = std::min(least, shape.total());
    }
    for (const Shape& shape : work.speed->shapes) {
      if ((usable >> shape.kind & 1) == 0 || rate(shape) <= 0 || !may_have(item, shape, least)) { continue; }
      offer_shape(item, shape, shape.row, rate(shape) / slowest * static_cast<double>(slowest_chips), restart);
    }
  }
  problem_.first.push_back(problem_.choices.size());
}

void Goodput::choose(std::span<const Slot> items, Time now) {
  problem_.choices.clear();
  problem_.first.assign(1, 0);
  problem_.capacity.clear();
  offers_.clear();
  slots_.clear();
  for (KindMask left = existing_; left != 0; left &= left - 1) {
    const auto kind = static_cast<std::size_t>(std::countr_zero(left));
    kind_at_[kind] = problem_.capacity.size();
    problem_.capacity.push_back(std::max<std::int64_t>(0, room_[kind]));
  }
  for (const Slot slot : items) {
    const Item& item = items_[slot];
    if (item.fixed || (item.phase == Phase::waiting && kinds_for(item, 1) == 0)) { continue; }
    offer(slot, now);
  }
  ChooseLimits limits;
  limits.price_rounds = static_cast<int>(std::clamp<std::size_t>(kPriceSteps / std::max<std::size_t>(1, problem_.choices.size()), 10, 120));
  limits.improve_steps = kImproveSteps;
  const Chosen chosen = choose_shapes(problem_, limits);
  for (const bool present : {true, false}) {  // what stays as it is first
    for (std::size_t job = 0; job < slots_.size(); ++job) {
      if (chosen.choice[job] == kNoChoice) { continue; }
      const Target& target = offers_[problem_.first[job] + static_cast<std::size_t>(chosen.choice[job])];
      const Item& item = items_[target.slot];
      if (present != (item.phase == Phase::running && same_shape(item, target))) { continue; }
      if (item.phase == Phase::waiting && (kinds_for(item, target.total()) >> target.kind & 1) == 0) { continue; }
      add_target(target);
    }
  }
}

}  // namespace centrale
