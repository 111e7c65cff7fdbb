// SPDX-License-Identifier: Apache-2.0
#include "spec/spec.hpp"

#include <gtest/gtest.h>

#include <random>

#include "base/json.hpp"
#include "spec/limits.hpp"

namespace centrale {
namespace {

std::string read(std::string_view yaml) {
  const auto specs = read_specs(yaml, "s.yaml");
  if (!specs) { return specs.error().message(); }
  std::string out;
  for (const Spec& spec : *specs) {
    out += spec.index() == 0 ? "job " : "service ";
    std::visit([&](const auto& s) { out += s.name; }, spec);
    out += ";";
  }
  return out;
}

JobSpec small_job() {
  JobSpec spec;
  spec.name = "a";
  spec.command = {"true"};
  return spec;
}
ServiceSpec small_service() {
  ServiceSpec spec;
  spec.name = "a";
  spec.model = "m.gguf";
  return spec;
}
template <class S>
std::string problem(const S& spec) {
  const auto result = validate(spec);
  return result ? "fine" : result.error().message();
}

TEST(ReadSpecs, TellsTheKinds) {
  EXPECT_EQ(read("kind: job\nname: a\ncommand: [x]"), "job a;");
  EXPECT_EQ(read("kind: train\nname: a\ncommand: [x]"), "job a;");
  EXPECT_EQ(read("kind: service\nname: a\ncommand: [x]"), "service a;");
  EXPECT_EQ(read("name: a\ncommand: [x]"), "job a;");
  EXPECT_EQ(read("name: a\nmodel: job:b"), "service a;");
  EXPECT_EQ(read("name: a\ncommand: [x]\nreplicas: 2"), "service a;");
  EXPECT_EQ(read("name: a\ncommand: [x]\n---\nname: b\nmodel: m\n---\n"), "job a;service b;");
  EXPECT_EQ(read("kind: trian\nname: a"), "s.yaml:1: unknown kind 'trian'; nearest: train");
  EXPECT_EQ(read("name: a\nkind: deployment"), "s.yaml:2: unknown kind 'deployment'; kind: job, train or service");
  EXPECT_EQ(read("kind: [job]"), "s.yaml:1: unknown kind ''; kind: job, train or service");
}

TEST(ReadSpecs, ErrorsSayTheLineAndTheNearestKey) {
  EXPECT_EQ(read("name: a\ncomand: [x]"), "s.yaml:2: unknown key 'comand'; nearest: command");
  EXPECT_EQ(read("kid: job\nname: a"), "s.yaml:1: unknown key 'kid'; nearest: kind");
  EXPECT_EQ(read("kind: job\nname: a\ncommand: [x]\nworkers: two"), "s.yaml:4: workers: wants a whole number, found 'two'");
  EXPECT_EQ(read("kind: job\nname: a\ncommand: [x]\nworkers: 0"), "s.yaml:4: workers: is 0; from 1 to 100,000");
  EXPECT_EQ(read("name: a\ncommand: x y"), "s.yaml:2: command: wants a list, found 'x y'");
  EXPECT_EQ(read("name: a\ncommand: [x]\n---\nname: b\nenv:\n  1A: x\ncommand: [y]"),
            "s.yaml:5: env: '1A' is not a variable's name: letters, digits and '_', no digit first");
  EXPECT_EQ(
      read("name: Train_Small\ncommand: [x]"),
      "s.yaml:1: name: 'Train_Small' is not a name: a-z, 0-9 and '-', at most 63, a letter or digit first and last; such as train-small");
  EXPECT_EQ(read("command: [x]"), "s.yaml:1: name: is missing; a-z, 0-9 and '-'");
  EXPECT_EQ(read("\n\nname: a\n"), "s.yaml:3: command: is missing; the program and its arguments, such as [python3, train.py]");
  EXPECT_EQ(read("name: a\nkind: service\n"),
            "s.yaml:1: model: is missing, and there is no command; what to serve (model), or how (command)");
  EXPECT_EQ(read("# nothing\n"), "s.yaml: holds no job and no service; `centrale schema` says what one looks like");
  EXPECT_EQ(read("just text"), "s.yaml:1: wants keys and values, found 'just text'");
}

TEST(ReadSpecs, ReadsEveryField) {
  const auto specs = read_specs(R"(kind: train
name: train-small
command: [sleep, 1, yes]
env: {A: 1, B: on}
workdir: work
workers: 2
chips: 4
chip_kinds: [h100, cpu-core]
memory: 2GiB
priority: -5
after: [prepare, j3]
array: 3
restarts: 0
backoff: 1.5
grace: 1m30s
time_limit: 2d
checkpoints: /c
model: gpt-2-xl
global_batch: 64
sequence: 1024
profile: mine
steps: 1000
estimate: 1h
workers_min: 1
workers_max: 8
cpu_milli: 500
share_milli: 1000
preemptible: true
checkpoint_every: 10m
restart_cost: 20
reservation: night
spot_bid: 1.25
)",
                                "s.yaml");
  ASSERT_TRUE(specs) << specs.error().message();
  EXPECT_EQ(to_json(std::get<JobSpec>(specs->front())),
            R"({"name":"train-small","command":["sleep","1","yes"],"env":{"A":"1","B":"on"},"workdir":"work","workers":2,"chips":4,)"
            R"("chip_kinds":["h100","cpu-core"],"memory":"2GiB","priority":-5,"after":["prepare","j3"],"array":3,"restarts":0,)"
            R"("backoff":"1s500ms","grace":"1m30s","time_limit":"2d","checkpoints":"/c",)"
            R"("model":"gpt-2-xl","global_batch":64,"sequence":1024,"profile":"mine","steps":1000,"estimate":"1h","workers_min":1,)"
            R"("workers_max":8,"cpu_milli":500,"share_milli":1000,"preemptible":true,"checkpoint_every":"10m","restart_cost":"20s",)"
            R"("reservation":"night","spot_bid":1.25})");
}

TEST(SpecJson, TakesKindIfItFits) {
  EXPECT_TRUE(job_from_json(R"({"kind":"train","name":"a","command":["x"]})"));
  EXPECT_TRUE(service_from_json(R"({"name":"a","model":"m","kind":"service"})"));
  EXPECT_EQ(job_from_json(R"({"kind":"service","name":"a","command":["x"]})").error().message(), "kind: wants a job, found a service");
  EXPECT_EQ(service_from_json(R"({"kind":"job","name":"a","model":"x"})").error().message(), "kind: wants a service, found a job");
  EXPECT_EQ(job_from_json(R"({"name":"a","comand":["x"]})").error().message(), "unknown key 'comand'; nearest: command");
  EXPECT_EQ(job_from_json(R"({"name":"a","command":["x",1]})").error().message(), "command[1]: wants text, found 1");
  EXPECT_EQ(job_from_json(R"({"name":"a","command":["x"],"name":"b"})").error().message(), "key 'name' is given twice; keep one");
  EXPECT_EQ(job_from_json(R"({"name":"a"})").error().message(),
            "command: is missing; the program and its arguments, such as [python3, train.py]");
  EXPECT_EQ(job_from_json("[]").error().message(), "wants an object, found a list");
  EXPECT_FALSE(job_from_json(""));
}

TEST(Validate, KeepsTheLimits) {
  EXPECT_EQ(problem(small_job()), "fine");
  EXPECT_EQ(problem(small_service()), "fine");
  const auto job = [](auto change) {
    JobSpec spec = small_job();
    change(spec);
    return problem(spec);
  };
  const auto service = [](auto change) {
    ServiceSpec spec = small_service();
    change(spec);
    return problem(spec);
  };
  EXPECT_EQ(job([](JobSpec& s) { s.chips = kChipsPerWorkerMax + 1; }), "chips: is 4097; from 1 to 4,096");
  EXPECT_EQ(job([](JobSpec& s) { s.priority = -101; }), "priority: is -101; from -100 to 100");
  EXPECT_EQ(job([](JobSpec& s) { s.array = -1; }), "array: is -1; from 0 to 10,000");
  EXPECT_EQ(job([](JobSpec& s) { s.restarts = -1; }), "restarts: is -1; from 0 to 1,000,000");
  EXPECT_EQ(job([](JobSpec& s) { s.backoff = seconds(-1); }), "backoff: is -1 s; from 0s to 3650d");
  EXPECT_EQ(job([](JobSpec& s) { s.time_limit = kSpanMax + Nanos{1}; }), "time_limit: is 3650d 00h; from 0s to 3650d");
  EXPECT_EQ(job([](JobSpec& s) { s.memory = {-1}; }), "memory: is -1 B; from 0 to 64TiB");
  EXPECT_EQ(job([](JobSpec& s) { s.command = {""}; }), "command: starts with an empty word; the first word is the program");
  EXPECT_EQ(job([](JobSpec& s) { s.command.emplace_back("a\0b", 3); }), "command: holds a NUL byte; no program can be given one");
  EXPECT_EQ(job([](JobSpec& s) { s.command.emplace_back("\xFF"); }), "command: is not UTF-8");
  EXPECT_EQ(job([](JobSpec& s) { s.command.resize(kCommandWordsMax + 1); }), "command: has 1001 entries; at most 1000");
  EXPECT_EQ(job([](JobSpec& s) { s.command.emplace_back(kTextMax + 1, 'x'); }), "command: holds a text of 32,769 bytes; at most 32.0 KiB");
  EXPECT_EQ(job([](JobSpec& s) { s.command.resize(40, std::string(kTextMax, 'x')); }),
            "command: is too long, command and env together; at most 1.0 MiB");
  EXPECT_EQ(job([](JobSpec& s) { s.env = {{"A", "1"}, {"A", "2"}}; }), "env: 'A' is given twice; keep one");
  EXPECT_EQ(job([](JobSpec& s) {
              s.env = {{"A=B", "1"}};
            }),
            "env: 'A=B' is not a variable's name: letters, digits and '_', no digit first");
  EXPECT_EQ(job([](JobSpec& s) { s.env = {{"A", std::string("\0", 1)}}; }), "env.A: holds a NUL byte; no program can be given one");
  EXPECT_EQ(job([](JobSpec& s) { s.env.resize(kEnvMax + 1); }), "env: has 1001 variables; at most 1000");
  EXPECT_EQ(job([](JobSpec& s) { s.workdir = std::string(5000, 'x'); }), "workdir: holds a text of 5,000 bytes; at most 4.0 KiB");
  EXPECT_EQ(job([](JobSpec& s) { s.chip_kinds = std::vector<std::string>(17, "h100"); }), "chip_kinds: has 17 entries; at most 16");
  EXPECT_EQ(job([](JobSpec& s) { s.chip_kinds = {"h100", "h100"}; }), "chip_kinds: 'h100' is given twice; keep one");
  EXPECT_EQ(job([](JobSpec& s) { s.chip_kinds = {"h 100"}; }), "chip_kinds: 'h 100' is not a chip kind");
  EXPECT_EQ(job([](JobSpec& s) { s.after = {"a"}; }), "after: names the job itself");
  EXPECT_EQ(job([](JobSpec& s) { s.after = {"B"}; }), "after: 'B' is not a job's name or id");
  EXPECT_EQ(service([](ServiceSpec& s) { s.replicas = 0; }), "fine");
  EXPECT_EQ(service([](ServiceSpec& s) { s.replicas = -1; }), "replicas: is -1; from 0 to 10,000");
  EXPECT_EQ(service([](ServiceSpec& s) { s.context = 0; }), "context: is 0; from 1 to 16,777,216");
  EXPECT_EQ(service([](ServiceSpec& s) { s.health = "health"; }), "health: 'health' is not a path; such as /health");
  EXPECT_EQ(service([](ServiceSpec& s) { s.health = "/a b"; }), "health: '/a b' is not a path; such as /health");
  EXPECT_EQ(service([](ServiceSpec& s) { s.start_timeout = {}; }), "start_timeout: is 0; no replica is ready at once");
  EXPECT_EQ(service([](ServiceSpec& s) { s.model = "job:"; }),
            "model: 'job:' does not name a job; job:NAME, the name of a job that exports a model");
  EXPECT_EQ(service([](ServiceSpec& s) { s.model = "pip:--index-url"; }), "model: 'pip:--index-url' does not name a package; pip:PACKAGE");
  EXPECT_EQ(service([](ServiceSpec& s) {
              s.model = "";
              s.command = {"llama-server"};
            }),
            "fine");
}

/// Every number and list of a spec has its limit, so that none is forgotten when a field is added.
struct LimitFinder {
  void operator()(const char* key, std::int64_t&, const char* = "") { EXPECT_NE(limit_of(kCountLimits, key), nullptr) << key; }
  void operator()(const char* key, std::vector<std::string>&, const char* = "") { EXPECT_NE(limit_of(kListLimits, key), nullptr) << key; }
  template <class T>
  void operator()(const char*, T&, const char* doc = "") {
    EXPECT_STRNE(doc, "");
  }
};
TEST(Validate, EveryNumberHasALimit) {
  JobSpec job;
  ServiceSpec service;
  LimitFinder finder;
  describe(finder, job);
  describe(finder, service);
}

/// Fills every field with something that validate() takes.
struct RandomFields {
  std::mt19937_64& random;
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most - least + 1));
  }
  std::string name() {
    std::string text;
    for (std::int64_t n = between(1, 20); n > 0; --n) { text += static_cast<char>('a' + random() % 26); }
    return text;
  }
  std::string text() {
    std::string out;
    for (std::int64_t n = between(0, 12); n > 0; --n) {
      const auto c = static_cast<char32_t>(between(1, random() % 2 == 0 ? 0x7F : 0x10FFFF));
      append_utf8(out, c >= 0xD800 && c <= 0xDFFF ? U'?' : c);
    }
    return out;
  }
  void operator()(std::string_view key, std::string& field, const char* = "") {
    field = key == "name" ? name() : key == "health" ? "/" + name() : text();
  }
  void operator()(std::string_view key, std::int64_t& field, const char* = "") {
    const CountLimit* limit = limit_of(kCountLimits, key);
    field = between(limit->least, limit->most);
  }
  void operator()(std::string_view, bool& field, const char* = "") { field = random() % 2 == 0; }
  void operator()(std::string_view, double& field, const char* = "") { field = static_cast<double>(between(0, 1'000'000)) / 64; }
  void operator()(std::string_view, Nanos& field, const char* = "") {
    field = {1 + static_cast<std::int64_t>(random() % 1'000'000'000'000'000)};
  }
  void operator()(std::string_view, Bytes& field, const char* = "") {
    const auto shift = random() % 45;
    field = {between(0, kMemoryMax.value) >> shift << shift};
  }
  void operator()(std::string_view key, std::vector<std::string>& field, const char* = "") {
    field.clear();
    for (std::int64_t n = between(0, 5); n >= 0; --n) { field.push_back(key == "command" && n > 0 ? text() : name() + std::to_string(n)); }
    if (key == "command") { field.front() = name(); }
  }
  void operator()(std::string_view, TextMap& field, const char* = "") {
    field.clear();
    for (std::int64_t n = between(0, 5); n > 0; --n) { field.emplace_back("_" + name() + std::to_string(n), text()); }
  }
};

TEST(SpecJson, ReadsBackWhatItWrote) {
  std::mt19937_64 random(20'251'124);
  RandomFields fields{random};
  for (int i = 0; i < 3000; ++i) {
    JobSpec job;
    describe(fields, job);
    job.workers_min = std::min(job.workers_min, job.workers);
    job.workers_max = std::max(job.workers_max, job.workers);
    if (job.chips != 1) { job.share_milli = 1000; }
    std::string exact, back_exact;  // write_json shows every nanosecond and byte
    write_json(exact, job);
    const auto back = job_from_json(to_json(job));
    ASSERT_TRUE(back) << back.error().message() << "\n" << exact;
    write_json(back_exact, *back);
    ASSERT_EQ(back_exact, exact);
    ServiceSpec service;
    describe(fields, service);
    service.model = "m-" + service.name;
    service.replicas_max = std::max(service.replicas_max, service.replicas_min);
    service.tokens_per_s = std::max<std::int64_t>(1, service.tokens_per_s);
    if (service.chips != 1) { service.share_milli = 1000; }
    const auto service_back = service_from_json(to_json(service));
    ASSERT_TRUE(service_back) << service_back.error().message() << "\n" << to_json(service);
    exact.clear();
    back_exact.clear();
    write_json(exact, service);
    write_json(back_exact, *service_back);
    ASSERT_EQ(back_exact, exact);
  }
}

TEST(SpecSchema, DescribesEveryKeyAndNothingElse) {
  const std::string schema = spec_schema();
  JsonReader reader;
  ASSERT_TRUE(reader.parse(schema, JsonStrictness::strict));
  for (const char* part :
       {R"("$schema":"https://json-schema.org/draft/2020-12/schema")", R"("additionalProperties":false)", R"("default":"30s")",
        R"("description":"ranks started together as one gang")", R"("minimum":1,"maximum":100000)"}) {
    EXPECT_NE(schema.find(part), std::string::npos) << part;
  }
  std::vector<std::string_view> keys;
  KeyCollector collector{keys};
  JobSpec job;
  ServiceSpec service;
  describe(collector, job);
  describe(collector, service);
  for (const std::string_view key : keys) { EXPECT_NE(schema.find("\"" + std::string(key) + "\":{\"type\":"), std::string::npos) << key; }
}

}  // namespace
}  // namespace centrale
