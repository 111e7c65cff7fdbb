// SPDX-License-Identifier: Apache-2.0
// Our own trace, for any workload. A header names the columns, in any order; only submit_s is needed, and run_s or profile and steps.
//
//   submit_s, run_s, estimate_s   seconds, to the ns ("12.5")       workers, chips          ranks, and chips of each (1; chips 0: none)
//   chip_kinds                    "h100|a100": what will do         workers_min, _max       elastic bounds (0: as asked)
//   memory                        a worker's: "64GiB"               cpu                     a worker's cores: "7.5"
//   share                         of one chip: "0.5" (1)            profile, steps, batch   speed is the profile's, work in its steps
//   tenant, name, priority        ("default", row number, 0)        preemptible, service    true or false (true, false)
//   status                        done, failed or cancelled
//
// Lines before the header that start with '#' are tables that columns cannot say: "#trace,NAME", "#tenant,NAME", "#kinds,a|b",
// "#profile,NAME", "#node,NAME,KIND,CHIPS,CPU,MEMORY". Other lines with '#' there are comments.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "base/text.hpp"
#include "simulate/trace_builder.hpp"

namespace centrale {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

enum Column : std::size_t {
  kName,
  kTenant,
  kSubmit,
  kRun,
  kWorkers,
  kChips,
  kKinds,
  kMemory,
  kCpu,
  kShare,
  kPriority,
  kEstimate,
  kProfile,
  kSteps,
  kBatch,
  kWorkersMin,
  kWorkersMax,
  kPreemptible,
  kService,
  kStatus,
  kColumns,
};
constexpr std::array<std::string_view, kColumns> kNames{
    "name",     "tenant",     "submit_s", "run_s", "workers", "chips",       "chip_kinds",  "memory",      "cpu",     "share",
    "priority", "estimate_s", "profile",  "steps", "batch",   "workers_min", "workers_max", "preemptible", "service", "status"};

class OwnReader {
 public:
  OwnReader(TraceRows& rows, TraceBuilder& builder) : rows_(rows), builder_(builder) { at_.fill(kTraceColumnsMax); }

  Result<void> header();
  Result<void> row();

 private:
  Result<void> directive();
  Result<void> tables_done();
  std::string_view cell(Column column) const { return rows_[at_[column]]; }
  /// A number that may be left out, from `low` on.
  Result<std::int64_t> number(Column column, std::int64_t scale, std::int64_t none, std::int64_t low = 0) const {
    TRY_ASSIGN(const std::int64_t value, rows_.scaled(at_[column], kNames[column], scale));
    if (value == kNoNumber) { return none; }
    if (value < low) {
      return rows_.wrong(fmt::format("{}: wants {} or more, found '{}'", kNames[column], low, shorten(cell(column), 40)));
    }
    return value;
  }
  Result<Nanos> span(Column column, std::int64_t none) const {
    TRY_ASSIGN(const std::int64_t value, number(column, kSecond, none));
    if (value / kSecond > kTraceSecondsMax) { return rows_.wrong(fmt::format("{}: more than a hundred years", kNames[column])); }
    return Nanos{value};
  }
  Result<double> amount(Column column) const {
    TRY_ASSIGN(const double value, rows_.real(at_[column], kNames[column]));
    if (std::isnan(value)) { return 0.0; }
    if (value < 0) { return rows_.wrong(fmt::format("{}: wants 0 or more, found '{}'", kNames[column], shorten(cell(column), 40))); }
    return value;
  }
  Result<bool> yes(Column column, bool none) const {
    const std::string_view text = cell(column);
    if (text.empty()) { return none; }
    if (text == "true" || text == "yes" || text == "1") { return true; }
    if (text == "false" || text == "no" || text == "0") { return false; }
    return rows_.wrong(fmt::format("{}: wants true or false, found '{}'", kNames[column], shorten(text, 40)));
  }
  Result<void> needs(TraceJob& job) const;
  Result<void> times(TraceJob& job) const;
  Result<void> names(TraceJob& job);

