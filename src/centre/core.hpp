// SPDX-License-Identifier: Apache-2.0
// The centre as a pure, deterministic state machine: apply(event, now) -> actions. It reads no clock, opens no socket, touches
// no disk, draws no random number. operate/ turns it in real time, simulate/ in virtual time.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "centre/event.hpp"
#include "centre/state.hpp"
#include "policy/defrag.hpp"
#include "policy/policy.hpp"
#include "policy/spot.hpp"

namespace centrale {

struct CoreLimits {
  std::size_t jobs_queued_max = 1'000'000;  // memory: about 1 KiB each
  std::size_t jobs_finished_kept = 20'000;  // older ones are forgotten; the ledger keeps their sums
  std::size_t tenants_max = 10'000;
  std::size_t keys_max = 100'000;
  std::size_t services_max = 10'000;
  std::size_t nodes_max = 1'000'000;
  std::size_t reservations_max = 1'000;  // a new one is compared with all of its nodes'
};

/// Something changed that a viewer may want to see again.
struct Change {
  enum class What : unsigned char { node, tenant, key, job, service, usage } what;
  std::uint64_t id = 0;
};

/// What one apply() led to. Reused between calls, so that the core allocates nothing for it.
struct Output {
  std::uint64_t created = 0;  // id of the job (first of an array), service, tenant, key or node that the event made
  std::vector<Action> actions;
  std::vector<Change> changes;
  void clear();
};

struct CoreState;

class Core {
 public:
  explicit Core(std::unique_ptr<Policy> policy, CoreLimits limits = {});
  ~Core();
  Core(Core&&) noexcept;
  Core& operator=(Core&&) noexcept;

  /// Applies one event at `now`, appends to `out`. On an error nothing has changed and the event must not be journaled.
  /// Time that runs backwards is taken as standing still. Errors are for whoever sent the event; events of drivers about things that the
  /// core no longer knows (a repeated exit, a late timer) are accepted and change nothing.
  [[nodiscard]] Result<void> apply(Event event, Time now, Output& out);
  /// Sequence number of the last event applied; the first is 1.
  [[nodiscard]] std::uint64_t sequence() const;
  [[nodiscard]] Time now() const;

  /// The whole state as JSON, and back. restore() refuses text that breaks an invariant.
  [[nodiscard]] std::string snapshot() const;
  [[nodiscard]] static Result<Core> restore(std::string_view snapshot, std::unique_ptr<Policy> policy, CoreLimits limits = {});
  /// A copy to play with, with a policy of its own: without keys, jobs that ended and what only launchers read of the others.
  [[nodiscard]] Core fork() const;
  /// After a restart: starts, stops and timers that were decided and may not have been carried out.
  [[nodiscard]] std::vector<Action> outstanding() const;
  /// Stops the process when the state contradicts itself; O(everything). Returns the first contradiction in words, or empty.
  [[nodiscard]] std::string contradiction() const;

  // Views. Pointers are valid until the next apply().
  [[nodiscard]] const Job* job(JobId id) const;
  [[nodiscard]] const Job* job(std::string_view name_or_id) const;  // newest of that name
  [[nodiscard]] const Task* task(TaskId id) const;
  [[nodiscard]] const Service* service(ServiceId id) const;
  [[nodiscard]] const Service* service(std::string_view name_or_id) const;
  [[nodiscard]] const Tenant* tenant(TenantId id) const;
  [[nodiscard]] TenantId tenant_of(std::string_view name) const;  // none: unknown
  [[nodiscard]] const Key* key(KeyId id) const;
  [[nodiscard]] const Node* node(NodeId id) const;
  [[nodiscard]] NodeId node_of(std::string_view name) const;
  [[nodiscard]] const Chip& chip(ChipId id) const;
  [[nodiscard]] const std::string& kind_name(std::int64_t kind) const;
  [[nodiscard]] std::size_t node_count() const;  // ids 1 … n
  [[nodiscard]] std::size_t chip_count() const;
  [[nodiscard]] std::size_t tenant_count() const;
  [[nodiscard]] std::size_t key_count() const;
  [[nodiscard]] std::size_t jobs_queued() const;
  [[nodiscard]] const Scheduling& scheduling() const;
  [[nodiscard]] const Pool& pool() const;
  [[nodiscard]] const Policy& policy() const;
  /// What tenants may take more, as of now.
  [[nodiscard]] const Allowance& allowance() const;
  [[nodiscard]] const Spot& spot() const;
  /// The moves that would let a gang that waits start, if there are any worth their cost; O(everything).
  [[nodiscard]] DefragPlan defrag_plan() const;
  /// Why a queued job waits, as of now; Job::wait says only what the core needs to remember.
  [[nodiscard]] WaitReason waits_for(const Job& job) const;
  /// When a job that failed is tried again; nothing: it waits for something else.
  [[nodiscard]] std::optional<Time> retries(const Job& job) const;
  /// In the period under way of its budget, or for good.
  [[nodiscard]] MicroCurrency spent(TenantId id) const;
  /// The jobs's speeds as the policy sees them; null: nothing is known.
  [[nodiscard]] std::shared_ptr<const SpeedTable> speeds(const Job& job) const;
  [[nodiscard]] const std::vector<Reservation>& reservations() const;  // to come and under way
  /// What failed on the chip; null: nothing did.
  [[nodiscard]] const ChipRecord* chip_record(ChipId id) const;
  /// So many different jobs failed on it in a row that it may be the chip.
  [[nodiscard]] bool is_suspect(ChipId id) const;
  void each_job(const std::function<void(const Job&)>& f) const;    // by id
  void each_task(const std::function<void(const Task&)>& f) const;  // those not exited, by id
  void each_service(const std::function<void(const Service&)>& f) const;
  /// What a tenant, a job or a service has used up to `now`, tasks under way included.
  [[nodiscard]] Usage usage(TenantId id, Time now) const;
  [[nodiscard]] Usage usage(const Job& job, Time now) const;
  [[nodiscard]] Usage usage(const Service& service, Time now) const;

 private:
  std::unique_ptr<CoreState> state_;
};

/// An event as one line of JSON, and back. Unknown fields are ignored, missing ones keep their defaults: old
/// journals open for ever. An unknown event name is an error.
void encode(const Event& event, std::string& out);
[[nodiscard]] Result<Event> decode(std::string_view text);
/// decode() for many: keeps its buffers.
class EventReader {
 public:
  EventReader();
  ~EventReader();
  [[nodiscard]] Result<Event> read(std::string_view text);

 private:
  struct Buffers;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace centrale
