// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.hpp"
#include "shapes.hpp"

namespace centrale::calibrate {
namespace {

std::string row(const std::string& name, const std::string& value, const std::string& text) {
  return fmt::format("  {:<18} {:>12}  {}", name, value, text) + "\n";
}

std::int64_t disturbed(const Samples& samples) {
  std::int64_t sum = samples.host.disturbed;
  for (const auto& s : samples.gemms) { sum += s.time.disturbed; }
  for (const auto& s : samples.streams) { sum += s.time.disturbed; }
  for (const auto& s : samples.attention) { sum += s.time.disturbed; }
  return sum;
}

double usual_spread(const Samples& samples) {
  std::vector<double> spreads;
  for (const auto& s : samples.gemms) { spreads.push_back(s.time.spread); }
  for (const auto& s : samples.streams) { spreads.push_back(s.time.spread); }
  if (spreads.empty()) { return 0; }
  std::nth_element(spreads.begin(), spreads.begin() + static_cast<std::ptrdiff_t>(spreads.size() / 2), spreads.end());
  return spreads[spreads.size() / 2];
}

void write(JsonWriter& w, const Timing& t) {
  w.key("seconds").number(t.seconds).key("spread").number(t.spread).key("runs").number(t.runs).key("disturbed").number(t.disturbed);
}

void write_constants(JsonWriter& w, const ChipType& chip) {
  const ChipEfficiency& e = chip.efficiency;
  w.key("constants").begin_object();
  for (std::size_t p = 0; p < kPrecisions; ++p) {
    if (chip.peak[p].value.value > 0) { w.key(fmt::format("peak_{}", kEnumNames<Precision>[p])).number(chip.peak[p].value.value); }
  }
  w.key("bandwidth").number(chip.memory_bandwidth.value.value).key("gemm").number(e.gemm).key("attention").number(e.attention);
  w.key("memory").number(e.memory).key("tile_m").number(e.tile_m).key("tile_n").number(e.tile_n).key("inner").number(e.inner);
  w.key("launch_s").number(e.launch.value).key("batch_item_s").number(e.batch_item.value).key("host_s").number(e.host.value);
  w.key("scale_up").number(chip.scale_up.bandwidth.value.value).key("links").number(e.links);
  w.key("scale_out").number(chip.scale_out.bandwidth.value.value).key("network").number(e.network).end_object();
}

void write_samples(JsonWriter& w, const Samples& samples, const ChipType& chip) {
  w.key("products").begin_array();
  for (const GemmSample& s : samples.gemms) {
    w.begin_object().key("shape").text(to_text(s.shape)).key("product").text(enum_name(s.product));
    w.key("precision").text(enum_name(s.shape.precision)).key("fitted_s").number(gemm_time(s.shape, chip).time.value);
    write(w, s.time);
    w.end_object();
  }
  w.end_array().key("streams").begin_array();
  for (const StreamSample& s : samples.streams) {
    w.begin_object().key("operator").text(s.name).key("bytes").number(s.bytes);
    w.key("fitted_s").number(stream_time(ByteCount{s.bytes}, 1, chip).time.value);
    write(w, s.time);
    w.end_object();
  }
  w.end_array().key("attention").begin_array();
  for (const AttentionSample& s : samples.attention) {
    w.begin_object().key("sequences").number(s.shape.batch).key("heads").number(s.shape.heads).key("tokens").number(s.shape.queries);
    w.key("width").number(s.shape.head_dim).key("fused").boolean(s.fused);
    w.key("fitted_s").number(flash_attention_time(s.shape, chip).time.value);
    write(w, s.time);
    w.end_object();
  }
  w.end_array().key("collectives").begin_array();
  for (const LinkSample& s : samples.links) {
    w.begin_object().key("ranks").number(s.ranks).key("bytes").number(s.bytes);
    write(w, s.time);
    w.end_object();
  }
  w.end_array().key("host").begin_object();
  write(w, samples.host);
  w.end_object();
}

}  // namespace

std::string table(const Samples& samples, const Fit& fit) {
  const ChipType& c = fit.chip;
  const ChipEfficiency& e = c.efficiency;
  std::string out = fmt::format("{} ({}), {}\n", c.key, c.name, samples.machine.library);
  for (std::size_t p = 0; p < kPrecisions; ++p) {
    if (c.peak[p].value.value > 0) {
      out += row(fmt::format("peak {}", kEnumNames<Precision>[p]), fmt::format("{:.1f} G", c.peak[p].value.value * 1e-9),
                 "FLOP/s of products");
    }
  }
  out += row("gemm", fmt::format("{:.3f}", e.gemm), "of the peak: large products");
  out += row("inner", fmt::format("{:.0f}", e.inner), "inputs at which a product reaches half its rate");
  out += row("tile", fmt::format("{:.0f} x {:.0f}", e.tile_m, e.tile_n),
             fmt::format("outputs that each of {:.0f} units computes at once", c.units.value));
  out += row("launch", fmt::format("{:.1f} us", e.launch.value * 1e6), "of one operator behind another");
  if (e.batch_item.value > 0) {
    out += row("batch_item", fmt::format("{:.1f} us", e.batch_item.value * 1e6), "of each product of a batch");
  }
  out += row("host", fmt::format("{:.1f} us", e.host.value * 1e6), "of one operator on a few bytes");
  out += row("bandwidth", fmt::format("{:.1f} GB/s", c.memory_bandwidth.value.value * 1e-9), "the fastest stream");
  out += row("memory", fmt::format("{:.3f}", e.memory), "of it: usual streams");
  out += row("attention", fmt::format("{:.3f}", e.attention), "of the peak: attention over long sequences");
  if (c.scale_up.bandwidth.value.value > 0) {
    out += row("scale_up", fmt::format("{:.2f} GB/s", c.scale_up.bandwidth.value.value * 1e-9),
               fmt::format("{:.1f} us; links {:.3f}", c.scale_up.latency.value * 1e6, e.links));
  }
  if (c.scale_out.bandwidth.value.value > 0) {
    out += row("scale_out", fmt::format("{:.2f} GB/s", c.scale_out.bandwidth.value.value * 1e-9),
               fmt::format("{:.1f} us; network {:.3f}", c.scale_out.latency.value * 1e6, e.network));
  }
  out += "\n  how far the formulas are from what was measured\n";
  for (const PartError& p : fit.errors) {
    out += row(p.part, fmt::format("{:.1f} %", p.median * 100),
               fmt::format("median; 90th percentile {:.1f} %, {} samples", p.p90 * 100, p.samples));
  }
  out += row("spread", fmt::format("{:.1f} %", usual_spread(samples) * 100),
             fmt::format("of one measurement; {} runs were disturbed and thrown away", disturbed(samples)));
  for (const std::string& note : samples.notes) { out += "  note: " + note + "\n"; }
  return out;
}

std::string json(const Samples& samples, const Fit& fit, const std::string& file) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("key").text(fit.chip.key).key("name").text(fit.chip.name).key("device").text(samples.machine.device);
  w.key("library").text(samples.machine.library).key("date").text(samples.machine.date).key("file").text(file);
  write_constants(w, fit.chip);
  w.key("errors").begin_array();
  for (const PartError& p : fit.errors) {
    w.begin_object().key("part").text(p.part).key("samples").number(p.samples).key("median_pct").number(p.median * 100);
    w.key("p90_pct").number(p.p90 * 100).end_object();
  }
  w.end_array()
      .key("spread_pct")
      .number(usual_spread(samples) * 100)
      .key("disturbed")
      .number(disturbed(samples))
      .key("others_pct")
      .number(samples.others * 100);
  w.key("notes").begin_array();
  for (const std::string& note : samples.notes) { w.text(note); }
  w.end_array();
  write_samples(w, samples, fit.chip);
  w.end_object();
  return out + "\n";
}

}  // namespace centrale::calibrate
