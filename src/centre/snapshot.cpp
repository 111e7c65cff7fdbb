// SPDX-License-Identifier: Apache-2.0
// The state as text and back, and the check that it does not contradict itself. Events as text.
#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "base/json.hpp"
#include "centre/core_state.hpp"

namespace centrale {

void encode(const Event& event, std::string& out) { write_json(out, event); }

Result<Event> decode(std::string_view text) { return EventReader().read(text); }

struct EventReader::Buffers {
  JsonReader json;
};
EventReader::EventReader() : buffers_(std::make_unique<Buffers>()) {}
EventReader::~EventReader() = default;

Result<Event> EventReader::read(std::string_view text) {
  Event event;
  TRY(buffers_->json.read(text, event, JsonStrictness::lenient));
  return event;
}

Saved CoreState::save() const {
  Saved saved;
  saved.sequence = sequence;
  saved.now = now;
  saved.kinds = kinds;
  saved.nodes = nodes;
  saved.chips = chips;
  saved.tenants = tenants;
  saved.keys = keys;
  jobs.each([&](const Job& job) { saved.jobs.push_back(job); });
  tasks.each([&](const Task& task) { saved.tasks.push_back(task); });
  services.each([&](const Service& service) { saved.services.push_back(service); });
  timers.each([&](const Timer& timer) { saved.timers.push_back(timer); });
  saved.finished.assign(finished.begin(), finished.end());
  saved.next_job = jobs.next_id();
  saved.next_task = tasks.next_id();
  saved.next_service = services.next_id();
  saved.next_timer = timers.next_id();
  saved.scheduling = scheduling;
  saved.corrections = corrections;
  saved.decide_timer = decide_timer;
  saved.policy_books = policy->save();
  saved.spot_books = spot.idle() ? std::string{} : spot.save();
  saved.groups = groups;
  saved.reservations = reservations;
  saved.next_reservation = next_reservation;
  for (const auto& [chip, record] : chip_records) { saved.chip_records.push_back(record); }
  saved.holds = holds;
  saved.defrag_timer = defrag_timer;
  saved.blocked_tasks = blocked_tasks;
  return saved;
}

namespace {

template <class T, class IdType>
Result<void> fill(IdTable<T, IdType>& table, std::vector<T>& items, IdType next, const char* what) {
  IdType last;
  for (T& item : items) {
    if (item.id <= last || item.id >= next) {
      return fail(ErrorKind::invalid, fmt::format("{} {} is out of order", what, to_string(item.id)), "snapshot");
    }
    last = item.id;
    table.skip_to(item.id);
    table.add() = std::move(item);
  }
  table.skip_to(next);
  return {};
}

Error broken(std::string what) { return {ErrorKind::invalid, std::move(what), "snapshot", "restore the journal from a backup"}; }

}  // namespace

Result<void> CoreState::load(Saved saved) {
  if (saved.version != 1) {
    return fail(ErrorKind::invalid, fmt::format("version {} of the state; this Centrale knows 1", saved.version), "snapshot",
                "upgrade Centrale");
  }
  sequence = saved.sequence;
  now = saved.now;
  kinds = std::move(saved.kinds);
  nodes = std::move(saved.nodes);
  chips = std::move(saved.chips);
  tenants = std::move(saved.tenants);
  keys = std::move(saved.keys);
  TRY(fill(jobs, saved.jobs, saved.next_job, "job"));
  TRY(fill(tasks, saved.tasks, saved.next_task, "task"));
  TRY(fill(services, saved.services, saved.next_service, "service"));
  TRY(fill(timers, saved.timers, saved.next_timer, "timer"));
  finished.assign(saved.finished.begin(), saved.finished.end());
  corrections = std::move(saved.corrections);
  decide_timer = saved.decide_timer;
  groups = std::move(saved.groups);
  for (std::size_t i = 0; i < groups.size(); ++i) { group_numbers[groups[i]] = static_cast<std::uint32_t>(i + 1); }
  held_by_kind.resize(tenants.size());
  burns.resize(tenants.size());
  for (Tenant& tenant : tenants) { tenant.chips_held = tenant.held_milli = tenant.spot_held = 0; }
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    node_names[nodes[i].name] = NodeId{i + 1};
    pool.add_node(nodes[i].memory);
    pool.set_cpu(i, nodes[i].cpu_milli);
    for (const std::string& name : {nodes[i].domain, nodes[i].leaf, nodes[i].spine}) {
      if (!name.empty() && !group_numbers.contains(name)) { return std::unexpected(broken(fmt::format("nothing is known of '{}'", name))); }
    }
    tell_where(NodeId{i + 1});
  }
  for (std::size_t i = 0; i < chips.size(); ++i) {
    const Chip& chip = chips[i];
    if (chip.node.value == 0 || chip.node.value > nodes.size() || chip.kind < 0 || chip.kind >= static_cast<std::int64_t>(kinds.size()) ||
        kinds.size() > kKindsMax) {
      return std::unexpected(broken(fmt::format("chip {} belongs nowhere", i + 1)));
    }
    list_prices[static_cast<std::size_t>(chip.kind)] = std::max(list_prices[static_cast<std::size_t>(chip.kind)], chip.price_per_hour);
    const ChipId id = pool.add_chip(chip.node.value - 1, static_cast<KindIndex>(chip.kind));
    pool.set_usable(id, chip.health == ChipHealth::ok);
  }
  reservations = std::move(saved.reservations);
  next_reservation = saved.next_reservation;
  ReservationId last;
  for (const Reservation& reservation : reservations) {
    const bool known = std::ranges::all_of(reservation.nodes, [&](NodeId node) { return node.value > 0 && node.value <= nodes.size(); });
    if (reservation.id <= last || reservation.id >= next_reservation || !known || reservation.tenant.value > tenants.size()) {
      return std::unexpected(broken(fmt::format("reservation '{}' is of nodes or a tenant that are not there", reservation.name)));
    }
    last = reservation.id;
    book(reservation);
  }
  for (ChipRecord& record : saved.chip_records) {
    if (record.chip.value == 0 || record.chip.value > chips.size()) {
      return std::unexpected(broken(fmt::format("there is no chip {}", to_string(record.chip))));
    }
    chip_records[record.chip.value] = std::move(record);
  }
  holds = std::move(saved.holds);
  defrag_timer = saved.defrag_timer;
  blocked_tasks = std::move(saved.blocked_tasks);
  for (const Hold& hold : holds) {
    if (hold.chips.empty() || std::ranges::any_of(hold.chips, [&](ChipId id) { return id.value == 0 || id.value > chips.size(); })) {
      return std::unexpected(broken(fmt::format("chips are held for job {} that are not there", to_string(hold.job))));
    }
  }
  for (std::size_t i = 0; i < nodes.size(); ++i) { tell_open(NodeId{i + 1}); }
  for (std::size_t i = 0; i < tenants.size(); ++i) { tenant_names[tenants[i].name] = TenantId{i + 1}; }
  for (std::size_t i = 0; i < keys.size(); ++i) { key_hashes[keys[i].hash] = KeyId{i + 1}; }
  Result<void> result;
  services.each([&](const Service& service) {
    service_names[service.spec.name] = service.id;
    if (!check_tenant(service.tenant)) { result = std::unexpected(broken(fmt::format("service {} has no tenant", to_string(service.id)))); }
  });
  jobs.each([&](const Job& job) {
    remember_name(job);
    unfinished_jobs += is_final(job.state) ? 0U : 1U;
    if (!check_tenant(job.tenant)) { result = std::unexpected(broken(fmt::format("job {} has no tenant", to_string(job.id)))); }
  });
  TRY(result);
  std::vector<std::pair<std::int64_t, MicroCurrency>> periods;  // as they were; burn() rolls them, and not all burns yet
  for (const Tenant& tenant : tenants) { periods.emplace_back(tenant.cost_period, tenant.cost_before); }
  tasks.each([&](const Task& task) {
    if ((task.job && jobs.find(task.job) == nullptr) || (task.service && services.find(task.service) == nullptr) ||
        (!task.job && !task.service) || task.chips_per_worker < 1) {
      result = std::unexpected(broken(fmt::format("task {} belongs to nothing", to_string(task.id))));
      return;
    }
    for (const ChipId id : task.chips) {
      if (id.value == 0 || id.value > chips.size() || pool.free_milli(id) < task.share_milli || task.share_milli < 1) {
        result = std::unexpected(broken(fmt::format("task {} holds a chip that is not there or not free", to_string(task.id))));
        return;
      }
    }
    if (task.chips.empty() || !result) { return; }
    pool.take(task.chips, gang_of(task));
    if (task.rate.value == 0 && task.billed_until < task.placed) {  // placed by a version that knew no rates
      Task& old = tasks.at(task.id);
      old.rate = rate_of(task);
      old.billed_until = task.placed;
    }
    hold_chips(task, 1);
    burn(task, true);
  });
  TRY(result);
  budgets_touched.clear();
  for (std::size_t i = 0; i < tenants.size(); ++i) { std::tie(tenants[i].cost_period, tenants[i].cost_before) = periods[i]; }
  scheduling = std::move(saved.scheduling);
  // With the settings that it had; one that the table does not have (a test's) is used as it was given.
  if (auto made = make_policy(scheduling); made && (*made)->name() == scheduling.policy) { policy = std::move(*made); }
  tasks.each([&](const Task& task) {
    if (&policy_of(task) != policy.get()) { adopt(task); }
  });
  use_policy(std::move(policy));
  TRY(policy->load(saved.policy_books));
  spot.set_terms(scheduling.market, list_prices);
  TRY(spot.load(saved.spot_books));
  const std::string wrong = contradiction();
  if (!wrong.empty()) { return std::unexpected(broken(wrong)); }
  return {};
}

