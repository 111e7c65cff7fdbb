// SPDX-License-Identifier: Apache-2.0
// The commands that print or write what is made from the tree of commands.
#pragma once
#include <string>

#include "cli/context.hpp"
#include "cli/tree.hpp"

namespace centrale::cli {

int print_completion(Context& context, const CommandTree& tree, const std::string& shell);
int write_man_pages(Context& context, const CommandTree& tree, const std::string& folder);
/// The names that a completion script offers: "jobs", "services", "nodes", "tenants", "keys", "targets" (jobs and services).
/// Prints nothing if no centre answers: a completion must not disturb.
int print_names(Context& context, const std::string& what);

}  // namespace centrale::cli
