// SPDX-License-Identifier: Apache-2.0
// A parallel layout: how a training step is cut over chips.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "base/reflect.hpp"
#include "fleet/catalogue.hpp"

namespace centrale {

enum class Schedule : unsigned char {
  one_f_one_b,  // PipeDream-flush; with interleave > 1, Megatron's interleaved (arXiv:2104.04473, section 2.2)
  zero_bubble,  // ZB-H1 (arXiv:2401.10241): weight gradients fill the bubble, same memory as 1F1B
  dual_pipe,    // DeepSeek-V3 (arXiv:2412.19437, section 3.2.1): both directions, all-to-all hidden; two copies of the weights
};
enum class Zero : unsigned char { none, optimizer, gradients, weights };  // ZeRO 0 to 3 (arXiv:1910.02054); weights is FSDP
enum class Recompute : unsigned char { none, selective, full };           // selective: attention's scores (arXiv:2205.05198, section 5)
enum class Offload : unsigned char { none, optimizer, activations };

template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<Schedule>{"1f1b", "zero-bubble", "dual-pipe"};
template <>
inline constexpr std::array<std::string_view, 4> kEnumNames<Zero>{"none", "optimizer", "gradients", "weights"};
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<Recompute>{"none", "selective", "full"};
template <>
inline constexpr std::array<std::string_view, 3> kEnumNames<Offload>{"none", "optimizer", "activations"};

/// chips = tp x cp x pp x dp. Experts are spread over ep ranks of the tp x cp x dp ranks of a stage, each expert cut in `etp`.
/// Ranks are numbered tp first, then cp, dp, pp: tensor-parallel ranks sit closest.
struct Layout {
  std::int64_t tp = 1, cp = 1, dp = 1, pp = 1, ep = 1, etp = 1;
  std::int64_t interleave = 1;          // model chunks a stage
  std::int64_t micro_batch = 1;         // sequences
  std::int64_t layers_recomputed = -1;  // of each stage, where recompute is full; -1: all
  std::int64_t shard = 0;               // ranks that ZeRO divides among, in the dp x cp group; 0: all of them
  Schedule schedule = Schedule::one_f_one_b;
  Zero zero = Zero::none;
  Recompute recompute = Recompute::none;
  Offload offload = Offload::none;
  Precision precision = Precision::bf16;
  bool sequence_parallel = false;

  [[nodiscard]] std::int64_t chips() const { return tp * cp * dp * pp; }
  bool operator==(const Layout&) const = default;
};

/// Whether so many micro-batches feed a pipeline of `pp` stages as a schedule wants: DualPipe feeds both ends, each with enough to fill it
/// (arXiv:2412.19437, section 3.2.1), from an even number of stages; ZB-H1 fills it once.
[[nodiscard]] constexpr bool feeds(Schedule schedule, std::int64_t pp, std::int64_t microbatches) {
  if (schedule == Schedule::one_f_one_b) { return true; }
  if (schedule == Schedule::zero_bubble) { return pp > 1 && microbatches >= pp; }
  return pp > 1 && pp % 2 == 0 && microbatches >= 2 * pp && microbatches % 2 == 0;
}

/// "tp8 pp16 dp128 cp2 ep8 v2 mb1 zero1 recompute=full"; parts that are 1 or none are left out.
[[nodiscard]] std::string to_text(const Layout& layout);

}  // namespace centrale
