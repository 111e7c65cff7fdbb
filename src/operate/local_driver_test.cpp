// SPDX-License-Identifier: Apache-2.0
#include "operate/local_driver.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include "operate/local_testing.hpp"

namespace centrale::local {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(LocalTest, RunsAProgramAndReportsItsEnd) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(1, "echo to out; echo to err >&2; exit 7"));
  const task::ExitReport end = record.wait_exited({1});
  EXPECT_EQ(end.code, 7);
  EXPECT_EQ(end.signal, 0);
  EXPECT_TRUE(end.started);
  EXPECT_FALSE(end.lost);
  EXPECT_FALSE(end.stop_requested);
  EXPECT_GT(end.began.ns, 0);
  EXPECT_GE(end.ended, end.began);
  EXPECT_GT(end.max_rss.value, 0);
  EXPECT_EQ(record.started({1}).size(), 1U);
  EXPECT_EQ(out(1), "to out\n");
  EXPECT_EQ(err(1), "to err\n");
}

TEST_F(LocalTest, GivesExactlyTheContractsEnvironment) {
  Record record;
  setenv("LEAKS_FROM_THE_CENTRE", "1", 1);
  const auto driver = open(record);
  task::LaunchSpec spec = shell(2, "env; pwd");
  spec.env = {{"MINE", "a b"}, {"RANK", "99"}};
  spec.work_dir = state + "/w";
  spec.checkpoint_dir = state + "/c";
  spec.attempt = 3;
  spec.array_index = 4;
  spec.ranks[0] = {.cpus = {0}, .visible_variable = "CUDA_VISIBLE_DEVICES", .visible_devices = {"2", "GPU-abc"}};
  driver->start(spec);
  EXPECT_EQ(record.wait_exited({2}).code, 0);
  unsetenv("LEAKS_FROM_THE_CENTRE");
  const std::string all = "\n" + out(2);
  for (const char* line : {"MINE=a b", "CENTRALE_JOB=j1", "CENTRALE_TASK=t2", "CENTRALE_ATTEMPT=3", "CENTRALE_ARRAY_INDEX=4", "RANK=0",
                           "LOCAL_RANK=0", "WORLD_SIZE=1", "OMP_NUM_THREADS=1", "CUDA_VISIBLE_DEVICES=2,GPU-abc"}) {
    EXPECT_THAT(all, HasSubstr("\n" + std::string(line) + "\n"));
  }
  EXPECT_THAT(all, HasSubstr("\nCENTRALE_WORK_DIR=" + state + "/w\n"));
  EXPECT_THAT(all, HasSubstr("\nCENTRALE_CHECKPOINT_DIR=" + state + "/c\n"));
  EXPECT_THAT(all, HasSubstr("\n" + state + "/w\n"));  // pwd
  EXPECT_THAT(all, Not(HasSubstr("LEAKS")));
  EXPECT_THAT(all, Not(HasSubstr("MASTER_PORT")));
  EXPECT_TRUE(std::filesystem::is_directory(state + "/c"));
}

TEST_F(LocalTest, ARankIsAGroupOfItsOwnAndHoldsNothingOfTheCentre) {
  Record record;
  const auto driver = open(record);
  // The last field of the listing is what each descriptor is; field 5 of stat the process group, 6 the session.
  // The masks are asked for by exec: a shell blocks signals while it forks.
  driver->start(
      shell(3, "readlink /proc/$$/fd/*; cut -d' ' -f1,5,6 /proc/$$/stat; ulimit -c; exec grep -E 'SigBlk|SigIgn' /proc/self/status"));
  EXPECT_EQ(record.wait_exited({3}).code, 0);
  std::istringstream text(out(3));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) { lines.push_back(line); }
  ASSERT_EQ(lines.size(), 8U) << out(3);
  EXPECT_EQ(lines[0], "/dev/null");
  EXPECT_EQ(lines[1], folder(3) + "/rank0.out");
  EXPECT_EQ(lines[2], folder(3) + "/rank0.err");
  EXPECT_EQ(lines[3], folder(3) + "/lock");
  pid_t pid = 0, group = 0, session = 0;
  std::istringstream(lines[4]) >> pid >> group >> session;
  EXPECT_EQ(pid, group);
  EXPECT_EQ(session, supervisor_of(3).pid);
  EXPECT_NE(session, getsid(0));
  EXPECT_EQ(lines[5], "0");
  EXPECT_THAT(lines[6], HasSubstr("0000000000000000"));
  EXPECT_THAT(lines[7], HasSubstr("0000000000000000"));
}

