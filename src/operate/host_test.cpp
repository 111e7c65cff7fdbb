// SPDX-License-Identifier: Apache-2.0
// The host's promises: durable before acted upon, nothing accepted is lost, a journal that refuses does no damage.
#include "operate/host.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "operate/memory_journal.hpp"

namespace centrale {
namespace {

using namespace std::chrono_literals;

class TestClock final : public Clock {
 public:
  Time now() override { return Time{ns.load()}; }
  std::atomic<std::int64_t> ns{1'000'000'000};
};

/// Remembers what it was told; checks that each start was durable when it came.
class TestLauncher final : public Launcher {
 public:
  explicit TestLauncher(std::shared_ptr<MemoryDisk> disk) : disk_(std::move(disk)) {}
  void start(const Core& core, TaskId task) override {
    const std::lock_guard lock(mutex);
    started.push_back(task);
    const std::lock_guard disk_lock(disk_->mutex);
    durable_in_time = durable_in_time && disk_->first + disk_->events.size() - 1 >= core.sequence();
  }
  void stop(const Core&, TaskId task, Nanos) override {
    const std::lock_guard lock(mutex);
    stopped.push_back(task);
  }
  void adopt(const Core&, const std::vector<TaskId>& alive) override {
    const std::lock_guard lock(mutex);
    adopted = alive;
  }
  std::mutex mutex;
  std::vector<TaskId> started, stopped, adopted;
  bool durable_in_time = true;

 private:
  std::shared_ptr<MemoryDisk> disk_;
};

struct World {
  std::shared_ptr<MemoryDisk> disk = std::make_shared<MemoryDisk>();
  TestClock clock;
  TestLauncher launcher{disk};
  MemoryJournal* journal = nullptr;
  std::unique_ptr<Host> host;

  explicit World(std::uint64_t snapshot_every = 1'000'000) { open(snapshot_every); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    if (host) { host->stop(); }
  }
  void open(std::uint64_t snapshot_every) {
    auto opened = MemoryJournal::open(disk).value();
    journal = opened.get();
    HostOptions options;
    options.snapshot_every = snapshot_every;
    host = Host::open(std::move(opened), clock, options).value();
    host->run(launcher);
  }
  void close() {
    host->stop();
    host.reset();
  }
  void furnish(std::int64_t chips) {
    ASSERT_TRUE(host->wish_and_wait(TenantDefined{"default", {}}));
    NodeJoined node{.name = "n", .memory = mebibytes(1024), .chips = {}};
    node.chips.push_back({.kind = "cpu-core", .count = chips, .memory = {}, .power = {}, .price_per_hour = {}});
    ASSERT_TRUE(host->wish_and_wait(node));
  }
  Result<std::uint64_t> submit(const std::string& name, Nanos backoff = seconds(2)) {
    JobSpec spec;
    spec.name = name;
    spec.command = {"true"};
    spec.backoff = backoff;
    return host->wish_and_wait(JobSubmitted{TenantId{1}, spec});
  }
  template <class F>
  auto look(F f) {
    std::promise<decltype(f(std::declval<const Core&>()))> promise;
    host->read([&](const Core& core, Time) { promise.set_value(f(core)); });
    return promise.get_future().get();
  }
};

template <class F>
bool eventually(F condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) { return true; }
    std::this_thread::sleep_for(5ms);
  }
  return false;
}

TEST(Host, StartsWhatIsDurableAndOnlyThat) {
  World world;
  world.furnish(2);
  for (int i = 0; i < 5; ++i) { ASSERT_EQ(world.submit("a").value(), static_cast<std::uint64_t>(i) + 1); }
  world.look([](const Core&) { return 0; });
  const std::lock_guard lock(world.launcher.mutex);
  EXPECT_EQ(world.launcher.started, (std::vector{TaskId{1}, TaskId{2}}));
  EXPECT_TRUE(world.launcher.durable_in_time);
}

TEST(Host, ARestartFindsEverythingAndStartsAgainWhatMayNotHaveStarted) {
  World world;
  world.furnish(1);
  ASSERT_TRUE(world.submit("a"));
  ASSERT_TRUE(world.submit("b"));
  world.host->fact(TaskStarted{TaskId{1}});
  const std::string before = world.look([](const Core& core) { return core.snapshot(); });
  world.close();
  world.launcher.started.clear();
  world.open(1'000'000);
  EXPECT_EQ(world.look([](const Core& core) { return core.snapshot(); }), before);
  EXPECT_EQ(world.launcher.adopted, std::vector{TaskId{1}});
  EXPECT_TRUE(world.launcher.started.empty());  // it runs
  world.host->fact(TaskExited{.task = TaskId{1}, .code = 0, .signal = 0, .lost = false, .message = {}, .energy = {}});
  world.look([](const Core&) { return 0; });
  world.close();
  world.launcher.started.clear();
  world.open(1'000'000);
  world.look([](const Core&) { return 0; });
  EXPECT_EQ(world.launcher.started, std::vector{TaskId{2}});  // decided before, perhaps not carried out
}

TEST(Host, SnapshotsTakeThePlaceOfEventsAndChangeNothing) {
  World world(10);
  world.furnish(1);
  for (int i = 0; i < 40; ++i) { ASSERT_TRUE(world.submit("a")); }
  const std::string before = world.look([](const Core& core) { return core.snapshot(); });
  world.close();
  EXPECT_FALSE(world.disk->snapshots.empty());
  world.open(10);
  EXPECT_LT(world.host->health().recovered_events, 20U);
  EXPECT_EQ(world.look([](const Core& core) { return core.snapshot(); }), before);
}

TEST(Host, AFullDiskRefusesWishesKeepsFactsAndHeals) {
  World world;
  world.furnish(1);
  ASSERT_TRUE(world.submit("a"));
  const std::string before = world.look([](const Core& core) { return core.snapshot(); });

  world.journal->fail_next({ErrorKind::unavailable, "no space is left", "journal.db", "make room"});
  const auto refused = world.submit("b");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::unavailable);
  EXPECT_NE(refused.error().message().find("no space is left"), std::string::npos);
  EXPECT_EQ(world.look([](const Core& core) { return core.snapshot(); }), before) << "the refused submit left a trace";

