// SPDX-License-Identifier: Apache-2.0
// The page: tables as on a terminal, and plots. Nothing is loaded from anywhere, and no script runs.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/text.hpp"
#include "simulate/report.hpp"
#include "simulate/report_plot.hpp"

namespace centrale {
namespace {

using plot::escaped;

constexpr std::size_t kPointsMax = 500;  // of a series: as many as a plot has pixels
constexpr std::size_t kTenantsMax = 10;

constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--page:#fff;--ink:#1c2127;--soft:#6a737d;--rule:#e6e8eb;--mark:#e9f3ec;--good:#19703a;
--s0:#4269d0;--s1:#d9730d;--s2:#2b8a3e;--s3:#c4314b;--s4:#7c4dbd;--s5:#0b8a9c;--s6:#8a5a3c;--s7:#c2488f;--s8:#6b7a12;--s9:#68707a;
--k0:#2f5d8a;--k1:#5b93b8;--k2:#9ac0d4;--k3:#c9a45c;--k4:#a8743a;--k5:#7d8792}
@media(prefers-color-scheme:dark){:root{--page:#14171b;--ink:#e4e7ea;--soft:#98a1ab;--rule:#2a2f36;--mark:#1b2c22;--good:#7fcf98;
--s0:#7d9bf0;--s1:#f2a154;--s2:#74c788;--s3:#f07f92;--s4:#b694ec;--s5:#55c4d4;--s6:#c99c7d;--s7:#ec8fc6;--s8:#b7c655;--s9:#a2abb5;
--k0:#4b83b8;--k1:#79b0d2;--k2:#b3d3e3;--k3:#d6b876;--k4:#bf8c53;--k5:#8f99a4}}
*{box-sizing:border-box}
body{margin:0 auto;padding:40px 28px 64px;max-width:1400px;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:24px;font-weight:600;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:15px;font-weight:600;margin:0 0 2px}
.lead,.say,footer{color:var(--soft)}
.lead{margin:0 0 28px}.say{font-size:13px;margin:0 0 8px}
.wide{overflow-x:auto;margin:0 0 22px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:14px;white-space:nowrap;min-width:100%}
th{font-weight:500;color:var(--soft);text-align:right;padding:6px 12px;border-bottom:1px solid var(--ink);cursor:help}
td{text-align:right;padding:7px 12px;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{text-align:left;padding-left:0;cursor:auto}
td:first-child{font-weight:600}
td.best{color:var(--good);background:var(--mark);font-weight:600}
td span{color:var(--soft);font-size:12px;font-weight:400;margin-left:5px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr));gap:34px 40px;margin-top:34px}
figure{margin:0;min-width:0}
svg{display:block;width:100%;height:auto;font-size:12px}
svg text{fill:var(--soft)}svg .title{fill:var(--ink)}svg .name{font-weight:600}svg .value{font-size:10px}
.rule{stroke:var(--rule)}.tick{stroke:var(--soft)}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.limit{fill:none;stroke:var(--soft);stroke-width:1.2;stroke-dasharray:4 3}
i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:7px}
footer{margin-top:44px;font-size:13px;border-top:1px solid var(--rule);padding-top:14px}
footer ul{margin:6px 0 0;padding-left:18px}
@media print{body{padding:0}figure{break-inside:avoid}}
)";

std::string table(const ReportPage& page, const std::vector<std::size_t>& columns) {
  const Comparison& c = page.comparison;
  std::vector<NumberScale> scales;
  std::string html = "<div class=\"wide\"><table><thead><tr><th scope=\"col\">policy</th>";
  for (const std::size_t m : columns) {
    scales.push_back(scale_of(c, m, page.currency));
    html +=
        fmt::format("<th scope=\"col\" title=\"{}\">{}</th>", escaped(c.measures[m].what), escaped(title_of(c.measures[m], scales.back())));
  }
  html += "</tr></thead><tbody>";
  for (std::size_t r = 0; r < c.rows.size(); ++r) {
    html += fmt::format("<tr><td><i style=\"background:var(--s{})\"></i>{}</td>", r % plot::kSeriesColours, escaped(c.rows[r].policy));
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const Interval& value = c.rows[r].values[columns[i]];
      html += c.is_best(r, columns[i]) ? "<td class=\"best\">" : "<td>";
      html += number_text(value.mean, scales[i]);
      if (value.count > 1 && std::isfinite(value.mean)) { html += "<span>± " + number_text(value.half, scales[i]) + "</span>"; }
      html += "</td>";
    }
    html += "</tr>";
  }
  return html + "</tbody></table></div>";
}

