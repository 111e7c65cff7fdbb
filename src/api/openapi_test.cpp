// SPDX-License-Identifier: Apache-2.0
// The document against the server: every operation is called, every answer is checked.
#include <set>

#include "api/centre_testing.hpp"
#include "api/operations.hpp"
#include "api/schema_testing.hpp"

namespace centrale::api {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

/// Calls operations of the document and checks each answer against what the document says of it.
class DocumentChecker {
 public:
  explicit DocumentChecker(TestCentre& centre) : centre_(centre), text_(centre.get("/api/v1/openapi.json").body) {
    document_ = parser_.parse(text_);
  }

  /// `path` without its query; parameters go into `query`.
  Reply call(const std::string& method, const std::string& pattern, const std::string& path, int status, const std::string& body = {},
             const http::Headers& headers = {}, const std::string& query = {}) {
    SCOPED_TRACE(method + " " + path);
    const Reply reply = centre_.call(method, path + query, body, {}, headers);
    EXPECT_EQ(reply.status, status) << reply.body;
    called_.insert(method + " " + pattern);
    check_answer(method, pattern, status, reply);
    if (status < 400) { check_request(method, pattern, body); }
    return reply;
  }

  void check_answer(const std::string& method, const std::string& pattern, int status, const Reply& reply) {
    const element operation = operation_of(method, pattern);
    element answer;
    if (operation["responses"].at_key(std::to_string(status)).get(answer) != simdjson::SUCCESS) {
      ASSERT_GE(status, 400) << "a success that the document does not know";
      answer = document_["components"]["responses"]["Error"];
    }
    for (const auto [type, content] : object(answer["content"])) {
      EXPECT_TRUE(reply.headers.at("content-type").starts_with(type)) << reply.headers.at("content-type");
      if (type == "application/json") {
        simdjson::dom::parser parser;
        EXPECT_EQ(SchemaChecker(document_).check(content["schema"], parser.parse(reply.body)), "");
      }
    }
  }

  void check_request(const std::string& method, const std::string& pattern, const std::string& body) {
    element content;
    if (body.empty() || operation_of(method, pattern)["requestBody"]["content"].get(content) != simdjson::SUCCESS) { return; }
    if (element json; content.at_key("application/json").get(json) == simdjson::SUCCESS && body.find("$ref") == std::string::npos) {
      std::string_view reference;
      // The schema of a spec has more keywords than the checker knows; spec/ tests it.
      if (json["schema"]["$ref"].get(reference) == simdjson::SUCCESS && !reference.ends_with("Spec")) {
        simdjson::dom::parser parser;
        EXPECT_EQ(SchemaChecker(document_).check(json["schema"], parser.parse(body)), "");
      }
    }
  }

  [[nodiscard]] std::set<std::string> documented() const {
    std::set<std::string> all;
    for (const auto [path, methods] : object(document_["paths"])) {
      for (const auto [method, operation] : object(methods)) {
        std::string name(method);
        std::transform(name.begin(), name.end(), name.begin(), [](char c) { return static_cast<char>(c & ~0x20); });
        all.insert(name + " " + std::string(path));
      }
    }
    return all;
  }
  [[nodiscard]] const std::set<std::string>& called() const { return called_; }
  [[nodiscard]] element document() const { return document_; }

 private:
  element operation_of(const std::string& method, const std::string& pattern) const {
    std::string lower(method);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return static_cast<char>(c | 0x20); });
    return object(object(document_["paths"])[pattern])[lower];
  }

  TestCentre& centre_;
  std::string text_;
  simdjson::dom::parser parser_;
  element document_;
  std::set<std::string> called_;
};

std::string text_at(const Reply& reply, const char* pointer) {
  simdjson::dom::parser parser;
  return std::string(std::string_view(parser.parse(reply.body).at_pointer(pointer)));
}

