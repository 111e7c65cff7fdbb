// SPDX-License-Identifier: Apache-2.0
// Runs every tests/scenarios/*.txt through the core. After each line the state must not contradict itself, and a snapshot of it
// restored must be the same. A bug report becomes such a file. Lines: `at SECONDS VERB …`, see the files; timers fire by themselves.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "centre/core.hpp"

namespace centrale {
namespace {

namespace fs = std::filesystem;

using Words = std::vector<std::string>;

std::map<std::string, std::string> options(const Words& words, std::size_t from) {
  std::map<std::string, std::string> found;
  for (std::size_t i = from; i < words.size(); ++i) {
    const auto equals = words[i].find('=');
    found[words[i].substr(0, equals)] = equals == std::string::npos ? "" : words[i].substr(equals + 1);
  }
  return found;
}

class Scenario {
 public:
  Scenario() : core_(make_policy("fifo").value()) {}

  void line(const Words& words, Time now) {
    fire_timers(now);
    if (words[0] == "refuse") {
      const std::string before = core_.snapshot();
      const Result<void> result = send(Words(words.begin() + 1, words.end()), now);
      EXPECT_FALSE(result) << "was not refused";
      EXPECT_EQ(core_.snapshot(), before) << "a refusal changed the state";
    } else if (!expectation(words) && !money(words, now)) {
      const Result<void> result = send(words, now);
      EXPECT_TRUE(result) << result.error().message();
    }
    EXPECT_EQ(core_.contradiction(), "");
    const std::string text = core_.snapshot();
    Result<Core> again = Core::restore(text, make_policy("fifo").value());
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(again->snapshot(), text);
    core_ = std::move(*again);  // and it goes on from the restored one
  }

 private:
  void fire_timers(Time now) {
    while (!timers_.empty() && timers_.begin()->first.first <= now.ns) {
      const auto [due, id] = timers_.begin()->first;
      timers_.erase(timers_.begin());
      apply(TimerFired{TimerId{id}}, Time{due});
    }
  }

  Result<void> apply(Event event, Time now) {
    Output out;
    const auto text = [&] {
      std::string s;
      encode(event, s);
      return s;
    }();
    auto decoded = decode(text);
    if (!decoded) { return std::unexpected(decoded.error()); }
    const Result<void> result = core_.apply(std::move(*decoded), now, out);
    for (const Action& action : out.actions) {
      if (const auto* timer = std::get_if<SetTimer>(&action.act)) { timers_[{timer->due.ns, timer->timer.value}] = true; }
    }
    return result;
  }

  TaskId task_of(const std::string& name) {
    const auto dot = name.find('.');
    if (dot == std::string::npos) {
      const Job* job = core_.job(name);
      return job == nullptr ? TaskId{} : job->task;
    }
    const Service* service = core_.service(name.substr(0, dot));
    return service == nullptr ? TaskId{} : service->replicas.at(std::stoul(name.substr(dot + 1))).task;
  }

  TenantId tenant(std::map<std::string, std::string>& given) {
    return core_.tenant_of(given.contains("tenant") ? given["tenant"] : "default");
  }

  static std::int64_t number(std::map<std::string, std::string>& given, const char* key, std::int64_t otherwise) {
    return given.contains(key) ? std::stoll(given[key]) : otherwise;
  }

