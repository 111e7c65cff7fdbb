// SPDX-License-Identifier: Apache-2.0
// The files that `submit` and `serve` read: specs, checked here so that a mistake is shown with its line, paths made absolute.
#pragma once
#include <string>
#include <vector>

#include "cli/context.hpp"
#include "spec/spec.hpp"

namespace centrale::cli {

inline constexpr std::size_t kSpecFileMax = std::size_t{4} * 1024 * 1024;

/// The specs of all files, in order. "-" is standard input. Nothing is returned unless everything is right.
[[nodiscard]] Outcome<std::vector<Spec>> read_spec_files(const std::vector<std::string>& files);

/// Makes the spec's paths absolute: they are relative to the folder of the file.
void resolve_paths(Spec& spec, const std::string& folder);

[[nodiscard]] Result<std::string> read_text_file(const std::string& path, std::size_t bytes_max);

}  // namespace centrale::cli
