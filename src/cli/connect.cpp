// SPDX-License-Identifier: Apache-2.0
#include "cli/connect.hpp"

#include <algorithm>
#include <cstdlib>

#include "cli/http_blocking.hpp"
#include "cli/spec_files.hpp"

namespace centrale::cli {
namespace {

constexpr std::size_t kKeyFileMax = std::size_t{4} * 1024;

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets it
  return value == nullptr ? std::string{} : std::string(value);
}

std::string trimmed(std::string text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && blank(text.back())) { text.pop_back(); }
  text.erase(text.begin(), std::ranges::find_if_not(text, blank));
  return text;
}

/// A key ends up in a request's head: nothing in it may end that line.
Result<std::string> checked(std::string key, const std::string& where) {
  if (key.size() > kKeyFileMax || !std::ranges::all_of(key, [](char c) { return c > ' ' && c < 0x7F; })) {
    return fail(ErrorKind::invalid, "this is no API key", where, "keys are made by: centrale keys add");
  }
  return key;
}

Result<std::string> find_key(const Connection& connection, const Url& url) {
  if (!connection.key.empty()) { return checked(connection.key, "--key"); }
  if (std::string key = trimmed(environment("CENTRALE_KEY")); !key.empty()) { return checked(std::move(key), "CENTRALE_KEY"); }
  if (const std::string file = environment("CENTRALE_KEY_FILE"); !file.empty()) {
    TRY_ASSIGN(std::string key, read_text_file(file, kKeyFileMax));
    return checked(trimmed(std::move(key)), file);
  }
  if (url.is_loopback()) {
    // Left there by the centre for the person who started it; not there, or not ours to read: go without.
    const std::string state = environment("CENTRALE_STATE");
    const std::string file = (state.empty() ? environment("HOME") + "/.centrale" : state) + "/admin.key";
    if (auto key = read_text_file(file, kKeyFileMax)) { return checked(trimmed(std::move(*key)), file); }
  }
  return std::string{};
}

}  // namespace

Result<std::unique_ptr<Api>> connect_api(const Connection& connection) {
  std::string centre = connection.centre.empty() ? environment("CENTRALE_URL") : connection.centre;
  TRY_ASSIGN(Url url, parse_url(centre.empty() ? "http://127.0.0.1:7070" : centre));
  TRY_ASSIGN(std::string key, find_key(connection, url));
  return std::make_unique<HttpApi>(std::move(url), std::move(key));
}

}  // namespace centrale::cli
