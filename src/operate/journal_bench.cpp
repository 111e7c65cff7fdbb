// SPDX-License-Identifier: Apache-2.0
#include "operate/journal_bench.hpp"

#include <algorithm>
#include <chrono>

namespace centrale {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

Result<AppendFigures> measure_appends(Journal& journal, std::size_t events, std::size_t batch, std::size_t payload_bytes) {
  const std::string payload(payload_bytes, 'x');
  std::vector<Record> records(batch);
  std::vector<double> latencies_us;
  const auto start = Clock::now();
  for (std::size_t done = 0; done < events; done += batch) {
    std::uint64_t sequence = journal.last_sequence();
    for (Record& record : records) { record = {++sequence, static_cast<std::int64_t>(sequence), payload}; }
    const auto before = Clock::now();
    TRY(journal.append(records));
    latencies_us.push_back(seconds_since(before) * 1e6);
  }
  const double elapsed_s = seconds_since(start);
  std::ranges::sort(latencies_us);
  return AppendFigures{.durable_per_s = static_cast<double>(latencies_us.size() * batch) / elapsed_s,
                       .p50_us = latencies_us[latencies_us.size() / 2],
                       .p99_us = latencies_us[latencies_us.size() * 99 / 100],
                       .max_us = latencies_us.back()};
}

Result<double> measure_recovery(Journal& journal) {
  const auto start = Clock::now();
  std::uint64_t bytes = 0;
  TRY_ASSIGN(const Recovered recovered, journal.recover([](const Snapshot&) -> Result<void> { return {}; },
                                                        [&](const Record& record) -> Result<void> {
                                                          bytes += record.payload.size();
                                                          return {};
                                                        }));
  return static_cast<double>(recovered.events) / seconds_since(start);
}

}  // namespace centrale
