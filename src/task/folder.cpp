// SPDX-License-Identifier: Apache-2.0
#include "task/folder.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <simdjson.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <charconv>

namespace centrale::task {
namespace {

constexpr std::size_t kLaunchMax = 16UL * 1024 * 1024;  // 1.5 MiB of text, six bytes a character at worst, and ranks
constexpr std::size_t kExitMax = 1024UL * 1024;
constexpr std::size_t kExitReserve = 8192;
constexpr std::size_t kRanksFileMax = 1024UL * 1024;

const char* remedy_for(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT: return "free space on that disk, or move the state folder";
    case EFBIG: return "raise the file size limit (ulimit -f) of the centre";
    case EACCES:
    case EPERM:
    case EROFS: return "make it writable for the user who runs the centre";
    case EMFILE:
    case ENFILE: return "raise the limit of open files (ulimit -n)";
    default: return "";
  }
}

Result<void> write_all(const Fd& file, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t put = write(file.get(), text.data(), text.size());
    if (put < 0 && errno == EINTR) { continue; }
    if (put < 0) { return io_failure("write", path, errno); }
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

/// Writes all of `temporary`, or removes it; errors name `path`, which is what people know.
Result<void> write_synced(const std::string& temporary, const std::string& path, std::string_view text) {
  const Fd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) { return io_failure("write", path, errno); }
  Result<void> written = write_all(file, text, path);
  if (written && fsync(file.get()) != 0) { written = io_failure("write", path, errno); }
  if (!written) { unlink(temporary.c_str()); }
  return written;
}

Result<void> sync_folder_of(const std::string& path) {
  const Fd folder(open(path.substr(0, path.rfind('/')).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder && fsync(folder.get()) != 0 && errno != EINVAL) {  // EINVAL: a file system without it
    return io_failure("sync the folder of", path, errno);
  }
  return {};
}

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) { close(fd_); }
}

std::string task_folder(const std::string& state, TaskId task) { return state + "/tasks/" + to_string(task); }

std::string log_path(const std::string& folder, int rank, bool is_stderr) {
  return fmt::format("{}/rank{}.{}", folder, rank, is_stderr ? "err" : "out");
}

Time now() {
  timespec ts{};
  clock_gettime(CLOCK_REALTIME, &ts);
  return {ts.tv_sec * 1'000'000'000 + ts.tv_nsec};
}

std::unexpected<Error> io_failure(std::string_view doing, const std::string& path, int error) {
  return fail(error == ENOENT ? ErrorKind::not_found : ErrorKind::io, fmt::format("cannot {}: {}", doing, strerrordesc_np(error)), path,
              remedy_for(error));
}

Result<void> write_atomic(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".tmp";
  TRY(write_synced(temporary, path, text));
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return io_failure("rename to", path, error);
  }
  return sync_folder_of(path);
}

Result<void> write_once(const std::string& path, std::string_view text) {
  static std::atomic<unsigned> count = 0;  // two writers must not share the temporary file, nor two threads of one
  const std::string temporary = fmt::format("{}.{}-{}.tmp", path, getpid(), count++);
  TRY(write_synced(temporary, path, text));
  const int error = link(temporary.c_str(), path.c_str()) != 0 ? errno : 0;
  unlink(temporary.c_str());
  if (error != 0 && error != EEXIST) { return io_failure("write", path, error); }
  return sync_folder_of(path);
}

Result<std::string> read_small(const std::string& path, std::size_t limit) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) { return io_failure("read", path, errno); }
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t got = read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) { continue; }
    if (got < 0) { return io_failure("read", path, errno); }
    if (got == 0) { return text; }
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > limit) { return fail(ErrorKind::invalid, fmt::format("longer than {} bytes", limit), path); }
  }
}

Result<void> make_folders(const std::string& path, unsigned mode) {
  if (path.empty() || path.front() != '/') { return fail(ErrorKind::invalid, fmt::format("'{}' is not an absolute path", path)); }
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (mkdir(part.c_str(), mode) != 0 && errno != EEXIST) {
      // A parent may be there but refuse mkdir (read-only mounts, automounts); only the whole path decides.
      struct stat there {};
      const int error = errno;
      if (stat(part.c_str(), &there) != 0) { return io_failure("make the folder", part, error == ENOENT ? EACCES : error); }
    }
    if (end == std::string::npos) { break; }
  }
  struct stat there {};
  if (stat(path.c_str(), &there) != 0 || !S_ISDIR(there.st_mode)) {
    return fail(ErrorKind::io, "is there, but is not a folder", path, "move it away, or name another folder");
  }
  return {};
}

Result<Fd> open_lock(const std::string& folder) {
  const std::string path = folder + "/lock";
  Fd lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) { return io_failure("open the lock", path, errno); }
  return lock;
}

