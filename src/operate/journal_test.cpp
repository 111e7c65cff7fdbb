// SPDX-License-Identifier: Apache-2.0
// One suite, every journal: what operate/journal.hpp promises.
#include "operate/journal.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <random>
#include <thread>

#include "operate/journal_testing.hpp"
#include "operate/memory_journal.hpp"
#include "operate/sqlite_journal.hpp"

namespace centrale {
namespace {

using journal_testing::append_next;
using journal_testing::payload_of;
using journal_testing::recover_and_check;
using journal_testing::save_state;

constexpr std::uint64_t kForever = std::numeric_limits<std::uint64_t>::max();

struct MemoryWorld {
  std::shared_ptr<MemoryDisk> disk = std::make_shared<MemoryDisk>();
  Result<std::unique_ptr<Journal>> open(const JournalOptions& options = {}) { return MemoryJournal::open(disk, options); }
};

struct SqliteWorld {
  journal_testing::TempFolder folder;
  Result<std::unique_ptr<Journal>> open(const JournalOptions& options = {}) { return SqliteJournal::open(folder / "journal", options); }
};

template <class World>
class JournalContract : public ::testing::Test {
 protected:
  std::unique_ptr<Journal> open(const JournalOptions& options = {}) {
    auto opened = world.open(options);
    EXPECT_TRUE(opened.has_value()) << opened.error().message();
    return std::move(opened).value();
  }
  World world;
};
using Worlds = ::testing::Types<MemoryWorld, SqliteWorld>;
TYPED_TEST_SUITE(JournalContract, Worlds);

TYPED_TEST(JournalContract, StartsEmpty) {
  const auto journal = this->open();
  EXPECT_EQ(journal->last_sequence(), 0u);
  const auto recovered = recover_and_check(*journal);
  ASSERT_TRUE(recovered.has_value()) << recovered.error().message();
  EXPECT_EQ(recovered->events, 0u);
  EXPECT_EQ(recovered->snapshot_sequence, 0u);
  EXPECT_TRUE(append_next(*journal, 0).has_value());
  EXPECT_EQ(journal->last_sequence(), 0u);
}

TYPED_TEST(JournalContract, GivesBackWhatWasAppendedAfterReopening) {
  for (const std::size_t batch : {1u, 2u, 100u, 1u, 20'000u}) {
    const auto journal = this->open();
    ASSERT_TRUE(recover_and_check(*journal).has_value());
    ASSERT_TRUE(append_next(*journal, batch).has_value());
  }
  const auto journal = this->open();
  EXPECT_EQ(journal->last_sequence(), 20'104u);
  const auto recovered = recover_and_check(*journal);
  ASSERT_TRUE(recovered.has_value()) << recovered.error().message();
  EXPECT_EQ(recovered->events, 20'104u);
  EXPECT_EQ(recovered->last_sequence, 20'104u);
}

TYPED_TEST(JournalContract, RecoversFromTheNewestSnapshotAndTheEventsAfterIt) {
  {
    const auto journal = this->open();
    ASSERT_TRUE(append_next(*journal, 10).has_value());
    ASSERT_TRUE(save_state(*journal).has_value());
    ASSERT_TRUE(append_next(*journal, 10).has_value());
    ASSERT_TRUE(save_state(*journal).has_value());
    ASSERT_TRUE(append_next(*journal, 3).has_value());
  }
  const auto journal = this->open();
  const auto recovered = recover_and_check(*journal);
  ASSERT_TRUE(recovered.has_value()) << recovered.error().message();
  EXPECT_EQ(recovered->snapshot_sequence, 20u);
  EXPECT_EQ(recovered->events, 3u);
  EXPECT_EQ(recovered->last_sequence, 23u);
  EXPECT_EQ(recovered->warning, "");
}

TYPED_TEST(JournalContract, KeepsLargePayloadsAndSnapshots) {
  std::string large(30u << 20, '\0');
  for (std::size_t i = 0; i < large.size(); i += 997) { large[i] = static_cast<char>(i); }
  {
    const auto journal = this->open();
    const std::string payload = large.substr(0, kPayloadBytesMax);
    const Record record{1, -1, payload};
    ASSERT_TRUE(journal->append({&record, 1}).has_value());
    ASSERT_TRUE(journal->save_snapshot(1, large).has_value());
  }
  const auto journal = this->open();
  const auto reader = journal->open_reader();
  ASSERT_TRUE(reader.has_value());
  const auto snapshot = (*reader)->snapshot_at(1);
  ASSERT_TRUE(snapshot.has_value() && snapshot->has_value());
  EXPECT_TRUE((*snapshot)->bytes == large);
  const auto read = (*reader)->read(1, 2, [&](const Record& record) -> Result<void> {
    EXPECT_TRUE(record.payload == std::string_view(large).substr(0, kPayloadBytesMax));
    return {};
  });
  EXPECT_EQ(read.value(), 2u);
}

TYPED_TEST(JournalContract, StopsAtTheVisitorsError) {
  const auto journal = this->open();
  ASSERT_TRUE(append_next(*journal, 10).has_value());
  int seen = 0;
  const VisitRecord stop_at_four = [&](const Record&) -> Result<void> {
    return ++seen == 4 ? fail(ErrorKind::invalid, "cannot decode") : Result<void>{};
  };
  const auto recovered = journal->recover([](const Snapshot&) -> Result<void> { return {}; }, stop_at_four);
  ASSERT_FALSE(recovered.has_value());
  EXPECT_EQ(recovered.error().what, "cannot decode");
  EXPECT_EQ(seen, 4);
  EXPECT_TRUE(append_next(*journal, 1).has_value());
}

TYPED_TEST(JournalContract, RefusesASecondOwner) {
  const auto journal = this->open();
  const auto second = this->world.open();
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, ErrorKind::conflict);
  EXPECT_NE(second.error().message().find("has this journal open"), std::string::npos);
  EXPECT_TRUE(append_next(*journal, 5).has_value());
}

TYPED_TEST(JournalContract, ReadsARange) {
  const auto journal = this->open();
  ASSERT_TRUE(append_next(*journal, 100).has_value());
  const auto reader = journal->open_reader();
  ASSERT_TRUE(reader.has_value());
  std::vector<std::uint64_t> seen;
  const VisitRecord note = [&](const Record& record) -> Result<void> {
    EXPECT_EQ(record.payload, payload_of(record.sequence));
    seen.push_back(record.sequence);
    return {};
  };
  EXPECT_EQ((*reader)->read(10, 13, note).value(), 13u);
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{10, 11, 12}));
  EXPECT_EQ((*reader)->read(13, 13, note).value(), 13u);
  EXPECT_EQ((*reader)->read(20, 13, note).value(), 20u);
  EXPECT_EQ((*reader)->read(99, kForever, note).value(), 101u);
  EXPECT_EQ(seen.back(), 100u);
  EXPECT_EQ((*reader)->read(101, kForever, note).value(), 101u);
  EXPECT_EQ((*reader)->read(500, kForever, note).value(), 500u);
  EXPECT_EQ(seen.size(), 5u);
  const auto range = (*reader)->range();
  EXPECT_EQ(range.value().first, 1u);
  EXPECT_EQ(range.value().last, 100u);
}

TYPED_TEST(JournalContract, AReaderFollowsTheWriter) {
  constexpr std::uint64_t kEvents = 30'000;
  const auto journal = this->open();
  auto reader = journal->open_reader();
  ASSERT_TRUE(reader.has_value());
  std::string failure;
  std::uint64_t next = 1;
  std::thread follower([&] {
    while (next <= kEvents && failure.empty()) {
      std::uint64_t expected = next;
      const auto read = (*reader)->read(next, kForever, [&](const Record& record) -> Result<void> {
        return record.sequence == expected && record.payload == payload_of(expected++)
                   ? Result<void>{}
                   : fail(ErrorKind::invalid, fmt::format("event {} has other content", record.sequence));
      });
      failure = read ? "" : read.error().message();
      next = read.value_or(next);
    }
  });
  for (std::uint64_t done = 0; done < kEvents; done += 100) {
    const auto appended = append_next(*journal, 100);
    EXPECT_TRUE(appended.has_value()) << appended.error().message();
    if (done % 5'000 == 0) { EXPECT_TRUE(save_state(*journal).has_value()); }
  }
  follower.join();
  EXPECT_EQ(failure, "");
  EXPECT_EQ(next, kEvents + 1);
}

TYPED_TEST(JournalContract, ForgetsOldHistoryButKeepsItReplayable) {
  constexpr std::uint64_t kHistory = 1'000;
  const auto journal = this->open({.history_max = kHistory});
  std::mt19937 random(7);
  while (journal->last_sequence() < 20'000) {
    ASSERT_TRUE(append_next(*journal, 1 + random() % 200).has_value());
    ASSERT_TRUE(save_state(*journal).has_value());
    const auto reader = journal->open_reader();
    const auto range = (*reader)->range().value();
    EXPECT_GE(range.last - range.first + 1, std::min<std::uint64_t>(range.last, kHistory));
    // A quarter more than asked for, and the distance of two snapshots.
    EXPECT_LE(range.last - range.first + 1, kHistory + kHistory / 4 + 2 * 200);
    if (range.first > 1) {
      const auto base = (*reader)->snapshot_at(range.first - 1).value();
      ASSERT_TRUE(base.has_value());
      EXPECT_EQ(base->sequence, range.first - 1);
      const auto gone = (*reader)->read(range.first - 1, kForever, [](const Record&) -> Result<void> { return {}; });
      ASSERT_FALSE(gone.has_value());
      EXPECT_EQ(gone.error().kind, ErrorKind::not_found);
      EXPECT_NE(gone.error().what.find(std::to_string(range.first)), std::string::npos);
    }
    EXPECT_FALSE((*reader)->snapshot_at(0).value().has_value());
  }
  ASSERT_TRUE(recover_and_check(*journal).has_value());
}

TYPED_TEST(JournalContract, KeepsAllWhenToldTo) {
  const auto journal = this->open({.history_max = kForever});
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(append_next(*journal, 10).has_value());
    ASSERT_TRUE(save_state(*journal).has_value());
  }
  const auto reader = journal->open_reader();
  EXPECT_EQ((*reader)->range().value().first, 1u);
  EXPECT_EQ((*reader)->read(1, kForever, [](const Record&) -> Result<void> { return {}; }).value(), 501u);
}

TYPED_TEST(JournalContract, StopsWhenItsCallerBreaksTheOrder) {
  const auto journal = this->open();
  const Record skipping[] = {{1, 0, "a"}, {3, 0, "b"}};
  EXPECT_DEATH((void)journal->append(skipping), "broken invariant");
  const Record late[] = {{2, 0, "a"}};
  EXPECT_DEATH((void)journal->append(late), "broken invariant");
  EXPECT_DEATH((void)journal->save_snapshot(1, "of an event that is not there"), "broken invariant");
}

TEST(MemoryJournalFaults, AFailedWriteChangesNothing) {
  const auto disk = std::make_shared<MemoryDisk>();
  const auto journal = MemoryJournal::open(disk).value();
  ASSERT_TRUE(append_next(*journal, 3).has_value());
  journal->fail_next({ErrorKind::unavailable, "database or disk is full", "", ""});
  const auto failed = append_next(*journal, 3);
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().kind, ErrorKind::unavailable);
  EXPECT_EQ(journal->last_sequence(), 3u);
  ASSERT_TRUE(append_next(*journal, 3).has_value());
  EXPECT_EQ(recover_and_check(*journal).value().events, 6u);
}

TEST(MemoryJournalFaults, ACrashLosesOrKeepsTheUnacknowledgedBatch) {
  for (const auto crash : {MemoryJournal::Crash::before_commit, MemoryJournal::Crash::after_commit}) {
    const auto disk = std::make_shared<MemoryDisk>();
    {
      const auto journal = MemoryJournal::open(disk).value();
      journal->crash_after(2, crash);
      EXPECT_TRUE(append_next(*journal, 4).has_value());
      EXPECT_TRUE(append_next(*journal, 4).has_value());
      EXPECT_FALSE(append_next(*journal, 4).has_value());
      EXPECT_FALSE(append_next(*journal, 4).has_value()) << "a crashed journal stays crashed";
    }
    const auto journal = MemoryJournal::open(disk).value();
    EXPECT_EQ(recover_and_check(*journal).value().events, crash == MemoryJournal::Crash::after_commit ? 12u : 8u);
  }
}

TEST(JournalRetention, KeepsEverythingBelowTheLimit) {
  const std::uint64_t snapshots[] = {100, 200};
  const Retention kept = retain(snapshots, 1, 250, 1'000);
  EXPECT_EQ(kept.forget_events_through, 0u);
  EXPECT_TRUE(kept.forget_snapshots.empty());
}

TEST(JournalRetention, NeverTouchesTheNewestTwoSnapshots) {
  const std::uint64_t snapshots[] = {100, 200, 300};
  const Retention kept = retain(snapshots, 1, 300, 0);
  EXPECT_EQ(kept.forget_events_through, 200u);
  EXPECT_EQ(kept.forget_snapshots, (std::vector<std::uint64_t>{100}));
}

TEST(JournalRetention, ThinsSnapshotsInBetween) {
  const std::uint64_t snapshots[] = {100, 200, 300, 400, 500, 600};
  const Retention kept = retain(snapshots, 1, 650, 1'200);
  EXPECT_EQ(kept.forget_events_through, 0u);
  EXPECT_EQ(kept.forget_snapshots, (std::vector<std::uint64_t>{100, 200, 400}));  // 300, 500 and 600 stay
}

TEST(JournalChecksum, IsCrc32c) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);              // RFC 3720, B.4's generator check value
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);    // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);  // RFC 3720, B.4
  EXPECT_EQ(crc32c("56789", crc32c("1234")), crc32c("123456789"));
  EXPECT_NE(record_checksum({1, 2, "a"}), record_checksum({2, 1, "a"}));
}

}  // namespace
}  // namespace centrale
