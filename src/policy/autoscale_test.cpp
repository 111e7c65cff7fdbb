// SPDX-License-Identifier: Apache-2.0
#include "policy/autoscale.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/json.hpp"
#include "base/random.hpp"

namespace centrale {
namespace {

constexpr ReplicaCapacity kReplica{.tokens_per_s = 1000, .tokens_in_flight = 10'000};

/// A load of so many replicas' worth, seen each 15 s.
class Service {
 public:
  explicit Service(AutoscaleOptions options) : options_(options) {}
  std::int64_t see(double replicas_worth) {
    at_ = at_ + seconds(15);
    ServiceLoad load;
    load.at = at_;
    load.tokens_per_s = replicas_worth * kReplica.tokens_per_s;
    load.tokens_in_flight = replicas_worth * kReplica.tokens_in_flight * 0.5;
    load.replicas = replicas_;
    last_ = autoscale(state_, options_, kReplica, load);
    replicas_ = last_.replicas;
    return replicas_;
  }
  Time at_;
  AutoscaleOptions options_;
  AutoscaleState state_;
  ScaleDecision last_;
  std::int64_t replicas_ = 1;
};

AutoscaleOptions up_to(std::int64_t max, std::int64_t min = 1) {
  AutoscaleOptions options;
  options.min = min;
  options.max = max;
  return options;
}

TEST(Autoscale, ASteadyLoadGetsWhatItNeeds) {
  Service service(up_to(20));
  for (int i = 0; i < 200; ++i) { service.see(4.5); }
  EXPECT_EQ(service.replicas_, 5);
  EXPECT_NE(service.last_.reason.find("5 stay: tokens a second will need 4.5"), std::string::npos) << service.last_.reason;
}

TEST(Autoscale, UpAtOnceDownSlowly) {
  Service service(up_to(50));
  for (int i = 0; i < 200; ++i) { service.see(2.5); }
  const Time jump = service.at_;
  while (service.see(10) < 10) {}
  EXPECT_LE(service.at_ - jump, seconds(120));  // the level follows within its minute, the trend runs ahead
  const Time drop = service.at_;
  const std::int64_t high = service.replicas_;
  while (service.see(2.5) == high) {}
  EXPECT_GE(service.at_ - drop, service.options_.patience);
  EXPECT_LE(service.at_ - drop, service.options_.patience + seconds(300));
}

TEST(Autoscale, NeverOutsideItsBounds) {
  Random random(3);
  Service service(up_to(7, 2));
  for (int i = 0; i < 5000; ++i) {
    const std::int64_t replicas = service.see(random.below(3) == 0 ? 0 : random.uniform() * 20);
    ASSERT_GE(replicas, 2);
    ASSERT_LE(replicas, 7);
  }
}

TEST(Autoscale, FlapsNoMoreThanItSays) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Random random(seed);
    Service service(up_to(40));
    std::int64_t before = service.replicas_, falls_after_rise = 0;
    bool rose = false;
    Time rise, start = service.at_;
    for (int i = 0; i < 4000; ++i) {
      const std::int64_t now = service.see(random.uniform() * random.uniform() * 40);
      if (now > before) {
        rose = true;
        rise = service.at_;
      } else if (now < before) {
        ASSERT_TRUE(!rose || service.at_ - rise >= service.options_.patience) << "seed " << seed;
        falls_after_rise += rose ? 1 : 0;
        rose = false;
      }
      before = now;
    }
    EXPECT_LE(falls_after_rise, (service.at_ - start).value / service.options_.patience.value + 1) << "seed " << seed;
    EXPECT_LE(service.state_.needs.size(), 41U);
  }
}

TEST(Autoscale, ANoisyLoadGetsHeadroom) {
  Random random(5);
  Service quiet(up_to(50)), noisy(up_to(50));
  for (int i = 0; i < 2000; ++i) {
    quiet.see(10);
    noisy.see(10 * random.uniform(0.4, 1.6));
  }
  EXPECT_EQ(quiet.replicas_, 10);
  EXPECT_GT(noisy.replicas_, 11);
}

TEST(Autoscale, ToZeroAndBack) {
  Service service(up_to(5, 0));
  for (int i = 0; i < 100; ++i) { service.see(1.5); }
  const Time quiet = service.at_;
  while (service.see(0) > 0) { ASSERT_LT(service.at_ - quiet, seconds(7200)); }
  EXPECT_GE(service.at_ - quiet, service.options_.idle);
  EXPECT_EQ(service.see(0), 0);
  ServiceLoad load;
  load.at = service.at_ + seconds(1);
  load.queued = 1;
  EXPECT_EQ(autoscale(service.state_, service.options_, kReplica, load).replicas, 1);
  // With min 1 the last replica stays.
  Service kept(up_to(5, 1));
  for (int i = 0; i < 2000; ++i) { kept.see(0); }
  EXPECT_EQ(kept.replicas_, 1);
}

TEST(Autoscale, ADayIsLearned) {
  AutoscaleOptions options = up_to(50);
  options.start = seconds(1800);  // slow to start: the trend alone comes too late
  const auto load_at = [](Time at) {
    // Idle, then from 8 o'clock on eight replicas' worth within five minutes.
    const double hour = to_seconds(Nanos{at.ns % (86400 * 1'000'000'000LL)}) / 3600;
    return hour < 8 || hour > 20 ? 1.0 : std::min(8.0, 1 + (hour - 8) * 84);
  };
  Service service(options);
  std::vector<std::int64_t> at_eight;
  for (int day = 0; day < 4; ++day) {
    while (service.at_.ns < (day * 24LL + 8) * 3600 * 1'000'000'000) { service.see(load_at(service.at_)); }
    at_eight.push_back(service.replicas_);
    while (service.at_.ns < (day + 1) * 24LL * 3600 * 1'000'000'000) { service.see(load_at(service.at_)); }
  }
  EXPECT_LE(at_eight[0], 2);  // nobody knew
  EXPECT_GE(at_eight[2], 7);  // half an hour ahead, as on days before
  EXPECT_GE(at_eight[3], 7);
}

TEST(Autoscale, AMissedLevelMeansThatAReplicaCarriesLess) {
  Service service(up_to(50));
  for (int i = 0; i < 100; ++i) { service.see(5); }
  ASSERT_EQ(service.replicas_, 5);
  ServiceLoad load;
  for (int i = 0; i < 10; ++i) {
    service.at_ = service.at_ + seconds(15);
    load = {.at = service.at_, .tokens_per_s = 5000, .tokens_in_flight = 100, .replicas = 5, .ended = 100, .attained = 50};
    service.last_ = autoscale(service.state_, service.options_, kReplica, load);
  }
  EXPECT_GT(service.last_.replicas, 7);
  EXPECT_LT(service.last_.replicas, 11);  // and never less than half
}

TEST(Autoscale, ItsStateSurvivesASnapshot) {
  Random random(9);
  Service service(up_to(30)), twin(up_to(30));
  for (int i = 0; i < 700; ++i) { service.see(random.uniform() * 20); }
  std::string text;
  write_json(text, service.state_);
  twin.at_ = service.at_;
  twin.replicas_ = service.replicas_;
  ASSERT_TRUE(read_json(text, twin.state_, JsonStrictness::strict));
  for (int i = 0; i < 700; ++i) {
    const double load = random.uniform() * 20;
    ASSERT_EQ(service.see(load), twin.see(load));
  }
}

}  // namespace
}  // namespace centrale
