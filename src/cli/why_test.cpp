// SPDX-License-Identifier: Apache-2.0
// What `centrale why` says, from canned answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/cli_testing.hpp"
#include "cli/why_view.hpp"

namespace centrale::cli {
namespace {

using namespace testing;
using ::testing::HasSubstr;

std::string why_json(const std::string& state, const std::string& cause, const std::string& reason, const std::string& more) {
  std::string job = job_json("j12", "train-b", state);
  job.replace(job.find(R"("workers":1,"chips":1)"), 21, R"("workers":8,"chips":1)");
  return R"({"job":)" + job + R"(,"cause":")" + cause + R"(","reason":")" + reason + "\"," + more + "}";
}

constexpr const char* kForecast =
    R"("forecast":{"from":"2025-11-24T12:00:00Z","horizon_s":2592000,"draws":20,"start_share":1,"end_share":1,)"
    R"("start":{"p10_s":4810,"p50_s":7790,"p90_s":13190},"end":{"p10_s":8000,"p50_s":11400,"p90_s":null},"before":3,"earlier":[]})";

TEST(WhyCommand, ShortOfChips) {
  FakeApi api;
  api.on("GET /api/v1/jobs/train-b/why", 200,
         why_json("queued", "chips", "not enough chips",
                  R"("waits_for":[],"until":null,"ahead":4,"kinds":[{"kind":"h100","usable":16,"free":3,"workers_now":3,"allowed":true}],)"
                  R"("holders":[{"kind":"h100","chips":12,"job":"j3","service":null,"name":"big","left_s":2400},)"
                  R"({"kind":"h100","chips":1,"job":null,"service":null,"name":null,"left_s":null}],"holders_more":2,)"
                  R"("remedies":[{"what":"fewer_workers","kind":"h100","workers":3,"chips":1,"share_milli":1000,"nodes":[],"run_s":18000},)"
                  R"({"what":"other_kind","kind":"a100","workers":8,"chips":1,"share_milli":1000,"nodes":[],"run_s":null},)"
                  R"({"what":"nodes_back","kind":"h100","workers":8,"chips":1,"share_milli":1000,"nodes":["n3"],"run_s":null}],)"
                  R"("run_s":7200,"no_forecast":null,)" +
                      std::string(kForecast)));
  const Ran ran = run(api, {"why", "train-b"});
  EXPECT_EQ(ran.code, kExitOk);
  EXPECT_EQ(ran.out,
            "train-b (j12) waits for 8 chips of h100; 3 of 16 are free.\n"
            "4 jobs are before it.\n"
            "It will start in about 2h 10m (80%: 1h 20m to 3h 40m); 20 draws.\n"
            "It will end in about 3h 10m (80%: 2h 10m to more than 30d).\n"
            "Its chips are held by:\n"
            "  big (j3)        12 chips of h100  ends in about 40m\n"
            "  another tenant  1 chip of h100    runs until it is stopped\n"
            "  and 2 others that end later\n"
            "There is room now, if those before it let it pass, for:\n"
            "  3 workers instead of 8 on h100; it would run for 5h instead of 2h\n"
            "  chips of a100 (chip_kinds)\n"
            "  n3 in use again\n");
  const Ran json = run(api, {"why", "train-b", "--json"});
  EXPECT_TRUE(is_json(json.out));
  EXPECT_EQ(read_why(json.out).remedies.size(), 3U);
}

TEST(WhyCommand, WhatRunsWhatPausesWhatHasEndedAndWhatIsNotThere) {
  FakeApi api;
  api.on("GET /api/v1/jobs/j12/why", 200, why_json("running", "runs", "it is running", std::string(kForecast)));
  EXPECT_EQ(run(api, {"why", "j12"}).out,
            "train-b (j12) is running; its first attempt began 50 s ago.\n"
            "It will end in about 3h 10m (80%: 2h 10m to more than 30d); 20 draws.\n");
  api.answers.clear();
  api.on("GET /api/v1/jobs/j12/why", 200,
         why_json("queued", "pause", "it waits for its backoff: exit code 1",
                  R"("until":"2025-11-24T12:00:30Z","forecast":null,"no_forecast":"the forecast took too long")"));
  EXPECT_EQ(run(api, {"why", "j12"}).out,
            "train-b (j12) waits: it waits for its backoff: exit code 1.\n"
            "It is tried again in 30 s.\n"
            "No forecast: the forecast took too long.\n");
  api.answers.clear();
  api.on("GET /api/v1/jobs/j12/why", 200, why_json("done", "ended", "it is done", R"("forecast":null,"no_forecast":"it has ended")"));
  EXPECT_EQ(run(api, {"why", "j12"}).out, "train-b (j12) is done.\n");
  const Ran missing = run(api, {"why", "nothing"});
  EXPECT_EQ(missing.code, kExitFailed);
  EXPECT_THAT(missing.err, HasSubstr("nothing at"));
}

}  // namespace
}  // namespace centrale::cli
