// SPDX-License-Identifier: Apache-2.0
// Small random models, chips, stacks and islands for tests: everything from one seed.
#pragma once
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "estimate/stack.hpp"
#include "fleet/fleet.hpp"
#include "model/model.hpp"

namespace centrale::planning {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  /// Both ends included.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
  }
  bool coin() { return between(0, 1) == 1; }
  double real(double low, double high) { return low + (high - low) * static_cast<double>(engine_() >> 11) * 0x1p-53; }
  /// Spread evenly over the orders of magnitude.
  double magnitude(double low, double high) { return std::exp(real(std::log(low), std::log(high))); }
  template <class T>
  T one_of(const std::vector<T>& list) {
    return list[static_cast<std::size_t>(between(0, static_cast<std::int64_t>(list.size()) - 1))];
  }
  /// At least one of them.
  template <class T>
  std::vector<T> some_of(const std::vector<T>& list) {
    std::vector<T> some;
    for (const T& item : list) {
      if (coin()) { some.push_back(item); }
    }
    return some.empty() ? std::vector<T>{one_of(list)} : some;
  }

 private:
  std::mt19937_64 engine_;
};

inline Model random_model(Dice& dice) {
  Model model;
  model.name = "random";
  const std::int64_t heads = dice.one_of<std::int64_t>({1, 2, 3, 4, 6, 8});
  model.hidden = heads * dice.one_of<std::int64_t>({64, 128});
  model.vocab = dice.between(1000, 50000);
  model.tied = dice.coin();
  model.dropout = dice.between(0, 3) == 0 ? 0.1 : 0;
  Block block;
  block.mixer.heads = heads;
  block.mixer.kv_heads = dice.coin() ? heads : 1;
  block.mixer.head_dim = model.hidden / heads;
  block.ffn.width = 4 * model.hidden;
  block.ffn.gated = dice.coin();
  model.kinds.push_back(block);
  if (dice.coin()) {
    block.ffn.experts = dice.one_of<std::int64_t>({2, 3, 4, 6, 8});
    block.ffn.active = dice.between(1, 2);
    block.ffn.expert_width = model.hidden;
    block.ffn.width = 0;
    block.ffn.shared_width = dice.coin() ? model.hidden : 0;
    model.kinds.push_back(block);
  }
  const std::int64_t layers = dice.between(1, 6);
  for (std::int64_t i = 0; i < layers; ++i) {
    model.layers.push_back(static_cast<std::uint8_t>(dice.between(0, static_cast<std::int64_t>(model.kinds.size()) - 1)));
  }
  if (dice.between(0, 5) == 0) {
    model.mtp_layers = 1;
    model.mtp_blocks = {static_cast<std::uint8_t>(model.kinds.size() - 1)};
  }
  return model;
}

inline ChipType random_chip(Dice& dice) {
  ChipType chip;
  chip.key = "random";
  chip.name = "Random";
  chip.memory.value = {static_cast<std::int64_t>(dice.magnitude(1.3e9, 8e9))};
  chip.power.value = {dice.between(100'000, 1'000'000)};
  chip.price_per_hour.value = {dice.between(100'000, 5'000'000)};
  chip.peak[static_cast<std::size_t>(Precision::bf16)].value = {dice.magnitude(1e13, 1e15)};
  if (dice.coin()) { chip.peak[static_cast<std::size_t>(Precision::fp8)].value = chip.peak_of(Precision::bf16) * 2; }
  chip.memory_bandwidth.value = {dice.magnitude(3e11, 8e12)};
  chip.units.value = static_cast<double>(dice.between(8, 140));
  chip.scale_up = {.wiring = dice.one_of<Wiring>({Wiring::none, Wiring::bus, Wiring::mesh, Wiring::fabric}),
                   .chips = 8,
                   .torus = {},
                   .wraps_from = 1,
                   .bandwidth = {{dice.magnitude(2e10, 1e12)}, "test"},
                   .latency = {dice.magnitude(1e-6, 1e-5)},
                   .in_network = dice.coin()};
  chip.scale_out = {.bandwidth = {{dice.magnitude(1e9, 1e11)}, "test"}, .latency = {dice.magnitude(2e-6, 2e-5)}};
  return chip;
}

inline Stack random_stack(Dice& dice) {
  Stack stack;
  stack.key = "random";
  stack.flash = dice.coin();
  stack.kernels = dice.real(0, 1);
  stack.elementwise = dice.real(0.3, 1);
  stack.tp_overlap = dice.real(0, 0.9);
  stack.cp_overlap = dice.real(0, 0.9);
  stack.ep_overlap = dice.real(0, 0.9);
  stack.pp_overlap = dice.real(0, 1);
  stack.dp_overlap = dice.real(0, 0.95);
  stack.overlap_drag = dice.real(0, 0.3);
  stack.deduplicates = dice.coin();
  stack.routing = {dice.coin() ? dice.magnitude(1e-6, 1e-4) : 0};
  stack.narrow_dispatch = dice.coin();
  stack.imbalance = dice.real(1, 1.5);
  stack.step = {dice.magnitude(1e-6, 1e-3)};
  stack.jitter = dice.real(0, 0.05);
  return stack;
}

inline Island random_island(Dice& dice, std::int64_t chips_max) {
  Island island = island_of("random", random_chip(dice), dice.between(1, chips_max));
  island.chips_per_node = dice.one_of<std::int64_t>({1, 2, 4, 8});
  island.domain = island.chip.scale_up.wiring == Wiring::none ? 1 : island.chips_per_node;
  island.network.bandwidth = island.chip.scale_out.bandwidth.value;
  island.network.latency = island.chip.scale_out.latency;
  return island;
}

}  // namespace centrale::planning
