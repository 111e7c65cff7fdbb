// SPDX-License-Identifier: Apache-2.0
// What breaks, when, and for how long: chips, nodes, leaf switches, power domains; and nodes that are slow for a while. Drawn one event
// at a time from a seed: a unit that has not failed yet costs nothing, neither memory nor time.
//
//   Breakdowns breakdowns(machines, options, seed);
//   Health health(machines);
//   while (const auto event = breakdowns.next()) { health.apply(*event, changes); … }
//
// Units break independently of each other: a node may fail while its power domain is down. Health says what that comes to.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "base/reflect.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "simulate/machines.hpp"

namespace centrale {

/// How one unit of a kind breaks. Repair times are log-normal (Schroeder and Gibson, "A large-scale study of failures in high-performance
/// computing systems", DSN 2006).
struct Wear {
  Nanos mtbf;               // mean time from the end of a repair to the next failure; 0: never fails
  Nanos repair;             // mean
  double repair_sigma = 0;  // deviation of a repair time's logarithm
  // Weibull shape of the times to failure: 1 is exponential; the same paper finds decreasing hazards, below 1. The run begins in the steady
  // state: units were at work before, some just repaired and some for long, so that the rate of failures is the same from the first day.
  double shape = 1;
};

/// Nodes that do not fail but compute slower for a while.
struct Stragglers {
  double share = 0;           // of nodes, at any time
  double slowdown = 1;        // mean; 1 + an exponential
  Nanos duration;             // mean; log-normal
  double duration_sigma = 0;  // deviation of its logarithm
};

/// Defaults: each figure with its source; "estimate" where none was found.
struct BreakdownOptions {
  // "The Llama 3 Herd of Models" (arXiv:2407.21783), table 5: of 419 unexpected interruptions in 54 days on 16,384 GPUs, 148 were faulty
  // GPUs, 72 HBM3, 19 SRAM, 17 system processors: 256 in 884,736 chip-days. Repair (a reset or a swap of the board): estimate.
  Wear chip{.mtbf = seconds(86'400LL * 3'456), .repair = seconds(3'600LL * 12), .repair_sigma = 1.9, .shape = 1};
  // The same table, rows of the host (network cards, disks, power supplies, boards, processors, memory, unplanned maintenance): 53 in
  // 110,592 node-days; estimate, as is the repair: 6 h on average, but half within one (of DSN 2006 as remembered).
  Wear node{.mtbf = seconds(86'400LL * 2'087), .repair = seconds(3'600LL * 6), .repair_sigma = 1.9, .shape = 1};
  // Singh et al., "Surviving switch failures in cloud datacenters", CCR 51(2), 2021: 98% of 180,000 switches work on for over 3 months:
  // 91.3 days / -ln 0.98. Repair: Dean, "Handling large datasets at Google", 2008: racks come back after 1 to 6 h.
  Wear leaf{.mtbf = seconds(86'400LL * 4'517), .repair = seconds(3'600LL * 3), .repair_sigma = 0.45, .shape = 1};
  // Dean 2008: in a cluster's first year one power distribution unit fails, with 500 to 1,000 machines, for about 6 h. That a cluster
  // of 1,800 machines has some 2.4 of them, and the spread of repairs: estimate.
  Wear power{.mtbf = seconds(86'400LL * 876), .repair = seconds(3'600LL * 6), .repair_sigma = 0.45, .shape = 1};
  // Wu et al., "Falcon", arXiv:2410.12588: fail-slows last from tens of seconds to nearly ten hours. With this sigma around a median of
  // 10 minutes 99% last 13 s to 8 h; the mean is then 31 minutes. How many and how slow: estimate.
  Stragglers stragglers{.share = 0.001, .slowdown = 1.2, .duration = seconds(60LL * 31), .duration_sigma = 1.5};
};

/// What makes no sense, by field.
[[nodiscard]] Result<void> check(const BreakdownOptions& options);

/// Islands whose network says no size of a leaf, and tori, have no leaf switch that could fail; the leaves of a group of rails fail as one.
class Breakdowns {
 public:
  enum class Kind : unsigned char {
    chip_failed,
    chip_repaired,
    node_lost,
    node_back,
    leaf_lost,
    leaf_back,
    power_lost,
    power_back,
    straggle,
    recover
  };
  struct Event {
    Time at;
    Kind kind = Kind::chip_failed;
    std::uint32_t which = 0;  // a chip or node from 0, as Machines numbers them; a leaf or power domain from 1
    double slowdown = 1;      // of a node that straggles: its steps take so many times as long
    bool operator==(const Event&) const = default;
  };

  /// `options` that check() is content with. All works at `begin`. The same machines, options and seed give the same events.
  Breakdowns(const Machines& machines, const BreakdownOptions& options, std::uint64_t seed, Time begin = {});
  /// In the order of time. Nothing: no more will happen within the 292 years that Time can tell.
  std::optional<Event> next();
  /// How many units are broken, or slow, now.
  [[nodiscard]] std::size_t broken() const { return broken_; }

 private:
  /// A permutation of 0, 1, 2 … that is kept where it differs from them.
  class Order {
   public:
    [[nodiscard]] std::uint32_t at(std::uint32_t position) const { return look_up(at_, position); }
    [[nodiscard]] std::uint32_t position(std::uint32_t unit) const { return look_up(position_, unit); }
    void swap(std::uint32_t position, std::uint32_t other);

   private:
    using Map = std::unordered_map<std::uint32_t, std::uint32_t>;  // only looked up, never walked
    static std::uint32_t look_up(const Map& map, std::uint32_t key);
    void put(std::uint32_t position, std::uint32_t unit);
    Map at_, position_;
  };
  /// Units of one kind. Those at the front of `order` are alike: with an exponential life all that work, else those that never failed.
  struct Source {
    Wear wear;
    double slowdown = 1;
    Kind fails = Kind::chip_failed, mends = Kind::chip_repaired;
    Random random{0};
    std::vector<std::pair<std::uint32_t, std::uint32_t>> numbers{};  // first unit of a run, and what it is called
    std::uint32_t front = 0;
    Order order{};
    Time first;         // when the first of the front fails
    double age = 0;     // Weibull: s since the beginning, of the last of the front that failed …
    double hazard = 0;  // … and -ln of the chance to have come so far
    [[nodiscard]] std::uint32_t number(std::uint32_t unit) const;
  };
  struct Due {
    Time at;
    std::uint32_t source = 0, unit = 0;
    bool fails = false;
    [[nodiscard]] bool after(const Due& o) const;
  };

  void add(Source source, std::int64_t units);
  void draw_first(Source& source, Time now);
  Event fail(std::uint32_t source, std::uint32_t unit, Time at);
  Event mend(std::uint32_t source, std::uint32_t unit, Time at);
  void push(const Due& due);
  Due pop();

  std::vector<Source> sources_;
  std::vector<Due> due_;  // a heap: repairs, and failures of units that failed before
  Time begin_;
  std::size_t broken_ = 0;
};

template <>
inline constexpr auto kEnumNames<Breakdowns::Kind> = std::to_array<std::string_view>({"chip-failed", "chip-repaired", "node-lost",
                                                                                      "node-back", "leaf-lost", "leaf-back", "power-lost",
                                                                                      "power-back", "straggle", "recover"});

/// What nodes and chips notice of breakdowns. A node is down for as long as itself, its leaf or its power domain is; whether its chips work
/// and how fast it is are kept apart from that, and last.
class Health {
 public:
  struct Change {
    enum class Kind : unsigned char { node_down, node_up, chip_failed, chip_repaired, node_speed };
    Kind kind = Kind::node_down;
    std::uint32_t which = 0;  // node or chip, from 0
    double slowdown = 1;      // of node_speed: 1 is as it should be
    bool operator==(const Change&) const = default;
  };

  explicit Health(const Machines& machines);  // which must outlive it
  /// Appends what changes, by node; nothing where another reason keeps a node down.
  void apply(const Breakdowns::Event& event, std::vector<Change>& changes);
  [[nodiscard]] bool up(std::uint32_t node) const { return reasons_[node] == 0; }
  [[nodiscard]] std::size_t nodes_down() const { return down_; }

 private:
  enum Reason : std::uint8_t { itself = 1, leaf = 2, power = 4 };
  void set(std::uint32_t node, Reason reason, bool lost, std::vector<Change>& changes);
  void set_group(std::uint32_t Machine::*group, std::uint32_t number, Reason reason, bool lost, std::vector<Change>& changes);

  const Machines& machines_;
  std::vector<std::uint8_t> reasons_;  // by node, of Reason; a node has one leaf and one power domain
  std::size_t down_ = 0;
};

}  // namespace centrale
