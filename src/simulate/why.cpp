// SPDX-License-Identifier: Apache-2.0
#include "simulate/why.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "policy/estimator.hpp"
#include "simulate/lengths.hpp"

namespace centrale {

namespace {

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
        {what, asked.core.kind_name(kind), gang.workers, gang.chips, gang.share_milli, asked.run_s(kind, gang.workers, gang.chips)});
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
      if (asked.fits(kind, half)) { out.push_back({Remedy::What::share, asked.core.kind_name(kind), 1, 1, half.share_milli, {}}); }
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

}  // namespace

Why why(const Core& core, const Job& job) {
  Why said;
  said.job = job.id;
  said.run_s = predicted_s(core, job);
  if (job.state != JobState::queued) {
    said.reason = fmt::format("it is {}", enum_name(job.state));
    return said;
  }
  if (job.wait == WaitReason::dependency) {
    said.waits_for = job.unmet;
    said.reason = fmt::format("{} job{} must be done first", job.unmet.size(), job.unmet.size() == 1 ? "" : "s");
    return said;
  }
  if (job.wait != WaitReason::chips) {
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
    said.reason =
        fmt::format("tenant {} may not take {} more chips now: it holds {} of {}", tenant.name, asked.gang.workers * asked.gang.chips,
                    tenant.chips_held, tenant.quota.chips_max > 0 ? std::to_string(tenant.quota.chips_max) : "its quota by kind or budget");
  } else if (any_fits) {
    const auto first = core.policy().blocked();
    if (first && first->owner != job.id.value) { said.waits_for.push_back(JobId{first->owner}); }
    said.reason = said.waits_for.empty() ? "its chips are free; others come first by the policy"
                                         : fmt::format("its chips are free, but {} gathers them", to_string(said.waits_for.front()));
  } else {
    said.reason = "not enough chips: " + rooms;
  }
  add_remedies(asked, said.remedies);
  return said;
}

}  // namespace centrale
