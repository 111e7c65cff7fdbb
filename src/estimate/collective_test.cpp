// SPDX-License-Identifier: Apache-2.0
#include "estimate/collective.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cmath>
#include <random>
#include <string>

namespace centrale {
namespace {

constexpr std::array kCollectives{Collective::all_reduce, Collective::all_gather, Collective::reduce_scatter,
                                  Collective::all_to_all, Collective::broadcast,  Collective::send};
constexpr std::array kAlgorithms{Algorithm::ring, Algorithm::tree, Algorithm::hierarchical, Algorithm::in_network, Algorithm::direct};

/// Eight chips a domain at 100 GB/s and 2 us each, 10 GB/s and 5 us between domains, all of it reached: easy to compute by hand.
Island island(Wiring wiring, std::int64_t chips = 1024) {
  Island made;
  made.chip.scale_up.wiring = wiring;
  made.chip.scale_up.chips = 8;
  made.chip.scale_up.bandwidth.value = BytesPerSecond{100e9};
  made.chip.scale_up.latency = Seconds{2e-6};
  made.chip.efficiency.links = 1;
  made.chip.efficiency.network = 1;
  made.chips = chips;
  made.network.bandwidth = BytesPerSecond{10e9};
  made.network.latency = Seconds{5e-6};
  return made;
}

Island catalogued(std::string_view key, std::int64_t chips) { return island_of("a", *default_catalogue().chip(key), chips); }

double time_of(Collective kind, Algorithm algorithm, double bytes, Group group, const Island& on) {
  return collective_time(kind, algorithm, ByteCount{bytes}, group, on, {}).value;
}
CollectiveTime best(Collective kind, double bytes, Group group, const Island& on) {
  return collective_time(kind, ByteCount{bytes}, group, on, {});
}
/// As nccl-tests report it: the rate of a ring that would take so long.
double bus_bandwidth(Collective kind, double bytes, Group group, const Island& on) {
  const double part = static_cast<double>(group.size - 1) / static_cast<double>(group.size);
  return (kind == Collective::all_reduce ? 2 : 1) * part * bytes / best(kind, bytes, group, on).time.value;
}

TEST(Collective, ClosedFormsInsideADomain) {
  const Island fabric = island(Wiring::fabric);
  const Group eight{8, 1};
  // 2 (n-1) steps; each sends an n-th of the vector.
  EXPECT_NEAR(time_of(Collective::all_reduce, Algorithm::ring, 800e6, eight, fabric), 14 * (2e-6 + 100e6 / 100e9), 1e-12);
  EXPECT_NEAR(time_of(Collective::all_gather, Algorithm::ring, 800e6, eight, fabric), 7 * (2e-6 + 100e6 / 100e9), 1e-12);
  EXPECT_NEAR(time_of(Collective::reduce_scatter, Algorithm::ring, 800e6, eight, fabric), 7 * (2e-6 + 100e6 / 100e9), 1e-12);
  // Up and down three levels; all of the vector each way, at the trees' part of the rate.
  EXPECT_NEAR(time_of(Collective::all_reduce, Algorithm::tree, 800e6, eight, fabric), 2 * (3 * 2e-6 + 800e6 / 92e9), 1e-12);
  // Each rank sends seven messages at once, each started a tenth of a latency behind the one before.
  EXPECT_NEAR(time_of(Collective::all_to_all, Algorithm::direct, 800e6, eight, fabric), 2e-6 * 1.7 + 800e6 / 100e9, 1e-12);
  EXPECT_NEAR(time_of(Collective::send, Algorithm::direct, 1e6, eight, fabric), 2e-6 + 1e6 / 100e9, 1e-12);
  // Small vectors go to everybody at once.
  EXPECT_NEAR(time_of(Collective::all_reduce, Algorithm::direct, 1e3, eight, fabric), 2e-6 * 1.6 + 7e3 / 100e9, 1e-12);
  EXPECT_NEAR(time_of(Collective::broadcast, Algorithm::ring, 1e9, eight, fabric), 7 * 2e-6 + 1e9 / 100e9, 1e-12);
}

TEST(Collective, ClosedFormsBetweenDomains) {
  const Island fabric = island(Wiring::fabric);
  // One chip of each of 16 domains, at its own port.
  const Group across{16, 8};
  EXPECT_NEAR(time_of(Collective::all_reduce, Algorithm::ring, 160e6, across, fabric), 30 * (5e-6 + 10e6 / 10e9), 1e-12);
  EXPECT_EQ(best(Collective::all_reduce, 160e6, across, fabric).inside, 1);
  // All 128 of 16 domains: the ring leaves each domain by eight ports, 80 GB/s, which is less than the links' 100.
  const Group all{128, 1};
  EXPECT_NEAR(time_of(Collective::all_gather, Algorithm::ring, 128e6, all, fabric), 112 * 2e-6 + 15 * 5e-6 + 127e6 / 80e9, 1e-12);
  EXPECT_EQ(best(Collective::all_gather, 128e6, all, fabric).inside, 8);
  // Hierarchical: across a 16-ring with an eighth each, beside an exchange inside.
  const double outside = 15.0 / 16 * 16e6 / 10e9;
  const double inside = 7.0 / 8 * 128e6 / 100e9;
  EXPECT_NEAR(time_of(Collective::all_gather, Algorithm::hierarchical, 128e6, all, fabric), 1.6 * 2e-6 + 15 * 5e-6 + outside + inside / 8,
              1e-12);
  // 120 of 127 peers are outside.
  EXPECT_NEAR(time_of(Collective::all_to_all, Algorithm::direct, 127e6, all, fabric), 5e-6 + 0.1 * (7 * 2e-6 + 120 * 5e-6) + 120e6 / 10e9,
              1e-12);
  // The pipeline's edge between domains is the slowest.
  EXPECT_NEAR(time_of(Collective::send, Algorithm::direct, 1e6, {4, 256}, fabric), 5e-6 + 1e6 / 10e9, 1e-12);
}

TEST(Collective, RanksInsideADomain) {
  const auto inside = [](Group group, const Island& on) { return best(Collective::all_reduce, 1e6, group, on).inside; };
  const Island fabric = island(Wiring::fabric);
  EXPECT_EQ(inside({8, 1}, fabric), 8);
  EXPECT_EQ(inside({4, 2}, fabric), 4);
  EXPECT_EQ(inside({16, 2}, fabric), 4);
  EXPECT_EQ(inside({16, 8}, fabric), 1);
  EXPECT_EQ(inside({6, 1}, fabric), 2);                     // some groups lie 2 and 4
  EXPECT_EQ(inside({4, 3}, fabric), 1);                     // some groups have one alone in a domain
  EXPECT_EQ(inside({6, 1}, island(Wiring::fabric, 8)), 6);  // one domain is all there is
  const Island racks = catalogued("gb200", 4608);
  EXPECT_EQ(inside({72, 1}, racks), 72);
  EXPECT_EQ(inside({144, 1}, racks), 72);
  EXPECT_EQ(inside({64, 1}, racks), 8);                       // the second group has 8 in the first rack
  EXPECT_EQ(inside({64, 1}, catalogued("gb200", 4096)), 64);  // 64 of each rack's 72
}

TEST(Collective, AMeshGivesAPairOneLink) {
  const Island mesh = island(Wiring::mesh);
  EXPECT_NEAR(time_of(Collective::all_reduce, Algorithm::ring, 700e6, {2, 1}, mesh), 2 * 2e-6 + 700e6 / (100e9 / 7), 1e-12);
  EXPECT_NEAR(time_of(Collective::send, Algorithm::direct, 700e6, {8, 1}, mesh), 2e-6 + 700e6 / (100e9 / 7), 1e-12);
  EXPECT_NEAR(time_of(Collective::all_gather, Algorithm::direct, 800e6, {8, 1}, mesh), 2e-6 * 1.6 + 700e6 / 100e9, 1e-12);
}

TEST(Collective, SwitchesThatAddHalveTheTraffic) {
  Island fabric = island(Wiring::fabric);
  EXPECT_TRUE(std::isinf(time_of(Collective::all_reduce, Algorithm::in_network, 1e9, {8, 1}, fabric)));
  EXPECT_TRUE(std::isinf(time_of(Collective::all_reduce, Algorithm::in_network, 1e9, {16, 8}, fabric)));
  fabric.network.in_network = true;
  EXPECT_NEAR(time_of(Collective::all_reduce, Algorithm::in_network, 1e9, {16, 8}, fabric), 2 * 5e-6 + 1e9 / 10e9, 1e-12);
  const CollectiveTime small = best(Collective::all_reduce, 1e3, {128, 8}, fabric);
  EXPECT_EQ(small.algorithm, Algorithm::in_network);
  fabric.chip.scale_up.in_network = true;
  EXPECT_NEAR(time_of(Collective::all_reduce, Algorithm::in_network, 800e6, {8, 1}, fabric), 2 * 2e-6 + 900e6 / 83.5e9, 1e-12);
  EXPECT_TRUE(std::isinf(time_of(Collective::all_gather, Algorithm::in_network, 1e9, {8, 1}, fabric)));
}

TEST(Collective, ATorusIsRingsBothWaysRound) {
  Island torus = island(Wiring::torus, 256);
  torus.chip.scale_up.chips = torus.domain = 256;
  torus.chip.scale_up.torus = {16, 16};
  // A chip has four links of 25 GB/s. A row is a ring of two of them each way.
  EXPECT_NEAR(time_of(Collective::all_gather, Algorithm::ring, 160e6, {16, 1}, torus), 8 * 2e-6 + 150e6 / 50e9, 1e-12);
  EXPECT_NEAR(time_of(Collective::all_gather, Algorithm::ring, 160e6, {16, 16}, torus), 8 * 2e-6 + 150e6 / 50e9, 1e-12);
  // Both dimensions at once.
  EXPECT_NEAR(time_of(Collective::all_gather, Algorithm::ring, 256e6, {256, 1}, torus), 16 * 2e-6 + 255e6 / 100e9, 1e-12);
  // A part of a row is a line: up on one side of each link, down on the other.
  EXPECT_NEAR(time_of(Collective::all_gather, Algorithm::ring, 80e6, {8, 1}, torus), 7 * 2e-6 + 70e6 / 25e9, 1e-12);
  // Every fourth chip of a row: four groups share its links.
  EXPECT_NEAR(time_of(Collective::all_gather, Algorithm::ring, 40e6, {4, 4}, torus), 2 * 2e-6 + 30e6 / 12.5e9, 1e-12);
  // A slice whose dimensions are too short to close.
  torus.chip.scale_up.wraps_from = 32;
  EXPECT_NEAR(time_of(Collective::all_gather, Algorithm::ring, 160e6, {16, 1}, torus), 15 * 2e-6 + 150e6 / 25e9, 1e-12);
  EXPECT_TRUE(std::isinf(time_of(Collective::all_reduce, Algorithm::tree, 1e6, {16, 1}, torus)));
}

TEST(Collective, AllToAllOnATorusIsBoundByItsMiddle) {
  Island torus = island(Wiring::torus, 256);
  torus.chip.scale_up.chips = torus.domain = 256;
  torus.chip.scale_up.torus = {16, 16};
  torus.chip.scale_up.latency = Seconds{};
  // Half of all bytes cross the middle, half of them each way, by 2 x 16 links of 25 GB/s (the ring closes: two cuts).
  const double bytes = 255e6;  // 1 MB to each other chip
  const double crossing = 128 * 128 * 1e6;
  EXPECT_NEAR(best(Collective::all_to_all, bytes, {256, 1}, torus).time.value, crossing / (2 * 16 * 25e9), 1e-9);
}

TEST(Collective, OversubscriptionHurtsWhatClimbs) {
  Island clos = island(Wiring::fabric);
  clos.network.leaf = 64;
  clos.network.oversubscription = 4;
  clos.network.hop = Seconds{1e-6};
  const double quarter = 10e9 / 4;
  // Below one leaf nothing changes.
  EXPECT_NEAR(time_of(Collective::all_reduce, Algorithm::ring, 80e6, {8, 8}, clos), 14 * (5e-6 + 10e6 / 10e9), 1e-12);
  // Neighbours a leaf apart all climb.
  EXPECT_NEAR(time_of(Collective::send, Algorithm::direct, 1e6, {16, 64}, clos), 6e-6 + 1e6 / quarter, 1e-12);
  // Of a ring with 8 ranks below each leaf only one edge in 8 climbs: the uplinks are enough.
  EXPECT_NEAR(time_of(Collective::all_reduce, Algorithm::ring, 160e6, {16, 8}, clos), 30 * (6e-6 + 10e6 / 10e9), 1e-12);
  // All-to-all: half of what a rank sends goes below the other leaf.
  EXPECT_NEAR(best(Collective::all_to_all, 127e9, {128, 1}, clos).time.value, 64e9 / quarter, 1e-3);
  Island rail = clos;
  rail.network.kind = NetworkKind::rail;
  rail.network.leaf = 16;                                                                                   // nodes
  EXPECT_NEAR(time_of(Collective::send, Algorithm::direct, 1e6, {2, 64}, rail), 5e-6 + 1e6 / 10e9, 1e-12);  // stays on its rail's leaf
  EXPECT_NEAR(time_of(Collective::send, Algorithm::direct, 1e6, {4, 128}, rail), 6e-6 + 1e6 / quarter, 1e-12);
  Island fly = clos;
  fly.network.kind = NetworkKind::dragonfly;
  fly.network.leaf = 0;
  fly.network.spine = 256;
  fly.network.oversubscription = 1;
  EXPECT_NEAR(time_of(Collective::send, Algorithm::direct, 1e6, {4, 256}, fly), 6e-6 + 1e6 / 5e9, 1e-12);  // all to one other group
  EXPECT_NEAR(time_of(Collective::send, Algorithm::direct, 1e6, {4, 64}, fly), 5e-6 + 1e6 / 10e9, 1e-12);
}

TEST(Collective, TheBestIsChosenBySize) {
  const Island fabric = island(Wiring::fabric);
  const Group across{64, 8};
  const auto ring = [&](double bytes) { return time_of(Collective::all_reduce, Algorithm::ring, bytes, across, fabric); };
  const auto tree = [&](double bytes) { return time_of(Collective::all_reduce, Algorithm::tree, bytes, across, fabric); };
  EXPECT_LT(tree(1e5), ring(1e5) / 5);  // 12 steps against 126
  EXPECT_LT(ring(1e9), tree(1e9));
  EXPECT_EQ(best(Collective::all_reduce, 1e5, across, fabric).algorithm, Algorithm::tree);
  EXPECT_EQ(best(Collective::all_reduce, 1e9, across, fabric).algorithm, Algorithm::ring);
  for (const double bytes : {1e4, 1e6, 1e8}) {
    EXPECT_LT(time_of(Collective::all_reduce, Algorithm::hierarchical, bytes, {512, 1}, fabric),
              time_of(Collective::all_reduce, Algorithm::ring, bytes, {512, 1}, fabric))
        << bytes;
  }
}

TEST(Collective, NcclGoesLevelByLevelOnlyWhereSwitchesAdd) {
  Island fabric = island(Wiring::fabric);
  const auto algorithm = [&](Collective kind) {
    return collective_time(kind, ByteCount{1e6}, {64, 1}, fabric, {.levels = false}).algorithm;
  };
  EXPECT_EQ(best(Collective::all_gather, 1e6, {64, 1}, fabric).algorithm, Algorithm::hierarchical);
  EXPECT_EQ(algorithm(Collective::all_gather), Algorithm::ring);
  EXPECT_EQ(algorithm(Collective::all_reduce), Algorithm::tree);
  fabric.chip.scale_up.in_network = true;
  EXPECT_EQ(algorithm(Collective::all_gather), Algorithm::ring);
  EXPECT_EQ(algorithm(Collective::all_reduce), Algorithm::hierarchical);
}

TEST(Collective, NothingToDoTakesNoTime) {
  const Island fabric = island(Wiring::fabric);
  for (const Collective kind : kCollectives) {
    EXPECT_EQ(best(kind, 1e6, {1, 1}, fabric).time.value, 0);
    EXPECT_EQ(best(kind, 0, {8, 1}, fabric).time.value, 0);
    EXPECT_EQ(best(kind, 1e6, {1, 1}, fabric).algorithm, Algorithm::none);
  }
}

TEST(Collective, TransportScalesRatesAndLatencies) {
  const Island fabric = island(Wiring::fabric);
  const auto time = [&](double bytes, Transport transport) {
    return collective_time(Collective::all_reduce, Algorithm::ring, ByteCount{bytes}, {16, 8}, fabric, transport).value;
  };
  EXPECT_NEAR(time(1e9, {.network = 0.5}), time(1e9, {}) * 2, 1e-3);
  EXPECT_NEAR(time(1, {.latency = 3}), time(1, {}) * 3, 1e-9);
  EXPECT_EQ(time(1e9, {.links = 0.5}), time(1e9, {}));  // no rank shares a domain with another
}

/// With parts of the printed rates that are not those of the catalogue, which are fitted to other measurements.
Island measured(std::string_view key, std::int64_t chips, double links, double network = 1) {
  Island on = catalogued(key, chips);
  on.chip.efficiency.links = links;
  on.chip.efficiency.network = network;
  return on;
}

// What others measured. One constant, the part of the printed rate that a plain copy reaches, gives each chip's figures for all counts.
TEST(Collective, PublishedRates) {
  constexpr double kHopper = 0.82;  // 370 of 450 GB/s, NVIDIA/nccl-tests issue 212
  // NVIDIA/nccl issue 1455, eight H100 SXM: NVLS gives 258, 265, 270 and 273 GB/s of vector on 5 to 8 GPUs, and 370 GB/s of bus
  // bandwidth, as rings do, on 2 to 4.
  for (const auto& [ranks, vector] : {std::pair{5, 258.0}, {6, 265.0}, {7, 270.0}, {8, 273.0}}) {
    const Island on = measured("h100-sxm", ranks, kHopper);
    EXPECT_NEAR(4 / best(Collective::all_reduce, 4e9, {ranks, 1}, on).time.value, vector, vector * 0.02) << ranks;
  }
  const auto bus = [](Collective kind, std::int64_t ranks, const Island& on) { return bus_bandwidth(kind, 4e9, {ranks, 1}, on) / 1e9; };
  EXPECT_NEAR(bus(Collective::all_reduce, 2, measured("h100-sxm", 2, kHopper)), 370, 10);
  EXPECT_NEAR(bus(Collective::all_reduce, 4, measured("h100-sxm", 4, kHopper)), 370, 10);
  EXPECT_NEAR(bus(Collective::all_gather, 8, measured("h100-sxm", 8, kHopper)), 370, 10);
  // NVIDIA/nccl-tests issue 272: eight H200, 475 GB/s.
  EXPECT_NEAR(bus(Collective::all_reduce, 8, measured("h200-sxm", 8, kHopper)), 475, 10);
  // NVIDIA/nccl issue 1374: eight H800 with NVLS, 215 GB/s over links of 200.
  EXPECT_NEAR(bus(Collective::all_reduce, 8, measured("h800-sxm", 8, kHopper)), 215, 5);
  // Intel Gaudi documentation, Collectives Performance: eight Gaudi 3, 513 GB/s on the wire at 256 MB.
  EXPECT_NEAR(bus_bandwidth(Collective::all_reduce, 268e6, {8, 1}, measured("gaudi3", 8, 0.99)) / 1e9, 513, 10);
  // NVIDIA/nccl-tests issue 119: three servers of eight A100 with four ports of 200 Gb/s each: 96 of 100 GB/s at best.
  Island hdr = measured("a100-sxm-40gb", 24, 0.8, 0.96);
  hdr.network.bandwidth = BytesPerSecond{12.5e9};
  const double nccl = collective_time(Collective::all_reduce, ByteCount{4e9}, {24, 1}, hdr, {.levels = false}).time.value;
  EXPECT_NEAR(2.0 * 23 / 24 * 4 / nccl, 96, 5);
}

/// An island of any kind.
Island random_island(std::mt19937_64& random) {
  const auto pick = [&](std::int64_t n) { return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n)); };
  Island on = island(static_cast<Wiring>(pick(5)), 4096);
  if (on.chip.scale_up.wiring == Wiring::torus) {
    on.chip.scale_up.chips = on.domain = 64;
    on.chip.scale_up.torus = {4, 4, 4};
    on.chip.scale_up.wraps_from = 1 + pick(5);
  }
  on.network.kind = static_cast<NetworkKind>(pick(4));
  on.network.torus = {4, 8, 16};
  on.network.leaf = pick(2) * 32;
  on.network.spine = pick(2) * 512;
  on.network.oversubscription = 1 + static_cast<double>(pick(4));
  on.network.in_network = pick(2) == 0;
  on.chip.scale_up.in_network = pick(2) == 0;
  return on;
}

