// SPDX-License-Identifier: Apache-2.0
// centrale schedule, reserve, reservations, unreserve, repair, against a centre in memory.
#include "cli/scheduling.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/cli_testing.hpp"
#include "cli/views.hpp"

namespace centrale::cli {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kScheduling =
    R"({"policy":"las","round_s":300,"starvation_after_s":null,"suspect_after":3,"quarantine":false,)"
    R"("market":{"reserve":0.2,"period_s":60,"preemptible_discount":0.3},"policies":[{"name":"fifo","about":"in order"},)"
    R"({"name":"las","about":"who had least"}]})";
constexpr const char* kNight =
    R"({"id":"r1","name":"night","tenant":"lab","maintenance":false,"nodes":["vm","wm"],"chips":16,"from":"2025-11-24T14:00:00Z",)"
    R"("to":"2025-11-24T18:00:00Z","open":false})";
constexpr const char* kFans =
    R"({"id":"r2","name":"fans","tenant":null,"maintenance":true,"nodes":["xm"],"chips":8,"from":"2025-11-24T11:00:00Z",)"
    R"("to":"2025-11-24T12:30:00Z","open":true})";

TEST(Schedule, ShowsThePolicyInForceAndTheOthers) {
  FakeApi api;
  api.on("GET /api/v1/scheduling", 200, kScheduling);
  const Ran ran = run(api, {"schedule"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out,
            "policy            las\n"
            "round             5m 00s\n"
            "starvation after  the policy's default\n"
            "suspect chips     3 different jobs that fail in a row; it is reported, and still given out\n"
            "market            idle chips from 20% of their price, priced anew every 1m 00s; preemptible work pays 30% less\n"
            "\n"
            "POLICY     WHO RUNS NEXT\n"
            "fifo       in order\n"
            "las     *  who had least\n");
  EXPECT_EQ(run(api, {"schedule", "--json"}).out, std::string(kScheduling) + "\n");
}

TEST(Schedule, SendsOnlyWhatWasGiven) {
  FakeApi api;
  api.on("PUT /api/v1/scheduling", 200, kScheduling);
  EXPECT_EQ(run(api, {"schedule", "--policy", "las", "--round", "5m", "--starvation-after", "12h"}).code, kExitOk);
  EXPECT_EQ(api.body_of("PUT /api/v1/scheduling"), R"({"policy":"las","round_s":300,"starvation_after_s":43200})");
  api.asked.clear();
  EXPECT_EQ(run(api, {"schedule", "--quarantine", "on", "--suspect-after", "2"}).code, kExitOk);
  EXPECT_EQ(api.body_of("PUT /api/v1/scheduling"), R"({"suspect_after":2,"quarantine":true})");
  EXPECT_FALSE(api.was_asked("GET /api/v1/scheduling"));
}

TEST(Schedule, SpansThatAreNoneAreRefusedBeforeAnythingIsSent) {
  FakeApi api;
  const Ran ran = run(api, {"schedule", "--round", "soon"});
  EXPECT_EQ(ran.code, kExitInput);
  EXPECT_EQ(ran.err, "centrale: --round: 'soon' is not understood; a span of time, such as 30s, 5m or 12h\n");
  EXPECT_EQ(run(api, {"schedule", "--quarantine", "maybe"}).code, kExitUsage);
  EXPECT_EQ(run(api, {"schedule", "--suspect-after", "17"}).code, kExitUsage);
  EXPECT_TRUE(api.asked.empty());
}

TEST(Reserve, NamesNodesOrChipsOfAKind) {
  FakeApi api;
  api.on("POST /api/v1/reservations", 201, kNight);
  Ran ran = run(api, {"reserve", "night", "--nodes", "vm,wm", "--tenant", "lab", "--from", "2025-11-24T15:00:00+01:00", "--for", "4h"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(api.body_of("POST /api/v1/reservations"),
            R"({"name":"night","tenant":"lab","nodes":["vm","wm"],"from":"2025-11-24T15:00:00+01:00","for_s":14400})");
  EXPECT_EQ(ran.out,
            "ID  NAME   FOR  NODES  CHIPS  FROM                  TO\n"
            "r1  night  lab  vm,wm     16  2025-11-24T14:00:00Z  2025-11-24T18:00:00Z  in 2h 00m\n");
  EXPECT_THAT(ran.err, HasSubstr("reservation: night"));

  api.asked.clear();
  api.answers.clear();
  api.on("POST /api/v1/reservations", 201, kFans);
  ran =
      run(api, {"reserve", "fans", "--kind", "h100", "--chips", "8", "--from", "+2h", "--until", "2025-11-25T00:00:00Z", "--maintenance"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(api.body_of("POST /api/v1/reservations"),
            R"({"name":"fans","maintenance":true,"kind":"h100","chips":8,"from":"2025-11-24T14:00:00Z","to":"2025-11-25T00:00:00Z"})");
  EXPECT_THAT(ran.out, HasSubstr("maintenance"));
  EXPECT_THAT(ran.err, Not(HasSubstr("in their file")));
}

TEST(Reserve, MistakesAreSaidBeforeAnythingIsSent) {
  FakeApi api;
  EXPECT_THAT(run(api, {"reserve", "x", "--nodes", "vm", "--from", "noon", "--for", "1h"}).err, HasSubstr("--from: 'noon'"));
  EXPECT_EQ(run(api, {"reserve", "x", "--nodes", "vm", "--from", "+noon", "--for", "1h"}).code, kExitInput);
  EXPECT_EQ(run(api, {"reserve", "x", "--nodes", "vm", "--for", "-1h"}).code, kExitInput);
  EXPECT_EQ(run(api, {"reserve", "x", "--for", "1h", "--until", "+2h"}).code, kExitUsage);
  EXPECT_EQ(run(api, {"reserve", "x", "--for", "1h", "--maintenance", "--tenant", "lab"}).code, kExitUsage);
  EXPECT_EQ(run(api, {"reserve", "--for", "1h"}).code, kExitUsage);
  EXPECT_TRUE(api.asked.empty());
}

TEST(Reservations, AreListedWithTheTimeThatIsLeft) {
  FakeApi api;
  api.on("GET /api/v1/reservations", 200, R"({"reservations":[)" + std::string(kNight) + "," + kFans + "]}");
  EXPECT_EQ(run(api, {"reservations"}).out,
            "ID  NAME   FOR          NODES  CHIPS  FROM                  TO\n"
            "r1  night  lab          vm,wm     16  2025-11-24T14:00:00Z  2025-11-24T18:00:00Z  in 2h 00m\n"
            "r2  fans   maintenance  xm         8  2025-11-24T11:00:00Z  2025-11-24T12:30:00Z  30m 00s left\n");
  FakeApi none;
  none.on("GET /api/v1/reservations", 200, R"({"reservations":[]})");
  const Ran ran = run(none, {"reservations"});
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr("centrale reserve"));
}

TEST(Reservations, EndByName) {
  FakeApi api;
  api.on("DELETE /api/v1/reservations/night", 200, kNight);
  api.on("DELETE /api/v1/reservations/r2", 200, kFans);
  EXPECT_EQ(run(api, {"unreserve", "night"}).out, "r1 (night) is over; its 2 nodes are everybody's again\n");
  EXPECT_EQ(run(api, {"unreserve", "r2"}).out, "r2 (fans) is over; its node is everybody's again\n");
  EXPECT_EQ(run(api, {"unreserve", "day"}).code, kExitFailed);
}

TEST(Repair, SaysHowTheChipIs) {
  FakeApi api;
  api.on("POST /api/v1/chips/c7/repair", 200, R"({"id":"c7","kind":"h100","health":"ok"})");
  EXPECT_EQ(run(api, {"repair", "c7"}).out, "c7 (h100) is ok\n");
  EXPECT_EQ(run(api, {"repair", "c9"}).code, kExitFailed);
}

TEST(Nodes, ShowWhatIsReservedAndWhatFailed) {
  FakeApi api;
  api.on(
      "GET /api/v1/nodes", 200,
      R"({"nodes":[{"id":"n1","name":"vm","state":"up","memory_bytes":null,"since":null,"reservation":"night","chips":[)"
      R"({"id":"c1","kind":"h100","index":0,"health":"ok","failures":0,"tasks_failed":3,"suspect":true,"reason":"exit code 1"},)"
      R"({"id":"c2","kind":"h100","index":1,"health":"failed","failures":1,"tasks_failed":0,"suspect":true,"reason":"ECC"},)"
      R"({"id":"c3","kind":"h100","index":2,"health":"ok","failures":0,"tasks_failed":0,"suspect":false,"reason":null}]}],"next":null})");
  const Ran ran = run(api, {"nodes", "--chips"});
  EXPECT_EQ(ran.out,
            "NODE  NAME  STATE  CHIPS     FREE  RESERVED\n"
            "n1    vm    up     3 × h100   2/3  night\n"
            "\n"
            "CHIP  NODE  KIND  #  HEALTH       HELD BY  FAILED  LAST REASON\n"
            "c1    vm    h100  0  ok, suspect  free          3  exit code 1\n"
            "c2    vm    h100  1  failed       free          1  ECC\n"
            "c3    vm    h100  2  ok           free          –  –\n");
}

}  // namespace
}  // namespace centrale::cli
