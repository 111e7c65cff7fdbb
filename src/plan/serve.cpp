// SPDX-License-Identifier: Apache-2.0
#include "plan/serve.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "base/text.hpp"
#include "plan/serve_search.hpp"

namespace centrale {
namespace {

using serving::Candidate;
using serving::Capacity;
using serving::Part;

// Of each island, so many layouts with the best bounds are played for prefill and for decode alone.
constexpr std::size_t kPoolsTried = 4;

/// What plans are compared by: money where every price is known, chips otherwise.
struct Prices {
  bool known = true;
  explicit Prices(const Fleet& fleet) {
    for (const Island& island : fleet.islands) { known = known && island.chip.price_per_hour.value.value > 0; }
  }
  double operator()(const Island& island, double chips) const { return chips * (known ? serving::price_of(island, 1) : 1); }
};

struct Sized {
  Candidate candidate;
  std::optional<ServeEstimator> estimator;
};

Result<void> check(const ServeRequest& r) {
  const auto wrong = [](std::string what) { return fail(ErrorKind::invalid, std::move(what)); };
  if (r.model.layers.empty()) { return wrong("the model has no layers"); }
  if (r.fleet.islands.empty()) { return wrong("the fleet has no islands"); }
  if (!(r.input >= 1 && r.input <= 1e7)) { return wrong(fmt::format("input is {:g} tokens, wants 1 to 10,000,000", r.input)); }
  if (!(r.output >= 1 && r.output <= 1e6)) { return wrong(fmt::format("output is {:g} tokens, wants 1 to 1,000,000", r.output)); }
  if (!(r.rate >= 0 && r.rate <= 1e9)) { return wrong(fmt::format("rate is {:g} requests a second, wants 0 or more", r.rate)); }
  if (!(r.ttft.value >= 0 && r.itl.value >= 0)) { return wrong("a limit is negative"); }
  if (!(r.reuse >= 0 && r.reuse < 1)) { return wrong(fmt::format("reuse is {:g}, wants 0 to below 1", r.reuse)); }
  if (!(r.spread >= 0 && r.spread <= 10)) { return wrong(fmt::format("spread is {:g}, wants 0 to 10", r.spread)); }
  for (const std::string& format : r.formats) {
    if (weight_format_like(format) != nullptr) { continue; }
    std::vector<std::string> names;
    for (const WeightFormat& f : weight_formats()) { names.emplace_back(f.name); }
    return fail(ErrorKind::invalid, fmt::format("weight format '{}' is not known", shorten(format, 40)), {}, nearest_remedy(format, names));
  }
  return {};
}

/// The layouts that come nearest to fitting, in words.
std::unexpected<Error> nothing_fits(const ServeRequest& request, const std::vector<Sized>& sized) {
  if (sized.empty()) {
    return fail(ErrorKind::invalid, fmt::format("no layout of {} has chips enough on any island", request.model.name), {},
                "give the fleet more chips, or lift the limit on a replica's chips");
  }
  const Sized* best = nullptr;
  const auto short_by = [&](const Sized& s) {
    const ServeMemory& m = s.estimator->memory();
    return m.needed().value + m.cache_per_token.value * (request.input + request.output) + m.cache_fixed.value - m.capacity.value;
  };
  for (const Sized& s : sized) {
    if (best == nullptr || short_by(s) < short_by(*best)) { best = &s; }
  }
  const ServeMemory& m = best->estimator->memory();
  const double needed = (short_by(*best) + m.capacity.value) / 0x1p30, has = m.capacity.value / 0x1p30;
  std::vector<std::string> ways;
  const auto chips = static_cast<double>(best->candidate.layout.chips());
  ways.push_back(fmt::format("chips with {:.0f} GiB or more, or {:.0f} chips instead of {:.0f} to a replica", std::ceil(needed),
                             std::ceil(chips * needed / has), chips));
  const double bits = best->candidate.layout.weights->bits;
  if (bits > 5) {
    ways.push_back(fmt::format("weights in {} (about {:.1f} GiB a chip)", bits > 9 ? "fp8" : "nvfp4",
                               needed - m.weights.value / 0x1p30 * (1 - (bits > 9 ? 8 : 4.5) / bits)));
  }
  if (best->candidate.layout.cache_bytes > 1) { ways.emplace_back("a cache of 8 bit"); }
  if (m.cache_per_token.value * (request.input + request.output) > 0.02 * m.capacity.value) { ways.emplace_back("shorter requests"); }
  std::string all;
  for (const std::string& way : ways) { all += (all.empty() ? "" : "; ") + way; }
  return fail(ErrorKind::invalid,
              fmt::format("{} fits nowhere: needs {:.1f} GiB a chip at best ({} on {}), has {:.1f}", request.model.name, needed,
                          to_text(best->candidate.layout), request.fleet.islands[best->candidate.island].name, has),
              {}, fmt::format("{} ways to make it fit: {}", ways.size(), all));
}

/// The level that the quickest layout keeps, in words.
std::unexpected<Error> level_not_held(const ServeRequest& request, const std::vector<Sized>& sized) {
  const Sized* best = nullptr;
  ServeRun best_run;
  const auto missed = [&](const ServeRun& run) {
    double worst = 0;
    if (request.ttft.value > 0) { worst = std::max(worst, run.ttft.p95.value / request.ttft.value); }
    if (request.itl.value > 0) { worst = std::max(worst, run.itl.p95.value / request.itl.value); }
    return worst;
  };
  for (const Sized& s : sized) {
    if (s.estimator->sequences_held(request.input + request.output) < 1) { continue; }
    Traffic one = serving::traffic_of(request, Part::whole, 0, 1);
    one.concurrency = 1;
    one.input_spread = one.output_spread = 0;
    const ServeRun run = serve_run(*s.estimator, one);
    if (best == nullptr || missed(run) < missed(best_run)) {
      best = &s;
      best_run = run;
    }
  }
  return fail(ErrorKind::invalid,
              fmt::format("no layout keeps the level: a request alone takes {:.0f} ms to its first token and {:.1f} ms a token at best "
                          "({} on {}); asked for {:.0f} and {:.1f} ms",
                          best_run.ttft.p95.value * 1e3, best_run.itl.p95.value * 1e3, to_text(best->candidate.layout),
                          request.fleet.islands[best->candidate.island].name, request.ttft.value * 1e3, request.itl.value * 1e3),
              {}, "3 ways: a level that is less strict, weights of fewer bits, chips with more memory bandwidth");
}

ServePool pool_of(const Candidate& candidate, const ServeEstimator& estimator, const Capacity& capacity) {
  return {.layout = candidate.layout, .replicas = 1, .chunk = capacity.chunk, .most = capacity.rate, .memory = estimator.memory()};
}

/// Fills in what follows from pools, island and rate.
void finish(ServePlan& plan, const ServeRequest& request) {
  const Island& island = request.fleet.islands[plan.island];
  const double decode = plan.decode.most, prefill = plan.disaggregated ? plan.prefill.most : 0;
  if (request.rate > 0) {
    plan.decode.replicas = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(request.rate / decode - 1e-9)));
    if (plan.disaggregated) {
      plan.prefill.replicas = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(request.rate / prefill - 1e-9)));
    }
  } else if (plan.disaggregated) {
    // The smallest pools of which neither waits much for the other.
    const double ratio = decode / prefill;
    plan.decode.replicas = ratio >= 1 ? 1 : std::max<std::int64_t>(1, std::llround(1 / ratio));
    plan.prefill.replicas = std::max<std::int64_t>(1, std::llround(std::ceil(ratio * static_cast<double>(plan.decode.replicas) - 0.05)));
  }
  plan.rate = decode * static_cast<double>(plan.decode.replicas);
  if (plan.disaggregated) { plan.rate = std::min(plan.rate, prefill * static_cast<double>(plan.prefill.replicas)); }
  plan.chips = plan.decode.chips() + (plan.disaggregated ? plan.prefill.chips() : 0);
  const double served = request.rate > 0 ? std::min(request.rate, plan.rate) : plan.rate;
  plan.tokens_per_chip = served * request.output / static_cast<double>(plan.chips);
  plan.tokens_per_user = plan.itl.mean.value > 0 ? 1 / plan.itl.mean.value : 0;
  plan.kilowatts = static_cast<double>(island.chip.power.value.value) * 1e-6 * static_cast<double>(plan.chips);
  plan.cost_per_hour = serving::price_of(island, plan.chips);
  plan.cost_per_million = served > 0 ? plan.cost_per_hour / (served * request.output * 3600) * 1e6 : 0;
  plan.bound = bound_of(plan.iteration);
}

