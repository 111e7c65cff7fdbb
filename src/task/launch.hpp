// SPDX-License-Identifier: Apache-2.0
// What is asked of a task, and how it ended. Written to a task's folder as task.json and exit.json.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace centrale::task {

using Environment = std::vector<std::pair<std::string, std::string>>;

/// One process of a gang.
struct RankSpec {
  std::vector<int> cpus;                     // PUs as the kernel numbers them; empty: not bound
  std::string visible_variable;              // "CUDA_VISIBLE_DEVICES", or empty
  std::vector<std::string> visible_devices;  // empty with a variable: the rank sees no device
};

struct LaunchSpec {
  TaskId task;
  std::string label;              // for people: "train-small #2"
  std::vector<std::string> argv;  // never a shell string; "{port}" is replaced by the task's port
  Environment env;
  std::string work_dir;        // absolute; made if missing; empty: "work" in the task's folder
  std::string checkpoint_dir;  // absolute; made if missing; empty: none
  std::vector<RankSpec> ranks;
  Bytes memory_max{};  // of the whole task on this machine; 0: no limit
  Nanos grace = seconds(30);
  bool wants_port = false;
  std::string job;  // "j12"; empty for a replica
  int attempt = 1;
  std::optional<std::int64_t> array_index;
};

/// A LaunchSpec and what the driver decided when it made the folder: all that the supervisor needs.
struct Launch {
  LaunchSpec spec;
  Environment base_env{};  // the centre's PATH, HOME, LANG, TMPDIR
  int port = 0;            // 0: none
  int master_port = 0;     // 0: one rank
  std::string mark{};      // unique; in the environment of all that the task starts, so that leftovers are known
  std::string cgroup{};    // the folder to make for this task; empty: none can be made
  Bytes log_max{};         // on disk, for each file of each rank
};

struct ExitReport {
  TaskId task;
  bool started = true;              // false: no rank ever ran the command; `error` says why
  bool lost = false;                // the supervisor was gone without a report
  bool stop_requested = false;      // it was asked to stop (by anybody)
  int code = -1;                    // exit code; -1: ended by a signal, lost or not started
  int signal = 0;                   // 0: none
  int failed_rank = -1;             // the first rank that failed; -1: none
  std::string message{};            // for people, what code and signal do not say; may be empty
  ErrorKind error = ErrorKind::io;  // with started == false: invalid means that a retry cannot help
  std::string remedy{};
  Time began{};
  Time ended{};
  Bytes max_rss{};  // of the task where a cgroup counts it, else of its largest process
  Nanos cpu{};
};

[[nodiscard]] std::string to_json(const Launch& launch);
[[nodiscard]] std::string to_json(const ExitReport& report);
/// invalid, with what is wrong, when `text` is not what to_json writes.
[[nodiscard]] Result<Launch> parse_launch(std::string_view text);
[[nodiscard]] Result<ExitReport> parse_exit(std::string_view text);

/// invalid when the spec cannot be started at all: no argv, no ranks, NUL bytes, text that is not UTF-8, too large.
[[nodiscard]] Result<void> check(const LaunchSpec& spec);

/// How one rank ended, in the order in which they ended.
struct RankEnd {
  int rank = 0;
  int code = 0;
  int signal = 0;
};
/// code, signal, failed_rank and message of a task from its ranks, by order of their ends.
/// After a stop request, ranks that SIGTERM ended count as stopped, and 75 of any rank is the task's.
void summarize(ExitReport& report, const std::vector<RankEnd>& ends);

}  // namespace centrale::task
