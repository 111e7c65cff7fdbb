// SPDX-License-Identifier: Apache-2.0
// What is known of each kind of chip before any is asked: catalogue/chips.yaml, built into the program, and a centre's own file of the same
// shape laid over it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

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

struct ChipType {
  std::string key;                   // "h100-sxm"
  std::string vendor;                // "nvidia", "amd", "ascend", "gaudi", "any"
  std::string name;                  // as people call it
  std::vector<std::string> aliases;  // as the vendor's tools print it
  Sourced<Bytes> memory;             // 0: not the chip's own (a CPU core)
  Sourced<Milliwatts> power;         // the most it draws
  Sourced<MicroCurrency> price_per_hour;
};

struct Catalogue {
  std::string currency;  // ISO 4217
  std::vector<ChipType> chips;

  /// By key; null if there is none.
  [[nodiscard]] const ChipType* chip(std::string_view key) const;
  /// By what a vendor's tool prints, or by name or key; letter case and spaces at the ends do not matter. Null: not listed.
  [[nodiscard]] const ChipType* chip_printed_as(std::string_view name) const;
  /// For errors: "nearest: h100-sxm", or empty.
  [[nodiscard]] std::string nearest_key(std::string_view key) const;
};

inline constexpr std::size_t kChipTypesMax = 1000;

/// Reads a catalogue; errors name file:line. Every number must have a source.
[[nodiscard]] Result<Catalogue> read_catalogue(std::string_view yaml, std::string_view file);
/// Chips of `upper` replace those of the same key and are added otherwise. The two must agree on the currency.
[[nodiscard]] Result<Catalogue> overlay(Catalogue lower, const Catalogue& upper);
/// The catalogue that the program was built with, and its text.
[[nodiscard]] const Catalogue& default_catalogue();
[[nodiscard]] std::string_view default_catalogue_text();

}  // namespace centrale
