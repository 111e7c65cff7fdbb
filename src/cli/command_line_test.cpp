// SPDX-License-Identifier: Apache-2.0
// How the commands are spelled: mistakes, help, completion, manual pages.
#include "cli/command_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "cli/cli_testing.hpp"

namespace centrale::cli {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::Not;

CommandTree tree() {
  std::ostringstream none;
  Context context(none, none);
  CLI::App app("", "centrale");
  Connection connection;
  add_options_of_all(app, context, connection);
  add_commands(app, context);
  return tree_of(app);
}

/// What a shell command prints, and its exit code.
std::pair<std::string, int> shell(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string out;
  std::array<char, 4096> buffer{};
  for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) { out.append(buffer.data(), n); }
  return {out, ::pclose(pipe)};
}

std::string write_file(const std::string& name, const std::string& text) {
  const std::filesystem::path path = std::filesystem::temp_directory_path() / ("centrale-" + std::to_string(::getpid()) + "-" + name);
  std::ofstream(path) << text;
  return path.string();
}

void each(const CommandTree& command, const std::string& path, const std::function<void(const CommandTree&, const std::string&)>& visit) {
  visit(command, path);
  for (const CommandTree& sub : command.commands) { each(sub, path.empty() ? sub.name : path + " " + sub.name, visit); }
}

TEST(CommandLine, MistakesNameTheNearest) {
  FakeApi api;
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"sumbit", "x"}, "unknown command 'sumbit'; nearest: submit"},
      {{"submit", "--fllow", "x"}, "unknown option '--fllow' of 'centrale submit'; nearest: --follow"},
      {{"nodes", "drian", "n1"}, "unknown command 'nodes drian'; nearest: drain"},
      {{"--jsn", "ps"}, "unknown option '--jsn' of 'centrale'; nearest: --json"},
      {{"ps", "--sate=failed"}, "unknown option '--sate' of 'centrale ps'; nearest: --state"},
      {{"ps", "-z"}, "unknown option '-z' of 'centrale ps'; see: centrale ps --help"},
      {{"frobnicate"}, "unknown command 'frobnicate'; see: centrale --help"}};
  for (const auto& [words, says] : cases) {
    const Ran ran = run(api, words);
    EXPECT_EQ(ran.code, kExitUsage) << says;
    EXPECT_EQ(ran.err, "centrale: " + says + "\n");
    EXPECT_EQ(ran.out, "");
  }
  EXPECT_TRUE(api.asked.empty());
}

TEST(CommandLine, WrongValuesAreUsageErrors) {
  FakeApi api;
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"submit"},
                                                                                     {"logs"},
                                                                                     {"ps", "--state", "dead"},
                                                                                     {"ps", "--limit", "many"},
                                                                                     {"scale", "chat", "-1"},
                                                                                     {"usage", "--by", "moon"},
                                                                                     {"completion", "csh"},
                                                                                     {"wait", "j1", "--timeout", "-3"},
                                                                                     {"--json"},
                                                                                     {"version", "extra"},
                                                                                     {"keys", "add", "--role", "root"}}) {
    const Ran ran = run(api, words);
    EXPECT_EQ(ran.code, kExitUsage) << words.front() << ": " << ran.out;
    EXPECT_FALSE(ran.err.empty());
    EXPECT_EQ(ran.err.find('\n'), ran.err.size() - 1) << ran.err;  // one line
  }
}

TEST(CommandLine, OptionsOfTheWholeMayStandAnywhere) {
  FakeApi api = small_centre();
  EXPECT_EQ(run(api, {"--json", "nodes"}).out, run(api, {"nodes", "--json"}).out);
}

TEST(CommandLine, NoWordsAndHelpShowTheCommands) {
  FakeApi api;
  const Ran bare = run(api, {});
  EXPECT_EQ(bare.code, kExitOk);
  EXPECT_THAT(bare.out, HasSubstr("submit"));
  EXPECT_THAT(bare.out, HasSubstr("Exit codes:"));
  EXPECT_EQ(run(api, {"--help"}).out, bare.out);
  EXPECT_THAT(bare.out, Not(HasSubstr("__complete")));
}

TEST(CommandLine, EveryCommandHasHelpWithAnExampleThatParses) {
  const CommandTree root = tree();
  std::size_t commands = 0;
  each(root, "", [&](const CommandTree& command, const std::string& path) {
    if (path.empty()) { return; }
    ++commands;
    EXPECT_FALSE(command.text.empty()) << path;
    ASSERT_FALSE(command.examples.empty()) << path;
    for (const std::string& example : command.examples) {
      EXPECT_THAT(example, HasSubstr("centrale " + (path.find(' ') == std::string::npos ? path : path.substr(0, path.find(' '))))) << path;
      std::istringstream words(example);
      std::vector<std::string> line;
      bool ours = false;
      for (std::string word; words >> word;) {
        const bool ends = word == "&&" || word == ">";
        ours = !ends && (ours || word == "centrale");
        if (ours && word != "centrale") { line.push_back(word); }
        if (ends) { break; }
      }
      EXPECT_FALSE(find_mistake(root, line)) << example;
    }
    for (const OptionText& option : command.options) { EXPECT_FALSE(option.text.empty()) << path << " " << option.names.front(); }
    const std::string help = help_text(command, root, "centrale " + path, 80);
    EXPECT_THAT(help, HasSubstr("Usage: centrale " + path));
    EXPECT_THAT(help, HasSubstr("Examples:"));
    std::istringstream lines(help);
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("  centrale") && !line.starts_with("  source")) {  // an example is not broken
        EXPECT_LE(display_width(line), 80U) << line;
      }
    }
  });
  EXPECT_GE(commands, 24U);
}

