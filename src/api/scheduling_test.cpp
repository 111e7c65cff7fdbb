// SPDX-License-Identifier: Apache-2.0
// Setting how to schedule, setting nodes apart, and telling that a chip is well, over HTTP.
#include "api/centre_testing.hpp"

namespace centrale::api {
namespace {

class SchedulingTest : public testing::Test {
 protected:
  TestCentre centre;
  simdjson::dom::parser parser;

  simdjson::dom::element json(const Reply& reply) { return parser.parse(reply.body); }
  std::string text(const Reply& reply, const char* pointer) { return std::string(std::string_view(json(reply).at_pointer(pointer))); }
  void lose_a_chip() {
    centre.make(ChipFailed{.chip = ChipId{2}, .reason = "uncorrectable error"});
    centre.settle();
  }
};

TEST_F(SchedulingTest, WhatIsLeftOutStaysAsItIs) {
  Reply reply = centre.get("/api/v1/scheduling");
  EXPECT_EQ(text(reply, "/policy"), "fifo");
  EXPECT_TRUE(json(reply)["round_s"].is_null());
  EXPECT_EQ(text(reply, "/policies/0/name"), policy_names().front().first);

  reply = centre.call("PUT", "/api/v1/scheduling", R"({"policy":"las","round_s":300,"market":{"reserve":0.5}})");
  ASSERT_EQ(reply.status, 200) << reply.body;
  reply = centre.call("PUT", "/api/v1/scheduling", R"({"starvation_after_s":"12h","quarantine":true})");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(text(reply, "/policy"), "las");
  EXPECT_EQ(double(json(reply)["round_s"]), 300);
  EXPECT_EQ(double(json(reply)["starvation_after_s"]), 43'200);
  EXPECT_TRUE(bool(json(reply)["quarantine"]));
  EXPECT_EQ(double(json(reply)["market"]["reserve"]), 0.5);
  EXPECT_EQ(double(json(reply)["market"]["period_s"]), 60);
  EXPECT_EQ(text(centre.get("/api/v1/centre"), "/policy"), "las") << "the centre says what is in force";
}

TEST_F(SchedulingTest, WhatCannotBeIsRefusedAndChangesNothing) {
  const Reply unknown = centre.call("PUT", "/api/v1/scheduling", R"({"policy":"lottery","quarantine":true})");
  EXPECT_EQ(unknown.status, 400);
  EXPECT_NE(unknown.body.find("lottery"), std::string::npos);
  for (const char* body : {R"({"suspect_after":-1})", R"({"suspect_after":1000})", R"({"market":{"reserve":2}})", R"({"polcy":"fifo"})"}) {
    EXPECT_EQ(centre.call("PUT", "/api/v1/scheduling", body).status, 400) << body;
  }
  const Reply reply = centre.get("/api/v1/scheduling");
  EXPECT_EQ(text(reply, "/policy"), "fifo");
  EXPECT_FALSE(bool(json(reply)["quarantine"]));
}

TEST_F(SchedulingTest, JobsOfAReservationRunInItsTime) {
  centre.make(TenantDefined{.name = "lab", .quota = {}});
  Reply reply = centre.post("/api/v1/reservations", R"({"name":"big-run","tenant":"lab","nodes":["alpha"],"for_s":3600})");
  ASSERT_EQ(reply.status, 201) << reply.body;
  EXPECT_EQ(text(reply, "/id"), "r1");
  EXPECT_EQ(text(reply, "/tenant"), "lab");
  EXPECT_EQ(text(reply, "/nodes/0"), "alpha");
  EXPECT_EQ(std::int64_t(json(reply)["chips"]), 4);
  EXPECT_TRUE(bool(json(reply)["open"]));
  EXPECT_EQ(text(centre.get("/api/v1/nodes/alpha"), "/reservation"), "big-run");

  const std::string lab = centre.add_key("lab", "user"), other = centre.add_key("default", "user");
  ASSERT_EQ(centre.post("/api/v1/jobs", R"({"name":"own","command":["a"],"reservation":"big-run"})", lab).status, 201);
  ASSERT_EQ(centre.post("/api/v1/jobs", R"({"name":"others","command":["a"]})", other).status, 201);
  centre.settle();
  EXPECT_EQ(text(centre.get("/api/v1/jobs/own", lab), "/state"), "running");
  EXPECT_EQ(text(centre.get("/api/v1/jobs/own", lab), "/reservation"), "big-run");
  EXPECT_EQ(text(centre.get("/api/v1/jobs/others", other), "/state"), "queued");

  // Another tenant learns that the node is taken, not by what.
  EXPECT_EQ(centre.get("/api/v1/reservations", other).body, R"({"reservations":[]})");
  EXPECT_EQ(text(centre.get("/api/v1/nodes/alpha", other), "/reservation"), "r1");
  EXPECT_EQ(text(centre.get("/api/v1/reservations", lab), "/reservations/0/name"), "big-run");

  EXPECT_EQ(centre.call("DELETE", "/api/v1/reservations/big-rum", {}, centre.admin_key).status, 404);
  reply = centre.call("DELETE", "/api/v1/reservations/big-run", {}, centre.admin_key);
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(text(reply, "/name"), "big-run");
  centre.settle();
  EXPECT_EQ(centre.get("/api/v1/reservations", centre.admin_key).body, R"({"reservations":[]})");
  EXPECT_EQ(text(centre.get("/api/v1/jobs/others", other), "/state"), "running");
}

TEST_F(SchedulingTest, MaintenanceIsNobodysAndSeenByAll) {
  const Reply reply = centre.post("/api/v1/reservations",
                                  R"({"name":"new-fans","maintenance":true,"kind":"cpu-core","chips":2,"from":"2025-11-25T08:00:00Z",)"
                                  R"("to":"2025-11-25T12:00:00+01:00"})");
  ASSERT_EQ(reply.status, 201) << reply.body;
  EXPECT_TRUE(json(reply)["tenant"].is_null());
  EXPECT_TRUE(bool(json(reply)["maintenance"]));
  EXPECT_FALSE(bool(json(reply)["open"]));
  EXPECT_EQ(text(reply, "/to"), "2025-11-25T11:00:00Z");
  centre.make(TenantDefined{.name = "lab", .quota = {}});
  EXPECT_EQ(text(centre.get("/api/v1/reservations", centre.add_key("lab", "viewer")), "/reservations/0/name"), "new-fans");
}

TEST_F(SchedulingTest, ReservationsThatMakeNoSenseSayWhy) {
  const auto refused = [&](const char* body) {
    const Reply reply = centre.post("/api/v1/reservations", body);
    EXPECT_GE(reply.status, 400) << body;
    return reply.body;
  };
  EXPECT_NE(refused(R"({"nodes":["alpha"],"for_s":60})").find("name is missing"), std::string::npos);
  EXPECT_NE(refused(R"({"name":"x","nodes":["alpa"],"for_s":60})").find("nearest: alpha"), std::string::npos);
  EXPECT_NE(refused(R"({"name":"x","nodes":["alpha"]})").find("to and for_s"), std::string::npos);
  EXPECT_NE(refused(R"({"name":"x","nodes":["alpha"],"for_s":60,"to":"2026-01-01T00:00:00Z"})").find("to and for_s"), std::string::npos);
  EXPECT_NE(refused(R"({"name":"x","nodes":["alpha"],"from":"noon","for_s":60})").find("RFC 3339"), std::string::npos);
  EXPECT_NE(refused(R"({"name":"x","nodes":["alpha"],"maintenance":true,"tenant":"default","for_s":60})").find("nobody"),
            std::string::npos);
  EXPECT_NE(refused(R"({"name":"x","nodes":["alpha"],"tenant":"lap","for_s":60})").find("no tenant 'lap'"), std::string::npos);
  refused(R"({"name":"x","for_s":60})");
  refused(R"({"name":"x","kind":"cpu-core","chips":5,"for_s":60})");
  refused(R"({"name":"x","nodes":["alpha"],"from":"2262-01-01T00:00:00Z","for_s":9000000000})");
  EXPECT_EQ(centre.get("/api/v1/reservations").body, R"({"reservations":[]})");
}

TEST_F(SchedulingTest, RepairedChipIsGivenOutAgain) {
  lose_a_chip();
  Reply reply = centre.get("/api/v1/nodes/alpha");
  EXPECT_EQ(text(reply, "/chips/1/health"), "failed");
  EXPECT_EQ(std::int64_t(json(reply).at_pointer("/chips/1/failures")), 1);
  EXPECT_EQ(text(reply, "/chips/1/reason"), "uncorrectable error");
  EXPECT_EQ(std::int64_t(json(reply).at_pointer("/chips/0/failures")), 0);
  reply = centre.post("/api/v1/chips/c2/repair", "");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(text(reply, "/health"), "ok");
  EXPECT_EQ(std::int64_t(json(reply)["failures"]), 1) << "what was is kept";
  for (const char* chip : {"c0", "c5", "2", "n1"}) {
    EXPECT_EQ(centre.post(std::string("/api/v1/chips/") + chip + "/repair", "").status, 404) << chip;
  }
}

TEST_F(SchedulingTest, DifferentJobsThatFailInARowMakeASuspect) {
  centre.launcher.quick = false;
  centre.make(SchedulingSet{.scheduling = {.policy = "fifo", .round = {}, .starvation_after = {}, .suspect_after = 2}});
  for (const char* name : {"a", "b"}) {
    const Reply job = centre.post("/api/v1/jobs", std::string(R"({"name":")") + name + R"(","command":["a"],"chips":4,"restarts":0})");
    ASSERT_EQ(job.status, 201) << job.body;
    centre.settle();
    const TaskId task = parse_id<TaskTag>(text(centre.get(std::string("/api/v1/jobs/") + name), "/task")).value();
    centre.host->fact(TaskStarted{.task = task});
    centre.host->fact(TaskExited{.task = task, .code = 1, .signal = 0, .lost = false, .message = "bad sum", .energy = {}});
    centre.settle();
  }
  Reply reply = centre.get("/api/v1/nodes/alpha");
  EXPECT_TRUE(bool(json(reply).at_pointer("/chips/0/suspect"))) << reply.body;
  EXPECT_EQ(std::int64_t(json(reply).at_pointer("/chips/0/tasks_failed")), 2);
  EXPECT_EQ(text(reply, "/chips/0/health"), "ok") << "without quarantine it is still given out";
  const std::string metrics = centre.get("/metrics").body;
  EXPECT_NE(metrics.find("centrale_chips_suspect{kind=\"cpu-core\"} 4\n"), std::string::npos);
  EXPECT_NE(metrics.find("centrale_chip_tasks_failed_total{kind=\"cpu-core\"} 8\n"), std::string::npos);
  EXPECT_NE(metrics.find("centrale_chip_failures_total{kind=\"cpu-core\"} 0\n"), std::string::npos);
  // What another tenant's job said is not everybody's.
  centre.make(TenantDefined{.name = "lab", .quota = {}});
  reply = centre.get("/api/v1/nodes/alpha", centre.add_key("lab", "viewer"));
  EXPECT_EQ(reply.body.find("bad sum"), std::string::npos);
  reply = centre.call("POST", "/api/v1/chips/c1/repair", {}, centre.admin_key);
  EXPECT_FALSE(bool(json(reply)["suspect"]));
  EXPECT_EQ(text(reply, "/reason"), "bad sum (exit code 1)");
}

}  // namespace
}  // namespace centrale::api
