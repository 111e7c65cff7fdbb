// SPDX-License-Identifier: Apache-2.0
// Why a job waits, in words.
#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/core.h>

#include "cli/why_view.hpp"

namespace centrale::cli {
namespace {

constexpr std::size_t kHoldersSaid = 5;  // a person reads no more; --json has the others

std::string counted(const Number& count, std::string_view one, std::string_view many) {
  const double n = count.value_or(0);
  return fmt::format("{} {}", count_text(n), n == 1 ? one : many);
}

/// A forecast is no better than two digits.
std::string about(double seconds) {
  const double step = seconds < 60 ? 1 : seconds < 3'600 ? 60 : seconds < 86'400 ? 600 : 3'600;
  std::string text = span_text(std::max(std::round(seconds / step) * step, 1.0));
  for (const std::string_view none : {" 00s", " 00m", " 00h"}) {
    if (text.ends_with(none)) { text.resize(text.size() - none.size()); }
  }
  return text;
}

std::string name_of(const JobView& job) { return fmt::format("{} ({})", printable(job.name), printable(job.id)); }

std::string joined(const std::vector<std::string>& words, std::string_view last) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    text += i == 0 ? "" : i + 1 == words.size() ? fmt::format(" {} ", last) : ", ";
    text += words[i];
  }
  return text;
}

/// "waits for 8 chips of h100 or a100; 3 of 16 h100 and 0 of 8 a100 are free"
std::string chips_wanted(const WhyView& why) {
  std::vector<std::string> kinds, rooms;
  double room = 0, most_free = 0, free = 0;
  for (const WhyKindView& kind : why.kinds) {
    kinds.push_back(printable(kind.kind));
    rooms.push_back(fmt::format("{} of {}{}", count_text(kind.free.value_or(0)), count_text(kind.usable.value_or(0)),
                                why.kinds.size() == 1 ? "" : " " + printable(kind.kind)));
    room = std::max(room, kind.workers_now.value_or(0));
    most_free = std::max(most_free, kind.free.value_or(0));
    free += kind.free.value_or(0);
  }
  const double workers = why.job.workers.value_or(1), wanted = workers * why.job.chips.value_or(1);
  std::string text = fmt::format("waits for {} of {}; {} {} free", counted(wanted, "chip", "chips"), joined(kinds, "or"),
                                 joined(rooms, "and"), free == 1 ? "is" : "are");
  // Enough are free, and yet it does not fit: memory, processors, or chips that lie too far apart.
  if (most_free >= wanted) { text += fmt::format(", with room for {} of its {}", count_text(room), counted(workers, "worker", "workers")); }
  return text;
}

std::string first_line(const WhyView& why, const Paper& paper) {
  const JobView& job = why.job;
  if (why.cause == "ended") {
    const std::string message = job.message.empty() || job.message == job.state ? "" : ": " + printable(job.message);
    return fmt::format("{} is {}{}.", name_of(job), printable(job.state), job.state == "done" ? "" : message);
  }
  if (why.cause == "runs") {
    return fmt::format("{} is {}{}.", name_of(job), printable(job.state),
                       job.started.empty() ? "" : fmt::format("; its first attempt began {} ago", age_text(job.started, paper)));
  }
  if (why.cause == "chips" && !why.kinds.empty()) { return fmt::format("{} {}.", name_of(job), chips_wanted(why)); }
  const std::string ids = why.waits_for.empty() ? "" : fmt::format(" ({})", printable(joined(why.waits_for, "and")));
  return fmt::format("{} waits: {}{}.", name_of(job), printable(why.reason), ids);
}

/// "in about 2h 10m (80%: 1h 20m to 3h 40m)"
std::string when(const QuantilesView& q, const Number& horizon_s) {
  if (!q.p50_s) { return fmt::format("not within {}", about(horizon_s.value_or(0))); }
  if (*q.p50_s < 1 && q.p90_s.value_or(1) < 1) { return "at once"; }
  const std::string low = about(q.p10_s.value_or(0)), high = q.p90_s ? about(*q.p90_s) : "more than " + about(horizon_s.value_or(0));
  return low == high ? fmt::format("in about {}", about(*q.p50_s)) : fmt::format("in about {} (80%: {} to {})", about(*q.p50_s), low, high);
}

void add_forecast(const WhyView& why, std::vector<std::string>& lines) {
  if (!why.forecast) {
    if (why.cause != "ended" && !why.no_forecast.empty()) { lines.push_back("No forecast: " + printable(why.no_forecast) + "."); }
    return;
  }
  const ForecastView& f = *why.forecast;
  const std::string draws = counted(f.draws, "draw", "draws");
  if (why.cause == "runs") {
    lines.push_back(fmt::format("It will end {}; {}.", when(f.end, f.horizon_s), draws));
    return;
  }
  lines.push_back(fmt::format("It will start {}; {}.", when(f.start, f.horizon_s), draws));
  if (f.start.p50_s && f.end.p50_s && *f.end.p50_s > *f.start.p50_s) {
    lines.push_back(fmt::format("It will end {}.", when(f.end, f.horizon_s)));
  }
}

