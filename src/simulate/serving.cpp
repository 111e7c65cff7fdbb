// SPDX-License-Identifier: Apache-2.0
#include "simulate/serving.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace centrale {

namespace {

constexpr std::int64_t kHour = 3'600'000'000'000;
// A token that is inside costs an eighth of one that is to be prefilled: it is read once in each iteration that is left, some hundred,
// a prompt's token is multiplied with all weights.
constexpr double kInsideWeight = 0.125;

}  // namespace

double ServingResult::attainment() const {
  const std::int64_t all = served + refused_long + refused_full + lost;
  return all == 0 ? 1 : static_cast<double>(attained) / static_cast<double>(all);
}

ServingSim::ServingSim(const RequestTrace& trace, ServingOptions options, Time start)
    : trace_(&trace), options_(options), start_(start), now_(start), random_(options.seed) {
  seen_.at = start;
}

ServingSim::Place& ServingSim::place_of(std::uint64_t id) {
  const auto at = std::ranges::find(places_, id, &Place::id);
  ensure(at != places_.end());
  return *at;
}

void ServingSim::add_replica(std::uint64_t id, std::shared_ptr<const ReplicaModel> model, Time ready, Time now) {
  ensure(ready >= now && std::ranges::find(places_, id, &Place::id) == places_.end());
  advance(now);
  Place place;
  place.id = id;
  place.model = std::move(model);
  place.added = now;
  place.ready = ready;
  places_.push_back(std::move(place));
  due_.push({ready, places_.size() - 1});
}

void ServingSim::remove_replica(std::uint64_t id, Time now) {
  advance(now);
  Place& place = place_of(id);
  const auto i = static_cast<std::size_t>(&place - places_.data());
  if (place.state == State::draining || place.state == State::gone) { return; }
  std::erase(serving_, i);
  if (place.state == State::starting) { return let_go(i); }
  place.state = State::draining;
  place.replica->advance(now, ended_);
  for (const Replica::Taken& taken : place.replica->take_waiting()) { queue_.push_back({taken.request, taken.arrival}); }
  if (place.replica->requests() == 0) { let_go(i); }
  route_queue();
}

void ServingSim::lose_replica(std::uint64_t id, Time now) {
  advance(now);
  Place& place = place_of(id);
  const auto i = static_cast<std::size_t>(&place - places_.data());
  if (place.state == State::gone) { return; }
  std::erase(serving_, i);
  if (place.replica) {
    place.replica->advance(now, ended_);
    for (const Replica::Taken& taken : place.replica->take_all()) {
      if (taken.begun) {
        result_.lost += 1;
      } else {
        queue_.push_back({taken.request, taken.arrival});
      }
    }
  }
  let_go(i);
  route_queue();
}

/// Its chips are free; what it counted stays.
void ServingSim::let_go(std::size_t i) {
  Place& place = places_[i];
  if (place.replica) { place.counts = place.replica->counts(); }
  place.replica.reset();
  place.model.reset();
  place.state = State::gone;
  place.ended = now_;
  gone_.push_back(place.id);
}

std::vector<std::uint64_t> ServingSim::take_gone() { return std::exchange(gone_, {}); }

const ReplicaCounts& ServingSim::counts_of(const Place& place) const { return place.replica ? place.replica->counts() : place.counts; }

Time ServingSim::due_of(const Place& place) const {
  if (place.state == State::starting) { return place.ready; }
  return place.state == State::gone ? kNever : place.replica->next_event();
}

void ServingSim::watch(std::size_t i) {
  const Time time = due_of(places_[i]);
  if (time != kNever) { due_.push({time, i}); }
}

Time ServingSim::next_event() {
  // Entries that were overtaken by another of the same replica are dropped here.
  while (!due_.empty() && due_of(places_[due_.top().place]) != due_.top().time) { due_.pop(); }
  Time time = due_.empty() ? kNever : due_.top().time;
  if (next_ < trace_->requests.size()) { time = std::min(time, start_ + (trace_->requests[next_].arrival - Time{})); }
  return time;
}

