// SPDX-License-Identifier: Apache-2.0
// The commands against a centre in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "cli/cli_testing.hpp"
#include "cli/context.hpp"
#include "cli/views.hpp"

namespace centrale::cli {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Commands : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("centrale-cli-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& name, const std::string& text) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path) << text;
    return path;
  }
  std::filesystem::path folder_;
};

constexpr const char* kJob = "kind: job\nname: small\ncommand: [./train, \"300\"]\nworkdir: data\n";

TEST_F(Commands, NodesShowsNodesAndChips) {
  FakeApi api = small_centre();
  const Ran ran = run(api, {"nodes"});
  EXPECT_EQ(ran.code, kExitOk);
  EXPECT_EQ(ran.out,
            "NODE  NAME  STATE  CHIPS         FREE    MEMORY   SINCE\n"
            "n1    vm    up     2 × cpu-core   1/2  24.0 GiB  1h 00m\n"
            "\n"
            "CHIP  NODE  KIND      #  HEALTH  BUSY    MEMORY  POWER     PRICE/H  HELD BY\n"
            "c1    vm    cpu-core  0  ok       61%  12.0 GiB  5.0 W  0.0900 EUR  small (j1)\n"
            "c2    vm    cpu-core  1  ok        2%  12.0 GiB  5.0 W  0.0900 EUR  free\n");
}

TEST_F(Commands, DrainAndResumeNameTheNode) {
  FakeApi api;
  api.on("POST /api/v1/nodes/n1/drain", 200, R"({"id":"n1","name":"vm","state":"drained","chips":[{"id":"c1","holder":{"task":"t1"}}]})");
  api.on("POST /api/v1/nodes/n1/resume", 200, R"({"id":"n1","name":"vm","state":"up","chips":[]})");
  EXPECT_EQ(run(api, {"nodes", "drain", "n1"}).out, "n1 (vm) is drained; what runs on 1 of its chips goes on to its end\n");
  EXPECT_EQ(run(api, {"nodes", "resume", "n1"}).out, "n1 (vm) is up\n");
}

TEST_F(Commands, PsListsWhatIsUnderWay) {
  FakeApi api = small_centre();
  const Ran ran = run(api, {"ps"});
  EXPECT_EQ(ran.code, kExitOk);
  EXPECT_EQ(ran.out,
            "JOB  NAME   TENANT   STATE    CHIPS  NODE  DONE   LOSS  TIME  LEFT     AGE\n"
            "j1   small  default  running      1  vm     40%  2.914  50 s  40 s  1m 00s\n");
}

TEST_F(Commands, PsFollowsPagesAndSaysWhenThereIsMore) {
  FakeApi api;
  api.on("GET /api/v1/jobs?limit=2", 200, jobs_page({job_json("j9", "a", "done"), job_json("j8", "b", "done")}, "\"j8\""));
  const Ran cut_off = run(api, {"ps", "--all", "--limit", "2"});
  EXPECT_THAT(cut_off.out, HasSubstr("j8"));
  EXPECT_THAT(cut_off.err, HasSubstr("--limit"));
  api.answers.clear();
  api.on("GET /api/v1/jobs?limit=500&state=done", 200, jobs_page({job_json("j9", "a", "done")}, "\"j9\""));
  api.on("GET /api/v1/jobs?limit=500&state=done&before=j9", 200, jobs_page({job_json("j8", "b", "done")}));
  const Ran all = run(api, {"ps", "--state", "done", "--limit", "1000", "--json"});
  EXPECT_EQ(read_jobs(all.out).jobs.size(), 2U);
  EXPECT_TRUE(is_json(all.out));
}

TEST_F(Commands, PsOfNothingSaysWhatToDo) {
  FakeApi api;
  for (const char* state : {"running", "starting", "stopping", "queued"}) {
    api.on(std::string("GET /api/v1/jobs?limit=100&state=") + state, 200, jobs_page({}));
  }
  const Ran ran = run(api, {"ps"});
  EXPECT_EQ(ran.code, kExitOk);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr("centrale ps --all"));
  EXPECT_EQ(run(api, {"ps", "--json"}).out, "{\"jobs\":[]}\n");
}

