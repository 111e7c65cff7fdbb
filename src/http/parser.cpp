// SPDX-License-Identifier: Apache-2.0
#include "http/parser.hpp"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/rfc7230.hpp>

namespace centrale::http {
namespace {

namespace beast = boost::beast;
using beast::error_code;
using beast::http::error;

constexpr std::size_t kHeadersMax = 256;                       // fields of one message; browsers send about 20
constexpr std::uint32_t kResponseHeaderBytesMax = 256 * 1024;  // engines may echo much; still a limit

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

std::string lower(beast::string_view text) {
  std::string out{text.data(), text.size()};
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

/// What both directions share: fields go to `headers`, the body to `body`.
template <bool isRequest>
struct Sink : beast::http::basic_parser<isRequest> {
  Headers headers;
  std::string body;
  bool head_seen = false;

  void on_field_impl(beast::http::field, beast::string_view name, beast::string_view value, error_code& ec) override {
    if (head_seen) {
      return;  // trailers say nothing that we use
    }
    if (headers.size() == kHeadersMax) {
      ec = error::header_limit;
      return;
    }
    headers.emplace_back(lower(name), std::string{view(value)});
  }
  void on_header_impl(error_code& ec) override {
    ec = {};
    head_seen = true;
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code& ec) override { ec = {}; }
  std::size_t on_body_impl(beast::string_view text, error_code& ec) override {
    ec = {};
    body.append(text.data(), text.size());
    return text.size();
  }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code& ec) override { ec = {}; }
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view text, error_code& ec) override { return on_body_impl(text, ec); }
  void on_finish_impl(error_code& ec) override { ec = {}; }
};

int refusal_of(const error_code& ec) {
  if (ec == error::header_limit) return 431;
  if (ec == error::body_limit) return 413;
  if (ec == error::bad_version) return 505;
  return 400;
}

}  // namespace

struct RequestParser::Wire final : Sink<true> {
  std::string method;
  std::string target;
  bool http_1_0 = false;
  int refusal = 0;

  void on_request_impl(beast::http::verb, beast::string_view method_text, beast::string_view target_text, int version,
                       error_code& ec) override {
    ec = {};
    method = view(method_text);
    target = view(target_text);
    http_1_0 = version == 10;
  }
  void on_response_impl(int, beast::string_view, int, error_code& ec) override { ec = {}; }
};

RequestParser::RequestParser(std::size_t header_bytes_max, std::size_t body_bytes_max) : wire_(std::make_unique<Wire>()) {
  wire_->header_limit(static_cast<std::uint32_t>(header_bytes_max));
  wire_->body_limit(static_cast<std::uint64_t>(body_bytes_max));
}
RequestParser::~RequestParser() = default;

std::size_t RequestParser::feed(std::string_view bytes) {
  if (wire_->refusal != 0 || wire_->is_done()) { return 0; }
  wire_->eager(wire_->is_header_done());
  error_code ec;
  const std::size_t used = wire_->put(boost::asio::const_buffer{bytes.data(), bytes.size()}, ec);
  if (ec == error::need_more) { return used; }
  if (ec) {
    wire_->refusal = refusal_of(ec);
    return used;
  }
  return used;
}

bool RequestParser::head_done() const { return wire_->is_header_done(); }
bool RequestParser::done() const { return wire_->is_done(); }
int RequestParser::refusal() const { return wire_->refusal; }
bool RequestParser::keep_alive() const { return wire_->keep_alive(); }
bool RequestParser::is_http_1_0() const { return wire_->http_1_0; }
std::size_t RequestParser::body_bytes() const { return wire_->body.size(); }
const std::string& RequestParser::target() const { return wire_->target; }

bool RequestParser::expects_continue() const {
  return std::ranges::any_of(wire_->headers,
                             [](const auto& field) { return field.first == "expect" && beast::iequals(field.second, "100-continue"); });
}

Request RequestParser::take() {
  Request request;
  request.method = std::move(wire_->method);
  request.headers = std::move(wire_->headers);
  request.body = std::move(wire_->body);
  return request;
}

struct ResponseParser::Wire final : Sink<false> {
  int status = 0;
  bool failed = false;

  void on_request_impl(beast::http::verb, beast::string_view, beast::string_view, int, error_code& ec) override { ec = {}; }
  void on_response_impl(int code, beast::string_view, int, error_code& ec) override {
    ec = {};
    status = code;
  }
};

ResponseParser::ResponseParser(bool answers_head) : answers_head_(answers_head) { start_over(); }
ResponseParser::~ResponseParser() = default;

void ResponseParser::start_over() {
  wire_ = std::make_unique<Wire>();
  wire_->header_limit(kResponseHeaderBytesMax);
  wire_->body_limit(boost::none);  // nothing is kept here: who reads asks part by part
  wire_->skip(answers_head_);
}

void ResponseParser::feed(std::string_view bytes) {
  if (pending_.empty()) {
    pending_ = bytes.substr(parse(bytes));
  } else {
    pending_ += bytes;
    pending_.erase(0, parse(pending_));
  }
}

std::size_t ResponseParser::parse(std::string_view bytes) {
  std::size_t used = 0;
  while (used < bytes.size() && !wire_->failed && !wire_->is_done()) {
    wire_->eager(wire_->is_header_done());
    error_code ec;
    const std::size_t n = wire_->put(boost::asio::const_buffer{bytes.data() + used, bytes.size() - used}, ec);
    used += n;
    if (ec && ec != error::need_more) {
      wire_->failed = true;
    } else if (wire_->is_header_done() && wire_->status / 100 == 1) {
      start_over();
    } else if (ec == error::need_more || n == 0) {
      break;
    }
  }
  return used;
}

void ResponseParser::feed_end() {
  error_code ec;
  if (wire_->is_header_done() && !wire_->is_done()) { wire_->put_eof(ec); }
  wire_->failed = wire_->failed || ec || !wire_->is_done();
}

bool ResponseParser::head_done() const { return wire_->is_header_done(); }
bool ResponseParser::done() const { return wire_->is_done(); }
bool ResponseParser::failed() const { return wire_->failed; }
bool ResponseParser::reusable() const { return wire_->is_done() && pending_.empty() && wire_->keep_alive() && !wire_->need_eof(); }
int ResponseParser::status() const { return wire_->status; }
const Headers& ResponseParser::headers() const { return wire_->headers; }
std::string ResponseParser::take_body() { return std::exchange(wire_->body, {}); }

}  // namespace centrale::http
