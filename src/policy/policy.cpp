// SPDX-License-Identifier: Apache-2.0
#include "policy/policy.hpp"

#include <fmt/format.h>

#include "policy/adaptive.hpp"
#include "policy/backfill.hpp"
#include "policy/backfill_conservative.hpp"
#include "policy/effective.hpp"
#include "policy/fair.hpp"
#include "policy/fifo.hpp"
#include "policy/goodput.hpp"
#include "policy/las.hpp"
#include "policy/srtf.hpp"

namespace centrale {

void Policy::adopt(const Work&, std::span<const ChipId>, std::int64_t, std::int64_t, Time) {}
void Policy::stopping(TaskId) {}
void Policy::ended(TaskId) {}
void Policy::progressed(TaskId, double, Time, Time) {}
void Policy::respeed(TaskId, std::shared_ptr<const SpeedTable>) {}
void Policy::tenancy(TenantId, const Tenancy&) {}
Result<void> Policy::load(std::string_view) { return {}; }

namespace {

using Make = std::unique_ptr<Policy> (*)(const Scheduling&);
struct Named {
  std::string_view name, what;
  Make make;
};

template <class P>
std::unique_ptr<Policy> tuned(const Scheduling& scheduling) {
  return std::make_unique<P>(scheduling);
}

template <class P>
std::unique_ptr<Policy> plain(const Scheduling&) {
  return std::make_unique<P>();
}

template <class P>
std::unique_ptr<Policy> rounds(const Scheduling& scheduling) {
  return std::make_unique<P>(scheduling);
}

template <EffectiveGoal Goal>
std::unique_ptr<Policy> effective(const Scheduling& scheduling) {
  return std::make_unique<Effective>(scheduling, Goal);
}

constexpr Named kPolicies[] = {
    {"adaptive", "our own: each job the kind and number of chips that finish most work; elastic, preemptive", &tuned<Adaptive>},
    {"fifo", "priority, then first come first served", &plain<Fifo>},
    {"backfill", "fifo, and later requests fill the gaps that estimates leave before the first that waits (EASY)", &plain<Backfill>},
    {"backfill-conservative", "as backfill, but all that wait have reservations, and a gap is filled only where it delays none of them",
     &plain<ConservativeBackfill>},
    {"las", "least attained chip time first, in two queues (Tiresias); stops running work at rounds", &rounds<LeastAttained>},
    {"srtf", "shortest remaining time first, from estimates and what is likely where there are none", &rounds<ShortestRemaining>},
    {"fair", "weighted fair share over the tree of tenants, by dominant kind of chip (H-DRF)", &rounds<Fair>},
    {"goodput", "elastic: for each job the kind and count that make most of the centre (Sia, Pollux)", &rounds<Goodput>},
    {"effective", "max-min fair in effective throughput over unlike chips (Gavel)", &effective<EffectiveGoal::fair>},
    {"effective-fifo", "as effective, but first come first served", &effective<EffectiveGoal::fifo>},
    {"effective-makespan", "as effective, but all is done soonest", &effective<EffectiveGoal::makespan>},
};

}  // namespace

Result<std::unique_ptr<Policy>> make_policy(const Scheduling& scheduling) {
  std::string names;
  for (const Named& named : kPolicies) {
    if (named.name == scheduling.policy) { return named.make(scheduling); }
    names += fmt::format("{}{}", names.empty() ? "" : ", ", named.name);
  }
  return fail(ErrorKind::invalid, "there is no policy '" + scheduling.policy + "'", {}, "policies: " + names);
}

Result<std::unique_ptr<Policy>> make_policy(std::string_view name) {
  Scheduling scheduling;
  scheduling.policy = name;
  return make_policy(scheduling);
}

std::vector<std::pair<std::string_view, std::string_view>> policy_names() {
  std::vector<std::pair<std::string_view, std::string_view>> names;
  for (const Named& named : kPolicies) { names.emplace_back(named.name, named.what); }
  return names;
}

}  // namespace centrale
