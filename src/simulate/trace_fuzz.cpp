// SPDX-License-Identifier: Apache-2.0
// Any bytes as a trace in each format: a workload that settles or an error, never a crash; and what is read survives our own CSV.
// How to build and run: cmake/fuzz.cmake; tests/data/traces is a corpus.
#include <cstdint>

#include "base/ensure.hpp"
#include "simulate/trace.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace centrale;
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  for (std::size_t format = 0; format < kEnumNames<TraceFormat>.size(); ++format) {
    TraceOptions options;
    options.format = static_cast<TraceFormat>(format);
    options.keep_cpu_jobs = size % 2 == 0;
    options.chips_max = static_cast<std::int64_t>(size % 3 * 8);
    auto read = read_trace(text, "fuzz", options);
    if (!read) {
      ensure(!read.error().what.empty() && read.error().where.starts_with("fuzz"));
      continue;
    }
    ensure(settle(*read).has_value());
    const auto again = read_trace(write_trace(*read), "fuzz", {});
    ensure(!again || again->jobs.size() == read->jobs.size());
  }
  Workload into;
  (void)read_nodes(text, "fuzz", into);
  return 0;
}
