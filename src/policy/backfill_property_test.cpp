// SPDX-License-Identifier: Apache-2.0
// Backfilling against slow obvious versions: one kind, nodes of one chip, so that counts are exact.
#include <algorithm>
#include <limits>
#include <map>
#include <optional>

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "policy/backfill.hpp"
#include "policy/backfill_conservative.hpp"
#include "policy/testing.hpp"

namespace centrale {
namespace {

using testing::Centre;
using testing::pool_of;
using testing::work;

/// EASY as it is told: one kind, counts only.
class SlowEasy {
 public:
  explicit SlowEasy(std::int64_t chips) : free_(chips) {}
  void enqueue(const Work& work) {
    queue_.push_back(work);
    std::ranges::sort(queue_, {}, backfill::key_of);
  }
  void dequeue(TaskId task) {
    std::erase_if(queue_, [&](const Work& work) { return work.task == task; });
  }
  void ended(TaskId task) {
    free_ += ends_.at(task).second;
    ends_.erase(task);
  }
  std::vector<std::uint64_t> decide(Time now) {
    std::vector<std::uint64_t> out;
    std::optional<Time> shadow;
    std::int64_t extra = 0;
    for (std::size_t i = 0; i < queue_.size();) {
      const Work& work = queue_[i];
      const std::int64_t need = work.chips_total();
      const bool fits = need <= free_;
      const Time end = now + work.expected;
      if (fits && (!shadow || end <= *shadow || need <= extra)) {
        if (shadow && end > *shadow) { extra -= need; }
        out.push_back(work.task.value);
        free_ -= need;
        ends_[work.task] = {end, need};
        queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(i));
        continue;
      }
      if (!shadow) {
        std::vector<std::pair<Time, std::int64_t>> ends;
        for (const auto& [task, end_and_chips] : ends_) { ends.push_back(end_and_chips); }
        std::ranges::sort(ends);
        std::int64_t then = free_;
        for (const auto& [at, chips] : ends) {
          if (shadow && at > *shadow) { break; }
          then += chips;
          if (!shadow && then >= need) { shadow = at; }
        }
        extra = then - need;
        head = work.task;
        head_at = *shadow;
      }
      ++i;
    }
    if (!shadow) { head = {}; }
    return out;
  }
  [[nodiscard]] std::optional<TaskId> next_end(Time& at) const {
    std::optional<TaskId> first;
    for (const auto& [task, end] : ends_) {
      if (!first || end.first < at) {
        first = task;
        at = end.first;
      }
    }
    return first;
  }
  [[nodiscard]] std::int64_t free() const { return free_; }
  [[nodiscard]] bool running(TaskId task) const { return ends_.contains(task); }
  TaskId head;
  Time head_at;

