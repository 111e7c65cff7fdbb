// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_inputs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace centrale::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <class T>
std::string error_of(const Outcome<T>& outcome) {
  return outcome ? "no error" : outcome.error().error.message();
}

TEST(PlanNumbers, SuffixesArePowersOf1000) {
  EXPECT_EQ(parse_quantity("15.6T"), 15.6e12);
  EXPECT_EQ(parse_quantity("16M"), 16e6);
  EXPECT_EQ(parse_quantity("8k"), 8000);
  EXPECT_EQ(parse_quantity(" 8 k "), 8000);
  EXPECT_EQ(parse_quantity("2B"), 2e9);
  EXPECT_EQ(parse_quantity("1e12"), 1e12);
  EXPECT_EQ(parse_quantity("8192"), 8192);
  for (const char* bad : {"", "-1", "k", "1kk", "1 kg", "inf", "nan", "0x10", "1,000", "--"}) {
    EXPECT_FALSE(parse_quantity(bad).has_value()) << bad;
  }
}

TEST(PlanNumbers, WhatAnOptionCannotBeIsSaidWithItsName) {
  EXPECT_EQ(error_of(quantity_of("--tokens", "0")), "--tokens '0' is not understood; a number above 0, such as 8192, 16M or 15.6T");
  EXPECT_EQ(quantity_of("--tokens", "x").error().exit_code, kExitUsage);
  EXPECT_THAT(error_of(count_of("--seq", "1.5")), HasSubstr("a whole number"));
  EXPECT_THAT(error_of(count_of("--seq", "1e20")), HasSubstr("a whole number"));
  EXPECT_EQ(*count_of("--seq", "8.192k"), 8192);
  EXPECT_DOUBLE_EQ(*seconds_of("--ttft", "500ms"), 0.5);
  EXPECT_THAT(error_of(seconds_of("--ttft", "fast")), HasSubstr("such as 40ms"));
  EXPECT_DOUBLE_EQ(*rate_of("--rate", "200/s"), 200);
  EXPECT_DOUBLE_EQ(*rate_of("--rate", "3/min"), 0.05);
  EXPECT_DOUBLE_EQ(*rate_of("--rate", "8.64M/d"), 100);
  EXPECT_DOUBLE_EQ(*rate_of("--rate", "7"), 7);
  for (const char* bad : {"200/x", "/s", "0/s", "200/", "-1/s"}) { EXPECT_FALSE(rate_of("--rate", bad)) << bad; }
}

TEST(PlanNumbers, ABatchIsAsManySequencesAsThePaperMeant) {
  EXPECT_EQ(batch_of("16M", 8192)->sequences, 2048);  // published as 16M: 2,048 x 8,192 = 16,777,216
  EXPECT_THAT(batch_of("16M", 8192)->note, HasSubstr("2,048 sequences, 16,777,216 tokens"));
  EXPECT_EQ(batch_of("16M", 1000)->sequences, 16000);  // 1000s divide
  EXPECT_EQ(batch_of("16M", 1000)->note, "");
  EXPECT_EQ(batch_of("16777216", 8192)->sequences, 2048);
  EXPECT_EQ(batch_of("16777216", 8192)->note, "");
  EXPECT_EQ(batch_of("2048 sequences", 8192)->sequences, 2048);
  EXPECT_EQ(batch_of("2k sequences", 8192)->sequences, 2000);
  EXPECT_EQ(batch_of("10000 tokens", 4096)->sequences, 2);
  EXPECT_THAT(batch_of("10000", 4096)->note, HasSubstr("2 sequences, 8,192 tokens"));
  EXPECT_THAT(error_of(batch_of("1k", 4096)), HasSubstr("less than one sequence of 4,096"));
  EXPECT_EQ(batch_of("1k", 4096).error().exit_code, kExitInput);
  for (const char* bad : {"", "0", "16 cats", "2.5 sequences", "0.5 sequences", "1e30"}) {
    EXPECT_EQ(batch_of(bad, 4096).error().exit_code, kExitUsage) << bad;
  }
}

