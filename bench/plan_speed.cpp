// SPDX-License-Identifier: Apache-2.0
// How fast the planner is, on one core, as one flat JSON object on stdout. Seconds are of the processor that this one thread had, so that
// other work on the machine does not count:
//   search_1t_100k_s   s for the best five layouts of a 1-trillion-parameter mixture of experts (kimi-k2) on 100,000 H100, batch 16.8M
//   tokens search_evaluated   layouts whose time that search computed; search_pruned: branches that it never opened layouts_per_s layouts
//   whose step time and memory are computed a second when nothing is pruned (all layouts of kimi-k2 on 32 chips) calculon_ratio     against
//   Calculon's 1.55 ms a configuration on one core: the authors' own figure (Isaev et al., "Calculon: a
//                      methodology and tool for high-level codesign of systems and large language models", SC 2023)
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#include "base/ensure.hpp"
#include "fleet/catalogue.hpp"
#include "fleet/fleet.hpp"
#include "model/read.hpp"
#include "plan/train.hpp"
#include "plan/train_search.hpp"

namespace centrale {
namespace {

double seconds_since(std::clock_t start) { return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC; }

struct Searched {
  double seconds = 0;
  SearchCount count;
};

/// The median of five.
Searched search_1t_100k() {
  TrainRequest request;
  request.model = *catalogue_model("kimi-k2");
  request.fleet = *fleet_of("h100-sxmx100000", default_catalogue());
  request.stack = *stack_named("megatron-core", default_stacks());
  request.sequence = 4096;
  request.global_batch = 4096;
  request.tokens = 15e12;
  std::vector<Searched> runs(5);
  for (Searched& run : runs) {
    const auto start = std::clock();
    const auto plans = plan_train(request, &run.count);
    run.seconds = seconds_since(start);
    ensure(plans.has_value() && plans->size() == request.plans);
  }
  std::sort(runs.begin(), runs.end(), [](const Searched& a, const Searched& b) { return a.seconds < b.seconds; });
  return runs[runs.size() / 2];
}

/// Everything, nothing pruned: each layout's step and memory.
Searched every_layout() {
  const Model model = *catalogue_model("kimi-k2");
  const Fleet fleet = *fleet_of("h100-sxmx32", default_catalogue());
  const Stack stack = *stack_named("megatron-core", default_stacks());
  const TrainRun run{.sequence = 4096, .global_batch = 64};
  TrainLimits limits;
  limits.pp_max = 8;
  limits.recompute_by_layer = false;
  Searched searched;
  const auto start = std::clock();
  TrainEstimator estimator(model, fleet.islands[0], stack, run);
  (void)planning::best_layouts({.estimator = estimator,
                                .model = model,
                                .run = run,
                                .island = fleet.islands[0],
                                .limits = limits,
                                .capacity = estimator.capacity().value,
                                .prune = false},
                               searched.count);
  searched.seconds = seconds_since(start);
  return searched;
}

}  // namespace
}  // namespace centrale

int main() {
  const centrale::Searched search = centrale::search_1t_100k();
  const centrale::Searched every = centrale::every_layout();
  const double rate = static_cast<double>(every.count.evaluated) / every.seconds;
  constexpr double kCalculon = 1.55e-3;  // s a configuration
  fmt::print(
      "{{\"search_1t_100k_s\": {:.4f}, \"search_evaluated\": {}, \"search_pruned\": {}, \"layouts_per_s\": {:.0f}, "
      "\"layouts_measured\": {}, \"calculon_ratio\": {:.0f}}}\n",
      search.seconds, search.count.evaluated, search.count.pruned, rate, every.count.evaluated, rate * kCalculon);
  return 0;
}