TEST_F(Commands, SubmitSendsTheSpecWithItsPathsResolved) {
  FakeApi api;
  api.on("POST /api/v1/jobs", 201, job_json("j1", "small", "queued"));
  const Ran ran = run(api, {"submit", file("job.yaml", kJob)});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out, "submitted j1 (small)\n");
  const std::string body = api.body_of("POST /api/v1/jobs");
  EXPECT_TRUE(is_json(body));
  EXPECT_THAT(body, HasSubstr("\"workdir\":\"" + (folder_ / "data").string() + "\""));
  EXPECT_THAT(body, HasSubstr("\"command\":[\"./train\",\"300\"]"));  // relative to the working folder: stays as it is
}

TEST_F(Commands, SubmitShowsTheLineOfAMistakeAndSendsNothing) {
  FakeApi api;
  const std::string wrong = file("wrong.yaml", "kind: job\nname: small\ncommnd: [x]\n");
  const Ran ran = run(api, {"submit", file("job.yaml", kJob), wrong});
  EXPECT_EQ(ran.code, kExitInput);
  EXPECT_EQ(ran.err, "centrale: " + wrong + ":3: unknown key 'commnd'; nearest: command\n");
  EXPECT_TRUE(api.asked.empty());
  const Ran missing = run(api, {"submit", "nowhere.yaml"});
  EXPECT_EQ(missing.code, kExitInput);
  EXPECT_THAT(missing.err, StartsWith("centrale: nowhere.yaml: cannot be read"));
  EXPECT_EQ(run(api, {"submit", "--check", file("job.yaml", kJob)}).out, "1 spec is right\n");
  EXPECT_TRUE(api.asked.empty());
}

TEST_F(Commands, SubmitSaysWhatTheCentreRefused) {
  FakeApi api;
  api.on(
      "POST /api/v1/jobs", 400,
      R"({"error":{"kind":"invalid","what":"no node has 8 chips of kind h100","where":null,"remedy":"most on one node: 4","message":"x"}})");
  const Ran ran = run(api, {"submit", file("job.yaml", kJob)});
  EXPECT_EQ(ran.code, kExitInput);
  EXPECT_EQ(ran.err, "centrale: no node has 8 chips of kind h100; most on one node: 4\n");
}

TEST_F(Commands, SubmitFollowsToTheEnd) {
  FakeApi api;
  api.on("POST /api/v1/jobs", 201, job_json("j1", "small", "queued"));
  api.on("GET /api/v1/jobs/j1", 200, job_json("j1", "small", "running"));
  api.streams["GET /api/v1/events"] = {
      "event: hello\ndata: {}\n\nevent: job\ndata: " + job_json("j7", "other", "failed") + "\n\n",
      "event: job\ndata: " + job_json("j1", "small", "running", R"("progress":{"step":150,"steps":300,"loss":3.1})") + "\n\n",
      "event: job\ndata: " + job_json("j1", "small", "done", R"("progress":{"step":300,"steps":300,"loss":2.5})") + "\n\n"};
  const Ran ran = run(api, {"submit", "--follow", file("job.yaml", kJob)}, true, 80);
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("small  done       300/300 steps  loss 2.5  in 50 s\n"));
  EXPECT_THAT(ran.out, HasSubstr("\x1b[1A"));  // drawn in place
  EXPECT_THAT(ran.out, Not(HasSubstr("other")));
}

TEST_F(Commands, SubmitThatFailsSaysWhy) {
  FakeApi api;
  api.on("POST /api/v1/jobs", 201, job_json("j1", "small", "queued"));
  api.on("GET /api/v1/jobs/j1", 200, job_json("j1", "small", "failed"));
  api.on("GET /api/v1/jobs/j1/logs?rank=0&stream=err&tail=10", 200,
         R"({"text":"no such file: corpus.txt\n","offset":0,"next":25,"complete":true})");
  const Ran ran = run(api, {"submit", "--wait", file("job.yaml", kJob)});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(ran.err, "small: failed\nno such file: corpus.txt\nsee all of it: centrale logs j1 --err\n");
  const Ran json = run(api, {"submit", "--wait", "--json", file("job.yaml", kJob)});
  EXPECT_EQ(json.code, kExitFailed);
  EXPECT_TRUE(is_json(json.out)) << json.out;
  EXPECT_EQ(read_jobs(json.out).jobs.at(0).state, "failed");
}