 private:
  std::int64_t free_ = 0;
  std::vector<Work> queue_;
  std::map<TaskId, std::pair<Time, std::int64_t>> ends_;
};

/// Both start the same, and nothing where the policy says that it need not be asked; whom a shadow time was promised starts by it.
void both_decide(Centre& centre, SlowEasy& slow, Time now, bool freed, std::map<TaskId, Time>& promised) {
  const bool asked = freed || centre->head_changed();
  const auto starts = slow.decide(now);
  ASSERT_TRUE(asked || starts.empty());
  ASSERT_EQ(centre.decide(now.ns / 1'000'000'000), starts);
  for (const std::uint64_t task : starts) {
    const auto promise = promised.find(TaskId{task});
    ASSERT_TRUE(promise == promised.end() || now <= promise->second) << task << " is late";
  }
  if (slow.head) {
    promised.try_emplace(slow.head, slow.head_at);
    ASSERT_EQ(centre.as<Backfill>().reservation(0).at, slow.head_at.ns);
  }
}

/// Random arrivals and withdrawals; what runs ends when it said. Now and then the centre restarts.
void same_starts_as_slow(std::uint64_t seed) {
  Random random(seed);
  const auto chips = static_cast<std::int64_t>(2 + random.below(30));
  Centre centre(pool_of(chips, 1), "backfill");
  SlowEasy slow(chips);
  std::map<std::uint64_t, Work> known;
  std::map<TaskId, Time> promised;
  Time now;
  std::uint64_t id = 0;
  for (int step = 0; step < 60; ++step) {
    const auto arrivals = random.below(4);
    for (std::uint64_t i = 0; i < arrivals; ++i) {
      Work next = work(++id, 1 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(chips))),
                       seconds(1 + static_cast<std::int64_t>(random.below(random.below(2) == 0 ? 20 : 200))));
      next.priority = seed % 3 == 0 ? static_cast<std::int64_t>(random.below(3)) - 1 : 0;
      next.tenant = TenantId{1 + random.below(3)};
      known[id] = next;
      centre->enqueue(next);
      slow.enqueue(next);
    }
    if (seed % 5 == 0 && random.below(10) == 0) { ASSERT_TRUE(centre.restart(known)); }
    if (seed % 3 == 0) { promised.clear(); }  // one with a higher priority may have come
    ASSERT_NO_FATAL_FAILURE(both_decide(centre, slow, now, false, promised)) << "seed " << seed << " step " << step;
    Time at;
    const auto first = slow.next_end(at);
    now = now + seconds(static_cast<std::int64_t>(random.below(30)));
    if (first && at <= now) {  // all that end by then, one moment at a time
      now = at;
      for (auto ending = first; ending && at == now; ending = slow.next_end(at)) {
        slow.ended(*ending);
        centre.end(ending->value);
        known.erase(ending->value);
      }
      ASSERT_NO_FATAL_FAILURE(both_decide(centre, slow, now, true, promised)) << "seed " << seed << " step " << step;
    }
    if (random.below(8) == 0) {
      const auto waiting = std::ranges::find_if(known, [&](const auto& entry) { return !slow.running(TaskId{entry.first}); });
      if (waiting != known.end()) {
        centre->dequeue(waiting->second);
        slow.dequeue(waiting->second.task);
        known.erase(waiting);
      }
    }
    ASSERT_EQ(centre.free(), slow.free());
  }
}

TEST(BackfillProperty, StartsWhatSlowObviousEasyStartsAndNoHeadIsLate) {
  for (std::uint64_t seed = 0; seed < 1000 && !::testing::Test::HasFailure(); ++seed) { same_starts_as_slow(seed); }
}

/// A table of what is taken in each second; each request gets the first gap that is long and wide enough, in the order of arrival.
class SlowConservative {
 public:
  explicit SlowConservative(std::int64_t chips) : chips_(chips) {}
  std::int64_t reserve(std::int64_t now, std::int64_t chips, std::int64_t span) {
    for (std::int64_t at = now;; ++at) {
      taken_.resize(std::max(taken_.size(), static_cast<std::size_t>(at + span)));
      const auto from = taken_.begin() + at;
      if (std::any_of(from, from + span, [&](std::int64_t taken) { return taken + chips > chips_; })) { continue; }
      std::for_each(from, from + span, [&](std::int64_t& taken) { taken += chips; });
      return at;
    }
  }