std::string figure(std::string_view title, std::string_view say, std::string_view svg) {
  return fmt::format("<figure><h2>{}</h2><p class=\"say\">{}</p>{}</figure>", escaped(title), escaped(say), svg);
}

/// Runs of the policy in that row, one a seed.
std::span<const RunReport> runs_of(const ReportPage& page, std::size_t row) {
  const std::size_t seeds = page.comparison.seeds.size();
  return std::span(page.runs).subspan(row * seeds, seeds);
}

std::string completion(const ReportPage& page) {
  std::vector<plot::Line> lines;
  double least = std::numeric_limits<double>::infinity();
  double most = 0;
  for (std::size_t r = 0; r < page.comparison.rows.size(); ++r) {
    std::vector<double> all;
    for (const RunReport& run : runs_of(page, r)) { all.insert(all.end(), run.jct_s.begin(), run.jct_s.end()); }
    std::ranges::sort(all);
    plot::Line& line = lines.emplace_back(plot::Line{.name = page.comparison.rows[r].policy, .colour = r, .points = {}, .dots = false});
    const auto n = static_cast<double>(all.size());
    const std::size_t step = std::max<std::size_t>(1, all.size() / kPointsMax);
    for (std::size_t i = 0; i < all.size(); i += step) { line.points.emplace_back(all[i], static_cast<double>(i + 1) / n); }
    if (!all.empty()) {
      line.points.emplace_back(all.back(), 1);
      // The shortest of a thousand jobs would give half of the plot to nothing.
      least = std::min(least, percentile(all, 0.01));
      most = std::max(most, all.back());
    }
  }
  if (!(most > 0)) { return {}; }
  const plot::Axis x = plot::log_time_axis("time from submit to finish (logarithmic)", least, most);
  for (plot::Line& line : lines) {
    std::erase_if(line.points, [&](const auto& point) { return point.first < x.low; });
    if (!line.points.empty()) { line.points.emplace_back(x.high, 1); }
  }
  return figure("Completion", "Share of jobs that are done within a time; further left is better.",
                plot::lines(x, plot::share_axis("jobs done"), lines));
}

/// At most kPointsMax points, each the mean of its neighbours.
template <class Value>
std::vector<double> thinned(const std::vector<SeriesPoint>& series, Value value) {
  const std::size_t step = (series.size() + kPointsMax - 1) / kPointsMax;
  std::vector<double> out;
  for (std::size_t i = 0; i < series.size(); i += step) {
    const std::size_t end = std::min(i + step, series.size());
    double sum = 0;
    for (std::size_t j = i; j < end; ++j) { sum += value(series[j]); }
    out.push_back(sum / static_cast<double>(end - i));
  }
  return out;
}

double longest_s(const ReportPage& page) {
  double most = 0;
  for (const RunReport& run : page.runs) { most = std::max(most, to_seconds(run.ended - run.began)); }
  return most;
}

std::string seed_text(const ReportPage& page) {
  return page.comparison.seeds.size() > 1 ? fmt::format(" Seed {}.", page.comparison.seeds.front()) : std::string{};
}

