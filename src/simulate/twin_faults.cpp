// SPDX-License-Identifier: Apache-2.0
// What breaks, and who slows whom down: failures of chips, nodes, switches and power, stragglers, and jobs that share links.
#include <algorithm>
#include <cmath>

#include "simulate/twin_run.hpp"

namespace centrale {

void TwinRun::wear_begins() {
  if (options_.contention) { contention_ = std::make_unique<Contention>(twin_.machines); }
  if (!options_.breakdowns) { return; }
  breakdowns_ = std::make_unique<Breakdowns>(twin_.machines, options_.wear, options_.seed, now_);
  health_ = std::make_unique<Health>(twin_.machines);
  node_speed_.assign(twin_.machines.nodes.size(), 1);
  next_breakdown();
}

void TwinRun::next_breakdown() {
  breakdown_ = breakdowns_->next();
  if (breakdown_) { push(breakdown_->at, Due::What::breakdown, 0); }
}

void TwinRun::count_up(std::uint32_t node, std::int64_t chips) {
  const Machine& machine = twin_.machines.nodes[node];
  if (machine.chips == 0) { return; }
  const auto kind = static_cast<std::size_t>(std::ranges::find(result_.kinds, machine.kind) - result_.kinds.begin());
  up_[kind] += chips;
  // up_s is the whole fleet's time less what was missing: a chip that leaves at t will be missed until it is back.
  up_missing_s_[kind] += static_cast<double>(-chips) * to_seconds(kNever - now_);
}

void TwinRun::break_down() {
  const Breakdowns::Event event = *breakdown_;
  std::vector<Health::Change> changes;
  health_->apply(event, changes);
  for (const Health::Change& change : changes) {
    switch (change.kind) {
      case Health::Change::Kind::node_down: node_down(change.which); break;
      case Health::Change::Kind::node_up: node_up(change.which); break;
      case Health::Change::Kind::chip_failed: {
        ++result_.chip_failures;
        if (health_->up(twin_.machines.node_of_chip(change.which))) { count_up(twin_.machines.node_of_chip(change.which), -1); }
        chips_broken_.insert(change.which);
        const ChipId chip{change.which + 1ULL};
        mark_broken(core_.chip(chip));
        apply(ChipFailed{chip, "broke down"});
        break;
      }
      case Health::Change::Kind::chip_repaired:
        if (health_->up(twin_.machines.node_of_chip(change.which))) { count_up(twin_.machines.node_of_chip(change.which), 1); }
        chips_broken_.erase(change.which);
        apply(ChipRepaired{ChipId{change.which + 1ULL}});
        break;
      case Health::Change::Kind::node_speed: {
        node_speed_[change.which] = change.slowdown;
        std::vector<TaskId> there = tasks_on(change.which);
        for (const TaskId task : there) { refresh_rate(task); }
        break;
      }
    }
  }
  next_breakdown();
}

std::int64_t TwinRun::working_chips(std::uint32_t node) const {
  const Machine& machine = twin_.machines.nodes[node];
  std::int64_t working = machine.chips;
  for (auto chip = chips_broken_.lower_bound(machine.first_chip); chip != chips_broken_.end() && *chip < machine.first_chip + machine.chips;
       ++chip) {
    --working;
  }
  return working;
}

void TwinRun::mark_broken(const Chip& chip) {
  for (const TaskId task : chip.sharers.empty() ? std::vector<TaskId>{chip.holder} : chip.sharers) {
    if (const auto run = runs_.find(task.value); run != runs_.end()) { lose_unsaved(run->second); }
  }
}

std::vector<TaskId> TwinRun::tasks_on(std::uint32_t node) const {
  std::vector<TaskId> there;
  for (const ChipId id : core_.node(NodeId{node + 1ULL})->chips) {
    const Chip& chip = core_.chip(id);
    for (const TaskId task : chip.sharers.empty() ? std::vector<TaskId>{chip.holder} : chip.sharers) {
      if (task && std::ranges::find(there, task) == there.end()) { there.push_back(task); }
    }
  }
  return there;
}

void TwinRun::lose_unsaved(Run& run) {
  advance(run);
  if (run.broken) { return; }
  run.broken = true;
  Progress& progress = progress_[run.job];
  const double worked = std::max(0.0, to_seconds(now_ - run.placed) - to_seconds(run.restart));
  const double every = to_seconds(options_.checkpoint_every);
  const double kept = every > 0 ? std::floor(worked / every) * every : worked;
  if (worked <= 0) { return; }
  const double since_start = progress.done - run.saved;
  progress.done = run.saved + since_start * kept / worked;
  run.lost_s += worked - kept;
  ++result_.jobs[run.job].failures;
}

void TwinRun::node_down(std::uint32_t node) {
  ++result_.node_failures;
  count_up(node, -working_chips(node));
  const std::vector<TaskId> hit = tasks_on(node);
  for (const TaskId task : hit) {
    if (const auto run = runs_.find(task.value); run != runs_.end()) { lose_unsaved(run->second); }
  }
  apply(NodeLost{NodeId{node + 1ULL}});
  for (const TaskId task : hit) {  // with all of its nodes gone nobody reports that it ended: the core takes it for ended
    const auto run = runs_.find(task.value);
    if (run == runs_.end() || core_.task(task) != nullptr) { continue; }
    leave(task, run->second, false);
  }
}

void TwinRun::node_up(std::uint32_t node) {
  count_up(node, working_chips(node));
  const Machine& machine = twin_.machines.nodes[node];
  apply(joined(machine));
}

double TwinRun::slowdown_of(const Run& run, const Task& task) const {
  double slowest = 1;
  if (!node_speed_.empty()) {
    std::uint32_t last = UINT32_MAX;
    for (const ChipId chip : task.chips) {
      const auto node = static_cast<std::uint32_t>(core_.chip(chip).node.value - 1);
      if (node != last) { slowest = std::max(slowest, node_speed_[node]); }
      last = node;
    }
  }
  return slowest * run.crowded;
}

void TwinRun::enter_network(TaskId id, Run& run, const Task& task) {
  if (contention_ == nullptr || task.share_milli < 1000) { return; }
  std::vector<std::uint32_t> nodes;
  for (const ChipId chip : task.chips) {
    const auto node = static_cast<std::uint32_t>(core_.chip(chip).node.value - 1);
    if (nodes.empty() || nodes.back() != node) { nodes.push_back(node); }
  }
  if (nodes.size() < 2) { return; }
  run.crowded = contention_->place(id.value, nodes, options_.traffic_per_node.value, options_.communication);
}

void TwinRun::network_changed() {
  if (contention_ == nullptr) { return; }
  std::vector<std::pair<std::uint64_t, double>> slower;
  contention_->changed(slower);
  for (const auto& [task, factor] : slower) {
    const auto run = runs_.find(task);
    if (run == runs_.end()) { continue; }
    run->second.crowded = factor;
    refresh_rate(TaskId{task});
  }
}

void TwinRun::refresh_rate(TaskId id) {
  const auto run = runs_.find(id.value);
  const Task* const task = core_.task(id);
  if (run == runs_.end() || task == nullptr || task->state == TaskState::stopping) { return; }
  advance(run->second);
  run->second.rate = rate_of(run->second, *task);
  next_segment(id, run->second);
}

}  // namespace centrale
