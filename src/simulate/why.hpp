// SPDX-License-Identifier: Apache-2.0
// Why a queued job waits, and what would start it now. All of it is read off the core as it is: a remedy is listed only when the pool
// and the tenant's allowance were asked and said yes.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "centre/core.hpp"

namespace centrale {

/// Chips of a kind that the job may use.
struct WhyKind {
  std::string kind;
  std::int64_t usable = 0, free = 0;
  std::int64_t workers_now = 0;  // of the job's workers, how many would fit now
  bool allowed = true;           // by the tenant's quota and budget, for the gang as asked
};

/// The job as it would start now.
struct Remedy {
  enum class What : unsigned char { fewer_workers, other_kind, other_shape, no_memory_limit, no_cpu_limit, share } what;
  std::string kind;
  std::int64_t workers = 1, chips = 1, share_milli = 1000;
  std::optional<double> run_s;  // predicted by its speeds; nothing: they do not say
};

struct Why {
  JobId job;
  std::string reason;            // one sentence
  std::vector<JobId> waits_for;  // dependencies, or the job that is first in line for the chips
  std::vector<WhyKind> kinds;
  std::int64_t ahead = 0;  // queued jobs of higher priority, or of the same and earlier
  std::vector<Remedy> remedies;
  std::optional<double> run_s;  // as asked, predicted
};

[[nodiscard]] Why why(const Core& core, const Job& job);

}  // namespace centrale
