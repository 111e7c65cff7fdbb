// SPDX-License-Identifier: Apache-2.0
// Completion scripts, written out from the tree of commands: the shell needs to start nothing to complete a word, but for the
// names of jobs, services, nodes, tenants and keys, which it asks the centre for.
#include <fmt/core.h>

#include <algorithm>

#include "cli/tree.hpp"

namespace centrale::cli {
namespace {

/// What completes a value of this kind.
struct Source {
  enum class Kind : unsigned char { none, words, files, folders, names };
  Kind kind = Kind::none;
  std::string text;  // the words, or what `centrale __complete` is asked for
};

Source source_of(const std::string& value) {
  if (value == "FILE") { return {Source::Kind::files, {}}; }
  if (value == "FOLDER") { return {Source::Kind::folders, {}}; }
  static const std::vector<std::pair<std::string, std::string>> kNames{
      {"JOB", "jobs"}, {"SERVICE", "services"}, {"JOB|SERVICE", "targets"}, {"NODE", "nodes"}, {"TENANT", "tenants"}, {"KEY", "keys"}};
  const auto it = std::ranges::find(kNames, value, &std::pair<std::string, std::string>::first);
  if (it != kNames.end()) { return {Source::Kind::names, it->second}; }
  if (value.find('|') != std::string::npos) {
    std::string words = value;
    std::ranges::replace(words, '|', ' ');
    return {Source::Kind::words, words};
  }
  return {};
}

/// The key of --key is a secret, not an id.
Source source_of(const OptionText& option) {
  return std::ranges::find(option.names, "--key") != option.names.end() ? Source{} : source_of(option.value);
}

template <class Visit>
void each_command(const CommandTree& command, const std::string& path, const Visit& visit) {
  visit(command, path);
  for (const CommandTree& sub : command.commands) { each_command(sub, path.empty() ? sub.name : path + " " + sub.name, visit); }
}

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) { out += c == '\'' ? "'\\''" : std::string(1, c); }
  return out + "'";
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string words_of(const CommandTree& command, const CommandTree& root) {
  std::string words;
  for (const CommandTree& sub : command.commands) { words += sub.name + " "; }
  for (const CommandTree* level : {&command, &root}) {
    for (const OptionText& option : level->options) {
      for (const std::string& name : option.names) { words += name + " "; }
    }
    if (&command == &root) { break; }
  }
  return words.empty() ? words : words.substr(0, words.size() - 1);
}

std::string bash_reply(const Source& source) {
  switch (source.kind) {
    case Source::Kind::words: return fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))", quoted(source.text));
    case Source::Kind::files: return "COMPREPLY=($(compgen -f -- \"$cur\")); compopt -o filenames 2>/dev/null";
    case Source::Kind::folders: return "COMPREPLY=($(compgen -d -- \"$cur\")); compopt -o filenames 2>/dev/null";
    case Source::Kind::names:
      return fmt::format("COMPREPLY=($(compgen -W \"$(centrale __complete {} 2>/dev/null)\" -- \"$cur\"))", source.text);
    case Source::Kind::none: break;
  }
  return "COMPREPLY=()";
}

std::string bash(const CommandTree& root) {
  std::string commands;
  std::string values;  // case "$path $prev" for options with values
  std::string words;   // case "$path" for the rest
  each_command(root, "", [&](const CommandTree& command, const std::string& path) {
    if (!path.empty()) {
      commands += fmt::format("      {}) path={} ;;\n",
                              quoted((path.find(' ') == std::string::npos ? " " : path.substr(0, path.rfind(' ')) + " ") + command.name),
                              quoted(path));
    }
    for (const OptionText& option : command.options) {
      if (option.value.empty()) { continue; }
      std::string names;
      for (const std::string& name : option.names) {
        // Options of the root are known after every command.
        names += names.empty() ? "" : "|";
        names += path.empty() ? "*" : "";
        names += quoted(fmt::format("{} {}", path, name));
      }
      values += fmt::format("    {}) {}; return ;;\n", names, bash_reply(source_of(option)));
    }
    const Source source = command.arguments.empty() ? Source{} : source_of(command.arguments.back().value);
    const std::string list = words_of(command, root);
    words += fmt::format(
        "    {})\n      if [[ $cur != -* ]]; then {}; fi\n      {} ;;\n", quoted(path), command.commands.empty() ? bash_reply(source) : ":",
        command.commands.empty() ? fmt::format("[[ $cur == -* ]] && COMPREPLY=($(compgen -W {} -- \"$cur\"))", quoted(list))
                                 : fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))", quoted(list)));
  });
  return fmt::format(R"bash(# bash completion for centrale. Use it: source <(centrale completion bash)
_centrale() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} path='' word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${{COMP_WORDS[i]}}
    case "$path $word" in
{}    esac
  done
  case "$path $prev" in
{}  esac
  case "$path" in
{}  esac
  return 0
}}
complete -F _centrale centrale
)bash",
                     commands, values, words);
}

std::string zsh_action(const Source& source) {
  switch (source.kind) {
    case Source::Kind::words: return "(" + source.text + ")";
    case Source::Kind::files: return "_files";
    case Source::Kind::folders: return "_files -/";
    case Source::Kind::names: return "{_centrale_names " + source.text + "}";
    case Source::Kind::none: break;
  }
  return " ";
}

