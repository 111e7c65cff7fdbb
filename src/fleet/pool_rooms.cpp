// SPDX-License-Identifier: Apache-2.0
// How much fits on nodes and in groups of them.
#include <algorithm>

#include "base/ensure.hpp"
#include "fleet/pool.hpp"

namespace centrale {

namespace {
/// How many numbers of chips a kind keeps books of rooms for; beyond it, they are counted when asked.
constexpr std::size_t kRoomsMax = 12;
}  // namespace

void Pool::refresh() const {
  const std::size_t placed = topology_.placed();
  std::array<std::size_t, Topology::kLevels> groups{};
  for (std::size_t level = 0; level < Topology::kLevels; ++level) { groups[level] = topology_.groups(level).size(); }
  const Topology::Change change = topology_.refresh();
  if (change == Topology::Change::none) { return; }
  const bool rebuilt = change == Topology::Change::rebuilt;
  bool same_groups = !rebuilt;
  for (std::size_t level = 0; level < Topology::kLevels; ++level) {
    same_groups = same_groups && groups[level] == topology_.groups(level).size();
  }
  for (KindEntry& kind : kinds_) {
    if (!same_groups) { kind.rooms.clear(); }  // made again when they are asked
    if (rebuilt) { kind.free.clear(); }
    for (std::size_t node = rebuilt ? 0 : placed; node < nodes_.size(); ++node) {
      if (nodes_[node].schedulable) { move_node(kind, node, 0, kind.free_count[node]); }
    }
  }
}

void Pool::add_rooms(Rooms& rooms, std::size_t node, std::int64_t change) const {
  if (change == 0) { return; }
  for (std::size_t level = 0; level < Topology::kLevels; ++level) {
    const std::size_t group = topology_.group(level, node);
    std::int64_t& room = rooms.room[level][group];
    const std::size_t groups = rooms.room[level].size();
    const auto key = [&] { return static_cast<std::size_t>(std::min(room, room_cap(groups))) * groups + group; };
    if (groups > 1 && room > 0) { rooms.order[level].erase(key()); }
    room += change;
    if (groups > 1 && room > 0) { rooms.order[level].insert(key()); }
  }
}

const Pool::Rooms& Pool::rooms_of(KindEntry& kind, std::int64_t chips) const {
  for (std::size_t i = 0; i < kind.rooms.size(); ++i) {
    if (kind.rooms[i].chips != chips) { continue; }
    std::rotate(kind.rooms.begin(), kind.rooms.begin() + static_cast<std::ptrdiff_t>(i),
                kind.rooms.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    return kind.rooms.front();
  }
  if (kind.rooms.size() == kRoomsMax) { kind.rooms.pop_back(); }  // what was asked for longest ago
  Rooms& rooms = *kind.rooms.emplace(kind.rooms.begin());
  rooms.chips = chips;
  for (std::size_t level = 0; level < Topology::kLevels; ++level) { rooms.room[level].resize(topology_.groups(level).size(), 0); }
  for (auto count = static_cast<std::size_t>(chips); count < kind.free.size(); ++count) {
    for (auto at = kind.free[count].next(0); at; at = kind.free[count].next(*at + 1)) {
      add_rooms(rooms, topology_.node_at(*at), static_cast<std::int64_t>(count) / chips);
    }
  }
  return rooms;
}

/// True when more than chips decides.
bool Pool::is_bound(const Gang& gang) const {
  return gang.memory.value > 0 || gang.cpu_milli > 0 || gang.apart != 0 || gang.reservation != 0 || limited_nodes_ > 0;
}

/// How many workers the node takes by everything but chips.
std::int64_t Pool::limit(std::size_t index, const Gang& gang, bool ever) const {
  const NodeEntry& node = nodes_[index];
  std::int64_t workers = std::numeric_limits<std::int64_t>::max();
  if (gang.reservation != node.reserved && (!ever || gang.reservation != 0)) { return 0; }
  if (!ever && (gang.limit.value > 0 ? std::min(gang.ends, now_ + gang.limit) : gang.ends) > node.until) { return 0; }
  if (gang.memory.value > 0) { workers = std::min(workers, (ever ? node.memory_total : node.memory_free).value / gang.memory.value); }
  if (gang.cpu_milli > 0 && node.cpu_total > 0) { workers = std::min(workers, (ever ? node.cpu_total : node.cpu_free) / gang.cpu_milli); }
  if (gang.apart != 0) {
    if (!ever && std::ranges::binary_search(node.apart, gang.apart, {}, &std::pair<std::uint64_t, std::int64_t>::first)) { return 0; }
    workers = std::min<std::int64_t>(workers, 1);
  }
  return std::max<std::int64_t>(workers, 0);
}

/// How many workers the node takes now.
std::int64_t Pool::room_on(std::size_t node, KindIndex kind, const Gang& gang) const {
  if (!nodes_[node].schedulable) { return 0; }
  if (!gang.is_share()) { return std::min(kinds_[kind].free_count[node] / gang.chips, limit(node, gang, false)); }
  std::int64_t workers = 0;
  for (const ChipId id : nodes_[node].chips) {
    const ChipEntry& chip = chip_at(id);
    if (chip.kind == kind && chip.usable) { workers += chip.milli / gang.share_milli; }
  }
  return std::min(workers, limit(node, gang, false));
}

/// How many workers the nodes of a range take now, counting up to `enough`.
std::int64_t Pool::room_in(KindIndex index, Range range, const Gang& gang, std::int64_t enough) const {
  const KindEntry& kind = kinds_[index];
  std::int64_t workers = 0;
  if (gang.is_share()) {
    for (std::size_t at = range.begin; at < range.end && workers < enough; ++at) { workers += room_on(topology_.node_at(at), index, gang); }
    return std::min(workers, enough);
  }
  const bool bound = is_bound(gang);
  for (std::size_t count = kind.free.size(); count-- > static_cast<std::size_t>(gang.chips) && workers < enough;) {
    const IndexSet& nodes = kind.free[count];
    if (nodes.size() == 0) { continue; }
    const std::int64_t each = static_cast<std::int64_t>(count) / gang.chips;
    if (!bound && range == topology_.all()) {
      workers += static_cast<std::int64_t>(nodes.size()) * each;
      continue;
    }
    for (auto at = nodes.next(range.begin); at && *at < range.end && workers < enough; at = nodes.next(*at + 1)) {
      workers += bound ? std::min(each, limit(topology_.node_at(*at), gang, false)) : each;
    }
  }
  return std::min(workers, enough);
}

std::int64_t Pool::room_ever(const KindEntry& kind, const Gang& gang, std::int64_t enough) const {
  std::int64_t workers = 0;
  for (std::size_t count = kind.usable.size(); count-- > static_cast<std::size_t>(gang.chips) && workers < enough;) {
    const IndexSet& nodes = kind.usable[count];
    const auto chips = static_cast<std::int64_t>(count);
    const std::int64_t each = gang.is_share() ? chips * (kWholeChip / gang.share_milli) : chips / gang.chips;
    if (gang.memory.value == 0 && gang.cpu_milli == 0 && gang.apart == 0 && gang.reservation == 0) {
      workers += static_cast<std::int64_t>(nodes.size()) * each;
      continue;
    }
    for (auto node = nodes.next(0); node && workers < enough; node = nodes.next(*node + 1)) {
      workers += std::min(each, limit(*node, gang, true));
    }
  }
  return workers;
}

std::int64_t Pool::workers_ever(const KindChoice& choice, const Gang& gang, std::int64_t enough) const {
  std::int64_t most = 0;
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    if ((choice.mask >> kind & 1) != 0) { most = std::max(most, room_ever(kinds_[kind], gang, enough)); }
  }
  return most;
}

std::int64_t Pool::workers_now(const KindChoice& choice, KindMask allowed, const Gang& gang, std::int64_t enough) const {
  refresh();
  std::int64_t most = 0;
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    if ((choice.mask & allowed) >> kind & 1) {
      most = std::max(most, room_in(static_cast<KindIndex>(kind), topology_.all(), gang, enough));
    }
  }
  return most;
}

}  // namespace centrale
