// SPDX-License-Identifier: Apache-2.0
#include "api/keys.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <set>

namespace centrale::api {
namespace {

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("keys_test_" + std::to_string(::getpid()));
  Folder() { std::filesystem::remove_all(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

TEST(Keys, LookAsPromisedAndDiffer) {
  std::set<std::string> seen;
  std::array<int, 128> counts{};
  for (int i = 0; i < 2'000; ++i) {
    const std::string key = make_key().value();
    EXPECT_TRUE(is_key(key)) << key;
    EXPECT_TRUE(seen.insert(key).second);
    for (const char c : key.substr(3)) { ++counts.at(static_cast<std::size_t>(c)); }
  }
  // 80,000 characters over 62: 1,290 each; six standard deviations are 215.
  for (const char c : std::string("09AZazmK")) { EXPECT_NEAR(counts.at(static_cast<std::size_t>(c)), 1290, 215) << c; }
}

TEST(Keys, OtherTextIsNone) {
  const std::string key = make_key().value();
  for (const std::string& text : {std::string(), std::string("ck-"), key.substr(0, 42), key + "a", "dk-" + key.substr(3),
                                  key.substr(0, 42) + "_", key.substr(0, 42) + "\n"}) {
    EXPECT_FALSE(is_key(text)) << text;
  }
}

TEST(Keys, HashIsSha256WithItsVersion) {
  // FIPS 180-2, appendix B.1.
  EXPECT_EQ(key_hash("abc"), "sha256-1:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(parse_key_hash(key_hash("abc")), key_digest("abc"));
  EXPECT_TRUE(same_digest(key_digest("abc"), key_digest("abc")));
  EXPECT_FALSE(same_digest(key_digest("abc"), key_digest("abd")));
  for (const std::string& wrong : {std::string(), std::string("sha256-1:"), key_hash("abc").substr(0, 72), key_hash("abc") + "0",
                                   "sha256-2:" + key_hash("abc").substr(9), key_hash("abc").substr(0, 72) + "G"}) {
    EXPECT_FALSE(parse_key_hash(wrong)) << wrong;
  }
}

TEST(Keys, AdminKeyIsMadeOnceAndKept) {
  const Folder folder;
  const auto path = folder.path / "state" / "admin.key";
  const std::string key = ensure_admin_key(path).value();
  EXPECT_TRUE(is_key(key));
  struct stat about {};
  ASSERT_EQ(::stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600U);
  EXPECT_EQ(ensure_admin_key(path).value(), key);
}

TEST(Keys, AdminKeyThatCannotBeTrustedIsRefused) {
  const Folder folder;
  const auto path = folder.path / "admin.key";
  ASSERT_TRUE(ensure_admin_key(path));
  std::filesystem::permissions(path, std::filesystem::perms::group_read, std::filesystem::perm_options::add);
  EXPECT_NE(ensure_admin_key(path).error().remedy.find("chmod 600"), std::string::npos);
  std::filesystem::permissions(path, std::filesystem::perms::group_read, std::filesystem::perm_options::remove);
  std::ofstream(path) << "not a key\n";
  EXPECT_EQ(ensure_admin_key(path).error().kind, ErrorKind::io);
  std::filesystem::remove(path);
  std::filesystem::create_symlink("/etc/hostname", path);
  EXPECT_FALSE(ensure_admin_key(path));
}

}  // namespace
}  // namespace centrale::api
