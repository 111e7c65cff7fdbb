// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 messages out of bytes. Private to this part; the one .cpp that knows Beast is behind it.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "http/server.hpp"

namespace centrale::http {

/// One request out of bytes as they come.
class RequestParser {
 public:
  RequestParser(std::size_t header_bytes_max, std::size_t body_bytes_max);
  ~RequestParser();
  /// Takes what it can use from the front of `bytes` and returns how many that were; the rest is to be offered again with
  /// more behind it. Stops after the head, once, so that the caller can look at it.
  std::size_t feed(std::string_view bytes);
  [[nodiscard]] bool head_done() const;
  [[nodiscard]] bool done() const;
  /// 0, or the status that says what is wrong: 400, 413, 431, 501.
  [[nodiscard]] int refusal() const;
  [[nodiscard]] bool keep_alive() const;
  [[nodiscard]] bool expects_continue() const;
  [[nodiscard]] bool is_http_1_0() const;
  [[nodiscard]] std::size_t body_bytes() const;
  [[nodiscard]] const std::string& target() const;
  /// Method, headers and body; path and query are left to the caller.
  [[nodiscard]] Request take();

 private:
  struct Wire;
  std::unique_ptr<Wire> wire_;
};

/// One answer out of bytes as they come. Interim answers (1xx) are passed over.
class ResponseParser {
 public:
  explicit ResponseParser(bool answers_head);
  ~ResponseParser();
  /// Takes all bytes; what is no use yet is kept.
  void feed(std::string_view bytes);
  /// The connection was closed: the end of a body without a length, else a failure.
  void feed_end();
  [[nodiscard]] bool head_done() const;
  [[nodiscard]] bool done() const;
  [[nodiscard]] bool failed() const;
  /// Done, with nothing behind it, and another request may follow.
  [[nodiscard]] bool reusable() const;
  [[nodiscard]] int status() const;
  [[nodiscard]] const Headers& headers() const;
  /// The body's bytes since the last call.
  [[nodiscard]] std::string take_body();

 private:
  struct Wire;
  void start_over();
  std::size_t parse(std::string_view bytes);
  bool answers_head_;
  std::string pending_;
  std::unique_ptr<Wire> wire_;
};

}  // namespace centrale::http
