// SPDX-License-Identifier: Apache-2.0
// Philly: an array of jobs in JSON, each with the attempts that the scheduler made; and the short table that others made of it.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/json.hpp"
#include "simulate/trace_builder.hpp"

namespace centrale {

struct PhillyPlace {
  std::vector<std::string> gpus;
};
template <class V>
void describe(V& v, PhillyPlace& p) {
  v("gpus", p.gpus);
}
struct PhillyAttempt {
  std::optional<std::string> start_time, end_time;
  std::vector<PhillyPlace> detail;
};
template <class V>
void describe(V& v, PhillyAttempt& a) {
  v("start_time", a.start_time);
  v("end_time", a.end_time);
  v("detail", a.detail);
}
struct PhillyJob {
  std::string status, vc, jobid;
  std::optional<std::string> submitted_time;
  std::vector<PhillyAttempt> attempts;
};
template <class V>
void describe(V& v, PhillyJob& j) {
  v("status", j.status);
  v("vc", j.vc);
  v("jobid", j.jobid);
  v("submitted_time", j.submitted_time);
  v("attempts", j.attempts);
}

namespace {

/// The objects of an array of objects, one at a time: the log is too large to parse at once, and an error can say its line.
class JsonArray {
 public:
  JsonArray(std::string_view text, std::string_view file) : text_(without_mark(text)), file_(file) {}

  /// The next object's text; empty at the end of the array.
  Result<std::string_view> next() {
    skip_space();
    if (!open_) {
      if (!take('[')) { return wrong("wants an array of jobs"); }
      open_ = true;
    } else if (!take(',') && !(at_ < text_.size() && text_[at_] == ']')) {
      return wrong("wants ',' or ']' after a job");
    }
    skip_space();
    line_of_object_ = line_;
    if (take(']')) { return std::string_view{}; }
    if (at_ >= text_.size() || text_[at_] != '{') { return wrong("wants a job: {…}"); }
    return object();
  }
  [[nodiscard]] std::uint32_t line() const { return line_of_object_; }
  [[nodiscard]] std::unexpected<Error> wrong(std::string what, std::string remedy = {}) const {
    return fail(ErrorKind::invalid, std::move(what), fmt::format("{}:{}", file_, line_of_object_), std::move(remedy));
  }

 private:
  void skip_space() {
    for (; at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'); ++at_) {
      if (text_[at_] == '\n') { ++line_; }
    }
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) { return false; }
    ++at_;
    return true;
  }
  Result<std::string_view> object() {
    const std::size_t start = at_;
    std::size_t depth = 0;
    bool in_text = false;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\n') { ++line_; }
      if (in_text) {
        if (c == '\\') { ++at_; }
        in_text = c != '"';
        continue;
      }
      in_text = c == '"';
      if (c == '{' || c == '[') { ++depth; }
      if ((c == '}' || c == ']') && --depth == 0) {
        ++at_;
        return text_.substr(start, at_ - start);
      }
    }
    return wrong("a job that is never closed");
  }

  std::string_view text_, file_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1, line_of_object_ = 1;
  bool open_ = false;
};

Result<std::int64_t> wall_time(const std::optional<std::string>& text, const JsonArray& array, std::string_view name) {
  if (!text || is_unknown(*text)) { return kNoNumber; }
  const auto time = parse_wall_time(*text);
  if (!time) { return array.wrong(fmt::format("{}: wants a date such as 2017-10-09 07:01:55, found '{}'", name, shorten(*text, 40))); }
  return *time;
}

struct Attempts {
  std::int64_t run = 0;  // ns over those with a start and an end
  std::int64_t chips = 0;
  std::int64_t timed = 0;
  bool open = false;  // the last has no end: still running when the log was taken
  bool started = false;
};

