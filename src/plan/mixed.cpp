// SPDX-License-Identifier: Apache-2.0
#include "plan/mixed.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "plan/mixed_data.hpp"
#include "plan/mixed_pipeline.hpp"
#include "plan/train_search.hpp"

namespace centrale::planning {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Of so many islands every set is tried, and of so many every grouping of each set; of more the fastest 2, 3, 4, 5, 10, 20, …, each by
// itself or the first few as one pipeline.
constexpr std::size_t kSubsetsMax = 5, kGroupingsMax = 3;
// Shares of the batch tried of each group where all are single islands, and where pipelines, which take longer to judge, are among them.
constexpr std::size_t kSharesTried = 12, kSharesTriedOfPipelines = 4;

double as_double(std::int64_t n) { return static_cast<double>(n); }

// Of a step: what waiting for links may take before pipelines within data-parallel groups are looked for.
constexpr double kCheapLinks = 0.02;

using Group = std::vector<std::size_t>;  // islands, ascending

class Mixer {
 public:
  Mixer(const TrainRequest& request, double worst, SearchCount& count) : r_(request), islands_(request), worst_(worst), count_(count) {}

  std::vector<TrainPlan> run() {
    for (const Group& islands : sets()) {
      for (const auto& groups : groupings(islands)) { join(groups); }
    }
    return std::move(plans_);
  }

 private:
  [[nodiscard]] double speed(std::size_t island) {
    return 1 / islands_.estimator(island, r_.global_batch).lower_bound(islands_.island(island).chips, r_.limits.precisions[0]).value;
  }

  /// Sets of two or more islands.
  std::vector<Group> sets() {
    std::vector<Group> all;
    const std::size_t n = islands_.size();
    if (n <= kSubsetsMax) {
      for (std::size_t mask = 1; mask < (std::size_t{1} << n); ++mask) {
        Group g;
        for (std::size_t i = 0; i < n; ++i) {
          if ((mask >> i & 1U) != 0) { g.push_back(i); }
        }
        if (g.size() > 1) { all.push_back(std::move(g)); }
      }
      return all;
    }
    Group fastest(n);
    for (std::size_t i = 0; i < n; ++i) { fastest[i] = i; }
    std::stable_sort(fastest.begin(), fastest.end(), [&](std::size_t a, std::size_t b) { return speed(a) > speed(b); });
    for (std::size_t k = 2;; k = std::min(n, k < kSubsetsMax ? k + 1 : 2 * k)) {
      Group g(fastest.begin(), fastest.begin() + static_cast<std::ptrdiff_t>(k));
      std::sort(g.begin(), g.end());
      all.push_back(std::move(g));
      if (k == n) { break; }
    }
    return all;
  }

  /// Ways to divide a set into groups: each by itself; all in one; for small sets everything between.
  [[nodiscard]] std::vector<std::vector<Group>> groupings(const Group& islands) const {
    std::vector<std::vector<Group>> all;
    if (islands_.size() > kGroupingsMax) {
      std::vector<Group> each;
      for (const std::size_t i : islands) { each.push_back({i}); }
      all.push_back(std::move(each));
      if (islands.size() <= kPipelineMax) { all.push_back({islands}); }
      return all;
    }
    std::vector<Group> groups;
    divide(islands, 0, groups, all);
    // Many groups first: they are quick to judge, and what they reach bounds the search of pipelines.
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
    return all;
  }

  static void divide(const Group& islands, std::size_t next, std::vector<Group>& groups, std::vector<std::vector<Group>>& all) {
    if (next == islands.size()) {
      all.push_back(groups);
      return;
    }
    for (std::size_t g = 0; g < groups.size(); ++g) {
      if (groups[g].size() == kPipelineMax) { continue; }
      groups[g].push_back(islands[next]);
      divide(islands, next + 1, groups, all);
      groups[g].pop_back();
    }
    groups.push_back({islands[next]});
    divide(islands, next + 1, groups, all);
    groups.pop_back();
  }

