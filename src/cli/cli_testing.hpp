// SPDX-License-Identifier: Apache-2.0
// A centre in memory for the tests of the commands: canned answers that follow docs/api.md, and a record of what was asked.
#pragma once
#include <deque>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "cli/command_line.hpp"

namespace centrale::cli::testing {

class CannedStream : public Stream {
 public:
  CannedStream(int status, std::deque<std::string> parts) : status_(status), parts_(std::move(parts)) {}
  int status() const override { return status_; }
  Part next(std::chrono::milliseconds, int) override {
    if (parts_.empty()) { return {Part::Kind::end, {}}; }
    std::string bytes = std::move(parts_.front());
    parts_.pop_front();
    return {Part::Kind::bytes, std::move(bytes)};
  }

 private:
  int status_;
  std::deque<std::string> parts_;
};

class FakeApi : public Api {
 public:
  struct Asked {
    std::string what, body;
  };
  std::map<std::string, std::deque<Answer>> answers;  // "GET /api/v1/jobs/j1"; the last one repeats
  std::map<std::string, std::deque<std::string>> streams;
  std::vector<Asked> asked;
  bool unreachable = false;

  void on(const std::string& what, int status, std::string body) { answers[what].push_back({status, std::move(body)}); }

  Result<Answer> call(std::string_view method, std::string_view target, std::string_view body) override {
    const std::string what = std::string(method) + " " + std::string(target);
    asked.push_back({what, std::string(body)});
    if (unreachable) { return fail(ErrorKind::unavailable, "no centre answers at " + url_, {}, "start one with: centrale up"); }
    const auto it = answers.find(what);
    if (it == answers.end()) {
      return Answer{404, R"({"error":{"kind":"not_found","what":"nothing at )" + std::string(target) +
                             R"(","where":null,"remedy":null,"message":"nothing there"}})"};
    }
    Answer answer = it->second.front();
    if (it->second.size() > 1) { it->second.pop_front(); }
    return answer;
  }
  Result<std::unique_ptr<Stream>> stream(std::string_view method, std::string_view target, std::string_view body) override {
    const std::string what = std::string(method) + " " + std::string(target);
    asked.push_back({what, std::string(body)});
    const auto it = streams.find(what);
    if (unreachable || it == streams.end()) { return fail(ErrorKind::unavailable, "no stream here"); }
    return std::make_unique<CannedStream>(200, std::exchange(it->second, {}));
  }
  const std::string& url() const override { return url_; }

  [[nodiscard]] bool was_asked(const std::string& what) const {
    for (const Asked& a : asked) {
      if (a.what == what) { return true; }
    }
    return false;
  }
  [[nodiscard]] std::string body_of(const std::string& what) const {
    for (const Asked& a : asked) {
      if (a.what == what) { return a.body; }
    }
    return {};
  }

 private:
  std::string url_ = "http://127.0.0.1:7070";
};

struct Ran {
  int code = 0;
  std::string out, err;
};

/// 2025-11-24T12:00:00Z
inline constexpr double kNow = 1763985600;

/// Runs a command line against the fake.
inline Ran run(FakeApi& api, const std::vector<std::string>& words, bool terminal = false, std::size_t width = 0) {
  class Borrowed : public Api {  // the context owns its Api, the test keeps the fake
   public:
    explicit Borrowed(FakeApi& fake) : fake_(fake) {}
    Result<Answer> call(std::string_view m, std::string_view t, std::string_view b) override { return fake_.call(m, t, b); }
    Result<std::unique_ptr<Stream>> stream(std::string_view m, std::string_view t, std::string_view b) override {
      return fake_.stream(m, t, b);
    }
    const std::string& url() const override { return fake_.url(); }

   private:
    FakeApi& fake_;
  };
  std::ostringstream out;
  std::ostringstream err;
  Context context(out, err);
  context.api = std::make_unique<Borrowed>(api);
  context.out_is_terminal = terminal;
  context.width = width;
  context.height = terminal ? 24 : 0;
  context.now = [] { return kNow; };
  context.pause = [](Signals&, std::chrono::milliseconds) {};
  Ran ran;
  ran.code = run_command_line(words, context, nullptr);
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

inline std::string job_json(const std::string& id, const std::string& name, const std::string& state, const std::string& more = {}) {
  return R"({"id":")" + id + R"(","name":")" + name + R"(","tenant":"default","state":")" + state +
         R"(","wait":null,"priority":0,"workers":1,"chips":1,"chip_kinds":[],"array_index":null,"array_size":null,"attempts":1,"failures":0,)"
         R"("restarts":3,"task":"t1","placement":[{"node":"vm","chip":"c1","kind":"cpu-core"}],"submitted":"2025-11-24T11:59:00Z",)"
         R"("started":"2025-11-24T11:59:10Z","finished":null,"runtime_s":50.0,"message":"","command":["train"],"after":[],)"
         R"("checkpoints":null,"workdir":"/w","usage":{"name":")" +
         name + R"(","id":")" + id +
         R"(","device_s":50.0,"energy_j":250.0,"energy_estimated":true,"tokens_trained":2048,"requests":0,"prompt_tokens":0,)"
         R"("completion_tokens":0,"estimated_tokens":0,"cost":0.0012})" +
         (more.empty() ? R"(,"progress":null)" : "," + more) + "}";
}

