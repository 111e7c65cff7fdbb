// SPDX-License-Identifier: Apache-2.0
// Manual pages in roff (man(7)), from the tree of commands.
#include <fmt/core.h>

#include <algorithm>

#include "cli/tree.hpp"

namespace centrale::cli {
namespace {

/// Text that roff takes as it stands.
std::string roff(std::string_view text) {
  std::string out;
  bool at_line_start = true;
  for (const char c : text) {
    if (at_line_start && (c == '.' || c == '\'')) {
      out += "\\&";  // else it would be a request
    }
    out += c == '\\' ? "\\e" : c == '-' ? "\\-" : std::string(1, c);
    at_line_start = c == '\n';
  }
  // The ellipsis has a name of its own, for printers without Unicode.
  for (std::size_t at = out.find("…"); at != std::string::npos; at = out.find("…", at)) {
    out.replace(at, std::string_view("…").size(), "...");
  }
  return out;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string without_stop(std::string text) {
  while (text.ends_with('.')) { text.pop_back(); }
  return text;
}

std::string option_paragraph(const OptionText& option) {
  std::string names;
  for (const std::string& name : option.names) { names += (names.empty() ? "" : ", ") + std::string("\\fB") + roff(name) + "\\fR"; }
  std::string out = ".TP\n" + names;
  if (!option.value.empty() && option.names.front().starts_with('-')) { out += " \\fI" + roff(option.value) + "\\fR"; }
  out += "\n" + roff(option.text);
  out += option.fallback.empty() ? "" : " (default: " + roff(option.fallback) + ")";
  return out + "\n";
}

void add_page(std::vector<ManPage>& pages, const CommandTree& command, const CommandTree& root, const std::string& path,
              std::string_view version) {
  const bool is_root = &command == &root;
  std::string name = path;
  std::ranges::replace(name, ' ', '-');
  std::string title = name;
  std::ranges::transform(title, title.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  std::string out = fmt::format(".TH {} 1 \"\" \"centrale {}\" \"Centrale\"\n.SH NAME\n{} \\- {}\n", roff(title), version, roff(name),
                                roff(without_stop(first_line(command.text))));
  const std::string usage = usage_line(command, path);
  out += fmt::format(".SH SYNOPSIS\n.B {}\n", roff(path));
  if (usage.size() > path.size()) {
    out += roff(usage.substr(path.size() + 1)) + "\n";  // a line that began with a blank would start a new one
  }
  out += ".SH DESCRIPTION\n" + roff(command.text) + "\n";
  const auto section = [&](std::string_view heading, const std::vector<OptionText>& options) {
    if (!options.empty()) {
      out += fmt::format(".SH {}\n", heading);
      for (const OptionText& option : options) { out += option_paragraph(option); }
    }
  };
  if (!command.commands.empty()) {
    out += ".SH COMMANDS\n";
    for (const CommandTree& sub : command.commands) {
      out += fmt::format(".TP\n\\fB{}\\fR(1)\n{}\n", roff(name + "-" + sub.name), roff(first_line(sub.text)));
    }
  }
  section("ARGUMENTS", command.arguments);
  section("OPTIONS", command.options);
  if (!is_root) { section("OPTIONS OF EVERY COMMAND", root.options); }
  if (!command.examples.empty()) {
    out += ".SH EXAMPLES\n.nf\n";
    for (const std::string& example : command.examples) { out += roff(example) + "\n"; }
    out += ".fi\n";
  }
  out += ".SH EXIT STATUS\n";
  for (const auto& [code, text] : exit_codes()) { out += fmt::format(".TP\n.B {}\n{}\n", code, roff(text)); }
  out += ".SH ENVIRONMENT\n";
  for (const auto& [variable, text] :
       {std::pair("CENTRALE_URL", "where the centre listens (default: http://127.0.0.1:7070)"), std::pair("CENTRALE_KEY", "the API key"),
        std::pair("CENTRALE_KEY_FILE", "a file that holds the API key"), std::pair("NO_COLOR", "if set and not empty: no colours")}) {
    out += fmt::format(".TP\n.B {}\n{}\n", variable, roff(text));
  }
  if (!is_root) { out += ".SH SEE ALSO\n.BR centrale (1)\n"; }
  pages.push_back({name + ".1", std::move(out)});
  for (const CommandTree& sub : command.commands) { add_page(pages, sub, root, path + " " + sub.name, version); }
}

}  // namespace

std::vector<ManPage> man_pages(const CommandTree& root, std::string_view version) {
  std::vector<ManPage> pages;
  add_page(pages, root, root, root.name, version);
  return pages;
}

}  // namespace centrale::cli
