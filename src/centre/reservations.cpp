// SPDX-License-Identifier: Apache-2.0
// Nodes that are a tenant's alone for a time, or nobody's (maintenance). Before its time a reservation keeps away what would not be
// gone by then; in its time its nodes are a small centre of their own: the policy does not see them, and the tenant's jobs that name
// the reservation wait in a queue of their own (priority, then first come first served) for its chips; then all is undone.
#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "centre/core_state.hpp"

namespace centrale {

Reservation* CoreState::reservation_at(ReservationId id) {
  const auto found = std::ranges::lower_bound(reservations, id, {}, &Reservation::id);
  return found == reservations.end() || found->id != id ? nullptr : &*found;
}

const Reservation* CoreState::reservation_named(std::string_view name) const {
  const auto found = std::ranges::find(reservations, name, &Reservation::name);
  return found == reservations.end() ? nullptr : &*found;
}

/// When the last of what runs there will be gone, as far as time limits and estimates say.
Time CoreState::busy_until(const Node& node) const {
  Time until = now;
  for (const ChipId id : node.chips) {
    const Chip& chip = chips[id.value - 1];
    if (!chip.holder) { continue; }
    const std::vector<TaskId>& sharers = chip.sharers;
    for (std::size_t i = 0; i < std::max<std::size_t>(sharers.size(), 1); ++i) {
      const Task& task = tasks.at(sharers.empty() ? chip.holder : sharers[i]);
      if (!task.job) { return kNever; }
      const JobSpec& spec = jobs.at(task.job).spec;
      const Nanos runs = spec.time_limit.value > 0 ? spec.time_limit : spec.estimate;
      if (runs.value == 0) { return kNever; }
      until = std::max(until, (task.started == Time{} ? task.placed : task.started) + runs);
    }
  }
  return until;
}

Result<std::vector<NodeId>> CoreState::choose_nodes(const ReservationMade& e) const {
  if (!e.nodes.empty() == (e.chips != 0 || !e.kind.empty())) {
    return fail(ErrorKind::invalid, "a reservation is of nodes, or of so many chips of a kind", "reservation " + e.name, "say one of them");
  }
  if (!e.nodes.empty()) { return e.nodes; }
  const auto kind = std::ranges::find(kinds, e.kind, &ChipKind::name) - kinds.begin();
  if (kind == static_cast<std::ptrdiff_t>(kinds.size()) || e.chips < 1) {
    return fail(ErrorKind::invalid, fmt::format("{} chips of kind '{}'", e.chips, e.kind), "reservation " + e.name,
                "at least 1, of a kind that `centrale nodes` shows");
  }
  struct Candidate {
    Time free;
    std::uint64_t node = 0;
    std::int64_t chips = 0;
  };
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].state != NodeState::up || !check_reserved(e, {NodeId{i + 1}})) { continue; }
    const auto count = std::ranges::count_if(
        nodes[i].chips, [&](ChipId id) { return chips[id.value - 1].kind == kind && chips[id.value - 1].health == ChipHealth::ok; });
    if (count > 0) { candidates.push_back({busy_until(nodes[i]), i + 1, count}); }
  }
  std::ranges::sort(candidates, {}, [](const Candidate& c) { return std::pair(c.free, c.node); });
  std::vector<NodeId> chosen;
  std::int64_t have = 0;
  for (const Candidate& candidate : candidates) {
    if (have >= e.chips) { break; }
    have += candidate.chips;
    chosen.push_back(NodeId{candidate.node});
  }
  if (have < e.chips) {
    return fail(ErrorKind::exhausted,
                fmt::format("only {} chips of kind '{}' are on nodes that are up and not reserved by others at that time", have, e.kind),
                "reservation " + e.name, "ask for fewer, or for another time: centrale reservations");
  }
  std::ranges::sort(chosen);
  return chosen;
}