TEST_F(LocalTest, BindsEachRankToItsCores) {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) { GTEST_SKIP() << "needs two cores"; }
  Record record;
  const auto driver = open(record);
  task::LaunchSpec spec = shell(4, "grep Cpus_allowed_list /proc/self/status; echo threads $OMP_NUM_THREADS", 2);
  spec.ranks[0].cpus = {1};
  spec.ranks[1].cpus = {0, 1};
  driver->start(spec);
  EXPECT_EQ(record.wait_exited({4}).code, 0);
  EXPECT_EQ(out(4, 0), "Cpus_allowed_list:\t1\nthreads 1\n");
  EXPECT_EQ(out(4, 1), "Cpus_allowed_list:\t0-1\nthreads 2\n");
}

TEST_F(LocalTest, CoresThatAreNotThereAreAClearError) {
  Record record;
  const auto driver = open(record);
  task::LaunchSpec spec = shell(5, "true");
  spec.ranks[0].cpus = {0, 5000};
  driver->start(spec);
  EXPECT_THAT(record.wait_failed({5}).what, HasSubstr("cannot bind rank 0 to cores 0,5000"));
  EXPECT_TRUE(record.started({5}).empty());
}

TEST_F(LocalTest, AProgramThatIsNotThereIsTheUsersError) {
  Record record;
  const auto driver = open(record);
  task::LaunchSpec spec = shell(6, "");
  spec.argv = {"no-such-trainer", "--steps", "5"};
  driver->start(spec);
  const Error error = record.wait_failed({6});
  EXPECT_EQ(error.kind, ErrorKind::invalid);
  EXPECT_THAT(error.message(), HasSubstr("exec failed: \"no-such-trainer\": no such file"));
  EXPECT_THAT(error.remedy, HasSubstr("PATH"));

  spec.task = {7};
  spec.argv = {"./script"};
  std::filesystem::create_directories(state + "/w");
  std::ofstream(state + "/w/script") << "echo no first line\n";
  spec.work_dir = state + "/w";
  driver->start(spec);
  EXPECT_THAT(record.wait_failed({7}).message(), HasSubstr("Permission denied"));

  std::filesystem::permissions(state + "/w/script", std::filesystem::perms::owner_all);
  spec.task = {8};
  driver->start(spec);
  EXPECT_THAT(record.wait_failed({8}).message(), HasSubstr("#!/bin/sh"));

  spec.task = {9};
  spec.argv = {"a\0b"};
  spec.argv[0] = std::string("a\0b", 3);
  driver->start(spec);
  EXPECT_EQ(record.wait_failed({9}).kind, ErrorKind::invalid);
}

TEST_F(LocalTest, NoWordIsEverReadByAShell) {
  Record record;
  const auto driver = open(record);
  task::LaunchSpec spec = shell(10, "");
  spec.argv = {"printf", "%s\n", "$(touch pwned); `id`", "a'b\"c", "tab\tend", "ü"};
  driver->start(spec);
  EXPECT_EQ(record.wait_exited({10}).code, 0);
  EXPECT_EQ(out(10), "$(touch pwned); `id`\na'b\"c\ntab\tend\nü\n");
  EXPECT_FALSE(std::filesystem::exists(work_file(10, "pwned")));
}

TEST_F(LocalTest, AStopAsksFirst) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(11, "trap 'echo saved; exit 75' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(eventually([&] { return out(11) == "ready\n"; }));
  driver->stop({11}, seconds(20));
  const task::ExitReport end = record.wait_exited({11});
  EXPECT_EQ(end.code, 75);
  EXPECT_TRUE(end.stop_requested);
  EXPECT_EQ(out(11), "ready\nsaved\n");
}

