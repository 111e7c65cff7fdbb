// SPDX-License-Identifier: Apache-2.0
#include "api/views.hpp"

#include <gtest/gtest.h>

#include "api/pages.hpp"
#include "api/view_json.hpp"

namespace centrale::api {
namespace {

std::string decimal(std::int64_t value, int digits) {
  std::string out;
  append_decimal(out, value, digits);
  return out;
}

TEST(ViewJson, DecimalsAreExact) {
  EXPECT_EQ(decimal(0, 9), "0");
  EXPECT_EQ(decimal(12'500'000'000, 9), "12.5");
  EXPECT_EQ(decimal(1, 9), "0.000000001");
  EXPECT_EQ(decimal(-1'050'000, 6), "-1.05");
  EXPECT_EQ(decimal(INT64_MIN, 3), "-9223372036854775.808");
  EXPECT_EQ(decimal(INT64_MAX, 6), "9223372036854.775807");
  EXPECT_EQ(decimal(42, 0), "42");
}

TEST(ViewJson, UnitsBecomeThoseOfTheApi) {
  UsageLine used =
      line("a \"b\"\n", "u1",
           {.device_time = Nanos{1'500'000'000}, .energy = Millijoules{2'250}, .energy_estimated = 3, .cost = MicroCurrency{120}});
  EXPECT_EQ(to_view_json(used),
            R"({"name":"a \"b\"\n","id":"u1","device_s":1.5,"energy_j":2.25,"energy_estimated":true,"tokens_trained":0,"requests":0,)"
            R"("prompt_tokens":0,"completion_tokens":0,"estimated_tokens":0,"cost":0.00012,)"
            R"("preemptible_s":0,"preemptible_cost":0,"spot_s":0,"spot_cost":0})");
  EXPECT_EQ(
      to_view_json(KeyView{
          .id = KeyId{2}, .tenant = "lab", .label = "", .role = Role::admin, .added = Time{1'763'980'445'250'000'000}, .revoked = false}),
      R"({"id":"k2","tenant":"lab","label":"","role":"admin","added":"2025-11-24T10:34:05.250Z","revoked":false})");
  EXPECT_EQ(to_view_json(HolderView{.task = TaskId{4}, .job = JobId{1}, .service = {}, .name = "x"}),
            R"({"task":"t4","job":"j1","service":null,"name":"x"})");
}

TEST(ViewJson, SchemaFollowsTheFields) {
  Components components;
  std::string out;
  append_schema<std::optional<HolderView>>(out, components, "who");
  EXPECT_EQ(out, R"({"anyOf":[{"$ref":"#/components/schemas/Holder"},{"type":"null"}],"description":"who"})");
  ASSERT_EQ(components.schemas.size(), 1U);
  EXPECT_TRUE(components.schemas[0].second.ends_with(R"("required":["task","job","service","name"],"additionalProperties":false})"));
}

TEST(LogView, CharacterCutInTwoBelongsToTheNextChunk) {
  EXPECT_EQ(view_log("ab\xC3", 10, false).next, 12);
  EXPECT_EQ(view_log("ab\xE2\x82", 0, false).text, "ab");
  EXPECT_EQ(view_log("\xF0\x9F\x98\x80", 0, false).next, 4);
  EXPECT_EQ(view_log("ab\xC3", 0, true).next, 3);     // nothing follows
  EXPECT_EQ(view_log("\xE2\x82", 0, false).next, 2);  // never stands still
  EXPECT_EQ(view_log("a\x80\x80\x80\x80", 0, false).next, 5);
  EXPECT_EQ(view_log("", 7, false).next, 7);
}

class CoreViews : public testing::Test {
 protected:
  CoreViews() : core(make_policy("fifo").value()) {
    apply(TenantDefined{.name = "default", .quota = {}});
    apply(TenantDefined{.name = "lab", .quota = {}});
  }
  std::uint64_t apply(Event event) {
    out.clear();
    now.ns += 1'000'000'000;
    EXPECT_TRUE(core.apply(std::move(event), now, out));
    return out.created;
  }
  JobId submit(std::uint64_t tenant, const std::string& name, std::int64_t workers = 1) {
    JobSpec spec;
    spec.name = name;
    spec.command = {"sleep", "1"};
    spec.workers = workers;
    return JobId{apply(JobSubmitted{.tenant = TenantId{tenant}, .spec = spec})};
  }
  void join(std::int64_t chips) {
    apply(NodeJoined{
        .name = "alpha",
        .memory = mebibytes(1024),
        .chips = {{.kind = "cpu", .count = chips, .memory = {}, .power = Milliwatts{1'000}, .price_per_hour = MicroCurrency{3'600}}}});
  }
  Core core;
  Output out;
  Time now{1'700'000'000'000'000'000};
  NoTelemetry telemetry;
};

TEST_F(CoreViews, AnothersWorkShowsAsATaskOnly) {
  join(1);
  const JobId id = submit(2, "secret");
  const NodeView all = view(core, NodeId{1}, telemetry, Scope{});
  EXPECT_EQ(all.chips.at(0).holder->name, "secret");
  EXPECT_EQ(all.chips.at(0).holder->job, id);
  const NodeView other = view(core, NodeId{1}, telemetry, Scope{TenantId{1}});
  ASSERT_TRUE(other.chips.at(0).holder);
  EXPECT_FALSE(other.chips.at(0).holder->name);
  EXPECT_FALSE(other.chips.at(0).holder->job);
}

TEST_F(CoreViews, LongThingsAreCut) {
  join(1'000);
  JobSpec spec;
  spec.name = "wide";
  spec.command = {"echo", std::string(6'000, 'a'), std::string(6'000, 'b'), "last"};
  spec.workers = 1'000;
  const JobId id{apply(JobSubmitted{.tenant = TenantId{1}, .spec = spec})};
  const JobView shown = view(core, *core.job(id), now);
  EXPECT_EQ(shown.placement.size(), kPlacesShownMax);
  EXPECT_EQ(shown.command.size(), 3U);
  EXPECT_EQ(shown.command.back(), "…");
  EXPECT_EQ(shown.workers, 1'000);
}

TEST_F(CoreViews, JobsComeInPagesTheNewestFirst) {
  join(1);
  for (int i = 0; i < 25; ++i) { submit(i % 2 == 0 ? 1 : 2, i % 5 == 0 ? "fifth" : "other"); }
  JobQuery query{.scope = {}, .limit = 10, .range = {.oldest = JobId{1}, .newest = JobId{25}}};
  std::vector<std::uint64_t> seen;
  for (int page = 0; page < 4; ++page) {
    const JobPage found = page_of_jobs(core, query);
    for (const Job* job : found.jobs) { seen.push_back(job->id.value); }
    if (!found.next) { break; }
    query.before = found.next;
  }
  ASSERT_EQ(seen.size(), 25U);
  EXPECT_TRUE(std::is_sorted(seen.rbegin(), seen.rend()));
  EXPECT_EQ(page_of_jobs(core, {.scope = Scope{TenantId{2}}, .limit = 100, .range = query.range}).jobs.size(), 12U);
  EXPECT_EQ(page_of_jobs(core, {.scope = {}, .name = "fifth", .limit = 100, .range = query.range}).jobs.size(), 5U);
  EXPECT_EQ(page_of_jobs(core, {.scope = {}, .state = JobState::starting, .limit = 100, .range = query.range}).jobs.size(), 1U);
}

TEST_F(CoreViews, UsageInOnePassIsTheCoresOwn) {
  join(4);
  submit(1, "a");
  submit(2, "b", 2);
  ServiceSpec spec;
  spec.name = "chat";
  spec.model = "job:a";
  apply(ServiceDefined{.tenant = TenantId{2}, .spec = spec});
  now.ns += 5'000'000'000;
  const std::vector<Usage> sums = usage_of_tenants(core, now);
  for (std::uint64_t tenant = 1; tenant <= 2; ++tenant) {
    const Usage own = core.usage(TenantId{tenant}, now);
    EXPECT_EQ(sums.at(tenant - 1).device_time, own.device_time);
    EXPECT_EQ(sums.at(tenant - 1).energy, own.energy);
    EXPECT_EQ(sums.at(tenant - 1).cost, own.cost);
    EXPECT_GT(own.device_time.value, 0);
  }
}

TEST_F(CoreViews, CensusCounts) {
  join(3);
  submit(1, "a");
  submit(1, "b", 2);
  submit(1, "c");
  Census census = take_census(core, now);
  EXPECT_EQ(census.chips.total, 3);
  EXPECT_EQ(census.chips.busy, 3);
  EXPECT_EQ(census.jobs.starting, 2);
  EXPECT_EQ(census.jobs.queued, 1);
  apply(JobCancelled{JobId{3}});
  apply(ChipFailed{.chip = ChipId{1}, .reason = "worn"});
  census = take_census(core, now);
  EXPECT_EQ(census.jobs.cancelled, 1);
  EXPECT_EQ(census.chips.total, 3);
}

}  // namespace
}  // namespace centrale::api