TEST(Collective, MoreBytesNeverTakeLessAndNoneBeatsTheWires) {
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    std::mt19937_64 random(seed);
    const Island on = random_island(random);
    const auto size = static_cast<std::int64_t>(2 + random() % 600);
    const Group group{size, static_cast<std::int64_t>(1 + random() % 64)};
    const Collective kind = kCollectives[random() % kCollectives.size()];
    double before = 0;
    for (double bytes = 1; bytes < 1e11; bytes *= 7) {
      const CollectiveTime now = best(kind, bytes, group, on);
      ASSERT_TRUE(std::isfinite(now.time.value)) << "seed " << seed;
      ASSERT_GE(now.time.value, before * (1 - 1e-12)) << "seed " << seed << " bytes " << bytes;
      ASSERT_LE(now.latency, now.time) << "seed " << seed;
      before = now.time.value;
      // What a rank must send or get, over all the ports that it has. Switches that add up spare it half of an all-reduce.
      const double n = static_cast<double>(size);
      const double moved = kind == Collective::all_reduce || kind == Collective::broadcast || kind == Collective::send ? bytes
                           : kind == Collective::all_to_all                                                            ? bytes
                                                            : bytes * (n - 1) / n;
      ASSERT_GE(now.time.value, moved / (100e9 + 10e9)) << "seed " << seed << " bytes " << bytes;
      for (const Algorithm algorithm : kAlgorithms) { ASSERT_LE(now.time.value, time_of(kind, algorithm, bytes, group, on) * (1 + 1e-12)); }
    }
  }
}

