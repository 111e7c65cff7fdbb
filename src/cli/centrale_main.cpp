// SPDX-License-Identifier: Apache-2.0
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "cli/command_line.hpp"
#include "cli/follow.hpp"
#include "operate/discover.hpp"

namespace centrale::cli {
#ifdef CENTRALE_HAS_UP
void add_up(CLI::App& app, Context& context);  // up.cpp
#endif

namespace {

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread
  return value == nullptr ? std::string_view{} : std::string_view(value);
}

/// What the locale's variables say, the strongest first; no locale is loaded for that.
bool terminal_speaks_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string_view value = variable(name);
    if (!value.empty()) {
      return value.find("UTF-8") != std::string_view::npos || value.find("utf8") != std::string_view::npos ||
             value.find("UTF8") != std::string_view::npos || value.find("utf-8") != std::string_view::npos;
    }
  }
  return true;  // bare containers set nothing, and their terminals speak it
}

}  // namespace
}  // namespace centrale::cli

int main(int argc, char** argv) {
  using namespace centrale::cli;
  if (argc >= 2 && std::string_view(argv[1]) == "__probe") {  // vendor code runs in a process of its own
    return centrale::probe_main(argc - 2, argv + 2);
  }
  std::ios::sync_with_stdio(false);
  Context context(std::cout, std::cerr);
  context.out_is_terminal = ::isatty(STDOUT_FILENO) == 1;
  context.in_is_terminal = ::isatty(STDIN_FILENO) == 1;
  refresh_size(context);
  const bool colours = variable("NO_COLOR").empty() && variable("TERM") != "dumb";
  context.style = {colours && context.out_is_terminal, terminal_speaks_utf8()};
  context.err_style = {colours && ::isatty(STDERR_FILENO) == 1, context.style.unicode};
  context.now = [] { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); };
#ifdef CENTRALE_HAS_UP
  constexpr AddMore kMore = &add_up;
#else
  constexpr AddMore kMore = nullptr;
#endif
  const int code = run_command_line({argv + 1, argv + argc}, context, kMore);
  std::cout.flush();
  return code;
}
