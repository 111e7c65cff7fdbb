// SPDX-License-Identifier: Apache-2.0
// A service under a trace of requests: replicas that come and go, a router before them, and what callers see. An outer loop moves it:
//
//   ServingSim sim(trace, options);
//   sim.add_replica(1, model, ready, now);
//   while (sim.next_event() <= end) { sim.advance(sim.next_event()); }
//   ServiceLoad load = sim.load(now);        // what an autoscaler sees (policy/autoscale.hpp)
//   ServingResult result = sim.result(now);
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <queue>
#include <string_view>
#include <vector>

#include "base/random.hpp"
#include "base/reflect.hpp"
#include "policy/autoscale.hpp"
#include "simulate/replica.hpp"
#include "simulate/requests.hpp"
#include "simulate/serving_histogram.hpp"

namespace centrale {

enum class Routing : unsigned char {
  round_robin,
  least_tokens,  // the replica with the least work before a new request: prompts not begun, and an eighth of all tokens inside
  two_choices,   // the better of two that are drawn (Mitzenmacher, "The power of two choices", TPDS 2001)
  prefix,        // the one whose cache has most of the prompt, unless it has `guard` times the mean work
};
template <>
inline constexpr std::array<std::string_view, 4> kEnumNames<Routing>{"round-robin", "least-tokens", "two-choices", "prefix"};

/// 0: no limit. The time between tokens is a request's mean.
struct ServiceLevel {
  Nanos ttft, itl;
};

struct ServingOptions {
  Routing routing = Routing::least_tokens;
  ServiceLevel level;
  std::size_t queue_max = 10'000;        // requests that wait while no replica takes any; beyond: refused
  std::size_t replica_requests_max = 0;  // that a replica is given at once; 0: any number
  double guard = 1.5;                    // see Routing::prefix
  std::uint64_t seed = 1;                // of two_choices
  bool keep_requests = false;            // each in the result
  Replica::Steps steps = Replica::Steps::many;
};

struct ServingHour {
  std::int64_t offered = 0, served = 0, refused = 0, attained = 0;  // offered by arrival; served and attained by their end
  std::int64_t output_tokens = 0;                                   // of those served
  double replica_hours = 0;
};

struct ServingResult {
  std::int64_t offered = 0, served = 0, attained = 0;
  std::int64_t refused_long = 0, refused_full = 0;                       // longer than a replica's cache; the queue was full
  std::int64_t lost = 0;                                                 // broken off with their replica
  std::int64_t inside = 0;                                               // not ended yet
  std::int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;  // of those served
  std::int64_t preemptions = 0;
  SpanHistogram ttft, itl, itl_max, e2e;
  double replica_hours = 0;  // from when a replica was added, its start included, until it was gone
  double imbalance = 0;      // busiest replica's busy share of its life, over the mean; 1: even
  std::vector<ServingHour> hours;
  std::vector<ServedRequest> requests;  // with keep_requests, by end

  [[nodiscard]] double attainment() const;  // of those served, refused and lost
};

class ServingSim {
 public:
  /// `trace` must outlive it; requests arrive at their times after `start`.
  ServingSim(const RequestTrace& trace, ServingOptions options, Time start = {});

  /// A new replica, that serves from `ready` on. Ids are the caller's and never come twice.
  void add_replica(std::uint64_t id, std::shared_ptr<const ReplicaModel> model, Time ready, Time now);
  /// It takes nothing more, what it has not begun goes to others, and it is gone when it has answered the rest.
  void remove_replica(std::uint64_t id, Time now);
  /// It is gone at once: callers whose answer had begun lose it, others are routed again.
  void lose_replica(std::uint64_t id, Time now);

  /// When something happens next; kNever: nothing does until replicas come.
  [[nodiscard]] Time next_event();
  /// Plays until `now`.
  void advance(Time now);

  /// Advances to `now`, and says what was seen since the call before.
  [[nodiscard]] ServiceLoad load(Time now);
  /// Ids of replicas that are gone since the call before: their chips are free.
  [[nodiscard]] std::vector<std::uint64_t> take_gone();
  /// Requests that have not ended, and those still to come.
  [[nodiscard]] std::size_t left() const;
  [[nodiscard]] ServingResult result(Time now);

 private:
  enum class State : unsigned char { starting, serving, draining, gone };
  struct Place {
    std::uint64_t id = 0;
    std::shared_ptr<const ReplicaModel> model;
    std::unique_ptr<Replica> replica;
    State state = State::starting;
    Time added, ready, ended;
    ReplicaCounts counts;  // when it is gone
  };
  struct Due {
    Time time;
    std::size_t place = 0;
    bool operator>(const Due& o) const { return time != o.time ? time > o.time : place > o.place; }
  };
  struct Waiting {
    std::uint32_t request = 0;
    Time arrival;
  };

  [[nodiscard]] Place& place_of(std::uint64_t id);
  [[nodiscard]] Time due_of(const Place& place) const;
  [[nodiscard]] const ReplicaCounts& counts_of(const Place& place) const;
  void watch(std::size_t i);
  void play(std::size_t i);
  void let_go(std::size_t i);
  void arrive();
  [[nodiscard]] bool route(Waiting waiting);
  void route_queue();
  [[nodiscard]] std::size_t choose(const TraceRequest& request);
  [[nodiscard]] std::size_t choose_prefix(const TraceRequest& request);
  [[nodiscard]] std::size_t choose_least();
  [[nodiscard]] bool open(std::size_t i) const;
  [[nodiscard]] double work_before(std::size_t i);
  void count(const ServedRequest& served);
  ServingHour& hour(Time at);

  const RequestTrace* trace_;
  ServingOptions options_;
  Time start_, now_;
  std::size_t next_ = 0;              // request that arrives next
  std::vector<Place> places_;         // as they were added
  std::vector<std::size_t> serving_;  // of places_
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::deque<Waiting> queue_;
  std::vector<ServedRequest> ended_;
  std::vector<std::uint64_t> gone_;
  Random random_;
  std::size_t turn_ = 0;
  std::int64_t inside_ = 0;  // replicas
  ServingResult result_;
  ServiceLoad seen_;  // since load()
  std::int64_t tokens_seen_ = 0, prompt_arrived_ = 0;
};

}  // namespace centrale
