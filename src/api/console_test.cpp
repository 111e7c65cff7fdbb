// SPDX-License-Identifier: Apache-2.0
#include "api/console.hpp"

#include "api/centre_testing.hpp"

namespace centrale::api {
namespace {

const std::vector<Asset> kPage{{"/index.html", "<!doctype html><p>hi"}, {"/assets/index-a1.js", "export {};"}, {"/favicon.svg", "<svg/>"}};

TEST(Console, ServesThePageUnderAStrictPolicy) {
  TestCentre centre;
  centre.assets = kPage;
  Reply reply = centre.get("/");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "<!doctype html><p>hi");
  EXPECT_EQ(reply.headers.at("content-type"), "text/html; charset=utf-8");
  EXPECT_NE(reply.headers.at("content-security-policy").find("default-src 'self'"), std::string::npos);
  EXPECT_EQ(reply.headers.at("content-security-policy").find("unsafe"), std::string::npos);
  EXPECT_EQ(reply.headers.at("cache-control"), "no-cache");
  reply = centre.get("/assets/index-a1.js");
  EXPECT_EQ(reply.headers.at("content-type"), "text/javascript; charset=utf-8");
  EXPECT_NE(reply.headers.at("cache-control").find("immutable"), std::string::npos);
  EXPECT_EQ(centre.get("/favicon.svg").headers.at("content-type"), "image/svg+xml");
}

TEST(Console, UnchangedPageIsNotSentAgain) {
  TestCentre centre;
  centre.assets = kPage;
  const std::string etag = centre.get("/").headers.at("etag");
  const Reply again = centre.call("GET", "/", {}, {}, {{"If-None-Match", etag}});
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
  EXPECT_NE(centre.get("/favicon.svg").headers.at("etag"), etag);
  EXPECT_EQ(centre.call("GET", "/", {}, {}, {{"If-None-Match", "\"other\""}}).status, 200);
}

TEST(Console, WhatIsNotThereIsNotFound) {
  TestCentre centre;
  centre.assets = kPage;
  EXPECT_EQ(centre.get("/nothing.js").status, 404);
  EXPECT_EQ(centre.get("/assets/").status, 404);
  EXPECT_EQ(centre.get("/metric").status, 404);
  const Reply reply = centre.post("/", "x");
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.headers.at("allow"), "GET");
}

TEST(Console, WithoutABuildAPageSaysHowToMakeOne) {
  TestCentre centre;
  const Reply reply = centre.get("/");
  EXPECT_EQ(reply.status, 200);
  EXPECT_NE(reply.body.find("./dev build"), std::string::npos);
  EXPECT_EQ(centre.get("/assets/x.js").status, 404);
}

TEST(Console, WhatWasBuiltIsWhole) {
  for (const Asset& asset : console_assets()) {
    EXPECT_TRUE(asset.path.starts_with('/')) << asset.path;
    EXPECT_FALSE(asset.bytes.empty());
  }
  if (console_assets().empty()) { GTEST_SKIP() << "console/dist was not there at build time"; }
  // The page names only what is embedded.
  TestCentre centre;
  centre.assets.assign(console_assets().begin(), console_assets().end());
  const std::string page = centre.get("/").body;
  std::size_t named = 0;
  for (std::size_t at = page.find("=\"/"); at != std::string::npos; at = page.find("=\"/", at + 1)) {
    const std::size_t end = page.find('"', at + 2);
    EXPECT_EQ(centre.get(page.substr(at + 2, end - at - 2)).status, 200) << page.substr(at + 2, end - at - 2);
    ++named;
  }
  EXPECT_GE(named, 2U);
}

}  // namespace
}  // namespace centrale::api
