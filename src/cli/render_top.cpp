// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <ctime>

#include "cli/progress.hpp"
#include "cli/top.hpp"

namespace centrale::cli {
namespace {

constexpr std::size_t kBarWidth = 10;
constexpr std::size_t kChipRowsMax = 64;  // of more chips, a row is a node

struct Part {
  std::string title;
  std::vector<std::string> heading_and_rows;  // the heading first; empty: only a remark
  std::string remark;                         // what stands there when there are no rows
  [[nodiscard]] std::size_t rows() const { return heading_and_rows.empty() ? 0 : heading_and_rows.size() - 1; }
  /// Lines that show all of it.
  [[nodiscard]] std::size_t lines() const { return heading_and_rows.empty() ? 2 : heading_and_rows.size() + 1; }
};

Tone tone_of_use(double fraction) { return fraction < 0.5 ? Tone::green : fraction < 0.85 ? Tone::yellow : Tone::red; }

std::string plain_bar(double fraction, std::size_t width, const Style& style) { return bar(fraction, width, {false, style.unicode}); }

std::string holder_of(const ChipView& chip) {
  if (!chip.holder) { return {}; }
  return printable(!chip.holder->name.empty() ? chip.holder->name : !chip.holder->job.empty() ? chip.holder->job : chip.holder->service);
}

/// One sign a chip: free, held, how busy, failed.
std::string heat(const ChipView& chip, const Style& style) {
  static constexpr std::array<std::string_view, 8> kLevels{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  if (!chip.health.empty() && chip.health != "ok") { return paint("x", Tone::red, style); }
  if (!chip.holder && chip.utilisation.value_or(0) < 0.05) { return paint(style.unicode ? "·" : ".", Tone::dim, style); }
  const double use = std::clamp(chip.utilisation.value_or(1), 0.0, 1.0);
  const auto level = std::min<std::size_t>(7, static_cast<std::size_t>(use * 8));
  return style.unicode ? paint(kLevels.at(level), tone_of_use(use), style)
                       : paint(std::string(1, static_cast<char>('0' + level)), tone_of_use(use), style);
}

Table chip_rows(const TopState& state, const Paper& paper) {
  Table table{
      {{"CHIP"}, {"NODE", Align::left, 6}, {"KIND", Align::left, 8}, {"BUSY"}, {"POWER", Align::right, 0, 1}, {"HELD BY", Align::left, 8}},
      {}};
  for (const NodeView& node : state.nodes) {
    for (const ChipView& chip : node.chips) {
      const bool failed = !chip.health.empty() && chip.health != "ok";
      std::string busy = unknown(paper.style);
      Tone tone = Tone::plain;
      if (failed) {
        busy = printable(chip.health);
        tone = Tone::red;
      } else if (chip.utilisation) {
        busy = plain_bar(*chip.utilisation, kBarWidth, paper.style) + pad(percent_text(*chip.utilisation), 5, Align::right);
        tone = tone_of_use(*chip.utilisation);
      }
      const std::string holder = holder_of(chip);
      table.rows.push_back({{shown(chip.id, paper.style)},
                            {shown(node.name, paper.style)},
                            {shown(chip.kind, paper.style)},
                            {busy, tone},
                            {shown(chip.power_now_w ? chip.power_now_w : chip.power_w, power_text, paper.style)},
                            {holder.empty() ? "free" : holder, holder.empty() ? Tone::dim : Tone::plain}});
    }
  }
  return table;
}

/// A large centre: a node a row, a sign a chip.
std::vector<std::string> node_rows(const TopState& state, const Paper& paper) {
  std::size_t names = 4;
  for (const NodeView& node : state.nodes) { names = std::max(names, display_width(node.name)); }
  names = std::min<std::size_t>(names, 24);
  const std::string heading = pad("NODE", names) + "  " + pad("STATE", 8) + pad("HELD", 10, Align::right) + "  CHIPS";
  std::vector<std::string> lines{paint(cut(heading, paper.width, paper.style), Tone::bold, paper.style)};
  for (const NodeView& node : state.nodes) {
    const auto held = std::ranges::count_if(node.chips, [](const ChipView& chip) { return chip.holder.has_value(); });
    const auto row = [&](const Style& style) {
      return fmt::format("{}  {}{}  ", pad(cut(printable(node.name), names, style), names),
                         paint(pad(cut(printable(node.state), 8, style), 8), tone_of_state(node.state), style),
                         pad(fmt::format("{}/{}", held, node.chips.size()), 10, Align::right));
    };
    const std::string plain = row({false, paper.style.unicode});
    const std::size_t used = display_width(plain);
    if (used >= paper.width) {
      lines.push_back(cut(plain, paper.width, paper.style));
      continue;
    }
    std::string line = row(paper.style);
    for (std::size_t i = 0; i < std::min(paper.width - used, node.chips.size()); ++i) { line += heat(node.chips[i], paper.style); }
    lines.push_back(std::move(line));
  }
  return lines;
}

Table job_rows(const TopState& state, const Paper& paper) {
  Table table{{{"JOB"},
               {"NAME", Align::left, 8},
               {"TENANT", Align::left, 6, 6},
               {"STATE"},
               {"CHIPS", Align::right, 0, 5},
               {"PROGRESS", Align::left, 15},
               {"LOSS", Align::right, 0, 1},
               {"TOK/S", Align::right, 0, 2},
               {"LEFT", Align::right, 0, 1},
               {"TIME", Align::right, 0, 3},
               {"", Align::left, 6, 4}},
              {}};
  for (const JobView& job : state.jobs) {
    const ProgressView progress = job.progress.value_or(ProgressView{});
    const auto fraction = fraction_done(job);
    std::string how_far = progress.step ? "step " + count_text(*progress.step) : unknown(paper.style);
    if (fraction) {
      how_far = fmt::format("{} {} {}/{}", plain_bar(*fraction, kBarWidth, paper.style), pad(percent_text(*fraction), 4, Align::right),
                            count_text(*progress.step), count_text(*progress.steps));
    }
    const bool ended = has_ended(job);
    const bool is_member = job.array_size.value_or(0) > 0 && job.array_index.value_or(-1) >= 0;
    const std::string remark = job.state == "queued"                             ? wait_text(job)
                               : job.state == "done" || job.message == job.state ? std::string{}
                                                                                 : printable(job.message);
    const double chips = job.chips.value_or(1) * job.workers.value_or(1);
    table.rows.push_back({{shown(job.id, paper.style)},
                          {shown(job.name, paper.style) + (is_member ? fmt::format("[{}]", count_text(*job.array_index)) : "")},
                          {shown(job.tenant, paper.style)},
                          {shown(job.state, paper.style), tone_of_state(job.state)},
                          {count_text(chips)},
                          {how_far, ended ? Tone::dim : Tone::cyan},
                          {progress.loss ? fmt::format("{:.4g}", *progress.loss) : unknown(paper.style)},
                          {ended ? unknown(paper.style) : shown(progress.tokens_per_s, count_text, paper.style)},
                          {ended ? unknown(paper.style) : shown(progress.eta_s, span_text, paper.style)},
                          {shown(job.runtime_s, span_text, paper.style)},
                          {remark, Tone::dim}});
  }
  return table;
}

std::vector<std::string> lines_of(const Table& table, const Paper& paper) {
  return table.rows.empty() ? std::vector<std::string>{} : render_lines(table, paper.width, paper.style);
}

std::array<Part, kTopParts> parts_of(const TopState& state, const Paper& paper) {
  std::size_t chips = 0;
  std::size_t held = 0;
  for (const NodeView& node : state.nodes) {
    chips += node.chips.size();
    held += static_cast<std::size_t>(std::ranges::count_if(node.chips, [](const ChipView& chip) { return chip.holder.has_value(); }));
  }
  const auto running = std::ranges::count_if(state.jobs, [](const JobView& job) { return job.state == "running"; });
  const auto queued = std::ranges::count_if(state.jobs, [](const JobView& job) { return job.state == "queued"; });
  const auto ready = std::ranges::count_if(state.services, [](const ServiceView& s) { return s.state == "ready"; });
  std::array<Part, kTopParts> parts;
  parts[0] = {fmt::format("CHIPS {}/{} held", held, chips),
              chips > kChipRowsMax ? node_rows(state, paper) : lines_of(chip_rows(state, paper), paper), "no chip known yet"};
  // The centre's own counts, where it says them: the list here has a limit.
  parts[1] = {fmt::format("JOBS {} running, {} queued", count_text(state.centre.running.value_or(static_cast<double>(running))),
                          count_text(state.centre.queued.value_or(static_cast<double>(queued)))),
              lines_of(job_rows(state, paper), paper), "no job yet; submit one: centrale submit FILE"};
  parts[2] = {fmt::format("SERVICES {}/{} ready", ready, state.services.size()), lines_of(services_table(state.services, paper), paper),
              "no service; start one: centrale serve FILE"};
  Paper money = paper;
  money.currency = state.usage.currency;
  parts[3] = {"USAGE by tenant", lines_of(usage_table(state.usage.tenants, "TENANT", money), money), "nothing used yet"};
  return parts;
}

/// Lines for each part: all get their title, then in turn what they want; the one in focus goes first, with twice the share.
std::array<std::size_t, kTopParts> share(const std::array<Part, kTopParts>& parts, TopPart focus, std::size_t lines) {
  std::array<std::size_t, kTopParts> given{};
  const auto give = [&](std::size_t part, std::size_t count) {
    const std::size_t wanted = parts[part].lines();
    count = std::min({count, lines, wanted > given[part] ? wanted - given[part] : 0});
    given[part] += count;
    lines -= count;
    return count > 0;
  };
  const auto first = static_cast<std::size_t>(focus);
  give(first, 3);
  for (std::size_t i = 0; i < kTopParts; ++i) { give(i, i == first ? 0 : 1); }
  bool gave = true;
  while (lines > 0 && gave) {
    gave = give(first, 2);
    for (std::size_t i = 0; i < kTopParts; ++i) {
      // A title alone, or a title with a heading and a row: a heading without rows says nothing.
      gave = (i != first && give(i, given[i] == 1 ? (lines >= 2 ? 2 : 0) : 1)) || gave;
    }
  }
  return given;
}

std::string title_line(const Part& part, bool focused, std::size_t from, std::size_t rows_shown, const Paper& paper) {
  std::string title = part.title;
  if (rows_shown < part.rows()) {
    title +=
        rows_shown == 0 ? fmt::format(" ({} rows)", part.rows()) : fmt::format(" ({}-{} of {})", from + 1, from + rows_shown, part.rows());
  }
  const std::string_view rule = paper.style.unicode ? "─" : "-";
  std::string left = focused ? (paper.style.unicode ? "▶ " : "> ") : std::string(rule) + " ";
  std::string text = cut(left + title + " ", paper.width, paper.style);
  std::string line = paint(text, focused ? Tone::bold : Tone::plain, paper.style);
  std::string rest;
  for (std::size_t i = display_width(text); i < paper.width; ++i) { rest += rule; }
  return line + paint(rest, Tone::dim, paper.style);
}

std::string clock_text(double now) {
  const auto seconds = static_cast<std::time_t>(now);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

std::string head_line(const TopState& state, const TopLook& look, const Paper& paper) {
  const CentreView& centre = state.centre;
  std::string left = centre.name.empty() ? "centrale" : printable(centre.name);
  left += centre.uptime_s ? "  up " + span_text(*centre.uptime_s) : "";
  left += centre.policy.empty() ? "" : "  policy " + printable(centre.policy);
  if (centre.journal_ok) { left += *centre.journal_ok ? "  journal ok" : "  JOURNAL: " + printable(centre.journal_message); }
  double watts = 0;
  for (const NodeView& node : state.nodes) {
    for (const ChipView& chip : node.chips) { watts += chip.power_now_w.value_or(0); }
  }
  left += watts > 0 ? "  " + power_text(watts) : "";
  const std::string right = (look.paused ? "paused  " : "") + clock_text(paper.now);
  left = cut(left, paper.width > right.size() + 2 ? paper.width - right.size() - 2 : 0, paper.style);
  const std::size_t gap = paper.width - std::min(paper.width, display_width(left) + right.size());
  const bool bad = centre.journal_ok && !*centre.journal_ok;
  return paint(left, bad ? Tone::red : Tone::bold, paper.style) + std::string(gap, ' ') + cut(right, paper.width, paper.style);
}

std::vector<std::string> help_lines() {
  return {"",
          "  q             leave",
          "  j k, arrows   scroll the part in focus",
          "  PgUp PgDn     scroll by half a screen",
          "  g G           to its beginning, to its end",
          "  tab           next part (shift-tab: the one before)",
          "  space         hold the picture still, and go on",
          "  ?             this, and back",
          "",
          "  A chip's sign on large centres: . free, low to high: how busy, x failed"};
}

}  // namespace

std::vector<std::string> render_top(const TopState& state, TopLook& look, const Paper& paper, std::size_t rows) {
  std::vector<std::string> lines{head_line(state, look, paper)};
  const std::size_t body = rows > 2 ? rows - 2 : 0;
  if (look.help) {
    for (const std::string& line : help_lines()) { lines.push_back(cut(line, paper.width, paper.style)); }
  } else {
    const std::array<Part, kTopParts> parts = parts_of(state, paper);
    const std::array<std::size_t, kTopParts> given = share(parts, look.focus, body);
    for (std::size_t i = 0; i < kTopParts; ++i) {
      const Part& part = parts[i];
      if (given[i] == 0) { continue; }
      const std::size_t room = given[i] > 2 ? std::min(given[i] - 2, part.rows()) : 0;
      std::size_t& from = look.scroll[i];
      from = std::min(from, part.rows() - room);
      lines.push_back(title_line(part, look.focus == static_cast<TopPart>(i), from, room, paper));
      if (part.heading_and_rows.empty() && given[i] > 1) {
        lines.push_back(paint(cut("  " + part.remark, paper.width, paper.style), Tone::dim, paper.style));
      }
      if (room > 0) {
        lines.push_back(part.heading_and_rows.front());
        for (std::size_t row = from; row < from + room; ++row) { lines.push_back(part.heading_and_rows[row + 1]); }
      }
    }
  }
  lines.resize(rows > 0 ? rows - 1 : 0);
  if (rows > 0) {
    const std::string keys = "q quit  j/k scroll  tab next part  space pause  ? help";
    lines.push_back(state.trouble.empty() ? paint(cut(keys, paper.width, paper.style), Tone::dim, paper.style)
                                          : paint(cut(printable(state.trouble), paper.width, paper.style), Tone::red, paper.style));
  }
  return lines;
}

}  // namespace centrale::cli
