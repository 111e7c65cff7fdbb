// SPDX-License-Identifier: Apache-2.0
#include "api/view_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/json.hpp"

namespace centrale::api {

void append_decimal(std::string& out, std::int64_t value, int digits) {
  // Through the unsigned type: the smallest integer has no positive twin.
  auto magnitude = static_cast<std::uint64_t>(value);
  if (value < 0) {
    out += '-';
    magnitude = 0 - magnitude;
  }
  std::uint64_t scale = 1;
  for (int i = 0; i < digits; ++i) { scale *= 10; }
  out += std::to_string(magnitude / scale);
  std::uint64_t rest = magnitude % scale;
  if (rest == 0) { return; }
  std::string fraction = fmt::format("{:0{}}", rest, digits);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  out += '.';
  out += fraction;
}

void append_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  fmt::format_to(std::back_inserter(out), "{}", value);
}

void append_quoted(std::string& out, std::string_view text) { JsonWriter(out).text(text); }

bool Components::has(std::string_view name) const {
  return std::any_of(schemas.begin(), schemas.end(), [&](const auto& schema) { return schema.first == name; });
}

void detail::append_description(std::string& out, std::string_view description) {
  if (!description.empty()) {
    out += R"(,"description":)";
    append_quoted(out, description);
  }
}

}  // namespace centrale::api
