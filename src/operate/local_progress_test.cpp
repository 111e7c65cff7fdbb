// SPDX-License-Identifier: Apache-2.0
#include "operate/local_progress.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace centrale::local {
namespace {

Progress read(std::string_view line, LineKind expected) {
  Progress progress;
  EXPECT_EQ(read_progress_line(line, progress), expected) << line;
  return progress;
}

TEST(ProgressLine, TakesEveryFieldOfTheContract) {
  const Progress p = read(R"(@centrale {"step":120,"steps":300,"loss":2.914,"tokens":245760,"tokens_per_s":9120,"eta_s":40,"new":[1]})",
                          LineKind::progress);
  EXPECT_EQ(p.step, 120);
  EXPECT_EQ(p.steps, 300);
  EXPECT_EQ(p.loss, 2.914);
  EXPECT_EQ(p.tokens, 245760);
  EXPECT_EQ(p.tokens_per_s, 9120.0);
  EXPECT_EQ(p.eta_s, 40.0);
  EXPECT_EQ(read(R"(@centrale {"checkpoint":"step-000120","step":120})", LineKind::progress).checkpoint, "step-000120");
  EXPECT_EQ(read(R"(@centrale {"tokens":3e5,"step":12.0,"loss":-1})", LineKind::progress).tokens, 300000);
}

TEST(ProgressLine, KeepsWhatALineDoesNotName) {
  Progress p;
  ASSERT_EQ(read_progress_line(R"(@centrale {"step":1,"steps":9})", p), LineKind::progress);
  ASSERT_EQ(read_progress_line(R"(@centrale {"step":2})", p), LineKind::progress);
  EXPECT_EQ(p.step, 2);
  EXPECT_EQ(p.steps, 9);
}

TEST(ProgressLine, TakesNothingOfALineThatIsWrong) {
  for (const std::string& line : std::vector<std::string>{
           "@centrale ", "@centrale {", "@centrale []", "@centrale 5", R"(@centrale {"step":-1})", R"(@centrale {"step":"1"})",
           R"(@centrale {"step":1.5})", R"(@centrale {"step":1,"loss":NaN})", R"(@centrale {"step":1,"loss":1e999})",
           R"(@centrale {"step":1,"tokens":1e300})", R"(@centrale {"step":1,"checkpoint":""})", R"(@centrale {"step":1,"checkpoint":7})",
           R"(@centrale {"step":1,"checkpoint":"a\nb"})", R"(@centrale {"step":1} trailing)", "@centrale {\"step\":1,\"x\":\"\xff\"}",
           R"(@centrale {"step":1,"x":")" + std::string(5000, 'a') + "\"}", R"(@centrale {"step":1,"eta_s":null})"}) {
    const Progress p = read(line, LineKind::malformed);
    EXPECT_FALSE(p.step) << line;
  }
}

TEST(ProgressLine, LeavesOtherOutputAlone) {
  for (const char* line : {"", "step 1", " @centrale {}", "@centrale", "@centrale{}", "@Centrale {}"}) { read(line, LineKind::other); }
}

class Follower : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "centrale-progress-XXXXXX").string();
    const int fd = mkstemp(name.data());
    ASSERT_GE(fd, 0);
    close(fd);
    path = name;
  }
  void TearDown() override { std::filesystem::remove(path); }
  void put(const std::string& text) const { std::ofstream(path, std::ios::app) << text; }
  static std::string step(int n) { return "@centrale {\"step\":" + std::to_string(n) + "}\n"; }
  std::string path;
};

TEST_F(Follower, ReadsALineThatComesInPieces) {
  ProgressFollower follower(path);
  put("@centr");
  EXPECT_FALSE(follower.read(1 << 20));
  put("ale {\"st");
  EXPECT_FALSE(follower.read(1 << 20));
  EXPECT_TRUE(follower.take_rest().empty());
  put("ep\":5}\nother\n");
  EXPECT_FALSE(follower.read(1 << 20));
  const std::vector<Progress> reports = follower.take_rest();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].step, 5);
  EXPECT_TRUE(follower.take_rest().empty());
}

