// SPDX-License-Identifier: Apache-2.0
// What is asked of the pool, and what it answers.
#pragma once
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "base/reflect.hpp"
#include "base/units.hpp"
#include "fleet/spread.hpp"

namespace centrale {

using KindIndex = std::uint8_t;  // into the core's table of chip kinds
using KindMask = std::uint64_t;
inline constexpr KindMask kAnyKind = ~KindMask{0};
inline constexpr std::size_t kKindsMax = 64;  // a mask fits one word
inline constexpr std::size_t kChipsPerNodeMax = 4096;
inline constexpr std::size_t kKindChoicesMax = 16;
inline constexpr std::int64_t kWholeChip = 1000;  // parts of a chip are thousandths

/// The kinds that will do, best first; none named: any, in the order of the fleet's table.
struct KindChoice {
  KindMask mask = kAnyKind;
  std::array<KindIndex, kKindChoicesMax> order{};
  std::uint8_t count = 0;

  bool operator==(const KindChoice&) const = default;
  auto operator<=>(const KindChoice&) const = default;
};

/// What a gang needs: `workers`, each with `chips` chips of one kind on one node and the rest of that node's.
struct Gang {
  std::int64_t workers = 1;
  std::int64_t chips = 1;
  Bytes memory;
  std::int64_t cpu_milli = 0;
  std::int64_t share_milli = kWholeChip;                // below it: so much of one chip; chips must be 1
  std::uint64_t apart = 0;                              // workers and gangs of the same non-zero group go on different nodes
  Time ends{std::numeric_limits<std::int64_t>::max()};  // known latest end
  std::uint64_t reservation = 0;                        // non-zero: only on nodes of it
  Nanos limit{};                                        // placed now, it ends so much later at the latest; 0: `ends` says all

  [[nodiscard]] bool is_share() const { return share_milli < kWholeChip; }
  bool operator==(const Gang&) const = default;
};

struct Probe {
  KindIndex kind = 0;
  std::int64_t nodes = 0;
  Spread spread = Spread::node;
};

/// Which node a single worker goes to. All but `pack` and `ours` are as in Weng et al., USENIX ATC 2023, section 6.1.
enum class PlaceRule : unsigned char { pack, fgd, best_fit, dot_product, gpu_packing, gpu_clustering, random, ours };
template <>
inline constexpr std::array<std::string_view, 8> kEnumNames<PlaceRule>{"pack",           "fgd",    "best_fit", "dot_product", "gpu_packing",
                                                                       "gpu_clustering", "random", "ours"};

/// A typical task: one worker (chips 0: it needs none), the kinds that will do, and how often it comes.
struct Demand {
  Gang gang;
  KindMask kinds = kAnyKind;
  double weight = 0;
};

}  // namespace centrale
