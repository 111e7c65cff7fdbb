// SPDX-License-Identifier: Apache-2.0
#include "plan/serve_search.hpp"

#include <algorithm>
#include <cmath>

namespace centrale::serving {
namespace {

// A level is judged on so many requests; the bisection ends when the rate is known to this part.
constexpr std::int64_t kJudged = 200;
constexpr double kRateStep = 0.02;

bool multiplies(const ChipType& chip, Precision precision) { return chip.peak_of(precision).value > 0; }

std::vector<const WeightFormat*> formats_of(const ServeRequest& request, const ChipType& chip) {
  std::vector<const WeightFormat*> formats;
  for (const std::string& name : request.formats) {
    if (const WeightFormat* format = weight_format_like(name); format != nullptr) { formats.push_back(format); }
  }
  if (!request.formats.empty()) { return formats; }
  formats.push_back(weight_format_like("bf16"));
  if (multiplies(chip, Precision::fp8)) { formats.push_back(weight_format_like("fp8")); }
  return formats;
}

/// 1, 2, 4 … and the domain's own size, up to `most`.
std::vector<std::int64_t> degrees(std::int64_t most, std::int64_t domain) {
  std::vector<std::int64_t> all;
  for (std::int64_t n = 1; n <= most; n *= 2) { all.push_back(n); }
  if (domain <= most && std::ranges::find(all, domain) == all.end()) { all.push_back(domain); }
  std::ranges::sort(all);
  return all;
}

const Engine& usual_engine(const ServeRequest& request, const ChipType& chip, const std::vector<Engine>& engines) {
  std::string_view word = request.engine;
  if (word.empty()) {
    word = chip.vendor == "nvidia" ? "vllm" : chip.vendor == "amd" ? "vllm-rocm" : chip.vendor == "ascend" ? "vllm-ascend" : "generic";
  }
  const auto found = std::ranges::find(engines, word, &Engine::key);
  return found != engines.end() ? *found : engine_like(word, engines);
}

bool keeps(const ServeRequest& request, const ServeRun& run, Part part) {
  const bool first = part == Part::decode || request.ttft.value <= 0 || run.ttft.p95 <= request.ttft;
  const bool rest = part == Part::prefill || request.itl.value <= 0 || run.itl.p95 <= request.itl;
  return first && rest;
}

}  // namespace

Engine engine_of(const ServeRequest& request, const Engine& engine, double chunk) {
  Engine own = engine;
  own.memory = std::max(0.01, engine.memory - request.memory_margin);
  if (chunk > 0) { own.tokens_max = chunk; }
  return own;
}

double price_of(const Island& island, std::int64_t chips) {
  return static_cast<double>(island.chip.price_per_hour.value.value) * 1e-6 * static_cast<double>(chips);
}

std::vector<Candidate> candidates_of(const ServeRequest& request, const std::vector<Engine>& engines) {
  std::vector<Candidate> all;
  for (std::size_t i = 0; i < request.fleet.islands.size(); ++i) {
    const Island& island = request.fleet.islands[i];
    const Engine& engine = usual_engine(request, island.chip, engines);
    const std::int64_t most = request.replica_chips_max > 0 ? std::min(request.replica_chips_max, island.chips) : island.chips;
    const std::int64_t domain = std::min(island.domain, most);
    for (const WeightFormat* format : formats_of(request, island.chip)) {
      const bool narrow = format->bits <= 9 && multiplies(island.chip, Precision::fp8);
      for (const std::int64_t pp : degrees(std::min<std::int64_t>(most, 16), 1)) {
        for (const std::int64_t tp : degrees(domain, domain)) {
          for (const std::int64_t dp : degrees(std::min<std::int64_t>(domain, 64) / tp, domain / tp)) {
            for (const std::int64_t ep : degrees(tp * dp, tp * dp)) {
              // Attention in parallel copies pays for experts only; a dense model takes replicas instead.
              if (dp > 1 && ep != tp * dp) { continue; }
              ServeLayout layout{.tp = tp, .dp = dp, .ep = ep, .pp = pp, .weights = format};
              layout.cache_bytes = request.cache_bytes > 0 ? request.cache_bytes : (narrow ? 1 : 2);
              if (layout.chips() > most || !fault_of(layout, request.model, island).empty()) { continue; }
              if (dp > 1 && layout.ep == 1) { continue; }
              all.push_back({.island = i, .layout = layout, .engine = &engine});
            }
          }
        }
      }
    }
  }
  return all;
}

Traffic traffic_of(const ServeRequest& request, Part part, double rate, std::int64_t requests) {
  Traffic traffic{.input = request.input, .output = request.output, .reuse = request.reuse, .rate = rate, .requests = requests};
  traffic.input_spread = traffic.output_spread = request.spread;
  traffic.seed = request.seed;
  traffic.prompts_done = part == Part::decode;
  if (part == Part::prefill) {
    traffic.output = 1;
    traffic.output_spread = 0;
  }
  return traffic;
}

double rate_bound(const ServeRequest& request, const ServeEstimator& estimator, Part part) {
  const double batch =
      std::max(1.0, std::min(estimator.sequences_held(request.input),
                             estimator.engine().sequences_max * static_cast<double>(estimator.layout().dp * estimator.layout().pp)));
  double seconds = 0;
  if (part != Part::decode) {
    // Prompts in the largest chunks: nothing but their tokens' cost.
    const double tokens = std::max(1.0, request.input * (1 - request.reuse));
    const double chunk = std::max(tokens, 131072.0);
    const IterationTime t = estimator.iteration({.prompts = chunk / tokens, .prompt_tokens = chunk});
    seconds += (t.weights + t.experts).value * tokens / chunk * 0.5;
  }
  if (part != Part::prefill) {
    const IterationTime t = estimator.iteration({.decoding = batch, .context = request.input});
    seconds += t.total().value * request.output / (batch * estimator.speculation().yield()) * 0.5;
  }
  return seconds > 0 ? 1 / seconds : 1e9;
}

bool holds_alone(const ServeRequest& request, const ServeEstimator& estimator, Part part) {
  Traffic traffic = traffic_of(request, part, 0, 1);
  traffic.concurrency = 1;
  traffic.input_spread = traffic.output_spread = 0;
  return keeps(request, serve_run(estimator, traffic), part);
}

Capacity capacity_of(const ServeRequest& request, const ServeEstimator& estimator, Part part) {
  Capacity best;
  best.chunk = estimator.engine().tokens_max;
  if (!holds_alone(request, estimator, part)) { return best; }
  const auto at = [&](double rate) {
    // A long run's middle: what starts and ends it is not the steady state.
    Traffic traffic = traffic_of(request, part, rate, kJudged * 2);
    traffic.warm = 0.2;
    return serve_run(estimator, traffic);
  };
  double high = rate_bound(request, estimator, part), low = 0;
  // A rate that the replica cannot keep up with shows as a queue that grows: its first tokens are late, or its rate falls behind.
  const auto good = [&](double rate, const ServeRun& run) {
    return keeps(request, run, part) && run.requests.value >= 0.9 * rate && run.ttft.p95.value < 60 + request.ttft.value;
  };
  for (int i = 0; i < 24 && high > low * (1 + kRateStep); ++i) {
    const double rate = low > 0 ? std::sqrt(low * high) : high / 2;
    const ServeRun run = at(rate);
    if (good(rate, run)) {
      low = rate;
      best.run = run;
    } else {
      high = rate;
    }
    if (low <= 0 && high < 1e-6) { break; }
  }
  best.rate = low;
  return best;
}

}  // namespace centrale::serving
