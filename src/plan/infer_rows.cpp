// SPDX-License-Identifier: Apache-2.0
#include "plan/infer_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "plan/row_cells.hpp"

namespace centrale {
namespace {

// How many requests are played: benchmarks send about ten a client.
constexpr double kPerClient = 10;
// Offline benchmarks queue enough to fill the batch several times.
constexpr double kFillings = 6;
constexpr std::int64_t kOfflineMin = 300, kOfflineMax = 12'000;
constexpr std::int64_t kRequestsMax = 20'000;
constexpr double kShort = 1.1;
constexpr double kClientsPerSlot = 1.15;  // in the middle of the published recipes that name both
// A benchmark's server mode runs for ten minutes at least: its middle is what counts.
constexpr double kServerSeconds = 400;
// MLPerf's limit on a token's time at p99 (Llama 2 70B, Mixtral), and how far p99 lies above the mean in published logs.
constexpr double kSuiteIterations = 1.75, kSuiteFirst = 2;  // seconds: its limit on the first token at p99
constexpr double kSuiteToken = 0.2, kTailOverMean = 1.2;

/// Layouts to choose from where the row names none: powers of two that divide the chips.
std::vector<ServeLayout> choices(const InferRow& row) {
  std::vector<ServeLayout> layouts;
  const auto chips = static_cast<std::int64_t>(std::max(1.0, row.chips));
  for (std::int64_t tp = 1; tp <= std::min<std::int64_t>(chips, row.island.domain); tp *= 2) {
    if (chips % tp != 0) { continue; }
    ServeLayout layout = row.layout;
    layout.tp = tp;
    layouts.push_back(layout);
  }
  return layouts;
}

Traffic traffic_of(const InferRow& row, double replicas) {
  Traffic traffic{.input = row.input, .output = row.output, .input_spread = row.spread, .output_spread = row.spread};
  double requests = kOfflineMin;
  traffic.beams = row.beams;
  traffic.rate = row.load.rate / replicas;
  if (row.load.concurrency > 0) {
    traffic.concurrency = std::max(1.0, row.load.concurrency / replicas);
    requests = std::clamp(kPerClient * traffic.concurrency, 10.0, std::max(4000.0, 3 * traffic.concurrency));
  } else if (row.load.rate > 0) {
    requests = 500;
  } else if (row.load.queued > 0) {
    requests = row.load.queued / replicas;
  }
  if (row.load.requests > 0) { requests = row.load.requests / replicas; }
  traffic.requests = std::clamp<std::int64_t>(std::llround(requests), 1, kRequestsMax);
  return traffic;
}

/// As many clients as the limit on a token's time allows, by bisection.
ServeRun run_at_most(const InferRow& row, const ServeEstimator& estimator, Traffic traffic) {
  const double limit = row.load.itl_limit > 0 ? row.load.itl_limit : kSuiteToken / kTailOverMean;
  double low = 1, high = std::min(4096.0, estimator.sequences_held(row.input + row.output));
  for (int i = 0; i < 9 && high > low * 1.02 + 1; ++i) {
    const double middle = std::floor((low + high) / 2);
    traffic.concurrency = middle;
    traffic.requests = std::llround(3 * middle);
    (serve_run(estimator, traffic).itl.mean.value <= limit ? low : high) = middle;
  }
  traffic.concurrency = low;
  traffic.requests = std::llround(6 * low);
  return serve_run(estimator, traffic);
}

Result<RowRun> run_on(const InferRow& row, const ServeLayout& layout, const Engine& engine) {
  const ServeEstimator estimator(row.model, row.island, engine, layout, row.speculation);
  // It ran, so it did fit: what is short by a little is our count of it.
  if (estimator.memory().needed().value > kShort * estimator.memory().capacity.value) {
    return fail(ErrorKind::invalid, fmt::format("does not fit: {:.1f} GiB a chip for weights and work, and a request's cache, of {:.1f}",
                                                estimator.memory().needed().value / 0x1p30, estimator.memory().capacity.value / 0x1p30));
  }
  RowRun result;
  result.chips = std::max(row.chips, static_cast<double>(layout.chips()));
  result.replicas = std::max(1.0, std::floor(result.chips / static_cast<double>(layout.chips())));
  Traffic traffic = traffic_of(row, result.replicas);
  if (row.load.queued < 0 && row.load.requests <= 0) {
    // Enough to fill the largest batch several times.
    const double batch = std::min(estimator.sequences_held(row.input + row.output), engine.sequences_max);
    traffic.requests = std::clamp<std::int64_t>(std::llround(kFillings * batch), kOfflineMin, kOfflineMax);
  }
  if (row.load.concurrency > 0 && row.load.rate > 0) {
    // A rate, with a limit on how many are inside: whichever binds.
    result.run = serve_run(estimator, traffic);
    if (result.run.requests.value <= traffic.rate) { return result; }
    traffic.concurrency = 0;
  }
  const bool at_most = row.load.itl_limit > 0 || row.load.server;
  if (!at_most) {
    result.run = serve_run(estimator, traffic);
    return result;
  }
  result.run = run_at_most(row, estimator, traffic);
  if (row.load.target > 0) {
    // A suite's server mode is run as fast as its limits allow: the rate is what was asked for, the pace of tokens that of the limit.
    traffic.rate = row.load.target * row.beams / result.replicas;
    traffic.requests = std::clamp<std::int64_t>(std::llround(kServerSeconds * traffic.rate), 1000, 12'000);
    traffic.warm = 0.25;
    const Quantiles pace = result.run.itl;
    result.run = serve_run(estimator, traffic);
    if (result.run.itl.mean < pace.mean) { result.run.itl = pace; }
    // It was valid, so no queue grew: a request waits for half of an iteration at that pace and for its own, which its prompt makes longer.
    const double waited = kSuiteIterations * result.run.itl.mean.value;
    Seconds& first = result.run.ttft.mean;
    if (first.value < waited || first.value > kSuiteFirst) { first = {std::min(waited, kSuiteFirst)}; }
  }
  return result;
}

Result<RowRun> run_pools(const InferRow& row) {
  const Island& island = row.island;
  const ServeEstimator prefill(row.model, island, *row.engine, row.prefill);
  Engine decoding = *row.engine;
  if (row.workers_guessed && row.load.concurrency > 0 && decoding.key == "trtllm") {
    // Recipes for its graphs of fixed batch sizes give decoders fewer slots than there are clients: some wait at all times.
    const double ranks = std::max(1.0, row.decode_workers) * static_cast<double>(row.layout.dp);
    decoding.sequences_max = std::max(1.0, std::floor(row.load.concurrency / kClientsPerSlot / ranks));
  }
  const ServeEstimator decode(row.model, island, decoding, row.layout, row.speculation);
  const auto too_large = [](const ServeEstimator& e) { return e.memory().needed().value > kShort * e.memory().capacity.value; };
  if (too_large(prefill) || too_large(decode)) {
    return fail(ErrorKind::invalid, "does not fit: weights, work and a request's cache need more than a chip has");
  }
  Disaggregated pools{.prefill_replicas = row.prefill_workers, .decode_replicas = row.decode_workers};
  pools.transfer = island.chip.scale_out.bandwidth.value;
  pools.latency = Seconds{2e-3};
  RowRun result;
  Traffic traffic = traffic_of(row, 1);
  if (pools.decode_replicas <= 0) { pools.decode_replicas = 1; }
  if (pools.prefill_replicas <= 0) {
    // As many as keep up with the decoding side.
    pools.prefill_replicas = 64;
    const ServeRun free_run = serve_run(prefill, decode, pools, traffic);
    const Traffic one{.input = row.input, .output = 1, .requests = 8};
    const double each = serve_run(prefill, one).requests.value;
    pools.prefill_replicas = std::max(1.0, std::ceil(free_run.requests.value / each / 0.9));
  }
  result.run = serve_run(prefill, decode, pools, traffic);
  result.chips =
      pools.prefill_replicas * static_cast<double>(row.prefill.chips()) + pools.decode_replicas * static_cast<double>(row.layout.chips());
  return result;
}

/// A deployment of `row.whole` chips: decoders on a power of two of them, prefill on the others, split for most tokens a second.
Result<RowRun> run_whole(const InferRow& row) {
  constexpr std::int64_t kNode = 8;
  Result<RowRun> best = fail(ErrorKind::invalid, "does not fit in any split of its chips");
  for (std::int64_t decoding = 4; decoding < row.whole; decoding *= 2) {
    InferRow split = row;
    split.whole = 0;
    split.disaggregated = true;
    const std::int64_t rest = row.whole - decoding;
    for (std::int64_t width = 4; width <= kNode && width <= rest; width *= 2) {
      split.prefill.tp = split.prefill.pp = 1;
      split.prefill.dp = split.prefill.ep = width;
      const std::int64_t prefills = rest / width;
      split.prefill_workers = static_cast<double>(prefills);
      const bool copies = row.load.concurrency / static_cast<double>(decoding) >= kWideCopiesFrom;
      split.layout.pp = 1;
      split.layout.tp = copies ? 1 : std::min(kNode, decoding);
      split.layout.dp = copies ? decoding : 1;
      split.layout.ep = copies ? decoding : 1;
      const std::int64_t decoders = decoding / split.layout.ranks();
      split.decode_workers = static_cast<double>(decoders);
      if (!fault_of(split.layout, row.model, row.island).empty() || !fault_of(split.prefill, row.model, row.island).empty()) { continue; }
      const Result<RowRun> run = run_pools(split);
      if (run && (!best || run->run.output.value > best->run.output.value)) { best = run; }
      if (run) { break; }  // the narrowest prefill worker that holds the weights
    }
  }
  return best;
}

/// Between two runs: what cannot be told apart.
void halfway(ServeRun& run, const ServeRun& other) {
  const auto mean = [](auto& a, const auto& b) { a = {std::sqrt(a.value * b.value)}; };
  for (const auto part : {&ServeRun::ttft, &ServeRun::itl}) {
    for (const auto quantile : {&Quantiles::mean, &Quantiles::p50, &Quantiles::p95, &Quantiles::p99}) {
      mean(run.*part.*quantile, other.*part.*quantile);
    }
  }
  mean(run.output, other.output);
  mean(run.requests, other.requests);
}

/// Everything that a run depends on.
std::string key_of(const InferRow& row) {
  const auto layout = [](const ServeLayout& l) { return fmt::format("{} ep{} cache{}", to_text(l), l.ep, l.cache_bytes); };
  const RowLoad& l = row.load;
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}", row.model.name,
                     row.island.chip.key, row.engine->key, layout(row.layout), layout(row.prefill), row.disaggregated, row.layout_stated,
                     row.prefill_workers, row.decode_workers, row.chips, row.input, row.output, row.spread, row.beams, l.concurrency,
                     l.rate, l.queued, l.batch, l.target, l.itl_limit, l.requests, l.single, l.server, row.model.kinds.front().mixer.window,
                     row.speculation.draft, row.perhaps_speculative, row.whole);
}

}  // namespace

