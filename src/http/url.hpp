// SPDX-License-Identifier: Apache-2.0
// Request targets as they come from outside: percent-encoding, dot segments, query strings. Pure.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace centrale::http {

/// A request target, taken apart, decoded and normalised.
struct Target {
  std::string path;                          // begins with '/', holds no "." or ".." segment, no "//", no control character
  std::map<std::string, std::string> query;  // of a name given twice, the first value
};

/// Takes "/a/b?x=1" or "http://host/a/b?x=1" apart. Nothing if it is malformed, holds control characters, or climbs out of
/// the root. The path is decoded before it is normalised, so that "%2e%2e%2f" is no way around the check.
[[nodiscard]] std::optional<Target> parse_target(std::string_view target);

/// Nothing if a '%' is not followed by two hex digits.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text);

/// Encodes everything but the unreserved characters of RFC 3986, section 2.3.
[[nodiscard]] std::string percent_encode(std::string_view text);

}  // namespace centrale::http