TEST(PlanNumbers, ListsOfNames) {
  EXPECT_THAT(*precisions_of("bf16, fp8,bf16"), ElementsAre(Precision::bf16, Precision::fp8));
  EXPECT_THAT(error_of(precisions_of("bf16,fp7")), HasSubstr("--precision 'fp7' is not understood; one or more of: fp32,"));
  EXPECT_THAT(error_of(precisions_of("")), HasSubstr("--precision ''"));
  EXPECT_THAT(*schedules_of("zero-bubble", {}), ElementsAre(Schedule::zero_bubble));
  EXPECT_THAT(*schedules_of("", {}), ElementsAre(Schedule::one_f_one_b, Schedule::zero_bubble));
  Stack dual;
  dual.dual_pipe = true;
  EXPECT_THAT(*schedules_of("", dual), ElementsAre(Schedule::one_f_one_b, Schedule::zero_bubble, Schedule::dual_pipe));
}

TEST(PlanLayout, IsReadAsItIsWritten) {
  const Fleet fleet = *fleet_of("h100-sxmx1024", default_catalogue());
  // Every choice of each kind once, the rest as the turn has it.
  for (int i = 0; i < 200; ++i) {
    Layout l{.tp = 1 << i % 4, .cp = 1 + i % 2, .dp = 1 + i % 5, .pp = 1 + i % 3, .ep = 1 << i % 3, .etp = 1 + i % 2};
    l.interleave = 1 + i % 4;
    l.micro_batch = 1 + i % 3;
    l.schedule = static_cast<Schedule>(i % 3);
    l.zero = static_cast<Zero>(i % 4);
    l.shard = l.zero == Zero::none ? 0 : i % 2 * 8;
    l.recompute = static_cast<Recompute>(i / 3 % 3);
    l.layers_recomputed = l.recompute == Recompute::full && i % 2 == 0 ? 3 : -1;
    l.offload = static_cast<Offload>(i / 5 % 3);
    l.precision = static_cast<Precision>(i % 7);
    l.sequence_parallel = i % 2 == 0;
    const std::string text = to_text(l) + (l.dp == 1 ? " dp1" : "");  // left out it is what the chips leave
    const auto read = layout_of(text, fleet, Precision::fp32);
    ASSERT_TRUE(read) << text << ": " << error_of(read);
    EXPECT_EQ(read->layout, l) << text << " became " << to_text(read->layout);
  }
}

TEST(PlanLayout, WhatIsLeftOutIsFilledIn) {
  const Fleet fleet = *fleet_of("h100-sxmx64,mi300xx128", default_catalogue());
  EXPECT_EQ(layout_of("tp8,pp2", fleet, Precision::fp8)->layout.dp, 4);
  EXPECT_EQ(layout_of("tp8 pp2", fleet, Precision::fp8)->layout.precision, Precision::fp8);
  EXPECT_EQ(layout_of("tp8 pp2", fleet, Precision::fp8)->island, "h100-sxm");
  const auto second = layout_of("mi300x: tp8 fsdp", fleet, Precision::bf16);
  EXPECT_EQ(second->island, "mi300x");
  EXPECT_EQ(second->layout.dp, 16);
  EXPECT_EQ(second->layout.zero, Zero::weights);
  EXPECT_EQ(error_of(layout_of("mi300: tp8", fleet, Precision::bf16)), "--layout: the fleet has no island 'mi300'; nearest: mi300x");
  for (const char* bad :
       {"", " ", "tp", "tp0", "tp-1", "tp8x", "zero4", "zero1/0", "recompute=some", "offload=disk", "hello", "tp99999999999"}) {
    const auto read = layout_of(bad, fleet, Precision::bf16);
    ASSERT_FALSE(read) << bad;
    EXPECT_EQ(read.error().exit_code, kExitUsage) << bad;
  }
}

}  // namespace
}  // namespace centrale::cli
