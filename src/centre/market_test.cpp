// SPDX-License-Identifier: Apache-2.0
// The market and the budgets under random events, against slow books of their own: what each task owes is integrated price by price.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "centre/core.hpp"

namespace centrale {
namespace {

constexpr std::int64_t kGraceS = 5, kStopS = 2;

class Trading {
 public:
  explicit Trading(std::uint64_t seed) : random_(seed), core_(make_policy("fifo").value()) {}

  void run() {
    for (const char* name : {"default", "poor", "small"}) {
      Quota quota;
      if (name[0] == 'p') {
        quota.cost_max = {60'000};
        quota.cost_period = seconds(700);
      }
      if (name[0] == 's') { quota.chips_max = 2; }
      send(TenantDefined{name, quota});
    }
    for (int n = 0; n < 3; ++n) {
      NodeJoined node{.name = "n" + std::to_string(n), .memory = mebibytes(4096), .chips = {}};
      node.chips.push_back({.kind = "a", .count = 4, .memory = {}, .power = {1000}, .price_per_hour = {1'000'003}});
      if (n == 2) { node.chips.push_back({.kind = "b", .count = 2, .memory = {}, .power = {1000}, .price_per_hour = {700'001}}); }
      send(node);
    }
    for (int step = 0; step < 1500 && !testing::Test::HasFailure(); ++step) {
      pass(milliseconds(dice(4000)));
      act();
      if (step % 50 == 0) { restore(); }
    }
    EXPECT_GT(spot_starts_, 20);
    EXPECT_GT(outbid_, 3);
    EXPECT_GT(made_way_, 20);
  }

 private:
  std::int64_t dice(std::int64_t sides) { return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(sides)); }

  void act() {
    if (dice(3) != 0) {
      JobSpec spec;
      spec.name = "j" + std::to_string(++made_);
      spec.command = {"true"};
      spec.workers = 1 + dice(3);
      spec.grace = seconds(kGraceS);
      spec.checkpoint_every = seconds(dice(2) * 60);
      if (dice(3) == 0) { spec.chip_kinds = {dice(2) == 0 ? "a" : "b"}; }
      const std::int64_t what = dice(5);
      if (what < 3) { spec.bid = static_cast<double>(1 + dice(15)) / 10; }
      spec.preemptible = what == 3;
      (void)send(JobSubmitted{TenantId{static_cast<std::uint64_t>(1 + dice(3))}, spec});
    } else if (!lives_.empty()) {
      const auto picked = std::next(lives_.begin(), dice(static_cast<std::int64_t>(lives_.size())));
      const Task* task = core_.task(TaskId{picked->first});
      if (task->state == TaskState::starting && dice(2) == 0) {
        send(TaskStarted{task->id});
      } else {
        exit(picked->first, 0);
      }
    } else {
      send(JobCancelled{JobId{static_cast<std::uint64_t>(1 + dice(made_ + 1))}});
    }
  }

  void exit(std::uint64_t task, std::int64_t code) {
    send(TaskExited{.task = TaskId{task}, .code = code, .signal = 0, .lost = false, .message = {}, .energy = {}});
  }

  /// Time goes on; timers fire and what was told to stop ends.
  void pass(Nanos span) {
    const Time end = now_ + span;
    while (!due_.empty() && due_.begin()->first <= end.ns) {
      const auto [at, what] = *due_.begin();
      due_.erase(due_.begin());
      now_ = std::max(now_, Time{at});
      if (what > 0) { send(TimerFired{TimerId{static_cast<std::uint64_t>(what)}}); }
      if (what < 0 && core_.task(TaskId{static_cast<std::uint64_t>(-what)}) != nullptr) { exit(static_cast<std::uint64_t>(-what), 143); }
    }
    now_ = end;
  }

  bool send(const Event& event) {
    for (auto& [id, life] : lives_) { life.owed += static_cast<Int128>(life.rate) * (now_ - then_).value; }
    then_ = now_;
    Output out;
    if (!core_.apply(event, now_, out)) { return false; }
    for (const Action& action : out.actions) {
      if (const auto* timer = std::get_if<SetTimer>(&action.act)) {
        due_.insert({timer->due.ns, static_cast<std::int64_t>(timer->timer.value)});
      } else if (const auto* stop = std::get_if<StopTask>(&action.act)) {
        due_.insert({(now_ + seconds(1 + dice(kGraceS + kStopS - 1))).ns, -static_cast<std::int64_t>(stop->task.value)});
      }
    }
    look();
    return true;
  }

  void look() {
    ASSERT_EQ(core_.contradiction(), "");
    std::set<std::uint64_t> seen, chips;
    core_.each_task([&](const Task& task) {
      if (task.chips.empty()) { return; }
      seen.insert(task.id.value);
      for (const ChipId chip : task.chips) { EXPECT_TRUE(chips.insert(chip.value).second) << "a chip was given twice"; }
      const Job& job = *core_.job(task.job);
      const auto kind = static_cast<std::size_t>(core_.chip(task.chips.front()).kind);
      const bool is_new = !lives_.contains(task.id.value);
      Life& life = lives_[task.id.value];
      life.job = job.id;
      const std::int64_t list = core_.chip(task.chips.front()).price_per_hour.value;
      const auto count = static_cast<std::int64_t>(task.chips.size());
      if (job.spec.bid > 0) {
        if (is_new || task.state != TaskState::stopping) { life.rate = core_.spot().prices()[kind].value * count; }
        EXPECT_LE(life.rate, bid_of(job.spec).value * count) << "it pays more than it bid";
        EXPECT_GE(life.rate, list / 5 * count) << "below the reserve";
        spot_starts_ += is_new ? 1 : 0;
        made_way_ += !is_new && task.state == TaskState::stopping && job.message == "its chips were needed for others" ? 1 : 0;
        outbid_ += !is_new && task.state == TaskState::stopping && job.message == "it was outbid" ? 1 : 0;
      } else {
        if (is_new) { blocked_since_.clear(); }  // chips went to other work of the plan, which stands before
        life.rate = job.spec.preemptible ? list * count * 7 / 10 : list * count;
      }
    });
    for (auto life = lives_.begin(); life != lives_.end();) {
      if (seen.contains(life->first)) {
        ++life;
        continue;
      }
      billed_[life->second.job] += static_cast<std::int64_t>(life->second.owed / 3'600'000'000'000);
      life = lives_.erase(life);
    }
    // To the micro-unit: each job by our books, and each tenant's classes by its jobs.
    std::map<std::uint64_t, Usage> by_tenant;
    std::map<JobId, std::int64_t> running;
    for (const auto& [id, life] : lives_) { running[life.job] += static_cast<std::int64_t>(life.owed / 3'600'000'000'000); }
    core_.each_job([&](const Job& job) {
      const Usage usage = core_.usage(job, now_);
      by_tenant[job.tenant.value] += usage;
      EXPECT_EQ(usage.cost.value, billed_[job.id] + running[job.id]) << to_string(job.id);
    });
    for (auto& [tenant, sum] : by_tenant) {
      const Usage usage = core_.usage(TenantId{tenant}, now_);
      EXPECT_EQ(usage.cost, sum.cost);
      EXPECT_EQ(usage.spot_cost, sum.spot_cost);
      EXPECT_EQ(usage.preemptible_cost, sum.preemptible_cost);
      EXPECT_EQ(usage.spot_time, sum.spot_time);
    }
    const Tenant* const small = core_.tenant(TenantId{3});
    EXPECT_TRUE(small == nullptr || small->chips_held <= 2) << "a quota was broken";
    look_for_delays();
  }

  /// What the plan waits for although bids hold chips that it may have: they go within a grace period and a stop.
  void look_for_delays() {
    std::vector<Work> waiting;
    core_.policy().each_blocked(waiting);
    std::set<std::uint64_t> now_blocked;
    for (const Work& work : waiting) {
      if (core_.waits_for(*core_.job(JobId{work.owner})) != WaitReason::chips) { continue; }
      for (std::int64_t kind = 0; kind < 2; ++kind) {
        if ((work.kinds.mask >> kind & 1) == 0) { continue; }
        std::int64_t sold = core_.pool().free_of(static_cast<KindIndex>(kind));
        core_.each_task([&](const Task& task) {
          if (task.job && !task.chips.empty() && core_.job(task.job)->spec.bid > 0 && core_.chip(task.chips.front()).kind == kind) {
            sold += static_cast<std::int64_t>(task.chips.size());
          }
        });
        if (sold >= work.chips_total()) { now_blocked.insert(work.task.value); }
      }
    }
    for (const std::uint64_t task : now_blocked) { blocked_since_.try_emplace(task, now_); }
    std::erase_if(blocked_since_, [&](const auto& each) { return !now_blocked.contains(each.first); });
    for (const auto& [task, since] : blocked_since_) {
      EXPECT_LE((now_ - since).value, seconds(kGraceS + kStopS).value) << "task " << task << " waits for chips that were sold";
    }
  }

  void restore() {
    const std::string text = core_.snapshot();
    Result<Core> again = Core::restore(text, make_policy("fifo").value());
    ASSERT_TRUE(again) << again.error().message();
    ASSERT_TRUE(again->snapshot() == text);
    core_ = std::move(*again);
  }

  struct Life {
    JobId job;
    Int128 owed = 0;
    std::int64_t rate = 0;
  };
  std::mt19937_64 random_;
  Core core_;
  Time now_{1'000'000'000'000}, then_{1'000'000'000'000};
  std::set<std::pair<std::int64_t, std::int64_t>> due_;  // timers, and minus the tasks that were told to stop
  std::map<std::uint64_t, Life> lives_;
  std::map<JobId, std::int64_t> billed_;
  std::map<std::uint64_t, Time> blocked_since_;
  std::int64_t made_ = 0, spot_starts_ = 0, outbid_ = 0, made_way_ = 0;
};

TEST(Market, BooksAddUpToTheMicroUnitAndThePlanComesFirst) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Trading trading(seed);
    trading.run();
    if (testing::Test::HasFailure()) { return; }
  }
}

}  // namespace
}  // namespace centrale
