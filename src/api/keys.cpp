// SPDX-License-Identifier: Apache-2.0
#include "api/keys.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace centrale::api {
namespace {

constexpr std::string_view kAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kHashPrefix = "sha256-1:";
constexpr std::string_view kHex = "0123456789abcdef";
static_assert(kAlphabet.size() == 62);

bool is_base62(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

std::unexpected<Error> refused(const char* what, const std::filesystem::path& path) {
  return fail(ErrorKind::io, std::string(what) + ": " + std::strerror(errno), path.string());
}

/// Writes to a name beside `path` and renames, so that a crash never leaves half a key.
Result<void> write_private(const std::filesystem::path& path, std::string_view text) {
  const std::string beside = path.string() + ".new";
  ::unlink(beside.c_str());
  const int file = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) { return refused("cannot write the admin key", beside); }
  const bool written = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
  const int why = errno;
  ::close(file);
  errno = why;
  if (!written || ::rename(beside.c_str(), path.c_str()) != 0) {
    const auto error = refused("cannot write the admin key", path);
    ::unlink(beside.c_str());
    return error;
  }
  return {};
}

}  // namespace

Result<std::string> make_key() {
  std::string key(kKeyPrefix);
  while (key.size() < kKeyPrefix.size() + kKeyRandomChars) {
    std::array<unsigned char, 64> random{};
    if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) {
      return fail(ErrorKind::io, "the operating system gave no random numbers");
    }
    for (const unsigned char byte : random) {
      // 248 = 4 x 62: larger bytes are passed over, so that every character is equally likely.
      if (byte < 248 && key.size() < kKeyPrefix.size() + kKeyRandomChars) { key += kAlphabet[byte % 62]; }
    }
    OPENSSL_cleanse(random.data(), random.size());
  }
  return key;
}

bool is_key(std::string_view text) {
  return text.size() == kKeyPrefix.size() + kKeyRandomChars && text.substr(0, kKeyPrefix.size()) == kKeyPrefix &&
         std::all_of(text.begin() + kKeyPrefix.size(), text.end(), is_base62);
}

KeyDigest key_digest(std::string_view key) {
  KeyDigest digest{};
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

std::string key_hash(std::string_view key) {
  std::string text(kHashPrefix);
  for (const std::uint8_t byte : key_digest(key)) {
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

std::optional<KeyDigest> parse_key_hash(std::string_view stored) {
  KeyDigest digest{};
  if (stored.substr(0, kHashPrefix.size()) != kHashPrefix || stored.size() != kHashPrefix.size() + 2 * digest.size()) {
    return std::nullopt;
  }
  stored.remove_prefix(kHashPrefix.size());
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const std::size_t high = kHex.find(stored[2 * i]), low = kHex.find(stored[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) { return std::nullopt; }
    digest[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return digest;
}

bool same_digest(const KeyDigest& a, const KeyDigest& b) { return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

Result<std::string> ensure_admin_key(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0 && errno == ENOENT) {
    std::error_code code;
    if (path.has_parent_path()) { std::filesystem::create_directories(path.parent_path(), code); }
    auto key = make_key();
    TRY(key);
    TRY(write_private(path, *key + "\n"));
    return key;
  }
  if (file < 0) { return refused("cannot read the admin key", path); }
  struct stat about {};
  std::array<char, 128> buffer{};
  const bool known = ::fstat(file, &about) == 0;
  const ssize_t size = ::read(file, buffer.data(), buffer.size());
  ::close(file);
  if (!known || size < 0) { return refused("cannot read the admin key", path); }
  if ((about.st_mode & 077) != 0) {
    return fail(ErrorKind::io, "others can read the admin key", path.string(), "chmod 600 " + path.string());
  }
  std::string_view text(buffer.data(), static_cast<std::size_t>(size));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) { text.remove_suffix(1); }
  if (!is_key(text)) {
    return fail(ErrorKind::io, "this is not an admin key", path.string(), "remove the file; a new one is made at the next start");
  }
  return std::string(text);
}

}  // namespace centrale::api