class Search {
 public:
  Search(const ServeRequest& request, const std::vector<Engine>& engines) : request_(request), engines_(engines), prices_(request.fleet) {}

  Result<ServePlans> run() {
    for (const Candidate& candidate : serving::candidates_of(request_, engines_)) {
      Sized s{candidate, std::nullopt};
      s.estimator.emplace(request_.model, island(candidate), serving::engine_of(request_, *candidate.engine, 0), candidate.layout,
                          request_.speculation);
      sized_.push_back(std::move(s));
    }
    out_.considered = static_cast<std::int64_t>(sized_.size());
    const auto fits = [&](const Sized& s) { return s.estimator->sequences_held(request_.input + request_.output) >= 1; };
    if (std::ranges::none_of(sized_, fits)) { return nothing_fits(request_, sized_); }
    std::erase_if(sized_, [&](const Sized& s) { return !fits(s); });
    out_.fit = static_cast<std::int64_t>(sized_.size());
    whole();
    if (request_.disaggregated) { pools(); }
    if (plans_.empty()) { return level_not_held(request_, sized_); }
    out_.hold = static_cast<std::int64_t>(plans_.size());
    front();
    return settle();
  }

 private:
  const Island& island(const Candidate& c) const { return request_.fleet.islands[c.island]; }
  double unit_cost(const Candidate& c, double rate) const { return prices_(island(c), static_cast<double>(c.layout.chips())) / rate; }

