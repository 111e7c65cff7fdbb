// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <set>

#include "cli/progress.hpp"
#include "cli/render.hpp"

namespace centrale::cli {
namespace {

std::string chips_text(const JobView& job, const Style& style) {
  if (!job.chips) { return std::string(unknown(style)); }
  return job.workers.value_or(1) > 1 ? fmt::format("{}{}{}", count_text(*job.workers), style.unicode ? "×" : "x", count_text(*job.chips))
                                     : count_text(*job.chips);
}

std::string where_text(const JobView& job) {
  std::set<std::string> nodes;
  for (const PlaceView& place : job.placement) { nodes.insert(place.node); }
  std::string text;
  for (const std::string& node : nodes) { text += (text.empty() ? "" : ",") + printable(node); }
  return text;
}

std::string progress_text(const JobView& job, const Style& style) {
  if (const auto fraction = fraction_done(job)) { return percent_text(*fraction); }
  return job.progress && job.progress->step ? "step " + count_text(*job.progress->step) : std::string(unknown(style));
}

/// What a person wants to know next about this job.
std::string remark(const JobView& job) {
  if (job.state == "queued") {
    const std::string wait = wait_text(job);
    return job.message.empty() ? wait : wait.empty() ? printable(job.message) : wait + ": " + printable(job.message);
  }
  return job.state == "done" || job.message == job.state ? std::string{} : printable(job.message);
}

}  // namespace

Table jobs_table(const std::vector<JobView>& jobs, const Paper& paper) {
  Table table{{{"JOB"},
               {"NAME", Align::left, 8},
               {"TENANT", Align::left, 6, 8},
               {"STATE"},
               {"CHIPS", Align::right, 0, 5},
               {"NODE", Align::left, 4, 6},
               {"DONE", Align::right},
               {"LOSS", Align::right, 0, 3},
               {"TIME", Align::right, 0, 1},
               {"LEFT", Align::right, 0, 2},
               {"AGE", Align::right, 0, 7},
               {"", Align::left, 10, 4}},
              {}};
  for (const JobView& job : jobs) {
    const bool is_member = job.array_size.value_or(0) > 0 && job.array_index.value_or(-1) >= 0;
    const std::string name = shown(job.name, paper.style) + (is_member ? fmt::format("[{}]", count_text(*job.array_index)) : "");
    const ProgressView progress = job.progress.value_or(ProgressView{});
    table.rows.push_back({{shown(job.id, paper.style)},
                          {name},
                          {shown(job.tenant, paper.style)},
                          {shown(job.state, paper.style), tone_of_state(job.state)},
                          {chips_text(job, paper.style)},
                          {where_text(job)},
                          {progress_text(job, paper.style)},
                          {progress.loss ? fmt::format("{:.4g}", *progress.loss) : std::string(unknown(paper.style))},
                          {shown(job.runtime_s, span_text, paper.style)},
                          {has_ended(job) ? std::string(unknown(paper.style)) : shown(progress.eta_s, span_text, paper.style)},
                          {age_text(job.submitted, paper)},
                          {remark(job), Tone::dim}});
  }
  return table;
}

}  // namespace centrale::cli