TEST_F(Follower, IsTheSameInAnySizeOfBite) {
  std::string text;
  for (int i = 0; i < 40; ++i) {
    text += "noise " + std::string(static_cast<std::size_t>(i) * 7, 'x') + "\n" + step(i) +
            (i % 10 == 0 ? "@centrale {\"checkpoint\":\"c" + std::to_string(i) + "\"}\n" : "") + std::string(i == 20 ? 9000 : 0, '@') +
            "\n";
  }
  put(text);
  for (const std::size_t bite : {1UL, 3UL, 64UL, 4095UL, 4096UL, 100000UL}) {
    ProgressFollower follower(path);
    while (follower.read(bite)) {}
    const std::vector<Progress> reports = follower.take_rest();
    ASSERT_EQ(reports.size(), 4U) << bite;
    EXPECT_EQ(reports[3].checkpoint, "c30");
    EXPECT_EQ(reports[3].step, 39);
    EXPECT_EQ(reports[3].malformed, 0);
  }
}

TEST_F(Follower, ReportsAtMostFourTimesASecondAndLosesNoCheckpoint) {
  ProgressFollower follower(path);
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::size_t reports = 0;
  std::vector<std::string> checkpoints;
  for (int i = 0; i < 200; ++i) {  // two seconds, a line and a checkpoint every 10 ms
    put(step(i) + (i % 50 == 0 ? "@centrale {\"checkpoint\":\"c" + std::to_string(i) + "\"}\n" : ""));
    follower.read(1 << 20);
    for (const Progress& each : follower.take(kSecond * 1000 + i * (kSecond / 100))) {
      ++reports;
      if (!each.checkpoint.empty()) { checkpoints.push_back(each.checkpoint); }
    }
  }
  EXPECT_LE(reports, 9U);
  EXPECT_GE(reports, 7U);
  EXPECT_THAT(checkpoints, testing::ElementsAre("c0", "c50", "c100", "c150"));
}

TEST_F(Follower, AFloodOfCheckpointsKeepsTheNewest) {
  ProgressFollower follower(path);
  for (int i = 0; i < 1000; ++i) { put("@centrale {\"checkpoint\":\"c" + std::to_string(i) + "\"}\n"); }
  follower.read(1 << 20);
  const std::vector<Progress> reports = follower.take_rest();
  EXPECT_EQ(reports.size(), 64U);
  EXPECT_EQ(reports.back().checkpoint, "c999");
}

TEST_F(Follower, ALineWithoutEndCostsNoMemoryAndIsCounted) {
  ProgressFollower follower(path);
  put("@centrale {\"step\":1,\"x\":\"" + std::string(3'000'000, 'y'));
  while (follower.read(1 << 16)) {}
  put("\"}\n" + step(2));
  follower.read(1 << 20);
  const std::vector<Progress> reports = follower.take_rest();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].step, 2);
  EXPECT_EQ(reports[0].malformed, 1);
}

TEST_F(Follower, BeginsAtTheEndOfALongFile) {
  put("@centrale {\"checkpoint\":\"old\"}\n@centrale {\"checkpoint\":\"c1\",\"steps\":77}\n");
  for (int i = 0; i < 10'000; ++i) { put(i % 100 == 0 ? step(i) : "a line that says nothing to anybody\n"); }
  ProgressFollower follower(path);
  follower.begin_at_end();
  std::vector<Progress> reports = follower.take_rest();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].step, 9900);
  EXPECT_EQ(reports[0].checkpoint, "c1");  // further back than the newest line
  EXPECT_EQ(reports[0].steps, 77);
  put(step(12345));
  follower.read(1 << 20);
  reports = follower.take_rest();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].step, 12345);
  EXPECT_EQ(reports[0].checkpoint, "");
}

TEST_F(Follower, TakesALastLineWithoutNewline) {
  ProgressFollower follower(path);
  put(step(1) + "@centrale {\"step\":2}");
  follower.read_rest();
  EXPECT_EQ(follower.take_rest().at(0).step, 2);
}

TEST_F(Follower, AFileThatIsNotThereYetIsEmpty) {
  ProgressFollower follower(path + "-later");
  EXPECT_FALSE(follower.read(100));
  follower.begin_at_end();
  EXPECT_TRUE(follower.take_rest().empty());
}

}  // namespace
}  // namespace centrale::local
