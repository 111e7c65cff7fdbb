// SPDX-License-Identifier: Apache-2.0
// How fast the twin plays: 1,000,000 jobs on 100,000 chips, 100,000 elastic jobs on 10,000, one decision with 10,000 queued on 100,000
// chips, a fleet of 1,000,000. One core. `./dev bench twin` runs it and reads its JSON. twin_speed [WHAT POLICY JOBS CHIPS LOAD]
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "base/random.hpp"
#include "fleet/fleet.hpp"
#include "policy/table_estimator.hpp"
#include "simulate/generate.hpp"
#include "simulate/machines.hpp"
#include "simulate/twin.hpp"

using namespace centrale;

namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double peak_gib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / (1024 * 1024);
}

template <class T>
T must(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "{}\n", result.error().message());
    std::exit(65);
  }
  return std::move(*result);
}

Fleet mixed_fleet(std::int64_t chips) {
  return must(fleet_of(fmt::format("h100-sxm x {}, a100-sxm-80gb x {}", chips / 2, chips - chips / 2), default_catalogue()));
}

/// Speeds that grow with the workers' number as measured jobs' do: t(n) = compute / n + exchange.
std::string speed_table() {
  std::string csv = "profile,kind,workers,chips,rate_node,rate_leaf\n";
  for (int model = 0; model < 12; ++model) {
    const double exchange = 0.02 * (model + 1) / 12;
    for (const auto& [kind, speed] : {std::pair{"h100-sxm", 2.4}, std::pair{"a100-sxm-80gb", 1.0 + 0.05 * model}}) {
      for (int workers = 1; workers <= 256; workers *= 2) {
        const double rate = 1 / (1 / (speed * workers) + (workers > 1 ? exchange : 0));
        csv += fmt::format("model-{},{},{},1,{},{}\n", model, kind, workers, rate, rate * 0.9);
      }
    }
  }
  return csv;
}

struct Played {
  double generate_s = 0, play_s = 0;
  TwinResult result;
};

Played play(const std::string& policy, std::int64_t jobs, std::int64_t chips, double load, bool elastic) {
  Played played;
  auto begin = std::chrono::steady_clock::now();
  LoadShape shape;
  shape.jobs = jobs;
  shape.fleet_chips = chips;
  shape.load = load;
  shape.mix = LoadMix::helios;
  ProfileTable table;
  if (elastic) {
    table = must(read_profiles(speed_table(), "speeds"));
    shape.elastic_share = 0.5;
    for (int model = 0; model < 12; ++model) {
      for (std::int64_t workers = 1; workers <= 256; workers *= 2) {
        LoadProfile profile;
        profile.name = fmt::format("model-{}", model);
        profile.workers = workers;
        profile.steps_per_second = 1.5 * static_cast<double>(workers);
        shape.profiles.push_back(std::move(profile));
      }
    }
  }
  const Workload workload = must(generate(shape));
  const Machines machines = must(machines_of(mixed_fleet(chips)));
  played.generate_s = seconds_since(begin);
  const TableEstimator estimator(table);
  TwinOptions options;
  options.scheduling.policy = policy;
  begin = std::chrono::steady_clock::now();
  played.result = must(run_twin(
      {.workload = workload, .machines = machines, .estimator = elastic ? &estimator : nullptr, .options = options, .progress = {}}));
  played.play_s = seconds_since(begin);
  double jct = 0;
  std::size_t done = 0;
  for (const JobOutcome& job : played.result.jobs) {
    if (job.end == JobOutcome::End::done) {
      jct += job.jct_s();
      ++done;
    }
  }
  double busy = 0;
  double up = 0;
  for (std::size_t kind = 0; kind < played.result.busy_s.size(); ++kind) {
    busy += played.result.busy_s[kind];
    up += played.result.up_s[kind];
  }
  fmt::print(stderr,
             "{:<22} {:>9} jobs {:>8} chips load {:.2f}: {:6.1f} s ({} events, {:.2f} us each), generated in {:.1f} s, mean JCT {:.2f} h "
             "of {}, peak {:.2f} GiB\n",
             policy, jobs, chips, load, played.play_s, played.result.events,
             played.play_s / static_cast<double>(played.result.events) * 1e6, played.generate_s, jct / static_cast<double>(done) / 3600,
             done, busy / up, peak_gib());
  for (const std::string& note : played.result.notes) { fmt::print(stderr, "  note: {}\n", note); }
  return played;
}

