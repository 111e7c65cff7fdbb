// SPDX-License-Identifier: Apache-2.0
// For tests only: the gateway between real sockets, engines that behave as told, a backend that keeps the account honest.
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "gateway/gateway.hpp"
#include "http/testing.hpp"

namespace centrale::gateway::testing {

using namespace std::chrono_literals;
using http::Reply;
using http::Request;
using http::testing::eventually;
using http::testing::RawClient;
using http::testing::Rim;

/// Grants, and checks that each reservation is settled once, with the tokens that were reserved.
struct FakeBackend final : Backend {
  Result<Principal> authenticate(std::string_view bearer, std::string_view) override {
    if (bearer == "good") { return Principal{TenantId{1}, KeyId{1}, "lab"}; }
    return fail(ErrorKind::unauthorized, "the API key is not known");
  }
  std::vector<Model> models(const Principal&) override { return {{"small", 1700000000, true}, {"org/large", 1700000001, false}}; }
  Result<std::vector<Endpoint>> replicas(const Principal&, std::string_view model) override {
    if (model == "org/large") { return fail(ErrorKind::unavailable, "no replica of 'org/large' is ready"); }
    if (model != "small") {
      return fail(ErrorKind::not_found, "the model '" + std::string{model} + "' does not exist", "", "nearest: small");
    }
    return endpoints;
  }
  Result<void> reserve(const Principal&, std::int64_t tokens) override {
    if (tokens > quota) { return fail(ErrorKind::exhausted, "the quota of tenant lab is spent"); }
    ++open[tokens];
    ++reserved;
    return {};
  }
  void settle(const Usage& usage, std::int64_t reserved_tokens) override {
    const auto found = open.find(reserved_tokens);
    ASSERT_TRUE(found != open.end() && found->second > 0) << "settled without a reservation";
    --found->second;
    settled.push_back(usage);
  }

  std::vector<Endpoint> endpoints;
  std::int64_t quota = 1'000'000;
  std::map<std::int64_t, int> open;
  int reserved = 0;
  std::vector<Usage> settled;
};

inline std::string event(std::string_view text) {
  return "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" +
         std::string{text} + "\"}}]}\n\n";
}
inline const std::string kUsageEvent =
    "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3,\"total_tokens\":14}}\n\n";
inline const std::string kDone = "data: [DONE]\n\n";

/// An engine whose behaviour is one function.
struct Engine {
  explicit Engine(Rim& r) : rim(r) {
    rim.on([this] {
      server = std::make_unique<http::Server>(rim.context);
      server->route("/v1/", [this](Request request, std::shared_ptr<Reply> reply) {
        ++requests;
        last = request;
        reply->on_close([this] { ++left; });
        behave(request, std::move(reply));
      });
      port = server->listen("127.0.0.1", 0).value();
    });
  }
  ~Engine() {
    rim.on([this] {
      behave = nullptr;
      held.clear();
      server.reset();
    });
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// The request that came last.
  Request seen() {
    return rim.on([this] { return last; });
  }

  Rim& rim;
  std::unique_ptr<http::Server> server;
  std::uint16_t port = 0;
  std::function<void(const Request&, std::shared_ptr<Reply>)> behave;
  std::atomic<int> requests = 0;
  std::atomic<int> left = 0;
  Request last;
  std::vector<std::shared_ptr<Reply>> held;
};

/// Streams the parts one after the other, then ends; or, with `breaks`, drops the connection.
inline void stream_parts(const std::shared_ptr<Reply>& reply, std::vector<std::string> parts, bool breaks = false, std::size_t at = 0) {
  if (at == parts.size()) {
    if (!breaks) { reply->end(); }
    return;
  }
  std::string part = parts[at];
  reply->write(std::move(part), [reply, parts = std::move(parts), breaks, at](bool ok) {
    if (ok) { stream_parts(reply, parts, breaks, at + 1); }
  });
}

inline auto streams(std::vector<std::string> parts, bool breaks = false) {
  return [parts, breaks](const Request&, const std::shared_ptr<Reply>& reply) {
    reply->begin(200, "text/event-stream");
    stream_parts(reply, parts, breaks);
  };
}
inline auto says(int status, std::string body) {
  return [status, body](const Request&, const std::shared_ptr<Reply>& reply) { reply->send(status, "application/json", body); };
}

class GatewayTest : public ::testing::Test {
 protected:
  void SetUp() override { start({}); }
  void start(Settings settings) {
    rim.on([&] {
      gateway.reset();
      client = std::make_unique<http::Client>(rim.context);
      gateway = std::make_unique<Gateway>(*client, backend, settings);
      server = std::make_unique<http::Server>(rim.context);
      server->route("/v1/",
                    [this](Request request, std::shared_ptr<Reply> reply) { gateway->handle(std::move(request), std::move(reply)); });
      port = server->listen("127.0.0.1", 0).value();
      backend.endpoints = {{TaskId{1}, "127.0.0.1", engine.port, "small"}};
    });
  }
  void TearDown() override {
    EXPECT_TRUE(eventually([&] { return rim.on([&] { return gateway->counters().in_flight; }) == 0; }));
    rim.on([&] {
      EXPECT_EQ(backend.settled.size(), static_cast<std::size_t>(backend.reserved));
      gateway.reset();
      client.reset();
      server.reset();
    });
  }
  static std::string post(std::string_view body, std::string_view path = "/v1/chat/completions", std::string_view key = "good") {
    return "POST " + std::string{path} + " HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + std::string{key} +
           "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string{body};
  }
  static std::string get(std::string_view path) {
    return "GET " + std::string{path} + " HTTP/1.1\r\nHost: h\r\nAuthorization: bearer good\r\n\r\n";
  }
  http::testing::Answer ask(std::string_view request) {
    RawClient raw{port};
    return raw.ask(request);
  }
  void engine_does(Engine& which, std::function<void(const Request&, std::shared_ptr<Reply>)> what) {
    rim.on([&] { which.behave = std::move(what); });
  }
  Usage settled() {
    EXPECT_TRUE(eventually([&] { return rim.on([&] { return !backend.settled.empty(); }); }));
    return rim.on([&] { return backend.settled.empty() ? Usage{} : backend.settled.back(); });
  }
  Counters counters() {
    return rim.on([&] { return gateway->counters(); });
  }

  Rim rim;
  FakeBackend backend;
  Engine engine{rim};
  std::unique_ptr<http::Client> client;
  std::unique_ptr<Gateway> gateway;
  std::unique_ptr<http::Server> server;
  std::uint16_t port = 0;
};

inline const std::string kAnswer =
    R"({"id":"x", "choices":[ {"message":{"content":"hi é"}}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9},"z":1.0})";
inline const std::string kChat = R"({"model":"small","messages":[{"role":"user","content":"hello"}]})";
inline const std::string kChatStream = R"({"model":"small","stream":true,"messages":[{"role":"user","content":"hello"}]})";

}  // namespace centrale::gateway::testing
