// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/commands.hpp"

namespace centrale::cli {
namespace {

using testing::ElementsAre;

TEST(Calibrate, WhatIsNotGivenIsLeftToTheProgram) {
  EXPECT_THAT(calibrate_words({}, false), ElementsAre("centrale-calibrate"));
  CalibrateOptions quick;
  quick.quick = true;
  EXPECT_THAT(calibrate_words(quick, true), ElementsAre("centrale-calibrate", "--quick", "--json"));
}

TEST(Calibrate, EveryOptionIsPassedOn) {
  const CalibrateOptions all{.device = "cuda:1", .key = "mine", .output = "a b.yaml", .threads = 8, .ranks = 2, .quick = false};
  EXPECT_THAT(calibrate_words(all, false), ElementsAre("centrale-calibrate", "--device", "cuda:1", "--threads", "8", "--ranks", "2",
                                                       "--key", "mine", "--output", "a b.yaml"));
}

}  // namespace
}  // namespace centrale::cli
