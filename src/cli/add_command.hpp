// SPDX-License-Identifier: Apache-2.0
// How a command is added to the parser. Only for the files that spell commands: CLI11 is slow to compile.
#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/context.hpp"

namespace centrale::cli {

/// A command whose options live as long as the parser holds the callback that reads them.
template <class Options>
CLI::App* add(CLI::App& parent, Context& context, const std::string& name, const std::string& text, std::shared_ptr<Options> options,
              int (*run)(Context&, const Options&)) {
  CLI::App* command = parent.add_subcommand(name, text);
  command->callback([&context, options, run, command] {
    if (command->get_subcommands().empty()) {  // CLI11 calls the parent's after the subcommand's
      context.chosen = [&context, options, run] { return run(context, *options); };
    }
  });
  return command;
}

inline CLI::Option* argument(CLI::App* command, const std::string& name, std::string& into, const std::string& text) {
  return command->add_option(name, into, text)->required()->type_name(name);
}

inline CLI::Option* arguments(CLI::App* command, const std::string& name, std::vector<std::string>& into, const std::string& text) {
  return command->add_option(name, into, text)->required()->expected(1, 10'000)->type_name(name);
}

}  // namespace centrale::cli
