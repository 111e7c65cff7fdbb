// SPDX-License-Identifier: Apache-2.0
// Request-level serving in the twin: routers, and fixed replicas against scaled ones, on recorded requests. Tables on stderr, one flat JSON
// object on stdout. Seconds are of the processor that this one thread had.
//
//   serve_twin FOLDER     every *.csv and *.jsonl in it, llama-3.1-70b on 4 H100 each replica, vLLM
//
//   NAME_s                one run of the trace over 8 to 16 replicas (prefix routing)
//   NAME_<router>_…       ttft, itl: p95 in s, attained: share within 2 s and 50 ms (10 s and 100 ms where prompts are long), cached: part
//   of prompt tokens, imbalance NAME_scaled_hours     replica-hours, autoscaled; NAME_fixed_hours: of the fewest fixed replicas that keep
//   95% within the level
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fleet/catalogue.hpp"
#include "fleet/fleet.hpp"
#include "model/read.hpp"
#include "simulate/serving_run.hpp"

namespace centrale {
namespace {

constexpr ServiceLevel kLevel{.ttft = milliseconds(2000), .itl = milliseconds(50)};
// Prompts of 85,000 tokens take 8 s alone.
constexpr ServiceLevel kLongLevel{.ttft = milliseconds(10'000), .itl = milliseconds(100)};
constexpr std::int64_t kLongPrompt = 32'768;
constexpr double kObjective = 0.95;
constexpr std::int64_t kReplicasMax = 32;

double seconds_since(std::clock_t start) { return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC; }

std::shared_ptr<const ReplicaModel> replica() {
  const Fleet fleet = *fleet_of("h100-sxmx4", default_catalogue());
  const ServeEstimator estimator(*catalogue_model("llama-3.1-70b"), fleet.islands.front(), *engine_named("vllm", default_engines()),
                                 {.tp = 4, .weights = weight_format_like("bf16")});
  return *EstimatedReplica::make(estimator);
}

class Figures {
 public:
  void add(const std::string& name, double value) { json_ += fmt::format("{}\"{}\": {:.6g}", json_.empty() ? "" : ", ", name, value); }
  void print() const { fmt::print("{{{}}}\n", json_); }

 private:
  std::string json_;
};

void row(const std::string& name, const ServingResult& r) {
  const auto ms = [](Nanos span) { return to_seconds(span) * 1e3; };
  fmt::print(stderr,
             "  {:<24} ttft p50 {:>7.0f} p95 {:>7.0f} p99 {:>7.0f} ms  itl p50 {:>5.1f} p95 {:>5.1f} p99 {:>5.1f} ms  longest p99 {:>6.0f} "
             "ms  e2e p95 {:>6.1f} s  within {:5.1f}%  cached {:4.1f}%  "
             "imbalance {:.2f}  {:.2f} replica-h  preempted {}  refused {}\n",
             name, ms(r.ttft.quantile(0.5)), ms(r.ttft.quantile(0.95)), ms(r.ttft.quantile(0.99)), ms(r.itl.quantile(0.5)),
             ms(r.itl.quantile(0.95)), ms(r.itl.quantile(0.99)), ms(r.itl_max.quantile(0.99)), to_seconds(r.e2e.quantile(0.95)),
             100 * r.attainment(),
             100 * static_cast<double>(r.cached_tokens) / static_cast<double>(std::max<std::int64_t>(1, r.prompt_tokens)), r.imbalance,
             r.replica_hours, r.preemptions, r.refused_full + r.refused_long);
}

void bench(const std::string& name, const RequestTrace& trace, const std::shared_ptr<const ReplicaModel>& model, Figures& figures,
           Nanos day = seconds(86400)) {
  const bool is_long =
      std::any_of(trace.requests.begin(), trace.requests.end(), [](const TraceRequest& r) { return r.prompt > kLongPrompt; });
  const ServiceLevel level = is_long ? kLongLevel : kLevel;
  const ReplicaCapacity capacity = replica_capacity(trace, model, level, kObjective, 1);
  fmt::print(stderr, "{}: {} requests, {:.3f} of the blocks reusable; a replica carries {:.0f} tokens/s, {:.0f} in flight\n", name,
             trace.requests.size(), reusable_blocks(trace), capacity.tokens_per_s, capacity.tokens_in_flight);
  ServingOptions options;
  options.level = level;
  options.routing = Routing::prefix;
  // The fewest fixed replicas that keep the level.
  std::int64_t low = 0, high = kReplicasMax;
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    const bool keeps = run_service(trace, model, options, {.replicas = middle, .autoscale = {}, .capacity = {}}).attainment() >= kObjective;
    (keeps ? high : low) = middle;
  }
  for (const std::int64_t replicas : {std::clamp<std::int64_t>(high, 2, 16)}) {
    for (std::size_t i = 0; i < kEnumNames<Routing>.size(); ++i) {
      options.routing = static_cast<Routing>(i);
      const auto r = run_service(trace, model, options, {.replicas = replicas, .autoscale = {}, .capacity = {}});
      const std::string key = fmt::format("{}_{}", name, kEnumNames<Routing>[i]);
      row(fmt::format("{} x{}", kEnumNames<Routing>[i], replicas), r);
      figures.add(key + "_ttft_p95", to_seconds(r.ttft.quantile(0.95)));
      figures.add(key + "_itl_p95", to_seconds(r.itl.quantile(0.95)));
      figures.add(key + "_attained", r.attainment());
      figures.add(key + "_cached", static_cast<double>(r.cached_tokens) / static_cast<double>(std::max<std::int64_t>(1, r.prompt_tokens)));
      figures.add(key + "_imbalance", r.imbalance);
    }
  }
  options.routing = Routing::prefix;
  const std::int64_t timed = std::clamp<std::int64_t>(high, 8, 16);
  const auto start = std::clock();
  const auto speed = run_service(trace, model, options, {.replicas = timed, .autoscale = {}, .capacity = {}});
  figures.add(name + "_s", seconds_since(start));
  row(fmt::format("timed x{}: {:.2f} s", timed, seconds_since(start)), speed);
  const auto fixed = run_service(trace, model, options, {.replicas = high, .autoscale = {}, .capacity = {}});
  row(fmt::format("fixed x{}", high), fixed);
  figures.add(name + "_fixed_hours", fixed.replica_hours);
  figures.add(name + "_fixed_attained", fixed.attainment());
  if (capacity.tokens_per_s <= 0) { return; }
  AutoscaleOptions scaling;
  scaling.max = kReplicasMax;
  scaling.objective = kObjective;
  scaling.patience = seconds(300);
  scaling.day = day;
  const auto scaled =
      run_service(trace, model, options, {.replicas = std::max<std::int64_t>(1, high / 2), .autoscale = scaling, .capacity = capacity});
  row("scaled", scaled);
  figures.add(name + "_scaled_hours", scaled.replica_hours);
  figures.add(name + "_scaled_attained", scaled.attainment());
}

}  // namespace
}  // namespace centrale

int main(int argc, char** argv) {
  using namespace centrale;
  if (argc < 2) {
    fmt::print(stderr, "serve_twin FOLDER\n");
    return 64;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (entry.path().extension() == ".csv" || entry.path().extension() == ".jsonl") { files.push_back(entry.path()); }
  }
  std::sort(files.begin(), files.end());
  const auto model = replica();
  Figures figures;
  for (const auto& path : files) {
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    RequestOptions options;
    options.rate = 5;  // for lengths without arrivals
    const auto trace = read_requests(text, path.filename().string(), options);
    if (!trace) {
      fmt::print(stderr, "{}\n", trace.error().message());
      return 65;
    }
    std::string name = path.stem().string();
    std::replace(name.begin(), name.end(), ' ', '_');
    bench(name, *trace, model, figures);
    if (name.find("conv_2023") == std::string::npos) { continue; }
    // Two short days of its requests: what scaling saves where load swings.
    GenerateOptions days;
    days.arrivals = Arrivals::diurnal;
    days.rate = 20;
    days.day = seconds(4 * 3600);
    days.duration = days.day * 2;
    const auto drawn = generate_requests(*trace, days);
    if (drawn) { bench("two_days", *drawn, model, figures, days.day); }
  }
  figures.print();
  return 0;
}