  /// The lowest price of a request that is sure to be listed: what cannot get below it is not played.
  double cutoff() const {
    if (plans_.size() < request_.plans) { return HUGE_VAL; }
    std::vector<double> costs;
    for (const auto& [cost, plan] : plans_) { costs.push_back(cost); }
    std::ranges::nth_element(costs, costs.begin() + static_cast<std::ptrdiff_t>(request_.plans) - 1);
    return costs[request_.plans - 1];
  }

  std::vector<double> chunks(const Candidate& c) const {
    if (!request_.chunks.empty()) { return request_.chunks; }
    return {c.engine->tokens_max, std::max(256.0, c.engine->tokens_max / 4)};
  }

  /// By rising bound on the price of a request.
  std::vector<std::pair<double, std::size_t>> in_order(Part part) const {
    std::vector<std::pair<double, std::size_t>> order;
    for (std::size_t i = 0; i < sized_.size(); ++i) {
      order.emplace_back(unit_cost(sized_[i].candidate, serving::rate_bound(request_, *sized_[i].estimator, part)), i);
    }
    std::ranges::sort(order);
    return order;
  }

  Capacity best_chunk(const Sized& s, Part part) const {
    Capacity best;
    for (const double chunk : chunks(s.candidate)) {
      const ServeEstimator own(request_.model, island(s.candidate), serving::engine_of(request_, *s.candidate.engine, chunk),
                               s.candidate.layout, request_.speculation);
      Capacity capacity = serving::capacity_of(request_, own, part);
      if (capacity.rate > best.rate) { best = capacity; }
    }
    return best;
  }

  void whole() {
    for (const auto& [bound, i] : in_order(Part::whole)) {
      // Listed plans must not depend on where the search stopped: a fleet's islands are each asked for their best at least once.
      if (bound > cutoff() && std::ranges::any_of(plans_, [&](const auto& p) { return p.second.island == sized_[i].candidate.island; })) {
        continue;
      }
      const Sized& s = sized_[i];
      const Capacity capacity = best_chunk(s, Part::whole);
      if (capacity.rate <= 0) { continue; }
      ServePlan plan;
      plan.island = s.candidate.island;
      plan.engine = s.candidate.engine->key;
      plan.decode = pool_of(s.candidate, *s.estimator, capacity);
      plan.ttft = capacity.run.ttft;
      plan.itl = capacity.run.itl;
      plan.concurrency = capacity.run.decoding;
      plan.iteration = capacity.run.typical;
      finish(plan, request_);
      plans_.emplace_back(unit_cost(s.candidate, capacity.rate), std::move(plan));
    }
  }

  /// The layouts of one island that serve one part cheapest.
  std::vector<std::pair<const Sized*, Capacity>> best_of(std::size_t island_index, Part part) const {
    std::vector<std::pair<const Sized*, Capacity>> best;
    std::size_t tried = 0;
    for (const auto& [bound, i] : in_order(part)) {
      if (sized_[i].candidate.island != island_index || tried == kPoolsTried) { continue; }
      if (!serving::holds_alone(request_, *sized_[i].estimator, part)) { continue; }
      ++tried;
      Capacity capacity = serving::capacity_of(request_, *sized_[i].estimator, part);
      if (capacity.rate > 0) { best.emplace_back(&sized_[i], capacity); }
    }
    std::ranges::stable_sort(best, [&](const auto& a, const auto& b) {
      return unit_cost(a.first->candidate, a.second.rate) < unit_cost(b.first->candidate, b.second.rate);
    });
    return best;
  }

