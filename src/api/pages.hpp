// SPDX-License-Identifier: Apache-2.0
// Private to api/: lists that may be long, a page at a time. Each look is bounded, for it holds up the core thread.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/views.hpp"
#include "centre/core.hpp"

namespace centrale::api {

/// Where ids of jobs lie. Those in between may have been forgotten.
struct JobRange {
  JobId oldest{1}, newest;
};

struct JobQuery {
  Scope scope;
  std::optional<JobState> state = {};
  std::string_view name = {};  // empty: any
  std::int64_t limit = 0;
  JobRange range;
  std::optional<JobId> before = {};
};
struct JobPage {
  std::vector<const Job*> jobs;  // the newest first
  std::optional<JobId> next;     // the following page is before this one; a page may be short and still have one
};
inline constexpr std::int64_t kJobsLookedAtMax = 200'000;  // about 10 ms
[[nodiscard]] JobPage page_of_jobs(const Core& core, const JobQuery& query);

/// All tenants' usage up to `now`, by id - 1, in one pass over the tasks.
[[nodiscard]] std::vector<Usage> usage_of_tenants(const Core& core, Time now);

inline constexpr std::size_t kUsageLinesMax = 1'000;  // tenants, and services
struct UsageQuery {
  Scope scope;
  std::int64_t jobs_max = 0;
  JobRange range;
};
[[nodiscard]] UsageView usage_view(const Core& core, Time now, const UsageQuery& query, const std::string& currency);

}  // namespace centrale::api
