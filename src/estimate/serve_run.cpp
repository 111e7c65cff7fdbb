// SPDX-License-Identifier: Apache-2.0
#include "estimate/serve_run.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numbers>
#include <queue>

#include "base/ensure.hpp"

namespace centrale {
namespace {

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): the same numbers on every machine.
class Draws {
 public:
  explicit Draws(std::uint64_t seed) : state_(seed) {}
  /// In (0, 1).
  double uniform() {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    z ^= z >> 31;
    return (static_cast<double>(z >> 11) + 0.5) * 0x1p-53;
  }
  double exponential() { return -std::log(uniform()); }
  double normal() { return std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::numbers::pi * uniform()); }
  /// Log-normal of that mean and relative deviation, at least 1.
  double length(double mean, double spread) {
    if (spread <= 0) { return std::max(1.0, std::round(mean)); }
    const double variance = std::log(1 + spread * spread);
    return std::max(1.0, std::round(mean * std::exp(std::sqrt(variance) * normal() - variance / 2)));
  }

 private:
  std::uint64_t state_;
};

struct Request {
  double arrival = 0, input = 0, output = 0, first = 0;
  double left = 0;  // tokens of the prompt that are not prefilled yet
};

Quantiles quantiles(std::vector<double>& values) {
  if (values.empty()) { return {}; }
  std::ranges::sort(values);
  double sum = 0;
  for (const double v : values) { sum += v; }
  const auto at = [&](double part) {
    return Seconds{values[std::min(values.size() - 1, static_cast<std::size_t>(part * static_cast<double>(values.size())))]};
  };
  return {.mean = {sum / static_cast<double>(values.size())}, .p50 = at(0.5), .p95 = at(0.95), .p99 = at(0.99)};
}

class Player {
 public:
  Player(const ServeEstimator& estimator, const Traffic& traffic)
      : estimator_(estimator), engine_(estimator.engine()), traffic_(traffic), draws_(traffic.seed) {
    const double tokens = traffic.input / traffic.beams + traffic.output * engine_.reserve;
    const double held = estimator.sequences_held(tokens);
    const double stages = static_cast<double>(estimator.layout().dp * estimator.layout().pp);
    slots_ = std::max(1.0, std::floor(std::min(held, engine_.sequences_max * stages)));
    run_.batch_max = slots_;
    run_.cache_bound = held < engine_.sequences_max * stages;
    yield_ = estimator.speculation().yield();
    room_ = std::max(held * tokens, traffic.input + traffic.output);
  }

  ServeRun play() {
    const auto first = traffic_.concurrency > 0 ? std::min<std::int64_t>(traffic_.requests, std::llround(traffic_.concurrency))
                                                : (traffic_.rate > 0 ? 1 : traffic_.requests);
    for (std::int64_t i = 0; i < first; ++i) { arrive(traffic_.rate > 0 && traffic_.concurrency <= 0 ? next_gap() : 0); }
    for (std::int64_t i = 0; i < kServeStepsMax && finished_ < traffic_.requests; ++i) { step(); }
    return sum_up();
  }

 private:
  struct Mark {
    double time = 0, output = 0, finished = 0;
  };
  struct Leaving {
    double count;  // of decoding iterations at which it leaves
    std::size_t request;
    bool operator>(const Leaving& o) const { return count != o.count ? count > o.count : request > o.request; }
  };

  /// Tokens of the cache that are kept for it.
  double kept(const Request& r) const { return r.input / traffic_.beams + r.output * engine_.reserve; }
  double next_gap() { return draws_.exponential() / traffic_.rate; }

  void arrive(double when) {
    Request r;
    r.arrival = when;
    r.input = draws_.length(traffic_.input, traffic_.input_spread);
    r.output = draws_.length(traffic_.output, traffic_.output_spread);
    r.left = std::max(1.0, r.input * (1 - traffic_.reuse) / traffic_.beams);
    requests_.push_back(r);
    ++issued_;
  }

  /// Lets in who has arrived, as long as there is a slot and room in the cache.
  void admit() {
    while (entered_ < requests_.size() && requests_[entered_].arrival <= now_) {
      const Request& r = requests_[entered_];
      const double needs = kept(r);
      if (active_ >= slots_ || (active_ > 0 && filled_ + needs > room_)) { return; }
      if (engine_.batching == Batching::fixed && !decoding_.empty()) { return; }
      filled_ += needs;
      active_ += 1;
      prefilling_.push_back(entered_++);
      // The open loop's next request is drawn when the one before it is let in or waits.
      if (traffic_.rate > 0 && traffic_.concurrency <= 0) { draw_arrivals(); }
    }
  }
  void draw_arrivals() {
    while (issued_ < traffic_.requests && requests_.back().arrival <= now_) { arrive(requests_.back().arrival + next_gap()); }
  }

