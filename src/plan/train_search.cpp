// SPDX-License-Identifier: Apache-2.0
#include "plan/train_search.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <queue>
#include <tuple>

#include "base/ensure.hpp"

namespace centrale {

bool simpler(const Layout& a, const Layout& b) {
  const auto key = [](const Layout& l) {
    return std::tuple(l.chips(), l.pp, l.tp, l.cp, l.ep, l.etp, l.interleave, l.schedule, l.zero, l.shard, l.recompute, l.layers_recomputed,
                      l.offload, l.micro_batch, l.sequence_parallel, l.precision);
  };
  return key(a) < key(b);
}

namespace planning {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Bounds and times are sums in different orders: a bound must be above the best by more than their rounding.
constexpr double kRounding = 1 - 1e-9;
// Wider than what the estimator's keys hold (train.cpp), and than what anybody runs.
constexpr std::int64_t kTpMax = 255, kCpMax = 16383, kEpMax = 4095, kMicroBatchMax = 16383;

std::int64_t limited(std::int64_t limit, std::int64_t most) { return limit > 0 ? std::min(limit, most) : most; }

template <class T>
bool has(const std::vector<T>& list, T value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

std::vector<std::int64_t> up_to(std::vector<std::int64_t> list, std::int64_t most) {
  std::erase_if(list, [&](std::int64_t n) { return n > most; });
  return list;
}

}  // namespace

bool better(const Candidate& a, const Candidate& b) {
  if (a.seconds != b.seconds) { return a.seconds < b.seconds; }
  return simpler(a.layout, b.layout);
}

std::vector<std::int64_t> divisors(std::int64_t n) {
  std::vector<std::int64_t> low, high;
  for (std::int64_t d = 1; d * d <= n; ++d) {
    if (n % d != 0) { continue; }
    low.push_back(d);
    if (d != n / d) { high.push_back(n / d); }
  }
  low.insert(low.end(), high.rbegin(), high.rend());
  return low;
}

Space space_of(const Model& model, const TrainRun& run, const Island& island, const TrainLimits& limits) {
  Space space;
  space.chips = limited(limits.chips_max, island.chips);
  space.depth = model.depth();
  std::int64_t heads = 0, experts = 0;
  for (const Block& block : model.kinds) {
    if (block.mixer.kind != MixerKind::none) { heads = heads == 0 ? block.mixer.heads : std::min(heads, block.mixer.heads); }
    experts = std::max(experts, block.ffn.experts);
  }
  space.has_experts = experts > 0;
  space.tp = up_to(divisors(heads > 0 ? heads : model.hidden), std::min(limited(limits.tp_max, kTpMax), space.chips));
  for (const std::int64_t cp : up_to(divisors(run.sequence), std::min(limited(limits.cp_max, kCpMax), space.chips))) {
    if (cp == 1 || run.sequence % (2 * cp) == 0) { space.cp.push_back(cp); }
  }
  space.pp.resize(static_cast<std::size_t>(std::min(limited(limits.pp_max, space.depth), space.chips)));
  std::iota(space.pp.begin(), space.pp.end(), 1);
  space.ep = experts > 0 ? up_to(divisors(experts), limited(limits.ep_max, kEpMax)) : std::vector<std::int64_t>{1};
  space.batch_divisors = divisors(run.global_batch);
  return space;
}

std::vector<std::int64_t> shards_of(const Layout& l, const Island& island, const TrainLimits& limits) {
  std::vector<std::int64_t> shards{0};
  if (!limits.shard_groups || l.zero == Zero::none) { return shards; }
  for (const std::int64_t together : {island.chips_per_node, island.domain}) {
    const std::int64_t shard = together / l.tp;
    if (shard > 1 && shard < l.dp * l.cp && (l.dp * l.cp) % shard == 0 && shard != shards.back()) { shards.push_back(shard); }
  }
  return shards;
}

namespace {

/// A branch: where micro_batch is 0, all of them are below it, and all smaller dp.
struct Branch {
  double bound = 0;
  std::int32_t tp = 1, cp = 1, pp = 1, dp = 1, micro_batch = 0;
  Precision precision = Precision::bf16;
};
/// The least bound on top; ties in a fixed order.
struct Later {
  bool operator()(const Branch& a, const Branch& b) const {
    const auto key = [](const Branch& x) {
      return std::tuple(x.bound, -static_cast<std::int64_t>(x.micro_batch), x.pp, x.tp, x.cp, x.dp, x.precision);
    };
    return key(a) > key(b);
  }
};

class Searcher {
 public:
  Searcher(const Search& search, SearchCount& count)
      : s_(search), count_(count), space_(space_of(search.model, search.run, search.island, search.limits)) {}