std::string queue(const ReportPage& page) {
  std::vector<plot::Line> lines;
  double most = 0;
  for (std::size_t r = 0; r < page.comparison.rows.size(); ++r) {
    const RunReport& run = runs_of(page, r).front();
    const auto at = thinned(run.series, [&](const SeriesPoint& p) { return to_seconds(p.at - run.began); });
    const auto queued = thinned(run.series, [](const SeriesPoint& p) { return static_cast<double>(p.queued); });
    plot::Line& line = lines.emplace_back(plot::Line{.name = page.comparison.rows[r].policy, .colour = r, .points = {}, .dots = false});
    for (std::size_t i = 0; i < at.size(); ++i) {
      line.points.emplace_back(at[i], queued[i]);
      most = std::max(most, queued[i]);
    }
  }
  return figure("Queue", "Jobs that wait for chips." + seed_text(page),
                plot::lines(plot::time_axis("time", longest_s(page)), plot::axis_from_zero("jobs waiting", most), lines));
}

std::string utilisation(const ReportPage& page, std::size_t row) {
  const RunReport& run = runs_of(page, row).front();
  const auto up_of = [](const SeriesPoint& p) {
    double up = 0;
    for (const std::int64_t n : p.up) { up += static_cast<double>(n); }
    return up;
  };
  plot::Stack stack{.names = page.comparison.kinds, .x = {}, .layers = {}, .limit = thinned(run.series, up_of), .limit_name = "chips up"};
  stack.x = thinned(run.series, [&](const SeriesPoint& p) { return to_seconds(p.at - run.began); });
  for (std::size_t k = 0; k < stack.names.size(); ++k) {
    stack.layers.push_back(
        thinned(run.series, [k](const SeriesPoint& p) { return k < p.busy.size() ? static_cast<double>(p.busy[k]) : 0.0; }));
  }
  const double most = stack.limit.empty() ? 0 : *std::ranges::max_element(stack.limit);
  return figure("Chips held, " + page.comparison.rows[row].policy, "By kind, of those that are up." + seed_text(page),
                plot::stacked(plot::time_axis("time", longest_s(page)), plot::axis_from_zero("chips", most), stack));
}

std::string size_text(std::int64_t from, std::int64_t to) {
  if (to == 0) { return "<1"; }
  return from == to ? fmt::format("{}", to) : fmt::format("{}–{}", from, to);
}

std::string waits(const ReportPage& page) {
  std::map<std::int64_t, std::pair<std::int64_t, std::size_t>> classes;  // by chips_to: chips_from, place
  for (const RunReport& run : page.runs) {
    for (const SizeClass& size : run.sizes) { classes[size.chips_to].first = size.chips_from; }
  }
  if (classes.empty()) { return {}; }
  plot::Axis x{
      .title = "chips a job asks for", .low = -0.5, .high = static_cast<double>(classes.size()) - 0.5, .logarithmic = false, .ticks = {}};
  std::size_t place = 0;
  for (auto& [to, at] : classes) {
    at.second = place++;
    x.ticks.push_back({static_cast<double>(at.second), size_text(at.first, to)});
  }
  std::vector<plot::Line> lines;
  double most = 0;
  for (std::size_t r = 0; r < page.comparison.rows.size(); ++r) {
    std::vector<std::pair<double, double>> sums(classes.size());  // waits, jobs
    for (const RunReport& run : runs_of(page, r)) {
      for (const SizeClass& size : run.sizes) {
        auto& [wait, jobs] = sums[classes[size.chips_to].second];
        wait += size.wait_mean_s * static_cast<double>(size.jobs);
        jobs += static_cast<double>(size.jobs);
      }
    }
    plot::Line& line = lines.emplace_back(plot::Line{.name = page.comparison.rows[r].policy, .colour = r, .points = {}, .dots = true});
    for (std::size_t i = 0; i < sums.size(); ++i) {
      if (sums[i].second == 0) { continue; }
      line.points.emplace_back(static_cast<double>(i), sums[i].first / sums[i].second);
      most = std::max(most, line.points.back().second);
    }
  }
  return figure("Wait by size", "Mean time from submit to the first start.", plot::lines(x, plot::time_axis("mean wait", most), lines));
}

