// SPDX-License-Identifier: Apache-2.0
// What a new supervisor answers to the centre that started it: one line on descriptor 3, then it is on its own.
#pragma once
#include <signal.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace centrale::task {

enum class Answer {
  started,  // all ranks run; ranks.json is there
  busy,     // another supervisor of this task lives
  done,     // exit.json is there
  spent,    // a supervisor ran here and left no exit.json
  error,    // nothing was started and exit.json could not be written
};

struct Reply {
  Answer answer = Answer::error;
  Error error;
};

inline constexpr int kReplyFd = 3;

/// How the centre asks a supervisor to stop its task: queued, so that a later request with a shorter grace is never
/// merged with an earlier one; the value is the grace in ms. A plain SIGTERM stops with the grace of task.json.
[[nodiscard]] inline int stop_signal() { return SIGRTMIN + 3; }

[[nodiscard]] std::string to_line(const Reply& reply);
/// Nothing when the line is cut short or not one of ours.
[[nodiscard]] std::optional<Reply> parse_reply(std::string_view line);

}  // namespace centrale::task