TEST_F(Commands, AnArrayIsFollowedAsAWhole) {
  const auto member = [](int id, int index, const std::string& state) {
    std::string text = job_json("j" + std::to_string(id), "sweep", state);
    text.replace(text.find(R"("array_index":null,"array_size":null)"), 36,
                 R"("array_index":)" + std::to_string(index) + R"(,"array_size":3)");
    return text;
  };
  FakeApi api;
  api.on("POST /api/v1/jobs", 201, member(4, 0, "queued"));
  for (int i = 0; i < 3; ++i) { api.on("GET /api/v1/jobs/j" + std::to_string(4 + i), 200, member(4 + i, i, i == 2 ? "failed" : "done")); }
  const Ran ran = run(api, {"submit", "--wait", file("job.yaml", std::string(kJob) + "array: 3\n")});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.out, HasSubstr("submitted j4 (sweep) and 2 more of its array"));
  EXPECT_TRUE(api.was_asked("GET /api/v1/jobs/j6"));
  // By its name the array is stopped as a whole; a member that has ended is no error.
  api.on("GET /api/v1/jobs/sweep", 200, member(6, 2, "running"));
  api.on("POST /api/v1/jobs/j4/stop", 409,
         R"({"error":{"kind":"conflict","what":"j4 has ended","where":null,"remedy":null,"message":""}})");
  api.on("POST /api/v1/jobs/j5/stop", 200, member(5, 1, "stopping"));
  api.on("POST /api/v1/jobs/j6/stop", 200, member(6, 2, "cancelled"));
  const Ran stopped = run(api, {"stop", "sweep"});
  EXPECT_EQ(stopped.code, kExitOk) << stopped.err;
  EXPECT_EQ(stopped.out, "j5 (sweep) saves and leaves (stopping)\nj6 (sweep) is cancelled\n");
}

TEST_F(Commands, LogsPrintsAllPagesOnce) {
  FakeApi api = small_centre();
  api.on("GET /api/v1/jobs/j1/logs?rank=0&stream=out", 200, R"({"text":"one\n","offset":0,"next":4,"complete":false})");
  api.on("GET /api/v1/jobs/j1/logs?rank=0&stream=out&offset=4", 200, R"({"text":"two\n","offset":4,"next":8,"complete":true})");
  api.on("GET /api/v1/jobs/j1/logs?rank=0&stream=out&offset=8", 200, R"({"text":"","offset":8,"next":8,"complete":true})");
  EXPECT_EQ(run(api, {"logs", "small"}).out, "one\ntwo\n");
}

