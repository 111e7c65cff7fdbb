// SPDX-License-Identifier: Apache-2.0
// A history that begins with a snapshot: the state becomes the events that would have made it.
#include <algorithm>

#include <fmt/format.h>

#include "simulate/replay_books.hpp"

namespace centrale {

namespace {

NodeJoined joined_of(const Core& core, const Node& node) {
  NodeJoined joined;
  joined.name = node.name;
  joined.memory = node.memory;
  joined.cpu_milli = node.cpu_milli;
  joined.domain = node.domain;
  joined.leaf = node.leaf;
  joined.spine = node.spine;
  for (const ChipId id : node.chips) {
    const Chip& chip = core.chip(id);
    if (chip.health == ChipHealth::gone) { continue; }
    const std::string& kind = core.kind_name(chip.kind);
    auto group = std::ranges::find(joined.chips, kind, &ChipGroup::kind);
    if (group == joined.chips.end()) {
      joined.chips.push_back({.kind = kind, .count = 0, .memory = chip.memory, .power = chip.power, .price_per_hour = chip.price_per_hour});
      group = joined.chips.end() - 1;
    }
    ++group->count;
  }
  return joined;
}

}  // namespace

Result<void> ReplayReader::snapshot(std::uint64_t sequence, Time at, std::string_view bytes) {
  Books& books = *books_;
  TRY_ASSIGN(std::unique_ptr<Policy> policy, make_policy(books.replay.scheduling));
  auto core = Core::restore(bytes, std::move(policy), Books::limits());
  if (!core) {
    return fail(ErrorKind::invalid, "cannot be read: " + core.error().message(),
                fmt::format("the journal's snapshot of event {}", sequence));
  }
  books.core = std::move(*core);
  books.sequence = sequence;
  books.any = true;
  books.begin_with(std::max(at, books.core.now()));
  return {};
}

void ReplayReader::Books::begin_with(Time at) {
  replay.begin = replay.end = at;
  tell(at, SchedulingSet{core.scheduling()});
  for (std::size_t i = 1; i <= core.tenant_count(); ++i) {
    const Tenant& tenant = *core.tenant(TenantId{i});
    tell(at, TenantDefined{tenant.name, tenant.quota});
  }
  for (std::size_t i = 1; i <= core.node_count(); ++i) {
    const Node& node = *core.node(NodeId{i});
    tell(at, joined_of(core, node));
    if (node.state == NodeState::lost) { tell(at, NodeLost{NodeId{i}}); }
    if (node.state == NodeState::drained) { tell(at, NodeDrained{NodeId{i}}); }
    for (const ChipId id : node.chips) {
      if (core.chip(id).health == ChipHealth::failed) { tell(at, ChipFailed{id, {}}); }
    }
  }
  core.each_service([&](const Service& service) {
    if (replay.services.size() < service.id.value) { replay.services.resize(service.id.value); }
    tell(at, ServiceDefined{service.tenant, service.spec}, ReplayEvent::kNoJob, service.id.value);
  });
  for (const Reservation& reservation : core.reservations()) {
    tell(at, ReservationMade{.name = reservation.name,
                             .tenant = reservation.tenant,
                             .nodes = reservation.nodes,
                             .kind = {},
                             .chips = 0,
                             .from = reservation.from,
                             .to = reservation.to});
  }
  // What ran comes before what waited, so that it gets its chips again.
  std::vector<const Job*> unfinished;
  core.each_job([&](const Job& job) {
    if (!is_final(job.state)) { unfinished.push_back(&job); }
  });
  const auto on_chips = [](const Job* job) { return job->state != JobState::queued; };
  std::ranges::stable_partition(unfinished, on_chips);
  for (const Job* const job : unfinished) {
    const std::uint32_t index = add(*job, at);
    ReplayJob& kept = replay.jobs[index];
    kept.array_index = -1;  // alone: its siblings may be done
    kept.spec.array = 0;
    kept.spec.restarts = std::max<std::int64_t>(0, kept.spec.restarts - job->failures);
    kept.spec.after.clear();
    names[{job->tenant.value, job->spec.name}] = job->id;
    tell(at, JobSubmitted{}, index);
    if (job->cancel_wanted) { tell(at, JobCancelled{job->id}, index); }
  }
  for (const Job* const job : unfinished) {
    for (const JobId before : job->unmet) { replay.jobs[index_of(job->id)].after.push_back(index_of(before)); }
  }
  resubmitted = static_cast<std::int64_t>(unfinished.size());
  core.each_task([&](const Task& task) {
    if (task.state == TaskState::queued) { return; }
    placed(task.id, at);  // at work from the first moment: what it did before is not ours to repeat
    if (task.state == TaskState::running || task.started != Time{}) { started(task.id, at); }
  });
}

}  // namespace centrale
