// SPDX-License-Identifier: Apache-2.0
#include "simulate/trace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace centrale {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

std::string sample(const std::string& name) {
  std::ifstream in(std::string(CENTRALE_TRACES) + "/" + name);
  return {std::istreambuf_iterator<char>(in), {}};
}

Workload read(std::string_view text, const TraceOptions& options = {}) {
  auto workload = read_trace(text, "t", options);
  EXPECT_TRUE(workload) << workload.error().message();
  return workload ? *std::move(workload) : Workload{};
}
std::string error_of(std::string_view text, const TraceOptions& options = {}) {
  const auto workload = read_trace(text, "t", options);
  return workload ? "accepted" : workload.error().message();
}
std::vector<std::string> names_of(const Workload& workload) {
  std::vector<std::string> names;
  for (const TraceJob& job : workload.jobs) { names.push_back(job.name); }
  return names;
}

TEST(Trace, OurCsvNeedsOnlyTwoColumns) {
  const Workload w = read("run_s,submit_s\n60,0.5\n1.5,0\n");
  ASSERT_EQ(w.jobs.size(), 2U);
  EXPECT_EQ(w.jobs[0].name, "row3");  // by submit
  EXPECT_EQ(w.jobs[0].run, milliseconds(1500));
  EXPECT_EQ(w.jobs[1].submit, Time{500'000'000});
  EXPECT_EQ(w.jobs[1].workers * w.jobs[1].chips, 1);
  EXPECT_THAT(w.notes, ElementsAre("read as csv (by its first lines)"));
}

TEST(Trace, OurCsvSaysAllThatAJobCanBe) {
  const Workload w = read(
      "\xEF\xBB\xBF"
      "# a comment\r\n#node,n1,h100,8,96,1TiB\r\n"
      "name,tenant,submit_s,run_s,workers,chips,chip_kinds,memory,cpu,share,priority,estimate_s,profile,steps,batch,workers_min,workers_"
      "max,preemptible,service,status\r\n"
      "\"a,b\",lab,0,,4,1,h100|a100,64GiB,7.5,,-3,3600,\"resnet \"\"50\"\"\",1000,256,2,8,false,,failed\r\n"
      "s,lab,1,,1,1,,,,0.25,,,,,,,,,true,\r\n");
  ASSERT_EQ(w.jobs.size(), 2U);
  const TraceJob& job = w.jobs[0];
  EXPECT_EQ(job.name, "a,b");
  EXPECT_EQ(w.tenants[job.tenant], "lab");
  EXPECT_THAT(w.kind_choices[job.kinds], ElementsAre("h100", "a100"));
  EXPECT_EQ(w.profiles[job.profile], "resnet \"50\"");
  EXPECT_EQ(job.memory, mebibytes(64 * 1024));
  EXPECT_EQ(job.cpu_milli, 7500);
  EXPECT_EQ(job.priority, -3);
  EXPECT_EQ(job.work, 1000);
  EXPECT_EQ(job.end, RecordedEnd::failed);
  EXPECT_FALSE(job.preemptible);
  EXPECT_TRUE(w.jobs[1].service);
  EXPECT_EQ(w.jobs[1].share_milli, 250);
  ASSERT_EQ(w.nodes.size(), 1U);
  EXPECT_EQ(w.nodes[0].cpu_milli, 96000);
}

TEST(Trace, OurCsvIsStrict) {
  EXPECT_EQ(error_of("submit_s,run\n0,1\n"), "t:1: there is no column 'run'; nearest: run_s");
  EXPECT_EQ(error_of("submit_s,run_s\n0,soon\n"), "t:2: run_s: wants a number, found 'soon'; this row has 2 cells");
  EXPECT_EQ(error_of("submit_s,run_s\n0,1\n0,\n"), "t:3: there is neither run_s nor a profile with steps; say how long the job runs");
  EXPECT_EQ(error_of("submit_s,run_s\n-1,1\n"), "t:2: submit_s: wants 0 or more, found '-1'");
  EXPECT_EQ(error_of("submit_s,run_s,share,chips\n0,1,0.5,2\n"), "t:2: share: 0.5 of 2 chips; a share is of one chip, at most 1");
  EXPECT_EQ(error_of("submit_s,run_s,status\n0,1,lost\n"), "t:2: status: wants done, failed or cancelled, found 'lost'");
  EXPECT_EQ(error_of("submit_s,run_s,name\n0,1,\"x\n"), "t:2: a quote that is never closed");
  EXPECT_EQ(error_of("submit_s,run_s,workers\n0,1,99999999\n"),
            "t:2: 'row2' asks for 99999999 workers of 1 chips; more than 10000000 are not taken for true");
}

