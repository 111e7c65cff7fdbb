// SPDX-License-Identifier: Apache-2.0
#include "api/events.hpp"

#include "api/centre_testing.hpp"
#include "api/schema_testing.hpp"

namespace centrale::api {
namespace {

using namespace std::chrono_literals;

struct Event {
  std::string name, data;
};

std::vector<Event> parse(Stream& stream) {
  const std::lock_guard lock(stream.mutex);
  std::vector<Event> events;
  std::size_t at = 0;
  while (true) {
    const std::size_t end = stream.text.find("\n\n", at);
    if (end == std::string::npos) { return events; }
    Event event;
    for (std::size_t line = at; line < end;) {
      const std::size_t stop = std::min(stream.text.find('\n', line), end);
      const std::string text = stream.text.substr(line, stop - line);
      if (text.starts_with("event: ")) {
        event.name = text.substr(7);
      } else if (text.starts_with("data: ")) {
        event.data = text.substr(6);
      }
      line = stop + 1;
    }
    if (!event.name.empty()) { events.push_back(event); }
    at = end + 2;
  }
}

std::size_t count(Stream& stream, std::string_view name, std::string_view part = {}) {
  const auto events = parse(stream);
  return static_cast<std::size_t>(std::count_if(events.begin(), events.end(),
                                                [&](const Event& e) { return e.name == name && e.data.find(part) != std::string::npos; }));
}

constexpr ControlLimits kQuick{.events_every = 10ms, .heartbeat_every = 100ms};

TEST(Events, HelloThenEverythingThenWhatChanges) {
  TestCentre centre(kQuick);
  ASSERT_EQ(centre.post("/api/v1/jobs", kSleepJob).status, 201);
  ASSERT_EQ(centre.call("PUT", "/api/v1/services", kChatService).status, 201);
  centre.settle();
  const auto stream = centre.events();
  ASSERT_TRUE(centre.wait_for(*stream, "event: usage"));
  const auto first = parse(*stream);
  ASSERT_GE(first.size(), 5U);
  EXPECT_EQ(first[0].name, "hello");
  EXPECT_NE(first[0].data.find(R"("resync":true)"), std::string::npos);
  EXPECT_EQ(count(*stream, "node", R"("name":"alpha")"), 1U);
  EXPECT_EQ(count(*stream, "service", R"("name":"chat")"), 1U);
  EXPECT_EQ(count(*stream, "job", R"("state":"running")"), 1U);

  ASSERT_EQ(centre.post("/api/v1/jobs/train/stop", "").status, 200);
  EXPECT_TRUE(centre.wait_until([&] { return count(*stream, "job", R"("state":"cancelled")") == 1; }));
  ASSERT_EQ(centre.call("DELETE", "/api/v1/services/chat").status, 200);
  EXPECT_TRUE(centre.wait_until([&] { return count(*stream, "gone", R"({"what":"service","id":"s1"})") == 1; }));
  EXPECT_TRUE(centre.wait_for(*stream, ": heartbeat"));

  // Each event is a view of the document.
  simdjson::dom::parser documents, values;
  const std::string text = centre.get("/api/v1/openapi.json").body;
  const simdjson::dom::element document = documents.parse(text);
  const std::map<std::string, std::string> schemas{{"hello", "Hello"},     {"node", "Node"},   {"job", "Job"},
                                                   {"service", "Service"}, {"usage", "Usage"}, {"gone", "Gone"}};
  for (const Event& event : parse(*stream)) {
    ASSERT_TRUE(schemas.contains(event.name)) << event.name;
    EXPECT_EQ(SchemaChecker(document).check(document["components"]["schemas"][schemas.at(event.name)], values.parse(event.data)), "")
        << event.name;
  }
}

TEST(Events, ManyChangesOfOneThingAreSentAsOne) {
  TestCentre centre({.events_every = 100ms});
  ASSERT_EQ(centre.post("/api/v1/jobs", kSleepJob).status, 201);
  centre.settle();
  const auto stream = centre.events();
  ASSERT_TRUE(centre.wait_for(*stream, "event: usage"));
  const std::size_t before = count(*stream, "job");
  const auto begin = std::chrono::steady_clock::now();
  for (std::int64_t step = 1; step <= 500; ++step) {
    centre.host->fact(TaskProgressed{.task = TaskId{1},
                                     .step = step,
                                     .steps = 500,
                                     .loss_micro = 1,
                                     .tokens = step,
                                     .tokens_per_s_milli = 1,
                                     .eta = {},
                                     .checkpoint = {}});
    centre.settle();
  }
  ASSERT_TRUE(centre.wait_for(*stream, R"("step":500)"));
  const auto windows = static_cast<std::size_t>((std::chrono::steady_clock::now() - begin) / 100ms) + 2;
  EXPECT_LE(count(*stream, "job") - before, windows);
}

TEST(Events, TenantsHearOfTheirOwn) {
  TestCentre centre(kQuick);
  centre.make(TenantDefined{.name = "lab", .quota = {}});
  centre.make(TenantDefined{.name = "shop", .quota = {}});
  centre.settle();
  const std::string lab = centre.add_key("lab", "user"), shop = centre.add_key("shop", "viewer");
  const auto of_lab = centre.events(lab), of_shop = centre.events(shop), of_all = centre.events(centre.admin_key);
  for (const auto& stream : {of_lab, of_shop, of_all}) { ASSERT_TRUE(centre.wait_for(*stream, "event: usage")); }
  ASSERT_EQ(centre.post("/api/v1/jobs", R"({"name":"secret","command":["a"]})", lab).status, 201);
  EXPECT_TRUE(centre.wait_for(*of_lab, R"("name":"secret")"));
  EXPECT_TRUE(centre.wait_for(*of_all, R"("name":"secret")"));
  // The node's view reaches the other tenant too, and says only that the chip is held.
  EXPECT_TRUE(centre.wait_until([&] { return count(*of_shop, "node", R"("task":"t1","job":null,"service":null,"name":null)") > 0; }));
  const std::lock_guard lock(of_shop->mutex);
  EXPECT_EQ(of_shop->text.find("secret"), std::string::npos);
}

TEST(Events, RevokedKeyEndsItsStream) {
  TestCentre centre(kQuick);
  const std::string key = centre.add_key("default", "viewer");
  const auto stream = centre.events(key);
  ASSERT_TRUE(centre.wait_for(*stream, "event: usage"));
  ASSERT_EQ(centre.call("DELETE", "/api/v1/keys/k1", {}, centre.admin_key).status, 200);
  EXPECT_TRUE(centre.wait_for(*stream, "event: reconnect"));
  EXPECT_TRUE(centre.wait_until([&] {
    const std::lock_guard lock(stream->mutex);
    return stream->ended;
  }));
}

TEST(Events, TooManyClientsAreTurnedAway) {
  TestCentre centre({.events_every = 10ms, .event_clients_max = 2});
  const auto first = centre.events(), second = centre.events();
  ASSERT_TRUE(centre.wait_for(*first, "hello"));
  ASSERT_TRUE(centre.wait_for(*second, "hello"));
  EXPECT_EQ(centre.get("/api/v1/events").status, 429);
  centre.on_rim([&] { first->call->cancel(); });
  std::shared_ptr<Stream> third;
  EXPECT_TRUE(centre.wait_until([&] {
    third = centre.events();
    return centre.wait_until([&] {
      const std::lock_guard lock(third->mutex);
      return third->status != 0;
    }) && third->status == 200;
  }));
}

/// A client that takes what it is given when the test says so.
class SlowReply final : public http::Reply {
 public:
  void send(int, std::string_view, std::string, const http::Headers&) override { ADD_FAILURE(); }
  void begin(int, std::string_view, const http::Headers&) override {}
  void write(std::string chunk, std::function<void(bool)> written) override {
    EXPECT_FALSE(written_) << "one chunk at a time";
    text += chunk;
    largest = std::max(largest, chunk.size());
    written_ = std::move(written);
  }
  void end() override { ended = true; }
  void on_close(std::function<void()>) override {}
  bool take() {
    const auto written = std::exchange(written_, nullptr);
    if (written) { written(true); }
    return written != nullptr;
  }
  std::string text;
  std::size_t largest = 0;
  bool ended = false;

