// SPDX-License-Identifier: Apache-2.0
// Why a queued job waits, and what would start it now. All of it is read off the core as it is: a remedy is listed only when the pool
// and the tenant's allowance were asked and said yes.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "centre/core.hpp"
#include "simulate/lengths.hpp"

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
  enum class What : unsigned char { fewer_workers, other_kind, other_shape, no_memory_limit, no_cpu_limit, share, nodes_back } what;
  std::string kind;
  std::int64_t workers = 1, chips = 1, share_milli = 1000;
  std::optional<double> run_s;  // predicted by its speeds; nothing: they do not say
  std::vector<NodeId> nodes;    // of nodes_back: drained or lost ones; with these in use, it starts
};

/// Who has chips of a kind that the job may use.
struct WhyHolder {
  TaskId task;
  JobId job;          // none: a service's replica
  ServiceId service;  // none: a job
  std::string kind;
  std::int64_t chips = 0;        // a part of one counts as one
  std::optional<double> left_s;  // half of those like it have ended by then; nothing: it does not end by itself
};
inline constexpr std::size_t kHoldersShown = 20;

/// What holds the job back, in short.
enum class WhyCause : unsigned char { ended, runs, dependency, pause, chips, quota, line };

template <>
inline constexpr std::array<std::string_view, 7> kEnumNames<WhyCause>{"ended", "runs", "dependency", "pause", "chips", "quota", "line"};
template <>
inline constexpr std::array<std::string_view, 7> kEnumNames<Remedy::What>{"fewer_workers", "other_kind", "other_shape", "no_memory_limit",
                                                                          "no_cpu_limit",  "share",      "nodes_back"};

struct Why {
  JobId job;
  WhyCause cause = WhyCause::ended;
  std::string reason;            // one sentence
  std::vector<JobId> waits_for;  // dependencies, or the job that is first in line for the chips
  std::optional<Time> until;     // of a pause after a failure
  std::vector<WhyKind> kinds;
  std::int64_t ahead = 0;  // queued jobs of higher priority, or of the same and earlier
  std::vector<Remedy> remedies;
  std::vector<WhyHolder> holders;  // when chips are short: those that end first, at most kHoldersShown …
  std::int64_t holders_more = 0;   // … and how many more there are
  std::optional<double> run_s;     // as asked, predicted
};

[[nodiscard]] Why why(const Core& core, const Job& job);
/// The same with lengths that the caller has already; it is now so late.
[[nodiscard]] Why why(const Core& core, const Job& job, const Lengths& lengths, Time now);

}  // namespace centrale
