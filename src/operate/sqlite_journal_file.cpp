// SPDX-License-Identifier: Apache-2.0
#include "operate/sqlite_journal_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "operate/sqlite_journal.hpp"

namespace centrale::sqlite {
namespace {

constexpr std::string_view kSqliteMagic{"SQLite format 3\0", 16};
// https://www.sqlite.org/fileformat.html section 1.3
constexpr std::size_t kHeaderBytes = 100, kUserVersionAt = 60, kApplicationIdAt = 68;

std::uint32_t load_be32(const unsigned char* p) {
  return static_cast<std::uint32_t>(p[0]) << 24 | static_cast<std::uint32_t>(p[1]) << 16 | static_cast<std::uint32_t>(p[2]) << 8 |
         static_cast<std::uint32_t>(p[3]);
}

bool no_space(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

Error system_error(const std::string& what, int error, const std::string& path, std::string remedy = {}) {
  if (remedy.empty() && no_space(error)) {
    remedy = "free some space on its disk";
  } else if (remedy.empty() && (error == EACCES || error == EPERM)) {
    remedy = "run as the journal's owner, or give this user access to it";
  }
  return {no_space(error) ? ErrorKind::unavailable : ErrorKind::io, fmt::format("{}: {}", what, std::strerror(error)), path,
          std::move(remedy)};
}

struct Descriptor {
  int fd;
  explicit Descriptor(int opened) : fd(opened) {}
  ~Descriptor() {
    if (fd >= 0) { ::close(fd); }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

Result<void> sync_folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.fd < 0 || ::fsync(opened.fd) != 0) { return std::unexpected(system_error("cannot sync the folder", errno, folder)); }
  return {};
}

constexpr const char* kCreateSql = R"sql(
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE event (
  sequence INTEGER PRIMARY KEY,
  time_ns  INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  payload  BLOB NOT NULL
);
-- A snapshot is cut into parts, so that it may be larger than one SQLite value.
CREATE TABLE snapshot (
  sequence INTEGER NOT NULL,
  part     INTEGER NOT NULL,
  parts    INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  bytes    BLOB NOT NULL,
  PRIMARY KEY (sequence, part)
);
)sql";

}  // namespace

Error sqlite_error(sqlite3* db, int code, const std::string& doing, const std::string& path) {
  // SQLite notes the system's reason for some failures only; after a failed commit errno still has it.
  const int errno_now = errno;
  const int noted = db != nullptr ? sqlite3_system_errno(db) : 0;
  const int system = noted != 0 ? noted : errno_now;
  std::string what = fmt::format("{}: {}", doing, db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code));
  switch (code & 0xFF) {
    case SQLITE_FULL: return {ErrorKind::unavailable, std::move(what), path, "free some space on its disk"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return {ErrorKind::unavailable, std::move(what), path, "another program keeps the file locked; end it"};
    case SQLITE_IOERR:
      if (system != 0) { what += fmt::format(" ({})", std::strerror(system)); }
      if (no_space(system)) {
        return {ErrorKind::unavailable, std::move(what), path, "free some space on its disk, or raise the size limit"};
      }
      return {ErrorKind::io, std::move(what), path, "look at the disk: dmesg, smartctl"};
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH: return {ErrorKind::io, std::move(what), path, "the file and its folder must be writable by this user"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorKind::invalid, std::move(what), path,
              "the file is damaged; keep a copy, then restore a backup or try `sqlite3 FILE .recover`"};
    default: return {ErrorKind::io, std::move(what), path, {}};
  }
}

Error newer_schema(std::int64_t schema, const std::string& path) {
  return {ErrorKind::invalid, fmt::format("written by a newer Centrale (journal schema {}, this one knows {})", schema, kJournalSchema),
          path, "upgrade Centrale, or name another path for the journal"};
}

Result<void> execute(sqlite3* db, const char* sql, const std::string& path) {
  if (const int code = sqlite3_exec(db, sql, nullptr, nullptr, nullptr); code != SQLITE_OK) {
    return std::unexpected(sqlite_error(db, sqlite3_extended_errcode(db), "journal", path));
  }
  return {};
}

Result<Statement> prepare(sqlite3* db, std::string_view sql, const std::string& path) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) { return std::unexpected(sqlite_error(db, sqlite3_extended_errcode(db), "cannot read the journal", path)); }
  return Statement(statement);
}

Result<Connection> connect(const std::string& path, int flags) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  Connection db(raw);
  if (code != SQLITE_OK) { return std::unexpected(sqlite_error(raw, code, "cannot open the journal", path)); }
  // Long enough for a backup tool's short lock, short enough not to stall the centre.
  sqlite3_busy_timeout(raw, 2000);
  // The file is input from outside: no SQL hidden in its schema may run, and its cells are checked.
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  TRY(execute(raw, "PRAGMA cell_size_check = ON; PRAGMA synchronous = FULL", path));
  return db;
}

