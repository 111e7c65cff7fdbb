// SPDX-License-Identifier: Apache-2.0
#include "centre/core.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "centre/core_state.hpp"

namespace centrale {

void Output::clear() {
  created = 0;
  actions.clear();
  changes.clear();
}

Core::Core(std::unique_ptr<Policy> policy, CoreLimits limits) : state_(std::make_unique<CoreState>()) {
  state_->policy = std::move(policy);
  state_->scheduling.policy = state_->policy->name();
  state_->limits = limits;
}
Core::~Core() = default;
Core::Core(Core&&) noexcept = default;
Core& Core::operator=(Core&&) noexcept = default;

Result<void> Core::apply(Event event, Time now, Output& out) {
  CoreState& s = *state_;
  const Time before = s.now;
  s.now = std::max(s.now, now);
  s.out = &out;
  s.schedule_wanted = false;
  ++s.sequence;
  const Result<void> result = std::visit([&s](auto& e) { return s.on(e); }, event);
  if (!result) {
    --s.sequence;
    s.now = before;
    s.out = nullptr;
    return result;
  }
  // A decision may take waiting work back or stop what holds its chips; one pass is enough: what that frees comes as events.
  if (s.schedule_wanted || s.head_changed()) { s.schedule(); }
  s.watch_budgets();
  s.out = nullptr;
  return {};
}

void CoreState::act(Act action) {
  const std::uint32_t index = out->actions.empty() || out->actions.back().sequence != sequence ? 0 : out->actions.back().index + 1;
  out->actions.push_back({sequence, index, action});
}

void CoreState::changed(Change::What what, std::uint64_t id) { out->changes.push_back({what, id}); }

TimerId CoreState::set_timer(Timer timer) {
  timer.id = timers.next_id();
  timers.add() = timer;
  act(SetTimer{timer.id, timer.due});
  return timer.id;
}

Result<KindChoice> CoreState::choose_kinds(const std::vector<std::string>& names) const {
  KindChoice choice;
  if (names.empty()) { return choice; }
  choice.mask = 0;
  std::string known;
  for (const std::string& name : names) {
    const auto found = std::ranges::find(kinds, name, &ChipKind::name);
    if (found == kinds.end()) {
      for (const ChipKind& kind : kinds) { known += (known.empty() ? "" : ", ") + kind.name; }
      return fail(ErrorKind::invalid, fmt::format("no chip of kind '{}' is in this centre", name), "chip_kinds",
                  known.empty() ? "the centre has no chips yet" : "it has: " + known);
    }
    const auto index = static_cast<KindIndex>(found - kinds.begin());
    if ((choice.mask >> index & 1) == 0 && choice.count < kKindChoicesMax) {
      choice.mask |= KindMask{1} << index;
      choice.order[choice.count++] = index;
    }
  }
  return choice;
}

Result<void> CoreState::check_quota(TenantId tenant_id, const Gang& gang) const {
  const std::int64_t wanted = gang.workers * gang.chips;
  const Tenant& tenant = tenants[tenant_id.value - 1];
  if (tenant.quota.chips_max > 0 && wanted > tenant.quota.chips_max) {
    return fail(ErrorKind::exhausted,
                fmt::format("asks for {} chips; tenant '{}' may hold {}", wanted, tenant.name, tenant.quota.chips_max), "chips",
                "ask for fewer, or have the quota raised: centrale tenants set");
  }
  return {};
}

Result<void> CoreState::check_fits(const std::vector<std::string>& kind_names, const Gang& gang) const {
  TRY_ASSIGN(const KindChoice choice, choose_kinds(kind_names));
  if (gang.workers <= pool.workers_ever(choice, gang, gang.workers)) { return {}; }
  // Not on the nodes that are up. Those that are drained or lost will be back: count what is installed, which only what
  // does not fit now has to pay for.
  std::vector<std::int64_t> installed(kinds.size(), 0);
  std::vector<std::int64_t> workers(kinds.size(), 0);
  for (const Node& node : nodes) {
    std::vector<std::int64_t> here(kinds.size(), 0);
    for (const ChipId id : node.chips) {
      const Chip& chip = chips[id.value - 1];
      here[static_cast<std::size_t>(chip.kind)] += chip.health == ChipHealth::gone ? 0 : 1;
    }
    for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
      installed[kind] += here[kind];
      const std::int64_t by_memory = gang.memory.value == 0 ? INT64_MAX : node.memory.value / gang.memory.value;
      const std::int64_t by_cpu = gang.cpu_milli == 0 || node.cpu_milli == 0 ? INT64_MAX : node.cpu_milli / gang.cpu_milli;
      const std::int64_t by_chips = here[kind] / gang.chips * (1000 / gang.share_milli);
      workers[kind] += std::min({by_chips, by_memory, by_cpu});
    }
  }
  std::string have;
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    if ((choice.mask >> kind & 1) != 0) {
      if (workers[kind] >= gang.workers) { return {}; }
      have += fmt::format("{}{} {}", have.empty() ? "" : ", ", installed[kind], kinds[kind].name);
    }
  }
  const std::string shape = gang.workers == 1
                                ? fmt::format("{} chip{}", gang.chips, gang.chips == 1 ? "" : "s")
                                : fmt::format("{} workers with {} chip{} each", gang.workers, gang.chips, gang.chips == 1 ? "" : "s");
  const std::string memory = gang.memory.value == 0 ? "" : fmt::format(" and {} MiB of memory each", gang.memory.value / 1'048'576);
  return fail(ErrorKind::invalid,
              fmt::format("asks for {}{}; the whole centre has {}", shape, memory, have.empty() ? "no such chips" : have), "chips",
              "ask for less: it could never start (all chips of a worker are on one node, all workers on one kind)");
}

