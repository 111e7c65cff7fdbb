// SPDX-License-Identifier: Apache-2.0
#include "cli/simulate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/json.hpp"
#include "cli/progress.hpp"
#include "cli/simulate_inputs.hpp"
#include "cli/simulate_render.hpp"
#include "cli/simulate_run.hpp"
#include "cli/table.hpp"
#include "policy/policy.hpp"

namespace centrale::cli {
namespace {

/// A file to write when all has been played; opened before, so that a wrong path does not cost the run.
class OutFile {
 public:
  [[nodiscard]] Outcome<void> open(const std::string& path) {
    path_ = path;
    if (path.empty()) { return {}; }
    file_.open(path, std::ios::binary);
    return check();
  }
  [[nodiscard]] Outcome<void> write(std::string_view text) {
    file_ << text << std::flush;
    return check();
  }
  [[nodiscard]] bool asked() const { return !path_.empty(); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  [[nodiscard]] Outcome<void> check() const {
    if (file_) { return {}; }
    return std::unexpected(
        Failure(Error{ErrorKind::io, std::string("cannot be written: ") + std::strerror(errno), path_, {}}, kExitFailed));
  }
  std::string path_;
  std::ofstream file_;
};

/// One line on stderr that is drawn over, only where somebody sees it.
class ProgressLine {
 public:
  ProgressLine(Context& context, std::size_t runs) : context_(context), runs_(runs), shown_(context.err_style.colour) {}
  ~ProgressLine() {
    if (drawn_) { context_.err << "\r\x1b[K" << std::flush; }
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void draw(double done, std::size_t ended) {
    if (!shown_) { return; }
    drawn_ = true;
    constexpr std::size_t kBarWidth = 30;
    context_.err << fmt::format("\r{}  {}  {} of {} runs\x1b[K", bar(done, kBarWidth, context_.err_style), percent_text(done), ended, runs_)
                 << std::flush;
  }

 private:
  Context& context_;
  std::size_t runs_;
  bool shown_, drawn_ = false;
};

struct Files {
  OutFile csv, html, timeline;
  [[nodiscard]] Outcome<void> open(const SimulateOptions& o) {
    TRY(csv.open(o.csv));
    TRY(html.open(o.html));
    TRY(timeline.open(o.timeline));
    return {};
  }
};

ReportPage page_of(const Simulation& s, std::vector<RunOutput>& outputs) {
  ReportPage page{
      .fleet = machines_text(s.machines), .workload = s.load_name, .currency = s.currency, .notes = s.notes, .comparison = {}, .runs = {}};
  std::vector<Summary> summaries;
  std::size_t left_out = 0;
  for (RunOutput& output : outputs) {
    left_out += output.left_out;
    for (const std::string& note : output.report.notes) {
      if (std::ranges::find(page.notes, note) == page.notes.end()) { page.notes.push_back(note); }
    }
    summaries.push_back(output.report.summary);
    page.runs.push_back(std::move(output.report));
  }
  if (left_out > 0) {
    page.notes.push_back(fmt::format("the timeline leaves out {} of the last placements: more cannot be looked at",
                                     format_count(static_cast<std::int64_t>(left_out))));
  }
  page.comparison = compare(summaries, outputs.front().kinds);
  return page;
}

Outcome<void> write_files(Context& context, Files& files, const ReportPage& page, const std::vector<RunOutput>& outputs) {
  if (files.csv.asked()) {
    TRY(files.csv.write(jobs_csv_header()));
    for (const RunOutput& output : outputs) { TRY(files.csv.write(output.csv)); }
    note(context, "what became of each job is in " + files.csv.path());
  }
  if (files.html.asked()) {
    TRY(files.html.write(html_of(page)));
    note(context, "the report is in " + files.html.path());
  }
  if (files.timeline.asked()) {
    std::vector<std::string> runs;
    for (const RunOutput& output : outputs) { runs.push_back(output.timeline); }
    TRY(files.timeline.write(timeline_file(runs)));
    note(context, "the first seed's placements are in " + files.timeline.path() + ": open it in ui.perfetto.dev");
  }
  return {};
}

Outcome<int> simulate(Context& context, const SimulateOptions& options) {
  TRY_ASSIGN(const Simulation simulation, read_simulation(options));
  Files files;
  TRY(files.open(options));
  std::vector<RunOutput> outputs;
  {
    ProgressLine line(context, simulation.policies.size() * simulation.seeds.size());
    TRY_ASSIGN(outputs, run_all({.simulation = simulation,
                                 .threads = static_cast<std::size_t>(options.threads),
                                 .csv = files.csv.asked(),
                                 .timeline = files.timeline.asked(),
                                 .progress = [&](double done, std::size_t ended) { line.draw(done, ended); }}));
  }
  const ReportPage page = page_of(simulation, outputs);
  print(context, context.json ? json_of(page) : comparison_text(page, context.width, context.style));
  TRY(write_files(context, files, page, outputs));
  return kExitOk;
}

}  // namespace

int simulate_command(Context& context, const SimulateOptions& options) { return finish(context, simulate(context, options)); }

int policies_command(Context& context) {
  if (context.json) {
    std::string text;
    JsonWriter out(text);
    out.begin_array();
    for (const auto& [name, what] : policy_names()) {
      out.begin_object();
      out.key("name").text(name);
      out.key("what").text(what);
      out.end_object();
    }
    out.end_array();
    print(context, text);
    return kExitOk;
  }
  Table table{.columns = {Column{"policy", Align::left, 0, 0}, Column{"who runs next", Align::left, 20, 0}}, .rows = {}};
  for (const auto& [name, what] : policy_names()) {
    table.rows.push_back({Cell{std::string(name), Tone::bold}, Cell{std::string(what), Tone::plain}});
  }
  print(context, render(table, context.width, context.style));
  return kExitOk;
}

}  // namespace centrale::cli
