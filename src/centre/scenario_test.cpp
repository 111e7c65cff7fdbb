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
    } else if (!expectation(words)) {
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
      for (const auto& [kind, count] : given) {
        node.chips.push_back(
            {.kind = kind, .count = std::stoll(count), .memory = mebibytes(1024), .power = {10'000}, .price_per_hour = {50'000}});
      }
      return apply(node, now);
    }
    if (verb == "tenant") {
      return apply(TenantDefined{words[1], {.chips_max = number(given, "chips_max", 0), .tokens_per_day_max = 0}}, now);
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
    if (verb == "fail-chip") { return apply(ChipFailed{*parse_id<ChipTag>(words[1]), "said so"}, now); }
    if (verb == "repair-chip") { return apply(ChipRepaired{*parse_id<ChipTag>(words[1])}, now); }
    return fail(ErrorKind::invalid, "no such verb: " + verb);
  }

  bool expectation(const Words& words) {
    if (words[0] == "ok") { return true; }
    if (words[0] == "expect") {
      const Job* job = core_.job(words[1]);
      EXPECT_NE(job, nullptr);
      if (job != nullptr) {
        EXPECT_EQ(enum_name(job->state), words[2]) << words[1] << ": " << job->message;
        if (words.size() > 3) { EXPECT_EQ(enum_name(job->wait), words[3]) << words[1]; }
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
  ASSERT_GE(files.size(), 7U);
  for (const fs::path& file : files) { run(file); }
}

}  // namespace
}  // namespace centrale
