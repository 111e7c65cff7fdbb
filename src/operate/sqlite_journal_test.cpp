// SPDX-License-Identifier: Apache-2.0
// What can go wrong with a file: refusals, damage, a full disk, kill -9 at any instant.
#include "operate/sqlite_journal.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <random>
#include <thread>

#include "operate/journal_testing.hpp"

namespace centrale {
namespace {

using journal_testing::append_next;
using journal_testing::recover_and_check;
using journal_testing::save_state;
using journal_testing::TempFolder;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::string bytes_of(const fs::path& path) {
  if (!fs::is_regular_file(path)) { return {}; }
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, std::string_view bytes) { std::ofstream(path, std::ios::binary) << bytes; }

void run_sql(const fs::path& path, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
}

/// A journal of `events` events with snapshots every 10, closed.
void make_journal(const fs::path& path, int events) {
  const auto journal = SqliteJournal::open(path);
  ASSERT_TRUE(journal.has_value()) << journal.error().message();
  for (int done = 0; done < events; done += 10) {
    ASSERT_TRUE(append_next(**journal, 10).has_value());
    ASSERT_TRUE(save_state(**journal).has_value());
  }
}

constexpr int kSkipped = 77;

/// Runs `body` in a child process; its text is what went wrong. gtest's expectations do not cross a fork.
template <class Body>
int run_in_child(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string wrong = body();
    if (wrong == "skip") { ::_exit(kSkipped); }
    if (!wrong.empty()) { fmt::print(stderr, "child: {}\n", wrong); }
    ::_exit(wrong.empty() ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(SqliteJournal, IsPrivateToItsOwner) {
  const TempFolder folder;
  const auto journal = SqliteJournal::open(folder / "journal");
  ASSERT_TRUE(journal.has_value());
  ASSERT_TRUE(append_next(**journal, 1).has_value());
  for (const char* name : {"journal", "journal-wal", "journal.lock"}) {
    struct stat status {};
    ASSERT_EQ(::stat((folder / name).c_str(), &status), 0) << name;
    EXPECT_EQ(status.st_mode & 0777, 0600u) << name;
  }
}

void expect_refused(const fs::path& path, ErrorKind kind, const char* what) {
  const std::string before = bytes_of(path);
  const auto journal = SqliteJournal::open(path);
  ASSERT_FALSE(journal.has_value()) << "should say: " << what;
  EXPECT_EQ(journal.error().kind, kind) << journal.error().message();
  EXPECT_THAT(journal.error().message(), HasSubstr(what));
  EXPECT_TRUE(bytes_of(path) == before) << "the file was touched";
}

TEST(SqliteJournal, RefusesWhatIsNotAJournalAndLeavesItAlone) {
  const TempFolder folder;
  write_file(folder / "garbage", std::string(10'000, '#'));
  expect_refused(folder / "garbage", ErrorKind::invalid, "not a Centrale journal");
  write_file(folder / "empty", "");
  expect_refused(folder / "empty", ErrorKind::invalid, "not a Centrale journal");
  run_sql(folder / "other.db", "CREATE TABLE event (x); INSERT INTO event VALUES (1)");
  expect_refused(folder / "other.db", ErrorKind::invalid, "not a Centrale journal");
  expect_refused(folder.path(), ErrorKind::invalid, "is a folder");
  expect_refused("/dev/null/journal", ErrorKind::not_found, "folder does not exist");
  expect_refused(folder / "missing/journal", ErrorKind::not_found, "mkdir -p");
  EXPECT_FALSE(fs::exists(folder / "missing"));
}

TEST(SqliteJournal, RefusesANewerSchema) {
  const TempFolder folder;
  make_journal(folder / "journal", 10);
  run_sql(folder / "journal", "PRAGMA user_version = 7");
  expect_refused(folder / "journal", ErrorKind::invalid, "written by a newer Centrale (journal schema 7, this one knows 1); upgrade");
  const auto reader = open_sqlite_reader(folder / "journal");
  ASSERT_FALSE(reader.has_value());
  EXPECT_THAT(reader.error().message(), HasSubstr("newer Centrale"));
}

TEST(SqliteJournal, RefusesAWalWithoutItsJournal) {
  const TempFolder folder;
  write_file(folder / "journal-wal", "left behind");
  expect_refused(folder / "journal", ErrorKind::invalid, "-wal");
  EXPECT_EQ(bytes_of(folder / "journal-wal"), "left behind");
  EXPECT_FALSE(fs::exists(folder / "journal"));
}

TEST(SqliteJournal, SaysWhenItMayNotReadOrWrite) {
  const TempFolder folder;
  make_journal(folder / "journal", 10);
  const int code = run_in_child([&]() -> std::string {
    // Root may read anything, so become nobody.
    if (::geteuid() == 0 && (::setegid(65534) != 0 || ::seteuid(65534) != 0)) { return "skip"; }
    if (::geteuid() != 65534) { ::chmod((folder / "journal").c_str(), 0); }
    const auto journal = SqliteJournal::open(folder / "journal");
    return !journal && journal.error().kind == ErrorKind::io && journal.error().what.find("Permission denied") != std::string::npos
               ? ""
               : "expected a refusal, got " + (journal ? "a journal" : journal.error().message());
  });
  EXPECT_TRUE(code == 0 || code == kSkipped);
  ::chmod((folder / "journal").c_str(), 0600);
  EXPECT_TRUE(SqliteJournal::open(folder / "journal").has_value());
}

TEST(SqliteJournal, NamesTheProcessThatHasItOpen) {
  const TempFolder folder;
  const auto journal = SqliteJournal::open(folder / "journal");
  ASSERT_TRUE(journal.has_value());
  fs::create_symlink(folder / "journal", folder / "alias");
  const std::string holder = fmt::format("process {}", ::getpid());
  const int code = run_in_child([&]() -> std::string {
    for (const char* name : {"journal", "alias"}) {
      const auto second = SqliteJournal::open(folder / name);
      if (second || second.error().kind != ErrorKind::conflict || second.error().what.find(holder) == std::string::npos) {
        return second ? "opened twice" : second.error().message();
      }
    }
    return "";
  });
  EXPECT_EQ(code, 0);
  EXPECT_TRUE(append_next(**journal, 1).has_value());
}

TEST(SqliteJournal, NamesTheEventThatIsDamagedOrMissing) {
  const TempFolder folder;
  const auto after = [&](const char* sql) {
    fs::remove(folder / "journal");
    make_journal(folder / "journal", 0);
    {
      const auto journal = SqliteJournal::open(folder / "journal");
      EXPECT_TRUE(append_next(**journal, 100).has_value());
    }
    run_sql(folder / "journal", sql);
    const auto journal = SqliteJournal::open(folder / "journal");
    EXPECT_TRUE(journal.has_value());
    const auto recovered = recover_and_check(**journal);
    return recovered ? "recovered" : recovered.error().what;
  };
  EXPECT_THAT(after("UPDATE event SET payload = x'00' || substr(payload, 2) WHERE sequence = 42"), HasSubstr("event 42 is damaged"));
  EXPECT_THAT(after("UPDATE event SET time_ns = time_ns + 1 WHERE sequence = 43"), HasSubstr("event 43 is damaged"));
  EXPECT_THAT(after("DELETE FROM event WHERE sequence = 44"), HasSubstr("event 44 is missing"));
  EXPECT_THAT(after("DELETE FROM event WHERE sequence < 10"), HasSubstr("event 1 is no longer kept"));
  EXPECT_THAT(after("UPDATE event SET payload = 'text' WHERE sequence = 45"), HasSubstr("event 45 is damaged"));
}

TEST(SqliteJournal, ADamagedSnapshotCostsTimeNotState) {
  const TempFolder folder;
  make_journal(folder / "journal", 30);
  run_sql(folder / "journal", "UPDATE snapshot SET bytes = x'00' WHERE sequence = 30");
  {
    const auto journal = SqliteJournal::open(folder / "journal");
    const auto recovered = recover_and_check(**journal);
    ASSERT_TRUE(recovered.has_value()) << recovered.error().message();
    EXPECT_EQ(recovered->snapshot_sequence, 20u);
    EXPECT_EQ(recovered->last_sequence, 30u);
    EXPECT_THAT(recovered->warning, HasSubstr("snapshot of event 30 is damaged"));
  }
  run_sql(folder / "journal", "UPDATE snapshot SET checksum = 1");
  const auto journal = SqliteJournal::open(folder / "journal");
  EXPECT_EQ(recover_and_check(**journal).value().events, 30u);
}

TEST(SqliteJournal, RefusesAJournalThatLostItsEnd) {
  const TempFolder folder;
  make_journal(folder / "journal", 30);
  run_sql(folder / "journal", "DELETE FROM event WHERE sequence > 25");
  expect_refused(folder / "journal", ErrorKind::invalid, "ends at event 25, but has a snapshot of event 30");
}

TEST(SqliteJournal, SurvivesDamagedPages) {
  const TempFolder folder;
  make_journal(folder / "journal", 2'000);
  const std::string sound = bytes_of(folder / "journal");
  std::mt19937 random(11);
  int refused = 0;
  for (int round = 0; round < 60; ++round) {
    std::string broken = sound;
    // After the header, whose checks have tests of their own.
    for (int i = 0; i < 40; ++i) { broken[100 + random() % (broken.size() - 100)] = static_cast<char>(random()); }
    write_file(folder / "journal", broken);
    fs::remove(folder / "journal-wal");
    const auto journal = SqliteJournal::open(folder / "journal");
    const auto recovered = journal ? recover_and_check(**journal) : std::unexpected(journal.error());
    // Either it says so, or what it gave back was right (the check in recover_and_check).
    if (!recovered) {
      ++refused;
      EXPECT_EQ(recovered.error().what.find("has other content"), std::string::npos) << recovered.error().message();
    } else {
      EXPECT_EQ(recovered->last_sequence, 2'000u);
    }
  }
  EXPECT_GT(refused, 0);
}

TEST(SqliteJournal, TwoReadersAndNoWriter) {
  const TempFolder folder;
  make_journal(folder / "journal", 50);
  const auto first = open_sqlite_reader(folder / "journal");
  ASSERT_TRUE(first.has_value()) << first.error().message();
  const auto second = open_sqlite_reader(folder / "journal");
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ((*first)->range().value().last, 50u);
  EXPECT_EQ((*second)->range().value().last, 50u);
  EXPECT_EQ(open_sqlite_reader(folder / "none").error().kind, ErrorKind::not_found);
  write_file(folder / "garbage", std::string(10'000, '#'));
  EXPECT_EQ(open_sqlite_reader(folder / "garbage").error().kind, ErrorKind::invalid);
}

/// Appends until there is no more room, makes room, goes on. The text says what was not as it should be.
std::string fill_the_disk(const fs::path& path, const std::function<void()>& make_room) {
  const auto journal = SqliteJournal::open(path);
  if (!journal) { return journal.error().message(); }
  Result<void> appended;
  std::uint64_t acknowledged = 0;
  for (int i = 0; i < 100'000 && appended; ++i) {
    appended = append_next(**journal, 20);
    acknowledged += appended ? 20u : 0u;
  }
  if (appended || appended.error().kind != ErrorKind::unavailable) {
    return appended ? "the disk never filled up" : "wrong kind: " + appended.error().message();
  }
  if (append_next(**journal, 20)) { return "a full disk took a batch"; }
  if ((*journal)->last_sequence() != acknowledged) { return "a refused batch was counted"; }
  make_room();
  for (int i = 0; i < 50; ++i) {
    if (const auto again = append_next(**journal, 20); !again) { return "with room again: " + again.error().message(); }
  }
  if (const auto saved = save_state(**journal); !saved) { return "with room again: " + saved.error().message(); }
  return (*journal)->last_sequence() == acknowledged + 1'000 ? "" : "events were lost";
}

void expect_whole(const fs::path& path) {
  const auto journal = SqliteJournal::open(path);
  ASSERT_TRUE(journal.has_value()) << journal.error().message();
  const auto recovered = recover_and_check(**journal);
  ASSERT_TRUE(recovered.has_value()) << recovered.error().message();
  std::uint64_t next = 1;
  const auto reader = (*journal)->open_reader();
  const auto read = (*reader)->read(1, ~std::uint64_t{0}, [&](const Record& record) -> Result<void> {
    EXPECT_EQ(record.payload, journal_testing::payload_of(next++));
    return {};
  });
  EXPECT_EQ(read.value(), recovered->last_sequence + 1);
}

TEST(SqliteJournal, GoesOnWhenAFileSizeLimitIsLifted) {
  const TempFolder folder;
  const int code = run_in_child([&]() -> std::string {
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    const rlimit tight{1u << 20, limit.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &tight);
    return fill_the_disk(folder / "journal", [&] { ::setrlimit(RLIMIT_FSIZE, &limit); });
  });
  EXPECT_EQ(code, 0);
  expect_whole(folder / "journal");
}

TEST(SqliteJournal, GoesOnWhenAFullDiskHasRoomAgain) {
  const TempFolder folder;
  const int code = run_in_child([&]() -> std::string {
    const bool own = ::unshare(CLONE_NEWNS) == 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
    if (!own || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", folder.path().c_str(), "tmpfs", 0, "size=6m") != 0) {
      return "skip";
    }
    write_file(folder / "ballast", std::string(3u << 20, 'x'));
    std::string wrong = fill_the_disk(folder / "journal", [&] { fs::remove(folder / "ballast"); });
    if (wrong.empty()) {
      const auto journal = SqliteJournal::open(folder / "journal");
      const auto recovered = journal ? recover_and_check(**journal) : std::unexpected(journal.error());
      wrong = recovered ? "" : recovered.error().message();
    }
    return wrong;
  });
  if (code == kSkipped) { GTEST_SKIP() << "no permission to mount a small disk"; }
  EXPECT_EQ(code, 0);
}

/// Appends batches of all sizes and saves snapshots for ever; says each acknowledged sequence on `acknowledged`.
[[noreturn]] void write_until_killed(const fs::path& path, int acknowledged, unsigned seed) {
  std::mt19937 random(seed);
  const auto journal = SqliteJournal::open(path, {.history_max = 500});
  while (journal && append_next(**journal, 1 + random() % 40).has_value()) {
    const std::uint64_t last = (*journal)->last_sequence();
    if (::write(acknowledged, &last, sizeof last) != sizeof last) { break; }
    if (random() % 20 == 0 && !save_state(**journal)) { break; }
  }
  ::_exit(1);
}

TEST(SqliteJournal, LosesNothingThatWasAcknowledgedWhenKilledAtAnyInstant) {
  const TempFolder folder;
  std::mt19937 random(5);
  std::uint64_t before = 0;
  for (unsigned round = 0; round < 25; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      write_until_killed(folder / "journal", ends[1], round);
    }
    ::close(ends[1]);
    std::uint64_t acknowledged = before;
    if (round % 3 != 0) {  // else it may be killed while it opens and recovers
      (void)!::read(ends[0], &acknowledged, sizeof acknowledged);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 60'000));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer gave up by itself";
    while (::read(ends[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {}
    ::close(ends[0]);

    const auto journal = SqliteJournal::open(folder / "journal");
    ASSERT_TRUE(journal.has_value()) << journal.error().message();
    const auto recovered = recover_and_check(**journal);
    ASSERT_TRUE(recovered.has_value()) << recovered.error().message();
    EXPECT_EQ(recovered->warning, "");
    EXPECT_GE(recovered->last_sequence, acknowledged);
    EXPECT_LE(recovered->last_sequence, acknowledged + 40) << "more than the one batch in flight";
    before = recovered->last_sequence;
  }
  EXPECT_GT(before, 0u);
}

}  // namespace
}  // namespace centrale