TEST(OpenApi, EveryOperationAnswersAsTheDocumentSays) {
  TestCentre centre;
  DocumentChecker doc(centre);
  doc.call("GET", "/api/v1/openapi.json", "/api/v1/openapi.json", 200);
  doc.call("GET", "/api/v1/centre", "/api/v1/centre", 200);
  doc.call("GET", "/metrics", "/metrics", 200);
  doc.call("GET", "/api/v1/nodes", "/api/v1/nodes", 200, {}, {}, "?limit=5&after=n3");

  // A job that runs, with progress; one that waits for it; an array; one that has ended.
  const Reply job = doc.call("POST", "/api/v1/jobs", "/api/v1/jobs", 201, kSleepJob);
  centre.settle();
  const TaskId task = parse_id<TaskTag>(text_at(job, "/task")).value();
  centre.host->fact(TaskProgressed{.task = task,
                                   .step = 3,
                                   .steps = 10,
                                   .loss_micro = 2'500'000,
                                   .tokens = 4096,
                                   .tokens_per_s_milli = 900'500,
                                   .eta = seconds(12),
                                   .checkpoint = "step-3"});
  doc.call("POST", "/api/v1/jobs", "/api/v1/jobs", 201, R"({"name":"later","command":["true"],"after":["train"]})");
  doc.call("POST", "/api/v1/jobs", "/api/v1/jobs", 201,
           R"({"name":"many","command":["true"],"array":3,"chips":4,"memory":"1GiB","time_limit":"1h"})");
  doc.call("POST", "/api/v1/jobs", "/api/v1/jobs", 400, R"({"nam":"x"})");
  doc.call("GET", "/api/v1/jobs", "/api/v1/jobs", 200, {}, {}, "?state=queued&limit=2&before=j100");
  doc.call("GET", "/api/v1/jobs", "/api/v1/jobs", 400, {}, {}, "?state=sleeping");
  doc.call("GET", "/api/v1/jobs/{job}", "/api/v1/jobs/train", 200);
  doc.call("GET", "/api/v1/jobs/{job}", "/api/v1/jobs/trian", 404);
  {
    const std::lock_guard lock(centre.logs.mutex);
    centre.logs.text[task] = "line\n\xff\n";
  }
  doc.call("GET", "/api/v1/jobs/{job}/logs", "/api/v1/jobs/j1/logs", 200, {}, {}, "?rank=0&stream=out&offset=0&limit=100");
  doc.call("GET", "/api/v1/jobs/{job}/why", "/api/v1/jobs/many/why", 200, {}, {}, "?draws=3");
  doc.call("GET", "/api/v1/jobs/{job}/why", "/api/v1/jobs/many/why", 400, {}, {}, "?draws=0");
  doc.call("GET", "/api/v1/jobs/{job}/why", "/api/v1/jobs/mnay/why", 404);
  doc.call("GET", "/api/v1/jobs/{job}/logs", "/api/v1/jobs/j1/logs", 404, {}, {}, "?attempt=9");

  doc.call("PUT", "/api/v1/services", "/api/v1/services", 201, kChatService);
  centre.settle();
  doc.call("PUT", "/api/v1/services", "/api/v1/services", 200, kChatService);
  doc.call("GET", "/api/v1/services", "/api/v1/services", 200);
  doc.call("GET", "/api/v1/services/{service}", "/api/v1/services/chat", 200);
  doc.call("POST", "/api/v1/services/{service}/scale", "/api/v1/services/chat/scale", 200, R"({"replicas":3})");
  doc.call("POST", "/api/v1/services/{service}/scale", "/api/v1/services/chat/scale", 400, R"({})");
  doc.call("GET", "/api/v1/services/{service}/logs", "/api/v1/services/chat/logs", 200, {}, {}, "?replica=1&stream=err&tail=10");
  doc.call("GET", "/api/v1/usage", "/api/v1/usage", 200, {}, {}, "?limit=1");
  doc.call("GET", "/api/v1/nodes", "/api/v1/nodes", 200);
  doc.call("GET", "/api/v1/nodes/{node}", "/api/v1/nodes/alpha", 200);
  doc.call("POST", "/api/v1/nodes/{node}/drain", "/api/v1/nodes/n1/drain", 200);
  doc.call("POST", "/api/v1/nodes/{node}/resume", "/api/v1/nodes/alpha/resume", 200);
  doc.call("POST", "/api/v1/specs", "/api/v1/specs", 201,
           "kind: job\nname: a\ncommand: [echo, hi]\nworkdir: sub\n---\nkind: service\nname: b\nmodel: w.gguf\n",
           {{"Content-Type", "application/yaml"}, {"X-File-Name", "both.yaml"}, {"X-Base-Dir", "/data"}});
  doc.call("POST", "/api/v1/jobs/{job}/stop", "/api/v1/jobs/train/stop", 200, "{}");
  doc.call("DELETE", "/api/v1/services/{service}", "/api/v1/services/chat", 200);
  centre.settle();
  doc.call("GET", "/api/v1/jobs/{job}", "/api/v1/jobs/j1", 200);

  doc.call("PUT", "/api/v1/tenants", "/api/v1/tenants", 200, R"({"name":"lab","chips_max":2,"tokens_per_day_max":1000})");
  doc.call("GET", "/api/v1/tenants", "/api/v1/tenants", 200);
  doc.call("GET", "/api/v1/scheduling", "/api/v1/scheduling", 200);
  doc.call("PUT", "/api/v1/scheduling", "/api/v1/scheduling", 200,
           R"({"policy":"fifo","round_s":300,"starvation_after_s":7200,"suspect_after":2,"quarantine":true,"market":{"reserve":0.1}})");
  doc.call("PUT", "/api/v1/scheduling", "/api/v1/scheduling", 400, R"({"policy":"lottery"})");
  doc.call("POST", "/api/v1/reservations", "/api/v1/reservations", 201,
           R"({"name":"night","tenant":"lab","kind":"cpu-core","chips":2,"from":"2030-01-01T00:00:00Z","for_s":60})");
  doc.call("POST", "/api/v1/reservations", "/api/v1/reservations", 201,
           R"({"name":"fans","maintenance":true,"nodes":["alpha"],"to":"2026-01-01T00:00:00Z"})");
  doc.call("GET", "/api/v1/reservations", "/api/v1/reservations", 200);
  doc.call("GET", "/api/v1/nodes/{node}", "/api/v1/nodes/alpha", 200);
  doc.call("DELETE", "/api/v1/reservations/{reservation}", "/api/v1/reservations/fans", 200);
  doc.call("DELETE", "/api/v1/reservations/{reservation}", "/api/v1/reservations/fans", 404);
  centre.make(ChipFailed{.chip = ChipId{1}, .reason = "worn"});
  doc.call("GET", "/api/v1/nodes/{node}", "/api/v1/nodes/alpha", 200);
  doc.call("POST", "/api/v1/chips/{chip}/repair", "/api/v1/chips/c1/repair", 200);
  doc.call("GET", "/api/v1/keys", "/api/v1/keys", 200);
  const auto events = centre.events();
  ASSERT_TRUE(centre.wait_for(*events, "event: usage"));
  doc.check_answer("GET", "/api/v1/events", 200,
                   {.status = events->status, .body = {}, .headers = {{"content-type", "text/event-stream"}}});

  // From here on every caller needs a key.
  const Reply made = doc.call("POST", "/api/v1/keys", "/api/v1/keys", 201, R"({"tenant":"lab","label":"x","role":"viewer"})");
  const Reply refused = centre.get("/api/v1/keys", text_at(made, "/key"));
  EXPECT_EQ(refused.status, 403);
  doc.check_answer("GET", "/api/v1/keys", 403, refused);
  const Reply revoked = centre.call("DELETE", "/api/v1/keys/k1", {}, centre.admin_key);
  doc.check_answer("DELETE", "/api/v1/keys/{key}", 200, revoked);
  EXPECT_EQ(revoked.status, 200) << revoked.body;

  std::set<std::string> called = doc.called();
  called.insert({"DELETE /api/v1/keys/{key}", "GET /api/v1/events"});
  EXPECT_EQ(called, doc.documented());
}

