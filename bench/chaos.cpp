// SPDX-License-Identifier: Apache-2.0
// The fault test, long: every policy, seed after seed, for so many steps. Prints one flat JSON object of figures; what fails is told on
// stderr with the seed that repeats it, and the exit status is 1. Each run is a process: a broken belief of the core ends only it.
//
//   chaos [--steps N] [--each N] [--policy NAME] [--seed FIRST] [--only FAULT]
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <tuple>

#include <fmt/format.h>

#include "simulate/chaos.hpp"

namespace {

using namespace centrale;

char last_event[4096];  // for the handler, which may allocate nothing
std::uint64_t last_step = 0;

void say_last(int) {
  char text[4400];
  const int size =
      std::snprintf(text, sizeof(text), "  stopped at step %llu: %s\n", static_cast<unsigned long long>(last_step), last_event);
  if (size > 0) { [[maybe_unused]] const auto written = write(2, text, std::min(static_cast<std::size_t>(size), sizeof(text) - 1)); }
  _exit(3);
}

std::string without_others;

/// Small, medium and large worlds, each with its seed.
ChaosOptions options_of(const std::string& policy, std::uint64_t seed, std::uint64_t steps) {
  ChaosOptions options;
  options.seed = seed;
  options.steps = steps;
  options.policy = policy;
  options.nodes = static_cast<std::int64_t>(1 + seed % 6);
  options.chips_per_node = static_cast<std::int64_t>(seed % 3 == 0 ? 8 : 4);
  options.kinds = static_cast<std::int64_t>(1 + seed % 3);
  options.jobs_max = static_cast<std::int64_t>(seed % 4 == 0 ? 80 : 25);
  options.restore = seed % 2 == 0 ? 0.005 : 0;
  options.shadow = seed % 2 == 0;
  if (seed % 5 == 0) {  // a bad day
    ChaosRates& rates = options.rates;
    rates.lost *= 4;
    rates.late *= 4;
    rates.node *= 4;
    rates.crash *= 4;
  }
  if (!without_others.empty()) {
    const ChaosRates all = options.rates;
    if (without_others != "spot") { options.spot = 0; }
    options.rates = {.lost = 0,
                     .late = 0,
                     .repeated = 0,
                     .node = 0,
                     .chip = 0,
                     .tenant = 0,
                     .scheduling = 0,
                     .reservation = 0,
                     .noise = 0,
                     .crash = 0,
                     .clock_back = 0};
    if (without_others == "crash") { options.rates.crash = all.crash; }
    if (without_others == "node") { options.rates.node = all.node; }
    if (without_others == "chip") { options.rates.chip = all.chip; }
    if (without_others == "messages") {
      std::tie(options.rates.lost, options.rates.late, options.rates.repeated) = std::tie(all.lost, all.late, all.repeated);
    }
    if (without_others == "tenant") { options.rates.tenant = all.tenant; }
    if (without_others == "scheduling") { options.rates.scheduling = all.scheduling; }
    if (without_others == "reservation") { options.rates.reservation = all.reservation; }
  }
  if (!without_others.empty()) {
    const ChaosRates all = options.rates;
    if (without_others != "spot") { options.spot = 0; }
    options.rates = {.lost = 0,
                     .late = 0,
                     .repeated = 0,
                     .node = 0,
                     .chip = 0,
                     .tenant = 0,
                     .scheduling = 0,
                     .reservation = 0,
                     .noise = 0,
                     .crash = 0,
                     .clock_back = 0};
    if (without_others == "crash") { options.rates.crash = all.crash; }
    if (without_others == "node") { options.rates.node = all.node; }
    if (without_others == "chip") { options.rates.chip = all.chip; }
    if (without_others == "messages") {
      std::tie(options.rates.lost, options.rates.late, options.rates.repeated) = std::tie(all.lost, all.late, all.repeated);
    }
    if (without_others == "tenant") { options.rates.tenant = all.tenant; }
    if (without_others == "scheduling") { options.rates.scheduling = all.scheduling; }
    if (without_others == "reservation") { options.rates.reservation = all.reservation; }
  }
  return options;
}

struct Sums {
  std::uint64_t events = 0, jobs = 0, starts = 0, stops = 0, hash = 0, runs = 0, failed = 0;
  std::array<std::uint64_t, kChaosFaults.size()> thrown{};
};

struct Told {  // through the pipe, by the child
  std::uint64_t failed = 0, events = 0, jobs = 0, starts = 0, stops = 0, hash = 0;
  std::array<std::uint64_t, kChaosFaults.size()> thrown{};
};

[[noreturn]] void child(const ChaosOptions& given, int pipe) {
  ChaosOptions options = given;
  std::signal(SIGABRT, say_last);
  std::signal(SIGALRM, say_last);  // one event that never ends
  alarm(20);
  options.before = [](std::uint64_t step, std::string_view event) {
    last_step = step;
    const std::size_t size = std::min(event.size(), sizeof(last_event) - 1);
    std::memcpy(last_event, event.data(), size);
    last_event[size] = '\0';
  };
  const ChaosResult result = chaos(options);
  alarm(0);  // shrinking may take its time
  options.before = {};
  if (result.fault) {
    fmt::print(stderr, "  step {}: {}\n  event: {}\n", result.fault->step, result.fault->what, result.fault->event.substr(0, 1500));
    if (const auto shrunk = shrink(options); shrunk && shrunk->options.steps < result.fault->step) {
      fmt::print(stderr, "  shrunk to {} steps: {}\n", shrunk->options.steps, shrunk->fault.what);
    }
  }
  const Told told{.failed = result.fault ? 1U : 0U,
                  .events = result.events,
                  .jobs = result.jobs,
                  .starts = result.starts,
                  .stops = result.stops,
                  .hash = result.hash,
                  .thrown = result.thrown};
  const bool sent = write(pipe, &told, sizeof(told)) == static_cast<ssize_t>(sizeof(told));
  std::fflush(stderr);
  _exit(sent ? 0 : 1);
}

void run(const ChaosOptions& options, Sums& sums) {
  int ends[2];
  if (pipe(ends) != 0) { std::abort(); }
  const pid_t pid = fork();
  if (pid < 0) { std::abort(); }
  if (pid == 0) { child(options, ends[1]); }
  close(ends[1]);
  Told told;
  const bool heard = read(ends[0], &told, sizeof(told)) == static_cast<ssize_t>(sizeof(told));
  close(ends[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  ++sums.runs;
  if (!heard || told.failed != 0) {
    ++sums.failed;
    fmt::print(stderr, "FAILED: chaos --policy {} --seed {} --each {} --steps 1{}{}\n", options.policy, options.seed, options.steps,
               without_others.empty() ? "" : " --only ", without_others);
  }
  if (!heard) { return; }
  sums.events += told.events;
  sums.jobs += told.jobs;
  sums.starts += told.starts;
  sums.stops += told.stops;
  sums.hash = (sums.hash ^ told.hash) * 0x100000001B3ULL;
  for (std::size_t i = 0; i < sums.thrown.size(); ++i) { sums.thrown[i] += told.thrown[i]; }
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t steps = 2'000'000;
  std::uint64_t each = 20'000;
  std::uint64_t seed = 1;
  std::string only;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view key = argv[i];
    const char* const value = argv[i + 1];
    if (key == "--steps") {
      steps = std::strtoull(value, nullptr, 10);
    } else if (key == "--each") {
      each = std::strtoull(value, nullptr, 10);
    } else if (key == "--seed") {
      seed = std::strtoull(value, nullptr, 10);
    } else if (key == "--policy") {
      only = value;
    } else if (key == "--only") {  // one kind of fault: "crash", "scheduling"; "restore": none but restores
      without_others = value;
    } else {
      fmt::print(stderr, "what is {}?\n", key);
      return 64;
    }
  }
  Sums all;
  std::string figures;
  const auto names = policy_names();
  const std::size_t count = only.empty() ? names.size() : 1;
  const auto began = std::chrono::steady_clock::now();
  for (const auto& [name, what] : names) {
    if (!only.empty() && only != name) { continue; }
    Sums sums;
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t s = seed; sums.events < steps / count && sums.failed < 10; ++s) {
      run(options_of(std::string(name), s, each), sums);
    }
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    fmt::print(stderr, "{:<24}{:>12} events{:>10.0f}/s{:>6} runs{:>4} failed  {:016x}\n", name, sums.events,
               static_cast<double>(sums.events) / took, sums.runs, sums.failed, sums.hash);
    figures += fmt::format("\"{}_events_per_s\": {:.0f}, ", name, static_cast<double>(sums.events) / took);
    all.events += sums.events;
    all.jobs += sums.jobs;
    all.starts += sums.starts;
    all.stops += sums.stops;
    all.failed += sums.failed;
    all.runs += sums.runs;
    all.hash ^= sums.hash;
    for (std::size_t i = 0; i < all.thrown.size(); ++i) { all.thrown[i] += sums.thrown[i]; }
  }
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  for (std::size_t i = 0; i < kChaosFaults.size(); ++i) {
    std::string name(kChaosFaults[i]);
    std::ranges::replace(name, ' ', '_');
    figures += fmt::format("\"{}\": {}, ", name, all.thrown[i]);
  }
  fmt::print(
      "{{{}\"jobs\": {}, \"starts\": {}, \"stops\": {}, \"events\": {}, \"runs\": {}, \"failed_runs\": {}, \"events_per_s\": {:.0f}}}\n",
      figures, all.jobs, all.starts, all.stops, all.events, all.runs, all.failed, static_cast<double>(all.events) / took);
  fmt::print(stderr, "hash over all: {:016x}\n", all.hash);
  return all.failed == 0 ? 0 : 1;
}
