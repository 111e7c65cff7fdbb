// SPDX-License-Identifier: Apache-2.0
#include "cli/context.hpp"

#include <fmt/core.h>

#include "cli/views.hpp"
#include "http/url.hpp"

namespace centrale::cli {
namespace {

int exit_code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid: return kExitInput;
    case ErrorKind::unauthorized:
    case ErrorKind::forbidden: return kExitDenied;
    case ErrorKind::not_found:
    case ErrorKind::conflict:
    case ErrorKind::exhausted:
    case ErrorKind::unavailable:
    case ErrorKind::io: break;
  }
  return kExitFailed;
}

}  // namespace

Failure::Failure(Error e) : error(std::move(e)), exit_code(exit_code_of(error.kind)) {}

int report(Context& context, const Failure& failure) {
  context.out.flush();
  if (context.json) {
    context.err << error_json(failure.error) << '\n';
  } else {
    context.err << paint("centrale:", Tone::red, context.err_style) << ' ' << printable(failure.error.message()) << '\n';
  }
  context.err.flush();
  return failure.exit_code;
}

void note(Context& context, std::string_view line) {
  context.err << line << '\n';
  context.err.flush();
}

void print(Context& context, std::string_view text) {
  context.out << text;
  if (!text.ends_with('\n')) { context.out << '\n'; }
}

Outcome<std::string> ask(Context& context, std::string_view method, std::string_view target, std::string_view body) {
  Result<Answer> answer = context.api->call(method, target, body);
  if (!answer) { return std::unexpected(Failure(std::move(answer).error(), kExitUnreachable)); }
  if (answer->status >= 400) { return std::unexpected(Failure(api_error(answer->status, answer->body, context.api->url()))); }
  if (answer->status >= 300 || !is_json(answer->body)) {
    return std::unexpected(Failure(Error{ErrorKind::unavailable,
                                         "what answers at " + context.api->url() + " is no centre",
                                         {},
                                         "say where the centre is: --centre or CENTRALE_URL"},
                                   kExitUnreachable));
  }
  return std::move(answer->body);
}

std::string path_of(std::string_view collection, std::string_view name, std::string_view rest) {
  return fmt::format("/api/v1/{}/{}{}", collection, http::percent_encode(name), rest);
}

}  // namespace centrale::cli
