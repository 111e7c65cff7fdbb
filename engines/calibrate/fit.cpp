// SPDX-License-Identifier: Apache-2.0
#include "fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "simplex.hpp"

namespace centrale::calibrate {
namespace {

constexpr std::size_t kProductsMin = 6;  // fewer cannot tell rate, ramp and launch apart
constexpr std::size_t kStreamsMin = 3;
constexpr int kEvaluations = 400;
constexpr double kLaunchMin = 1e-7;  // s: no operator is dispatched faster; keeps a disturbed fit from leaving it out

double percentile(std::vector<double> values, double part) {
  if (values.empty()) { return 0; }
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

/// Squares near zero, a straight line beyond: a sample that was disturbed after all does not pull the rest with it (Huber 1964).
double penalty(double predicted, double measured) {
  constexpr double kCorner = 0.2;
  const double off = std::abs(std::log(predicted / measured));
  return off < kCorner ? off * off : kCorner * (2 * off - kCorner);
}

PartError error_of(const std::string& part, const std::vector<double>& off) {
  return {part, static_cast<std::int64_t>(off.size()), percentile(off, 0.5), percentile(off, 0.9)};
}

std::size_t index_of(Precision p) { return static_cast<std::size_t>(p); }

double flop_of(const Gemm& g) { return 2 * g.m * g.n * g.k * g.batch; }

/// The products and streams together, since they share the launch.
class Common {
 public:
  Common(const Samples& samples, ChipType& chip, Precision main) : samples_(samples), chip_(chip), main_(main) {
    for (const GemmSample& s : samples.gemms) {
      if (s.shape.precision == main_) { products_.push_back(&s); }
      has_batches_ = has_batches_ || (s.shape.batch > 1 && s.shape.precision == main_);
    }
    for (const StreamSample& s : samples.streams) { fastest_stream_ = std::max(fastest_stream_, s.bytes / s.time.seconds); }
    for (const GemmSample* s : products_) { fastest_ = std::max(fastest_, flop_of(s->shape) / s->time.seconds); }
  }

  [[nodiscard]] bool enough() const { return products_.size() >= kProductsMin && samples_.streams.size() >= kStreamsMin; }

  /// The best constants with this tile; the penalty they leave.
  double solve(double tile_m, double tile_n) {
    chip_.efficiency.tile_m = tile_m;
    chip_.efficiency.tile_n = tile_n;
    std::vector<double> start{std::log(fastest_), std::log(32.0), std::log(2e-6), std::log(fastest_stream_ * 0.8)};
    if (has_batches_) { start.push_back(std::log(2e-6)); }
    const auto value = [&](const std::vector<double>& point) {
      set(point);
      return misfit();
    };
    const std::vector<double> best = minimise(value, minimise(value, start, 1.0, kEvaluations), 0.3, kEvaluations);
    set(best);
    return misfit();
  }

  /// Rates into the form of the catalogue: what was seen at best, and the part of it that is usual.
  void settle() {
    const double rate = chip_.peak[index_of(main_)].value.value, stream = chip_.memory_bandwidth.value.value;
    const double peak = std::max(rate, fastest_), bandwidth = std::max(stream, fastest_stream_);
    chip_.peak[index_of(main_)].value.value = peak;
    chip_.efficiency.gemm = rate / peak;
    chip_.memory_bandwidth.value.value = bandwidth;
    chip_.efficiency.memory = stream / bandwidth;
  }

 private:
  void set(const std::vector<double>& point) {
    ChipEfficiency& e = chip_.efficiency;
    e.gemm = 1;
    e.memory = 1;
    chip_.peak[index_of(main_)].value.value = std::exp(point[0]);
    e.inner = std::exp(point[1]);
    e.launch.value = std::max(std::exp(point[2]), kLaunchMin);
    chip_.memory_bandwidth.value.value = std::exp(point[3]);
    e.batch_item.value = has_batches_ ? std::exp(point[4]) : 0;
  }

  [[nodiscard]] double misfit() const {
    double products = 0, streams = 0;
    for (const GemmSample* s : products_) { products += penalty(gemm_time(s->shape, chip_).time.value, s->time.seconds); }
    for (const StreamSample& s : samples_.streams) {
      streams += penalty(stream_time(ByteCount{s.bytes}, 1, chip_).time.value, s.time.seconds);
    }
    return products / static_cast<double>(products_.size()) + streams / static_cast<double>(samples_.streams.size());
  }

  const Samples& samples_;
  ChipType& chip_;
  Precision main_;
  std::vector<const GemmSample*> products_;
  bool has_batches_ = false;
  double fastest_ = 0, fastest_stream_ = 0;
};

/// The format that the shared constants are fitted on: what training uses, so 16 bit on a GPU.
Precision main_precision(const Samples& samples) {
  const auto measured = [&](Precision precision) {
    return std::any_of(samples.gemms.begin(), samples.gemms.end(), [&](const GemmSample& s) { return s.shape.precision == precision; });
  };
  if (!samples.machine.is_cpu) {
    for (const Precision precision : {Precision::bf16, Precision::fp16}) {
      if (measured(precision)) { return precision; }
    }
  }
  return Precision::fp32;
}

void fit_tiles(Common& common, bool is_cpu) {
  // A processor's library blocks for registers and caches, small; a GPU's unit computes a large block at once.
  const std::vector<double> sides = is_cpu ? std::vector<double>{1, 4, 8, 16, 32, 64} : std::vector<double>{32, 64, 128, 256};
  double best = 0, best_m = 0, best_n = 0;
  for (const double m : sides) {
    for (const double n : sides) {
      const double misfit = common.solve(m, n);
      if (best_m == 0 || misfit < best) {
        best = misfit;
        best_m = m;
        best_n = n;
      }
    }
  }
  common.solve(best_m, best_n);
  common.settle();
}

/// The other formats share the constants and differ in their peak.
void fit_peaks(const Samples& samples, Precision main, ChipType& chip) {
  for (std::size_t p = 0; p < kPrecisions; ++p) {
    std::vector<const GemmSample*> of_it;
    for (const GemmSample& s : samples.gemms) {
      if (index_of(s.shape.precision) == p) { of_it.push_back(&s); }
    }
    if (p == index_of(main) || of_it.empty()) { continue; }
    const auto value = [&](const std::vector<double>& point) {
      chip.peak[p].value.value = std::exp(point[0]);
      double sum = 0;
      for (const GemmSample* s : of_it) { sum += penalty(gemm_time(s->shape, chip).time.value, s->time.seconds); }
      return sum;
    };
    static_cast<void>(value(minimise(value, {std::log(chip.peak_of(main).value)}, 1.0, kEvaluations)));
  }
}

void fit_attention(const Samples& samples, ChipType& chip) {
  if (samples.attention.empty()) { return; }
  const auto value = [&](const std::vector<double>& point) {
    chip.efficiency.attention = std::exp(point[0]);
    double sum = 0;
    for (const AttentionSample& s : samples.attention) { sum += penalty(flash_attention_time(s.shape, chip).time.value, s.time.seconds); }
    return sum;
  };
  const double best = minimise(value, {std::log(0.5)}, 0.5, kEvaluations)[0];
  chip.efficiency.attention = std::clamp(std::exp(best), 0.001, 1.0);
}

struct LinkLaw {
  double bandwidth = 0, latency = 0;
};

/// A ring: each of 2 (n - 1) steps passes 1/n of the vector on (Thakur, Rabenseifner, Gropp 2005, section 4.5).
double ring_seconds(const LinkSample& s, const LinkLaw& law) {
  const auto n = static_cast<double>(s.ranks);
  return 2 * (n - 1) * (law.latency + s.bytes / n / law.bandwidth);
}

LinkLaw fit_links(const Samples& samples) {
  const auto law_of = [](const std::vector<double>& point) { return LinkLaw{std::exp(point[0]), std::exp(point[1])}; };
  const auto value = [&](const std::vector<double>& point) {
    double sum = 0;
    for (const LinkSample& s : samples.links) { sum += penalty(ring_seconds(s, law_of(point)), s.time.seconds); }
    return sum;
  };
  return law_of(minimise(value, minimise(value, {std::log(1e9), std::log(2e-5)}, 1.0, kEvaluations), 0.3, kEvaluations));
}

/// The rate that the links reach at best, and the part of it that is usual, into the chip.
void settle_links(const Samples& samples, const LinkLaw& law, const std::string& source, ChipType& chip) {
  double fastest = law.bandwidth;
  for (const LinkSample& s : samples.links) {
    const auto n = static_cast<double>(s.ranks);
    fastest = std::max(fastest, 2 * (n - 1) / n * s.bytes / s.time.seconds);
  }
  if (samples.machine.is_cpu) {
    chip.scale_out = {{{fastest}, source + ": sums between processes of this machine through Gloo"}, {law.latency}};
    chip.efficiency.network = law.bandwidth / fastest;
    return;
  }
  chip.scale_up.wiring = Wiring::fabric;
  chip.scale_up.chips = samples.machine.chips;
  chip.scale_up.bandwidth = {{fastest}, source + ": sums between the devices of this machine"};
  chip.scale_up.latency = {law.latency};
  chip.efficiency.links = law.bandwidth / fastest;
}

std::vector<PartError> errors_of(const Samples& samples, const ChipType& chip, const LinkLaw& law) {
  std::map<std::string, std::vector<double>> off;  // by part; ordered, so that the table is always the same
  for (const GemmSample& s : samples.gemms) {
    const std::string part = fmt::format("{} {}", s.shape.batch > 1 ? "batched product" : "product", enum_name(s.shape.precision));
    off[part].push_back(std::abs(gemm_time(s.shape, chip).time.value / s.time.seconds - 1));
  }
  for (const StreamSample& s : samples.streams) {
    off["stream"].push_back(std::abs(stream_time(ByteCount{s.bytes}, 1, chip).time.value / s.time.seconds - 1));
  }
  for (const AttentionSample& s : samples.attention) {
    off["attention"].push_back(std::abs(flash_attention_time(s.shape, chip).time.value / s.time.seconds - 1));
  }
  for (const LinkSample& s : samples.links) { off["collective"].push_back(std::abs(ring_seconds(s, law) / s.time.seconds - 1)); }
  std::vector<PartError> errors;
  for (const auto& [part, values] : off) { errors.push_back(error_of(part, values)); }
  return errors;
}

void name_it(const Samples& samples, const std::string& key, const std::string& source, ChipType& chip) {
  const Machine& m = samples.machine;
  chip.key = key;
  chip.vendor = m.vendor;
  chip.name = m.is_cpu ? fmt::format("{}, {} threads as one chip", m.name, m.units) : m.name;
  chip.memory = {{m.memory}, source};
  chip.units = {static_cast<double>(m.units), source};
  chip.chips_per_node = m.chips;
  const Catalogue& known = default_catalogue();
  const ChipType* like = m.is_cpu ? known.chip("cpu-core") : known.chip_printed_as(m.name);
  const std::int64_t times = m.is_cpu ? m.units : 1;
  if (like != nullptr) {
    if (!m.is_cpu) { chip.vendor = like->vendor; }  // libtorch calls AMD's devices cuda too
    const std::string from = fmt::format("not measured: the catalogue's {} x {}", like->key, times);
    chip.power = {like->power.value * times, from};
    chip.price_per_hour = {like->price_per_hour.value * times, from};
  } else {
    chip.power.source = chip.price_per_hour.source = "not measured, and not in the catalogue: fill it in";
  }
}

}  // namespace

Result<Fit> fit_chip(const Samples& samples, const std::string& key) {
  const Machine& m = samples.machine;
  const std::string source = fmt::format("measured by centrale calibrate on {}, {}", m.name, m.date);
  Fit fit;
  ChipType& chip = fit.chip;
  name_it(samples, key, source, chip);
  const Precision main = main_precision(samples);
  Common common(samples, chip, main);
  if (!common.enough()) {
    return fail(ErrorKind::invalid,
                fmt::format("{} products and {} streams were measured, wants {} and {} at least", samples.gemms.size(),
                            samples.streams.size(), kProductsMin, kStreamsMin),
                "calibrate");
  }
  fit_tiles(common, m.is_cpu);
  fit_peaks(samples, main, chip);
  fit_attention(samples, chip);
  chip.efficiency.host.value = samples.host.seconds;
  chip.efficiency.source = fmt::format("{}, {}", source, m.library);
  for (std::size_t p = 0; p < kPrecisions; ++p) {
    if (chip.peak[p].value.value > 0) {
      chip.peak[p].source = source + (p == index_of(main) ? ": the fastest product" : ": products, at the same efficiency");
    }
  }
  chip.memory_bandwidth.source = source + ": the fastest stream, from the caches where it fits";
  LinkLaw law;
  if (!samples.links.empty()) {
    law = fit_links(samples);
    settle_links(samples, law, source, chip);
  }
  fit.errors = errors_of(samples, chip, law);
  return fit;
}

}  // namespace centrale::calibrate