  TraceRows& rows_;
  TraceBuilder& builder_;
  std::array<std::size_t, kColumns> at_{};
  std::vector<std::string> tenants_, profiles_;
  std::vector<std::vector<std::string>> kinds_;
};

std::vector<std::string> kinds_of(std::string_view text) {
  std::vector<std::string> kinds;
  while (!text.empty()) {
    const std::size_t bar = std::min(text.find('|'), text.size());
    kinds.emplace_back(text.substr(0, bar));
    text.remove_prefix(std::min(bar + 1, text.size()));
  }
  return kinds;
}

Result<void> OwnReader::directive() {
  const std::string_view what = rows_[0];
  if (what == "#trace") { builder_.workload().name = rows_[1]; }
  if (what == "#tenant") { tenants_.emplace_back(rows_[1]); }
  if (what == "#profile") { profiles_.emplace_back(rows_[1]); }
  if (what == "#kinds") { kinds_.push_back(kinds_of(rows_[1])); }
  if (what != "#node") { return {}; }
  TRY_ASSIGN(const std::int64_t chips, rows_.whole(3, "chips"));
  TRY_ASSIGN(const std::int64_t cpu, rows_.scaled(4, "cpu", 1000));
  const auto memory = parse_bytes(rows_[5]);
  if (chips < 0 || cpu < 0 || !memory) {
    return rows_.wrong("a node wants #node,NAME,KIND,CHIPS,CPU,MEMORY", "as in #node,n1,h100,8,96,1TiB");
  }
  builder_.workload().nodes.push_back(
      {.name = std::string(rows_[1]), .kind = std::string(rows_[2]), .chips = chips, .cpu_milli = cpu, .memory = *memory});
  return {};
}

Result<void> OwnReader::tables_done() {
  Workload& into = builder_.workload();
  if (!tenants_.empty()) { into.tenants = tenants_; }
  if (!profiles_.empty()) { into.profiles = profiles_; }
  if (!kinds_.empty()) { into.kind_choices = kinds_; }
  if (!into.profiles.front().empty() || !into.kind_choices.front().empty()) {
    return rows_.wrong("the first #profile is not empty, or the first #kinds",
                       "the first of each stands for none: write '#profile,' and '#kinds,'");
  }
  builder_.index_tables();
  return {};
}

Result<void> OwnReader::header() {
  while (true) {
    TRY_ASSIGN(const bool any, rows_.next());
    if (!any) { return rows_.wrong("there is no header row", fmt::format("columns are {}", fmt::join(kNames, ","))); }
    if (!rows_.raw().starts_with('#')) { break; }
    TRY(directive());
  }
  TRY(tables_done());
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const auto known = std::ranges::find(kNames, rows_[i]);
    if (known == kNames.end()) {
      return rows_.wrong(fmt::format("there is no column '{}'", shorten(rows_[i], 40)), nearest_remedy(rows_[i], kNames));
    }
    std::size_t& at = at_[static_cast<std::size_t>(known - kNames.begin())];
    if (at != kTraceColumnsMax) { return rows_.wrong(fmt::format("two columns are named '{}'", *known)); }
    at = i;
  }
  if (at_[kSubmit] == kTraceColumnsMax) { return rows_.wrong("there is no column 'submit_s'"); }
  return {};
}