Result<void> CoreState::check_reserved(const ReservationMade& e, const std::vector<NodeId>& chosen) const {
  for (const NodeId node : chosen) {
    const auto found = booked.find(node.value);
    if (found == booked.end()) { continue; }
    for (const ReservationId id : found->second) {
      const Reservation& other = *std::ranges::lower_bound(reservations, id, {}, &Reservation::id);
      if (other.from < e.to && e.from < other.to) {
        return fail(ErrorKind::conflict,
                    fmt::format("node '{}' is in reservation '{}' from {} to {}", nodes[node.value - 1].name, other.name,
                                format_time_rfc3339(other.from), format_time_rfc3339(other.to)),
                    "reservation " + e.name, "choose another time or node, or cancel that one: centrale unreserve " + other.name);
      }
    }
  }
  return {};
}

Result<void> CoreState::on(ReservationMade& e) {
  if (!is_valid_name(e.name)) {
    return fail(ErrorKind::invalid, fmt::format("'{}' is not a name for a reservation", shorten(e.name, 60)), {}, "a-z, 0-9 and '-'");
  }
  if (reservation_named(e.name) != nullptr) {
    return fail(ErrorKind::conflict, fmt::format("there is a reservation '{}' already", e.name), {},
                "choose another name, or cancel it: centrale unreserve " + e.name);
  }
  if (e.tenant) { TRY(check_tenant(e.tenant)); }
  if (reservations.size() >= limits.reservations_max) {
    return fail(ErrorKind::exhausted, fmt::format("the centre has {} reservations, its limit", limits.reservations_max), {},
                "cancel one: centrale reservations");
  }
  if (e.from >= e.to || e.to <= now || e.to == kNever) {
    return fail(ErrorKind::invalid,
                fmt::format("a reservation from {} to {}", format_time_rfc3339(e.from), format_time_rfc3339(std::min(e.to, kNever))),
                "reservation " + e.name, "it must end after it began, and after now");
  }
  for (const NodeId node : e.nodes) { TRY(node_at(node)); }
  TRY_ASSIGN(std::vector<NodeId> chosen, choose_nodes(e));
  std::ranges::sort(chosen);
  const auto twice = std::ranges::unique(chosen);
  chosen.erase(twice.begin(), twice.end());
  TRY(check_reserved(e, chosen));
  Reservation fresh;
  fresh.id = next_reservation;
  fresh.name = e.name;
  fresh.tenant = e.tenant;
  fresh.nodes = std::move(chosen);
  fresh.from = e.from;
  fresh.to = e.to;
  next_reservation = ReservationId{next_reservation.value + 1};
  out->created = fresh.id.value;
  reservations.push_back(std::move(fresh));
  Reservation& made = reservations.back();
  book(made);
  for (const NodeId node : made.nodes) {
    tell_open(node);
    changed(Change::What::node, node.value);
  }
  if (made.from <= now) {
    open(made);
  } else {
    made.timer = set_timer({.id = {},
                            .due = made.from,
                            .purpose = TimerPurpose::reservation,
                            .job = {},
                            .service = {},
                            .task = {},
                            .ordinal = 0,
                            .reservation = made.id});
  }
  schedule_wanted = true;
  return {};
}

Result<void> CoreState::on(ReservationCancelled& e) {
  const Reservation* const found = reservation_named(e.name);
  if (found == nullptr) {
    return fail(ErrorKind::not_found, fmt::format("there is no reservation '{}'", e.name), {}, "centrale reservations lists them");
  }
  out->created = found->id.value;
  close(found->id);
  return {};
}

void CoreState::book(const Reservation& reservation) {
  for (const NodeId node : reservation.nodes) { booked[node.value].push_back(reservation.id); }
  if (reservation.open && reservation.tenant) { reserved_queues[reservation.id.value] = make_policy("fifo").value(); }
}

void CoreState::tell_open(NodeId id) {
  Time until = kNever;
  std::uint64_t reserved = 0;
  if (const auto found = booked.find(id.value); found != booked.end()) {
    for (const ReservationId each : found->second) {
      const Reservation& reservation = *reservation_at(each);
      if (reservation.open) {
        reserved = reservation.id.value;
      } else {
        until = std::min(until, reservation.from);
      }
    }
  }
  pool.set_until(id.value - 1, reserved == 0 ? until : kNever);  // what is of a reservation leaves at its end anyway
  pool.set_reserved(id.value - 1, reserved);
  // The policy counts chips by kind: it must not count on these. schedule_reserved() shows them to the reservation's own queue.
  pool.set_schedulable(id.value - 1, nodes[id.value - 1].state == NodeState::up && reserved == 0);
}

