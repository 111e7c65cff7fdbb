// SPDX-License-Identifier: Apache-2.0
// Errors as OpenAI's clients know them: status, type and code together decide whether a client tries again. Pure.
#pragma once
#include <string>

#include "base/result.hpp"
#include "http/server.hpp"

namespace centrale::gateway {

struct ApiError {
  int status = 500;
  std::string message, type, code, param;
  http::Headers headers;

  [[nodiscard]] std::string body() const;
};

/// What the centre refused: a key, a model, a quota, a field of the request.
[[nodiscard]] ApiError refusal(const Error& error);
/// What an engine failed at: 502, 503 or 504.
[[nodiscard]] ApiError engine_failure(const Error& error);
[[nodiscard]] ApiError method_not_allowed(std::string allowed);

void send(http::Reply& reply, const ApiError& error);

}  // namespace centrale::gateway
