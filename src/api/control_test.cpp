// SPDX-License-Identifier: Apache-2.0
// Who may do what, whose things they see, and what is said when something is wrong.
#include "api/centre_testing.hpp"

namespace centrale::api {
namespace {

class ControlTest : public testing::Test {
 protected:
  TestCentre centre;
  simdjson::dom::parser parser;

  simdjson::dom::element json(const Reply& reply) { return parser.parse(reply.body); }
  std::string text(const Reply& reply, const char* pointer) { return std::string(std::string_view(json(reply).at_pointer(pointer))); }
  std::size_t count(const Reply& reply, const char* list) { return simdjson::dom::array(json(reply)[list]).size(); }
  void define_tenants() {
    for (const char* name : {"lab", "shop"}) { centre.make(TenantDefined{.name = name, .quota = {}}); }
    centre.settle();
  }
};

TEST_F(ControlTest, RolesAreKeptTo) {
  define_tenants();
  const std::string viewer = centre.add_key("lab", "viewer"), user = centre.add_key("lab", "user"), admin = centre.add_key("lab", "admin");
  struct Case {
    const char *method, *path, *body;
    int viewer, user, admin;
  };
  const std::vector<Case> cases{
      {"GET", "/api/v1/centre", "", 200, 200, 200},
      {"GET", "/metrics", "", 200, 200, 200},
      {"POST", "/api/v1/jobs", kSleepJob, 403, 201, 201},
      {"POST", "/api/v1/specs", "kind: job\nname: y\ncommand: [a]\nworkdir: /tmp\n", 403, 201, 201},
      {"POST", "/api/v1/jobs/train/stop", "", 403, 200, 409},  // the newest of that name, which the user has stopped
      {"PUT", "/api/v1/services", kChatService, 403, 201, 200},
      {"POST", "/api/v1/services/chat/scale", R"({"replicas":1})", 403, 200, 200},
      {"POST", "/api/v1/nodes/n1/drain", "", 403, 403, 200},
      {"POST", "/api/v1/nodes/n1/resume", "", 403, 403, 200},
      {"GET", "/api/v1/tenants", "", 403, 403, 200},
      {"PUT", "/api/v1/tenants", R"({"name":"new"})", 403, 403, 200},
      {"GET", "/api/v1/scheduling", "", 200, 200, 200},
      {"PUT", "/api/v1/scheduling", R"({"suspect_after":4})", 403, 403, 200},
      {"GET", "/api/v1/reservations", "", 200, 200, 200},
      {"POST", "/api/v1/reservations", R"({"name":"r","nodes":["n1"],"from":"2030-01-01T00:00:00Z","for_s":60})", 403, 403, 201},
      {"DELETE", "/api/v1/reservations/r", "", 403, 403, 200},
      {"POST", "/api/v1/chips/c1/repair", "", 403, 403, 200},
      {"GET", "/api/v1/keys", "", 403, 403, 200},
      {"POST", "/api/v1/keys", R"({"tenant":"lab"})", 403, 403, 201},
      {"DELETE", "/api/v1/keys/k9", "", 403, 403, 404},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.method) + " " + c.path);
    EXPECT_EQ(centre.call(c.method, c.path, c.body, viewer).status, c.viewer);
    EXPECT_EQ(centre.call(c.method, c.path, c.body, user).status, c.user);
    centre.settle();
    EXPECT_EQ(centre.call(c.method, c.path, c.body, admin).status, c.admin);
    const Reply without = centre.call(c.method, c.path, c.body);
    EXPECT_EQ(without.status, std::string_view(c.path) == "/metrics" ? 200 : 401);  // a scraper on loopback needs none
    EXPECT_EQ(centre.call(c.method, c.path, c.body, make_key().value()).status, 401);
  }
  EXPECT_EQ(centre.get("/api/v1/openapi.json").status, 200);
  EXPECT_EQ(centre.get("/api/v1/centre").headers.at("www-authenticate"), "Bearer");
}