  void step() {
    if (traffic_.rate > 0 && traffic_.concurrency <= 0) { draw_arrivals(); }
    admit();
    if (!prefilling_.empty()) { return prefill(); }
    if (!decoding_.empty()) { return decode(); }
    if (entered_ < requests_.size()) { now_ = std::max(now_, requests_[entered_].arrival); }
  }

  /// One iteration with chunks of prompts in it.
  void prefill() {
    const double ranks = static_cast<double>(estimator_.layout().dp * estimator_.layout().pp);
    const bool mixed = engine_.batching == Batching::mixed;
    const double beside = mixed ? static_cast<double>(decoding_.size()) : 0;
    double budget = std::max(engine_.tokens_max * ranks - beside, 256.0);
    IterationWork work{.decoding = beside, .context = mean_context()};
    std::vector<std::size_t> ready;
    double cached = 0;
    while (!prefilling_.empty() && budget >= 1) {
      Request& r = requests_[prefilling_.front()];
      const double now = traffic_.prompts_done ? 0 : std::min(r.left, budget);
      cached += std::max(0.0, r.input / traffic_.beams - r.left);
      r.left -= traffic_.prompts_done ? r.left : now;
      budget -= now;
      work.prompts += 1;
      work.prompt_tokens += now;
      if (r.left > 0) { break; }
      ready.push_back(prefilling_.front());
      prefilling_.pop_front();
    }
    work.prompt_context = work.prompts > 0 ? cached / work.prompts : 0;
    const double seconds = work.prompt_tokens > 0 || beside > 0 ? estimator_.iteration(work).total().value : 0;
    advance(seconds, mixed && beside > 0 ? 1 : 0);
    for (const std::size_t i : ready) { start(i); }
  }

  void start(std::size_t i) {
    Request& r = requests_[i];
    r.first = now_;
    if (r.output <= 1) { return finish(i); }
    decoding_.push({count_ + std::ceil((r.output - 1) / yield_), i});
    context_ += r.input;
  }

  /// As many iterations as nothing changes in.
  void decode() {
    const double batch = static_cast<double>(decoding_.size());
    double steps = decoding_.top().count - count_;
    const auto cost = [&](double grown) {
      return estimator_.iteration({.decoding = batch, .context = mean_context() + grown * yield_}).total().value;
    };
    double seconds = cost(steps / 2);
    const bool may_join = entered_ < requests_.size() && active_ < slots_ && engine_.batching != Batching::fixed;
    if (may_join && requests_[entered_].arrival > now_) {
      const double until = std::ceil((requests_[entered_].arrival - now_) / seconds);
      if (until < steps) {
        steps = std::max(1.0, until);
        seconds = cost(steps / 2);
      }
    }
    advance(seconds * steps, steps);
  }

  /// Moves time, and lets decoding sequences leave that are at their end.
  void advance(double seconds, double steps) {
    busy_ += seconds * static_cast<double>(decoding_.size());
    now_ += seconds;
    count_ += steps;
    context_ += steps * yield_ * static_cast<double>(decoding_.size());
    while (!decoding_.empty() && decoding_.top().count <= count_) {
      const std::size_t i = decoding_.top().request;
      decoding_.pop();
      context_ -= requests_[i].input + std::ceil((requests_[i].output - 1) / yield_) * yield_;
      finish(i);
    }
    if (decoding_.empty()) { context_ = 0; }
  }

  void finish(std::size_t i) {
    const Request r = requests_[i];
    ++finished_;
    active_ -= 1;
    filled_ -= kept(r);
    output_ += r.output;
    if (traffic_.concurrency > 0 && issued_ < traffic_.requests) { arrive(now_ + traffic_.pause.value); }
    const auto edge = static_cast<std::int64_t>(traffic_.warm * static_cast<double>(traffic_.requests));
    if (finished_ == edge) { warm_ = {now_, output_, static_cast<double>(finished_)}; }
    if (finished_ <= edge || finished_ > traffic_.requests - edge) { return; }
    cold_ = {now_, output_, static_cast<double>(finished_)};
    const double way = engine_.request.value + engine_.token.value * r.input + traffic_.transfer.value;
    const double pace = r.output > 1 ? (now_ - r.first) / (r.output - 1) : 0;
    ttft_.push_back(r.first - r.arrival + way + engine_.waits(static_cast<double>(estimator_.layout().dp)) * pace * yield_);
    if (r.output > 1) { itl_.push_back(pace); }
  }

  double mean_context() const { return decoding_.empty() ? 0 : context_ / static_cast<double>(decoding_.size()); }

