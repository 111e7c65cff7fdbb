// SPDX-License-Identifier: Apache-2.0
// The gateway between real sockets: engines that behave and misbehave, a backend that keeps the account honest.
#include "gateway/gateway.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>

#include "gateway/flight.hpp"
#include "http/testing.hpp"

namespace centrale::gateway {
namespace {

using namespace std::chrono_literals;
using http::Reply;
using http::Request;
using http::testing::eventually;
using http::testing::RawClient;
using http::testing::Rim;

/// Grants, and checks that each reservation is settled once, with the tokens that were reserved.
struct FakeBackend final : Backend {
  Result<Principal> authenticate(std::string_view bearer, std::string_view) override {
    if (bearer == "good") {
      return Principal{TenantId{1}, KeyId{1}, "lab"};
    }
    return fail(ErrorKind::unauthorized, "the API key is not known");
  }
  std::vector<Model> models(const Principal&) override { return {{"small", 1700000000, true}, {"org/large", 1700000001, false}}; }
  Result<std::vector<Endpoint>> replicas(const Principal&, std::string_view model) override {
    if (model == "org/large") {
      return fail(ErrorKind::unavailable, "no replica of 'org/large' is ready");
    }
    if (model != "small") {
      return fail(ErrorKind::not_found, "the model '" + std::string{model} + "' does not exist", "", "nearest: small");
    }
    return endpoints;
  }
  Result<void> reserve(const Principal&, std::int64_t tokens) override {
    if (tokens > quota) {
      return fail(ErrorKind::exhausted, "the quota of tenant lab is spent");
    }
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

std::string event(std::string_view text) {
  return "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + std::string{text} + "\"}}]}\n\n";
}
const std::string kUsageEvent = "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3,\"total_tokens\":14}}\n\n";
const std::string kDone = "data: [DONE]\n\n";

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
void stream_parts(const std::shared_ptr<Reply>& reply, std::vector<std::string> parts, bool breaks = false, std::size_t at = 0) {
  if (at == parts.size()) {
    if (!breaks) {
      reply->end();
    }
    return;
  }
  std::string part = parts[at];
  reply->write(std::move(part), [reply, parts = std::move(parts), breaks, at](bool ok) {
    if (ok) {
      stream_parts(reply, parts, breaks, at + 1);
    }
  });
}

auto streams(std::vector<std::string> parts, bool breaks = false) {
  return [parts, breaks](const Request&, const std::shared_ptr<Reply>& reply) {
    reply->begin(200, "text/event-stream");
    stream_parts(reply, parts, breaks);
  };
}
auto says(int status, std::string body) {
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
      server->route("/v1/", [this](Request request, std::shared_ptr<Reply> reply) { gateway->handle(std::move(request), std::move(reply)); });
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

const std::string kAnswer = R"({"id":"x", "choices":[ {"message":{"content":"hi é"}}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9},"z":1.0})";
const std::string kChat = R"({"model":"small","messages":[{"role":"user","content":"hello"}]})";
const std::string kChatStream = R"({"model":"small","stream":true,"messages":[{"role":"user","content":"hello"}]})";

TEST_F(GatewayTest, PassesAnAnswerThroughByteForByte) {
  engine_does(engine, says(200, kAnswer));
  const std::string body = "{ \"model\":\"small\",\t\"messages\":[],\"temperature\": 0.70 }";
  const auto answer = ask(post(body));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, kAnswer);
  EXPECT_TRUE(answer.has("Content-Type: application/json"));
  EXPECT_EQ(engine.last.body, body);
  EXPECT_EQ(engine.last.path, "/v1/chat/completions");
  EXPECT_EQ(engine.last.header("authorization"), "");  // keys stay here
  const Usage usage = settled();
  EXPECT_EQ(usage.prompt_tokens, 7);
  EXPECT_EQ(usage.completion_tokens, 2);
  EXPECT_EQ(usage.model, "small");
  EXPECT_EQ(usage.replica, TaskId{1});
  EXPECT_EQ(usage.principal.tenant, TenantId{1});
  EXPECT_TRUE(usage.completed);
  EXPECT_FALSE(usage.estimated);
  EXPECT_GT(usage.total_ns, 0);
}

TEST_F(GatewayTest, TheEngineSeesItsOwnName) {
  rim.on([&] { backend.endpoints[0].model = "/models/small.gguf"; });
  engine_does(engine, says(200, kAnswer));
  ask(post(kChat));
  EXPECT_EQ(engine.last.body, R"({"model":"/models/small.gguf","messages":[{"role":"user","content":"hello"}]})");
}

TEST_F(GatewayTest, CompletionsAndEmbeddings) {
  engine_does(engine, says(200, R"({"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":4,"total_tokens":4}})"));
  EXPECT_EQ(ask(post(R"({"model":"small","input":"x"})", "/v1/embeddings")).status, 200);
  EXPECT_EQ(engine.last.path, "/v1/embeddings");
  EXPECT_EQ(settled().prompt_tokens, 4);
  engine_does(engine, says(200, kAnswer));
  EXPECT_EQ(ask(post(R"({"model":"small","prompt":"x"})", "/v1/completions")).status, 200);
  EXPECT_EQ(engine.last.path, "/v1/completions");
}

TEST_F(GatewayTest, AnAnswerWithoutUsageIsEstimated) {
  engine_does(engine, says(200, R"({"choices":[]})"));
  EXPECT_EQ(ask(post(kChat)).status, 200);
  EXPECT_TRUE(settled().estimated);
  EXPECT_GT(settled().prompt_tokens, 0);
}

TEST_F(GatewayTest, StreamsAndHidesTheUsageThatNobodyAskedFor) {
  const std::string text = event("Hel") + event("lo") + event("!");
  const std::string all = text + kUsageEvent + kDone;
  // The events arrive cut at odd places.
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < all.size(); at += 37) {
    parts.push_back(all.substr(at, 37));
  }
  engine_does(engine, streams(parts));
  auto answer = ask(post(kChatStream));
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.has("Content-Type: text/event-stream"));
  EXPECT_EQ(answer.body, text + kDone);
  EXPECT_NE(engine.last.body.find(R"("stream_options":{"include_usage":true})"), std::string::npos);
  const Usage usage = settled();
  EXPECT_EQ(usage.prompt_tokens, 11);
  EXPECT_EQ(usage.completion_tokens, 3);
  EXPECT_TRUE(usage.completed);
  EXPECT_GT(usage.first_token_ns, 0);
  EXPECT_LE(usage.first_token_ns, usage.total_ns);

