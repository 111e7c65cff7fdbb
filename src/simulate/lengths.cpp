// SPDX-License-Identifier: Apache-2.0
#include "simulate/lengths.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "policy/estimator.hpp"

namespace centrale {

namespace {

/// So many that ended make a curve of their own; below it, more distant relatives say more.
constexpr double kEnoughOfName = 10, kEnoughOfTenant = 20;
/// What is believed before anything was seen counts as so many jobs.
constexpr double kPriorWeight = 4;
constexpr int kPriorPoints = 20;
/// Nothing is shorter, so that no length is zero.
constexpr double kShortest = 1e-3;

std::string key_of_name(const Job& job) { return fmt::format("{}/{}", job.tenant.value, job.spec.name); }
std::string key_of_tenant(const Job& job) { return fmt::format("{}", job.tenant.value); }

/// Users ask for too much: a peak of jobs uses all that was asked for (they are stopped there), the rest uses any part of it about
/// alike (Mu'alem and Feitelson, TPDS 12(6), 2001, section 4; Tsafrir, Etsion, Feitelson, JSSPP 2005).
void believe_estimates(Survival& curve) {
  constexpr double kPeak = 0.15;
  for (int i = 0; i < kPriorPoints; ++i) { curve.add((i + 0.5) / kPriorPoints, true, kPriorWeight * (1 - kPeak) / kPriorPoints); }
  curve.add(1, true, kPriorWeight * kPeak);
}

/// Run times are spread evenly over their logarithm (Downey, "A parallel workload model", 1997): here from a minute to two days.
void believe_lengths(Survival& curve) {
  for (int i = 0; i < kPriorPoints; ++i) {
    curve.add(60 * std::exp((i + 0.5) / kPriorPoints * std::log(2 * 1440.0)), true, kPriorWeight / kPriorPoints);
  }
}

/// Estimates of speed are off by about a fifth: the planner's and the tables' own error on published runs is 5 to 20%.
void believe_speeds(Survival& curve) {
  constexpr double kSigma = 0.2;
  for (int i = 0; i < kPriorPoints; ++i) {
    // Quantiles of the logistic distribution of that deviation: close to the normal one, in closed form.
    const double p = (i + 0.5) / kPriorPoints;
    curve.add(std::exp(kSigma * std::sqrt(3.0) / std::numbers::pi * std::log(p / (1 - p))), true, kPriorWeight / kPriorPoints);
  }
}

}  // namespace

void Survival::add(double length, bool ended, double weight) {
  seen_.push_back({std::max(length, kShortest), ended, weight});
  ended_ += ended ? weight : 0;
}

void Survival::settle() {
  // Of those of one length, the ones that ended come first: the others are known to be longer.
  std::ranges::sort(seen_, [](const Seen& a, const Seen& b) { return a.length != b.length ? a.length < b.length : a.ended > b.ended; });
  double at_risk = 0;
  for (const Seen& seen : seen_) { at_risk += seen.weight; }
  points_.assign(1, {0, 1});
  double longer = 1;
  for (const Seen& seen : seen_) {
    if (seen.ended) {
      longer = at_risk > seen.weight * (1 + 1e-9) ? longer * (1 - seen.weight / at_risk) : 0;
      points_.push_back({seen.length, longer});
    }
    at_risk -= seen.weight;
  }
  if (!seen_.empty() && longer > 0 && seen_.back().length > points_.back().length) { points_.push_back({seen_.back().length, longer}); }
}

double Survival::longer_than(double length) const {
  const auto above = std::ranges::upper_bound(points_, length, {}, &Point::length);
  if (above == points_.end()) { return points_.back().longer * (length > 0 ? points_.back().length / length : 1); }
  if (above == points_.begin()) { return 1; }
  const Point& low = *std::prev(above);
  return low.longer + (above->longer - low.longer) * (length - low.length) / (above->length - low.length);
}

double Survival::draw(double above, double u) const {
  above = std::max(above, 0.0);
  const double here = longer_than(above);
  const double wanted = here * (1 - u);  // the share that is longer than the answer
  const Point& last = points_.back();
  if (here <= 1e-12) { return std::max(above, kShortest) / (1 - u); }
  if (wanted < last.longer) { return std::max(above, last.length * last.longer / wanted); }
  const auto found = std::ranges::find_if(points_, [&](const Point& point) { return point.longer <= wanted; });
  const Point& low = *std::prev(found);
  const double part = low.longer > found->longer ? (low.longer - wanted) / (low.longer - found->longer) : 1;
  return std::max(above, low.length + (found->length - low.length) * part);
}

std::optional<double> said_s(const JobSpec& spec) {
  const Nanos said = spec.estimate.value > 0 ? spec.estimate : spec.time_limit;
  return said.value > 0 ? std::optional(to_seconds(said)) : std::nullopt;
}

std::optional<double> predicted_s(const Core& core, const Job& job) {
  if (!job.speeds || job.speeds->work <= 0) { return std::nullopt; }
  const auto table = core.speeds(job);
  if (table == nullptr) { return std::nullopt; }
  double fastest = 0;
  for (const Shape& shape : table->shapes) {
    const bool will_do = kind_will_do(job.spec, core.kind_name(shape.kind));
    if (will_do && shape.total() == job.spec.workers * job.spec.chips) { fastest = std::max(fastest, double{shape.rate[0]}); }
  }
  return fastest > 0 ? std::optional(job.speeds->work / fastest) : std::nullopt;
}

Lengths::Lengths(const Core& core, Time now) {
  believe_lengths(lengths_[""]);
  believe_estimates(of_estimate_[""]);
  believe_speeds(of_speed_[""]);
  const auto note = [](Curves& curves, const Job& job, double length, bool ended) {
    curves[key_of_name(job)].add(length, ended);
    curves[key_of_tenant(job)].add(length, ended);
    curves[""].add(length, ended);
  };
  core.each_job([&](const Job& job) {
    // One attempt without a stop: what lies between start and end is what it ran.
    if (job.started == Time{} || job.attempts != 1 || job.stops != 0) { return; }
    const bool ended = is_final(job.state);
    if (!ended && job.state != JobState::running) { return; }
    const double ran = to_seconds((ended ? job.finished : std::max(now, job.started)) - job.started);
    if (const auto predicted = predicted_s(core, job)) {
      note(of_speed_, job, ran / *predicted, ended && job.state == JobState::done);
    } else {
      if (const auto said = said_s(job.spec)) { note(of_estimate_, job, ran / *said, ended); }
      note(lengths_, job, ran, ended);
    }
  });
  for (Curves* const curves : {&lengths_, &of_estimate_, &of_speed_}) {
    for (auto& [key, curve] : *curves) { curve.settle(); }
  }
}

const Survival& Lengths::curve(const Curves& curves, const Job& job) {
  if (const auto found = curves.find(key_of_name(job)); found != curves.end() && found->second.ended() >= kEnoughOfName) {
    return found->second;
  }
  if (const auto found = curves.find(key_of_tenant(job)); found != curves.end() && found->second.ended() >= kEnoughOfTenant) {
    return found->second;
  }
  return curves.at("");
}

double Lengths::seconds(const Job& job, double age_s, double u) const {
  if (const auto said = said_s(job.spec)) { return *said * curve(of_estimate_, job).draw(age_s / *said, u); }
  return curve(lengths_, job).draw(age_s, u);
}

double Lengths::slowness(const Job& job, double above, double u) const { return curve(of_speed_, job).draw(above, u); }

}  // namespace centrale
