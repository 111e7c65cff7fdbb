// SPDX-License-Identifier: Apache-2.0
// Where a single worker goes by the rules other than pack.
#include <algorithm>

#include "base/ensure.hpp"
#include "base/random.hpp"
#include "fleet/pool.hpp"

namespace centrale {

void Pool::touch(std::size_t node) {
  if (scores_.on) { scores_.touch(node); }
}

void Pool::set_rule(PlaceRule rule) {
  rule_ = rule;
  scores_.on = rule_ != PlaceRule::pack || !scores_.demand.empty();
  scores_.reset(nodes_.size());
}

void Pool::set_demand(std::vector<Demand> demand) {
  double all = 0;
  for (const Demand& one : demand) { all += one.weight; }
  for (Demand& one : demand) { one.weight /= all; }
  scores_.demand = std::move(demand);
  set_rule(rule_);
}

void Pool::set_random(std::uint64_t seed) { random_ = seed; }

FreeState Pool::state_of(std::size_t index) const {
  const NodeEntry& node = nodes_[index];
  FreeState state;
  for (const ChipId id : node.chips) {
    const ChipEntry& chip = chip_at(id);
    if (chip.usable) { state.chips.emplace_back(chip.kind, chip.milli); }
  }
  std::ranges::sort(state.chips);
  if (node.cpu_total > 0) { state.cpu = node.cpu_free; }
  const bool by_memory = std::ranges::any_of(scores_.demand, [](const Demand& one) { return one.gang.memory.value > 0; });
  if (by_memory) { state.memory = node.memory_free; }
  if (rule_ == PlaceRule::gpu_clustering) { state.load = node.load; }
  return state;
}

void Pool::refresh_states() const {
  for (const std::size_t node : scores_.take_dirty()) {
    if (!nodes_[node].schedulable) {
      scores_.remove(node);
      continue;
    }
    const NodeEntry& entry = nodes_[node];
    scores_.largest.cpu = std::max(scores_.largest.cpu, static_cast<double>(entry.cpu_total));
    scores_.largest.chips = std::max(scores_.largest.chips, static_cast<double>(entry.chips.size()) * static_cast<double>(kWholeChip));
    scores_.set(node, state_of(node));
  }
}

double Pool::fragmentation(KindMask kinds) const {
  if (scores_.demand.empty()) { return 0; }
  refresh_states();
  double milli = 0;
  for (const Scores::Group& group : scores_.groups()) {
    if (group.nodes.size() == 0) { continue; }
    milli += static_cast<double>(group.nodes.size()) * fragments(group.state, kinds, scores_.demand);
  }
  return milli / static_cast<double>(kWholeChip);
}

bool Pool::plan_rule(KindMask kinds, const Gang& gang) const {
  plan_.parts.clear();
  plan_.chip = {};
  if (rule_ == PlaceRule::random) { return plan_random(kinds, gang); }
  refresh_states();
  auto& kept = scores_.kept(kinds, gang);
  const Judgement* best = nullptr;
  std::size_t best_node = 0;
  for (std::size_t i = 0; i < scores_.groups().size(); ++i) {
    const Scores::Group& group = scores_.groups()[i];
    if (group.nodes.size() == 0) { continue; }
    if (kept[i].birth != group.birth) {
      kept[i] = {.birth = group.birth, .judgement = judge(rule_, group.state, kinds, gang, scores_.demand, scores_.largest)};
    }
    const Judgement& here = kept[i].judgement;
    if (!here.fits || (best != nullptr && here.cost > best->cost)) { continue; }
    auto node = group.nodes.next(0);
    if (best != nullptr && here.cost == best->cost && *node > best_node) { continue; }  // nodes only get later
    while (node && limit(*node, gang, false) < 1) { node = group.nodes.next(*node + 1); }
    if (!node || (best != nullptr && here.cost == best->cost && *node > best_node)) { continue; }
    best = &here;
    best_node = *node;
  }
  if (best == nullptr) { return false; }
  plan_.kind = best->kind;
  plan_.parts.emplace_back(best_node, 1);
  if (gang.is_share()) {
    plan_.chip = *std::ranges::find_if(nodes_[best_node].chips, [&](ChipId id) {
      return chip_at(id).kind == best->kind && chip_at(id).usable && chip_at(id).milli == best->milli;
    });
  }
  return true;
}

/// Any node that has room, each as likely, and any chip there.
bool Pool::plan_random(KindMask kinds, const Gang& gang) const {
  std::vector<std::pair<std::size_t, KindIndex>> places;
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    if (gang.chips == 0) {
      const bool has = std::ranges::any_of(nodes_[node].chips, [&](ChipId id) { return (kinds >> kind_of(id) & 1) != 0; });
      if (has && nodes_[node].schedulable && limit(node, gang, false) >= 1) { places.emplace_back(node, KindIndex{0}); }
      continue;
    }
    for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
      const auto index = static_cast<KindIndex>(kind);
      if ((kinds >> kind & 1) != 0 && kinds_[kind].usable_count[node] > 0 && room_on(node, index, gang) >= 1) {
        places.emplace_back(node, index);
      }
    }
  }
  if (places.empty()) { return false; }
  Random random = Random(random_).stream(places.size());
  const auto [node, kind] = places[random.below(places.size())];
  plan_.kind = kind;
  plan_.parts.emplace_back(node, 1);
  if (gang.is_share()) {
    std::vector<ChipId> chips;
    for (const ChipId id : nodes_[node].chips) {
      if (chip_at(id).kind == kind && chip_at(id).usable && chip_at(id).milli >= gang.share_milli) { chips.push_back(id); }
    }
    plan_.chip = chips[random.below(chips.size())];
  }
  return true;
}

std::optional<std::size_t> Pool::place_without_chips(KindMask kinds, const Gang& gang) {
  ensure(gang.workers == 1 && gang.chips == 0);
  std::optional<std::size_t> best;
  if (rule_ != PlaceRule::pack) {
    if (!plan_rule(kinds, gang)) { return best; }
    if (rule_ == PlaceRule::random) { ++random_; }
    best = plan_.parts.front().first;
  } else {  // where fewest chips are left to strand, then where fewest processors are
    std::pair<std::size_t, std::int64_t> least;
    for (std::size_t node = 0; node < nodes_.size(); ++node) {
      const NodeEntry& entry = nodes_[node];
      std::size_t free = 0;
      bool has = kinds == kAnyKind;
      for (const ChipId id : entry.chips) {
        has = has || (kinds >> kind_of(id) & 1) != 0;
        free += chip_at(id).milli > 0 ? 1U : 0U;
      }
      if (!entry.schedulable || !has || limit(node, gang, false) < 1) { continue; }
      const std::pair rank{free, entry.cpu_free};
      if (best && rank >= least) { continue; }
      best = node;
      least = rank;
    }
  }
  if (best) { charge(*best, 1, gang); }
  return best;
}

void Pool::give_back_without_chips(std::size_t node, const Gang& gang) { charge(node, -1, gang); }

}  // namespace centrale
