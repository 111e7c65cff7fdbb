// SPDX-License-Identifier: Apache-2.0
// What a rank sees: its environment, and the program that its first word means.
#pragma once
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "task/launch.hpp"

namespace centrale::task {

/// In the environment of all that a task starts; its value is unique, so that leftovers of a task can be found.
inline constexpr std::string_view kMarkVariable = "CENTRALE_TASK_MARK";

/// Exactly: base_env, then the spec's, then the contract's variables (docs/task-contract.md); the later one wins.
/// `cores` is what OMP_NUM_THREADS says where the rank is not bound.
[[nodiscard]] Environment rank_environment(const Launch& launch, int rank, int cores);

/// The file to execute, looked up as a shell would: on PATH of `environment`, or, with a '/', from `work_dir`.
/// invalid, with where it was looked for, when there is none or it may not be executed.
[[nodiscard]] Result<std::string> find_program(const std::string& word, const std::string& work_dir, const Environment& environment);

/// Replaces each "{port}" in the words.
void put_port(std::vector<std::string>& argv, int port);

}  // namespace centrale::task
