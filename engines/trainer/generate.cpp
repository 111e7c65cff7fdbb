// SPDX-License-Identifier: Apache-2.0
#include "generate.hpp"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

namespace centrale::trainer {

void generate(Llama& model, const Vocabulary& vocabulary, std::vector<std::int32_t> ids, const GenerateOptions& options,
              const std::function<void(const Choice&)>& each) {
  at::NoGradGuard no_grad;
  auto generator = at::detail::createCPUGenerator(options.seed);
  for (std::int64_t i = 0; i < options.tokens_max && static_cast<std::int64_t>(ids.size()) < model.config.context; ++i) {
    const auto input = at::tensor(std::vector<std::int64_t>(ids.begin(), ids.end())).unsqueeze(0).to(model.compute.device);
    const auto logits = forward(model, input).select(1, input.size(1) - 1).squeeze(0).to(at::kCPU);
    const auto log_probabilities = at::log_softmax(logits, 0);
    Choice choice;
    const auto [values, indices] = log_probabilities.topk(std::clamp<std::int64_t>(options.top, 1, logits.size(0)));
    for (std::int64_t k = 0; k < indices.size(0); ++k) {
      choice.top.push_back({static_cast<std::int32_t>(indices[k].item<std::int64_t>()), values[k].item<float>()});
    }
    choice.id = choice.top[0].id;
    if (options.temperature > 0) {
      const auto probabilities = at::softmax(logits / options.temperature, 0);
      choice.id = static_cast<std::int32_t>(at::multinomial(probabilities, 1, false, generator).item<std::int64_t>());
    }
    if (vocabulary.eos && choice.id == *vocabulary.eos) return;
    each(choice);
    ids.push_back(choice.id);
  }
}

}  // namespace centrale::trainer
