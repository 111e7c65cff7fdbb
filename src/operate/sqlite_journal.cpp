// SPDX-License-Identifier: Apache-2.0
#include "operate/sqlite_journal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "base/ensure.hpp"
#include "operate/sqlite_journal_file.hpp"
#include "operate/sqlite_journal_read.hpp"

namespace centrale {

using namespace sqlite;

namespace {

constexpr std::size_t kPartBytes = 8u << 20;
// 4 KiB a frame. Large enough that the pages of many small commits are written to the file once, small enough that one
// checkpoint stays a matter of milliseconds.
constexpr int kCheckpointFrames = 2'000;
// History is forgotten in slices, so that no transaction holds the writer for long.
constexpr std::uint64_t kForgetSlice = 10'000;

constexpr const char* kWriterPragmas =
    "PRAGMA wal_autocheckpoint = 0;"
    // Frames are overwritten in place, which makes their fsync cheap; only what a large snapshot added is given back.
    "PRAGMA journal_size_limit = 67108864;"
    "PRAGMA cache_size = -16384;";

}  // namespace

struct SqliteJournal::State {
  std::string path;
  JournalOptions options;
  // Members are destroyed from the last to the first: statements, then the connection, then the lock.
  WriterLock lock;
  Connection db;
  Statement begin, commit, rollback, insert;
  std::uint64_t last = 0;
  std::uint64_t last_snapshot = 0;
  int wal_frames = 0;
  int checkpoint_at = kCheckpointFrames;

  State(std::string path_in, const JournalOptions& options_in, WriterLock lock_in, Connection db_in)
      : path(std::move(path_in)), options(options_in), lock(std::move(lock_in)), db(std::move(db_in)) {}

  Error error(const char* doing) const { return sqlite_error(db.get(), sqlite3_extended_errcode(db.get()), doing, path); }

  Result<void> step(const Statement& statement, const char* doing) const {
    const ResetAtEnd reset(statement);
    errno = 0;
    if (sqlite3_step(statement.get()) != SQLITE_DONE) { return std::unexpected(error(doing)); }
    return {};
  }

  template <class Body>
  Result<void> transact(const char* doing, const Body& body) const {
    TRY(step(begin, doing));
    Result<void> done = body();
    if (done) { done = step(commit, doing); }
    // A failed commit may leave the transaction open (no space) or end it by itself (I/O error).
    if (!done && sqlite3_get_autocommit(db.get()) == 0) { (void)step(rollback, doing); }
    ensure(sqlite3_get_autocommit(db.get()) != 0);
    return done;
  }

  Result<void> insert_record(const Record& record) const {
    sqlite3_stmt* row = insert.get();
    sqlite3_bind_int64(row, 1, static_cast<sqlite3_int64>(record.sequence));
    sqlite3_bind_int64(row, 2, record.time_ns);
    sqlite3_bind_int64(row, 3, record_checksum(record));
    // A null pointer would bind NULL, and an empty payload is a payload.
    sqlite3_bind_blob64(row, 4, record.payload.empty() ? "" : record.payload.data(), record.payload.size(), SQLITE_STATIC);
    return step(insert, "cannot append to the journal");
  }

  Result<void> insert_snapshot(std::uint64_t sequence, std::string_view bytes) const {
    TRY_ASSIGN(const Statement row, prepare(db.get(), "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?)", path));
    const std::size_t parts = std::max<std::size_t>(1, (bytes.size() + kPartBytes - 1) / kPartBytes);
    for (std::size_t part = 0; part < parts; ++part) {
      const std::string_view slice = bytes.substr(part * kPartBytes, kPartBytes);
      sqlite3_bind_int64(row.get(), 1, static_cast<sqlite3_int64>(sequence));
      sqlite3_bind_int64(row.get(), 2, static_cast<sqlite3_int64>(part));
      sqlite3_bind_int64(row.get(), 3, static_cast<sqlite3_int64>(parts));
      sqlite3_bind_int64(row.get(), 4, snapshot_part_checksum(sequence, part, parts, slice));
      sqlite3_bind_blob64(row.get(), 5, slice.empty() ? "" : slice.data(), slice.size(), SQLITE_STATIC);
      TRY(step(row, "cannot save the snapshot"));
    }
    return {};
  }

  Result<void> forget_history() const {
    TRY_ASSIGN(const auto snapshots, snapshot_sequences(db.get(), path));
    TRY_ASSIGN(const auto range, event_range(db.get(), path));
    const Retention retention = retain(snapshots, range.first, last, options.history_max);
    constexpr const char* kDoing = "cannot trim the journal";
    TRY_ASSIGN(const Statement events, prepare(db.get(), "DELETE FROM event WHERE sequence <= ?", path));
    for (std::uint64_t through = range.first - 1; through < retention.forget_events_through;) {
      through = std::min(through + kForgetSlice, retention.forget_events_through);
      sqlite3_bind_int64(events.get(), 1, static_cast<sqlite3_int64>(through));
      TRY(step(events, kDoing));
    }
    TRY_ASSIGN(const Statement snapshot, prepare(db.get(), "DELETE FROM snapshot WHERE sequence = ?", path));
    for (const std::uint64_t sequence : retention.forget_snapshots) {
      sqlite3_bind_int64(snapshot.get(), 1, static_cast<sqlite3_int64>(sequence));
      TRY(step(snapshot, kDoing));
    }
    return {};
  }

