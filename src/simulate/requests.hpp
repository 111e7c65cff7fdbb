// SPDX-License-Identifier: Apache-2.0
// Requests that a service is fed: recorded ones, whose format is told by their first line, and generated ones.
//
//   TRY_ASSIGN(RequestTrace trace, read_requests(text, "azure.csv", {.rate_scale = 2}));
//
//   Azure LLM inference traces   TIMESTAMP,ContextTokens,GeneratedTokens
//   BurstGPT                     Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type (seconds)
//   Mooncake (FAST'25)           JSON lines: timestamp (ms), input_length, output_length, hash_ids (512 tokens each)
//   Vidur lengths                num_prefill_tokens,num_decode_tokens: arrivals are drawn, Poisson
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"

namespace centrale {

inline constexpr std::int64_t kPrefixBlock = 512;             // tokens of a block of a prompt; the last of a prompt may be shorter
inline constexpr std::int64_t kRequestTokensMax = 1LL << 30;  // of a prompt or an answer: more is a mistake
inline constexpr std::size_t kRequestsMax = 50'000'000;       // of a trace: 2 GiB

struct TraceRequest {
  Time arrival;  // since the start of the trace
  std::int64_t prompt = 0, output = 0;
  std::size_t first_block = 0;  // into RequestTrace::blocks …
  std::uint32_t blocks = 0;     // … so many: equal ids from the start are a prefix that two prompts share; 0: not known
  std::uint32_t tenant = 0;     // index into RequestTrace::tenants
  std::uint64_t session = 0;    // 0: none
};

struct RequestTrace {
  std::string name;
  std::vector<std::string> tenants{"default"};
  std::vector<TraceRequest> requests;  // by arrival, then as in the file
  std::vector<std::uint64_t> blocks;
  std::vector<std::string> notes;  // what was left out or changed, for the user

  [[nodiscard]] std::span<const std::uint64_t> blocks_of(const TraceRequest& request) const {
    return std::span(blocks).subspan(request.first_block, request.blocks);
  }
};

struct RequestOptions {
  double rate_scale = 1;   // requests come so many times as fast
  std::size_t limit = 0;   // requests kept, from the first of the window on; 0: all
  Nanos from, until;       // window of the trace that is kept, before scaling; until 0: to its end. It starts at 0 afterwards
  double rate = 0;         // requests a second, for files without arrivals
  std::uint64_t seed = 1;  // of arrivals that are drawn
};

/// Errors name file:line and field. Requests that were never answered (0 tokens out) are left out and noted.
[[nodiscard]] Result<RequestTrace> read_requests(std::string_view text, std::string_view file, const RequestOptions& options = {});

enum class Arrivals : unsigned char {
  poisson,
  gamma,    // gaps are gamma distributed: bursts where their variation is above 1
  diurnal,  // Poisson, the rate a sine over the day
};

struct GenerateOptions {
  Arrivals arrivals = Arrivals::poisson;
  double rate = 1;                 // requests a second, in the mean
  double variation = 1;            // gamma: standard deviation of gaps over their mean
  double swing = 0.8;              // diurnal: the peak is 1 + swing of the mean rate, the valley 1 - swing; the day starts in the valley
  Nanos day = seconds(86400);      // diurnal
  Nanos duration = seconds(3600);  // arrivals are before
  std::uint64_t seed = 1;
};

/// Arrivals that are drawn, each with the lengths, the blocks and the tenant of a request of `source` drawn with replacement.
[[nodiscard]] Result<RequestTrace> generate_requests(const RequestTrace& source, const GenerateOptions& options);

/// The part of all blocks that a cache without limit would have, each request's from its start: what a prefix cache can reach at most.
[[nodiscard]] double reusable_blocks(const RequestTrace& trace);

}  // namespace centrale
