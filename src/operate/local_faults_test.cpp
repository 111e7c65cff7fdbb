// SPDX-License-Identifier: Apache-2.0
// What must not happen when the centre, a supervisor, a program or the disk misbehaves; with real processes.
#include <gmock/gmock.h>

#include <random>

#include "operate/local_driver.hpp"
#include "operate/local_task.hpp"
#include "operate/local_testing.hpp"

namespace centrale::local {
namespace {

using testing::HasSubstr;

class LocalFaults : public LocalTest {
 protected:
  /// A centre in a process of its own, which does `calls` and waits to be killed.
  template <class Calls>
  pid_t centre(Calls calls) {
    const pid_t pid = fork();
    if (pid == 0) {
      Record record;
      const std::unique_ptr<LocalDriver> driver = open(record);
      calls(*driver, record);
      for (;;) { pause(); }
    }
    return pid;
  }
  static void kill_now(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  /// A process that has nothing to do with any task.
  static pid_t bystander() {
    const pid_t pid = fork();
    if (pid == 0) {
      execlp("sleep", "sleep", "600", nullptr);
      _exit(127);
    }
    return pid;
  }
  bool all_gone(std::uint64_t id) const {
    const auto launch = task::read_launch(folder(id));
    return launch && task::with_environment("CENTRALE_TASK_MARK", launch->mark).empty();
  }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
  }
  /// A folder as a centre leaves it that dies just before it starts the supervisor.
  void make_folder(std::uint64_t id, const std::string& script) const {
    Ports ports;
    const auto launch = make_task_folder(
        {.state = state, .cgroup_parent = "", .base_env = {{"PATH", getenv("PATH")}}, .log_max = mebibytes(1)}, shell(id, script), ports);
    ASSERT_TRUE(launch) << launch.error().message();
  }
  int supervise_by_hand(std::uint64_t id) const {
    return system((program_folder() + "/centrale-task " + folder(id) + " 2>/dev/null").c_str());
  }
};

TEST_F(LocalFaults, AKilledCentreKillsNoTaskAndTheNextOneAdoptsIt) {
  const pid_t first = centre([](LocalDriver& driver, Record&) {
    driver.start(shell(1, "trap 'exit 42' TERM; echo '@centrale {\"step\":5,\"checkpoint\":\"c5\"}'; while :; do sleep 0.02; done"));
    driver.start(shell(2, "echo '@centrale {\"tokens\":77}'; while [ ! -e go ]; do sleep 0.02; done; exit 3"));
  });
  ASSERT_TRUE(eventually([&] { return out(1).size() > 10 && out(2).size() > 10; }));
  kill_now(first);
  write(work_file(2, "go"), "");
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(folder(2) + "/exit.json"); }));
  EXPECT_TRUE(task::lives(supervisor_of(1)));

  Record record;
  const auto driver = open(record);
  driver->adopt({{1}, {2}});
  const Started adopted = record.wait_started({1});
  EXPECT_TRUE(adopted.adopted);
  EXPECT_EQ(adopted.supervisor, supervisor_of(1).pid);
  EXPECT_EQ(record.wait_exited({2}).code, 3);
  EXPECT_EQ(record.progress({2}).back().tokens, 77);
  ASSERT_TRUE(record.wait([&] { return !record.progress({1}).empty(); }));
  EXPECT_EQ(record.progress({1}).back().checkpoint, "c5");
  driver->stop({1}, seconds(20));
  EXPECT_EQ(record.wait_exited({1}).code, 42);
}

TEST_F(LocalFaults, DestroyingTheDriverLeavesTheTasksRunning) {
  Record record;
  auto driver = open(record);
  driver->start(shell(3, "sleep 600"));
  record.wait_started({3});
  driver.reset();
  EXPECT_TRUE(task::lives(supervisor_of(3)));
  driver = open(record);
  driver->adopt({{3}});
  driver->kill({3});
  EXPECT_EQ(record.wait_exited({3}).signal, SIGKILL);
}

