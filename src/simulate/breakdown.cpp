// SPDX-License-Identifier: Apache-2.0
#include "simulate/breakdown.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/ensure.hpp"

namespace centrale {
namespace {

constexpr Time kEnd{std::numeric_limits<std::int64_t>::max()};

/// At least 1 ns later: nothing is repaired as it fails.
Time later(Time now, double span_s) {
  const double ns = span_s * 1e9;
  if (!(ns < static_cast<double>(kEnd.ns - now.ns))) { return kEnd; }
  return now + Nanos{std::max<std::int64_t>(1, static_cast<std::int64_t>(ns))};
}

double draw_log_normal(Random& random, double mean, double sigma) { return random.log_normal(mean * std::exp(-sigma * sigma / 2), sigma); }

double weibull_scale(const Wear& wear) { return to_seconds(wear.mtbf) / std::tgamma(1 + 1 / wear.shape); }

double draw_life(Random& random, const Wear& wear) { return weibull_scale(wear) * std::pow(random.exponential(), 1 / wear.shape); }

/// -ln Q(a, x), Q the regularised upper incomplete gamma function: its series below a + 1, its continued fraction above (Abramowitz and
/// Stegun 6.5.29 and 6.5.31, the latter by Lentz's method).
double minus_log_upper_gamma(double a, double x) {
  if (x <= 0) { return 0; }
  constexpr int kTermsMax = 10'000;
  const double log_front = a * std::log(x) - x - std::log(std::tgamma(a));
  if (x < a + 1) {
    double term = 1 / a;
    double sum = term;
    for (int n = 1; n < kTermsMax && term > sum * 1e-17; ++n) {
      term *= x / (a + n);
      sum += term;
    }
    return -std::log1p(-std::exp(log_front) * sum);
  }
  double b = x + 1 - a;
  double c = 1e300;
  double d = 1 / b;
  double fraction = d;
  for (int n = 1; n < kTermsMax; ++n) {
    const double an = -n * (n - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    fraction *= d * c;
    if (std::abs(d * c - 1) < 1e-15) { break; }
  }
  return -(log_front + std::log(fraction));
}

/// How long units wait for their first failure in the steady state: the residual life of a renewal process, whose density is a life's
/// survival over its mean (Cox, "Renewal Theory", 1962, section 5.2). Of a Weibull life, the chance to wait longer than t is
/// Q(1/k, (t/scale)^k).
class FirstFailure {
 public:
  explicit FirstFailure(const Wear& wear) : shape_(wear.shape), scale_(weibull_scale(wear)), mean_(to_seconds(wear.mtbf)) {}

  [[nodiscard]] double hazard(double t) const { return minus_log_upper_gamma(1 / shape_, std::pow(t / scale_, shape_)); }

  /// The time, not before `low`, at which the cumulative hazard is `target`: Newton's method, kept between what was seen.
  [[nodiscard]] double when(double target, double low) const {
    double high = std::numeric_limits<double>::infinity();
    double t = low;
    for (int round = 0; round < 200; ++round) {
      const double at = hazard(t);
      (at < target ? low : high) = t;
      const double rate = std::exp(at - std::pow(t / scale_, shape_)) / mean_;
      double next = t + (target - at) / rate;
      // The comparison also catches what is no number.
      if (!(next >= low && next <= high)) { next = std::isinf(high) ? 2 * t + mean_ : (low + high) / 2; }
      if (std::abs(next - t) <= 1e-13 * next) { return next; }
      t = next;
    }
    return t;
  }

 private:
  double shape_, scale_, mean_;
};

Result<void> check_wear(const Wear& wear, std::string_view what) {
  if (wear.mtbf.value < 0) { return fail(ErrorKind::invalid, fmt::format("{}: a mean time between failures below 0", what)); }
  if (wear.mtbf.value == 0) { return {}; }
  if (wear.repair.value <= 0) {
    return fail(ErrorKind::invalid, fmt::format("{}: repairs take no time", what), {}, "give a mean above 0, or mtbf 0 for no failures");
  }
  if (!(wear.repair_sigma >= 0 && wear.repair_sigma <= 5)) {
    return fail(ErrorKind::invalid, fmt::format("{}: a repair_sigma of {}", what, wear.repair_sigma), {}, "give 0 to 5");
  }
  if (!(wear.shape >= 0.2 && wear.shape <= 10)) {
    return fail(ErrorKind::invalid, fmt::format("{}: a Weibull shape of {}", what, wear.shape), {}, "give 0.2 to 10; 1 is exponential");
  }
  return {};
}

/// Turns of working and slow: of a node's time, `share` is slow.
Wear wear_of(const Stragglers& stragglers) {
  if (stragglers.share <= 0) { return {}; }
  const double between = static_cast<double>(stragglers.duration.value) * (1 - stragglers.share) / stragglers.share;
  constexpr double kMost = 9e18;  // 285 years
  return {.mtbf = {static_cast<std::int64_t>(std::min(between, kMost))},
          .repair = stragglers.duration,
          .repair_sigma = stragglers.duration_sigma,
          .shape = 1};
}

}  // namespace

Result<void> check(const BreakdownOptions& options) {
  TRY(check_wear(options.chip, "chip"));
  TRY(check_wear(options.node, "node"));
  TRY(check_wear(options.leaf, "leaf"));
  TRY(check_wear(options.power, "power"));
  const Stragglers& slow = options.stragglers;
  if (!(slow.share >= 0 && slow.share <= 0.9)) {
    return fail(ErrorKind::invalid, fmt::format("stragglers: a share of {}", slow.share), {}, "give 0 to 0.9 of the nodes");
  }
  if (!(slow.slowdown >= 1 && slow.slowdown <= 1000)) {
    return fail(ErrorKind::invalid, fmt::format("stragglers: a slowdown of {}", slow.slowdown), {}, "give 1 (none) to 1000");
  }
  if (slow.share > 0 && slow.duration.value <= 0) {
    return fail(ErrorKind::invalid, "stragglers: they are slow for no time", {}, "give a duration above 0, or a share of 0 for none");
  }
  if (!(slow.duration_sigma >= 0 && slow.duration_sigma <= 5)) {
    return fail(ErrorKind::invalid, fmt::format("stragglers: a duration_sigma of {}", slow.duration_sigma), {}, "give 0 to 5");
  }
  return {};
}

std::uint32_t Breakdowns::Order::look_up(const Map& map, std::uint32_t key) {
  const auto found = map.find(key);
  return found == map.end() ? key : found->second;
}

void Breakdowns::Order::put(std::uint32_t position, std::uint32_t unit) {
  if (position == unit) {
    at_.erase(position);
    position_.erase(unit);
  } else {
    at_[position] = unit;
    position_[unit] = position;
  }
}

void Breakdowns::Order::swap(std::uint32_t position, std::uint32_t other) {
  const std::uint32_t here = at(position);
  const std::uint32_t there = at(other);
  put(position, there);
  put(other, here);
}

bool Breakdowns::Due::after(const Due& o) const {
  if (at != o.at) { return at > o.at; }
  return source != o.source ? source > o.source : unit > o.unit;
}

Breakdowns::Breakdowns(const Machines& machines, const BreakdownOptions& options, std::uint64_t seed, Time begin) : begin_(begin) {
  ensure(check(options));
  ensure(begin.ns >= 0);
  const Random random(seed);
  const auto source = [&](const Wear& wear, Kind fails, Kind mends, std::uint32_t first) {
    return Source{.wear = wear,
                  .slowdown = fails == Kind::straggle ? options.stragglers.slowdown : 1,
                  .fails = fails,
                  .mends = mends,
                  .random = random.stream(static_cast<std::uint64_t>(fails)),
                  .numbers = {{0, first}},
                  .first = kEnd};
  };
  const auto nodes = static_cast<std::int64_t>(machines.nodes.size());
  add(source(options.chip, Kind::chip_failed, Kind::chip_repaired, 0), machines.chips);
  add(source(options.node, Kind::node_lost, Kind::node_back, 0), nodes);
  Source leaves = source(options.leaf, Kind::leaf_lost, Kind::leaf_back, 1);
  std::uint32_t switches = 0;
  leaves.numbers.clear();
  for (const MachineIsland& island : machines.islands) {
    if (island.network.leaf <= 0 || island.network.kind == NetworkKind::torus) { continue; }
    leaves.numbers.emplace_back(switches, island.first_leaf);
    switches += island.leaves;
  }
  add(std::move(leaves), switches);
  add(source(options.power, Kind::power_lost, Kind::power_back, 1), machines.power_domains);
  add(source(wear_of(options.stragglers), Kind::straggle, Kind::recover, 0), nodes);
}

std::uint32_t Breakdowns::Source::number(std::uint32_t unit) const {
  const auto after =
      std::upper_bound(numbers.begin(), numbers.end(), unit, [](std::uint32_t u, const auto& numbered) { return u < numbered.first; });
  const auto& [first_unit, first_number] = *(after - 1);
  return first_number + unit - first_unit;
}

void Breakdowns::add(Source source, std::int64_t units) {
  if (source.wear.mtbf.value == 0 || units == 0) { return; }
  ensure(units > 0 && units <= std::numeric_limits<std::uint32_t>::max());
  source.front = static_cast<std::uint32_t>(units);
  draw_first(source, begin_);
  sources_.push_back(std::move(source));
}

/// The first of n equal waits: each passes a time with chance S, all of them with S^n; so that the first is where S is u^(1/n), and, the
/// others having passed that, the second where it is S times u^(1/(n-1)). -ln of that: the cumulative hazard grows by an exponential / n.
void Breakdowns::draw_first(Source& source, Time now) {
  source.first = kEnd;
  if (source.front == 0) { return; }
  const double step = source.random.exponential() / source.front;
  if (source.wear.shape == 1) {  // has no memory: counted from now, with the repaired ones
    source.first = later(now, step * to_seconds(source.wear.mtbf));
    return;
  }
  source.hazard += step;
  source.age = FirstFailure(source.wear).when(source.hazard, source.age);
  source.first = std::max(now, later(begin_, source.age));
}

std::optional<Breakdowns::Event> Breakdowns::next() {
  const auto first = std::min_element(sources_.begin(), sources_.end(), [](const Source& a, const Source& b) { return a.first < b.first; });
  const Time front = first == sources_.end() ? kEnd : first->first;
  if (!due_.empty() && due_.front().at <= front) {
    const Due due = pop();
    return due.fails ? fail(due.source, due.unit, due.at) : mend(due.source, due.unit, due.at);
  }
  if (front == kEnd) { return std::nullopt; }
  Source& source = *first;
  const auto position = static_cast<std::uint32_t>(source.random.below(source.front));
  const std::uint32_t unit = source.order.at(position);
  --source.front;
  source.order.swap(position, source.front);
  const Event event = fail(static_cast<std::uint32_t>(first - sources_.begin()), unit, front);
  draw_first(source, front);
  return event;
}

Breakdowns::Event Breakdowns::fail(std::uint32_t index, std::uint32_t unit, Time at) {
  Source& source = sources_[index];
  ++broken_;
  const double repair = draw_log_normal(source.random, to_seconds(source.wear.repair), source.wear.repair_sigma);
  push({.at = later(at, repair), .source = index, .unit = unit, .fails = false});
  const double slowdown = source.slowdown > 1 ? 1 + (source.slowdown - 1) * source.random.exponential() : 1;
  return {.at = at, .kind = source.fails, .which = source.number(unit), .slowdown = slowdown};
}

Breakdowns::Event Breakdowns::mend(std::uint32_t index, std::uint32_t unit, Time at) {
  Source& source = sources_[index];
  ensure(broken_ > 0);
  --broken_;
  if (source.wear.shape == 1) {
    source.order.swap(source.order.position(unit), source.front);
    ++source.front;
    draw_first(source, at);
  } else {
    push({.at = later(at, draw_life(source.random, source.wear)), .source = index, .unit = unit, .fails = true});
  }
  return {.at = at, .kind = source.mends, .which = source.number(unit), .slowdown = 1};
}

void Breakdowns::push(const Due& due) {
  if (due.at == kEnd) { return; }
  due_.push_back(due);
  std::push_heap(due_.begin(), due_.end(), [](const Due& a, const Due& b) { return a.after(b); });
}

Breakdowns::Due Breakdowns::pop() {
  std::pop_heap(due_.begin(), due_.end(), [](const Due& a, const Due& b) { return a.after(b); });
  const Due due = due_.back();
  due_.pop_back();
  return due;
}

Health::Health(const Machines& machines) : machines_(machines), reasons_(machines.nodes.size(), 0) {}

void Health::set(std::uint32_t node, Reason reason, bool lost, std::vector<Change>& changes) {
  std::uint8_t& reasons = reasons_[node];
  const bool was_up = reasons == 0;
  reasons = static_cast<std::uint8_t>(lost ? reasons | reason : reasons & ~reason);
  const bool is_up = reasons == 0;
  if (was_up == is_up) { return; }
  is_up ? --down_ : ++down_;
  changes.push_back({.kind = is_up ? Change::Kind::node_up : Change::Kind::node_down, .which = node, .slowdown = 1});
}

/// The nodes of a group stand next to each other, and groups are numbered in their order.
void Health::set_group(std::uint32_t Machine::*group, std::uint32_t number, Reason reason, bool lost, std::vector<Change>& changes) {
  const std::vector<Machine>& nodes = machines_.nodes;
  const auto first = std::partition_point(nodes.begin(), nodes.end(), [&](const Machine& m) { return m.*group < number; });
  for (auto node = first; node != nodes.end() && (*node).*group == number; ++node) {
    set(static_cast<std::uint32_t>(node - nodes.begin()), reason, lost, changes);
  }
}

void Health::apply(const Breakdowns::Event& event, std::vector<Change>& changes) {
  using Kind = Breakdowns::Kind;
  switch (event.kind) {
    case Kind::chip_failed: changes.push_back({.kind = Change::Kind::chip_failed, .which = event.which, .slowdown = 1}); break;
    case Kind::chip_repaired: changes.push_back({.kind = Change::Kind::chip_repaired, .which = event.which, .slowdown = 1}); break;
    case Kind::node_lost:
    case Kind::node_back: set(event.which, itself, event.kind == Kind::node_lost, changes); break;
    case Kind::leaf_lost:
    case Kind::leaf_back: set_group(&Machine::leaf, event.which, leaf, event.kind == Kind::leaf_lost, changes); break;
    case Kind::power_lost:
    case Kind::power_back: set_group(&Machine::power_domain, event.which, power, event.kind == Kind::power_lost, changes); break;
    case Kind::straggle:
    case Kind::recover: changes.push_back({.kind = Change::Kind::node_speed, .which = event.which, .slowdown = event.slowdown}); break;
  }
}

}  // namespace centrale
