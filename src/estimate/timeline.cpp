// SPDX-License-Identifier: Apache-2.0
#include "estimate/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "base/ensure.hpp"
#include "base/json.hpp"
#include "estimate/pipeline_order.hpp"

namespace centrale {
namespace {

using estimating::Piece;
using estimating::PieceOf;
using estimating::Unit;

constexpr double kNotYet = std::numeric_limits<double>::infinity();
constexpr double kNothing = 1e-12;  // s: what is shorter is not drawn

class Player {
 public:
  explicit Player(const StepShape& shape)
      : shape_(shape),
        pp_(static_cast<std::int64_t>(shape.stages.size())),
        chunks_(shape.layout.schedule == Schedule::dual_pipe ? 2 : shape.layout.interleave),
        share_(1.0 / static_cast<double>(shape.layout.interleave)),
        done_(2 * static_cast<std::size_t>(shape.microbatches * pp_ * chunks_), kNotYet) {
    slowest_ = 0;
    for (std::size_t s = 1; s < shape.stages.size(); ++s) {
      if (total(shape.stages[s]) > total(shape.stages[slowest_])) { slowest_ = s; }
    }
  }

  Timeline play() {
    std::vector<std::vector<Unit>> orders;
    for (std::int64_t s = 0; s < pp_; ++s) { orders.push_back(estimating::order_of(shape_.layout, s, shape_.microbatches)); }
    std::vector<std::size_t> at(orders.size(), 0);
    std::vector<double> free(orders.size(), 0);
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t s = 0; s < orders.size(); ++s) {
        while (at[s] < orders[s].size()) {
          const double ready = ready_at(static_cast<std::int64_t>(s), orders[s][at[s]]);
          if (ready == kNotYet) { break; }
          free[s] = run(static_cast<std::int64_t>(s), orders[s][at[s]], free[s], ready);
          ++at[s];
          moved = true;
        }
      }
    }
    for (std::size_t s = 0; s < orders.size(); ++s) { ensure(at[s] == orders[s].size()); }  // no order waits for itself
    end_of_step(free);
    return finished();
  }

 private:
  static double total(const StepShape::Stage& stage) { return stage.forward.work() + stage.backward.work(); }
  /// DualPipe: both chunks of a stage as the slowest one, as the estimate has it.
  [[nodiscard]] const StepShape::Stage& stage_of(std::int64_t stage) const {
    return shape_.stages[shape_.layout.schedule == Schedule::dual_pipe ? slowest_ : static_cast<std::size_t>(stage)];
  }

  struct Edge {
    double send = 0, hidden = 0;
  };
  /// Between this stage and the next.
  [[nodiscard]] Edge edge(std::int64_t stage) const {
    const StepShape::Stage& s = shape_.stages[static_cast<std::size_t>(stage)];
    return s.send < 0 ? Edge{shape_.send, shape_.send_hidden} : Edge{s.send, s.send_hidden};
  }

  double& done(std::int64_t stage, Piece piece, std::int64_t microbatch, std::int64_t chunk) {
    const std::int64_t at = ((microbatch * pp_ + stage) * chunks_ + chunk) * 2 + (piece == Piece::forward ? 0 : 1);
    return done_[static_cast<std::size_t>(at)];
  }

  /// When what one piece needs is there, the way between stages included.
  double ready_at(std::int64_t stage, const PieceOf& p) {
    if (p.piece == Piece::weight_gradient) { return 0; }  // its stage has done the backward piece before
    const bool up = shape_.layout.schedule == Schedule::dual_pipe && p.chunk == 1;
    const bool forward = p.piece == Piece::forward;
    const std::int64_t before = stage + (forward != up ? -1 : 1);
    double ready = forward ? 0 : done(stage, Piece::forward, p.microbatch, p.chunk);
    if (before >= 0 && before < pp_) {
      return std::max(ready, done(before, p.piece, p.microbatch, p.chunk) + edge(std::min(stage, before)).hidden);
    }
    // Interleaved: the last stage goes on to the first one's next chunk.
    const std::int64_t chunk = p.chunk + (forward ? -1 : 1);
    if (shape_.layout.interleave == 1 || chunk < 0 || chunk >= chunks_) { return ready; }
    return std::max(ready, done(forward ? pp_ - 1 : 0, p.piece, p.microbatch, chunk) + shape_.send_hidden);
  }

  double ready_at(std::int64_t stage, const Unit& unit) {
    double ready = ready_at(stage, unit.pieces[0]);
    if (unit.count == 2) { ready = std::max(ready, ready_at(stage, unit.pieces[1])); }
    return ready;
  }

