// SPDX-License-Identifier: Apache-2.0
#include "api/console.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "api/keys.hpp"
#include "api/operations.hpp"
#include "api/view_json.hpp"
#include "api/views.hpp"
#include "base/text.hpp"

namespace centrale::api {
namespace {

// As console/vite.config.ts has it, and nobody may frame the page: it has buttons that stop things.
constexpr std::string_view kPolicy =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'";

constexpr std::string_view kNotBuilt =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Centrale</title>"
    "<h1>The centre is running; its console was not built</h1>"
    "<p>Run <code>./dev build</code>, which builds the console and then the program that holds it, and start the centre again."
    "<p>Meanwhile: <code>centrale top</code> on the command line, <a href=\"/api/v1/centre\">the API</a>, "
    "<a href=\"/api/v1/openapi.json\">its description</a>, <a href=\"/metrics\">metrics</a>.</html>";

std::string_view type_of(std::string_view path) {
  struct Type {
    std::string_view suffix, type;
  };
  static constexpr std::array<Type, 11> kTypes{{{".html", "text/html; charset=utf-8"},
                                                {".js", "text/javascript; charset=utf-8"},
                                                {".css", "text/css; charset=utf-8"},
                                                {".svg", "image/svg+xml"},
                                                {".png", "image/png"},
                                                {".ico", "image/x-icon"},
                                                {".woff2", "font/woff2"},
                                                {".json", "application/json"},
                                                {".webmanifest", "application/manifest+json"},
                                                {".map", "application/json"},
                                                {".txt", "text/plain; charset=utf-8"}}};
  const auto found = std::find_if(kTypes.begin(), kTypes.end(), [&](const Type& t) { return path.ends_with(t.suffix); });
  return found == kTypes.end() ? "application/octet-stream" : found->type;
}

std::string etag_of(std::string_view bytes) { return '"' + key_hash(bytes).substr(9, 32) + '"'; }

void send_error(http::Reply& reply, int status, const Error& error, http::Headers headers = {}) {
  headers.emplace_back("Cache-Control", "no-store");
  headers.emplace_back("X-Content-Type-Options", "nosniff");
  reply.send(status, "application/json", to_view_json(view(error)), headers);
}

}  // namespace

void serve_console(const http::Request& request, http::Reply& reply, std::span<const Asset> assets) {
  const std::string_view path = request.path == "/" ? std::string_view("/index.html") : std::string_view(request.path);
  auto found = std::find_if(assets.begin(), assets.end(), [&](const Asset& asset) { return asset.path == path; });
  const Asset fallback{"/index.html", kNotBuilt};
  const Asset* asset = found != assets.end() ? &*found : assets.empty() && path == fallback.path ? &fallback : nullptr;
  if (asset == nullptr) {
    send_error(reply, 404, {ErrorKind::not_found, fmt::format("nothing is at {}", to_utf8(path.substr(0, 256))), {}, nearest_path(path)});
    return;
  }
  if (request.method != "GET") {
    send_error(reply, 405, {ErrorKind::invalid, fmt::format("{} is not for {}", request.method, request.path), {}, "allowed: GET"},
               {{"Allow", "GET"}});
    return;
  }
  const std::string etag = etag_of(asset->bytes);
  // Names under /assets/ hold a hash of what is in them: they never change.
  const bool is_for_ever = path.starts_with("/assets/");
  http::Headers headers{{"ETag", etag},
                        {"Cache-Control", is_for_ever ? "public, max-age=31536000, immutable" : "no-cache"},
                        {"Content-Security-Policy", std::string(kPolicy)},
                        {"X-Content-Type-Options", "nosniff"},
                        {"Referrer-Policy", "no-referrer"},
                        {"Cross-Origin-Opener-Policy", "same-origin"},
                        {"Cross-Origin-Resource-Policy", "same-origin"}};
  if (request.header("if-none-match").find(etag) != std::string_view::npos) {
    reply.send(304, type_of(path), {}, headers);
    return;
  }
  reply.send(200, type_of(path), std::string(asset->bytes), headers);
}

}  // namespace centrale::api
