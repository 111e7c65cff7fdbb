// SPDX-License-Identifier: Apache-2.0
// Errors that a user can cause are values: what is wrong, where, and what to do about it.
#pragma once
#include <expected>
#include <string>
#include <utility>

namespace centrale {

enum class ErrorKind : unsigned char {
  invalid,       // the input is wrong: HTTP 400, exit code 65
  not_found,     // HTTP 404
  conflict,      // the thing is not in a state that allows this: HTTP 409
  unauthorized,  // no key or a wrong one: HTTP 401
  forbidden,     // the key's role does not allow it: HTTP 403
  exhausted,     // a quota or limit is spent: HTTP 429
  unavailable,   // try again later: HTTP 503
  io,            // the machine refused: disk, socket, process; HTTP 500
};

struct Error {
  ErrorKind kind = ErrorKind::invalid;
  std::string what;    // "chip 'h1000' is not in the catalogue"
  std::string where;   // "fleet.yaml:12", or empty
  std::string remedy;  // "nearest: h100", or empty

  /// One line: "where: what; remedy".
  [[nodiscard]] std::string message() const {
    std::string text = where.empty() ? what : where + ": " + what;
    return remedy.empty() ? text : text + "; " + remedy;
  }
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(ErrorKind kind, std::string what, std::string where = {}, std::string remedy = {}) {
  return std::unexpected(Error{kind, std::move(what), std::move(where), std::move(remedy)});
}

}  // namespace centrale

// Propagates an error from a Result<void>-like expression.
#define CENTRALE_CONCAT_INNER(a, b) a##b
#define CENTRALE_CONCAT(a, b) CENTRALE_CONCAT_INNER(a, b)
#define TRY(expression)                                                                 \
  do {                                                                                  \
    if (auto&& try_result_ = (expression); !try_result_) {                              \
      return std::unexpected(std::forward<decltype(try_result_)>(try_result_).error()); \
    }                                                                                   \
  } while (false)
// TRY_ASSIGN(auto file, open(path));
#define TRY_ASSIGN(target, expression) TRY_ASSIGN_IMPL(CENTRALE_CONCAT(try_value_, __LINE__), target, expression)
#define TRY_ASSIGN_IMPL(name, target, expression)                 \
  auto name = (expression);                                       \
  if (!name) { return std::unexpected(std::move(name).error()); } \
  target = *std::move(name)