TEST(Completion, BashScriptIsRightAndCompletes) {
  const std::string script = write_file("completion.bash", completion_script(tree(), "bash"));
  EXPECT_EQ(shell("bash -n " + script + " 2>&1"), std::pair(std::string{}, 0));
  // `centrale` stands in for the program that the script asks for names.
  const auto complete = [&](const std::string& words) {
    const std::string driver = write_file("driver.bash",
                                          "compopt() { :; }\ncentrale() { [ \"$1 $2\" = '__complete targets' ] && printf "
                                          "'small\\nchat\\n'; [ \"$1 $2\" = '__complete nodes' ] && echo n1; true; }\n"
                                          "source " +
                                              script + "\nCOMP_WORDS=(" + words +
                                              ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_centrale\nprintf '%s ' \"${COMPREPLY[@]}\"\n");
    const std::string out = shell("bash " + driver + " 2>&1").first;
    std::filesystem::remove(driver);
    return out;
  };
  EXPECT_EQ(complete("centrale sub"), "submit ");
  EXPECT_EQ(complete("centrale se"), "serve services ");
  EXPECT_EQ(complete("centrale logs sm"), "small ");
  EXPECT_EQ(complete("centrale --json logs c"), "chat ");
  EXPECT_EQ(complete("centrale logs --fol"), "--follow ");
  EXPECT_EQ(complete("centrale usage --by ''"), "tenant job service ");
  EXPECT_EQ(complete("centrale ps --state fa"), "failed ");
  EXPECT_EQ(complete("centrale nodes dr"), "drain ");
  EXPECT_EQ(complete("centrale nodes drain ''"), "n1 ");
  EXPECT_EQ(complete("centrale completion f"), "fish ");
  EXPECT_EQ(complete("centrale ps --json --no-c"), "--no-color --no-colour ");
  std::filesystem::remove(script);
}

TEST(Completion, OtherShellsNameEveryCommandAndOption) {
  const CommandTree root = tree();
  const std::string zsh = completion_script(root, "zsh");
  const std::string fish = completion_script(root, "fish");
  EXPECT_TRUE(zsh.starts_with("#compdef centrale\n"));
  each(root, "", [&](const CommandTree& command, const std::string& path) {
    if (path.empty()) { return; }
    EXPECT_THAT(zsh, HasSubstr("'" + command.name + ":")) << path;
    EXPECT_THAT(fish, HasSubstr(" -a " + command.name + " -d ")) << path;
    for (const OptionText& option : command.options) {
      for (const std::string& name : option.names) {
        EXPECT_THAT(zsh, HasSubstr("'" + name + "[")) << path;
        EXPECT_THAT(fish, HasSubstr(name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1))) << path;
      }
    }
  });
  for (const auto& [name, script] : {std::pair("zsh", &zsh), std::pair("fish", &fish)}) {
    if (shell(std::string("command -v ") + name).second == 0) {  // checked where the shell is there
      const std::string file = write_file(name, *script);
      EXPECT_EQ(shell(std::string(name) + " -n " + file + " 2>&1"), std::pair(std::string{}, 0)) << name;
      std::filesystem::remove(file);
    }
  }
}

TEST(Completion, NamesComeFromTheCentreAndFailSilently) {
  FakeApi api = small_centre();
  EXPECT_EQ(run(api, {"__complete", "targets"}).out, "chat\nj1\ns1\nsmall\n");
  EXPECT_EQ(run(api, {"__complete", "nodes"}).out, "n1\nvm\n");
  api.unreachable = true;
  const Ran ran = run(api, {"__complete", "targets"});
  EXPECT_EQ(ran.out + ran.err, "");
}

TEST(Man, EveryCommandHasAPageThatRoffReads) {
  const CommandTree root = tree();
  const std::vector<ManPage> pages = man_pages(root, "1.2.3");
  std::size_t commands = 0;
  each(root, "", [&](const CommandTree&, const std::string&) { ++commands; });
  EXPECT_EQ(pages.size(), commands);
  const bool has_groff = shell("command -v groff").second == 0;
  for (const ManPage& page : pages) {
    EXPECT_TRUE(page.roff.starts_with(".TH ")) << page.file;
    std::size_t from = 0;
    for (const char* section : {".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH EXIT STATUS", ".SH ENVIRONMENT"}) {
      const std::size_t at = page.roff.find(section, from);
      ASSERT_NE(at, std::string::npos) << page.file << section;
      from = at;
    }
    std::istringstream lines(page.roff);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with('.')) {  // text that began with a stop would be read as a request
        EXPECT_TRUE(line.starts_with(".TH ") || line.starts_with(".SH ") || line.starts_with(".TP") || line.starts_with(".B ") ||
                    line.starts_with(".BR ") || line == ".nf" || line == ".fi")
            << page.file << ": " << line;
      }
    }
    if (has_groff) {
      const std::string file = write_file(page.file, page.roff);
      const auto [out, code] = shell("groff -man -Tascii -ww -z " + file + " 2>&1");
      EXPECT_EQ(out, "") << page.file;
      EXPECT_EQ(code, 0);
      std::filesystem::remove(file);
    }
  }
}

}  // namespace
}  // namespace centrale::cli