  void pools() {
    for (std::size_t i = 0; i < request_.fleet.islands.size(); ++i) {
      const auto prefill = best_of(i, Part::prefill), decode = best_of(i, Part::decode);
      if (prefill.empty() || decode.empty()) { continue; }
      const auto& [p, p_capacity] = prefill.front();
      const auto& [d, d_capacity] = decode.front();
      ServePlan plan;
      plan.island = i;
      plan.engine = d->candidate.engine->key;
      plan.disaggregated = true;
      plan.prefill = pool_of(p->candidate, *p->estimator, p_capacity);
      plan.decode = pool_of(d->candidate, *d->estimator, d_capacity);
      plan.ttft = p_capacity.run.ttft;
      // The cache goes to the decoding side over the network before the second token.
      const double link = request_.fleet.islands[i].network.bandwidth.value * static_cast<double>(p->candidate.layout.chips());
      const Seconds moved{link > 0 ? p->estimator->cache_of(request_.input).value / link : 0};
      for (Seconds* t : {&plan.ttft.mean, &plan.ttft.p50, &plan.ttft.p95, &plan.ttft.p99}) { *t += moved; }
      if (request_.ttft.value > 0 && plan.ttft.p95 > request_.ttft) { continue; }
      plan.itl = d_capacity.run.itl;
      plan.concurrency = d_capacity.run.decoding;
      plan.iteration = d_capacity.run.typical;
      finish(plan, request_);
      if (plan.chips > request_.fleet.islands[i].chips) { continue; }
      plans_.emplace_back(unit_cost(p->candidate, p_capacity.rate) + unit_cost(d->candidate, d_capacity.rate), std::move(plan));
    }
  }

  /// Tokens a chip against tokens a user, over batches of powers of two, in the steady state: prompts are paid for by all that decode.
  void front() {
    std::vector<ServePoint> points;
    for (const Sized& s : sized_) {
      const ServeEstimator& e = *s.estimator;
      const double held = std::min(e.sequences_held(request_.input + request_.output),
                                   e.engine().sequences_max * static_cast<double>(s.candidate.layout.dp * s.candidate.layout.pp));
      const double prompt = request_.input * (1 - request_.reuse);
      const double prefill = e.iteration({.prompts = 1, .prompt_tokens = prompt, .prompt_context = request_.input - prompt}).total().value;
      for (double batch = 1; batch <= held; batch *= 2) {
        const double step = e.iteration({.decoding = batch, .context = request_.input + request_.output / 2}).total().value;
        const double token = step / e.speculation().yield() + batch * prefill / request_.output;
        points.push_back({.island = s.candidate.island,
                          .layout = s.candidate.layout,
                          .concurrency = batch,
                          .tokens_per_chip = batch / token / static_cast<double>(s.candidate.layout.chips()),
                          .tokens_per_user = 1 / token});
      }
    }
    std::ranges::stable_sort(points, [](const ServePoint& a, const ServePoint& b) {
      return a.tokens_per_user != b.tokens_per_user ? a.tokens_per_user > b.tokens_per_user : a.tokens_per_chip > b.tokens_per_chip;
    });
    double best = 0;
    for (const ServePoint& p : points) {
      if (p.tokens_per_chip <= best) { continue; }
      best = p.tokens_per_chip;
      out_.front.push_back(p);
    }

    std::ranges::stable_sort(out_.front, {}, &ServePoint::tokens_per_user);
  }

  double total_cost(const ServePlan& plan) const {
    return prices_(request_.fleet.islands[plan.island], static_cast<double>(plan.chips)) / (request_.rate > 0 ? 1 : plan.rate);
  }

  Result<ServePlans> settle() {
    std::vector<ServePlan> all;
    for (auto& [cost, plan] : plans_) { all.push_back(std::move(plan)); }
    std::ranges::stable_sort(all, {}, [&](const ServePlan& p) { return total_cost(p); });
    for (const ServePlan& plan : all) {
      const bool enough = plan.chips <= request_.fleet.islands[plan.island].chips;
      if (enough && out_.plans.size() < request_.plans) { out_.plans.push_back(plan); }
    }
    if (out_.plans.empty()) { TRY(join_islands(all)); }
    return std::move(out_);
  }