Result<RowRun> run_infer_row(const InferRow& row) {
  if (row.perhaps_speculative) {
    InferRow plain = row;
    plain.perhaps_speculative = false;
    Result<RowRun> with = run_infer_row(plain);
    plain.speculation = {};
    TRY_ASSIGN(RowRun without, run_infer_row(plain));
    if (with) { halfway(without.run, with->run); }
    return without;
  }
  if (row.whole > 0) { return run_whole(row); }
  if (row.disaggregated) {
    Result<RowRun> run = run_pools(row);
    if (run || !row.workers_guessed) { return run; }
    // Workers that are too narrow to hold the model: the width is not what the row says. A whole domain of chips, as recipes use.
    InferRow whole = row;
    whole.whole = std::max<std::int64_t>(16, row.island.domain);
    return run_whole(whole);
  }
  Engine engine = *row.engine;
  // A beam is a sequence of its own to the cache and to the GEMMs; the prompt and its cache are shared by all beams of an answer.
  InferRow asked = row;
  if (row.beams > 1) {
    for (double* load : {&asked.load.concurrency, &asked.load.rate}) { *load *= row.beams; }
  }
  if (row.load.batch > 0) {
    asked.load.concurrency = row.load.batch;
    engine.batching = Batching::fixed;
    engine.sequences_max = std::max(engine.sequences_max, row.load.batch);
  }
  if (row.layout_stated) { return run_on(asked, asked.layout, engine); }
  // The layout is not stated: the one with the most tokens a second, as those who publish choose it.
  if (row.load.single) {
    // One stream over several chips: layers are divided, one chip works at a time.
    asked.layout.pp = static_cast<std::int64_t>(std::max(1.0, row.chips));
    return run_on(asked, asked.layout, engine);
  }
  if (row.load.batch > 0) {
    asked.layout.tp = static_cast<std::int64_t>(std::max(1.0, row.chips));
    return run_on(asked, asked.layout, engine);
  }
  Result<RowRun> best = fail(ErrorKind::invalid, "does not fit in any layout of its chips");
  for (const ServeLayout& layout : choices(row)) {
    if (!fault_of(layout, row.model, row.island).empty()) { continue; }
    Result<RowRun> run = run_on(asked, layout, engine);
    if (!run) { continue; }
    if (!best || run->run.output.value * run->replicas > best->run.output.value * best->replicas) { best = std::move(run); }
  }
  return best;
}

