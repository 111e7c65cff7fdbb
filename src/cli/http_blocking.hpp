// SPDX-License-Identifier: Apache-2.0
// A small blocking HTTP/1.1 client on plain sockets: a command starts in milliseconds and asks one thing. Every wait has a
// limit, every length is checked.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cli/api.hpp"

namespace centrale::cli {

/// Where a centre listens.
struct Url {
  std::string host;
  std::uint16_t port = 7070;
  std::string base;  // path in front of /api, without a slash at its end: a centre behind a proxy
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool is_loopback() const;
};

/// "http://127.0.0.1:7070", "centre:7070", "http://[::1]:7070/centre".
[[nodiscard]] Result<Url> parse_url(std::string_view text);

struct HttpLimits {
  std::chrono::milliseconds connect_max{5'000};
  std::chrono::milliseconds answer_max{30'000};  // to the end of a whole answer, or to the head of a streamed one
  std::size_t head_bytes_max = std::size_t{64} * 1024;
  std::size_t body_bytes_max = std::size_t{256} * 1024 * 1024;  // a list of every job of a large centre
};

/// The body of an answer as it comes off the wire, chunked or not. Pure, so that hostile bytes can be tried without a socket.
class BodyReader {
 public:
  enum class Framing : unsigned char { chunked, length, until_close };
  BodyReader(Framing framing, std::uint64_t length) : framing_(framing), left_(length) {}
  /// Takes bytes in and appends what they carry to `out`. False: they are not HTTP.
  [[nodiscard]] bool feed(std::string_view bytes, std::string& out);
  [[nodiscard]] bool complete() const;

 private:
  enum class Expect : unsigned char { size, data, data_end, trailer, nothing };
  [[nodiscard]] bool take_line(std::string_view line);
  Framing framing_;
  std::uint64_t left_ = 0;
  Expect expect_ = Expect::size;
  std::string line_;
};

struct AnswerHead {
  int status = 0;
  BodyReader::Framing framing = BodyReader::Framing::until_close;
  std::uint64_t length = 0;
  bool has_body = true;
};
/// `text` ends with the empty line. Nothing if it is no HTTP/1 head.
[[nodiscard]] std::optional<AnswerHead> parse_head(std::string_view text);

class HttpApi : public Api {
 public:
  HttpApi(Url url, std::string key, HttpLimits limits = {});
  Result<Answer> call(std::string_view method, std::string_view target, std::string_view body) override;
  Result<std::unique_ptr<Stream>> stream(std::string_view method, std::string_view target, std::string_view body) override;
  const std::string& url() const override { return text_; }

 private:
  [[nodiscard]] std::string request(std::string_view method, std::string_view target, std::string_view body) const;
  Url url_;
  std::string text_;
  std::string key_;
  HttpLimits limits_;
};

}  // namespace centrale::cli