  /// Moves the WAL's pages into the file. Its failure loses nothing: the pages stay in the WAL, and it is tried again.
  void checkpoint_if_due() {
    if (wal_frames < checkpoint_at) { return; }
    int frames = 0, moved = 0;
    const int code = sqlite3_wal_checkpoint_v2(db.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
    const bool all = code == SQLITE_OK && moved >= frames;
    // Held up by a reader or a full disk: not at every commit from now on.
    checkpoint_at = all ? kCheckpointFrames : wal_frames + kCheckpointFrames;
  }
};

SqliteJournal::SqliteJournal(std::unique_ptr<State> state) : state_(std::move(state)) {}
SqliteJournal::~SqliteJournal() = default;

Result<std::unique_ptr<SqliteJournal>> SqliteJournal::open(const std::filesystem::path& path_in, const JournalOptions& options) {
  TRY_ASSIGN(const std::string path, resolve_journal_path(path_in));
  // The lock comes first: closing a descriptor of the file would drop the locks of a writer in this process.
  TRY_ASSIGN(WriterLock lock, WriterLock::acquire(path));
  TRY_ASSIGN(const bool exists, check_journal_file(path));
  if (!exists) { TRY(create_journal_file(path)); }
  TRY_ASSIGN(Connection db, connect(path, SQLITE_OPEN_READWRITE));
  TRY(check_journal_schema(db.get(), path));
  auto state = std::make_unique<State>(path, options, std::move(lock), std::move(db));
  sqlite3* raw = state->db.get();
  TRY(execute(raw, kWriterPragmas, path));
  TRY_ASSIGN(state->begin, prepare(raw, "BEGIN IMMEDIATE", path));
  TRY_ASSIGN(state->commit, prepare(raw, "COMMIT", path));
  TRY_ASSIGN(state->rollback, prepare(raw, "ROLLBACK", path));
  TRY_ASSIGN(state->insert, prepare(raw, "INSERT INTO event VALUES (?, ?, ?, ?)", path));
  // An empty transaction: a file that cannot be written is found out now, not at the first event.
  TRY(state->transact("cannot write to the journal", [] { return Result<void>{}; }));

  TRY_ASSIGN(const auto range, event_range(raw, path));
  TRY_ASSIGN(const auto snapshots, snapshot_sequences(raw, path));
  state->last = range.last;
  state->last_snapshot = snapshots.empty() ? 0 : snapshots.back();
  if (state->last_snapshot > state->last) {
    return fail(
        ErrorKind::invalid,
        fmt::format("the journal ends at event {}, but has a snapshot of event {}: events are missing", state->last, state->last_snapshot),
        path, "restore the journal from a backup, with its -wal");
  }
  sqlite3_wal_hook(
      raw,
      [](void* self, sqlite3*, const char*, int frames) {
        static_cast<State*>(self)->wal_frames = frames;
        return SQLITE_OK;
      },
      state.get());
  return std::unique_ptr<SqliteJournal>(new SqliteJournal(std::move(state)));
}

Result<Recovered> SqliteJournal::recover(const VisitSnapshot& visit_snapshot, const VisitRecord& visit_record) {
  const State& state = *state_;
  Recovered recovered;
  TRY_ASSIGN(auto snapshots, snapshot_sequences(state.db.get(), state.path));
  for (; !snapshots.empty(); snapshots.pop_back()) {
    auto snapshot = load_snapshot(state.db.get(), snapshots.back(), state.path);
    if (snapshot) {
      TRY(visit_snapshot(*snapshot));
      recovered.snapshot_sequence = snapshot->sequence;
      break;
    }
    // The fold of the events from an older snapshot gives the same state, so this costs time only.
    recovered.warning += snapshot.error().message() + "\n";
  }
  const VisitRecord count = [&](const Record& record) {
    ++recovered.events;
    return visit_record(record);
  };
  recovered.last_sequence = state.last;
  TRY_ASSIGN(const std::uint64_t next,
             read_events(state.db.get(), recovered.snapshot_sequence + 1, std::numeric_limits<std::uint64_t>::max(), count, state.path));
  if (next != state.last + 1) {
    return fail(ErrorKind::invalid,
                fmt::format("the journal ends at event {}, but event {} was there when it was opened", next - 1, state.last), state.path,
                "another program changed it; restore it from a backup");
  }
  return recovered;
}

Result<void> SqliteJournal::append(std::span<const Record> batch) {
  State& state = *state_;
  ensure_appendable(batch, state.last);
  if (batch.empty()) { return {}; }
  const auto insert_all = [&]() -> Result<void> {
    for (const Record& record : batch) { TRY(state.insert_record(record)); }
    return {};
  };
  TRY(state.transact("cannot append to the journal", insert_all));
  state.last = batch.back().sequence;
  state.checkpoint_if_due();
  return {};
}

Result<void> SqliteJournal::save_snapshot(std::uint64_t sequence, std::string_view bytes) {
  State& state = *state_;
  ensure(sequence > state.last_snapshot && sequence <= state.last);
  ensure(bytes.size() <= kSnapshotBytesMax);
  TRY(state.transact("cannot save the snapshot", [&] { return state.insert_snapshot(sequence, bytes); }));
  state.last_snapshot = sequence;
  // The snapshot is safe; forgetting is tried again with the next one.
  (void)state.forget_history();
  state.checkpoint_if_due();
  return {};
}

std::uint64_t SqliteJournal::last_sequence() const { return state_->last; }

Result<std::unique_ptr<JournalReader>> SqliteJournal::open_reader() const { return open_sqlite_reader(state_->path); }

}  // namespace centrale
