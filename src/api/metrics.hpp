// SPDX-License-Identifier: Apache-2.0
// Private to api/: the centre in Prometheus' text format, version 0.0.4.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/views.hpp"
#include "gateway/gateway.hpp"
#include "operate/host.hpp"

namespace centrale::api {

// Limits on how many lines one family may have.
inline constexpr std::size_t kTenantsMeasuredMax = 1'000;
inline constexpr std::size_t kServicesMeasuredMax = 1'000;
inline constexpr std::size_t kChipsMeasuredMax = 2'000;

/// What only the rim thread knows.
struct RimNumbers {
  struct Answers {
    std::string operation;
    int status = 0;
    std::uint64_t count = 0;
  };
  gateway::Counters gateway;
  std::size_t connections = 0;
  std::vector<Answers> answers;
};

/// What the operating system says of this process.
struct ProcessNumbers {
  double cpu_s = 0;
  std::int64_t resident_bytes = 0;
  std::int64_t open_fds = 0;
  std::int64_t max_fds = 0;
};
[[nodiscard]] ProcessNumbers read_process_numbers();

struct MetricsInput {
  const Core& core;
  Time now;
  Scope scope;
  const Census& census;
  const Host::Health& health;
  const Telemetry& telemetry;
  const Identity& identity;
  const RimNumbers& rim;
  ProcessNumbers process;
};
[[nodiscard]] std::string metrics_text(const MetricsInput& input);

/// A label's value with \, " and line ends escaped.
[[nodiscard]] std::string escape_label(std::string_view value);

}  // namespace centrale::api