  std::vector<Candidate> run() {
    open_degrees();
    while (!branches_.empty()) {
      const Branch branch = branches_.top();
      branches_.pop();
      if (hopeless(branch.bound)) {
        count_.pruned += 1 + static_cast<std::int64_t>(branches_.size());
        break;
      }
      if (branch.micro_batch == 0) {
        open_dp(branch, branch.dp - 1);
        open_micro_batches(branch);
      } else {
        open_experts(branch);
      }
    }
    return std::move(best_);
  }

 private:
  [[nodiscard]] double limit() const {
    // NOLINTNEXTLINE(bugprone-narrowing-conversions): double is double
    const double known = best_.size() < s_.keep ? kInfinity : best_.back().seconds;
    return s_.worst > 0 ? std::min(known, s_.worst) : known;
  }
  [[nodiscard]] bool hopeless(double bound) const { return s_.prune && bound * kRounding > limit(); }

  void open_degrees() {
    for (const Precision precision : s_.limits.precisions) {
      for (const std::int64_t tp : space_.tp) {
        for (const std::int64_t cp : space_.cp) {
          for (const std::int64_t pp : space_.pp) {
            const std::int64_t most = space_.chips / (tp * cp * pp);
            if (most == 0) { break; }
            const auto narrow = [](std::int64_t n) { return static_cast<std::int32_t>(n); };
            open_dp({.tp = narrow(tp), .cp = narrow(cp), .pp = narrow(pp), .precision = precision}, limited(s_.limits.dp_max, most));
          }
        }
      }
    }
  }

  /// The largest dp up to `most`: those below take longer by their bound, and are opened after it.
  void open_dp(Branch branch, std::int64_t most) {
    const auto& all = space_.batch_divisors;
    const auto above = std::upper_bound(all.begin(), all.end(), most);
    if (above == all.begin()) { return; }
    branch.dp = static_cast<std::int32_t>(*(above - 1));
    branch.micro_batch = 0;
    const std::int64_t chips = std::int64_t{1} * branch.tp * branch.cp * branch.pp * branch.dp;
    branch.bound = s_.estimator.lower_bound(chips, branch.precision).value;
    branches_.push(branch);
  }

  static Layout layout_of(const Branch& b) {
    Layout l;
    l.tp = b.tp;
    l.cp = b.cp;
    l.pp = b.pp;
    l.dp = b.dp;
    l.micro_batch = b.micro_batch;
    l.precision = b.precision;
    return l;
  }

  void open_micro_batches(const Branch& parent) {
    const std::int64_t each = s_.run.global_batch / parent.dp;
    for (const std::int64_t micro_batch : space_.batch_divisors) {
      if (micro_batch > std::min(each, limited(s_.limits.micro_batch_max, kMicroBatchMax))) { break; }
      if (each % micro_batch != 0) { continue; }
      Branch branch = parent;
      branch.micro_batch = static_cast<std::int32_t>(micro_batch);
      branch.bound = std::max(parent.bound, s_.estimator.degrees_bound(layout_of(branch)).value);
      if (hopeless(branch.bound)) {
        ++count_.pruned;
      } else {
        branches_.push(branch);
      }
    }
  }

  void open_experts(const Branch& branch) {
    Layout l = layout_of(branch);
    const std::int64_t ranks = l.tp * l.cp * l.dp;
    for (const std::int64_t ep : space_.ep) {
      for (const std::int64_t etp : {std::int64_t{1}, l.tp}) {
        if ((etp == l.tp && (l.tp == 1 || !space_.has_experts) && etp != 1) || ranks % (ep * etp) != 0) { continue; }
        if (etp == 1 || l.tp > 1) {
          l.ep = ep;
          l.etp = etp;
          for (const bool parallel : {false, true}) {
            if (parallel && (l.tp == 1 || !s_.limits.sequence_parallel)) { continue; }
            l.sequence_parallel = parallel;
            open_schedules(l);
          }
        }
        if (l.tp == 1) { break; }
      }
    }
  }

  void open_schedules(Layout l) {
    const std::int64_t microbatches = s_.run.global_batch / (l.dp * l.micro_batch);
    for (const Schedule schedule : s_.limits.schedules) {
      l.schedule = schedule;
      l.recompute = Recompute::none;
      const bool plain = schedule == Schedule::one_f_one_b;
      if (!feeds(schedule, l.pp, microbatches)) { continue; }
      std::int64_t most = 1;
      if (plain && l.pp > 1 && microbatches % l.pp == 0) { most = limited(s_.limits.interleave_max, space_.depth / l.pp); }
      for (l.interleave = 1; l.interleave <= most; ++l.interleave) {
        if (hopeless(s_.estimator.schedule_bound(l).value)) {
          ++count_.pruned;
        } else {
          open_zeros(l);
        }
      }
      l.interleave = 1;
    }
  }

