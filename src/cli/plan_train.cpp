// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/text.hpp"
#include "cli/plan.hpp"
#include "cli/plan_inputs.hpp"
#include "cli/plan_json.hpp"
#include "cli/plan_render.hpp"
#include "plan/timeline.hpp"
#include "plan/train_rows.hpp"

namespace centrale::cli {
namespace {

/// What was asked, and what the answer should say about how it was read.
struct Asked {
  TrainRequest request;
  std::optional<NamedLayout> layout;
  std::vector<std::string> notes;
};

Outcome<Asked> read_options(const PlanTrainOptions& o) {
  Asked asked;
  TrainRequest& r = asked.request;
  TRY_ASSIGN(r.sequence, count_of("--seq", o.sequence));
  TRY_ASSIGN(const Batch batch, batch_of(o.batch, r.sequence));
  r.global_batch = batch.sequences;
  if (!batch.note.empty()) { asked.notes.push_back(batch.note); }
  if (!o.tokens.empty()) { TRY_ASSIGN(r.tokens, quantity_of("--tokens", o.tokens)); }
  TRY_ASSIGN(r.limits.precisions, precisions_of(o.precisions));
  if (!o.chip_mtbf.empty()) { TRY_ASSIGN(r.reliability.chip_mtbf.value, seconds_of("--chip-mtbf", o.chip_mtbf)); }
  if (!o.restart.empty()) { TRY_ASSIGN(r.reliability.restart.value, seconds_of("--restart", o.restart)); }
  if (!o.checkpoint_every.empty()) { TRY_ASSIGN(r.reliability.interval.value, seconds_of("--checkpoint-every", o.checkpoint_every)); }
  r.lora_rank = o.lora_rank;
  r.memory_margin = o.margin;
  r.pue = o.pue;
  r.plans = o.top;
  TRY_ASSIGN(const Catalogue catalogue, catalogue_of(o.known));
  TRY_ASSIGN(const std::vector<Stack> stacks, stacks_of(o.known));
  TRY_ASSIGN(r.model, model_of(o.model));
  TRY_ASSIGN(r.fleet, fleet_from(o.fleet, catalogue));
  if (o.stack.empty()) {
    r.stack = stack_spoken_of("", r.fleet.islands.front().chip.vendor, stacks);
  } else {
    auto stack = stack_named(o.stack, stacks);
    if (!stack) { return std::unexpected(Failure(std::move(stack).error(), kExitInput)); }
    r.stack = *std::move(stack);
  }
  TRY_ASSIGN(r.limits.schedules, schedules_of(o.schedules, r.stack));
  if (!o.layout.empty()) { TRY_ASSIGN(asked.layout, layout_of(o.layout, r.fleet, r.limits.precisions.front())); }
  return asked;
}

struct Answer {
  std::vector<TrainPlan> plans;
  SearchCount count;
  double seconds = 0;
};

Outcome<Answer> answer_of(const Asked& asked) {
  const auto start = std::chrono::steady_clock::now();
  Answer answer;
  const TrainRequest& r = asked.request;
  if (asked.layout) {
    const auto& islands = r.fleet.islands;
    const auto island = std::find_if(islands.begin(), islands.end(), [&](const Island& i) { return i.name == asked.layout->island; });
    auto plan = judge_layout(r, static_cast<std::size_t>(island - islands.begin()), asked.layout->layout);
    if (!plan) { return std::unexpected(Failure(std::move(plan).error(), kExitInput)); }
    answer.plans.push_back(*std::move(plan));
    answer.count.evaluated = 1;
  } else {
    auto plans = plan_train(r, &answer.count);
    if (!plans) { return std::unexpected(Failure(std::move(plans).error(), kExitInput)); }
    answer.plans = *std::move(plans);
  }
  for (TrainPlan& plan : answer.plans) { plan.notes.insert(plan.notes.begin(), asked.notes.begin(), asked.notes.end()); }
  answer.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return answer;
}

/// The terms of each part of the best plan.
std::vector<std::vector<TrainEstimator::Term>> terms_of(const TrainRequest& r, const TrainPlan& plan) {
  std::vector<std::vector<TrainEstimator::Term>> terms;
  for (const TrainPart& part : plan.parts) {
    const TrainRun run{.sequence = r.sequence, .global_batch = part.sequences, .lora_rank = r.lora_rank};
    TrainEstimator estimator(r.model, r.fleet.islands[part.island], r.stack, run);
    terms.push_back(part.layers.empty() ? estimator.explain(part.layout)
                                        : estimator.explain(part.layout, part.first_layer, part.layers, part.estimate));
  }
  return terms;
}

Outcome<void> write_timeline(const TrainRequest& r, const TrainPlan& plan, const std::string& file) {
  TRY_ASSIGN(const Timeline timeline, timeline_of(plan, r));
  std::string json;
  write_trace(timeline, json);
  std::ofstream out(file, std::ios::binary);
  out << json << std::flush;
  if (!out) {
    return std::unexpected(Failure(Error{ErrorKind::io, std::string("cannot be written: ") + std::strerror(errno), file, {}}, kExitFailed));
  }
  return {};
}

std::string as_json(const Asked& asked, const Answer& answer, bool explain) {
  const TrainRequest& r = asked.request;
  std::string text;
  JsonWriter out(text);
  out.begin_object();
  out.key("model").text(r.model.name);
  out.key("parameters").number(parameters(r.model));
  out.key("fleet").text(r.fleet.name);
  out.key("stack").text(r.stack.key);
  out.key("sequence").number(r.sequence);
  out.key("global_batch").number(r.global_batch);
  out.key("tokens").number(r.tokens);
  out.key("currency").text(r.fleet.currency);
  out.key("search").begin_object();
  out.key("seconds").number(answer.seconds);
  out.key("evaluated").number(answer.count.evaluated);
  out.key("refused").number(answer.count.refused);
  out.key("pruned").number(answer.count.pruned);
  out.end_object();
  out.key("plans").begin_array();
  for (const TrainPlan& plan : answer.plans) { write_plan(out, plan, r); }
  out.end_array();
  if (explain) {
    out.key("explanation").begin_array();
    for (const auto& terms : terms_of(r, answer.plans.front())) { write_terms(out, terms); }
    out.end_array();
  }
  out.end_object();
  return text;
}

std::string heading(const Asked& asked) {
  const TrainRequest& r = asked.request;
  return fmt::format("{} ({} parameters): {} sequences of {} tokens a step\n{}; {}\n\n", printable(r.model.name),
                     parameters_text(static_cast<double>(parameters(r.model))), format_count(r.global_batch), format_count(r.sequence),
                     printable(chips_text(r.fleet)), printable(r.stack.name));
}

std::string looked_at(const Answer& answer, const Context& context) {
  return remark("searched",
                fmt::format("{} layouts estimated, {} without room, {} branches that cannot be better left out, in {}",
                            format_count(answer.count.evaluated), format_count(answer.count.refused), format_count(answer.count.pruned),
                            time_text(answer.seconds)),
                context.width, context.style);
}

}  // namespace

int plan_train_command(Context& context, const PlanTrainOptions& options) {
  const auto asked = read_options(options);
  if (!asked) { return report(context, asked.error()); }
  const auto answer = answer_of(*asked);
  if (!answer) { return report(context, answer.error()); }
  if (context.json) {
    print(context, as_json(*asked, *answer, options.explain));
  } else {
    const TrainPage page{asked->request, answer->plans, context.width, context.style};
    print(context, heading(*asked) + train_tables(page) + "\n" + train_remarks(page) + (asked->layout ? "" : looked_at(*answer, context)));
    if (options.explain) {
      const auto terms = terms_of(asked->request, answer->plans.front());
      for (std::size_t i = 0; i < terms.size(); ++i) { print(context, explanation(page, answer->plans.front().parts[i], terms[i])); }
    }
  }
  if (!options.timeline.empty()) {
    const auto written = write_timeline(asked->request, answer->plans.front(), options.timeline);
    if (!written) { return report(context, written.error()); }
    note(context, "one step of the best layout is in " + options.timeline + ": open it in ui.perfetto.dev");
  }
  const TrainPlan& best = answer->plans.front();
  if (best.headroom.value < 0) {  // only a layout of the user's own
    const Memory& memory = best.parts.front().estimate.memory;
    return report(context, Failure(Error{ErrorKind::invalid,
                                         fmt::format("the layout needs {} a chip, {} has {}{}", memory_text(memory.total().value),
                                                     asked->request.fleet.islands[best.parts.front().island].chip.key,
                                                     memory_text(memory.total().value + best.headroom.value),
                                                     asked->request.memory_margin > 0 ? " after the margin" : ""),
                                         {},
                                         "without --layout the planner finds one that fits"},
                                   kExitInput));
  }
  return kExitOk;
}

}  // namespace centrale::cli