inline std::string service_json(const std::string& id, const std::string& name, const std::string& state, int ready, int wanted,
                                int failures = 0) {
  return R"({"id":")" + id + R"(","name":")" + name + R"(","tenant":"default","model":"job:small","state":")" + state +
         R"(","replicas_wanted":)" + std::to_string(wanted) + R"(,"replicas_ready":)" + std::to_string(ready) +
         R"(,"generation":1,"priority":10,"chips":1,"replicas":[{"ordinal":0,"task":"t9","state":"running","ready":)" +
         (ready > 0 ? "true" : "false") + R"(,"port":8000,"node":"vm","message":")" + (failures > 0 ? "exit code 1" : "") +
         R"(","failures":)" + std::to_string(failures) +
         R"(}],"defined":"2025-11-24T11:58:00Z","usage":{"name":"chat","id":"s1","device_s":10,"energy_j":50,)"
         R"("energy_estimated":true,"tokens_trained":0,"requests":3,"prompt_tokens":10,"completion_tokens":20,"estimated_tokens":0,"cost":0.5}})";
}

inline std::string jobs_page(const std::vector<std::string>& jobs, const std::string& next = "null") {
  std::string out = R"({"jobs":[)";
  for (std::size_t i = 0; i < jobs.size(); ++i) { out += (i > 0 ? "," : "") + jobs[i]; }
  return out + R"(],"next":)" + next + "}";
}

/// The centre of most tests: one node of two chips, one running job, one service.
inline FakeApi small_centre() {
  FakeApi api;
  const std::string progress =
      R"("progress":{"step":120,"steps":300,"loss":2.914,"tokens":245760,"tokens_per_s":9120,"eta_s":40,"checkpoint":null})";
  const std::string job = job_json("j1", "small", "running", progress);
  api.on(
      "GET /api/v1/centre", 200,
      R"({"name":"lab","version":"0.1.0","now":"2025-11-24T12:00:00Z","started_at":"2025-11-24T11:00:00Z","uptime_s":3600,"currency":"EUR",)"
      R"("policy":"fifo","sequence":9,"journal":{"ok":true,"message":"","kind":"sqlite"},"chips":{"total":2,"busy":1,"free":1,"failed":0},)"
      R"("jobs":{"queued":0,"starting":0,"running":1,"stopping":0,"done":0,"failed":0,"cancelled":0},"services":{"total":1,"ready":1},"address":"http://127.0.0.1:7070"})");
  api.on("GET /api/v1/nodes", 200,
         R"({"nodes":[{"id":"n1","name":"vm","state":"up","memory_bytes":25769803776,"since":"2025-11-24T11:00:00Z","chips":[)"
         R"({"id":"c1","kind":"cpu-core","index":0,"health":"ok","memory_bytes":12884901888,"power_w":5.0,"price_per_hour":0.09,)"
         R"("holder":{"task":"t1","job":"j1","service":null,"name":"small"},"utilisation":0.61,"power_now_w":null},)"
         R"({"id":"c2","kind":"cpu-core","index":1,"health":"ok","memory_bytes":12884901888,"power_w":5.0,"price_per_hour":0.09,)"
         R"("holder":null,"utilisation":0.02,"power_now_w":null}]}],"next":null})");
  for (const char* state : {"running", "starting", "stopping", "queued", "done", "failed", "cancelled"}) {
    for (const char* limit : {"100", "200", "20"}) {
      api.on(std::string("GET /api/v1/jobs?limit=") + limit + "&state=" + state, 200,
             jobs_page(std::string(state) == "running" ? std::vector{job} : std::vector<std::string>{}));
      api.on(std::string("GET /api/v1/jobs?state=") + state + "&limit=" + limit, 200,
             jobs_page(std::string(state) == "running" ? std::vector{job} : std::vector<std::string>{}));
    }
  }
  api.on("GET /api/v1/jobs?limit=100", 200, jobs_page({job}));
  api.on("GET /api/v1/jobs/j1", 200, job);
  api.on("GET /api/v1/jobs/small", 200, job);
  api.on("GET /api/v1/services", 200, R"({"services":[)" + service_json("s1", "chat", "ready", 1, 1) + R"(],"next":null})");
  api.on("GET /api/v1/services/chat", 200, service_json("s1", "chat", "ready", 1, 1));
  api.on("GET /api/v1/services/s1", 200, service_json("s1", "chat", "ready", 1, 1));
  api.on(
      "GET /api/v1/usage", 200,
      R"({"currency":"EUR","tenants":[{"name":"default","id":"u1","device_s":7200,"energy_j":3600000,"energy_estimated":true,"tokens_trained":245760,)"
      R"("requests":3,"prompt_tokens":10,"completion_tokens":20,"estimated_tokens":0,"cost":1.5}],"jobs":[],"services":[]})");
  api.on(
      "GET /api/v1/tenants", 200,
      R"({"tenants":[{"id":"u1","name":"default","chips_max":4,"chips_held":1,"tokens_per_day_max":0,"tokens_today":30,"usage":null}],"next":null})");
  api.on("GET /api/v1/keys", 200,
         R"({"keys":[{"id":"k1","tenant":"default","label":"laptop","role":"admin","added":"2025-11-24T11:00:00Z","revoked":false},)"
         R"({"id":"k2","tenant":"default","label":"old","role":"user","added":"2025-11-20T11:00:00Z","revoked":true}],"next":null})");
  api.on("GET /api/v1/openapi.json", 200, R"({"openapi":"3.1.0"})");
  return api;
}

}  // namespace centrale::cli::testing
