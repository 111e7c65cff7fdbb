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

/// A task that waits for chips: a gang of `workers`, each with `chips` chips of one kind on one node.
struct Request {
  TaskId task;
  TenantId tenant;
  std::int64_t priority = 0;
  std::uint64_t order = 0;  // submit sequence; a retried task keeps its job's place
  KindMask kinds = kAnyKind;
  std::int64_t workers = 1;
  std::int64_t chips = 1;
  Bytes memory;  // per worker, of the node's

  [[nodiscard]] std::int64_t chips_total() const { return workers * chips; }
};

/// Which chips a task gets: workers x chips of them, in rank order.
struct Placement {
  TaskId task;
  std::vector<ChipId> chips;
};

/// How many chips a tenant may still take. Asked during decide(); the policy reports what it takes.
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
  virtual void dequeue(TaskId task) = 0;
  /// True when decide() could place something that it could not before the last enqueue().
  [[nodiscard]] virtual bool head_changed() const = 0;
  /// Takes chips from `pool` for every task that starts now and appends it to `out`. The same inputs give the same
  /// answer; ties are broken by id.
  virtual void decide(Pool& pool, const Allowance& allowance, Time now, std::vector<Placement>& out) = 0;
  [[nodiscard]] virtual std::size_t queued() const = 0;
};

/// Makes the policy of that name, or says which there are.
[[nodiscard]] Result<std::unique_ptr<Policy>> make_policy(std::string_view name);

}  // namespace centrale