TEST_F(LocalFaults, KilledAtAnyInstantEachTaskRunsExactlyOnce) {
  std::mt19937 random(20240601);
  std::uint64_t id = 1000;
  for (int round = 0; round < 12; ++round) {
    const std::uint64_t from = id;
    id += 4;
    const pid_t first = centre([&](LocalDriver& driver, Record&) {
      for (std::uint64_t each = from; each < id; ++each) { driver.start(shell(each, "echo begun; sleep 0.05; echo ended")); }
    });
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 40'000));
    kill_now(first);
    Record record;
    const auto driver = open(record);
    std::vector<TaskId> all;
    for (std::uint64_t each = from; each < id; ++each) { all.push_back({each}); }
    driver->adopt(all);
    for (const TaskId each : all) {  // as a centre does that cannot know whether its order was carried out
      driver->start(shell(each.value, "echo begun; sleep 0.05; echo ended"));
    }
    for (const TaskId each : all) {
      const task::ExitReport end = record.wait_exited(each);
      EXPECT_EQ(end.code, 0) << to_string(each) << " " << end.message;
      EXPECT_EQ(out(each.value), "begun\nended\n") << to_string(each);
    }
  }
}

TEST_F(LocalFaults, AKilledSupervisorTakesItsRanksWithItAndTheTaskIsLost) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(4, "sleep 600", 3));
  record.wait_started({4});
  const std::vector<task::RankProcess> ranks = task::read_ranks(folder(4));
  ASSERT_EQ(ranks.size(), 3U);
  EXPECT_TRUE(task::lives(ranks[2].who));
  ASSERT_TRUE(task::send_signal(supervisor_of(4), SIGKILL));
  const task::ExitReport end = record.wait_exited({4});
  EXPECT_TRUE(end.lost);
  EXPECT_TRUE(end.started);
  EXPECT_GT(end.began.ns, 0);
  for (const task::RankProcess& rank : ranks) { EXPECT_FALSE(task::lives(rank.who)); }
  // Spent for ever: neither an order nor a hand starts it again.
  driver->start(shell(4, "touch again"));
  EXPECT_TRUE(record.wait([&] { return record.exited({4}).size() == 2; }));
  EXPECT_EQ(supervise_by_hand(4), 0);
  EXPECT_FALSE(std::filesystem::exists(work_file(4, "again")));
}

TEST_F(LocalFaults, OfALostTaskNoProcessIsLeft) {
  Record record;
  const auto driver = open(record);
  // One leaves the session and closes every descriptor, one clears its environment, one does both but for the lock.
  driver->start(shell(5,
                      "setsid sh -c 'exec 3>&-; echo >>ready; exec sleep 600' & "
                      "setsid env -i /bin/sh -c 'echo >>ready; exec sleep 600' & "
                      "(setsid sleep 600 &) ; echo >>ready; wait"));
  record.wait_started({5});
  ASSERT_TRUE(eventually([&] { return text_of(work_file(5, "ready")).size() == 3; }));
  const std::vector<task::Identity> below = task::descendants(supervisor_of(5).pid);
  EXPECT_GE(below.size(), 4U);
  ASSERT_TRUE(task::send_signal(supervisor_of(5), SIGKILL));
  EXPECT_TRUE(record.wait_exited({5}).lost);
  for (const task::Identity& who : below) { EXPECT_FALSE(task::lives(who)) << who.pid; }
}

TEST_F(LocalFaults, WhatDaemonisesDiesWithItsTask) {
  for (const bool use_cgroups : {true, false}) {
    Record record;
    Options with = options();
    with.use_cgroups = use_cgroups;
    const auto driver = open(record, with);
    const std::uint64_t id = use_cgroups ? 6 : 7;
    driver->start(shell(id,
                        "(setsid sh -c 'trap \"\" TERM HUP; echo >>ready; while :; do sleep 0.05; done' &) ; "
                        "(setsid env -i /bin/sleep 600 3>&- &); while [ ! -e ready ]; do sleep 0.01; done; sleep 600"));
    ASSERT_TRUE(eventually([&] { return std::filesystem::exists(work_file(id, "ready")); }));
    const std::vector<task::Identity> below = task::descendants(supervisor_of(id).pid);
    EXPECT_GE(below.size(), 3U);
    driver->stop({id}, milliseconds(100));
    record.wait_exited({id});
    for (const task::Identity& who : below) { EXPECT_FALSE(task::lives(who)) << who.pid; }
  }
}

