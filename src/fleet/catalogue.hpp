// SPDX-License-Identifier: Apache-2.0
// What is known of each kind of chip before any is asked: catalogue/chips.yaml, built into the program, and a centre's own file of the same
// shape laid over it.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dimension.hpp"
#include "base/reflect.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

namespace centrale {

/// A number and where it comes from.
template <class T>
struct Sourced {
  T value{};
  std::string source;  // empty: nobody says
};

template <class V, class T>
void describe(V& v, Sourced<T>& s) {
  v("value", s.value, "the number, with its unit");
  v("source", s.source, "where it comes from");
}

/// Number formats that chips multiply in.
enum class Precision : unsigned char { fp32, tf32, fp16, bf16, fp8, fp4, int8 };
inline constexpr std::size_t kPrecisions = 7;
template <>
inline constexpr std::array<std::string_view, kPrecisions> kEnumNames<Precision>{"fp32", "tf32", "fp16", "bf16", "fp8", "fp4", "int8"};

/// The shape of a fabric's wiring.
enum class Wiring : unsigned char {
  none,    // no fabric: through the host
  bus,     // PCIe through the host
  mesh,    // every chip has a link to every other (HCCS, xGMI): a pair gets 1/(n-1) of a chip's bandwidth
  fabric,  // switched: any pair at full rate (NVSwitch)
  torus,   // neighbours only (TPU ICI, Trainium): dimensions in `torus`
};

template <>
inline constexpr std::array<std::string_view, 5> kEnumNames<Wiring>{"none", "bus", "mesh", "fabric", "torus"};

/// The fabric that joins the chips of one domain.
struct ScaleUp {
  Wiring wiring = Wiring::none;
  std::int64_t chips = 1;             // of one domain, at most
  std::vector<std::int64_t> torus;    // its dimensions, torus only; neighbours in the first are next to each other in order
  std::int64_t wraps_from = 1;        // a dimension of so many chips is a ring; a shorter one, cut from a larger torus, is a line
  Sourced<BytesPerSecond> bandwidth;  // of one chip, one direction, all its links together
  Seconds latency;                    // of one hop with its software, between two chips
  bool in_network = false;            // switches add up (NVLink SHARP)
};

/// What one chip has to the network outside the domain.
struct ScaleOut {
  Sourced<BytesPerSecond> bandwidth;  // of one chip, one direction
  Seconds latency;
};

/// What was measured of a chip, as fractions of the printed peaks; a few constants, calibrated over all published rows (docs/benchmarks.md)
/// or by `centrale calibrate`.
struct ChipEfficiency {
  double gemm = 0.75;      // of the dense peak that a large, well-shaped GEMM reaches at 16 bit
  double gemm_fp8 = 0.65;  // the same at 8 bit, at 4 bit
  double gemm_fp4 = 0.55;
  double attention = 0.5;  // of the 16-bit peak that fused attention reaches over long sequences
  double memory = 0.85;    // of the printed memory bandwidth that a stream reaches
  double links = 0.8;      // of the printed link rate that a large collective reaches inside a domain, outside it
  double network = 0.8;
  double tile_m = 128, tile_n = 256;  // the block of outputs that one unit computes at once
  double inner = 512;                 // inputs at which a GEMM's loop reaches half of its rate's ramp, k / (k + inner)
  Seconds launch{4e-6};               // of one kernel behind another
  Seconds batch_item{0};              // added by each product of a batch where the library loops over them (CPUs); GPUs: 0
  Seconds host{10e-6};                // the host's work for one eager operator: what a step cannot go below
  std::string source;
};

struct ChipType {
  std::string key;                   // "h100-sxm"
  std::string vendor;                // "nvidia", "amd", "ascend", "gaudi", "any"
  std::string name;                  // as people call it
  std::vector<std::string> aliases;  // as the vendor's tools print it
  Sourced<Bytes> memory;             // 0: not the chip's own (a CPU core)
  Sourced<Milliwatts> power;         // the most it draws
  Sourced<MicroCurrency> price_per_hour;
  std::array<Sourced<FlopPerSecond>, kPrecisions> peak;  // dense, by Precision; 0: the chip does not have it
  Sourced<BytesPerSecond> memory_bandwidth;
  Sourced<double> units;  // that compute tiles side by side: SMs, CUs, cores, MXUs
  ScaleUp scale_up;
  ScaleOut scale_out;
  std::int64_t chips_per_node = 8;  // as it is usually built
  ChipEfficiency efficiency;

  [[nodiscard]] FlopPerSecond peak_of(Precision p) const { return peak[static_cast<std::size_t>(p)].value; }
};

struct Catalogue {
  std::string currency;  // ISO 4217
  std::vector<ChipType> chips;

  /// By key; null if there is none.
  [[nodiscard]] const ChipType* chip(std::string_view key) const;
  /// By what a vendor's tool prints, or by name or key; letter case and spaces at the ends do not matter. Null: not listed.
  [[nodiscard]] const ChipType* chip_printed_as(std::string_view name) const;
  /// By what people write in papers and tables: "H100-SXM5-80GB", "A100", "TPU v4", "AWS Trainium1 (trn1.32xlarge)". Words of vendors and
  /// packaging do not matter; memory size and form choose among the forms of one model, otherwise the usual one is meant. A number of the
  /// model that does not fit ("H1000") is not guessed at. Null: not listed.
  [[nodiscard]] const ChipType* chip_like(std::string_view text) const;
  /// For errors: "nearest: h100-sxm", or empty.
  [[nodiscard]] std::string nearest_key(std::string_view key) const;
};

inline constexpr std::size_t kChipTypesMax = 1000;

/// "450GB/s", "3.35 TB/s" in bytes; "400Gb/s", "400Gbit/s" in bits; powers of 1000. Nothing for any other text, for zero and below.
[[nodiscard]] std::optional<BytesPerSecond> parse_bandwidth(std::string_view text);
/// "989.4T", "989.4 TFLOP/s", "1.98P", "2 PFLOP/s", "500 TOP/s". Nothing for any other text, for zero and below.
[[nodiscard]] std::optional<FlopPerSecond> parse_flop_rate(std::string_view text);

/// Reads a catalogue; errors name file:line. Every number must have a source.
[[nodiscard]] Result<Catalogue> read_catalogue(std::string_view yaml, std::string_view file);
/// Chips of `upper` replace those of the same key and are added otherwise. The two must agree on the currency.
[[nodiscard]] Result<Catalogue> overlay(Catalogue lower, const Catalogue& upper);
/// The catalogue that the program was built with, and its text.
[[nodiscard]] const Catalogue& default_catalogue();
[[nodiscard]] std::string_view default_catalogue_text();

}  // namespace centrale
