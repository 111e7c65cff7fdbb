// SPDX-License-Identifier: Apache-2.0
#include "cli/top.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/cli_testing.hpp"

namespace centrale::cli {
namespace {

using namespace testing;
using ::testing::HasSubstr;

TopState sample(std::size_t jobs = 3, std::size_t chips = 2) {
  FakeApi api = small_centre();
  TopState state;
  state.centre = read_centre(api.call("GET", "/api/v1/centre", "")->body);
  state.nodes = read_nodes(api.call("GET", "/api/v1/nodes", "")->body);
  state.services = read_services(api.call("GET", "/api/v1/services", "")->body);
  state.usage = read_usage(api.call("GET", "/api/v1/usage", "")->body);
  for (std::size_t i = 1; i <= jobs; ++i) {
    state.jobs.push_back(read_job(job_json("j" + std::to_string(i), "训练-" + std::to_string(i), i == 1 ? "running" : "queued",
                                           R"("progress":{"step":120,"steps":300,"loss":2.914,"tokens_per_s":9120,"eta_s":40})")));
  }
  const ChipView chip = state.nodes.front().chips.front();
  while (state.nodes.front().chips.size() < chips) { state.nodes.front().chips.push_back(chip); }
  return state;
}

std::string plain(const std::string& line) {
  std::string out;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\x1b') {
      i = line.find('m', i);
    } else {
      out += line[i];
    }
  }
  return out;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) { out += line + "\n"; }
  return out;
}

Paper paper(std::size_t width, bool colour = false) { return {width, {colour, true}, kNow, {}}; }

TEST(Top, ShowsChipsJobsServicesAndUsage) {
  TopLook look;
  std::vector<std::string> lines = render_top(sample(), look, paper(100), 24);
  ASSERT_EQ(lines.size(), 24U);
  EXPECT_THAT(lines[0], HasSubstr("lab  up 1h 00m  policy fifo  journal ok"));
  lines[0].clear();  // the clock follows the time zone
  EXPECT_EQ(joined(lines),
            "\n"
            "─ CHIPS 1/2 held ───────────────────────────────────────────────────────────────────────────────────\n"
            "CHIP  NODE  KIND      BUSY             POWER  HELD BY\n"
            "c1    vm    cpu-core  ██████░░░░  61%  5.0 W  small\n"
            "c2    vm    cpu-core  ▏░░░░░░░░░   2%  5.0 W  free\n"
            "▶ JOBS 1 running, 0 queued ─────────────────────────────────────────────────────────────────────────\n"
            "JOB  NAME    TENANT   STATE    CHIPS  PROGRESS                  LOSS  TOK/S  LEFT  TIME\n"
            "j1   训练-1  default  running      1  ████░░░░░░  40% 120/300  2.914  9,120  40 s  50 s\n"
            "j2   训练-2  default  queued       1  ████░░░░░░  40% 120/300  2.914  9,120  40 s  50 s\n"
            "j3   训练-3  default  queued       1  ████░░░░░░  40% 120/300  2.914  9,120  40 s  50 s\n"
            "─ SERVICES 1/1 ready ───────────────────────────────────────────────────────────────────────────────\n"
            "SERVICE  NAME  TENANT   STATE  READY  CHIPS  REQUESTS  TOKENS     AGE  MODEL\n"
            "s1       chat  default  ready    1/1      1         3      30  2m 00s  job:small\n"
            "─ USAGE by tenant ──────────────────────────────────────────────────────────────────────────────────\n"
            "TENANT   ID  CHIP TIME     ENERGY  TRAINED  REQUESTS  TOKENS IN  TOKENS OUT      COST\n"
            "default  u1     2h 00m  ~1.00 kWh  245,760         3         10          20  1.50 EUR\n"
            "\n\n\n\n\n\n\n"
            "q quit  j/k scroll  tab next part  space pause  ? help\n");
}

TEST(Top, FitsEverySize) {
  for (const std::size_t chips : {2U, 500U}) {
    const TopState state = sample(200, chips);
    for (std::size_t rows = 1; rows < 60; rows += 5) {
      for (std::size_t width = 1; width < 200; width += 17) {
        for (std::size_t focus = 0; focus < kTopParts; ++focus) {
          TopLook look;
          look.focus = static_cast<TopPart>(focus);
          const std::vector<std::string> lines = render_top(state, look, paper(width, true), rows);
          ASSERT_EQ(lines.size(), rows);
          for (const std::string& line : lines) {
            ASSERT_LE(display_width(plain(line)), width) << rows << "x" << width << ": " << plain(line);
          }
        }
      }
    }
  }
}

TEST(Top, AFrameAlwaysShowsEachPartsTitleIfItHasTheRows) {
  const TopState state = sample(200, 500);
  TopLook look;
  const std::string frame = joined(render_top(state, look, paper(80), 12));
  for (const char* title : {"CHIPS", "JOBS", "SERVICES", "USAGE"}) { EXPECT_THAT(frame, HasSubstr(title)); }
}

