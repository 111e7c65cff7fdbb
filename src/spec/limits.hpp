// SPDX-License-Identifier: Apache-2.0
// The limits of a spec's numbers by key: validate() holds to them, the JSON Schema tells them.
#pragma once
#include <array>
#include <string_view>

#include "spec/spec.hpp"

namespace centrale {

struct CountLimit {
  std::string_view key;
  std::int64_t least, most;
};
inline constexpr std::array<CountLimit, 17> kCountLimits{{{"workers", 1, kWorkersMax},
                                                          {"chips", 1, kChipsPerWorkerMax},
                                                          {"priority", -kPriorityMax, kPriorityMax},
                                                          {"array", 0, kArrayMax},
                                                          {"restarts", 0, kRestartsMax},
                                                          {"replicas", 0, kReplicasMax},
                                                          {"context", 1, kContextMax},
                                                          {"global_batch", 0, kStepsMax},
                                                          {"sequence", 0, kContextMax},
                                                          {"steps", 0, kStepsMax},
                                                          {"workers_min", 0, kWorkersMax},
                                                          {"workers_max", 0, kWorkersMax},
                                                          {"cpu_milli", 0, kCpuMilliMax},
                                                          {"share_milli", 1, 1000},
                                                          {"replicas_min", 0, kReplicasMax},
                                                          {"replicas_max", 0, kReplicasMax},
                                                          {"tokens_per_s", 0, kStepsMax}}};

struct ListLimit {
  std::string_view key;
  std::size_t most;
};
inline constexpr std::array<ListLimit, 3> kListLimits{{{"command", kCommandWordsMax}, {"chip_kinds", kChipKindsMax}, {"after", kAfterMax}}};

/// The limit of a key; every key of that type has one, a test says.
template <class Limit, std::size_t N>
[[nodiscard]] constexpr const Limit* limit_of(const std::array<Limit, N>& limits, std::string_view key) {
  for (const Limit& limit : limits) {
    if (limit.key == key) { return &limit; }
  }
  return nullptr;
}

/// What is wrong with a spec, and under which key.
struct SpecProblem {
  std::string key;
  std::string what;
  std::string remedy;
};
[[nodiscard]] std::optional<SpecProblem> first_problem(const JobSpec& spec);
[[nodiscard]] std::optional<SpecProblem> first_problem(const ServiceSpec& spec);

}  // namespace centrale
