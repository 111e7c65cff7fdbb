// SPDX-License-Identifier: Apache-2.0
#include "base/text.hpp"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <random>

namespace centrale {
namespace {

TEST(Text, NearestFindsTypingErrorsOnly) {
  constexpr std::array<std::string_view, 6> kKeys{"name", "command", "workers", "chips", "chip_kinds", "time_limit"};
  EXPECT_EQ(nearest("comand", kKeys), "command");
  EXPECT_EQ(nearest("nmae", kKeys), "name");
  EXPECT_EQ(nearest("WORKERS", kKeys), "workers");
  EXPECT_EQ(nearest("chip", kKeys), "chips");
  EXPECT_EQ(nearest("chip_k", kKeys), "chip_kinds");
  EXPECT_EQ(nearest("timelimit", kKeys), "time_limit");
  EXPECT_EQ(nearest("time", kKeys), "time_limit");
  EXPECT_EQ(nearest("gpus", kKeys), "");
  EXPECT_EQ(nearest("", kKeys), "");
  EXPECT_EQ(nearest("x", kKeys), "");
  EXPECT_EQ(nearest(std::string(100, 'a'), kKeys), "");
  EXPECT_EQ(nearest("h1000", std::vector<std::string>{"a100", "h100", "h200"}), "h100");
  EXPECT_EQ(nearest_remedy("comand", kKeys), "nearest: command");
  EXPECT_EQ(nearest_remedy("gpus", kKeys), "");
}

TEST(Text, DurationsForPeople) {
  EXPECT_EQ(format_duration({0}), "0 s");
  EXPECT_EQ(format_duration({1500}), "1 us");
  EXPECT_EQ(format_duration(milliseconds(850)), "850 ms");
  EXPECT_EQ(format_duration(seconds(12)), "12 s");
  EXPECT_EQ(format_duration(seconds(65)), "1m 05s");
  EXPECT_EQ(format_duration(seconds(7380)), "2h 03m");
  EXPECT_EQ(format_duration(seconds(3 * 86'400 + 4 * 3600)), "3d 04h");
  EXPECT_EQ(format_duration(seconds(-65)), "-1m 05s");
  EXPECT_FALSE(format_duration({std::numeric_limits<std::int64_t>::min()}).empty());
}

TEST(Text, ParsesDurations) {
  EXPECT_EQ(parse_duration("30s"), seconds(30));
  EXPECT_EQ(parse_duration("30"), seconds(30));
  EXPECT_EQ(parse_duration("0.5"), milliseconds(500));
  EXPECT_EQ(parse_duration("1h30m"), seconds(5400));
  EXPECT_EQ(parse_duration("1m 05s"), seconds(65));
  EXPECT_EQ(parse_duration(" 850 ms "), milliseconds(850));
  EXPECT_EQ(parse_duration("1.5h"), seconds(5400));
  EXPECT_EQ(parse_duration("2d"), seconds(172'800));
  EXPECT_EQ(parse_duration("1us1ns"), Nanos{1001});
  EXPECT_EQ(parse_duration("0.1s"), milliseconds(100));
  EXPECT_EQ(parse_duration("9223372036854775807ns"), Nanos{std::numeric_limits<std::int64_t>::max()});
  for (const char* bad : {"", " ", "s", "-5s", "5x", "5 5", "5s5", "1..5s", ".", "1.s.", "99999999999999999999s", "300000d",
                          "9223372036854775807ns1ns", "1e3", "5S", "1h,30m"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
  EXPECT_EQ(duration_of_seconds(0.1), milliseconds(100));
  for (const double bad : {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 1e30}) {
    EXPECT_FALSE(duration_of_seconds(bad)) << bad;
  }
}

TEST(Text, ExactFormsReadBack) {
  EXPECT_EQ(exact_duration(seconds(5400)), "1h30m");
  EXPECT_EQ(exact_duration({}), "0s");
  EXPECT_EQ(exact_bytes(mebibytes(2048)), "2GiB");
  EXPECT_EQ(exact_bytes({1000}), "1000B");
  EXPECT_EQ(exact_bytes({}), "0B");
  std::mt19937_64 random(7);
  for (int i = 0; i < 10'000; ++i) {
    const auto value = static_cast<std::int64_t>(random() >> (1 + random() % 63));
    ASSERT_EQ(parse_duration(exact_duration({value})), Nanos{value});
    ASSERT_EQ(parse_bytes(exact_bytes({value})), Bytes{value});
    ASSERT_EQ(parse_time_rfc3339(format_time_rfc3339({value / 1'000'000 * 1'000'000})), Time{value / 1'000'000 * 1'000'000});
  }
}

TEST(Text, Sizes) {
  EXPECT_EQ(format_bytes({512}), "512 B");
  EXPECT_EQ(format_bytes({1536}), "1.5 KiB");
  EXPECT_EQ(format_bytes(mebibytes(1536)), "1.5 GiB");
  EXPECT_EQ(format_bytes(mebibytes(81'559)), "79.6 GiB");
  EXPECT_EQ(format_bytes(mebibytes(500)), "500 MiB");
  EXPECT_EQ(parse_bytes("2GiB"), mebibytes(2048));
  EXPECT_EQ(parse_bytes("512 MiB"), mebibytes(512));
  EXPECT_EQ(parse_bytes("1.5GB"), Bytes{1'500'000'000});
  EXPECT_EQ(parse_bytes("100k"), Bytes{100'000});
  EXPECT_EQ(parse_bytes("4g"), Bytes{4'000'000'000});
  EXPECT_EQ(parse_bytes("4Gi"), mebibytes(4096));
  EXPECT_EQ(parse_bytes("4096"), Bytes{4096});
  EXPECT_EQ(parse_bytes("0.5KiB"), Bytes{512});
  for (const char* bad : {"", "GiB", "-1", "1GG", "1 XB", "1iB", "9999999999GiB", "1.2.3MB", "2GiBs", "1e3"}) {
    EXPECT_FALSE(parse_bytes(bad)) << bad;
  }
}

TEST(Text, ScaledNumbers) {
  EXPECT_EQ(parse_scaled("0.08925", 1'000'000), 89'250);
  EXPECT_EQ(parse_scaled("3", 10), 30);
  EXPECT_EQ(parse_scaled("0.0000009", 1'000'000), 0);
  for (const char* bad : {"", "-1", "+1", "1e3", "1 ", "1.2.3", ".", "9223372036854775807"}) { EXPECT_FALSE(parse_scaled(bad, 10)) << bad; }
}

TEST(Text, Times) {
  EXPECT_EQ(format_time_rfc3339({0}), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_time_rfc3339({1'763'984'045'123'000'000}), "2025-11-24T11:34:05.123Z");
  EXPECT_EQ(format_time_rfc3339({-1'000'000'000}), "1969-12-31T23:59:59Z");
  EXPECT_EQ(format_time_rfc3339({951'782'400'000'000'000}), "2000-02-29T00:00:00Z");
  EXPECT_EQ(parse_time_rfc3339("2025-11-24T12:34:05+01:00"), Time{1'763'984'045'000'000'000});
  EXPECT_EQ(parse_time_rfc3339("1970-01-01T00:00:00.000000001Z"), Time{1});
  for (const char* bad : {"", "2025-11-24", "2025-02-30T00:00:00Z", "2025-13-01T00:00:00Z", "2025-00-01T00:00:00Z", "2025-11-24T24:00:00Z",
                          "2025-11-24T00:00:00", "2025-11-24T00:00:00.Z", "2025-11-24T00:00:00Zx", "9999-01-01T00:00:00Z"}) {
    EXPECT_FALSE(parse_time_rfc3339(bad)) << bad;
  }
}

TEST(Text, Counts) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(12'345), "12,345");
  EXPECT_EQ(format_count(-123'456), "-123,456");
  EXPECT_EQ(format_count(std::numeric_limits<std::int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(Text, Utf8) {
  EXPECT_TRUE(is_utf8("aé中😀\xEF\xBF\xBD"));
  for (const char* bad : {"\x80", "\xC0\x80", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xF4\x90\x80\x80"}) {
    EXPECT_FALSE(is_utf8(bad));
    EXPECT_TRUE(is_utf8(to_utf8(bad)));
  }
  EXPECT_EQ(to_utf8("a\xE4\xB8z"), "a\xEF\xBF\xBDz");
  for (char32_t c = 1; c < 0x110000; c += 37) {
    if (c < 0xD800 || c > 0xDFFF) {
      std::string text;
      append_utf8(text, c);
      std::size_t at = 0;
      ASSERT_EQ(next_code_point(text, at), c);
      ASSERT_EQ(at, text.size());
    }
  }
  EXPECT_EQ(shorten("hello", 5), "hello");
  EXPECT_EQ(shorten("hello!", 5), "hello…");
  EXPECT_EQ(shorten("ab中", 4), "ab…");
  EXPECT_EQ(shorten("a\nb", 9),
            "a\xEF\xBF\xBD"
            "b");
}

TEST(Text, Widths) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("中文"), 4u);
  EXPECT_EQ(display_width("e\u0301"), 1u);
  EXPECT_EQ(display_width("😀"), 2u);
  EXPECT_EQ(display_width("▏█"), 2u);
  EXPECT_EQ(fit_left("ab", 4), "ab  ");
  EXPECT_EQ(fit_right("ab", 4), "  ab");
  EXPECT_EQ(fit_left("abcdef", 4), "abc…");
  EXPECT_EQ(fit_left("中文字", 4), "中… ");
  EXPECT_EQ(fit_left("ab", 0), "");
}

TEST(Text, Names) {
  EXPECT_TRUE(is_valid_name("train-small"));
  EXPECT_TRUE(is_valid_name("7b"));
  EXPECT_TRUE(is_valid_name(std::string(63, 'a')));
  for (const std::string& bad : {std::string(), std::string("-a"), std::string("a-"), std::string("A"), std::string("a_b"),
                                 std::string("a.b"), std::string(64, 'a'), std::string("é")}) {
    EXPECT_FALSE(is_valid_name(bad)) << bad;
  }
}

}  // namespace
}  // namespace centrale
