// SPDX-License-Identifier: Apache-2.0
// Text from a model, to look at it and to hold other engines against it. Serving is llama.cpp's work: there is no cache of
// keys and values here, each token costs the whole context.
#pragma once
#include <functional>

#include "formats/tokenizer.hpp"
#include "model.hpp"

namespace centrale::trainer {

struct GenerateOptions {
  std::int64_t tokens_max = 64;
  double temperature = 0;  // 0 takes the most likely token
  std::uint64_t seed = 0;
  std::int64_t top = 1;  // how many alternatives to report
};

struct Candidate {
  std::int32_t id = 0;
  double log_probability = 0;
};
struct Choice {
  std::int32_t id = 0;
  std::vector<Candidate> top;  // the most likely first
};

/// Calls `each` token by token, until the end token, the limit or the end of the context.
void generate(Llama& model, const Vocabulary& vocabulary, std::vector<std::int32_t> ids, const GenerateOptions& options,
              const std::function<void(const Choice&)>& each);

}  // namespace centrale::trainer