TEST(Trace, StandardWorkloadFormat) {
  const Workload w = read(
      "; Version: 2.2\n; MaxProcs: 128\n; UnixStartTime: 749000000\n"
      " 1 0 5 100 4 -1 -1 8 600 2048 1 7 1 -1 1 -1 -1 -1\n"
      " 2 10 5 -1 -1 -1 -1 8 600 -1 5 7 1 -1 1 -1 -1 -1\n"
      " 3 20 5 50 4 -1 -1 -1 -1 -1 0 -1 1 -1 1 -1 -1 -1\n"
      " 4 30 5 50 4 -1 -1 -1 -1 -1 3 -1 1 -1 1 -1 -1 -1\n");
  EXPECT_THAT(names_of(w), ElementsAre("job1", "job3"));
  EXPECT_EQ(w.jobs[0].workers, 8);
  EXPECT_EQ(w.jobs[0].estimate, seconds(600));
  EXPECT_EQ(w.jobs[0].memory, Bytes{2048 * 1024});
  EXPECT_EQ(w.tenants[w.jobs[0].tenant], "user7");
  EXPECT_EQ(w.jobs[1].workers, 4);
  EXPECT_EQ(w.jobs[1].end, RecordedEnd::failed);
  EXPECT_THAT(w.notes, Contains("MaxProcs: 128"));
  EXPECT_THAT(w.notes, Contains("1 row of jobs cancelled before they ran were left out; first: t:5"));
  EXPECT_EQ(error_of("; x\n1 2 3\n"), "t:2: 3 columns, SWF has 18");
}

constexpr std::string_view kPhilly = R"([
  {"status": "Pass", "vc": "ee9e8c", "jobid": "app_1", "attempts": [
    {"start_time": "2017-10-07 01:12:09", "end_time": "2017-10-07 01:13:09", "detail": [{"ip": "m47", "gpus": ["gpu0", "gpu1"]}]},
    {"start_time": "2017-10-07 01:14:00", "end_time": "2017-10-07 01:15:30", "detail": [{"ip": "m1", "gpus": ["gpu0"]}, {"ip": "m2", "gpus": ["gpu7"]}]}],
   "submitted_time": "2017-10-07 01:11:39", "user": "ce\"[{2f4c"},
  {"status": "Killed", "vc": "b", "jobid": "app_2", "attempts": [], "submitted_time": "2017-10-07 01:11:00", "user": "x"},
  {"status": "Killed", "vc": "b", "jobid": "app_3", "attempts": [{"start_time": "2017-10-07 02:00:00", "end_time": null,
   "detail": [{"ip": "m1", "gpus": ["gpu0"]}]}], "submitted_time": "2017-10-07 01:11:00", "user": "x"}
])";

TEST(Trace, PhillysLog) {
  const Workload w = read(kPhilly);
  ASSERT_THAT(names_of(w), ElementsAre("app_1"));
  EXPECT_EQ(w.jobs[0].workers, 2);
  EXPECT_EQ(w.jobs[0].run, seconds(150));
  EXPECT_EQ(w.jobs[0].submit, Time{0});
  EXPECT_EQ(w.tenants[w.jobs[0].tenant], "ee9e8c");
  EXPECT_THAT(w.notes,
              ElementsAre("read as philly (by its first lines)", "1 row without an end (still running, or lost) were left out; first: t:7",
                          "1 row of jobs cancelled before they ran were left out; first: t:6",
                          "1 row of jobs of several attempts run for the sum of those; first: t:2"));
  EXPECT_THAT(error_of("[\n{\"status\": 3}]"), HasSubstr("t:2: status"));
  EXPECT_EQ(error_of("[{\"jobid\": \"a\""), "t:1: a job that is never closed");
  EXPECT_EQ(error_of("[{\"submitted_time\": \"yesterday\"}]"),
            "t:1: submitted_time: wants a date such as 2017-10-09 07:01:55, found 'yesterday'");
}

