// SPDX-License-Identifier: Apache-2.0
#include "simulate/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/csv.hpp"
#include "base/json.hpp"
#include "simulate/report_plot.hpp"

namespace centrale {
namespace {

using End = JobOutcome::End;
using ::testing::DoubleNear;
using ::testing::ElementsAre;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kClock = 1'000 * kSecond;  // where the twin's clock begins

/// Jobs of 1, 2, 4, … chips; job i is submitted at i and starts `wait` x i later; the last one fails.
struct Made {
  Workload workload;
  TwinResult result;
  Made(std::string policy, std::uint64_t seed, std::int64_t wait, std::size_t count = 5) {
    workload.name = "made";
    workload.tenants = {"a<b", "c,d"};
    result.policy = std::move(policy);
    result.seed = seed;
    result.kinds = {"h100", "a100"};
    result.busy_s = {300, 50};
    result.up_s = {400, 400};
    result.began = {kClock};
    result.ended = {kClock + 1000 * kSecond};
    for (std::size_t i = 0; i < count; ++i) {
      const auto n = static_cast<std::int64_t>(i);
      TraceJob asked;
      asked.name = i == 1 ? "" : "job \"" + std::to_string(i) + "\"";
      asked.tenant = static_cast<std::uint32_t>(i % 2);
      asked.submit = {n * kSecond};
      asked.chips = std::int64_t{1} << (n % 20);
      workload.jobs.push_back(asked);
      JobOutcome job;
      job.end = i + 1 == count ? End::failed : End::done;
      job.submit = {kClock + n * kSecond};
      job.start = {kClock + (n + wait * n) * kSecond + 500'000'000};
      job.finish = {job.start.ns + 100 * kSecond};
      job.starts = 1;
      job.ideal_s = 100;
      result.jobs.push_back(job);
      result.timeline.push_back({.job = static_cast<std::uint32_t>(i),
                                 .from = job.start,
                                 .to = job.finish,
                                 .chips = asked.chips,
                                 .first_chip = static_cast<std::uint32_t>(i % 3),
                                 .kind = static_cast<std::uint16_t>(i % 2),
                                 .finished = job.end == End::done});
    }
    for (std::int64_t t = 0; t < 1500; ++t) {
      result.series.push_back({.at = {kClock + t * kSecond}, .queued = t % 7, .running = 1, .busy = {3, 1}, .up = {4, 4}});
    }
  }
};

ReportPage page_of(const std::vector<Made>& made) {
  ReportPage page{.fleet = "4 h100 + 4 a100", .workload = "made", .currency = "EUR", .notes = {"a note <b>"}, .comparison = {}, .runs = {}};
  std::vector<Summary> summaries;
  for (const Made& m : made) {
    page.runs.push_back(report_of(m.result, m.workload, {}));
    summaries.push_back(page.runs.back().summary);
  }
  page.comparison = compare(summaries, made.front().result.kinds);
  return page;
}

bool is_json(const std::string& text) {
  JsonReader reader;
  return reader.parse(text, JsonStrictness::lenient).has_value();
}

/// A page is large: a failure names what is missing and does not print the page.
bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// No number of the page, of text or drawing, is none.
bool all_finite(const std::string& html) {
  for (const char* before : {">", "\"", " ", "M", "L", "(", "-"}) {
    for (const char* none : {"nan", "inf"}) {
      for (const char* after : {"<", "\"", " ", "L", ")"}) {
        if (has(html, std::string(before) + none + after)) { return false; }
      }
    }
  }
  return true;
}

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) { ++n; }
  return n;
}

TEST(Report, KeepsWhatPlotsNeed) {
  const Made m("fifo", 1, 10);
  const RunReport report = report_of(m.result, m.workload, {});
  EXPECT_THAT(report.jct_s,
              ElementsAre(DoubleNear(100.5, 1e-6), DoubleNear(110.5, 1e-6), DoubleNear(120.5, 1e-6), DoubleNear(130.5, 1e-6)));
  ASSERT_EQ(report.sizes.size(), 5U);  // 1, 2, 4, 8, 16 chips
  EXPECT_EQ(report.sizes[2].chips_from, 3);
  EXPECT_EQ(report.sizes[2].chips_to, 4);
  EXPECT_NEAR(report.sizes[2].wait_mean_s, 20.5, 1e-6);
  ASSERT_EQ(report.tenants.size(), 2U);
  EXPECT_EQ(report.tenants[1].tenant, "c,d");
  EXPECT_NEAR(report.tenants[1].slowdown, (1.105 + 1.305) / 2, 1e-6);
  EXPECT_THAT(report_of(m.result, m.workload, {.first = 1, .last = 2}).jct_s, ElementsAre(DoubleNear(110.5, 1e-6)));
}