  void open_zeros(Layout l) {
    for (const Zero zero : s_.limits.zeros) {
      if (zero == Zero::gradients && l.pp > 1) { continue; }
      l.zero = zero;
      for (const std::int64_t shard : shards_of(l, s_.island, s_.limits)) {
        l.shard = shard;
        open_offloads(l);
      }
    }
  }

  /// What the offload of activations adds to a step is never negative: where they fit without and nothing is recomputed it is of no use.
  /// (That of the optimizer may be faster than the chip where there is little to optimize.) Where activations are offloaded recomputation
  /// may save time (fewer bytes to move), so that all of its amounts are tried.
  void open_offloads(Layout l) {
    bool fits_as_it_is = false;
    for (const Offload offload : {Offload::none, Offload::optimizer, Offload::activations}) {
      if (!has(s_.limits.offloads, offload)) { continue; }
      if (offload == Offload::activations && fits_as_it_is && s_.prune) { continue; }
      l.offload = offload;
      l.recompute = Recompute::none;
      l.layers_recomputed = -1;
      if (!s_.prune || offload == Offload::activations) {
        open_every_recompute(l);
        continue;
      }
      const bool whole = has(s_.limits.recomputes, Recompute::none) && fits(l);
      if (whole) { evaluate(l); }
      if (!whole || l.pp > 1) { open_recomputes(l); }
      fits_as_it_is = fits_as_it_is || (whole && offload == Offload::none);
    }
  }

  /// Memory falls with the layers that are recomputed, and time grows: the fewest that fit. In a pipeline more of them may make another
  /// stage the slowest, with less to wait for; they are tried as long as their bound, which only grows, allows.
  void open_recomputes(Layout l) {
    if (has(s_.limits.recomputes, Recompute::selective)) {
      l.recompute = Recompute::selective;
      if (!recomputing_is_hopeless(l) && fits(l)) { evaluate(l); }
    }
    if (!has(s_.limits.recomputes, Recompute::full)) { return; }
    l.recompute = Recompute::full;
    const std::int64_t all = s_.estimator.largest_stage(l);
    const auto recompute = [&](std::int64_t layers) { l.layers_recomputed = layers == all ? -1 : layers; };
    std::int64_t low = s_.limits.recompute_by_layer ? 1 : all, high = all;
    recompute(low);
    if (recomputing_is_hopeless(l)) { return; }
    recompute(all);
    if (!fits(l)) { return; }
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      recompute(middle);
      if (fits(l)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    for (std::int64_t layers = high; layers <= all; ++layers) {
      recompute(layers);
      if (recomputing_is_hopeless(l)) { return; }
      evaluate(l);
      if (l.pp == 1) { return; }
    }
  }

  [[nodiscard]] bool recomputing_is_hopeless(const Layout& l) { return hopeless(s_.estimator.schedule_bound(l).value); }

  void open_every_recompute(Layout l) {
    for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
      if (!has(s_.limits.recomputes, recompute)) { continue; }
      l.recompute = recompute;
      l.layers_recomputed = -1;
      if (!s_.prune || fits(l)) { evaluate(l); }
      if (recompute != Recompute::full || !s_.limits.recompute_by_layer) { continue; }
      const std::int64_t all = s_.estimator.largest_stage(l);
      for (l.layers_recomputed = 1; l.layers_recomputed < all; ++l.layers_recomputed) {
        if (!s_.prune || fits(l)) { evaluate(l); }
      }
    }
  }

  bool fits(const Layout& l) {
    const bool fit = s_.estimator.memory(l).total().value <= s_.capacity;
    if (!fit) { ++count_.refused; }
    return fit;
  }

  void evaluate(const Layout& l) {
    ++count_.evaluated;
    const StepEstimate estimate = s_.estimator.estimate(l);
    const double seconds = estimate.step.value;
    if (!s_.prune && estimate.memory.total().value > s_.capacity) { return; }
    const Candidate candidate{.layout = l, .seconds = seconds};
    if (s_.worst > 0 && seconds > s_.worst) { return; }
    if (best_.size() == s_.keep && !better(candidate, best_.back())) { return; }
    best_.insert(std::upper_bound(best_.begin(), best_.end(), candidate, better), candidate);
    if (best_.size() > s_.keep) { best_.pop_back(); }
  }

  const Search& s_;
  SearchCount& count_;
  Space space_;
  std::priority_queue<Branch, std::vector<Branch>, Later> branches_;
  std::vector<Candidate> best_;  // sorted
};

}  // namespace

std::vector<Candidate> best_layouts(const Search& search, SearchCount& count) {
  ensure(search.keep > 0 && search.run.global_batch > 0 && search.run.sequence > 0);
  return Searcher(search, count).run();
}

}  // namespace planning
}  // namespace centrale
