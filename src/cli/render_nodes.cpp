// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "cli/progress.hpp"
#include "cli/render.hpp"

namespace centrale::cli {

std::string shown(std::string_view text, const Style& style) { return text.empty() ? std::string(unknown(style)) : printable(text); }

std::string age_text(std::string_view rfc3339, const Paper& paper) {
  const auto then = parse_time(rfc3339);
  return then ? span_text(std::max(0.0, paper.now - *then)) : std::string(unknown(paper.style));
}

Table nodes_table(const std::vector<NodeView>& nodes, const Paper& paper) {
  Table table{{{"NODE"},
               {"NAME", Align::left, 8},
               {"STATE"},
               {"CHIPS", Align::left, 12},
               {"FREE", Align::right},
               {"MEMORY", Align::right, 0, 1},
               {"POWER", Align::right, 0, 2},
               {"SINCE", Align::right, 0, 3},
               {"RESERVED", Align::left, 8, 4}},
              {}};
  for (const NodeView& node : nodes) {
    std::map<std::string, std::size_t> kinds;
    std::size_t free = 0;
    Number power;
    for (const ChipView& chip : node.chips) {
      ++kinds[chip.kind];
      free += !chip.holder && (chip.health.empty() || chip.health == "ok") ? 1U : 0U;
      if (chip.power_now_w) { power = power.value_or(0) + *chip.power_now_w; }
    }
    std::string chips;
    for (const auto& [kind, count] : kinds) {
      chips += fmt::format("{}{} {} {}", chips.empty() ? "" : ", ", count, paper.style.unicode ? "×" : "x", shown(kind, paper.style));
    }
    table.rows.push_back({{shown(node.id, paper.style)},
                          {shown(node.name, paper.style)},
                          {shown(node.state, paper.style), tone_of_state(node.state)},
                          {shown(chips, paper.style)},
                          {fmt::format("{}/{}", free, node.chips.size())},
                          {shown(node.memory_bytes, bytes_text, paper.style)},
                          {shown(power, power_text, paper.style)},
                          {age_text(node.since, paper)},
                          {shown(node.reservation, paper.style), Tone::yellow}});
  }
  return table;
}

Table chips_table(const std::vector<NodeView>& nodes, const Paper& paper) {
  Table table{{{"CHIP"},
               {"NODE", Align::left, 8},
               {"KIND", Align::left, 10},
               {"#", Align::right, 0, 6},
               {"HEALTH"},
               {"BUSY", Align::right},
               {"MEMORY", Align::right, 0, 2},
               {"POWER", Align::right, 0, 3},
               {"PRICE/H", Align::right, 0, 4},
               {"HELD BY", Align::left, 10},
               {"FAILED", Align::right, 0, 5},
               {"LAST REASON", Align::left, 12, 1}},
              {}};
  for (const NodeView& node : nodes) {
    for (const ChipView& chip : node.chips) {
      std::string power = shown(chip.power_w, power_text, paper.style);
      if (chip.power_now_w) {
        power = chip.power_w ? fmt::format("{} of {}", power_text(*chip.power_now_w), power) : power_text(*chip.power_now_w);
      }
      std::string holder = "free";
      if (chip.holder) {
        const std::string& id = chip.holder->job.empty() ? chip.holder->service : chip.holder->job;
        holder = shown(chip.holder->name.empty() ? id : chip.holder->name, paper.style);
        holder += !chip.holder->name.empty() && !id.empty() ? " (" + printable(id) + ")" : "";
      }
      const double failed = chip.failures.value_or(0) + chip.tasks_failed.value_or(0);  // itself, and tasks on it
      const bool suspect = chip.suspect && chip.health == "ok";
      table.rows.push_back(
          {{shown(chip.id, paper.style)},
           {shown(node.name, paper.style)},
           {shown(chip.kind, paper.style)},
           {shown(chip.index, count_text, paper.style)},
           {shown(chip.health, paper.style) + (suspect ? ", suspect" : ""), suspect ? Tone::yellow : tone_of_state(chip.health)},
           {shown(chip.utilisation, percent_text, paper.style)},
           {shown(chip.memory_bytes, bytes_text, paper.style)},
           {power},
           {chip.price_per_hour ? money_text(*chip.price_per_hour, paper.currency) : std::string(unknown(paper.style))},
           {holder, chip.holder ? Tone::plain : Tone::dim},
           {failed > 0 ? count_text(failed) : std::string(unknown(paper.style))},
           {shown(chip.reason, paper.style)}});
    }
  }
  return table;
}

}  // namespace centrale::cli
