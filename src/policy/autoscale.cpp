// SPDX-License-Identifier: Apache-2.0
#include "policy/autoscale.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"

namespace centrale {

namespace {

// Time constants, in seconds: the level follows within a minute, the trend within five; a trend is believed for five minutes ahead
// (damped, Gardner and McKenzie 1985: a line drawn on for ever is wrong more often than right); errors are remembered for an hour.
constexpr double kLevelSeconds = 60, kSlopeSeconds = 300, kTrustSeconds = 300, kErrorSeconds = 3600;
constexpr std::size_t kPromises = 64;               // predictions that wait for their time
constexpr double kDaysKept = 5;                     // a slot's mean is over about so many days
constexpr double kRatioMin = 0.25, kRatioMax = 10;  // what a profile may multiply the level by: more is an accident of one day
// The capacity's correction: down a twentieth while the level is missed, back a hundredth while it is kept; never below half.
constexpr double kCorrectionDown = 0.95, kCorrectionUp = 1.01, kCorrectionMin = 0.5;
constexpr std::int64_t kEndedMin = 20;  // requests that say something about the service level
constexpr double kNothing = 0.01;       // of a replica: no load

double weight(double elapsed, double constant) { return 1 - std::exp(-elapsed / constant); }

std::int64_t slot_of(Time at, Nanos day) {
  const std::int64_t inside = ((at.ns % day.value) + day.value) % day.value;
  return std::min(Forecast::kSlots - 1, inside / std::max<std::int64_t>(1, day.value / Forecast::kSlots));
}

/// Closes the slot that was seen, and adds its mean to the profile.
void close_slot(Forecast& f) {
  if (f.slot < 0 || f.slot_seconds <= 0) { return; }
  if (f.profile.empty()) {
    f.profile.assign(static_cast<std::size_t>(Forecast::kSlots), 0);
    f.days.assign(static_cast<std::size_t>(Forecast::kSlots), 0);
  }
  const auto i = static_cast<std::size_t>(f.slot);
  f.days[i] = std::min(kDaysKept, f.days[i] + 1);
  f.profile[i] += (f.slot_sum / f.slot_seconds - f.profile[i]) / f.days[i];
}

void note_slot(Forecast& f, double value, double elapsed, Time at, Nanos day) {
  const std::int64_t slot = slot_of(at, day);
  if (slot != f.slot) {
    close_slot(f);
    f.slot = slot;
    f.slot_sum = 0;
    f.slot_seconds = 0;
  }
  f.slot_sum += value * elapsed;
  f.slot_seconds += elapsed;
}

/// Predictions whose time has come are held against what came.
void settle_promises(Forecast& f, double value, double elapsed, Time at) {
  std::size_t done = 0;
  while (done < f.due.size() && f.due[done] <= at) { ++done; }
  if (done == 0) { return; }
  const double base = std::max({f.level, value, 1e-9});
  const double miss = (value - f.promised[done - 1]) / base;
  f.error += (miss * miss - f.error) * weight(elapsed, kErrorSeconds);
  f.due.erase(f.due.begin(), f.due.begin() + static_cast<std::ptrdiff_t>(done));
  f.promised.erase(f.promised.begin(), f.promised.begin() + static_cast<std::ptrdiff_t>(done));
}

}  // namespace

void observe(Forecast& f, double value, Time at, Nanos ahead, Nanos day) {
  ensure(day.value > 0 && ahead.value >= 0 && value >= 0);
  if (!f.seen || at - f.at > day || at < f.at) {
    f = Forecast{};
    f.seen = true;
    f.at = at;
    f.level = value;
    return;
  }
  const double elapsed = to_seconds(at - f.at);
  if (elapsed <= 0) { return; }
  const double before = f.level, drawn_on = f.level + f.slope * elapsed;
  f.level = std::max(0.0, drawn_on + (value - drawn_on) * weight(elapsed, kLevelSeconds));
  f.slope += ((f.level - before) / elapsed - f.slope) * weight(elapsed, kSlopeSeconds);
  // Held against the level: that single requests are long and come in clusters is in the capacity of a replica already.
  settle_promises(f, f.level, elapsed, at);
  f.at = at;
  note_slot(f, value, elapsed, at, day);
  if (f.due.size() < kPromises) {
    f.promised.push_back(expected(f, ahead, day).value);
    f.due.push_back(at + ahead);
  }
}

Expected expected(const Forecast& f, Nanos ahead, Nanos day) {
  const double trusted = kTrustSeconds * weight(to_seconds(ahead), kTrustSeconds);
  Expected e;
  e.value = std::max(f.level, f.level + f.slope * trusted);
  if (!f.profile.empty()) {
    // The same time on days before, as a ratio to what they were now: whether more comes today than then is in the level.
    const std::int64_t now = slot_of(f.at, day), last = slot_of(f.at + ahead, day);
    const auto at = [&](std::int64_t slot) { return static_cast<std::size_t>(slot); };
    for (std::int64_t slot = now; f.days[at(now)] > 0 && slot != last;) {
      slot = (slot + 1) % Forecast::kSlots;
      if (f.days[at(slot)] <= 0) { break; }
      const double here = std::max(f.profile[at(now)], 1e-9);
      e.value = std::max(e.value, f.level * std::clamp(f.profile[at(slot)] / here, kRatioMin, kRatioMax));
      // From nothing there is no ratio: what came then comes again.
      if (f.profile[at(now)] < 0.1 * f.profile[at(slot)]) { e.value = std::max(e.value, f.profile[at(slot)]); }
    }
  }
  e.deviation = std::sqrt(f.error) * std::max(f.level, 0.0);
  return e;
}

namespace {

void correct(AutoscaleState& s, const AutoscaleOptions& o, const ServiceLoad& load) {
  if (load.ended < kEndedMin) { return; }
  const double share = static_cast<double>(load.attained) / static_cast<double>(load.ended);
  if (share >= o.objective) {
    s.correction = std::min(1.0, s.correction * kCorrectionUp);
  } else if (load.starting == 0 && load.queued == 0) {  // else help is on its way
    s.correction = std::max(kCorrectionMin, s.correction * kCorrectionDown);
  }
}

/// Keeps the needs of the last `patience`, as a falling sequence: its first is the highest.
void note_need(AutoscaleState& s, std::int64_t need, Time at, Nanos patience) {
  while (!s.needs.empty() && s.needs.back() <= need) {
    s.needs.pop_back();
    s.need_at.pop_back();
  }
  s.needs.push_back(need);
  s.need_at.push_back(at);
  std::size_t old = 0;
  while (old + 1 < s.needs.size() && at - s.need_at[old] >= patience) { ++old; }
  s.needs.erase(s.needs.begin(), s.needs.begin() + static_cast<std::ptrdiff_t>(old));
  s.need_at.erase(s.need_at.begin(), s.need_at.begin() + static_cast<std::ptrdiff_t>(old));
}

}  // namespace

ScaleDecision autoscale(AutoscaleState& s, const AutoscaleOptions& o, const ReplicaCapacity& capacity, const ServiceLoad& load) {
  ensure(o.min >= 0 && o.max >= o.min && capacity.tokens_per_s > 0 && capacity.tokens_in_flight > 0);
  const bool first = s.replicas < 0;
  const bool busy = load.tokens_in_flight > 0 || load.queued > 0 || load.tokens_per_s > 0;
  if (first || busy) { s.busy = load.at; }
  observe(s.rate, load.tokens_per_s, load.at, o.start, o.day);
  observe(s.flight, load.tokens_in_flight, load.at, o.start, o.day);
  correct(s, o, load);
  const Expected rate = expected(s.rate, o.start, o.day), flight = expected(s.flight, o.start, o.day);
  const double by_rate = (rate.value + o.caution * rate.deviation) / (capacity.tokens_per_s * s.correction);
  const double by_flight = (flight.value + o.caution * flight.deviation) / (capacity.tokens_in_flight * s.correction);
  ScaleDecision d;
  d.predicted = std::max(by_rate, by_flight);
  const std::int64_t least =
      o.min == 0 && !busy && load.at - s.busy >= o.idle && d.predicted < kNothing ? 0 : std::max<std::int64_t>(o.min, 1);
  const auto replicas_for = [&](double part) {
    const double count = std::ceil(std::min(d.predicted * part, static_cast<double>(o.max)) - 1e-9);
    return std::clamp(static_cast<std::int64_t>(count), std::min(least, o.max), o.max);
  };
  const std::int64_t need = replicas_for(1), to_fall = replicas_for(1 + o.slack);
  if (first) { s.replicas = std::clamp(std::max(need, load.replicas + load.starting), o.min, o.max); }
  note_need(s, first ? std::max(to_fall, s.replicas) : to_fall, load.at, o.patience);
  const std::int64_t before = s.replicas;
  const std::string_view why = by_rate >= by_flight ? "tokens a second" : "tokens in flight";
  if (need > before) {
    s.replicas = need;
    d.reason = fmt::format("up from {} to {}: {} will need {:.1f} replicas", before, need, why, d.predicted);
  } else if (s.needs.front() < before) {
    s.replicas = s.needs.front();
    d.reason = fmt::format("down from {} to {}: enough for all of the last {:.0f} s", before, s.replicas, to_seconds(o.patience));
  } else {
    d.reason = fmt::format("{} stay: {} will need {:.1f}", before, why, d.predicted);
  }
  d.replicas = s.replicas;
  return d;
}

}  // namespace centrale