void ServingSim::advance(Time now) {
  ensure(now >= now_);
  for (Time time = next_event(); time <= now; time = next_event()) {
    now_ = time;
    while (!due_.empty() && due_.top().time <= time) {
      const Due due = due_.top();
      due_.pop();
      if (due_of(places_[due.place]) == due.time) { play(due.place); }
    }
    if (!queue_.empty()) { route_queue(); }
    while (next_ < trace_->requests.size() && start_ + (trace_->requests[next_].arrival - Time{}) <= time) { arrive(); }
  }
  now_ = now;
}

void ServingSim::play(std::size_t i) {
  Place& place = places_[i];
  if (place.state == State::starting) {
    place.replica = std::make_unique<Replica>(place.model, *trace_, options_.steps);
    place.state = State::serving;
    serving_.push_back(i);
    return;
  }
  place.replica->advance(now_, ended_);
  for (const ServedRequest& served : ended_) { count(served); }
  ended_.clear();
  if (place.state == State::draining && place.replica->requests() == 0) { return let_go(i); }
  watch(i);
}

void ServingSim::arrive() {
  const auto request = static_cast<std::uint32_t>(next_++);
  const TraceRequest& r = trace_->requests[request];
  result_.offered += 1;
  hour(now_).offered += 1;
  prompt_arrived_ += r.prompt;
  if (!queue_.empty() || !route({request, now_})) {
    if (queue_.size() < options_.queue_max) { return queue_.push_back({request, now_}); }
    result_.refused_full += 1;
    hour(now_).refused += 1;
  }
}

bool ServingSim::open(std::size_t i) const {
  return options_.replica_requests_max == 0 || places_[i].replica->requests() < options_.replica_requests_max;
}

/// Gives it to a replica, or refuses what is too long for all; false: none takes any now.
bool ServingSim::route(Waiting waiting) {
  if (serving_.empty()) { return false; }
  const TraceRequest& r = trace_->requests[waiting.request];
  if (std::ranges::none_of(serving_, [&](std::size_t i) { return places_[i].replica->fits(r); })) {
    result_.refused_long += 1;
    hour(now_).refused += 1;
    return true;
  }
  const std::size_t i = choose(r);
  if (i == places_.size()) { return false; }
  places_[i].replica->advance(now_, ended_);
  places_[i].replica->submit(waiting.request, waiting.arrival, now_);
  watch(i);
  return true;
}

void ServingSim::route_queue() {
  while (!queue_.empty() && route(queue_.front())) { queue_.pop_front(); }
}

double ServingSim::work_before(std::size_t i) {
  Replica& replica = *places_[i].replica;
  replica.advance(now_, ended_);
  return static_cast<double>(replica.prompt_tokens_left()) + kInsideWeight * static_cast<double>(replica.tokens_in_flight());
}

/// A place, or places_.size(): all are full.
std::size_t ServingSim::choose(const TraceRequest& r) {
  std::vector<std::size_t>& all = serving_;
  const auto can = [&](std::size_t i) { return open(i) && places_[i].replica->fits(r); };
  std::size_t chosen = places_.size();
  switch (options_.routing) {
    case Routing::round_robin: chosen = all[turn_++ % all.size()]; break;
    case Routing::least_tokens: chosen = choose_least(); break;
    case Routing::two_choices: {
      const std::size_t a = all[random_.below(all.size())], b = all[random_.below(all.size())];
      chosen = work_before(b) < work_before(a) ? b : a;
      break;
    }
    case Routing::prefix: chosen = choose_prefix(r); break;
  }
  if (chosen < places_.size() && can(chosen)) { return chosen; }
  // Whoever can, with the least work.
  std::size_t best = places_.size();
  for (const std::size_t i : all) {
    if (can(i) && (best == places_.size() || work_before(i) < work_before(best))) { best = i; }
  }
  return best;
}

std::size_t ServingSim::choose_least() {
  std::size_t best = serving_.front();
  double least = work_before(best);
  for (const std::size_t i : serving_) {
    const double work = work_before(i);
    if (work < least) {
      best = i;
      least = work;
    }
  }
  return best;
}

