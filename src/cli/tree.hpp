// SPDX-License-Identifier: Apache-2.0
// The commands as data: help, completion, manual pages and "nearest" are functions of it, so that none can forget a command. Pure.
#pragma once
#include <optional>
#include <string>
#include <vector>

namespace centrale::cli {

struct OptionText {
  std::vector<std::string> names;  // "-f", "--follow"; of a positional argument its one name: "JOB"
  std::string value;               // "N", "FILE", "JOB", "a|b|c"; empty: a flag
  std::string text;
  std::string fallback;  // the default, if there is one worth saying
  bool required = false;
  bool repeats = false;
};

struct CommandTree {
  std::string name;                   // "centrale", "submit"
  std::string text;                   // one line, then perhaps more
  std::vector<std::string> examples;  // command lines
  std::vector<OptionText> arguments, options;
  std::vector<CommandTree> commands;

  [[nodiscard]] const CommandTree* find(std::string_view command) const;
};

/// Exit codes as help and manual pages say them.
struct ExitCodeText {
  int code;
  std::string_view text;
};
[[nodiscard]] const std::vector<ExitCodeText>& exit_codes();

/// "centrale submit [OPTIONS] FILE…"
[[nodiscard]] std::string usage_line(const CommandTree& command, const std::string& path);
/// What --help prints. `path` is "centrale" or "centrale submit".
[[nodiscard]] std::string help_text(const CommandTree& command, const CommandTree& root, const std::string& path, std::size_t width);

/// What is wrong with these words, if a command or an option among them does not exist: what, and the nearest that does.
struct WordMistake {
  std::string what;
  std::string remedy;
};
[[nodiscard]] std::optional<WordMistake> find_mistake(const CommandTree& root, const std::vector<std::string>& words);

/// A script for "bash", "zsh" or "fish".
[[nodiscard]] std::string completion_script(const CommandTree& root, std::string_view shell);

struct ManPage {
  std::string file;  // "centrale-submit.1"
  std::string roff;
};
/// One page for the whole and one for each command.
[[nodiscard]] std::vector<ManPage> man_pages(const CommandTree& root, std::string_view version);

}  // namespace centrale::cli