  void join(const std::vector<Group>& groups) {
    if (groups.size() == 1) {
      if (const Shared* s = best_of(groups[0], r_.global_batch, worst_); s != nullptr && s->seconds <= worst_) { add_pipeline(*s); }
      return;
    }
    // What adding up the gradients shows at least: the last layer's part has nothing to hide behind, nor what the drag costs.
    const double gradients = gradients_across(islands_, groups).value;
    if (gradients / as_double(r_.model.depth()) >= worst_) { return; }
    const bool pipelines = std::any_of(groups.begin(), groups.end(), [](const Group& g) { return g.size() > 1; });
    if (pipelines && links_are_cheap(groups)) { return; }
    std::vector<double> speeds;
    for (const Group& g : groups) {
      double sum = 0;
      for (const std::size_t i : g) { sum += speed(i); }
      speeds.push_back(sum);
    }
    const ShareTime time = [&](std::size_t group, std::int64_t sequences, double worst) {
      const Shared* s = best_of(groups[group], sequences, worst);
      return s == nullptr ? kInfinity : s->seconds;  // NOLINT(bugprone-narrowing-conversions): double is double
    };
    const std::size_t tried = pipelines ? kSharesTriedOfPipelines : kSharesTried;
    if (const auto shares = share_batch(r_.global_batch, speeds, time, worst_, tried)) { add_data(groups, *shares, gradients); }
  }

  /// Whether all of these islands are in one data-parallel plan already that hardly waits for their links: pipelines within it would save
  /// no more than that wait.
  [[nodiscard]] bool links_are_cheap(const std::vector<Group>& groups) const {
    std::size_t islands = 0;
    for (const Group& g : groups) { islands += g.size(); }
    return std::any_of(plans_.begin(), plans_.end(), [&](const TrainPlan& plan) {
      return plan.joined == Joined::data && plan.parts.size() == islands && plan.links.value <= kCheapLinks * plan.step.value;
    });
  }

  /// The best way of a group; null where there is none, or none below `worst`.
  const Shared* best_of(const Group& group, std::int64_t sequences, double worst) {
    const auto key = std::pair(group.size() == 1 ? Group{like(group[0])} : group, sequences);
    const auto found = known_.find(key);
    // A failure below one bound says nothing of a later, wider one.
    if (found != known_.end() && (found->second.best || found->second.worst >= worst)) {
      return found->second.best ? &*found->second.best : nullptr;
    }
    Known known{.best = group.size() == 1 ? best_alone(key.first[0], sequences, worst) : best_ordered(group, sequences, worst),
                .worst = worst};
    const auto at = known_.insert_or_assign(key, std::move(known)).first;
    return at->second.best ? &*at->second.best : nullptr;
  }

  /// The first island like this one: what is known of it holds for both.
  [[nodiscard]] std::size_t like(std::size_t island) const {
    for (std::size_t i = 0; i < island; ++i) {
      if (alike(islands_.island(i), islands_.island(island))) { return i; }
    }
    return island;
  }

  static bool alike(const Island& a, const Island& b) {
    const Network &x = a.network, &y = b.network;
    return a.chip.key == b.chip.key && a.chip.memory.value == b.chip.memory.value && a.chips == b.chips && a.domain == b.domain &&
           a.chips_per_node == b.chips_per_node && x.kind == y.kind && x.bandwidth == y.bandwidth && x.latency == y.latency &&
           x.leaf == y.leaf && x.spine == y.spine && x.oversubscription == y.oversubscription && x.in_network == y.in_network &&
           x.torus == y.torus;
  }