void add_holders(const WhyView& why, std::vector<std::string>& lines) {
  if (why.holders.empty()) { return; }
  lines.emplace_back("Its chips are held by:");
  const std::size_t said = std::min(why.holders.size(), kHoldersSaid);
  std::vector<std::array<std::string, 3>> rows;
  std::size_t who_width = 0, chips_width = 0;
  for (std::size_t i = 0; i < said; ++i) {
    const WhyHolderView& holder = why.holders[i];
    const std::string& id = holder.job.empty() ? holder.service : holder.job;
    const std::string who = id.empty() ? "another tenant" : fmt::format("{} ({})", printable(holder.name), printable(id));
    const std::string end = holder.left_s ? *holder.left_s < 1 ? "should end any moment" : "ends in about " + about(*holder.left_s)
                                          : "runs until it is stopped";
    rows.push_back({who, fmt::format("{} of {}", counted(holder.chips, "chip", "chips"), printable(holder.kind)), end});
    who_width = std::max(who_width, display_width(rows.back()[0]));
    chips_width = std::max(chips_width, display_width(rows.back()[1]));
  }
  for (const auto& [who, chips, end] : rows) {
    lines.push_back(fmt::format("  {}  {}  {}", pad(who, who_width), pad(chips, chips_width), end));
  }
  const double more = why.holders_more.value_or(0) + static_cast<double>(why.holders.size() - said);
  if (more > 0) { lines.push_back(fmt::format("  and {} that end later", counted(more, "other", "others"))); }
}

std::string remedy_words(const RemedyView& remedy, const JobView& job) {
  const std::string kind = printable(remedy.kind);
  if (remedy.what == "fewer_workers") {
    return fmt::format("{} instead of {} on {}", counted(remedy.workers, "worker", "workers"), count_text(job.workers.value_or(1)), kind);
  }
  if (remedy.what == "other_kind") { return fmt::format("chips of {} (chip_kinds)", kind); }
  if (remedy.what == "other_shape") {
    return fmt::format("{} of {} each on {}", counted(remedy.workers, "worker", "workers"), counted(remedy.chips, "chip", "chips"), kind);
  }
  if (remedy.what == "no_memory_limit") { return fmt::format("no memory asked for, on {} (memory)", kind); }
  if (remedy.what == "no_cpu_limit") { return fmt::format("no processors asked for, on {} (cpus)", kind); }
  if (remedy.what == "share") {
    return fmt::format("a part of {} of a chip of {} (share)", percent_text(remedy.share_milli.value_or(1000) / 1000), kind);
  }
  if (remedy.what == "nodes_back") { return fmt::format("{} in use again", printable(joined(remedy.nodes, "and"))); }
  return printable(remedy.what);
}

void add_remedies(const WhyView& why, std::vector<std::string>& lines) {
  if (why.remedies.empty()) { return; }
  // The room was asked for; whether the policy lets it pass those before it was not.
  lines.emplace_back(why.ahead.value_or(0) > 0 ? "There is room now, if those before it let it pass, for:" : "It would start now with:");
  for (const RemedyView& remedy : why.remedies) {
    const std::string runs = remedy.run_s ? fmt::format("; it would run for {}{}", about(*remedy.run_s),
                                                        why.run_s ? fmt::format(" instead of {}", about(*why.run_s)) : std::string{})
                                          : std::string{};
    lines.push_back(fmt::format("  {}{}", remedy_words(remedy, why.job), runs));
  }
}

}  // namespace

std::string why_text(const WhyView& why, const Paper& paper) {
  std::vector<std::string> lines{first_line(why, paper)};
  const bool waits = why.cause != "ended" && why.cause != "runs";
  if (!why.until.empty()) {
    if (const auto until = parse_time(why.until)) {
      lines.push_back(fmt::format("It is tried again in {}.", span_text(std::max(*until - paper.now, 0.0))));
    }
  }
  if (waits && why.ahead.value_or(0) > 0) {
    lines.push_back(fmt::format("{} before it.", *why.ahead == 1 ? "1 job is" : count_text(*why.ahead) + " jobs are"));
  }
  add_forecast(why, lines);
  add_holders(why, lines);
  add_remedies(why, lines);
  std::string text;
  for (const std::string& line : lines) { text += (text.empty() ? "" : "\n") + line; }
  return text;
}

}  // namespace centrale::cli