TEST_F(LocalTest, AStopThatIsIgnoredBecomesAKill) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(12, "trap '' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(eventually([&] { return out(12) == "ready\n"; }));
  driver->stop({12}, milliseconds(100));
  const task::ExitReport end = record.wait_exited({12});
  EXPECT_EQ(end.code, -1);
  EXPECT_EQ(end.signal, SIGKILL);
  EXPECT_THAT(end.message, HasSubstr("grace period"));
}

TEST_F(LocalTest, ALaterStopBringsTheEndNearer) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(13, "trap '' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(eventually([&] { return out(13) == "ready\n"; }));
  driver->stop({13}, seconds(3600));
  driver->stop({13}, seconds(7200));
  driver->kill({13});
  EXPECT_EQ(record.wait_exited({13}).signal, SIGKILL);
}

TEST_F(LocalTest, AStopBeforeTheStartIsDoneStillStops) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(14, "sleep 600"));
  driver->stop({14}, seconds(20));
  const task::ExitReport end = record.wait_exited({14});
  EXPECT_EQ(end.signal, SIGTERM);
  EXPECT_TRUE(end.stop_requested);
}

TEST_F(LocalTest, WhenOneRankFailsTheGangEnds) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(15, "if [ $RANK = 2 ]; then sleep 0.1; exit 9; fi; trap 'echo told; exit 0' TERM; while :; do sleep 0.02; done", 4));
  const task::ExitReport end = record.wait_exited({15});
  EXPECT_EQ(end.code, 9);
  EXPECT_EQ(end.failed_rank, 2);
  EXPECT_THAT(end.message, HasSubstr("rank 2 of 4"));
  EXPECT_FALSE(end.stop_requested);
  EXPECT_EQ(out(15, 0), "told\n");
}

TEST_F(LocalTest, AGangKnowsItsMaster) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(16, "echo $MASTER_ADDR $MASTER_PORT $RANK/$WORLD_SIZE", 2));
  EXPECT_EQ(record.wait_exited({16}).code, 0);
  const Result<task::Launch> launch = task::read_launch(folder(16));
  ASSERT_TRUE(launch);
  EXPECT_GT(launch->master_port, 0);
  EXPECT_EQ(out(16, 1), "127.0.0.1 " + std::to_string(launch->master_port) + " 1/2\n");
}

TEST_F(LocalTest, AReplicaGetsAPortThatIsFree) {
  Record record;
  const auto driver = open(record);
  task::LaunchSpec spec = shell(17, "echo $CENTRALE_PORT; echo $0; exec sleep 600");
  spec.argv.push_back("--listen=127.0.0.1:{port}");
  spec.wants_port = true;
  driver->start(spec);
  const int port = record.wait_started({17}).port;
  ASSERT_GT(port, 0);
  const std::string number = std::to_string(port);
  ASSERT_TRUE(eventually([&] { return out(17) == number + "\n--listen=127.0.0.1:" + number + "\n"; })) << out(17);
  EXPECT_EQ(text_of(folder(17) + "/port"), number + "\n");
  driver->kill({17});
  record.wait_exited({17});
}

TEST_F(LocalTest, FollowsProgressAndKeepsEveryCheckpoint) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(18,
                      "echo '@centrale {\"step\":1,\"steps\":3,\"loss\":2.5,\"tokens\":100}'; echo noise;"
                      "echo '@centrale {\"checkpoint\":\"step-1\",\"step\":1}'; echo '@centrale {\"checkpoint\":\"step-2\",\"step\":2}';"
                      "echo '@centrale {broken'; echo '@centrale {\"step\":3,\"loss\":1.5,\"tokens_per_s\":9,\"eta_s\":0}'; sleep 1;"
                      "printf '@centrale {\"tokens\":300}'"));
  EXPECT_EQ(record.wait_exited({18}).code, 0);
  std::vector<std::string> checkpoints;
  for (const Progress& each : record.progress({18})) {
    if (!each.checkpoint.empty()) { checkpoints.push_back(each.checkpoint); }
  }
  EXPECT_THAT(checkpoints, testing::ElementsAre("step-1", "step-2"));
  const Progress last = record.progress({18}).back();
  EXPECT_EQ(last.step, 3);
  EXPECT_EQ(last.steps, 3);
  EXPECT_EQ(last.loss, 1.5);
  EXPECT_EQ(last.tokens, 300);  // the last line has no newline
  EXPECT_EQ(last.malformed, 1);
  EXPECT_LE(record.progress({18}).size(), 4U);
}

