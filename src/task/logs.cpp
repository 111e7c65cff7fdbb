// SPDX-License-Identifier: Apache-2.0
#include "task/logs.hpp"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "task/folder.hpp"

namespace centrale::task {
namespace {

constexpr std::int64_t kHeadKept = 1024L * 1024;  // how it was started is asked as often as how it ended
constexpr std::int64_t kBlock = 64L * 1024;       // a multiple of any file system's block

}  // namespace

void bound_log(const std::string& path, Bytes max) {
  struct stat file {};
  if (max.value <= 0 || stat(path.c_str(), &file) != 0 || file.st_blocks * 512 <= max.value) { return; }
  const Fd log(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const std::int64_t head = std::min(kHeadKept, max.value / 4 / kBlock * kBlock);
  const std::int64_t end = (file.st_size - max.value / 2) / kBlock * kBlock;
  if (!log || end <= head) { return; }
  if (fallocate(log.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, head, end - head) != 0 && errno == EOPNOTSUPP) {
    [[maybe_unused]] const int cut = ftruncate(log.get(), 0);  // the writers append: they go on at the start
  }
}

Result<LogChunk> read_log_file(const std::string& path, std::uint64_t offset, std::size_t max) {
  LogChunk chunk;
  chunk.offset = chunk.next_offset = offset;
  const Fd log(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat file {};
  if (!log || fstat(log.get(), &file) != 0) { return errno == ENOENT ? Result<LogChunk>(chunk) : io_failure("read", path, errno); }
  chunk.size = static_cast<std::uint64_t>(file.st_size);
  if (offset > chunk.size) {
    offset = 0;  // it was cut, see bound_log
  }
  const off_t data = lseek(log.get(), static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0 && errno != ENXIO && errno != EINVAL) { return io_failure("read", path, errno); }
  offset = data >= 0 ? static_cast<std::uint64_t>(data) : std::max(offset, errno == ENXIO ? chunk.size : offset);
  // Up to the next hole only, or the zeros in it would be passed on as text.
  const off_t hole = lseek(log.get(), static_cast<off_t>(offset), SEEK_HOLE);
  const std::uint64_t end = hole > static_cast<off_t>(offset) ? static_cast<std::uint64_t>(hole) : chunk.size;
  chunk.offset = chunk.next_offset = offset;
  chunk.bytes.resize(static_cast<std::size_t>(std::min<std::uint64_t>(max, end > offset ? end - offset : 0)));
  const ssize_t got = pread(log.get(), chunk.bytes.data(), chunk.bytes.size(), static_cast<off_t>(offset));
  if (got < 0) { return io_failure("read", path, errno); }
  chunk.bytes.resize(static_cast<std::size_t>(got));
  chunk.next_offset += chunk.bytes.size();
  return chunk;
}

Result<LogChunk> tail_log_file(const std::string& path, std::size_t lines, std::size_t max) {
  struct stat file {};
  const bool there = stat(path.c_str(), &file) == 0;
  const auto size = there ? static_cast<std::uint64_t>(file.st_size) : 0;
  TRY_ASSIGN(LogChunk chunk, read_log_file(path, size > max ? size - max : 0, max));
  while (chunk.next_offset < size && chunk.bytes.size() < max) {  // the start of the window may lie before a hole
    TRY_ASSIGN(LogChunk next, read_log_file(path, chunk.next_offset, max));
    if (next.bytes.empty()) { break; }
    if (next.offset == chunk.next_offset) {
      chunk.bytes += next.bytes;
      chunk.next_offset = next.next_offset;
    } else {
      chunk = std::move(next);
    }
  }
  // An unfinished last line counts as one.
  std::size_t at = chunk.bytes.size();
  for (std::size_t found = 0; at > 0; --at) {
    if (chunk.bytes[at - 1] == '\n' && at != chunk.bytes.size() && ++found == lines) { break; }
  }
  if (lines == 0) { at = chunk.bytes.size(); }
  chunk.bytes.erase(0, at);
  chunk.offset += at;
  return chunk;
}

}  // namespace centrale::task
