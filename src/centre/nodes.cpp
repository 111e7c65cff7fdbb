// SPDX-License-Identifier: Apache-2.0
// Nodes and chips: they join, drain, fail, leave and come back.
#include <algorithm>

#include <fmt/format.h>

#include "centre/core_state.hpp"

namespace centrale {

namespace {
constexpr MicroCurrency kPriceMax{1'000'000'000'000};  // a chip hour; a gang of the largest size still fits 64 bits
}

Result<Node*> CoreState::node_at(NodeId id) {
  if (id.value == 0 || id.value > nodes.size()) { return fail(ErrorKind::not_found, fmt::format("there is no node {}", to_string(id))); }
  return &nodes[id.value - 1];
}

Result<void> CoreState::check_groups(const NodeJoined& e) const {
  std::int64_t total = 0;
  std::size_t new_kinds = 0;
  for (std::size_t i = 0; i < e.chips.size(); ++i) {
    const ChipGroup& group = e.chips[i];
    if (group.kind.empty() || group.kind.size() > kNameMax) {
      return fail(ErrorKind::invalid, "a chip kind needs a name", "node " + e.name);
    }
    if (group.count < 0 || group.power.value < 0 || group.price_per_hour.value < 0 || group.memory.value < 0) {
      return fail(ErrorKind::invalid, fmt::format("chips of kind '{}' with a negative count, power, price or memory", group.kind),
                  "node " + e.name);
    }
    if (group.price_per_hour > kPriceMax) {
      return fail(ErrorKind::invalid, fmt::format("chips of kind '{}' at {} micro-units an hour", group.kind, group.price_per_hour.value),
                  "node " + e.name, fmt::format("at most {}", kPriceMax.value));
    }
    for (std::size_t k = 0; k < i; ++k) {
      if (e.chips[k].kind == group.kind) {
        return fail(ErrorKind::invalid, fmt::format("kind '{}' is listed twice", group.kind), "node " + e.name);
      }
    }
    total += group.count;
    new_kinds += std::ranges::find(kinds, group.kind, &ChipKind::name) == kinds.end() ? 1U : 0U;
  }
  if (total > static_cast<std::int64_t>(kChipsPerNodeMax)) {
    return fail(ErrorKind::invalid, fmt::format("{} chips in one node; at most {}", total, kChipsPerNodeMax), "node " + e.name);
  }
  if (kinds.size() + new_kinds > kKindsMax) {
    return fail(ErrorKind::exhausted, fmt::format("more than {} kinds of chip", kKindsMax), "node " + e.name);
  }
  return {};
}

std::int64_t CoreState::kind_index(const std::string& name) {
  const auto found = std::ranges::find(kinds, name, &ChipKind::name);
  if (found != kinds.end()) { return found - kinds.begin(); }
  kinds.push_back({name});
  return static_cast<std::int64_t>(kinds.size()) - 1;
}

Result<void> CoreState::on(NodeJoined& e) {
  if (e.name.empty() || e.name.size() > 255) { return fail(ErrorKind::invalid, "a node needs a name of 1 to 255 characters"); }
  TRY(check_groups(e));
  const auto known = node_names.find(e.name);
  if (known == node_names.end() && nodes.size() >= limits.nodes_max) {
    return fail(ErrorKind::exhausted, fmt::format("the centre has {} nodes, its limit", limits.nodes_max));
  }
  NodeId id;
  if (known == node_names.end()) {
    Node fresh;
    fresh.name = e.name;
    fresh.memory = e.memory;
    fresh.since = now;
    nodes.push_back(std::move(fresh));
    id = NodeId{nodes.size()};
    node_names[e.name] = id;
    pool.add_node(e.memory);
  } else {
    id = known->second;
    Node& node = nodes[id.value - 1];
    node.memory = e.memory;
    pool.set_memory(id.value - 1, e.memory);
    if (node.state == NodeState::lost) {
      node.state = NodeState::up;
      node.since = now;
    }
  }
  Node& joined = nodes[id.value - 1];
  joined.cpu_milli = e.cpu_milli;
  joined.domain = e.domain;
  joined.leaf = e.leaf;
  joined.spine = e.spine;
  pool.set_cpu(id.value - 1, e.cpu_milli);
  for (const std::string& name : {e.domain, e.leaf, e.spine}) {
    if (!name.empty() && group_numbers.try_emplace(name, static_cast<std::uint32_t>(groups.size() + 1)).second) { groups.push_back(name); }
  }
  tell_where(id);
  tell_open(id);
  update_chips(id, e.chips);
  schedule_wanted = true;
  out->created = id.value;
  changed(Change::What::node, id.value);
  return {};
}

std::uint32_t CoreState::group_number(const std::string& name) { return name.empty() ? 0 : group_numbers.at(name); }

void CoreState::tell_where(NodeId id) {
  const Node& node = nodes[id.value - 1];
  pool.set_where(id.value - 1, {.domain = group_number(node.domain), .leaf = group_number(node.leaf), .spine = group_number(node.spine)});
}

void CoreState::update_chips(NodeId id, const std::vector<ChipGroup>& given) {
  std::vector<ChipId> left = nodes[id.value - 1].chips;  // those that nobody spoke of at the end are gone
  for (const ChipGroup& group : given) {
    const std::int64_t kind = kind_index(group.kind);
    for (std::int64_t local = 0; local < group.count; ++local) {
      const auto same = std::ranges::find_if(
          left, [&](ChipId chip) { return chips[chip.value - 1].kind == kind && chips[chip.value - 1].local == local; });
      ChipId chip_id;
      if (same != left.end()) {
        chip_id = *same;
        left.erase(same);
      } else {
        chip_id = pool.add_chip(id.value - 1, static_cast<KindIndex>(kind));
        chips.push_back({.node = id,
                         .kind = kind,
                         .local = local,
                         .memory = {},
                         .power = {},
                         .price_per_hour = {},
                         .health = ChipHealth::gone,
                         .holder = {},
                         .sharers = {}});
        nodes[id.value - 1].chips.push_back(chip_id);
      }
      Chip& chip = chips[chip_id.value - 1];
      chip.memory = group.memory;
      chip.power = group.power;
      list_price(chip, group.price_per_hour);
      if (chip.health == ChipHealth::gone) {  // one that failed stays so until somebody says that it is repaired
        set_health(chip_id, ChipHealth::ok);
      }
    }
  }
  for (const ChipId gone : left) { set_health(gone, ChipHealth::gone); }
}

void CoreState::set_health(ChipId id, ChipHealth health) {
  Chip& chip = chips[id.value - 1];
  chip.health = health;
  pool.set_usable(id, health == ChipHealth::ok);
  if (health != ChipHealth::ok && chip.holder) {
    const char* const why = health == ChipHealth::failed ? "a chip failed" : "a chip is gone";
    const std::vector<TaskId> holders = chip.sharers.empty() ? std::vector<TaskId>{chip.holder} : chip.sharers;
    for (const TaskId holder : holders) { evict(tasks.at(holder), why); }
  }
  schedule_wanted = true;
  changed(Change::What::node, chip.node.value);
}

void CoreState::evict(Task& task, const char* why) {
  if (task.state == TaskState::stopping) { return; }
  if (task.job) {
    Job& job = jobs.at(task.job);
    job.state = JobState::stopping;
    job.message = why;
    changed(Change::What::job, job.id.value);
  } else {
    Service& service = services.at(task.service);
    service.replicas[static_cast<std::size_t>(task.ordinal)].message = why;
    changed(Change::What::service, service.id.value);
  }
  stop(task);
}

Result<void> CoreState::on(NodeLost& e) {
  TRY_ASSIGN(Node* const node, node_at(e.node));
  if (node->state == NodeState::lost) { return {}; }
  node->state = NodeState::lost;
  node->since = now;
  tell_open(e.node);
  changed(Change::What::node, e.node.value);
  std::vector<TaskId> hit;
  for (const ChipId chip : node->chips) {
    const Chip& lost = chips[chip.value - 1];
    for (const TaskId holder : lost.sharers.empty() ? std::vector<TaskId>{lost.holder} : lost.sharers) {
      if (holder && std::ranges::find(hit, holder) == hit.end()) { hit.push_back(holder); }
    }
  }
  for (const TaskId id : hit) {
    Task& task = tasks.at(id);
    const bool all_lost =
        std::ranges::all_of(task.chips, [&](ChipId chip) { return nodes[chips[chip.value - 1].node.value - 1].state == NodeState::lost; });
    if (all_lost) {  // nobody is left who could say that it ended; the node stops what it still runs when it comes back
      end(task, Ending::asked, "its node was lost", {});
    } else {
      evict(task, "one of its nodes was lost");
    }
  }
  return {};
}

Result<void> CoreState::on(NodeDrained& e) {
  TRY_ASSIGN(Node* const node, node_at(e.node));
  if (node->state == NodeState::lost) {
    return fail(ErrorKind::conflict, fmt::format("node '{}' is lost", node->name), {}, "it comes back by itself when it joins again");
  }
  node->state = NodeState::drained;
  node->since = now;
  tell_open(e.node);
  out->created = e.node.value;
  changed(Change::What::node, e.node.value);
  return {};
}

Result<void> CoreState::on(NodeResumed& e) {
  TRY_ASSIGN(Node* const node, node_at(e.node));
  if (node->state == NodeState::lost) {
    return fail(ErrorKind::conflict, fmt::format("node '{}' is lost", node->name), {}, "it comes back by itself when it joins again");
  }
  node->state = NodeState::up;
  node->since = now;
  tell_open(e.node);
  schedule_wanted = true;
  out->created = e.node.value;
  changed(Change::What::node, e.node.value);
  return {};
}

Result<void> CoreState::on(ChipFailed& e) {
  if (e.chip.value == 0 || e.chip.value > chips.size()) {
    return fail(ErrorKind::not_found, fmt::format("there is no chip {}", to_string(e.chip)));
  }
  if (chips[e.chip.value - 1].health == ChipHealth::ok) {
    note_failure(e.chip, e.reason);
    ++chip_records[e.chip.value].failures;
    set_health(e.chip, ChipHealth::failed);
  }
  return {};
}

Result<void> CoreState::on(ChipRepaired& e) {
  if (e.chip.value == 0 || e.chip.value > chips.size()) {
    return fail(ErrorKind::not_found, fmt::format("there is no chip {}", to_string(e.chip)));
  }
  if (const auto record = chip_records.find(e.chip.value); record != chip_records.end()) {  // it begins anew; what was is kept
    record->second.row.clear();
    changed(Change::What::node, chips[e.chip.value - 1].node.value);
  }
  if (chips[e.chip.value - 1].health == ChipHealth::failed) { set_health(e.chip, ChipHealth::ok); }
  return {};
}

}  // namespace centrale