TEST_F(LocalFaults, AForkBombIsPutOut) {
  for (const bool use_cgroups : {true, false}) {
    Record record;
    Options with = options();
    with.use_cgroups = use_cgroups;
    const auto driver = open(record, with);
    const std::uint64_t id = use_cgroups ? 8 : 9;
    // Each process leaves for a session of its own and makes the next; bounded, should this test fail.
    write(state + "/bomb",
          "#!/bin/sh\ntrap '' TERM\n[ \"$1\" -lt 2000 ] || exit 0\nsetsid \"$0\" $(($1 + 1)) &\nsetsid sleep 60 &\nexit 0\n");
    std::filesystem::permissions(state + "/bomb", std::filesystem::perms::owner_all);
    driver->start(shell(id, "setsid " + state + "/bomb 0 & exec sleep 600"));
    record.wait_started({id});
    ASSERT_TRUE(eventually([&] { return task::descendants(supervisor_of(id).pid).size() > 40; }));
    driver->kill({id});
    EXPECT_EQ(record.wait_exited({id}).signal, SIGKILL);
    EXPECT_TRUE(all_gone(id));
  }
}

TEST_F(LocalFaults, AProgramThatEndsTakesItsHelpersAlong) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(10, "(trap 'echo told; exit' TERM; while :; do sleep 0.02; done) & sleep 0.1; exit 5"));
  const task::ExitReport end = record.wait_exited({10});
  EXPECT_EQ(end.code, 5);
  EXPECT_FALSE(end.stop_requested);
  EXPECT_EQ(out(10), "told\n");
}

TEST_F(LocalFaults, StartingTwiceRunsOnce) {
  Record record;
  const auto driver = open(record);
  for (int i = 0; i < 3; ++i) { driver->start(shell(11, "echo run; sleep 0.1")); }
  record.wait_exited({11});
  driver->start(shell(11, "echo run again"));
  ASSERT_TRUE(record.wait([&] { return record.exited({11}).size() == 2; }));
  EXPECT_EQ(out(11), "run\n");
  EXPECT_EQ(record.exited({11})[1].code, 0);
}

TEST_F(LocalFaults, TwoCentresThatRaceStartEachTaskOnce) {
  Record a;
  Record b;
  const auto first = open(a);
  const auto second = open(b);
  for (std::uint64_t id = 50; id < 75; ++id) {
    first->start(shell(id, "echo run; while [ ! -e ../../../go ]; do sleep 0.02; done; exit 4"));
    second->start(shell(id, "echo run; while [ ! -e ../../../go ]; do sleep 0.02; done; exit 4"));
  }
  for (std::uint64_t id = 50; id < 75; ++id) {
    EXPECT_EQ(a.wait_started({id}).supervisor, b.wait_started({id}).supervisor);
    EXPECT_NE(a.started({id})[0].adopted, b.started({id})[0].adopted) << id;
  }
  write(state + "/go", "");
  for (std::uint64_t id = 50; id < 75; ++id) {
    EXPECT_EQ(a.wait_exited({id}).code, 4);
    EXPECT_EQ(b.wait_exited({id}).code, 4);
    EXPECT_EQ(out(id), "run\n");
  }
}

TEST_F(LocalFaults, ASecondSupervisorLeavesAtOnce) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(12, "echo run; sleep 600"));
  record.wait_started({12});
  const task::Identity before = supervisor_of(12);
  for (int i = 0; i < 5; ++i) { EXPECT_EQ(supervise_by_hand(12), 0); }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(supervisor_of(12), before);
  driver->kill({12});
  record.wait_exited({12});
  EXPECT_EQ(out(12), "run\n");
}

TEST_F(LocalFaults, WhatWasNeverStartedWaitsForItsStart) {
  make_folder(13, "echo run; exit 6");
  Record record;
  const auto driver = open(record);
  driver->adopt({{13}});
  driver->start(shell(13, "echo something else"));  // what is on disk counts
  EXPECT_EQ(record.wait_exited({13}).code, 6);
  EXPECT_EQ(out(13), "run\n");
}

TEST_F(LocalFaults, WhatIsNotStartedInTimeNeverWillBe) {
  make_folder(14, "touch ran");
  Record record;
  const auto driver = open(record);
  driver->adopt({{14}, {15}});  // of 15 there is not even a folder
  for (const std::uint64_t id : {14U, 15U}) {
    const task::ExitReport end = record.wait_exited({id});
    EXPECT_TRUE(end.lost);
    EXPECT_FALSE(end.started);
  }
  // A supervisor that the dead centre had just made, and that comes late.
  EXPECT_EQ(supervise_by_hand(14), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_FALSE(std::filesystem::exists(work_file(14, "ran")));
}

TEST_F(LocalFaults, WhatTheCoreDoesNotKnowIsStopped) {
  make_folder(16, "trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.02; done");
  ASSERT_EQ(supervise_by_hand(16), 0);
  ASSERT_TRUE(eventually([&] { return out(16) == "up\n"; }));
  Record record;
  const auto driver = open(record);
  driver->adopt({});
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(folder(16) + "/exit.json"); }));
  EXPECT_EQ(out(16), "up\ntold\n");
  EXPECT_TRUE(record.said_nothing());
}

