// SPDX-License-Identifier: Apache-2.0
#include "simulate/serving_run.hpp"

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"

namespace centrale {

namespace {

/// Brings the service to as many replicas as were decided: new ones start, the newest go first.
class Scaler {
 public:
  Scaler(ServingSim& sim, std::shared_ptr<const ReplicaModel> model) : sim_(sim), model_(std::move(model)) {}
  void scale_to(std::int64_t replicas, Nanos start, Time now) {
    while (static_cast<std::int64_t>(ids_.size()) < replicas) {
      ids_.push_back(++last_);
      sim_.add_replica(last_, model_, now + start, now);
    }
    while (static_cast<std::int64_t>(ids_.size()) > replicas) {
      sim_.remove_replica(ids_.back(), now);
      ids_.pop_back();
    }
  }

 private:
  ServingSim& sim_;
  std::shared_ptr<const ReplicaModel> model_;
  std::vector<std::uint64_t> ids_;
  std::uint64_t last_ = 0;
};

// A probe of a replica's capacity: requests that are played. Rates are doubled from 0.05 a second on, up to 400,000.
constexpr double kProbeRequests = 1500;
constexpr int kProbeRounds = 24;

struct Probe {
  double attained = 0;
  ReplicaCapacity carried;
};

Probe probe(const RequestTrace& source, double rate, const std::shared_ptr<const ReplicaModel>& model, const ServiceLevel& level,
            std::uint64_t seed) {
  GenerateOptions options;
  options.rate = rate;
  options.duration = {std::llround(kProbeRequests / rate * 1e9)};
  options.seed = seed;
  const auto trace = generate_requests(source, options);
  ensure(trace.has_value());
  ServingOptions serving;
  serving.level = level;
  serving.queue_max = trace->requests.size();
  ServingSim sim(*trace, serving);
  sim.add_replica(1, model, {}, {});
  // Averages of the middle half of the time in which requests arrive.
  constexpr int kSamples = 200;
  Probe p;
  double samples = 0;
  for (int i = 1; i <= kSamples; ++i) {
    const ServiceLoad load = sim.load({options.duration.value / kSamples * i});
    if (i <= kSamples / 4 || i > kSamples * 3 / 4) { continue; }
    p.carried.tokens_per_s += load.tokens_per_s;
    p.carried.tokens_in_flight += load.tokens_in_flight;
    samples += 1;
  }
  p.carried.tokens_per_s /= samples;
  p.carried.tokens_in_flight /= samples;
  Time now{options.duration.value};
  for (Time next = sim.next_event(); next != kNever; next = sim.next_event()) { sim.advance(now = std::max(now, next)); }
  p.attained = sim.result(now).attainment();
  return p;
}

}  // namespace

ServingResult run_service(const RequestTrace& trace, const std::shared_ptr<const ReplicaModel>& model, const ServingOptions& options,
                          const ScalingPlan& plan) {
  ensure(plan.interval.value > 0 && (!plan.autoscale || plan.autoscale->max > 0));
  ServingSim sim(trace, options);
  Scaler scaler(sim, model);
  Time now;
  scaler.scale_to(plan.replicas, Nanos{}, now);
  AutoscaleState state;
  while (sim.left() > 0) {
    if (!plan.autoscale) {
      const Time next = sim.next_event();
      if (next == kNever) { break; }
      sim.advance(now = next);
      continue;
    }
    now = now + plan.interval;
    const ScaleDecision decision = autoscale(state, *plan.autoscale, plan.capacity, sim.load(now));
    scaler.scale_to(decision.replicas, plan.autoscale->start, now);
  }
  return sim.result(now);
}

ReplicaCapacity replica_capacity(const RequestTrace& trace, const std::shared_ptr<const ReplicaModel>& model, const ServiceLevel& level,
                                 double objective, std::uint64_t seed) {
  if (trace.requests.empty()) { return {}; }
  double low = 0, high = 0.05;  // requests a second
  Probe best;
  for (int round = 0; round < kProbeRounds; ++round) {
    const Probe p = probe(trace, high, model, level, seed);
    if (p.attained < objective) { break; }
    best = p;
    low = high;
    high *= 2;
  }
  while (low > 0 && high / low > 1.02) {
    const double middle = std::sqrt(low * high);
    const Probe p = probe(trace, middle, model, level, seed);
    (p.attained >= objective ? low : high) = middle;
    if (p.attained >= objective) { best = p; }
  }
  return low > 0 ? best.carried : ReplicaCapacity{};
}

}  // namespace centrale
