// SPDX-License-Identifier: Apache-2.0
// Looks into JSON text without building anything: members are found as pieces of the text itself, so that what the
// gateway does not change passes through byte for byte. Strict (RFC 8259), and limited in depth. Pure.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace centrale::gateway {

inline constexpr int kJsonDepthMax = 200;  // no request needs more, and the scanner recurses

/// The end of the value that begins at `at` (no white space before it); nothing if it is malformed or too deep.
[[nodiscard]] std::optional<std::size_t> end_of_value(std::string_view text, std::size_t at, int depth = 0);

/// Calls `member` with each key (unescaped) and the text of its value. False if `object` is not one well-formed object with
/// nothing but white space around it; some members may have been told by then.
[[nodiscard]] bool each_member(std::string_view object, const std::function<void(std::string_view key, std::string_view value)>& member);

/// The same for an array.
[[nodiscard]] bool each_element(std::string_view array, const std::function<void(std::string_view value)>& element);

/// The content of a well-formed JSON string, quotes included; a lone surrogate becomes U+FFFD. Nothing for any other text.
[[nodiscard]] std::optional<std::string> unescape(std::string_view string_value);

/// A well-formed integer, also one written as 3.0 or 3e1; nothing for any other text.
[[nodiscard]] std::optional<std::int64_t> whole_number(std::string_view value);

}  // namespace centrale::gateway
