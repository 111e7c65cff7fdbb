// SPDX-License-Identifier: Apache-2.0
#include "cli/tree.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "cli/text.hpp"

namespace centrale::cli {
namespace {

/// Breaks at blanks so that lines have at most `width` columns; later lines start with `indent`.
std::string wrapped(std::string_view text, std::size_t at, std::size_t indent, std::size_t width) {
  std::string out;
  std::size_t column = at;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
    const std::string_view word = text.substr(0, end);
    const bool breaks = end < text.size() && text[end] == '\n';
    text.remove_prefix(std::min(text.size(), end + 1));
    if (column > indent && column + 1 + display_width(word) > width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > at || (column > indent && column != at)) {
      out += ' ';
      ++column;
    }
    out += word;
    column += display_width(word);
    if (breaks) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    }
  }
  return out;
}

std::string joined(const std::vector<std::string>& words, std::string_view with) {
  std::string text;
  for (const std::string& word : words) { text += (text.empty() ? "" : std::string(with)) + word; }
  return text;
}

std::string label(const OptionText& option) {
  // A long name alone stands below the other long ones.
  const std::string lead = option.names.front().starts_with("--") ? "    " : "";
  return lead + joined(option.names, ", ") + (option.value.empty() ? "" : " " + option.value);
}

std::string rows(const std::vector<std::pair<std::string, std::string>>& pairs, std::size_t width) {
  std::size_t left = 0;
  for (const auto& [name, text] : pairs) { left = std::max(left, display_width(name)); }
  left = std::min<std::size_t>(left, 30) + 4;
  std::string out;
  for (const auto& [name, text] : pairs) {
    std::string line = "  " + name;
    if (display_width(line) + 2 > left) {
      line += "\n" + std::string(left, ' ');
    } else {
      line = pad(line, left);
    }
    out += line + wrapped(text, left, left, width) + "\n";
  }
  return out;
}

/// --help and --version: they need no mention after a command.
bool is_about_itself(const OptionText& option) { return option.names.back() == "--help" || option.names.back() == "--version"; }

std::string described(const OptionText& option) {
  std::string text = option.text;
  if (!option.fallback.empty()) { text += " (default: " + option.fallback + ")"; }
  return text;
}

}  // namespace

const CommandTree* CommandTree::find(std::string_view command) const {
  const auto it = std::ranges::find(commands, command, &CommandTree::name);
  return it == commands.end() ? nullptr : &*it;
}

const std::vector<ExitCodeText>& exit_codes() {
  static const std::vector<ExitCodeText> kCodes{
      {0, "done as asked"},
      {1, "a job failed or was cancelled, or the centre refused the operation"},
      {2, "the command line is wrong"},
      {3, "no centre answers"},
      {4, "no key, a wrong key, or its role does not allow this"},
      {65, "a file or a value is wrong; the message says where"},
      {124, "--timeout passed"},
      {130, "interrupted; what runs at the centre goes on"},
  };
  return kCodes;
}

std::string usage_line(const CommandTree& command, const std::string& path) {
  std::string line = path;
  if (!command.commands.empty()) {
    const bool alone = !command.options.empty() || command.name == "nodes";
    line += alone ? " [OPTIONS] [COMMAND]" : " COMMAND";
    return line;
  }
  line += command.options.empty() ? "" : " [OPTIONS]";
  for (const OptionText& argument : command.arguments) {
    const std::string name = argument.names.front() + (argument.repeats ? "…" : "");
    line += argument.required ? " " + name : " [" + name + "]";
  }
  return line;
}

std::string help_text(const CommandTree& command, const CommandTree& root, const std::string& path, std::size_t width) {
  width = width == 0 ? 100 : std::clamp<std::size_t>(width, 40, 100);
  const bool is_root = &command == &root;
  std::string out = wrapped(command.text, 0, 0, width) + "\n\nUsage: " + usage_line(command, path) + "\n";
  const auto section = [&](std::string_view title, const std::vector<std::pair<std::string, std::string>>& pairs) {
    if (!pairs.empty()) { out += fmt::format("\n{}:\n{}", title, rows(pairs, width)); }
  };
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const CommandTree& sub : command.commands) {
    std::string text = sub.text.substr(0, sub.text.find('\n'));
    while (text.ends_with('.')) { text.pop_back(); }
    pairs.emplace_back(sub.name, std::move(text));
  }
  section("Commands", pairs);
  pairs.clear();
  for (const OptionText& argument : command.arguments) { pairs.emplace_back(argument.names.front(), described(argument)); }
  section("Arguments", pairs);
  pairs.clear();
  for (const OptionText& option : command.options) { pairs.emplace_back(label(option), described(option)); }
  section("Options", pairs);
  pairs.clear();
  if (!is_root) {
    for (const OptionText& option : root.options) {
      if (!is_about_itself(option)) { pairs.emplace_back(label(option), described(option)); }
    }
    section("Options of every command", pairs);
  }
  if (!command.examples.empty()) {
    out += "\nExamples:\n";
    for (const std::string& example : command.examples) { out += "  " + example + "\n"; }
  }
  if (is_root) {
    pairs.clear();
    for (const auto& [code, text] : exit_codes()) { pairs.emplace_back(std::to_string(code), std::string(text)); }
    section("Exit codes", pairs);
    out += "\nMore of a command: centrale COMMAND --help\n";
  }
  return out;
}

std::optional<WordMistake> find_mistake(const CommandTree& root, const std::vector<std::string>& words) {
  const CommandTree* command = &root;
  std::string path = root.name;
  const auto option_named = [&](std::string_view name) -> const OptionText* {
    for (const CommandTree* level : {command, &root}) {
      for (const OptionText& option : level->options) {
        if (std::ranges::find(option.names, name) != option.names.end()) { return &option; }
      }
    }
    return nullptr;
  };
  bool takes_no_command = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") { break; }
    if (word.size() > 1 && word.front() == '-') {
      const bool is_long = word.starts_with("--");
      const std::string name = is_long ? word.substr(0, word.find('=')) : word.substr(0, 2);
      const OptionText* option = option_named(name);
      if (option == nullptr) {
        std::vector<std::string> names;
        for (const CommandTree* level : {command, &root}) {
          for (const OptionText& o : level->options) { names.insert(names.end(), o.names.begin(), o.names.end()); }
        }
        std::erase_if(names, [&](const std::string& n) { return n.starts_with("--") != is_long; });
        const std::string_view near = is_long ? nearest(name, names) : std::string_view{};
        return WordMistake{fmt::format("unknown option '{}' of '{}'", printable(name), path),
                           near.empty() ? fmt::format("see: {} --help", path) : fmt::format("nearest: {}", near)};
      }
      if (!option->value.empty() && (is_long ? word.find('=') == std::string::npos : word.size() == 2)) {
        ++i;  // its value
      }
      continue;
    }
    if (takes_no_command || command->commands.empty()) {
      takes_no_command = true;
      continue;
    }
    const CommandTree* next = command->find(word);
    if (next == nullptr) {
      std::vector<std::string> names;
      for (const CommandTree& sub : command->commands) { names.push_back(sub.name); }
      const std::string_view near = nearest(word, names);
      return WordMistake{
          fmt::format("unknown command '{}'", printable(path == root.name ? word : path.substr(root.name.size() + 1) + " " + word)),
          near.empty() ? fmt::format("see: {} --help", path) : fmt::format("nearest: {}", near)};
    }
    command = next;
    path += " " + word;
  }
  return std::nullopt;
}

}  // namespace centrale::cli
