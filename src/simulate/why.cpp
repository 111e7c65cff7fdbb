// SPDX-License-Identifier: Apache-2.0
#include "simulate/why.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "policy/estimator.hpp"
#include "simulate/lengths.hpp"

namespace centrale {

namespace {

constexpr std::uint64_t kReplicaBit = std::uint64_t{1} << 63U;  // of Work::owner
constexpr std::size_t kNodesTried = 64;                         // of those out of use

struct Asked {
  const Core& core;
  const Job& job;
  Gang gang;
  std::int64_t kinds = 0;  // how many the centre knows

  [[nodiscard]] bool fits(KindIndex kind, const Gang& wanted) const {
    const KindMask mask = KindMask{1} << kind;
    const KindMask allowed = core.allowance().kinds_for(job.tenant, wanted.workers * wanted.chips, wanted.share_milli);
    KindChoice choice;
    choice.mask = mask;
    return (allowed & mask) != 0 && core.pool().probe(choice, mask, wanted).has_value();
  }
  [[nodiscard]] bool will_do(KindIndex kind) const { return kind_will_do(job.spec, core.kind_name(kind)); }
  [[nodiscard]] std::optional<double> run_s(KindIndex kind, std::int64_t workers, std::int64_t chips) const {
    const auto table = core.speeds(job);
    if (table == nullptr || !job.speeds || job.speeds->work <= 0) { return std::nullopt; }
    const Shape* const shape = shape_as_asked(*table, kind, workers, chips);
    if (shape == nullptr || shape->rate[0] <= 0) { return std::nullopt; }
    return std::max(job.speeds->work - job.work_done, 0.0) / double{shape->rate[0]};
  }
};

Asked asked_of(const Core& core, const Job& job) {
  const JobSpec& spec = job.spec;
  Asked asked{core, job, {}, 0};
  asked.gang.workers = spec.workers;
  asked.gang.chips = spec.chips;
  asked.gang.memory = spec.memory;
  asked.gang.cpu_milli = spec.cpu_milli;
  asked.gang.share_milli = spec.share_milli;
  asked.gang.ends = spec.preemptible ? Time{} : kNever;
  asked.gang.limit = spec.time_limit;
  if (const Task* const task = core.task(job.task); task != nullptr) { asked.gang.reservation = task->reservation.value; }
  for (std::size_t i = 1; i <= core.chip_count(); ++i) { asked.kinds = std::max(asked.kinds, core.chip(ChipId{i}).kind + 1); }
  return asked;
}

void add_remedies(const Asked& asked, std::vector<Remedy>& out) {
  const auto add = [&](Remedy::What what, KindIndex kind, const Gang& gang) {
    out.push_back(
        {what, asked.core.kind_name(kind), gang.workers, gang.chips, gang.share_milli, asked.run_s(kind, gang.workers, gang.chips), {}});
  };
  const auto table = asked.core.speeds(asked.job);
  for (std::int64_t i = 0; i < asked.kinds; ++i) {
    const auto kind = static_cast<KindIndex>(i);
    if (!asked.will_do(kind)) {
      if (asked.fits(kind, asked.gang)) { add(Remedy::What::other_kind, kind, asked.gang); }
      continue;
    }
    if (asked.fits(kind, asked.gang)) { continue; }  // what holds it back is no lack of room
    // Fewer workers fit wherever more do: the largest number that does is found by halving.
    std::int64_t most = 0;
    for (std::int64_t low = 1, high = asked.gang.workers - 1; low <= high;) {
      const std::int64_t middle = low + (high - low) / 2;
      Gang fewer = asked.gang;
      fewer.workers = middle;
      if (asked.fits(kind, fewer)) {
        most = middle;
        low = middle + 1;
      } else {
        high = middle - 1;
      }
    }
    if (most > 0) {
      Gang fewer = asked.gang;
      fewer.workers = most;
      add(Remedy::What::fewer_workers, kind, fewer);
    }
    if (Gang free = asked.gang; free.memory.value > 0) {
      free.memory = {};
      if (asked.fits(kind, free)) { add(Remedy::What::no_memory_limit, kind, free); }
    }
    if (Gang free = asked.gang; free.cpu_milli > 0) {
      free.cpu_milli = 0;
      if (asked.fits(kind, free)) { add(Remedy::What::no_cpu_limit, kind, free); }
    }
    if (asked.gang.workers == 1 && asked.gang.chips == 1 && !asked.gang.is_share()) {
      Gang half = asked.gang;
      half.share_milli = kWholeChip / 2;
      if (asked.fits(kind, half)) { out.push_back({Remedy::What::share, asked.core.kind_name(kind), 1, 1, half.share_milli, {}, {}}); }
    }
  }
  if (table == nullptr) { return; }
  for (const Shape& shape : table->shapes) {
    if (shape.workers == asked.gang.workers && shape.chips == asked.gang.chips) { continue; }
    Gang other = asked.gang;
    other.workers = shape.workers;
    other.chips = shape.chips;
    if (asked.will_do(shape.kind) && asked.fits(shape.kind, other)) { add(Remedy::What::other_shape, shape.kind, other); }
  }
}

/// Drained and lost nodes with which it would start, as few as can be found by adding and then leaving out one at a time.
void add_nodes_back(const Asked& asked, std::vector<Remedy>& out) {
  const Core& core = asked.core;
  const auto fits_with = [&](const std::vector<NodeId>& nodes) -> std::optional<KindIndex> {
    Pool pool = core.pool();
    for (const NodeId node : nodes) { pool.set_schedulable(node.value - 1, true); }
    for (std::int64_t i = 0; i < asked.kinds; ++i) {
      const auto kind = static_cast<KindIndex>(i);
      const KindMask mask = KindMask{1} << kind;
      const KindMask allowed = core.allowance().kinds_for(asked.job.tenant, asked.gang.workers * asked.gang.chips, asked.gang.share_milli);
      KindChoice choice;
      choice.mask = mask;
      if (asked.will_do(kind) && (allowed & mask) != 0 && pool.probe(choice, mask, asked.gang)) { return kind; }
    }
    return std::nullopt;
  };
  const auto in_maintenance = [&](NodeId node) {
    return std::ranges::any_of(core.reservations(), [&](const Reservation& r) {
      return r.open && !r.tenant && std::ranges::find(r.nodes, node) != r.nodes.end();
    });
  };
  std::vector<NodeId> nodes;
  for (const NodeState state : {NodeState::drained, NodeState::lost}) {
    for (std::uint64_t i = 1; i <= core.node_count() && nodes.size() < kNodesTried; ++i) {
      if (core.node(NodeId{i})->state == state && !in_maintenance(NodeId{i})) { nodes.push_back(NodeId{i}); }
    }
  }
  if (nodes.empty() || !fits_with(nodes)) { return; }
  for (std::size_t i = nodes.size(); i-- > 0;) {
    std::vector<NodeId> fewer = nodes;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    if (fits_with(fewer)) { nodes = std::move(fewer); }
  }
  if (nodes.empty()) { return; }
  const KindIndex kind = *fits_with(nodes);
  const Gang& gang = asked.gang;
  out.push_back({Remedy::What::nodes_back, core.kind_name(kind), gang.workers, gang.chips, gang.share_milli,
                 asked.run_s(kind, gang.workers, gang.chips), nodes});
}

/// Half of the jobs like it end before.
std::optional<double> left_s(const Core& core, const Task& task, const Lengths& lengths, Time now) {
  const Job* const job = core.job(task.job);
  if (job == nullptr) { return std::nullopt; }
  const Time from = std::max({job->reported, task.started, task.placed});
  const double ran = to_seconds(std::max(now, from) - from);
  double left = 0;
  const auto table = core.speeds(*job);
  const Shape* shape = nullptr;
  if (table != nullptr && job->speeds && job->speeds->work > 0) {
    const auto running =
        std::ranges::find_if(table->shapes, [&](const Shape& s) { return task.row >= 0 && std::int64_t{s.row} == task.row; });
    shape = running != table->shapes.end()
                ? &*running
                : shape_as_asked(*table, static_cast<KindIndex>(core.chip(task.chips.front()).kind), job->spec.workers, job->spec.chips);
  }
  if (shape != nullptr && shape->rate[0] > 0 && job->speeds->work > job->work_done) {
    const double said = (job->speeds->work - job->work_done) / double{shape->rate[0]};
    left = said * lengths.slowness(*job, ran / said, 0.5) - ran;
  } else {
    const double age = (job->speeds && job->speeds->work > 0 ? 0 : job->work_done) + ran;
    left = lengths.seconds(*job, age, 0.5) - age;
  }
  if (job->spec.time_limit.value > 0 && task.started != Time{}) {
    left = std::min(left, to_seconds(task.started + job->spec.time_limit - now));
  }
  return std::max(left, 0.0);
}

void add_holders(const Asked& asked, const Lengths& lengths, Time now, Why& said) {
  const Core& core = asked.core;
  core.each_task([&](const Task& task) {
    std::int64_t chips = 0;
    std::int64_t kind = 0;
    for (const ChipId chip : task.chips) {
      if (!asked.will_do(static_cast<KindIndex>(core.chip(chip).kind))) { continue; }
      kind = core.chip(chip).kind;
      ++chips;
    }
    if (chips > 0) {
      said.holders.push_back({task.id, task.job, task.service, core.kind_name(kind), chips, left_s(core, task, lengths, now)});
    }
  });
  const auto end = [](const WhyHolder& holder) { return holder.left_s.value_or(std::numeric_limits<double>::infinity()); };
  std::ranges::stable_sort(said.holders, [&](const WhyHolder& a, const WhyHolder& b) { return end(a) < end(b); });
  if (said.holders.size() > kHoldersShown) {
    said.holders_more = static_cast<std::int64_t>(said.holders.size() - kHoldersShown);
    said.holders.resize(kHoldersShown);
  }
}

}  // namespace

Why why(const Core& core, const Job& job) { return why(core, job, Lengths(core, core.now()), core.now()); }

Why why(const Core& core, const Job& job, const Lengths& lengths, Time now) {
  Why said;
  said.job = job.id;
  said.run_s = predicted_s(core, job);
  if (job.state != JobState::queued) {
    said.cause = is_final(job.state) ? WhyCause::ended : WhyCause::runs;
    said.reason = fmt::format("it is {}", enum_name(job.state));
    return said;
  }
  if (job.wait == WaitReason::dependency) {
    said.cause = WhyCause::dependency;
    said.waits_for = job.unmet;
    said.reason = fmt::format("{} job{} must be done first", job.unmet.size(), job.unmet.size() == 1 ? "" : "s");
    return said;
  }
  if (job.wait != WaitReason::chips) {
    said.cause = WhyCause::pause;
    said.until = core.retries(job);
    said.reason = fmt::format("it waits for its {}{}", enum_name(job.wait), job.message.empty() ? "" : ": " + job.message);
    return said;
  }
  core.each_job([&](const Job& other) {
    const bool waits = other.state == JobState::queued && other.wait == WaitReason::chips && other.id != job.id;
    const bool sooner = other.spec.priority > job.spec.priority || (other.spec.priority == job.spec.priority && other.order < job.order);
    said.ahead += waits && sooner ? 1 : 0;
  });
  const Asked asked = asked_of(core, job);
  const KindMask allowed = core.allowance().kinds_for(job.tenant, asked.gang.workers * asked.gang.chips, asked.gang.share_milli);
  bool any_allowed = false, any_fits = false;
  std::string rooms;
  for (std::int64_t i = 0; i < asked.kinds; ++i) {
    const auto kind = static_cast<KindIndex>(i);
    if (!asked.will_do(kind)) { continue; }
    const KindMask mask = KindMask{1} << kind;
    KindChoice choice;
    choice.mask = mask;
    WhyKind& here = said.kinds.emplace_back();
    here.kind = core.kind_name(i);
    here.usable = core.pool().usable_of(kind);
    here.free = core.pool().free_of(kind);
    here.workers_now = core.pool().workers_now(choice, mask, asked.gang, asked.gang.workers);
    here.allowed = (allowed & mask) != 0;
    any_allowed = any_allowed || here.allowed;
    any_fits = any_fits || asked.fits(kind, asked.gang);
    rooms += fmt::format("{}{} of {} {} free, room for {} of {} workers", rooms.empty() ? "" : "; ", here.free, here.usable, here.kind,
                         here.workers_now, asked.gang.workers);
  }
  const Tenant& tenant = *core.tenant(job.tenant);
  if (!any_allowed) {
    said.cause = WhyCause::quota;
    said.reason =
        fmt::format("tenant {} may not take {} more chips now: it holds {} of {}", tenant.name, asked.gang.workers * asked.gang.chips,
                    tenant.chips_held, tenant.quota.chips_max > 0 ? std::to_string(tenant.quota.chips_max) : "its quota by kind or budget");
  } else if (any_fits) {
    said.cause = WhyCause::line;
    const auto first = core.policy().blocked();
    said.reason = "its chips are free; others come first by the policy";
    if (first && (first->owner & kReplicaBit) != 0) {
      said.reason = "its chips are free, but a service that is before it gathers them";
    } else if (first && first->owner != job.id.value) {
      said.waits_for.push_back(JobId{first->owner});
      said.reason = "its chips are free, but a job that is before it gathers them";
    }
  } else {
    said.cause = WhyCause::chips;
    said.reason = "not enough chips: " + rooms;
    add_holders(asked, lengths, now, said);
    add_nodes_back(asked, said.remedies);
  }
  add_remedies(asked, said.remedies);
  return said;
}

}  // namespace centrale
