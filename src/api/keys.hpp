// SPDX-License-Identifier: Apache-2.0
// Keys: how they look, how they are kept, and the root key that the command line on the same machine uses.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace centrale::api {

inline constexpr std::string_view kKeyPrefix = "ck-";
inline constexpr std::size_t kKeyRandomChars = 40;  // base62: 238 bits

/// A new key from the operating system's random source. Errors: io, when there is none.
[[nodiscard]] Result<std::string> make_key();
/// Does the text look like one of our keys? Nothing else is ever hashed.
[[nodiscard]] bool is_key(std::string_view text);

/// What is stored instead of the key: "sha256-1:" and 64 hex digits. A plain hash is right here, where a password
/// would need a slow one: a key holds 238 random bits, so there is nothing to guess, and each request pays for this once.
/// The prefix lets a later version store others beside these.
[[nodiscard]] std::string key_hash(std::string_view key);

using KeyDigest = std::array<std::uint8_t, 32>;
[[nodiscard]] KeyDigest key_digest(std::string_view key);
/// The digest inside a stored hash; nothing for a version that is not known here.
[[nodiscard]] std::optional<KeyDigest> parse_key_hash(std::string_view stored);
/// Takes the same time wherever the two differ.
[[nodiscard]] bool same_digest(const KeyDigest& a, const KeyDigest& b);

/// The key in the file, which is made (mode 0600) when it is not there. Errors: the file holds something
/// else, others can read it, or the disk refuses.
[[nodiscard]] Result<std::string> ensure_admin_key(const std::filesystem::path& path);

}  // namespace centrale::api