RowPrediction prediction_of(const InferRow& row, const Result<RowRun>& run) {
  RowPrediction out{.kind = row.kind, .note = row.inferred};
  if (!run) {
    out.note += run.error().message();
    return out;
  }
  const double output = run->run.output.value * run->replicas / row.beams, requests = run->run.requests.value * run->replicas / row.beams;
  if (row.kind == "output_tok_s_total") {
    out.value = output;
  } else if (row.kind == "output_tok_s_per_gpu") {
    out.value = output / run->chips;
  } else if (row.kind == "total_tok_s_total") {
    out.value = requests * row.input + output;
  } else if (row.kind == "total_tok_s_per_gpu") {
    out.value = (requests * row.input + output) / run->chips;
  } else if (row.kind == "ttft_ms") {
    out.value = run->run.ttft.mean.value * 1e3;
  } else if (row.kind == "itl_ms" || row.kind == "tpot_ms") {
    out.value = run->run.itl.mean.value * 1e3;
  } else if (row.kind == "req_s") {
    out.value = requests;
  } else {
    out.note += fmt::format("measured_kind '{}' is not known: output_tok_s_total, output_tok_s_per_gpu, ttft_ms, itl_ms, req_s",
                            row.kind.substr(0, 40));
    return out;
  }
  out.ok = std::isfinite(out.value) && out.value > 0;
  if (!out.ok) { out.note += "no such figure comes of this load"; }
  while (out.note.ends_with(' ') || out.note.ends_with(';')) { out.note.pop_back(); }
  return out;
}

std::vector<RowPrediction> predict_infer_rows(const CsvTable& table, const Catalogue& catalogue, const std::vector<Engine>& engines) {
  std::vector<RowPrediction> predictions;
  std::map<std::string, Result<RowRun>> runs;
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const auto row = read_infer_row(table, i, catalogue, engines);
    if (!row) {
      predictions.push_back({.kind = std::string(table.cell(i, "measured_kind")), .note = row.error().message()});
      continue;
    }
    const std::string key = key_of(*row);
    auto found = runs.find(key);
    if (found == runs.end()) { found = runs.emplace(key, run_infer_row(*row)).first; }
    predictions.push_back(prediction_of(*row, found->second));
  }
  return predictions;
}

}  // namespace centrale
