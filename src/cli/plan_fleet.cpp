// SPDX-License-Identifier: Apache-2.0
// `centrale plan fleet`: which chips, and how many.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.hpp"
#include "cli/plan.hpp"
#include "cli/plan_inputs.hpp"
#include "cli/plan_json.hpp"
#include "cli/plan_render.hpp"
#include "plan/fleet_choice.hpp"
#include "plan/train_rows.hpp"

namespace centrale::cli {
namespace {

/// Keys of chips, or the start of one, as fleets take them.
Outcome<std::vector<ChipType>> chips_of(std::string_view text, const Catalogue& catalogue) {
  std::vector<ChipType> chips;
  while (true) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string name(text.substr(0, comma));
    const auto fleet = fleet_of(name + " x 1", catalogue);
    if (!fleet) { return std::unexpected(Failure(fleet.error(), kExitInput)); }
    chips.push_back(fleet->islands.front().chip);
    if (comma == text.size()) { return chips; }
    text.remove_prefix(comma + 1);
  }
}

/// The question, a stack for each chip beside it.
struct AskedOfChips {
  FleetQuestion question;
  std::vector<Stack> stacks;
};

Outcome<AskedOfChips> question_of(const PlanFleetOptions& o) {
  AskedOfChips asked;
  FleetQuestion& q = asked.question;
  TRY_ASSIGN(const Catalogue catalogue, catalogue_of(o.known));
  TRY_ASSIGN(const std::vector<Stack> stacks, stacks_of(o.known));
  TrainRequest& r = q.training;
  TRY_ASSIGN(r.tokens, quantity_of("--tokens", o.tokens));
  TRY_ASSIGN(r.sequence, count_of("--seq", o.sequence));
  if (!o.batch.empty()) {
    TRY_ASSIGN(const Batch batch, batch_of(o.batch, r.sequence));
    r.global_batch = batch.sequences;
  }
  TRY_ASSIGN(r.limits.precisions, precisions_of(o.precisions));
  TRY_ASSIGN(r.model, model_of(o.model));
  TRY_ASSIGN(q.chips, chips_of(o.chips, catalogue));
  for (const ChipType& chip : q.chips) {
    auto stack = o.stack.empty() ? Result<Stack>(stack_spoken_of("", chip.vendor, stacks)) : stack_named(o.stack, stacks);
    if (!stack) { return std::unexpected(Failure(std::move(stack).error(), kExitInput)); }
    asked.stacks.push_back(*std::move(stack));
  }
  q.days = o.days;
  q.chips_max = o.chips_max;
  q.currency = catalogue.currency;
  return asked;
}

/// Each chip with its own stack; in the order of plan_fleet().
Outcome<std::vector<FleetChoice>> choices_of(const AskedOfChips& asked) {
  std::vector<FleetChoice> all;
  for (std::size_t i = 0; i < asked.stacks.size(); ++i) {
    FleetQuestion one = asked.question;
    one.chips = {asked.question.chips[i]};
    one.training.stack = asked.stacks[i];
    TRY_ASSIGN(one.training.limits.schedules, schedules_of("", asked.stacks[i]));
    auto choices = plan_fleet(one);
    if (!choices) { return std::unexpected(Failure(std::move(choices).error(), kExitInput)); }
    for (FleetChoice& choice : *choices) { all.push_back(std::move(choice)); }
  }
  std::stable_sort(all.begin(), all.end(), [](const FleetChoice& a, const FleetChoice& b) {
    if ((a.chips > 0) != (b.chips > 0)) { return a.chips > 0; }
    return a.plan.cost < b.plan.cost;
  });
  return all;
}

std::string as_json(const FleetQuestion& q, const std::vector<FleetChoice>& choices) {
  std::string text;
  JsonWriter out(text);
  out.begin_object();
  out.key("model").text(q.training.model.name);
  out.key("days").number(q.days);
  out.key("currency").text(q.currency);
  out.key("choices").begin_array();
  for (const FleetChoice& c : choices) {
    out.begin_object();
    out.key("chip").text(c.chip.key);
    out.key("chips").number(c.chips);
    if (c.chips > 0) {
      TrainRequest request = q.training;
      request.fleet.islands = {island_of(c.chip.key, c.chip, c.chips)};
      out.key("plan");
      write_plan(out, c.plan, request);
    } else {
      out.key("why_not").text(c.why_not);
    }
    out.end_object();
  }
  out.end_array();
  out.end_object();
  return text;
}

Table table_of(const FleetQuestion& q, const std::vector<FleetChoice>& choices, const Style& style) {
  Table table{{{"CHIP"},
               {"CHIPS", Align::right},
               {"DAYS", Align::right},
               {"COST " + q.currency, Align::right},
               {"MWH", Align::right},
               {"MFU", Align::right},
               {"LAYOUT", Align::left, 20}},
              {}};
  for (const FleetChoice& c : choices) {
    if (c.chips == 0) { continue; }
    const Tone tone = &c == &choices.front() ? Tone::bold : Tone::plain;
    table.rows.push_back({{c.chip.key, tone},
                          {format_count(c.chips), tone},
                          {days_text(c.plan.days), tone},
                          {c.plan.cost > 0 ? short_count(c.plan.cost) : unknown(style), tone},
                          {days_text(c.plan.mwh), tone},
                          {tight_percent(c.plan.mfu), tone},
                          {to_text(c.plan.parts.front().layout), tone}});
  }
  return table;
}

Failure none_in_time(const FleetQuestion& q) {
  return {Error{ErrorKind::invalid,
                fmt::format("no chip asked about trains this within {:g} days", q.days),
                {},
                "give more --days, a larger --max, or other --chips"},
          kExitInput};
}

}  // namespace

int plan_fleet_command(Context& context, const PlanFleetOptions& options) {
  const auto asked = question_of(options);
  if (!asked) { return report(context, asked.error()); }
  const auto choices = choices_of(*asked);
  if (!choices) { return report(context, choices.error()); }
  const FleetQuestion& question = asked->question;
  if (context.json) {
    print(context, as_json(question, *choices));
    return choices->front().chips > 0 ? kExitOk : report(context, none_in_time(question));
  }
  const Model& model = question.training.model;
  std::string text =
      fmt::format("{} ({} parameters), {} tokens within {} days\n\n", printable(model.name),
                  parameters_text(static_cast<double>(parameters(model))), short_count(question.training.tokens), days_text(question.days));
  const bool any = choices->front().chips > 0;  // those that can come first
  if (any) { text += render(table_of(question, *choices, context.style), context.width, context.style) + "\n"; }
  for (const FleetChoice& c : *choices) {
    if (c.chips == 0) { text += remark(c.chip.key, printable(c.why_not), context.width, context.style); }
  }
  print(context, text);
  if (any) { return kExitOk; }
  return report(context, none_in_time(question));
}

}  // namespace centrale::cli