TEST_F(LocalFaults, AUsedAgainPidIsNobodysSupervisorAndNobodysRank) {
  make_folder(17, "true");
  const pid_t innocent = bystander();
  task::Identity other = task::identify(innocent);
  ++other.start_ticks;
  {
    const auto lock = task::open_lock(folder(17));
    ASSERT_TRUE(lock);
    ASSERT_TRUE(task::write_record(*lock, {other, Time{1}}));
  }
  write(folder(17) + "/ranks.json", task::ranks_to_json({{0, other}}));
  Record record;
  const auto driver = open(record);
  driver->adopt({{17}});
  EXPECT_TRUE(record.wait_exited({17}).lost);
  EXPECT_EQ(waitpid(innocent, nullptr, WNOHANG), 0) << "an innocent process was killed";
  kill_now(innocent);
}

TEST_F(LocalFaults, ARecordOfAnotherBootIsNobody) {
  make_folder(18, "true");
  const pid_t innocent = bystander();
  task::Identity other = task::identify(innocent);
  other.boot = "00000000-0000-0000-0000-000000000000";
  {
    const auto lock = task::open_lock(folder(18));
    ASSERT_TRUE(lock);
    ASSERT_TRUE(task::write_record(*lock, {other, Time{1}}));
  }
  Record record;
  const auto driver = open(record);
  driver->adopt({{18}});
  EXPECT_TRUE(record.wait_exited({18}).lost);
  EXPECT_EQ(waitpid(innocent, nullptr, WNOHANG), 0);
  kill_now(innocent);
}

TEST_F(LocalFaults, AStoppedSupervisorStillObeys) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(19, "sleep 600"));
  record.wait_started({19});
  ASSERT_TRUE(task::send_signal(supervisor_of(19), SIGSTOP));
  driver->stop({19}, seconds(20));
  EXPECT_EQ(record.wait_exited({19}).signal, SIGTERM);
}

TEST_F(LocalFaults, AStoppedProgramStillGetsItsChanceToSave) {
  Record record;
  const auto driver = open(record);
  driver->start(shell(20, "trap 'exit 75' TERM; echo ready; kill -STOP $$; sleep 600"));
  ASSERT_TRUE(eventually([&] { return out(20) == "ready\n"; }));
  record.wait_started({20});
  const pid_t rank = task::read_ranks(folder(20)).at(0).who.pid;
  ASSERT_TRUE(eventually([&] { return task::read_stat(rank)->state == 'T'; }));
  driver->stop({20}, seconds(20));
  EXPECT_EQ(record.wait_exited({20}).code, 75);
}

TEST_F(LocalFaults, DamagedFilesHarmNobody) {
  write(folder(21) + "/task.json", "{\"version\": 1, \"task\": ");
  write(folder(22) + "/task.json", "{}");
  write(folder(22) + "/exit.json", "\0\0\0\0");
  write(folder(23) + "/task.json", "{\"version\": 99}");
  write(folder(23) + "/lock", "nonsense without an end");
  EXPECT_EQ(supervise_by_hand(23), 0);
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(folder(23) + "/exit.json"); }));
  EXPECT_THAT(text_of(folder(23) + "/exit.json"), HasSubstr("newer Centrale"));
  Record record;
  const auto driver = open(record);
  driver->start(shell(21, "true"));
  EXPECT_THAT(record.wait_failed({21}).what, HasSubstr("task.json"));
  driver->adopt({{22}});
  EXPECT_TRUE(record.wait_exited({22}).lost);
}

TEST_F(LocalFaults, AnUnwritableFolderIsAClearError) {
  Record record;
  const auto driver = open(record);
  write(folder(30), "a file where the folder should be");
  driver->start(shell(30, "true"));
  EXPECT_THAT(record.wait_failed({30}).message(), HasSubstr(folder(30)));
  task::LaunchSpec spec = shell(31, "true");
  spec.work_dir = "/proc/no-such-place/work";
  driver->start(spec);
  EXPECT_THAT(record.wait_failed({31}).message(), HasSubstr("/proc/no-such-place"));
}

}  // namespace
}  // namespace centrale::local