TEST_F(LocalTest, ReadsLogsWhileTheyGrowAndAtTheEnd) {
  Record record;
  const auto driver = open(record);
  EXPECT_EQ(driver->read_log({19}, 0, LogStream::out, 0, 100).error().kind, ErrorKind::not_found);
  driver->start(shell(19, "for i in 1 2 3 4; do echo line $i; done; while [ ! -e go ]; do sleep 0.02; done; echo end"));
  ASSERT_TRUE(eventually([&] { return out(19).size() == 28; }));
  const Result<LogChunk> first = driver->read_log({19}, 0, LogStream::out, 7, 7);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->bytes, "line 2\n");
  EXPECT_EQ(first->next_offset, 14U);
  EXPECT_FALSE(first->ended);
  const Result<LogChunk> tail = driver->tail_log({19}, 0, LogStream::out, 2);
  ASSERT_TRUE(tail);
  EXPECT_EQ(tail->bytes, "line 3\nline 4\n");
  EXPECT_EQ(tail->offset, 14U);
  EXPECT_FALSE(tail->ended);
  EXPECT_EQ(driver->read_log({19}, 0, LogStream::err, 0, 100)->bytes, "");
  std::ofstream(work_file(19, "go")) << "";
  record.wait_exited({19});
  const Result<LogChunk> rest = driver->read_log({19}, 0, LogStream::out, tail->next_offset, 100);
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->bytes, "end\n");
  EXPECT_TRUE(rest->ended);
}

TEST_F(LocalTest, ForgetsOnlyWhatIsOver) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(20, "sleep 600"));
  driver->start(shell(21, "true"));
  record.wait_started({20});
  record.wait_exited({21});
  driver->forget({20});
  driver->forget({21});
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(folder(21)); }));
  EXPECT_TRUE(std::filesystem::exists(folder(20)));
  driver->kill({20});
  record.wait_exited({20});
}

TEST_F(LocalTest, KeepsTheNewestFoldersOnly) {
  Record record;
  Options few = options();
  few.keep_finished = 3;
  const auto driver = open(record, few);
  for (std::uint64_t id = 30; id < 36; ++id) {
    driver->start(shell(id, "true"));
    record.wait_exited({id});
  }
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(folder(32)); }));
  EXPECT_FALSE(std::filesystem::exists(folder(30)));
  EXPECT_TRUE(std::filesystem::exists(folder(33)));
  EXPECT_TRUE(std::filesystem::exists(folder(35)));
}

TEST_F(LocalTest, AHundredTasksAtOnce) {
  Record record;
  const auto driver = open(record);
  for (std::uint64_t id = 100; id < 200; ++id) { driver->start(shell(id, "echo $CENTRALE_TASK; exit " + std::to_string(id - 100))); }
  for (std::uint64_t id = 100; id < 200; ++id) {
    EXPECT_EQ(record.wait_exited({id}).code, static_cast<int>(id - 100));
    EXPECT_EQ(out(id), "t" + std::to_string(id) + "\n");
    EXPECT_EQ(record.started({id}).size(), 1U);
    EXPECT_EQ(record.exited({id}).size(), 1U);
  }
}

TEST_F(LocalTest, OpenRefusesWhatCannotWork) {
  Record record;
  Options wrong = options();
  wrong.supervisor = state + "/not-there";
  EXPECT_FALSE(LocalDriver::open(wrong, record.callbacks()));
  wrong = options();
  wrong.state = "relative";
  EXPECT_EQ(LocalDriver::open(wrong, record.callbacks()).error().kind, ErrorKind::invalid);
  wrong.state = "/dev/null/state";
  EXPECT_FALSE(LocalDriver::open(wrong, record.callbacks()));
}

}  // namespace
}  // namespace centrale::local
