// SPDX-License-Identifier: Apache-2.0
#include "plan/goodput.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/ensure.hpp"

namespace centrale {
namespace {

// Chips that wait for each other at a checkpoint lose a millisecond even where nothing is copied.
constexpr double kPauseLeast = 1e-3;

}  // namespace

Seconds daly_interval(Seconds pause, Seconds mtbf) {
  ensure(pause.value > 0 && mtbf.value > 0);
  const double twice = 2 * mtbf.value;
  if (pause.value >= twice) { return mtbf; }
  const double ratio = pause.value / twice;
  return {std::sqrt(pause.value * twice) * (1 + std::sqrt(ratio) / 3 + ratio / 9) - pause.value};
}

Seconds daly_wall(Seconds solve, Seconds interval, Seconds pause, Seconds restart, Seconds mtbf) {
  const double m = mtbf.value;
  return {m * std::exp(restart.value / m) * std::expm1((interval.value + pause.value) / m) * solve.value / interval.value};
}

Goodput goodput_of(const Reliability& r, std::int64_t chips, ByteCount checkpoint) {
  ensure(chips > 0);
  const double n = static_cast<double>(chips);
  Goodput g;
  g.checkpoint = checkpoint;
  g.write.value = checkpoint.value / std::min(r.write_total.value, r.write_per_chip.value * n);
  g.pause.value = r.asynchronous ? std::min(g.write.value, checkpoint.value / (r.copy_per_chip.value * n)) : g.write.value;
  g.pause.value = std::max(g.pause.value, kPauseLeast);
  if (!(r.chip_mtbf.value > 0)) {
    g.mtbf.value = std::numeric_limits<double>::infinity();
    g.interval = r.interval.value > 0 ? r.interval : g.mtbf;
    g.fraction = r.interval.value > 0 ? g.interval.value / (g.interval + g.pause).value : 1;
    return g;
  }
  g.mtbf = r.chip_mtbf / n;
  g.interval = r.interval.value > 0 ? r.interval : daly_interval(g.pause, g.mtbf);
  // A checkpoint counts once it is written: one that is written while work goes on is so much older when it is needed, and the next cannot
  // begin before.
  Seconds lost = r.restart;
  if (r.asynchronous) {
    g.interval = std::max(g.interval, g.write);
    lost += g.write;
  }
  g.fraction = g.interval / daly_wall(g.interval, g.interval, g.pause, lost, g.mtbf);
  return g;
}

}  // namespace centrale
