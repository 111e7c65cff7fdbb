// SPDX-License-Identifier: Apache-2.0
#include "plan/timeline.hpp"

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>

#include "estimate/collective.hpp"

namespace centrale {
namespace {

double as_double(std::int64_t n) { return static_cast<double>(n); }

TrainEstimator estimator_of(const TrainRequest& r, const TrainPart& part) {
  return {r.model, r.fleet.islands[part.island], r.stack,
          TrainRun{.sequence = r.sequence, .global_batch = part.sequences, .lora_rank = r.lora_rank}};
}

/// s of a micro-batch's activations between two stages, all ranks at once: inside an island, and over the link between two.
double send_inside(const TrainRequest& r, const TrainPart& part) {
  const Layout& l = part.layout;
  const double bytes = as_double(l.micro_batch * r.sequence * r.model.hidden) * 2 / as_double(l.cp * l.tp);
  return collective_time(Collective::send, ByteCount{bytes}, {.size = 2, .stride = l.tp * l.cp * l.dp}, r.fleet.islands[part.island],
                         r.stack.transport)
      .time.value;
}
double send_across(const TrainRequest& r, const TrainPart& from, const TrainPart& to) {
  const Layout& l = from.layout;
  const IslandLink link = r.fleet.path(from.island, to.island);
  return (ByteCount{as_double(l.dp * l.micro_batch * r.sequence * r.model.hidden) * 2} / link.bandwidth + link.latency).value;
}

/// Parts that are one pipeline.
StepShape pipeline_of(const TrainRequest& r, std::span<const TrainPart> parts, const StepParts& paced) {
  StepShape whole;
  std::int64_t stages = 0;
  for (const TrainPart& part : parts) { stages += std::ssize(part.layers); }
  for (std::size_t p = 0; p < parts.size(); ++p) {
    Layout layout = parts[p].layout;
    layout.pp = stages;
    StepShape shape = estimator_of(r, parts[p]).shape(layout, parts[p].first_layer, parts[p].layers);
    for (std::size_t s = 0; s < shape.stages.size(); ++s) {
      StepShape::Stage& stage = shape.stages[s];
      stage.place = r.fleet.islands[parts[p].island].name;
      const bool last = s + 1 == shape.stages.size();
      stage.send = !last ? send_inside(r, parts[p]) : p + 1 < parts.size() ? send_across(r, parts[p], parts[p + 1]) : 0;
      stage.send_hidden = stage.send * r.stack.pp_overlap;
    }
    if (p == 0) {
      whole.layout = layout;
      whole.microbatches = shape.microbatches;
    }
    whole.stages.insert(whole.stages.end(), shape.stages.begin(), shape.stages.end());
  }
  double each = 0;  // of by_part.dp: what every micro-batch waits for
  for (const StepShape::Stage& s : whole.stages) { each = std::max(each, s.forward.dp + s.backward.dp); }
  whole.reduce = std::max(0.0, paced.dp.value - each * as_double(whole.microbatches));
  whole.optimizer = paced.optimizer.value;
  whole.overhead = paced.other.value;
  whole.step = parts.front().estimate.step.value;
  return whole;
}

/// Puts a group's stages below those that are there.
void append(Timeline& to, Timeline&& group) {
  const auto before = static_cast<std::int32_t>(to.stages.size());
  for (TimelineEvent& e : group.events) {
    e.stage += before;
    to.events.push_back(e);
  }
  to.stages.insert(to.stages.end(), group.stages.begin(), group.stages.end());
  to.step = std::max(to.step, group.step);
  to.played = std::max(to.played, group.played);
}

}  // namespace

Result<Timeline> timeline_of(const TrainPlan& plan, const TrainRequest& r) {
  Timeline all;
  std::vector<std::pair<std::size_t, double>> ends;  // of each group: how many stages there are then, and its step
  std::span<const TrainPart> left = plan.parts;
  while (!left.empty()) {
    // A pipeline over several islands: parts that go on where the one before ends.
    std::size_t count = 1;
    while (count < left.size() && !left[0].layers.empty() && left[count].first_layer > 0) { ++count; }
    StepShape shape;
    if (left[0].layers.empty()) {
      shape = estimator_of(r, left[0]).shape(left[0].layout);
      if (plan.parts.size() > 1) {
        for (StepShape::Stage& s : shape.stages) { s.place = r.fleet.islands[left[0].island].name; }
      }
    } else {
      shape = pipeline_of(r, left.subspan(0, count), left[0].estimate.parts);
    }
    TRY_ASSIGN(Timeline group, timeline_of(shape));
    const double step = group.step.value;
    append(all, std::move(group));
    ends.emplace_back(all.stages.size(), step);
    left = left.subspan(count);
  }
  if (plan.joined != Joined::data) { return all; }
  const double slowest = all.step.value, gradients = std::max(0.0, plan.step.value - slowest);
  std::int32_t stage = 0;
  for (const auto& [end, step] : ends) {
    for (; stage < static_cast<std::int32_t>(end); ++stage) {
      if (slowest > step) {
        all.events.push_back({.stage = stage, .work = TimelineWork::bubble, .start = step, .duration = slowest - step});
      }
      all.events.push_back({.stage = stage, .row = TimelineRow::dp, .work = TimelineWork::reduce, .start = slowest, .duration = gradients});
    }
  }
  all.step.value = slowest + gradients;
  std::stable_sort(all.events.begin(), all.events.end(), [](const TimelineEvent& a, const TimelineEvent& b) {
    return std::tie(a.stage, a.row, a.start) < std::tie(b.stage, b.row, b.start);
  });
  return all;
}

}  // namespace centrale
