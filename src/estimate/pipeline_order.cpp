// SPDX-License-Identifier: Apache-2.0
#include "estimate/pipeline_order.hpp"

#include <algorithm>
#include <deque>

namespace centrale::estimating {
namespace {

using Order = std::vector<Unit>;

Unit unit(Piece piece, std::int64_t microbatch, std::int64_t chunk = 0, bool with_weight_gradient = true) {
  Unit u;
  u.pieces[0] = {piece, static_cast<std::int32_t>(microbatch), static_cast<std::int32_t>(chunk)};
  u.with_weight_gradient = with_weight_gradient;
  return u;
}

/// One forward, one backward, between a warm-up and a cool-down: arXiv:2104.04473, figures 3 and 4. With one chunk: PipeDream-flush.
Order one_f_one_b(const Layout& l, std::int64_t stage, std::int64_t microbatches) {
  const std::int64_t v = l.interleave, n = microbatches * v;
  const std::int64_t warm_up = std::min(n, v == 1 ? l.pp - 1 - stage : 2 * (l.pp - 1 - stage) + (v - 1) * l.pp);
  // The k-th pass goes through chunk 0 of pp micro-batches, then chunk 1 of the same, and so on; back from the last chunk.
  const auto pass = [&](Piece piece, std::int64_t k) {
    const std::int64_t group = l.pp * v, within = k % group;
    const std::int64_t chunk = v == 1 ? 0 : within / l.pp;
    const std::int64_t microbatch = v == 1 ? k : k / group * l.pp + within % l.pp;
    return unit(piece, microbatch, piece == Piece::forward ? chunk : v - 1 - chunk);
  };
  Order order;
  for (std::int64_t k = 0; k < warm_up; ++k) { order.push_back(pass(Piece::forward, k)); }
  for (std::int64_t k = warm_up; k < n; ++k) {
    order.push_back(pass(Piece::forward, k));
    order.push_back(pass(Piece::backward, k - warm_up));
  }
  for (std::int64_t k = n - warm_up; k < n; ++k) { order.push_back(pass(Piece::backward, k)); }
  return order;
}

/// ZB-H1: 1F1B in which a stage keeps as many weight gradients back as there are stages before it, and fills its cool-down with them.
Order zero_bubble(const Layout& l, std::int64_t stage, std::int64_t microbatches) {
  const std::int64_t warm_up = std::min(microbatches, l.pp - 1 - stage);
  Order order;
  std::int64_t backward = 0, weight = 0;
  const auto back = [&] { order.push_back(unit(Piece::backward, backward++, 0, false)); };
  const auto weigh = [&] { order.push_back(unit(Piece::weight_gradient, weight++)); };
  for (std::int64_t k = 0; k < microbatches; ++k) {
    order.push_back(unit(Piece::forward, k));
    if (k < warm_up) { continue; }
    back();
    if (backward - weight > stage) { weigh(); }
  }
  while (backward < microbatches) {
    back();
    weigh();
  }
  while (weight < microbatches) { weigh(); }
  return order;
}

/// DualPipe feeds both ends: a stage holds one chunk of each direction. The eight phases are those of figure 5 of arXiv:2412.19437, told
/// from the half that the stage is in: `near` is the direction whose input end is the nearer one.
class DualPipe {
 public:
  DualPipe(const Layout& l, std::int64_t stage, std::int64_t microbatches)
      : pp_(l.pp), half_(l.pp / 2), depth_(std::min(stage, l.pp - 1 - stage)), second_(stage >= l.pp / 2), each_(microbatches / 2) {}

  Order order() {
    const std::int64_t inner = half_ - depth_ - 1;
    for (std::int64_t i = 0; i < 2 * inner; ++i) { forward(kNear); }
    for (std::int64_t i = 0; i <= depth_; ++i) {
      forward(kNear);
      forward(kFar);
    }
    for (std::int64_t i = 0; i < inner; ++i) {
      backward(kFar, true);
      weigh();
      forward(kFar);
    }
    for (std::int64_t i = 0; i < each_ - pp_ + depth_ + 1; ++i) {
      if (i == 0 && inner == 0) {  // the innermost two wait less if the first pair is taken apart
        forward(kNear);
        backward(kFar, false);
      } else {
        both(kNear, kFar);
      }
      both(kFar, kNear);
    }
    for (std::int64_t i = 0; i < inner; ++i) {
      backward(kFar, false);
      both(kFar, kNear);
    }
    bool put_off = false;
    for (std::int64_t i = 0; i <= depth_; ++i) {
      const bool middle = i == (depth_ + 1) / 2;
      put_off = put_off || (middle && depth_ % 2 == 1);
      backward(kFar, put_off);
      put_off = put_off || (middle && depth_ % 2 == 0);
      backward(kNear, put_off);
    }
    for (std::int64_t i = 0; i < inner; ++i) {
      weigh();
      backward(kNear, true);
    }
    while (!waiting_.empty()) { weigh(); }
    return std::move(order_);
  }

 private:
  enum End : std::size_t { kNear, kFar };
  /// The chunk of the stage: 0 goes down the pipeline, 1 up.
  [[nodiscard]] std::int64_t chunk_of(End end) const { return (end == kFar) != second_ ? 1 : 0; }
  std::int64_t next(std::int64_t (&count)[2], End end) { return 2 * count[chunk_of(end)]++ + chunk_of(end); }

  void forward(End end) { order_.push_back(unit(Piece::forward, next(forwards_, end), chunk_of(end))); }
  void backward(End end, bool put_off) {
    order_.push_back(unit(Piece::backward, next(backwards_, end), chunk_of(end), !put_off));
    if (put_off) { waiting_.push_back(order_.back().pieces[0]); }
  }
  void both(End forward_end, End backward_end) {
    Unit u = unit(Piece::forward, next(forwards_, forward_end), chunk_of(forward_end));
    u.pieces[1] = unit(Piece::backward, next(backwards_, backward_end), chunk_of(backward_end)).pieces[0];
    u.count = 2;
    order_.push_back(u);
  }
  void weigh() {
    if (waiting_.empty()) { return; }
    order_.push_back(unit(Piece::weight_gradient, waiting_.front().microbatch, waiting_.front().chunk));
    waiting_.pop_front();
  }

  std::int64_t pp_, half_, depth_;
  bool second_;
  std::int64_t each_;  // micro-batches of one direction
  std::int64_t forwards_[2] = {0, 0}, backwards_[2] = {0, 0};
  std::deque<PieceOf> waiting_;
  Order order_;
};

}  // namespace

std::vector<Unit> order_of(const Layout& l, std::int64_t stage, std::int64_t microbatches) {
  switch (l.schedule) {
    case Schedule::one_f_one_b: return one_f_one_b(l, stage, microbatches);
    case Schedule::zero_bubble: return zero_bubble(l, stage, microbatches);
    case Schedule::dual_pipe: return DualPipe(l, stage, microbatches).order();
  }
  return {};
}

}  // namespace centrale::estimating
