// SPDX-License-Identifier: Apache-2.0
// Progress lines of a task ("@centrale {...}", docs/task-contract.md), followed in the file of rank 0.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace centrale::local {

/// What is known so far: a later line replaces the fields that it names, the rest stays.
struct Progress {
  std::optional<std::int64_t> step, steps;
  std::optional<double> loss;
  std::optional<std::int64_t> tokens;  // cumulative over the job
  std::optional<double> tokens_per_s, eta_s;
  std::string checkpoint;      // complete since the last report; empty: none
  std::int64_t malformed = 0;  // lines so far that began like ours and were not
};

enum class LineKind { other, progress, malformed };
/// Merges a line (without its newline) into `progress`. Fields of a wrong type, not finite or negative make the whole
/// line malformed: nothing of it is taken.
[[nodiscard]] LineKind read_progress_line(std::string_view line, Progress& progress);

/// Reads what is new in a growing file and says when there is something to report.
class ProgressFollower {
 public:
  explicit ProgressFollower(std::string path) : path_(std::move(path)) {}

  /// For a task that ran before: takes the newest line and checkpoint from the end of the file, and goes on there.
  void begin_at_end();
  /// Reads on, at most `bytes`; true when there was more.
  bool read(std::size_t bytes);
  /// At the end of the task: reads the rest; of a very long rest only the end.
  void read_rest();

  /// What to report now: nothing, or the newest state, or one for each checkpoint that was named (the last is newest).
  /// At most one round every kReportEvery, but for `rest`.
  [[nodiscard]] std::vector<Progress> take(std::int64_t now_ns);
  [[nodiscard]] std::vector<Progress> take_rest();

  static constexpr std::int64_t kReportEvery = 250'000'000;  // ns: four a second are as live as an eye can tell

 private:
  void take_bytes(std::string_view bytes);
  void take_line(std::string_view line);

  std::string path_;
  std::uint64_t offset_ = 0;
  std::string partial_;    // a line of which the newline has not been seen
  bool skipping_ = false;  // to the next newline: the line is too long, or its start was not seen
  Progress known_;
  std::deque<std::string> checkpoints_;
  bool changed_ = false;
  std::int64_t reported_ns_ = 0;
};

}  // namespace centrale::local
