// SPDX-License-Identifier: Apache-2.0
// Memory, disk and log limits of tasks; with real processes.
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "operate/local_driver.hpp"
#include "operate/local_testing.hpp"
#include "task/cgroup.hpp"

namespace centrale::local {
namespace {

using testing::HasSubstr;

class LocalLimits : public LocalTest {};

TEST_F(LocalLimits, AMemoryLimitHolds) {
  for (const bool use_cgroups : {false, true}) {
    if (use_cgroups) {
      const std::string parent = task::find_cgroup_parent();
      const std::string trial = parent + "/centrale-test-" + std::to_string(getpid());
      const bool limits = task::make_cgroup(trial) && task::limit_memory(trial, mebibytes(100));
      task::remove_cgroup(trial);
      if (!limits) {
        break;  // this machine's control groups cannot limit memory for us: only the other way is used on it
      }
    }
    Record record;
    Options with = options();
    with.use_cgroups = use_cgroups;
    const auto driver = open(record, with);
    const std::uint64_t id = use_cgroups ? 24 : 26;
    task::LaunchSpec spec = shell(id, "exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    spec.memory_max = mebibytes(100);
    driver->start(spec);
    const task::ExitReport end = record.wait_exited({id});
    EXPECT_TRUE(end.code != 0 || end.signal != 0);
    EXPECT_THAT(use_cgroups ? end.message : err(id), HasSubstr(use_cgroups ? "memory limit" : "memory"));
    spec.task = {id + 1};
    spec.memory_max = mebibytes(1000);
    driver->start(spec);
    EXPECT_EQ(record.wait_exited({id + 1}).code, 0) << err(id + 1);
  }
}

class LocalFullDisk : public LocalLimits {
 protected:
  void SetUp() override {
    LocalTest::SetUp();
    disk = state + "/disk";
    std::filesystem::create_directories(disk);
    std::filesystem::create_directories(state + "/tasks");
    if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=512k") != 0) {
      disk.clear();
      GTEST_SKIP() << "needs the right to mount";
    }
    with = options();
    with.state = disk;
  }
  void TearDown() override {
    if (!disk.empty()) { EXPECT_EQ(umount2(disk.c_str(), MNT_DETACH), 0); }
    LocalTest::TearDown();
  }
  void fill() const {
    std::ofstream file(disk + "/full");
    const std::string block(4096, 'x');
    while (file.write(block.data(), 4096).flush()) {}
  }
  std::string disk;
  Options with;
};

TEST_F(LocalFullDisk, AStartOnAFullDiskIsAClearError) {
  Record record;
  const auto driver = open(record, with);
  fill();
  driver->start(shell(1, "true"));
  const Error error = record.wait_failed({1});
  EXPECT_EQ(error.kind, ErrorKind::io);
  EXPECT_THAT(error.message(), HasSubstr("No space left on device"));
  EXPECT_THAT(error.remedy, HasSubstr("free space"));
  std::filesystem::remove(disk + "/full");
  driver->start(shell(1, "exit 8"));
  EXPECT_EQ(record.wait_exited({1}).code, 8);
}

TEST_F(LocalFullDisk, ATaskThatFillsTheDiskStillSaysHowItEnded) {
  Record record;
  const auto driver = open(record, with);
  driver->start(shell(2, "while echo 0123456789012345678901234567890123456789; do :; done 2>/dev/null; exit 9"));
  const task::ExitReport end = record.wait_exited({2});
  EXPECT_EQ(end.code, 9);
  EXPECT_FALSE(end.lost);
  struct statvfs left {};
  ASSERT_EQ(statvfs(disk.c_str(), &left), 0);
  EXPECT_LE(left.f_bavail, 1U);
}

TEST_F(LocalLimits, AHugeLogLosesItsMiddleAndKeepsItsOffsets) {
  Record record;
  Options with = options();
  with.log_max = mebibytes(2);
  const auto driver = open(record, with);
  driver->start(shell(32, "seq 1 1000000; echo '@centrale {\"step\":9}'; while [ ! -e go ]; do sleep 0.02; done; echo end"));
  constexpr std::uint64_t kAll = 6'888'896;  // bytes of seq 1 1000000
  const std::string path = task::log_path(folder(32), 0, false);
  ASSERT_TRUE(record.wait([&] { return !record.progress({32}).empty(); }));
  ASSERT_TRUE(eventually([&] {
    struct stat file {};
    return stat(path.c_str(), &file) == 0 && file.st_size > static_cast<off_t>(kAll) && file.st_blocks * 512 <= 2'200'000;
  }));
  const Result<LogChunk> head = driver->read_log({32}, 0, LogStream::out, 0, 100'000'000);
  ASSERT_TRUE(head);
  EXPECT_THAT(head->bytes, testing::StartsWith("1\n2\n3\n"));
  EXPECT_LT(head->next_offset, 2'000'000U);
  const Result<LogChunk> after = driver->read_log({32}, 0, LogStream::out, head->next_offset, 100'000'000);
  ASSERT_TRUE(after);
  EXPECT_GT(after->offset, head->next_offset);
  EXPECT_EQ(after->bytes.find('\0'), std::string::npos);
  EXPECT_THAT(after->bytes, HasSubstr("\n999999\n1000000\n@centrale"));
  EXPECT_GT(after->next_offset, kAll);
  EXPECT_EQ(driver->tail_log({32}, 0, LogStream::out, 2)->bytes, "1000000\n@centrale {\"step\":9}\n");
  std::ofstream(work_file(32, "go")) << "";
  record.wait_exited({32});
  EXPECT_EQ(driver->read_log({32}, 0, LogStream::out, after->next_offset, 100)->bytes, "end\n");
}

}  // namespace
}  // namespace centrale::local