Result<void> OwnReader::needs(TraceJob& job) const {
  TRY_ASSIGN(job.workers, number(kWorkers, 1, 1, 1));
  TRY_ASSIGN(job.chips, number(kChips, 1, 1));
  TRY_ASSIGN(job.workers_min, number(kWorkersMin, 1, 0));
  TRY_ASSIGN(job.workers_max, number(kWorkersMax, 1, 0));
  if (job.workers_max < job.workers_min) {
    return rows_.wrong(fmt::format("workers_min {} is above workers_max {}", job.workers_min, job.workers_max));
  }
  TRY_ASSIGN(job.share_milli, number(kShare, 1000, 1000, 1));
  if (job.share_milli > 1000 || (job.share_milli < 1000 && job.chips != 1)) {
    return rows_.wrong(fmt::format("share: {} of {} chips; a share is of one chip, at most 1", cell(kShare), job.chips));
  }
  TRY_ASSIGN(job.cpu_milli, number(kCpu, 1000, 0));
  if (cell(kMemory).empty()) { return {}; }
  const auto memory = parse_bytes(cell(kMemory));
  if (!memory) { return rows_.wrong(fmt::format("memory: wants a size such as 64GiB, found '{}'", shorten(cell(kMemory), 40))); }
  job.memory = *memory;
  return {};
}

Result<void> OwnReader::times(TraceJob& job) const {
  if (is_unknown(cell(kSubmit))) { return rows_.wrong("submit_s is empty"); }
  TRY_ASSIGN(const Nanos submit, span(kSubmit, 0));
  job.submit = Time{submit.value};
  TRY_ASSIGN(job.run, span(kRun, 0));
  TRY_ASSIGN(job.estimate, span(kEstimate, 0));
  TRY_ASSIGN(job.work, amount(kSteps));
  TRY_ASSIGN(job.batch, amount(kBatch));
  TRY_ASSIGN(job.service, yes(kService, false));
  TRY_ASSIGN(job.preemptible, yes(kPreemptible, true));
  const bool has_profile = !cell(kProfile).empty();
  if (!job.service && is_unknown(cell(kRun)) && !(has_profile && job.work > 0)) {
    return rows_.wrong("there is neither run_s nor a profile with steps", "say how long the job runs");
  }
  if (has_profile && job.work == 0 && job.run.value == 0) { return rows_.wrong("a profile wants steps, or run_s"); }
  return {};
}

Result<void> OwnReader::names(TraceJob& job) {
  if (!cell(kTenant).empty()) { job.tenant = builder_.tenant(cell(kTenant)); }
  if (!cell(kProfile).empty()) { job.profile = builder_.profile(cell(kProfile)); }
  job.kinds = builder_.kinds(cell(kKinds));
  job.name = cell(kName).empty() ? fmt::format("row{}", rows_.line()) : std::string(cell(kName));
  TRY_ASSIGN(const std::int64_t priority, number(kPriority, 1, 0, std::numeric_limits<std::int32_t>::min()));
  if (priority > std::numeric_limits<std::int32_t>::max()) { return rows_.wrong("priority: too large"); }
  job.priority = static_cast<std::int32_t>(priority);
  const std::string_view status = cell(kStatus);
  job.end = recorded_end(status);
  if (job.end == RecordedEnd::done && !status.empty() && status != "done") {
    return rows_.wrong(fmt::format("status: wants done, failed or cancelled, found '{}'", shorten(status, 40)));
  }
  return {};
}

Result<void> OwnReader::row() {
  TraceJob job;
  TRY(needs(job));
  TRY(times(job));
  TRY(names(job));
  return builder_.add(std::move(job), rows_.line());
}

std::string quoted(std::string_view text) {
  const auto edge = [](char c) { return c == ' ' || c == '\t'; };
  const bool bare = text.find_first_of("\",\r\n") == std::string_view::npos && !text.starts_with('#') &&
                    (text.empty() || (!edge(text.front()) && !edge(text.back())));
  if (bare) { return std::string(text); }
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') { out += '"'; }
    out += c;
  }
  return out + '"';
}

/// "12.5": value / scale, exactly, without needless zeros. scale is a power of ten.
std::string decimal(std::int64_t value, std::int64_t scale) {
  std::string text = fmt::format("{}", value / scale);
  std::int64_t rest = value % scale;
  if (rest == 0) { return text; }
  text += '.';
  for (std::int64_t unit = scale / 10; rest != 0; unit /= 10) {
    text += static_cast<char>('0' + rest / unit);
    rest %= unit;
  }
  return text;
}