TEST_F(Commands, LogsFollowsFromOneAttemptToTheNext) {
  FakeApi api = small_centre();
  const auto attempt = [](int n, const std::string& state) {
    std::string text = job_json("j1", "small", state);
    text.replace(text.find("\"attempts\":1"), 12, "\"attempts\":" + std::to_string(n));
    return text;
  };
  api.answers["GET /api/v1/jobs/j1"] = {
      {200, attempt(1, "running")}, {200, attempt(1, "running")}, {200, attempt(2, "running")}, {200, attempt(2, "done")}};
  api.on("GET /api/v1/jobs/j1/logs?rank=0&stream=out&attempt=1", 200, R"({"text":"a\n","offset":0,"next":2,"complete":true})");
  api.on("GET /api/v1/jobs/j1/logs?rank=0&stream=out&offset=2&attempt=1", 200, R"({"text":"","offset":2,"next":2,"complete":true})");
  api.on("GET /api/v1/jobs/j1/logs?rank=0&stream=out&attempt=2", 200, R"({"text":"b\n","offset":0,"next":2,"complete":true})");
  api.on("GET /api/v1/jobs/j1/logs?rank=0&stream=out&offset=2&attempt=2", 200, R"({"text":"","offset":2,"next":2,"complete":true})");
  const Ran ran = run(api, {"logs", "-f", "j1"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out, "a\nb\n");
  EXPECT_THAT(ran.err, HasSubstr("attempt 2 of j1"));
}

TEST_F(Commands, LogsFollowsAJobThatHasNotStartedYet) {
  FakeApi api;
  std::string queued = job_json("j1", "small", "queued");
  queued.replace(queued.find("\"attempts\":1"), 12, "\"attempts\":0");
  api.answers["GET /api/v1/jobs/j1"] = {
      {200, queued}, {200, queued}, {200, job_json("j1", "small", "running")}, {200, job_json("j1", "small", "done")}};
  api.on("GET /api/v1/jobs/j1/logs?rank=0&stream=out&attempt=1", 200, R"({"text":"a\n","offset":0,"next":2,"complete":true})");
  api.on("GET /api/v1/jobs/j1/logs?rank=0&stream=out&offset=2&attempt=1", 200, R"({"text":"","offset":2,"next":2,"complete":true})");
  const Ran ran = run(api, {"logs", "-f", "j1"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out, "a\n");  // once
  EXPECT_EQ(ran.err, "j1 has not started yet: queued\n");
}

TEST_F(Commands, LogsOfAServiceAsksForItsReplica) {
  FakeApi api = small_centre();
  api.on("GET /api/v1/services/s1/logs?replica=1&stream=err&tail=5", 200, R"({"text":"loaded\n","offset":90,"next":97,"complete":false})");
  api.on("GET /api/v1/services/s1/logs?replica=1&stream=err&offset=97", 200, R"({"text":"","offset":97,"next":97,"complete":false})");
  EXPECT_EQ(run(api, {"logs", "chat", "--err", "--rank", "1", "--tail", "5"}).out, "loaded\n");
}

TEST_F(Commands, StopFindsJobsAndServicesAndStopsNothingAtAMistypedWord) {
  FakeApi api = small_centre();
  api.on("POST /api/v1/jobs/j1/stop", 200, job_json("j1", "small", "stopping"));
  api.on("DELETE /api/v1/services/s1", 200, service_json("s1", "chat", "removing", 1, 1));
  EXPECT_EQ(run(api, {"stop", "small", "nothing"}).code, kExitFailed);
  EXPECT_FALSE(api.was_asked("POST /api/v1/jobs/j1/stop"));
  const Ran ran = run(api, {"stop", "small", "chat"});
  EXPECT_EQ(ran.code, kExitOk);
  EXPECT_EQ(ran.out, "j1 (small) saves and leaves (stopping)\ns1 (chat) finishes what is open and leaves\n");
  EXPECT_TRUE(is_json(run(api, {"stop", "--json", "small", "chat"}).out));
}

TEST_F(Commands, ANameThatIsBothAJobAndAServiceMustBeSaidByItsId) {
  FakeApi api = small_centre();
  api.on("GET /api/v1/services/small", 200, service_json("s2", "small", "ready", 1, 1));
  const Ran ran = run(api, {"stop", "small"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(ran.err, "centrale: 'small' is the name of a job and of a service; say which: j1 or s2\n");
}

TEST_F(Commands, WaitTellsByItsExitCode) {
  FakeApi api;
  api.on("GET /api/v1/jobs/a", 200, job_json("j1", "a", "running"));
  api.answers["GET /api/v1/jobs/j1"] = {{200, job_json("j1", "a", "running")}, {200, job_json("j1", "a", "done")}};
  api.streams["GET /api/v1/events"] = {"event: job\ndata: " + job_json("j1", "a", "done") + "\n\n"};
  const Ran done = run(api, {"wait", "a"});
  EXPECT_EQ(done.code, kExitOk) << done.err;
  EXPECT_EQ(done.out, "j1 (a) is done\n");
  api.on("GET /api/v1/jobs/b", 200, job_json("j2", "b", "failed"));
  EXPECT_EQ(run(api, {"wait", "a", "b"}).code, kExitFailed);
  api.on("GET /api/v1/jobs/c", 200, job_json("j3", "c", "running"));
  api.on("GET /api/v1/jobs/j3", 200, job_json("j3", "c", "running"));
  EXPECT_EQ(run(api, {"wait", "c", "--timeout", "0.05"}).code, kExitTimeout);
}

TEST_F(Commands, ServeWaitsUntilTheServiceAnswers) {
  FakeApi api;
  api.on("PUT /api/v1/services", 201, service_json("s1", "chat", "starting", 0, 1));
  api.answers["GET /api/v1/services/s1"] = {{200, service_json("s1", "chat", "starting", 0, 1)}};
  api.streams["GET /api/v1/events"] = {"event: service\ndata: " + service_json("s1", "chat", "ready", 1, 1) + "\n\n"};
  const std::string spec = file("serve.yaml", "kind: service\nname: chat\nmodel: models/x.gguf\n");
  const Ran ran = run(api, {"serve", "--wait", spec});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("chat answers at http://127.0.0.1:7070/v1/chat/completions"));
  EXPECT_THAT(api.body_of("PUT /api/v1/services"), HasSubstr("\"model\":\"" + (folder_ / "models/x.gguf").string() + "\""));
  EXPECT_EQ(run(api, {"serve", file("job.yaml", kJob)}).code, kExitInput);
}

TEST_F(Commands, ServeGivesUpOnAServiceThatKeepsFailing) {
  FakeApi api;
  api.on("PUT /api/v1/services", 201, service_json("s1", "chat", "starting", 0, 1));
  api.on("GET /api/v1/services/s1", 200, service_json("s1", "chat", "starting", 0, 1, 3));
  const Ran ran = run(api, {"serve", "--wait", file("serve.yaml", "kind: service\nname: chat\nmodel: job:small\n")});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.err, HasSubstr("chat replica 0: exit code 1"));
  EXPECT_THAT(ran.err, HasSubstr("centrale logs chat --err"));
}

TEST_F(Commands, ScaleNamesTheServiceByItsId) {
  FakeApi api = small_centre();
  api.on("POST /api/v1/services/s1/scale", 200, service_json("s1", "chat", "degraded", 1, 3));
  EXPECT_EQ(run(api, {"scale", "chat", "3"}).out, "s1 (chat): 1 of 3 replicas ready\n");
  EXPECT_EQ(api.body_of("POST /api/v1/services/s1/scale"), R"({"replicas":3})");
}

TEST_F(Commands, UsageByTenantMarksWhatIsEstimated) {
  FakeApi api = small_centre();
  EXPECT_EQ(run(api, {"usage"}).out,
            "TENANT   ID  CHIP TIME     ENERGY  TRAINED  REQUESTS  TOKENS IN  TOKENS OUT      COST\n"
            "default  u1     2h 00m  ~1.00 kWh  245,760         3         10          20  1.50 EUR\n");
  EXPECT_THAT(run(api, {"usage", "--by", "job"}).err, HasSubstr("nothing used yet by any job"));
}

TEST_F(Commands, TenantsKeepWhatIsNotGiven) {
  FakeApi api = small_centre();
  api.on("PUT /api/v1/tenants", 200,
         R"({"id":"u1","name":"default","chips_max":4,"chips_held":0,"tokens_per_day_max":1000,"tokens_today":0})");
  const Ran ran = run(api, {"tenants", "set", "default", "--tokens-per-day", "1000"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(api.body_of("PUT /api/v1/tenants"), R"({"name":"default","chips_max":4,"tokens_per_day_max":1000})");
  EXPECT_THAT(run(api, {"tenants"}).out, HasSubstr("no limit"));
}

TEST_F(Commands, KeysAreShownOnceAndAloneOnStdout) {
  FakeApi api = small_centre();
  api.on("POST /api/v1/keys", 201,
         R"({"id":"k3","tenant":"default","label":"ci","role":"user","key":"ck-123","added":"2025-11-24T12:00:00Z","revoked":false})");
  api.on("DELETE /api/v1/keys/k3", 200, R"({"id":"k3","revoked":true})");
  const Ran made = run(api, {"keys", "add", "--label", "ci"});
  EXPECT_EQ(made.out, "ck-123\n");
  EXPECT_THAT(made.err, HasSubstr("shown this once"));
  EXPECT_THAT(run(api, {"keys"}).out, Not(HasSubstr("k2")));  // revoked
  EXPECT_THAT(run(api, {"keys", "--all"}).out, HasSubstr("k2"));
  EXPECT_EQ(run(api, {"keys", "revoke", "k3"}).out, "k3 is revoked\n");
}

TEST_F(Commands, ChatStreamsTheAnswer) {
  FakeApi api;
  const auto delta = [](const std::string& text) { return R"(data: {"choices":[{"delta":{"content":")" + text + "\"}}]}\n\n"; };
  api.streams["POST /v1/chat/completions"] = {delta("Hel"), delta("lo"), "data: {\"choices\":[]}\n\ndata: [DONE]\n\n"};
  const Ran ran = run(api, {"chat", "chat", "say \"hello\"", "--max-tokens", "5"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out, "Hello\n");
  EXPECT_EQ(api.body_of("POST /v1/chat/completions"),
            R"({"model":"chat","messages":[{"role":"user","content":"say \"hello\""}],"max_tokens":5,"stream":true})");
  api.streams["POST /v1/chat/completions"] = {delta("Hel")};
  const Ran broken = run(api, {"chat", "chat", "x"});
  EXPECT_EQ(broken.code, kExitFailed);
  EXPECT_THAT(broken.err, HasSubstr("broke off"));
}

TEST_F(Commands, ACentreThatIsNotThereIsExitCode3) {
  FakeApi api;
  api.unreachable = true;
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"nodes"},
                                                                                     {"ps"},
                                                                                     {"services"},
                                                                                     {"usage"},
                                                                                     {"top"},
                                                                                     {"logs", "x"},
                                                                                     {"stop", "x"},
                                                                                     {"wait", "x"},
                                                                                     {"keys"},
                                                                                     {"tenants"},
                                                                                     {"openapi"},
                                                                                     {"chat", "m", "x"}}) {
    const Ran ran = run(api, words);
    EXPECT_EQ(ran.code, kExitUnreachable) << words.front();
    EXPECT_EQ(ran.out, "") << words.front();
    EXPECT_NE(ran.err, "") << words.front();
  }
  EXPECT_EQ(run(api, {"nodes"}).err, "centrale: no centre answers at http://127.0.0.1:7070; start one with: centrale up\n");
}

