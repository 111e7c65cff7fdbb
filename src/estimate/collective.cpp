// SPDX-License-Identifier: Apache-2.0
#include "estimate/collective.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/ensure.hpp"
#include "estimate/wiring.hpp"

namespace centrale {
namespace {

// What an algorithm costs: a latency and a time for each byte of the vector. All are linear in the message.
struct Cost {
  double latency = std::numeric_limits<double>::infinity();
  double per_byte = 0;
  [[nodiscard]] double at(double bytes) const { return latency + per_byte * bytes; }
};

// A message to one more peer starts so much of a latency behind the one before (LogGP's gap; Alexandrov et al., SPAA 1995).
constexpr double kGap = 0.1;
// Hierarchical algorithms run their levels at once, over so many pieces of the vector (NCCL's NVLSTree does).
constexpr double kPieces = 8;
// Double binary trees keep every link busy but for their ends (Sanders, Speck, Träff, Parallel Computing 35(12), 2009); NCCL's tuning
// model takes 0.92 of the ring's rate for them.
constexpr double kTree = 0.92;
// NVLink SHARP against plain copies: on DGX H100 all-reduce reaches 258, 265, 270 and 273 GB/s of vector on 5 to 8 GPUs (NVIDIA/nccl issue
// 1455), which is 0.685 of the links' 450 GB/s over (1 + 1/n); rings reach 0.82.
constexpr double kSwitchAdds = 0.835;

double real(std::int64_t n) { return static_cast<double>(n); }
/// Levels of a binary tree over `ranks`.
double depth(std::int64_t ranks) { return ranks <= 1 ? 0 : static_cast<double>(std::bit_width(static_cast<std::uint64_t>(ranks - 1))); }
/// The part of a vector that a rank exchanges in a ring of `ranks`.
double exchanged(std::int64_t ranks) { return real(ranks - 1) / real(ranks); }

/// The rate of a ring, or of trees, through all of the group: NCCL lays one through each chip's own port, so that what leaves a domain has
/// the ports of all the group's chips there.
double through(const Place& place, double in, double out) {
  if (place.domains == 1) { return in; }
  return place.inside == 1 ? out : std::min(in, out * real(place.inside));
}

/// Two levels that work at once on different pieces.
Cost beside(Cost a, Cost b) {
  return {a.latency + b.latency, std::max(a.per_byte, b.per_byte) + std::min(a.per_byte, b.per_byte) / kPieces};
}

/// Once round: an all-gather or a reduce-scatter.
Cost ring_once(const Place& p) {
  const double steps_in = p.domains == 1 ? p.in.steps : real(p.size - p.domains);
  return {steps_in * p.in.latency + p.out.steps * p.out.latency, exchanged(p.size) / through(p, p.in.ring, p.out.ring)};
}

Cost twice(Cost cost) { return {2 * cost.latency, 2 * cost.per_byte}; }

/// One rank to every other at once, inside a domain.
double spread_latency(const Reach& reach, std::int64_t ranks) { return reach.latency * (1 + kGap * real(ranks - 2)); }

/// The all-gather or reduce-scatter inside a domain: directly where the wiring can, by a ring otherwise.
Cost inside_once(const Place& p) {
  double latency = p.in.steps * p.in.latency;
  if (p.in.direct) { latency = std::min(latency, spread_latency(p.in, p.inside)); }
  return {latency, exchanged(p.inside) / p.in.ring};
}

/// Reduced by the domain's switches: each chip's vector goes up once, its share of the sum comes and goes once more.
Cost switch_sum(const Place& p) { return {2 * p.in.latency, (1 + 1 / real(p.inside)) / (p.in.ring * kSwitchAdds)}; }

/// Rank r of each domain with rank r of the others, over one part of the vector each.
Cost outside_once(const Place& p) { return {p.out.steps * p.out.latency, exchanged(p.domains) / real(p.inside) / p.out.ring}; }

Cost cheaper(Cost a, Cost b, double bytes) { return b.at(bytes) < a.at(bytes) ? b : a; }

/// Reduce-scatter inside, `across` with each chip's own share, all-gather inside.
Cost around(Cost across, const Place& p, double bytes) {
  const Cost plain = beside(twice(inside_once(p)), across);
  return p.in.adds ? cheaper(plain, beside(switch_sum(p), across), bytes) : plain;
}

Cost hierarchical_sum(const Place& p, double bytes) {
  const Cost ring = around(twice(outside_once(p)), p, bytes);
  if (!p.out.direct) { return ring; }
  const Cost tree{2 * depth(p.domains) * p.out.latency, 2 / real(p.inside) / (p.out.ring * kTree)};
  return cheaper(ring, around(tree, p, bytes), bytes);
}

/// What a tree gets of the links inside: two trees use two of a mesh's.
double tree_rate(const Place& p) { return p.in.ring > p.in.pair ? std::min(p.in.ring, 2 * p.in.pair) : p.in.ring; }

/// Up and down, or down only.
Cost tree_once(const Place& p) {
  if ((p.inside > 1 && !p.in.trees) || (p.domains > 1 && !p.out.trees)) { return {}; }
  return {depth(p.inside) * p.in.latency + depth(p.domains) * p.out.latency, 1 / (through(p, tree_rate(p), p.out.ring) * kTree)};
}

Cost all_reduce_cost(Algorithm algorithm, const Place& p, double bytes) {
  switch (algorithm) {
    case Algorithm::none: return {};
    case Algorithm::ring: return twice(ring_once(p));
    case Algorithm::tree: return twice(tree_once(p));
    case Algorithm::hierarchical:
      if (p.domains == 1 || p.inside == 1 || !(p.levels || p.in.adds)) { return {}; }
      return hierarchical_sum(p, bytes);
    case Algorithm::in_network: {
      if (p.domains == 1) { return p.in.adds ? switch_sum(p) : Cost{}; }
      if (!p.out.adds) { return {}; }
      const Cost across{2 * p.out.latency, 1 / real(p.inside) / p.out.ring};  // up once while the sum comes down
      return p.inside == 1 ? across : around(across, p, bytes);
    }
    case Algorithm::direct: {
      if (p.domains > 1 || !p.in.direct) { return {}; }
      const double latency = spread_latency(p.in, p.size);
      const Cost one_shot{latency, real(p.size - 1) / p.in.ring};  // everything to everybody: for small vectors
      const Cost two_shot = twice(inside_once(p));
      return cheaper(two_shot, one_shot, bytes);
    }
  }
  return {};
}

Cost gather_cost(Algorithm algorithm, const Place& p) {
  switch (algorithm) {
    case Algorithm::ring: return ring_once(p);
    case Algorithm::hierarchical:
      if (p.domains == 1 || p.inside == 1 || !p.levels) { return {}; }
      return beside(inside_once(p), outside_once(p));
    case Algorithm::direct: return p.domains == 1 && p.in.direct ? inside_once(p) : Cost{};
    case Algorithm::none:
    case Algorithm::tree:
    case Algorithm::in_network: return {};
  }
  return {};
}

Cost all_to_all_cost(Algorithm algorithm, const Place& p) {
  const double peers = real(p.size - 1);
  const double outside = real(p.size - p.inside) / peers;  // of a rank's bytes
  const double time_in = p.inside > 1 ? real(p.inside - 1) / peers / p.in.spread : 0;
  const double time_out = p.domains > 1 ? outside / p.out.spread : 0;
  if (algorithm == Algorithm::direct) {
    const double first = std::max(p.in.latency, p.out.latency);
    const double gaps = kGap * (p.in.latency * real(p.inside - 1) + p.out.latency * real(p.size - p.inside));
    return {first + gaps, std::max(time_in, time_out)};
  }
  if (algorithm == Algorithm::hierarchical && p.inside > 1 && p.domains > 1) {
    // First to the rank of the own domain that has the right port, then across: one message to each domain.
    const Cost in{spread_latency(p.in, p.inside), exchanged(p.inside) / p.in.spread};
    return beside(in, {spread_latency(p.out, p.domains), time_out});
  }
  return {};
}

Cost broadcast_cost(Algorithm algorithm, const Place& p) {
  if (algorithm == Algorithm::tree) { return tree_once(p); }
  if (algorithm != Algorithm::ring) { return {}; }
  return {ring_once(p).latency, 1 / through(p, p.in.ring, p.out.ring)};
}

/// The slowest of the group's ranks sends to the next one: over a domain's edge where there is one.
Cost send_cost(Algorithm algorithm, const Place& p) {
  if (algorithm != Algorithm::direct) { return {}; }
  const Reach& reach = p.domains > 1 ? p.out : p.in;
  return {reach.latency, 1 / reach.pair};
}

Cost cost_of(Collective kind, Algorithm algorithm, const Place& place, double bytes) {
  switch (kind) {
    case Collective::all_reduce: return all_reduce_cost(algorithm, place, bytes);
    case Collective::all_gather:
    case Collective::reduce_scatter: return gather_cost(algorithm, place);
    case Collective::all_to_all: return all_to_all_cost(algorithm, place);
    case Collective::broadcast: return broadcast_cost(algorithm, place);
    case Collective::send: return send_cost(algorithm, place);
  }
  return {};
}

}  // namespace

CollectiveTime collective_time(Collective kind, ByteCount bytes, Group group, const Island& island, const Transport& transport) {
  ensure(group.size >= 1 && group.stride >= 1);
  if (group.size == 1 || !(bytes.value > 0)) { return {}; }
  const Place place = place_of(group, island, transport);
  CollectiveTime best;
  best.inside = place.inside;
  best.time = Seconds{std::numeric_limits<double>::infinity()};
  for (const Algorithm algorithm : {Algorithm::ring, Algorithm::tree, Algorithm::hierarchical, Algorithm::in_network, Algorithm::direct}) {
    const Cost cost = cost_of(kind, algorithm, place, bytes.value);
    if (const double time = cost.at(bytes.value); time < best.time.value) {
      best.time = Seconds{time};
      best.latency = Seconds{cost.latency};
      best.algorithm = algorithm;
    }
  }
  return best;
}

Seconds collective_time(Collective kind, Algorithm algorithm, ByteCount bytes, Group group, const Island& island,
                        const Transport& transport) {
  ensure(group.size >= 1 && group.stride >= 1);
  if (group.size == 1 || !(bytes.value > 0)) { return {}; }
  return Seconds{cost_of(kind, algorithm, place_of(group, island, transport), bytes.value).at(bytes.value)};
}

}  // namespace centrale
