// SPDX-License-Identifier: Apache-2.0
// What happens when an engine fails, or a client does not stay.
#include <gtest/gtest.h>

#include "gateway/testing.hpp"

namespace centrale::gateway {
namespace {

using namespace testing;  // NOLINT: one test file, one fixture

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
  for (int i = 0; i < 10; ++i) { EXPECT_EQ(ask(post(kChat)).status, 200); }
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
  const std::string too_long =
      R"({"error":{"message":"context too long","type":"invalid_request_error","code":"context_length_exceeded"}})";
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
  EXPECT_TRUE(eventually([&] { return engine.left == 1; }));
  EXPECT_EQ(ask(post(kChatStream)).status, 504);
  EXPECT_TRUE(eventually([&] { return engine.left == 2; }));
  start({.silence_max = 100ms});
  engine_does(engine, [&](const Request&, const std::shared_ptr<Reply>& reply) {
    engine.held.push_back(reply);
    reply->begin(200, "text/event-stream");
    reply->write(event("a"), nullptr);
  });
  const auto answer = ask(post(kChatStream));
  EXPECT_TRUE(answer.body.starts_with(event("a") + "data: {\"error\""));
  EXPECT_NE(answer.body.find("engine_timeout"), std::string::npos);
  EXPECT_TRUE(eventually([&] { return engine.left == 3; }));
}

TEST_F(GatewayTest, AClientThatLeavesReachesTheEngine) {
  // While the engine thinks…
  engine_does(engine, [&](const Request&, const std::shared_ptr<Reply>& reply) { engine.held.push_back(reply); });
  {
    RawClient raw{port};
    raw.send(post(kChat));
    ASSERT_TRUE(eventually([&] { return engine.requests == 1; }));
  }
  EXPECT_TRUE(eventually([&] { return engine.left == 1; }));
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
  EXPECT_TRUE(eventually([&] { return engine.left == 2; }));
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
  EXPECT_TRUE(eventually([&] { return engine.left == 1; }));
}

TEST_F(GatewayTest, AnAnswerWithoutEndIsCutOff) {
  std::function<void(std::shared_ptr<Reply>)> produce = [&](const std::shared_ptr<Reply>& reply) {
    reply->write(std::string(4'000'000, 'x'), [&, reply](bool ok) {
      if (ok) { produce(reply); }
    });
  };
  engine_does(engine, [&](const Request&, const std::shared_ptr<Reply>& reply) {
    reply->begin(200, "application/json");
    produce(reply);
  });
  const auto answer = ask(post(kChat));
  EXPECT_EQ(answer.status, 502);
  EXPECT_TRUE(eventually([&] { return engine.left == 1; }));
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
  EXPECT_TRUE(eventually([&] { return engine.left == 1; }));
  rim.on([&] { gateway = std::make_unique<Gateway>(*client, backend); });
}

}  // namespace
}  // namespace centrale::gateway
