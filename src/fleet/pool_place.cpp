// SPDX-License-Identifier: Apache-2.0
// Where a gang goes. Nothing is taken before the plan is whole.
#include <algorithm>

#include "base/ensure.hpp"
#include "fleet/pool.hpp"

namespace centrale {

bool Pool::place(const KindChoice& choice, KindMask allowed, const Gang& gang, std::vector<ChipId>& out) {
  if (!plan(choice, allowed, gang)) { return false; }
  if (rule_ == PlaceRule::random) { ++random_; }
  take_plan(gang, out);
  return true;
}

std::optional<Probe> Pool::probe(const KindChoice& choice, KindMask allowed, const Gang& gang) const {
  if (!plan(choice, allowed, gang)) { return std::nullopt; }
  Probe probe{.kind = plan_.kind, .nodes = static_cast<std::int64_t>(plan_.parts.size()), .spread = Spread::node};
  for (const auto& [node, workers] : plan_.parts) {
    probe.spread = std::max(probe.spread, topology_.between(plan_.parts.front().first, node));
  }
  return probe;
}

bool Pool::plan(const KindChoice& choice, KindMask allowed, const Gang& gang) const {
  ensure(gang.workers >= 1 && gang.chips >= 1 && gang.share_milli >= 1 && gang.share_milli <= kWholeChip);
  ensure(!gang.is_share() || gang.chips == 1);
  refresh();
  allowed &= choice.mask;
  const bool ruled = rule_ != PlaceRule::pack && gang.workers == 1;
  if (choice.count == 0 && ruled) { return plan_rule(allowed, gang); }
  const std::size_t kinds = choice.count > 0 ? choice.count : kinds_.size();
  for (std::size_t i = 0; i < kinds; ++i) {
    const KindIndex kind = choice.count > 0 ? choice.order[i] : static_cast<KindIndex>(i);
    if (kind >= kinds_.size() || (allowed >> kind & 1) == 0) { continue; }
    if (ruled ? plan_rule(KindMask{1} << kind, gang) : plan_kind(kind, gang)) { return true; }
  }
  return false;
}

bool Pool::plan_kind(KindIndex kind, const Gang& gang) const {
  plan_.kind = kind;
  plan_.chip = {};
  plan_.parts.clear();
  if (!gang.is_share()) { return plan_whole(kind, gang); }
  return gang.workers == 1 ? plan_share(kind, gang) : plan_shares(kind, gang);
}

/// The node with fewest free chips that takes all `workers`; the first of equals.
std::optional<std::size_t> Pool::fullest(KindIndex index, std::int64_t workers, const Gang& gang, Range range) const {
  const KindEntry& kind = kinds_[index];
  const bool bound = is_bound(gang);
  for (auto count = static_cast<std::size_t>(workers * gang.chips); count < kind.free.size(); ++count) {
    if (kind.free[count].size() == 0) { continue; }
    for (auto at = kind.free[count].next(range.begin); at && *at < range.end; at = kind.free[count].next(*at + 1)) {
      const std::size_t node = topology_.node_at(*at);
      if (!bound || limit(node, gang, false) >= workers) { return node; }
    }
  }
  return std::nullopt;
}

/// The group of a level with least room that still takes the gang; the first of equals.
std::optional<Topology::Range> Pool::tightest(KindIndex kind, const Rooms& rooms, std::size_t level, const Gang& gang) const {
  const auto groups = topology_.groups(level);
  const auto& room = rooms.room[level];
  const bool bound = is_bound(gang);
  const auto fits = [&](std::size_t group) {
    return room[group] >= gang.workers && (!bound || room_in(kind, groups[group], gang, gang.workers) >= gang.workers);
  };
  if (groups.size() == 1) { return fits(0) ? std::optional(groups[0]) : std::nullopt; }
  const IndexSet& order = rooms.order[level];
  const std::int64_t cap = room_cap(groups.size());
  const auto roomy = static_cast<std::size_t>(cap) * groups.size();  // keys from here on say only "at least cap"
  auto key = order.next(static_cast<std::size_t>(std::min(gang.workers, cap)) * groups.size());
  for (; key && *key < roomy; key = order.next(*key + 1)) {
    if (fits(*key % groups.size())) { return groups[*key % groups.size()]; }
  }
  std::vector<std::pair<std::int64_t, std::size_t>> rest;
  for (; key; key = order.next(*key + 1)) { rest.emplace_back(room[*key % groups.size()], *key % groups.size()); }
  std::ranges::sort(rest);
  for (const auto& [chips, group] : rest) {
    if (fits(group)) { return groups[group]; }
  }
  return std::nullopt;
}

bool Pool::plan_whole(KindIndex index, const Gang& gang) const {
  KindEntry& kind = kinds_[index];
  if (gang.workers > kind.free_total / gang.chips) { return false; }
  if (const auto node = fullest(index, gang.workers, gang, topology_.all())) {
    plan_.parts.emplace_back(*node, gang.workers);
    return true;
  }
  if (gang.workers == 1) { return false; }
  const Rooms& rooms = rooms_of(kind, gang.chips);
  if (rooms.room.back()[0] < gang.workers) { return false; }
  if (is_bound(gang) && room_in(index, topology_.all(), gang, gang.workers) < gang.workers) { return false; }
  for (std::size_t level = 0; level < Topology::kLevels; ++level) {
    if (const auto range = tightest(index, rooms, level, gang)) {
      fill(index, gang, *range);
      return true;
    }
  }
  ensure(false);  // the last level is everything, and that has room
}

/// The emptiest nodes of the range first, so that the gang spreads over as few as can be; the rest goes where it fits best.
void Pool::fill(KindIndex index, const Gang& gang, Range range) const {
  const KindEntry& kind = kinds_[index];
  auto& parts = plan_.parts;
  const bool bound = is_bound(gang);
  std::int64_t left = gang.workers;
  std::size_t last_count = 0;
  for (std::size_t count = kind.free.size(); count-- > static_cast<std::size_t>(gang.chips) && left > 0;) {
    const IndexSet& nodes = kind.free[count];
    if (nodes.size() == 0) { continue; }
    for (auto at = nodes.next(range.begin); at && *at < range.end && left > 0; at = nodes.next(*at + 1)) {
      const std::size_t node = topology_.node_at(*at);
      std::int64_t here = std::min(left, static_cast<std::int64_t>(count) / gang.chips);
      if (bound) { here = std::min(here, limit(node, gang, false)); }
      if (here > 0) {
        parts.emplace_back(node, here);
        left -= here;
        last_count = count;
      }
    }
  }
  ensure(left == 0);
  // The last node may have more room than is left to place. Nodes emptier than it, and those before it that are as empty, are
  // in the plan or take nothing.
  const std::int64_t rest = parts.back().second;
  const std::size_t last = topology_.position(parts.back().first);
  for (auto count = static_cast<std::size_t>(rest * gang.chips); count < last_count; ++count) {
    if (kind.free[count].size() == 0) { continue; }
    auto at = kind.free[count].next(range.begin);
    while (at && *at < range.end && bound && limit(topology_.node_at(*at), gang, false) < rest) { at = kind.free[count].next(*at + 1); }
    if (at && *at < range.end) {
      parts.back().first = topology_.node_at(*at);
      break;
    }
  }
  ensure(topology_.position(parts.back().first) >= range.begin && last < range.end);
  std::ranges::sort(parts, {}, [&](const auto& part) { return topology_.position(part.first); });
}

/// The fullest chip that has room; of equals the one on the node with fewest whole chips left.
bool Pool::plan_share(KindIndex index, const Gang& gang) const {
  const KindEntry& kind = kinds_[index];
  const bool bound = is_bound(gang);
  for (auto milli = kind.shared_milli.next(static_cast<std::size_t>(gang.share_milli)); milli; milli = kind.shared_milli.next(*milli + 1)) {
    std::optional<std::pair<std::uint32_t, std::size_t>> best;
    for (auto id = kind.shared[*milli].next(0); id; id = kind.shared[*milli].next(*id + 1)) {
      const std::size_t node = node_of(ChipId{*id});
      const std::pair rank{kind.free_count[node], topology_.position(node)};
      if ((best && rank >= *best) || (bound && limit(node, gang, false) < 1)) { continue; }
      best = rank;
      plan_.chip = ChipId{*id};
    }
    if (best) {
      plan_.parts.emplace_back(node_of(plan_.chip), 1);
      return true;
    }
  }
  Gang whole = gang;
  whole.share_milli = kWholeChip;
  const auto node = fullest(index, 1, whole, topology_.all());
  if (node) { plan_.parts.emplace_back(*node, 1); }
  return node.has_value();
}

/// Many shares at once are rare: every node is looked at.
bool Pool::plan_shares(KindIndex index, const Gang& gang) const {
  std::vector<std::int64_t> room(nodes_.size());  // by position
  for (std::size_t at = 0; at < room.size(); ++at) { room[at] = room_on(topology_.node_at(at), index, gang); }
  // The place with least room that takes `workers`, among the nodes of a range.
  const auto least = [&](Range range, std::int64_t workers) {
    std::optional<std::size_t> best;
    for (std::size_t at = range.begin; at < range.end; ++at) {
      if (room[at] >= workers && (!best || room[at] < room[*best])) { best = at; }
    }
    return best;
  };
  if (const auto at = least(topology_.all(), gang.workers)) {
    plan_.parts.emplace_back(topology_.node_at(*at), gang.workers);
    return true;
  }
  std::optional<std::pair<std::int64_t, Range>> best;
  for (std::size_t level = 0; level < Topology::kLevels && !best; ++level) {
    for (const Range range : topology_.groups(level)) {
      std::int64_t sum = 0;
      for (std::size_t at = range.begin; at < range.end; ++at) { sum += room[at]; }
      if (sum >= gang.workers && (!best || sum < best->first)) { best = {sum, range}; }
    }
  }
  if (!best) { return false; }
  for (std::int64_t left = gang.workers; left > 0;) {
    std::size_t most = best->second.begin;
    for (std::size_t at = most; at < best->second.end; ++at) { most = room[at] > room[most] ? at : most; }
    if (room[most] >= left) { most = least(best->second, left).value(); }
    const std::int64_t here = std::min(left, room[most]);
    plan_.parts.emplace_back(topology_.node_at(most), here);
    left -= here;
    room[most] = 0;
  }
  std::ranges::sort(plan_.parts, {}, [&](const auto& part) { return topology_.position(part.first); });
  return true;
}

void Pool::take_shares(std::size_t node, KindIndex kind, std::int64_t workers, const Gang& gang, std::vector<ChipId>& out) {
  for (; workers > 0; --workers) {
    ChipId best = plan_.chip;
    for (const ChipId id : nodes_[node].chips) {
      const ChipEntry& chip = chip_at(id);
      if (plan_.chip || chip.kind != kind || !chip.usable || chip.milli < gang.share_milli) { continue; }
      if (!best || chip.milli < chip_at(best).milli) { best = id; }
    }
    recount(node, kind, set_milli(best, chip_at(best).milli - gang.share_milli), 0);
    out.push_back(best);
  }
}

void Pool::take_plan(const Gang& gang, std::vector<ChipId>& out) {
  for (const auto& [node, workers] : plan_.parts) {
    charge(node, workers, gang);
    if (gang.is_share()) {
      take_shares(node, plan_.kind, workers, gang, out);
      continue;
    }
    std::int64_t wanted = workers * gang.chips;
    for (const ChipId id : nodes_[node].chips) {
      if (wanted == 0) { break; }
      const ChipEntry& chip = chip_at(id);
      if (chip.kind != plan_.kind || !chip.usable || chip.milli != kWholeChip) { continue; }
      ensure(set_milli(id, 0) == -1);
      out.push_back(id);
      --wanted;
    }
    ensure(wanted == 0);
    recount(node, plan_.kind, -workers * gang.chips, 0);
  }
}

}  // namespace centrale
