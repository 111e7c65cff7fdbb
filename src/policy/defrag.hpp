// SPDX-License-Identifier: Apache-2.0
// Which running tasks to move, and where to, so that a gang that waits finds its room in one piece. A plan is proposed only when the
// waiting that it saves is worth more than the work that it costs, both in chip seconds:
//   gain = chips of the gang x (how long it would wait otherwise - how long the moved tasks take to leave)
//   cost = sum over the moved tasks of chips x (restart cost + work since the last checkpoint)
// How long it would wait is played forward: what runs ends when it is expected to, one after the other, until the gang fits.
// Moved are only whole-chip tasks that may be, each to chips of its kind that are no further apart than those it has; a gang of parts
// of chips is not helped.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "policy/policy.hpp"

namespace centrale {

/// A task that holds chips.
struct Placed {
  TaskId task;
  Gang gang;  // as it was placed
  std::vector<ChipId> chips;
  bool movable = false;
  Time ends = kNever;   // expected; kNever: unknown
  Nanos restart_cost;   // from a start to its first new step
  Nanos lost;           // work since its last checkpoint, which a stop loses
  Nanos grace;          // it has left so long after it was told to
  bool leaves = false;  // it was told to stop already
};

struct DefragOptions {
  Nanos unknown = seconds(3600);      // what is left of a task of which nobody knows; the plan says when it rests on this
  Nanos restart_least = seconds(10);  // no move is reckoned cheaper than this: a process starts and loads its state
  std::int64_t tries_max = 256;       // placements tried on copies of the pool
  std::size_t gangs_max = 4;          // of those that wait, first in order first
};

struct DefragMove {
  TaskId task;
  std::vector<ChipId> from, to;  // rank order
  double cost_chip_s = 0;
};

struct DefragPlan {
  TaskId gang;               // that can start; none: nothing is proposed
  std::vector<ChipId> gets;  // its chips, rank order
  std::vector<DefragMove> moves;
  double gain_chip_s = 0, cost_chip_s = 0;
  Nanos wait;               // of the gang, were nothing moved
  bool wait_known = false;  // false: it rests on DefragOptions::unknown
  std::string why;          // one sentence: what it does, or why nothing is proposed
  [[nodiscard]] bool proposed() const { return static_cast<bool>(gang); }
};

/// `running`: all that holds chips of `pool`, in any order. `blocked`: gangs that wait for chips, first in order first, each with the
/// kinds that it may have now. To make room for a kind of gang that is typical though none waits, pass one as blocked.
[[nodiscard]] DefragPlan propose(const Pool& pool, std::span<const Placed> running, std::span<const Work> blocked, Time now,
                                 const DefragOptions& options = {});

}  // namespace centrale
