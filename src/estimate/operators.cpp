// SPDX-License-Identifier: Apache-2.0
#include "estimate/operators.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace centrale {
namespace {

struct Tile {
  double m, n;        // of the chip's largest tile
  double efficiency;  // of the rate that the largest tile reaches
};
// What libraries fall back to where the largest tile leaves units idle. The efficiencies follow from the operands that a tile reads for
// each product (m x n outputs need m + n operands a step): a tile of half the area reads about 1.4 times as much for each product.
constexpr std::array<Tile, 4> kTiles{{{1, 1, 1}, {1, 0.5, 0.93}, {0.5, 0.5, 0.8}, {0.5, 0.25, 0.65}}};

// A library's split-K and stream-K level the last wave out in part (Osama et al., "Stream-K", arXiv:2301.03598, section 5).
constexpr double kLastWave = 0.5;

double efficiency_of(Precision precision, const ChipEfficiency& efficiency) {
  switch (precision) {
    case Precision::fp8:
    case Precision::int8: return efficiency.gemm_fp8;
    case Precision::fp4: return efficiency.gemm_fp4;
    case Precision::fp32:
    case Precision::tf32:
    case Precision::fp16:
    case Precision::bf16: return efficiency.gemm;
  }
  return efficiency.gemm;
}

OperatorTime sum_up(double compute, double memory, double launch) {
  return {.time = Seconds{std::max(compute, memory) + launch}, .compute = {compute}, .memory = {memory}, .launch = {launch}};
}

double stream_seconds(double bytes, const ChipType& chip) { return bytes / (chip.memory_bandwidth.value.value * chip.efficiency.memory); }

/// FLOP of a forward pass of attention: two matrix products over the keys that each query sees.
double attention_flop(const AttentionShape& shape) {
  double keys = shape.keys;
  if (shape.causal) {
    // Queries are the last of the keys: the mean over queries of the keys at and before each.
    keys -= (shape.queries - 1) / 2;
  }
  if (shape.window > 0) { keys = std::min(keys, shape.window); }
  return 2 * shape.batch * shape.heads * shape.queries * keys * (shape.head_dim + shape.value_dim);
}

// Fused attention's rate over shorter sequences and narrower heads, as measured by its authors: FlashAttention-2 (arXiv:2307.08691, figures
// 4 to 7): 64-wide heads reach about 0.85 of 128-wide ones, 1,024 tokens about 0.7 of 16,384.
constexpr double kHeadHalf = 24;
constexpr double kKeysHalf = 384;

double flash_rate(const AttentionShape& shape, const ChipType& chip) {
  const Precision precision =
      shape.precision == Precision::fp8 && chip.peak_of(Precision::fp8).value > 0 ? Precision::fp8 : Precision::bf16;
  double peak = chip.peak_of(precision).value;
  if (peak <= 0) { peak = best_peak(chip, shape.precision).value; }
  const double head = shape.head_dim / (shape.head_dim + kHeadHalf) * (128 + kHeadHalf) / 128;
  const double seen = shape.window > 0 ? std::min(shape.window, shape.keys) : shape.keys;
  const double keys = seen / (seen + kKeysHalf);
  return peak * chip.efficiency.attention * std::min(head, 1.1) * keys;
}

double flash_bytes(const AttentionShape& shape) {
  const double queries = shape.batch * shape.queries * shape.heads * (shape.head_dim + shape.value_dim) * 2;
  const double seen = shape.window > 0 ? std::min(shape.window + shape.queries, shape.keys) : shape.keys;
  return queries + shape.batch * seen * shape.kv_heads * (shape.head_dim + shape.value_dim) * shape.cache_bytes;
}

}  // namespace

FlopPerSecond best_peak(const ChipType& chip, Precision precision) {
  // What a chip without the format does instead: the next wider one.
  static constexpr std::array<std::array<Precision, 6>, kPrecisions> kInstead{{
      {Precision::fp32, Precision::tf32, Precision::bf16, Precision::fp16, Precision::fp32, Precision::fp32},
      {Precision::tf32, Precision::fp32, Precision::bf16, Precision::fp16, Precision::fp32, Precision::fp32},
      {Precision::fp16, Precision::bf16, Precision::tf32, Precision::fp32, Precision::fp32, Precision::fp32},
      {Precision::bf16, Precision::fp16, Precision::tf32, Precision::fp32, Precision::fp32, Precision::fp32},
      {Precision::fp8, Precision::int8, Precision::bf16, Precision::fp16, Precision::tf32, Precision::fp32},
      {Precision::fp4, Precision::fp8, Precision::int8, Precision::bf16, Precision::fp16, Precision::fp32},
      {Precision::int8, Precision::fp8, Precision::bf16, Precision::fp16, Precision::tf32, Precision::fp32},
  }};
  for (const Precision p : kInstead[static_cast<std::size_t>(precision)]) {
    if (chip.peak_of(p).value > 0) { return chip.peak_of(p); }
  }
  return {};
}