  void add(std::int64_t stage, TimelineRow row, TimelineWork work, const PieceOf& p, double start, double duration) {
    if (duration <= kNothing) { return; }
    events_.push_back({.stage = static_cast<std::int32_t>(stage),
                       .row = row,
                       .work = work,
                       .microbatch = p.microbatch,
                       .chunk = chunks_ > 1 ? p.chunk : -1,
                       .start = start,
                       .duration = duration});
  }
  void add_once(std::int64_t stage, TimelineRow row, TimelineWork work, double start, double duration) {
    add(stage, row, work, {.piece = Piece::forward, .microbatch = -1, .chunk = -1}, start, duration);
  }

  /// Runs a unit; returns when the stage is free again.
  double run(std::int64_t stage, const Unit& unit, double free, double ready) {
    const double start = std::max(free, ready);
    if (start > free) { add_once(stage, TimelineRow::compute, TimelineWork::bubble, free, start - free); }
    double at = start, leaves = start;
    for (std::int32_t i = 0; i < unit.count; ++i) { std::tie(at, leaves) = draw(stage, unit.pieces[i], unit.with_weight_gradient, at); }
    for (std::int32_t i = 0; i < unit.count; ++i) {
      const PieceOf& p = unit.pieces[i];
      if (p.piece != Piece::weight_gradient) { done(stage, p.piece, p.microbatch, p.chunk) = leaves; }
    }
    return at;
  }

  /// One piece from `start` on: when the stage is free, and when the result is with the next stage but for what is hidden of its way.
  std::pair<double, double> draw(std::int64_t stage, const PieceOf& p, bool with_weight_gradient, double start) {
    const StepShape::Stage& s = stage_of(stage);
    const double weight = s.weight_gradient * share_;
    const bool zero_bubble = shape_.layout.schedule == Schedule::zero_bubble;
    if (p.piece == Piece::weight_gradient) {
      add(stage, TimelineRow::compute, TimelineWork::weight_gradient, p, start, weight);
      const double late = zero_bubble ? s.backward.offload : 0;
      add(stage, TimelineRow::compute, TimelineWork::offload, p, start + weight, late);
      return {start + weight + late, start + weight};
    }
    const bool forward = p.piece == Piece::forward;
    const StepShape::Pass& pass = forward ? s.forward : s.backward;
    double at = start;
    const auto next = [&](TimelineRow row, TimelineWork work, double exposed, double hidden = 0) {
      const double from = std::max(start, at - hidden);  // what is hidden runs beside what was before
      at += exposed;
      add(stage, row, work, p, from, at - from);
    };
    next(TimelineRow::compute, TimelineWork::recompute, pass.recompute * share_);
    next(TimelineRow::compute, forward ? TimelineWork::forward : TimelineWork::backward,
         (pass.compute + pass.head) * share_ - (with_weight_gradient || forward ? 0 : weight));
    next(TimelineRow::tp, TimelineWork::collective, pass.tp * share_, pass.tp_hidden * share_);
    next(TimelineRow::cp, TimelineWork::collective, pass.cp * share_);
    next(TimelineRow::ep, TimelineWork::collective, pass.ep * share_, pass.ep_hidden * share_);
    if (pp_ > 1) {
      // Down after a forward piece, up after a backward one; at an end of the pipeline the same is waited for.
      const Edge way = edge(std::clamp<std::int64_t>(forward ? stage : stage - 1, 0, pp_ - 2));
      next(TimelineRow::pp, TimelineWork::send, way.send - way.hidden);
    }
    const double leaves = at;  // the rest keeps the stage, not the result
    next(TimelineRow::compute, TimelineWork::offload, zero_bubble ? 0 : pass.offload * share_);
    next(TimelineRow::dp, forward ? TimelineWork::gather : TimelineWork::reduce, pass.dp * share_, pass.dp_hidden * share_);
    return {at, leaves};
  }

  /// Each stage reduces its gradients when it is done; all wait for the last one, as the gradients' norm wants all of them.
  void end_of_step(const std::vector<double>& free) {
    const double once = shape_.reduce + shape_.optimizer + shape_.gather + shape_.overhead;
    const double played = *std::max_element(free.begin(), free.end());
    played_ = played + once;
    const double last = std::max(played, shape_.step - once);
    for (std::int64_t s = 0; s < pp_; ++s) {
      const double own = free[static_cast<std::size_t>(s)];
      // Gathered beside the first forward passes: weights that the step before has left.
      add_once(s, TimelineRow::dp, TimelineWork::gather, 0, shape_.gather_hidden);
      const double from = std::max(own - shape_.reduce_hidden, shape_.gather_hidden);
      add_once(s, TimelineRow::dp, TimelineWork::reduce, from, own + shape_.reduce - from);
      double at = last + shape_.reduce;
      if (last > own) { add_once(s, TimelineRow::compute, TimelineWork::bubble, own, last - own); }
      const auto next = [&](TimelineRow row, TimelineWork work, double duration) {
        add_once(s, row, work, at, duration);
        at += duration;
      };
      next(TimelineRow::compute, TimelineWork::optimizer, shape_.optimizer);
      next(TimelineRow::dp, TimelineWork::gather, shape_.gather);
      next(TimelineRow::compute, TimelineWork::overhead, shape_.overhead);
      step_ = at;
    }
  }