TEST_F(Commands, ErrorsAreJsonForPrograms) {
  FakeApi api;
  api.on("GET /api/v1/nodes", 401, R"({"error":{"kind":"unauthorized","what":"no key","where":null,"remedy":null,"message":"no key"}})");
  const Ran ran = run(api, {"nodes", "--json"});
  EXPECT_EQ(ran.code, kExitDenied);
  EXPECT_TRUE(is_json(ran.err));
  EXPECT_THAT(ran.err, HasSubstr(R"("kind":"unauthorized")"));
  EXPECT_THAT(run(api, {"nodes"}).err, HasSubstr("CENTRALE_KEY"));  // the remedy
}

TEST_F(Commands, AStrangerOnThePortIsSaidToBeOne) {
  FakeApi api;
  api.on("GET /api/v1/nodes", 200, "<html>hello</html>");
  api.on("GET /api/v1/usage", 500, "<html>oops</html>");
  EXPECT_EQ(run(api, {"nodes"}).code, kExitUnreachable);
  EXPECT_THAT(run(api, {"usage"}).err, HasSubstr("answered 500"));
}

TEST_F(Commands, AnOlderOrNewerCentreIsNoError) {
  FakeApi api;
  api.on("GET /api/v1/nodes", 200, R"({"nodes":[{"id":"n1","new_field":{"a":[1]},"chips":[{"id":7,"holder":"x"},{}]},{}],"more":1})");
  api.on("GET /api/v1/services", 200, R"({"services":[{"id":"s1","replicas":"many"}]})");
  api.on("GET /api/v1/usage", 200, R"({"tenants":[{"name":"default","cost":"0.25"}]})");
  for (const char* command : {"nodes", "services", "usage"}) {
    const Ran ran = run(api, {command});
    EXPECT_EQ(ran.code, kExitOk) << ran.err;
    EXPECT_NE(ran.out, "");
  }
  EXPECT_THAT(run(api, {"usage"}).out, HasSubstr("0.2500"));  // a decimal as text
}

