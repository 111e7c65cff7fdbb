// SPDX-License-Identifier: Apache-2.0
#include "evaluate.hpp"

namespace centrale::trainer {

Result<Evaluation> evaluate(Llama& model, const Corpus& corpus, const Sequences& sequences, std::int64_t first, std::int64_t count,
                            std::int64_t micro_batch, Collective& collective) {
  at::NoGradGuard no_grad;
  double total = 0;
  std::vector<std::int64_t> indices;
  const auto flush = [&] {
    if (indices.empty()) return;
    const auto batch = make_batch(corpus, sequences, indices, model.compute.device);
    total += loss_sum(model, batch.ids, batch.targets).item<float>();
    indices.clear();
  };
  for (std::int64_t i = collective.rank(); i < count; i += collective.count()) {
    indices.push_back(first + i);
    if (static_cast<std::int64_t>(indices.size()) == micro_batch) flush();
  }
  flush();
  auto sum = at::full({1}, total, at::TensorOptions().dtype(at::kDouble));
  TRY(collective.sum(sum));
  const auto tokens = count * sequences.length;
  return Evaluation{sum.item<double>() / static_cast<double>(tokens), tokens};
}

}  // namespace centrale::trainer