  ServeRun sum_up() {
    run_.ttft = quantiles(ttft_);
    run_.itl = quantiles(itl_);
    run_.duration = {now_};
    if (cold_.time > warm_.time) {
      run_.output = {(cold_.output - warm_.output) / (cold_.time - warm_.time)};
      run_.requests = {(cold_.finished - warm_.finished) / (cold_.time - warm_.time)};
    }
    if (now_ > 0) { run_.decoding = busy_ / now_; }
    run_.typical = estimator_.iteration({.decoding = std::max(1.0, run_.decoding), .context = traffic_.input + traffic_.output / 2});
    return run_;
  }

  const ServeEstimator& estimator_;
  const Engine& engine_;
  const Traffic& traffic_;
  Draws draws_;
  ServeRun run_;
  double slots_ = 1, room_ = 0, yield_ = 1;
  std::vector<Request> requests_;  // by arrival
  std::size_t entered_ = 0;        // how many of them have been let in
  std::int64_t issued_ = 0, finished_ = 0;
  std::deque<std::size_t> prefilling_;
  std::priority_queue<Leaving, std::vector<Leaving>, std::greater<>> decoding_;
  double active_ = 0, filled_ = 0;  // sequences inside, tokens that are kept for them
  double context_ = 0;              // tokens of all decoding sequences
  double count_ = 0;                // decoding iterations so far
  double now_ = 0, busy_ = 0, output_ = 0;
  Mark warm_, cold_;  // what the figures are taken between
  std::vector<double> ttft_, itl_;
};

}  // namespace

ServeRun serve_run(const ServeEstimator& estimator, const Traffic& traffic) { return Player(estimator, traffic).play(); }

namespace {

/// One side of disaggregation over the clients or the rate of one of its replicas.
Traffic side_of(const Traffic& traffic, double replicas) {
  Traffic side = traffic;
  side.concurrency = traffic.concurrency > 0 ? std::max(1.0, traffic.concurrency / replicas) : 0;
  side.rate = traffic.rate / replicas;
  side.requests = std::max<std::int64_t>(1, std::llround(static_cast<double>(traffic.requests) / replicas));
  return side;
}

/// What a prefilled request waits for the decoding side to take it in, and for its first answer there.
Seconds wait_of(const ServeRun& decoding, const ServeEstimator& decode, const Traffic& traffic) {
  const Engine& engine = decode.engine();
  const double balancing = engine.waits(static_cast<double>(decode.layout().dp)) - engine.waits(1);  // no prompts there to balance
  const double more = engine.request.value + engine.token.value * traffic.input;
  const double pace = decoding.itl.mean.value * decode.speculation().yield();
  return {std::max(0.0, decoding.ttft.mean.value - more - balancing * pace)};
}

Quantiles later(Quantiles first, Seconds wait) {
  for (Seconds* q : {&first.mean, &first.p50, &first.p95, &first.p99}) { *q += wait; }
  return first;
}

}  // namespace

ServeRun serve_run(const ServeEstimator& prefill, const ServeEstimator& decode, const Disaggregated& pools, const Traffic& traffic) {
  Traffic decoding = side_of(traffic, pools.decode_replicas), prompts = side_of(traffic, pools.prefill_replicas);
  decoding.prompts_done = true;
  prompts.output = 1;
  prompts.output_spread = 0;
  const double moved = prefill.cache_of(traffic.input).value;
  prompts.transfer = pools.latency + Seconds{pools.transfer.value > 0 ? moved / pools.transfer.value : 0};
  if (traffic.concurrency <= 0) {
    ServeRun all = serve_run(decode, decoding);
    const ServeRun first = serve_run(prefill, prompts);
    all.ttft = later(first.ttft, wait_of(all, decode, traffic));
    const double requests = std::min(all.requests.value * pools.decode_replicas, first.requests.value * pools.prefill_replicas);
    all.output = {requests * traffic.output};
    all.requests = {requests};
    return all;
  }
  // Clients are with one side or the other: what one makes them wait, the other has fewer of them. A few rounds settle it.
  constexpr int kRounds = 3;
  ServeRun all, first;
  Seconds wait;
  for (int round = 0; round < kRounds; ++round) {
    all = serve_run(decode, decoding);
    wait = wait_of(all, decode, traffic);
    prompts.pause = all.itl.mean * (traffic.output - 1) + prompts.transfer + wait;
    first = serve_run(prefill, prompts);
    const double there = prompts.pause.value / (prompts.pause.value + first.ttft.mean.value);
    decoding.concurrency = std::max(1.0, traffic.concurrency * there / pools.decode_replicas);
  }
  all.ttft = later(first.ttft, wait);
  all.requests = {traffic.concurrency / (all.ttft.mean.value + all.itl.mean.value * (traffic.output - 1))};
  all.output = all.requests * traffic.output;
  return all;
}

}  // namespace centrale