OperatorTime gemm_time(const Gemm& gemm, const ChipType& chip) {
  const ChipEfficiency& e = chip.efficiency;
  const double units = std::max(1.0, chip.units.value);
  const double peak = best_peak(chip, gemm.precision).value * efficiency_of(gemm.precision, e);
  double tiled = 0;  // output elements that the slowest unit's share stands for, best tile
  for (const Tile& tile : kTiles) {
    const double tile_m = e.tile_m * tile.m, tile_n = e.tile_n * tile.n;
    const double tiles = std::ceil(gemm.m / tile_m) * std::ceil(gemm.n / tile_n) * gemm.batch;
    const double waves = tiles / units;
    const double last = std::ceil(waves);
    const double cost = (waves <= 1 ? 1 : waves + kLastWave * (last - waves)) * units * tile_m * tile_n / tile.efficiency;
    if (tiled == 0 || cost < tiled) { tiled = cost; }
  }
  // Filling and draining a tile's loop takes a time, not a number of inputs: the faster the format, the more inputs it is worth.
  const double reference = best_peak(chip, Precision::bf16).value;
  const double pace = reference > 0 ? std::max(1.0, best_peak(chip, gemm.precision).value / reference) : 1;
  const double compute = 2 * tiled * (gemm.k + e.inner * pace) / peak;
  const double bytes =
      gemm.batch * (gemm.m * gemm.k * gemm.input_bytes + gemm.k * gemm.n * gemm.weight_bytes + gemm.m * gemm.n * gemm.output_bytes);
  return sum_up(compute, stream_seconds(bytes, chip), e.launch.value + (gemm.batch > 1 ? gemm.batch * e.batch_item.value : 0));
}

OperatorTime flash_attention_time(const AttentionShape& shape, const ChipType& chip) {
  return sum_up(attention_flop(shape) / flash_rate(shape, chip), stream_seconds(flash_bytes(shape), chip), chip.efficiency.launch.value);
}

OperatorTime flash_attention_backward_time(const AttentionShape& shape, const ChipType& chip) {
  // Five products for two (arXiv:2205.14135, section 3.1), and reads and writes of q, k, v, o and their gradients.
  constexpr double kProducts = 2.5, kPasses = 3;
  return sum_up(kProducts * attention_flop(shape) / flash_rate(shape, chip), stream_seconds(kPasses * flash_bytes(shape), chip),
                2 * chip.efficiency.launch.value);
}

OperatorTime unfused_attention_time(const AttentionShape& shape, double passes, const ChipType& chip) {
  const double batch = shape.batch * shape.heads;
  const double element = shape.precision == Precision::fp32 || shape.precision == Precision::tf32 ? 4 : 2;
  const auto product = [&](double n, double k) {
    return gemm_time({.m = shape.queries,
                      .n = n,
                      .k = k,
                      .batch = batch,
                      .precision = shape.precision,
                      .input_bytes = element,
                      .weight_bytes = element,
                      .output_bytes = element},
                     chip);
  };
  const OperatorTime scores = product(shape.keys, shape.head_dim), values = product(shape.value_dim, shape.keys);
  const double softmax = stream_seconds(batch * shape.queries * shape.keys * element * passes, chip);
  return {.time = scores.time + values.time + Seconds{softmax + chip.efficiency.launch.value},
          .compute = scores.compute + values.compute,
          .memory = scores.memory + values.memory + Seconds{softmax},
          .launch = scores.launch + values.launch + chip.efficiency.launch};
}

OperatorTime stream_time(ByteCount bytes, double kernels, const ChipType& chip) {
  return sum_up(0, stream_seconds(bytes.value, chip), kernels * chip.efficiency.launch.value);
}

}  // namespace centrale
