// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 answers taken apart (RFC 9112): no socket here.
#include <algorithm>
#include <charconv>

#include "base/ensure.hpp"
#include "cli/http_blocking.hpp"

namespace centrale::cli {
namespace {

constexpr std::size_t kLineMax = std::size_t{8} * 1024;  // a chunk's size with its extensions, a trailer field

bool same_text(std::string_view a, std::string_view lower) {
  return std::equal(a.begin(), a.end(), lower.begin(), lower.end(),
                    [](char x, char y) { return (x >= 'A' && x <= 'Z' ? static_cast<char>(x + 32) : x) == y; });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) { text.remove_prefix(1); }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) { text.remove_suffix(1); }
  return text;
}

}  // namespace

std::string Url::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return "http://" + (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port) + base;
}

bool Url::is_loopback() const { return host == "localhost" || host == "::1" || host.starts_with("127."); }

Result<Url> parse_url(std::string_view text) {
  const std::string given(text);
  const auto wrong = [&](std::string remedy) {
    return fail(ErrorKind::invalid, "'" + given + "' is no address of a centre", {}, std::move(remedy));
  };
  const std::string example = "like http://127.0.0.1:7070";
  Url url;
  if (text.starts_with("https://")) {
    return wrong("https is not spoken; open a tunnel: ssh -L 7070:127.0.0.1:7070 HOST, then http://127.0.0.1:7070");
  }
  if (text.starts_with("http://")) {
    text.remove_prefix(7);
    url.port = 80;
  } else if (text.find("://") != std::string_view::npos) {
    return wrong(example);
  }
  const std::size_t slash = std::min(text.find('/'), text.size());
  url.base = text.substr(slash);
  while (url.base.ends_with('/')) { url.base.pop_back(); }
  text = text.substr(0, slash);
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) { return wrong(example); }
    url.host = text.substr(1, end - 1);
    port = text.substr(end + 1);
  } else {
    const std::size_t colon = std::min(text.find(':'), text.size());
    url.host = text.substr(0, colon);
    port = text.substr(colon);
  }
  if (!port.empty()) {
    unsigned value = 0;
    const auto [end, code] = std::from_chars(port.data() + 1, port.data() + port.size(), value);
    if (port.front() != ':' || code != std::errc{} || end != port.data() + port.size() || value == 0 || value > 65'535) {
      return wrong(example);
    }
    url.port = static_cast<std::uint16_t>(value);
  }
  // What goes into a request's head must not be able to break out of it.
  const auto harmless = [](char c) { return c > ' ' && c < 0x7F; };
  if (url.host.empty() || url.host.size() > 255 || !std::ranges::all_of(url.host, harmless) || !std::ranges::all_of(url.base, harmless) ||
      url.host.find_first_of("@?#") != std::string::npos) {
    return wrong(example);
  }
  return url;
}

std::optional<AnswerHead> parse_head(std::string_view text) {
  // "HTTP/1.1 200 OK"
  if (text.size() < 12 || !text.starts_with("HTTP/1.") || text[8] != ' ') { return std::nullopt; }
  AnswerHead head;
  const auto [end, code] = std::from_chars(text.data() + 9, text.data() + 12, head.status);
  if (code != std::errc{} || end != text.data() + 12 || head.status < 100) { return std::nullopt; }
  bool chunked = false;
  bool other_coding = false;
  std::optional<std::uint64_t> length;
  text = text.substr(std::min(text.size(), text.find("\r\n")));
  while (text.size() > 2) {
    text.remove_prefix(2);
    const std::string_view line = text.substr(0, text.find("\r\n"));
    text.remove_prefix(line.size());
    if (line.empty()) { break; }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) { return std::nullopt; }
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trim(line.substr(colon + 1));
    if (same_text(name, "transfer-encoding")) {
      (same_text(value, "chunked") ? chunked : other_coding) = true;
    } else if (same_text(name, "content-length")) {
      std::uint64_t n = 0;
      const auto [stop, bad] = std::from_chars(value.data(), value.data() + value.size(), n);
      if (bad != std::errc{} || stop != value.data() + value.size() || (length && *length != n)) { return std::nullopt; }
      length = n;
    }
  }
  if (other_coding) { return std::nullopt; }
  head.has_body = head.status >= 200 && head.status != 204 && head.status != 304;
  if (chunked) {
    head.framing = BodyReader::Framing::chunked;
  } else if (length) {
    head.framing = BodyReader::Framing::length;
    head.length = *length;
  }
  return head;
}

bool BodyReader::complete() const {
  return framing_ == Framing::chunked ? expect_ == Expect::nothing : framing_ == Framing::length && left_ == 0;
}

bool BodyReader::take_line(std::string_view line) {
  switch (expect_) {
    case Expect::size: {
      const std::string_view digits = trim(line.substr(0, line.find(';')));
      const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), left_, 16);
      if (code != std::errc{} || end != digits.data() + digits.size()) { return false; }
      expect_ = left_ == 0 ? Expect::trailer : Expect::data;
      return true;
    }
    case Expect::data_end: expect_ = Expect::size; return line.empty();
    case Expect::trailer: expect_ = line.empty() ? Expect::nothing : Expect::trailer; return true;
    case Expect::data:
    case Expect::nothing: break;
  }
  ensure(false);
  return false;
}

bool BodyReader::feed(std::string_view bytes, std::string& out) {
  if (framing_ == Framing::until_close) {
    out.append(bytes);
    return true;
  }
  if (framing_ == Framing::length) {
    const std::size_t take = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
    out.append(bytes.substr(0, take));
    left_ -= take;
    return true;  // what follows the body is not ours
  }
  while (!bytes.empty() && expect_ != Expect::nothing) {
    if (expect_ == Expect::data) {
      const std::size_t take = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
      out.append(bytes.substr(0, take));
      bytes.remove_prefix(take);
      left_ -= take;
      expect_ = left_ == 0 ? Expect::data_end : Expect::data;
      continue;
    }
    const std::size_t end = bytes.find('\n');
    line_.append(bytes.substr(0, end));
    if (line_.size() > kLineMax) { return false; }
    if (end == std::string_view::npos) { return true; }
    bytes.remove_prefix(end + 1);
    if (line_.ends_with('\r')) { line_.pop_back(); }
    const std::string line = std::exchange(line_, {});
    if (!take_line(line)) { return false; }
  }
  return true;
}

}  // namespace centrale::cli