TEST(OpenApi, WhatIsNotDocumentedIsNotThere) {
  TestCentre centre;
  for (const char* path :
       {"/api/v1", "/api/v1/", "/api/v1/job", "/api/v1/jobs/", "/api/v1/jobs/j1/log", "/api/v1/jobs/j1/stop/now", "/api/v2/jobs",
        "/api/v1/keys/k1/x", "/api/v1/services/a/b/c", "/metrics/x", "/api", "/nothing", "/api/v1/openapi.yaml"}) {
    const Reply reply = centre.get(path);
    EXPECT_EQ(reply.status, 404) << path << ": " << reply.body;
    EXPECT_EQ(text_at(reply, "/error/kind"), "not_found") << path;
  }
  EXPECT_EQ(text_at(centre.get("/api/v1/job"), "/error/remedy"), "nearest: /api/v1/jobs");
  EXPECT_EQ(text_at(centre.get("/api/v1/jobs/j1/log"), "/error/remedy"), "nearest: /api/v1/jobs/j1/logs");
}

TEST(OpenApi, AnotherMethodIs405AndSaysWhich) {
  TestCentre centre;
  for (const auto& [method, path, allowed] : std::vector<std::tuple<const char*, const char*, const char*>>{
           {"DELETE", "/api/v1/jobs", "GET, POST"}, {"POST", "/api/v1/centre", "GET"}, {"PATCH", "/api/v1/services/x", "GET, DELETE"}}) {
    const Reply reply = centre.call(method, path);
    EXPECT_EQ(reply.status, 405) << path;
    EXPECT_EQ(reply.headers.at("allow"), allowed);
  }
}

TEST(OpenApi, PatternsAreTold) {
  std::set<std::pair<std::string, std::string>> seen;
  std::set<std::string> ids;
  for (const Operation& operation : operations()) {
    EXPECT_TRUE(seen.emplace(operation.method, operation.pattern).second) << operation.pattern;
    EXPECT_TRUE(ids.insert(operation.id).second) << operation.id;
    std::string path(operation.pattern);
    for (const std::string_view name : path_parameters(operation.pattern)) { path.replace(path.find('{'), name.size() + 2, "x"); }
    EXPECT_EQ(match(operation.method, path).operation, &operation) << path;
  }
}

TEST(SchemaChecker, NoticesWhatIsWrong) {
  simdjson::dom::parser schemas, values;
  const element schema = schemas.parse(
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"anyOf":[{"type":"string","enum":["x"]},{"type":"null"}]}},"required":["a","b"],"additionalProperties":false})"_padded);
  const SchemaChecker checker(schema);
  EXPECT_EQ(checker.check(schema, values.parse(R"({"a":1,"b":null})"_padded)), "");
  EXPECT_EQ(checker.check(schema, values.parse(R"({"a":1,"b":"x"})"_padded)), "");
  for (const char* wrong :
       {R"({"a":1})", R"({"a":1.5,"b":null})", R"({"a":"1","b":null})", R"({"a":1,"b":"y"})", R"({"a":1,"b":null,"c":1})", "[]"}) {
    EXPECT_NE(checker.check(schema, values.parse(std::string_view(wrong))), "") << wrong;
  }
}

}  // namespace
}  // namespace centrale::api
