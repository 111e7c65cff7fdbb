// SPDX-License-Identifier: Apache-2.0
#include "base/json.hpp"
#include "simulate/report.hpp"

namespace centrale {
namespace {

void write_values(JsonWriter& out, const Comparison& comparison, const std::vector<Interval>& values) {
  out.begin_object();
  for (std::size_t m = 0; m < values.size(); ++m) {
    out.key(comparison.measures[m].key).begin_object();
    out.key("mean").number(values[m].mean);
    out.key("half_95");
    if (values[m].count > 1) {
      out.number(values[m].half);
    } else {
      out.null();  // one seed says nothing of the spread
    }
    out.end_object();
  }
  out.end_object();
}

void write_run(JsonWriter& out, const RunReport& run, const Comparison& comparison) {
  out.begin_object();
  out.key("seed").number(run.summary.seed);
  out.key("jobs").number(run.summary.jobs);
  for (const Measure& measure : comparison.measures) { out.key(measure.key).number(measure.of(run.summary)); }
  out.key("span_s").number(to_seconds(run.ended - run.began));
  out.key("events").number(run.events);
  out.key("decisions").number(run.decisions);
  out.key("chip_failures").number(run.chip_failures);
  out.key("node_failures").number(run.node_failures);
  out.key("wait_by_size").begin_array();
  for (const SizeClass& size : run.sizes) {
    out.begin_object();
    out.key("chips_from").number(size.chips_from);
    out.key("chips_to").number(size.chips_to);
    out.key("jobs").number(size.jobs);
    out.key("mean_s").number(size.wait_mean_s);
    out.end_object();
  }
  out.end_array();
  out.key("tenants").begin_array();
  for (const TenantShare& tenant : run.tenants) {
    out.begin_object();
    out.key("tenant").text(tenant.tenant);
    out.key("jobs").number(tenant.jobs);
    out.key("slowdown").number(tenant.slowdown);
    out.end_object();
  }
  out.end_array();
  out.key("notes").begin_array();
  for (const std::string& note : run.notes) { out.text(note); }
  out.end_array();
  out.end_object();
}

}  // namespace

std::string json_of(const ReportPage& page) {
  const Comparison& c = page.comparison;
  std::string text;
  JsonWriter out(text);
  out.begin_object();
  out.key("fleet").text(page.fleet);
  out.key("workload").text(page.workload);
  out.key("currency").text(page.currency);
  out.key("kinds").begin_array();
  for (const std::string& kind : c.kinds) { out.text(kind); }
  out.end_array();
  out.key("seeds").begin_array();
  for (const std::uint64_t seed : c.seeds) { out.number(seed); }
  out.end_array();
  out.key("notes").begin_array();
  for (const std::string& note : page.notes) { out.text(note); }
  out.end_array();
  out.key("policies").begin_array();
  for (std::size_t p = 0; p < c.rows.size(); ++p) {
    out.begin_object();
    out.key("policy").text(c.rows[p].policy);
    out.key("values");
    write_values(out, c, c.rows[p].values);
    out.key("difference_to").text(c.rows.front().policy);
    out.key("difference");
    write_values(out, c, c.rows[p].difference);
    out.key("runs").begin_array();
    for (std::size_t s = 0; s < c.seeds.size(); ++s) { write_run(out, page.runs[p * c.seeds.size() + s], c); }
    out.end_array();
    out.end_object();
  }
  out.end_array();
  out.end_object();
  return text;
}

}  // namespace centrale
