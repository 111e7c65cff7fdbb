// SPDX-License-Identifier: Apache-2.0
#include "operate/sqlite_journal_read.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "operate/sqlite_journal.hpp"

namespace centrale::sqlite {
namespace {

// A read transaction keeps the WAL from starting over, so a long stream is read in slices.
constexpr sqlite3_int64 kSliceRows = 10'000;
// Snapshots are thinned to a handful; a file with more than this was not written by us.
constexpr std::size_t kSnapshotsMax = 100'000;

constexpr const char* kReading = "cannot read the journal";
constexpr const char* kRestore = "restore the journal from a backup; the file was left as it is";

Error damaged(std::string what, const std::string& path) { return {ErrorKind::invalid, std::move(what), path, kRestore}; }

/// A whole number of rows has been read, or why not.
Result<void> finished(sqlite3* db, int code, const std::string& path) {
  if (code != SQLITE_DONE) { return std::unexpected(sqlite_error(db, sqlite3_extended_errcode(db), kReading, path)); }
  return {};
}

/// SQLite's integers are signed, so a sequence ends at 2^63 - 1.
sqlite3_int64 to_sqlite(std::uint64_t sequence) {
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<sqlite3_int64>::max());
  return static_cast<sqlite3_int64>(std::min(sequence, kMax));
}

std::string_view column_bytes(sqlite3_stmt* row, int column) {
  const void* bytes = sqlite3_column_blob(row, column);
  const int size = sqlite3_column_bytes(row, column);
  return bytes == nullptr ? std::string_view{} : std::string_view(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

Result<Record> sound_record(sqlite3_stmt* row, std::uint64_t expected, const std::string& path) {
  const sqlite3_int64 sequence = sqlite3_column_int64(row, 0);
  if (sequence != to_sqlite(expected)) {
    return std::unexpected(damaged(fmt::format("event {} is missing (the next one is {})", expected, sequence), path));
  }
  const Record record{expected, sqlite3_column_int64(row, 1), column_bytes(row, 3)};
  if (record.payload.size() > kPayloadBytesMax || sqlite3_column_int64(row, 2) != record_checksum(record)) {
    return std::unexpected(damaged(fmt::format("event {} is damaged (its checksum does not match)", expected), path));
  }
  return record;
}

class SqliteJournalReader final : public JournalReader {
 public:
  SqliteJournalReader(Connection db, std::string path) : db_(std::move(db)), path_(std::move(path)) {}
  Result<Range> range() override { return event_range(db_.get(), path_); }
  Result<std::uint64_t> read(std::uint64_t from, std::uint64_t to, const VisitRecord& visit) override {
    return read_events(db_.get(), from, to, visit, path_);
  }
  Result<std::optional<Snapshot>> snapshot_at(std::uint64_t sequence) override {
    TRY_ASSIGN(const auto kept, snapshot_sequences(db_.get(), path_));
    const auto after = std::ranges::upper_bound(kept, sequence);
    if (after == kept.begin()) { return std::nullopt; }
    TRY_ASSIGN(auto snapshot, load_snapshot(db_.get(), *std::prev(after), path_));
    return std::optional(std::move(snapshot));
  }

 private:
  Connection db_;
  std::string path_;
};

Result<void> check_still_kept(sqlite3* db, std::uint64_t sequence, const std::string& path) {
  TRY_ASSIGN(const auto range, event_range(db, path));
  if (sequence < range.first) {
    return fail(ErrorKind::not_found, fmt::format("event {} is no longer kept; the history begins at event {}", sequence, range.first),
                path, fmt::format("start from event {} and the snapshot before it", range.first));
  }
  return {};
}

Result<sqlite3_int64> single_number(sqlite3* db, const char* sql, const std::string& path) {
  TRY_ASSIGN(const Statement row, prepare(db, sql, path));
  if (sqlite3_step(row.get()) != SQLITE_ROW) { return std::unexpected(sqlite_error(db, sqlite3_extended_errcode(db), kReading, path)); }
  return sqlite3_column_int64(row.get(), 0);
}

}  // namespace

Result<void> check_journal_schema(sqlite3* db, const std::string& path) {
  TRY_ASSIGN(const auto application, single_number(db, "PRAGMA application_id", path));
  if (application != kJournalApplicationId) {
    return fail(ErrorKind::invalid, "this file is not a Centrale journal", path, "name the journal's file");
  }
  TRY_ASSIGN(const auto schema, single_number(db, "PRAGMA user_version", path));
  if (schema > kJournalSchema) { return std::unexpected(newer_schema(schema, path)); }
  return {};
}

Result<JournalReader::Range> event_range(sqlite3* db, const std::string& path) {
  // One statement, so that a writer cannot come in between; sub-queries, because min and max together would scan.
  TRY_ASSIGN(const Statement row, prepare(db,
                                          "SELECT coalesce((SELECT min(sequence) FROM event), 0), "
                                          "coalesce((SELECT max(sequence) FROM event), 0)",
                                          path));
  if (sqlite3_step(row.get()) != SQLITE_ROW) { return std::unexpected(sqlite_error(db, sqlite3_extended_errcode(db), kReading, path)); }
  const sqlite3_int64 first = sqlite3_column_int64(row.get(), 0), last = sqlite3_column_int64(row.get(), 1);
  if (first < 0 || last < first || (first == 0 && last != 0)) {
    return std::unexpected(damaged(fmt::format("the journal holds an event numbered {}", first), path));
  }
  return JournalReader::Range{first == 0 ? 1 : static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(last)};
}

Result<std::vector<std::uint64_t>> snapshot_sequences(sqlite3* db, const std::string& path) {
  TRY_ASSIGN(const Statement row, prepare(db, "SELECT DISTINCT sequence FROM snapshot ORDER BY sequence", path));
  std::vector<std::uint64_t> sequences;
  int code = SQLITE_DONE;
  while ((code = sqlite3_step(row.get())) == SQLITE_ROW) {
    const sqlite3_int64 sequence = sqlite3_column_int64(row.get(), 0);
    if (sequence < 1 || sequences.size() >= kSnapshotsMax) {
      return std::unexpected(damaged(fmt::format("the journal holds a snapshot of event {}", sequence), path));
    }
    sequences.push_back(static_cast<std::uint64_t>(sequence));
  }
  TRY(finished(db, code, path));
  return sequences;
}

Result<Snapshot> load_snapshot(sqlite3* db, std::uint64_t sequence, const std::string& path) {
  TRY_ASSIGN(const Statement row, prepare(db, "SELECT part, parts, checksum, bytes FROM snapshot WHERE sequence = ? ORDER BY part", path));
  sqlite3_bind_int64(row.get(), 1, to_sqlite(sequence));
  Snapshot snapshot{sequence, {}};
  const Error broken = damaged(fmt::format("the snapshot of event {} is damaged", sequence), path);
  std::uint64_t part = 0, parts = 1;
  int code = SQLITE_DONE;
  for (; (code = sqlite3_step(row.get())) == SQLITE_ROW; ++part) {
    const std::string_view bytes = column_bytes(row.get(), 3);
    parts = static_cast<std::uint64_t>(sqlite3_column_int64(row.get(), 1));
    if (sqlite3_column_int64(row.get(), 0) != to_sqlite(part) || snapshot.bytes.size() + bytes.size() > kSnapshotBytesMax ||
        sqlite3_column_int64(row.get(), 2) != snapshot_part_checksum(sequence, part, parts, bytes)) {
      return std::unexpected(broken);
    }
    snapshot.bytes += bytes;
  }
  TRY(finished(db, code, path));
  if (part != parts) { return std::unexpected(broken); }
  return snapshot;
}

std::uint32_t snapshot_part_checksum(std::uint64_t sequence, std::uint64_t part, std::uint64_t parts, std::string_view bytes) {
  return record_checksum({sequence, static_cast<std::int64_t>(part << 32 | (parts & 0xFFFFFFFF)), bytes});
}

Result<std::uint64_t> read_events(sqlite3* db, std::uint64_t from, std::uint64_t to, const VisitRecord& visit, const std::string& path) {
  TRY_ASSIGN(const Statement row, prepare(db,
                                          "SELECT sequence, time_ns, checksum, payload FROM event WHERE sequence >= ? AND sequence < ? "
                                          "ORDER BY sequence LIMIT ?",
                                          path));
  std::uint64_t next = from;
  for (bool more = true; more && next < to;) {
    TRY(check_still_kept(db, next, path));
    const ResetAtEnd reset(row);
    sqlite3_bind_int64(row.get(), 1, to_sqlite(next));
    sqlite3_bind_int64(row.get(), 2, to_sqlite(to));
    sqlite3_bind_int64(row.get(), 3, kSliceRows);
    int code = SQLITE_DONE;
    sqlite3_int64 rows = 0;
    for (; (code = sqlite3_step(row.get())) == SQLITE_ROW; ++rows, ++next) {
      const auto record = sound_record(row.get(), next, path);
      if (!record) {
        // Forgotten since the slice began is another matter than missing.
        TRY(check_still_kept(db, next, path));
        return std::unexpected(record.error());
      }
      TRY(visit(*record));
    }
    TRY(finished(db, code, path));
    more = rows == kSliceRows;
  }
  return next;
}

}  // namespace centrale::sqlite

namespace centrale {

Result<std::unique_ptr<JournalReader>> open_sqlite_reader(const std::filesystem::path& path_in) {
  TRY_ASSIGN(const std::string path, sqlite::resolve_journal_path(path_in));
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 && errno == ENOENT) { return fail(ErrorKind::not_found, "there is no journal", path); }
  TRY_ASSIGN(sqlite::Connection db, sqlite::connect(path, SQLITE_OPEN_READONLY));
  TRY(sqlite::check_journal_schema(db.get(), path));
  return std::make_unique<sqlite::SqliteJournalReader>(std::move(db), path);
}

}  // namespace centrale
