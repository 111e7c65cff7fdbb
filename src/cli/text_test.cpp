// SPDX-License-Identifier: Apache-2.0
#include "cli/text.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "cli/progress.hpp"
#include "cli/table.hpp"

namespace centrale::cli {
namespace {

constexpr Style kPlain{false, true};
constexpr Style kAscii{false, false};

TEST(Text, NothingFromOutsideDrivesTheTerminal) {
  EXPECT_EQ(printable("a\x1b[2Jb\nc\td"), "a [2Jb c d");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            " 31m");  // C1 control sequence introducer
  EXPECT_EQ(printable("x\xe2\x80\xae"
                      "cba"),
            "x cba");  // right-to-left override
  EXPECT_EQ(printable("ok\xff!"), "ok\xef\xbf\xbd!");
  EXPECT_EQ(printable("größe 训练"), "größe 训练");
}

TEST(Text, CutsByColumnsNotBytes) {
  EXPECT_EQ(cut("training", 8, kPlain), "training");
  EXPECT_EQ(cut("training", 5, kPlain), "trai…");
  EXPECT_EQ(cut("training", 5, kAscii), "trai~");
  EXPECT_EQ(cut("训练任务", 5, kPlain), "训练…");
  EXPECT_EQ(cut("训练任务", 4, kPlain), "训…");  // half a character does not exist
  EXPECT_EQ(cut("abc", 0, kPlain), "");
  EXPECT_EQ(display_width(cut("训练任务", 4, kPlain)), 3U);
}

TEST(Text, PadsByColumns) {
  EXPECT_EQ(pad("训练", 6), "训练  ");
  EXPECT_EQ(pad("7", 3, Align::right), "  7");
  EXPECT_EQ(pad("toolong", 3), "toolong");
}

TEST(Text, NumbersAtAGlance) {
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(245760), "245,760");
  EXPECT_EQ(count_text(12'400'000), "12.4M");
  EXPECT_EQ(count_text(3.2e12), "3200.0G");
  EXPECT_EQ(energy_text(0), "0.00 Wh");
  EXPECT_EQ(energy_text(12), "3.33 mWh");
  EXPECT_EQ(energy_text(3600), "1.00 Wh");
  EXPECT_EQ(energy_text(3.6e6), "1.00 kWh");
  EXPECT_EQ(power_text(5), "5.0 W");
  EXPECT_EQ(power_text(700), "700 W");
  EXPECT_EQ(power_text(1234), "1.2 kW");
  EXPECT_EQ(money_text(1.5, "EUR"), "1.50 EUR");
  EXPECT_EQ(money_text(0.0123, "EUR"), "0.0123 EUR");
  EXPECT_EQ(money_text(0.000084, ""), "0.000084");
  EXPECT_EQ(percent_text(0.614), "61%");
  EXPECT_EQ(span_text(0.44), "0.4 s");
  EXPECT_EQ(span_text(40), "40 s");
  EXPECT_EQ(span_text(-1), "–");
  EXPECT_EQ(span_text(1e300), "–");
  EXPECT_EQ(bytes_text(-1), "–");
}

TEST(Text, ColourOnlyWhereWanted) {
  EXPECT_EQ(paint("x", Tone::red, kPlain), "x");
  EXPECT_EQ(paint("x", Tone::red, Style{true, true}), "\x1b[31mx\x1b[0m");
}

Table sample() {
  return {{{"JOB"}, {"NAME", Align::left, 4}, {"AGE", Align::right, 0, 1}, {"LOSS", Align::right}},
          {{{"j1"}, {"training-run"}, {"3 s"}, {"–"}}, {{"j12"}, {"训练"}, {"1m 05s"}, {"–"}}}};
}

TEST(Table, AlignsByDisplayWidthAndLeavesUnknownColumnsOut) {
  EXPECT_EQ(render(sample(), 0, kPlain),
            "JOB  NAME             AGE\n"
            "j1   training-run     3 s\n"
            "j12  训练          1m 05s\n");
}

