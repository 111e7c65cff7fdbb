// SPDX-License-Identifier: Apache-2.0
// A fleet as the planner and the twin see it: islands of equal chips, the network inside each, and the links between them.
//
//   name: two-halls
//   islands:
//     - {name: hall-1, chip: h100-sxm, chips: 4096}
//     - name: hall-2
//       chip: ascend-910b1
//       chips: 2048
//       chips_per_node: 8                       # default: as the catalogue says
//       domain: 8                               # chips that share the scale-up fabric; default: as the catalogue says
//       network: {kind: clos, bandwidth: 25GB/s, latency: 6us, leaf: 32, oversubscription: 2}
//   links:
//     - {from: hall-1, to: hall-2, bandwidth: 400Gb/s, latency: 2ms}
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dimension.hpp"
#include "base/result.hpp"
#include "fleet/catalogue.hpp"

namespace centrale {

enum class NetworkKind : unsigned char {
  clos,       // leaf and spine (and core), `oversubscription` at the leaf
  rail,       // chip i of every node on rail i: leaf switches by rail, so that a rail's traffic stays on one leaf
  torus,      // between domains as inside them
  dragonfly,  // groups all joined to all: minimal routes, half the rate for adverse patterns
};

template <>
inline constexpr std::array<std::string_view, 4> kEnumNames<NetworkKind>{"clos", "rail", "torus", "dragonfly"};

struct Network {
  NetworkKind kind = NetworkKind::clos;
  BytesPerSecond bandwidth;         // of one chip, one direction
  Seconds latency;                  // between two chips of one leaf, software included
  Seconds hop{0.6e-6};              // added by each switch level beyond the leaf
  std::int64_t leaf = 0;            // chips below one leaf switch (rail: nodes on it); 0: all
  std::int64_t spine = 0;           // chips below one spine block (pod, dragonfly group); 0: all
  double oversubscription = 1;      // a leaf's chips get 1/this of their rate through the spine
  bool in_network = false;          // switches add up (SHARP)
  std::vector<std::int64_t> torus;  // of domains, torus only: its dimensions, the first the nearest in order
};

struct Island {
  std::string name;
  ChipType chip;
  std::int64_t chips = 0;
  std::int64_t chips_per_node = 8;
  std::int64_t domain = 8;  // chips that share the scale-up fabric
  Network network;
};

/// Between two islands, for all their chips together.
struct IslandLink {
  std::size_t from = 0, to = 0;  // islands
  BytesPerSecond bandwidth;      // one direction
  Seconds latency;
};

struct Fleet {
  std::string name;
  std::string currency;
  std::vector<Island> islands;
  std::vector<IslandLink> links;

  [[nodiscard]] std::int64_t chips() const;
  /// The best path between two islands: the narrowest link's bandwidth, the latencies added. Every fleet that was read is connected.
  [[nodiscard]] IslandLink path(std::size_t from, std::size_t to) const;
};

inline constexpr std::size_t kIslandsMax = 64;
inline constexpr std::int64_t kFleetChipsMax = 100'000'000;

/// Errors name file:line. An island that no link reaches is an error.
[[nodiscard]] Result<Fleet> read_fleet(std::string_view yaml, std::string_view file, const Catalogue& catalogue);
/// "h100-sxm x 16384", "h100x16384", "h100-sxmx8192,ascend-910b1x4096" (joined by links of 400 Gb/s for each 1,024 chips of the smaller):
/// chips by key, or by the start of one where it is plain which is meant ("h100" is h100-sxm).
[[nodiscard]] Result<Fleet> fleet_of(std::string_view text, const Catalogue& catalogue);
/// One island as the catalogue has its chips; `chips` above 0. What its chips per node does not divide gets smaller nodes.
[[nodiscard]] Island island_of(std::string name, const ChipType& chip, std::int64_t chips);
/// Chips that share the fabric when `chips` are used: all that `full` allows; or, where that does not divide them, the largest whole
/// nodes that do and fill at least half of it (64 of a rack's 72, as racks are run).
[[nodiscard]] std::int64_t domain_of(std::int64_t chips, std::int64_t chips_per_node, std::int64_t full);
/// The shape of a slice of `chips` chips cut from a torus: as even as may be, never longer than the torus, ascending.
/// Without such a shape, a line.
[[nodiscard]] std::vector<std::int64_t> torus_slice(const std::vector<std::int64_t>& torus, std::int64_t chips);
/// One island of `chips` chips as the catalogue has them.
[[nodiscard]] Fleet fleet_of(const ChipType& chip, std::int64_t chips, const Catalogue& catalogue);

}  // namespace centrale
