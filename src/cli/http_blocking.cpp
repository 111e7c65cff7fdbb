// SPDX-License-Identifier: Apache-2.0
#include "cli/http_blocking.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace centrale::cli {
namespace {

using Clock = std::chrono::steady_clock;

/// An open socket, closed when it goes.
class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (fd_ >= 0) { ::close(fd_); }
  }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

enum class Ready : unsigned char { yes, timeout, woken };

/// Waits until the socket is ready, the deadline has passed or `wake_fd` is readable.
Ready wait_for(int fd, short events, Clock::time_point deadline, int wake_fd = -1) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    std::array<pollfd, 2> polled{pollfd{fd, events, 0}, pollfd{wake_fd, POLLIN, 0}};
    const int n = ::poll(polled.data(), polled.size(), static_cast<int>(std::clamp<std::int64_t>(left + 1, 0, 1'000'000)));
    if (n < 0 && errno == EINTR) {
      continue;  // a signal that matters makes wake_fd readable
    }
    if (polled[1].revents != 0) { return Ready::woken; }
    if (polled[0].revents != 0) { return Ready::yes; }
    if (Clock::now() >= deadline) { return Ready::timeout; }
  }
}

std::unexpected<Error> unreachable(const Url& url, std::string_view why) {
  return fail(ErrorKind::unavailable, "no centre answers at " + url.text() + " (" + std::string(why) + ")", {},
              url.is_loopback() ? "start one with: centrale up" : "is it up, and is the address right? --centre or CENTRALE_URL");
}

std::unexpected<Error> not_http(const Url& url) {
  return fail(ErrorKind::unavailable, "what answers at " + url.text() + " does not speak HTTP", {},
              "is another program on that port? Say where the centre is: --centre or CENTRALE_URL");
}

Result<Socket> connect_to(const Url& url, std::chrono::milliseconds time_max) {
  const auto deadline = Clock::now() + time_max;
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(url.host.c_str(), std::to_string(url.port).c_str(), &hints, &found); code != 0) {
    return unreachable(url, ::gai_strerror(code));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  int last_error = EHOSTUNREACH;
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    Socket socket(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket.fd() < 0) {
      last_error = errno;
      continue;
    }
    if (::connect(socket.fd(), a->ai_addr, a->ai_addrlen) != 0) {
      if (errno != EINPROGRESS) {
        last_error = errno;
        continue;
      }
      if (wait_for(socket.fd(), POLLOUT, deadline) != Ready::yes) {
        last_error = ETIMEDOUT;
        continue;
      }
      int error = 0;
      socklen_t size = sizeof(error);
      ::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) {
        last_error = error;
        continue;
      }
    }
    const int on = 1;
    ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return socket;
  }
  return unreachable(url, std::strerror(last_error));
}

/// False when the other side is gone or slow; it may still have answered ("413", then closed).
bool send_all(int fd, std::string_view bytes, Clock::time_point deadline) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (wait_for(fd, POLLOUT, deadline) != Ready::yes) { return false; }
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

enum class Got : unsigned char { bytes, closed, timeout, woken };

Got receive(int fd, std::string& into, Clock::time_point deadline, int wake_fd) {
  switch (wait_for(fd, POLLIN, deadline, wake_fd)) {
    case Ready::timeout: return Got::timeout;
    case Ready::woken: return Got::woken;
    case Ready::yes: break;
  }
  std::array<char, 64 * 1024> buffer;  // NOLINT: filled by recv
  const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
  if (n > 0) {
    into.assign(buffer.data(), static_cast<std::size_t>(n));
    return Got::bytes;
  }
  into.clear();
  return n < 0 && (errno == EAGAIN || errno == EINTR) ? Got::timeout : Got::closed;
}

/// A connection whose request is sent and whose answer's head has come.
struct Opened {
  Socket socket;
  AnswerHead head;
  std::string rest;  // what came of the body with the head
};

Result<Opened> open(const Url& url, const std::string& request, const HttpLimits& limits, Clock::time_point deadline) {
  TRY_ASSIGN(Socket socket, connect_to(url, limits.connect_max));
  const bool sent = send_all(socket.fd(), request, deadline);
  std::string head;
  std::string bytes;
  while (true) {
    const Got got = receive(socket.fd(), bytes, deadline, -1);
    if (got == Got::timeout && Clock::now() < deadline) { continue; }
    if (got == Got::timeout) { return unreachable(url, "it took the connection and then said nothing"); }
    if (got == Got::closed) {
      return head.empty() ? unreachable(url, sent ? "it closed the connection" : "it did not take the request") : not_http(url);
    }
    const std::size_t looked = head.size() < 3 ? 0 : head.size() - 3;
    head += bytes;
    if (head.size() >= 5 && !head.starts_with("HTTP/")) { return not_http(url); }
    std::size_t end = head.find("\r\n\r\n", looked);
    if (end == std::string::npos) {
      if (head.size() > limits.head_bytes_max) { return not_http(url); }
      continue;
    }
    end += 4;
    std::optional<AnswerHead> parsed = parse_head(std::string_view(head).substr(0, end));
    if (!parsed) { return not_http(url); }
    if (parsed->status < 200) {  // "100 Continue": the answer is yet to come
      bytes = head.substr(end);
      head.clear();
      head = bytes;
      if (head.find("\r\n\r\n") == std::string::npos) { continue; }
      end = head.find("\r\n\r\n") + 4;
      parsed = parse_head(std::string_view(head).substr(0, end));
      if (!parsed || parsed->status < 200) { return not_http(url); }
    }
    return Opened{std::move(socket), *parsed, head.substr(end)};
  }
}

