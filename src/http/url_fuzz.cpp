// SPDX-License-Identifier: Apache-2.0
// Whatever target comes, the parsed path is absolute, normalised and stays so when it is encoded and parsed again.
#include <cstddef>
#include <cstdint>

#include "base/ensure.hpp"
#include "http/answer.hpp"
#include "http/url.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto decoded = centrale::http::percent_decode(centrale::http::percent_encode(text));
  ensure(decoded && *decoded == text);
  ensure(centrale::http::json_string(text).size() >= 2);
  const auto target = centrale::http::parse_target(text);
  if (!target) { return 0; }
  const std::string& path = target->path;
  ensure(path.starts_with('/'));
  ensure((path + "/").find("/../") == std::string::npos);
  ensure((path + "/").find("/./") == std::string::npos);
  ensure(path.find("//") == std::string::npos);
  ensure(path.find('\0') == std::string::npos);
  const auto again = centrale::http::parse_target("/" + centrale::http::percent_encode(std::string_view{path}.substr(1)));
  ensure(again && again->path == path);
  return 0;
}
