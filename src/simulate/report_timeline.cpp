// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "base/json.hpp"
#include "simulate/report.hpp"

namespace centrale {
namespace {

// Perfetto draws some thousand rows well; a kind with more chips has several to a row.
constexpr std::uint32_t kRowsOfKind = 512;
constexpr std::size_t kProcessesOfRun = 1'000;  // more kinds than a fleet can have

/// Where a kind's chips stand, and which rows its stays take: stays that overlap in one range have rows of their own below one another.
struct KindRows {
  std::uint32_t first = UINT32_MAX, last = 0;
  std::map<std::uint32_t, std::vector<Time>> lanes;  // by range: until when each is taken
  [[nodiscard]] std::uint32_t range() const { return (last - first) / kRowsOfKind + 1; }
};

void begin(JsonWriter& out, const char* phase, std::string_view name, std::size_t process) {
  out.begin_object();
  out.key("ph").text(phase);
  out.key("name").text(name);
  out.key("pid").number(process);
}

void write_name(JsonWriter& out, const char* what, std::size_t process, std::size_t row, std::string_view name) {
  begin(out, "M", what, process);
  out.key("tid").number(row);
  out.key("args").begin_object().key("name").text(name).end_object();
  out.end_object();
}

void write_sort_index(JsonWriter& out, std::size_t process, std::size_t row) {
  begin(out, "M", "thread_sort_index", process);
  out.key("tid").number(row);
  out.key("args").begin_object().key("sort_index").number(row).end_object();
  out.end_object();
}

double micros(Nanos span) { return static_cast<double>(span.value) * 1e-3; }

// Rows are numbered by range, then lane.
constexpr std::size_t kLanes = 64;

void write_stay(JsonWriter& out, const Stay& stay, const TraceJob& job, const Workload& workload, Time began, std::size_t process,
                std::size_t row) {
  begin(out, "X", job.name.empty() ? fmt::format("job {}", stay.job + 1) : job.name, process);
  out.key("cat").text(stay.finished ? "finished" : "stopped");
  out.key("tid").number(row);
  out.key("ts").number(micros(stay.from - began));
  out.key("dur").number(micros(stay.to - stay.from));
  if (!stay.finished) { out.key("cname").text("terrible"); }  // Chrome's name for a colour
  out.key("args").begin_object();
  out.key("tenant").text(workload.tenants[job.tenant]);
  out.key("chips").number(stay.chips);
  out.key("ended").text(stay.finished ? "finished" : "stopped or failed");
  out.end_object().end_object();
}

void write_counters(JsonWriter& out, const TwinResult& result, std::size_t process) {
  for (const SeriesPoint& point : result.series) {
    begin(out, "C", "jobs", process);
    out.key("ts").number(micros(point.at - result.began));
    out.key("args").begin_object().key("queued").number(point.queued).key("running").number(point.running).end_object();
    out.end_object();
    begin(out, "C", "chips held", process);
    out.key("ts").number(micros(point.at - result.began));
    out.key("args").begin_object();
    for (std::size_t k = 0; k < point.busy.size() && k < result.kinds.size(); ++k) { out.key(result.kinds[k]).number(point.busy[k]); }
    out.end_object().end_object();
  }
}

}  // namespace

void append_timeline(const TwinResult& result, const Workload& workload, std::size_t run, std::string& events, std::size_t& left_out) {
  const std::size_t base = run * kProcessesOfRun;
  std::string array;
  JsonWriter out(array);
  out.begin_array();
  const std::string label = fmt::format("{}, seed {}", result.policy, result.seed);
  write_name(out, "process_name", base, 0, label);
  write_counters(out, result, base);

  std::vector<std::size_t> order(result.timeline.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return result.timeline[i].from; });
  if (order.size() > kReportStaysMax) {
    left_out += order.size() - kReportStaysMax;
    order.resize(kReportStaysMax);
  }
  std::map<std::uint16_t, KindRows> kinds;
  for (const std::size_t i : order) {
    KindRows& rows = kinds[result.timeline[i].kind];
    rows.first = std::min(rows.first, result.timeline[i].first_chip);
    rows.last = std::max(rows.last, result.timeline[i].first_chip);
  }
  for (const auto& [kind, rows] : kinds) {
    const std::string_view name = kind < result.kinds.size() ? std::string_view(result.kinds[kind]) : "no chips";
    write_name(out, "process_name", base + 1 + kind, 0, fmt::format("{}: {}", label, name));
  }
  for (const std::size_t i : order) {
    const Stay& stay = result.timeline[i];
    KindRows& rows = kinds[stay.kind];
    const std::uint32_t size = rows.range();
    const std::uint32_t range = (stay.first_chip - rows.first) / size;
    std::vector<Time>& lanes = rows.lanes[range];
    auto lane = std::ranges::find_if(lanes, [&](Time taken) { return taken <= stay.from; });
    if (lane == lanes.end()) { lane = lanes.insert(lanes.end(), Time{}); }
    const bool is_new = *lane == Time{};
    *lane = std::max(stay.to, Time{1});
    const auto below = std::min(static_cast<std::size_t>(lane - lanes.begin()), kLanes - 1);
    const std::size_t row = 1 + range * kLanes + below;
    if (is_new) {
      const std::uint32_t from = rows.first + range * size;
      const std::string chips = size == 1 ? fmt::format("chip {}", from) : fmt::format("chips {} to {}", from, from + size - 1);
      write_name(out, "thread_name", base + 1 + stay.kind, row, chips);
      write_sort_index(out, base + 1 + stay.kind, row);
    }
    write_stay(out, stay, workload.jobs[stay.job], workload, result.began, base + 1 + stay.kind, row);
  }
  events += std::string_view(array).substr(1);
}

std::string timeline_file(std::span<const std::string> runs) {
  std::string json = R"({"displayTimeUnit":"ms","traceEvents":[)";
  bool first = true;
  for (const std::string& events : runs) {
    if (events.empty()) { continue; }
    if (!first) { json += ','; }
    first = false;
    json += events;
  }
  return json + "]}";
}

}  // namespace centrale