TEST_F(ControlTest, TenantsSeeAndChangeTheirOwn) {
  define_tenants();
  const std::string lab = centre.add_key("lab", "user"), shop = centre.add_key("shop", "user"), looker = centre.add_key("shop", "viewer");
  ASSERT_EQ(centre.post("/api/v1/jobs", kSleepJob, lab).status, 201);   // j1
  ASSERT_EQ(centre.post("/api/v1/jobs", kSleepJob, shop).status, 201);  // j2, of the same name
  ASSERT_EQ(centre.call("PUT", "/api/v1/services", R"({"name":"own","model":"job:x"})", lab).status, 201);
  centre.settle();
  EXPECT_EQ(count(centre.get("/api/v1/jobs", lab), "jobs"), 1U);
  EXPECT_EQ(count(centre.get("/api/v1/jobs", centre.admin_key), "jobs"), 2U);
  EXPECT_EQ(count(centre.get("/api/v1/jobs?tenant=lab", centre.admin_key), "jobs"), 1U);
  EXPECT_EQ(centre.get("/api/v1/jobs?tenant=shop", lab).status, 404);
  EXPECT_EQ(text(centre.get("/api/v1/jobs/train", lab), "/id"), "j1") << "shop's is newer";
  EXPECT_EQ(text(centre.get("/api/v1/jobs/train", shop), "/id"), "j2");
  EXPECT_EQ(centre.get("/api/v1/jobs/j1", shop).status, 404);
  EXPECT_EQ(centre.post("/api/v1/jobs/j1/stop", "", shop).status, 404);
  EXPECT_EQ(centre.get("/api/v1/jobs/j1/logs", shop).status, 404);
  EXPECT_EQ(count(centre.get("/api/v1/services", shop), "services"), 0U);
  EXPECT_EQ(centre.get("/api/v1/services/own", looker).status, 404);
  EXPECT_EQ(centre.post("/api/v1/services/own/scale", R"({"replicas":0})", shop).status, 404);
  EXPECT_EQ(centre.call("DELETE", "/api/v1/services/own", "", shop).status, 404);
  EXPECT_EQ(centre.call("PUT", "/api/v1/services", R"({"name":"own","model":"job:x"})", shop).status, 409);
  EXPECT_EQ(count(centre.get("/api/v1/usage", shop), "tenants"), 1U);
  EXPECT_EQ(count(centre.get("/api/v1/usage", shop), "jobs"), 1U);
  EXPECT_EQ(count(centre.get("/api/v1/usage", centre.admin_key), "tenants"), 3U);
  EXPECT_EQ(centre.get("/api/v1/nodes/n1", shop).body.find("own"), std::string::npos);
  EXPECT_EQ(centre.get("/metrics", shop).body.find("tenant=\"lab\""), std::string::npos);
  EXPECT_NE(centre.get("/metrics", centre.admin_key).body.find("tenant=\"lab\""), std::string::npos);
}

TEST_F(ControlTest, PagesOfOtherSitesAreRefused) {
  const auto with = [&](http::Headers headers) { return centre.call("POST", "/api/v1/jobs", kSleepJob, {}, std::move(headers)).status; };
  EXPECT_EQ(with({{"Origin", "https://evil.example"}}), 403);
  EXPECT_EQ(with({{"Origin", "null"}}), 403);
  EXPECT_EQ(with({{"Origin", "http://127.0.0.1:" + std::to_string(centre.port)}}), 201);
  // DNS rebinding: the page's own name resolves to this machine. A made-up key does not help where none is needed.
  EXPECT_EQ(with({{"Host", "evil.example"}}), 401);
  EXPECT_EQ(with({{"Host", "evil.example"}, {"Origin", "http://evil.example"}, {"Authorization", "Bearer x"}}), 401);
  EXPECT_EQ(with({{"Host", "localhost:7070"}}), 201);
  EXPECT_EQ(with({{"Host", "centre.example"}, {"Authorization", "Bearer " + centre.admin_key}}), 201);
  // Behind a proxy everybody comes from loopback.
  EXPECT_EQ(with({{"X-Forwarded-For", "10.0.0.1"}}), 401);
}

