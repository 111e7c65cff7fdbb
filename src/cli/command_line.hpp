// SPDX-License-Identifier: Apache-2.0
// How the commands are spelled. CLI11 is seen by few files: it is slow to compile.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cli/context.hpp"
#include "cli/tree.hpp"

namespace CLI {
class App;
}

namespace centrale::cli {

/// What the command line says about the centre to ask.
struct Connection {
  std::string centre;  // --centre
  std::string key;     // --key
  bool no_colour = false;
};

/// --json and the others that every command takes.
void add_options_of_all(CLI::App& app, Context& context, Connection& connection);
/// Adds every command of this folder but `up`. The chosen one sets context.chosen.
void add_commands(CLI::App& app, Context& context);
/// Each command's examples, shown at the end of its help: one command line a line.
void set_examples(CLI::App& command, const std::vector<std::string>& lines);
[[nodiscard]] CommandTree tree_of(const CLI::App& app);

/// Adds more commands, before the line is parsed: `up` comes from where the daemon is wired.
using AddMore = void (*)(CLI::App&, Context&);

/// Parses, opens the connection unless the context has one, runs. Returns the exit code.
int run_command_line(const std::vector<std::string>& words, Context& context, AddMore add_more);

}  // namespace centrale::cli
