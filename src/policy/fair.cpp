// SPDX-License-Identifier: Apache-2.0
#include "policy/fair.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <sstream>

#include <fmt/format.h>

namespace centrale {

namespace {
constexpr int kDepthMax = 32;  // a deeper tree, or a ring, hangs from the root
}

double Fair::weight_of(std::uint64_t tenant) const {
  const auto found = tenancies_.find(tenant);
  return found == tenancies_.end() || !(found->second.weight > 0) ? 1 : found->second.weight;
}

double Fair::major(const Item& item, Time) const {
  const auto found = shares_.find(item.work.tenant.value);
  return found == shares_.end() ? 0 : found->second;
}

void Fair::freeze(Time now) {
  std::map<std::uint64_t, std::vector<std::int64_t>> held;
  for (const Item& item : items_) {
    if (item.phase != Phase::running && item.phase != Phase::stopping) { continue; }
    auto& chips = held[item.work.tenant.value];
    chips.resize(kKindsMax, 0);
    chips[item.kind] += item.held();
  }
  for (auto& [tenant, used] : used_) { used.chip_s *= std::exp2(-to_seconds(now - used.until) / kHalfLife_s); }
  shares_.clear();
  for (const auto& [tenant, chips] : held) {
    Used& used = used_[tenant];
    double share = 0;
    for (std::size_t kind = 0; kind < kKindsMax; ++kind) {
      if (chips[kind] == 0) { continue; }
      if (usable_[kind] > 0) { share = std::max(share, static_cast<double>(chips[kind]) / static_cast<double>(usable_[kind])); }
      // What it has now counts for the round that has passed.
      if (used.until.ns > 0) { used.chip_s += static_cast<double>(chips[kind]) * to_seconds(now - used.until); }
    }
    shares_[tenant] = share / weight_of(tenant);
  }
  for (auto& [tenant, used] : used_) { used.until = now; }
  std::erase_if(used_, [](const auto& entry) { return entry.second.chip_s < 1 && entry.second.chip_s > 0; });
}

std::size_t Fair::node_of(std::uint64_t tenant) {
  if (tenant == 0) { return 0; }
  const auto [found, is_new] = node_at_.try_emplace(tenant, nodes_.size());
  if (!is_new) { return found->second; }
  const std::size_t node = nodes_.size();
  nodes_.emplace_back();
  nodes_[node].tenant = tenant;
  nodes_[node].weight = weight_of(tenant);
  int depth = 0;
  std::uint64_t parent = tenant;
  for (; depth < kDepthMax; ++depth) {  // is the way up finite?
    const auto up = tenancies_.find(parent);
    if (up == tenancies_.end() || !up->second.parent) { break; }
    parent = up->second.parent.value;
  }
  const auto own = tenancies_.find(tenant);
  const std::size_t above = depth == kDepthMax || own == tenancies_.end() ? 0 : node_of(own->second.parent.value);
  nodes_[node].parent = above;
  nodes_[above].children.push_back(node);
  return node;
}

std::size_t Fair::leaf_of(std::uint64_t tenant) {
  const auto [found, is_new] = leaf_at_.try_emplace(tenant, nodes_.size());
  if (!is_new) { return found->second; }
  const std::size_t node = node_of(tenant);  // may have grown the tree
  const std::size_t leaf = nodes_.size();
  found->second = leaf;
  nodes_.emplace_back();
  nodes_[leaf].tenant = tenant;
  nodes_[leaf].leaf = true;
  nodes_[leaf].parent = node;
  nodes_[node].children.push_back(leaf);
  return leaf;
}

/// The tree of those that have or want something.
void Fair::plant(std::span<const Slot> items) {
  nodes_.assign(1, {});
  node_at_.clear();
  leaf_at_.clear();
  std::vector<std::uint64_t> tenants;
  for (const Slot slot : items) { tenants.push_back(items_[slot].work.tenant.value); }
  for (const auto& [tenant, share] : shares_) { tenants.push_back(tenant); }
  std::ranges::sort(tenants);
  tenants.erase(std::unique(tenants.begin(), tenants.end()), tenants.end());
  for (const std::uint64_t tenant : tenants) { leaf_of(tenant); }
  for (Node& node : nodes_) { node.chips.assign(kKindsMax, 0); }
  for (const Slot slot : items) {
    const Item& item = items_[slot];
    if (!item.fixed && item.target < 0) { nodes_[leaf_at_.at(item.work.tenant.value)].wants.push_back(slot); }
  }
  for (Node& node : nodes_) {
    std::ranges::sort(node.wants, {}, [&](Slot slot) {
      const Item& item = items_[slot];
      return std::tuple(item.phase != Phase::running, -item.work.priority, item.work.order, item.work.task);
    });
  }
}

void Fair::count(std::size_t leaf, KindIndex kind, std::int64_t chips) {
  nodes_[leaf].chips[kind] += static_cast<double>(chips);
  for (std::size_t node = leaf; node != 0; node = nodes_[node].parent) { recount(node); }
}

void Fair::recount(std::size_t index) {
  Node& node = nodes_[index];
  if (!node.leaf) {
    double least = -1;  // of the children that want something
    for (const std::size_t child : node.heap) {
      if (least < 0 || nodes_[child].share < least) { least = nodes_[child].share; }
    }
    std::ranges::fill(node.chips, 0.0);
    for (const std::size_t child : node.children) {
      const bool wants = std::ranges::find(node.heap, child) != node.heap.end();
      const double scale = wants && nodes_[child].share > least && least >= 0 ? least / nodes_[child].share : 1;
      for (std::size_t kind = 0; kind < kKindsMax; ++kind) { node.chips[kind] += scale * nodes_[child].chips[kind]; }
    }
  }
  double share = 0;
  for (KindMask left = existing_; left != 0; left &= left - 1) {
    const auto kind = static_cast<std::size_t>(std::countr_zero(left));
    if (usable_[kind] > 0) { share = std::max(share, node.chips[kind] / static_cast<double>(usable_[kind])); }
  }
  node.share = share / node.weight;
}

bool Fair::later(std::size_t a, std::size_t b) const {
  const auto key = [&](std::size_t index) {
    std::size_t leaf = index;  // who would be served
    while (!nodes_[leaf].leaf && !nodes_[leaf].heap.empty()) { leaf = nodes_[leaf].heap.front(); }
    const Node& below = nodes_[leaf];
    const bool waits = below.next >= below.wants.size() || items_[below.wants[below.next]].phase != Phase::running;
    const auto used = used_.find(nodes_[index].tenant);
    return std::tuple(nodes_[index].share, waits, used == used_.end() ? 0 : used->second.chip_s, nodes_[index].tenant, index);
  };
  return key(a) > key(b);
}

void Fair::push(std::size_t node) {
  auto& heap = nodes_[nodes_[node].parent].heap;
  heap.push_back(node);
  std::push_heap(heap.begin(), heap.end(), [&](std::size_t a, std::size_t b) { return later(a, b); });
}

/// Gives it the next that it wants and that can be had; false: it wants no more.
bool Fair::serve(std::size_t leaf) {
  while (nodes_[leaf].next < nodes_[leaf].wants.size()) {
    const Slot slot = nodes_[leaf].wants[nodes_[leaf].next++];
    const Item& item = items_[slot];
    if (item.phase == Phase::running) {
      if (room_[item.kind] < item.held()) { continue; }
      keep(slot);
      count(leaf, item.kind, item.held());
      return true;
    }
    const std::int64_t workers = item.work.gang.workers, chips = item.work.gang.chips, total = workers * chips;
    if (total > most_room()) { continue; }
    std::size_t best = kKindsMax;
    double best_share = 0;
    for (KindMask left = kinds_for(item, total); left != 0; left &= left - 1) {  // where it raises the share least
      const auto kind = static_cast<std::size_t>(std::countr_zero(left));
      if (room_[kind] < total) { continue; }
      const double share = (nodes_[leaf].chips[kind] + static_cast<double>(total)) / static_cast<double>(usable_[kind]);
      if (best == kKindsMax || share < best_share || (share == best_share && room_[kind] > room_[best])) {
        best = kind;
        best_share = share;
      }
    }
    if (best == kKindsMax) { continue; }
    const auto kind = static_cast<KindIndex>(best);
    add_target({.slot = slot,
                .kind = kind,
                .workers = static_cast<std::int32_t>(workers),
                .chips = static_cast<std::int32_t>(chips),
                .row = row_of(item.work, kind, workers, chips)});
    count(leaf, kind, total);
    return true;
  }
  return false;
}

void Fair::choose(std::span<const Slot> items, Time) {
  plant(items);
  for (const Item& item : items_) {  // what stays whatever is chosen
    const bool stays = item.phase == Phase::running && (item.rigid() || item.fixed);
    if (stays && leaf_at_.contains(item.work.tenant.value)) {
      nodes_[leaf_at_.at(item.work.tenant.value)].chips[item.kind] += static_cast<double>(item.held());
    }
  }
  for (const Promise& promise : promises()) {
    const auto leaf = leaf_at_.find(items_[promise.slot].work.tenant.value);
    if (leaf != leaf_at_.end()) { nodes_[leaf->second].chips[promise.kind] += static_cast<double>(promise.chips); }
  }
  std::vector<std::size_t> deepest_first;
  for (std::size_t node = 1; node < nodes_.size(); ++node) { deepest_first.push_back(node); }
  const auto depth = [&](std::size_t node) {
    int steps = 0;
    for (; node != 0; node = nodes_[node].parent) { ++steps; }
    return steps;
  };
  std::ranges::stable_sort(deepest_first, std::greater{}, depth);
  for (const std::size_t node : deepest_first) {
    recount(node);
    if (nodes_[node].leaf ? !nodes_[node].wants.empty() : !nodes_[node].heap.empty()) { push(node); }
  }
  const auto order = [&](std::size_t a, std::size_t b) { return later(a, b); };
  while (!nodes_[0].heap.empty() && most_room() > 0) {
    std::vector<std::size_t> path;
    for (std::size_t node = 0; !nodes_[node].leaf;) {
      auto& heap = nodes_[node].heap;
      path.push_back(heap.front());
      node = heap.front();
    }
    for (const std::size_t node : path) {  // its key changes: out of the heaps, and in again
      auto& heap = nodes_[nodes_[node].parent].heap;
      std::pop_heap(heap.begin(), heap.end(), order);
      heap.pop_back();
    }
    bool wants = serve(path.back());
    for (std::size_t i = path.size(); i-- > 0;) {
      if (wants) { push(path[i]); }
      if (i == 0) { break; }
      recount(path[i - 1]);
      wants = !nodes_[path[i - 1]].heap.empty();
    }
  }
}

void Fair::save_more(std::string& text) const {
  for (const auto& [tenant, share] : shares_) { text += fmt::format("share {} {}\n", tenant, share); }
  for (const auto& [tenant, used] : used_) { text += fmt::format("used {} {} {}\n", tenant, used.chip_s, used.until.ns); }
}

bool Fair::load_line(std::string_view word, std::string_view rest) {
  std::istringstream in{std::string(rest)};
  std::uint64_t tenant = 0;
  if (word == "share") {
    double share = 0;
    const bool good = static_cast<bool>(in >> tenant >> share);
    shares_[tenant] = share;
    return good;
  }
  Used used;
  const bool good = word == "used" && in >> tenant >> used.chip_s >> used.until.ns;
  if (good) { used_[tenant] = used; }
  return good;
}

}  // namespace centrale
