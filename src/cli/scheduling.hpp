// SPDX-License-Identifier: Apache-2.0
// How the centre schedules, what is set apart, and what is well again: the commands, and how they are spelled.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cli/context.hpp"

namespace CLI {
class App;
}

namespace centrale::cli {

/// What is not given stays as it is. Spans are text, such as "5m".
struct ScheduleOptions {
  std::optional<std::string> policy, round, starvation_after, quarantine;
  std::optional<std::int64_t> suspect_after;
};
int schedule(Context& context, const ScheduleOptions& options);

struct ReserveOptions {
  std::string name, kind, tenant;
  std::vector<std::string> nodes;
  std::optional<std::int64_t> chips;
  std::string from, until, span;  // empty: not given
  bool maintenance = false;
};
int reserve(Context& context, const ReserveOptions& options);
int reservations(Context& context);
int unreserve(Context& context, const std::string& name);
int repair(Context& context, const std::string& chip);

void add_scheduling_commands(CLI::App& app, Context& context);

}  // namespace centrale::cli