 private:
  std::int64_t chips_;
  std::vector<std::int64_t> taken_;
};

/// With exact estimates all start when they were told on arrival; where `early`, some end sooner, and none starts later.
void starts_as_told(std::uint64_t seed, bool early, std::string_view policy) {
  Random random(seed);
  const auto chips = static_cast<std::int64_t>(2 + random.below(30));
  Centre centre(pool_of(chips, 1), policy);
  SlowConservative slow(chips);
  std::map<std::uint64_t, Work> known;
  std::map<std::uint64_t, std::int64_t> told;
  std::multimap<std::int64_t, std::uint64_t> ends;
  const auto decide = [&](std::int64_t now) {
    for (const std::uint64_t task : centre.decide(now)) {
      const auto span = static_cast<std::int64_t>(known.at(task).expected.value / 1'000'000'000);
      ends.emplace(now + (early ? 1 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(span))) : span), task);
      ASSERT_TRUE(early ? now <= told.at(task) : now == told.at(task)) << "seed " << seed << " task " << task << " at " << now;
    }
  };
  std::uint64_t id = 0;
  for (std::int64_t now = 0; now < 300 || !known.empty(); ++now) {
    ASSERT_LT(now, 100'000);
    bool freed = false;
    for (; !ends.empty() && ends.begin()->first == now; ends.erase(ends.begin())) {
      centre.end(ends.begin()->second);
      known.erase(ends.begin()->second);
      freed = true;
    }
    if (freed || centre.wake() <= Time{} + seconds(now)) { ASSERT_NO_FATAL_FAILURE(decide(now)); }
    if (seed % 5 == 0 && random.below(20) == 0) { ASSERT_TRUE(centre.restart(known)); }
    if (now >= 300 || random.below(4) > 0) { continue; }
    const auto span = static_cast<std::int64_t>(1 + random.below(random.below(2) == 0 ? 10 : 60));
    const Work next = work(++id, 1 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(chips))), seconds(span));
    known[id] = next;
    centre->enqueue(next);
    if (!early) { told[id] = slow.reserve(now, next.gang.workers, span); }
    if (early) { told[id] = std::numeric_limits<std::int64_t>::max(); }
    ASSERT_TRUE(centre->head_changed());
    ASSERT_NO_FATAL_FAILURE(decide(now));
    const auto at = centre.as<ConservativeBackfill>().start_of(TaskId{id});
    if (early && at) { told[id] = *at / 1'000'000'000; }
    if (!early) { ASSERT_EQ(at.value_or(now * 1'000'000'000), told[id] * 1'000'000'000) << "seed " << seed; }
  }
}

TEST(ConservativeProperty, AllStartWhenTheyWereToldOnArrival) {
  for (std::uint64_t seed = 0; seed < 300 && !::testing::Test::HasFailure(); ++seed) {
    starts_as_told(seed, false, "backfill-conservative");
  }
}

TEST(ConservativeProperty, WhatEndsEarlyPutsNobodyOff) {
  for (std::uint64_t seed = 0; seed < 300 && !::testing::Test::HasFailure(); ++seed) {
    starts_as_told(seed, true, "backfill-conservative");
  }
}

/// Only the first few have reservations; none of the others delays one.
TEST(ConservativeProperty, BeyondItsDepthNobodyIsPutOffEither) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    Pool pool = pool_of(8, 1);
    testing::Generous allowance;
    Decision out;
    ConservativeBackfill policy(3);
    std::map<std::uint64_t, Work> known;
    std::map<std::uint64_t, std::int64_t> told;
    std::multimap<std::int64_t, std::pair<std::uint64_t, std::vector<ChipId>>> ends;
    for (std::uint64_t id = 1; id <= 60; ++id) {
      known[id] = work(id, 1 + static_cast<std::int64_t>(random.below(8)), seconds(1 + static_cast<std::int64_t>(random.below(50))));
      policy.enqueue(known[id]);
    }
    std::int64_t now = 0;
    while (policy.queued() > 0) {
      out.clear();
      policy.decide(pool, allowance, Time{} + seconds(now), out);
      for (const Start& start : out.starts) {
        const auto promise = told.find(start.task.value);
        ASSERT_TRUE(promise == told.end() || now <= promise->second) << "seed " << seed << " task " << start.task.value;
        const auto from = out.chips.begin() + static_cast<std::ptrdiff_t>(start.first);
        ends.emplace(now + known[start.task.value].expected.value / 1'000'000'000,
                     std::pair(start.task.value, std::vector<ChipId>(from, from + static_cast<std::ptrdiff_t>(start.count))));
      }
      for (const auto& [id, waiting] : known) {
        if (const auto at = policy.start_of(TaskId{id})) { told.try_emplace(id, *at / 1'000'000'000); }
      }
      ASSERT_FALSE(ends.empty());
      now = std::min(ends.begin()->first, out.wake == kNever ? ends.begin()->first : out.wake.ns / 1'000'000'000);
      for (; !ends.empty() && ends.begin()->first == now; ends.erase(ends.begin())) {
        for (const ChipId chip : ends.begin()->second.second) { pool.set_free(chip, true); }
        policy.ended(TaskId{ends.begin()->second.first});
      }
    }
  }
}

}  // namespace
}  // namespace centrale