TEST_F(ControlTest, ErrorsSayWhatWhereAndWhatToDo) {
  Reply reply = centre.post("/api/v1/jobs", R"({"name":"x","comand":["a"]})");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(text(reply, "/error/kind"), "invalid");
  EXPECT_NE(reply.body.find("nearest: command"), std::string::npos) << reply.body;
  ASSERT_EQ(centre.post("/api/v1/jobs", kSleepJob).status, 201);
  reply = centre.get("/api/v1/jobs/trian");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(text(reply, "/error/what"), "no job 'trian'");
  EXPECT_EQ(text(reply, "/error/remedy"), "nearest: train");
  EXPECT_TRUE(json(reply)["error"]["where"].is_null());
  EXPECT_EQ(text(reply, "/error/message"), "no job 'trian'; nearest: train");
  reply = centre.get("/api/v1/jobs?limt=3");
  EXPECT_EQ(text(reply, "/error/remedy"), "nearest: limit");
  for (const char* query : {"?limit=0", "?limit=1001", "?limit=ten", "?limit=", "?limit=1e2", "?limit=-1", "?limit=99999999999999999999",
                            "?before=12", "?before=n1", "?state="}) {
    EXPECT_EQ(centre.get(std::string("/api/v1/jobs") + query).status, 400) << query;
  }
  for (const char* body : {"", "[]", "{", R"({"replicas":"3"})", R"({"replicas":null})", R"({"replicas":1,"replicas":2})",
                           R"({"replicas":1}x)", R"({"replicas":1.5})", R"({"replica":1})"}) {
    EXPECT_EQ(centre.post("/api/v1/services/none/scale", body).status, 400) << body;
  }
  EXPECT_EQ(centre.post("/api/v1/services/none/scale", R"({"replicas":1})").status, 404);
  EXPECT_EQ(centre.call("PUT", "/api/v1/tenants", R"({"name":"No Name"})").status, 400);
  EXPECT_EQ(centre.call("PUT", "/api/v1/tenants", R"({"name":"a","chips_max":-1})").status, 400);
  EXPECT_EQ(centre.post("/api/v1/keys", R"({"tenant":"nobody"})").status, 404);
  EXPECT_EQ(centre.post("/api/v1/keys", R"({"role":"king"})").status, 400);
  EXPECT_EQ(centre.post("/api/v1/nodes/beta/drain", "").status, 404);
  // A name with bytes that are no text comes back as text.
  EXPECT_EQ(centre.get("/api/v1/jobs/%ff%fe").status, 404);
}

TEST_F(ControlTest, TooMuchIsRefused) {
  std::string specs;
  for (int i = 0; i < 101; ++i) { specs += "---\nkind: job\nname: a" + std::to_string(i) + "\ncommand: [a]\nworkdir: /tmp\n"; }
  EXPECT_EQ(centre.post("/api/v1/specs", specs).status, 400);
  EXPECT_EQ(count(centre.get("/api/v1/jobs"), "jobs"), 0U) << "all or nothing was read";
  EXPECT_EQ(centre.post("/api/v1/keys", R"({"label":")" + std::string(201, 'x') + R"("})").status, 400);
}

TEST_F(ControlTest, JobsStopByIdOneAndByNameTheArray) {
  centre.launcher.quick = false;
  ASSERT_EQ(centre.post("/api/v1/jobs", R"({"name":"many","command":["a"],"array":6})").status, 201);
  const auto cancelled = [&] {
    return count(centre.get("/api/v1/jobs?state=cancelled"), "jobs") + count(centre.get("/api/v1/jobs?state=stopping"), "jobs");
  };
  EXPECT_EQ(text(centre.post("/api/v1/jobs/j2/stop", ""), "/id"), "j2");
  EXPECT_EQ(cancelled(), 1U);
  EXPECT_EQ(centre.post("/api/v1/jobs/many/stop", "").status, 200);
  EXPECT_EQ(cancelled(), 6U);
  centre.launcher.quick = true;
  ASSERT_EQ(centre.post("/api/v1/jobs", R"({"name":"one","command":["a"]})").status, 201);
  EXPECT_EQ(centre.post("/api/v1/jobs/one/stop", "").status, 200);
  centre.settle();
  EXPECT_EQ(centre.post("/api/v1/jobs/one/stop", "").status, 409);
}

TEST_F(ControlTest, SpecsAreResolvedAndRefusedWithTheLine) {
  const auto send = [&](const std::string& yaml, const char* base) {
    http::Headers headers{{"X-File-Name", "two.yaml"}};
    if (base != nullptr) { headers.emplace_back("X-Base-Dir", base); }
    return centre.call("POST", "/api/v1/specs", yaml, {}, headers);
  };
  Reply reply = send(
      "kind: job\nname: a\ncommand: [a]\nworkdir: ../b\ncheckpoints: ck\n---\nkind: job\nname: c\ncommand: [a]\nafter: [a]\n", "/data/x");
  ASSERT_EQ(reply.status, 201) << reply.body;
  EXPECT_EQ(text(reply, "/jobs/0/workdir"), "/data/b");
  EXPECT_EQ(text(reply, "/jobs/0/checkpoints"), "/data/x/ck");
  EXPECT_EQ(text(reply, "/jobs/1/workdir"), "/data/x");
  EXPECT_EQ(text(reply, "/jobs/1/after/0"), "a");
  reply = send("kind: service\nname: m\nmodel: weights/m.gguf\n", "/data/x");
  EXPECT_EQ(text(reply, "/services/0/model"), "/data/x/weights/m.gguf");
  reply = send("kind: job\nname: a\ncommand: [a]\nworkdir: b\n", nullptr);
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(text(reply, "/error/where"), "workdir");
  EXPECT_EQ(send("kind: job\nname: a\ncommand: [a]\n", "relative").status, 400);
  reply = send("kind: job\nname: a\ncomand: [a]\n", "/data");
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(text(reply, "/error/message").find("two.yaml:3"), std::string::npos) << reply.body;
  // The second document is refused by the core; the first one stays and is named.
  reply = send("kind: job\nname: d\ncommand: [a]\n---\nkind: job\nname: e\ncommand: [a]\nchips: 99\n", "/data");
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(text(reply, "/error/remedy").find("accepted before it: j3"), std::string::npos) << reply.body;
}

