// SPDX-License-Identifier: Apache-2.0
// The best parallel layouts for training a model on a fleet: searched over the whole space, best first, with what they cost and what
// bounds them.
//
//   TrainRequest request{.model = *catalogue_model("kimi-k2"), .fleet = *fleet_of("h100x2048", catalogue), .stack = stack};
//   request.sequence = 4096;
//   request.batch_tokens = 16'000'000;
//   auto plans = plan_train(request);   // or an error that says which constraint fails, by how much, and ways out
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "estimate/layout.hpp"
#include "estimate/stack.hpp"
#include "estimate/train.hpp"
#include "fleet/fleet.hpp"
#include "model/model.hpp"
#include "plan/goodput.hpp"

namespace centrale {

/// What the search may use. Degrees of 0 mean: no limit of the user's.
struct TrainLimits {
  std::vector<Precision> precisions{Precision::bf16};
  std::vector<Schedule> schedules{Schedule::one_f_one_b, Schedule::zero_bubble, Schedule::dual_pipe};
  std::vector<Zero> zeros{Zero::none, Zero::optimizer, Zero::gradients, Zero::weights};
  std::vector<Recompute> recomputes{Recompute::none, Recompute::selective, Recompute::full};
  std::vector<Offload> offloads{Offload::none, Offload::optimizer, Offload::activations};
  std::int64_t tp_max = 0, cp_max = 0, pp_max = 0, dp_max = 0, ep_max = 0, interleave_max = 0, micro_batch_max = 0;
  std::int64_t chips_max = 0;      // of the whole fleet
  bool sequence_parallel = true;   // may be used
  bool recompute_by_layer = true;  // full recomputation of some layers of each stage only
  bool shard_groups = true;        // ZeRO within one domain or node only may be used (hybrid sharding)
};

struct TrainRequest {
  Model model;
  Fleet fleet;
  Stack stack;
  std::int64_t sequence = 0;      // tokens
  std::int64_t global_batch = 0;  // sequences a step; or
  std::int64_t batch_tokens = 0;  // tokens a step, where global_batch is 0: rounded to the nearest whole number of sequences
  double tokens = 0;              // of the whole run; 0: days, MWh and cost stay 0
  std::int64_t lora_rank = 0;     // 0: all weights are trained
  TrainLimits limits;
  Reliability reliability;
  double memory_margin = 0.03;  // of a chip's memory left free: what the count may err by
  double pue = 1.2;             // what the site draws over what its computers draw
  // Power of host, network cards and fans over the chips' own limit: an HGX node of 8 H100 (5.6 kW of chips) was seen to draw 8.4 kW at
  // most (Latif et al., arXiv:2412.08602).
  double host_share = 0.5;
  std::size_t plans = 5;  // best so many are returned; what only trades dp, cp, micro-batch and chunks in the same time counts once
};

/// How the parts of a plan work together.
enum class Joined : unsigned char {
  alone,     // one island
  pipeline,  // stages of one pipeline on different islands
  data,      // each island trains the whole model on its part of the batch
};
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<Joined>{"alone", "pipeline", "data"};

/// What one island does.
struct TrainPart {
  std::size_t island = 0;            // of the fleet
  Layout layout;                     // `pp`: stages on this island; `dp`: of this part's own batch
  StepEstimate estimate;             // of the island's own time; of Joined::pipeline: its stages' parts
  std::int64_t sequences = 0;        // of the global batch, a step
  std::int64_t first_layer = 0;      // of the model
  std::vector<std::int64_t> layers;  // of each stage where they are cut unevenly; empty: as layers_of_chunks() cuts
};

struct TrainPlan {
  std::vector<TrainPart> parts;
  Joined joined = Joined::alone;
  Seconds step;
  StepParts by_part;  // of the part that paces the step; adds up to `step`
  Seconds links;      // of `step`: what the links between islands add (also in by_part, as pp or dp)
  PerSecond tokens;   // a second, all chips, while it steps
  double mfu = 0;     // of the peak of all chips used
  Goodput goodput;
  double days = 0;  // wall clock for all tokens, failures included
  double mwh = 0;   // at the meter: PUE, hosts
  double cost = 0;  // of the chips' hours, in the fleet's currency
  std::int64_t chips = 0, idle_chips = 0;
  std::int64_t global_batch = 0;   // sequences
  ByteCount headroom;              // free on the fullest chip, after the margin
  std::string bound_by;            // "computation 71%, tensor-parallel collectives 12%, pipeline bubble 9%, …"
  std::vector<std::string> notes;  // chips left idle and why, a batch that was rounded, …
};

/// How much of the space was looked at.
struct SearchCount {
  std::int64_t evaluated = 0;  // layouts whose time was computed
  std::int64_t refused = 0;    // layouts whose memory was computed and did not fit
  std::int64_t pruned = 0;     // subtrees whose lower bound was above the best known
};

/// Best first: by step time, ties by fewer chips, then by layout, so that the same request always gives the same plans. Of plans
/// over several islands each kind of joining is judged once, and kept where it beats those before it. The error says
/// which constraint fails and by how much, with ways out that were tried.
[[nodiscard]] Result<std::vector<TrainPlan>> plan_train(const TrainRequest& request, SearchCount* count = nullptr);

/// One layout of the user's on one island, whether or not it fits: `headroom` is then below 0. The error says which rule it breaks.
[[nodiscard]] Result<TrainPlan> judge_layout(const TrainRequest& request, std::size_t island, const Layout& layout);

/// What is wrong with the question, whatever the answer.
[[nodiscard]] Result<void> check_request(const TrainRequest& request);

/// The order of layouts that breaks ties: the simpler first.
[[nodiscard]] bool simpler(const Layout& a, const Layout& b);

}  // namespace centrale