  world.journal->fail_next({ErrorKind::unavailable, "no space is left", "journal.db", "make room"});
  world.host->fact(TaskExited{.task = TaskId{1}, .code = 0, .signal = 0, .lost = false, .message = {}, .energy = {}});
  ASSERT_TRUE(eventually([&] { return world.look([](const Core& core) { return core.job(JobId{1})->state == JobState::done; }); }))
      << "the fact was lost";
  EXPECT_TRUE(world.host->health().journal_ok);
  EXPECT_TRUE(world.submit("c"));
}

TEST(Host, TimersFireByTheClockAlsoAfterARestart) {
  World world;
  world.furnish(1);
  ASSERT_TRUE(world.submit("a", seconds(100)));
  world.host->fact(TaskExited{.task = TaskId{1}, .code = 1, .signal = 0, .lost = false, .message = {}, .energy = {}});
  EXPECT_EQ(world.look([](const Core& core) { return core.job(JobId{1})->wait; }), WaitReason::backoff);
  world.close();
  world.clock.ns += 101'000'000'000;
  world.open(1'000'000);
  EXPECT_TRUE(eventually([&] { return world.look([](const Core& core) { return core.job(JobId{1})->state == JobState::starting; }); }));
}

TEST(Host, TimeNeverRunsBack) {
  World world;
  world.furnish(1);
  world.clock.ns = 5'000'000'000;
  ASSERT_TRUE(world.submit("a"));
  world.clock.ns = 1'000'000'000;  // somebody set the clock
  ASSERT_TRUE(world.submit("b"));
  EXPECT_EQ(world.look([](const Core& core) { return core.job(JobId{2})->submitted.ns; }), 5'000'000'000);
}

TEST(Host, ManyCallersAtOnceGetEachTheirOwnAnswer) {
  World world;
  world.furnish(1);
  std::mutex mutex;
  std::set<std::uint64_t> ids;
  std::vector<std::thread> callers;
  for (int t = 0; t < 8; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const auto id = world.submit("a");
        ASSERT_TRUE(id);
        const std::lock_guard lock(mutex);
        EXPECT_TRUE(ids.insert(*id).second);
      }
    });
  }
  for (std::thread& caller : callers) { caller.join(); }
  EXPECT_EQ(ids.size(), 1600U);
  EXPECT_EQ(*ids.rbegin(), 1600U);
}

// A crash leaves some prefix of the journal. Whichever it is: it opens, contradicts nothing, and holds every job that was answered by then.
TEST(Host, EveryPrefixOfTheJournalIsAState) {
  World world;
  world.furnish(2);
  for (std::uint64_t i = 1; i <= 12; ++i) {
    ASSERT_TRUE(world.submit("a"));
    world.host->fact(TaskStarted{TaskId{i}});
    world.host->fact(TaskExited{.task = TaskId{i}, .code = i % 3 == 0 ? 1 : 0, .signal = 0, .lost = false, .message = {}, .energy = {}});
  }
  world.look([](const Core&) { return 0; });
  world.close();
  const auto whole = world.disk->events;
  for (std::size_t length = 2; length <= whole.size(); ++length) {
    auto disk = std::make_shared<MemoryDisk>();
    disk->events.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    std::uint64_t submitted = 0;
    for (const auto& event : disk->events) { submitted += event.payload.find("job_submitted") != std::string::npos ? 1U : 0U; }
    TestLauncher launcher(disk);
    const auto host = Host::open(MemoryJournal::open(disk).value(), world.clock, {}).value();
    host->run(launcher);
    std::promise<std::pair<std::uint64_t, std::string>> found;
    host->read([&](const Core& core, Time) {
      std::uint64_t jobs = 0;
      core.each_job([&](const Job&) { ++jobs; });
      found.set_value({jobs, core.contradiction()});
    });
    EXPECT_EQ(found.get_future().get(), std::pair(submitted, std::string{})) << "prefix of " << length;
    host->stop();
  }
}

}  // namespace
}  // namespace centrale
