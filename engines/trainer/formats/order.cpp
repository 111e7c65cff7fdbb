// SPDX-License-Identifier: Apache-2.0
#include "formats/order.hpp"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "base/ensure.hpp"

namespace centrale::trainer {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): ours, because std::shuffle may differ between standard libraries.
std::uint64_t split_mix(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace

std::vector<std::int64_t> epoch_order(std::int64_t count, std::uint64_t seed, std::uint64_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::uint64_t state = seed;
  state = split_mix(state) ^ (epoch * 0xd1342543de82ef95ULL);
  for (std::size_t i = order.size(); i > 1; --i) {
    // The bias of the remainder is below count / 2^64.
    std::swap(order[i - 1], order[split_mix(state) % i]);
  }
  return order;
}

std::int64_t DataOrder::at(std::int64_t position) {
  ensure(count_ > 0 && position >= 0);
  const std::int64_t epoch = position / count_;
  if (epoch != epoch_) {
    order_ = epoch_order(count_, seed_, static_cast<std::uint64_t>(epoch));
    epoch_ = epoch;
  }
  return order_[static_cast<std::size_t>(position % count_)];
}

double learning_rate(const Schedule& schedule, std::int64_t step) {
  if (step < schedule.warmup_steps) { return schedule.rate * static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps); }
  const std::int64_t span = schedule.steps - 1 - schedule.warmup_steps;
  if (span <= 0 || step >= schedule.steps) return step >= schedule.steps ? schedule.rate_min : schedule.rate;
  const double progress = static_cast<double>(step - schedule.warmup_steps) / static_cast<double>(span);
  return schedule.rate_min + 0.5 * (schedule.rate - schedule.rate_min) * (1 + std::cos(std::numbers::pi * progress));
}

}  // namespace centrale::trainer
