// SPDX-License-Identifier: Apache-2.0
// How many replicas a service needs, from what its load was and what one replica carries. Up at once, down slowly; what comes is
// predicted from the trend and from the same time on days before. No clock: the time comes with the load.
//
//   AutoscaleState state;                                    // plain: goes into snapshots
//   ScaleDecision d = autoscale(state, options, capacity, load);   // once an interval
//
// Flapping is bounded. The number of replicas only falls to what was enough in every decision of the last `patience`; so
// between a rise and the next fall lies at least `patience`, and in a span T there are at most floor(T / patience) + 1 falls that
// follow a rise.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/units.hpp"

namespace centrale {

/// What is seen of a service at a moment.
struct ServiceLoad {
  Time at;
  double tokens_per_s = 0;      // prompt and output tokens of requests: arrived, and generated, since the load before
  double tokens_in_flight = 0;  // of all requests that are not answered yet, waiting ones included
  std::int64_t queued = 0;      // requests that no replica has taken
  std::int64_t replicas = 0;    // that serve
  std::int64_t starting = 0;    // that load weights
  std::int64_t ended = 0;       // requests that ended since the load before …
  std::int64_t attained = 0;    // … within the service level
};

/// What one replica carries within the service level.
struct ReplicaCapacity {
  double tokens_per_s = 0;
  double tokens_in_flight = 0;
};

struct AutoscaleOptions {
  std::int64_t min = 1, max = 1;  // replicas; min 0: none while nothing comes
  Nanos start = seconds(60);      // until a new replica serves: so far ahead is predicted
  Nanos patience = seconds(600);  // see above
  Nanos idle = seconds(900);      // min 0: without any request for so long, the last replica goes
  Nanos day = seconds(86400);     // the period that is learned
  double caution = 2;             // standard deviations of the prediction's error that are kept as headroom
  double slack = 0.1;             // part of the load that must be to spare before replicas go
  double objective = 0.95;        // share of requests that is to be within the service level
};

/// What is known of a load that is predicted: by Holt's linear trend (1957), damped, and by the profile of a day.
struct Forecast {
  static constexpr std::int64_t kSlots = 96;  // of a day
  bool seen = false;
  Time at;
  double level = 0, slope = 0;            // a second
  double error = 0;                       // mean square of predictions' errors, over the level's square
  std::vector<double> profile;            // mean by slot of the day; empty: none yet
  std::vector<double> days;               // how often each slot was seen
  double slot_sum = 0, slot_seconds = 0;  // of the slot that is being seen
  std::int64_t slot = -1;
  std::vector<double> promised;  // what was predicted, oldest first …
  std::vector<Time> due;         // … for these times
};
template <class V>
void describe(V& v, Forecast& f) {
  v("seen", f.seen);
  v("at", f.at);
  v("level", f.level);
  v("slope", f.slope);
  v("error", f.error);
  v("profile", f.profile);
  v("days", f.days);
  v("slot_sum", f.slot_sum);
  v("slot_seconds", f.slot_seconds);
  v("slot", f.slot);
  v("promised", f.promised);
  v("due", f.due);
}

struct AutoscaleState {
  Forecast rate, flight;
  std::int64_t replicas = -1;       // decided last; -1: never
  std::vector<std::int64_t> needs;  // of decisions within `patience`, each below all before it …
  std::vector<Time> need_at;        // … and when
  Time busy;                        // when there was a request last
  double correction = 1;            // of the capacity, from the service level that was reached
};
template <class V>
void describe(V& v, AutoscaleState& s) {
  v("rate", s.rate);
  v("flight", s.flight);
  v("replicas", s.replicas);
  v("needs", s.needs);
  v("need_at", s.need_at);
  v("busy", s.busy);
  v("correction", s.correction);
}

struct ScaleDecision {
  std::int64_t replicas = 0;
  double predicted = 0;  // load of the fuller of the two capacities, in replicas, with headroom
  std::string reason;    // for people
};

/// Loads must come in order of time; the first one, and one after a gap of more than a day, start the forecast anew.
[[nodiscard]] ScaleDecision autoscale(AutoscaleState& state, const AutoscaleOptions& options, const ReplicaCapacity& capacity,
                                      const ServiceLoad& load);

/// One value more; `ahead` is how far predictions have to look.
void observe(Forecast& forecast, double value, Time at, Nanos ahead, Nanos day);
/// What is expected at most between the last observation and `ahead` later, and the headroom that the errors so far ask for.
struct Expected {
  double value = 0;
  double deviation = 0;
};
[[nodiscard]] Expected expected(const Forecast& forecast, Nanos ahead, Nanos day);

}  // namespace centrale