TEST(Table, CutsBeforeItLeavesOut) {
  EXPECT_EQ(render(sample(), 20, kPlain),
            "JOB  NAME        AGE\n"
            "j1   traini…     3 s\n"
            "j12  训练     1m 05s\n");
  EXPECT_EQ(render(sample(), 14, kPlain),
            "JOB  NAME\n"
            "j1   training…\n"
            "j12  训练\n");
}

TEST(Table, NoLineIsEverWiderThanTheTerminal) {
  for (std::size_t width = 1; width < 30; ++width) {
    for (const std::string& line : render_lines(sample(), width, kPlain)) {
      EXPECT_LE(display_width(line), width) << line;
      EXPECT_FALSE(line.ends_with(' '));
    }
  }
}

JobView running() {
  JobView job;
  job.id = "j1";
  job.name = "train-small";
  job.state = "running";
  job.attempts = 1;
  job.progress =
      ProgressView{.step = 120, .steps = 300, .loss = 2.914, .tokens = 245760, .tokens_per_s = 9120, .eta_s = 40, .checkpoint = {}};
  return job;
}

TEST(Progress, SaysHowFarHowWellHowLong) {
  EXPECT_EQ(progress_line(running(), 11, 100, kPlain),
            "train-small  running    ████████████░░░░░░░░░░░░░░░░░░  120/300  loss 2.914  40 s left  9,120 tok/s");
  EXPECT_EQ(progress_line(running(), 11, 100, kAscii),
            "train-small  running    ############..................  120/300  loss 2.914  40 s left  9,120 tok/s");
}

TEST(Progress, WhatMattersLeastGoesFirstWhenThereIsNoRoom) {
  EXPECT_EQ(progress_line(running(), 11, 66, kPlain), "train-small  running    ███▏░░░░  120/300  loss 2.914  40 s left");
  EXPECT_EQ(progress_line(running(), 11, 33, kPlain), "train-small  running    120/300");
  for (std::size_t width = 30; width < 140; ++width) { EXPECT_LE(display_width(progress_line(running(), 11, width, kPlain)), width); }
}

TEST(Progress, EveryStateHasItsLine) {
  JobView job = running();
  job.state = "queued";
  job.progress.reset();
  job.wait = "dependency";
  job.after = {"prepare"};
  EXPECT_EQ(progress_line(job, 11, 80, kPlain), "train-small  queued     waits for prepare");
  job.wait = "chips";
  EXPECT_EQ(progress_line(job, 11, 80, kPlain), "train-small  queued     waits for chips");
  job = running();
  job.state = "failed";
  job.message = "exit code 65";
  job.runtime_s = 3.3;
  EXPECT_EQ(progress_line(job, 11, 80, kPlain), "train-small  failed     120/300  loss 2.914  in 3.3 s  exit code 65");
  job.state = "done";
  EXPECT_EQ(progress_line(job, 11, 80, kPlain), "train-small  done       120/300 steps  loss 2.914  in 3.3 s");
  job = running();
  job.attempts = 2;
  job.progress.reset();
  job.runtime_s = 12;
  EXPECT_EQ(progress_line(job, 11, 80, kPlain), "train-small  running    attempt 2  for 12 s");
}

TEST(Progress, NumbersThatCannotBeAreNoHarm) {
  JobView job = running();
  job.progress->steps = 0;
  EXPECT_EQ(fraction_done(job), std::nullopt);
  job.progress->step = 1e300;
  job.progress->steps = 1;
  EXPECT_EQ(fraction_done(job), 1.0);
  EXPECT_FALSE(progress_line(job, 11, 80, kPlain).empty());
  EXPECT_EQ(bar(std::nan(""), 4, kAscii), "....");
  EXPECT_EQ(bar(7, 4, kAscii), "####");
}

TEST(Progress, AnArrayIsOneLine) {
  std::vector<JobView> members(4);
  for (std::size_t i = 0; i < 4; ++i) {
    members[i].name = "sweep";
    members[i].state = i < 2 ? "done" : i == 2 ? "running" : "queued";
  }
  EXPECT_EQ(array_line(members, 5, 80, kAscii), "sweep  running    ########........  2/4 ended  1 running  1 queued");
}

}  // namespace
}  // namespace centrale::cli
