// SPDX-License-Identifier: Apache-2.0
#include "simulate/contention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/ensure.hpp"

namespace centrale {
namespace {

// Minimal routes between a dragonfly's groups, with their detours, leave half of the rate (Kim et al., ISCA 2008, section 4.2); as in
// estimate/wiring.cpp.
constexpr double kAdverse = 0.5;
constexpr double kSame = 1e-9;  // relative: what differs by less is rounding

double real(std::int64_t n) { return static_cast<double>(n); }

double width_of(const IslandLink& link) {
  return link.bandwidth.value > 0 ? link.bandwidth.value : std::numeric_limits<double>::infinity();
}

/// How an island is reached: by which link, and how good the way there is.
struct Way {
  double width = 0, latency = 0;
  std::uint32_t link = 0, before = 0;
  bool done = false;
};

/// The widest ways from one island, of equally wide ones the quickest, as Fleet::path has them (Dijkstra's algorithm).
std::vector<Way> ways_from(std::uint32_t from, std::size_t islands, const std::vector<IslandLink>& links) {
  std::vector<Way> ways(islands);
  ways[from].width = std::numeric_limits<double>::infinity();
  const auto better = [](const Way& a, const Way& b) { return a.width != b.width ? a.width > b.width : a.latency < b.latency; };
  for (std::size_t round = 0; round < islands; ++round) {
    std::uint32_t best = 0;
    bool found = false;
    for (std::uint32_t i = 0; i < islands; ++i) {
      if (!ways[i].done && ways[i].width > 0 && (!found || better(ways[i], ways[best]))) {
        best = i;
        found = true;
      }
    }
    if (!found) { break; }
    ways[best].done = true;
    for (std::uint32_t l = 0; l < links.size(); ++l) {
      if (links[l].from != best && links[l].to != best) { continue; }
      const auto other = static_cast<std::uint32_t>(links[l].from == best ? links[l].to : links[l].from);
      const Way way{.width = std::min(ways[best].width, width_of(links[l])),
                    .latency = ways[best].latency + links[l].latency.value,
                    .link = l,
                    .before = best,
                    .done = false};
      if (!ways[other].done && better(way, ways[other])) { ways[other] = way; }
    }
  }
  return ways;
}

}  // namespace

Contention::Contention(const Machines& machines)
    : machines_(machines),
      leaf_links_(machines.leaves + 1, kNone),
      spine_links_(machines.spines + 1, kNone),
      island_links_(machines.links.size(), kNone),
      cards_(machines.nodes.size()) {}

double Contention::chips_in(std::uint32_t Machine::*group, std::uint32_t number) const {
  const std::vector<Machine>& nodes = machines_.nodes;
  std::int64_t chips = 0;
  const auto first = std::partition_point(nodes.begin(), nodes.end(), [&](const Machine& m) { return m.*group < number; });
  for (auto node = first; node != nodes.end() && (*node).*group == number; ++node) { chips += node->chips; }
  return real(chips);
}

double Contention::leaf_capacity(std::uint32_t node) const {
  const Machine& machine = machines_.nodes[node];
  const MachineIsland& island = machines_.islands[machine.island];
  const Network& network = island.network;
  // Of one leaf for all there is nothing above. A torus has none; inside a dragonfly's group all is joined at full rate.
  if (island.leaves <= 1 || network.kind == NetworkKind::torus || network.kind == NetworkKind::dragonfly) { return 0; }
  return chips_in(&Machine::leaf, machine.leaf) * network.bandwidth.value / std::max(1.0, network.oversubscription);
}

double Contention::spine_capacity(std::uint32_t node) const {
  const Machine& machine = machines_.nodes[node];
  const MachineIsland& island = machines_.islands[machine.island];
  const Network& network = island.network;
  if (island.spines <= 1 || network.kind == NetworkKind::torus) { return 0; }
  const double share = (network.kind == NetworkKind::dragonfly ? kAdverse : 1) / std::max(1.0, network.oversubscription);
  return chips_in(&Machine::spine, machine.spine) * network.bandwidth.value * share;
}

double Contention::card_capacity(std::uint32_t node) const {
  const Machine& machine = machines_.nodes[node];
  return real(machine.chips) * machines_.islands[machine.island].network.bandwidth.value;
}

std::uint32_t Contention::link_of(std::uint32_t& known, double capacity) {
  if (known == kNone && capacity > 0 && std::isfinite(capacity)) { known = net_.link({capacity}).value; }
  return known;
}

const std::vector<std::uint32_t>& Contention::route(std::uint32_t from, std::uint32_t to) {
  const auto [entry, fresh] = routes_.try_emplace({from, to});
  if (fresh) {
    const std::vector<Way> ways = ways_from(from, machines_.islands.size(), machines_.links);
    if (ways[to].done) {
      for (std::uint32_t at = to; at != from; at = ways[at].before) { entry->second.push_back(ways[at].link); }
    }
  }
  return entry->second;
}

double Contention::slowdown(const Job& job) const {
  const double got = std::min(job.wanted, net_.rate(job.flow));
  // What is short by rounding only is not short.
  if (got >= job.wanted * (1 - kSame)) { return 1; }
  return 1 - job.communication + job.communication * job.wanted / got;
}

double Contention::limit(const Job& job) const {
  double limit = job.wanted;
  for (const std::uint32_t node : job.nodes) {
    const double card = card_capacity(node);
    if (card > 0) { limit = std::min(limit, card); }
  }
  return limit;
}

/// One hop for each group of that kind, if the job spans several. Between domains all nodes of a domain send at once, each to its like:
/// the weight is the job's nodes in the largest of its domains there.
void Contention::add_groups(Job& job, std::uint32_t Machine::*group, std::vector<std::uint32_t>& links,
                            double (Contention::*capacity)(std::uint32_t) const) {
  const std::vector<Machine>& nodes = machines_.nodes;
  // Nodes ascend, and with them the numbers of their groups and domains.
  if (nodes[job.nodes.front()].*group == nodes[job.nodes.back()].*group) { return; }
  for (std::size_t i = 0; i < job.nodes.size();) {
    const std::uint32_t first = job.nodes[i];
    const std::uint32_t number = nodes[first].*group;
    std::size_t most = 0;
    while (i < job.nodes.size() && nodes[job.nodes[i]].*group == number) {
      const std::uint32_t domain = nodes[job.nodes[i]].domain;
      const std::size_t begin = i;
      while (i < job.nodes.size() && nodes[job.nodes[i]].domain == domain && nodes[job.nodes[i]].*group == number) { ++i; }
      most = std::max(most, i - begin);
    }
    std::uint32_t& known = links[number];
    const std::uint32_t link = known != kNone ? known : link_of(known, (this->*capacity)(first));
    if (link != kNone) { job.path.push_back({{link}, static_cast<double>(most)}); }
  }
}

/// The links on the ways from the first node's island to the others.
void Contention::add_island_links(Job& job) {
  const std::vector<Machine>& nodes = machines_.nodes;
  const std::uint32_t from = nodes[job.nodes.front()].island;
  std::uint32_t last = from;
  if (nodes[job.nodes.back()].island == from) { return; }
  std::vector<std::uint32_t> used;
  std::size_t most = 0;
  std::size_t here = 0;
  for (std::size_t i = 0; i < job.nodes.size(); ++i) {
    const Machine& node = nodes[job.nodes[i]];
    here = i > 0 && nodes[job.nodes[i - 1]].domain == node.domain ? here + 1 : 1;
    most = std::max(most, here);
    if (node.island == last) { continue; }
    last = node.island;
    const std::vector<std::uint32_t>& way = route(from, last);
    used.insert(used.end(), way.begin(), way.end());
  }
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  for (const std::uint32_t index : used) {
    const std::uint32_t link = link_of(island_links_[index], machines_.links[index].bandwidth.value);
    if (link != kNone) { job.path.push_back({{link}, static_cast<double>(most)}); }
  }
}

void Contention::find_path(Job& job) {
  job.path.clear();
  add_groups(job, &Machine::leaf, leaf_links_, &Contention::leaf_capacity);
  add_groups(job, &Machine::spine, spine_links_, &Contention::spine_capacity);
  add_island_links(job);
}

std::uint32_t Contention::take_slot() {
  if (unused_.empty()) {
    jobs_.emplace_back();
    return static_cast<std::uint32_t>(jobs_.size() - 1);
  }
  const std::uint32_t slot = unused_.back();
  unused_.pop_back();
  return slot;
}

void Contention::start(std::uint32_t slot) {
  Job& job = jobs_[slot];
  job.flow = net_.add(std::span<const FlowNetwork::Hop>(job.path), job.limit);
  if (job_of_flow_.size() <= job.flow.value) { job_of_flow_.resize(job.flow.value + 1, kNone); }
  job_of_flow_[job.flow.value] = slot;
}

/// Where a card gets its second job it becomes a link, of the first one's path too: that flow starts anew.
void Contention::add_to_cards(std::uint32_t slot) {
  for (const std::uint32_t node : jobs_[slot].nodes) {
    Card& card = cards_[node];
    if (card.link == kNone && !card.jobs.empty() && link_of(card.link, card_capacity(node)) != kNone) {
      const std::uint32_t other = card.jobs.front();
      net_.remove(jobs_[other].flow);
      jobs_[other].path.push_back({{card.link}, 1});
      start(other);
    }
    card.jobs.push_back(slot);
    if (card.link != kNone) { jobs_[slot].path.push_back({{card.link}, 1}); }
  }
}

double Contention::place(std::uint64_t id, std::span<const std::uint32_t> nodes, double wanted, double communication) {
  ensure(!nodes.empty() && wanted >= 0 && std::isfinite(wanted) && communication >= 0 && communication <= 1);
  ensure(!slots_.contains(id));
  const auto domain = [&](std::uint32_t node) { return machines_.nodes[node].domain; };
  const bool inside = std::all_of(nodes.begin(), nodes.end(), [&](std::uint32_t node) { return domain(node) == domain(nodes.front()); });
  if (inside || wanted == 0) { return 1; }
  const std::uint32_t slot = take_slot();
  slots_[id] = slot;
  Job& job = jobs_[slot];
  job.id = id;
  job.wanted = wanted;
  job.communication = communication;
  job.nodes.assign(nodes.begin(), nodes.end());
  std::sort(job.nodes.begin(), job.nodes.end());
  job.nodes.erase(std::unique(job.nodes.begin(), job.nodes.end()), job.nodes.end());
  job.limit = limit(job);
  find_path(job);
  add_to_cards(slot);
  start(slot);
  job.told = slowdown(job);
  return job.told;
}

void Contention::remove(std::uint64_t id) {
  const auto found = slots_.find(id);
  if (found == slots_.end()) { return; }
  const std::uint32_t slot = found->second;
  slots_.erase(found);
  Job& job = jobs_[slot];
  for (const std::uint32_t node : job.nodes) { std::erase(cards_[node].jobs, slot); }
  job_of_flow_[job.flow.value] = kNone;
  net_.remove(job.flow);
  unused_.push_back(slot);
}

void Contention::changed(std::vector<std::pair<std::uint64_t, double>>& jobs) {
  jobs.clear();
  net_.changed(changed_);
  for (const FlowId flow : changed_) {
    Job& job = jobs_[job_of_flow_[flow.value]];
    const double now = slowdown(job);
    if (std::abs(now - job.told) <= kSame * job.told) { continue; }
    job.told = now;
    jobs.emplace_back(job.id, now);
  }
  std::sort(jobs.begin(), jobs.end());
}

}  // namespace centrale
