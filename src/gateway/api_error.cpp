// SPDX-License-Identifier: Apache-2.0
#include "gateway/api_error.hpp"

#include "http/answer.hpp"

namespace centrale::gateway {
namespace {

constexpr const char* kBusyRetryS = "2";    // a replica frees a place within seconds
constexpr const char* kQuotaRetryS = "60";  // a quota is refilled by time or by a person

}  // namespace

std::string ApiError::body() const {
  const auto text_or_null = [](const std::string& text) { return text.empty() ? std::string{"null"} : http::json_string(text); };
  return "{\"error\":{\"message\":" + http::json_string(message) + ",\"type\":" + http::json_string(type) +
         ",\"param\":" + text_or_null(param) + ",\"code\":" + text_or_null(code) + "}}";
}

ApiError refusal(const Error& error) {
  ApiError out;
  out.status = http::status_of(error.kind);
  out.message = error.message();
  switch (error.kind) {
    case ErrorKind::invalid:
      out.type = "invalid_request_error";
      out.message = error.remedy.empty() ? error.what : error.what + "; " + error.remedy;
      out.param = error.where;
      break;
    case ErrorKind::not_found:
      out.type = "invalid_request_error";
      out.code = "model_not_found";
      break;
    case ErrorKind::conflict: out.type = "conflict_error"; break;
    case ErrorKind::unauthorized:
      out.type = "invalid_request_error";
      out.code = "invalid_api_key";
      out.headers.emplace_back("WWW-Authenticate", "Bearer");
      break;
    case ErrorKind::forbidden:
      out.type = "permission_error";
      out.code = "permission_denied";
      break;
    case ErrorKind::exhausted:
      out.type = "insufficient_quota";
      out.code = "insufficient_quota";
      out.headers.emplace_back("Retry-After", kQuotaRetryS);
      // OpenAI's own client would wait and ask again twice before it told its user.
      out.headers.emplace_back("X-Should-Retry", "false");
      break;
    case ErrorKind::unavailable:
      out.type = "service_unavailable";
      out.code = "model_not_ready";
      out.headers.emplace_back("Retry-After", kBusyRetryS);
      break;
    case ErrorKind::io: out.type = "server_error"; break;
  }
  return out;
}

ApiError engine_failure(const Error& error) {
  ApiError out;
  out.type = "server_error";
  if (error.kind == ErrorKind::exhausted) {
    out.status = 504;
    out.code = "engine_timeout";
  } else if (error.kind == ErrorKind::unavailable) {
    out.status = 503;
    out.code = "engine_unavailable";
    out.headers.emplace_back("Retry-After", kBusyRetryS);
  } else {
    out.status = 502;
    out.code = "engine_failed";
  }
  // Where the engine runs is the operator's business, not the caller's.
  out.message = "the model's engine failed: " + error.what;
  return out;
}

ApiError method_not_allowed(std::string allowed) {
  ApiError out;
  out.status = 405;
  out.type = "invalid_request_error";
  out.message = "this path takes " + allowed;
  out.headers.emplace_back("Allow", std::move(allowed));
  return out;
}

void send(http::Reply& reply, const ApiError& error) { reply.send(error.status, "application/json", error.body(), error.headers); }

}  // namespace centrale::gateway
