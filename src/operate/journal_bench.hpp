// SPDX-License-Identifier: Apache-2.0
// How many durable events a second a journal takes, and how flat its latency stays.
#pragma once
#include <cstdint>

#include "operate/journal.hpp"

namespace centrale {

struct AppendFigures {
  double durable_per_s = 0;
  double p50_us = 0, p99_us = 0, max_us = 0;  // of one append (one batch)
};
/// Appends `events` events of `payload_bytes` in batches, each durable before the next.
[[nodiscard]] Result<AppendFigures> measure_appends(Journal& journal, std::size_t events, std::size_t batch, std::size_t payload_bytes);

/// Events a second through recover(), everything checked.
[[nodiscard]] Result<double> measure_recovery(Journal& journal);

}  // namespace centrale
