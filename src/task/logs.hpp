// SPDX-License-Identifier: Apache-2.0
// The log files of a task. Ranks write to them directly, so that no line waits in a pipe of somebody who died; a file
// that grows too large loses its middle on disk (a hole), and every offset in it stays what it was.
#pragma once
#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "base/units.hpp"

namespace centrale::task {

/// Frees the blocks between the first MiB and the last half of `max` when the file takes more than `max` on disk.
/// Where the file system has no holes (some network file systems), the file is cut to nothing instead.
void bound_log(const std::string& path, Bytes max);

struct LogChunk {
  std::string bytes;
  std::uint64_t offset = 0;       // of the first byte; beyond what was asked for where a hole was skipped
  std::uint64_t next_offset = 0;  // where to go on; also when there was nothing yet
  std::uint64_t size = 0;         // of the whole file
};

/// Up to `max` bytes from `offset`. A missing file is an empty one: a rank that wrote nothing.
[[nodiscard]] Result<LogChunk> read_log_file(const std::string& path, std::uint64_t offset, std::size_t max);
/// The last `lines` lines, at most `max` bytes.
[[nodiscard]] Result<LogChunk> tail_log_file(const std::string& path, std::size_t lines, std::size_t max);

}  // namespace centrale::task
