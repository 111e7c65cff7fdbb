// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "formats/safetensors.hpp"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto header = centrale::trainer::parse_safetensors({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
  if (!header) return 0;
  for (const auto& tensor : header->tensors) {
    if (tensor.begin > tensor.end || tensor.end > size) std::abort();
  }
  return 0;
}