Result<Attempts> sum_attempts(const PhillyJob& source, const JsonArray& array) {
  Attempts all;
  for (const PhillyAttempt& attempt : source.attempts) {
    TRY_ASSIGN(const std::int64_t start, wall_time(attempt.start_time, array, "start_time"));
    TRY_ASSIGN(const std::int64_t end, wall_time(attempt.end_time, array, "end_time"));
    all.open = end == kNoNumber;
    all.started = all.started || start != kNoNumber;
    if (start != kNoNumber && end != kNoNumber) {
      // A century in each of several attempts would not fit; add() refuses what is near this.
      all.run = std::min(all.run, std::numeric_limits<std::int64_t>::max() / 2) + (end - start);
      ++all.timed;
    }
    std::size_t chips = 0;
    for (const PhillyPlace& place : attempt.detail) { chips += place.gpus.size(); }
    if (chips > 0) { all.chips = static_cast<std::int64_t>(chips); }
  }
  return all;
}

Result<void> philly_job(const PhillyJob& source, const JsonArray& array, TraceBuilder& builder) {
  TraceJob job;
  TRY_ASSIGN(const std::int64_t submit, wall_time(source.submitted_time, array, "submitted_time"));
  TRY_ASSIGN(const Attempts attempts, sum_attempts(source, array));
  job.name = source.jobid;
  job.end = recorded_end(source.status);
  if (attempts.timed == 0 && !attempts.started) {
    builder.remark(job.end == RecordedEnd::cancelled ? TraceRemark::never_ran : TraceRemark::no_start, array.line());
    return {};
  }
  job.submit = Time{submit};
  job.run = Nanos{attempts.open || attempts.timed == 0 ? kNoNumber : attempts.run};
  if (attempts.open) { job.end = RecordedEnd::done; }  // so that it counts as without an end
  if (attempts.timed > 1) { builder.remark(TraceRemark::many_attempts, array.line()); }
  builder.shape(job, attempts.chips, 0, array.line());
  if (!source.vc.empty()) { job.tenant = builder.tenant(source.vc); }
  return builder.add(std::move(job), array.line());
}

}  // namespace

Result<Workload> read_philly(std::string_view text, TraceBuilder& builder, std::string_view file) {
  JsonArray array(text, file);
  JsonReader reader;
  while (true) {
    TRY_ASSIGN(const std::string_view object, array.next());
    if (object.empty()) { break; }
    PhillyJob job;
    if (auto read = reader.read(object, job, JsonStrictness::lenient); !read) {
      return array.wrong(read.error().what, read.error().remedy);
    }
    TRY(philly_job(job, array, builder));
  }
  return builder.finish(TraceOrigin::first_submit);
}

Result<Workload> read_philly_short(std::string_view text, TraceBuilder& builder, std::string_view file) {
  TraceRows rows(text, file, Separator::comma);
  TRY_ASSIGN(const TraceColumns columns, read_trace_header(rows, {"timestamp", "duration", "num_gpus"}));
  const std::size_t submit_at = columns["timestamp"], run_at = columns["duration"], chips_at = columns["num_gpus"],
                    vc_at = columns["cluster"];
  while (true) {
    TRY_ASSIGN(const bool any, rows.next());
    if (!any) { break; }
    TraceJob job;
    TRY_ASSIGN(const std::int64_t submit, rows.time(submit_at, "timestamp"));
    TRY_ASSIGN(const std::int64_t run, rows.time(run_at, "duration"));
    TRY_ASSIGN(const std::int64_t chips, rows.whole(chips_at, "num_gpus"));
    job.name = fmt::format("philly-{}", rows.line());
    job.submit = Time{submit};
    job.run = Nanos{run};
    builder.shape(job, std::max<std::int64_t>(chips, 0), 0, rows.line());
    if (!rows[vc_at].empty()) { job.tenant = builder.tenant(rows[vc_at]); }
    TRY(builder.add(std::move(job), rows.line()));
  }
  return builder.finish(TraceOrigin::first_submit);
}

}  // namespace centrale