TEST(Report, QuantilesOfManyJobsAreFew) {
  const Made m("fifo", 1, 3, 5'000);
  const RunReport report = report_of(m.result, m.workload, {});
  EXPECT_EQ(report.jct_s.size(), kReportQuantiles);
  EXPECT_NEAR(report.jct_s.back(), 100.5 + 3 * 4'998, 1e-6);
}

TEST(Report, TheCsvIsReadBackAndExact) {
  Made m("fifo", 3, 10);
  m.workload.jobs[0].share_milli = 500;
  m.result.jobs[3].end = End::waiting;
  m.result.jobs[3].starts = 0;
  std::string csv(jobs_csv_header());
  append_jobs_csv(m.result, m.workload, csv);
  const auto table = read_csv(csv, "jobs.csv");
  ASSERT_TRUE(table) << table.error().message();
  ASSERT_EQ(table->rows.size(), 5U);
  EXPECT_EQ(table->cell(0, "job"), "job \"0\"");
  EXPECT_EQ(table->cell(0, "chips"), "0.5");
  EXPECT_EQ(table->cell(1, "job"), "2") << "a job without a name has its number";
  EXPECT_EQ(table->cell(1, "tenant"), "c,d");
  EXPECT_EQ(table->cell(2, "submit_s"), "2");
  EXPECT_EQ(table->cell(2, "start_s"), "22.5");
  EXPECT_EQ(table->cell(2, "finish_s"), "122.5");
  EXPECT_EQ(table->cell(2, "jct_s"), "120.5");
  EXPECT_EQ(table->cell(2, "wait_s"), "20.5");
  EXPECT_EQ(table->cell(3, "start_s"), "");
  EXPECT_EQ(table->cell(3, "jct_s"), "");
  EXPECT_EQ(table->cell(3, "kind"), "");
  EXPECT_EQ(table->cell(3, "end"), "waiting");
  EXPECT_EQ(table->cell(4, "end"), "failed");
  EXPECT_EQ(table->cell(4, "seed"), "3");
}

TEST(Report, TheTimelineIsJsonWithASliceForEachStay) {
  const Made a("fifo", 1, 0);  // all at once: stays of one first chip overlap
  const Made b("ours", 1, 10);
  std::vector<std::string> runs(2);
  std::size_t left_out = 0;
  append_timeline(a.result, a.workload, 0, runs[0], left_out);
  append_timeline(b.result, b.workload, 1, runs[1], left_out);
  const std::string file = timeline_file(runs);
  EXPECT_TRUE(is_json(file));
  EXPECT_EQ(count_of(file, R"("ph":"X")"), 10U);
  EXPECT_EQ(left_out, 0U);
  for (const char* part : {"fifo, seed 1: h100", "ours, seed 1: a100", "chips held"}) { EXPECT_TRUE(has(file, part)) << part; }
  EXPECT_EQ(count_of(file, R"("name":"terrible")"), 0U);
  EXPECT_EQ(count_of(file, R"("cname":"terrible")"), 2U) << "what failed is seen";
  EXPECT_TRUE(has(file, R"("ts":5e+05,)")) << "times are from the start of the run, in microseconds";
  EXPECT_TRUE(is_json(timeline_file({})));
}

TEST(Report, SlicesOfOneRowNeverOverlap) {
  Made m("fifo", 1, 0, 40);
  for (std::size_t i = 0; i < m.result.timeline.size(); ++i) {  // shares of the same few chips
    Stay& stay = m.result.timeline[i];
    stay.kind = 0;
    stay.from = {kClock + static_cast<std::int64_t>(i * 37 % 50) * kSecond};
    stay.to = {stay.from.ns + static_cast<std::int64_t>(5 + i % 11) * kSecond};
  }
  std::vector<std::string> runs(1);
  std::size_t left_out = 0;
  append_timeline(m.result, m.workload, 0, runs[0], left_out);
  std::map<std::string, double> until;  // by row; slices come in order of their start
  std::size_t seen = 0;
  for (std::size_t at = runs[0].find(R"("ph":"X")"); at != std::string::npos; at = runs[0].find(R"("ph":"X")", at + 1)) {
    const auto field = [&](const std::string& name) {
      const std::size_t from = runs[0].find("\"" + name + "\":", at) + name.size() + 3;
      return runs[0].substr(from, runs[0].find(',', from) - from);
    };
    const double start = std::stod(field("ts"));
    EXPECT_GE(start, until[field("tid")]);
    until[field("tid")] = start + std::stod(field("dur"));
    ++seen;
  }
  EXPECT_EQ(seen, 40U);
  EXPECT_GT(until.size(), 3U);
}

TEST(Report, JsonHasEveryMeasureWithItsInterval) {
  const std::vector<Made> made{{"fifo", 1, 10}, {"fifo", 2, 12}, {"ours", 1, 8}, {"ours", 2, 9}};
  const std::string json = json_of(page_of(made));
  EXPECT_TRUE(is_json(json));
  for (const Measure& measure : page_of(made).comparison.measures) {
    EXPECT_EQ(count_of(json, "\"" + measure.key + "\":"), 2U * 2 + 4) << measure.key;  // values, differences; runs
  }
  EXPECT_TRUE(has(json, R"("difference_to":"fifo")"));
  EXPECT_TRUE(has(json_of(page_of({{"fifo", 1, 10}})), R"("half_95":null)"));
}

TEST(Report, ColumnsHaveOneUnitThatFitsTheLargest) {
  ReportPage page = page_of({{"fifo", 1, 10}, {"ours", 1, 8}});
  Comparison& c = page.comparison;
  const auto text = [&](double slow, double fast) {
    c.rows[0].values[0].mean = slow;
    c.rows[1].values[0].mean = fast;
    const NumberScale scale = scale_of(c, 0, "EUR");
    return title_of(c.measures[0], scale) + ": " + number_text(slow, scale) + " " + number_text(fast, scale);
  };
  EXPECT_EQ(text(90, 8), "JCT mean, s: 90.0 8.00");
  EXPECT_EQ(text(900, 90), "JCT mean, min: 15.0 1.50");
  EXPECT_EQ(text(90'000, 9'000), "JCT mean, h: 25.0 2.50");
  EXPECT_EQ(text(36e6, 1'260), "JCT mean, h: 10,000 0.35") << "a small one keeps its digits";
  EXPECT_EQ(text(36e6, NAN), "JCT mean, h: 10,000 –");
}

TEST(Report, ThePageIsOneFileThatLoadsNothing) {
  const std::vector<Made> made{{"fifo", 1, 10}, {"fifo", 2, 12}, {"ours", 1, 8}, {"ours", 2, 9}};
  const std::string html = html_of(page_of(made));
  for (const char* loads : {"<script", "http:", "https:", "url(", "@import", "<img", "<link", "src="}) {
    EXPECT_FALSE(has(html, loads)) << loads;
  }
  for (const char* part : {"a note &lt;b&gt;", "a&lt;b", "class=\"best\"", "± ", "prefers-color-scheme:dark"}) {
    EXPECT_TRUE(has(html, part)) << part;
  }
  EXPECT_FALSE(has(html, "<b>"));
  EXPECT_TRUE(all_finite(html));
  EXPECT_EQ(count_of(html, "<svg"), 6U);  // completion, queue, two policies' chips, waits, tenants
  EXPECT_EQ(count_of(html, "<svg"), count_of(html, "</svg>"));
  EXPECT_LT(html.size(), 400'000U);
}

TEST(Report, APageOfNothingIsAPageToo) {
  Made empty("fifo", 1, 0, 0);
  empty.result.series.clear();
  const std::string html = html_of(page_of({empty}));
  EXPECT_TRUE(has(html, "</html>") && has(html, "–"));
  EXPECT_TRUE(all_finite(html));
  EXPECT_TRUE(is_json(json_of(page_of({empty}))));
}

TEST(Plot, AxesHaveRoundTicksThatHoldAll) {
  for (const double most : {0.0, 0.003, 0.7, 1.0, 3.0, 9.99, 10.0, 1234.0, 7e8}) {
    const plot::Axis axis = plot::axis_from_zero("n", most);
    EXPECT_GE(axis.high, most);
    EXPECT_LE(axis.high, std::max(most, 1.0) * 2.5);
    EXPECT_GE(axis.ticks.size(), 2U);
    EXPECT_LE(axis.ticks.size(), 8U) << most;
  }
  EXPECT_EQ(plot::time_axis("wait", 7200 * 2).title, "wait, hours");
  EXPECT_EQ(plot::time_axis("wait", 40).title, "wait, seconds");
  const plot::Axis jct = plot::log_time_axis("t", 30, 100'000);
  ASSERT_EQ(jct.ticks.size(), 4U);
  EXPECT_EQ(jct.ticks[0].text, "1 min");
  EXPECT_EQ(jct.ticks[3].text, "10 h");
}

TEST(Plot, TextFromOutsideIsHarmless) {
  EXPECT_EQ(plot::escaped("<a href='x'>&\"\n\x80"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot; \xEF\xBF\xBD");
}

}  // namespace
}  // namespace centrale
