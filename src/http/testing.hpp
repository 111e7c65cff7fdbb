// SPDX-License-Identifier: Apache-2.0
// For tests only: an io_context on a thread of its own, and a client that sends exactly the bytes it is told to.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <future>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace centrale::http::testing {

/// The rim thread of a test. What touches a Server, a Client or a Gateway goes through on().
class Rim {
 public:
  Rim() : guard_(boost::asio::make_work_guard(context)), thread_([this] { context.run(); }) {}
  ~Rim() { stop(); }
  Rim(const Rim&) = delete;
  Rim& operator=(const Rim&) = delete;

  /// Runs `work` on the rim thread and returns what it returns.
  template <class Work>
  auto on(Work work) {
    std::packaged_task<decltype(work())()> task{std::move(work)};
    auto result = task.get_future();
    boost::asio::post(context, [&task] { task(); });
    return result.get();
  }
  void stop() {
    guard_.reset();
    context.stop();
    if (thread_.joinable()) { thread_.join(); }
  }

  boost::asio::io_context context;

 private:
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::thread thread_;
};

/// Waits until `condition` holds; false after `limit`, which is long: a loaded machine is no failure.
template <class Condition>
bool eventually(Condition condition, std::chrono::milliseconds limit = std::chrono::seconds{20}) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) { return true; }
    std::this_thread::sleep_for(std::chrono::milliseconds{2});
  }
  return condition();
}

struct Answer {
  int status = 0;  // 0: none came
  std::string head, body;

  [[nodiscard]] bool has(std::string_view header_line) const { return head.find(header_line) != std::string::npos; }
};

class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer = 0) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0) { ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer); }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) { return false; }
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  /// Reads what is there, or waits for it; false at the end, on an error or after `limit`.
  bool receive(std::chrono::milliseconds limit = std::chrono::seconds{20}) {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(limit.count())) <= 0) { return false; }
    std::array<char, 65536> buffer{};
    const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (n <= 0) {
      ended_ = true;
      return false;
    }
    received.append(buffer.data(), static_cast<std::size_t>(n));
    return true;
  }
  bool receive_until(std::string_view text, std::chrono::milliseconds limit = std::chrono::seconds{20}) {
    while (received.find(text) == std::string::npos) {
      if (!receive(limit)) { return false; }
    }
    return true;
  }
  std::string receive_all(std::chrono::milliseconds limit = std::chrono::seconds{20}) {
    while (receive(limit)) {}
    return std::exchange(received, {});
  }
  /// Whether the server closed the connection, within `limit`.
  bool ended(std::chrono::milliseconds limit = std::chrono::seconds{20}) {
    while (!ended_ && receive(limit)) {}
    return ended_;
  }
  /// The next answer, its chunks put together; the rest stays in `received`.
  Answer answer(bool to_head = false) {
    Answer out;
    if (!receive_until("\r\n\r\n")) { return out; }
    const std::size_t end = received.find("\r\n\r\n") + 4;
    out.head = received.substr(0, end);
    received.erase(0, end);
    std::from_chars(out.head.data() + 9, out.head.data() + 12, out.status);
    if (to_head) { return out; }
    if (out.has("Transfer-Encoding: chunked")) {
      read_chunks(out.body);
    } else if (const auto at = out.head.find("Content-Length: "); at != std::string::npos) {
      std::size_t length = 0;
      std::from_chars(out.head.data() + at + 16, out.head.data() + out.head.size(), length);
      while (received.size() < length && receive()) {}
      out.body = received.substr(0, length);
      received.erase(0, length);
    }
    return out;
  }
  Answer ask(std::string_view request) {
    send(request);
    return answer();
  }
  void shutdown_send() const { ::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) { ::close(std::exchange(fd_, -1)); }
  }

  std::string received;

 private:
  void read_chunks(std::string& body) {
    while (true) {
      while (received.find("\r\n") == std::string::npos) {
        if (!receive()) { return; }
      }
      std::size_t size = 0;
      std::from_chars(received.data(), received.data() + received.size(), size, 16);
      const std::size_t at = received.find("\r\n") + 2;
      while (received.size() < at + size + 2) {
        if (!receive()) { return; }
      }
      body += received.substr(at, size);
      received.erase(0, at + size + 2);
      if (size == 0) { return; }
    }
  }

  int fd_;
  bool connected_ = false;
  bool ended_ = false;
};

}  // namespace centrale::http::testing