std::uint64_t Core::sequence() const { return state_->sequence; }
Time Core::now() const { return state_->now; }

std::vector<Action> Core::outstanding() const {
  std::vector<Action> actions;
  std::uint32_t index = 0;
  const auto add = [&](Act act) { actions.push_back({state_->sequence, index++, act}); };
  state_->tasks.each([&](const Task& task) {
    if (task.state == TaskState::starting) {
      add(StartTask{task.id});
    } else if (task.state == TaskState::stopping) {
      add(StopTask{task.id, state_->grace_of(task)});
    }
  });
  state_->timers.each([&](const Timer& timer) { add(SetTimer{timer.id, timer.due}); });
  return actions;
}

std::string Core::contradiction() const { return state_->contradiction(); }

const Job* Core::job(JobId id) const { return state_->jobs.find(id); }

const Job* Core::job(std::string_view name_or_id) const {
  if (const auto id = parse_id<JobTag>(name_or_id)) {
    if (const Job* found = job(*id)) { return found; }
  }
  const Job* newest = nullptr;
  for (std::size_t i = 0; i < state_->tenants.size(); ++i) {
    const auto found = state_->job_names.find(job_name_key(TenantId{i + 1}, name_or_id));
    if (found != state_->job_names.end() && (newest == nullptr || newest->id < found->second.newest)) {
      newest = job(found->second.newest);
    }
  }
  return newest;
}

const Task* Core::task(TaskId id) const { return state_->tasks.find(id); }
const Service* Core::service(ServiceId id) const { return state_->services.find(id); }

const Service* Core::service(std::string_view name_or_id) const {
  if (const auto id = parse_id<ServiceTag>(name_or_id)) {
    if (const Service* found = service(*id)) { return found; }
  }
  const auto found = state_->service_names.find(std::string(name_or_id));
  return found == state_->service_names.end() ? nullptr : service(found->second);
}

