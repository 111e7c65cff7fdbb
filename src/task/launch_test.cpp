// SPDX-License-Identifier: Apache-2.0
#include "task/launch.hpp"

#include <gmock/gmock.h>
#include <signal.h>

#include "task/environment.hpp"
#include "task/reply.hpp"

namespace centrale::task {
namespace {

using testing::HasSubstr;

Launch everything() {
  Launch launch;
  LaunchSpec& spec = launch.spec;
  spec.task = {12};
  spec.label = "a \"label\" with \\ and \n and ü and \x01";
  spec.argv = {"train", "", "--x={port}", "$(no)", "日本"};
  spec.env = {{"A", "1"}, {"EMPTY", ""}, {"A", "2"}};
  spec.work_dir = "/w";
  spec.checkpoint_dir = "/c";
  spec.ranks = {{{0, 5}, "CUDA_VISIBLE_DEVICES", {"0", "1"}}, {{}, "", {}}};
  spec.memory_max = mebibytes(1 << 20);
  spec.grace = seconds(77);
  spec.wants_port = true;
  spec.job = "j3";
  spec.attempt = 4;
  spec.array_index = 0;
  launch.base_env = {{"PATH", "/bin"}};
  launch.port = 20001;
  launch.master_port = 20002;
  launch.mark = "abc";
  launch.cgroup = "/sys/fs/cgroup/x";
  launch.log_max = mebibytes(256);
  return launch;
}

TEST(Launch, ComesBackAsItWasWritten) {
  const Launch before = everything();
  const Result<Launch> after = parse_launch(to_json(before));
  ASSERT_TRUE(after) << after.error().message();
  EXPECT_EQ(to_json(*after), to_json(before));
  EXPECT_EQ(after->spec.label, before.spec.label);
  EXPECT_EQ(after->spec.argv, before.spec.argv);
  EXPECT_EQ(after->spec.env, before.spec.env);
  EXPECT_EQ(after->spec.ranks[0].cpus, before.spec.ranks[0].cpus);
  EXPECT_EQ(after->spec.ranks[0].visible_devices, before.spec.ranks[0].visible_devices);
  EXPECT_EQ(after->spec.array_index, before.spec.array_index);
  EXPECT_EQ(after->spec.memory_max, before.spec.memory_max);
  Launch none = before;
  none.spec.array_index.reset();
  EXPECT_FALSE(parse_launch(to_json(none))->spec.array_index);
}

TEST(Launch, ADamagedFileSaysWhatIsWrong) {
  const std::string good = to_json(everything());
  for (std::size_t size = 0; size + 2 < good.size(); size += 7) { EXPECT_FALSE(parse_launch(good.substr(0, size))) << size; }
  std::string no_argv = good;
  no_argv.replace(no_argv.find("\"argv\""), 6, "\"arg_\"");
  EXPECT_THAT(parse_launch(no_argv).error().what, HasSubstr("'argv'"));
  std::string newer = good;
  newer.replace(newer.find("\"version\": 1"), 12, "\"version\": 2");
  EXPECT_THAT(parse_launch(newer).error().remedy, HasSubstr("newer"));
  std::string negative = good;
  negative.replace(negative.find("[0, 5]"), 6, "[0,-5]");
  EXPECT_FALSE(parse_launch(negative));
}

TEST(Launch, ChecksWhatNoProcessCanBeGiven) {
  const auto wrong = [](auto change) {
    LaunchSpec spec = everything().spec;
    change(spec);
    const Result<void> checked = check(spec);
    return checked ? std::string("ok") : checked.error().what;
  };
  EXPECT_EQ(wrong([](LaunchSpec&) {}), "ok");
  EXPECT_THAT(wrong([](LaunchSpec& s) { s.argv.clear(); }), HasSubstr("empty"));
  EXPECT_THAT(wrong([](LaunchSpec& s) { s.argv[0].clear(); }), HasSubstr("empty"));
  EXPECT_THAT(wrong([](LaunchSpec& s) { s.argv[1] = std::string("a\0", 2); }), HasSubstr("NUL"));
  EXPECT_THAT(wrong([](LaunchSpec& s) { s.argv[1] = "\xff"; }), HasSubstr("UTF-8"));
  EXPECT_THAT(wrong([](LaunchSpec& s) { s.argv[1].assign(200'000, 'x'); }), HasSubstr("KiB"));
  EXPECT_THAT(wrong([](LaunchSpec& s) { s.argv.assign(20, std::string(100'000, 'x')); }), HasSubstr("KiB"));
  EXPECT_THAT(wrong([](LaunchSpec& s) { s.env = {{"A=B", "c"}}; }), HasSubstr("'A=B'"));
  EXPECT_THAT(wrong([](LaunchSpec& s) { s.env = {{"", "c"}}; }), HasSubstr("environment variable"));
  EXPECT_THAT(wrong([](LaunchSpec& s) { s.ranks.clear(); }), HasSubstr("ranks"));
  EXPECT_THAT(wrong([](LaunchSpec& s) { s.ranks.resize(5000); }), HasSubstr("ranks"));
  EXPECT_THAT(wrong([](LaunchSpec& s) { s.task = {}; }), HasSubstr("id"));
}

TEST(Exit, ComesBackAsItWasWritten) {
  ExitReport before{.task = {3},
                    .started = false,
                    .lost = true,
                    .stop_requested = true,
                    .code = 75,
                    .signal = 9,
                    .failed_rank = 2,
                    .message = "a\tb",
                    .error = ErrorKind::invalid,
                    .remedy = "do \"this\"",
                    .began = {1},
                    .ended = {1'800'000'000'000'000'000},
                    .max_rss = {5},
                    .cpu = {6}};
  const Result<ExitReport> after = parse_exit(to_json(before));
  ASSERT_TRUE(after) << after.error().message();
  EXPECT_EQ(to_json(*after), to_json(before));
  EXPECT_EQ(after->ended, before.ended);
  EXPECT_EQ(after->error, ErrorKind::invalid);
  EXPECT_FALSE(parse_exit("{\"version\": 1}"));
}

ExitReport summed(bool stop_requested, const std::vector<RankEnd>& ends) {
  ExitReport report;
  report.stop_requested = stop_requested;
  summarize(report, ends);
  return report;
}

TEST(Summary, TheFirstFailureIsTheCause) {
  const ExitReport report = summed(false, {{3, 0, 0}, {2, 9, 0}, {0, 0, SIGTERM}, {1, 75, 0}});
  EXPECT_EQ(report.code, 9);
  EXPECT_EQ(report.signal, 0);
  EXPECT_EQ(report.failed_rank, 2);
  EXPECT_EQ(summed(false, {{0, 0, SIGSEGV}}).signal, SIGSEGV);
  EXPECT_EQ(summed(false, {{0, 0, SIGSEGV}}).code, -1);
  EXPECT_EQ(summed(false, {{0, 0, 0}, {1, 0, 0}}).code, 0);
  EXPECT_EQ(summed(false, {{1, 75, 0}, {0, 0, SIGTERM}}).code, 75);
}

TEST(Summary, AfterAStopASavedRankOutweighsThoseThatSigtermEnded) {
  const ExitReport report = summed(true, {{1, 0, SIGTERM}, {2, 0, SIGTERM}, {0, 75, 0}});
  EXPECT_EQ(report.code, 75);
  EXPECT_EQ(report.signal, 0);
  EXPECT_EQ(report.failed_rank, -1);
  EXPECT_EQ(summed(true, {{0, 0, SIGTERM}}).signal, SIGTERM);
  EXPECT_EQ(summed(true, {{0, 0, 0}, {1, 0, SIGTERM}}).signal, SIGTERM);
  EXPECT_EQ(summed(true, {{1, 0, SIGTERM}, {0, 0, SIGKILL}}).signal, SIGKILL);
  EXPECT_EQ(summed(true, {{0, 75, 0}, {1, 3, 0}}).code, 3);
}

TEST(Reply, ComesBackAndRefusesHalves) {
  const Reply before{Answer::error, {ErrorKind::io, "no\tspace\nleft", "/x", "free some"}};
  const std::string line = to_line(before);
  const std::optional<Reply> after = parse_reply(line);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->answer, Answer::error);
  EXPECT_EQ(after->error.kind, ErrorKind::io);
  EXPECT_EQ(after->error.what, "no space left");
  EXPECT_EQ(after->error.remedy, "free some");
  for (std::size_t size = 0; size < line.size(); ++size) { EXPECT_FALSE(parse_reply(line.substr(0, size))) << size; }
  EXPECT_FALSE(parse_reply("maybe\t0\t\t\t\n"));
  EXPECT_FALSE(parse_reply("busy\t9\t\t\t\n"));
}

std::string value_of(const Environment& environment, std::string_view name) {
  std::string value = "(none)";
  int count = 0;
  for (const auto& [key, each] : environment) {
    if (key == name) {
      value = each;
      ++count;
    }
  }
  EXPECT_LE(count, 1) << name;
  return value;
}

TEST(RankEnvironment, TheContractWinsOverTheUserAndTheUserOverTheCentre) {
  Launch launch = everything();
  launch.spec.env = {{"PATH", "/mine"}, {"RANK", "9"}, {"CENTRALE_TASK", "t1"}, {std::string(kMarkVariable), "forged"},
                     {"A", "1"},        {"A", "2"}};
  const Environment rank0 = rank_environment(launch, 0, 7);
  EXPECT_EQ(value_of(rank0, "PATH"), "/mine");
  EXPECT_EQ(value_of(rank0, "RANK"), "0");
  EXPECT_EQ(value_of(rank0, "CENTRALE_TASK"), "t12");
  EXPECT_EQ(value_of(rank0, kMarkVariable), "abc");
  EXPECT_EQ(value_of(rank0, "A"), "2");
  EXPECT_EQ(value_of(rank0, "OMP_NUM_THREADS"), "2");
  EXPECT_EQ(value_of(rank0, "CUDA_VISIBLE_DEVICES"), "0,1");
  EXPECT_EQ(value_of(rank0, "CENTRALE_PORT"), "20001");
  EXPECT_EQ(value_of(rank0, "MASTER_PORT"), "20002");
  const Environment rank1 = rank_environment(launch, 1, 7);
  EXPECT_EQ(value_of(rank1, "OMP_NUM_THREADS"), "7");
  EXPECT_EQ(value_of(rank1, "CUDA_VISIBLE_DEVICES"), "(none)");
  EXPECT_EQ(value_of(rank1, "WORLD_SIZE"), "2");
}

TEST(FindProgram, LooksWhereAShellWould) {
  EXPECT_EQ(find_program("sh", "/", {{"PATH", "/nowhere:/bin"}}).value_or("?"), "/bin/sh");
  EXPECT_EQ(find_program("bin/sh", "/", {}).value_or("?"), "//bin/sh");
  EXPECT_EQ(find_program("/bin/sh", "/tmp", {}).value_or("?"), "/bin/sh");
  EXPECT_EQ(find_program("sh", "/bin", {{"PATH", ":/nowhere"}}).value_or("?"), "/bin/sh");
  EXPECT_THAT(find_program("no-such", "/", {{"PATH", "/bin"}}).error().message(), HasSubstr("\"no-such\": no such file"));
  EXPECT_THAT(find_program("/bin", "/", {}).error().message(), HasSubstr("directory"));
  EXPECT_THAT(find_program("./x", "/tmp", {}).error().where, HasSubstr("/tmp"));
}

TEST(PutPort, ReplacesEveryPlaceOnce) {
  std::vector<std::string> argv{"x", "--a={port}:{port}", "{port", "{{port}}"};
  put_port(argv, 80);
  EXPECT_THAT(argv, testing::ElementsAre("x", "--a=80:80", "{port", "{80}"));
}

}  // namespace
}  // namespace centrale::task
