// SPDX-License-Identifier: Apache-2.0
// Fault testing from a seed. A driver of the production core in virtual time that does all that drivers and users may do, and worse:
// nodes are lost and come back as others, chips fail, messages are lost, late and repeated, the clock steps back, tenants and the
// policy change under way, and the core is restarted at any point. After every event the state must not contradict itself nor the
// books that the driver keeps on its own; in the end, faults off, all that fits must end. The same options give the same run.
//
//   ChaosResult result = chaos({.seed = 7, .steps = 10'000, .policy = "backfill"});
//   if (result.fault) { result = shrink(options); }
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "centre/core.hpp"

namespace centrale {

/// How often each fault is thrown. 0: never.
struct ChaosRates {
  // Of each message between core and driver, either way.
  double lost = 0.02;  // until the core is started again
  double late = 0.05;  // by up to 20 s: reordered
  double repeated = 0.04;
  // Of each turn of the users and operators, of which there are two a second.
  double node = 0.03;  // lost, drained, resumed, joined again with other chips
  double chip = 0.03;  // failed, repaired
  double tenant = 0.02;
  double scheduling = 0.01;   // another policy
  double reservation = 0.02;  // made, cancelled
  double noise = 0.03;        // messages about things that are no more, or never were
  // Of each event.
  double crash = 0.002;       // the core is started again from its journal; what was not durable or under way is lost
  double clock_back = 0.005;  // the clock says an earlier time
};

/// Counts in the order of the names.
inline constexpr std::array<std::string_view, 13> kChaosFaults{
    "messages lost", "late",        "repeated",     "nodes lost",  "nodes changed", "chips failed", "crashes",
    "events undone", "clock steps", "policies set", "tenants set", "reservations",  "noise"};
enum class ChaosCount : unsigned char {
  lost,
  late,
  repeated,
  node_lost,
  node_changed,
  chip,
  crash,
  undone,
  clock,
  policy,
  tenant,
  reservation,
  noise
};

struct ChaosOptions {
  std::uint64_t seed = 1;
  std::uint64_t steps = 10'000;  // events through the core before the faults end
  std::string policy = "fifo";
  std::int64_t nodes = 4, chips_per_node = 4;  // of the first kind; every other kind has half as many
  std::int64_t kinds = 2;                      // at most 3
  std::int64_t jobs_max = 30;                  // not ended at a time
  double spot = 0.1;                           // of the jobs: they bid
  ChaosRates rates;
  /// Of each event: the core is replaced by one from its snapshot or its journal, and nothing else happens. Draws from a stream of its
  /// own: a run with restores decides exactly as one without.
  double restore = 0;
  bool shadow = true;  // a second core that is never restarted gets the same events; it must decide the same
  /// A restarted core must be the same to the last byte. False: it must only break nothing; what it decides may differ.
  bool exact = true;
  std::uint64_t check_every = 1;  // events between full checks; the cheap ones come after every event
  /// For planted bugs. A policy of one's own is never changed under way.
  std::function<std::unique_ptr<Policy>()> make{};
  std::function<void(std::uint64_t step, Output&)> tamper{};
  /// Before each event: what a process that is about to stop can still say.
  std::function<void(std::uint64_t step, std::string_view event)> before{};
};

struct ChaosFault {
  std::uint64_t step = 0;  // events given to the core so far, this one included
  std::string event;       // JSON
  std::string what;        // the broken invariant
};

struct ChaosResult {
  std::optional<ChaosFault> fault;
  std::uint64_t hash = 0;    // over all actions, with chips
  std::uint64_t events = 0;  // those of the end, when faults are off, included
  std::uint64_t refused = 0, jobs = 0, done = 0, failed = 0, cancelled = 0, starts = 0, stops = 0, restores = 0;
  std::array<std::uint64_t, kChaosFaults.size()> thrown{};
};

[[nodiscard]] ChaosResult chaos(const ChaosOptions& options);

struct ChaosShrunk {
  ChaosOptions options;
  ChaosFault fault;
};
/// Of options that fail: the fewest steps, found by bisection, and the fewest kinds of fault that still do.
[[nodiscard]] std::optional<ChaosShrunk> shrink(const ChaosOptions& options);

}  // namespace centrale