std::string Core::snapshot() const {
  std::string text;
  write_json(text, state_->save());
  return text;
}

Result<Core> Core::restore(std::string_view snapshot, std::unique_ptr<Policy> policy, CoreLimits limits) {
  Core core(std::move(policy), limits);
  Saved saved;
  TRY(read_json(snapshot, saved, JsonStrictness::lenient));
  TRY(core.state_->load(std::move(saved)));
  return core;
}

namespace {

/// The state that a job must have while its task is in `task`.
bool agrees(const Job& job, const Task* task) {
  if (is_final(job.state)) { return task == nullptr; }
  if (task == nullptr) {
    return job.state == JobState::queued &&
           (job.wait == WaitReason::dependency || job.wait == WaitReason::backoff || job.wait == WaitReason::reservation);
  }
  switch (task->state) {
    case TaskState::queued: return job.state == JobState::queued && job.wait == WaitReason::chips;
    case TaskState::starting: return job.state == JobState::starting;
    case TaskState::running: return job.state == JobState::running;
    case TaskState::stopping: return job.state == JobState::stopping;
    case TaskState::exited: return false;
  }
  return false;
}

}  // namespace

std::string CoreState::contradiction() const {
  std::string wrong;
  const auto say = [&](std::string text) {
    if (wrong.empty()) { wrong = std::move(text); }
  };
  std::vector<std::int64_t> held_by_tenant(tenants.size(), 0);
  std::vector<Bytes> memory_taken(nodes.size());
  std::size_t held = 0;
  std::size_t shared = 0;
  std::size_t queued = 0;
  tasks.each([&](const Task& task) {
    queued += task.state == TaskState::queued ? 1U : 0U;
    if ((task.state == TaskState::queued) != task.chips.empty()) {
      say(fmt::format("task {} is {} with {} chips", to_string(task.id), enum_name(task.state), task.chips.size()));
    }
    const TaskId owner_task = task.job ? jobs.find(task.job)->task
                              : static_cast<std::size_t>(task.ordinal) < services.find(task.service)->replicas.size()
                                  ? services.find(task.service)->replicas[static_cast<std::size_t>(task.ordinal)].task
                                  : TaskId{};
    if (owner_task != task.id) { say(fmt::format("task {} runs for an owner that has {}", to_string(task.id), to_string(owner_task))); }
    held += task.share_milli < 1000 ? 0 : task.chips.size();
    shared += task.share_milli < 1000 ? task.chips.size() : 0;
    held_by_tenant[tenant_of(task).value - 1] += static_cast<std::int64_t>(task.chips.size());
    for (std::size_t i = 0; i < task.chips.size(); ++i) {
      const Chip& chip = chips[task.chips[i].value - 1];
      if (task.share_milli < 1000 ? std::ranges::find(chip.sharers, task.id) == chip.sharers.end() : chip.holder != task.id) {
        say(fmt::format("chip {} is held by {} and used by {}", to_string(task.chips[i]), to_string(chips[task.chips[i].value - 1].holder),
                        to_string(task.id)));
      }
      if (static_cast<std::int64_t>(i) % task.chips_per_worker == 0) {
        memory_taken[chips[task.chips[i].value - 1].node.value - 1] += task.memory;
      }
    }
  });
  if (queued != this->queued()) { say(fmt::format("{} tasks are queued, the policy has {}", queued, this->queued())); }
  say(reservation_contradiction());
  for (std::size_t i = 0; i < chips.size(); ++i) {
    if (chips[i].holder) {
      held -= chips[i].sharers.empty() ? 1U : 0U;
      shared -= chips[i].sharers.size();
      if (tasks.find(chips[i].holder) == nullptr) {
        say(fmt::format("chip c{} is held by {}, which is not there", i + 1, to_string(chips[i].holder)));
      }
    }
    if (pool.is_free(ChipId{i + 1}) == static_cast<bool>(chips[i].holder)) { say(fmt::format("chip c{} is free and held", i + 1)); }
  }
  if (held != 0 || shared != 0) { say("chips are held that no task uses, or used twice"); }
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (pool.memory_free(i) != nodes[i].memory - memory_taken[i]) { say(fmt::format("node {}: memory does not add up", nodes[i].name)); }
  }
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    if (tenants[i].chips_held + tenants[i].spot_held != held_by_tenant[i]) {
      say(fmt::format("tenant {} holds {} chips, counted {}", tenants[i].name, tenants[i].chips_held, held_by_tenant[i]));
    }
  }
  std::size_t unfinished = 0;
  std::size_t final_jobs = 0;
  jobs.each([&](const Job& job) {
    (is_final(job.state) ? final_jobs : unfinished) += 1;
    if (!agrees(job, tasks.find(job.task))) {
      say(fmt::format("job {} is {}, its task {} is not", to_string(job.id), enum_name(job.state), to_string(job.task)));
    }
  });
  if (unfinished != unfinished_jobs || final_jobs != finished.size()) { say("jobs are not all accounted for"); }
  services.each([&](const Service& service) {
    for (const ReplicaSlot& slot : service.replicas) {
      if (slot.task && tasks.find(slot.task) == nullptr) {
        say(fmt::format("service {} has a replica {} that is not there", service.spec.name, to_string(slot.task)));
      }
    }
  });
  return wrong;
}

}  // namespace centrale
