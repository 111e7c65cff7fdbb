// SPDX-License-Identifier: Apache-2.0
// Who runs next, on what. A policy keeps its own queue of waiting tasks and answers, when the core asks, which of
// them start now and on which chips. It knows no jobs, no services and no clock.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "fleet/pool.hpp"

namespace centrale {

/// A task that waits for chips.
struct Request {
  TaskId task;
  TenantId tenant;
  std::int64_t priority = 0;
  std::uint64_t order = 0;  // submit sequence; a retried task keeps its job's place
  KindChoice kinds;
  Gang gang;

  [[nodiscard]] std::int64_t chips_total() const { return gang.workers * gang.chips; }
};

/// Which chips a task gets: chips[first … first + count), workers x chips of them in rank order. Offsets into one vector
/// that the core keeps, so that a decision allocates nothing.
struct Placement {
  TaskId task;
  std::size_t first = 0;
  std::size_t count = 0;
};

/// How many chips a tenant may still take, before what decide() itself gives it.
class Allowance {
 public:
  virtual ~Allowance() = default;
  [[nodiscard]] virtual std::int64_t chips_left(TenantId tenant) const = 0;
};

class Policy {
 public:
  virtual ~Policy() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  virtual void enqueue(const Request& request) = 0;
  /// Takes a request back, given as it was enqueued.
  virtual void dequeue(const Request& request) = 0;
  /// True when decide() could place something that it could not before the last enqueue().
  [[nodiscard]] virtual bool head_changed() const = 0;
  /// Takes chips from `pool` for every task that starts now and appends it to `out`, its chips to `chips`. The same inputs give
  /// the same answer; ties are broken by order.
  virtual void decide(Pool& pool, const Allowance& allowance, Time now, std::vector<Placement>& out, std::vector<ChipId>& chips) = 0;
  [[nodiscard]] virtual std::size_t queued() const = 0;
};

/// Makes the policy of that name, or says which there are.
[[nodiscard]] Result<std::unique_ptr<Policy>> make_policy(std::string_view name);

}  // namespace centrale
