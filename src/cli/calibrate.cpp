// SPDX-License-Identifier: Apache-2.0
// `centrale calibrate`: the measuring is done by centrale-calibrate, which links libtorch; this finds it and becomes it.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "cli/commands.hpp"

namespace centrale::cli {

namespace {

constexpr const char* kProgram = "centrale-calibrate";

/// Beside this program, as it is built and installed; else wherever PATH has it.
std::string program_path() {
  std::error_code error;
  const std::filesystem::path beside = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / kProgram;
  return ::access(beside.c_str(), X_OK) == 0 ? beside.string() : kProgram;
}

}  // namespace

std::vector<std::string> calibrate_words(const CalibrateOptions& options, bool json) {
  std::vector<std::string> words{kProgram};
  const auto add = [&](const char* name, const std::string& value) {
    words.emplace_back(name);
    words.push_back(value);
  };
  if (!options.device.empty()) { add("--device", options.device); }
  if (options.threads > 0) { add("--threads", std::to_string(options.threads)); }
  if (options.ranks > 0) { add("--ranks", std::to_string(options.ranks)); }
  if (!options.key.empty()) { add("--key", options.key); }
  if (!options.output.empty()) { add("--output", options.output); }
  if (options.quick) { words.emplace_back("--quick"); }
  if (json) { words.emplace_back("--json"); }
  return words;
}

int calibrate(Context& context, const CalibrateOptions& options) {
  std::vector<std::string> words = calibrate_words(options, context.json);
  std::vector<char*> arguments;
  for (std::string& word : words) { arguments.push_back(word.data()); }
  arguments.push_back(nullptr);
  context.out.flush();
  const std::string program = program_path();
  ::execvp(program.c_str(), arguments.data());
  return report(context, Failure(Error{errno == ENOENT ? ErrorKind::not_found : ErrorKind::io,
                                       fmt::format("{} cannot be started: {}", kProgram, std::strerror(errno)), program,
                                       "build it with ./dev build (it needs libtorch), and keep it beside centrale"}));
}

}  // namespace centrale::cli
