// SPDX-License-Identifier: Apache-2.0
// Where a group of chips lies on an island's wiring, and at what rates and latencies its ranks reach each other. Private to estimate/:
// what collective.cpp computes with.
#pragma once
#include <cstdint>

#include "estimate/collective.hpp"

namespace centrale {

/// One level of wiring as a group sees it. Rates are what one rank gets in one direction, in bytes/s, with the other groups that share the
/// links taken off; efficiencies are in.
struct Reach {
  double ring = 0;      // to its neighbours in the order of ranks, over all links that a ring can use
  double pair = 0;      // to the next rank alone
  double spread = 0;    // to all others at once, evenly
  double latency = 0;   // of one step, s
  double steps = 0;     // that a ring takes to pass every rank
  bool direct = false;  // whether each rank reaches every other without passing one between
  bool trees = false;   // whether a tree's edges are as good as a ring's: a torus has no switch to make the long ones short
  bool adds = false;    // whether the switches add up
};

/// A group: `inside` ranks in each of `domains` domains; `size` is their product.
struct Place {
  std::int64_t size = 1, inside = 1, domains = 1;
  bool levels = true;  // the transport's
  Reach in, out;
};

/// Ranks of the group that share a domain, wherever the group lies: where domains and groups do not divide, the fewest that any cut of the
/// group by a domain's edge leaves together.
[[nodiscard]] std::int64_t ranks_inside(Group group, const Island& island);
[[nodiscard]] Place place_of(Group group, const Island& island, const Transport& transport);

}  // namespace centrale