namespace {
template <class T, class IdType>
const T* dense(const std::vector<T>& items, IdType id) {
  return id.value == 0 || id.value > items.size() ? nullptr : &items[id.value - 1];
}
}  // namespace

const Tenant* Core::tenant(TenantId id) const { return dense(state_->tenants, id); }
TenantId Core::tenant_of(std::string_view name) const {
  const auto found = state_->tenant_names.find(std::string(name));
  return found == state_->tenant_names.end() ? TenantId{} : found->second;
}
const Key* Core::key(KeyId id) const { return dense(state_->keys, id); }
const Node* Core::node(NodeId id) const { return dense(state_->nodes, id); }
NodeId Core::node_of(std::string_view name) const {
  const auto found = state_->node_names.find(std::string(name));
  return found == state_->node_names.end() ? NodeId{} : found->second;
}
const Chip& Core::chip(ChipId id) const {
  ensure(id.value > 0 && id.value <= state_->chips.size());
  return state_->chips[id.value - 1];
}
const std::string& Core::kind_name(std::int64_t kind) const { return state_->kinds[static_cast<std::size_t>(kind)].name; }
std::size_t Core::node_count() const { return state_->nodes.size(); }
std::size_t Core::chip_count() const { return state_->chips.size(); }
std::size_t Core::tenant_count() const { return state_->tenants.size(); }
std::size_t Core::key_count() const { return state_->keys.size(); }
const Scheduling& Core::scheduling() const { return state_->scheduling; }
const Pool& Core::pool() const { return state_->pool; }
const Spot& Core::spot() const { return state_->spot; }
WaitReason Core::waits_for(const Job& job) const { return state_->waits_for(job); }
std::optional<Time> Core::retries(const Job& job) const {
  std::optional<Time> at;
  state_->timers.each([&](const Timer& timer) {
    if (timer.purpose == TimerPurpose::retry_job && timer.job == job.id) { at = timer.due; }
  });
  return at;
}
MicroCurrency Core::spent(TenantId id) const { return state_->spent(id); }
const Policy& Core::policy() const { return *state_->policy; }
std::shared_ptr<const SpeedTable> Core::speeds(const Job& job) const { return state_->table_of(job); }
std::size_t Core::jobs_queued() const { return state_->queued(); }
const std::vector<Reservation>& Core::reservations() const { return state_->reservations; }
void Core::each_job(const std::function<void(const Job&)>& f) const { state_->jobs.each(f); }
void Core::each_task(const std::function<void(const Task&)>& f) const { state_->tasks.each(f); }
void Core::each_service(const std::function<void(const Service&)>& f) const { state_->services.each(f); }

Usage Core::usage(TenantId id, Time now) const {
  Usage sum = state_->tenants[id.value - 1].usage;
  state_->tasks.each([&](const Task& task) {
    if (!task.chips.empty() && state_->tenant_of(task) == id) { sum += state_->held(task, now); }
  });
  return sum;
}

Usage Core::usage(const Job& job, Time now) const {
  Usage sum = job.usage;
  const Task* task = state_->tasks.find(job.task);
  if (task != nullptr && !task->chips.empty()) { sum += state_->held(*task, now); }
  return sum;
}

Usage Core::usage(const Service& service, Time now) const {
  Usage sum = service.usage;
  for (const ReplicaSlot& slot : service.replicas) {
    const Task* task = state_->tasks.find(slot.task);
    if (task != nullptr && !task->chips.empty()) { sum += state_->held(*task, now); }
  }
  return sum;
}

std::string job_name_key(TenantId tenant, std::string_view name) { return fmt::format("{}/{}", tenant.value, name); }

Nanos backoff_after(Nanos first, std::int64_t failures) {
  constexpr Nanos kLongest = seconds(300);
  Nanos wait = first;
  for (std::int64_t i = 1; i < failures && wait < kLongest; ++i) { wait = wait * 2; }
  return std::min(wait, kLongest);
}

}  // namespace centrale
