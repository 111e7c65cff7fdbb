// SPDX-License-Identifier: Apache-2.0
// Private to the SQLite journal: a connection, a statement, and what must hold of the file before SQLite may touch it.
#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace centrale::sqlite {

struct CloseConnection {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Connection = std::unique_ptr<sqlite3, CloseConnection>;

struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

/// Resets a prepared statement when the scope ends: an unfinished read would hold the WAL open.
struct ResetAtEnd {
  sqlite3_stmt* statement;
  explicit ResetAtEnd(const Statement& of) : statement(of.get()) {}
  ~ResetAtEnd() { sqlite3_reset(statement); }
  ResetAtEnd(const ResetAtEnd&) = delete;
  ResetAtEnd& operator=(const ResetAtEnd&) = delete;
};

/// SQLite's last failure on `db` in our words; `path` is where.
[[nodiscard]] Error sqlite_error(sqlite3* db, int code, const std::string& doing, const std::string& path);
[[nodiscard]] Error newer_schema(std::int64_t schema, const std::string& path);
[[nodiscard]] Result<void> execute(sqlite3* db, const char* sql, const std::string& path);
[[nodiscard]] Result<Statement> prepare(sqlite3* db, std::string_view sql, const std::string& path);
[[nodiscard]] Result<Connection> connect(const std::string& path, int flags);

/// `path` with symbolic links resolved, so that two names of one journal share one lock.
[[nodiscard]] Result<std::string> resolve_journal_path(const std::filesystem::path& path);
/// Reads the header only: is this a journal, and one that this version knows? false: there is no file.
[[nodiscard]] Result<bool> check_journal_file(const std::string& path);
/// Builds an empty journal beside `path` and moves it into place, so that a half-made one never bears the name.
[[nodiscard]] Result<void> create_journal_file(const std::string& path);

/// Held while the journal is open for writing; names the holder to whoever comes second.
class WriterLock {
 public:
  [[nodiscard]] static Result<WriterLock> acquire(const std::string& journal_path);
  ~WriterLock();
  WriterLock(WriterLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  WriterLock& operator=(WriterLock&&) = delete;

 private:
  explicit WriterLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace centrale::sqlite
