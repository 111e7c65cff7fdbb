// SPDX-License-Identifier: Apache-2.0
#include "task/folder.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "task/logs.hpp"
#include "task/process.hpp"

namespace centrale::task {
namespace {

using testing::HasSubstr;

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "centrale-task-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    path = name;
  }
  void TearDown() override { std::filesystem::remove_all(path); }
  void put(const std::string& name, const std::string& text) const { std::ofstream(path + "/" + name, std::ios::app) << text; }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path), std::filesystem::directory_iterator()));
  }
  std::string path;
};

TEST_F(Folder, AnAtomicWriteReplacesAndLeavesNothingBeside) {
  ASSERT_TRUE(write_atomic(path + "/a", "one"));
  ASSERT_TRUE(write_atomic(path + "/a", "two"));
  EXPECT_EQ(read_small(path + "/a", 10).value_or("?"), "two");
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(read_small(path + "/a", 2).error().kind, ErrorKind::invalid);
  EXPECT_EQ(read_small(path + "/b", 2).error().kind, ErrorKind::not_found);
  EXPECT_THAT(write_atomic(path + "/no/a", "x").error().message(), HasSubstr(path + "/no/a"));
}

TEST_F(Folder, OfTwoWritersTheFirstWins) {
  ASSERT_TRUE(write_once(path + "/a", "one"));
  ASSERT_TRUE(write_once(path + "/a", "two"));
  EXPECT_EQ(read_small(path + "/a", 10).value_or("?"), "one");
  EXPECT_EQ(files(), 1U);
}

TEST_F(Folder, MakesFoldersOrSaysWhyNot) {
  EXPECT_TRUE(make_folders(path + "/x/y//z", 0755));
  EXPECT_TRUE(std::filesystem::is_directory(path + "/x/y/z"));
  EXPECT_TRUE(make_folders("/", 0755));
  EXPECT_EQ(make_folders("x", 0755).error().kind, ErrorKind::invalid);
  put("file", "x");
  EXPECT_FALSE(make_folders(path + "/file/z", 0755));
  EXPECT_THAT(make_folders(path + "/file", 0755).error().what, HasSubstr("not a folder"));
}

TEST_F(Folder, TheLockIsOnesAndGoesWithItsLastHolder) {
  Result<Fd> mine = open_lock(path);
  const Result<Fd> other = open_lock(path);
  ASSERT_TRUE(mine && other);
  EXPECT_TRUE(try_lock(*mine));
  EXPECT_FALSE(try_lock(*other));
  const int inherited = dup(mine->get());  // as a rank has it
  mine->reset();
  EXPECT_FALSE(try_lock(*other));
  close(inherited);
  EXPECT_TRUE(try_lock(*other));
}

TEST_F(Folder, TheRecordSaysWhoAndAHalfOneSaysNobody) {
  const Result<Fd> lock = open_lock(path);
  ASSERT_TRUE(lock);
  EXPECT_EQ(read_record(*lock).supervisor.pid, 0);
  put("lock", "0123456789 12345678 1234567890123456789012345678901234567890");
  EXPECT_EQ(read_record(*lock).supervisor.pid, 0);
  const LockRecord before{{"boot", 123, 456}, {789}};
  ASSERT_TRUE(write_record(*lock, before));
  EXPECT_EQ(read_record(*lock).supervisor, before.supervisor);
  EXPECT_EQ(read_record(*lock).began, before.began);
  put("lock", "garbage");
  EXPECT_EQ(read_record(*lock).supervisor.pid, 0);
}

TEST_F(Folder, TheExitReportFitsIntoItsReserve) {
  ASSERT_TRUE(reserve_exit(path));
  struct stat file {};
  ASSERT_EQ(stat((path + "/exit.json.tmp").c_str(), &file), 0);
  EXPECT_GE(file.st_blocks * 512, 8192);
  const ExitReport report{.task = {5}, .code = 3, .message = std::string(3000, 'm')};
  ASSERT_TRUE(save_exit(path, report));
  EXPECT_EQ(read_exit(path)->code, 3);
  EXPECT_EQ(files(), 1U);
}

TEST_F(Folder, RanksComeBack) {
  const std::vector<RankProcess> before{{0, {boot_id(), 11, 22}}, {1, {boot_id(), 33, 44}}};
  put("ranks.json", ranks_to_json(before));
  const std::vector<RankProcess> after = read_ranks(path);
  ASSERT_EQ(after.size(), 2U);
  EXPECT_EQ(after[1].who, before[1].who);
  EXPECT_TRUE(read_ranks(path + "/none").empty());
  put("ranks.json", "damage");
  EXPECT_TRUE(read_ranks(path).empty());
}

TEST_F(Folder, ALogIsReadFromAnywhere) {
  const std::string log = path + "/log";
  EXPECT_EQ(read_log_file(log, 0, 10)->bytes, "");
  put("log", "0123456789");
  EXPECT_EQ(read_log_file(log, 0, 100)->bytes, "0123456789");
  EXPECT_EQ(read_log_file(log, 4, 3)->bytes, "456");
  EXPECT_EQ(read_log_file(log, 4, 3)->next_offset, 7U);
  EXPECT_EQ(read_log_file(log, 10, 3)->bytes, "");
  EXPECT_EQ(read_log_file(log, 10, 3)->next_offset, 10U);
  EXPECT_EQ(read_log_file(log, 99, 3)->bytes, "012");  // the file was cut meanwhile
}