std::string tenants(const ReportPage& page) {
  struct Sums {
    double jobs = 0;
    std::vector<std::pair<double, double>> of;  // by policy: slowdowns, jobs
  };
  std::map<std::string, Sums> all;
  for (std::size_t r = 0; r < page.comparison.rows.size(); ++r) {
    for (const RunReport& run : runs_of(page, r)) {
      for (const TenantShare& tenant : run.tenants) {
        Sums& sums = all[tenant.tenant];
        sums.of.resize(page.comparison.rows.size());
        const auto jobs = static_cast<double>(tenant.jobs);
        sums.jobs += jobs;
        sums.of[r].first += tenant.slowdown * jobs;
        sums.of[r].second += jobs;
      }
    }
  }
  if (all.empty()) { return {}; }
  std::vector<std::pair<std::string, Sums>> order(all.begin(), all.end());
  std::ranges::stable_sort(order, std::greater<>{}, [](const auto& tenant) { return tenant.second.jobs; });
  const std::size_t left_out = order.size() > kTenantsMax ? order.size() - kTenantsMax : 0;
  order.resize(order.size() - left_out);
  std::vector<std::string> policies;
  for (const PolicyRow& row : page.comparison.rows) { policies.push_back(row.policy); }
  std::vector<plot::BarGroup> groups;
  for (const auto& [name, sums] : order) {
    plot::BarGroup& group = groups.emplace_back(plot::BarGroup{.name = name, .values = {}});
    for (const auto& [slowdowns, jobs] : sums.of) {
      group.values.push_back(jobs > 0 ? slowdowns / jobs : std::numeric_limits<double>::quiet_NaN());
    }
  }
  const std::string say = left_out > 0
                              ? fmt::format("Mean of time to finish over time alone; the {} tenants with most jobs, {} more are not shown.",
                                            kTenantsMax, format_count(static_cast<std::int64_t>(left_out)))
                              : "Mean of time to finish over time alone.";
  return figure("Slowdown by tenant", say, plot::bars("mean slowdown (1: as if alone)", policies, groups));
}

std::string remarks(const ReportPage& page) {
  std::string html;
  const std::size_t seeds = page.comparison.seeds.size();
  if (seeds > 1) {
    html += fmt::format(
        "<p>Means over {} seeds; ± is half of a 95% confidence interval (Student's t). Percentiles are by nearest rank.</p>", seeds);
  } else {
    html += "<p>Percentiles are by nearest rank. One seed: how sure these numbers are is not known.</p>";
  }
  if (!page.notes.empty()) {
    html += "<ul>";
    for (const std::string& note : page.notes) { html += "<li>" + escaped(note) + "</li>"; }
    html += "</ul>";
  }
  return html;
}

}  // namespace

std::string html_of(const ReportPage& page) {
  const Comparison& c = page.comparison;
  std::string html = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">";
  html += "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">";
  html += fmt::format("<title>{} on {}</title><style>{}</style></head><body>", escaped(page.workload), escaped(page.fleet), kStyle);
  html += fmt::format("<h1>{}</h1><p class=\"lead\">on {}{}</p>", escaped(page.workload), escaped(page.fleet),
                      c.seeds.size() > 1 ? fmt::format(", {} seeds", c.seeds.size()) : "");
  html += table(page, columns_of(c, MeasureGroup::jobs)) + table(page, columns_of(c, MeasureGroup::chips));
  if (columns_of(c, MeasureGroup::ends).size() > 1) { html += table(page, columns_of(c, MeasureGroup::ends)); }
  html += "<div class=\"plots\">";
  if (!page.runs.empty()) {
    html += completion(page) + queue(page);
    for (std::size_t r = 0; r < c.rows.size(); ++r) { html += utilisation(page, r); }
    html += waits(page) + tenants(page);
  }
  return html + "</div><footer>" + remarks(page) + "</footer></body></html>\n";
}

}  // namespace centrale
