// SPDX-License-Identifier: Apache-2.0
// Any bytes as a config.json: a model or an error, never a crash; and what is accepted can be counted. How to build and run:
// cmake/fuzz.cmake; the corpus is tests/corpus/model.
#include <cmath>
#include <cstdint>

#include "base/ensure.hpp"
#include "model/read.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace centrale;
  const auto model = read_model({reinterpret_cast<const char*>(data), size}, "config.json");
  if (!model) {
    ensure(!model.error().what.empty() && !model.error().remedy.empty());
    return 0;
  }
  const std::int64_t all = parameters(*model), active = active_parameters(*model);
  ensure(0 < active && active <= all);
  const double flop = forward_flop(*model, 4096).value;
  ensure(std::isfinite(flop) && flop > 0);
  for (const Block& block : model->kinds) {
    ensure(cache_bytes_per_token(block.mixer, 2).value >= 0 && state_bytes(block.mixer, 2).value >= 0);
    for (const Weight& weight : weights_of(*model, block)) {
      ensure(weight.elements() > 0 && weight.used <= weight.copies && weight.granule > 0);
    }
  }
  for (const Weight& weight : mtp_weights(*model)) { ensure(weight.elements() > 0); }
  return 0;
}