TEST(Top, ScrollsInTheFocusAndStopsAtTheEnd) {
  const TopState state = sample(50);
  TopLook look;
  EXPECT_THAT(joined(render_top(state, look, paper(100), 24)), HasSubstr("of 50)"));
  ASSERT_TRUE(turn(look, Key::down, 24));
  EXPECT_THAT(joined(render_top(state, look, paper(100), 24)), HasSubstr("JOBS 1 running, 0 queued (2-"));
  ASSERT_TRUE(turn(look, Key::last, 24));
  EXPECT_THAT(joined(render_top(state, look, paper(100), 24)), HasSubstr("-50 of 50)"));
  const std::size_t end = look.scroll[1];
  ASSERT_TRUE(turn(look, Key::down, 24));
  static_cast<void>(render_top(state, look, paper(100), 24));
  EXPECT_EQ(look.scroll[1], end);
  ASSERT_TRUE(turn(look, Key::first, 24));
  ASSERT_TRUE(turn(look, Key::up, 24));
  EXPECT_EQ(look.scroll[1], 0U);
}

TEST(Top, KeysMoveTheFocusAndLeave) {
  TopLook look;
  EXPECT_TRUE(turn(look, Key::next_part, 24));
  EXPECT_EQ(look.focus, TopPart::services);
  EXPECT_TRUE(turn(look, Key::previous_part, 24));
  EXPECT_TRUE(turn(look, Key::previous_part, 24));
  EXPECT_TRUE(turn(look, Key::previous_part, 24));
  EXPECT_EQ(look.focus, TopPart::usage);
  EXPECT_TRUE(turn(look, Key::help, 24));
  EXPECT_THAT(joined(render_top(sample(), look, paper(100), 24)), HasSubstr("scroll the part in focus"));
  EXPECT_TRUE(turn(look, Key::down, 24));
  EXPECT_FALSE(look.help);
  EXPECT_TRUE(turn(look, Key::pause, 24));
  EXPECT_TRUE(look.paused);
  EXPECT_FALSE(turn(look, Key::quit, 24));
}

TEST(Top, KeysAreReadInPiecesAndUnknownOnesForgotten) {
  std::string typed = "j\x1b[B\x1b[5~\tq";
  EXPECT_EQ(take_keys(typed), (std::vector{Key::down, Key::down, Key::page_up, Key::next_part, Key::quit}));
  EXPECT_EQ(typed, "");
  typed = "\x1b[";
  EXPECT_TRUE(take_keys(typed).empty());
  EXPECT_EQ(typed, "\x1b[");
  typed += "A";
  EXPECT_EQ(take_keys(typed), std::vector{Key::up});
  typed = "\x1b[1;5Pzj";
  EXPECT_EQ(take_keys(typed), std::vector{Key::down});
  typed =
      "\xff\xfe\x1b\x1b\x1b\x1b"
      "k";
  EXPECT_EQ(take_keys(typed).back(), Key::up);
  EXPECT_EQ(typed, "");
}

TEST(Top, EventsChangeThePicture) {
  TopState state = sample(1);
  EXPECT_TRUE(take_event(state, {"job", job_json("j9", "new", "running"), "1"}));
  EXPECT_EQ(state.jobs.front().id, "j9");
  EXPECT_TRUE(take_event(state, {"job", job_json("j9", "new", "done"), "2"}));
  EXPECT_EQ(state.jobs.back().id, "j9");
  EXPECT_TRUE(take_event(state, {"service", service_json("s1", "chat", "degraded", 0, 1), "3"}));
  EXPECT_EQ(state.services.front().state, "degraded");
  EXPECT_TRUE(take_event(state, {"service", R"({"id":"s1","state":"removing","replicas":[]})", "4"}));
  EXPECT_TRUE(state.services.empty());
  EXPECT_FALSE(take_event(state, {"tick", "{}", "5"}));
  EXPECT_TRUE(take_event(state, {"job", "not json", "6"}));  // no harm
  EXPECT_EQ(state.jobs.size(), 2U);
}

TEST(Top, OfManyJobsTheOnesThatMatterAreKept) {
  std::vector<JobView> jobs;
  for (std::size_t i = 0; i < 3 * kTopJobsMax; ++i) {
    JobView job;
    job.id = "j" + std::to_string(i + 1);
    job.state = i % 3 == 0 ? "done" : i % 3 == 1 ? "queued" : "running";
    jobs.push_back(job);
  }
  order_jobs(jobs);
  EXPECT_EQ(jobs.size(), kTopJobsMax + kTopEndedMax);
  EXPECT_EQ(jobs.front().state, "running");
  EXPECT_EQ(jobs.front().id, "j" + std::to_string(3 * kTopJobsMax));
  EXPECT_EQ(jobs.back().state, "done");
}

TEST(Top, OnceWithoutATerminalPrintsOnePicture) {
  FakeApi api = small_centre();
  const Ran ran = run(api, {"top"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("▶ JOBS 1 running, 0 queued"));
  EXPECT_EQ(ran.out.find("q quit"), std::string::npos);
}

}  // namespace
}  // namespace centrale::cli