Result<std::string> resolve_journal_path(const std::filesystem::path& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  const auto resolved = error ? absolute : std::filesystem::weakly_canonical(absolute, error);
  if (error) { return std::unexpected(system_error("cannot resolve the journal's path", error.value(), path.string())); }
  if (!resolved.has_filename()) { return fail(ErrorKind::invalid, "the journal's path is a folder", path.string(), "name a file in it"); }
  struct stat self {};
  if (::stat(resolved.c_str(), &self) == 0 && S_ISDIR(self.st_mode)) {
    return fail(ErrorKind::invalid, "the journal's path is a folder", path.string(), "name a file in it");
  }
  struct stat folder {};
  const bool reached = ::stat(resolved.parent_path().c_str(), &folder) == 0;
  if (!reached || !S_ISDIR(folder.st_mode)) {
    if (reached || errno == ENOENT || errno == ENOTDIR) {
      return fail(ErrorKind::not_found, "the journal's folder does not exist", path.string(),
                  fmt::format("mkdir -p {}", resolved.parent_path().string()));
    }
    return std::unexpected(system_error("cannot reach the journal's folder", errno, path.string()));
  }
  return resolved.string();
}

Result<bool> check_journal_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT) { return std::unexpected(system_error("cannot reach the journal", errno, path)); }
    // SQLite would replay a stale WAL into the new file.
    if (::access((path + "-wal").c_str(), F_OK) == 0) {
      return fail(ErrorKind::invalid, "there is a write-ahead log (-wal) but no journal beside it", path,
                  "put the journal back beside its -wal; remove the -wal only if the journal is meant to be gone");
    }
    return false;
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorKind::invalid, "the journal's path is not a regular file", path, "name a file on a local disk");
  }
  const Descriptor opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<unsigned char, kHeaderBytes> header{};
  const ssize_t got = opened.fd < 0 ? -1 : ::pread(opened.fd, header.data(), header.size(), 0);
  if (got < 0) { return std::unexpected(system_error("cannot read the journal", errno, path)); }
  if (static_cast<std::size_t>(got) < header.size() || std::memcmp(header.data(), kSqliteMagic.data(), kSqliteMagic.size()) != 0 ||
      load_be32(header.data() + kApplicationIdAt) != kJournalApplicationId) {
    return fail(ErrorKind::invalid, "this file is not a Centrale journal", path,
                "name another path for the journal; the file was left as it is");
  }
  if (const std::uint32_t schema = load_be32(header.data() + kUserVersionAt); schema > kJournalSchema) {
    return std::unexpected(newer_schema(schema, path));
  }
  return true;
}

Result<void> create_journal_file(const std::string& path) {
  const std::string draft = path + ".new";
  // A draft can only be what a crash left over; the caller holds the lock.
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) { ::unlink((draft + suffix).c_str()); }
  {
    const Descriptor opened(::open(draft.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (opened.fd < 0) { return std::unexpected(system_error("cannot create the journal", errno, path)); }
  }
  {
    TRY_ASSIGN(const Connection db, connect(draft, SQLITE_OPEN_READWRITE));
    const std::string sql =
        fmt::format("{}PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT;", kCreateSql, kJournalApplicationId, kJournalSchema);
    TRY(execute(db.get(), sql.c_str(), path));
    TRY(execute(db.get(), "PRAGMA wal_checkpoint(TRUNCATE)", path));
  }
  if (::rename(draft.c_str(), path.c_str()) != 0) { return std::unexpected(system_error("cannot create the journal", errno, path)); }
  return sync_folder_of(path);
}

namespace {
constexpr std::chrono::seconds kOrphanPatience{5};
}

Result<WriterLock> WriterLock::acquire(const std::string& journal_path) {
  const std::string path = journal_path + ".lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) { return std::unexpected(system_error("cannot open the journal's lock", errno, path)); }
  WriterLock lock(fd);
  // A centre that was killed can leave the lock for a moment to a child that it was just starting.
  const auto until = std::chrono::steady_clock::now() + kOrphanPatience;
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return std::unexpected(system_error("cannot lock the journal", errno, path, "keep the journal on a local disk that has flock(2)"));
    }
    char text[21] = {};
    const ssize_t got = ::pread(fd, text, sizeof text - 1, 0);
    int pid = 0;
    const bool known = got > 0 && std::from_chars(text, text + got, pid).ec == std::errc{} && pid > 0;
    const bool dead = known && ::kill(pid, 0) != 0 && errno == ESRCH;
    if (!dead || std::chrono::steady_clock::now() > until) {
      return fail(ErrorKind::conflict,
                  known ? fmt::format("another centre (process {}) has this journal open", pid)
                        : std::string("another centre has this journal open"),
                  journal_path, "stop it first, or give this one a journal of its own");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  // The pid is for people only, so a full disk that cannot take it does not matter.
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd, 0) == 0) { [[maybe_unused]] const ssize_t written = ::pwrite(fd, pid.data(), pid.size(), 0); }
  return lock;
}

WriterLock::~WriterLock() {
  if (fd_ >= 0) { ::close(fd_); }
}

}  // namespace centrale::sqlite
