// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace centrale::cli {
namespace {

constexpr std::size_t kStateWidth = 9;  // "cancelled"
constexpr std::size_t kBarMin = 8;
constexpr std::size_t kBarMax = 30;
constexpr std::string_view kGap = "  ";

std::string head(std::string_view name, std::string_view state, std::size_t name_width, const Style& style) {
  return pad(cut(printable(name), name_width, style), name_width) + std::string(kGap) +
         paint(pad(state, kStateWidth), tone_of_state(state), style);
}

/// Appends the parts that fit, in order; `used` and `width` in columns.
std::string with_parts(std::string line, std::size_t used, const std::vector<std::string>& parts, std::size_t width, const Style& style) {
  for (const std::string& part : parts) {
    if (part.empty()) { continue; }
    const std::size_t columns = kGap.size() + display_width(part);
    if (width > 0 && used + columns > width) {
      if (used + kGap.size() + 8 <= width) {  // enough room to be worth a piece of it
        line += std::string(kGap) + cut(part, width - used - kGap.size(), style);
      }
      break;
    }
    line += std::string(kGap) + part;
    used += columns;
  }
  return line;
}

std::string steps_text(const ProgressView& p) {
  if (p.step && p.steps) { return fmt::format("{}/{}", count_text(*p.step), count_text(*p.steps)); }
  return p.step ? "step " + count_text(*p.step) : std::string{};
}

}  // namespace

