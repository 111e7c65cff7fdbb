// SPDX-License-Identifier: Apache-2.0
#include "plan/train_fit.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "plan/train_report.hpp"
#include "plan/train_search.hpp"

namespace centrale::planning {
namespace {

/// One island of a request, and what may be changed of it.
struct Attempt {
  Island island;
  TrainRun run;
  TrainLimits limits;
  double margin = 0;
};

double capacity_of(const Attempt& a) { return static_cast<double>(a.island.chip.memory.value.value) * (1 - a.margin); }

std::optional<Leanest> leanest_of(const TrainRequest& request, const Attempt& a) {
  TrainEstimator estimator(request.model, a.island, request.stack, a.run);
  return leanest_layout({.estimator = estimator, .model = request.model, .run = a.run, .island = a.island, .limits = a.limits});
}

/// Its layout where it makes the model fit.
std::optional<Layout> fits(const TrainRequest& request, const Attempt& a) {
  TrainEstimator estimator(request.model, a.island, request.stack, a.run);
  return some_layout_that_fits(
      {.estimator = estimator, .model = request.model, .run = a.run, .island = a.island, .limits = a.limits, .capacity = capacity_of(a)});
}

template <class T>
bool add(std::vector<T>& list, T value) {
  if (std::find(list.begin(), list.end(), value) != list.end()) { return false; }
  list.push_back(value);
  return true;
}

Island with_chips(const Island& island, std::int64_t chips) {
  if (island.network.kind == NetworkKind::torus) { return island_of(island.name, island.chip, chips); }
  Island more = island;
  more.chips = chips;
  return more;
}

/// What the request forbids, each lifted by itself.
std::vector<std::pair<std::string, TrainLimits>> lifted(const TrainLimits& limits) {
  std::vector<std::pair<std::string, TrainLimits>> ways;
  TrainLimits l = limits;
  if (add(l.recomputes, Recompute::full)) { ways.emplace_back("full recomputation", std::exchange(l, limits)); }
  if (add(l.zeros, Zero::optimizer)) { ways.emplace_back("ZeRO-1 (the optimizer divided)", std::exchange(l, limits)); }
  if (add(l.zeros, Zero::weights)) { ways.emplace_back("ZeRO-3 (weights divided)", std::exchange(l, limits)); }
  if (add(l.offloads, Offload::optimizer)) { ways.emplace_back("offload of the optimizer", std::exchange(l, limits)); }
  if (add(l.offloads, Offload::activations)) { ways.emplace_back("offload of the activations", std::exchange(l, limits)); }
  if (add(l.precisions, Precision::bf16)) { ways.emplace_back("bf16", std::exchange(l, limits)); }
  if (add(l.precisions, Precision::fp8)) { ways.emplace_back("fp8", std::exchange(l, limits)); }
  if (!l.sequence_parallel) {
    l.sequence_parallel = true;
    ways.emplace_back("sequence-parallelism", std::exchange(l, limits));
  }
  const auto unlimited = [&](const char* name, std::int64_t TrainLimits::*limit) {
    if (l.*limit == 0) { return; }
    ways.emplace_back(fmt::format("{} beyond {}", name, l.*limit), limits);
    ways.back().second.*limit = 0;
  };
  unlimited("tp", &TrainLimits::tp_max);
  unlimited("cp", &TrainLimits::cp_max);
  unlimited("pp", &TrainLimits::pp_max);
  unlimited("dp", &TrainLimits::dp_max);
  unlimited("ep", &TrainLimits::ep_max);
  return ways;
}

/// Twice, four times, … as many chips, up to a thousand times.
std::optional<std::string> more_chips(const TrainRequest& request, const Attempt& from) {
  const std::int64_t have = from.limits.chips_max > 0 ? std::min(from.limits.chips_max, from.island.chips) : from.island.chips;
  for (std::int64_t chips = 2 * have; chips <= 1024 * have && chips <= kFleetChipsMax; chips *= 2) {
    Attempt a = from;
    a.island = with_chips(from.island, std::max(chips, from.island.chips));
    a.limits.chips_max = chips;
    if (const auto layout = fits(request, a)) {
      return fmt::format("{} chips instead of {} ({})", count_text(chips), count_text(have), to_text(*layout));
    }
  }
  return std::nullopt;
}

std::vector<std::string> ways_out(const TrainRequest& request, const Attempt& from) {
  std::vector<std::string> ways;
  const auto try_it = [&](const std::string& name, const Attempt& a) {
    if (const auto layout = fits(request, a)) { ways.push_back(fmt::format("{} ({})", name, to_text(*layout))); }
  };
  if (auto way = more_chips(request, from)) { ways.push_back(*std::move(way)); }
  Attempt everything = from;
  const auto forbidden = lifted(from.limits);
  for (const auto& [name, limits] : forbidden) {
    Attempt a = from;
    a.limits = limits;
    try_it(name, a);
  }
  if (from.margin > 0) {
    Attempt a = from;
    a.margin = 0;
    try_it(fmt::format("no margin instead of {:.0f}%", 100 * from.margin), a);
  }
  for (std::int64_t sequence = from.run.sequence / 2; sequence >= 512; sequence /= 2) {
    Attempt a = from;
    a.run.sequence = sequence;
    if (const auto layout = fits(request, a)) {
      ways.push_back(
          fmt::format("sequences of {} tokens instead of {} ({})", count_text(sequence), count_text(from.run.sequence), to_text(*layout)));
      break;
    }
  }
  if (from.run.lora_rank == 0) {
    Attempt a = from;
    a.run.lora_rank = 16;
    try_it("LoRA of rank 16", a);
  }
  if (ways.empty() && forbidden.size() > 1) {
    everything.limits = {};
    everything.limits.chips_max = from.limits.chips_max;
    everything.limits.precisions = from.limits.precisions;
    add(everything.limits.precisions, Precision::fp8);
    everything.margin = 0;
    try_it("everything that is not allowed together", everything);
    if (ways.empty()) {
      if (auto way = more_chips(request, everything)) { ways.push_back("everything that is not allowed together with " + *way); }
    }
  }
  return ways;
}

}  // namespace

Error nothing_fits(const TrainRequest& request) {
  const TrainRun run{.sequence = request.sequence, .global_batch = request.global_batch, .lora_rank = request.lora_rank};
  // The island that comes nearest.
  std::optional<Leanest> nearest;
  Attempt from;
  double over = 0;
  for (const Island& island : request.fleet.islands) {
    const Attempt a{.island = island, .run = run, .limits = request.limits, .margin = request.memory_margin};
    const auto leanest = leanest_of(request, a);
    if (!leanest) { continue; }
    const double beyond = leanest->memory.total().value - capacity_of(a);
    if (!nearest || beyond < over) {
      nearest = leanest;
      over = beyond;
      from = a;
    }
  }
  if (!nearest) {
    return {ErrorKind::invalid,
            "no layout is possible within the limits: none of the allowed schedules and ZeRO stages go together",
            {},
            "allow 1f1b or ZeRO 0"};
  }
  const std::vector<std::string> ways = ways_out(request, from);
  const std::string what = fmt::format("{} needs {} a chip at best ({}), {} has {}{}: {} too much", request.model.name,
                                       gib(nearest->memory.total().value), to_text(nearest->layout), from.island.chip.key,
                                       gib(capacity_of(from)), from.margin > 0 ? " after the margin" : "", gib(over));
  const std::string remedy =
      ways.empty() ? "nothing that was tried makes it fit: more chips up to a thousand times, everything that is not allowed, "
                     "shorter sequences, LoRA"
                   : fmt::format("{} {} to make it fit: {}", ways.size(), ways.size() == 1 ? "way" : "ways", fmt::join(ways, "; "));
  return {ErrorKind::invalid, what, {}, remedy};
}

}  // namespace centrale::planning
