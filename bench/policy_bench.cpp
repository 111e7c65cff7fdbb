// SPDX-License-Identifier: Apache-2.0
// What policies cost by themselves, without the core: random arrivals and ends on 100,000 chips, and one decision with 10,000 requests
// queued. `policy_bench [POLICY…]`, else all there are. Prints one line a policy.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include "base/ensure.hpp"
#include "base/random.hpp"
#include "policy/testing.hpp"

namespace centrale {
namespace {

using Steady = std::chrono::steady_clock;
double since(Steady::time_point begin) { return std::chrono::duration<double>(Steady::now() - begin).count(); }

constexpr double kLongest_s = 15;  // of one measurement
constexpr std::int64_t kNodes = 12'500, kChipsPerNode = 8;

/// One chip mostly, up to 64 nodes now and then; runs of minutes to days, estimates too long by up to ten times, as users' are.
struct Job {
  Work work;
  Nanos run;
};
Job random_job(Random& random, std::uint64_t id) {
  Job job;
  job.work.task = TaskId{id};
  job.work.owner = id;
  job.work.order = id;
  job.work.tenant = TenantId{1 + random.below(20)};
  const std::uint64_t size = random.below(100);
  job.work.gang.chips = size < 50 ? 1 : size < 60 ? 2 : size < 70 ? 4 : 8;
  job.work.gang.workers = size < 85 ? 1 : std::int64_t{1} << random.below(7);
  const double run_s = std::clamp(random.log_normal(1800, 1.8), 10.0, 864'000.0);
  job.run = Nanos{static_cast<std::int64_t>(run_s * 1e9)};
  job.work.expected = Nanos{static_cast<std::int64_t>(run_s * random.uniform(1, 10) * 1e9)};
  return job;
}

class Centre {
 public:
  explicit Centre(std::string_view policy) : pool_(testing::pool_of(kNodes, kChipsPerNode)), policy_(make_policy(policy).value()) {}
  void enqueue(const Job& job) {
    const auto begin = Steady::now();
    policy_->enqueue(job.work);
    spent_ += since(begin);
    jobs_.emplace(job.work.task.value, job);
    ++events_;
  }
  void submit(const Job& job, Time now) {
    enqueue(job);
    if (policy_->head_changed()) { decide(now); }
  }
  void end_first() {
    const End end = ends_.top();
    ends_.pop();
    for (const ChipId chip : end.chips) { pool_.set_free(chip, true); }
    const auto begin = Steady::now();
    policy_->ended(TaskId{end.task});
    spent_ += since(begin);
    ++events_;
    decide(end.at);
  }
  void decide(Time now) {
    out_.clear();
    const auto begin = Steady::now();
    policy_->decide(pool_, allowance_, now, out_);
    const double took = since(begin);
    spent_ += took;
    longest_ = std::max(longest_, took);
    ++decisions_;
    for (const Start& start : out_.starts) {
      const auto job = jobs_.find(start.task.value);
      const auto from = out_.chips.begin() + static_cast<std::ptrdiff_t>(start.first);
      ends_.push({now + job->second.run, start.task.value, {from, from + static_cast<std::ptrdiff_t>(start.count)}});
      jobs_.erase(job);
      ++events_;
    }
  }
  [[nodiscard]] Time next_end() const { return ends_.empty() ? kNever : ends_.top().at; }
  [[nodiscard]] std::size_t queued() const { return policy_->queued(); }
  [[nodiscard]] std::size_t running() const { return ends_.size(); }
  [[nodiscard]] std::int64_t free() const { return pool_.free_total(); }
  void forget() { spent_ = longest_ = 0, events_ = decisions_ = 0; }
  double spent_ = 0, longest_ = 0;
  std::int64_t events_ = 0, decisions_ = 0;

 private:
  struct End {
    Time at;
    std::uint64_t task = 0;
    std::vector<ChipId> chips;
    bool operator<(const End& other) const { return std::tuple(other.at, other.task) < std::tuple(at, task); }
  };
  Pool pool_;
  std::unique_ptr<Policy> policy_;
  testing::Generous allowance_;
  Decision out_;
  std::priority_queue<End> ends_;
  std::unordered_map<std::uint64_t, Job> jobs_;
};

/// `queued` requests wait, and each that starts is followed by another.
void loaded(std::string_view policy, std::size_t queued, std::int64_t events) {
  Random random(7);
  Centre centre(policy);
  std::uint64_t id = 0;
  Time now;
  while (centre.queued() < queued) {
    while (centre.queued() < queued) { centre.enqueue(random_job(random, ++id)); }
    centre.decide(now);
  }
  centre.forget();
  const auto begin = Steady::now();
  while (centre.events_ < events && since(begin) < kLongest_s) {
    now = centre.next_end();
    centre.end_first();
    while (centre.queued() < queued) { centre.submit(random_job(random, ++id), now); }
  }
  fmt::print(
      "{}: {} queued, {} running, {} chips free: {:.0f} ns an event ({} events), {:.1f} us a decision in the mean, longest {:.2f} ms\n",
      policy, centre.queued(), centre.running(), centre.free(), centre.spent_ / static_cast<double>(centre.events_) * 1e9, centre.events_,
      centre.spent_ / static_cast<double>(centre.decisions_) * 1e6, centre.longest_ * 1e3);
  std::fflush(stdout);
}

/// A centre that stands empty, or is full, is asked once with 10,000 queued.
double first_decision_ms(std::string_view policy, bool full) {
  Random random(11);
  Centre centre(policy);
  std::uint64_t id = 0;
  if (full) {
    while (centre.queued() == 0) { centre.submit(random_job(random, ++id), Time{}); }
  }
  for (int i = 0; i < 10'000; ++i) { centre.enqueue(random_job(random, ++id)); }
  centre.forget();
  centre.decide(Time{} + seconds(1));
  return centre.longest_ * 1e3;
}

}  // namespace
}  // namespace centrale

int main(int argc, char** argv) {
  using namespace centrale;
  std::vector<std::string_view> names(argv + 1, argv + argc);
  if (names.empty()) {
    for (const auto& [name, what] : policy_names()) { names.push_back(name); }
  }
  for (const std::string_view name : names) {
    if (!make_policy(name)) {
      fmt::print(stderr, "{}\n", make_policy(name).error().message());
      return 64;
    }
    fmt::print("{}: first decision of 10,000 queued on 100,000 chips: {:.2f} ms empty, {:.2f} ms full\n", name,
               first_decision_ms(name, false), first_decision_ms(name, true));
    loaded(name, 100, 300'000);
    loaded(name, 10'000, 300'000);
    loaded(name, 100'000, 300'000);
  }
}
