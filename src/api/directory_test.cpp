// SPDX-License-Identifier: Apache-2.0
#include "api/directory.hpp"

#include "api/centre_testing.hpp"

namespace centrale::api {
namespace {

constexpr const char* kLocal = "127.0.0.1:50000";
constexpr const char* kFar = "10.1.2.3:50000";

class DirectoryTest : public testing::Test {
 protected:
  TestCentre centre;
  Directory& directory = *centre.directory;

  gateway::Principal principal(std::string_view key) {
    auto who = directory.authenticate(key, kFar);
    EXPECT_TRUE(who) << who.error().message();
    return *who;
  }
  TenantId tenant(const std::string& name, std::int64_t tokens_per_day_max) {
    const TenantId id{centre.make(TenantDefined{.name = name, .quota = {.chips_max = 0, .tokens_per_day_max = tokens_per_day_max}})};
    centre.settle();
    return id;
  }
  static gateway::Usage used(const gateway::Principal& who, std::int64_t prompt, std::int64_t completion) {
    return {.principal = who, .model = "chat", .replica = {}, .prompt_tokens = prompt, .completion_tokens = completion};
  }
  std::int64_t day_tokens(TenantId id) {
    std::promise<std::int64_t> promise;
    centre.host->read([&](const Core& core, Time) { promise.set_value(core.tenant(id)->day_tokens); });
    return promise.get_future().get();
  }
};

TEST_F(DirectoryTest, WithoutKeysLoopbackIsTheAdministrator) {
  const Caller caller = directory.identify("", kLocal).value();
  EXPECT_EQ(caller.role, Role::admin);
  EXPECT_EQ(caller.tenant, kDefaultTenant);
  EXPECT_EQ(caller.tenant_name, "default");
  EXPECT_FALSE(caller.proven);
  EXPECT_TRUE(directory.identify("anything", "[::1]:1"));
  EXPECT_EQ(directory.identify("", kFar).error().kind, ErrorKind::unauthorized);
  EXPECT_EQ(directory.identify("", "").error().kind, ErrorKind::unauthorized);
  EXPECT_FALSE(directory.has_keys());
}

TEST_F(DirectoryTest, OneKeyClosesTheDoorForAll) {
  tenant("lab", 0);
  const std::string key = centre.add_key("lab", "user");
  EXPECT_EQ(directory.identify("", kLocal).error().kind, ErrorKind::unauthorized);
  EXPECT_EQ(directory.identify(make_key().value(), kLocal).error().kind, ErrorKind::unauthorized);
  const Caller caller = directory.identify(key, kFar).value();
  EXPECT_EQ(caller.tenant_name, "lab");
  EXPECT_EQ(caller.role, Role::user);
  EXPECT_TRUE(caller.proven);
  EXPECT_EQ(directory.identify(centre.admin_key, kFar).value().role, Role::admin);
  centre.make(KeyRevoked{caller.key});
  centre.settle();
  EXPECT_EQ(directory.identify(key, kFar).error().kind, ErrorKind::unauthorized);
  EXPECT_EQ(directory.identify("", kLocal).error().kind, ErrorKind::unauthorized) << "revoking the last key must not open the door";
}

TEST_F(DirectoryTest, NeverTheKeyItselfIsKept) {
  tenant("lab", 0);
  const std::string key = centre.add_key("lab", "user");
  const std::lock_guard lock(centre.disk->mutex);
  for (const auto& event : centre.disk->events) {
    EXPECT_EQ(event.payload.find(key), std::string::npos);
    EXPECT_EQ(event.payload.find(key.substr(3)), std::string::npos);
  }
}

TEST_F(DirectoryTest, QuotaCountsWhatIsUnderWay) {
  const TenantId lab = tenant("lab", 100);
  const gateway::Principal who = principal(centre.add_key("lab", "user"));
  EXPECT_TRUE(directory.reserve(who, 60));
  EXPECT_EQ(directory.reserve(who, 41).error().kind, ErrorKind::exhausted);
  EXPECT_TRUE(directory.reserve(who, 40));
  EXPECT_EQ(directory.reserve(who, 1).error().kind, ErrorKind::exhausted);
  directory.settle(used(who, 10, 5), 60);  // 45 of 60 come back
  EXPECT_EQ(directory.reserve(who, 46).error().kind, ErrorKind::exhausted);
  EXPECT_TRUE(directory.reserve(who, 45));
  directory.settle(used(who, 20, 20), 40);
  directory.settle(used(who, 20, 25), 45);
  EXPECT_EQ(directory.reserve(who, 1).error().kind, ErrorKind::exhausted);
  centre.settle();
  EXPECT_EQ(day_tokens(lab), 100);
}

TEST_F(DirectoryTest, ManyInParallelNeverOverrun) {
  const TenantId lab = tenant("lab", 10'000);
  const gateway::Principal who = principal(centre.add_key("lab", "user"));
  std::atomic<std::int64_t> granted = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1'000; ++i) {
        if (directory.reserve(who, 7)) {
          granted += 7;
          directory.settle(used(who, 3, 4), 7);
        }
      }
    });
  }
  for (std::thread& thread : threads) { thread.join(); }
  EXPECT_EQ(granted, 9'996);  // as many sevens as there is room for
  centre.settle();
  EXPECT_EQ(day_tokens(lab), granted);
}

