// SPDX-License-Identifier: Apache-2.0
// Readers against what no test would think of: random workloads through our CSV and back, mutated rows, random bytes.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "base/random.hpp"
#include "simulate/generate.hpp"
#include "simulate/trace.hpp"

namespace centrale {
namespace {

bool same(const TraceJob& a, const TraceJob& b) {
  return a.name == b.name && a.tenant == b.tenant && a.kinds == b.kinds && a.profile == b.profile && a.end == b.end &&
         a.preemptible == b.preemptible && a.service == b.service && a.priority == b.priority && a.submit == b.submit &&
         a.workers == b.workers && a.chips == b.chips && a.workers_min == b.workers_min && a.workers_max == b.workers_max &&
         a.share_milli == b.share_milli && a.cpu_milli == b.cpu_milli && a.memory == b.memory && a.run == b.run &&
         a.estimate == b.estimate && a.work == b.work && a.batch == b.batch;
}

/// What differs, notes aside; empty if nothing.
std::string difference(const Workload& a, const Workload& b) {
  if (a.name != b.name) { return "name"; }
  if (a.tenants != b.tenants) { return "tenants"; }
  if (a.kind_choices != b.kind_choices) { return "kinds"; }
  if (a.profiles != b.profiles) { return "profiles"; }
  if (a.jobs.size() != b.jobs.size()) { return "number of jobs"; }
  for (std::size_t i = 0; i < a.jobs.size(); ++i) {
    if (!same(a.jobs[i], b.jobs[i])) { return "job " + a.jobs[i].name; }
  }
  if (a.nodes.size() != b.nodes.size()) { return "number of nodes"; }
  for (std::size_t i = 0; i < a.nodes.size(); ++i) {
    const TraceNode &m = a.nodes[i], &n = b.nodes[i];
    if (m.name != n.name || m.kind != n.kind || m.chips != n.chips || m.cpu_milli != n.cpu_milli || m.memory != n.memory) {
      return "node " + m.name;
    }
  }
  return {};
}

std::string odd_name(Random& random) {
  static constexpr std::string_view kParts[] = {"a", "b", ",", "\"", "\n", "\r\n", " ", "#", "é", "\t", "x"};
  std::string name = "n";
  if (random.below(3) == 0) { name = ""; }
  for (std::uint64_t n = 1 + random.below(4); n > 0; --n) { name += kParts[random.below(std::size(kParts))]; }
  return name;
}

Workload random_workload(Random& random) {
  Workload w;
  w.name = odd_name(random);
  for (std::uint64_t n = random.below(4); n > 0; --n) { w.tenants.push_back("t" + std::to_string(n) + odd_name(random)); }
  for (std::uint64_t n = random.below(4); n > 0; --n) { w.profiles.push_back("p" + std::to_string(n) + odd_name(random)); }
  for (std::uint64_t n = random.below(3); n > 0; --n) { w.kind_choices.push_back({"h" + std::to_string(n), "a"}); }
  for (std::uint64_t n = random.below(3); n > 0; --n) {
    w.nodes.push_back({.name = odd_name(random),
                       .kind = "k",
                       .chips = static_cast<std::int64_t>(random.below(9)),
                       .cpu_milli = static_cast<std::int64_t>(random.below(99'999)),
                       .memory = Bytes{static_cast<std::int64_t>(random.below(1U << 30U))}});
  }
  const auto upto = [&](std::uint64_t n) { return static_cast<std::int64_t>(random.below(n)); };
  for (std::uint64_t n = random.below(8); n > 0; --n) {
    TraceJob& job = w.jobs.emplace_back();
    job.name = odd_name(random);
    job.tenant = static_cast<std::uint32_t>(random.below(w.tenants.size()));
    job.kinds = static_cast<std::uint32_t>(random.below(w.kind_choices.size()));
    job.profile = static_cast<std::uint32_t>(random.below(w.profiles.size()));
    job.end = static_cast<RecordedEnd>(random.below(3));
    job.preemptible = random.below(2) == 0;
    job.service = random.below(4) == 0;
    job.priority = static_cast<std::int32_t>(upto(7) - 3);
    job.submit = Time{upto(1'000'000'000'000'000)};
    job.workers = 1 + upto(9);
    job.chips = upto(4);
    job.workers_min = upto(3);
    job.workers_max = job.workers_min + upto(9);
    if (job.chips == 1) { job.share_milli = 1 + upto(1000); }
    job.cpu_milli = upto(99'999);
    job.memory = Bytes{upto(std::uint64_t{1} << 40U)};
    job.run = Nanos{job.service ? upto(2) * 7 : 1 + upto(1'000'000'000'000'000)};
    job.estimate = Nanos{upto(1'000'000'000'000)};
    job.batch = static_cast<double>(upto(3)) * 0.1;
    if (job.profile != 0) { job.work = random.uniform(0.001, 1e7); }
  }
  return w;
}

TEST(TraceDirt, OurCsvGivesBackWhatWasWritten) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Random random(seed);
    Workload w = random_workload(random);
    ASSERT_TRUE(settle(w)) << "seed " << seed;
    const auto back = read_trace(write_trace(w), "t", {});
    ASSERT_TRUE(back) << "seed " << seed << ": " << back.error().message();
    ASSERT_EQ(difference(w, *back), "") << "seed " << seed;
  }
}

TEST(TraceDirt, GeneratedLoadSurvivesOurCsv) {
  LoadShape shape;
  shape.mix = LoadMix::pai;
  shape.jobs = 3000;
  shape.elastic_share = 0.3;
  shape.profiles = {{.name = "m", .weight = 1, .workers = 0, .steps_per_second = 0.1}};
  shape.model_share = 0.5;
  const auto w = generate(shape);
  ASSERT_TRUE(w);
  const auto back = read_trace(write_trace(*w), "t", {});
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(difference(*w, *back), "");
}

std::string sample(const std::string& name) {
  std::ifstream in(std::string(CENTRALE_TRACES) + "/" + name);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> seeds() {
  return {
      sample("gavel.trace"),
      sample("openb_pods.csv"),
      sample("openb_nodes.csv"),
      sample("fgd_order.csv"),
      sample("tiresias.csv"),
      "submit_s,run_s,chip_kinds,memory,share\n0,1,\"a|b\",1GiB,0.5\n3,4,,,\n",
      "; MaxProcs: 128\n 1 0 5 100 4 -1 -1 8 600 2048 1 7 1 -1 1 -1 -1 -1\n",
      R"([{"status":"Pass","vc":"v","jobid":"a","attempts":[{"start_time":"2017-10-07 01:12:09","end_time":"2017-10-07 01:13:09","detail":[{"gpus":["g"]}]}],"submitted_time":"2017-10-07 01:11:39"}])",
      "job_id,user,vc,gpu_num,cpu_num,node_num,state,submit_time,start_time,end_time,duration\n1,u,v,8,8,1,COMPLETED,2020-06-09 "
      "18:41:01,2020-06-09 18:42:01,2020-06-09 18:52:01,600\n",
      "j1,tensorflow,2.0,Terminated,1739162.0,1739200.0,600.0,29.296875,50.0,MISC\n",
      "timestamp,duration,num_gpus,gpu_time,cluster\n2017-10-09 07:00:10,60.5,4,242,c1\n",
      "name,time,application,num_replicas,batch_size\nx-0,17,modela,6,512\n"};
}

std::string mutated(std::string text, Random& random) {
  static constexpr std::string_view kBits[] = {",", "\t", "\"", "\n", "\r\n",         "-1",   "nan",        "1e300", "99999999999999999999",
                                               "-", "{",  "]",  ";",  "\xEF\xBB\xBF", "\x80", "2017-13-40", "None",  "#node,"};
  for (std::uint64_t n = 1 + random.below(4); n > 0 && !text.empty(); --n) {
    const std::size_t at = random.below(text.size());
    switch (random.below(5)) {
      case 0: text.erase(at, 1 + random.below(20)); break;
      case 1: text.insert(at, kBits[random.below(std::size(kBits))]); break;
      case 2: text[at] = static_cast<char>(random.below(256)); break;
      case 3: text.resize(at); break;
      default: text.replace(at, std::min<std::size_t>(text.size() - at, 3), kBits[random.below(std::size(kBits))]); break;
    }
  }
  return text;
}

void hold(std::string_view text, const TraceOptions& options, std::uint64_t seed) {
  auto read = read_trace(text, "dirt", options);
  if (!read) {
    ASSERT_FALSE(read.error().what.empty()) << "seed " << seed;
    ASSERT_TRUE(read.error().where.starts_with("dirt:") && read.error().where.size() > 5)
        << "seed " << seed << ": " << read.error().message();
    return;
  }
  ASSERT_TRUE(settle(*read)) << "seed " << seed;
}

TEST(TraceDirt, MutatedRowsAreReadOrRefusedWithTheirLine) {
  const std::vector<std::string> all = seeds();
  for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
    Random random(seed);
    const std::string text = mutated(all[random.below(all.size())], random);
    TraceOptions options;
    if (random.below(4) == 0) { options.format = static_cast<TraceFormat>(random.below(kEnumNames<TraceFormat>.size())); }
    options.keep_cpu_jobs = random.below(2) == 0;
    options.chips_max = static_cast<std::int64_t>(random.below(5));
    ASSERT_NO_FATAL_FAILURE(hold(text, options, seed));
    Workload into;
    const auto nodes = read_nodes(text, "dirt", into);
    ASSERT_TRUE(nodes || nodes.error().where.starts_with("dirt:")) << "seed " << seed;
  }
}

TEST(TraceDirt, NumbersAtTheEdgeAreReadOrRefused) {
  // A century in each of several attempts, counts at the end of 64 bits, a window of elastic bounds above what is allowed.
  std::string attempts;
  for (int i = 0; i < 5; ++i) {
    attempts += R"({"start_time":"1970-01-01 00:00:00","end_time":"2099-12-31 23:59:59","detail":[{"gpus":["g"]}]},)";
  }
  attempts.pop_back();
  const std::string philly = R"([{"status":"Pass","jobid":"a","submitted_time":"2017-10-07 01:11:39","attempts":[)" + attempts + "]}]";
  const auto long_job = read_trace(philly, "dirt", {});
  ASSERT_FALSE(long_job);
  EXPECT_EQ(long_job.error().message(), "dirt:1: 'a' runs for more than a hundred years");
  const auto many =
      read_trace("job_id,gpu_num,state,submit_time,start_time,end_time,node_num\n1,9223372036854775807,COMPLETED,1,2,3,1\n", "dirt", {});
  ASSERT_FALSE(many);
  EXPECT_TRUE(many.error().where == "dirt:2") << many.error().message();
  TraceOptions small;
  small.chips_max = 2;
  const auto elastic = read_trace("submit_s,run_s,workers,workers_min,workers_max\n0,1,1,5,9\n", "dirt", small);
  ASSERT_TRUE(elastic) << elastic.error().message();
  EXPECT_EQ(elastic->jobs[0].workers_min, 2);
  EXPECT_EQ(elastic->jobs[0].workers_max, 2);
}

TEST(TraceDirt, RandomBytesAreRefused) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Random random(seed);
    std::string text(random.below(200), ' ');
    for (char& c : text) { c = static_cast<char>(random.below(256)); }
    for (std::size_t format = 0; format < kEnumNames<TraceFormat>.size(); ++format) {
      TraceOptions options;
      options.format = static_cast<TraceFormat>(format);
      ASSERT_NO_FATAL_FAILURE(hold(text, options, seed));
    }
  }
}

}  // namespace
}  // namespace centrale