  answer = ask(post(R"({"model":"small","stream":true,"stream_options":{"include_usage":true}})"));
  EXPECT_EQ(answer.body, all);
  EXPECT_EQ(counters().streamed, 2U);
}

TEST_F(GatewayTest, EventsArriveWhenTheyAreSent) {
  engine_does(engine, [&](const Request&, const std::shared_ptr<Reply>& reply) {
    reply->begin(200, "text/event-stream");
    reply->write(event("first"), nullptr);
    engine.held.push_back(reply);
  });
  RawClient raw{port};
  raw.send(post(kChatStream));
  ASSERT_TRUE(raw.receive_until("first"));
  rim.on([&] {
    stream_parts(engine.held.back(), {event("second"), kDone});
    engine.held.clear();
  });
  EXPECT_TRUE(raw.receive_until("second"));
  EXPECT_TRUE(raw.receive_until("0\r\n\r\n"));
}

TEST_F(GatewayTest, ABrokenStreamEndsWithAnErrorAndIsMeteredByItsChunks) {
  engine_does(engine, streams({event("a"), event("b"), "data: {\"half"}, true));
  RawClient raw{port};
  const auto answer = raw.ask(post(kChatStream));
  EXPECT_TRUE(answer.body.starts_with(event("a") + event("b") + "data: {\"error\":{\"message\":\"")) << answer.body;
  EXPECT_TRUE(answer.body.ends_with("\"code\":\"engine_failed\"}}\n\n")) << answer.body;
  const Usage usage = settled();
  EXPECT_TRUE(usage.estimated);
  EXPECT_FALSE(usage.completed);
  EXPECT_EQ(usage.completion_tokens, 2);
  EXPECT_EQ(counters().failed, 1U);
  // The connection is still good.
  engine_does(engine, says(200, kAnswer));
  EXPECT_EQ(raw.ask(post(kChat)).status, 200);
}

TEST_F(GatewayTest, AStreamThatEndsWithoutDoneIsBroken) {
  engine_does(engine, streams({event("a")}));
  EXPECT_NE(ask(post(kChatStream)).body.find("engine_failed"), std::string::npos);
  EXPECT_FALSE(settled().completed);
}

TEST_F(GatewayTest, AnEnginesOwnErrorEventIsNotToldTwice) {
  const std::string error = "data: {\"error\":{\"message\":\"out of memory\"}}\n\n";
  engine_does(engine, streams({event("a"), error}));
  EXPECT_EQ(ask(post(kChatStream)).body, event("a") + error);
  EXPECT_FALSE(settled().completed);
}

TEST_F(GatewayTest, AStreamThatBreaksBeforeItsFirstEventIsAPlainError) {
  engine_does(engine, streams({"data: {\"half"}, true));
  const auto answer = ask(post(kChatStream));
  EXPECT_EQ(answer.status, 502);
  EXPECT_TRUE(answer.body.starts_with("{\"error\":"));
}

TEST_F(GatewayTest, AStreamWithoutUsageIsCounted) {
  engine_does(engine, streams({event("a") + event("b"), event("c") + kDone}));
  EXPECT_EQ(ask(post(kChatStream)).status, 200);
  const Usage usage = settled();
  EXPECT_TRUE(usage.estimated);
  EXPECT_TRUE(usage.completed);
  EXPECT_EQ(usage.completion_tokens, 3);
  EXPECT_GT(usage.prompt_tokens, 0);
}

TEST_F(GatewayTest, AnEngineThatAnswersAStreamRequestInOnePiece) {
  engine_does(engine, says(200, kAnswer));
  EXPECT_EQ(ask(post(kChatStream)).body, kAnswer);
  EXPECT_EQ(settled().completion_tokens, 2);
}

TEST_F(GatewayTest, ABusyReplicaIsRetriedElsewhere) {
  Engine busy{rim};
  Engine good{rim};
  engine_does(busy, says(503, R"({"error":{"message":"loading"}})"));
  engine_does(good, says(200, kAnswer));
  for (int i = 0; i < 10; ++i) {
    rim.on([&] { backend.endpoints = {{TaskId{1}, "127.0.0.1", busy.port, "small"}, {TaskId{2}, "127.0.0.1", good.port, "small"}}; });
    EXPECT_EQ(ask(post(kChat)).status, 200);
    EXPECT_EQ(settled().replica, TaskId{2});
  }
  EXPECT_GT(busy.requests, 0);
  EXPECT_EQ(counters().retried, static_cast<std::uint64_t>(busy.requests));
}

TEST_F(GatewayTest, ADeadReplicaIsRetriedElsewhereAtMostTwice) {
  std::uint16_t dead = 0;
  {
    const Engine gone{rim};
    dead = gone.port;
  }
  engine_does(engine, says(200, kAnswer));
  rim.on([&] { backend.endpoints = {{TaskId{1}, "127.0.0.1", dead, "small"}, {TaskId{2}, "127.0.0.1", engine.port, "small"}}; });
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(ask(post(kChat)).status, 200);
  }
  EXPECT_GT(counters().retried, 0U);
  const auto before = counters().retried;
  rim.on([&] { backend.endpoints = std::vector<Endpoint>(5, {TaskId{1}, "127.0.0.1", dead, "small"}); });
  const auto answer = ask(post(kChat));
  EXPECT_EQ(answer.status, 503);
  EXPECT_TRUE(answer.has("Retry-After: "));
  EXPECT_EQ(counters().retried, before + 2);
  EXPECT_EQ(settled().prompt_tokens, 0);  // no engine saw it
  EXPECT_FALSE(settled().completed);
  EXPECT_EQ(answer.body.find(std::to_string(dead)), std::string::npos);  // where engines run is not the caller's business
}

TEST_F(GatewayTest, NothingIsRetriedOnceAnEngineHasStarted) {
  Engine other{rim};
  const auto dies = [](const Request&, const std::shared_ptr<Reply>& reply) { reply->begin(200, "application/json"); };
  engine_does(engine, dies);
  engine_does(other, dies);
  rim.on([&] { backend.endpoints.push_back({TaskId{2}, "127.0.0.1", other.port, "small"}); });
  EXPECT_EQ(ask(post(kChat)).status, 502);
  EXPECT_EQ(engine.requests + other.requests, 1);
  EXPECT_TRUE(settled().estimated);
}

TEST_F(GatewayTest, EngineErrors) {
  const std::string too_long = R"({"error":{"message":"context too long","type":"invalid_request_error","code":"context_length_exceeded"}})";
  engine_does(engine, says(400, too_long));
  auto answer = ask(post(kChat));
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body, too_long);
  EXPECT_TRUE(settled().completed);
  EXPECT_EQ(settled().prompt_tokens, 0);
  engine_does(engine, says(500, "<html>"));
  answer = ask(post(kChat));
  EXPECT_EQ(answer.status, 502);
  EXPECT_NE(answer.body.find("\"code\":\"engine_failed\""), std::string::npos);
  engine_does(engine, says(503, "<html>"));
  EXPECT_EQ(ask(post(kChat)).status, 503);
  // A streaming client gets the status, not a stream.
  engine_does(engine, says(400, too_long));
  EXPECT_EQ(ask(post(kChatStream)).status, 400);
}

