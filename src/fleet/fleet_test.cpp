// SPDX-License-Identifier: Apache-2.0
#include "fleet/fleet.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>

namespace centrale {
namespace {

Result<Fleet> read(std::string_view yaml) { return read_fleet(yaml, "f.yaml", default_catalogue()); }
std::string error(std::string_view yaml) {
  const auto fleet = read(yaml);
  return fleet ? "no error" : fleet.error().message();
}
std::string text_error(std::string_view text) {
  const auto fleet = fleet_of(text, default_catalogue());
  return fleet ? "no error" : fleet.error().message();
}
/// One island with more lines after it.
std::string one(std::string_view rest) { return "islands:\n  - {name: a, " + std::string(rest) + "}\n"; }

TEST(Fleet, ReadsIslandsNetworksAndLinks) {
  const auto fleet = read(R"(name: two-halls
islands:
  - {name: hall-1, chip: h100-sxm, chips: 4096}
  - name: hall-2
    chip: Ascend 910B1
    chips: 2048
    network: {kind: dragonfly, bandwidth: 25GB/s, latency: 6us, hop: 1us, leaf: 32, spine: 512, oversubscription: 2, in_network: true}
links:
  - {from: hall-1, to: hall-2, bandwidth: 400Gb/s, latency: 2ms}
)");
  ASSERT_TRUE(fleet) << fleet.error().message();
  EXPECT_EQ(fleet->name, "two-halls");
  EXPECT_EQ(fleet->currency, "USD");
  EXPECT_EQ(fleet->chips(), 6144);
  const Island& first = fleet->islands[0];
  EXPECT_EQ(first.chip.key, "h100-sxm");
  EXPECT_EQ(first.chips_per_node, 8);
  EXPECT_EQ(first.domain, 8);
  EXPECT_EQ(first.network.kind, NetworkKind::clos);
  EXPECT_EQ(first.network.bandwidth, BytesPerSecond{50e9});  // as the catalogue has the chip
  EXPECT_DOUBLE_EQ(first.network.latency.value, 5e-6);
  const Network& network = fleet->islands[1].network;
  EXPECT_EQ(network.kind, NetworkKind::dragonfly);
  EXPECT_EQ(network.bandwidth, BytesPerSecond{25e9});
  EXPECT_DOUBLE_EQ(network.latency.value, 6e-6);
  EXPECT_DOUBLE_EQ(network.hop.value, 1e-6);
  EXPECT_EQ(network.leaf, 32);
  EXPECT_EQ(network.spine, 512);
  EXPECT_EQ(network.oversubscription, 2);
  EXPECT_TRUE(network.in_network);
  ASSERT_EQ(fleet->links.size(), 1U);
  EXPECT_EQ(fleet->links[0].bandwidth, BytesPerSecond{50e9});
  EXPECT_DOUBLE_EQ(fleet->links[0].latency.value, 2e-3);
}

TEST(Fleet, DomainsFollowTheChips) {
  const auto domain = [](std::string_view rest) {
    const auto fleet = read(one(rest));
    return fleet ? fleet->islands[0].domain : -1;
  };
  EXPECT_EQ(domain("chip: h100-sxm, chips: 4"), 4);   // a part of a node
  EXPECT_EQ(domain("chip: gb200, chips: 4608"), 72);  // whole racks
  EXPECT_EQ(domain("chip: gb200, chips: 512"), 64);   // 64 of each rack's 72
  EXPECT_EQ(domain("chip: gb200, chips: 76"), 72);    // no even part is half a rack
  EXPECT_EQ(domain("chip: gb200, chips: 4608, domain: 36"), 36);
  EXPECT_EQ(domain("chip: gh200, chips: 256"), 1);  // nothing joins them but the network
  EXPECT_EQ(domain("chip: tpu-v5e, chips: 512"), 256);
}

TEST(Fleet, SlicesOfATorusHaveAShape) {
  using Shape = std::vector<std::int64_t>;
  EXPECT_EQ(torus_slice({16, 20, 28}, 512), (Shape{8, 8, 8}));
  EXPECT_EQ(torus_slice({16, 20, 28}, 128), (Shape{4, 4, 8}));
  EXPECT_EQ(torus_slice({16, 20, 28}, 8960), (Shape{16, 20, 28}));
  EXPECT_EQ(torus_slice({16, 16}, 32), (Shape{4, 8}));
  EXPECT_EQ(torus_slice({16, 16}, 1), (Shape{1, 1}));
  EXPECT_EQ(torus_slice({16, 16}, 17), (Shape{17}));  // no such rectangle: a line
  EXPECT_EQ(island_of("a", *default_catalogue().chip("tpu-v5p"), 128).chip.scale_up.torus, (Shape{4, 4, 8}));
  const auto fleet = read(one("chip: h100-sxm, chips: 512, network: {kind: torus}"));
  ASSERT_TRUE(fleet) << fleet.error().message();
  EXPECT_EQ(fleet->islands[0].network.torus, (Shape{4, 4, 4}));
}

TEST(Fleet, PathIsTheWidestThenTheShortest) {
  const auto fleet = read(R"(islands:
  - {name: a, chip: h100-sxm, chips: 8}
  - {name: b, chip: h100-sxm, chips: 8}
  - {name: c, chip: h100-sxm, chips: 8}
  - {name: d, chip: h100-sxm, chips: 8}
links:
  - {from: a, to: b, bandwidth: 10GB/s, latency: 1ms}
  - {from: b, to: c, bandwidth: 40GB/s, latency: 3ms}
  - {from: a, to: c, bandwidth: 5GB/s, latency: 1ms}
  - {from: c, to: d, bandwidth: 20GB/s, latency: 2ms}
  - {from: d, to: b, bandwidth: 10GB/s, latency: 1ms}
)");
  ASSERT_TRUE(fleet) << fleet.error().message();
  const IslandLink path = fleet->path(0, 2);  // a, b, then c by the link: 10 GB/s; by d it is as wide and as long
  EXPECT_EQ(path.bandwidth, BytesPerSecond{10e9});
  EXPECT_DOUBLE_EQ(path.latency.value, 4e-3);
  EXPECT_EQ(path.from, 0U);
  EXPECT_EQ(path.to, 2U);
  EXPECT_EQ(fleet->path(3, 1).bandwidth, BytesPerSecond{20e9});  // through c
  EXPECT_DOUBLE_EQ(fleet->path(3, 1).latency.value, 5e-3);
  EXPECT_EQ(fleet->path(1, 3).bandwidth, fleet->path(3, 1).bandwidth);
  EXPECT_EQ(fleet->path(1, 1).bandwidth, BytesPerSecond{400e9});  // its own network
}

TEST(Fleet, ErrorsNameThePlaceAndTheWayOut) {
  EXPECT_EQ(error(one("chip: h1000-sxm, chips: 8")), "f.yaml:2: chip 'h1000-sxm' is not in the catalogue; nearest: h100-sxm");
  EXPECT_EQ(error(one("chip: h100-sxm, chips: 0")), "f.yaml:2: island 'a' has 0 chips; 1 to 100,000,000");
  EXPECT_EQ(error(one("chip: h100-sxm, chips: -8")), "f.yaml:2: island 'a' has -8 chips; 1 to 100,000,000");
  EXPECT_EQ(error(one("chip: h100-sxm, chips: 8, chips_per_node: 0")), "f.yaml:2: island 'a' has 0 chips_per_node; 1 to 1024");
  EXPECT_EQ(error(one("chip: h100-sxm, chips: 100")), "f.yaml:2: island 'a': 100 chips do not fill nodes of 8; 96 or 104 chips do");
  EXPECT_EQ(error(one("chip: h100-sxm, chips: 4, chips_per_node: 8")),
            "f.yaml:2: island 'a': 4 chips do not fill nodes of 8; give chips_per_node: 4");
  EXPECT_EQ(error(one("chip: h100-sxm, chips: 16, domain: 16")),
            "f.yaml:2: island 'a' has domains of 16; the fabric of h100-sxm joins 1 to 8");
  EXPECT_EQ(error(one("chip: h100-sxm, chips: 8, network: {bandwidth: 50}")),
            "f.yaml:2: network bandwidth of island 'a': '50' is not a chip's rate; such as 50GB/s or 400Gb/s");
  EXPECT_EQ(error(one("chip: h100-sxm, chips: 8, network: {bandwidth: 500TB/s}")),
            "f.yaml:2: network bandwidth of island 'a': '500TB/s' is not a chip's rate; such as 50GB/s or 400Gb/s");
  EXPECT_EQ(error(one("chip: h100-sxm, chips: 8, network: {latency: 2s}")), "f.yaml:2: network latency of island 'a' is above a second");
  EXPECT_EQ(error(one("chip: h100-sxm, chips: 8, network: {oversubscription: 0.5}")),
            "f.yaml:2: oversubscription of island 'a' is 0.5; 1 (none) to 1000");
  EXPECT_EQ(error(one("chip: h100-sxm, chips: 8, network: {leaf: 64, spine: 32}")),
            "f.yaml:2: network of island 'a': leaf 64 and spine 32 are not sizes; chips below one switch, or 0 for all; a spine has at "
            "least a leaf");
  EXPECT_EQ(error(one("chip: h100-sxm, chips: 8, network: {kind: close}")),
            "f.yaml:2: islands[0].network.kind: unknown value 'close'; nearest: clos");
  EXPECT_EQ(error("islands: []"), "f.yaml:1: the fleet has 0 islands; 1 to 64");
  EXPECT_EQ(error(""), "f.yaml: holds 0 documents, wants one fleet");
  EXPECT_EQ(error("islands:\n  - {chip: h100-sxm, chips: 8}\n"), "f.yaml:2: an island has no name");
}

TEST(Fleet, EveryIslandMustBeReached) {
  const std::string two = "islands:\n  - {name: a, chip: h100-sxm, chips: 8}\n  - {name: b, chip: mi300x, chips: 8}\n";
  const auto links = [&](std::string_view link) { return two + "links:\n  - {" + std::string(link) + "}\n"; };
  EXPECT_EQ(error(two), "f.yaml:3: island 'b' is connected to nothing; add a link");
  EXPECT_EQ(error(links("from: a, to: c, bandwidth: 1GB/s")), "f.yaml:5: 'c' is no island of the fleet");
  EXPECT_EQ(error(links("from: a, to: a, bandwidth: 1GB/s")), "f.yaml:5: the link joins island 'a' to itself");
  EXPECT_EQ(error(links("from: a, to: b, bandwidth: fast")),
            "f.yaml:5: bandwidth of the link: 'fast' is not a rate; such as 400Gb/s or 50GB/s");
  EXPECT_EQ(error(links("from: a, to: b, bandwidth: 1GB/s, latency: 2s")), "f.yaml:5: latency of the link is above a second");
  EXPECT_EQ(error(links("from: a, to: b, bandwidth: 1GB/s")), "no error");
  EXPECT_EQ(error(two + "  - {name: b, chip: mi300x, chips: 8}\n"), "f.yaml:4: the fleet has two islands 'b'");
  EXPECT_EQ(error(two + "  - {name: c, chip: mi300x, chips: 8}\n  - {name: d, chip: mi300x, chips: 8}\n"
                        "links:\n  - {from: a, to: b, bandwidth: 1GB/s}\n  - {from: c, to: d, bandwidth: 1GB/s}\n"),
            "f.yaml:4: no links lead from island 'a' to 'c'; add a link");
}

TEST(Fleet, OneLineOfTextIsAFleet) {
  const auto fleet = fleet_of("h100x16384", default_catalogue());
  ASSERT_TRUE(fleet) << fleet.error().message();
  EXPECT_EQ(fleet->islands[0].chip.key, "h100-sxm");
  EXPECT_EQ(fleet->chips(), 16384);
  EXPECT_TRUE(fleet->links.empty());
  const auto mixed = fleet_of("h100-sxm x 8192, ascend-910b1x4096,mi300xx8,mi300x x 16", default_catalogue());
  ASSERT_TRUE(mixed) << mixed.error().message();
  ASSERT_EQ(mixed->islands.size(), 4U);
  EXPECT_EQ(mixed->islands[1].chip.key, "ascend-910b1");
  EXPECT_EQ(mixed->islands[2].name, "mi300x");
  EXPECT_EQ(mixed->islands[3].name, "mi300x-2");
  EXPECT_EQ(mixed->path(0, 1).bandwidth, BytesPerSecond{4 * 50e9});  // 400 Gb/s for each 1,024 of 4,096
  EXPECT_EQ(mixed->path(0, 2).bandwidth, BytesPerSecond{50e9});
  EXPECT_EQ(text_error("h1000x8"), "chip 'h1000' is not in the catalogue; nearest: h100-sxm");
  EXPECT_EQ(text_error("h100x100"), "100 of h100-sxm do not fill nodes of 8; 96 or 104 do");
  EXPECT_EQ(text_error("h100x0"), "'h100x0': wants 1 to 100,000,000 chips");
  EXPECT_EQ(text_error("h100x99999999999999999999"), "'h100x99999999999999999999': wants 1 to 100,000,000 chips");
  EXPECT_EQ(text_error("h100"), "'h100' does not say how many chips; write h100-sxm x 1024");
  EXPECT_EQ(text_error(""), "'' does not say how many chips; write h100-sxm x 1024");
  EXPECT_EQ(text_error("x8"), "chip '' is not in the catalogue");
}

TEST(Fleet, AnyNumberOfChipsIsAnIsland) {
  const Catalogue& catalogue = default_catalogue();
  for (const ChipType& chip : catalogue.chips) {
    for (const std::int64_t chips : {1, 2, 3, 4, 6, 7, 8, 60, 64, 72, 100, 1000, 4096, 99'991}) {
      const Fleet fleet = fleet_of(chip, chips, catalogue);
      const Island& island = fleet.islands[0];
      ASSERT_EQ(fleet.chips(), chips) << chip.key;
      ASSERT_EQ(chips % island.chips_per_node, 0) << chip.key << " x " << chips;
      ASSERT_TRUE(island.domain >= 1 && island.domain <= chips) << chip.key << " x " << chips;
      if (chip.scale_up.wiring == Wiring::torus) {
        const auto& torus = island.chip.scale_up.torus;
        ASSERT_EQ(std::accumulate(torus.begin(), torus.end(), std::int64_t{1}, std::multiplies<>()), island.domain) << chip.key;
      }
    }
  }
}

TEST(Fleet, ExamplesRead) {
  for (const char* name : {"h100x16384.yaml", "mixed-two-halls.yaml"}) {
    std::ifstream in(std::string(CENTRALE_EXAMPLES) + "/fleets/" + name);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto fleet = read_fleet(text, name, default_catalogue());
    ASSERT_TRUE(fleet) << fleet.error().message();
    EXPECT_EQ(fleet->name + ".yaml", name);
  }
}

}  // namespace
}  // namespace centrale
