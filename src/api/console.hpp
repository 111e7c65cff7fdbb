// SPDX-License-Identifier: Apache-2.0
// The console: the built page of console/, held in the program.
#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "http/server.hpp"

namespace centrale::api {

struct Asset {
  std::string_view path;  // "/assets/index-B_k2.js"
  std::string_view bytes;
};

/// What was in console/dist when the program was built; nothing if it was not.
[[nodiscard]] std::span<const Asset> console_assets();

/// Answers GET for everything that is not the API: the page, its parts, or 404.
void serve_console(const http::Request& request, http::Reply& reply, std::span<const Asset> assets);

}  // namespace centrale::api
