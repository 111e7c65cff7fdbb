// SPDX-License-Identifier: Apache-2.0
// For tests of policies that stop work: a small centre in virtual time. Work that is told to stop gives its chips back a little later and
// is queued again under a new id, as the core does; every decision is checked.
#pragma once
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "policy/elastic.hpp"
#include "policy/testing.hpp"

namespace centrale::testing {

/// Rates by kind at 1 worker of the gang's chips, and how it grows: rate x workers^power.
struct Speeds1 {
  std::vector<std::pair<KindIndex, double>> rates;
  double power = 1;
};
inline std::shared_ptr<const SpeedTable> table_of(const Speeds1& speeds, std::int64_t chips, std::int64_t workers_min,
                                                  std::int64_t workers_max) {
  auto table = std::make_shared<SpeedTable>();
  std::uint32_t row = 0;
  for (const auto& [kind, rate] : speeds.rates) {
    for (std::int64_t workers = workers_min; workers <= workers_max; ++workers) {
      Shape shape;
      shape.kind = kind;
      shape.workers = static_cast<std::int32_t>(workers);
      shape.chips = static_cast<std::int32_t>(chips);
      shape.rate.fill(static_cast<float>(rate * std::pow(static_cast<double>(workers), speeds.power)));
      shape.row = row++;
      table->shapes.push_back(shape);
    }
  }
  std::ranges::sort(table->shapes, {}, [](const Shape& s) { return std::tuple(s.kind, s.total(), s.row); });
  return table;
}

class Clockwork {
 public:
  struct Job {
    Work work;           // as queued last
    double left = 0;     // work units, or seconds without speeds
    double rate = 0;     // now
    Time since, queued;  // since: of its chips
    Time ends = kNever;
    std::vector<ChipId> chips;
    KindIndex kind = 0;
    std::int64_t workers = 0, per_worker = 0;
    bool stopping = false, done = false;
    int starts = 0, stops = 0;
    Nanos longest_wait;
    Time first_start = kNever, finished = kNever;
  };
  Clockwork(Pool chips, Scheduling scheduling)
      : pool(std::move(chips)), scheduling_(std::move(scheduling)), policy_(make_policy(scheduling_).value()) {}