 private:
  std::function<void(bool)> written_;
};

TEST(Events, SlowClientIsDroppedAndOwesLittle) {
  constexpr std::size_t kMost = 20'000;
  TestCentre centre({.events_every = 2ms, .event_buffer_max = kMost});
  ASSERT_EQ(centre.post("/api/v1/jobs", kSleepJob).status, 201);
  centre.settle();
  const auto reply = std::make_shared<SlowReply>();
  http::Request request;
  request.method = "GET";
  request.path = "/api/v1/events";
  request.remote = "127.0.0.1:1";
  centre.on_rim([&] { centre.control->handle(request, reply); });
  const auto on_rim = [&](const std::function<bool()>& condition) {
    return centre.wait_until([&] {
      bool now = false;
      centre.on_rim([&] { now = condition(); });
      return now;
    });
  };
  ASSERT_TRUE(on_rim([&] { return reply->text.find("event: usage") != std::string::npos; }));
  reply->largest = 0;
  for (std::int64_t step = 1; step <= 200; ++step) {
    centre.host->fact(TaskProgressed{.task = TaskId{1},
                                     .step = step,
                                     .steps = 500,
                                     .loss_micro = 1,
                                     .tokens = step,
                                     .tokens_per_s_milli = 1,
                                     .eta = {},
                                     .checkpoint = {}});
    std::this_thread::sleep_for(3ms);
  }
  EXPECT_TRUE(on_rim([&] {
    reply->take();
    return reply->ended;
  }));
  centre.on_rim([&] {
    EXPECT_NE(reply->text.find("event: reconnect\ndata: {\"reason\":\"too slow\"}"), std::string::npos);
    EXPECT_LE(reply->largest, kMost);
  });
}

}  // namespace
}  // namespace centrale::api
