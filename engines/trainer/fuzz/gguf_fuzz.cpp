// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "formats/config.hpp"
#include "formats/gguf.hpp"
#include "formats/tokenizer.hpp"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace centrale::trainer;
  const auto gguf = parse_gguf({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
  if (!gguf) return 0;
  for (const auto& tensor : gguf->tensors) {
    std::size_t values = 1;
    for (const auto extent : tensor.shape) values *= static_cast<std::size_t>(extent);
    std::vector<float> out(values);  // the file holds that many, so it is no more than 8 times its size
    dequantise(tensor.type, tensor.bytes, out);
  }
  (void)config_from_gguf(*gguf);
  if (auto vocabulary = vocabulary_from_gguf(*gguf)) (void)make_tokenizer(std::move(*vocabulary), "fuzz");
  return 0;
}
