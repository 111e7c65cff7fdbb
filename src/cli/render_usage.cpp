// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include "cli/render.hpp"

namespace centrale::cli {
namespace {

/// Limits of 0 and null mean the same: none.
std::string limit_text(const Number& limit) { return limit && *limit > 0 ? count_text(*limit) : "no limit"; }

UsageView sum_of(const std::vector<UsageView>& lines) {
  UsageView sum;
  sum.name = "total";
  const auto add = [](Number& to, const Number& from) {
    if (from) { to = to.value_or(0) + *from; }
  };
  for (const UsageView& line : lines) {
    add(sum.device_s, line.device_s);
    add(sum.energy_j, line.energy_j);
    add(sum.tokens_trained, line.tokens_trained);
    add(sum.requests, line.requests);
    add(sum.prompt_tokens, line.prompt_tokens);
    add(sum.completion_tokens, line.completion_tokens);
    add(sum.cost, line.cost);
    sum.energy_estimated = sum.energy_estimated || line.energy_estimated;
  }
  return sum;
}

}  // namespace

Table usage_table(const std::vector<UsageView>& lines, std::string_view what, const Paper& paper) {
  const Style& style = paper.style;
  Table table{{{std::string(what), Align::left, 8},
               {"ID", Align::left, 0, 5},
               {"CHIP TIME", Align::right},
               {"ENERGY", Align::right},
               {"TRAINED", Align::right, 0, 1},
               {"REQUESTS", Align::right, 0, 4},
               {"TOKENS IN", Align::right, 0, 3},
               {"TOKENS OUT", Align::right, 0, 2},
               {"COST", Align::right}},
              {}};
  const auto add = [&](const UsageView& line, Tone tone) {
    // "~": the machine does not measure it; computed from the chips' rated power.
    const std::string energy =
        line.energy_j ? (line.energy_estimated ? "~" : "") + energy_text(*line.energy_j) : std::string(unknown(style));
    table.rows.push_back({{shown(line.name, style), tone},
                          {printable(line.id)},
                          {shown(line.device_s, span_text, style), tone},
                          {energy, tone},
                          {shown(line.tokens_trained, count_text, style), tone},
                          {shown(line.requests, count_text, style), tone},
                          {shown(line.prompt_tokens, count_text, style), tone},
                          {shown(line.completion_tokens, count_text, style), tone},
                          {line.cost ? money_text(*line.cost, paper.currency) : std::string(unknown(style)), tone}});
  };
  for (const UsageView& line : lines) { add(line, Tone::plain); }
  if (lines.size() > 1) { add(sum_of(lines), Tone::bold); }
  return table;
}

Table tenants_table(const std::vector<TenantView>& tenants, const Paper& paper) {
  const Style& style = paper.style;
  Table table{{{"TENANT"},
               {"NAME", Align::left, 8},
               {"CHIPS HELD", Align::right},
               {"CHIPS MAX", Align::right},
               {"TOKENS TODAY", Align::right, 0, 2},
               {"TOKENS/DAY MAX", Align::right, 0, 1},
               {"COST", Align::right, 0, 3}},
              {}};
  for (const TenantView& tenant : tenants) {
    table.rows.push_back({{shown(tenant.id, style)},
                          {shown(tenant.name, style)},
                          {shown(tenant.chips_held, count_text, style)},
                          {limit_text(tenant.chips_max)},
                          {shown(tenant.tokens_today, count_text, style)},
                          {limit_text(tenant.tokens_per_day_max)},
                          {tenant.usage.cost ? money_text(*tenant.usage.cost, paper.currency) : std::string(unknown(style))}});
  }
  return table;
}

Table keys_table(const std::vector<KeyView>& keys, const Paper& paper) {
  Table table{{{"KEY"}, {"TENANT", Align::left, 8}, {"LABEL", Align::left, 8}, {"ROLE"}, {"AGE", Align::right}, {"STATE"}}, {}};
  for (const KeyView& key : keys) {
    table.rows.push_back({{shown(key.id, paper.style)},
                          {shown(key.tenant, paper.style)},
                          {shown(key.label, paper.style)},
                          {shown(key.role, paper.style)},
                          {age_text(key.added, paper)},
                          {key.revoked ? "revoked" : "valid", key.revoked ? Tone::dim : Tone::green}});
  }
  return table;
}

}  // namespace centrale::cli
