// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <optional>

#include "http/server.hpp"
#include "http/testing.hpp"

namespace centrale::http {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using testing::Rim;

/// An upstream that answers each connection with bytes that the test chose, as no server of ours would.
class RawServer {
 public:
  RawServer() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    ::listen(fd_, 8);
    socklen_t length = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    port = ntohs(address.sin_port);
  }
  ~RawServer() {
    hang_up();
    ::close(fd_);
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  void accept() { connection_ = ::accept(fd_, nullptr, nullptr); }
  /// Reads up to the end of a request's head.
  std::string request() const {
    std::string text;
    std::array<char, 4096> buffer{};
    while (text.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = ::recv(connection_, buffer.data(), buffer.size(), 0);
      if (n <= 0) { break; }
      text.append(buffer.data(), static_cast<std::size_t>(n));
    }
    return text;
  }
  void send(std::string_view text) const {
    EXPECT_EQ(::send(connection_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  /// Whether the client has closed its side, within `limit`.
  [[nodiscard]] bool client_left(std::chrono::milliseconds limit) const {
    pollfd waiting{connection_, POLLIN, 0};
    char byte = 0;
    return ::poll(&waiting, 1, static_cast<int>(limit.count())) == 1 && ::recv(connection_, &byte, 1, 0) <= 0;
  }
  void hang_up() {
    if (connection_ >= 0) { ::close(std::exchange(connection_, -1)); }
  }
  std::uint16_t port = 0;

 private:
  int fd_;
  int connection_ = -1;
};

class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    rim.on([&] {
      client = std::make_unique<Client>(rim.context);
      server = std::make_unique<Server>(rim.context);
      server->route("/echo", [](const Request& request, const std::shared_ptr<Reply>& reply) {
        reply->send(200, "text/plain", request.method + " " + request.body, {{"X-Remote", request.remote}});
      });
      server->route("/endless", [this](const Request&, const std::shared_ptr<Reply>& reply) {
        reply->on_close([this] { ++gone; });
        reply->begin(200, "text/plain");
        endless(reply);
      });
      port = server->listen("127.0.0.1", 0).value();
    });
  }
  void TearDown() override {
    rim.on([&] {
      call.reset();
      client.reset();
      server.reset();
    });
  }
  void endless(const std::shared_ptr<Reply>& reply) {
    reply->write(std::string(100'000, 'x'), [this, reply](bool ok) {
      if (ok) {
        ++produced;
        endless(reply);
      }
    });
  }
  std::future<Result<Response>> fetch_later(std::uint16_t to, std::string method = "GET", std::string target = "/echo",
                                            std::string body = {}, std::chrono::milliseconds timeout = 60s,
                                            std::size_t bytes_max = 1'000'000) {
    auto promise = std::make_shared<std::promise<Result<Response>>>();
    auto future = promise->get_future();
    rim.on([&] {
      client->fetch("127.0.0.1", to, std::move(method), std::move(target), {}, std::move(body), timeout, bytes_max,
                    [promise](Result<Response> result) { promise->set_value(std::move(result)); });
    });
    return future;
  }
  Result<Response> fetch(std::uint16_t to, std::string method = "GET", std::string target = "/echo", std::string body = {}) {
    return fetch_later(to, std::move(method), std::move(target), std::move(body)).get();
  }
  static std::string header(const Response& response, std::string_view name) {
    for (const auto& [key, value] : response.headers) {
      if (key == name) { return value; }
    }
    return {};
  }

  Rim rim;
  std::unique_ptr<Server> server;
  std::unique_ptr<Client> client;
  std::unique_ptr<Call> call;
  std::uint16_t port = 0;
  std::atomic<int> produced = 0;
  std::atomic<int> gone = 0;
};

TEST_F(ClientTest, FetchesAndReusesTheConnection) {
  const auto first = fetch(port, "POST", "/echo", "hello");
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->status, 200);
  EXPECT_EQ(first->body, "POST hello");
  const auto second = fetch(port, "POST", "/echo", std::string(500'000, 'y'));
  ASSERT_TRUE(second);
  EXPECT_EQ(second->body.size(), 500'005U);
  EXPECT_EQ(header(*first, "x-remote"), header(*second, "x-remote"));
}

TEST_F(ClientTest, ManyAtOnce) {
  std::vector<std::future<Result<Response>>> answers;
  for (int i = 0; i < 100; ++i) { answers.push_back(fetch_later(port, "POST", "/echo", std::to_string(i))); }
  for (int i = 0; i < 100; ++i) { EXPECT_EQ(answers[static_cast<std::size_t>(i)].get()->body, "POST " + std::to_string(i)); }
}

TEST_F(ClientTest, APooledConnectionThatTheServerClosedIsNotUsed) {
  rim.on([&] {
    server = std::make_unique<Server>(rim.context, Limits{.idle_max = 1s});
    server->route("/echo", [](const Request& request, const std::shared_ptr<Reply>& reply) {
      reply->send(200, "text/plain", "", {{"X-Remote", request.remote}});
    });
    port = server->listen("127.0.0.1", 0).value();
  });
  const auto first = fetch(port);
  ASSERT_TRUE(eventually([&] { return rim.on([&] { return server->connections(); }) == 0; }));
  const auto second = fetch(port);
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_NE(header(*first, "x-remote"), header(*second, "x-remote"));
}

TEST_F(ClientTest, AStaleConnectionIsReplacedOnceAndOnlyBeforeAnAnswer) {
  RawServer upstream;
  auto first = fetch_later(upstream.port);
  upstream.accept();
  upstream.request();
  upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
  EXPECT_EQ(first.get()->body, "one");
  // The server closes the kept connection just as the next request comes: it is sent again on a new one.
  auto second = fetch_later(upstream.port);
  EXPECT_TRUE(upstream.request().starts_with("GET /echo HTTP/1.1\r\n"));
  upstream.hang_up();
  upstream.accept();
  EXPECT_TRUE(upstream.request().starts_with("GET /echo HTTP/1.1\r\n"));
  upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
  EXPECT_EQ(second.get()->body, "two");
  // Once an answer has begun, nothing is sent again.
  auto third = fetch_later(upstream.port);
  upstream.request();
  upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nthr");
  upstream.hang_up();
  const auto broken = third.get();
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().kind, ErrorKind::io);
  // Nor on a connection that was new: the server may have acted on the request.
  auto fourth = fetch_later(upstream.port);
  upstream.accept();
  upstream.request();
  upstream.hang_up();
  EXPECT_EQ(fourth.get().error().kind, ErrorKind::io);
}

TEST_F(ClientTest, BodiesOfEveryKind) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nX: y\r\n\r\n", "hello"},
      {"HTTP/1.1 200 OK\r\n\r\nhello", "hello"},
      {"HTTP/1.0 200 OK\r\n\r\n", ""},
      {"HTTP/1.1 204 No Content\r\n\r\n", ""},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
  };
  for (const auto& [answer, body] : cases) {
    for (const std::size_t step : {answer.size(), std::size_t{1}}) {
      RawServer upstream;
      auto result = fetch_later(upstream.port);
      upstream.accept();
      upstream.request();
      for (std::size_t at = 0; at < answer.size(); at += step) {
        upstream.send(std::string_view{answer}.substr(at, step));
        if (step == 1) {
          std::this_thread::sleep_for(200us);  // so that the pieces arrive as pieces
        }
      }
      upstream.hang_up();
      const auto response = result.get();
      ASSERT_TRUE(response) << answer << response.error().message();
      EXPECT_EQ(response->body, body) << answer;
    }
  }
}

TEST_F(ClientTest, WhatIsNotHttpIsAnError) {
  for (const std::string answer : {"SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ""}) {
    RawServer upstream;
    auto result = fetch_later(upstream.port);
    upstream.accept();
    upstream.request();
    upstream.send(answer);
    upstream.hang_up();
    const auto response = result.get();
    ASSERT_FALSE(response) << answer;
    EXPECT_EQ(response.error().kind, ErrorKind::io) << answer;
  }
}

TEST_F(ClientTest, ErrorsSayWhatHappened) {
  std::uint16_t closed = 0;
  {
    const RawServer gone_server;
    closed = gone_server.port;
  }
  const auto refused = fetch(closed);
  EXPECT_EQ(refused.error().kind, ErrorKind::unavailable);
  EXPECT_EQ(refused.error().where, "127.0.0.1:" + std::to_string(closed));

  RawServer silent;
  EXPECT_EQ(fetch_later(silent.port, "GET", "/", {}, 100ms).get().error().kind, ErrorKind::exhausted);
  EXPECT_EQ(fetch_later(port, "POST", "/echo", std::string(1000, 'x'), 60s, 100).get().error().kind, ErrorKind::io);
}

TEST_F(ClientTest, NothingIsReadBeforeItIsAskedForAndCancelClosesAtOnce) {
  std::atomic<bool> head = false;
  std::atomic<std::size_t> bytes = 0;
  rim.on([&] {
    call = client->stream("127.0.0.1", port, "GET", "/endless", {}, {}, 60s,
                          {.on_head = [&](int, const Headers&) { head = true; },
                           .on_body = [&](std::string_view part) { bytes += part.size(); },
                           .on_end = {},
                           .on_error = {}});
  });
  ASSERT_TRUE(eventually([&] { return head.load(); }));
  // The upstream fills the kernel's buffers, then waits for us.
  int before = -1;
  ASSERT_TRUE(eventually([&] {
    std::this_thread::sleep_for(100ms);
    return std::exchange(before, produced.load()) == produced;
  }));
  EXPECT_EQ(bytes, 0U);
  rim.on([&] { call->read_more(); });
  ASSERT_TRUE(eventually([&] { return bytes > 0; }));
  std::this_thread::sleep_for(50ms);
  EXPECT_LE(bytes, 64U * 1024);  // one part for one question
  rim.on([&] { call->cancel(); });
  EXPECT_TRUE(eventually([&] { return gone == 1; }));
}

TEST_F(ClientTest, DestroyingTheHandleInsideAnEventIsAllowed) {
  for (int stage = 0; stage < 2; ++stage) {
    std::atomic<int> events = 0;
    rim.on([&] {
      call = client->stream("127.0.0.1", port, "GET", "/endless", {}, {}, 60s,
                            {.on_head =
                                 [&, stage](int, const Headers&) {
                                   ++events;
                                   if (stage == 0) {
                                     call.reset();
                                   } else {
                                     call->read_more();
                                   }
                                 },
                             .on_body =
                                 [&](std::string_view) {
                                   ++events;
                                   call.reset();
                                 },
                             .on_end = {},
                             .on_error = [&](const Error&, bool) { events += 100; }});
    });
    ASSERT_TRUE(eventually([&] { return gone == stage + 1; }));
    EXPECT_EQ(events, stage + 1);
  }
}

TEST_F(ClientTest, ASilentUpstreamIsGivenUp) {
  RawServer upstream;
  std::promise<std::pair<Error, bool>> failure;
  rim.on([&] {
    call = client->stream("127.0.0.1", upstream.port, "GET", "/", {}, {}, 10s,
                          {.on_head =
                               [&](int, const Headers&) {
                                 call->set_idle(100ms);
                                 call->read_more();
                               },
                           .on_body = [&](std::string_view) { call->read_more(); },
                           .on_end = {},
                           .on_error =
                               [&](Error error, bool head_seen) {
                                 failure.set_value({std::move(error), head_seen});
                               }});
  });
  upstream.accept();
  upstream.request();
  upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc");
  const auto [error, head_seen] = failure.get_future().get();
  EXPECT_EQ(error.kind, ErrorKind::exhausted);
  EXPECT_TRUE(head_seen);
  EXPECT_TRUE(upstream.client_left(10s));
}

TEST_F(ClientTest, TheClientsEndIsTheEndOfItsCalls) {
  RawServer upstream;
  auto result = fetch_later(upstream.port, "GET", "/", {}, 60s);
  upstream.accept();
  rim.on([&] { client.reset(); });
  upstream.request();
  EXPECT_TRUE(upstream.client_left(10s));
  EXPECT_EQ(result.wait_for(10s), std::future_status::ready);  // the promise was dropped, the callback not called
  EXPECT_THROW(result.get(), std::future_error);
}

}  // namespace
}  // namespace centrale::http