  Timeline finished() {
    Timeline timeline;
    timeline.step.value = step_;
    timeline.played.value = played_;
    for (std::size_t s = 0; s < shape_.stages.size(); ++s) {
      const StepShape::Stage& stage = shape_.stages[s];
      const std::string place = stage.place.empty() ? std::string{} : stage.place + ", ";
      timeline.stages.push_back(place + (shape_.layout.interleave > 1
                                             ? fmt::format("stage {}, {} layers in {} chunks from layer {} on", s, stage.layers,
                                                           shape_.layout.interleave, stage.first_layer)
                                             : fmt::format("stage {}, layers {} to {}", s, stage.first_layer,
                                                           stage.first_layer + std::max<std::int64_t>(1, stage.layers) - 1)));
    }
    std::stable_sort(events_.begin(), events_.end(), [](const TimelineEvent& a, const TimelineEvent& b) {
      return std::tie(a.stage, a.row, a.start) < std::tie(b.stage, b.row, b.start);
    });
    timeline.events = std::move(events_);
    return timeline;
  }

  const StepShape& shape_;
  std::int64_t pp_, chunks_;
  double share_;  // of a stage's time that one chunk has
  std::vector<double> done_;
  std::size_t slowest_ = 0;
  std::vector<TimelineEvent> events_;
  double step_ = 0, played_ = 0;
};

std::string name_of(const TimelineEvent& e) {
  std::string name(enum_name(e.work));
  if (e.microbatch >= 0) { name += fmt::format(" {}", e.microbatch); }
  if (e.chunk >= 0) { name += fmt::format(" chunk {}", e.chunk); }
  return name;
}

}  // namespace

Result<Timeline> timeline_of(const StepShape& shape) {
  ensure(!shape.stages.empty() && shape.microbatches > 0);
  // Two passes, each with up to seven events.
  const double events = 14.0 * static_cast<double>(shape.microbatches) * static_cast<double>(shape.layout.interleave) *
                        static_cast<double>(shape.stages.size());
  if (events > static_cast<double>(kTimelineEventsMax)) {
    return fail(
        ErrorKind::invalid,
        fmt::format(
            "a timeline of {} micro-batches through {} stages would have {:.1f} million events, at most {} million can be looked at",
            shape.microbatches, shape.stages.size(), events * 1e-6, kTimelineEventsMax / 1'000'000),
        {}, "ask for a smaller batch");
  }
  return Player(shape).play();
}

void write_trace(const Timeline& timeline, std::string& json) {
  JsonWriter out(json);
  out.begin_object();
  out.key("displayTimeUnit").text("ms");
  out.key("traceEvents").begin_array();
  const auto named = [&](const char* what, std::size_t stage, std::size_t row, std::string_view name) {
    out.begin_object();
    out.key("ph").text("M");
    out.key("name").text(what);
    out.key("pid").number(stage);
    out.key("tid").number(row);
    out.key("args").begin_object().key("name").text(name).end_object();
    out.end_object();
  };
  for (std::size_t s = 0; s < timeline.stages.size(); ++s) {
    named("process_name", s, 0, timeline.stages[s]);
    for (std::size_t row = 0; row < kEnumNames<TimelineRow>.size(); ++row) { named("thread_name", s, row, kEnumNames<TimelineRow>[row]); }
  }
  // Whole nanoseconds, so that what touches still touches.
  const auto micros = [](double seconds) { return std::round(seconds * 1e9) / 1e3; };
  for (const TimelineEvent& e : timeline.events) {
    out.begin_object();
    out.key("ph").text("X");
    out.key("name").text(name_of(e));
    out.key("cat").text(enum_name(e.work));
    out.key("pid").number(e.stage);
    out.key("tid").number(static_cast<int>(e.row));
    const double start = micros(e.start);
    out.key("ts").number(start);
    out.key("dur").number(std::round((micros(e.start + e.duration) - start) * 1e3) / 1e3);
    if (e.microbatch >= 0) { out.key("args").begin_object().key("micro-batch").number(e.microbatch).end_object(); }
    out.end_object();
  }
  out.end_array();
  out.end_object();
}

}  // namespace centrale