TEST_F(Commands, EveryJsonOutputIsOneJsonValue) {
  FakeApi api = small_centre();
  api.on("POST /api/v1/jobs", 201, job_json("j1", "small", "queued"));
  const std::string job = file("job.yaml", kJob);
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"nodes"},
                                                                                     {"ps"},
                                                                                     {"ps", "--all"},
                                                                                     {"services"},
                                                                                     {"usage"},
                                                                                     {"usage", "--by", "job"},
                                                                                     {"tenants"},
                                                                                     {"keys"},
                                                                                     {"top"},
                                                                                     {"openapi"},
                                                                                     {"schema"},
                                                                                     {"version"},
                                                                                     {"completion", "bash"},
                                                                                     {"submit", job},
                                                                                     {"submit", "--check", job},
                                                                                     {"man", (folder_ / "man").string()}}) {
    std::vector<std::string> with = words;
    with.push_back("--json");
    const Ran ran = run(api, with);
    EXPECT_EQ(ran.code, kExitOk) << words.front() << ran.err;
    EXPECT_TRUE(is_json(ran.out)) << words.front() << ": " << ran.out;
  }
}

TEST_F(Commands, NothingIsColouredWithoutATerminal) {
  FakeApi api = small_centre();
  for (const char* command : {"nodes", "ps", "services", "usage", "keys", "top"}) {
    EXPECT_THAT(run(api, {command}).out, Not(HasSubstr("\x1b"))) << command;
  }
}

TEST_F(Commands, NoNameDrivesTheTerminal) {
  FakeApi api;
  api.on("GET /api/v1/services", 200, R"({"services":[{"id":"s1","name":"x\u001b[2Jy","state":"ready"}]})");
  EXPECT_THAT(run(api, {"services"}).out, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace centrale::cli