std::string bar(double fraction, std::size_t width, const Style& style) {
  fraction = std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0.0;
  std::string text;
  if (!style.unicode) {
    const auto full = static_cast<std::size_t>(fraction * static_cast<double>(width));
    return std::string(full, '#') + std::string(width - full, '.');
  }
  static constexpr std::array<std::string_view, 8> kEighths{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths = static_cast<std::size_t>(fraction * static_cast<double>(width * 8));
  std::size_t columns = eighths / 8;
  for (std::size_t i = 0; i < columns; ++i) { text += "█"; }
  if (eighths % 8 > 0) {
    text += kEighths.at(eighths % 8);
    ++columns;
  }
  std::string rest;
  for (; columns < width; ++columns) { rest += "░"; }
  return paint(text, Tone::cyan, style) + paint(rest, Tone::dim, style);
}

std::optional<double> fraction_done(const JobView& job) {
  if (!job.progress || !job.progress->step || !job.progress->steps || !(*job.progress->steps > 0)) { return std::nullopt; }
  return std::clamp(*job.progress->step / *job.progress->steps, 0.0, 1.0);
}

Tone tone_of_state(std::string_view state) {
  if (state == "running" || state == "done" || state == "ready" || state == "up" || state == "ok") { return Tone::green; }
  if (state == "failed" || state == "lost" || state == "gone" || state == "exited") { return Tone::red; }
  if (state == "queued" || state == "starting" || state == "stopping" || state == "degraded" || state == "drained" || state == "removing") {
    return Tone::yellow;
  }
  return state == "cancelled" ? Tone::dim : Tone::plain;
}

std::string wait_text(const JobView& job) {
  if (job.wait == "chips") { return "waits for chips"; }
  if (job.wait == "dependency") {
    std::string names;
    for (const std::string& name : job.after) { names += (names.empty() ? "" : ", ") + printable(name); }
    return names.empty() ? "waits for other jobs" : "waits for " + names;
  }
  if (job.wait == "backoff") {
    return job.failures ? fmt::format("tries again soon (failure {})", count_text(*job.failures)) : "tries again soon";
  }
  return {};
}

std::string progress_line(const JobView& job, std::size_t name_width, std::size_t width, const Style& style) {
  std::string line = head(job.name.empty() ? job.id : job.name, job.state, name_width, style);
  std::size_t used = name_width + kGap.size() + kStateWidth;
  const ProgressView progress = job.progress.value_or(ProgressView{});
  const std::string loss = progress.loss ? fmt::format("loss {:.4g}", *progress.loss) : "";
  if (job.state == "queued") { return with_parts(line, used, {wait_text(job), printable(job.message)}, width, style); }
  if (has_ended(job)) {
    const std::string steps = steps_text(progress);
    return with_parts(
        line, used,
        {steps.empty() || job.state != "done" ? steps : steps + " steps", loss, job.runtime_s ? "in " + span_text(*job.runtime_s) : "",
         job.state == "done" || job.message == job.state ? "" : printable(job.message)},
        width, style);
  }
  std::vector<std::string> parts{steps_text(progress), loss};
  if (progress.eta_s && *progress.eta_s >= 0) { parts.push_back(span_text(*progress.eta_s) + " left"); }
  if (progress.tokens_per_s) { parts.push_back(count_text(*progress.tokens_per_s) + " tok/s"); }
  if (job.attempts && *job.attempts > 1) { parts.push_back(fmt::format("attempt {}", count_text(*job.attempts))); }
  if (job.state == "stopping") { parts.insert(parts.begin(), "saves and leaves"); }
  const auto fraction = fraction_done(job);
  if (!fraction) {
    if (!progress.step && job.runtime_s) { parts.push_back("for " + span_text(*job.runtime_s)); }
    return with_parts(line, used, parts, width, style);
  }
  std::size_t wanted = used;
  for (const std::string& part : parts) { wanted += part.empty() ? 0 : kGap.size() + display_width(part); }
  const std::size_t room = width == 0 ? kBarMax : width > wanted + kGap.size() ? width - wanted - kGap.size() : 0;
  // With little room the parts at the end give way to a short bar, but on a very narrow terminal there is no bar.
  const std::size_t bar_width = room >= kBarMin ? std::min(room, kBarMax) : width >= used + 40 ? kBarMin : 0;
  if (bar_width > 0) {
    line += std::string(kGap) + bar(*fraction, bar_width, style);
    used += kGap.size() + bar_width;
  }
  return with_parts(line, used, parts, width, style);
}

std::string array_line(const std::vector<JobView>& members, std::size_t name_width, std::size_t width, const Style& style) {
  std::map<std::string, std::size_t> counts;
  for (const JobView& job : members) { ++counts[job.state]; }
  const std::size_t ended = counts["done"] + counts["failed"] + counts["cancelled"];
  const std::string state = ended < members.size()    ? counts["running"] > 0 ? "running" : "queued"
                            : counts["failed"] > 0    ? "failed"
                            : counts["cancelled"] > 0 ? "cancelled"
                                                      : "done";
  std::string line = head(members.empty() ? "" : members.front().name, state, name_width, style);
  std::size_t used = name_width + kGap.size() + kStateWidth;
  if (!members.empty() && (width == 0 || width >= used + 40)) {
    line += std::string(kGap) + bar(static_cast<double>(ended) / static_cast<double>(members.size()), kBarMin * 2, style);
    used += kGap.size() + kBarMin * 2;
  }
  std::vector<std::string> parts{fmt::format("{}/{} ended", ended, members.size())};
  for (const std::string_view name : {"failed", "running", "starting", "stopping", "queued", "cancelled"}) {
    const std::size_t n = counts[std::string(name)];
    parts.push_back(n > 0 ? fmt::format("{} {}", n, name) : "");
  }
  return with_parts(line, used, parts, width, style);
}

std::string service_line(const ServiceView& service, std::size_t name_width, std::size_t width, const Style& style) {
  const std::string line = head(service.name, service.state, name_width, style);
  std::vector<std::string> parts;
  if (service.replicas_wanted) {
    parts.push_back(fmt::format("{}/{} ready", count_text(service.replicas_ready.value_or(0)), count_text(*service.replicas_wanted)));
  }
  for (const ReplicaView& replica : service.replicas) {
    if (!replica.ready && parts.size() < 3) {
      std::string text = fmt::format("replica {}: {}", count_text(replica.ordinal.value_or(0)),
                                     replica.state.empty() ? "waits" : printable(replica.state));
      if (!replica.message.empty()) { text += " (" + printable(replica.message) + ")"; }
      parts.push_back(std::move(text));
    }
  }
  return with_parts(line, name_width + kGap.size() + kStateWidth, parts, width, style);
}

}  // namespace centrale::cli
