// SPDX-License-Identifier: Apache-2.0
#include "plan/goodput.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace centrale {
namespace {

constexpr double kMinute = 60, kHour = 3600;

/// A job as it happens: failures at random, each throws away what no checkpoint holds. Shares no formula with goodput.cpp.
double simulated_wall(double solve, double interval, double pause, double write, bool asynchronous, double restart, double mtbf,
                      std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  const auto next_failure = [&] { return -mtbf * std::log1p(-static_cast<double>(engine() >> 11) * 0x1p-53); };
  double now = 0, done = 0, saved = 0;  // s of wall clock; s of work
  double failure = next_failure();
  double pending = -1, pending_at = 0;  // what is being written in the background, and when it is safe
  while (done < solve) {
    const double work = std::min(interval, solve - done);
    const double end = now + work + pause;
    if (pending >= 0 && pending_at <= std::min(end, failure)) {
      saved = pending;
      pending = -1;
    }
    if (failure < end) {
      now = failure;
      done = saved;
      pending = -1;
      double up = now + restart;  // a failure while restarting begins it anew
      failure = now + next_failure();
      while (failure < up) {
        up = failure + restart;
        failure += next_failure();
      }
      now = up;
      continue;
    }
    now = end;
    done += work;
    if (asynchronous) {
      pending = done;
      pending_at = now + write;
    } else {
      saved = done;
    }
  }
  return now;
}

TEST(Goodput, DalysOptimumIsThePapersOne) {
  // Figures 3 to 5 of the paper: pause 5 min; MTBF 24 h, 6 h, 15 min.
  EXPECT_NEAR(daly_interval({5 * kMinute}, {24 * kHour}).value / kMinute, 117, 0.5);
  EXPECT_NEAR(daly_interval({5 * kMinute}, {6 * kHour}).value / kMinute, 57, 0.5);
  EXPECT_NEAR(daly_interval({5 * kMinute}, {15 * kMinute}).value / kMinute, 9.1, 0.05);
  EXPECT_EQ(daly_interval({100}, {40}).value, 40);  // failing faster than saving
}

TEST(Goodput, NoOtherIntervalIsMuchBetterThanTheOptimum) {
  for (const double mtbf : {15 * kMinute, 6 * kHour, 24 * kHour}) {
    const Seconds best = daly_interval({5 * kMinute}, {mtbf});
    const double wall = daly_wall({1e6}, best, {5 * kMinute}, {600}, {mtbf}).value;
    for (double factor = 0.2; factor < 5; factor *= 1.1) {
      EXPECT_GE(daly_wall({1e6}, best * factor, {5 * kMinute}, {600}, {mtbf}).value, wall * 0.998) << mtbf << " x " << factor;
    }
  }
}

TEST(Goodput, AgreesWithASimulatedJob) {
  struct Setting {
    double chips, bytes, restart;
    bool asynchronous;
  };
  for (const Setting& s : {Setting{16384, 5e12, 600, true}, Setting{16384, 5e12, 600, false}, Setting{100000, 1.4e13, 300, true},
                           Setting{2048, 1e12, 1200, false}}) {
    Reliability r;
    r.restart = {s.restart};
    r.asynchronous = s.asynchronous;
    r.write_total = {2e11};
    const Goodput g = goodput_of(r, static_cast<std::int64_t>(s.chips), {s.bytes});
    const double solve = 400 * g.mtbf.value;
    double wall = 0;
    constexpr int kRuns = 20;
    for (std::uint64_t seed = 1; seed <= kRuns; ++seed) {
      wall += simulated_wall(solve, g.interval.value, g.pause.value, g.write.value, s.asynchronous, s.restart, g.mtbf.value, seed) / kRuns;
    }
    EXPECT_NEAR(g.fraction, solve / wall, 0.01) << s.chips << (s.asynchronous ? " asynchronous" : "");
  }
}

TEST(Goodput, Llama3sClusterFailsEveryThreeHours) {
  const Goodput g = goodput_of({}, 16384, {405e9 * 14});
  EXPECT_NEAR(g.mtbf.value / kHour, 54.0 * 24 / 419, 1e-9);
  EXPECT_GT(g.fraction, 0.9);  // "higher than 90% effective training time" (arXiv:2407.21783, section 3.3.4)
  EXPECT_LT(g.fraction, 1);
}

TEST(Goodput, WithoutFailuresNothingIsLost) {
  EXPECT_EQ(goodput_of({.chip_mtbf = {0}}, 1000, {1e12}).fraction, 1);
  const Goodput saving = goodput_of({.chip_mtbf = {0}, .asynchronous = false, .interval = {100}}, 1000, {5e13});
  EXPECT_DOUBLE_EQ(saving.fraction, 0.5);  // 50 TB at 500 GB/s: as long as the work between
}

}  // namespace
}  // namespace centrale