TEST_F(DirectoryTest, MidnightUtcBeginsAnew) {
  tenant("lab", 50);
  const gateway::Principal who = principal(centre.add_key("lab", "user"));
  ASSERT_TRUE(directory.reserve(who, 30));
  ASSERT_TRUE(directory.reserve(who, 20));
  directory.settle(used(who, 10, 20), 30);
  EXPECT_FALSE(directory.reserve(who, 1));
  const std::int64_t day = seconds(86'400).value;
  centre.clock.now_ns = (centre.clock.now_ns / day + 1) * day - 1;
  EXPECT_FALSE(directory.reserve(who, 1)) << "a nanosecond before midnight";
  ++centre.clock.now_ns;
  EXPECT_EQ(directory.reserve(who, 31).error().kind, ErrorKind::exhausted) << "20 are still set aside";
  EXPECT_TRUE(directory.reserve(who, 30));
}

TEST_F(DirectoryTest, NewQuotaCountsAtOnce) {
  const TenantId lab = tenant("lab", 10);
  const gateway::Principal who = principal(centre.add_key("lab", "user"));
  EXPECT_FALSE(directory.reserve(who, 11));
  EXPECT_EQ(tenant("lab", 20), lab);
  EXPECT_TRUE(directory.reserve(who, 11));
  tenant("lab", 0);
  EXPECT_TRUE(directory.reserve(who, 1'000'000));
}

TEST(DirectoryAfterRestart, KnowsWhatTheDayHasUsed) {
  HandClock clock;
  const auto disk = std::make_shared<MemoryDisk>();
  const gateway::Principal who{.tenant = kDefaultTenant, .key = {}, .tenant_name = "default"};
  const auto tokens_left = [&](bool first) {
    QuickLauncher launcher;
    auto host = Host::open(MemoryJournal::open(disk).value(), clock, {}).value();
    launcher.host = host.get();
    Directory directory(*host, clock, {});
    host->run(launcher);
    if (first) { EXPECT_TRUE(host->wish_and_wait(TenantDefined{.name = "default", .quota = {.chips_max = 0, .tokens_per_day_max = 100}})); }
    std::promise<void> known;
    host->read([&](const Core&, Time) { known.set_value(); });
    known.get_future().wait();
    std::int64_t left = 100;
    while (!directory.reserve(who, left)) { --left; }
    directory.settle({.principal = who, .model = "x", .replica = {}, .prompt_tokens = 40, .completion_tokens = 30}, left);
    return left;
  };
  EXPECT_EQ(tokens_left(true), 100);
  EXPECT_EQ(tokens_left(false), 30);
  clock.now_ns += seconds(86'400).value;
  EXPECT_EQ(tokens_left(false), 100);
}

TEST_F(DirectoryTest, RoutesFollowTheReplicas) {
  const gateway::Principal who = directory.authenticate("", kLocal).value();
  EXPECT_EQ(directory.replicas(who, "chat").error().kind, ErrorKind::not_found);
  centre.launcher.quick = false;
  ASSERT_EQ(centre.call("PUT", "/api/v1/services", kChatService).status, 201);
  centre.settle();
  EXPECT_EQ(directory.replicas(who, "chat").error().kind, ErrorKind::unavailable);
  ASSERT_EQ(directory.models(who).size(), 1U);
  EXPECT_FALSE(directory.models(who)[0].ready);
  centre.host->fact(TaskStarted{TaskId{1}});
  centre.host->fact(ReplicaReady{.task = TaskId{1}, .port = 9001});
  centre.settle();
  const auto ready = directory.replicas(who, "chat").value();
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_EQ(ready[0].port, 9001);
  EXPECT_EQ(ready[0].host, "127.0.0.1");
  EXPECT_TRUE(directory.models(who)[0].ready);
  EXPECT_EQ(directory.replicas(who, "chta").error().remedy, "nearest: chat");
  centre.host->fact(ReplicaUnready{.task = TaskId{1}, .reason = "silent"});
  centre.settle();
  EXPECT_EQ(directory.replicas(who, "chat").error().kind, ErrorKind::unavailable);
  centre.launcher.quick = true;
  ASSERT_EQ(centre.call("DELETE", "/api/v1/services/chat").status, 200);
  centre.settle();
  EXPECT_EQ(directory.replicas(who, "chat").error().kind, ErrorKind::not_found);
  EXPECT_TRUE(directory.models(who).empty());
}

TEST_F(DirectoryTest, MeteredTokensReachTheServiceEvenWhenItIsGone) {
  ASSERT_EQ(centre.call("PUT", "/api/v1/services", kChatService).status, 201);
  centre.settle();
  const gateway::Principal who = directory.authenticate("", kLocal).value();
  ASSERT_TRUE(directory.reserve(who, 100));
  directory.settle(used(who, 11, 22), 100);
  centre.settle();
  const std::string body = centre.get("/api/v1/services/chat").body;
  EXPECT_NE(body.find(R"("requests":1,"prompt_tokens":11,"completion_tokens":22)"), std::string::npos) << body;
  ASSERT_TRUE(directory.reserve(who, 100));
  ASSERT_EQ(centre.call("DELETE", "/api/v1/services/chat").status, 200);
  centre.settle();
  directory.settle(used(who, 1, 1), 100);
  centre.settle();
  EXPECT_EQ(day_tokens(kDefaultTenant), 35);
}

TEST_F(DirectoryTest, TenantsCallTheirOwnModelsAndTheCentres) {
  tenant("lab", 0);
  tenant("shop", 0);
  const std::string lab = centre.add_key("lab", "user");
  const std::string shop = centre.add_key("shop", "user");
  const std::string looker = centre.add_key("shop", "viewer");
  ASSERT_EQ(centre.call("PUT", "/api/v1/services", R"({"name":"own","model":"job:x"})", lab).status, 201);
  ASSERT_EQ(centre.call("PUT", "/api/v1/services", R"({"name":"common","model":"job:x"})", centre.admin_key).status, 201);
  centre.settle();
  EXPECT_EQ(directory.models(principal(lab)).size(), 2U);
  EXPECT_EQ(directory.models(principal(shop)).size(), 1U);
  EXPECT_TRUE(directory.replicas(principal(lab), "own"));
  EXPECT_TRUE(directory.replicas(principal(shop), "common"));
  EXPECT_EQ(directory.replicas(principal(shop), "own").error().kind, ErrorKind::not_found);
  EXPECT_EQ(directory.replicas(principal(looker), "common").error().kind, ErrorKind::forbidden);
}

}  // namespace
}  // namespace centrale::api