TEST_F(GatewayTest, SlowEnginesAreGivenUp) {
  start({.first_byte_max = 100ms, .silence_max = 100ms, .answer_max = 100ms});
  engine_does(engine, [&](const Request&, const std::shared_ptr<Reply>& reply) { engine.held.push_back(reply); });
  EXPECT_EQ(ask(post(kChat)).status, 504);
  EXPECT_TRUE(eventually([&] { return engine.left == 1; }, 1s));
  EXPECT_EQ(ask(post(kChatStream)).status, 504);
  EXPECT_TRUE(eventually([&] { return engine.left == 2; }, 1s));
  engine_does(engine, [&](const Request&, const std::shared_ptr<Reply>& reply) {
    engine.held.push_back(reply);
    reply->begin(200, "text/event-stream");
    reply->write(event("a"), nullptr);
  });
  const auto answer = ask(post(kChatStream));
  EXPECT_TRUE(answer.body.starts_with(event("a") + "data: {\"error\""));
  EXPECT_NE(answer.body.find("engine_timeout"), std::string::npos);
  EXPECT_TRUE(eventually([&] { return engine.left == 3; }, 1s));
}

TEST_F(GatewayTest, AClientThatLeavesReachesTheEngine) {
  // While the engine thinks…
  engine_does(engine, [&](const Request&, const std::shared_ptr<Reply>& reply) { engine.held.push_back(reply); });
  {
    RawClient raw{port};
    raw.send(post(kChat));
    ASSERT_TRUE(eventually([&] { return engine.requests == 1; }));
  }
  EXPECT_TRUE(eventually([&] { return engine.left == 1; }, 1s));
  EXPECT_FALSE(settled().completed);
  EXPECT_TRUE(settled().estimated);
  // …and in mid-stream.
  engine_does(engine, [&](const Request&, const std::shared_ptr<Reply>& reply) {
    engine.held.push_back(reply);
    reply->begin(200, "text/event-stream");
    reply->write(event("a"), nullptr);
  });
  {
    RawClient raw{port};
    raw.send(post(kChatStream));
    ASSERT_TRUE(raw.receive_until("[{\"index\""));
  }
  EXPECT_TRUE(eventually([&] { return engine.left == 2; }, 1s));
  EXPECT_TRUE(eventually([&] { return rim.on([&] { return backend.settled.size() == 2; }); }));
  EXPECT_EQ(settled().completion_tokens, 1);
  EXPECT_EQ(counters().cancelled, 2U);
}