  Result<void> send(const Words& words, Time now) {
    const std::string& verb = words[0];
    auto given = options(words, std::min<std::size_t>(2, words.size()));
    if (verb == "node") {
      NodeJoined node{.name = words[1], .memory = mebibytes(8192), .chips = {}};
      const MicroCurrency price{number(given, "price_micro", 50'000)};
      for (const auto& [kind, count] : given) {
        if (kind == "price_micro") { continue; }
        node.chips.push_back(
            {.kind = kind, .count = std::stoll(count), .memory = mebibytes(1024), .power = {10'000}, .price_per_hour = price});
      }
      return apply(node, now);
    }
    if (verb == "tenant") {
      Quota quota;
      quota.chips_max = number(given, "chips_max", 0);
      quota.cost_max = micro(given["budget"]);
      quota.cost_period = seconds(number(given, "per", 0));
      for (const auto& [key, chips] : given) {
        if (key.starts_with("quota.")) { quota.kinds.push_back({key.substr(6), std::stoll(chips)}); }
      }
      return apply(TenantDefined{words[1], quota}, now);
    }
    if (verb == "market") {
      given = options(words, 1);
      Scheduling scheduling = core_.scheduling();
      scheduling.market.period = seconds(number(given, "period", 60));
      if (given.contains("reserve")) { scheduling.market.reserve = std::stod(given["reserve"]); }
      if (given.contains("discount")) { scheduling.market.preemptible_discount = std::stod(given["discount"]); }
      return apply(SchedulingSet{scheduling}, now);
    }
    if (verb == "submit") {
      JobSpec spec;
      spec.name = words[1];
      spec.command = {"true"};
      spec.chips = number(given, "chips", 1);
      spec.workers = number(given, "workers", 1);
      spec.priority = number(given, "priority", 0);
      spec.restarts = number(given, "restarts", 3);
      spec.array = number(given, "array", 0);
      spec.backoff = seconds(number(given, "backoff", 2));
      spec.time_limit = seconds(number(given, "time_limit", 0));
      spec.checkpoint_every = seconds(number(given, "checkpoint_every", 0));
      if (given.contains("bid")) { spec.bid = std::stod(given["bid"]); }
      spec.preemptible = number(given, "preemptible", 0) != 0;
      spec.reservation = given["reservation"];
      if (given.contains("after")) { spec.after = {given["after"]}; }
      if (given.contains("kinds")) { spec.chip_kinds = {given["kinds"]}; }
      return apply(JobSubmitted{tenant(given), spec}, now);
    }
    if (verb == "serve") {
      ServiceSpec spec;
      spec.name = words[1];
      spec.model = "model.gguf";
      spec.replicas = number(given, "replicas", 1);
      spec.context = number(given, "context", 2048);
      return apply(ServiceDefined{tenant(given), spec}, now);
    }
    if (verb == "scale") { return apply(ServiceScaled{core_.service(words[1])->id, std::stoll(words[2])}, now); }
    if (verb == "remove") { return apply(ServiceRemoved{core_.service(words[1])->id}, now); }
    if (verb == "cancel") { return apply(JobCancelled{core_.job(words[1])->id}, now); }
    if (verb == "started") { return apply(TaskStarted{task_of(words[1])}, now); }
    if (verb == "ready") { return apply(ReplicaReady{task_of(words[1]), 9000}, now); }
    if (verb == "exit") {
      return apply(
          TaskExited{.task = task_of(words[1]), .code = std::stoll(words[2]), .signal = 0, .lost = false, .message = {}, .energy = {}},
          now);
    }
    if (verb == "kill") {
      return apply(
          TaskExited{.task = task_of(words[1]), .code = 0, .signal = std::stoll(words[2]), .lost = false, .message = {}, .energy = {}},
          now);
    }
    if (verb == "lose") { return apply(NodeLost{core_.node_of(words[1])}, now); }
    if (verb == "drain") { return apply(NodeDrained{core_.node_of(words[1])}, now); }
    if (verb == "resume") { return apply(NodeResumed{core_.node_of(words[1])}, now); }
    if (verb == "reserve") {
      ReservationMade made{.name = words[1],
                           .tenant = given.contains("tenant") ? core_.tenant_of(given["tenant"]) : TenantId{},
                           .nodes = {},
                           .kind = given["kind"],
                           .chips = number(given, "chips", 0),
                           .from = Time{} + seconds(number(given, "from", 0)),
                           .to = Time{} + seconds(number(given, "to", 0))};
      std::istringstream names(given["nodes"]);
      for (std::string name; std::getline(names, name, ',');) { made.nodes.push_back(core_.node_of(name)); }
      return apply(made, now);
    }
    if (verb == "unreserve") { return apply(ReservationCancelled{words[1]}, now); }
    if (verb == "schedule") {
      auto wanted = options(words, 1);
      Scheduling scheduling = core_.scheduling();
      scheduling.suspect_after = number(wanted, "suspect_after", scheduling.suspect_after);
      scheduling.quarantine = number(wanted, "quarantine", 0) != 0;
      if (wanted.contains("policy")) { scheduling.policy = wanted["policy"]; }
      if (wanted.contains("defrag")) { scheduling.defrag = wanted["defrag"]; }
      if (wanted.contains("defrag_period")) { scheduling.defrag_period = seconds(number(wanted, "defrag_period", 0)); }
      return apply(SchedulingSet{scheduling}, now);
    }
    if (verb == "move") { return apply(MoveWanted{task_of(words[1])}, now); }
    if (verb == "approve" && words[1] == "moves") { return apply(DefragApproved{}, now); }
    if (verb == "fail-chip") { return apply(ChipFailed{*parse_id<ChipTag>(words[1]), "said so"}, now); }
    if (verb == "repair-chip") { return apply(ChipRepaired{*parse_id<ChipTag>(words[1])}, now); }
    return fail(ErrorKind::invalid, "no such verb: " + verb);
  }

  static MicroCurrency micro(const std::string& currency) { return {currency.empty() ? 0 : std::llround(std::stod(currency) * 1e6)}; }

  /// expect-price KIND PRICE: a chip hour. expect-cost JOB|TENANT [on_demand=…] [preemptible=…] [spot=…] [all=…]: until now.
  bool money(const Words& words, Time now) {
    if (words[0] == "expect-price") {
      for (std::int64_t kind = 0; kind < static_cast<std::int64_t>(kKindsMax); ++kind) {
        if (core_.kind_name(kind) != words[1]) { continue; }
        const auto at = static_cast<std::size_t>(kind);
        EXPECT_EQ(std::max(core_.spot().prices()[at], core_.spot().reserve()[at]).value, micro(words[2]).value);
        return true;
      }
    }
    if (words[0] != "expect-cost") { return false; }
    const Job* const job = core_.job(words[1]);
    const Usage usage = job != nullptr ? core_.usage(*job, now) : core_.usage(core_.tenant_of(words[1]), now);
    for (const auto& [key, value] : options(words, 2)) {
      const MicroCurrency cost = key == "spot"          ? usage.spot_cost
                                 : key == "preemptible" ? usage.preemptible_cost
                                 : key == "all"         ? usage.cost
                                                        : usage.cost - usage.spot_cost - usage.preemptible_cost;
      EXPECT_EQ(cost.value, micro(value).value) << key;
    }
    return true;
  }

  bool expectation(const Words& words) {
    if (words[0] == "ok") { return true; }
    if (words[0] == "expect") {
      const Job* job = core_.job(words[1]);
      EXPECT_NE(job, nullptr);
      if (job != nullptr) {
        EXPECT_EQ(enum_name(job->state), words[2]) << words[1] << ": " << job->message;
        if (words.size() > 3) { EXPECT_EQ(enum_name(core_.waits_for(*job)), words[3]) << words[1]; }
      }
      return true;
    }
    if (words[0] == "expect-replicas") {
      const Service* service = core_.service(words[1]);
      EXPECT_NE(service, nullptr);
      if (service != nullptr) {
        const auto ready = std::ranges::count_if(service->replicas, [&](const ReplicaSlot& slot) {
          const Task* task = core_.task(slot.task);
          return task != nullptr && task->ready;
        });
        EXPECT_EQ(std::to_string(ready) + "/" + std::to_string(service->spec.replicas), words[2]);
      }
      return true;
    }
    if (words[0] == "expect-on") {  // all of it on that node
      const Task* task = core_.task(task_of(words[1]));
      EXPECT_TRUE(task != nullptr && !task->chips.empty()) << words[1] << " has no chips";
      for (const ChipId chip : task == nullptr ? std::vector<ChipId>{} : task->chips) {
        EXPECT_EQ(core_.node(core_.chip(chip).node)->name, words[2]);
      }
      return true;
    }
    if (words[0] == "expect-moves") {  // expect-moves N WORD…: so many are proposed; the reason has each word
      const DefragPlan plan = core_.defrag_plan();
      EXPECT_EQ(std::to_string(plan.moves.size()), words[1]) << plan.why;
      for (std::size_t i = 2; i < words.size(); ++i) { EXPECT_NE(plan.why.find(words[i]), std::string::npos) << plan.why; }
      return true;
    }
    if (words[0] == "expect-failures") {
      EXPECT_EQ(std::to_string(core_.job(words[1])->failures), words[2]);
      return true;
    }
    if (words[0] == "expect-chip") {
      const ChipId chip = *parse_id<ChipTag>(words[1]);
      const ChipRecord* record = core_.chip_record(chip);
      EXPECT_EQ(enum_name(core_.chip(chip).health), words[2]);
      EXPECT_NE(record, nullptr);
      if (record == nullptr) { return true; }
      const std::map<std::string, std::int64_t> known{{"failures", record->failures},
                                                      {"tasks_failed", record->tasks_failed},
                                                      {"row", static_cast<std::int64_t>(record->row.size())},
                                                      {"suspect", core_.is_suspect(chip) ? 1 : 0}};
      for (const auto& [key, value] : options(words, 3)) { EXPECT_EQ(std::to_string(known.at(key)), value) << key; }
      return true;
    }
    if (words[0] == "expect-gone") {
      EXPECT_EQ(core_.service(words[1]), nullptr);
      return true;
    }
    return false;
  }

  Core core_;
  std::map<std::pair<std::int64_t, std::uint64_t>, bool> timers_;
};

void run(const fs::path& file) {
  std::ifstream in(file);
  ASSERT_TRUE(in) << file;
  Scenario scenario;
  std::string text;
  int number = 0;
  while (std::getline(in, text)) {
    ++number;
    text.resize(std::min(text.size(), text.find('#')));
    std::istringstream stream(text);
    Words words;
    for (std::string word; stream >> word;) { words.push_back(word); }
    if (words.empty()) { continue; }
    SCOPED_TRACE(file.filename().string() + ":" + std::to_string(number) + ": " + text);
    ASSERT_GE(words.size(), 3U);
    ASSERT_EQ(words[0], "at");
    const Time now{std::llround(std::stod(words[1]) * 1e9)};
    scenario.line(Words(words.begin() + 2, words.end()), now);
    if (testing::Test::HasFailure()) { return; }
  }
  EXPECT_GT(number, 5) << "an empty scenario proves nothing";
}

TEST(Scenarios, All) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(CENTRALE_SCENARIOS)) { files.push_back(entry.path()); }
  std::ranges::sort(files);
  ASSERT_GE(files.size(), 10U);
  for (const fs::path& file : files) { run(file); }
}

}  // namespace
}  // namespace centrale
