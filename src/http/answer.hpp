// SPDX-License-Identifier: Apache-2.0
// How errors look over HTTP: {"error":{"message":…,"type":…}}, the shape that OpenAI's clients know. Pure.
#pragma once
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace centrale::http {

/// The text as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD: what comes from outside may be echoed.
[[nodiscard]] std::string json_string(std::string_view text);

/// The body of an error answer; `code` is null when empty.
[[nodiscard]] std::string error_body(std::string_view message, std::string_view type, std::string_view code = {});

/// The status for an error, as base/result.hpp says.
[[nodiscard]] int status_of(ErrorKind kind);

/// "invalid_request_error", "rate_limit_error", …
[[nodiscard]] std::string_view error_type(int status);

/// "Not Found"
[[nodiscard]] std::string_view reason_phrase(int status);

}  // namespace centrale::http
