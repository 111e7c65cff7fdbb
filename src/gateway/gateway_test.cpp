// SPDX-License-Identifier: Apache-2.0
#include "gateway/gateway.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "gateway/flight.hpp"
#include "gateway/testing.hpp"

namespace centrale::gateway {
namespace {

using namespace testing;  // NOLINT: one test file, one fixture

TEST_F(GatewayTest, PassesAnAnswerThroughByteForByte) {
  engine_does(engine, says(200, kAnswer));
  const std::string body = "{ \"model\":\"small\",\t\"messages\":[],\"temperature\": 0.70 }";
  const auto answer = ask(post(body));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, kAnswer);
  EXPECT_TRUE(answer.has("Content-Type: application/json"));
  EXPECT_EQ(engine.seen().body, body);
  EXPECT_EQ(engine.seen().path, "/v1/chat/completions");
  EXPECT_EQ(engine.seen().header("authorization"), "");  // keys stay here
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
  EXPECT_EQ(engine.seen().body, R"({"model":"/models/small.gguf","messages":[{"role":"user","content":"hello"}]})");
}

TEST_F(GatewayTest, CompletionsAndEmbeddings) {
  engine_does(engine, says(200, R"({"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":4,"total_tokens":4}})"));
  EXPECT_EQ(ask(post(R"({"model":"small","input":"x"})", "/v1/embeddings")).status, 200);
  EXPECT_EQ(engine.seen().path, "/v1/embeddings");
  EXPECT_EQ(settled().prompt_tokens, 4);
  engine_does(engine, says(200, kAnswer));
  EXPECT_EQ(ask(post(R"({"model":"small","prompt":"x"})", "/v1/completions")).status, 200);
  EXPECT_EQ(engine.seen().path, "/v1/completions");
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
  for (std::size_t at = 0; at < all.size(); at += 37) { parts.push_back(all.substr(at, 37)); }
  engine_does(engine, streams(parts));
  auto answer = ask(post(kChatStream));
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.has("Content-Type: text/event-stream"));
  EXPECT_EQ(answer.body, text + kDone);
  EXPECT_NE(engine.seen().body.find(R"("stream_options":{"include_usage":true})"), std::string::npos);
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
  EXPECT_EQ(ask(get("/v1/models/org%2Flarge")).body,
            R"({"id":"org/large","object":"model","created":1700000001,"owned_by":"centrale","ready":false})");
  const auto missing = ask(get("/v1/models/smalll"));
  EXPECT_EQ(missing.status, 404);
  EXPECT_NE(missing.body.find("nearest: small"), std::string::npos);
}

TEST_F(GatewayTest, TheReservationCoversWhatMayBeUsed) {
  engine_does(engine, says(200, kAnswer));
  ask(post(R"({"model":"small","max_tokens":100,"n":3,"messages":[]})"));
  rim.on([&] { EXPECT_TRUE(backend.open.contains(300)); });
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
  for (const Engine* e : {&engine, &second, &third}) { EXPECT_NEAR(e->requests, 30, 4); }
  rim.on([&] {
    for (Engine* e : {&engine, &second, &third}) {
      for (const auto& reply : e->held) { reply->send(200, "application/json", kAnswer); }
    }
  });
  for (const auto& c : clients) { EXPECT_EQ(c->answer().status, 200); }
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