class HttpStream : public Stream {
 public:
  explicit HttpStream(Opened opened) : opened_(std::move(opened)), body_(opened_.head.framing, opened_.head.length) {
    if (opened_.head.has_body) {
      take(opened_.rest);
    } else {
      ended_ = true;
    }
  }
  int status() const override { return opened_.head.status; }
  Part next(std::chrono::milliseconds wait_max, int wake_fd) override {
    const auto deadline = Clock::now() + wait_max;
    while (waiting_.empty()) {
      if (ended_ || body_.complete()) { return {Part::Kind::end, {}}; }
      std::string bytes;
      switch (receive(opened_.socket.fd(), bytes, deadline, wake_fd)) {
        case Got::bytes: take(bytes); break;
        case Got::closed: ended_ = true; break;
        case Got::woken: return {Part::Kind::quiet, {}};
        case Got::timeout:
          if (Clock::now() >= deadline) { return {Part::Kind::quiet, {}}; }
      }
    }
    return {Part::Kind::bytes, std::exchange(waiting_, {})};
  }

 private:
  void take(std::string_view bytes) { ended_ = !body_.feed(bytes, waiting_) || ended_; }
  Opened opened_;
  BodyReader body_;
  std::string waiting_;
  bool ended_ = false;
};

}  // namespace

HttpApi::HttpApi(Url url, std::string key, HttpLimits limits)
    : url_(std::move(url)), text_(url_.text()), key_(std::move(key)), limits_(limits) {}

std::string HttpApi::request(std::string_view method, std::string_view target, std::string_view body) const {
  const bool v6 = url_.host.find(':') != std::string::npos;
  std::string text;
  text.reserve(512 + body.size());
  text.append(method).append(" ").append(url_.base).append(target).append(" HTTP/1.1\r\nHost: ");
  text += (v6 ? "[" + url_.host + "]" : url_.host) + ":" + std::to_string(url_.port);
  text += "\r\nUser-Agent: centrale\r\nAccept: application/json, text/event-stream\r\nConnection: close\r\n";
  if (!key_.empty()) { text += "Authorization: Bearer " + key_ + "\r\n"; }
  if (!body.empty() || method == "POST" || method == "PUT") {
    text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  }
  text += "\r\n";
  text += body;
  return text;
}

Result<Answer> HttpApi::call(std::string_view method, std::string_view target, std::string_view body) {
  const auto deadline = Clock::now() + limits_.answer_max;
  TRY_ASSIGN(Opened opened, open(url_, request(method, target, body), limits_, deadline));
  Answer answer;
  answer.status = opened.head.status;
  if (!opened.head.has_body) { return answer; }
  BodyReader reader(opened.head.framing, opened.head.length);
  std::string bytes = std::move(opened.rest);
  while (true) {
    if (!reader.feed(bytes, answer.body)) { return not_http(url_); }
    if (answer.body.size() > limits_.body_bytes_max) {
      return fail(ErrorKind::unavailable,
                  "the answer of " + text_ + " is larger than " + std::to_string(limits_.body_bytes_max >> 20U) + " MiB", {},
                  "ask for less: --limit");
    }
    if (reader.complete()) { return answer; }
    const Got got = receive(opened.socket.fd(), bytes, deadline, -1);
    if (got == Got::closed) {
      if (opened.head.framing == BodyReader::Framing::until_close) { return answer; }
      return unreachable(url_, "it closed the connection in the middle of its answer");
    }
    if (got == Got::timeout && Clock::now() >= deadline) { return unreachable(url_, "it stopped in the middle of its answer"); }
    if (got != Got::bytes) { bytes.clear(); }
  }
}

Result<std::unique_ptr<Stream>> HttpApi::stream(std::string_view method, std::string_view target, std::string_view body) {
  TRY_ASSIGN(Opened opened, open(url_, request(method, target, body), limits_, Clock::now() + limits_.answer_max));
  return std::make_unique<HttpStream>(std::move(opened));
}

}  // namespace centrale::cli
