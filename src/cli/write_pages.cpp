// SPDX-License-Identifier: Apache-2.0
#include "cli/write_pages.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "cli/views.hpp"
#include "http/answer.hpp"

namespace centrale::cli {
namespace {

Outcome<int> write_all(Context& context, const CommandTree& tree, const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) { return std::unexpected(Failure(Error{ErrorKind::io, "cannot be made: " + code.message(), folder, {}})); }
  std::vector<std::string> files;
  for (const ManPage& page : man_pages(tree, CENTRALE_VERSION)) {
    const std::string path = (fs::path(folder) / page.file).string();
    std::ofstream file(path, std::ios::binary);
    file << page.roff;
    file.close();
    if (!file) {
      return std::unexpected(Failure(Error{ErrorKind::io, std::string("cannot be written: ") + std::strerror(errno), path, {}}));
    }
    files.push_back(context.json ? http::json_string(path) : path);
  }
  if (context.json) {
    print(context, "{" + raw_array("files", files) + "}");
  } else {
    print(context, fmt::format("{} pages in {}; read one: man {}/centrale.1", files.size(), folder, folder));
  }
  return kExitOk;
}

/// One name a line, each once.
template <class View>
void put_names(std::set<std::string>& names, const std::vector<View>& views, bool ids_too) {
  for (const View& view : views) {
    if constexpr (requires { view.name; }) { names.insert(view.name); }
    if (ids_too) { names.insert(view.id); }
  }
}

}  // namespace

int print_completion(Context& context, const CommandTree& tree, const std::string& shell) {
  const std::string script = completion_script(tree, shell);
  print(context, context.json ? fmt::format(R"({{"shell":{},"script":{}}})", http::json_string(shell), http::json_string(script)) : script);
  return kExitOk;
}

int write_man_pages(Context& context, const CommandTree& tree, const std::string& folder) {
  return finish(context, write_all(context, tree, folder));
}

int print_names(Context& context, const std::string& what) {
  std::set<std::string> names;
  const auto body_of = [&](std::string_view target) { return ask(context, "GET", target).value_or(""); };
  if (what == "jobs" || what == "targets") { put_names(names, read_jobs(body_of("/api/v1/jobs?limit=100")).jobs, true); }
  if (what == "services" || what == "targets") { put_names(names, read_services(body_of("/api/v1/services")), what == "targets"); }
  if (what == "nodes") { put_names(names, read_nodes(body_of("/api/v1/nodes")), true); }
  if (what == "tenants") { put_names(names, read_tenants(body_of("/api/v1/tenants")), false); }
  if (what == "keys") { put_names(names, read_keys(body_of("/api/v1/keys")), true); }
  names.erase("");
  for (const std::string& name : names) { context.out << printable(name) << '\n'; }
  return kExitOk;
}

}  // namespace centrale::cli