/// The longest decision while 10,000 jobs wait for a full fleet of 100,000 chips and one of them ends.
double decision_s(const std::string& policy) {
  Core core(must(make_policy(policy)));
  Output out;
  const auto apply = [&](Event event, std::int64_t ns) {
    out.clear();
    const auto applied = core.apply(std::move(event), Time{ns}, out);
    if (!applied) {
      fmt::print(stderr, "{}\n", applied.error().message());
      std::exit(70);
    }
  };
  apply(TenantDefined{"default", {}}, 1);
  for (int node = 0; node < 12'500; ++node) {
    NodeJoined joined;
    joined.name = fmt::format("n{}", node);
    joined.memory = Bytes{std::int64_t{1} << 40};
    joined.leaf = fmt::format("l{}", node / 32);
    joined.chips = {{.kind = "h100", .count = 8, .memory = {}, .power = {}, .price_per_hour = {}}};
    apply(std::move(joined), 1);
  }
  Random random(7);
  std::vector<TaskId> running;
  const auto submit = [&](std::int64_t ns) {
    JobSpec spec;
    spec.name = "j";
    spec.command = {"x"};
    const std::uint64_t size = random.below(10);
    spec.chips = std::int64_t{1} << std::min<std::uint64_t>(size, 3);
    spec.workers = size > 3 ? std::int64_t{1} << (size - 3) : 1;
    spec.estimate = seconds(600 + static_cast<std::int64_t>(random.below(100'000)));
    spec.preemptible = true;
    apply(JobSubmitted{TenantId{1}, std::move(spec), {}}, ns);
    for (const Action& action : out.actions) {
      if (const auto* started = std::get_if<StartTask>(&action.act)) { running.push_back(started->task); }
    }
  };
  std::int64_t ns = 2;
  while (core.jobs_queued() < 10'000) { submit(ns += 1'000'000); }
  double longest = 0;
  for (int i = 0; i < 200; ++i) {
    const TaskId task = running[random.below(running.size())];
    if (core.task(task) == nullptr) { continue; }
    out.clear();
    TaskExited exited;
    exited.task = task;
    ns += 400'000'000'000;  // beyond every round: a full decision each time
    const auto begin = std::chrono::steady_clock::now();
    const auto applied = core.apply(std::move(exited), Time{ns}, out);
    longest = std::max(longest, seconds_since(begin));
    if (!applied) { std::exit(70); }
    while (core.jobs_queued() < 10'000) { submit(ns); }
  }
  return longest;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "all";
  if (what == "play" || what == "elastic") {
    play(argv[2], std::stoll(argv[3]), std::stoll(argv[4]), std::stod(argv[5]), what == "elastic");
    return 0;
  }
  if (what == "decision") {
    fmt::print("{:.3f} ms\n", decision_s(argv[2]) * 1e3);
    return 0;
  }
  if (what == "million") {
    play("fifo", 10'000, 1'000'000, 0.5, false);
    return 0;
  }
  const double fifo = play("fifo", 1'000'000, 100'000, 0.9, false).play_s;
  const double backfill = play("backfill", 1'000'000, 100'000, 0.9, false).play_s;
  const double peak = peak_gib();
  double elastic = 0;
  double decision = 0;
  for (const auto& [name, what_it_is] : policy_names()) {
    const bool slow = name == "fifo" || name == "backfill" || name == "backfill-conservative";
    if (!slow) { elastic = std::max(elastic, play(std::string(name), 100'000, 10'000, 0.9, true).play_s); }
    const double one = decision_s(std::string(name));
    fmt::print(stderr, "{:<22} longest decision with 10,000 queued: {:.3f} ms\n", name, one * 1e3);
    decision = std::max(decision, one);
  }
  const auto begin = std::chrono::steady_clock::now();
  play("fifo", 10'000, 1'000'000, 0.5, false);
  const double million = seconds_since(begin);
  fmt::print(
      R"({{"fifo_1m_jobs_s":{:.2f},"backfill_1m_jobs_s":{:.2f},"elastic_100k_jobs_s":{:.2f},"decision_10k_jobs_s":{:.5f},"million_chips_s":{:.2f},"peak_gib":{:.2f}}})"
      "\n",
      fifo, backfill, elastic, decision, million, peak);
  return 0;
}
