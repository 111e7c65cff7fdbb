// SPDX-License-Identifier: Apache-2.0
// Why a job waits, over HTTP; forecasts on their own thread.
#include <future>

#include "api/centre_testing.hpp"
#include "api/forecaster.hpp"

namespace centrale::api {
namespace {

using simdjson::dom::element;

struct WhyTest : ::testing::Test {
  TestCentre centre;
  simdjson::dom::parser parser;
  element json(const Reply& reply) { return parser.parse(reply.body); }
  void submit(const std::string& fields, const std::string& key = {}) {
    const Reply reply = centre.post("/api/v1/jobs", R"({"command":["true"],)" + fields + "}", key);
    ASSERT_EQ(reply.status, 201) << reply.body;
    centre.settle();
  }
};

TEST_F(WhyTest, SaysWhatIsShortWhoHoldsItAndWhen) {
  submit(R"("name":"first","workers":3,"estimate":"10m")");
  submit(R"("name":"second","workers":2,"estimate":"1m")");
  const Reply reply = centre.get("/api/v1/jobs/second/why?draws=5");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const element why = json(reply);
  EXPECT_EQ(std::string_view(why["cause"]), "chips");
  EXPECT_EQ(std::int64_t(why.at_pointer("/kinds/0/free")), 1);
  EXPECT_EQ(std::string_view(why.at_pointer("/holders/0/name")), "first");
  EXPECT_EQ(std::string_view(why.at_pointer("/remedies/0/what")), "fewer_workers");
  EXPECT_EQ(std::int64_t(why.at_pointer("/forecast/draws")), 5);
  EXPECT_GT(double(why.at_pointer("/forecast/start/p50_s")), 1);
  EXPECT_GT(double(why.at_pointer("/forecast/end/p50_s")), double(why.at_pointer("/forecast/start/p50_s")));
  EXPECT_TRUE(why["no_forecast"].is_null());
}

TEST_F(WhyTest, OthersJobsAreSeenAsChipsOnly) {
  submit(R"("name":"secret","workers":4,"estimate":"10m")");
  submit(R"("name":"hidden","workers":4,"estimate":"10m")");
  centre.make(TenantDefined{.name = "lab", .quota = {}});
  const std::string key = centre.add_key("lab", "user");
  submit(R"("name":"mine","workers":2)", key);
  const Reply reply = centre.get("/api/v1/jobs/mine/why?draws=2", key);
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(std::int64_t(json(reply)["ahead"]), 1);
  EXPECT_EQ(std::int64_t(json(reply).at_pointer("/holders/0/chips")), 4);
  EXPECT_TRUE(json(reply).at_pointer("/holders/0/job").is_null());
  EXPECT_EQ(reply.body.find("secret"), std::string::npos);
  EXPECT_EQ(reply.body.find("hidden"), std::string::npos);
  EXPECT_EQ(reply.body.find("j2"), std::string::npos);
  EXPECT_EQ(centre.get("/api/v1/jobs/secret/why", key).status, 404);
}

TEST_F(WhyTest, WhatHasEndedHasNoForecast) {
  submit(R"("name":"short")");
  ASSERT_EQ(centre.post("/api/v1/jobs/short/stop", "").status, 200);
  centre.settle();
  const Reply reply = centre.get("/api/v1/jobs/short/why");
  EXPECT_EQ(std::string_view(json(reply)["cause"]), "ended");
  EXPECT_TRUE(json(reply)["forecast"].is_null());
  EXPECT_EQ(std::string_view(json(reply)["no_forecast"]), "it has ended");
}

TEST_F(WhyTest, ManyAskAtOnceAndEachIsAnswered) {
  submit(R"("name":"first","workers":4,"estimate":"10m")");
  submit(R"("name":"second","workers":2)");
  std::vector<std::future<Reply>> replies;
  for (int i = 0; i < 8; ++i) {
    replies.push_back(std::async(std::launch::async, [&] { return centre.get("/api/v1/jobs/second/why"); }));
  }
  std::string first;
  for (auto& reply : replies) {
    const Reply got = reply.get();
    EXPECT_EQ(got.status, 200);
    if (first.empty()) { first = got.body; }
    EXPECT_EQ(got.body, first);  // the clock stands still: the same draws
  }
}

TEST(Forecaster, ADeadlineThatHasPassedIsAnErrorAndTheNextGetsItsTurn) {
  TestCentre centre;
  ASSERT_EQ(centre.post("/api/v1/jobs", kSleepJob).status, 201);
  centre.settle();
  const auto forecaster = std::make_shared<Forecaster>(*centre.host, std::chrono::milliseconds(-1));
  for (int i = 0; i < 2; ++i) {
    std::promise<Result<Forecast>> said;
    ASSERT_TRUE(forecaster->ask(
        [](const Core& core, Time now) {
          return ForecastTask{.core = core.fork(), .lengths = Lengths(core, now), .job = JobId{1}, .options = {}};
        },
        [&](Result<Forecast> forecast) { said.set_value(std::move(forecast)); }));
    const auto got = said.get_future().get();
    ASSERT_FALSE(got.has_value());
    EXPECT_EQ(got.error().kind, ErrorKind::unavailable);
  }
  forecaster->stop();
  EXPECT_FALSE(forecaster->ask([](const Core&, Time) { return std::nullopt; }, [](const Result<Forecast>&) {}));
}

}  // namespace
}  // namespace centrale::api