TEST(Collective, MoreRanksNeverTakeLess) {
  const Island fabric = island(Wiring::fabric);
  for (const Collective kind : {Collective::all_reduce, Collective::all_gather, Collective::broadcast}) {
    for (const double bytes : {1e3, 1e6, 1e9}) {
      double before = 0;
      for (std::int64_t size = 2; size <= 8; size *= 2) {
        ASSERT_GE(best(kind, bytes, {size, 1}, fabric).time.value, before);
        before = best(kind, bytes, {size, 1}, fabric).time.value;
      }
      before = 0;
      for (std::int64_t size = 2; size <= 128; ++size) {
        ASSERT_GE(best(kind, bytes, {size, 8}, fabric).time.value, before * (1 - 1e-12)) << size << " ranks, " << bytes << " bytes";
        before = best(kind, bytes, {size, 8}, fabric).time.value;
      }
    }
  }
}

TEST(Collective, EveryChipOfTheCatalogueHasATime) {
  for (const ChipType& chip : default_catalogue().chips) {
    const Island on = island_of("a", chip, 1024);
    for (const Collective kind : kCollectives) {
      for (const Group group : {Group{2, 1}, Group{8, 1}, Group{128, 8}, Group{1024, 1}}) {
        const double time = best(kind, 1e8, group, on).time.value;
        ASSERT_TRUE(time > 1e-6 && time < 100) << chip.key << ": " << time;
      }
    }
  }
}

TEST(Collective, IsCheapEnoughForASearch) {
  const Island on = catalogued("h100-sxm", 16384);
  double sum = 0;
  const auto start = std::chrono::steady_clock::now();
  constexpr int kCalls = 200'000;
  for (int i = 0; i < kCalls; ++i) {
    sum += best(kCollectives[static_cast<std::size_t>(i) % 6], 1e6 + i, {8 + 8 * (i % 64), 1 + i % 8}, on).time.value;
  }
  const double ns = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / kCalls;
  EXPECT_GT(sum, 0);
  // 40 ns on a quiet core; ten times that leaves room for sanitizers and neighbours.
  EXPECT_LT(ns, 2000) << "one call took " << ns << " ns";
}

}  // namespace
}  // namespace centrale
