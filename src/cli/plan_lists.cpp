// SPDX-License-Identifier: Apache-2.0
// `centrale plan models|chips|stacks`: what is known.
#include <fmt/format.h>

#include <string>

#include "base/text.hpp"
#include "cli/plan.hpp"
#include "cli/plan_inputs.hpp"
#include "cli/plan_json.hpp"
#include "cli/plan_render.hpp"
#include "model/read.hpp"

namespace centrale::cli {
namespace {

std::string mixer_of(const Model& model) {
  std::string text;
  for (const MixerKind kind : {MixerKind::attention, MixerKind::latent, MixerKind::mamba2, MixerKind::delta}) {
    for (const Block& block : model.kinds) {
      const Mixer& m = block.mixer;
      if (m.kind != kind) { continue; }
      std::string name = kind == MixerKind::latent   ? "MLA"
                         : kind == MixerKind::mamba2 ? "Mamba-2"
                         : kind == MixerKind::delta  ? "gated delta"
                         : m.kv_heads == m.heads     ? "MHA"
                         : m.kv_heads == 1           ? "MQA"
                                                     : "GQA";
      if (m.window > 0) { name += fmt::format(" window {}", format_count(m.window)); }
      if (text.find(name) == std::string::npos) { text += (text.empty() ? "" : " + ") + name; }
    }
  }
  return text;
}

struct Experts {
  std::int64_t all = 0, active = 0;
};
Experts experts_of(const Model& model) {
  for (const Block& block : model.kinds) {
    if (block.ffn.experts > 0) { return {block.ffn.experts, block.ffn.active}; }
  }
  return {};
}

double in(double value, double unit) { return value / unit; }

}  // namespace

int plan_models_command(Context& context, const KnownFiles&) {
  Table table{{{"MODEL", Align::left, 12},
               {"PARAMETERS", Align::right},
               {"ACTIVE", Align::right},
               {"LAYERS", Align::right},
               {"HIDDEN", Align::right},
               {"ATTENTION", Align::left, 8},
               {"EXPERTS", Align::right},
               {"VOCABULARY", Align::right, 0, 1},
               {"CONTEXT", Align::right, 0, 2}},
              {}};
  std::string text;
  JsonWriter out(text);
  out.begin_array();
  for (const CatalogueModel& known : catalogue_models()) {
    const auto model = catalogue_model(known.name);
    if (!model) { return report(context, Failure(model.error(), kExitFailed)); }
    const Experts experts = experts_of(*model);
    table.rows.push_back({{std::string(known.name)},
                          {parameters_text(static_cast<double>(parameters(*model)))},
                          {experts.all > 0 ? parameters_text(static_cast<double>(active_parameters(*model))) : unknown(context.style)},
                          {format_count(model->depth())},
                          {format_count(model->hidden)},
                          {mixer_of(*model)},
                          {experts.all > 0 ? fmt::format("{} of {}", experts.active, experts.all) : unknown(context.style)},
                          {format_count(model->vocab)},
                          {model->context > 0 ? format_count(model->context) : unknown(context.style)}});
    out.begin_object();
    out.key("name").text(known.name);
    out.key("parameters").number(parameters(*model));
    out.key("active_parameters").number(active_parameters(*model));
    out.key("layers").number(model->depth());
    out.key("hidden").number(model->hidden);
    out.key("attention").text(mixer_of(*model));
    out.key("experts").number(experts.all);
    out.key("active_experts").number(experts.active);
    out.key("vocabulary").number(model->vocab);
    out.key("context").number(model->context);
    out.end_object();
  }
  out.end_array();
  print(context, context.json ? text : render(table, context.width, context.style));
  return kExitOk;
}

int plan_chips_command(Context& context, const KnownFiles& known) {
  const auto catalogue = catalogue_of(known);
  if (!catalogue) { return report(context, catalogue.error()); }
  Table table{{{"CHIP", Align::left, 12},
               {"BF16 TFLOP/S", Align::right},
               {"FP8", Align::right},
               {"GIB", Align::right},
               {"GB/S", Align::right},
               {"SCALE-UP GB/S", Align::right},
               {"DOMAIN", Align::right},
               {"NETWORK GB/S", Align::right},
               {"WATT", Align::right},
               {catalogue->currency + "/H", Align::right},
               {"NAME", Align::left, 8, 1}},
              {}};
  std::string text;
  JsonWriter out(text);
  out.begin_array();
  for (const ChipType& chip : catalogue->chips) {
    const auto number = [&](double value, int digits) {
      return Cell{value > 0 ? fmt::format("{:.{}f}", value, digits) : unknown(context.style)};
    };
    const double tera = 1e12, giga = 1e9;
    const double bf16 = std::max(chip.peak_of(Precision::bf16).value, chip.peak_of(Precision::fp16).value);
    const double memory = static_cast<double>(chip.memory.value.value), watts = static_cast<double>(chip.power.value.value) * 1e-3;
    const double price = static_cast<double>(chip.price_per_hour.value.value) * 1e-6;
    table.rows.push_back({{chip.key},
                          number(in(bf16, tera), bf16 < 100 * tera ? 1 : 0),
                          number(in(chip.peak_of(Precision::fp8).value, tera), 0),
                          number(in(memory, 0x1p30), 0),
                          number(in(chip.memory_bandwidth.value.value, giga), 0),
                          number(in(chip.scale_up.bandwidth.value.value, giga), 0),
                          {chip.scale_up.chips > 1 ? format_count(chip.scale_up.chips) : unknown(context.style)},
                          number(in(chip.scale_out.bandwidth.value.value, giga), 1),
                          number(watts, 0),
                          number(price, 2),
                          {printable(chip.name)}});
    out.begin_object();
    out.key("key").text(chip.key);
    out.key("vendor").text(chip.vendor);
    out.key("name").text(chip.name);
    const auto sourced = [&](const char* name, double value, const std::string& source) {
      if (value <= 0) { return; }
      out.key(name).begin_object();
      out.key("value").number(value);
      out.key("source").text(source);
      out.end_object();
    };
    out.key("peak_flop_per_s").begin_object();
    for (std::size_t p = 0; p < kPrecisions; ++p) {
      sourced(std::string(kEnumNames<Precision>[p]).c_str(), chip.peak[p].value.value, chip.peak[p].source);
    }
    out.end_object();
    sourced("memory_bytes", memory, chip.memory.source);
    sourced("memory_bytes_per_s", chip.memory_bandwidth.value.value, chip.memory_bandwidth.source);
    sourced("scale_up_bytes_per_s", chip.scale_up.bandwidth.value.value, chip.scale_up.bandwidth.source);
    out.key("domain_chips").number(chip.scale_up.chips);
    sourced("scale_out_bytes_per_s", chip.scale_out.bandwidth.value.value, chip.scale_out.bandwidth.source);
    sourced("power_w", watts, chip.power.source);
    sourced("price_per_hour", price, chip.price_per_hour.source);
    out.key("currency").text(catalogue->currency);
    out.key("chips_per_node").number(chip.chips_per_node);
    out.end_object();
  }
  out.end_array();
  print(context, context.json ? text : render(table, context.width, context.style));
  return kExitOk;
}

int plan_stacks_command(Context& context, const KnownFiles& known) {
  const auto stacks = stacks_of(known);
  if (!stacks) { return report(context, stacks.error()); }
  const auto engines = engines_of(known);
  if (!engines) { return report(context, engines.error()); }
  Table table{{{"STACK"}, {"FOR"}, {"USUAL ON"}, {"NAME", Align::left, 12}, {"CONSTANTS FROM", Align::left, 16}}, {}};
  std::string text;
  JsonWriter out(text);
  out.begin_array();
  const auto add = [&](const std::string& key, const char* purpose, const std::string& vendor, const std::string& name,
                       const std::string& source) {
    table.rows.push_back({{key}, {purpose}, {vendor.empty() ? unknown(context.style) : vendor}, {printable(name)}, {printable(source)}});
    out.begin_object();
    out.key("key").text(key);
    out.key("for").text(purpose);
    out.key("vendor").text(vendor);
    out.key("name").text(name);
    out.key("source").text(source);
    out.end_object();
  };
  for (const Stack& s : *stacks) { add(s.key, "training", s.vendor, s.name, s.source); }
  for (const Engine& e : *engines) { add(e.key, "serving", "", e.name, e.source); }
  out.end_array();
  print(context, context.json ? text : render(table, context.width, context.style));
  return kExitOk;
}

}  // namespace centrale::cli
