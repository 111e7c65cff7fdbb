// SPDX-License-Identifier: Apache-2.0
// `./dev bench core`: events per second through the core and through the journal, and what a long queue costs. Prints a flat JSON
// object; bench.py makes the table.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "base/ensure.hpp"
#include "centre/core.hpp"
#include "operate/host.hpp"
#include "operate/sqlite_journal.hpp"

namespace centrale {
namespace {

using SteadyTime = std::chrono::steady_clock;

double since(SteadyTime::time_point begin) { return std::chrono::duration<double>(SteadyTime::now() - begin).count(); }

constexpr std::int64_t kChips = 4096;
constexpr TenantId kTenant{1};

JobSpec job_spec() {
  JobSpec spec;
  spec.name = "train-small";
  spec.command = {"centrale-trainer", "train", "--model", "llama-small.json", "--steps", "300"};
  spec.workdir = "/srv/examples";
  return spec;
}

Core fresh_core() {
  Core core(make_policy("fifo").value());
  Output out;
  ensure(core.apply(TenantDefined{"default", {}}, Time{1}, out));
  for (std::int64_t node = 0; node < kChips / 64; ++node) {
    NodeJoined joined{.name = fmt::format("n{}", node), .memory = mebibytes(1'048'576), .chips = {}};
    joined.chips.push_back(
        {.kind = "h100-sxm", .count = 64, .memory = mebibytes(81'920), .power = {700'000}, .price_per_hour = {3'000'000}});
    ensure(core.apply(joined, Time{1}, out));
  }
  return core;
}

/// The life of a job in four events; what the driver would say of whatever runs.
class Load {
 public:
  explicit Load(Core& core) : core_(core) {}
  /// One job in, and the oldest running one through its start, a progress report and its end. Returns the events made.
  std::int64_t step(const std::vector<JobSpec>& specs, std::size_t i) {
    now_.ns += 1'000;
    apply(JobSubmitted{kTenant, specs[i]});
    std::int64_t events = 1;
    if (started_.size() - next_ >= static_cast<std::size_t>(kChips) / 2) {
      const TaskId task = started_[next_++];
      apply(TaskStarted{task});
      apply(TaskProgressed{.task = task,
                           .step = 10,
                           .steps = 300,
                           .loss_micro = 3'000'000,
                           .tokens = 20'480,
                           .tokens_per_s_milli = 9'000'000,
                           .eta = seconds(30),
                           .checkpoint = {}});
      apply(TaskExited{.task = task, .code = 0, .signal = 0, .lost = false, .message = {}, .energy = {}});
      events += 3;
    }
    return events;
  }

 private:
  void apply(Event event) {
    out_.clear();
    ensure(core_.apply(std::move(event), now_, out_));
    for (const Action& action : out_.actions) {
      if (const auto* start = std::get_if<StartTask>(&action.act)) { started_.push_back(start->task); }
    }
  }
  Core& core_;
  Output out_;
  std::vector<TaskId> started_;
  std::size_t next_ = 0;
  Time now_{1'000'000'000};
};

/// Events per second of one thread; the specs are made beforehand, as they come from the network.
double apply_per_s() {
  constexpr std::size_t kJobs = 300'000;
  Core core = fresh_core();
  Load load(core);
  const std::vector<JobSpec> specs(kJobs, job_spec());
  for (std::size_t i = 0; i < 10'000; ++i) { load.step(specs, i); }
  std::int64_t events = 0;
  const auto begin = SteadyTime::now();
  for (std::size_t i = 10'000; i < kJobs; ++i) { events += load.step(specs, i); }
  return static_cast<double>(events) / since(begin);
}

/// Median time of a submit in ns while `queued` jobs wait.
double submit_ns(std::size_t queued) {
  Core core = fresh_core();
  Output out;
  for (std::size_t i = 0; i < static_cast<std::size_t>(kChips) + queued; ++i) {
    ensure(core.apply(JobSubmitted{kTenant, job_spec()}, Time{2}, out));
    out.clear();
  }
  std::vector<double> times;
  for (int i = 0; i < 5'001; ++i) {
    Event event = JobSubmitted{kTenant, job_spec()};
    const auto begin = SteadyTime::now();
    ensure(core.apply(std::move(event), Time{3}, out));
    times.push_back(since(begin) * 1e9);
    out.clear();
  }
  std::nth_element(times.begin(), times.begin() + 2'500, times.end());
  return times[2'500];
}

class Steady final : public Clock {
 public:
  Time now() override { return Time{SteadyTime::now().time_since_epoch().count()}; }
};
class Nothing final : public Launcher {
 public:
  void start(const Core&, TaskId) override {}
  void stop(const Core&, TaskId, Nanos) override {}
  void adopt(const Core&, const std::vector<TaskId>&) override {}
};

struct Durable {
  double per_s = 0;
  double events_per_commit = 0;
};

/// Through the whole host: queue, core, encoding, group commit with an fsync each, answers. Many callers at once, as a loaded API is.
Durable durable_per_s(const std::string& folder) {
  constexpr std::int64_t kEvents = 200'000;
  constexpr std::int64_t kInFlight = 4'096;
  std::filesystem::create_directories(folder);
  Steady clock;
  Nothing nothing;
  auto host = Host::open(SqliteJournal::open(folder + "/journal.db").value(), clock, {}).value();
  host->run(nothing);
  ensure(host->wish_and_wait(TenantDefined{"default", {}}));
  NodeJoined joined{.name = "n", .memory = mebibytes(1'048'576), .chips = {}};
  joined.chips.push_back({.kind = "h100-sxm", .count = 64, .memory = {}, .power = {}, .price_per_hour = {}});
  ensure(host->wish_and_wait(joined));
  std::atomic<std::int64_t> done{0};
  const auto begin = SteadyTime::now();
  for (std::int64_t sent = 0; sent < kEvents; ++sent) {
    while (sent - done.load(std::memory_order_relaxed) >= kInFlight) { ::usleep(50); }
    host->wish(JobSubmitted{kTenant, job_spec()}, [&done](const Result<std::uint64_t>& result) {
      ensure(result);
      done.fetch_add(1, std::memory_order_relaxed);
    });
  }
  while (done.load() < kEvents) { ::usleep(50); }
  const double seconds_taken = since(begin);
  const Host::Health health = host->health();
  host->stop();
  return {static_cast<double>(kEvents) / seconds_taken, static_cast<double>(health.events) / static_cast<double>(health.commits)};
}

}  // namespace
}  // namespace centrale

int main(int argc, char** argv) {
  using namespace centrale;
  ensure(argc == 2);
  const double applied = apply_per_s();
  const double few = submit_ns(100);
  const double many = submit_ns(100'000);
  const Durable durable = durable_per_s(argv[1]);
  fmt::print(
      "{{\"apply_per_s\": {:.0f}, \"submit_ns_100_queued\": {:.0f}, \"submit_ns_100k_queued\": {:.0f}, \"submit_slowdown_100k\": {:.2f}, "
      "\"durable_per_s\": {:.0f}, \"events_per_commit\": {:.0f}}}\n",
      applied, few, many, many / few, durable.per_s, durable.events_per_commit);
}