void CoreState::reservation_due(ReservationId id) {
  Reservation* const due = reservation_at(id);
  if (due == nullptr) { return; }
  due->timer = {};
  if (due->open || now >= due->to) {
    close(id);
  } else {
    open(*due);
  }
}

void CoreState::open(Reservation& reservation) {
  reservation.open = true;
  reservation.timer = set_timer({.id = {},
                                 .due = reservation.to,
                                 .purpose = TimerPurpose::reservation,
                                 .job = {},
                                 .service = {},
                                 .task = {},
                                 .ordinal = 0,
                                 .reservation = reservation.id});
  if (reservation.tenant) { reserved_queues[reservation.id.value] = make_policy("fifo").value(); }
  const std::string why = reservation.tenant ? fmt::format("its node is reserved: {}", reservation.name)
                                             : fmt::format("its node is in maintenance: {}", reservation.name);
  for (const NodeId id : reservation.nodes) {
    tell_open(id);
    changed(Change::What::node, id.value);
    for (const ChipId chip_id : nodes[id.value - 1].chips) {
      const Chip& chip = chips[chip_id.value - 1];
      const std::vector<TaskId> holders = chip.sharers.empty() ? std::vector<TaskId>{chip.holder} : chip.sharers;
      for (const TaskId holder : holders) {
        if (holder) { evict(tasks.at(holder), why.c_str()); }
      }
    }
  }
  if (reservation.tenant) {
    std::vector<JobId> waiting;
    jobs.each([&](const Job& job) {
      if (job.wait == WaitReason::reservation && job.tenant == reservation.tenant && job.spec.reservation == reservation.name) {
        waiting.push_back(job.id);
      }
    });
    for (const JobId id : waiting) { enqueue(jobs.at(id)); }
  }
  schedule_wanted = true;
}

void CoreState::close(ReservationId id) {
  Reservation& reservation = *reservation_at(id);
  std::vector<TaskId> own;
  if (reserved_queues.contains(id.value)) {
    tasks.each([&](const Task& task) {
      if (task.reservation == id) { own.push_back(task.id); }
    });
  }
  for (const TaskId each : own) {
    Task& task = tasks.at(each);
    if (task.state != TaskState::queued) { continue; }
    Job& job = jobs.at(task.job);
    stop(task);
    job.wait = WaitReason::reservation;
    changed(Change::What::job, job.id.value);
  }
  reserved_queues.erase(id.value);
  if (timers.find(reservation.timer) != nullptr) { timers.erase(reservation.timer); }
  const Reservation over = std::move(reservation);
  reservations.erase(reservations.begin() + (&reservation - reservations.data()));
  for (const NodeId node : over.nodes) {
    const auto found = booked.find(node.value);
    std::erase(found->second, id);
    if (found->second.empty()) { booked.erase(found); }
    tell_open(node);
    changed(Change::What::node, node.value);
  }
  // What still runs there is the policy's to see until it is gone: it holds chips that the policy now counts.
  const std::string why = fmt::format("its reservation is over: {}", over.name);
  for (const TaskId each : own) {
    Task* const task = tasks.find(each);
    if (task == nullptr) { continue; }
    adopt(*task);
    evict(*task, why.c_str());
  }
  schedule_wanted = true;
}

Policy& CoreState::policy_of(const Task& task) {
  if (is_spot(task)) { return spot; }
  if (task.reservation) {
    if (const auto found = reserved_queues.find(task.reservation.value); found != reserved_queues.end()) { return *found->second; }
  }
  return *policy;
}

std::size_t CoreState::queued() const {
  std::size_t sum = policy->queued() + spot.queued();
  for (const auto& [id, queue] : reserved_queues) { sum += queue->queued(); }
  return sum;
}

bool CoreState::head_changed() const {
  return policy->head_changed() || spot.head_changed() ||
         std::ranges::any_of(reserved_queues, [](const auto& each) { return each.second->head_changed(); });
}