  /// No island alone carries the rate: each gives what it can, cheapest first.
  Result<void> join_islands(const std::vector<ServePlan>& all) {
    double left = request_.rate;
    std::vector<ServePlan> best;
    for (const ServePlan& plan : all) {
      const bool seen = std::ranges::any_of(best, [&](const ServePlan& p) { return p.island == plan.island; });
      if (!seen && !plan.disaggregated) { best.push_back(plan); }
    }
    std::ranges::stable_sort(best, {}, [&](const ServePlan& p) {
      return prices_(request_.fleet.islands[p.island], static_cast<double>(p.decode.layout.chips())) / p.decode.most;
    });
    for (ServePlan& plan : best) {
      if (left <= 0) { break; }
      const std::int64_t room = request_.fleet.islands[plan.island].chips / plan.decode.layout.chips();
      ServeRequest part = request_;
      part.rate = std::min(left, plan.decode.most * static_cast<double>(room));
      finish(plan, part);
      left -= part.rate;
      out_.together.push_back(plan);
    }
    if (left <= 1e-9 * request_.rate) { return {}; }
    return fail(
        ErrorKind::exhausted,
        fmt::format("the fleet serves {:.1f} requests a second at this level, {:.1f} fewer than asked for", request_.rate - left, left), {},
        fmt::format("3 ways: {:.1f} times the chips, a level that is less strict, weights of fewer bits",
                    request_.rate / std::max(request_.rate - left, 1e-9)));
  }

  const ServeRequest& request_;
  const std::vector<Engine>& engines_;
  Prices prices_;
  std::vector<Sized> sized_;
  std::vector<std::pair<double, ServePlan>> plans_;  // with the price of a request a second
  ServePlans out_;
};

}  // namespace

std::string bound_of(const IterationTime& t) {
  const std::array<std::pair<Seconds, const char*>, 8> parts{{{t.weights, "weights and their GEMMs"},
                                                              {t.experts, "experts and their GEMMs"},
                                                              {t.attention, "attention over prompts"},
                                                              {t.cache, "reading the cache"},
                                                              {t.elementwise, "element-wise operators"},
                                                              {t.kernels, "launches"},
                                                              {t.collectives, "collectives"},
                                                              {t.engine, "the engine's own work"}}};
  const auto longest = std::ranges::max_element(parts, {}, [](const auto& p) { return p.first; });
  const double total = t.total().value;
  return fmt::format("{} ({:.0f}% of an iteration)", longest->second, total > 0 ? 100 * longest->first.value / total : 0);
}

Result<ServePlans> plan_serve(const ServeRequest& request, const std::vector<Engine>& engines) {
  TRY(check(request));
  if (!request.engine.empty()) { TRY(engine_named(request.engine, engines)); }
  return Search(request, engines).run();
}

std::vector<ServeTerm> explain(const ServePlan& plan, const ServeRequest& request, const std::vector<Engine>& engines) {
  const Island& island = request.fleet.islands[plan.island];
  const auto engine = std::ranges::find(engines, plan.engine, &Engine::key);
  const std::string of_engine = engine == engines.end() ? plan.engine : fmt::format("engine {}: {}", engine->key, engine->source);
  const auto ms = [](Seconds t) { return fmt::format("{:.3f} ms", t.value * 1e3); };
  const auto gib = [](ByteCount b) { return fmt::format("{:.2f} GiB", b.value / 0x1p30); };
  const std::string shape = fmt::format("{}, {}", request.model.name, to_text(plan.decode.layout));
  const std::string& chip = island.chip.efficiency.source;
  const ServeMemory& m = plan.decode.memory;
  return {
      {"iteration", ms(plan.iteration.total()),
       fmt::format("{:.1f} sequences at {:g} tokens", plan.concurrency, request.input + request.output / 2)},
      {"  weights", ms(plan.iteration.weights), fmt::format("GEMMs of {}; {}; {}", shape, island.chip.memory_bandwidth.source, chip)},
      {"  experts", ms(plan.iteration.experts), "grouped GEMMs of the experts that the batch's draws meet"},
      {"  cache", ms(plan.iteration.cache), fmt::format("{:.1f} KiB a token and chip", m.cache_per_token.value / 1024)},
      {"  element-wise", ms(plan.iteration.elementwise), island.chip.memory_bandwidth.source},
      {"  launches", ms(plan.iteration.kernels), of_engine},
      {"  collectives", ms(plan.iteration.collectives), island.chip.scale_up.bandwidth.source},
      {"  engine", ms(plan.iteration.engine), of_engine},
      {"memory: weights", gib(m.weights), shape},
      {"memory: work", gib(m.activations), fmt::format("buffers of {:g} tokens", plan.decode.chunk)},
      {"memory: reserved", gib(m.reserved), of_engine},
      {"memory: cache", gib(m.free), "what is left"},
      {"requests a second", fmt::format("{:.3f} a replica", plan.decode.most), "highest Poisson rate at which p95 keeps the level, played"},
      {"power", fmt::format("{:.2f} kW", plan.kilowatts), island.chip.power.source},
      {"price", fmt::format("{:.2f} {} an hour", plan.cost_per_hour, request.fleet.currency), island.chip.price_per_hour.source},
  };
}

}  // namespace centrale
