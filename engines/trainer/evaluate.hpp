// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "collective.hpp"
#include "corpus.hpp"
#include "model.hpp"

namespace centrale::trainer {

struct Evaluation {
  double loss = 0;  // nats per token
  std::int64_t tokens = 0;
};

/// The mean loss over sequences first … first+count-1, shared out among the ranks.
Result<Evaluation> evaluate(Llama& model, const Corpus& corpus, const Sequences& sequences, std::int64_t first, std::int64_t count,
                            std::int64_t micro_batch, Collective& collective);

}  // namespace centrale::trainer