void CoreState::schedule_reserved() {
  for (const auto& [id, queue] : reserved_queues) {
    if (queue->queued() == 0) { continue; }
    const std::vector<NodeId>& its = reservation_at(ReservationId{id})->nodes;
    for (const NodeId node : its) { pool.set_schedulable(node.value - 1, nodes[node.value - 1].state == NodeState::up); }
    decision.clear();
    queue->decide(pool, *this, now, decision);
    for (const NodeId node : its) { pool.set_schedulable(node.value - 1, false); }
    carry_out();
  }
}

Result<void> CoreState::check_reservation(TenantId tenant, const JobSpec& spec) const {
  if (spec.reservation.empty()) { return {}; }
  const Reservation* const found = reservation_named(spec.reservation);
  if (found == nullptr || !found->tenant || found->tenant != tenant) {
    return fail(ErrorKind::not_found, fmt::format("the tenant has no reservation '{}'", spec.reservation), "reservation",
                "centrale reservations lists them");
  }
  const Gang gang = gang_of(spec);
  TRY_ASSIGN(const KindChoice choice, choose_kinds(spec.chip_kinds));
  std::vector<std::int64_t> workers(kinds.size(), 0);
  for (const NodeId id : found->nodes) {
    const Node& node = nodes[id.value - 1];
    const std::int64_t by_memory = gang.memory.value == 0 ? INT64_MAX : node.memory.value / gang.memory.value;
    const std::int64_t by_cpu = gang.cpu_milli == 0 || node.cpu_milli == 0 ? INT64_MAX : node.cpu_milli / gang.cpu_milli;
    for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
      const auto here = std::ranges::count_if(node.chips, [&](ChipId chip) {
        return chips[chip.value - 1].kind == static_cast<std::int64_t>(kind) && chips[chip.value - 1].health != ChipHealth::gone;
      });
      workers[kind] += std::min({here / gang.chips * (1000 / gang.share_milli), by_memory, by_cpu});
    }
  }
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    if ((choice.mask >> kind & 1) != 0 && workers[kind] >= gang.workers) { return {}; }
  }
  return fail(ErrorKind::invalid,
              fmt::format("asks for {} workers with {} chips each, more than reservation '{}' has", gang.workers, gang.chips, found->name),
              "chips", "ask for less: it could never start");
}

std::string CoreState::reservation_contradiction() const {
  for (const Reservation& reservation : reservations) {
    if (timers.find(reservation.timer) == nullptr) { return fmt::format("reservation {} has no timer", reservation.name); }
    if (reserved_queues.contains(reservation.id.value) != (reservation.open && reservation.tenant)) {
      return fmt::format("reservation {} and its queue do not agree", reservation.name);
    }
    if (!reservation.open) { continue; }
    for (const NodeId node : reservation.nodes) {
      for (const ChipId id : nodes[node.value - 1].chips) {
        const Chip& chip = chips[id.value - 1];
        for (std::size_t i = 0; i < (chip.holder ? std::max<std::size_t>(chip.sharers.size(), 1) : 0); ++i) {
          const Task& task = *tasks.find(chip.sharers.empty() ? chip.holder : chip.sharers[i]);
          if (task.state != TaskState::stopping && task.reservation != reservation.id) {
            return fmt::format("{} runs on node {}, which is reserved: {}", to_string(task.id), nodes[node.value - 1].name,
                               reservation.name);
          }
        }
      }
    }
  }
  std::string wrong;
  tasks.each([&](const Task& task) {
    if (!task.reservation || task.state == TaskState::stopping) { return; }
    const auto found = std::ranges::lower_bound(reservations, task.reservation, {}, &Reservation::id);
    const bool sound = found != reservations.end() && found->id == task.reservation && found->open;
    const bool inside = sound && std::ranges::all_of(task.chips, [&](ChipId chip) {
                          return std::ranges::binary_search(found->nodes, chips[chip.value - 1].node);
                        });
    if (!inside && wrong.empty()) { wrong = fmt::format("{} runs outside its reservation", to_string(task.id)); }
  });
  return wrong;
}

}  // namespace centrale
