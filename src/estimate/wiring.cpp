// SPDX-License-Identifier: Apache-2.0
#include "estimate/wiring.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>

namespace centrale {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A dragonfly's groups reach each other over few links each: neighbours in rank order all want the same ones, and minimal routing with its
// detours leaves half (Kim et al., "Technology-Driven, Highly-Scalable Dragonfly Topology", ISCA 2008, section 4.2).
constexpr double kAdverse = 0.5;

double real(std::int64_t n) { return static_cast<double>(n); }

/// `size` ranks `stride` apart on a torus, `rate` being a chip's over all its links in one direction. A ring runs in each dimension that
/// the group covers, both ways round at once; a dimension too short to close, or covered in part, is a line, which a ring goes up and down.
Reach reach_torus(std::span<const std::int64_t> torus, std::int64_t wraps_from, std::int64_t size, std::int64_t stride, double rate) {
  const double dimension_rate = rate / std::max(1.0, static_cast<double>(torus.size()));  // both links of one dimension
  Reach reach;
  double slowest = kInfinity;
  double busiest = 0;  // of the dimensions: time to spread a byte a chip
  double dimensions = 0;
  std::int64_t below = 1;  // chips in the dimensions passed
  std::int64_t left = size;
  for (std::size_t i = 0; i < torus.size() && left > 1; below *= torus[i], ++i) {
    const std::int64_t length = torus[i];
    if (stride >= below * length || length == 1) { continue; }
    // Chips between two neighbours of the group belong to groups beside it, whose rings use the same links.
    const std::int64_t apart = std::max<std::int64_t>(1, stride / below);
    const std::int64_t here = std::min(left, std::max<std::int64_t>(1, length / apart));
    if (here == 1) { continue; }
    const bool ring = here * apart == length && length >= wraps_from && length > 2;
    const double along = dimension_rate / real(apart) * (ring ? 1 : 0.5);
    if (dimensions == 0) { reach.pair = dimension_rate / 2 / real(apart); }
    slowest = std::min(slowest, along);
    // Half of a dimension sends half of its bytes over the cut in its middle: two links of a ring, one of a line.
    busiest = std::max(busiest, real(here) / 4 / along);
    reach.steps += ring ? real(here / 2) : real(here - 1);
    dimensions += 1;
    left = (left + here - 1) / here;
  }
  if (dimensions == 0 || left > 1) {  // the group does not lie along the dimensions: one line through all of it
    const double line = dimension_rate / 2 / real(std::max<std::int64_t>(1, std::min(stride, torus.empty() ? 1 : torus[0])));
    return {.ring = line, .pair = line, .spread = 4 * line / real(size), .steps = real(size - 1)};
  }
  reach.ring = slowest * dimensions;  // the vector in as many parts, each going round the dimensions in another order
  reach.spread = real(size - 1) / real(size) / busiest;
  return reach;
}

/// Inside a domain.
Reach reach_inside(std::int64_t inside, std::int64_t stride, const Island& island, const Transport& transport) {
  const ScaleUp& fabric = island.chip.scale_up;
  const double rate = fabric.bandwidth.value.value * std::min(1.0, island.chip.efficiency.links * transport.links);
  Reach reach;
  switch (fabric.wiring) {
    case Wiring::none: break;
    case Wiring::bus: reach = {.ring = rate, .pair = rate, .spread = rate, .steps = real(inside - 1), .trees = true}; break;
    case Wiring::fabric:
      reach = {
          .ring = rate, .pair = rate, .spread = rate, .steps = real(inside - 1), .direct = true, .trees = true, .adds = fabric.in_network};
      break;
    case Wiring::mesh: {
      // Only the links to the group's own members are of use to it.
      const double link = rate / real(std::max<std::int64_t>(1, std::max(fabric.chips, island.domain) - 1));
      const double links = link * real(inside - 1);
      reach = {.ring = links, .pair = link, .spread = links, .steps = real(inside - 1), .direct = true, .trees = true};
      break;
    }
    case Wiring::torus: reach = reach_torus(fabric.torus, fabric.wraps_from, inside, stride, rate); break;
  }
  reach.latency = fabric.latency.value * transport.latency;
  return reach;
}

/// How far a group reaches through the switches, and how many of its neighbours in rank order stay below the same one.
struct Climb {
  std::int64_t levels = 0;  // beyond the leaf
  double ring = 1;          // part of a chip's rate that a ring keeps
  double spread = 1;        // the same where every rank sends to every other
};

/// Through switches below each of which `block` chips are: whether a group of `span` chips fits, and, if not, what is left of its rate.
/// Of a ring in rank order only each last rank below a switch sends up: `stay` ranks have one share of the uplinks each to give to it.
bool climbs(std::int64_t block, std::int64_t span, std::int64_t apart, double share, double adverse, Climb& climb) {
  if (block <= 0 || (span <= block && block % span == 0)) { return false; }
  const double stay = real(std::max<std::int64_t>(1, block / std::max<std::int64_t>(1, apart)));
  climb.ring = std::min(climb.ring, std::min(1.0, stay * share * adverse));
  const double ranks = real(std::max<std::int64_t>(2, span / std::max<std::int64_t>(1, apart)));
  const double away = std::clamp((ranks - stay) / (ranks - 1), 1 / ranks, 1.0);  // of the peers, beyond this switch
  climb.spread = std::min(climb.spread, std::min(1.0, share / away));
  climb.levels += 1;
  return true;
}

/// `span` chips lie between the group's first and its end, `apart` between neighbours in different domains.
Climb climb_of(std::int64_t span, std::int64_t apart, const Island& island) {
  const Network& network = island.network;
  const double share = 1 / std::max(1.0, network.oversubscription);
  Climb climb;
  std::int64_t leaf = network.leaf;
  if (network.kind == NetworkKind::rail && leaf > 0) {
    // A rail's leaf has one chip of each of its nodes. What keeps its place in the node stays on its rail; other traffic climbs.
    leaf = apart % island.chips_per_node == 0 ? leaf * island.chips_per_node : 1;
  }
  if (network.kind == NetworkKind::dragonfly) {
    climbs(leaf, span, apart, 1, 1, climb);  // inside a group all is joined at full rate
    climbs(network.spine, span, apart, share, kAdverse, climb);
  } else {
    climbs(leaf, span, apart, share, 1, climb);
    climbs(network.spine, span, apart, share, 1, climb);
  }
  return climb;
}

/// Between domains.
Reach reach_outside(Group group, std::int64_t inside, const Island& island, const Transport& transport) {
  const Network& network = island.network;
  const double rate = network.bandwidth.value * std::min(1.0, island.chip.efficiency.network * transport.network);
  const std::int64_t domains = group.size / inside;
  const std::int64_t apart = group.stride * inside;
  if (network.kind == NetworkKind::torus) {
    Reach reach = reach_torus(network.torus, 3, domains, std::max<std::int64_t>(1, apart / island.domain), rate);
    reach.latency = network.latency.value * transport.latency;
    return reach;
  }
  const Climb climb = climb_of(group.size * group.stride, apart, island);
  const double latency = (network.latency + network.hop * real(climb.levels)).value * transport.latency;
  return {.ring = rate * climb.ring,
          .pair = rate * climb.ring,
          .spread = rate * climb.spread,
          .latency = latency,
          .steps = real(domains - 1),
          .direct = true,
          .trees = true,
          .adds = network.in_network};
}

}  // namespace

std::int64_t ranks_inside(Group group, const Island& island) {
  if (island.chips <= island.domain) { return group.size; }  // there is nothing outside
  if (group.stride >= island.domain || island.domain % group.stride != 0) { return 1; }
  return std::gcd(group.size, island.domain / group.stride);
}

Place place_of(Group group, const Island& island, const Transport& transport) {
  Place place;
  place.size = group.size;
  place.levels = transport.levels;
  place.inside = island.chip.scale_up.wiring == Wiring::none ? 1 : ranks_inside(group, island);
  place.domains = group.size / place.inside;
  if (place.inside > 1) { place.in = reach_inside(place.inside, group.stride, island, transport); }
  if (place.domains > 1) { place.out = reach_outside(group, place.inside, island, transport); }
  return place;
}

}  // namespace centrale