TEST_F(GatewayTest, ASlowReaderHoldsTheEngineBack) {
  std::atomic<int> produced = 0;
  std::function<void(std::shared_ptr<Reply>)> produce = [&](const std::shared_ptr<Reply>& reply) {
    reply->write(event(std::string(100'000, 'x')), [&, reply](bool ok) {
      if (ok) {
        ++produced;
        produce(reply);
      }
    });
  };
  engine_does(engine, [&](const Request&, const std::shared_ptr<Reply>& reply) {
    reply->begin(200, "text/event-stream");
    produce(reply);
  });
  RawClient raw{port, 4096};
  raw.send(post(kChatStream));
  int before = -1;
  ASSERT_TRUE(eventually([&] {
    std::this_thread::sleep_for(150ms);
    return std::exchange(before, produced.load()) == produced && produced > 0;
  }));
  EXPECT_LT(produced, 200);  // two pairs of kernel buffers, no more
  raw.close();
  EXPECT_TRUE(eventually([&] { return engine.left == 1; }, 1s));
}

TEST_F(GatewayTest, AnAnswerWithoutEndIsCutOff) {
  std::function<void(std::shared_ptr<Reply>)> produce = [&](const std::shared_ptr<Reply>& reply) {
    reply->write(std::string(4'000'000, 'x'), [&, reply](bool ok) {
      if (ok) {
        produce(reply);
      }
    });
  };
  engine_does(engine, [&](const Request&, const std::shared_ptr<Reply>& reply) {
    reply->begin(200, "application/json");
    produce(reply);
  });
  const auto answer = ask(post(kChat));
  EXPECT_EQ(answer.status, 502);
  EXPECT_TRUE(eventually([&] { return engine.left == 1; }, 1s));
}

TEST_F(GatewayTest, RefusalsAreOpenAiErrors) {
  const auto expect = [&](const std::string& request, int status, std::string_view part) {
    const auto answer = ask(request);
    EXPECT_EQ(answer.status, status) << request;
    EXPECT_NE(answer.body.find(part), std::string::npos) << answer.body;
    EXPECT_TRUE(answer.body.starts_with("{\"error\":{\"message\":")) << answer.body;
    return answer;
  };
  EXPECT_TRUE(expect(post(kChat, "/v1/chat/completions", "bad"), 401, R"("code":"invalid_api_key")").has("WWW-Authenticate: Bearer"));
  expect("GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n", 401, R"("type":"invalid_request_error")");
  expect(post(R"({"model":"smal"})"), 404, R"("code":"model_not_found")");
  expect(post(R"({"model":"smal"})"), 404, "nearest: small");
  EXPECT_TRUE(expect(post(R"({"model":"org/large"})"), 503, "model_not_ready").has("Retry-After: "));
  expect(post("{nonsense"), 400, "well-formed JSON");
  expect(post(R"({"model":"small","n":0})"), 400, R"("param":"n")");
  expect(post(R"({"messages":[]})"), 400, R"("param":"model")");
  EXPECT_TRUE(expect(get("/v1/chat/completions"), 405, "POST").has("Allow: POST"));
  expect(post("{}", "/v1/models"), 405, "GET");
  expect(get("/v1/nothing"), 404, "unknown_url");
  rim.on([&] { backend.quota = 100; });
  const auto broke = expect(post(kChat), 429, R"("type":"insufficient_quota")");
  EXPECT_TRUE(broke.has("Retry-After: "));
  EXPECT_EQ(engine.requests, 0);
  EXPECT_EQ(counters().refused, 11U);  // the 503 is a failure of ours
}

TEST_F(GatewayTest, ListsModels) {
  EXPECT_EQ(ask(get("/v1/models")).body,
            R"({"object":"list","data":[{"id":"small","object":"model","created":1700000000,"owned_by":"centrale","ready":true},)"
            R"({"id":"org/large","object":"model","created":1700000001,"owned_by":"centrale","ready":false}]})");
  EXPECT_EQ(ask(get("/v1/models/org%2Flarge")).body, R"({"id":"org/large","object":"model","created":1700000001,"owned_by":"centrale","ready":false})");
  const auto missing = ask(get("/v1/models/smalll"));
  EXPECT_EQ(missing.status, 404);
  EXPECT_NE(missing.body.find("nearest: small"), std::string::npos);
}

TEST_F(GatewayTest, TheReservationCoversWhatMayBeUsed) {
  engine_does(engine, says(200, kAnswer));
  ask(post(R"({"model":"small","max_tokens":100,"n":3,"messages":[]})"));
  rim.on([&] { EXPECT_TRUE(backend.open.contains(300)); });
}

TEST_F(GatewayTest, TheEndOfTheGatewayEndsWhatIsUnderWay) {
  engine_does(engine, [&](const Request&, const std::shared_ptr<Reply>& reply) { engine.held.push_back(reply); });
  RawClient raw{port};
  raw.send(post(kChat));
  ASSERT_TRUE(eventually([&] { return engine.requests == 1; }));
  rim.on([&] {
    gateway.reset();
    EXPECT_EQ(backend.settled.size(), 1U);
  });
  EXPECT_EQ(raw.answer().status, 500);
  EXPECT_TRUE(eventually([&] { return engine.left == 1; }, 1s));
  rim.on([&] { gateway = std::make_unique<Gateway>(*client, backend); });
}

TEST_F(GatewayTest, ManyClientsShareTheReplicasEvenly) {
  Engine second{rim};
  Engine third{rim};
  for (Engine* e : {&engine, &second, &third}) {
    engine_does(*e, [e](const Request&, const std::shared_ptr<Reply>& reply) { e->held.push_back(reply); });
  }
  rim.on([&] {
    backend.endpoints.push_back({TaskId{2}, "127.0.0.1", second.port, "small"});
    backend.endpoints.push_back({TaskId{3}, "127.0.0.1", third.port, "small"});
  });
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 90; ++i) {
    clients.push_back(std::make_unique<RawClient>(port));
    clients.back()->send(post(kChat));
    ASSERT_TRUE(eventually([&] { return engine.requests + second.requests + third.requests == i + 1; }));
  }
  // By chance alone the spread would be about 4 either way; by two choices it is 1 or 2.
  for (const Engine* e : {&engine, &second, &third}) {
    EXPECT_NEAR(e->requests, 30, 4);
  }
  rim.on([&] {
    for (Engine* e : {&engine, &second, &third}) {
      for (const auto& reply : e->held) {
        reply->send(200, "application/json", kAnswer);
      }
    }
  });
  for (const auto& c : clients) {
    EXPECT_EQ(c->answer().status, 200);
  }
}

TEST(Choose, PrefersTheLessBusyAndRepeatsFromItsSeed) {
  Rim rim;
  FakeBackend backend;
  const auto draw = [&](std::uint64_t seed) {
    return rim.on([&] {
      http::Client client{rim.context};
      Traffic traffic{client, backend, {.seed = seed}};
      traffic.outstanding[TaskId{2}] = 5;
      std::vector<std::uint64_t> drawn;
      for (int i = 0; i < 50; ++i) {
        std::vector<Endpoint> endpoints{{TaskId{1}, "a", 1, "m"}, {TaskId{2}, "b", 1, "m"}, {TaskId{3}, "c", 1, "m"}};
        drawn.push_back(choose(endpoints, traffic).replica.value);
        EXPECT_EQ(endpoints.size(), 2U);
      }
      return drawn;
    });
  };
  const auto drawn = draw(7);
  EXPECT_EQ(drawn, draw(7));
  EXPECT_NE(drawn, draw(8));
  EXPECT_EQ(std::ranges::count(drawn, 2U), 0);
  EXPECT_GT(std::ranges::count(drawn, 1U), 10);
  EXPECT_GT(std::ranges::count(drawn, 3U), 10);
}

}  // namespace
}  // namespace centrale::gateway
