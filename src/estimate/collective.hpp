// SPDX-License-Identifier: Apache-2.0
// How long a collective takes over an island's real wiring. The best algorithm is chosen by size: ring, tree, hierarchical, in-network.
// Costs are alpha-beta (Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in MPICH", 2005, section 4),
// each with the bandwidth of the narrowest level that the group crosses, shared with the other groups that cross it at the same time.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/dimension.hpp"
#include "fleet/fleet.hpp"

namespace centrale {

/// Which chips a group holds: `size` of them, `stride` apart in the order domain, leaf, spine. All chips of the island are in
/// such groups at the same time (stride of them side by side), so that they share what lies between domains.
struct Group {
  std::int64_t size = 1;
  std::int64_t stride = 1;
  auto operator<=>(const Group&) const = default;
};

enum class Collective : unsigned char { all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, send };
enum class Algorithm : unsigned char { none, ring, tree, hierarchical, in_network, direct };

struct CollectiveTime {
  Seconds time;
  Algorithm algorithm = Algorithm::none;
  Seconds latency;          // the part of `time` that does not shrink with the message
  std::int64_t inside = 1;  // ranks of the group in one domain
};

/// What the transport does of its own: calibrated per software stack.
struct Transport {
  double links = 1;  // factors on the chip's ChipEfficiency::links and ::network
  double network = 1;
  double latency = 1;  // factor on the latencies
  // Gathers, scatters and sums go level by level (HCCL, XLA). NCCL does so for sums only, and only where a domain's switches add up
  // (NVLSTree); otherwise its rings and trees pass through all ranks.
  bool levels = true;
  auto operator<=>(const Transport&) const = default;
};

/// `bytes` is the whole vector: what each rank holds before an all-reduce or reduce-scatter, after an all-gather; what each rank
/// sends away in all, to all others, in an all-to-all; the message of a broadcast or a send.
[[nodiscard]] CollectiveTime collective_time(Collective kind, ByteCount bytes, Group group, const Island& island,
                                             const Transport& transport);
/// The time with one algorithm; infinite where the wiring does not have it. For tests and --explain.
[[nodiscard]] Seconds collective_time(Collective kind, Algorithm algorithm, ByteCount bytes, Group group, const Island& island,
                                      const Transport& transport);

}  // namespace centrale
