// SPDX-License-Identifier: Apache-2.0
// One training step as events: what each pipeline stage computes and sends, when, and where it waits.
//
//   StepShape shape = estimator.shape(layout);            // one micro-batch through every stage, by part
//   Result<Timeline> timeline = timeline_of(shape);       // played in the order of the layout's schedule
//   write_trace(*timeline, json);                         // for Perfetto (ui.perfetto.dev) or chrome://tracing
//
// Orders: 1F1B and interleaved as Megatron-LM (arXiv:2104.04473, section 2.2), ZB-H1 (arXiv:2401.10241, section 2.2), DualPipe
// (arXiv:2412.19437, section 3.2.1, figure 5). Every rank of a stage does the same, so that a stage stands for all of its ranks.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dimension.hpp"
#include "base/reflect.hpp"
#include "base/result.hpp"
#include "estimate/layout.hpp"

namespace centrale {

/// What one step is made of: the estimate's parts before they are added up. Seconds.
struct StepShape {
  /// Of all layers of a stage, one micro-batch, one direction.
  struct Pass {
    double compute = 0, recompute = 0, head = 0;
    double tp = 0, cp = 0, ep = 0;        // exposed
    double tp_hidden = 0, ep_hidden = 0;  // behind the computation
    double dp = 0, dp_hidden = 0;         // weights gathered, gradients reduced for each micro-batch
    double offload = 0;                   // activations that come back too late
    [[nodiscard]] double work() const { return compute + recompute + head + tp + cp + ep; }
  };
  struct Stage {
    std::int64_t first_layer = 0, layers = 0;  // interleaved: first of the first chunk, of all chunks
    Pass forward, backward;
    double weight_gradient = 0;  // of backward.compute: what zero-bubble schedules put off
    // Of the way to the next stage, where stages are joined by unlike links; below 0: as StepShape::send and ::send_hidden.
    double send = -1, send_hidden = -1;
    std::string place;  // which chips, where it matters
  };
  Layout layout;
  std::int64_t microbatches = 0;
  std::vector<Stage> stages;
  double send = 0;                                                      // of one boundary
  double send_hidden = 0;                                               // of it, behind the computation
  double gather = 0, gather_hidden = 0, reduce = 0, reduce_hidden = 0;  // data-parallel, once a step
  double optimizer = 0, overhead = 0;
  double step = 0;  // the estimate's, of all this
};

/// The rows of a stage.
enum class TimelineRow : unsigned char { compute, tp, cp, ep, pp, dp };
template <>
inline constexpr std::array<std::string_view, 6> kEnumNames<TimelineRow>{"compute",         "tensor-parallel", "context-parallel",
                                                                         "expert-parallel", "sends",           "data-parallel"};

enum class TimelineWork : unsigned char {
  forward,
  backward,         // of the inputs alone where weight gradients are put off
  weight_gradient,  // put off
  recompute,
  collective,  // of the row's kind
  send,
  gather,  // weights
  reduce,  // gradients
  offload,
  optimizer,
  overhead,  // the stack's own, jitter
  bubble,
};
template <>
inline constexpr std::array<std::string_view, 12> kEnumNames<TimelineWork>{"forward",    "backward",  "weight gradient", "recompute",
                                                                           "collective", "send",      "gather weights",  "reduce gradients",
                                                                           "offload",    "optimizer", "overheads",       "bubble"};

struct TimelineEvent {
  std::int32_t stage = 0;
  TimelineRow row = TimelineRow::compute;
  TimelineWork work = TimelineWork::forward;
  std::int32_t microbatch = -1, chunk = -1;  // -1: of none
  double start = 0, duration = 0;            // s
};

struct Timeline {
  std::vector<std::string> stages;    // "stage 0, layers 0 to 7"
  std::vector<TimelineEvent> events;  // by stage, row and start
  Seconds step;
  // What the order itself takes. Where stages are of unlike speed it may be a little less than the estimate's closed form says: the rest of
  // the estimate's bubble then stands at the pipeline's end.
  Seconds played;
};

// Perfetto opens files of some hundred MB; what is larger nobody looks at.
inline constexpr std::size_t kTimelineEventsMax = 2'000'000;

/// An error: more events than can be looked at.
[[nodiscard]] Result<Timeline> timeline_of(const StepShape& shape);
/// Appends Chrome's trace format, JSON: a process a stage, a thread a row, times in microseconds.
void write_trace(const Timeline& timeline, std::string& json);

}  // namespace centrale