  void submit(Work work) {
    work.order = work.owner;
    work.submitted = work.queued = now;
    Job& job = jobs[work.owner];
    job.left = work.work_left;
    job.work = work;
    queue(job);
  }
  /// All that falls due until then, in order of time.
  void run_until(Time end) {
    while (step(end)) {}
    now = end;
  }
  void run_until_s(std::int64_t s) { run_until(Time{} + seconds(s)); }
  [[nodiscard]] bool runs(std::uint64_t owner) const { return !jobs.at(owner).chips.empty() && !jobs.at(owner).stopping; }
  [[nodiscard]] std::vector<std::uint64_t> running() const {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, job] : jobs) {
      if (runs(id)) { ids.push_back(id); }
    }
    return ids;
  }
  template <class P>
  [[nodiscard]] const P& as() const {
    return dynamic_cast<const P&>(*policy_);
  }
  Policy& policy() { return *policy_; }
  /// As after a crash: a fresh policy is told all that the core knows, and what was saved.
  void restart() {
    const std::string saved = policy_->save();
    auto fresh = make_policy(scheduling_).value();
    for (const auto& [id, job] : jobs) {
      if (job.done) { continue; }
      if (job.chips.empty()) {
        fresh->enqueue(job.work);
      } else {
        fresh->adopt(job.work, job.chips, job.per_worker, row_of(job), job.since);
        if (job.stopping) { fresh->stopping(job.work.task); }
      }
    }
    for (const auto& [tenant, tenancy] : tenancies) { fresh->tenancy(tenant, tenancy); }
    const auto loaded = fresh->load(saved);
    ASSERT_TRUE(loaded) << loaded.error().message();
    EXPECT_EQ(fresh->save(), saved);
    policy_ = std::move(fresh);
  }
  void tenancy(TenantId tenant, const Tenancy& t) {
    tenancies[tenant] = t;
    policy_->tenancy(tenant, t);
  }

  Pool pool;
  Generous allowance;
  Time now;
  Nanos stop_cost;
  std::map<std::uint64_t, Job> jobs;  // by owner
  std::map<TenantId, Tenancy> tenancies;
  std::string log;  // every start and stop, for comparing runs
  std::vector<Stop> all_stops;
  /// Called with each decision before it is carried out.
  std::function<void(const Decision&)> inspect;
  std::function<void(Clockwork&)> after_decision;

 private:
  void queue(Job& job) {
    job.work.task = TaskId{++last_task_};
    job.work.queued = job.queued = now;
    job.work.work_left = job.left;
    owner_of_[job.work.task] = job.work.owner;
    policy_->enqueue(job.work);
  }
  static std::int64_t row_of(const Job& job) {
    if (job.work.speed == nullptr) { return -1; }
    for (const Shape& s : job.work.speed->shapes) {
      if (s.kind == job.kind && s.workers == job.workers && s.chips == job.per_worker) { return s.row; }
    }
    return -1;
  }
  [[nodiscard]] double rate_of(const Job& job) const {
    if (job.work.speed == nullptr) { return 1; }
    for (const Shape& s : job.work.speed->shapes) {
      if (s.kind == job.kind && s.workers == job.workers && s.chips == job.per_worker) {
        return static_cast<double>(s.rate[static_cast<std::size_t>(pool.spread(job.chips))]);
      }
    }
    return 1e-9;
  }
  void progress(Job& job) {
    const Time from = job.since + job.work.restart_cost;
    if (now > from) { job.left = std::max(0.0, job.left - job.rate * to_seconds(now - from)); }
  }
  void give_back(Job& job) {
    Gang gang = job.work.gang;
    gang.workers = job.workers;
    gang.chips = job.per_worker;
    pool.give_back(job.chips, gang);
    for (const ChipId chip : job.chips) { holders_.erase(chip.value); }
    job.work.attained += Nanos{(now - job.since).value * static_cast<std::int64_t>(job.chips.size())};
    job.chips.clear();
    policy_->ended(job.work.task);
  }
  bool step(Time end) {
    Time next = wake_;
    for (const auto& [id, job] : jobs) { next = std::min(next, job.ends); }
    if (policy_->head_changed()) { next = now; }
    if (next > end || next == kNever) { return false; }
    now = std::max(now, next);
    for (auto& [id, job] : jobs) {
      if (job.ends > now) { continue; }
      job.ends = kNever;
      if (job.stopping) {
        give_back(job);
        job.stopping = false;
        queue(job);
      } else {
        job.done = true;
        job.finished = now;
        job.left = 0;
        give_back(job);
      }
    }
    decide();
    return true;
  }
  void decide() {
    out_.clear();
    policy_->decide(pool, allowance, now, out_);
    if (inspect) { inspect(out_); }
    for (const Start& start : out_.starts) {
      Job& job = jobs.at(owner_of_.at(start.task));
      ASSERT_TRUE(job.chips.empty() && !job.done && job.work.task == start.task);
      const auto from = out_.chips.begin() + static_cast<std::ptrdiff_t>(start.first);
      job.chips.assign(from, from + static_cast<std::ptrdiff_t>(start.count));
      for (const ChipId chip : job.chips) { ASSERT_TRUE(holders_.insert(chip.value).second) << "a chip has two holders"; }
      job.kind = pool.kind_of(job.chips.front());
      job.per_worker = start.chips;
      job.workers = static_cast<std::int64_t>(start.count) / start.chips;
      job.since = now;
      job.first_start = std::min(job.first_start, now);
      job.longest_wait = std::max(job.longest_wait, now - job.queued);
      ++job.starts;
      job.rate = rate_of(job);
      job.ends =
          job.work.service ? kNever : now + job.work.restart_cost + Nanos{static_cast<std::int64_t>(std::ceil(job.left / job.rate * 1e9))};
      log += "+" + std::to_string(job.work.owner) + "@" + std::to_string(now.ns / 1'000'000) + ":" + std::to_string(job.kind) + "x" +
             std::to_string(start.count) + " ";
    }
    for (const Stop& stop : out_.stops) {
      Job& job = jobs.at(owner_of_.at(stop.task));
      ASSERT_TRUE(!job.chips.empty() && !job.stopping) << "only what runs can be stopped";
      ASSERT_TRUE(job.work.preemptible && !job.work.service);
      progress(job);
      policy_->stopping(stop.task);
      job.stopping = true;
      ++job.stops;
      job.ends = now + stop_cost;
      all_stops.push_back(stop);
      log += "-" + std::to_string(job.work.owner) + "@" + std::to_string(now.ns / 1'000'000) + " ";
    }
    wake_ = out_.wake;
    ASSERT_TRUE(wake_ > now);
    if (after_decision) { after_decision(*this); }
  }

  Scheduling scheduling_;
  std::unique_ptr<Policy> policy_;
  Decision out_;
  Time wake_ = kNever;
  std::uint64_t last_task_ = 0;
  std::map<TaskId, std::uint64_t> owner_of_;
  std::set<std::uint64_t> holders_;
};

inline Scheduling rounds_of(std::string policy, std::int64_t round_s, std::int64_t starvation_s = 0) {
  Scheduling s;
  s.policy = std::move(policy);
  s.round = seconds(round_s);
  s.starvation_after = seconds(starvation_s);
  return s;
}

/// Owner `id`, `workers` workers of `chips` chips, `run_s` long as asked; may be stopped.
inline Work elastic_work(std::uint64_t id, std::int64_t workers, std::int64_t run_s, std::int64_t chips = 1) {
  Work w = work(id, workers, seconds(run_s));
  w.gang.chips = chips;
  w.work_left = static_cast<double>(run_s);
  w.preemptible = true;
  return w;
}

}  // namespace centrale::testing