std::size_t ServingSim::choose_prefix(const TraceRequest& r) {
  double sum = 0;
  std::int64_t most = 0;
  std::size_t best = places_.size();
  double best_work = 0;
  for (const std::size_t i : serving_) {
    const double work = work_before(i);
    const std::int64_t cached = places_[i].replica->cached_prefix(r);
    sum += work;
    if (cached > most || (cached == most && cached > 0 && work < best_work)) {
      most = cached;
      best = i;
      best_work = work;
    }
  }
  // What the prompt itself brings is no overload.
  const double mean = (sum + static_cast<double>(r.prompt)) / static_cast<double>(serving_.size());
  const bool worth = best < places_.size() && best_work <= options_.guard * mean + static_cast<double>(most);
  return worth ? best : choose_least();
}

ServingHour& ServingSim::hour(Time at) {
  const auto i = static_cast<std::size_t>((at - start_).value / kHour);
  if (i >= result_.hours.size()) { result_.hours.resize(i + 1); }
  return result_.hours[i];
}

void ServingSim::count(const ServedRequest& served) {
  const TraceRequest& r = trace_->requests[served.request];
  const Nanos ttft = served.first - served.arrival;
  const bool kept = (options_.level.ttft.value == 0 || ttft <= options_.level.ttft) &&
                    (options_.level.itl.value == 0 || served.itl_mean <= options_.level.itl);
  result_.served += 1;
  result_.attained += kept ? 1 : 0;
  result_.prompt_tokens += r.prompt;
  result_.cached_tokens += served.cached;
  result_.output_tokens += r.output;
  result_.ttft.add(ttft);
  result_.e2e.add(served.end - served.arrival);
  if (r.output > 1) {
    result_.itl.add(served.itl_mean);
    result_.itl_max.add(served.itl_max);
  }
  ServingHour& h = hour(now_);
  h.served += 1;
  h.attained += kept ? 1 : 0;
  h.output_tokens += r.output;
  seen_.ended += 1;
  seen_.attained += kept ? 1 : 0;
  if (options_.keep_requests) { result_.requests.push_back(served); }
}

ServiceLoad ServingSim::load(Time now) {
  advance(now);
  ServiceLoad load = seen_;
  std::int64_t generated = 0;
  for (Place& place : places_) {
    if (place.replica) {
      place.replica->advance(now, ended_);
      load.tokens_in_flight += static_cast<double>(place.replica->tokens_in_flight());
    }
    load.replicas += place.state == State::serving ? 1 : 0;
    load.starting += place.state == State::starting ? 1 : 0;
    generated += counts_of(place).output_tokens;
  }
  for (const Waiting& waiting : queue_) { load.tokens_in_flight += static_cast<double>(trace_->requests[waiting.request].prompt); }
  load.queued = static_cast<std::int64_t>(queue_.size());
  const double elapsed = to_seconds(now - seen_.at);
  const std::int64_t tokens = generated + prompt_arrived_;
  if (elapsed > 0) { load.tokens_per_s = static_cast<double>(tokens - tokens_seen_) / elapsed; }
  load.at = now;
  tokens_seen_ = tokens;
  seen_ = {};
  seen_.at = now;
  return load;
}

std::size_t ServingSim::left() const {
  std::size_t left = queue_.size() + trace_->requests.size() - next_;
  for (const Place& place : places_) { left += place.replica ? place.replica->requests() : 0; }
  return left;
}

ServingResult ServingSim::result(Time now) {
  advance(now);
  ServingResult result = result_;
  result.inside = static_cast<std::int64_t>(left() - (trace_->requests.size() - next_));
  double busiest = 0, sum = 0, count = 0;
  for (const Place& place : places_) {
    const Time end = place.state == State::gone ? place.ended : now;
    result.preemptions += counts_of(place).preemptions;
    for (Time at = place.added; at < end;) {
      const std::int64_t h = (at - start_).value / kHour;
      const Time until = std::min(end, start_ + Nanos{(h + 1) * kHour});
      if (static_cast<std::size_t>(h) >= result.hours.size()) { result.hours.resize(static_cast<std::size_t>(h) + 1); }
      const double hours = to_seconds(until - at) / 3600;
      result.hours[static_cast<std::size_t>(h)].replica_hours += hours;
      result.replica_hours += hours;
      at = until;
    }
    if (end <= place.ready) { continue; }
    const double busy = to_seconds(counts_of(place).busy) / to_seconds(end - place.ready);
    busiest = std::max(busiest, busy);
    sum += busy;
    count += 1;
  }
  if (sum > 0) { result.imbalance = busiest / (sum / count); }
  return result;
}

}  // namespace centrale
