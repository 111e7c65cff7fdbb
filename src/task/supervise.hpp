// SPDX-License-Identifier: Apache-2.0
// The supervisor of one task: one process outside the centre, from before the first rank until nothing lives.
#pragma once
#include <string>

namespace centrale::task {

/// Runs the task in `folder` (absolute) to its end and leaves exit.json. Answers on kReplyFd once (reply.hpp).
/// The caller has one thread, is a session leader, and has every signal blocked. Returns the exit code for main.
[[nodiscard]] int supervise(const std::string& folder);

}  // namespace centrale::task