  std::optional<Shared> best_alone(std::size_t island, std::int64_t sequences, double worst) {
    TrainEstimator& estimator = islands_.estimator(island, sequences);
    const TrainRun run{.sequence = r_.sequence, .global_batch = sequences, .lora_rank = r_.lora_rank};
    const Search search{.estimator = estimator,
                        .model = r_.model,
                        .run = run,
                        .island = islands_.island(island),
                        .limits = r_.limits,
                        .capacity = islands_.capacity(island),
                        .keep = 1,
                        .worst = worst == kInfinity ? 0 : worst};
    if (!some_layout_that_fits(search)) { return std::nullopt; }
    const std::vector<Candidate> best = best_layouts(search, count_);
    if (best.empty()) { return std::nullopt; }
    Shared s;
    TrainPart part;
    part.island = island;
    part.layout = best[0].layout;
    part.sequences = sequences;
    part.estimate = estimator.estimate(part.layout);
    s.seconds = part.estimate.step.value;
    s.by_part = part.estimate.parts;
    s.backward = (part.estimate.parts.backward + part.estimate.parts.recompute).value / as_double(part.estimate.microbatches);
    s.parts.push_back(std::move(part));
    return s;
  }

  /// The faster islands first, and last: they differ in who holds embedding and head, and in who keeps most micro-batches alive.
  std::optional<Shared> best_ordered(const Group& group, std::int64_t sequences, double worst) {
    std::optional<Shared> best;
    Group order = group;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return speed(a) > speed(b); });
    for (int turn = 0; turn < 2; ++turn, std::reverse(order.begin(), order.end())) {
      if (turn == 1 && order.size() == 2 && alike(islands_.island(order[0]), islands_.island(order[1]))) { break; }
      if (auto s = best_pipeline(islands_, order, sequences, worst, count_)) {
        worst = std::min(worst, s->seconds);
        if (!best || s->seconds < best->seconds) { best = std::move(s); }
      }
    }
    return best;
  }

  void add_pipeline(const Shared& s) {
    TrainPlan plan;
    plan.joined = Joined::pipeline;
    plan.parts = s.parts;
    plan.step.value = s.seconds;
    plan.by_part = s.by_part;
    plan.links.value = s.links;
    note(plan, s);
    add(std::move(plan));
  }

  /// Each plan is the best of its kind: what follows must beat it.
  void add(TrainPlan plan) {
    worst_ = std::min(worst_, plan.step.value);
    plans_.push_back(std::move(plan));
  }

  void add_data(const std::vector<Group>& groups, const Shares& shares, double gradients) {
    TrainPlan plan;
    plan.joined = Joined::data;
    double backward = kInfinity;
    const Shared* slowest = nullptr;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      const Shared* s = best_of(groups[g], shares.sequences[g], kInfinity);
      if (s == nullptr) { return; }
      if (slowest == nullptr || s->seconds > slowest->seconds) { slowest = s; }
      backward = std::min(backward, s->backward);
      plan.parts.insert(plan.parts.end(), s->parts.begin(), s->parts.end());
      if (groups[g].size() == 1) { plan.parts.back().island = groups[g][0]; }
      note(plan, *s);
    }
    // As estimate() counts overlap: the last micro-batch's backward pass hides a part; the first layer's gradients find nothing to hide
    // behind.
    const double layers = as_double(r_.model.depth());
    const double hidden = std::min(gradients * (1 - 1 / layers), r_.stack.dp_overlap * backward);
    const double shown = gradients - hidden + r_.stack.overlap_drag * hidden;
    plan.by_part = slowest->by_part;
    plan.by_part.dp.value += shown;
    plan.links.value = slowest->links + shown;
    plan.step = plan.by_part.total();
    if (plan.step.value <= worst_) { add(std::move(plan)); }
  }

  static void note(TrainPlan& plan, const Shared& s) {
    if (s.cut_short) {
      plan.notes.emplace_back("the search of pipelines over several islands stopped at its limit of work: a better one may exist");
    }
  }

  struct Known {
    std::optional<Shared> best;
    double worst = 0;  // that the search was bounded by
  };

  const TrainRequest& r_;
  Islands islands_;
  double worst_;
  SearchCount& count_;
  std::map<std::pair<Group, std::int64_t>, Known> known_;
  std::vector<TrainPlan> plans_;
};

}  // namespace

std::vector<TrainPlan> mixed_plans(const TrainRequest& request, double worst, SearchCount& count) {
  return Mixer(request, worst, count).run();
}

}  // namespace centrale::planning
