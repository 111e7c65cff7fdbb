// SPDX-License-Identifier: Apache-2.0
#include "plan/mixed_pipeline.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include "base/ensure.hpp"
#include "plan/mixed_split.hpp"
#include "plan/train_search.hpp"

namespace centrale::planning {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kRounding = 1 - 1e-9;
// Splits that one search computes at most, the most promising first: about a second.
constexpr std::int64_t kSplitsMax = 1500;
// Numbers of expert-parallel ranks that are tried with each tp of an island, the fastest first.
constexpr std::size_t kExpertChoices = 3;

double as_double(std::int64_t n) { return static_cast<double>(n); }

template <class T>
bool has(const std::vector<T>& list, T value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

/// What one island's stages cost, by the layers that they hold, with layer `first` and `count` of them.
struct StageTable {
  std::vector<double> seconds;        // forward and backward of one micro-batch
  std::vector<double> bytes, growth;  // with one micro-batch alive, and for each more
};

/// A layout of one island within the pipeline: its `pp` is the number of its stages.
struct Option {
  Layout layout;
  double whole = 0;             // s of one micro-batch through all layers on one of its stages
  std::vector<double> by_kind;  // s of a layer of each kind that is neither first nor last
};

/// One option an island, in order: where it is in the pool, and its stages.
struct Combination {
  double bound = 0;
  std::vector<std::int32_t> options, stages;
};

class PipelineSearch {
 public:
  PipelineSearch(Islands& islands, const std::vector<std::size_t>& order, std::int64_t batch, double worst, SearchCount& count)
      : islands_(islands), r_(islands.request()), order_(order), batch_(batch), worst_(worst), count_(count), depth_(r_.model.depth()) {
    inner_.assign(r_.model.kinds.size(), 0);
    for (std::size_t i = 1; i + 1 < r_.model.layers.size(); ++i) { inner_[r_.model.layers[i]] += 1; }
  }

  std::optional<Shared> run() {
    if (!has(r_.limits.schedules, Schedule::one_f_one_b) || depth_ < static_cast<std::int64_t>(order_.size())) { return std::nullopt; }
    collect();
    std::stable_sort(combinations_.begin(), combinations_.end(), [](const auto& a, const auto& b) { return a.bound < b.bound; });
    for (const Combination& c : combinations_) {
      if (c.bound * kRounding > worst_) {
        ++count_.pruned;
        break;
      }
      if (splits_ >= kSplitsMax) {
        if (best_) { best_->cut_short = true; }
        break;
      }
      try_variants(c);
    }
    return std::move(best_);
  }

 private:
  [[nodiscard]] TrainEstimator& estimator(std::size_t place) { return islands_.estimator(order_[place], batch_); }

  /// Every (precision, dp, cp, micro-batch), with the options of each island.
  void collect() {
    const TrainRun run{.sequence = r_.sequence, .global_batch = batch_, .lora_rank = r_.lora_rank};
    std::vector<Space> spaces;
    std::int64_t chips = std::numeric_limits<std::int64_t>::max();
    for (const std::size_t i : order_) {
      spaces.push_back(space_of(r_.model, run, islands_.island(i), r_.limits));
      chips = std::min(chips, spaces.back().chips);
    }
    for (const Precision precision : r_.limits.precisions) {
      for (const std::int64_t dp : spaces[0].batch_divisors) {
        if (dp > chips || (r_.limits.dp_max > 0 && dp > r_.limits.dp_max)) { break; }
        for (const std::int64_t cp : spaces[0].cp) {
          if (dp * cp > chips) { break; }
          if (flop_bound(dp, cp, precision) * kRounding > worst_) { continue; }
          for (const std::int64_t micro_batch : divisors(batch_ / dp)) {
            if (r_.limits.micro_batch_max > 0 && micro_batch > r_.limits.micro_batch_max) { break; }
            Layout l;
            l.precision = precision;
            l.dp = dp;
            l.cp = cp;
            l.micro_batch = micro_batch;
            combine(l, spaces);
          }
        }
      }
    }
  }

  /// Nobody computes faster than all chips at their best.
  [[nodiscard]] double flop_bound(std::int64_t dp, std::int64_t cp, Precision precision) {
    double rate = 0;
    for (std::size_t p = 0; p < order_.size(); ++p) {
      const std::int64_t used = islands_.island(order_[p]).chips / (dp * cp) * (dp * cp);
      rate += 1 / estimator(p).lower_bound(used, precision).value;
    }
    return 1 / rate;
  }

  void combine(const Layout& common, const std::vector<Space>& spaces) {
    std::vector<std::vector<std::int32_t>> options(order_.size());
    for (std::size_t p = 0; p < order_.size(); ++p) {
      for (Option& option : options_of(p, common, spaces[p])) {
        options[p].push_back(static_cast<std::int32_t>(pool_.size()));
        pool_.push_back(std::move(option));
      }
      if (options[p].empty()) { return; }
    }
    Combination c;
    c.options.resize(order_.size());
    choose(c, options, 0);
  }

  void choose(Combination& c, const std::vector<std::vector<std::int32_t>>& options, std::size_t place) {
    if (place < order_.size()) {
      for (const std::int32_t option : options[place]) {
        c.options[place] = option;
        choose(c, options, place + 1);
      }
      return;
    }
    std::int64_t all = 0;
    c.stages.clear();
    for (const std::int32_t option : c.options) {
      c.stages.push_back(static_cast<std::int32_t>(pool_[static_cast<std::size_t>(option)].layout.pp));
      all += c.stages.back();
    }
    // A pipeline is as long as the model has layers at most: the island with most stages gives some up.
    const std::int64_t most = r_.limits.pp_max > 0 ? std::min(r_.limits.pp_max, depth_) : depth_;
    for (; all > most; --all) { --*std::max_element(c.stages.begin(), c.stages.end()); }
    if (*std::min_element(c.stages.begin(), c.stages.end()) < 1) { return; }
    c.bound = bound(c);
    if (c.bound * kRounding > worst_) {
      ++count_.pruned;
    } else {
      combinations_.push_back(c);
    }
  }

  /// For each tp the fastest few ep, each with its fastest (etp, sequence-parallel).
  std::vector<Option> options_of(std::size_t place, const Layout& common, const Space& space) {
    std::vector<Option> options;
    for (const std::int64_t tp : space.tp) {
      const std::int64_t stages = space.chips / (tp * common.cp * common.dp);
      if (stages == 0) { break; }
      std::vector<Option> of_tp;
      for (const std::int64_t ep : space.ep) {
        std::optional<Option> best;
        for (const std::int64_t etp : {std::int64_t{1}, tp}) {
          if ((etp > 1 && !space.has_experts) || tp * common.cp * common.dp % (ep * etp) != 0) { continue; }
          for (const bool parallel : {false, true}) {
            if (parallel && (tp == 1 || !r_.limits.sequence_parallel)) { continue; }
            Option o;
            o.layout = common;
            o.layout.tp = tp;
            o.layout.ep = ep;
            o.layout.etp = etp;
            o.layout.sequence_parallel = parallel;
            o.layout.pp = stages;
            measure(place, o);
            if (!best || o.whole < best->whole) { best = std::move(o); }
          }
          if (tp == 1) { break; }
        }
        if (best) { of_tp.push_back(*std::move(best)); }
      }
      std::stable_sort(of_tp.begin(), of_tp.end(), [](const Option& a, const Option& b) { return a.whole < b.whole; });
      if (of_tp.size() > kExpertChoices) { of_tp.resize(kExpertChoices); }
      options.insert(options.end(), of_tp.begin(), of_tp.end());
    }
    return options;
  }

  void measure(std::size_t place, Option& o) {
    Layout l = o.layout;
    l.pp = depth_;
    const auto seconds = [&](std::int64_t first, std::int64_t layers) {
      const TrainEstimator::Stage stage = estimator(place).stage(l, first, layers, 1);
      return stage.forward.value + stage.backward.value;
    };
    o.whole = seconds(0, depth_);
    o.by_kind.assign(r_.model.kinds.size(), 0);
    for (std::int64_t i = 1; i + 1 < depth_; ++i) {
      double& kind = o.by_kind[r_.model.layers[static_cast<std::size_t>(i)]];
      if (kind == 0) { kind = seconds(i, 1); }
    }
  }

  /// The slowest stage is at least what any weighting of the islands gives (duality of the fractional split); 1 / whole is the best one
  /// where all layers are alike.
  [[nodiscard]] double bound(const Combination& c) const {
    std::array<const Option*, kPipelineMax> options{};
    for (std::size_t p = 0; p < order_.size(); ++p) { options[p] = &option(c, p); }
    return bound(std::span(options).first(order_.size()), c.stages);
  }

  [[nodiscard]] double bound(std::span<const Option* const> options, const std::vector<std::int32_t>& stages) const {
    double weights = 0;
    for (std::size_t p = 0; p < options.size(); ++p) { weights += stages[p] / options[p]->whole; }
    double layers = 0;
    for (std::size_t k = 0; k < inner_.size(); ++k) {
      if (inner_[k] == 0) { continue; }
      double least = kInfinity;
      for (const Option* o : options) { least = std::min(least, o->by_kind[k] / o->whole); }
      layers += inner_[k] * least;
    }
    const Layout& l = options[0]->layout;
    return as_double(batch_ / (l.dp * l.micro_batch)) * layers / weights;
  }

  [[nodiscard]] const Option& option(const Combination& c, std::size_t place) const {
    return pool_[static_cast<std::size_t>(c.options[place])];
  }

  void try_variants(const Combination& c) {
    for (const Recompute recompute : r_.limits.recomputes) {
      std::vector<Option> options;
      std::vector<const Option*> pointers;
      for (std::size_t p = 0; p < order_.size(); ++p) {
        options.push_back(option(c, p));
        options.back().layout.pp = c.stages[p];
        options.back().layout.recompute = recompute;
        if (recompute != Recompute::none) { measure(p, options.back()); }
      }
      pointers.reserve(options.size());
      for (const Option& o : options) { pointers.push_back(&o); }
      if (bound(pointers, c.stages) * kRounding > worst_) {
        ++count_.pruned;
        continue;
      }
      for (const Zero zero : r_.limits.zeros) {
        if (zero == Zero::gradients) { continue; }
        for (const Offload offload : {Offload::none, Offload::optimizer}) {
          if (!has(r_.limits.offloads, offload)) { continue; }
          std::vector<Layout> layouts;
          for (const Option& o : options) {
            layouts.push_back(o.layout);
            layouts.back().zero = zero;
            layouts.back().offload = offload;
          }
          if (try_layouts(layouts)) { break; }  // what fits without offload needs none
        }
      }
    }
  }

  const StageTable& table_of(std::size_t place, const Layout& layout) {
    Layout l = layout;
    l.pp = 2;  // of more than one stage: which one does not matter
    // In what layouts of one pipeline differ.
    const std::array<std::int64_t, 9> key{l.tp,
                                          l.cp,
                                          l.dp,
                                          l.ep,
                                          l.etp,
                                          l.micro_batch,
                                          static_cast<std::int64_t>(l.zero) * 8 + static_cast<std::int64_t>(l.recompute),
                                          static_cast<std::int64_t>(l.offload) * 8 + static_cast<std::int64_t>(l.precision),
                                          l.sequence_parallel ? 1 : 0};
    std::unique_ptr<StageTable>& known = tables_[{order_[place], key}];
    if (known) { return *known; }
    auto table = std::make_unique<StageTable>();
    const auto n = static_cast<std::size_t>(depth_);
    table->seconds.assign(n * (n + 1), kInfinity);
    table->bytes = table->growth = table->seconds;
    std::map<std::vector<std::int32_t>, std::size_t> same;  // stages of as many layers of each kind cost the same
    for (std::int64_t first = 0; first < depth_; ++first) {
      std::vector<std::int32_t> kinds(r_.model.kinds.size() + 2);
      kinds[0] = first == 0 ? 1 : 0;
      for (std::int64_t count = 1; first + count <= depth_; ++count) {
        kinds[1] = first + count == depth_ ? 1 : 0;
        ++kinds[2 + r_.model.layers[static_cast<std::size_t>(first + count - 1)]];
        const std::size_t at = static_cast<std::size_t>(first) * (n + 1) + static_cast<std::size_t>(count);
        const auto [like, is_new] = same.try_emplace(kinds, at);
        if (is_new) {
          const TrainEstimator::Stage one = estimator(place).stage(l, first, count, 1);
          table->seconds[at] = one.forward.value + one.backward.value;
          table->bytes[at] = one.memory.total().value;
          table->growth[at] = estimator(place).stage(l, first, count, 2).memory.total().value - table->bytes[at];
        } else {
          table->seconds[at] = table->seconds[like->second];
          table->bytes[at] = table->bytes[like->second];
          table->growth[at] = table->growth[like->second];
        }
      }
    }
    known = std::move(table);
    return *known;
  }

  /// False: it does not fit.
  bool try_layouts(const std::vector<Layout>& layouts) {
    std::vector<std::size_t> place_of;  // of each stage
    std::vector<const StageTable*> tables;
    for (std::size_t p = 0; p < layouts.size(); ++p) {
      place_of.insert(place_of.end(), static_cast<std::size_t>(layouts[p].pp), p);
      tables.push_back(&table_of(p, layouts[p]));
    }
    const std::size_t stages = place_of.size();
    const std::int64_t m = batch_ / (layouts[0].dp * layouts[0].micro_batch);
    const auto cost = [&](std::size_t stage, std::int64_t first, std::int64_t layers) {
      const std::size_t p = place_of[stage];
      const std::size_t at = static_cast<std::size_t>(first * (depth_ + 1) + layers);
      const double alive = as_double(std::min(m, static_cast<std::int64_t>(stages - stage)));
      const double bytes = tables[p]->bytes[at] + (alive - 1) * tables[p]->growth[at];
      // NOLINTNEXTLINE(bugprone-narrowing-conversions): double is double
      return bytes <= islands_.capacity(order_[p]) ? tables[p]->seconds[at] : kInfinity;
    };
    ++count_.evaluated;
    ++splits_;
    const std::optional<Split> split = split_layers(depth_, stages, cost, worst_ / as_double(m));
    if (!split) {
      ++count_.refused;
      return false;
    }
    finish(layouts, place_of, *split, m);
    return true;
  }

  /// s that a micro-batch's activations take from the last stage of one island to the next island, all pipelines at once.
  [[nodiscard]] Seconds crossing(const Layout& l, std::size_t place) const {
    const IslandLink& link = islands_.path(order_[place], order_[place + 1]);
    const double bytes = as_double(l.dp * l.micro_batch * r_.sequence * r_.model.hidden) * 2;
    return ByteCount{bytes} / link.bandwidth + link.latency;
  }

  void finish(const std::vector<Layout>& layouts, const std::vector<std::size_t>& place_of, const Split& split, std::int64_t microbatches) {
    const double m = as_double(microbatches);
    const std::size_t stages = place_of.size();
    Shared s;
    // Sends: the slowest edge paces what does not overlap, all edges fill the pipeline (train.cpp does the same for equal stages).
    double slowest_send = 0, sends = 0, crossed = 0, saturated = 0;
    for (std::size_t j = 0; j + 1 < stages; ++j) {
      const std::size_t p = place_of[j];
      const Layout& l = layouts[p];
      double send = 0;
      if (place_of[j + 1] == p) {
        const double bytes = as_double(l.micro_batch * r_.sequence * r_.model.hidden) * 2 / as_double(l.cp * l.tp);
        send = collective_time(Collective::send, ByteCount{bytes}, {.size = 2, .stride = l.tp * l.cp * l.dp}, islands_.island(order_[p]),
                               r_.stack.transport)
                   .time.value;
      } else {
        send = crossing(l, p).value;
        crossed += send;
        saturated = std::max(saturated, m * send);
      }
      slowest_send = std::max(slowest_send, send);
      sends += send;
    }
    StepParts paced;
    double step_end = 0, optimizer = 0, slowest = -1;
    std::int64_t first = 0;
    for (std::size_t j = 0; j < stages; ++j) {
      const std::size_t p = place_of[j];
      Layout l = layouts[p];
      l.pp = static_cast<std::int64_t>(stages);
      const std::int64_t alive = std::min(microbatches, static_cast<std::int64_t>(stages - j));
      const TrainEstimator::Stage stage = estimator(p).stage(l, first, split.layers[j], alive);
      const double seconds = stage.forward.value + stage.backward.value;
      if (j == 0 || place_of[j - 1] != p) {
        TrainPart part;
        part.island = order_[p];
        part.layout = layouts[p];
        part.sequences = batch_;
        part.first_layer = first;
        part.estimate.microbatches = microbatches;
        s.parts.push_back(std::move(part));
      }
      TrainPart& part = s.parts.back();
      part.layers.push_back(split.layers[j]);
      part.estimate.power.value += m * seconds;  // busy time; made watts below
      if (stage.memory.total() > part.estimate.memory.total()) {
        part.estimate.memory = stage.memory;
        part.estimate.fullest_stage = static_cast<std::int64_t>(part.layers.size()) - 1;
      }
      step_end = std::max(step_end, stage.step_end.value);
      optimizer = std::max(optimizer, stage.optimizer.value);
      if (seconds > slowest) {
        slowest = seconds;
        paced = stage.parts;
        s.backward = stage.backward.value;
      }
      first += split.layers[j];
    }
    StepParts& parts = s.by_part;
    for (Seconds StepParts::*part : {&StepParts::forward, &StepParts::backward, &StepParts::recompute, &StepParts::head, &StepParts::tp,
                                     &StepParts::cp, &StepParts::ep, &StepParts::dp}) {
      parts.*part = paced.*part * m;
    }
    parts.bubble.value = split.sum - split.slowest;
    parts.pp.value = 2 * (slowest_send * m * (1 - r_.stack.pp_overlap) + sends);
    const double inside = parts.total().value;
    if (saturated > inside) { parts.pp.value += saturated - inside; }  // the link is never idle
    parts.optimizer.value = std::min(optimizer, step_end);
    parts.dp.value += step_end - parts.optimizer.value;
    double nodes = 0;
    for (const TrainPart& part : s.parts) {
      nodes += as_double(part.layout.chips()) / as_double(std::max<std::int64_t>(1, islands_.island(part.island).chips_per_node));
    }
    parts.other = r_.stack.step + parts.total() * (r_.stack.jitter * std::log2(std::max(1.0, nodes)));
    s.seconds = parts.total().value;
    s.links = sends > 0 ? parts.pp.value * crossed / sends : 0;
    if (best_ ? s.seconds >= best_->seconds : s.seconds > worst_) { return; }
    complete(s);
    worst_ = std::min(worst_, s.seconds);
    best_ = std::move(s);
  }

  /// Fills the parts' estimates.
  void complete(Shared& s) {
    const double flop = (r_.lora_rank > 0 ? 2 : 3) * forward_flop(r_.model, r_.sequence).value * as_double(batch_);
    for (TrainPart& part : s.parts) {
      std::int64_t layers = 0;
      for (const std::int64_t n : part.layers) { layers += n; }
      StepEstimate& e = part.estimate;
      e.step.value = s.seconds;
      e.parts = s.by_part;
      e.model_flop.value = flop * as_double(layers) / as_double(depth_);
      const double busy = std::min(1.0, e.power.value / as_double(part.layout.pp) / s.seconds);
      const ChipType& chip = islands_.island(part.island).chip;
      constexpr double kWaiting = 0.35, kComputing = 0.87;  // of the limit, as in estimate()
      e.power.value =
          as_double(part.layout.chips()) * as_double(chip.power.value.value) * 1e-3 * (kWaiting + (kComputing - kWaiting) * busy);
      e.tokens.value = as_double(batch_ * r_.sequence) / s.seconds;
    }
  }

  Islands& islands_;
  const TrainRequest& r_;
  const std::vector<std::size_t>& order_;
  std::int64_t batch_;
  double worst_;
  SearchCount& count_;
  std::int64_t depth_;
  std::vector<double> inner_;  // layers of each kind that are neither first nor last
  std::vector<Option> pool_;
  std::vector<Combination> combinations_;
  std::int64_t splits_ = 0;
  std::map<std::pair<std::size_t, std::array<std::int64_t, 9>>, std::unique_ptr<StageTable>> tables_;  // by island and layout
  std::optional<Shared> best_;
};

}  // namespace

Islands::Islands(const TrainRequest& request) : request_(request) {
  const TrainRun run{.sequence = request.sequence, .global_batch = request.global_batch, .lora_rank = request.lora_rank};
  for (std::size_t from = 0; from < size(); ++from) {
    estimators_.emplace_back(request.model, island(from), request.stack, run);
    for (std::size_t to = 0; to < size(); ++to) { paths_.push_back(request.fleet.path(from, to)); }
  }
}

TrainEstimator& Islands::estimator(std::size_t island, std::int64_t batch) {
  estimators_[island].set_global_batch(batch);
  return estimators_[island];
}

double Islands::capacity(std::size_t i) const { return as_double(island(i).chip.memory.value.value) * (1 - request_.memory_margin); }

std::optional<Shared> best_pipeline(Islands& islands, const std::vector<std::size_t>& order, std::int64_t batch, double worst,
                                    SearchCount& count) {
  ensure(order.size() <= kPipelineMax);
  return PipelineSearch(islands, order, batch, worst, count).run();
}

}  // namespace centrale::planning
