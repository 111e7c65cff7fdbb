// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_json.hpp"

namespace centrale::cli {
namespace {

void write_parts(JsonWriter& out, const StepParts& p) {
  out.begin_object();
  const std::pair<const char*, Seconds> parts[] = {{"forward", p.forward},
                                                   {"backward", p.backward},
                                                   {"recompute", p.recompute},
                                                   {"head", p.head},
                                                   {"tp", p.tp},
                                                   {"cp", p.cp},
                                                   {"ep", p.ep},
                                                   {"pp", p.pp},
                                                   {"dp", p.dp},
                                                   {"bubble", p.bubble},
                                                   {"optimizer", p.optimizer},
                                                   {"other", p.other}};
  for (const auto& [name, seconds] : parts) { out.key(name).number(seconds.value); }
  out.end_object();
}

void write_memory(JsonWriter& out, const Memory& m, double capacity) {
  out.begin_object();
  const std::pair<const char*, double> parts[] = {{"weights", m.weights.value},     {"gradients", m.gradients.value},
                                                  {"optimizer", m.optimizer.value}, {"activations", m.activations.value},
                                                  {"buffers", m.buffers.value},     {"reserved", m.reserved.value},
                                                  {"total", m.total().value},       {"of", capacity}};
  for (const auto& [name, bytes] : parts) { out.key(name).number(bytes); }
  out.end_object();
}

void write_part(JsonWriter& out, const TrainPart& part, const TrainRequest& request) {
  const Island& island = request.fleet.islands[part.island];
  out.begin_object();
  out.key("island").text(island.name);
  out.key("chip").text(island.chip.key);
  out.key("chips").number(part.layout.chips());
  out.key("layout").text(to_text(part.layout));
  out.key("degrees");
  write_layout(out, part.layout);
  out.key("sequences").number(part.sequences);
  out.key("micro_batches").number(part.estimate.microbatches);
  out.key("step_s").number(part.estimate.step.value);
  out.key("parts_s");
  write_parts(out, part.estimate.parts);
  out.key("memory_bytes");
  write_memory(out, part.estimate.memory, static_cast<double>(island.chip.memory.value.value));
  out.key("fullest_stage").number(part.estimate.fullest_stage);
  out.key("mfu").number(part.estimate.mfu);
  if (!part.layers.empty()) {
    out.key("first_layer").number(part.first_layer);
    out.key("layers").begin_array();
    for (const std::int64_t n : part.layers) { out.number(n); }
    out.end_array();
  }
  out.end_object();
}

}  // namespace

void write_layout(JsonWriter& out, const Layout& l) {
  out.begin_object();
  const std::pair<const char*, std::int64_t> numbers[] = {{"tp", l.tp},
                                                          {"cp", l.cp},
                                                          {"dp", l.dp},
                                                          {"pp", l.pp},
                                                          {"ep", l.ep},
                                                          {"etp", l.etp},
                                                          {"interleave", l.interleave},
                                                          {"micro_batch", l.micro_batch},
                                                          {"layers_recomputed", l.layers_recomputed},
                                                          {"shard", l.shard}};
  for (const auto& [name, value] : numbers) { out.key(name).number(value); }
  out.key("schedule").text(enum_name(l.schedule));
  out.key("zero").text(enum_name(l.zero));
  out.key("recompute").text(enum_name(l.recompute));
  out.key("offload").text(enum_name(l.offload));
  out.key("precision").text(enum_name(l.precision));
  out.key("sequence_parallel").boolean(l.sequence_parallel);
  out.end_object();
}

void write_plan(JsonWriter& out, const TrainPlan& plan, const TrainRequest& request) {
  out.begin_object();
  out.key("joined").text(enum_name(plan.joined));
  out.key("parts").begin_array();
  for (const TrainPart& part : plan.parts) { write_part(out, part, request); }
  out.end_array();
  out.key("step_s").number(plan.step.value);
  out.key("parts_s");
  write_parts(out, plan.by_part);
  out.key("links_s").number(plan.links.value);
  out.key("tokens_per_s").number(plan.tokens.value);
  out.key("mfu").number(plan.mfu);
  out.key("chips").number(plan.chips);
  out.key("idle_chips").number(plan.idle_chips);
  out.key("global_batch").number(plan.global_batch);
  out.key("headroom_bytes").number(plan.headroom.value);
  out.key("fits").boolean(plan.headroom.value >= 0);
  out.key("days").number(plan.days);
  out.key("mwh").number(plan.mwh);
  out.key("cost").number(plan.cost);
  out.key("goodput").begin_object();
  out.key("fraction").number(plan.goodput.fraction);
  out.key("mtbf_s").number(plan.goodput.mtbf.value);
  out.key("checkpoint_bytes").number(plan.goodput.checkpoint.value);
  out.key("checkpoint_interval_s").number(plan.goodput.interval.value);
  out.key("checkpoint_pause_s").number(plan.goodput.pause.value);
  out.end_object();
  out.key("bound_by").text(plan.bound_by);
  out.key("notes").begin_array();
  for (const std::string& note : plan.notes) { out.text(note); }
  out.end_array();
  out.end_object();
}

void write_terms(JsonWriter& out, const std::vector<TrainEstimator::Term>& terms) {
  out.begin_array();
  for (const TrainEstimator::Term& term : terms) {
    out.begin_object();
    out.key("name").text(term.name);
    out.key("value").text(term.value);
    out.key("source").text(term.source);
    out.end_object();
  }
  out.end_array();
}

}  // namespace centrale::cli