std::string joined(const std::vector<std::string>& kinds) { return fmt::format("{}", fmt::join(kinds, "|")); }

/// Whether a reader that meets the indices in this order makes the same table: each new one is the next.
template <class Index>
bool in_order_of_use(const std::vector<TraceJob>& jobs, std::size_t size, Index index) {
  std::size_t known = 1;
  for (const TraceJob& job : jobs) {
    if (index(job) > known) { return false; }
    if (index(job) == known) { ++known; }
  }
  return known == size;
}

void write_tables(std::string& out, const Workload& w) {
  out += fmt::format("#trace,{}\n", quoted(w.name));
  if (w.tenants.front() != "default" || !in_order_of_use(w.jobs, w.tenants.size(), [](const TraceJob& j) { return j.tenant; })) {
    for (const auto& name : w.tenants) { out += fmt::format("#tenant,{}\n", quoted(name)); }
  }
  if (!in_order_of_use(w.jobs, w.profiles.size(), [](const TraceJob& j) { return j.profile; })) {
    for (const auto& name : w.profiles) { out += fmt::format("#profile,{}\n", quoted(name)); }
  }
  if (!in_order_of_use(w.jobs, w.kind_choices.size(), [](const TraceJob& j) { return j.kinds; })) {
    for (const auto& kinds : w.kind_choices) { out += fmt::format("#kinds,{}\n", quoted(joined(kinds))); }
  }
  for (const TraceNode& n : w.nodes) {
    out +=
        fmt::format("#node,{},{},{},{},{}\n", quoted(n.name), quoted(n.kind), n.chips, decimal(n.cpu_milli, 1000), exact_bytes(n.memory));
  }
}

void write_job(std::string& out, const Workload& w, const TraceJob& job) {
  static constexpr std::string_view kEnds[] = {"done", "failed", "cancelled"};
  const auto or_empty = [](std::string text, bool empty) { return empty ? std::string{} : text; };
  fmt::format_to(std::back_inserter(out), "{},{},{},{},{},{},{},{},{},{},", quoted(job.name),
                 job.tenant == 0 ? std::string{} : quoted(w.tenants[job.tenant]), decimal(job.submit.ns, kSecond),
                 or_empty(decimal(job.run.value, kSecond), job.run.value == 0 && (job.service || job.work > 0)), job.workers, job.chips,
                 quoted(joined(w.kind_choices[job.kinds])), or_empty(exact_bytes(job.memory), job.memory.value == 0),
                 or_empty(decimal(job.cpu_milli, 1000), job.cpu_milli == 0),
                 or_empty(decimal(job.share_milli, 1000), job.share_milli == 1000));
  fmt::format_to(std::back_inserter(out), "{},{},{},{},{},{},{},{},{},{}\n", job.priority,
                 or_empty(decimal(job.estimate.value, kSecond), job.estimate.value == 0), quoted(w.profiles[job.profile]),
                 or_empty(fmt::format("{}", job.work), job.work == 0), or_empty(fmt::format("{}", job.batch), job.batch == 0),
                 job.workers_min, job.workers_max, job.preemptible, job.service, kEnds[static_cast<std::size_t>(job.end)]);
}

}  // namespace

Result<Workload> read_csv_trace(std::string_view text, TraceBuilder& builder, std::string_view file) {
  TraceRows rows(text, file, Separator::comma);
  builder.keep_cpu_jobs();
  OwnReader reader(rows, builder);
  TRY(reader.header());
  while (true) {
    TRY_ASSIGN(const bool any, rows.next());
    if (!any) { break; }
    TRY(reader.row());
  }
  return builder.finish(TraceOrigin::as_written);
}

std::string write_trace(const Workload& workload) {
  std::string out;
  write_tables(out, workload);
  out += fmt::format("{}\n", fmt::join(kNames, ","));
  for (const TraceJob& job : workload.jobs) { write_job(out, workload, job); }
  return out;
}

}  // namespace centrale
