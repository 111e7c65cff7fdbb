// SPDX-License-Identifier: Apache-2.0
// What a command works with: where it prints, how wide that is, which centre it asks. Tests fill it with memory.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "base/result.hpp"
#include "cli/api.hpp"
#include "cli/signals.hpp"
#include "cli/text.hpp"

namespace centrale::cli {

// Exit codes; documented in `centrale --help` and in the manual pages.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;       // a job failed, or the centre refused the operation
inline constexpr int kExitUsage = 2;        // the command line is wrong
inline constexpr int kExitUnreachable = 3;  // no centre answers
inline constexpr int kExitDenied = 4;       // no key, a wrong one, or its role does not allow it
inline constexpr int kExitInput = 65;       // a file or value is wrong (EX_DATAERR)
inline constexpr int kExitTimeout = 124;    // --timeout passed, as timeout(1) has it
inline constexpr int kExitInterrupted = 130;

struct Context {
  Context(std::ostream& out_stream, std::ostream& err_stream) : out(out_stream), err(err_stream) {}
  std::ostream& out;
  std::ostream& err;
  bool out_is_terminal = false;
  bool in_is_terminal = false;
  std::size_t width = 0;   // of stdout in columns; 0: no limit
  std::size_t height = 0;  // of the terminal; 0: not known
  Style style;             // of stdout
  Style err_style;
  bool json = false;
  bool offline = false;  // what was chosen asks no centre
  std::unique_ptr<Api> api;
  /// Seconds since the epoch.
  std::function<double()> now;
  /// Sleeps, but not through a signal; replaced in tests.
  std::function<void(Signals&, std::chrono::milliseconds)> pause = [](Signals& s, std::chrono::milliseconds t) { s.pause(t); };
  /// What the command line asks for; parsing sets it, main runs it. Returns the exit code.
  std::function<int()> chosen;
};

/// An error together with the exit code it leads to.
struct Failure {
  Error error;
  int exit_code = kExitFailed;
  Failure(Error e, int code) : error(std::move(e)), exit_code(code) {}
  /// The code that fits the kind: 65 for bad input, 4 for keys, 1 for the rest.
  Failure(Error e);  // NOLINT(google-explicit-constructor): so that TRY passes a Result's error on
};
template <class T>
using Outcome = std::expected<T, Failure>;

/// "centrale: …" on stderr, or with --json the error as JSON; returns the exit code.
int report(Context& context, const Failure& failure);
/// A line for people that is no result: to stderr, so that stdout stays parseable.
void note(Context& context, std::string_view line);
void print(Context& context, std::string_view text);

/// Asks the centre; any status of 400 and above is a Failure, and so is an answer that is not JSON.
[[nodiscard]] Outcome<std::string> ask(Context& context, std::string_view method, std::string_view target, std::string_view body = {});
/// "…/jobs/" + name, encoded.
[[nodiscard]] std::string path_of(std::string_view collection, std::string_view name, std::string_view rest = {});

template <class T>
int finish(Context& context, const Outcome<T>& outcome) {
  if (!outcome) { return report(context, outcome.error()); }
  if constexpr (std::is_same_v<T, int>) { return *outcome; }
  return kExitOk;
}

}  // namespace centrale::cli
