// SPDX-License-Identifier: Apache-2.0
// What GCC's -fsanitize-coverage=trace-pc calls at each edge, turned into the counters that libFuzzer reads. See fuzz.cmake.
#include <cstddef>
#include <cstdint>

// libFuzzer's; programs that are no fuzzers do not have them.
extern "C" [[gnu::weak]] void __sanitizer_cov_8bit_counters_init(std::uint8_t* first, std::uint8_t* last);

namespace {
std::uint8_t counters[1 << 16];

[[gnu::constructor, gnu::no_sanitize_coverage]] void announce() {
  if (__sanitizer_cov_8bit_counters_init != nullptr) { __sanitizer_cov_8bit_counters_init(counters, counters + sizeof counters); }
}
}  // namespace

extern "C" [[gnu::no_sanitize_coverage, gnu::no_sanitize_address]] void __sanitizer_cov_trace_pc() {
  const auto place = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  // Multiplicative hashing; two edges rarely share a counter.
  ++counters[(place * 0x9E3779B97F4A7C15u) >> 48];
}
// The rest of the hooks are libFuzzer's; other programs do nothing.
#define IGNORED(name, type) \
  extern "C" [[gnu::weak, gnu::no_sanitize_coverage]] void name(type, type) {}
IGNORED(__sanitizer_cov_trace_cmp1, std::uint8_t)
IGNORED(__sanitizer_cov_trace_cmp2, std::uint16_t)
IGNORED(__sanitizer_cov_trace_cmp4, std::uint32_t)
IGNORED(__sanitizer_cov_trace_cmp8, std::uint64_t)
IGNORED(__sanitizer_cov_trace_const_cmp1, std::uint8_t)
IGNORED(__sanitizer_cov_trace_const_cmp2, std::uint16_t)
IGNORED(__sanitizer_cov_trace_const_cmp4, std::uint32_t)
IGNORED(__sanitizer_cov_trace_const_cmp8, std::uint64_t)
IGNORED(__sanitizer_cov_trace_cmpf, float)
IGNORED(__sanitizer_cov_trace_cmpd, double)
extern "C" [[gnu::weak, gnu::no_sanitize_coverage]] void __sanitizer_cov_trace_switch(std::uint64_t, std::uint64_t*) {}
