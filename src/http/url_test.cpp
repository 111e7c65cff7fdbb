// SPDX-License-Identifier: Apache-2.0
#include "http/url.hpp"

#include <gtest/gtest.h>

#include "http/answer.hpp"

namespace centrale::http {
namespace {

std::string path_of(std::string_view target) {
  const auto parsed = parse_target(target);
  return parsed ? parsed->path : "refused";
}

TEST(Url, NormalisesPaths) {
  EXPECT_EQ(path_of("/"), "/");
  EXPECT_EQ(path_of("/a/b"), "/a/b");
  EXPECT_EQ(path_of("/a/b/"), "/a/b/");
  EXPECT_EQ(path_of("/a//b"), "/a/b");
  EXPECT_EQ(path_of("/a/./b"), "/a/b");
  EXPECT_EQ(path_of("/a/../b"), "/b");
  EXPECT_EQ(path_of("/a/.."), "/");
  EXPECT_EQ(path_of("/a/b/.."), "/a/");
  EXPECT_EQ(path_of("/a/."), "/a/");
  EXPECT_EQ(path_of("/.../a"), "/.../a");
  EXPECT_EQ(path_of("/a%20b"), "/a b");
  EXPECT_EQ(path_of("/v1/models/org%2Fname"), "/v1/models/org/name");
  EXPECT_EQ(path_of("/a+b"), "/a+b");
  EXPECT_EQ(path_of("http://host:80/a"), "/a");
  EXPECT_EQ(path_of("http://host?x=1"), "/");
  EXPECT_EQ(path_of("/a#b"), "/a");
}

TEST(Url, RefusesWhatClimbsOutOrIsMalformed) {
  for (const auto* target : {"/..", "/../a", "/a/../../b", "/%2e%2e/a", "/%2E%2e%2fa", "/a/%2e%2e/..", "/..%2f..%2fetc/passwd", "/%", "/%1",
                             "/%zz", "/a%00b", "/a%0ab", "/%7f", "a", "", "*", "host:80", "/x?a=%"}) {
    EXPECT_EQ(path_of(target), "refused") << target;
  }
}

TEST(Url, DecodesQueries) {
  const auto parsed = parse_target("/x?a=1&b=two+words&c=%26%3d&d&=e&a=2&&f==");
  ASSERT_TRUE(parsed);
  const std::map<std::string, std::string> expected{{"a", "1"}, {"b", "two words"}, {"c", "&="}, {"d", ""}, {"", "e"}, {"f", "="}};
  EXPECT_EQ(parsed->query, expected);
}

TEST(Url, EncodingIsUndoneByDecoding) {
  std::string all;
  for (int c = 0; c < 256; ++c) { all += static_cast<char>(c); }
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
  EXPECT_EQ(percent_encode("a/b~c"), "a%2Fb~c");
}

TEST(Answer, JsonStringsAreValidWhateverComes) {
  EXPECT_EQ(json_string("a\"b\\c\n\x01"), R"("a\"b\\c\n\u0001")");
  EXPECT_EQ(json_string("caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"), "\"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\"");
  EXPECT_EQ(json_string("\xFFz\xC3"), "\"\xEF\xBF\xBDz\xEF\xBF\xBD\"");
  EXPECT_EQ(json_string("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");  // a surrogate
}

TEST(Answer, ErrorBodies) {
  EXPECT_EQ(error_body("no", "server_error"), R"({"error":{"message":"no","type":"server_error","param":null,"code":null}})");
  EXPECT_EQ(error_body("no", "x", "y"), R"({"error":{"message":"no","type":"x","param":null,"code":"y"}})");
}

}  // namespace
}  // namespace centrale::http