TEST(Trace, PhillysShortTable) {
  const Workload w =
      read("timestamp,duration,num_gpus,gpu_time,cluster\n2017-10-09 07:00:10,60.5,4,242,c1\n2017-10-09 07:00:00,0.0,1,0,c2\n");
  ASSERT_EQ(w.jobs.size(), 2U);
  EXPECT_EQ(w.jobs[0].run, seconds(1));
  EXPECT_EQ(w.jobs[1].submit, Time{10'000'000'000});
  EXPECT_EQ(w.jobs[1].run, milliseconds(60'500));
  EXPECT_EQ(w.jobs[1].workers, 4);
}

TEST(Trace, Helios) {
  const Workload w = read(
      "job_id,user,vc,jobname,gpu_num,cpu_num,node_num,state,submit_time,start_time,end_time,duration,queue\n"
      "1,u1,vc1,n,16,64,2,COMPLETED,2020-06-09 18:41:01,2020-06-09 18:42:01,2020-06-09 18:52:01,600,60\n"
      "2,u1,vc1,n,0,8,1,COMPLETED,2020-06-09 18:41:01,2020-06-09 18:42:01,2020-06-09 18:52:01,600,60\n"
      "3,u1,vc1,n,3,8,2,TIMEOUT,2020-06-09 18:41:31,2020-06-09 18:42:01,2020-06-09 18:52:01,600,60\n"
      "4,u1,vc1,n,1,8,1,CANCELLED,2020-06-09 18:41:31,None,None,0,0\n");
  ASSERT_THAT(names_of(w), ElementsAre("1", "3"));
  EXPECT_EQ(w.jobs[0].workers, 2);
  EXPECT_EQ(w.jobs[0].chips, 8);
  EXPECT_EQ(w.jobs[0].cpu_milli, 32000);
  EXPECT_EQ(w.jobs[0].run, seconds(600));
  EXPECT_EQ(w.jobs[1].workers, 3);
  EXPECT_EQ(w.jobs[1].end, RecordedEnd::failed);
  EXPECT_EQ(w.jobs[1].submit, Time{30'000'000'000});
  EXPECT_THAT(w.notes, Contains("1 row of jobs without chips were left out (keep_cpu_jobs keeps them); first: t:3"));
}

TEST(Trace, AcmesKalosCountsTheQueueInItsDuration) {
  const Workload w = read(
      "job_id,user,node_num,gpu_num,cpu_num,mem_per_pod_GB,shared_mem_per_pod,type,state,submit_time,start_time,end_time,fail_time,stop_"
      "time,duration,queue,gpu_time\n"
      "d1,u1,8,64,960,1000,100.0,Other,FAILED,2023-05-17 11:00:58+00:00,2023-05-17 11:01:08+00:00,2023-05-17 "
      "11:01:16+00:00,,,18,10.0,1152.0\n"
      "d2,u2,1,8,96,,,Other,RUNNING,2023-05-17 11:00:59+00:00,2023-05-17 11:01:08+00:00,,,,18,10.0,1152.0\n");
  ASSERT_THAT(names_of(w), ElementsAre("d1"));
  EXPECT_EQ(w.jobs[0].run, seconds(8));
  EXPECT_EQ(w.jobs[0].workers, 8);
  EXPECT_EQ(w.jobs[0].memory, Bytes{1'000'000'000'000});
  EXPECT_EQ(w.jobs[0].cpu_milli, 120'000);
  EXPECT_THAT(w.notes[0], HasSubstr("acme"));
}

TEST(Trace, Alibaba2020SharesChips) {
  constexpr std::string_view kTasks =
      "j1,tensorflow,2.0,Terminated,1739162.0,1739200.0,600.0,29.296875,50.0,MISC\n"
      "j2,worker,1.0,Failed,1739262.0,1739300.0,600.0,29.3,150.0,V100\n"
      "j2,ps,1.0,Terminated,1739262.0,1739300.0,600.0,29.3,,\n"
      "j3,worker,1.0,Running,1739262.0,,600.0,29.3,100.0,T4\n";
  TraceOptions options;
  options.pai_job_table = "job_name,inst_id,user,status,start_time,end_time\nj2,i,alice,Failed,1739252.0,1739300.0\n";
  const Workload w = read(kTasks, options);
  ASSERT_THAT(names_of(w), ElementsAre("j1/tensorflow", "j2/worker"));
  EXPECT_EQ(w.jobs[0].workers, 2);
  EXPECT_EQ(w.jobs[0].share_milli, 500);
  EXPECT_EQ(w.jobs[0].cpu_milli, 6000);
  EXPECT_EQ(w.jobs[0].memory.value, 30'000LL * 1'048'576);
  EXPECT_TRUE(w.kind_choices[w.jobs[0].kinds].empty());
  EXPECT_EQ(w.jobs[1].chips, 2);
  EXPECT_EQ(w.jobs[1].submit, Time{90'000'000'000});  // as the job table has it
  EXPECT_EQ(w.tenants[w.jobs[1].tenant], "alice");
  EXPECT_THAT(w.kind_choices[w.jobs[1].kinds], ElementsAre("V100"));
  EXPECT_THAT(error_of("j1,inst,user,Terminated,1,2\n"), HasSubstr("give pai_task_table as the trace"));
}

TEST(Trace, Alibaba2023PodsAndNodes) {
  Workload w = read(sample("openb_pods.csv"));
  ASSERT_EQ(w.jobs.size(), 13U);
  EXPECT_EQ(w.jobs[1].name, "openb-pod-0001");
  EXPECT_EQ(w.jobs[1].share_milli, 460);
  EXPECT_EQ(w.jobs[1].run, seconds(12902960 - 427061));
  EXPECT_FALSE(w.jobs[1].preemptible);
  EXPECT_THAT(w.notes, Contains("2 rows of jobs that never started were left out; first: t:16"));
  const auto nodes = read_nodes(sample("openb_nodes.csv"), "n", w);
  ASSERT_TRUE(nodes) << nodes.error().message();
  ASSERT_EQ(w.nodes.size(), 6U);
  EXPECT_EQ(w.nodes[2].kind, "P100");
  EXPECT_EQ(w.nodes[2].chips, 2);
  EXPECT_EQ(w.nodes[0].memory, mebibytes(262144));
  ASSERT_TRUE(read_nodes("m1,T4,96.0,512.0,2\n", "n", w));
  EXPECT_EQ(w.nodes[6].cpu_milli, 96000);
  EXPECT_THAT(read_nodes("a,b\n", "n", w).error().message(), HasSubstr("n:1: this is no list of nodes"));
}

TEST(Trace, PodsMayNameTheirKinds) {
  const Workload w = read(
      "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
      "p,1,1,2,1000,V100M16|V100M32,BE,Failed,5,20,10\n");
  ASSERT_EQ(w.jobs.size(), 1U);
  EXPECT_THAT(w.kind_choices[w.jobs[0].kinds], ElementsAre("V100M16", "V100M32"));
  EXPECT_EQ(w.jobs[0].run, seconds(10));
  EXPECT_EQ(w.jobs[0].end, RecordedEnd::failed);
}

TEST(Trace, AnOrderOfPodsThatStay) {
  const Workload w = read(sample("fgd_order.csv"));
  ASSERT_EQ(w.jobs.size(), 8U);
  EXPECT_EQ(w.jobs[0].chips, 0);  // pods without chips take cores from the others: they belong
  EXPECT_TRUE(w.jobs[7].service);
  EXPECT_EQ(w.jobs[7].submit, Time{7'000'000'000});
  EXPECT_EQ(w.jobs[7].share_milli, 650);
}

TEST(Trace, GavelsArrivalsScaleWithTheRate) {
  Workload w = read(sample("gavel.trace"));
  ASSERT_EQ(w.jobs.size(), 12U);
  EXPECT_EQ(w.profiles[w.jobs[0].profile], "ResNet-18 (batch size 64)");
  EXPECT_EQ(w.jobs[0].work, 1646636);
  EXPECT_EQ(w.jobs[0].priority, 0);
  EXPECT_EQ(w.jobs[1].submit, Time{244'586'073'000});
  TraceOptions twice_as_slow;
  twice_as_slow.gavel_jobs_per_hour = 2;
  w = read(sample("gavel.trace"), twice_as_slow);
  EXPECT_EQ(w.jobs[1].submit, Time{489'172'146'000});
  EXPECT_THAT(error_of("submit_s,run_s\n0,1\n", twice_as_slow), HasSubstr("jobs an hour are for Gavel's traces, this one is csv"));
}

TEST(Trace, SiasJobsAreElastic) {
  constexpr std::string_view kText = "name,time,application,num_replicas,batch_size\nx-0,17,modela,6,512\n";
  Workload w = read(kText);
  ASSERT_EQ(w.jobs.size(), 1U);
  EXPECT_EQ(w.profiles[w.jobs[0].profile], "sia:modela");
  EXPECT_EQ(w.jobs[0].workers_min, 1);
  EXPECT_EQ(w.jobs[0].workers_max, 64);
  EXPECT_EQ(w.jobs[0].batch, 512);
  TraceOptions options;
  options.rigid = true;
  EXPECT_EQ(read(kText, options).jobs[0].workers_max, 0);
}

TEST(Trace, Tiresias) {
  const Workload w = read(sample("tiresias.csv"));
  ASSERT_EQ(w.jobs.size(), 10U);
  EXPECT_EQ(w.jobs[1].name, "vgg11-1");
  EXPECT_EQ(w.jobs[1].workers, 8);
  EXPECT_EQ(w.jobs[1].run, seconds(147));
  EXPECT_EQ(w.jobs[1].submit, Time{30'000'000'000});
}

TEST(Trace, OptionsCutAndScale) {
  constexpr std::string_view kText = "name,submit_s,run_s,workers,chips,status\na,0,9,1,1,\nb,10,9,4,4,failed\nc,20,9,1,16,\nd,30,9,1,1,\n";
  TraceOptions options;
  options.from = seconds(10);
  options.to = seconds(30);
  options.rate = 2;
  Workload w = read(kText, options);
  EXPECT_THAT(names_of(w), ElementsAre("b", "c"));
  EXPECT_EQ(w.jobs[1].submit, Time{5'000'000'000});
  EXPECT_THAT(w.notes, Contains("2 rows outside the window of time were left out"));

  options = {};
  options.chips_max = 8;
  w = read(kText, options);
  EXPECT_EQ(w.jobs[1].workers, 2);
  EXPECT_EQ(w.jobs[2].chips, 8);
  EXPECT_THAT(w.notes, Contains(HasSubstr("2 rows of jobs that ask for more than the largest job allowed were shrunk")));
  options.too_large = TooLarge::drop;
  EXPECT_THAT(names_of(read(kText, options)), ElementsAre("a", "d"));

  options = {};
  options.keep_failed = false;
  options.limit = 2;
  EXPECT_THAT(names_of(read(kText, options)), ElementsAre("a", "c"));
  options.rate = 0;
  EXPECT_EQ(error_of(kText, options), "t: the rate of arrivals must be above 0, found 0");
}

TEST(Trace, WhatIsNotKnownIsAnErrorWithARemedy) {
  EXPECT_THAT(error_of(""), HasSubstr("t:1: the trace is empty; known are"));
  EXPECT_THAT(error_of("\n\n \n"), HasSubstr("t:1: the trace is empty"));
  EXPECT_THAT(error_of("a,b,c\n1,2,3\n"), HasSubstr("t:1: the first line is not of a format that we know; known are"));
  TraceOptions options;
  options.format = TraceFormat::tiresias;
  EXPECT_EQ(error_of("job_id,num_gpus\n", options), "t:1: there is no column 'num_gpu'; nearest: num_gpus");
}

}  // namespace
}  // namespace centrale
