// SPDX-License-Identifier: Apache-2.0
// Text for people and from people: nearest names, spans, sizes, times, widths. Nothing here depends on the locale.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.hpp"

namespace centrale {

/// The candidate that `name` was probably meant to be (Damerau-Levenshtein, ASCII case ignored); empty if none is plausible.
/// Ties go to the earlier candidate.
[[nodiscard]] std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates);
[[nodiscard]] std::string_view nearest(std::string_view name, const std::vector<std::string>& candidates);
/// "nearest: h100", or empty: an Error's remedy.
[[nodiscard]] std::string nearest_remedy(std::string_view name, std::span<const std::string_view> candidates);
[[nodiscard]] std::string nearest_remedy(std::string_view name, const std::vector<std::string>& candidates);

/// For people, rounded: "0 s", "850 ms", "12 s", "1m 05s", "2h 03m", "3d 04h".
[[nodiscard]] std::string format_duration(Nanos span);
/// For files, exact: "30s", "1h30m", "2s500ms", "0s". parse_duration gives the same span back.
[[nodiscard]] std::string exact_duration(Nanos span);
/// "30s", "5m", "1h30m", "1h 30m", "500ms", "1.5h", "2d"; a bare number is seconds. Units: d h m s ms us ns. Nothing for any other text,
/// for negative spans, and for spans of more than 292 years.
[[nodiscard]] std::optional<Nanos> parse_duration(std::string_view text);
/// A number of seconds as a span; nothing for negative, non-finite and too long ones.
[[nodiscard]] std::optional<Nanos> duration_of_seconds(double value);

/// For people, rounded: "512 B", "1.5 GiB".
[[nodiscard]] std::string format_bytes(Bytes size);
/// For files, exact: "2GiB", "1536MiB", "1000B".
[[nodiscard]] std::string exact_bytes(Bytes size);
/// "2GiB", "512 MiB", "1.5GB", "100k", "4096"; B, then k M G T P for powers of 1000 and Ki Mi Gi Ti Pi for powers of 1024, with or
/// without B, in any case. Nothing for any other text and for negative sizes. Fractions of a byte are dropped.
[[nodiscard]] std::optional<Bytes> parse_bytes(std::string_view text);

/// A decimal number such as "0.089" times `scale`, exactly; digits beyond it are dropped. Nothing for any other text, signs included.
[[nodiscard]] std::optional<std::int64_t> parse_scaled(std::string_view text, std::int64_t scale);

/// "2025-11-24T11:34:05Z", with ".123" where there are milliseconds.
[[nodiscard]] std::string format_time_rfc3339(Time time);
/// The inverse, with any offset and up to 9 digits of a second; nothing for any other text.
[[nodiscard]] std::optional<Time> parse_time_rfc3339(std::string_view text);

/// "12,345".
[[nodiscard]] std::string format_count(std::int64_t count);

/// Decodes the code point at `at` and moves past it. Invalid bytes give U+FFFD, one for each maximal bad part.
[[nodiscard]] char32_t next_code_point(std::string_view text, std::size_t& at);
void append_utf8(std::string& out, char32_t code_point);
[[nodiscard]] bool is_utf8(std::string_view text);
/// Every invalid part replaced by U+FFFD.
[[nodiscard]] std::string to_utf8(std::string_view text);
/// For messages: the start of `text`, cut between characters to at most `bytes` and marked "…"; controls and bad parts as U+FFFD.
[[nodiscard]] std::string shorten(std::string_view text, std::size_t bytes);
/// Columns on a terminal: 2 for wide East Asian characters and emoji, 0 for combining marks and controls.
[[nodiscard]] std::size_t display_width(std::string_view text);
/// Cut or padded with spaces to exactly `columns`; a cut ends with "…".
[[nodiscard]] std::string fit_left(std::string_view text, std::size_t columns);   // text, then spaces
[[nodiscard]] std::string fit_right(std::string_view text, std::size_t columns);  // spaces, then text

/// A DNS label: a-z, 0-9 and '-', 1 to 63, a letter or digit first and last.
[[nodiscard]] bool is_valid_name(std::string_view name);

}  // namespace centrale
