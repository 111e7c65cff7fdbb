// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string>
#include <string_view>

#include "formats/config.hpp"
#include "formats/tokenizer.hpp"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace centrale::trainer;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)config_from_json(text, "fuzz");
  // Any bytes survive the trainer's own kind of tokenizer.
  static const auto own = make_tokenizer(train_vocabulary("the light of the sun, the light", 300).value(), "own").value();
  if (own.decode(own.encode(text, Specials::plain)) != text) std::abort();
  auto vocabulary = vocabulary_from_json(text, text, "fuzz");
  if (!vocabulary) return 0;
  const auto tokenizer = make_tokenizer(std::move(*vocabulary), "fuzz");
  if (!tokenizer) return 0;
  (void)tokenizer->decode(tokenizer->encode("Light's 12 rays, naïve\n\n日本", Specials::parse));
  (void)vocabulary_to_json(tokenizer->vocabulary());
  return 0;
}