bool try_lock(const Fd& lock) {
  int done = -1;
  do { done = flock(lock.get(), LOCK_EX | LOCK_NB); } while (done != 0 && errno == EINTR);
  return done == 0;
}

// One line: "BOOT PID START BEGAN\n". A line without its newline was cut short by a crash and counts as nobody's; the
// writer starts nothing before the whole line is on disk.
LockRecord read_record(const Fd& lock) {
  char buffer[256];
  const ssize_t got = pread(lock.get(), buffer, sizeof buffer, 0);
  if (got <= 0 || buffer[got - 1] != '\n') { return {}; }
  LockRecord record;
  std::string_view text(buffer, static_cast<std::size_t>(got) - 1);
  const auto word = [&text] {
    const std::size_t space = text.find(' ');
    const std::string_view first = text.substr(0, space);
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
    return first;
  };
  const auto number = [&word](auto& value) {
    const std::string_view digits = word();
    return std::from_chars(digits.data(), digits.data() + digits.size(), value).ec == std::errc{};
  };
  record.supervisor.boot = word();
  if (!number(record.supervisor.pid) || !number(record.supervisor.start_ticks) || !number(record.began.ns)) { return {}; }
  return record;
}

Result<void> write_record(const Fd& lock, const LockRecord& record) {
  const std::string line =
      fmt::format("{} {} {} {}\n", record.supervisor.boot, record.supervisor.pid, record.supervisor.start_ticks, record.began.ns);
  // What a crash cut short may be longer than this line.
  const ssize_t put = ftruncate(lock.get(), 0) != 0 ? -1 : pwrite(lock.get(), line.data(), line.size(), 0);
  if (put != static_cast<ssize_t>(line.size()) || fsync(lock.get()) != 0) {
    return io_failure("write", "lock", put >= 0 && put < static_cast<ssize_t>(line.size()) ? ENOSPC : errno);
  }
  return {};
}

Result<Launch> read_launch(const std::string& folder) {
  TRY_ASSIGN(const std::string text, read_small(folder + "/task.json", kLaunchMax));
  return parse_launch(text);
}

Result<ExitReport> read_exit(const std::string& folder) {
  TRY_ASSIGN(const std::string text, read_small(folder + "/exit.json", kExitMax));
  return parse_exit(text);
}

Result<void> reserve_exit(const std::string& folder) {
  const std::string path = folder + "/exit.json.tmp";
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!file) { return io_failure("write", path, errno); }
  const int error = posix_fallocate(file.get(), 0, kExitReserve);
  return error != 0 && error != EOPNOTSUPP ? io_failure("reserve space in", path, error) : Result<void>{};
}

Result<void> save_exit(const std::string& folder, const ExitReport& report) {
  const std::string path = folder + "/exit.json";
  const std::string temporary = path + ".tmp";
  const std::string text = to_json(report);
  const Fd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));  // not truncated: see reserve_exit
  if (!file || pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
      ftruncate(file.get(), static_cast<off_t>(text.size())) != 0 || fsync(file.get()) != 0 ||
      rename(temporary.c_str(), path.c_str()) != 0) {
    return io_failure("write", path, errno);
  }
  return sync_folder_of(path);
}

std::string ranks_to_json(const std::vector<RankProcess>& ranks) {
  std::string out = fmt::format("{{\"version\": 1, \"boot\": \"{}\", \"ranks\": [", boot_id());
  for (const RankProcess& rank : ranks) {
    out += fmt::format("{}\n  {{\"rank\": {}, \"pid\": {}, \"start_ticks\": {}}}", out.back() == '[' ? "" : ",", rank.rank, rank.who.pid,
                       rank.who.start_ticks);
  }
  return out + "\n]}\n";
}

std::vector<RankProcess> read_ranks(const std::string& folder) {
  std::vector<RankProcess> ranks;
  const Result<std::string> text = read_small(folder + "/ranks.json", kRanksFileMax);
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::string_view boot;
  simdjson::dom::array all;
  if (!text || parser.parse(*text).get(root) != simdjson::SUCCESS || root["boot"].get(boot) != simdjson::SUCCESS ||
      root["ranks"].get(all) != simdjson::SUCCESS) {
    return ranks;
  }
  for (const simdjson::dom::element each : all) {
    std::int64_t rank = 0;
    std::int64_t pid = 0;
    std::uint64_t start = 0;
    if (each["rank"].get(rank) == simdjson::SUCCESS && each["pid"].get(pid) == simdjson::SUCCESS &&
        each["start_ticks"].get(start) == simdjson::SUCCESS) {
      ranks.push_back({static_cast<int>(rank), {std::string(boot), static_cast<pid_t>(pid), start}});
    }
  }
  return ranks;
}

}  // namespace centrale::task
