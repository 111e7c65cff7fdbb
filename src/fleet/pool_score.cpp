// SPDX-License-Identifier: Apache-2.0
// The rules of Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX
// ATC 2023, sections 3, 4 and 6.1, in the details that the paper leaves open as its open simulator has them.
#include "fleet/pool_score.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "base/ensure.hpp"

namespace centrale {

namespace {

using Chips = std::span<const std::pair<KindIndex, std::int16_t>>;

/// The chips of one kind, the fullest first.
Chips chips_of(const FreeState& state, std::size_t from) {
  std::size_t to = from;
  while (to < state.chips.size() && state.chips[to].first == state.chips[from].first) { ++to; }
  return Chips(state.chips).subspan(from, to - from);
}

std::int64_t sum(Chips chips) {
  std::int64_t milli = 0;
  for (const auto& [kind, free] : chips) { milli += free; }
  return milli;
}

/// Section 3.2: what a task cannot use of the chips of one kind. All, if the node cannot host it; else those too small for it.
std::int64_t fragment(Chips chips, std::int64_t free, std::int64_t cpu, Bytes memory, const Demand& demand) {
  const Gang& gang = demand.gang;
  if (gang.chips == 0 || cpu < gang.cpu_milli || memory < gang.memory || (demand.kinds >> chips.front().first & 1) == 0) { return free; }
  std::int64_t small = 0;
  std::size_t i = 0;
  for (; i < chips.size() && chips[i].second < gang.share_milli; ++i) { small += chips[i].second; }
  return static_cast<std::int64_t>(chips.size() - i) < gang.chips ? free : small;
}

double fragments_of(Chips chips, std::int64_t cpu, Bytes memory, const std::vector<Demand>& demand) {
  const std::int64_t free = sum(chips);
  if (free == 0) { return 0; }
  double all = 0;
  for (const Demand& one : demand) { all += one.weight * static_cast<double>(fragment(chips, free, cpu, memory, one)); }
  return all;
}

std::int64_t cpu_after(const FreeState& state, const Gang& gang) {
  return state.cpu == FreeState{}.cpu ? state.cpu : state.cpu - gang.cpu_milli;
}
Bytes memory_after(const FreeState& state, const Gang& gang) {
  return state.memory == FreeState{}.memory ? state.memory : state.memory - gang.memory;
}

/// Section 4: the increase of F. The chips of other kinds on the node lose the processors too.
Judgement judge_fgd(const FreeState& state, std::size_t from, Chips chips, const Gang& gang, const std::vector<Demand>& demand) {
  const std::int64_t cpu = cpu_after(state, gang);
  const Bytes memory = memory_after(state, gang);
  double before = 0, others = 0;
  for (std::size_t at = 0; at < state.chips.size();) {
    const Chips group = chips_of(state, at);
    before += fragments_of(group, state.cpu, state.memory, demand);
    if (at != from || gang.chips == 0) { others += fragments_of(group, cpu, memory, demand); }
    at += group.size();
  }
  if (gang.chips == 0) { return {.cost = others - before, .kind = 0, .milli = 0, .fits = true}; }
  Judgement best{.cost = 0, .kind = chips.front().first, .milli = 0, .fits = false};
  std::vector<std::pair<KindIndex, std::int16_t>> left(chips.begin(), chips.end());
  for (std::size_t i = 0; i < chips.size(); ++i) {
    const std::int16_t milli = chips[i].second;
    if (milli < gang.share_milli || (i > 0 && milli == chips[i - 1].second)) { continue; }
    left.assign(chips.begin(), chips.end());
    for (std::int64_t n = 0; n < gang.chips; ++n) {  // chips are sorted: all of a whole worker's are equal
      left[i + static_cast<std::size_t>(n)].second = static_cast<std::int16_t>(milli - gang.share_milli);
    }
    std::ranges::sort(left);
    const double cost = others + fragments_of(left, cpu, memory, demand) - before;
    if (!best.fits || cost < best.cost) { best = {.cost = cost, .kind = best.kind, .milli = milli, .fits = true}; }
  }
  return best;
}

/// The authors' simulator scores in whole steps from 0 to 100 of a sigmoid, and so do the published figures: nodes within a step are
/// equals. It matters: by the exact increase, 2 to 8 points fewer of the chips of their trace are given out.
double fgd_steps(double increase) { return -std::floor(100 / (1 + std::exp(increase / static_cast<double>(kWholeChip)))); }

/// How many thousandths of chips more will find no processors when typical tasks come, each with as many processors per chip as they
/// ask for on average: FGD sees that only when the next task does not fit. Chosen on Alibaba's trace, where 0.01 to 0.6 are alike.
constexpr double kStrandingWeight = 0.3;
double stranding(const FreeState& state, std::int64_t free, const Gang& gang, const std::vector<Demand>& demand) {
  double cpu = 0, milli = 0;
  for (const Demand& one : demand) {
    if (one.gang.chips == 0) { continue; }
    cpu += one.weight * static_cast<double>(one.gang.cpu_milli);
    milli += one.weight * static_cast<double>(one.gang.chips * one.gang.share_milli);
  }
  if (cpu == 0 || milli == 0 || state.cpu == FreeState{}.cpu) { return 0; }
  const auto stranded = [&](std::int64_t chips_left, std::int64_t cpu_left) {
    return std::max(0.0, static_cast<double>(chips_left) - static_cast<double>(cpu_left) * milli / cpu);
  };
  return stranded(free - gang.chips * gang.share_milli, state.cpu - gang.cpu_milli) - stranded(free, state.cpu);
}

/// Case 1: shared chips, the fuller the better; 2: whole ones of a node in use; 3: of a free node, the smaller the better.
double cost_gpu_packing(Chips chips, const Gang& gang) {
  const auto whole = std::ranges::count_if(chips, [](const auto& chip) { return chip.second == kWholeChip; });
  if (whole == static_cast<std::ptrdiff_t>(chips.size())) { return static_cast<double>(whole) - 33; }
  const auto found = std::ranges::find_if(chips, [&](const auto& chip) { return chip.second >= gang.share_milli; });
  const std::int64_t free = found->second;
  return free == kWholeChip ? static_cast<double>(gang.chips) - 50 : static_cast<double>(free / 100) - 100;
}

/// Nodes where only tasks of that shape run, then those where some do, then free ones, then others; each time the fullest.
double cost_gpu_clustering(const FreeState& state, std::int64_t free, const Gang& gang, LargestNode largest) {
  const std::int64_t shape = gang.is_share() ? 0 : gang.chips;
  const bool has = std::ranges::any_of(state.load.shapes, [&](const auto& load) { return load.first == shape; });
  const std::size_t shapes = state.load.shapes.size();
  const double tier = has ? (shapes == 1 ? 3 : 2) : (shapes == 0 ? 1 : 0);
  return static_cast<double>(free) / largest.chips - tier;
}

}  // namespace

void NodeLoad::add(const Gang& gang, std::int64_t workers) {
  if (gang.chips == 0) { return; }
  const std::int64_t shape = gang.is_share() ? 0 : gang.chips;
  auto found = std::ranges::lower_bound(shapes, shape, {}, &std::pair<std::int64_t, std::int64_t>::first);
  if (found == shapes.end() || found->first != shape) { found = shapes.insert(found, {shape, 0}); }
  found->second += workers;
  ensure(found->second >= 0);
  if (found->second == 0) { shapes.erase(found); }
}

double fragments(const FreeState& state, KindMask kinds, const std::vector<Demand>& demand) {
  double all = 0;
  for (std::size_t at = 0; at < state.chips.size();) {
    const Chips chips = chips_of(state, at);
    if ((kinds >> chips.front().first & 1) != 0) { all += fragments_of(chips, state.cpu, state.memory, demand); }
    at += chips.size();
  }
  return all;
}

Judgement judge(PlaceRule rule, const FreeState& state, KindMask kinds, const Gang& gang, const std::vector<Demand>& demand,
                LargestNode largest) {
  Judgement best;
  if (state.cpu < gang.cpu_milli || state.memory < gang.memory) { return best; }
  const auto cpu = static_cast<double>(state.cpu == FreeState{}.cpu ? 0 : state.cpu);
  const auto cpu_asked = static_cast<double>(gang.cpu_milli);
  for (std::size_t at = 0; at < state.chips.size();) {
    const Chips chips = chips_of(state, at);
    const std::size_t from = std::exchange(at, at + chips.size());
    if ((kinds >> chips.front().first & 1) == 0) { continue; }
    const auto found = std::ranges::find_if(chips, [&](const auto& chip) { return chip.second >= gang.share_milli; });
    if (chips.end() - found < gang.chips) { continue; }
    const std::int64_t free = sum(chips);
    const auto asked = static_cast<double>(gang.chips * gang.share_milli);
    Judgement here{.cost = 0, .kind = chips.front().first, .milli = found == chips.end() ? std::int16_t{0} : found->second, .fits = true};
    switch (rule) {
      case PlaceRule::fgd:
        here = judge_fgd(state, from, chips, gang, demand);
        here.cost = fgd_steps(here.cost);
        break;
      case PlaceRule::ours:  // by the exact increase: stranding tells apart what FGD takes for equals
        here = judge_fgd(state, from, chips, gang, demand);
        here.cost += kStrandingWeight * stranding(state, free, gang, demand);
        break;
      case PlaceRule::best_fit:  // what is left, in parts of the largest node
        here.cost = (cpu - cpu_asked) / largest.cpu + (static_cast<double>(free) - asked) / largest.chips;
        break;
      case PlaceRule::dot_product:  // Tetris (Grandl et al., SIGCOMM 2014) as the paper uses it: the less aligned, the less is lost
        here.cost = cpu * cpu_asked / (largest.cpu * largest.cpu) + static_cast<double>(free) * asked / (largest.chips * largest.chips);
        break;
      case PlaceRule::gpu_packing: here.cost = gang.chips == 0 ? 0 : cost_gpu_packing(chips, gang); break;
      case PlaceRule::gpu_clustering: here.cost = gang.chips == 0 ? 0 : cost_gpu_clustering(state, free, gang, largest); break;
      case PlaceRule::pack:
      case PlaceRule::random: ensure(false);
    }
    if (!best.fits || here.cost < best.cost) { best = here; }
  }
  return best;
}

void Scores::reset(std::size_t nodes) {
  groups_.clear();
  empty_.clear();
  group_of_state_.clear();
  kept_.clear();
  group_of_node_.assign(nodes, kNone);
  dirty_.clear();
  is_dirty_.assign(nodes, false);
  for (std::size_t node = 0; node < nodes; ++node) { touch(node); }
}

void Scores::touch(std::size_t node) {
  if (node >= is_dirty_.size()) {
    is_dirty_.resize(node + 1, false);
    group_of_node_.resize(node + 1, kNone);
  }
  if (is_dirty_[node]) { return; }
  is_dirty_[node] = true;
  dirty_.push_back(node);
}

std::vector<std::size_t> Scores::take_dirty() {
  for (const std::size_t node : dirty_) { is_dirty_[node] = false; }
  return std::exchange(dirty_, {});
}

void Scores::remove(std::size_t node) {
  const std::size_t at = std::exchange(group_of_node_[node], kNone);
  if (at == kNone) { return; }
  Group& group = groups_[at];
  group.nodes.erase(node);
  if (group.nodes.size() > 0) { return; }
  group_of_state_.erase(group.state);
  empty_.push_back(at);
}

void Scores::set(std::size_t node, FreeState state) {
  if (group_of_node_[node] != kNone && groups_[group_of_node_[node]].state == state) { return; }
  remove(node);
  const auto [found, is_new] = group_of_state_.try_emplace(state, 0);
  if (is_new) {
    if (empty_.empty()) {
      empty_.push_back(groups_.size());
      groups_.emplace_back();
    }
    found->second = empty_.back();
    empty_.pop_back();
    groups_[found->second].state = std::move(state);
    groups_[found->second].birth = ++births_;
  }
  groups_[found->second].nodes.insert(node);
  group_of_node_[node] = found->second;
}

std::vector<Scores::Kept>& Scores::kept(KindMask kinds, const Gang& gang) {
  constexpr std::size_t kShapesMax = 4096;  // what is kept is bounded, whatever is asked
  if (kept_.size() >= kShapesMax) { kept_.clear(); }
  auto& kept = kept_[{kinds, gang.chips, gang.share_milli, gang.cpu_milli, gang.memory.value}];
  kept.resize(groups_.size());
  return kept;
}

}  // namespace centrale