/// Text inside '…[…]' and ':…:' of _arguments.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') { out += '\\'; }
    out += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return out;
}

std::string zsh_options(const CommandTree& command) {
  std::string out;
  for (const OptionText& option : command.options) {
    for (const std::string& name : option.names) {
      const std::string value = option.value.empty() ? "" : ":" + zsh_text(option.value) + ":" + zsh_action(source_of(option));
      out += fmt::format(" \\\n    '{}[{}]{}'", name, zsh_text(first_line(option.text)), value);
    }
  }
  return out;
}

std::string zsh_function(const std::string& path) {
  std::string name = "_centrale_" + path;
  std::ranges::replace(name, ' ', '_');
  return path.empty() ? "_centrale" : name;
}

std::string zsh(const CommandTree& root) {
  std::string functions;
  each_command(root, "", [&](const CommandTree& command, const std::string& path) {
    std::string options = zsh_options(command);
    if (!path.empty()) { options += zsh_options(root); }
    if (command.commands.empty()) {
      for (const OptionText& argument : command.arguments) {
        options += fmt::format(" \\\n    '{}:{}:{}'", argument.repeats ? "*" : "", zsh_text(argument.names.front()),
                               zsh_action(source_of(argument.value)));
      }
      functions += fmt::format("{}() {{\n  _arguments -s{}\n}}\n\n", zsh_function(path), options);
      return;
    }
    std::string described;
    std::string cases;
    for (const CommandTree& sub : command.commands) {
      described += fmt::format("\n      '{}:{}'", sub.name, zsh_text(first_line(sub.text)));
      cases += fmt::format("        {}) {} ;;\n", sub.name, zsh_function(path.empty() ? sub.name : path + " " + sub.name));
    }
    functions += fmt::format(R"({}() {{
  local curcontext="$curcontext" state line
  local -a commands
  _arguments -s -C{} \
    '1: :->command' \
    '*:: :->rest'
  case $state in
    command)
      commands=({}
      )
      _describe command commands ;;
    rest)
      case $line[1] in
{}      esac ;;
  esac
}}

)",
                             zsh_function(path), options, described, cases);
  });
  return fmt::format(R"zsh(#compdef centrale
# zsh completion for centrale. Put it into a folder of $fpath as _centrale.
_centrale_names() {{
  local -a names
  names=(${{(f)"$(centrale __complete $1 2>/dev/null)"}})
  compadd -a names
}}

{}if [ "$funcstack[1]" = "_centrale" ]; then
  _centrale "$@"
else
  compdef _centrale centrale
fi
)zsh",
                     functions);
}

std::string fish_source(const Source& source) {
  switch (source.kind) {
    case Source::Kind::words: return " -xa " + quoted(source.text);
    case Source::Kind::files: return " -rF";
    case Source::Kind::folders: return " -xa '(__fish_complete_directories)'";
    case Source::Kind::names: return fmt::format(" -xa '(centrale __complete {} 2>/dev/null)'", source.text);
    case Source::Kind::none: break;
  }
  return " -x";
}

std::string fish(const CommandTree& root) {
  std::string out = "# fish completion for centrale. Save it as ~/.config/fish/completions/centrale.fish\ncomplete -c centrale -f\n";
  each_command(root, "", [&](const CommandTree& command, const std::string& path) {
    std::string condition;
    std::string subs;
    for (const CommandTree& sub : command.commands) { subs += (subs.empty() ? "" : " ") + sub.name; }
    if (path.empty()) {
      condition = fmt::format("not __fish_seen_subcommand_from {}", subs);
    } else {
      for (std::size_t from = 0; from < path.size();) {
        const std::size_t end = std::min(path.find(' ', from), path.size());
        condition += (condition.empty() ? "" : "; and ") + ("__fish_seen_subcommand_from " + path.substr(from, end - from));
        from = end + 1;
      }
      if (!subs.empty()) { condition += "; and not __fish_seen_subcommand_from " + subs; }
    }
    for (const CommandTree& sub : command.commands) {
      out += fmt::format("complete -c centrale -n {} -a {} -d {}\n", quoted(condition), sub.name, quoted(first_line(sub.text)));
    }
    for (const OptionText& option : command.options) {
      std::string names;
      for (const std::string& name : option.names) { names += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1); }
      const std::string where = path.empty() ? "" : " -n " + quoted(condition);  // the root's options go anywhere
      out += fmt::format("complete -c centrale{}{}{} -d {}\n", where, names, option.value.empty() ? "" : fish_source(source_of(option)),
                         quoted(first_line(option.text)));
    }
    for (const OptionText& argument : command.arguments) {
      const Source source = source_of(argument.value);
      if (source.kind != Source::Kind::none) {
        out += fmt::format("complete -c centrale -n {}{}\n", quoted(condition), fish_source(source));
      }
    }
  });
  return out;
}

}  // namespace

std::string completion_script(const CommandTree& root, std::string_view shell) {
  return shell == "zsh" ? zsh(root) : shell == "fish" ? fish(root) : bash(root);
}

}  // namespace centrale::cli
