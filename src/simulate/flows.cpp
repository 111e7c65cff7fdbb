// SPDX-License-Identifier: Apache-2.0
#include "simulate/flows.hpp"

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"

namespace centrale {
namespace {

// A flow that stops where it stopped before is waited for a little longer, so that a link that is full at the same level, but for
// rounding, is seen first.
constexpr double kLater = 1 + FlowNetwork::kTolerance;
constexpr double kMuchLater = 1 + 2 * FlowNetwork::kTolerance;

constexpr auto kAfter = [](const auto& a, const auto& b) { return a.after(b); };

}  // namespace

LinkId FlowNetwork::link(BytesPerSecond capacity) {
  ensure(capacity.value > 0 && std::isfinite(capacity.value));
  Link& link = links_.emplace_back();
  link.capacity = capacity.value;
  return {static_cast<std::uint32_t>(links_.size() - 1)};
}

std::uint32_t FlowNetwork::take_slot() {
  if (unused_.empty()) {
    flows_.emplace_back();
    return static_cast<std::uint32_t>(flows_.size() - 1);
  }
  const std::uint32_t index = unused_.back();
  unused_.pop_back();
  return index;
}

FlowId FlowNetwork::add(std::span<const LinkId> path, double demand_limit) {
  hops_.clear();
  for (const LinkId link : path) { hops_.push_back({link, 1}); }
  return add(std::span<const Hop>(hops_), demand_limit);
}

FlowId FlowNetwork::add(std::span<const Hop> path, double demand_limit) {
  ensure(demand_limit > 0 && (std::isfinite(demand_limit) || !path.empty()));
  const std::uint32_t index = take_slot();
  Flow& flow = flows_[index];
  flow.rate = 0;
  flow.limit = demand_limit;
  flow.alive = true;
  flow.path.clear();
  for (const Hop& hop : path) {
    ensure(hop.link.value < links_.size() && hop.weight > 0 && std::isfinite(hop.weight));
    Link& link = links_[hop.link.value];
    // The last to join is this flow's own earlier hop if a link comes twice.
    ensure(link.members.empty() || link.members.back().flow != index);
    flow.path.push_back({hop.link.value, static_cast<std::uint32_t>(link.members.size()), hop.weight});
    link.members.push_back({index, static_cast<std::uint32_t>(flow.path.size() - 1), hop.weight});
  }
  ++alive_;
  begin();
  flow.pass = pass_;
  flow.growing = true;
  flow.free = true;
  if (std::isfinite(demand_limit)) { push({demand_limit, index, false}); }
  look_at_path(index, 0);
  fill();
  return {index};
}

void FlowNetwork::remove(FlowId id) {
  ensure(id.value < flows_.size() && flows_[id.value].alive);
  Flow& flow = flows_[id.value];
  flow.alive = false;
  --alive_;
  for (const PathHop& hop : flow.path) {
    std::vector<Member>& members = links_[hop.link].members;
    members[hop.member] = members.back();
    members.pop_back();
    if (hop.member < members.size()) {
      const Member& moved = members[hop.member];
      flows_[moved.flow].path[moved.hop].member = hop.member;
    }
  }
  begin();
  // Up to the level at which the flow stopped nothing is full that was not: all went as before.
  look_at_path(id.value, flow.rate * (1 - 4 * kTolerance));
  fill();
  unused_.push_back(id.value);
}

double FlowNetwork::load(LinkId link) const {
  double sum = 0;
  for (const Member& member : links_[link.value].members) { sum += member.weight * flows_[member.flow].rate; }
  return sum;
}

void FlowNetwork::changed(std::vector<FlowId>& flows) {
  flows.clear();
  for (const std::uint32_t index : changed_) {
    flows_[index].reported = false;
    if (flows_[index].alive) { flows.push_back({index}); }
  }
  changed_.clear();
}

void FlowNetwork::begin() {
  if (++pass_ == 0) {  // once in four thousand million changes: marks of old fillings would look like this one's
    for (Link& link : links_) { link.pass = 0; }
    for (Flow& flow : flows_) { flow.pass = 0; }
    pass_ = 1;
  }
  steps_.clear();
}

void FlowNetwork::fill() {
  while (!steps_.empty()) {
    const Step step = pop();
    if (step.is_link) {
      link_step(step);
    } else if (flows_[step.which].growing) {
      flow_step(step);
    }
  }
}

/// The flow may do otherwise than before from here on.
void FlowNetwork::touch(std::uint32_t index) {
  Flow& flow = flows_[index];
  flow.pass = pass_;
  flow.growing = true;
  flow.free = false;
  push({flow.rate * kLater, index, false});
}

/// Up to `level` all its flows did as before, or are marked.
void FlowNetwork::look_at(std::uint32_t index, double level) {
  Link& link = links_[index];
  if (link.pass == pass_) { return; }
  link.pass = pass_;
  link.frozen = 0;
  link.growing = 0;
  link.growers = 0;
  for (const Member& member : link.members) {
    const Flow& flow = flows_[member.flow];
    if (flow.pass != pass_ && flow.rate > level) { touch(member.flow); }
    if (flow.pass == pass_ && flow.growing) {
      link.growing += member.weight;
      ++link.growers;
    } else {
      link.frozen += member.weight * flow.rate;
    }
  }
  push({level, index, true});
}

void FlowNetwork::look_at_path(std::uint32_t index, double level) {
  for (const PathHop& hop : flows_[index].path) { look_at(hop.link, level); }
}

/// A link is full once its growing flows have filled what the others left. Flows that stop meanwhile only put that off.
void FlowNetwork::link_step(const Step& step) {
  Link& link = links_[step.which];
  if (link.growers == 0) {
    link.level = kNoLimit;
    return;
  }
  const double level = (link.capacity - link.frozen) / link.growing;
  if (level > step.level) {
    push({level, step.which, true});
    return;
  }
  link.level = step.level;
  for (const Member& member : link.members) {
    const Flow& flow = flows_[member.flow];
    if (flow.pass == pass_ && flow.growing) { stop(member.flow, step.level, step.level); }
  }
}

void FlowNetwork::flow_step(const Step& step) {
  Flow& flow = flows_[step.which];
  if (flow.free) {
    stop(step.which, flow.limit, step.level);
  } else if (stops_as_before(flow)) {
    stop(step.which, flow.rate, step.level);
  } else {
    flow.free = true;
    if (std::isfinite(flow.limit)) { push({std::max(step.level, flow.limit), step.which, false}); }
    look_at_path(step.which, step.level);
  }
}

/// Whether what stopped it is still there: its limit, or a link that the change does not reach.
bool FlowNetwork::stops_as_before(const Flow& flow) const {
  const double level = flow.rate * kMuchLater;
  if (flow.limit <= level) { return true; }
  return std::any_of(flow.path.begin(), flow.path.end(),
                     [&](const PathHop& hop) { return links_[hop.link].pass != pass_ && links_[hop.link].level <= level; });
}

void FlowNetwork::stop(std::uint32_t index, double rate, double level) {
  Flow& flow = flows_[index];
  const bool as_before = std::abs(rate - flow.rate) <= kTolerance * flow.rate;
  flow.growing = false;
  if (!as_before) { settle_rate(index, rate); }
  for (const PathHop& hop : flow.path) {
    Link& link = links_[hop.link];
    if (link.pass == pass_) {
      --link.growers;
      link.growing = link.growers == 0 ? 0 : link.growing - hop.weight;
      link.frozen += hop.weight * flow.rate;
    } else if (!as_before) {
      look_at(hop.link, level);
    }
  }
}

void FlowNetwork::settle_rate(std::uint32_t index, double rate) {
  Flow& flow = flows_[index];
  flow.rate = rate;
  if (!flow.reported) {
    flow.reported = true;
    changed_.push_back(index);
  }
}

void FlowNetwork::push(Step step) {
  steps_.push_back(step);
  std::push_heap(steps_.begin(), steps_.end(), kAfter);
}

FlowNetwork::Step FlowNetwork::pop() {
  std::pop_heap(steps_.begin(), steps_.end(), kAfter);
  const Step step = steps_.back();
  steps_.pop_back();
  return step;
}

}  // namespace centrale