TEST_F(Folder, TheTailCountsLines) {
  const std::string log = path + "/log";
  EXPECT_EQ(tail_log_file(log, 5, 100)->bytes, "");
  put("log", "a\nb\n\nc\n");
  EXPECT_EQ(tail_log_file(log, 0, 100)->bytes, "");
  EXPECT_EQ(tail_log_file(log, 1, 100)->bytes, "c\n");
  EXPECT_EQ(tail_log_file(log, 2, 100)->bytes, "\nc\n");
  EXPECT_EQ(tail_log_file(log, 3, 100)->bytes, "b\n\nc\n");
  EXPECT_EQ(tail_log_file(log, 9, 100)->bytes, "a\nb\n\nc\n");
  put("log", "unfinished");
  EXPECT_EQ(tail_log_file(log, 2, 100)->bytes, "c\nunfinished");
  EXPECT_EQ(tail_log_file(log, 2, 100)->offset, 5U);
  EXPECT_EQ(tail_log_file(log, 9, 4)->bytes, "shed");
}

TEST_F(Folder, ABoundedLogKeepsHeadTailAndOffsets) {
  const std::string log = path + "/log";
  std::string text;
  for (int i = 0; text.size() < 3'000'000; ++i) { text += "line " + std::to_string(i) + "\n"; }
  put("log", text);
  bound_log(log, mebibytes(4));
  EXPECT_EQ(read_log_file(log, 0, 10'000'000)->bytes, text);
  bound_log(log, mebibytes(1));
  struct stat file {};
  ASSERT_EQ(stat(log.c_str(), &file), 0);
  EXPECT_EQ(static_cast<std::size_t>(file.st_size), text.size());
  EXPECT_LE(file.st_blocks * 512, mebibytes(1).value + 65536 * 2);
  const Result<LogChunk> head = read_log_file(log, 0, 10'000'000);
  EXPECT_EQ(head->bytes, text.substr(0, head->bytes.size()));
  EXPECT_GE(head->bytes.size(), 200'000U);
  const Result<LogChunk> tail = read_log_file(log, head->next_offset, 10'000'000);
  EXPECT_GT(tail->offset, head->next_offset);
  EXPECT_EQ(tail->bytes, text.substr(tail->offset));
  EXPECT_EQ(tail->next_offset, text.size());
  EXPECT_EQ(tail_log_file(log, 3, 10'000'000)->bytes, text.substr(text.rfind("line", text.rfind("line", text.rfind("line") - 1) - 1)));
  EXPECT_EQ(tail_log_file(log, 1'000'000, 10'000'000)->bytes, tail->bytes);  // never the zeros of the hole
}

pid_t sleeper(bool own_session) {
  const pid_t pid = fork();
  if (pid == 0) {
    if (own_session) { setsid(); }
    execle("/bin/sleep", "sleep", "600", nullptr, std::vector<char*>{const_cast<char*>("CENTRALE_TEST_MARK=yes"), nullptr}.data());
    _exit(127);
  }
  return pid;
}

TEST(Process, KnowsItselfAndNobodyElse) {
  const Identity self = identify(getpid());
  EXPECT_EQ(self.pid, getpid());
  EXPECT_GT(self.start_ticks, 0U);
  EXPECT_TRUE(lives(self));
  EXPECT_EQ(read_stat(getpid())->parent, getppid());
  Identity later = self;
  ++later.start_ticks;
  EXPECT_FALSE(lives(later));
  Identity other_boot = self;
  other_boot.boot = "x";
  EXPECT_FALSE(lives(other_boot));
  EXPECT_FALSE(lives({}));
  EXPECT_LT(open_process(later), 0);
}

TEST(Process, SignalsExactlyWhoWasMeant) {
  const pid_t pid = sleeper(false);
  const Identity who = identify(pid);
  Identity wrong = who;
  --wrong.start_ticks;
  EXPECT_FALSE(send_signal(wrong, SIGKILL));
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);
  EXPECT_TRUE(send_signal(who, SIGKILL));
  siginfo_t ended{};
  waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT);
  EXPECT_FALSE(lives(who)) << "a zombie";
  waitpid(pid, nullptr, 0);
  EXPECT_FALSE(lives(who));
}

TEST(Process, FindsWhatIsBelowMarkedOrHoldsAFile) {
  const pid_t pid = sleeper(true);
  const Identity who = identify(pid);
  for (int tries = 0; tries < 2000 && with_environment("CENTRALE_TEST_MARK", "yes").empty(); ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // until it has become sleep
  }
  EXPECT_THAT(descendants(getpid()), testing::Contains(who));
  EXPECT_THAT(with_environment("CENTRALE_TEST_MARK", "yes"), testing::ElementsAre(who));
  EXPECT_TRUE(with_environment("CENTRALE_TEST_MARK", "ye").empty());
  EXPECT_TRUE(with_environment("ENTRALE_TEST_MARK", "yes").empty());
  EXPECT_THAT(with_open_file("/proc/" + std::to_string(pid) + "/exe"), testing::Not(testing::Contains(who)));
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  EXPECT_THAT(descendants(getpid()), testing::Not(testing::Contains(who)));
}

}  // namespace
}  // namespace centrale::task