TEST_F(ControlTest, TenantsKeepWhatIsLeftOut) {
  Reply reply = centre.call("PUT", "/api/v1/tenants", R"({"name":"lab","chips_max":3,"tokens_per_day_max":10})");
  ASSERT_EQ(reply.status, 200) << reply.body;
  reply = centre.call("PUT", "/api/v1/tenants", R"({"name":"lab","chips_max":4})");
  EXPECT_EQ(std::int64_t(json(reply)["chips_max"]), 4);
  EXPECT_EQ(std::int64_t(json(reply)["tokens_per_day_max"]), 10);
  EXPECT_EQ(text(reply, "/id"), "u2");
}

TEST_F(ControlTest, LogsGoOnAcrossAttempts) {
  centre.launcher.quick = false;
  ASSERT_EQ(centre.post("/api/v1/jobs", R"({"name":"train","command":["a"],"backoff":3600})").status, 201);
  centre.settle();
  EXPECT_EQ(text(centre.get("/api/v1/jobs/train"), "/state"), "starting");
  centre.host->fact(TaskStarted{TaskId{1}});
  {
    const std::lock_guard lock(centre.logs.mutex);
    centre.logs.text[TaskId{1}] = "first";
    centre.logs.attempts[{JobId{1}, 1}] = TaskId{1};
  }
  centre.settle();
  Reply reply = centre.get("/api/v1/jobs/train/logs?offset=2&limit=2");
  EXPECT_EQ(reply.body, R"({"text":"rs","offset":2,"next":4,"complete":false,"attempt":1})");
  centre.host->fact(TaskExited{.task = TaskId{1}, .code = 1, .signal = 0, .lost = false, .message = {}, .energy = {}});
  centre.settle();
  reply = centre.get("/api/v1/jobs/train/logs");
  EXPECT_EQ(reply.body, R"({"text":"first","offset":0,"next":5,"complete":true,"attempt":1})");
  EXPECT_EQ(centre.get("/api/v1/jobs/train/logs?attempt=2").status, 404);
  EXPECT_EQ(centre.get("/api/v1/jobs/train/logs?rank=3&stream=err&tail=7").status, 200);
  const std::lock_guard lock(centre.logs.mutex);
  EXPECT_EQ(centre.logs.last.rank, 3);
  EXPECT_EQ(centre.logs.last.stream, LogStream::err);
  EXPECT_EQ(centre.logs.last.tail_lines, 7);
}

TEST_F(ControlTest, CentreCounts) {
  ASSERT_EQ(centre.post("/api/v1/jobs", kSleepJob).status, 201);
  centre.settle();
  const Reply reply = centre.get("/api/v1/centre");
  EXPECT_EQ(std::int64_t(json(reply)["jobs"]["running"]), 1);
  EXPECT_EQ(std::int64_t(json(reply)["chips"]["total"]), 4);
  EXPECT_EQ(std::int64_t(json(reply)["chips"]["busy"]), 1);
  EXPECT_EQ(std::int64_t(json(reply)["chips"]["free"]), 3);
  EXPECT_EQ(text(reply, "/now"), "2025-11-24T10:34:05.250Z");
  EXPECT_EQ(text(reply, "/journal/kind"), "memory");
  EXPECT_EQ(reply.headers.at("cache-control"), "no-store");
}

TEST_F(ControlTest, ListsOfDenseIdsGoOn) {
  for (int i = 0; i < 4; ++i) { centre.make(TenantDefined{.name = "t" + std::to_string(i), .quota = {}}); }
  Reply reply = centre.get("/api/v1/tenants?limit=2");
  EXPECT_EQ(count(reply, "tenants"), 2U);
  EXPECT_EQ(text(reply, "/next"), "u2");
  reply = centre.get("/api/v1/tenants?limit=3&after=u2");
  EXPECT_EQ(count(reply, "tenants"), 3U);
  EXPECT_TRUE(json(reply)["next"].is_null());
  EXPECT_EQ(count(centre.get("/api/v1/tenants?after=u99"), "tenants"), 0U);
  EXPECT_EQ(centre.get("/api/v1/tenants?after=99").status, 400);
}

}  // namespace
}  // namespace centrale::api
