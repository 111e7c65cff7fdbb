// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include "cli/progress.hpp"
#include "cli/render.hpp"

namespace centrale::cli {

Table services_table(const std::vector<ServiceView>& services, const Paper& paper) {
  Table table{{{"SERVICE"},
               {"NAME", Align::left, 8},
               {"TENANT", Align::left, 6, 6},
               {"STATE"},
               {"READY", Align::right},
               {"CHIPS", Align::right, 0, 4},
               {"REQUESTS", Align::right, 0, 1},
               {"TOKENS", Align::right, 0, 2},
               {"AGE", Align::right, 0, 5},
               {"MODEL", Align::left, 10, 3}},
              {}};
  for (const ServiceView& service : services) {
    const UsageView& usage = service.usage;
    Number tokens;
    if (usage.prompt_tokens || usage.completion_tokens) { tokens = usage.prompt_tokens.value_or(0) + usage.completion_tokens.value_or(0); }
    table.rows.push_back({{shown(service.id, paper.style)},
                          {shown(service.name, paper.style)},
                          {shown(service.tenant, paper.style)},
                          {shown(service.state, paper.style), tone_of_state(service.state)},
                          {fmt::format("{}/{}", shown(service.replicas_ready, count_text, paper.style),
                                       shown(service.replicas_wanted, count_text, paper.style))},
                          {shown(service.chips, count_text, paper.style)},
                          {shown(usage.requests, count_text, paper.style)},
                          {shown(tokens, count_text, paper.style)},
                          {age_text(service.defined, paper)},
                          {shown(service.model, paper.style)}});
  }
  return table;
}

Table replicas_table(const std::vector<ServiceView>& services, const Paper& paper) {
  Table table{{{"REPLICA", Align::left, 10},
               {"TASK"},
               {"STATE"},
               {"READY"},
               {"NODE", Align::left, 6, 3},
               {"PORT", Align::right, 0, 2},
               {"FAILURES", Align::right, 0, 1},
               {"", Align::left, 10}},
              {}};
  for (const ServiceView& service : services) {
    for (const ReplicaView& replica : service.replicas) {
      table.rows.push_back({{fmt::format("{}/{}", shown(service.name, paper.style), shown(replica.ordinal, count_text, paper.style))},
                            {shown(replica.task, paper.style)},
                            {shown(replica.state, paper.style), tone_of_state(replica.state)},
                            {replica.ready ? "yes" : "no", replica.ready ? Tone::green : Tone::yellow},
                            {shown(replica.node, paper.style)},
                            {replica.port && *replica.port > 0 ? fmt::format("{:.0f}", *replica.port) : std::string(unknown(paper.style))},
                            {shown(replica.failures, count_text, paper.style)},
                            {printable(replica.message), Tone::dim}});
    }
  }
  return table;
}

}  // namespace centrale::cli
